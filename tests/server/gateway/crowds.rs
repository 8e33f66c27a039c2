//! Many connections that do nothing, or next to nothing: honest requests do not feel them.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use pinhole::net::limits::raise_descriptor_limit;

use super::http::{Connection, ask, get, ok, service};
use super::rig::Server;
use crate::common::connect;
use crate::common::system::{descriptors, figure, resident_kib, skipped};

/// The server's memory for each connection that is idle, in kibibytes.
const IDLE_LIMIT: u64 = 16;

/// How long a head may take, and how much more until its connection is seen to end.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
const SLACK: Duration = Duration::from_secs(5);

/// How long an honest request may take on a machine that does other things, too.
const PROMPT: Duration = Duration::from_millis(500);

/// Times honest requests, each over a connection of its own; the median.
fn honest(gateway: SocketAddr, host: &str, count: usize) -> Duration {
    let mut times: Vec<Duration> = (0..count)
        .map(|_| {
            let start = Instant::now();
            assert_eq!(ask(gateway, get(host, "/", "")).text(), "here");
            start.elapsed()
        })
        .collect();
    times.sort();
    times[count / 2]
}

/// Tells whether the other side has ended a connection.
fn has_ended(stream: &mut TcpStream) -> bool {
    stream.set_nonblocking(true).unwrap();
    loop {
        match stream.read(&mut [0; 1024]) {
            Ok(0) => return true,
            // A refusal, with the end behind it.
            Ok(_) => {}
            Err(error) => return error.kind() != ErrorKind::WouldBlock,
        }
    }
}

#[test]
fn three_hundred_heads_that_take_for_ever() {
    const SLOW: usize = 300;
    let server = Server::start();
    let _host = server.publish("myhost", service(|_, _| ok("here")));
    let host = server.authority("myhost");
    let before = honest(server.gateway, &host, 20);
    let start = Instant::now();
    let mut slow: Vec<TcpStream> = (0..SLOW)
        .map(|index| {
            // At both ports, and not all of them in the first line.
            let mut stream = connect([server.gateway, server.address][index % 2]);
            let begin = if index % 4 < 2 { "G" } else { "GET / HTTP/1.1\r\nHost: myhost.p.test\r\nX-A: " };
            stream.write_all(begin.as_bytes()).unwrap();
            stream
        })
        .collect();
    let (mut first, mut meanwhile) = (None, Vec::new());
    while !slow.is_empty() {
        assert!(start.elapsed() < HEAD_TIMEOUT + SLACK, "{} are still there", slow.len());
        meanwhile.push(honest(server.gateway, &host, 5));
        // The pace of the test, as slow as such programs are.
        thread::park_timeout(Duration::from_secs(1));
        slow.retain_mut(|stream| {
            let is_there = !has_ended(stream) && stream.write_all(b"E").is_ok();
            if !is_there {
                first.get_or_insert(start.elapsed());
            }
            is_there
        });
    }
    let first = first.unwrap();
    meanwhile.sort();
    let median = meanwhile[meanwhile.len() / 2];
    figure(&format!("{SLOW} slow heads ended after {first:?} to {:?}", start.elapsed()));
    figure(&format!("honest requests: {before:?} before, {median:?} meanwhile (medians)"));
    assert!(first + Duration::from_millis(100) > HEAD_TIMEOUT, "{first:?}");
    assert!(median < before + PROMPT, "{before:?} before, {median:?} meanwhile");
}

#[test]
fn a_thousand_idle_connections_cost_little() {
    const IDLE: usize = 1000;
    let wanted = 4 * IDLE as u64 + 200;
    if raise_descriptor_limit().unwrap() < wanted {
        return skipped("a thousand idle connections", &format!("a process may not have {wanted} descriptors here"));
    }
    let server = Server::start();
    let host_process = server.publish("myhost", service(|_, _| ok("here")));
    let host = server.authority("myhost");
    honest(server.gateway, &host, 20);
    let pid = server.process.pid();
    let before = resident_kib(pid);
    // Some never said anything, some wait behind an answer.
    let silent: Vec<TcpStream> = (0..IDLE).map(|_| connect(server.gateway)).collect();
    assert_eq!(ask(server.gateway, get(&host, "/", "")).text(), "here");
    let with_silent = resident_kib(pid);
    let waiting: Vec<Connection> = (0..IDLE)
        .map(|_| {
            let mut connection = Connection::to(server.gateway);
            connection.send(get(&host, "/", ""));
            assert_eq!(connection.answer().text(), "here");
            connection
        })
        .collect();
    let with_waiting = resident_kib(pid);
    let held = descriptors(pid);
    figure(&format!(
        "{IDLE} silent connections: {} KiB, {IDLE} behind an answer: {} KiB more; {held} descriptors, median of a request {:?}, host {} KiB",
        with_silent - before,
        with_waiting - with_silent,
        honest(server.gateway, &host, 20),
        resident_kib(host_process.pid()),
    ));
    assert!(held >= 2 * IDLE, "{held} descriptors");
    let limit = IDLE_LIMIT * IDLE as u64;
    assert!(
        with_silent < before + limit && with_waiting < with_silent + limit,
        "{before} {with_silent} {with_waiting}"
    );
    drop((silent, waiting));
    crate::common::wait_until("descriptors to be given back", || descriptors(pid) < held - 2 * IDLE + 50);
}
