//! Forwards that lead back to themselves: the service is down, and a forward to it has its port.

use std::io::{Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, UdpSocket};
use std::os::unix::net::UnixStream;
use std::thread;
use std::time::{Duration, Instant};

use pinhole::internals::net::interfaces::usable_addresses;
use serde_json::Value;

use crate::common::pinhole::{Pinhole, text};
use crate::common::services::{echo, serve, sink};
use crate::common::system::skipped;
use crate::common::{DEADLINE, ReservedPort, any_port, connect, quiet_port, try_connect, wait_until};

/// Maximum number of streams that one connection may open, on both sides together: twice round, if two targets
/// alternate.
const MOST_STREAMS: usize = 6;

fn host(arguments: &[&str]) -> (Pinhole, String) {
    let mut host = Pinhole::start("host", &[&["host", "--json", "--no-stun"], arguments].concat());
    let url = host.url();
    (host, url)
}

fn client(url: &str, arguments: &[&str]) -> Pinhole {
    let mut client = Pinhole::start("client", &[&["client", url, "--json", "--no-stun"], arguments].concat());
    client.event("connected");
    client
}

fn streams(side: &mut Pinhole) -> usize {
    side.events_so_far().iter().filter(|event| event["event"] == "stream-opened").count()
}

/// Sends data on a connection, and waits for its end: it never gets an answer.
fn say(mut stream: impl Read + Write) {
    // It may be over by now.
    let _ = stream.write_all(b"hello");
    let mut answer = Vec::new();
    let ended = stream.read_to_end(&mut answer);
    assert!(answer.is_empty(), "{answer:?}");
    if let Err(error) = ended {
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    }
}

/// An address of this machine that is not loopback.
fn own_address(test: &str) -> Option<IpAddr> {
    let own = usable_addresses(false).unwrap().into_iter().find(IpAddr::is_ipv4);
    if own.is_none() {
        skipped(test, "this machine has no IPv4 address but loopback");
    }
    own
}

/// The arguments of a host and its clients.
type Arguments = (Vec<String>, Vec<Vec<String>>);

/// Connects to the first of two ports, where only the arguments make something listen, and checks that the dialling
/// side notices the loop. If another program has one of the ports, others are tried.
#[track_caller]
fn check(arguments: impl Fn(u16, u16) -> Arguments, by_client: bool) {
    let is_done = (0..10).any(|_| {
        let (first, second) = (ReservedPort::new(), ReservedPort::new());
        let ports = [first, second].map(|reserved| (reserved.address.port(), reserved));
        comes_back(arguments(ports[0].0, ports[1].0), ports[0].0, by_client)
    });
    assert!(is_done, "no ports are free");
}

/// Tells whether the ports were free.
#[track_caller]
fn comes_back((host_arguments, client_arguments): Arguments, port: u16, by_client: bool) -> bool {
    let (mut host, url) = host(&host_arguments.iter().map(String::as_str).collect::<Vec<_>>());
    let mut clients = Vec::new();
    for arguments in &client_arguments {
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let started = [&["client", &url, "--json", "--no-stun"], &arguments[..]].concat();
        let mut client = Pinhole::start("client", &started);
        let is_begun = |event: &Value| event["event"] == "connected" || event["code"] == "address-in-use";
        if client.find("a session", is_begun)["event"] == "error" {
            return false;
        }
        clients.push(client);
    }
    let last = clients.last_mut().unwrap();
    last.find("a forward", |event| event["event"] == "forwarding" || event["event"] == "reverse-forwarding");
    if client_arguments.iter().flatten().any(|argument| argument == "-R") {
        host.event("reverse-forwarding");
    }
    // It may be reset so soon that connecting fails.
    if let Ok(stream) = try_connect(([127, 0, 0, 1], port).into()) {
        say(stream);
    }
    let who = if by_client { last } else { &mut host };
    let warning = who.problem("warning", "loop");
    assert!(warning.contains("leads back to itself"), "{warning}");
    let count = streams(&mut host) + clients.iter_mut().map(streams).sum::<usize>();
    assert!(count <= MOST_STREAMS, "{count} streams by {host_arguments:?} {client_arguments:?}");
    clients.iter_mut().for_each(|client| drop(client.stop()));
    host.stop();
    true
}

fn texts<const N: usize>(texts: [&str; N]) -> Vec<String> {
    texts.map(str::to_owned).to_vec()
}

#[test]
fn a_connection_that_comes_back_is_refused() {
    for way in ["--no-relay", "--relay-only"] {
        check(|p, _| (texts([&p.to_string(), way]), vec![texts([&p.to_string(), way])]), false);
    }
    check(|p, _| (texts([&format!("127.0.0.1:{p}")]), vec![texts([&p.to_string()])]), false);
    check(|p, _| (texts([&format!("LOCALHOST:{p}")]), vec![texts([&format!("0.0.0.0:{p}")])]), false);
    if let Some(own) = own_address("a forward that leads back over an address of this machine") {
        check(|p, _| (texts([&format!("{own}:{p}")]), vec![texts([&format!("0.0.0.0:{p}")])]), false);
    }
    // What a client names itself, either way round, and one way in and the other out.
    let named = |p| (format!("127.0.0.1:{p}"), format!("{p}:127.0.0.1:{p}"));
    check(|p, _| (texts(["--allow", &named(p).0]), vec![texts(["-L", &named(p).1])]), false);
    check(|p, _| (texts(["--allow-reverse", &p.to_string()]), vec![texts(["-R", &named(p).1])]), true);
    let crossed = |p, q| {
        let (there, back) = (format!("{p}:127.0.0.1:{q}"), format!("{q}:127.0.0.1:{p}"));
        let host = texts(["--allow", &format!("127.0.0.1:{q}"), "--allow-reverse", &format!("{q}")]);
        (host, vec![texts(["-L", &there, "-R", &back])])
    };
    check(crossed, false);
    // Two services, each where the other one should be; of one client, and of two.
    let services = |p, q| texts([&format!("a={p}"), &format!("b={q}")]);
    let places = |p, q| texts([&format!("a={q}"), &format!("b={p}")]);
    check(|p, q| (services(p, q), vec![places(p, q)]), false);
    check(|p, q| (services(p, q), places(p, q).into_iter().map(|place| vec![place]).collect()), false);
}

#[test]
fn a_socket_file_that_leads_to_itself_is_noticed() {
    let path = std::env::temp_dir().join(format!("pinhole-loop-{}.sock", std::process::id()));
    let file = format!("unix:{}", path.display());
    let (mut host, url) = host(&[&format!("db={file}")]);
    let mut client = client(&url, &[&format!("db={file}")]);
    client.event("forwarding");
    let stream = UnixStream::connect(&path).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    say(stream);
    host.problem("warning", "loop");
    assert!(streams(&mut host) + streams(&mut client) <= MOST_STREAMS);
    client.stop();
    host.stop();
}

#[test]
fn a_datagram_that_comes_back_goes_no_further() {
    let mut reserved = Some(UdpSocket::bind(any_port()).unwrap());
    let port = reserved.as_ref().unwrap().local_addr().unwrap().port();
    let own = own_address("datagrams that lead back over an address of this machine");
    let (here, there) = (format!("udp:{port}"), format!("u=udp:{port}"));
    let mut cases = vec![(vec![there.clone()], vec![there.clone()], false)];
    cases.push((vec![there.clone()], vec![format!("u=udp:0.0.0.0:{port}")], false));
    if let Some(own) = own {
        cases.push((vec![format!("u=udp:{own}:{port}")], vec![format!("u=udp:0.0.0.0:{port}")], false));
    }
    let reverse = vec!["-R".to_owned(), format!("udp:{port}:127.0.0.1:{port}")];
    cases.push((vec!["--allow-reverse".to_owned(), here], reverse, true));
    for (host_arguments, client_arguments, by_client) in cases {
        let host_arguments: Vec<&str> = host_arguments.iter().map(String::as_str).collect();
        let client_arguments: Vec<&str> = client_arguments.iter().map(String::as_str).collect();
        let (mut host, url) = host(&host_arguments);
        // The first client takes it at once; later ones find it as they left it.
        drop(reserved.take());
        let mut client = client(&url, &client_arguments);
        client.find("a forward", |event| event["event"] == "forwarding" || event["event"] == "reverse-forwarding");
        let program = UdpSocket::bind(any_port()).unwrap();
        program.send_to(b"hello", ("127.0.0.1", port)).unwrap();
        let who = if by_client { &mut client } else { &mut host };
        who.problem("warning", "loop");
        // Both flows of the round end; a datagram that is on its way still would open another.
        let closed = |event: &Value| event["event"] == "stream-closed";
        host.find("the end of a flow", closed);
        client.find("the end of a flow", closed);
        let count = streams(&mut host) + streams(&mut client);
        assert!(count <= MOST_STREAMS, "{count} flows by {host_arguments:?} {client_arguments:?}");
        client.stop();
        host.stop();
    }
}

#[test]
fn a_detour_is_no_way_back() {
    let service = echo();
    // The first service is the client's own forward of the second.
    let reserved = ReservedPort::new();
    let port = reserved.address.port();
    let (mut host, url) = host(&[&format!("a={port}"), &format!("b={service}"), "--allow-reverse", "*"]);
    let mut client = client(&url, &["a=0", &format!("b={port}"), "-R", &format!("0:{service}")]);
    let a = text(&client.find("a", |event| event["service"] == "a"), "local");
    let reverse = text(&host.event("reverse-forwarding"), "local");
    let through = |local: &str| {
        let mut stream = connect(local.parse::<SocketAddr>().unwrap());
        stream.write_all(b"hello").unwrap();
        let mut answer = [0; 5];
        stream.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"hello");
    };
    through(&a);
    // A host where two clients meet: one has it listen, the other has it dial that.
    through(&reverse);
    client.stop();
    host.stop();
}

#[test]
fn clients_meet_at_a_host() {
    let service = echo();
    let reserved = ReservedPort::new();
    let port = reserved.address.port();
    let (mut host, url) = host(&["--allow-reverse", "*", "--allow", &format!("127.0.0.1:{port}")]);
    let mut giver = client(&url, &["-R", &format!("{port}:{service}")]);
    host.event("reverse-forwarding");
    let mut taker = client(&url, &["-L", &format!("0:127.0.0.1:{port}")]);
    let mut stream = connect(taker.local());
    stream.write_all(b"hello").unwrap();
    let mut answer = [0; 5];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"hello");
    drop(stream);
    taker.stop();
    giver.stop();
    host.stop();
}

/// Two hosts, each sharing what the other one's client makes appear. No process sees the whole loop.
fn ring(scheme: &str, port: u16, other: u16) -> [Pinhole; 4] {
    let (first, first_url) = host(&[&format!("a={scheme}127.0.0.1:{other}")]);
    let (second, second_url) = host(&[&format!("b={scheme}127.0.0.1:{port}")]);
    let mut there = client(&first_url, &[&format!("a={scheme}{port}")]);
    let mut back = client(&second_url, &[&format!("b={scheme}{other}")]);
    there.event("forwarding");
    back.event("forwarding");
    [first, second, there, back]
}

/// Streams that each of four processes may open until a ring is noticed.
const MOST_IN_RING: usize = 60;

/// How long a datagram may be under way before it counts as lost.
const AGAIN: Duration = Duration::from_secs(1);

/// Waits until the loop is noticed; `again` repeats what may have been lost.
fn check_ring(mut ring: [Pinhole; 4], again: impl Fn()) {
    // Either host may be the one that notices.
    let is_loop = |event: &Value| event["event"] == "warning" && event["code"] == "loop";
    let mut due = Instant::now();
    wait_until("a host to notice the ring", || {
        if Instant::now() >= due {
            again();
            due = Instant::now() + AGAIN;
        }
        let [first, second, ..] = &mut ring;
        first.events_so_far().iter().chain(&second.events_so_far()).any(is_loop)
    });
    for side in &mut ring {
        let count = streams(side);
        assert!(count <= MOST_IN_RING, "{count} streams");
    }
    let [first, second, there, back] = ring;
    for mut side in [there, back, first, second] {
        side.stop();
    }
}

#[test]
fn a_round_through_two_hosts_ends() {
    let (first, second) = (ReservedPort::new(), ReservedPort::new());
    let ring = ring("", first.address.port(), second.address.port());
    say(connect(first.address));
    check_ring(ring, || {});
}

#[test]
fn a_datagram_does_not_go_round_two_hosts_for_ever() {
    let (port, other) = (quiet_port(), quiet_port());
    let ring = ring("udp:", port, other);
    let program = UdpSocket::bind(any_port()).unwrap();
    check_ring(ring, || drop(program.send_to(b"hello", ("127.0.0.1", port))));
}

#[test]
fn workers_who_take_turns_are_served() {
    const WORKERS: usize = 24;
    // It takes its time: nobody has an answer when many are there, and each who has one makes room for exactly one.
    let service = serve(|mut stream| {
        stream.read_exact(&mut [0; 5])?;
        thread::park_timeout(Duration::from_millis(100));
        stream.write_all(b"hello")
    });
    let (mut host, url) = host(&[&format!("web={service}")]);
    let mut client = client(&url, &["web=0"]);
    let local = client.local();
    let workers = (0..WORKERS).map(|_| {
        thread::spawn(move || {
            for _ in 0..6 {
                let mut stream = connect(local);
                stream.write_all(b"hello").unwrap();
                let mut answer = Vec::new();
                stream.read_to_end(&mut answer).unwrap();
                assert_eq!(answer, b"hello");
            }
        })
    });
    workers.collect::<Vec<_>>().into_iter().for_each(|worker| worker.join().unwrap());
    assert!(!host.events_so_far().iter().any(|event| event["event"] == "warning"));
    client.stop();
    host.stop();
}

#[test]
fn many_who_wait_for_no_answer_are_served() {
    const COUNT: usize = 50;
    let (mut host, url) = host(&[&format!("sink={}", sink())]);
    let mut client = client(&url, &["sink=0"]);
    let local = client.local();
    // One after the other, each once the host has dialled for the one before, as if that had led to it.
    let mut open = Vec::new();
    for _ in 0..COUNT {
        open.push(connect(local));
        if open.len() % 7 > 0 {
            host.event("stream-opened");
        }
    }
    for mut stream in open {
        stream.write_all(b"hello").unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("5 "), "{answer}");
    }
    assert!(!host.events_so_far().iter().any(|event| event["event"] == "warning"));
    client.stop();
    host.stop();
}
