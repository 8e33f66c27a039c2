//! A server, hosts and clients in one process, through the library.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr};
use std::thread;

use pinhole::internals::access::AccessList;
use pinhole::internals::address::Target;
use pinhole::internals::config::{ClientConfig, GatewayConfig, HostConfig, PublicService, Registration, ServerConfig};
use pinhole::internals::run::{Client, DialError, Host, Server};
use pinhole::internals::signaling::pin::Pin;
use pinhole::internals::signaling::rendezvous::HostId;
use pinhole::internals::signaling::url::SignalingUrl;
use pinhole::internals::status::event::{Event, Way};
use pinhole::internals::tunnel::AbortReason;

use crate::common::services::{echo, serve};
use crate::common::sides::{Side, check_echo, reporter};
use crate::common::{any_port, connect};

fn server(config: ServerConfig) -> (Side, SocketAddr) {
    let (reporter, events) = reporter();
    let server = Server::bind(config, reporter).unwrap();
    let (address, stopper) = (server.local_addr(), server.stopper());
    (Side { events, stopper, thread: thread::spawn(move || server.run()) }, address)
}

fn registration(server: SocketAddr, id: &str) -> Registration {
    Registration::new(SignalingUrl::parse_server(&format!("ws://{server}")).unwrap(), id.parse().unwrap())
}

fn host(registration: Registration, target: SocketAddr) -> Side {
    host_with(registration, target, AccessList::default())
}

fn host_allowing(registration: Registration, target: SocketAddr) -> Side {
    host_with(registration, target, AccessList::parse([target.to_string()]).unwrap())
}

fn host_with(registration: Registration, target: SocketAddr, allow: AccessList) -> Side {
    let (reporter, events) = reporter();
    let mut config = HostConfig::sharing(target.into());
    config.listen = None;
    config.allow = allow;
    config.server = Some(registration);
    let host = Host::bind(config, reporter).unwrap();
    let stopper = host.stopper();
    Side { events, stopper, thread: thread::spawn(move || host.run()) }
}

#[track_caller]
fn registered(host: &Side) -> (SignalingUrl, Pin) {
    host.find("registration", |event| match event {
        Event::Registered { url, .. } => {
            let (url, pin) = SignalingUrl::parse(&url).unwrap();
            Some((url, pin.unwrap()))
        }
        _ => None,
    })
}

fn client(url: SignalingUrl, pin: Pin, direct: bool) -> (Side, SocketAddr) {
    let (reporter, events) = reporter();
    let mut config = ClientConfig::joining(url, pin, any_port());
    config.reach.direct = direct;
    let client = Client::bind(config, reporter).unwrap();
    let (local, stopper) = (client.local_addr(), client.stopper());
    (Side { events, stopper, thread: thread::spawn(move || client.run()) }, local.expect("a port is bound"))
}

#[track_caller]
fn connected(client: &Side) -> Way {
    client.find("connection", |event| match event {
        Event::Connected { way, .. } => Some(way),
        _ => None,
    })
}

#[test]
fn a_client_joins_a_host_by_its_name() {
    let (server, address) = server(ServerConfig::open(any_port()));
    let host = host(registration(address, "myhost"), echo());
    let (url, pin) = registered(&host);
    assert_eq!(url.path(), "/ws/myhost");
    for direct in [true, false] {
        let (client, local) = client(url.clone(), pin.clone(), direct);
        assert_eq!(matches!(connected(&client), Way::Direct { .. }), direct);
        check_echo(local, &"hello ".repeat(10_000));
        client.stop();
    }
    host.stop();
    server.stop();
}

/// Answers every request with its own head.
fn mirror() -> SocketAddr {
    serve(|mut stream| {
        let mut reader = BufReader::new(stream.try_clone()?);
        loop {
            let mut head = String::new();
            while !head.ends_with("\r\n\r\n") {
                if reader.read_line(&mut head)? == 0 {
                    return Ok(());
                }
            }
            write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{head}", head.len())?;
        }
    })
}

/// Fetches a page, and returns the whole answer.
pub(crate) fn get(address: SocketAddr, host: &str, path: &str) -> String {
    let mut stream = connect(address);
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn a_published_service_is_found_by_its_name() {
    let mut config = ServerConfig::open(any_port());
    config.gateway = Some(GatewayConfig::new("p.test".parse().unwrap()));
    let (server, address) = server(config);
    let mut registration = registration(address, "myhost");
    registration.public = Some(PublicService::new(0));
    let host = host(registration, mirror());
    let (url, pin) = registered(&host);
    let answer = get(address, "myhost.p.test", "/a?b");
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(answer.contains("GET /a?b HTTP/1.1\r\n"), "{answer}");
    assert!(get(address, "other.p.test", "/").starts_with("HTTP/1.1 404"));
    assert!(get(address, "p.test", "/healthz").ends_with("ok\n"));
    // Signaling goes through the same port.
    let (client, local) = client(url, pin, false);
    connected(&client);
    let mut stream = connect(local);
    write!(stream, "GET / HTTP/1.1\r\n\r\n").unwrap();
    let mut answer = [0; 15];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"HTTP/1.1 200 OK");
    client.stop();
    host.stop();
    server.stop();
}

#[test]
fn other_threads_dial_through_a_host() {
    let (reporter, events) = reporter();
    let server = Server::bind(ServerConfig::open(any_port()), reporter).unwrap();
    let (address, stopper, dialer) = (server.local_addr(), server.stopper(), server.dialer());
    let server = Side { events, stopper, thread: thread::spawn(move || server.run()) };
    let target = echo();
    let allowed = Target { host: target.ip().to_string(), port: target.port() };
    let plain = host(registration(address, "plain"), target);
    registered(&plain);
    let mut trusting = registration(address, "dialling");
    trusting.dial = true;
    let dialling = host_allowing(trusting, target);
    registered(&dialling);

    let id = |id: &str| id.parse::<HostId>().unwrap();
    let mut stream = dialer.dial(&id("dialling"), &allowed).unwrap();
    stream.write_all(b"hello").unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert_eq!(answer, "hello");
    let other = Target { host: "127.0.0.1".to_owned(), port: 9 };
    let rows = [
        (id("nobody"), &allowed, DialError::NoHost),
        (id("plain"), &allowed, DialError::NotAllowed),
        (id("dialling"), &other, DialError::Failed(AbortReason::Denied)),
    ];
    for (id, target, expected) in rows {
        assert_eq!(dialer.dial(&id, target).unwrap_err(), expected, "{id}");
    }
    [plain, dialling, server].into_iter().for_each(|side| drop(side.stop()));
    assert_eq!(dialer.dial(&id("dialling"), &allowed).unwrap_err(), DialError::Ended);
}
