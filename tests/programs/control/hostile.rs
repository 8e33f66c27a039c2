use std::io::{BufReader, Read as _, Write as _};
use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use super::Socket;
use crate::common::http::{Answer, ask};
use crate::common::pinhole::{Pair, Pinhole, text};
use crate::common::services::echo;
use crate::common::system::{descriptors, resident_kib};
use crate::common::{connect, ping, wait_until};

#[test]
fn what_is_no_request_is_refused_and_disturbs_nobody() {
    let pair = Pair::of(echo());
    let socket = Socket::of("host", &pair.host);
    let mut stream = connect(pair.local);
    ping(&mut stream);
    let huge = "a".repeat(1024 * 1024);
    let rows = [
        ("\0\u{1}\u{2}garbage\r\n\r\n".to_owned(), 400),
        ("SSH-2.0-OpenSSH_9.9\r\n".to_owned(), 400),
        (format!("GET /v1/status HTTP/1.1\r\nA: {huge}\r\n\r\n"), 431),
        (format!("GET /v1/status HTTP/1.1\r\n{}\r\n", "A: b\r\n".repeat(100)), 431),
        (format!("POST /v1/invitations HTTP/1.1\r\nContent-Length: 1048576\r\n\r\n{huge}"), 413),
        ("POST /v1/invitations HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n".to_owned(), 411),
        ("POST /v1/invitations HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!".to_owned(), 400),
        ("BREW /v1/status HTTP/1.1\r\n\r\n".to_owned(), 405),
        ("GET /../../etc/passwd HTTP/1.1\r\n\r\n".to_owned(), 404),
        ("GET /v1/status HTTP/1.1\r\nOrigin: https://evil.test\r\n\r\n".to_owned(), 403),
        ("GET /v1/status HTTP/1.1\r\nSec-Fetch-Site: cross-site\r\n\r\n".to_owned(), 403),
    ];
    for (request, status) in rows {
        assert_eq!(socket.send(&request).status, status, "{}", &request[..request.len().min(60)]);
    }
    ping(&mut stream);
    assert_eq!(socket.status()["role"], "host");
    drop(stream);
    pair.stop();
}

#[test]
fn a_hundred_connections_keep_nobody_out_and_are_bounded() {
    let pair = Pair::of(echo());
    let socket = Socket::of("host", &pair.host);
    let before = descriptors(pair.host.pid());
    // They say nothing, or not all of it.
    let silent: Vec<UnixStream> = (0..100)
        .map(|number| {
            let mut stream = socket.connect();
            let _ = stream.write_all(&b"GET /v1/status HTT"[..number % 19]);
            stream
        })
        .collect();
    for _ in 0..10 {
        assert_eq!(socket.status()["role"], "host");
    }
    let open = descriptors(pair.host.pid()) - before;
    assert!(open <= 64, "{open}");
    let mut stream = connect(pair.local);
    ping(&mut stream);
    // Of those that remain, each ends by itself.
    let start = Instant::now();
    for mut stream in silent {
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest);
        assert_eq!(rest, b"");
    }
    assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
    wait_until("their descriptors are free", || descriptors(pair.host.pid()) <= before + 2);
    drop(stream);
    pair.stop();
}

#[test]
fn strangers_at_the_port_lock_nobody_out() {
    let mut host = Pinhole::host(echo(), &["--admin-listen", "127.0.0.1:0"]);
    let (address, authorization) = host.administration();
    let socket = Socket::of("host", &host);
    let status = || ask(address, format!("GET /v1/status HTTP/1.1\r\nHost: localhost\r\n{authorization}\r\n"));
    let garbage: &[&[u8]] = &[b"\r\n\r\nx\r\n", b"GET /nothing HTTP/1.1\r\nHost: localhost\r\n\r\n"];
    for said in garbage {
        let held: Vec<_> = (0..200)
            .map(|_| {
                let mut stream = connect(address);
                let _ = stream.write_all(said);
                stream
            })
            .collect();
        for _ in 0..10 {
            assert_eq!(status().status, 200);
            assert_eq!(socket.status()["role"], "host");
        }
        drop(held);
    }
    host.stop();
}

#[test]
fn those_who_follow_events_keep_nobody_from_asking() {
    let mut host = Pinhole::host(echo(), &["--admin-listen", "127.0.0.1:0"]);
    let (address, authorization) = host.administration();
    let socket = Socket::of("host", &host);
    let mut followers: Vec<_> = (0..32).map(|_| socket.follow("?status=250")).collect();
    let refused = socket.ask("GET", "/v1/events", "");
    assert_eq!(refused.status, 503, "{}", refused.text());
    assert!(refused.text().contains("as many follow events already as may"), "{}", refused.text());
    // Whoever is silent gives way to those who ask, and those who follow stay.
    let silent: Vec<UnixStream> = (0..80).map(|_| socket.connect()).collect();
    assert_eq!(socket.status()["role"], "host");
    a_follower_over_tcp(address, &authorization);
    for follower in &mut followers {
        follower.event("status");
    }
    drop((silent, followers.pop()));
    wait_until("there is room for another", || socket.ask("HEAD", "/v1/events", "").status == 200);
    host.stop();
}

#[test]
fn an_invitation_of_thousands_of_names_is_refused() {
    let mut host = Pinhole::host(echo(), &[]);
    host.url();
    let socket = Socket::of("host", &host);
    let name = text(&socket.status()["services"][0], "name");
    let body = |count| serde_json::json!({"label": "x", "services": vec![&name; count]}).to_string();
    for (count, sentence) in [(2000, "has more than 256 services"), (2, "twice")] {
        let refused = socket.ask("POST", "/v1/invitations", &body(count));
        assert_eq!(refused.status, 400);
        assert!(refused.text().contains(sentence), "{}", refused.text());
    }
    assert_eq!(socket.status()["invitations"], serde_json::json!([]));
    host.stop();
}

#[test]
fn a_follower_that_does_not_read_is_cut_off_and_costs_little() {
    let mut pair = Pair::of(echo());
    let socket = Socket::of("host", &pair.host);
    let name = text(&socket.status()["services"][0], "name");
    let mut deaf = socket.follow("?status=250");
    let mut alert = socket.follow("");
    let before = resident_kib(pair.host.pid());
    let mut stream = connect(pair.local);
    // Two events each time: together more than waits for anybody.
    let body = format!(r#"{{"services":["{name}"],"label":"{}"}}"#, "x".repeat(64));
    let mut last = String::new();
    for number in 0..6000 {
        let made = socket.ask("POST", "/v1/invitations", &body);
        assert_eq!(made.status, 201, "{}", made.text());
        let made: serde_json::Value = serde_json::from_slice(&made.body).unwrap();
        last = text(&made, "id");
        assert_eq!(socket.delete(&format!("/v1/invitations/{last}")), 204);
        alert.event("invitation");
        alert.event("invitation-revoked");
        if number % 500 == 0 {
            ping(&mut stream);
        }
    }
    let grown = resident_kib(pair.host.pid()).saturating_sub(before);
    assert!(grown < 32 * 1024, "{grown} KiB");
    let mut rest = Vec::new();
    let _ = deaf.lines.read_to_end(&mut rest);
    assert!(rest.len() < 3 * 1024 * 1024, "{} bytes", rest.len());
    let last = format!(r#""id":"{last}""#);
    assert!(!String::from_utf8_lossy(&rest).contains(&last), "it was cut off before the end");
    ping(&mut stream);
    pair.host.take_events();
    drop(stream);
    pair.client.stop();
    alert.event("disconnected");
    pair.host.stop();
}

#[test]
fn over_tcp_strangers_learn_nothing() {
    let mut host = Pinhole::host(echo(), &["--admin-listen", "127.0.0.1:0"]);
    let (address, authorization) = host.administration();
    let asked = |line: &str, fields: &str| -> Answer { ask(address, format!("{line} HTTP/1.1\r\n{fields}\r\n")) };
    let own = format!("Host: {address}\r\n");
    for line in
        ["GET /v1/status", "GET /v1/events?status=250", "POST /v1/invitations", "DELETE /v1/sessions/x", "GET /x"]
    {
        for field in ["", "Authorization: Bearer 0123456789abcdef0123456789abcdef\r\n"] {
            let answer = asked(line, &format!("{own}{field}"));
            assert_eq!((answer.status, answer.field("www-authenticate")), (401, Some("Bearer")), "{line}");
        }
        for host in ["Host: evil.test\r\n", "Host: localhost.evil.test:80\r\n", ""] {
            assert_eq!(asked(line, &format!("{host}{authorization}")).status, 403, "{line} {host}");
        }
        for page in ["Origin: https://evil.test\r\n", "Origin: null\r\n", "Sec-Fetch-Site: cross-site\r\n"] {
            assert_eq!(asked(line, &format!("{own}{authorization}{page}")).status, 403, "{line} {page}");
        }
    }
    let status = asked("GET /v1/status", &format!("{own}{authorization}"));
    assert_eq!(status.status, 200);
    for line in ["GET /healthz", "GET /readyz", "GET /metrics", "GET /"] {
        assert_eq!(asked(line, &own).status, 200, "{line}");
    }
    let token = authorization.trim_end().rsplit(' ').next().unwrap();
    let pin = text(&host.events_so_far()[0], "pin");
    for (line, fields) in [("GET /v1/status", format!("{own}{authorization}")), ("GET /metrics", own.clone())] {
        let said = asked(line, &fields).text();
        assert!(!said.contains(token) && !said.contains(&pin), "{line}");
    }
    a_follower_over_tcp(address, &authorization);
    host.stop();
}

/// Follows events over TCP until the first state.
fn a_follower_over_tcp(address: SocketAddr, authorization: &str) {
    let mut stream = connect(address);
    write!(stream, "GET /v1/events?status=250 HTTP/1.1\r\nHost: localhost\r\n{authorization}\r\n").unwrap();
    let mut input = BufReader::new(stream);
    let mut said = String::new();
    while !said.contains(r#"{"event":"status""#) {
        assert!(std::io::BufRead::read_line(&mut input, &mut said).unwrap() > 0, "{said}");
    }
    assert!(said.contains("application/x-ndjson") && !said.to_ascii_lowercase().contains("content-length"), "{said}");
}
