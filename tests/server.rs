//! A server, hosts and clients in one process, through the library.

// Helpers of tests stand outside of test functions, where clippy.toml already allows it.
#![allow(clippy::unwrap_used)]

mod common;

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr};
use std::thread;

use pinhole::config::{ClientConfig, HostConfig, Registration, ServerConfig, Target};
use pinhole::driver::{Client, Host, Server};
use pinhole::session::Reach;
use pinhole::signaling::pin::Pin;
use pinhole::signaling::url::SignalingUrl;
use pinhole::status::event::{Event, Way};

use common::services::echo;
use common::sides::{Side, reporter};
use common::{any_port, connect};

fn server(config: ServerConfig) -> (Side, SocketAddr) {
    let (reporter, events) = reporter();
    let server = Server::bind(config, reporter).unwrap();
    let (address, stopper) = (server.local_addr(), server.stopper());
    (Side { events, stopper, thread: thread::spawn(move || server.run()) }, address)
}

fn registration(server: SocketAddr, id: &str) -> Registration {
    Registration {
        server: SignalingUrl::parse_server(&format!("ws://{server}")).unwrap(),
        id: id.parse().unwrap(),
        token: None,
        public: None,
        dial: false,
        ca: None,
        headers: Vec::new(),
        proxy: None,
    }
}

fn host(registration: Registration, target: SocketAddr) -> Side {
    let (reporter, events) = reporter();
    let config = HostConfig {
        stun: Vec::new(),
        listen: None,
        server: Some(registration),
        ..HostConfig::sharing(Target { host: target.ip().to_string(), port: target.port() })
    };
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
    let reach = Reach { direct, ..Reach::default() };
    let config = ClientConfig { stun: Vec::new(), reach, ..ClientConfig::joining(url, pin, any_port()) };
    let client = Client::bind(config, reporter).unwrap();
    let (local, stopper) = (client.local_addr(), client.stopper());
    (Side { events, stopper, thread: thread::spawn(move || client.run()) }, local.expect("a port is bound"))
}

#[track_caller]
fn check_echo(local: SocketAddr, text: &str) {
    let mut stream = connect(local);
    stream.write_all(text.as_bytes()).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert_eq!(answer, text);
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
    assert_eq!(url.path, "/ws/myhost");
    for direct in [true, false] {
        let (client, local) = client(url.clone(), pin.clone(), direct);
        assert_eq!(matches!(connected(&client), Way::Direct { .. }), direct);
        check_echo(local, &"hello ".repeat(10_000));
        client.stop();
    }
    host.stop();
    server.stop();
}
