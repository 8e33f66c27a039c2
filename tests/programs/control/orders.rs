use std::io::{BufReader, Read as _, Write as _};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::Socket;
use crate::common::http::Answer;
use crate::common::pinhole::{Pair, Pinhole, text};
use crate::common::services::echo;
use crate::common::{connect, ping, wait_until};

/// The pins of a process, which nobody is to see.
fn pins(process: &mut Pinhole) -> Vec<String> {
    let events = process.events_so_far();
    let pins = events.iter().filter_map(|event| event["pin"].as_str().map(str::to_owned));
    let pins: Vec<String> = pins.collect();
    assert!(!pins.is_empty());
    pins
}

#[test]
fn both_sides_show_what_they_are_doing() {
    let mut pair = Pair::of(echo());
    let (host, client) = (Socket::of("host", &pair.host), Socket::of("client", &pair.client));
    let mut stream = connect(pair.local);
    ping(&mut stream);
    wait_until("the stream is shown", || host.status()["sessions"][0]["streams"] == 1);
    let (at_host, at_client) = (host.status(), client.status());
    for (status, role) in [(&at_host, "host"), (&at_client, "client")] {
        assert_eq!((&status["role"], &status["stage"]), (&role.into(), &"serving".into()), "{status}");
        assert_eq!(status["version"], env!("CARGO_PKG_VERSION"));
        assert!(text(status, "since").ends_with('Z') && status["warnings"].is_array(), "{status}");
        assert_eq!(status["sessions"].as_array().unwrap().len(), 1);
    }
    let id = text(&at_host["sessions"][0], "session");
    assert_eq!(at_client["sessions"][0]["session"], id.as_str(), "the same on both sides");
    for (socket, sent) in [(&host, "sent"), (&client, "received")] {
        let session = socket.get(&format!("/v1/sessions/{id}"));
        assert_eq!((&session["session"], &session["unlisted"]), (&id.as_str().into(), &0.into()), "{session}");
        let stream = &session["list"][0];
        assert!(stream["stream"].is_u64() && !text(stream, "address").is_empty(), "{session}");
        assert_eq!(stream["target"], at_host["services"][0]["name"], "{session}");
        assert_eq!(stream[sent], 4, "{session}");
        assert_eq!(socket.ask("GET", "/v1/sessions/nobody", "").status, 404);
        assert_eq!(socket.ask("GET", "/healthz", "").text(), "ok\n");
        assert_eq!(socket.ask("GET", "/readyz", "").status, 200);
        assert!(socket.ask("GET", "/metrics", "").text().contains("\npinhole_sessions_begun_total 1\n"));
        for path in ["/v1/hosts/a", "/v1/hosts/a/clients/1", "/v1/invitations/k3"] {
            assert_eq!(socket.delete(path), 404, "{path}");
        }
        assert_eq!(socket.ask("GET", "/cluster", "").status, 404);
    }
    assert_eq!(client.ask("POST", "/v1/invitations", "{}").status, 404);
    let pin = pins(&mut pair.host).remove(0);
    for (socket, path) in [&host, &client].into_iter().flat_map(|socket| [(socket, "/v1/status"), (socket, "/metrics")])
    {
        assert!(!socket.ask("GET", path, "").text().contains(&pin));
    }
    drop(stream);
    pair.stop();
}

#[test]
fn the_last_warnings_are_shown() {
    let mut host = Pinhole::host(echo(), &[]);
    let url = host.url();
    let socket = Socket::of("host", &host);
    assert_eq!(socket.status()["warnings"], json!([]));
    let wrong = url.replace("pin=", "pin=wrong");
    Pinhole::client(&wrong, &[]).end().expect(1, &["bad-pin"]);
    let told = host.event("warning");
    let status = socket.status();
    let warning = &status["warnings"][0];
    assert_eq!((&warning["code"], &warning["message"]), (&told["code"], &told["message"]), "{status}");
    assert!(text(warning, "at").ends_with('Z'), "{status}");
    host.stop();
}

#[test]
fn events_are_followed_without_pins() {
    let mut host = Pinhole::host(echo(), &[]);
    let url = host.url();
    let socket = Socket::of("host", &host);
    let mut plain = socket.follow("");
    let mut watching = socket.follow("?status=250");
    let first = watching.event("status");
    assert_eq!((&first["role"], &first["sessions"]), (&"host".into(), &json!([])), "{first}");
    let made = socket.ask("POST", "/v1/invitations", r#"{"label":"guests","services":["nothing"]}"#);
    assert_eq!(made.status, 400);
    let service = text(&socket.status()["services"][0], "name");
    let body = json!({"label": "a\u{202e}b<b>\u{e0041}", "services": [service], "expires": "2h"});
    let made = socket.ask("POST", "/v1/invitations", &body.to_string());
    assert_eq!(made.status, 201, "{}", made.text());
    let made: Value = serde_json::from_slice(&made.body).unwrap();
    let pin = text(&made, "pin");
    let mut client = Pinhole::client(&url, &[]);
    client.local();
    for follower in [&mut plain, &mut watching] {
        let invitation = follower.event("invitation");
        assert_eq!((&invitation["id"], &invitation["label"]), (&made["id"], &body["label"]), "{invitation}");
        assert_eq!((invitation.get("pin"), text(&invitation, "url").contains("pin=")), (None, false), "{invitation}");
        assert!(text(&invitation, "url").contains("invite="), "{invitation}");
        follower.event("connected");
    }
    let shown = watching.find(|event| event["event"] == "status" && event["sessions"][0]["state"] == "connected");
    assert_eq!(shown["invitations"][0]["label"], body["label"]);
    client.stop();
    let ended = plain.event("disconnected");
    assert_eq!(ended, host.event("disconnected"), "it is the same as on stdout");
    watching.find(|event| event["event"] == "status" && event["sessions"] == json!([]));
    // Neither a status nor a line that a terminal shows gives anything away.
    let raw = socket.ask("GET", "/v1/status", "").text();
    assert!(!raw.contains(&pin) && !raw.contains('\u{202e}'), "{raw}");
    assert!(raw.contains(r"a\u202eb<b>\udb40\udc41"), "{raw}");
    host.stop();
    let mut rest = String::new();
    plain.lines.read_to_string(&mut rest).unwrap();
    assert!(!rest.contains(&pin), "the end of the process ends what follows it: {rest}");
}

#[test]
fn a_session_that_is_ended_at_the_host_ends_its_client() {
    let mut pair = Pair::of(echo());
    let host = Socket::of("host", &pair.host);
    let id = text(&host.status()["sessions"][0], "session");
    assert_eq!(host.delete("/v1/sessions/nobody"), 404);
    assert_eq!(host.delete(&format!("/v1/sessions/{id}")), 204);
    let ended = pair.client.end();
    assert!(ended.stdout.contains("the host ended the session"), "{ended:?}");
    assert_eq!(text(&pair.host.event("disconnected"), "session"), id);
    // The host goes on, for others and for the same.
    wait_until("it is gone", || host.status()["sessions"] == json!([]));
    assert_eq!(host.delete(&format!("/v1/sessions/{id}")), 404);
    let url = text(&pair.host.events_so_far()[0], "url");
    let mut client = Pinhole::client(&url, &[]);
    client.local();
    client.stop();
    pair.host.stop();
}

#[test]
fn a_session_that_is_ended_at_the_client_ends_it_in_order() {
    let mut pair = Pair::of(echo());
    let client = Socket::of("client", &pair.client);
    let id = text(&client.status()["sessions"][0], "session");
    assert_eq!(client.delete(&format!("/v1/sessions/{id}")), 204);
    pair.client.end().expect(0, &["disconnected"]);
    assert_eq!(pair.host.event("disconnected")["reason"], "ended by the peer");
    pair.host.stop();
}

#[test]
fn an_invitation_lets_a_client_in_until_it_is_taken_back() {
    let services = [echo(), echo()].map(|address| address.to_string());
    let [web, db] = services.each_ref().map(|address| address.as_str());
    let (web, db) = (format!("web={web}"), format!("db={db}"));
    let mut host = Pinhole::start("host", &["host", &web, &db, "--json", "--no-stun"]);
    host.url();
    let socket = Socket::of("host", &host);
    let body = r#"{"services":["web"],"max_sessions":1,"public_url":"https://abc-5000.example.net/"}"#;
    let made = socket.ask("POST", "/v1/invitations", body);
    assert_eq!(made.status, 201, "{}", made.text());
    let made: Value = serde_json::from_slice(&made.body).unwrap();
    let (id, pin) = (text(&made, "id"), text(&made, "pin"));
    assert_eq!(text(&made, "url"), format!("wss://abc-5000.example.net/ws?invite={id}&pin={pin}"));
    assert_eq!(made.get("expires"), None);
    let url = made["urls"][1].as_str().unwrap();
    let mut client = Pinhole::start("client", &["client", url, "0", "--json", "--no-stun"]);
    let local = client.local();
    let mut stream = connect(local);
    ping(&mut stream);
    let status = socket.status();
    let session = &status["sessions"][0];
    assert_eq!((&session["invitation"], &status["invitations"][0]["sessions"]), (&made["id"], &1.into()), "{status}");
    let start = Instant::now();
    assert_eq!(socket.delete(&format!("/v1/invitations/{id}")), 204);
    let mut rest = Vec::new();
    let _ = stream.read_to_end(&mut rest);
    assert!(start.elapsed() < Duration::from_secs(1), "it took {:?}", start.elapsed());
    client.end().expect(1, &["the invitation was revoked"]);
    assert_eq!(
        (socket.delete(&format!("/v1/invitations/{id}")), socket.status()["invitations"].clone()),
        (404, json!([]))
    );
    host.stop();
}

#[test]
fn a_check_is_run_beside_everything_else() {
    let pair = Pair::of(echo());
    let host = Socket::of("host", &pair.host);
    let mut stream = connect(pair.local);
    let mut asking = host.connect();
    asking.write_all(b"GET /v1/check HTTP/1.1\r\n\r\n").unwrap();
    ping(&mut stream);
    let answer = Answer::read(&mut BufReader::new(asking)).unwrap();
    assert_eq!((answer.status, answer.field("content-type")), (200, Some("application/x-ndjson")));
    let found: Vec<Value> = answer.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(found.iter().any(|finding| finding["event"] == "network"), "{found:?}");
    // Whoever leaves before it is done keeps nobody out for long.
    let mut leaving = host.connect();
    leaving.write_all(b"GET /v1/check HTTP/1.1\r\n\r\n").unwrap();
    drop(leaving);
    wait_until("the next check runs", || host.ask("GET", "/v1/check", "").status == 200);
    drop(stream);
    pair.stop();
}

#[test]
fn what_cannot_be_an_invitation_is_refused_in_a_sentence() {
    let mut host = Pinhole::host(echo(), &[]);
    host.url();
    let socket = Socket::of("host", &host);
    let name = text(&socket.status()["services"][0], "name");
    let bodies = [
        String::new(),
        "not json".to_owned(),
        "[1]".to_owned(),
        "{}".to_owned(),
        json!({"services": ["other"]}).to_string(),
        json!({"services": [name], "expires": "soon"}).to_string(),
        json!({"services": [name], "expires": "2001-01-01T00:00:00Z"}).to_string(),
        json!({"services": [name], "label": "x".repeat(65)}).to_string(),
        json!({"services": [name], "label": "a\nb"}).to_string(),
        json!({"services": [name], "max_sessions": 0}).to_string(),
        json!({"services": [name], "pin": ""}).to_string(),
        json!({"services": [name], "admin": true}).to_string(),
        json!({"allow": ["nonsense"]}).to_string(),
    ];
    for body in bodies {
        let answer = socket.ask("POST", "/v1/invitations", &body);
        assert_eq!(answer.status, 400, "{body}: {}", answer.text());
        let said: Value = serde_json::from_slice(&answer.body).unwrap();
        assert!(text(&said, "error").len() > 10, "{said}");
    }
    assert_eq!(socket.status()["invitations"], json!([]));
    let body = json!({"services": [name]}).to_string();
    let statuses: Vec<u16> = (0..257).map(|_| socket.ask("POST", "/v1/invitations", &body).status).collect();
    assert_eq!((statuses.iter().filter(|status| **status == 201).count(), statuses[256]), (256, 409));
    host.stop();
}
