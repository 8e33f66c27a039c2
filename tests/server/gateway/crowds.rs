//! Many connections that do almost nothing: honest requests are not affected.

use std::io::Write as _;
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use pinhole::internals::net::limits::raise_descriptor_limit;

use super::http::{Connection, ask, get, ok, service};
use super::rig::Server;
use crate::common::system::{descriptors, figure, resident_kib, skipped};
use crate::common::{DEADLINE, connect, has_ended};

/// The server's memory for each connection that is idle, in kibibytes.
const IDLE_LIMIT: u64 = 16;

/// How long a head may take.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);

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
    let (mut first, mut beside_all, mut meanwhile) = (None, 0, Vec::new());
    while !slow.is_empty() {
        assert!(start.elapsed() < DEADLINE, "{} are still there", slow.len());
        meanwhile.push(honest(server.gateway, &host, 5));
        beside_all += usize::from(first.is_none());
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
    // There is about one round a second: whoever had to wait for slow heads would see few rounds until they are gone.
    assert!(beside_all >= 3, "{beside_all} rounds of honest requests beside all slow heads");
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
