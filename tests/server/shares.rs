//! One source against each table of a server: others are served as if it were not there.

use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::time::Instant;

use pinhole::internals::net::limits::raise_descriptor_limit;
use pinhole::internals::signaling::rendezvous::instance;

use crate::common::pinhole::Pinhole;
use crate::common::services::echo;
use crate::common::system::{figure, skipped};
use crate::common::{ReservedPort, connect, connect_from, some_are_open};
use crate::lab::{Client, Server, check_echo, registered};
use crate::raw::{Raw, register};

/// Where whoever attacks comes from; honest hosts and clients come from 127.0.0.1.
const STRANGER: u8 = 5;

/// A client made by hand that is answered by a host made by hand.
#[track_caller]
fn is_answered(server: SocketAddr, host: &mut Raw, id: &str) -> (Raw, u32) {
    let mut client = Raw::client(server, id);
    client.text("hello");
    let number = host.joined();
    host.packet();
    host.say(number, "welcome");
    assert_eq!(client.next_text(), "welcome");
    (client, number)
}

#[test]
fn clients_that_say_nothing_take_no_clients_places() {
    let server = Server::open(&["--max-clients", "4"]);
    let mut host = Raw::host(server.address(), "myhost");
    // From elsewhere and from the same address.
    let mut silent = Vec::new();
    for from in [STRANGER, 1] {
        silent.extend((0..50).map(|_| Raw::on(connect_from(from, server.address()), "/ws/myhost")));
    }
    let clients: Vec<_> = (0..4).map(|_| is_answered(server.address(), &mut host, "myhost").0).collect();
    assert!(some_are_open(silent.iter().map(Raw::stream)), "nobody was there any more");
    let mut fifth = Raw::client(server.address(), "myhost");
    fifth.text("hello");
    assert_eq!(fifth.refused().code, "full");
    drop((silent, clients));
    server.stop();
}

#[test]
fn silent_sockets_by_the_thousand_close_a_server_to_nobody() {
    const SILENT: usize = 5000;
    let server = Server::open(&["-q"]);
    let granted = server.serving["descriptors"].as_u64().unwrap();
    match raise_descriptor_limit() {
        Ok(limit) if limit > SILENT as u64 + 500 && granted > SILENT as u64 => {}
        other => return skipped("silent sockets by the thousand", &format!("descriptors: {other:?}, {granted}")),
    }
    let mut host = Raw::host(server.address(), "myhost");
    let silent: Vec<Option<Raw>> =
        (0..SILENT).map(|_| Raw::try_on(connect_from(STRANGER, server.address()), "/ws/myhost")).collect();
    let start = Instant::now();
    let clients: Vec<_> = (0..10).map(|_| is_answered(server.address(), &mut host, "myhost")).collect();
    let another = Raw::host(server.address(), "another");
    assert!(some_are_open(silent.iter().flatten().map(Raw::stream)), "nobody was there any more");
    figure(&format!("beside {SILENT} silent sockets ten clients and a host came in within {:?}", start.elapsed()));
    drop((silent, clients, another));
    server.stop();
}

#[test]
fn clients_of_one_source_give_way_to_those_of_others() {
    let mut server = Server::open(&["--max-clients", "6"]);
    let mut host = Raw::host(server.address(), "myhost");
    let mut join = |from| {
        let mut client = Raw::on(connect_from(from, server.address()), "/ws/myhost");
        client.text("hello");
        host.joined();
        host.packet();
        client
    };
    let mut strangers: Vec<Raw> = (0..6).map(|_| join(STRANGER)).collect();
    let honest: Vec<Raw> = (1..4).map(join).collect();
    for _ in 0..3 {
        let newest = strangers.pop().unwrap();
        assert_eq!(newest.refused().code, "busy", "the newest goes first");
        assert_eq!(server.process.event("refused")["code"], "busy");
    }
    // Those that are left have been there for long.
    for client in &mut strangers {
        client.is_taken();
    }
    drop(honest);
    server.stop();
}

#[test]
fn hosts_of_one_source_give_way_to_those_of_others() {
    let server = Server::open(&["--max-hosts", "4"]);
    let ask = |from, id: &str| {
        let mut host = Raw::on(connect_from(from, server.address()), "/host");
        host.text(register(id, None, instance()));
        host
    };
    let mut strangers: Vec<Raw> = (0..4).map(|index| ask(STRANGER, &format!("stranger-{index}"))).collect();
    strangers.iter_mut().for_each(Raw::is_registered);
    assert_eq!(ask(STRANGER, "stranger-4").refused().code, "full", "its own source takes nothing from it");
    let mut honest = server.host("honest", echo(), &[]);
    let mut client = honest.relayed();
    check_echo(client.local, 10_000);
    assert_eq!(strangers.pop().unwrap().refused().code, "busy");
    strangers.iter_mut().for_each(Raw::is_taken);
    client.process.stop();
    honest.process.stop();
    server.stop();
}

#[test]
fn with_few_descriptors_hosts_and_clients_have_theirs_beside_visitors() {
    let port = ReservedPort::new();
    let arguments =
        format!("ulimit -n 256; exec \"$0\" server --open --json --gateway-domain p.test --listen {}", port.address);
    let mut shell = Command::new("sh");
    shell.args(["-c", &arguments, env!("CARGO_BIN_EXE_pinhole")]);
    let mut server = Pinhole::spawn("server", shell);
    assert_eq!(server.event("serving")["descriptors"], 256);
    // Twice as many as there are descriptors: visitors, and such as may be hosts or clients, as far as they say.
    let url = format!("ws://{}", port.address);
    let strangers: Vec<TcpStream> = (0..512)
        .map(|index| {
            let stream = connect_from(STRANGER, port.address);
            let beginning = ["", "GET / HTTP/1.1\r\nHost: myhost.p.test\r\n", "GET /ws/myhost HTTP/1.1\r\n"][index % 3];
            // It may have given way already.
            let _ = std::io::Write::write_all(&mut &stream, beginning.as_bytes());
            stream
        })
        .collect();
    let start = Instant::now();
    let mut host = Pinhole::host(echo(), &["--server", &url, "--id", "myhost"]);
    let at = registered(&mut host);
    let mut clients: Vec<Client> = (0..3).map(|_| Client::of(&at, &["--relay-only"])).collect();
    for client in &mut clients {
        check_echo(client.local, 10_000);
        client.process.stop();
    }
    figure(&format!("beside 512 connections and 256 descriptors a host and three clients took {:?}", start.elapsed()));
    drop((strangers, connect(port.address)));
    host.stop();
    server.stop();
}
