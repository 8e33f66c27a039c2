//! A reader that stalls holds up itself and nobody else.

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::common::bytes::{check_pattern, write_pattern};
use crate::common::connect;
use crate::common::pinhole::Pair;
use crate::common::services::{echo_once, serve};
use crate::common::system::{figure, resident_kib};

const LEN: u64 = 50_000_000;

/// How long the reader reads nothing.
const STALL: Duration = Duration::from_secs(5);

/// A first byte `b` asks for bulk; anything else is sent back, and so is what follows.
fn service() -> SocketAddr {
    serve(|mut stream| {
        let mut first = [0];
        stream.read_exact(&mut first)?;
        match first {
            [b'b'] => write_pattern(&mut stream, LEN),
            _ => {
                stream.write_all(&first)?;
                echo_once(stream)
            }
        }
    })
}

#[test]
fn a_stalled_reader_leaves_the_latency_of_others_alone() {
    let pair = Pair::of(service());
    let mut echo = connect(pair.local);
    let before = latencies(&mut echo, Duration::from_millis(500));

    let mut bulk = connect(pair.local);
    bulk.write_all(b"b").unwrap();
    check_pattern(&mut bulk, 0, LEN / 2);
    let during = latencies(&mut echo, STALL);
    let held = [pair.host.pid(), pair.client.pid()].map(resident_kib);
    check_pattern(&mut bulk, LEN / 2, LEN - LEN / 2);
    assert_eq!(bulk.read(&mut [0]).unwrap(), 0);

    figure(&format!("echo latency, idle: {before}"));
    figure(&format!("echo latency, beside a reader that stalls for 5 s: {during}"));
    figure(&format!("resident memory during the stall, host and client: {held:?} KiB"));
    assert!(during.p99 < Duration::from_secs(1), "{during}");
    assert!(held.iter().all(|&kib| kib < 64 * 1024), "{held:?} KiB");
    pair.stop();
}

struct Latencies {
    median: Duration,
    p99: Duration,
    max: Duration,
    count: usize,
}

impl std::fmt::Display for Latencies {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Latencies { median, p99, max, count } = self;
        write!(f, "median {median:?}, p99 {p99:?}, max {max:?} of {count}")
    }
}

/// Measures 64-byte echoes one after the other for that long.
fn latencies(stream: &mut std::net::TcpStream, time: Duration) -> Latencies {
    let end = Instant::now() + time;
    let mut sorted = Vec::new();
    while Instant::now() < end {
        let start = Instant::now();
        stream.write_all(&[b'e'; 64]).unwrap();
        stream.read_exact(&mut [0; 64]).unwrap();
        sorted.push(start.elapsed());
    }
    sorted.sort_unstable();
    let count = sorted.len();
    Latencies { median: sorted[count / 2], p99: sorted[count * 99 / 100], max: sorted[count - 1], count }
}
