use std::io;

use super::*;
use crate::control::{Reader, Reading};

const TOKEN: &str = "0123456789abcdef0123456789abcdef";

fn port() -> Door {
    Door::Port(TOKEN.parse().unwrap())
}

fn wanted(door: &Door, line: &str, fields: &str) -> Result<Order, u16> {
    let text = format!("{line} HTTP/1.1\r\n{fields}\r\n");
    let Ok(Reading::Request(request)) = Reader::default().read(&mut io::Cursor::new(text)) else { panic!("{line}") };
    match understand(door, &request) {
        Wanted::Order(order) => Ok(order),
        Wanted::Answer(answer) => Err(answer.status()),
    }
}

#[test]
fn paths_and_methods_are_orders() {
    let seconds = |seconds| Some(Duration::from_secs(seconds));
    let text = str::to_owned;
    let rows = [
        ("GET /v1/status", Ok(Order::Status)),
        ("HEAD /v1/status?x=y", Ok(Order::Status)),
        ("GET /v1/events", Ok(Order::Events(None))),
        ("GET /v1/events?status=1000", Ok(Order::Events(seconds(1)))),
        ("GET /v1/events?a=b&status=60000", Ok(Order::Events(seconds(60)))),
        ("GET /v1/events?status=249", Err(400)),
        ("GET /v1/events?status=60001", Err(400)),
        ("GET /v1/events?status=", Err(400)),
        ("GET /v1/events?status=-1", Err(400)),
        ("GET /v1/events?status=99999999999999999999999", Err(400)),
        ("GET /v1/check", Ok(Order::Check)),
        ("POST /v1/check", Err(405)),
        ("GET /metrics", Ok(Order::Metrics)),
        ("GET /healthz", Ok(Order::Health)),
        ("HEAD /readyz", Ok(Order::Ready)),
        ("GET /cluster", Ok(Order::Cluster)),
        ("GET /v1/sessions/ab12", Ok(Order::Session(text("ab12")))),
        ("DELETE /v1/sessions/ab12", Ok(Order::EndSession(text("ab12")))),
        ("POST /v1/invitations", Ok(Order::Invite(Vec::new()))),
        ("DELETE /v1/invitations/k3", Ok(Order::Uninvite(text("k3")))),
        ("DELETE /v1/hosts/blog", Ok(Order::EndHost(text("blog")))),
        ("DELETE /v1/hosts/blog/clients/7", Ok(Order::EndClient(text("blog"), text("7")))),
        ("GET /", Err(200)),
        ("POST /", Err(405)),
        ("POST /v1/status", Err(405)),
        ("PUT /v1/sessions/ab12", Err(405)),
        ("GET /v1/invitations", Err(405)),
        ("GET /v1/invitations/k3", Err(405)),
        ("GET /v1/hosts/blog", Err(405)),
        ("DELETE /v1/hosts", Err(404)),
        ("GET /v1/sessions", Err(404)),
        ("GET /v2/status", Err(404)),
        ("GET /v1/status/", Err(404)),
        ("OPTIONS *", Err(404)),
        ("get /v1/status", Err(405)),
    ];
    for (line, expected) in rows {
        assert_eq!(wanted(&Door::Socket, line, ""), expected, "{line}");
    }
}

#[test]
fn over_tcp_only_what_tells_nothing_needs_no_token() {
    let host = "Host: localhost\r\n";
    for line in ["GET /healthz", "GET /readyz", "HEAD /metrics"] {
        assert!(wanted(&port(), line, host).is_ok(), "{line}");
    }
    assert_eq!(wanted(&port(), "GET /", host), Err(200));
    let guarded = [
        "GET /v1/status",
        "GET /v1/events",
        "GET /v1/events?status=x",
        "GET /v1/sessions/ab12",
        "DELETE /v1/sessions/ab12",
        "POST /v1/invitations",
        "DELETE /v1/invitations/k3",
        "DELETE /v1/hosts/blog",
        "GET /v1/check",
        "GET /cluster",
        "GET /nothing/here",
        "PUT /v1/status",
    ];
    for line in guarded {
        assert_eq!(wanted(&port(), line, host), Err(401), "{line}");
    }
    for field in [
        "".to_owned(),
        format!("Authorization: {TOKEN}"),
        "Authorization: Bearer".to_owned(),
        "Authorization: Bearer ".to_owned(),
        format!("Authorization: Basic {TOKEN}"),
        format!("Authorization: Bearer {}", &TOKEN[1..]),
        format!("Authorization: Bearer {TOKEN}0"),
        format!("Authorization: Bearer {}", TOKEN.to_uppercase()),
        format!("X-Authorization: Bearer {TOKEN}"),
        format!("Cookie: token={TOKEN}"),
    ] {
        let fields = format!("{host}{field}{}", if field.is_empty() { "" } else { "\r\n" });
        assert_eq!(wanted(&port(), "GET /v1/status", &fields), Err(401), "{field}");
    }
    let query = format!("GET /v1/status?token={TOKEN}");
    assert_eq!(wanted(&port(), &query, host), Err(401), "addresses stand in logs");
    for scheme in ["Bearer", "bearer"] {
        let fields = format!("{host}Authorization: {scheme} {TOKEN}\r\n");
        assert_eq!(wanted(&port(), "GET /v1/status", &fields), Ok(Order::Status), "{scheme}");
    }
}

#[test]
fn names_that_anybody_can_point_here_are_refused() {
    let with = |host: &str| {
        let fields = format!("{host}Authorization: Bearer {TOKEN}\r\n");
        wanted(&port(), "GET /v1/status", &fields)
    };
    for host in ["localhost", "localhost:7070", "127.0.0.1:7070", "[::1]:7070", "192.168.1.2"] {
        assert_eq!(with(&format!("Host: {host}\r\n")), Ok(Order::Status), "{host}");
    }
    for host in ["evil.test", "evil.test:7070", "localhost.evil.test", "127.0.0.1.evil.test", "", "localhost@evil.test"]
    {
        assert_eq!(with(&format!("Host: {host}\r\n")), Err(403), "{host}");
    }
    assert_eq!(with(""), Err(403));
    // What asks nothing of anybody is no exception: a page could still find out that there is a pinhole.
    assert_eq!(wanted(&port(), "GET /metrics", "Host: evil.test\r\n"), Err(403));
    assert_eq!(wanted(&port(), "GET /", "Host: evil.test\r\n"), Err(403));
    assert_eq!(wanted(&Door::Socket, "GET /v1/status", "Host: whatever\r\n"), Ok(Order::Status));
}

#[test]
fn pages_of_other_sites_are_refused() {
    for door in [port(), Door::Socket] {
        let with = |fields: &str| {
            let fields = format!("Host: 127.0.0.1:7070\r\nAuthorization: Bearer {TOKEN}\r\n{fields}");
            wanted(&door, "DELETE /v1/sessions/ab12", &fields).map(drop)
        };
        for fields in [
            "Origin: https://evil.test\r\n",
            "Origin: null\r\n",
            "Sec-Fetch-Site: cross-site\r\n",
            "Origin: https://evil.test\r\nX-Forwarded-Host: evil.test\r\n",
        ] {
            assert_eq!(with(fields), Err(403), "{fields}");
        }
        for fields in ["Origin: http://127.0.0.1:7070\r\nSec-Fetch-Site: same-origin\r\n", "Sec-Fetch-Site: none\r\n"] {
            assert_eq!(with(fields), Ok(()), "{fields}");
        }
    }
}
