//! One source of visitors against each table of the gateway: other visitors are served as if it were not there.

use std::io::{BufReader, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use pinhole::internals::net::limits::raise_descriptor_limit;

use super::http::{Request, ask, get, ok, service};
use super::rig::{Server, is_full};
use crate::common::services::serve;
use crate::common::system::{figure, resident_kib, skipped};
use crate::common::{connect, connect_from, some_are_open};

/// Where whoever attacks comes from; honest visitors come from 127.0.0.1.
const STRANGER: u8 = 5;

/// Requests that one host has at a time.
const REQUESTS: usize = 1024;

/// The beginning of a request whose body does not come.
fn slow_post(host: &str) -> String {
    format!("POST / HTTP/1.1\r\nHost: {host}\r\nContent-Length: 1000000\r\n\r\nx")
}

fn open(from: u8, gateway: SocketAddr, count: usize, beginning: &[u8]) -> Vec<TcpStream> {
    let begin = |_| {
        let mut stream = connect_from(from, gateway);
        // It may have given way already.
        let _ = stream.write_all(beginning);
        stream
    };
    (0..count).map(begin).collect()
}

/// A visitor gets an answer while those who attack are there, and not when their time is over.
#[track_caller]
fn is_served(server: &Server, host: &str, beside: &[TcpStream]) {
    assert_eq!(ask(server.gateway, get(host, "/", "")).text(), "here");
    assert!(some_are_open(beside), "nobody was there any more");
}

#[track_caller]
fn has_descriptors(what: &str, wanted: usize) -> bool {
    let wanted = wanted as u64 + 500;
    let has = raise_descriptor_limit().unwrap() >= wanted;
    if !has {
        skipped(what, &format!("a process may not have {wanted} descriptors here"));
    }
    has
}

#[test]
fn slow_uploads_keep_nobody_from_a_host() {
    if !has_descriptors("slow uploads", 2 * REQUESTS) {
        return;
    }
    let server = Server::start();
    let _host = server.publish("myhost", service(|_, _| ok("here")));
    let host = server.authority("myhost");
    let slow = open(STRANGER, server.gateway, REQUESTS + 10, slow_post(&host).as_bytes());
    for _ in 0..5 {
        is_served(&server, &host, &slow);
    }
    // From the same address it may take another attempt.
    let same = open(1, server.gateway, REQUESTS, slow_post(&host).as_bytes());
    let attempts = (1..100).find(|_| ask(server.gateway, get(&host, "/", "")).status == 200).expect("a place");
    figure(&format!(
        "beside {REQUESTS} slow uploads from the same address a request was answered at attempt {attempts}"
    ));
    drop((slow, same));
}

/// Sends a body byte by byte, so many a second, until it is whole or the server has had enough; returns what it
/// answered, and when.
fn drip(server: &Server, host: &str, len: usize, per_second: usize) -> (String, Duration) {
    let start = Instant::now();
    let mut stream = connect(server.gateway);
    write!(stream, "POST / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nContent-Length: {len}\r\n\r\n").unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
    let (mut answer, mut sent) = (Vec::new(), 0);
    loop {
        let mut piece = [0; 4096];
        match std::io::Read::read(&mut stream, &mut piece) {
            Ok(0) => return (String::from_utf8_lossy(&answer).into_owned(), start.elapsed()),
            Ok(count) => answer.extend_from_slice(&piece[..count]),
            Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock),
        }
        let count = per_second.min(len - sent);
        sent += stream.write(&vec![b'x'; count]).unwrap_or_default();
    }
}

/// `GATEWAY_FULL`: a body that drips has its minute, and one that is merely slow has all the time it needs.
#[test]
fn bodies_may_be_slow_but_not_for_ever() {
    if !is_full() {
        return;
    }
    let server = Server::start();
    let _host = server.publish("myhost", service(|_, _| ok("here")));
    let host = server.authority("myhost");
    let (answer, time) = std::thread::scope(|scope| {
        let dripping = scope.spawn(|| drip(&server, &host, 100_000, 1));
        let (answer, time) = drip(&server, &host, 80_000, 1000);
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        assert!(time > Duration::from_secs(70), "{time:?}");
        dripping.join().unwrap()
    });
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    figure(&format!("a body of a byte a second was given up after {time:?}"));
    assert!((55..75).contains(&time.as_secs()), "{time:?}");
}

#[test]
fn requests_that_wait_for_their_answer_give_way_to_visitors_from_elsewhere() {
    if !has_descriptors("requests that wait", 2 * REQUESTS) {
        return;
    }
    let server = Server::start();
    let service = serve(|mut stream| {
        let mut input = BufReader::new(stream.try_clone()?);
        while let Some(request) = Request::read(&mut input)? {
            if request.path() != "/wait" {
                stream.write_all(&ok("here"))?;
            }
        }
        Ok(())
    });
    let _host = server.publish("myhost", service);
    let host = server.authority("myhost");
    let waiting = open(STRANGER, server.gateway, REQUESTS, get(&host, "/wait", "").as_bytes());
    for _ in 0..5 {
        is_served(&server, &host, &waiting);
    }
}

#[test]
fn visitors_that_stall_keep_nobody_out() {
    const STALLED: usize = 600;
    if !has_descriptors("visitors that stall", STALLED) {
        return;
    }
    // Half of its descriptors are for visitors.
    let server = Server::within(512);
    let _host = server.publish("myhost", service(|_, _| ok("here")));
    let host = server.authority("myhost");
    let beginnings = [String::new(), "GET / HT".to_owned(), slow_post(&host)];
    let stalled: Vec<_> =
        beginnings.iter().flat_map(|text| open(STRANGER, server.gateway, STALLED / 3, text.as_bytes())).collect();
    for _ in 0..5 {
        is_served(&server, &host, &stalled);
    }
    // Hosts have places that visitors cannot take.
    let _another = server.publish("another", service(|_, _| ok("here")));
    is_served(&server, &server.authority("another"), &stalled);
}

#[test]
fn heads_that_are_not_complete_hold_little() {
    const HEADS: usize = 2000;
    if !has_descriptors("heads that are not complete", HEADS) {
        return;
    }
    let server = Server::start();
    let _host = server.publish("myhost", service(|_, _| ok("here")));
    let host = server.authority("myhost");
    let before = resident_kib(server.process.pid());
    let mut long = format!("GET / HTTP/1.1\r\nHost: {host}\r\nX-Long: ").into_bytes();
    long.resize(60_000, b'x');
    // At both ports: one is for the server's own pages, too.
    let mut heads = open(STRANGER, server.gateway, HEADS / 2, &long);
    heads.extend(open(STRANGER, server.address, HEADS / 2, &long));
    is_served(&server, &host, &heads);
    // An honest one that is long and comes in two pieces.
    let mut stream = connect(server.gateway);
    stream.write_all(&long[..40_000]).unwrap();
    stream.write_all(b"\r\nConnection: close\r\n\r\n").unwrap();
    let (answer, _) = crate::common::pinhole::read_all(&mut stream);
    assert!(answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer));
    let held = resident_kib(server.process.pid()) - before;
    figure(&format!("{HEADS} heads of 60 kB that are not complete: {held} KiB more"));
    assert!(held < 48 * 1024, "{held} KiB");
    drop(heads);
}
