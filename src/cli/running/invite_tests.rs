use std::sync::mpsc::Receiver;

use clap::Parser;

use super::super::fake_tests::{Folder, json as answer};
use serde_json::json;

use super::*;

#[derive(Debug, Parser)]
struct Line {
    #[command(flatten)]
    invite: InviteArguments,
}

#[derive(Debug, Parser)]
struct Back {
    #[command(flatten)]
    uninvite: UninviteArguments,
}

fn arguments(line: &[&str]) -> InviteArguments {
    Line::try_parse_from([&["invite"], line].concat()).unwrap().invite
}

const STATUS: &str = r#"{"role":"host","listen":"127.0.0.1:5000","url":"ws://127.0.0.1:5000/ws"}"#;

/// A host that invites, and what it was asked beside its status.
fn host(folder: &Folder, name: &str, made: (u16, &'static str)) -> Receiver<String> {
    folder.answering(name, move |request| match request.starts_with("GET /v1/status ") {
        true => answer(200, STATUS),
        false => answer(made.0, made.1),
    })
}

fn scene(folder: &Folder) -> Scene {
    Scene { folders: vec![folder.path().to_owned()], is_asked: false, is_plain: true }
}

fn refusal(folder: &Folder, line: &[&str]) -> Ending {
    invite(&arguments(line), &scene(folder))
}

#[test]
fn what_is_asked_for_is_what_was_given() {
    let all = [
        "nas",
        "--services",
        "web,ssh",
        "--services",
        "db",
        "--allow",
        "db.local:5432",
        "--allow-reverse",
        "8000",
        "--expires",
        "2h",
        "--once",
        "--max-sessions",
        "3",
        "--label",
        "the new one",
        "--public-url",
        "https://a.example",
    ];
    let body: Value = serde_json::from_str(&body(&arguments(&all), Some("p n".to_owned()), None)).unwrap();
    let expected = json!({"services": ["web", "ssh", "db"], "allow": ["db.local:5432"], "reverse": ["8000"],
        "expires": "2h", "once": true, "max_sessions": 3, "label": "the new one", "pin": "p n"});
    assert_eq!(body, expected);
    let arguments = arguments(&["--services", "web"]);
    let (url, _) = SignalingUrl::parse("https://a.example?pin=1").unwrap();
    let body: Value = serde_json::from_str(&super::body(&arguments, None, Some(&url))).unwrap();
    assert_eq!(body, json!({"services": ["web"], "public_url": "wss://a.example/ws"}));
}

#[test]
fn the_only_host_is_asked_and_its_refusal_is_said() {
    let folder = Folder::new();
    folder.saying("client", 200, r#"{"role":"client"}"#);
    folder.leave("old");
    let requests = host(&folder, "nas", (400, r#"{"error":"there is no service \u001b[31m"}"#));
    let expected = r"nas refuses: there is no service \u{1b}[31m".to_owned();
    assert_eq!(refusal(&folder, &["--services", "web"]), Ending::Failed("refused", expected));
    assert!(requests.recv().unwrap().starts_with("GET /v1/status "));
    let request = requests.recv().unwrap();
    assert!(request.starts_with("POST /v1/invitations ") && request.ends_with(r#"{"services":["web"]}"#), "{request}");
    let odd = host(&folder, "odd", (201, r#"{"id":7}"#));
    let ending = refusal(&folder, &["odd", "--services", "web"]);
    assert!(matches!(ending, Ending::Failed("socket-foreign", _)), "{ending:?}");
    drop(odd);
    host(&folder, "full", (500, "<html>"));
    let expected = "full refuses: it answers with the status 500".to_owned();
    assert_eq!(refusal(&folder, &["full", "--services", "web"]), Ending::Failed("refused", expected));
}

#[test]
fn which_host_is_meant_must_be_clear() {
    let folder = Folder::new();
    let sentence = |ending| match ending {
        Ending::Failed(_, sentence) | Ending::Unclear(sentence) => sentence,
        Ending::Done => String::new(),
    };
    let nothing = sentence(refusal(&folder, &["--services", "web"]));
    assert!(nothing.starts_with("no pinhole of this user runs") && nothing.ends_with(": pinhole host starts a host"));
    folder.saying("client", 200, r#"{"role":"client"}"#);
    assert_eq!(sentence(refusal(&folder, &["--services", "web"])), "no host runs here: pinhole host starts one");
    let named = sentence(refusal(&folder, &["client", "--services", "web"]));
    assert_eq!(named, "client is a client, and only hosts invite");
    host(&folder, "nas", (404, "{}"));
    host(&folder, "b", (404, "{}"));
    let two = refusal(&folder, &["--services", "web"]);
    assert_eq!(
        two,
        Ending::Unclear(
            "several hosts run: b, nas; say which of them is meant, for example pinhole invite b or pinhole uninvite b"
                .to_owned()
        )
    );
    let unknown = sentence(refusal(&folder, &["c", "--services", "web"]));
    assert!(unknown.starts_with("no process of the name c runs; there are b, client, nas"), "{unknown}");
    assert!(matches!(refusal(&folder, &["nas"]), Ending::Unclear(_)), "it would give nothing");
}

#[test]
fn an_invitation_is_taken_back_by_its_id() {
    let folder = Folder::new();
    let requests = host(&folder, "nas", (404, "{}"));
    let back = |line: &[&str]| {
        let line = Back::try_parse_from([&["uninvite"], line].concat()).unwrap();
        uninvite(&line.uninvite, &scene(&folder))
    };
    let unknown = "nas has no invitation k3; pinhole status shows which there are".to_owned();
    assert_eq!(back(&["k3"]), Ending::Failed("unknown-invitation", unknown));
    requests.recv().unwrap();
    assert!(requests.recv().unwrap().starts_with("DELETE /v1/invitations/k3 HTTP/1.1\r\n"));
    assert!(matches!(back(&["nas", "a_b"]), Ending::Unclear(_)), "what is no id is not asked for");
    assert!(Back::try_parse_from(["uninvite"]).is_err());
}

#[test]
fn the_url_that_reaches_furthest_is_passed_on() {
    let rows = [
        (json!({"url": "ws://127.0.0.1:5/ws"}), "ws://127.0.0.1:5/ws"),
        (json!({"url": "ws://127.0.0.1:5/ws", "urls": ["ws://127.0.0.1:5/ws", "wss://p/ws/a"]}), "wss://p/ws/a"),
        (json!({"url": "wss://public/ws", "urls": ["wss://public/ws", "wss://p/ws/a"]}), "wss://public/ws"),
        (json!({"url": "ws://[::]:5/ws", "urls": ["ws://192.0.2.1:5/ws", 7]}), "ws://192.0.2.1:5/ws"),
    ];
    for (issued, expected) in rows {
        assert_eq!(best(&issued), Some(expected), "{issued}");
    }
    assert_eq!(best(&json!({})), None);
}

#[test]
fn an_address_that_only_others_know_is_noticed() {
    let unknown = |status: Value| {
        let socket = Socket { name: "a".to_owned(), path: "a.sock".into() };
        Host { socket, status, is_named: false }.unknown_entrance().map(|addr| addr.to_string())
    };
    let near = "ws://127.0.0.1:5000/ws";
    assert_eq!(unknown(json!({"listen": "127.0.0.1:5000", "url": near})).as_deref(), Some("127.0.0.1:5000"));
    assert_eq!(unknown(json!({"listen": "0.0.0.0:5000", "url": near})).as_deref(), Some("0.0.0.0:5000"));
    assert_eq!(unknown(json!({"listen": "127.0.0.1:5000", "url": near, "id": "nas"})), None);
    assert_eq!(unknown(json!({"listen": "127.0.0.1:5000", "url": "wss://a.example/ws"})), None);
    assert_eq!(unknown(json!({"listen": "192.0.2.1:5000", "url": "ws://192.0.2.1:5000/ws"})), None);
    assert_eq!(unknown(json!({})), None);
}
