use std::path::PathBuf;

use serde_json::json;

use super::super::http::AskError;
use super::*;

fn shown(status: &Value) -> String {
    let socket = Socket { name: "nas".to_owned(), path: PathBuf::from("/run/nas.sock") };
    lines(&socket, Ok(status)).join("\n")
}

#[test]
fn a_host_is_a_few_lines() {
    let status = json!({
        "name": "nas", "pid": 4711, "version": "1.2.3", "since": "2026-11-28T12:00:00Z",
        "role": "host", "stage": "serving", "listen": "127.0.0.1:5000", "url": "wss://p.example.org/ws/nas", "id": "nas",
        "services": [{"name": "web", "target": "127.0.0.1:8080"}],
        "forwards": [],
        "sessions": [
            {"session": "ab12", "state": "connected", "path": "direct", "candidates": "srflx/host",
             "local": "192.0.2.7:1", "remote": "203.0.113.5:4444", "signaling": "127.0.0.1:9", "agent": "pinhole/1.2.3",
             "invitation": "k3", "rtt_ms": 23.12, "connected_ms": 61_000, "sent": 1_500, "received": 20,
             "sent_per_s": 300, "received_per_s": 0, "streams": 1},
            {"session": "cd34", "state": "recovering", "path": "relayed", "reason": "UDP is blocked", "sent": 0,
             "received": 0, "sent_per_s": 0, "received_per_s": 0, "streams": 2},
        ],
        "invitations": [{"id": "k3", "label": "guests", "services": ["web", "ssh"], "expires": "2026-11-28T14:00:00Z",
            "once": true, "sessions": 1}],
        "warnings": [{"code": "bad-pin", "message": "a client tried a wrong pin", "at": "2026-11-28T12:01:00Z"}],
    });
    let expected = "\
nas: host, pid 4711, since 2026-11-28T12:00:00Z
  clients come in at wss://p.example.org/ws/nas
  listens on 127.0.0.1:5000
  registered as nas
  service web: 127.0.0.1:8080
  session ab12: direct to 203.0.113.5:4444 (srflx/host), round trip 23.1 ms
    sent 1.5 kB (300 B/s), received 20 B, 1 stream, for 1 min 1 s
    pinhole/1.2.3, signaling from 127.0.0.1:9, by the invitation k3
  session cd34: recovering, relayed, because UDP is blocked
    sent 0 B, received 0 B, 2 streams
  invitation k3 guests: web ssh, until 2026-11-28T14:00:00Z, for one client, 1 session
  warning at 2026-11-28T12:01:00Z: a client tried a wrong pin";
    assert_eq!(shown(&status), expected);
}

#[test]
fn a_client_and_a_server_have_what_is_theirs() {
    let client = json!({
        "role": "client", "stage": "connecting", "pid": 1, "url": "wss://p.example.org/ws/nas",
        "forwards": [{"local": "127.0.0.1:8080", "service": "web"}, {"local": "127.0.0.1:9"}],
    });
    let expected = "\
nas: client, connecting, pid 1
  joins wss://p.example.org/ws/nas
  127.0.0.1:8080 is web on the other side
  127.0.0.1:9 waits for the host
  no session";
    assert_eq!(shown(&client), expected);
    let server = json!({
        "role": "server", "stage": "serving", "pid": 2, "listen": "0.0.0.0:443",
        "hosts": [{"id": "nas", "remote": "192.0.2.1:9", "clients": [{"number": 1}]}],
    });
    let expected = "\
nas: server, pid 2
  listens on 0.0.0.0:443
  host nas, from 192.0.2.1:9, 1 client";
    assert_eq!(shown(&server), expected);
}

#[test]
fn who_does_not_answer_is_a_line() {
    let socket = Socket { name: "old\n".to_owned(), path: PathBuf::from("/run/\x1b[2J.sock") };
    let expected =
        [r"old\n: nobody answers: a process that was killed left this socket behind (/run/\u{1b}[2J.sock)".to_owned()];
    assert_eq!(lines(&socket, Err(&AskError::Left)), expected);
}

#[test]
fn texts_of_others_are_escaped_and_cut_wherever_they_are() {
    let evil = format!("\x1b[31m\u{202e}\n{}", "x".repeat(5000));
    let status = json!({
        "role": evil, "stage": evil, "since": evil, "listen": evil, "url": evil, "id": evil,
        "services": [{"name": evil, "target": evil}],
        "forwards": [{"local": evil, "service": evil}],
        "sessions": [
            {"session": evil, "state": evil, "path": "direct", "candidates": evil, "remote": evil, "signaling": evil,
             "agent": evil, "invitation": evil, "rtt_ms": -1.0},
            {"path": "relayed", "reason": evil}, {"path": evil}, 7,
        ],
        "hosts": [{"id": evil, "remote": evil}],
        "invitations": [{"id": evil, "label": evil, "services": [evil, 1], "expires": evil}],
        "warnings": [{"message": evil, "at": evil}],
    });
    let text = shown(&status);
    assert!(!text.contains(['\x1b', '\u{202e}']), "{text}");
    assert!(text.lines().all(|line| line.chars().count() < 4000), "{text}");
    assert_eq!(text.lines().count(), 18);
}

#[test]
fn long_lists_are_cut_and_whatever_is_said_is_shown_somehow() {
    let sessions: Vec<Value> = (0..10_000).map(|number| json!({"session": number.to_string()})).collect();
    let text = shown(&json!({"role": "host", "sessions": sessions, "warnings": vec![json!({}); 20]}));
    assert_eq!(text.lines().filter(|line| line.contains("session ")).count(), MOST);
    assert!(text.contains("\n  and 9950 sessions more\n"), "{text}");
    assert_eq!(text.lines().filter(|line| line.contains("warning: it does not say why")).count(), WARNINGS);
    for odd in [json!({}), json!([]), json!(7), json!({"sessions": 7, "services": {"a": 1}, "role": ["host"]})] {
        assert!(shown(&odd).starts_with("nas: process"), "{odd}");
    }
}
