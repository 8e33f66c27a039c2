//! What a run is at, in a few words for `systemctl status`. No pin, no token and no text of a peer is in them.

use std::collections::HashMap;

use super::event::{Event, Way};
use super::text::{MAX_PEER_TEXT, sanitize};

/// What a run is at, as far as its events tell.
#[derive(Debug)]
pub struct Summary(Side);

#[derive(Debug)]
enum Side {
    Host {
        /// The server where it is registered or wants to be.
        server: Option<String>,
        is_registered: bool,
        /// How each client's messages travel.
        clients: HashMap<String, Path>,
    },
    Client {
        /// Where the host is looked for.
        host: String,
        session: Option<(String, Path)>,
        was_connected: bool,
    },
    Server {
        hosts: usize,
        clients: usize,
    },
}

/// How the messages of a session travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Path {
    Direct,
    Relayed,
    /// Not at all.
    Lost,
}

impl From<&Way> for Path {
    fn from(way: &Way) -> Path {
        match way {
            Way::Direct { .. } => Path::Direct,
            Way::Relayed { .. } => Path::Relayed,
        }
    }
}

impl Summary {
    /// Begins with a host that nobody has joined; `server` is the name of the machine where it registers.
    pub fn host(server: Option<&str>) -> Summary {
        let server = server.map(|server| sanitize(server, MAX_PEER_TEXT));
        Summary(Side::Host { server, is_registered: false, clients: HashMap::new() })
    }

    /// Begins with a client that looks for its host at the machine of this name.
    pub fn client(host: &str) -> Summary {
        Summary(Side::Client { host: sanitize(host, MAX_PEER_TEXT), session: None, was_connected: false })
    }

    /// Begins with a server that nobody uses.
    pub fn server() -> Summary {
        Summary(Side::Server { hosts: 0, clients: 0 })
    }

    /// Takes an event into account. Returns whether the words may be others now.
    #[must_use]
    pub fn observe(&mut self, event: &Event) -> bool {
        match (&mut self.0, event) {
            (Side::Host { is_registered, .. }, Event::Registered { .. }) => *is_registered = true,
            (Side::Host { is_registered, .. }, Event::ServerLost { .. }) => *is_registered = false,
            (Side::Host { clients, .. }, Event::Disconnected { session, .. }) => _ = clients.remove(session),
            (Side::Host { clients, .. }, event) => match path(event) {
                Some((session, path)) => _ = clients.insert(session.to_owned(), path),
                None => return false,
            },
            (Side::Client { session: own, .. }, Event::Disconnected { session, .. }) => {
                own.take_if(|(own, _)| own == session);
            }
            (Side::Client { session, was_connected, .. }, event) => match path(event) {
                Some((name, path)) => (*session, *was_connected) = (Some((name.to_owned(), path)), true),
                None => return false,
            },
            (Side::Server { hosts, .. }, Event::HostJoined { .. }) => *hosts += 1,
            (Side::Server { hosts, .. }, Event::HostLeft { .. }) => *hosts = hosts.saturating_sub(1),
            (Side::Server { clients, .. }, Event::ClientJoined { .. }) => *clients += 1,
            (Side::Server { clients, .. }, Event::ClientLeft { .. }) => *clients = clients.saturating_sub(1),
            (Side::Server { .. }, _) => return false,
        }
        true
    }

    /// Returns the words, in one line.
    pub fn text(&self) -> String {
        match &self.0 {
            Side::Host { server, is_registered, clients } => {
                let mut text = match clients.len() {
                    0 => "waiting for a client".to_owned(),
                    all => {
                        let of = |wanted| clients.values().filter(|path| **path == wanted).count();
                        let lost = Some(of(Path::Lost)).filter(|lost| *lost > 0);
                        let lost = lost.map(|lost| format!(", {lost} without a path")).unwrap_or_default();
                        format!("{}, {} direct{lost}", count(all, "client"), of(Path::Direct))
                    }
                };
                if let (Some(server), false) = (server, is_registered) {
                    text.push_str(&format!("; connecting to {server}"));
                }
                text
            }
            Side::Client { host, session, was_connected } => match session {
                None if *was_connected => format!("connecting to {host} again"),
                None => format!("connecting to {host}"),
                Some((_, Path::Direct)) => "connected, direct".to_owned(),
                Some((_, Path::Relayed)) => format!("connected, relayed by {host}"),
                Some((_, Path::Lost)) => "connected, looking for a path".to_owned(),
            },
            Side::Server { hosts: 0, .. } => "waiting for a host".to_owned(),
            Side::Server { hosts, clients } => format!("{}, {}", count(*hosts, "host"), count(*clients, "client")),
        }
    }
}

/// Returns how an event says that a session's messages travel now.
fn path(event: &Event) -> Option<(&str, Path)> {
    match event {
        Event::Connected { session, way, .. } | Event::Path { session, way, .. } => Some((session, way.into())),
        Event::Recovered { session, way, .. } => Some((session, way.into())),
        Event::Recovering { session, .. } => Some((session, Path::Lost)),
        _ => None,
    }
}

fn count(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn direct() -> Way {
        let address = "192.0.2.1:2000".parse().unwrap();
        Way::Direct { candidates: "host/host".into(), local: address, remote: address }
    }

    fn relayed() -> Way {
        Way::Relayed { reason: "UDP is blocked".into() }
    }

    fn connected(session: &str, way: Way) -> Event {
        Event::Connected { session: session.into(), way, rtt_ms: 1.0 }
    }

    fn disconnected(session: &str) -> Event {
        let (session, reason) = (session.into(), "ended".into());
        Event::Disconnected { session, reason, sent: 0, received: 0, duration_ms: 0 }
    }

    fn recovering(session: &str) -> Event {
        Event::Recovering { session: session.into(), reason: "silence".into() }
    }

    fn registered() -> Event {
        let (id, url, pin) = ("nas".parse().unwrap(), "wss://p.example.org/ws/nas?pin=123456".into(), "123456".into());
        Event::Registered { id, url, pin, web: None, others: Vec::new() }
    }

    fn after(summary: &mut Summary, event: Event) -> String {
        assert!(summary.observe(&event), "{event:?}");
        summary.text()
    }

    #[test]
    fn a_host_counts_its_clients() {
        let mut host = Summary::host(None);
        assert_eq!(host.text(), "waiting for a client");
        assert_eq!(after(&mut host, connected("a", relayed())), "1 client, 0 direct");
        assert_eq!(after(&mut host, connected("b", direct())), "2 clients, 1 direct");
        let found = Event::Path { session: "a".into(), way: direct(), cause: None };
        assert_eq!(after(&mut host, found), "2 clients, 2 direct");
        assert_eq!(after(&mut host, recovering("b")), "2 clients, 1 direct, 1 without a path");
        let back = Event::Recovered { session: "b".into(), way: relayed(), after_ms: 5 };
        assert_eq!(after(&mut host, back), "2 clients, 1 direct");
        assert_eq!(after(&mut host, disconnected("a")), "1 client, 0 direct");
        assert_eq!(after(&mut host, disconnected("b")), "waiting for a client");
    }

    #[test]
    fn a_host_says_where_it_is_not_registered() {
        let mut host = Summary::host(Some("p.example.org\n"));
        assert_eq!(host.text(), r"waiting for a client; connecting to p.example.org\n");
        assert_eq!(after(&mut host, registered()), "waiting for a client");
        assert_eq!(after(&mut host, connected("a", direct())), "1 client, 1 direct");
        let lost = Event::ServerLost { message: "it closed".into() };
        assert_eq!(after(&mut host, lost), r"1 client, 1 direct; connecting to p.example.org\n");
    }

    #[test]
    fn a_client_has_one_session() {
        let mut client = Summary::client("p.example.org");
        assert_eq!(client.text(), "connecting to p.example.org");
        assert_eq!(after(&mut client, connected("a", relayed())), "connected, relayed by p.example.org");
        assert_eq!(after(&mut client, recovering("a")), "connected, looking for a path");
        assert_eq!(after(&mut client, connected("b", direct())), "connected, direct");
        assert_eq!(after(&mut client, disconnected("a")), "connected, direct");
        assert_eq!(after(&mut client, disconnected("b")), "connecting to p.example.org again");
    }

    #[test]
    fn a_server_counts_both() {
        let mut server = Summary::server();
        assert_eq!(server.text(), "waiting for a host");
        let (id, remote) = (|| "nas".parse().unwrap(), "192.0.2.1:9".parse().unwrap());
        let joined = Event::HostJoined { id: id(), remote, replaced: false };
        assert_eq!(after(&mut server, joined), "1 host, 0 clients");
        let joined = Event::ClientJoined { id: id(), remote, conversation: 1 };
        assert_eq!(after(&mut server, joined), "1 host, 1 client");
        let left = Event::HostLeft { id: id(), reason: "it closed".into() };
        assert_eq!(after(&mut server, left), "waiting for a host");
    }

    #[test]
    fn other_events_change_nothing() {
        let opened = Event::StreamOpened { session: "a".into(), stream: 1, address: "127.0.0.1:1".into() };
        assert!(!Summary::host(None).observe(&opened));
        assert!(!Summary::client("a").observe(&opened));
        assert!(!Summary::server().observe(&registered()));
    }
}
