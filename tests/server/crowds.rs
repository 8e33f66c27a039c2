//! Clients that do not read, and crowds: others do not notice, and the server's memory for them is bounded.

use std::io::{self, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use pinhole::internals::net::limits::raise_descriptor_limit;
use pinhole::internals::signaling::rendezvous::{Packet, Payload};
use serde_json::json;
use tungstenite::protocol::Role;
use tungstenite::{Message, WebSocket};

use crate::common::pinhole::{Pinhole, text};
use crate::common::services::echo;
use crate::common::system::{descriptors, figure, peak_resident_kib, resident_kib, skipped};
use crate::common::{ReservedPort, connect, ping, some_are_open};
use crate::lab::{Client, Honest, Server, Transfer, check_echo, registered};
use crate::raw::{Raw, conversation};

/// Maximum memory that a server may use here, in kibibytes: one slow client may have 5 MiB waiting.
const MEMORY_LIMIT: u64 = 64 * 1024;

/// Echoes that are measured beside what others do.
const ECHOES: usize = 50;

/// Connections that do nothing.
const IDLE: usize = 2500;

/// Measures echoes on a stream; the longest of them.
fn echoes(stream: &mut TcpStream, count: usize) -> Duration {
    let measure = |_| {
        let start = Instant::now();
        ping(stream);
        start.elapsed()
    };
    (0..count).map(measure).max().unwrap_or_default()
}

/// A host made by hand that answers all its clients but the first, and floods that one.
struct Flood {
    is_over: Arc<AtomicBool>,
    writer: JoinHandle<u64>,
}

impl Flood {
    fn of(mut host: Raw, victim: u32) -> Flood {
        let is_over = Arc::<AtomicBool>::default();
        // Both of the same connection: one for each direction.
        let output = host.0.get_ref().try_clone().unwrap();
        let output = Arc::new(Mutex::new(WebSocket::from_raw_socket(output, Role::Client, None)));
        let echo = output.clone();
        thread::spawn(move || {
            while let Ok(message) = host.0.read() {
                if let Message::Binary(bytes) = message {
                    echo.lock().unwrap().send(Message::Binary(bytes)).unwrap();
                }
            }
        });
        let packet = Packet { conversation: victim, payload: Payload::Binary(vec![7; 60_000].into()) }.encode();
        let writer = thread::spawn({
            let is_over = is_over.clone();
            move || {
                let mut sent = 0;
                while !is_over.load(Ordering::Relaxed) {
                    // Locked for one message, so that answers have their turn.
                    output.lock().unwrap().send(Message::Binary(packet.clone())).unwrap();
                    sent += packet.len() as u64;
                    thread::yield_now();
                }
                sent
            }
        });
        Flood { is_over, writer }
    }

    fn end(self) -> u64 {
        self.is_over.store(true, Ordering::Relaxed);
        self.writer.join().unwrap()
    }
}

#[test]
fn a_client_that_does_not_read_is_given_up_and_nobody_else_notices() {
    let mut server = Server::open(&[]);
    let mut honest = Honest::at(&server);
    let mut elsewhere = honest.host().relayed();
    let mut stream = elsewhere.stream();
    let (host, slow, victim) = conversation(server.address());
    let mut other = Raw::client(server.address(), "myhost");

    let flood = Flood::of(host, victim);
    let refused = server.process.event("refused");
    assert_eq!(refused["code"], "slow");
    assert_eq!(refused["message"], "it takes what the host sends too slowly");
    let left = server.process.find("the slow client", |event| event["event"] == "client-left");
    assert_eq!((text(&left, "id"), text(&left, "reason")), ("myhost".to_owned(), "slow".to_owned()));
    figure(&format!("a client that did not read was given up after {} bytes", left["sent"]));

    // The host does not know yet, and goes on.
    let longest = echoes(&mut stream, ECHOES);
    let mut longest_here = Duration::ZERO;
    for _ in 0..ECHOES {
        let start = Instant::now();
        other.text("ping");
        assert_eq!(other.next_text(), "ping");
        longest_here = longest_here.max(start.elapsed());
    }
    let sent = flood.end();
    let peak = peak_resident_kib(server.process.pid());
    figure(&format!(
        "beside a flood of {} MB the longest echo took {longest_here:?}, of another host {longest:?}; the server had {peak} KiB",
        sent / 1_000_000
    ));
    assert!(peak < MEMORY_LIMIT, "the server needed {peak} KiB");
    drop(slow);
    elsewhere.process.stop();
    honest.is_served();
    server.stop();
}

#[test]
fn among_slow_clients_the_slowest_are_given_up() {
    let mut server = Server::open(&[]);
    let honest = Honest::at(&server);
    let message = vec![7; 60_000];
    let give = |host: &mut Raw, conversation, count| {
        let packet = Packet { conversation, payload: Payload::Binary(message.clone().into()) }.encode();
        (0..count).for_each(|_| host.binary(packet.clone()));
    };
    let join = |host: &mut Raw, id| {
        let mut client = Raw::client(server.address(), id);
        client.text("hello");
        let number = host.joined();
        host.packet();
        (client, number)
    };
    let mut patient = Raw::host(server.address(), "patient");
    let (mut client, number) = join(&mut patient, "patient");
    give(&mut patient, number, 20);
    // None of these has more waiting than one may have; all of them have more than all may have.
    let mut host = Raw::host(server.address(), "myhost");
    let mut slow = Vec::new();
    for _ in 0..64 {
        let (client, number) = join(&mut host, "myhost");
        give(&mut host, number, 86);
        slow.push(client);
    }
    host.is_taken();
    give(&mut patient, number, 60);
    patient.is_taken();
    for _ in 0..80 {
        assert_eq!(client.next().len(), message.len());
    }
    let refused = server.process.event("refused");
    assert_eq!(refused["code"], "slow");
    let peak = peak_resident_kib(server.process.pid());
    figure(&format!("64 clients that do not read: the server had {peak} KiB"));
    assert!(peak < 320 * 1024, "the server needed {peak} KiB");
    drop((slow, host, patient, client));
    honest.is_served();
    server.stop();
}

#[test]
fn a_client_process_that_is_stopped_holds_nobody_up() {
    let server = Server::open(&[]);
    let mut host = server.host("myhost", echo(), &[]);
    let mut honest = Honest::at(&server);
    let (mut beside, mut elsewhere) = (host.relayed(), honest.host().relayed());
    let mut streams = [beside.stream(), elsewhere.stream()];
    let mut frozen = host.relayed();
    let mut transfer = Transfer::start(frozen.local, 30_000_000);
    transfer.take(1_000_000);
    let before = resident_kib(server.process.pid());
    frozen.process.signal(nix::sys::signal::Signal::SIGSTOP);
    let longest = streams.each_mut().map(|stream| echoes(stream, ECHOES));
    let peak = peak_resident_kib(server.process.pid());
    figure(&format!("beside a client that is stopped the longest echoes took {longest:?}; {before} to {peak} KiB"));
    assert!(peak < MEMORY_LIMIT, "the server needed {peak} KiB");
    frozen.process.signal(nix::sys::signal::Signal::SIGCONT);
    // It missed nothing.
    transfer.finish();
    for process in [&mut frozen.process, &mut beside.process, &mut elsewhere.process, &mut host.process] {
        process.stop();
    }
    server.stop();
}

#[test]
fn a_host_that_does_not_read_makes_its_own_clients_wait() {
    let server = Server::open(&[]);
    let mut honest = Honest::at(&server);
    let mut elsewhere = honest.host().relayed();
    let mut stream = elsewhere.stream();
    let mut host = Raw::host(server.address(), "myhost");
    let mut clients = [0, 1].map(|_| Raw::client(server.address(), "myhost"));
    let numbers = clients.each_mut().map(|client| {
        client.text("hello");
        let number = host.joined();
        host.packet();
        number
    });
    // Each client sends until nothing more is taken.
    let message = vec![7; 60_000];
    let sent = clients.each_mut().map(|client| {
        client.0.get_ref().set_write_timeout(Some(Duration::from_millis(500))).unwrap();
        let mut sent = 0;
        while client.0.send(Message::binary(message.clone())).is_ok() {
            sent += 1;
            assert!(sent < 1000, "60 MB were taken");
        }
        sent
    });
    let longest = echoes(&mut stream, ECHOES);
    let held = resident_kib(server.process.pid());
    figure(&format!(
        "a host that does not read was sent {sent:?} messages; the longest echo elsewhere took {longest:?}"
    ));
    assert!(held < MEMORY_LIMIT, "the server needed {held} KiB");
    // What a host says meanwhile still comes, be it more than the system takes at once.
    for (client, number) in clients.iter_mut().zip(numbers) {
        for _ in 0..30 {
            host.binary(Packet { conversation: number, payload: Payload::Binary(message.clone().into()) }.encode());
        }
        host.say(number, "patience");
        for _ in 0..30 {
            assert_eq!(client.next().len(), message.len());
        }
        assert_eq!(client.next_text(), "patience");
    }
    // The host takes up again, and everything that was taken comes, and what was cut in the middle with it.
    let flushed = clients.map(|mut client| {
        thread::spawn(move || {
            client.0.get_ref().set_write_timeout(Some(crate::common::DEADLINE)).unwrap();
            client.0.flush().unwrap();
            client
        })
    });
    let mut got = [0, 0];
    while got != [sent[0] + 1, sent[1] + 1] {
        let packet = host.packet();
        let index = numbers.iter().position(|number| *number == packet.conversation).expect("it is one of the two");
        assert_eq!(packet.payload.len(), message.len());
        got[index] += 1;
    }
    drop(flushed.map(|thread| thread.join().unwrap()));
    elsewhere.process.stop();
    honest.is_served();
    server.stop();
}

#[test]
fn thousands_of_idle_connections_keep_nobody_out() {
    let server = Server::open(&[]);
    let mut honest = Honest::at(&server);
    let granted = server.serving["descriptors"].as_u64().unwrap();
    match raise_descriptor_limit() {
        Ok(limit) if limit > 2 * IDLE as u64 && granted > 2 * IDLE as u64 => {}
        other => return skipped("thousands of idle connections", &format!("descriptors: {other:?}, {granted}")),
    }
    let mut client = honest.host().relayed();
    let mut stream = client.stream();
    let idle: Vec<TcpStream> = (0..IDLE).map(|index| idle(server.address(), index)).collect();
    let longest = echoes(&mut stream, ECHOES);
    let start = Instant::now();
    honest.is_served();
    figure(&format!(
        "beside {IDLE} idle connections the longest echo took {longest:?}, and a client came in within {:?}; the server has {} \
         descriptors and {} KiB",
        start.elapsed(),
        descriptors(server.process.pid()),
        resident_kib(server.process.pid()),
    ));
    assert!(resident_kib(server.process.pid()) < MEMORY_LIMIT);
    drop(idle);
    let mut host = server.host("lasthost", echo(), &[]);
    host.process.stop();
    client.process.stop();
    server.stop();
}

#[test]
fn a_server_without_descriptors_lets_those_in_who_say_what_they_want() {
    let port = ReservedPort::new();
    let arguments = format!("ulimit -n 128; exec \"$0\" server --open --json --listen {}", port.address);
    let mut shell = Command::new("sh");
    shell.args(["-c", &arguments, env!("CARGO_BIN_EXE_pinhole")]);
    let mut server = Pinhole::spawn("server", shell);
    assert_eq!(server.event("serving")["descriptors"], 128);
    let url = format!("ws://{}", port.address);
    let mut host = Pinhole::host(echo(), &["--server", &url, "--id", "myhost"]);
    let at = registered(&mut host);
    let mut client = Client::of(&at, &["--relay-only"]);
    let mut stream = client.stream();
    // More than there is room for: they are accepted one after the other, and say nothing.
    let start = Instant::now();
    let idle: Vec<TcpStream> = (0..400).map(|_| connect(port.address)).collect();
    let longest = echoes(&mut stream, ECHOES);
    for _ in 0..3 {
        let mut newcomer = Client::of(&at, &["--relay-only"]);
        check_echo(newcomer.local, 10_000);
        newcomer.process.stop();
    }
    figure(&format!(
        "without descriptors the longest echo took {longest:?}, and three clients came in within {:?}",
        start.elapsed()
    ));
    assert!(some_are_open(&idle), "they had to wait until the others had had their time");
    drop(idle);
    client.is_undisturbed();
    client.process.stop();
    host.stop();
    server.stop();
}

/// A connection that says nothing, or not enough.
fn idle(server: SocketAddr, index: usize) -> TcpStream {
    let mut stream = connect(server);
    let beginning = ["", "G", "GET /ws/honest HTTP/1.1\r\nHost: x\r\n"][index % 3];
    stream.write_all(beginning.as_bytes()).unwrap();
    stream
}

#[test]
fn no_more_hosts_and_clients_come_in_than_may() {
    let mut server = Server::open(&["--max-hosts", "2", "--max-clients", "2"]);
    let mut first = server.host("first", echo(), &[]);
    let mut second = server.host("second", echo(), &[]);
    let sentence = "the server has all the hosts it may have; try again later";
    server.start_host("third", echo(), &[]).end().expect(1, &[r#""code":"full""#, sentence]);
    assert_eq!(server.process.event("refused")["code"], json!("full"));
    second.process.stop();
    server.process.event("host-left");
    let mut second = server.host("second", echo(), &[]);

    let mut clients = [first.relayed(), second.relayed()];
    let sentence = "the server has all the clients it may have; try again later";
    let url = &first.url;
    Pinhole::client(url, &[]).end().expect(1, &[r#""code":"full""#, sentence]);
    assert_eq!(server.process.event("refused")["code"], json!("full"));
    clients[0].process.stop();
    server.process.event("client-left");
    // One with a direct path leaves the server again, and takes no place there.
    let mut direct = first.direct();
    server.process.event("client-left");
    let mut last = first.relayed();
    for client in [&direct, &last, &clients[1]] {
        check_echo(client.local, 10_000);
    }
    let stop = |client: &mut Client| drop(client.process.stop());
    [&mut direct, &mut last, &mut clients[1]].into_iter().for_each(stop);
    first.process.stop();
    second.process.stop();
    server.stop();
}

#[test]
fn pings_and_small_messages_by_the_thousand_hold_nobody_up() {
    let server = Server::open(&[]);
    let mut honest = Honest::at(&server);
    let mut client = honest.host().relayed();
    let mut stream = client.stream();
    let is_over = Arc::<AtomicBool>::default();
    // Empty messages and pings, masked with zeros: the least bytes for the most work.
    let floods = [("pinged", [0x89, 0x80, 0, 0, 0, 0]), ("flooded", [0x81, 0x80, 0, 0, 0, 0])].map(|(id, frame)| {
        let (address, is_over) = (server.address(), is_over.clone());
        thread::spawn(move || {
            let mut host = Raw::host(address, id);
            let raw = Raw::client(address, id);
            let input = raw.0.get_ref().try_clone().unwrap();
            let pongs = thread::spawn(move || io::copy(&mut &input, &mut io::sink()));
            let taken = thread::spawn(move || while host.0.read().is_ok() {});
            let mut sent = 0_u64;
            while !is_over.load(Ordering::Relaxed) && (&mut raw.0.get_ref()).write_all(&frame.repeat(10_000)).is_ok() {
                sent += 10_000;
            }
            let _ = raw.0.get_ref().shutdown(std::net::Shutdown::Both);
            let _ = pongs.join().unwrap();
            drop(taken);
            sent
        })
    });
    let longest = echoes(&mut stream, 10);
    is_over.store(true, Ordering::Relaxed);
    let sent = floods.map(|flood| flood.join().unwrap());
    figure(&format!("beside {sent:?} pings and empty messages the longest echo took {longest:?}"));
    assert!(resident_kib(server.process.pid()) < MEMORY_LIMIT);
    client.process.stop();
    honest.is_served();
    server.stop();
}
