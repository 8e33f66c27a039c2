//! Processor time of processes that have nothing to do: no descriptors left, or idle.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::time::Duration;

use pinhole::internals::net::limits::raise_descriptor_limit;

use crate::common::pinhole::{Ended, Pair, Pinhole, text};
use crate::common::services::echo;
use crate::common::system::{descriptors, figure, ticks_within};
use crate::common::{connect, wait_until};

/// Descriptors of a process that has few.
const FEW: usize = 40;

/// Connections made to a process that has few descriptors.
const MANY: usize = 60;

/// Connections that wait while a process has no descriptors; the system keeps 1024.
const KNOCKS: usize = 800;

/// The most ticks of 10 ms that a process without descriptors may use in a second: 30 % of one processor.
const BUSY: u64 = 30;

/// The most ticks of 10 ms that an idle process may use in five seconds: 1 % of one processor.
const IDLE: u64 = 5;

/// Starts the binary with few descriptors. It raises the soft limit to the hard one, so both are set.
fn start_with_few(name: &'static str, arguments: &[&str]) -> Pinhole {
    let mut command = Command::new("sh");
    command.env_remove("PINHOLE_PIN").env_remove("PINHOLE_TOKEN").env_remove("RUST_LOG").env("RUST_BACKTRACE", "1");
    command.args(["-c", &format!("ulimit -n {FEW} && exec \"$0\" \"$@\""), env!("CARGO_BIN_EXE_pinhole")]);
    command.args(arguments);
    Pinhole::spawn(name, command)
}

/// Waits until a process has no descriptors left, connects again and again where it listens, and measures it for a
/// second. The number of connections must not matter. Only the process's own processor time counts, so other load on
/// the machine has no effect.
fn watch_exhausted(name: &str, process: &Pinhole, address: SocketAddr, knocks: usize) {
    wait_until("the descriptors to be used up", || descriptors(process.pid()) >= FEW);
    raise_descriptor_limit().unwrap();
    let crowd: Vec<TcpStream> = (0..knocks).map(|_| connect(address)).collect();
    // What is left of the beginning may still be under way the first time; who never rests fails every time.
    let rests = (0..4).any(|_| {
        let ([ticks], time) = ticks_within([process.pid()], Duration::from_secs(1));
        figure(&format!("a {name} without descriptors used {ticks} ticks of 10 ms in {time:?}"));
        ticks <= BUSY * u64::try_from(time.as_millis()).unwrap() / 1000
    });
    assert!(rests, "above {BUSY} ticks a second");
    drop(crowd);
}

fn asked(address: SocketAddr) -> TcpStream {
    let mut stream = connect(address);
    stream.write_all(b"ping").unwrap();
    stream
}

fn answered(mut stream: TcpStream) {
    let mut answer = [0; 4];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"ping");
}

/// Uses up the descriptors of one side of a pair, and frees them one by one: all connections are served.
fn exhaust(name: &str, local: SocketAddr, process: &Pinhole, knocks: usize) {
    let streams: Vec<TcpStream> = (0..MANY).map(|_| asked(local)).collect();
    watch_exhausted(name, process, local, knocks);
    streams.into_iter().for_each(answered);
}

fn check_end(ended: &Ended) {
    assert!(!ended.stderr.contains("panicked"), "{}", ended.stderr);
}

#[test]
fn a_host_without_descriptors_keeps_clients_waiting_and_loses_none() {
    let mut host = start_with_few("host", &["host", &echo().to_string(), "--json", "--no-stun"]);
    let signaling: SocketAddr = text(&host.event("listening"), "addr").parse().unwrap();
    let mut streams: Vec<TcpStream> = (0..MANY).map(|_| connect(signaling)).collect();
    for stream in &mut streams {
        // The system takes it in, if not the host.
        write!(stream, "GET / HTTP/1.1\r\nHost: {signaling}\r\n").unwrap();
    }
    watch_exhausted("host", &host, signaling, KNOCKS);
    for mut stream in streams {
        stream.write_all(b"\r\n").unwrap();
        let mut status = [0; 15];
        stream.read_exact(&mut status).unwrap();
        assert_eq!(&status, b"HTTP/1.1 200 OK");
    }
    check_end(&host.stop());
}

#[test]
fn a_host_that_cannot_dial_for_want_of_descriptors_dials_later() {
    let mut host = start_with_few("host", &["host", &echo().to_string(), "--json", "--no-stun"]);
    let mut client = Pinhole::client(&text(&host.event("listening"), "url"), &[]);
    exhaust("host", client.local(), &host, 0);
    check_end(&client.stop());
    check_end(&host.stop());
}

#[test]
fn a_client_without_descriptors_keeps_programs_waiting_and_loses_none() {
    let mut host = Pinhole::host(echo(), &[]);
    let url = text(&host.event("listening"), "url");
    let mut client = start_with_few("client", &["client", &url, "0", "--json", "--no-stun"]);
    let local = client.local();
    exhaust("client", local, &client, KNOCKS);
    check_end(&client.stop());
    check_end(&host.stop());
}

#[test]
fn an_idle_pair_leaves_the_processor_alone() {
    let pair = Pair::of(echo());
    let stream = asked(pair.local);
    answered(stream.try_clone().unwrap());
    let pids = [pair.host.pid(), pair.client.pid()];
    // What is left of the beginning may still be under way the first time; who never rests fails every time.
    let rests = (0..4).any(|_| {
        let ([host, client], time) = ticks_within(pids, Duration::from_secs(5));
        figure(&format!("idle for {time:?}: host {host} ticks of 10 ms, client {client}"));
        host <= IDLE && client <= IDLE
    });
    assert!(rests, "above {IDLE} ticks");
    drop(stream);
    pair.stop();
}
