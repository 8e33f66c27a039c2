//! Events for programs: one JSON object a line.

use std::io::{self, Write};

use serde::Serialize;
use serde_json::ser::Formatter;

use super::event::Event;
use super::text::is_unprintable;

/// Writes the event and a line break.
pub(super) fn write_line(out: &mut dyn Write, event: &Event) -> io::Result<()> {
    // One write per line, so that lines of two processes on one pipe do not mix.
    out.write_all(&line(event)?)?;
    out.flush()
}

/// Returns a value as JSON on a line, safe to show on a terminal.
pub(crate) fn line(value: &impl Serialize) -> io::Result<Vec<u8>> {
    let mut line = Vec::with_capacity(256);
    value.serialize(&mut serde_json::Serializer::with_formatter(&mut line, Printable))?;
    line.push(b'\n');
    Ok(line)
}

/// Compact JSON that is safe to show on a terminal: characters for which [`is_unprintable`] holds become `\u` escapes,
/// which every parser turns back into the same text.
struct Printable;

impl Formatter for Printable {
    fn write_string_fragment<W: ?Sized + Write>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()> {
        let mut printed = 0;
        for (index, c) in fragment.char_indices().filter(|&(_, c)| is_unprintable(c)) {
            writer.write_all(&fragment.as_bytes()[printed..index])?;
            for unit in c.encode_utf16(&mut [0; 2]) {
                write!(writer, "\\u{unit:04x}")?;
            }
            printed = index + c.len_utf8();
        }
        writer.write_all(&fragment.as_bytes()[printed..])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::SharedService;
    use crate::status::event::{Appearance, StreamEnd, Way};
    use crate::status::refusal::Refusal;
    use proptest::prelude::*;

    fn written(event: &Event) -> String {
        let mut out = Vec::new();
        write_line(&mut out, event).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn every_event_has_its_line() {
        let address = || "127.0.0.1:43211".parse().unwrap();
        let cases = [
            (
                Event::Listening {
                    addr: address(),
                    url: "ws://127.0.0.1:43211/ws?pin=123456".into(),
                    pin: "123456".into(),
                    public_url: None,
                },
                r#"{"event":"listening","addr":"127.0.0.1:43211","url":"ws://127.0.0.1:43211/ws?pin=123456","pin":"123456"}"#,
            ),
            (
                Event::PinReplaced { pin: "654321".into(), public_url: None },
                r#"{"event":"pin-replaced","pin":"654321"}"#,
            ),
            (
                Event::PinReplaced { pin: "1".into(), public_url: Some("wss://a/ws?pin=1".into()) },
                r#"{"event":"pin-replaced","pin":"1","public_url":"wss://a/ws?pin=1"}"#,
            ),
            (
                Event::Registered {
                    id: "myhost".parse().unwrap(),
                    url: "ws://h/ws/myhost?pin=1".into(),
                    pin: "1".into(),
                    web: None,
                    others: Vec::new(),
                },
                r#"{"event":"registered","id":"myhost","url":"ws://h/ws/myhost?pin=1","pin":"1"}"#,
            ),
            (
                Event::Registered {
                    id: "myhost".parse().unwrap(),
                    url: "ws://h/ws/myhost?pin=1".into(),
                    pin: "1".into(),
                    web: Some("http://myhost.h".into()),
                    others: vec!["ws://i".into(), "ws://j/p".into()],
                },
                r#"{"event":"registered","id":"myhost","url":"ws://h/ws/myhost?pin=1","pin":"1","web":"http://myhost.h","others":["ws://i","ws://j/p"]}"#,
            ),
            (Event::ServerLost { message: "x".into() }, r#"{"event":"server-lost","message":"x"}"#),
            (
                Event::Connected {
                    session: "ab12".into(),
                    way: Way::Direct {
                        candidates: "host/srflx".into(),
                        local: "[::1]:1000".parse().unwrap(),
                        remote: "192.0.2.1:2000".parse().unwrap(),
                    },
                    rtt_ms: 0.5,
                },
                r#"{"event":"connected","session":"ab12","path":"direct","candidates":"host/srflx","local":"[::1]:1000","remote":"192.0.2.1:2000","rtt_ms":0.5}"#,
            ),
            (
                Event::Returned { session: "ab12".into(), before: "cd34".into(), remote: address().to_string() },
                r#"{"event":"returned","session":"ab12","before":"cd34","remote":"127.0.0.1:43211"}"#,
            ),
            (
                Event::Path { session: "ab12".into(), way: Way::Relayed { reason: "a".into() }, cause: None },
                r#"{"event":"path","session":"ab12","path":"relayed","reason":"a"}"#,
            ),
            (
                Event::Path {
                    session: "ab12".into(),
                    way: Way::Direct { candidates: "host/host".into(), local: address(), remote: address() },
                    cause: Some("b".into()),
                },
                r#"{"event":"path","session":"ab12","path":"direct","candidates":"host/host","local":"127.0.0.1:43211","remote":"127.0.0.1:43211","reason":"b"}"#,
            ),
            (
                Event::Recovering { session: "ab12".into(), reason: "silence".into() },
                r#"{"event":"recovering","session":"ab12","reason":"silence"}"#,
            ),
            (
                Event::Recovered { session: "ab12".into(), way: Way::Relayed { reason: "a".into() }, after_ms: 7 },
                r#"{"event":"recovered","session":"ab12","path":"relayed","reason":"a","after_ms":7}"#,
            ),
            (Event::Reconnecting { message: "x".into() }, r#"{"event":"reconnecting","message":"x"}"#),
            (
                Event::Forwarding { local: address().to_string(), service: Appearance::Target("web \"1\"".into()) },
                r#"{"event":"forwarding","local":"127.0.0.1:43211","service":"web \"1\""}"#,
            ),
            (
                Event::Forwarding { local: address().to_string(), service: Appearance::Proxy },
                r#"{"event":"forwarding","local":"127.0.0.1:43211","service":"proxy"}"#,
            ),
            (
                Event::StreamOpened { session: "ab12".into(), stream: 3, address: "127.0.0.1:5000".into() },
                r#"{"event":"stream-opened","session":"ab12","stream":3,"address":"127.0.0.1:5000"}"#,
            ),
            (
                Event::StreamClosed {
                    session: "ab12".into(),
                    stream: 3,
                    sent: 1,
                    received: u64::MAX,
                    reason: StreamEnd::Closed,
                },
                r#"{"event":"stream-closed","session":"ab12","stream":3,"sent":1,"received":18446744073709551615,"reason":"closed"}"#,
            ),
            (
                Event::Disconnected {
                    session: "ab12".into(),
                    reason: "the host ended the session".into(),
                    sent: 10,
                    received: 20,
                    duration_ms: 30,
                },
                r#"{"event":"disconnected","session":"ab12","reason":"the host ended the session","sent":10,"received":20,"duration_ms":30}"#,
            ),
            (
                Event::Warning { code: "bad-pin".into(), message: "a\nb".into() },
                r#"{"event":"warning","code":"bad-pin","message":"a\nb"}"#,
            ),
            (
                Event::Error { code: "bad-pin".into(), message: "the pin does not match".into() },
                r#"{"event":"error","code":"bad-pin","message":"the pin does not match"}"#,
            ),
        ];
        for (event, expected) in cases {
            assert_eq!(written(&event), format!("{expected}\n"));
        }
    }

    fn reloaded(what: &str, changed: &[&str], left: &[&str]) -> Event {
        let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        let services = (!changed.is_empty()).then(|| vec![SharedService::of("localhost:80".parse().unwrap())]);
        Event::Reloaded { what: what.to_owned(), changed: texts(changed), left: texts(left), services }
    }

    #[test]
    fn every_event_of_a_server_has_its_line() {
        let id = || "myhost".parse().unwrap();
        let remote = || "192.0.2.1:9".parse().unwrap();
        let cases = [
            (
                Event::Serving {
                    listen: remote(),
                    tls: true,
                    gateway: vec![remote()],
                    domain: Some("d".into()),
                    proxy: None,
                    admin: None,
                    peers: None,
                    open: false,
                    descriptors: 1024,
                },
                r#"{"event":"serving","listen":"192.0.2.1:9","tls":true,"gateway":["192.0.2.1:9"],"domain":"d","open":false,"descriptors":1024}"#,
            ),
            (
                Event::HostJoined { id: id(), remote: remote(), replaced: true },
                r#"{"event":"host-joined","id":"myhost","remote":"192.0.2.1:9","replaced":true}"#,
            ),
            (Event::Draining { hosts: 2, clients: 3 }, r#"{"event":"draining","hosts":2,"clients":3}"#),
            (
                Event::PeerLinked { server: "0123abcd".into(), remote: remote() },
                r#"{"event":"peer-linked","server":"0123abcd","remote":"192.0.2.1:9"}"#,
            ),
            (
                Event::PeerLost { server: "0123abcd".into(), reason: "x".into() },
                r#"{"event":"peer-lost","server":"0123abcd","reason":"x"}"#,
            ),
            (Event::DirectoryLost { reason: "x".into() }, r#"{"event":"directory-lost","reason":"x"}"#),
            (Event::DirectoryBack, r#"{"event":"directory-back"}"#),
            (Event::HostLeft { id: id(), reason: "x".into() }, r#"{"event":"host-left","id":"myhost","reason":"x"}"#),
            (
                Event::ClientJoined { id: id(), remote: remote(), conversation: 7 },
                r#"{"event":"client-joined","id":"myhost","remote":"192.0.2.1:9","conversation":7}"#,
            ),
            (
                Event::ClientLeft { id: id(), conversation: 7, reason: "x".into(), sent: 1, received: 2 },
                r#"{"event":"client-left","id":"myhost","conversation":7,"reason":"x","sent":1,"received":2}"#,
            ),
            (reloaded("tokens", &[], &[]), r#"{"event":"reloaded","what":"tokens"}"#),
            (
                reloaded("settings", &["pin changed"], &["listen"]),
                r#"{"event":"reloaded","what":"settings","changed":["pin changed"],"left":["listen"],"services":["80=localhost:80"]}"#,
            ),
            (
                Event::Request {
                    host: Some("myhost".into()),
                    remote: "192.0.2.1".parse().unwrap(),
                    method: "GET".into(),
                    path: "/".into(),
                    status: 200,
                    sent: 1,
                    received: 2,
                    duration_ms: 0.5,
                },
                r#"{"event":"request","host":"myhost","remote":"192.0.2.1","method":"GET","path":"/","status":200,"sent":1,"received":2,"duration_ms":0.5}"#,
            ),
            (
                Event::Refused { code: Refusal::BadToken, remote: remote(), message: "x".into() },
                r#"{"event":"refused","code":"bad-token","remote":"192.0.2.1:9","message":"x"}"#,
            ),
        ];
        for (event, expected) in cases {
            assert_eq!(written(&event), format!("{expected}\n"));
        }
    }

    #[test]
    fn unprintable_text_is_escaped_without_loss() {
        let event = Event::Forwarding {
            local: "127.0.0.1:1".into(),
            service: Appearance::Target("a\u{9b}\u{202e}\x1b\u{7f}\u{e0041}ß".into()),
        };
        assert_eq!(
            written(&event),
            concat!(
                r#"{"event":"forwarding","local":"127.0.0.1:1","service":"a\u009b\u202e\u001b\u007f\udb40\udc41ß"}"#,
                "\n"
            )
        );
    }

    proptest! {
        #[test]
        fn a_parser_reads_the_same_text(service in any::<String>()) {
            let line = written(&Event::ServerLost { message: service.clone() });
            prop_assert!(!line.trim_end_matches('\n').contains(is_unprintable));
            let value: serde_json::Value = serde_json::from_str(&line).unwrap();
            prop_assert_eq!(value["message"].as_str(), Some(service.as_str()));
        }
    }
}
