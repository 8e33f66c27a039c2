//! Sentences for a server's owner.

use std::net::SocketAddr;
use std::time::Duration;

use super::event::Event;
use super::paint::Paint;
use super::text::{self, MAX_MESSAGE, MAX_PEER_TEXT, moved, sanitize};

/// Returns the text for an event of a server; `None` for other events.
pub(super) fn describe(event: &Event, paint: &Paint) -> Option<String> {
    Some(match event {
        Event::Serving { .. } => serving(event, paint)?,
        Event::HostJoined { id, remote, replaced } => {
            let how = if *replaced { ", in place of an earlier connection" } else { "" };
            format!("host {id} registered from {remote}{how}")
        }
        Event::Draining { hosts, clients } => {
            format!("ending: nobody new is admitted, and what is under way has 10 s ({hosts} hosts, {clients} clients)")
        }
        Event::PeerLinked { server, remote } => format!("linked to the server {server} at {remote}"),
        Event::PeerLost { server, reason } => {
            format!("the link to the server {server} is gone: {}", sanitize(reason, MAX_PEER_TEXT))
        }
        Event::DirectoryLost { reason } => {
            let reason = sanitize(reason, MAX_PEER_TEXT);
            format!("the directory is away ({reason}); hosts and links go on, and it is asked again")
        }
        Event::DirectoryBack => "the directory is back".to_owned(),
        Event::HostLeft { id, reason } => format!("host {id} left: {}", sanitize(reason, MAX_PEER_TEXT)),
        Event::ClientJoined { id, remote, conversation } => {
            paint.dim(&format!("client {id}/{conversation} joined from {remote}"))
        }
        Event::ClientLeft { id, conversation, reason, sent, received } => paint.dim(&format!(
            "client {id}/{conversation} left: {}; {}",
            sanitize(reason, MAX_PEER_TEXT),
            moved(*sent, *received),
        )),
        Event::Reloaded { what, changed, .. } => match &changed[..] {
            [] if what == "settings" => "read again: settings, nothing changed".to_owned(),
            [] => format!("read again: {}", sanitize(what, MAX_PEER_TEXT)),
            _ => sanitize(&format!("read again: {what}: {}", changed.join(", ")), MAX_MESSAGE),
        },
        Event::Request { host, remote, method, path, status, sent, received, duration_ms } => paint.dim(&format!(
            "{remote} {} {}{} {status}; {} in {}",
            sanitize(method, MAX_PEER_TEXT),
            sanitize(host.as_deref().unwrap_or("-"), MAX_PEER_TEXT),
            sanitize(path, MAX_PEER_TEXT),
            moved(*sent, *received),
            took(*duration_ms),
        )),
        Event::Refused { code, remote, message } => {
            format!("refused {remote} ({}): {}", code.as_str(), sanitize(message, MAX_MESSAGE))
        }
        _ => return None,
    })
}

/// Returns what listens where, the command for a host, and what the owner should know.
fn serving(event: &Event, paint: &Paint) -> Option<String> {
    let Event::Serving { listen, tls, gateway, domain, proxy, admin, peers, open, descriptors } = event else {
        return None;
    };
    let domain = domain.as_deref().map(|domain| sanitize(domain, MAX_PEER_TEXT));
    let mut lines = vec!["Serving.".to_owned(), String::new()];
    lines.push(format!("  Signaling  {listen}{}", if *tls { ", with TLS" } else { "" }));
    if let Some(domain) = &domain {
        let addresses = [&[*listen][..], gateway].concat();
        let addresses = addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        lines.push(format!("  Gateway    {addresses} for *.{domain}"));
    }
    lines.extend(proxy.map(|proxy| format!("  Proxy      {proxy}")));
    lines.extend(admin.map(|admin| format!("  Admin      {admin}")));
    lines.extend(peers.map(|peers| format!("  Servers    {peers}")));
    let url = server_url(*listen, *tls, domain.as_deref());
    let token = if *open { "" } else { " --token '<token>'" };
    let command = format!("pinhole host 8080 --server '{url}' --id myhost{token}");
    lines.extend([
        String::new(),
        "A host shares its port 8080 through this server with:".into(),
        format!("  {}", paint.bold(&command)),
        String::new(),
    ]);
    if *open {
        lines.push(
            "It is open: anybody who reaches the port can register free ids and use this machine's bandwidth.".into(),
        );
    } else if !tls && !listen.ip().is_loopback() {
        lines.push("Without TLS here or in front of it, others on the network can read the tokens.".into());
    }
    if *descriptors != u64::MAX {
        lines.push(format!("It may have {descriptors} descriptors, one for each connection; ulimit -n sets how many."));
    }
    lines.push("Ctrl-C ends.".into());
    Some(lines.join("\n"))
}

/// Returns the URL for hosts. The machine's name is known only if it is the gateway's domain.
fn server_url(listen: SocketAddr, tls: bool, domain: Option<&str>) -> String {
    let host = match (domain, listen.ip()) {
        (Some(domain), _) => domain.to_owned(),
        (None, ip) if ip.is_unspecified() => "<this-machine>".to_owned(),
        (None, ip) if ip.is_ipv6() => format!("[{ip}]"),
        (None, ip) => ip.to_string(),
    };
    let (scheme, default_port) = if tls { ("wss", 443) } else { ("ws", 80) };
    let port = if listen.port() == default_port { String::new() } else { format!(":{}", listen.port()) };
    format!("{scheme}://{host}{port}")
}

fn took(milliseconds: f64) -> String {
    let seconds = (milliseconds / 1000.0).max(0.0);
    Duration::try_from_secs_f64(seconds).map_or_else(|_| "unknown".into(), text::duration)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::refusal::Refusal;

    fn text(event: &Event) -> String {
        describe(event, &Paint(false)).unwrap()
    }

    fn served(open: bool, tls: bool, listen: &str) -> Event {
        Event::Serving {
            listen: listen.parse().unwrap(),
            tls,
            gateway: Vec::new(),
            domain: None,
            proxy: None,
            admin: None,
            peers: None,
            open,
            descriptors: u64::MAX,
        }
    }

    #[test]
    fn an_open_server_says_what_that_means() {
        let expected = "\
Serving.

  Signaling  0.0.0.0:8080

A host shares its port 8080 through this server with:
  pinhole host 8080 --server 'ws://<this-machine>:8080' --id myhost

It is open: anybody who reaches the port can register free ids and use this machine's bandwidth.
Ctrl-C ends.";
        assert_eq!(text(&served(true, false, "0.0.0.0:8080")), expected);
    }

    #[test]
    fn a_server_with_everything_lists_it() {
        let event = Event::Serving {
            listen: "[::]:443".parse().unwrap(),
            tls: true,
            gateway: vec!["[::]:80".parse().unwrap()],
            domain: Some("p.example.org".into()),
            proxy: Some("127.0.0.1:1080".parse().unwrap()),
            admin: Some("127.0.0.1:9090".parse().unwrap()),
            peers: Some("10.0.0.1:7000".parse().unwrap()),
            open: false,
            descriptors: 1024,
        };
        let expected = "\
Serving.

  Signaling  [::]:443, with TLS
  Gateway    [::]:443, [::]:80 for *.p.example.org
  Proxy      127.0.0.1:1080
  Admin      127.0.0.1:9090
  Servers    10.0.0.1:7000

A host shares its port 8080 through this server with:
  pinhole host 8080 --server 'wss://p.example.org' --id myhost --token '<token>'

It may have 1024 descriptors, one for each connection; ulimit -n sets how many.
Ctrl-C ends.";
        assert_eq!(text(&event), expected);
    }

    #[test]
    fn tokens_in_clear_are_warned_of_where_others_are_on_the_way() {
        let warning = "can read the tokens";
        assert!(text(&served(false, false, "0.0.0.0:80")).contains(warning));
        assert!(!text(&served(false, true, "0.0.0.0:80")).contains(warning));
        let behind_a_front_end = text(&served(false, false, "[::1]:80"));
        assert!(!behind_a_front_end.contains(warning));
        assert!(behind_a_front_end.contains("--server 'ws://[::1]' "), "{behind_a_front_end}");
    }

    #[test]
    fn what_happens_is_a_line_each() {
        let id = || "myhost".parse().unwrap();
        let remote = || "192.0.2.1:9".parse().unwrap();
        let joined = |replaced| Event::HostJoined { id: id(), remote: remote(), replaced };
        let reloaded = |what: &str, changed: &[&str]| Event::Reloaded {
            what: what.into(),
            changed: changed.iter().map(|change| (*change).to_owned()).collect(),
            left: vec!["listen".into()],
            services: None,
        };
        let request = |host: Option<&str>, duration_ms| Event::Request {
            host: host.map(Into::into),
            remote: "2001:db8::1".parse().unwrap(),
            method: "GET".into(),
            path: "/a\x1b".into(),
            status: 200,
            sent: 1200,
            received: 0,
            duration_ms,
        };
        let cases = [
            (joined(false), "host myhost registered from 192.0.2.1:9"),
            (joined(true), "host myhost registered from 192.0.2.1:9, in place of an earlier connection"),
            (Event::HostLeft { id: id(), reason: "it\nclosed".into() }, r"host myhost left: it\nclosed"),
            (
                Event::ClientJoined { id: id(), remote: remote(), conversation: 7 },
                "client myhost/7 joined from 192.0.2.1:9",
            ),
            (
                Event::ClientLeft { id: id(), conversation: 7, reason: "it closed".into(), sent: 1, received: 2000 },
                "client myhost/7 left: it closed; sent 1 B, received 2.0 kB",
            ),
            (reloaded("tokens", &[]), "read again: tokens"),
            (reloaded("settings", &[]), "read again: settings, nothing changed"),
            (
                reloaded("settings", &["service web added", "pin changed"]),
                "read again: settings: service web added, pin changed",
            ),
            (request(Some("myhost"), 3.2), r"2001:db8::1 GET myhost/a\u{1b} 200; sent 1.2 kB, received 0 B in 3 ms"),
            (request(None, f64::NAN), r"2001:db8::1 GET -/a\u{1b} 200; sent 1.2 kB, received 0 B in 0 ms"),
            (request(None, 1e300), r"2001:db8::1 GET -/a\u{1b} 200; sent 1.2 kB, received 0 B in unknown"),
            (
                Event::Refused { code: Refusal::BadToken, remote: remote(), message: "the token is not known".into() },
                "refused 192.0.2.1:9 (bad-token): the token is not known",
            ),
        ];
        for (event, expected) in cases {
            assert_eq!(text(&event), expected);
        }
        assert_eq!(describe(&Event::PinReplaced { pin: "1".into(), public_url: None }, &Paint(false)), None);
    }
}
