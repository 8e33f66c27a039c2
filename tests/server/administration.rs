//! What a server reports about itself, and what its owner can do.

use std::io::Write as _;
use std::net::SocketAddr;

use serde_json::{Value, json};

use crate::common::connect;
use crate::common::pinhole::{Pinhole, read_all, text};
use crate::common::services::echo;
use crate::lab::{Honest, Server, Transfer, check_echo, is_over};

/// The status and the body of an answer.
#[derive(Debug)]
struct Answer {
    status: u16,
    head: String,
    body: String,
}

fn ask(address: SocketAddr, method: &str, path: &str, host: &str) -> Answer {
    let mut stream = connect(address);
    write!(stream, "{method} {path} HTTP/1.1\r\nHost: {host}\r\n\r\n").unwrap();
    let answer = String::from_utf8(read_all(&mut stream).0).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no head: {answer:?}"));
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Answer { status, head: head.to_owned(), body: body.to_owned() }
}

fn get(address: SocketAddr, path: &str) -> Answer {
    ask(address, "GET", path, &address.to_string())
}

fn delete(address: SocketAddr, path: &str) -> Answer {
    ask(address, "DELETE", path, &address.to_string())
}

fn list(address: SocketAddr) -> Value {
    let answer = get(address, "/hosts");
    assert_eq!(answer.status, 200, "{answer:?}");
    assert!(answer.head.contains("Content-Type: application/json"), "{answer:?}");
    serde_json::from_str(&answer.body).unwrap()
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
        assert_eq!((health.status, health.body.trim()), (200, "ok"));
        let metrics = get(address, "/metrics");
        assert_eq!(metrics.status, 200);
        assert!(metrics.head.contains("Content-Type: text/plain; version=0.0.4"), "{metrics:?}");
        assert_eq!(ask(address, "POST", "/metrics", "localhost").status, 405);
        let head = ask(address, "HEAD", "/healthz", "localhost");
        assert_eq!((head.status, head.body.as_str()), (200, ""));
    }
    // The list is for those at the other port.
    assert_eq!(get(server.address(), "/hosts").status, 404);
    assert_eq!(delete(server.address(), "/hosts/honest").status, 404);
    assert_eq!(get(server.admin(), "/ws/honest").status, 404);
    honest.is_served();
    server.stop();
}

/// The value of a counter, by its name and labels.
fn metric(address: SocketAddr, name: &str) -> u64 {
    let page = get(address, "/metrics").body;
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
    let admin = server.admin();
    assert_eq!(list(admin), json!({"hosts": []}));
    let mut hosts = ["bbb", "aaa"].map(|id| server.host(id, echo(), &[]));
    let mut clients = [hosts[0].relayed(), hosts[0].relayed()];
    check_echo(clients[1].local, 100_000);
    let list = list(admin);
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
    assert_eq!(delete(server.admin(), "/hosts/myhost").status, 200);
    let ended = host.process.end();
    ended.expect(1, &[r#""code":"denied""#, "whoever runs the server ended the registration"]);
    assert!(!ended.stdout.contains("token"), "there was none: {ended:?}");
    let left = server.process.event("host-left");
    assert_eq!((text(&left, "id"), text(&left, "reason")), ("myhost".into(), "ended by the administration".into()));
    client.process.event("recovering");
    assert_eq!(delete(server.admin(), "/hosts/myhost").status, 404, "it does not come back");
    assert_eq!(delete(server.admin(), "/hosts/My%20Host").status, 404);
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
        assert_eq!(delete(server.admin(), path).status, 404, "{path}");
    }
    assert_eq!(delete(server.admin(), "/hosts/myhost/clients/1").status, 200);
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
    for host in ["pages.example.org", "localhost.example.org", "127.0.0.1.example.org:80", ""] {
        for (method, path) in [("DELETE", "/hosts/honest"), ("GET", "/hosts"), ("GET", "/"), ("DELETE", "/hosts/none")]
        {
            let answer = ask(admin, method, path, host);
            assert_eq!(answer.status, 403, "{method} {path} for {host:?} gave {answer:?}");
        }
    }
    let mut stream = connect(admin);
    stream.write_all(b"DELETE /hosts/honest HTTP/1.0\r\n\r\n").unwrap();
    let answer = String::from_utf8(read_all(&mut stream).0).unwrap();
    assert!(answer.starts_with("HTTP/1.1 403 "), "{answer}");
    for host in ["localhost", "127.0.0.1", "[::1]:9"] {
        assert_eq!(ask(admin, "GET", "/hosts", host).status, 200, "{host}");
    }
    for method in ["POST", "PUT", "OPTIONS"] {
        assert_eq!(ask(admin, method, "/hosts", "localhost").status, 405, "{method}");
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
    assert!(warning.contains("everybody who reaches"), "{warning}");
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
    for (method, path) in [("GET", "/hosts"), ("DELETE", "/hosts/honest")] {
        for fields in [foreign, other, "Origin: null\r\n"] {
            let answer = status(server.admin(), method, path, fields);
            assert!(answer.ends_with("403"), "{method} {path} {fields}: {answer}");
        }
    }
    honest.is_served();
    // A link on another page may lead to what everybody may see.
    assert!(status(server.address(), "GET", "/", other).ends_with("200"));
    assert!(status(server.admin(), "GET", "/hosts", "Sec-Fetch-Site: none\r\n").ends_with("200"));
    server.stop();
}
