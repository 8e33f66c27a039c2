//! What a server reports about itself, and what its owner can do.

use std::io::Write as _;
use std::net::SocketAddr;

use serde_json::{Value, json};

use crate::common::connect;
use crate::common::http::{Answer, ask};
use crate::common::pinhole::{Pinhole, read_all, text};
use crate::common::services::echo;
use crate::lab::{Honest, Server, Transfer, check_echo, is_over};

fn asked(address: SocketAddr, method: &str, path: &str, host: &str) -> Answer {
    ask(address, format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\n\r\n"))
}

fn get(address: SocketAddr, path: &str) -> Answer {
    asked(address, "GET", path, &address.to_string())
}

fn delete(server: &Server, path: &str) -> u16 {
    server.administer("DELETE", path).status
}

fn with_administration() -> Server {
    Server::open(&["--admin-listen", "127.0.0.1:0"])
}

#[test]
fn health_and_counters_are_there_for_everybody() {
    let server = with_administration();
    let honest = Honest::at(&server);
    for address in [server.address(), server.admin()] {
        let health = get(address, "/healthz");
        assert_eq!((health.status, health.text().trim()), (200, "ok"));
        let metrics = get(address, "/metrics");
        assert_eq!(metrics.status, 200);
        assert!(metrics.field("content-type").unwrap().starts_with("text/plain; version=0.0.4"));
        assert_eq!(asked(address, "GET", "/readyz", "localhost").status, 200);
        let mut stream = connect(address);
        stream.write_all(b"HEAD /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
        let head = String::from_utf8(read_all(&mut stream).0).unwrap();
        assert!(head.starts_with("HTTP/1.1 200 OK") && head.ends_with("\r\n\r\n"), "{head}");
    }
    assert_eq!(asked(server.address(), "POST", "/metrics", "localhost").status, 405);
    assert_eq!(server.administer("POST", "/metrics").status, 405);
    // The list is for those at the other port.
    assert_eq!(get(server.address(), "/v1/status").status, 404);
    assert_eq!(asked(server.address(), "DELETE", "/v1/hosts/honest", "localhost").status, 404);
    assert_eq!(server.administer("GET", "/ws/honest").status, 404);
    honest.is_served();
    server.stop();
}

/// The value of a counter, by its name and labels.
fn metric(address: SocketAddr, name: &str) -> u64 {
    let page = get(address, "/metrics").text();
    let value = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    value.unwrap_or_else(|| panic!("no {name} in {page}")).parse().unwrap()
}

#[test]
fn hosts_clients_bytes_and_refusals_are_counted() {
    let mut server = with_administration();
    let admin = server.admin();
    let mut hosts = ["first", "second"].map(|id| server.host(id, echo(), &["--token", "t"]));
    let mut again = server.host("second", echo(), &["--token", "t"]);
    hosts[1].process.end().expect(1, &["replaced"]);
    let mut clients = [hosts[0].relayed(), hosts[0].relayed(), again.relayed()];
    check_echo(clients[0].local, 1_000_000);
    for id in ["nobody", "no-one"] {
        let url = format!("{}/ws/{id}?pin=1", server.url());
        Pinhole::client(&url, &[]).end().expect(1, &["unknown-host"]);
    }
    server.start_host("first", echo(), &[]).end().expect(1, &["id-taken"]);
    for (name, expected) in [
        ("pinhole_hosts", 2),
        ("pinhole_clients", 3),
        ("pinhole_conversations_total", 3),
        ("pinhole_replacements_total", 1),
        (r#"pinhole_refusals_total{reason="unknown-host"}"#, 2),
        (r#"pinhole_refusals_total{reason="id-taken"}"#, 1),
        (r#"pinhole_refusals_total{reason="replaced"}"#, 1),
        (r#"pinhole_refusals_total{reason="slow"}"#, 0),
    ] {
        assert_eq!(metric(admin, name), expected, "{name}");
    }
    for direction in ["to_host", "to_client"] {
        let moved = metric(admin, &format!("pinhole_relayed_bytes_total{{direction=\"{direction}\"}}"));
        assert!((1_000_000..1_200_000).contains(&moved), "{moved} bytes {direction}");
    }
    clients.iter_mut().for_each(|client| drop(client.process.stop()));
    (0..3).for_each(|_| drop(server.process.event("client-left")));
    again.process.stop();
    server.process.find("its end", |event| event["event"] == "host-left" && event["reason"] != "replaced");
    assert_eq!((metric(admin, "pinhole_hosts"), metric(admin, "pinhole_clients")), (1, 0));
    hosts[0].process.stop();
    server.stop();
}

#[test]
fn hosts_and_clients_are_listed() {
    let mut server = with_administration();
    let status = server.shown("/v1/status");
    assert_eq!((&status["role"], &status["hosts"], &status["unlisted"]), (&json!("server"), &json!([]), &json!(0)));
    assert_eq!((&status["requests"], &status["links"]), (&Value::Null, &Value::Null), "{status}");
    let mut hosts = ["bbb", "aaa"].map(|id| server.host(id, echo(), &[]));
    let mut clients = [hosts[0].relayed(), hosts[0].relayed()];
    check_echo(clients[1].local, 100_000);
    let list = server.shown("/v1/status");
    let ids: Vec<&str> = list["hosts"].as_array().unwrap().iter().map(|host| host["id"].as_str().unwrap()).collect();
    assert_eq!(ids, ["aaa", "bbb"]);
    assert_eq!(list["hosts"][0]["clients"], json!([]));
    let host = &list["hosts"][1];
    assert_eq!((&host["public"], &host["dials"]), (&json!(false), &json!(false)));
    let joined = server.process.find("host", |event| event["event"] == "host-joined" && event["id"] == "bbb");
    assert_eq!(host["remote"], joined["remote"]);
    for (number, client) in (1..).zip(host["clients"].as_array().unwrap()) {
        let joined = server.process.event("client-joined");
        assert_eq!((&client["number"], &client["remote"]), (&json!(number), &joined["remote"]));
        assert_eq!(client["number"], joined["conversation"]);
    }
    let moved = |client: usize, way: &str| host["clients"][client][way].as_u64().unwrap();
    for way in ["sent", "received"] {
        assert!((1..50_000).contains(&moved(0, way)) && moved(1, way) > 100_000, "{host}");
    }
    clients.iter_mut().for_each(|client| drop(client.process.stop()));
    hosts.iter_mut().for_each(|host| drop(host.process.stop()));
    server.stop();
}

#[test]
fn a_host_can_be_ended_and_learns_why() {
    let mut server = with_administration();
    let honest = Honest::at(&server);
    let mut host = server.host("myhost", echo(), &[]);
    let mut client = host.relayed();
    let stream = client.stream();
    assert_eq!(delete(&server, "/v1/hosts/myhost"), 204);
    let ended = host.process.end();
    ended.expect(1, &[r#""code":"denied""#, "whoever runs the server ended the registration"]);
    assert!(!ended.stdout.contains("token"), "there was none: {ended:?}");
    let left = server.process.event("host-left");
    assert_eq!((text(&left, "id"), text(&left, "reason")), ("myhost".into(), "ended by the administration".into()));
    client.process.event("recovering");
    assert_eq!(delete(&server, "/v1/hosts/myhost"), 404, "it does not come back");
    assert_eq!(delete(&server, "/v1/hosts/My%20Host"), 404);
    client.process.stop();
    assert!(is_over(stream));

    // The name is free.
    let mut host = server.host("myhost", echo(), &[]);
    host.process.stop();
    honest.is_served();
    server.stop();
}

#[test]
fn a_client_can_be_ended_and_joins_again() {
    let mut server = with_administration();
    let mut host = server.host("myhost", echo(), &[]);
    let (mut client, mut bystander) = (host.relayed(), host.relayed());
    let mut transfer = Transfer::start(client.local, 20_000_000);
    transfer.take(1_000_000);
    for path in
        ["/hosts/myhost/clients/9", "/hosts/myhost/clients/x", "/hosts/other/clients/1", "/hosts/myhost/clients"]
    {
        assert_eq!(delete(&server, &format!("/v1{path}")), 404, "{path}");
    }
    assert_eq!(delete(&server, "/v1/hosts/myhost/clients/1"), 204);
    let left = server.process.event("client-left");
    assert_eq!((&left["conversation"], text(&left, "reason")), (&json!(1), "ended by the administration".into()));
    // It is no more than a connection that was cut.
    client.process.event("recovering");
    client.process.event("recovered");
    transfer.finish();
    bystander.is_undisturbed();
    for process in [&mut client.process, &mut bystander.process, &mut host.process] {
        process.stop();
    }
    server.stop();
}

#[test]
fn only_this_machine_under_its_own_name_may_administer() {
    let server = with_administration();
    let honest = Honest::at(&server);
    let admin = server.admin();
    let with = |method: &str, path: &str, host: &str| {
        let fields = server.authorization();
        ask(admin, format!("{method} {path} HTTP/1.1\r\n{host}{fields}\r\n")).status
    };
    for host in ["pages.example.org", "localhost.example.org", "127.0.0.1.example.org:80", ""] {
        for (method, path) in [("DELETE", "/v1/hosts/honest"), ("GET", "/v1/status"), ("GET", "/"), ("GET", "/metrics")]
        {
            let status = with(method, path, &format!("Host: {host}\r\n"));
            assert_eq!(status, 403, "{method} {path} for {host:?}");
        }
    }
    assert_eq!(with("DELETE", "/v1/hosts/honest", ""), 403);
    for host in ["localhost", "127.0.0.1", "[::1]:9"] {
        assert_eq!(with("GET", "/v1/status", &format!("Host: {host}\r\n")), 200, "{host}");
    }
    for method in ["POST", "PUT", "OPTIONS"] {
        assert_eq!(with(method, "/v1/status", "Host: localhost\r\n"), 405, "{method}");
    }
    honest.is_served();
    server.stop();
}

#[test]
fn without_the_token_nobody_administers() {
    let server = with_administration();
    let honest = Honest::at(&server);
    for field in ["", "Authorization: Bearer 0123456789abcdef0123456789abcdef\r\n", "Authorization: Basic YTpi\r\n"] {
        for line in ["GET /v1/status", "GET /v1/events", "GET /cluster", "GET /hosts", "DELETE /v1/hosts/honest"] {
            let answer = ask(server.admin(), format!("{line} HTTP/1.1\r\nHost: localhost\r\n{field}\r\n"));
            assert_eq!((answer.status, answer.field("www-authenticate")), (401, Some("Bearer")), "{line} {field}");
            assert!(answer.text().starts_with(r#"{"error":""#), "{}", answer.text());
        }
    }
    honest.is_served();
    server.stop();
}

#[test]
fn what_everybody_reaches_is_warned_of() {
    let mut server = Pinhole::start(
        "server",
        &[
            "server",
            "--json",
            "--open",
            "--listen",
            "127.0.0.1:0",
            "--admin-listen",
            "0.0.0.0:0",
            "--proxy-listen",
            "0.0.0.0:0",
        ],
    );
    let warning = server.problem("warning", "admin-listen");
    assert!(warning.contains("without TLS") && warning.contains("the token"), "{warning}");
    let warning = server.problem("warning", "proxy-listen");
    assert!(warning.contains("without TLS") && warning.contains("--tls-cert"), "{warning}");
    server.event("serving");
    server.stop();
}

/// Browsers send requests of any page to loopback, too, and name the page's site.
#[test]
fn pages_of_other_sites_are_not_talked_to() {
    let server = with_administration();
    let honest = Honest::at(&server);
    let status = |address: SocketAddr, method: &str, path: &str, fields: &str| {
        let mut stream = connect(address);
        write!(stream, "{method} {path} HTTP/1.1\r\nHost: {address}\r\n{fields}\r\n").unwrap();
        let mut line = [0; 12];
        std::io::Read::read_exact(&mut stream, &mut line).unwrap();
        String::from_utf8(line.to_vec()).unwrap()
    };
    let upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                   Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    let (foreign, own) = ("Origin: https://evil.test\r\n", format!("Origin: http://{}\r\n", server.address()));
    let other = "Sec-Fetch-Site: cross-site\r\n";
    for path in ["/host", "/ws/honest"] {
        for (fields, expected) in [(foreign, "403"), (other, "403"), (&own, "101"), ("", "101")] {
            let answer = status(server.address(), "GET", path, &format!("{upgrade}{fields}"));
            assert!(answer.ends_with(expected), "{path} {fields}: {answer}");
        }
    }
    for (method, path) in [("GET", "/v1/status"), ("DELETE", "/v1/hosts/honest")] {
        for fields in [foreign, other, "Origin: null\r\n"] {
            let fields = format!("{fields}{}", server.authorization());
            let answer = status(server.admin(), method, path, &fields);
            assert!(answer.ends_with("403"), "{method} {path} {fields}: {answer}");
        }
    }
    honest.is_served();
    // A link on another page may lead to what everybody may see.
    assert!(status(server.address(), "GET", "/", other).ends_with("200"));
    let fields = format!("Sec-Fetch-Site: none\r\n{}", server.authorization());
    assert!(status(server.admin(), "GET", "/v1/status", &fields).ends_with("200"));
    server.stop();
}
