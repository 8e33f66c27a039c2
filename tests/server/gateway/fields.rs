//! What a service is told about its visitors, and what visitors try to forge.

use crossbeam_channel::{Receiver, unbounded};
use std::net::SocketAddr;

use super::http::{Connection, Request, ask, get, ok, service};
use super::rig::Server;
use super::tls::Authority;
use crate::common::DEADLINE;

/// What none of the fields that a service gets may have in it.
const FORGED: &str = "6.6.6.6";

/// Fields that say who the visitor is, or that are for us alone. The value of each is forged.
const FORGERIES: &[&str] = &[
    "X-Forwarded-For",
    "x-forwarded-for",
    "X-FORWARDED-FOR",
    "X_Forwarded_For",
    "X-Forwarded_For",
    "X-Forwarded-Host",
    "X-Forwarded-Proto",
    "X-Forwarded-Port",
    "X-Forwarded-Server",
    "X-Forwarded-By",
    "X-Forwarded-Prefix",
    "X-Forwarded",
    "Forwarded",
    "X-Real-IP",
    "X_Real_IP",
    "X-Client-IP",
    "True-Client-IP",
    "Client-IP",
    "X-Cluster-Client-IP",
    "X-Original-Host",
    "X-Original-Forwarded-For",
    "X-Original-URL",
    "X_Original_URI",
    "X-Original-For",
    "X-Rewrite-URL",
    "CF-Connecting-IP",
    "CF_Connecting_IP",
    "CF-Connecting-IPv6",
    "CF-Pseudo-IPv4",
    "CF-Visitor",
    "Fastly-Client-IP",
    "Fly-Client-IP",
    "True_Client_IP",
    "X.Forwarded.For",
    "X-Forwarded!For",
    "X-Vercel-Forwarded-For",
    "X-Azure-ClientIP",
    "X-Azure-SocketIP",
    "X-AppEngine-User-IP",
    "X-AppEngine-Remote-Addr",
    "X-ProxyUser-IP",
    "X-NF-Client-Connection-IP",
    "X-Envoy-External-Address",
    "X-Remote-IP",
    "X-Remote-Addr",
    "Remote-Addr",
    "X-Originating-IP",
    "WL-Proxy-Client-IP",
    "Front-End-Https",
    "X-Scheme",
    "X-Url-Scheme",
    "X-HTTP-Host-Override",
    "Proxy-Authorization",
    "Proxy-Connection",
    "Keep-Alive",
];

/// A service that hands on what it was asked.
fn recorder() -> (SocketAddr, Receiver<Request>) {
    let (requests, seen) = unbounded();
    let address = service(move |request, _| {
        let _ = requests.send(request.clone());
        ok("seen")
    });
    (address, seen)
}

fn forged(host: &str) -> String {
    let lines: String = FORGERIES.iter().map(|name| format!("{name}: {FORGED}\r\n")).collect();
    get(host, "/", &format!("{lines}X-Kept: yes\r\nCookie: a=b\r\n"))
}

#[track_caller]
fn check(request: &Request, host: &str, proto: &str) {
    let rows = [
        ("host", host),
        ("x-forwarded-for", "127.0.0.1"),
        ("x-forwarded-host", host),
        ("x-forwarded-proto", proto),
        ("via", "1.1 pinhole"),
        ("x-kept", "yes"),
        ("cookie", "a=b"),
    ];
    for (name, value) in rows {
        assert_eq!(request.field(name), Some(value), "{name} of {request:?}");
    }
    assert!(request.fields.iter().all(|(_, value)| !value.contains(FORGED)), "{request:?}");
    assert_eq!(request.fields.len(), rows.len(), "{request:?}");
}

#[test]
fn forgeries_do_not_reach_a_service() {
    let server = Server::start();
    let (service, seen) = recorder();
    let _host = server.publish("myhost", service);
    let host = server.authority("myhost");
    assert_eq!(ask(server.gateway, forged(&host)).status, 200);
    check(&seen.recv_timeout(DEADLINE).unwrap(), &host, "http");
    // As some programs spell it.
    let host = host.replace("myhost", "MyHost").replace(":", ".:");
    assert_eq!(ask(server.gateway, forged(&host)).status, 200);
    check(&seen.recv_timeout(DEADLINE).unwrap(), &host, "http");
}

#[test]
fn behind_tls_the_scheme_is_https() {
    let authority = Authority::new("fields");
    let server = authority.server(&["--open"]);
    let (service, seen) = recorder();
    let _host = authority.publish(&server, "myhost", service, &[]);
    let host = server.authority("myhost");
    for address in [server.gateway, server.address] {
        let mut stream = std::io::BufReader::new(authority.connect(address, "myhost.p.test"));
        std::io::Write::write_all(stream.get_mut(), forged(&host).as_bytes()).unwrap();
        assert_eq!(super::http::Answer::read(&mut stream).unwrap().status, 200);
        check(&seen.recv_timeout(DEADLINE).unwrap(), &host, "https");
    }
}

/// `Connection` names fields for the next hop alone. It must not be a way to take away what we say, or what others rely
/// on.
#[test]
fn connection_takes_away_what_is_the_browsers_own_and_nothing_else() {
    let server = Server::start();
    let (service, seen) = recorder();
    let _host = server.publish("myhost", service);
    let host = server.authority("myhost");
    let options = "close, X-Forwarded-For, X-Forwarded-Proto, Host, Cookie, Authorization, Via, X-Own, Content-Length";
    let fields =
        format!("Connection: {options}\r\nX-Own: 1\r\nCookie: a=b\r\nAuthorization: Basic YTpi\r\nVia: 1.1 other\r\n");
    let mut connection = Connection::to(server.gateway);
    connection.send(format!("POST / HTTP/1.1\r\nHost: {host}\r\nContent-Length: 3\r\n{fields}\r\nabc"));
    assert_eq!(connection.answer().status, 200);
    let request = seen.recv_timeout(DEADLINE).unwrap();
    for (name, value) in [
        ("host", Some(&*host)),
        ("x-forwarded-for", Some("127.0.0.1")),
        ("x-forwarded-proto", Some("http")),
        ("x-own", None),
        ("cookie", Some("a=b")),
        ("authorization", Some("Basic YTpi")),
        ("content-length", Some("3")),
        ("connection", Some("close")),
    ] {
        assert_eq!(request.field(name), value, "{name} of {request:?}");
    }
    let via: Vec<&str> = request.fields.iter().filter(|(name, _)| name == "via").map(|(_, value)| &**value).collect();
    assert_eq!(via, ["1.1 other", "1.1 pinhole"]);
}

/// `Proxy` becomes `HTTP_PROXY` in the environment of CGI programs, which then send what they ask for to whoever said
/// so.
#[test]
fn proxy_does_not_reach_a_service() {
    let server = Server::start();
    let (service, seen) = recorder();
    let _host = server.publish("myhost", service);
    assert_eq!(ask(server.gateway, get(&server.authority("myhost"), "/", "Proxy: http://6.6.6.6/\r\n")).status, 200);
    let request = seen.recv_timeout(DEADLINE).unwrap();
    assert_eq!(request.field("proxy"), None, "{request:?}");
}
