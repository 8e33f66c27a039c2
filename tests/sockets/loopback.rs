//! A host and a client in one process, through the library, like a program that embeds pinhole.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::thread::{self, JoinHandle};

use pinhole::internals::config::{ClientConfig, HostConfig};
use pinhole::internals::run::{Client, Host, RunError};
use pinhole::internals::session::{End, Reach};
use pinhole::internals::signaling::pin::Pin;
use pinhole::internals::signaling::url::SignalingUrl;
use pinhole::internals::status::event::{Event, StreamEnd};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::common::bytes::{Digester, check_pattern, pattern_digest, write_pattern};
use crate::common::services::{echo, serve};
use crate::common::sides::{Side, check_echo, reporter};
use crate::common::{any_port, connect};

/// Streams that are open at once in the random test.
const STREAMS: u64 = 50;

fn host(target: SocketAddr) -> (Side, SignalingUrl, Pin) {
    let (reporter, events) = reporter();
    let host = Host::bind(HostConfig::sharing(target.into()), reporter).unwrap();
    let (url, pin, stopper) = (host.url().unwrap(), host.pin().clone(), host.stopper());
    (Side { events, stopper, thread: thread::spawn(move || host.run()) }, url, pin)
}

fn client(url: SignalingUrl, pin: Pin) -> (Side, SocketAddr) {
    client_with(Reach::default(), url, pin)
}

fn client_with(reach: Reach, url: SignalingUrl, pin: Pin) -> (Side, SocketAddr) {
    let (reporter, events) = reporter();
    let mut config = ClientConfig::joining(url, pin, any_port());
    config.reach = reach;
    let client = Client::bind(config, reporter).unwrap();
    let (local, stopper) = (client.local_addr(), client.stopper());
    (Side { events, stopper, thread: thread::spawn(move || client.run()) }, local.expect("a port is bound"))
}

#[track_caller]
fn forwarding(client: &Side) -> SocketAddr {
    client.find("forwarding", |event| match event {
        Event::Forwarding { local, .. } => local.parse().ok(),
        _ => None,
    })
}

#[test]
fn connect_echo_and_stop() {
    let (host, url, pin) = host(echo());
    let (client, local) = client(url, pin);
    assert_eq!(forwarding(&client), local);
    check_echo(local, "hello");
    let moved = client.find("the end of the stream", |event| match event {
        Event::StreamClosed { sent, received, reason, .. } => Some((sent, received, reason)),
        _ => None,
    });
    assert_eq!(moved, (5, 5, StreamEnd::Closed));
    client.stop();
    host.find("the end of the session", |event| matches!(event, Event::Disconnected { .. }).then_some(()));
    host.stop();
}

#[test]
fn a_connection_made_before_the_session_is_served_once_it_is_there() {
    let (host, url, pin) = host(echo());
    let (client, local) = client(url, pin);
    // The port is bound, so the system takes connections before the client does.
    check_echo(local, "early");
    client.stop();
    host.stop();
}

#[test]
fn a_client_learns_that_its_host_ended() {
    let (host, url, pin) = host(echo());
    let (client, _) = client(url, pin);
    forwarding(&client);
    host.stop();
    assert!(matches!(client.end(), Err(RunError::Session(End::Peer))));
}

#[test]
fn a_connection_outlives_the_keys_that_it_began_under() {
    let (host, url, pin) = host(echo());
    let mut reach = Reach::default();
    reach.records_per_key = 20;
    let (client, local) = client_with(reach, url, pin);
    forwarding(&client);
    let mut stream = connect(local);
    let mut check = |text: &[u8]| {
        let mut answer = vec![0; text.len()];
        stream.write_all(text).unwrap();
        stream.read_exact(&mut answer).unwrap();
        assert_eq!(answer, text);
    };
    check(&[7; 100_000]);
    for side in [&client, &host] {
        let cause = side.find("another connection", |event| match event {
            Event::Path { cause, .. } => cause,
            Event::Recovering { .. } => panic!("the path was lost"),
            _ => None,
        });
        assert!(cause.contains("took the place"), "{cause}");
    }
    check(&[8; 100_000]);
    client.stop();
    host.stop();
}

#[test]
fn a_wrong_pin_is_an_error_of_its_own() {
    let (host, url, _) = host(echo());
    let (client, _) = client(url, Pin::new("not it").unwrap());
    let error = client.end().unwrap_err();
    assert_eq!(error.code(), "bad-pin", "{error}");
    host.find("bad-pin", |event| matches!(event, Event::Warning { code, .. } if code == "bad-pin").then_some(()));
    host.stop();
}

#[test]
fn two_hosts_in_one_process_do_not_mix() {
    let answering = |answer: &'static str| serve(move |mut stream| stream.write_all(answer.as_bytes()));
    let (first_host, first_url, first_pin) = host(answering("first"));
    let (second_host, second_url, second_pin) = host(answering("second"));
    let (first, first_local) = client(first_url, first_pin);
    let (second, second_local) = client(second_url, second_pin);
    for (local, expected) in [(first_local, "first"), (second_local, "second"), (first_local, "first")] {
        let mut answer = String::new();
        connect(local).read_to_string(&mut answer).unwrap();
        assert_eq!(answer, expected);
    }
    first_host.stop();
    assert!(first.end().is_err());
    let mut answer = String::new();
    connect(second_local).read_to_string(&mut answer).unwrap();
    assert_eq!(answer, "second", "the end of one is nothing to the other");
    second.stop();
    second_host.stop();
}

/// What one stream of the random test does. The client sends it as the first line, so that the service knows.
#[derive(Clone, Copy)]
struct Plan {
    up: u64,
    down: u64,
    /// The service answers only after the end of what it was sent.
    waits_for_end: bool,
    /// The client ends its direction, rather than leave that open until it has the answer.
    half_closes: bool,
}

impl Plan {
    fn random(random: &mut StdRng) -> Plan {
        // Sizes of all orders of magnitude, zero included.
        let mut size = || match random.random_range(0..22_u32) {
            0 => 0,
            bits => random.random_range(0..1_u64 << bits),
        };
        let (up, down) = (size(), size());
        let waits_for_end = random.random();
        Plan { up, down, waits_for_end, half_closes: waits_for_end || random.random() }
    }

    fn line(self) -> String {
        format!("{} {} {}\n", self.up, self.down, self.waits_for_end)
    }

    /// The service's part: checks what comes and answers the digest of it and the pattern.
    fn serve(mut stream: std::net::TcpStream) -> std::io::Result<()> {
        let mut line = Vec::new();
        while !line.ends_with(b"\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte)?;
            line.push(byte[0]);
        }
        let line = String::from_utf8(line).unwrap();
        let [up, down, waits_for_end] = line.split_whitespace().collect::<Vec<_>>().try_into().unwrap();
        let mut digest = Digester::default();
        let up: u64 = up.parse().unwrap();
        if waits_for_end == "true" {
            std::io::copy(&mut stream, &mut digest)?;
        } else {
            std::io::copy(&mut stream.try_clone()?.take(up), &mut digest)?;
        }
        let (len, digest) = digest.finish();
        writeln!(stream, "{len} {digest}")?;
        write_pattern(&mut stream, down.parse().unwrap())
    }

    /// The client's part.
    fn run(self, local: SocketAddr) {
        let mut stream = connect(local);
        stream.write_all(self.line().as_bytes()).unwrap();
        write_pattern(&mut stream, self.up).unwrap();
        if self.half_closes {
            stream.shutdown(Shutdown::Write).unwrap();
        }
        let expected = format!("{} {}\n", self.up, pattern_digest(self.up));
        let mut head = vec![0; expected.len()];
        stream.read_exact(&mut head).unwrap();
        assert_eq!(String::from_utf8(head).unwrap(), expected);
        check_pattern(&mut stream, 0, self.down);
        assert_eq!(stream.read(&mut [0]).unwrap(), 0, "nothing but the end follows");
    }
}

#[test]
fn random_sizes_and_half_closes_on_many_streams_at_once() {
    let seed: u64 = std::env::var("LOOPBACK_SEED").ok().map_or_else(rand::random, |seed| seed.parse().unwrap());
    println!("LOOPBACK_SEED={seed} replays the sizes");
    let (host, url, pin) = host(serve(Plan::serve));
    let (client, local) = client(url, pin);
    forwarding(&client);
    let streams: Vec<_> = (0..STREAMS)
        .map(|index| {
            let mut random = StdRng::seed_from_u64(seed ^ index << 48);
            thread::spawn(move || {
                for _ in 0..3 {
                    Plan::random(&mut random).run(local);
                }
            })
        })
        .collect();
    // Every stream is waited for, whatever became of others.
    let failed = streams.into_iter().map(JoinHandle::join).filter(Result::is_err).count();
    assert_eq!(failed, 0, "streams failed with seed {seed}");
    client.stop();
    host.stop();
}
