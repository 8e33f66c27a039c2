//! Events as sentences.

use std::net::SocketAddr;
use std::time::Duration;

use super::check;
use super::event::{Appearance, Event, StreamEnd, Way};
use super::guests;
use super::invitation::{Entrance, Invitation, WayIn};
use super::paint::Paint;
use super::ping;
use super::serving;
use super::style::{Role, Streams, Style};
use super::text::{self, MAX_MESSAGE, MAX_PEER_TEXT, moved, round_trip, sanitize};

/// Turns events into text, and remembers what later sentences need.
pub(super) struct Human {
    role: Role,
    style: Style,
    /// Where the signaling WebSocket listens, for the sentence about a new pin.
    signaling: Option<SocketAddr>,
    /// Where the host is registered.
    registered: Option<Entrance>,
}

impl Human {
    pub(super) fn new(role: Role, style: Style) -> Human {
        Human { role, style, signaling: None, registered: None }
    }

    /// Returns the text for an event without a trailing line break; `None` if it is not wanted.
    pub(super) fn describe(&mut self, event: &Event) -> Option<String> {
        let paint = Paint(self.style.colour);
        let text = match event {
            Event::Listening { addr, url, pin, public_url } => {
                self.signaling = public_url.is_none().then_some(*addr);
                match public_url {
                    Some(public_url) if std::mem::take(&mut self.style.copy) => {
                        self.invitation().copied(*addr, (url, public_url), pin)
                    }
                    Some(public_url) => self.invitation().complete(*addr, (url, public_url), pin),
                    None => self.invitation().text(*addr, url, pin),
                }
            }
            Event::Registered { id, url, pin, web, others } => {
                let entrance = Entrance::new(url, others);
                let before = self.registered.replace(entrance.clone());
                match before {
                    None => self.invitation().through_server(id, &entrance, pin, web.as_deref()),
                    Some(before) if before == entrance => format!("registered again as {id}"),
                    Some(_) => format!("registered again as {id}, now at {}", entrance.server(id)),
                }
            }
            Event::Invitation { url, .. } => {
                let is_elsewhere = self.registered.as_ref().is_some_and(|registered| registered.is_of(url));
                guests::describe(event, self.signaling.filter(|_| !is_elsewhere), &paint)?
            }
            Event::InvitationExpired { .. } | Event::InvitationRevoked { .. } => guests::describe(event, None, &paint)?,
            Event::PinReplaced { pin, public_url } => {
                let way = match (&self.registered, public_url) {
                    (Some(entrance), _) => WayIn::Server(entrance),
                    (None, Some(url)) => WayIn::Url(url),
                    (None, None) => WayIn::Unknown(self.signaling),
                };
                self.invitation().new_pin(way, pin)
            }
            Event::Administration { url, .. } => {
                format!("This run can be looked at and steered at {}", Paint(self.style.error_colour).bold(url))
            }
            Event::Connected { session, way, rtt_ms } => {
                format!("{}connected {}, round trip {}", self.session_prefix(session), how(way), round_trip(*rtt_ms))
            }
            Event::Returned { session, before, remote } => format!(
                "the client of session {} is back from {}, as session {}",
                sanitize(before, MAX_PEER_TEXT),
                sanitize(remote, MAX_PEER_TEXT),
                sanitize(session, MAX_PEER_TEXT),
            ),
            Event::Path { session, way, cause } => {
                let cause = cause.as_deref().map(|cause| format!(": {cause}")).unwrap_or_default();
                format!("{}now {}{}", self.session_prefix(session), how(way), sanitize(&cause, MAX_PEER_TEXT))
            }
            Event::Recovering { session, reason } => format!(
                "{} {}path lost, recovering: {}. Open connections wait",
                Paint(self.style.error_colour).yellow("warning:"),
                self.session_prefix(session),
                sanitize(reason, MAX_PEER_TEXT),
            ),
            Event::Recovered { session, way, after_ms } => format!(
                "{}recovered after {}, {}",
                self.session_prefix(session),
                text::duration(Duration::from_millis(*after_ms)),
                how(way),
            ),
            Event::Reconnecting { message } | Event::ServerLost { message } => {
                format!("{} {}", Paint(self.style.error_colour).yellow("warning:"), sanitize(message, MAX_MESSAGE))
            }
            Event::Forwarding { local, service } => format!(
                "{} is now {} on the other side",
                paint.bold(&sanitize(local, MAX_PEER_TEXT)),
                match service {
                    Appearance::Target(name) => sanitize(name, MAX_PEER_TEXT),
                    Appearance::Proxy => "a proxy".to_owned(),
                },
            ),
            Event::ReverseForwarding { session, local, target } if target.is_empty() => format!(
                "{}connections to {} go to the client",
                self.session_prefix(session),
                sanitize(local, MAX_PEER_TEXT),
            ),
            Event::ReverseForwarding { local, target, .. } => format!(
                "{} on the other side is now {} here",
                paint.bold(&sanitize(local, MAX_PEER_TEXT)),
                sanitize(target, MAX_PEER_TEXT),
            ),
            Event::StreamOpened { .. }
            | Event::StreamClosed { .. }
            | Event::ClientJoined { .. }
            | Event::ClientLeft { .. }
            | Event::Request { .. }
                if self.style.streams == Streams::Silent =>
            {
                return None;
            }
            Event::StreamOpened { .. } | Event::StreamClosed { reason: StreamEnd::Closed, .. }
                if self.style.streams != Streams::All =>
            {
                return None;
            }
            Event::StreamOpened { session, stream, address } => paint.dim(&format!(
                "stream {} opened: {}",
                self.stream_name(session, *stream),
                sanitize(address, MAX_PEER_TEXT),
            )),
            Event::StreamClosed { session, stream, sent, received, reason } => {
                let name = self.stream_name(session, *stream);
                let moved = moved(*sent, *received);
                match reason {
                    StreamEnd::Closed => paint.dim(&format!("stream {name} closed: {moved}")),
                    StreamEnd::Failed(reason) => {
                        format!("stream {name} failed: {}; {moved}", sanitize(reason, MAX_PEER_TEXT))
                    }
                }
            }
            Event::Disconnected { session, reason, sent, received, duration_ms } => format!(
                "{}disconnected: {}; {} in {}",
                self.session_prefix(session),
                sanitize(reason, MAX_PEER_TEXT),
                moved(*sent, *received),
                text::duration(Duration::from_millis(*duration_ms)),
            ),
            Event::Reloaded { services: Some(services), .. } => {
                // What follows invites anew.
                self.registered = None;
                if let Role::Host { services: own } = &mut self.role {
                    own.clone_from(services);
                }
                serving::describe(event, &paint)?
            }
            Event::Serving { .. }
            | Event::HostJoined { .. }
            | Event::HostLeft { .. }
            | Event::Draining { .. }
            | Event::PeerLinked { .. }
            | Event::PeerLost { .. }
            | Event::DirectoryLost { .. }
            | Event::DirectoryBack
            | Event::ClientJoined { .. }
            | Event::ClientLeft { .. }
            | Event::Reloaded { .. }
            | Event::Request { .. }
            | Event::Refused { .. } => serving::describe(event, &paint)?,
            Event::Demo { bytes, mbit_per_s, round_trip_ms } => format!(
                "success: {} fetched through the tunnel and checked, {mbit_per_s} Mbit/s, round trip {round_trip_ms} ms",
                text::bytes(*bytes)
            ),
            Event::Ping(answer) => ping::describe(answer),
            Event::Check(finding) => check::describe(finding, &paint),
            Event::Warning { message, .. } => {
                format!("{} {}", Paint(self.style.error_colour).yellow("warning:"), sanitize(message, MAX_MESSAGE))
            }
            Event::Error { message, .. } => {
                format!("{} {}", Paint(self.style.error_colour).red("error:"), sanitize(message, MAX_MESSAGE))
            }
        };
        Some(text)
    }

    fn invitation(&self) -> Invitation<'_> {
        Invitation {
            services: match &self.role {
                Role::Host { services } => services,
                Role::Client | Role::Server => &[],
            },
            paint: Paint(self.style.colour),
            qr: self.style.qr,
            address: self.style.address,
        }
    }

    /// A host has many sessions and names them; a client has one.
    fn session_prefix(&self, session: &str) -> String {
        match self.role {
            Role::Host { .. } => format!("session {}: ", sanitize(session, MAX_PEER_TEXT)),
            Role::Client | Role::Server => String::new(),
        }
    }

    fn stream_name(&self, session: &str, stream: u16) -> String {
        match self.role {
            Role::Host { .. } => format!("{}/{stream}", sanitize(session, MAX_PEER_TEXT)),
            Role::Client | Role::Server => stream.to_string(),
        }
    }
}

fn how(way: &Way) -> String {
    match way {
        Way::Direct { candidates, remote, .. } => {
            format!("directly to {remote} ({})", sanitize(candidates, MAX_PEER_TEXT))
        }
        Way::Relayed { reason } => {
            format!("relayed over the signaling connection, because {}", sanitize(reason, MAX_MESSAGE))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::SharedService;

    fn host() -> Human {
        Human::new(Role::Host { services: crate::status::invitation::tests::minecraft() }, Style::plain())
    }

    fn client() -> Human {
        Human::new(Role::Client, Style::plain())
    }

    #[test]
    fn where_a_run_is_looked_at_is_printed_with_the_token() {
        let event = Event::Administration {
            addr: "127.0.0.1:7070".parse().unwrap(),
            url: "http://127.0.0.1:7070/#token=abc".to_owned(),
        };
        let expected = "This run can be looked at and steered at http://127.0.0.1:7070/#token=abc";
        assert_eq!(host().describe(&event).as_deref(), Some(expected));
    }

    fn connected(rtt_ms: f64) -> Event {
        Event::Connected { session: "ab12".into(), way: direct(), rtt_ms }
    }

    fn direct() -> Way {
        Way::Direct {
            candidates: "host/host".into(),
            local: "127.0.0.1:1000".parse().unwrap(),
            remote: "192.0.2.1:2000".parse().unwrap(),
        }
    }

    #[test]
    fn changes_of_the_path_are_sentences() {
        let session = || "ab12".to_owned();
        let relayed = || Way::Relayed { reason: "UDP is blocked".into() };
        let because = "relayed over the signaling connection, because UDP is blocked";
        let cases = [
            (
                Event::Connected { session: session(), way: relayed(), rtt_ms: 20.0 },
                format!("connected {because}, round trip 20.0 ms"),
            ),
            (
                Event::Returned { session: session(), before: "cd34".into(), remote: "127.0.0.1:1000".into() },
                "the client of session cd34 is back from 127.0.0.1:1000, as session ab12".into(),
            ),
            (Event::Path { session: session(), way: relayed(), cause: None }, format!("now {because}")),
            (
                Event::Path { session: session(), way: direct(), cause: Some("a direct path was found".into()) },
                "now directly to 192.0.2.1:2000 (host/host): a direct path was found".into(),
            ),
            (
                Event::Recovering { session: session(), reason: "nothing comes from the peer".into() },
                "warning: path lost, recovering: nothing comes from the peer. Open connections wait".into(),
            ),
            (
                Event::Recovered { session: session(), way: direct(), after_ms: 5400 },
                "recovered after 5.4 s, directly to 192.0.2.1:2000 (host/host)".into(),
            ),
        ];
        for (event, expected) in cases {
            assert_eq!(client().describe(&event), Some(expected));
        }
    }

    fn closed(reason: StreamEnd) -> Event {
        Event::StreamClosed { session: "ab12".into(), stream: 3, sent: 1200, received: 34_500_000, reason }
    }

    #[test]
    fn events_are_sentences() {
        let target = |name: &str| Appearance::Target(name.to_owned());
        let forwarding = Event::Forwarding { local: "127.0.0.1:25565".into(), service: target("web\x1b[2J\n") };
        let called_proxy = Event::Forwarding { local: "127.0.0.1:8080".into(), service: target("proxy") };
        let proxy = Event::Forwarding { local: "127.0.0.1:1080".into(), service: Appearance::Proxy };
        let reverse = |target: &str| Event::ReverseForwarding {
            session: "ab12".into(),
            local: "udp:127.0.0.1:53".into(),
            target: target.into(),
        };
        let opened = Event::StreamOpened { session: "ab12".into(), stream: 3, address: "127.0.0.1:51822".into() };
        let disconnected = Event::Disconnected {
            session: "ab12".into(),
            reason: "the host ended the session".into(),
            sent: 10,
            received: 2_000_000,
            duration_ms: 123_000,
        };
        let warning =
            Event::Warning { code: "bad-pin".into(), message: "a wrong pin was tried\nfrom 192.0.2.1".into() };
        let cases = [
            (connected(0.42), "connected directly to 192.0.2.1:2000 (host/host), round trip 0.4 ms"),
            (forwarding, r"127.0.0.1:25565 is now web\u{1b}[2J\n on the other side"),
            (called_proxy, "127.0.0.1:8080 is now proxy on the other side"),
            (proxy, "127.0.0.1:1080 is now a proxy on the other side"),
            (reverse("udp:10.0.0.1:53"), "udp:127.0.0.1:53 on the other side is now udp:10.0.0.1:53 here"),
            (reverse(""), "connections to udp:127.0.0.1:53 go to the client"),
            (opened, "stream 3 opened: 127.0.0.1:51822"),
            (closed(StreamEnd::Closed), "stream 3 closed: sent 1.2 kB, received 34.5 MB"),
            (
                closed(StreamEnd::failed("connection refused\r")),
                r"stream 3 failed: connection refused\r; sent 1.2 kB, received 34.5 MB",
            ),
            (disconnected, "disconnected: the host ended the session; sent 10 B, received 2.0 MB in 2 min 3 s"),
            (warning, r"warning: a wrong pin was tried\nfrom 192.0.2.1"),
        ];
        for (event, expected) in cases {
            assert_eq!(client().describe(&event).as_deref(), Some(expected));
        }
    }

    #[test]
    fn a_host_names_sessions() {
        let text = |event| host().describe(&event).unwrap();
        assert!(text(connected(1.0)).starts_with("session ab12: connected directly to 192.0.2.1:2000"));
        assert!(text(closed(StreamEnd::Closed)).starts_with("stream ab12/3 closed: "));
    }

    #[test]
    fn an_invitation_is_given_once() {
        let registered = |pin: &str| Event::Registered {
            id: "myhost".parse().unwrap(),
            url: format!("wss://p.example.org/ws/myhost?pin={pin}"),
            pin: pin.into(),
            web: None,
            others: Vec::new(),
        };
        let lost = Event::ServerLost { message: "the server closed the connection".into() };
        let mut human = host();
        let command = "pinhole client 'wss://p.example.org/ws/myhost?pin=1' 25565";
        assert!(human.describe(&registered("1")).unwrap().contains(command));
        assert_eq!(human.describe(&lost).as_deref(), Some("warning: the server closed the connection"));
        assert_eq!(human.describe(&registered("1")).as_deref(), Some("registered again as myhost"));
        let replaced = human.describe(&Event::PinReplaced { pin: "2".into(), public_url: None }).unwrap();
        assert!(replaced.contains("wss://p.example.org/ws/myhost?pin=2' 25565"), "{replaced}");
        let elsewhere = Event::Registered {
            id: "myhost".parse().unwrap(),
            url: "wss://q.example.org/ws/myhost?pin=2".into(),
            pin: "2".into(),
            web: None,
            others: vec!["wss://p.example.org".into()],
        };
        let said = human.describe(&elsewhere);
        assert_eq!(said.as_deref(), Some("registered again as myhost, now at wss://q.example.org"));
        let replaced = human.describe(&Event::PinReplaced { pin: "3".into(), public_url: None }).unwrap();
        assert!(
            replaced.contains("wss://q.example.org/ws/myhost?pin=3' 25565 --server wss://p.example.org"),
            "{replaced}"
        );
    }

    #[test]
    fn an_invitation_is_shown_again_for_other_services() {
        let registered = Event::Registered {
            id: "myhost".parse().unwrap(),
            url: "wss://p.example.org/ws/myhost?pin=1".into(),
            pin: "1".into(),
            web: None,
            others: Vec::new(),
        };
        let services = ["localhost:80", "localhost:81"].map(|text| SharedService::of(text.parse().unwrap()));
        let reloaded = |services| {
            let changed = vec!["service 81 added".to_owned()];
            Event::Reloaded { what: "settings".into(), changed, left: Vec::new(), services }
        };
        let mut human = host();
        assert!(human.describe(&registered).unwrap().contains("Sharing 127.0.0.1:25565."));
        human.describe(&reloaded(None));
        assert_eq!(human.describe(&registered).as_deref(), Some("registered again as myhost"));
        let said = human.describe(&reloaded(Some(services.to_vec())));
        assert_eq!(said.as_deref(), Some("read again: settings: service 81 added"));
        let again = human.describe(&registered).unwrap();
        assert!(again.contains("Sharing\n") && again.contains("localhost:81"), "{again}");
    }

    #[test]
    fn long_peer_text_is_cut() {
        let text = client().describe(&closed(StreamEnd::failed("x".repeat(10_000)))).unwrap();
        assert!(text.chars().count() < MAX_PEER_TEXT + 100, "{text}");
    }

    #[test]
    fn streams_that_open_and_close_are_said_if_that_is_wanted() {
        let opened = Event::StreamOpened { session: "ab12".into(), stream: 3, address: "127.0.0.1:51822".into() };
        for (streams, wanted) in [(Streams::Silent, false), (Streams::Failed, false), (Streams::All, true)] {
            let mut human = Human::new(Role::Client, Style { streams, ..Style::plain() });
            for event in [&opened, &closed(StreamEnd::Closed)] {
                assert_eq!(human.describe(event).is_some(), wanted, "{streams:?}");
            }
            let failed = human.describe(&closed(StreamEnd::failed("connection refused")));
            assert_eq!(failed.is_some(), streams != Streams::Silent);
            let joined = Event::ClientJoined {
                id: "nas".parse().unwrap(),
                remote: "192.0.2.1:9".parse().unwrap(),
                conversation: 7,
            };
            assert_eq!(human.describe(&joined).is_some(), streams != Streams::Silent);
        }
    }

    #[test]
    fn quiet_leaves_out_streams_only() {
        let style = Style { streams: Streams::Silent, ..Style::plain() };
        let mut human = Human::new(Role::Client, style);
        assert_eq!(human.describe(&closed(StreamEnd::Closed)), None);
        assert_eq!(human.describe(&closed(StreamEnd::failed("connection refused"))), None);
        let id = || "myhost".parse().unwrap();
        let remote = "192.0.2.1:9".parse().unwrap();
        assert_eq!(human.describe(&Event::ClientJoined { id: id(), remote, conversation: 7 }), None);
        assert!(human.describe(&Event::HostJoined { id: id(), remote, replaced: false }).is_some());
        assert!(human.describe(&connected(1.0)).is_some());
    }

    #[test]
    fn colours_are_codes_around_the_same_words() {
        let style = Style { colour: true, error_colour: true, ..Style::plain() };
        let mut human = Human::new(Role::Client, style);
        let event = Event::Error { code: "x".into(), message: "it failed".into() };
        assert_eq!(human.describe(&event).as_deref(), Some("\x1b[1;31merror:\x1b[0m it failed"));
        assert_eq!(
            human.describe(&closed(StreamEnd::Closed)).as_deref(),
            Some("\x1b[2mstream 3 closed: sent 1.2 kB, received 34.5 MB\x1b[0m")
        );
    }

    #[test]
    fn odd_round_trips_are_said() {
        let cases = [(0.04, "0.0 ms"), (12.34, "12.3 ms"), (250.6, "251 ms"), (f64::NAN, "unknown"), (-1.0, "unknown")];
        for (given, expected) in cases {
            assert_eq!(round_trip(given), expected);
        }
    }
}
