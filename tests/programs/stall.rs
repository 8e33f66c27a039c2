//! A reader that stalls delays only itself.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use crate::common::bytes::{check_pattern, write_pattern};
use crate::common::connect;
use crate::common::pinhole::Pair;
use crate::common::services::{echo_once, serve};
use crate::common::system::{figure, resident_kib};

const LEN: u64 = 50_000_000;

/// Echoes while the reader reads nothing.
const ECHOES: usize = 1000;

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
    let (pair, undisturbed) = (Pair::of(service()), Pair::of(service()));
    let (mut echo, mut elsewhere) = (connect(pair.local), connect(undisturbed.local));
    let mut bulk = connect(pair.local);
    bulk.write_all(b"b").unwrap();
    check_pattern(&mut bulk, 0, LEN / 2);
    // By turns, so that whatever else the machine does is done to both.
    let (mut beside, mut alone) = (Vec::new(), Vec::new());
    for _ in 0..ECHOES {
        beside.push(latency(&mut echo));
        alone.push(latency(&mut elsewhere));
    }
    let held = [pair.host.pid(), pair.client.pid()].map(resident_kib);
    check_pattern(&mut bulk, LEN / 2, LEN - LEN / 2);
    assert_eq!(bulk.read(&mut [0]).unwrap(), 0);

    let [beside, alone] = [beside, alone].map(Latencies::of);
    figure(&format!("echo latency of a session with nothing else: {alone}"));
    figure(&format!("echo latency beside a reader that stalls: {beside}"));
    figure(&format!("resident memory during the stall, host and client: {held:?} KiB"));
    assert!(beside.median < 5 * alone.median, "{beside}; {alone}");
    assert!(held.iter().all(|&kib| kib < 64 * 1024), "{held:?} KiB");
    pair.stop();
    undisturbed.stop();
}

struct Latencies {
    median: Duration,
    p99: Duration,
    max: Duration,
}

impl Latencies {
    fn of(mut times: Vec<Duration>) -> Latencies {
        times.sort_unstable();
        let count = times.len();
        Latencies { median: times[count / 2], p99: times[count * 99 / 100], max: times[count - 1] }
    }
}

impl std::fmt::Display for Latencies {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Latencies { median, p99, max } = self;
        write!(f, "median {median:?}, p99 {p99:?}, max {max:?} of {ECHOES}")
    }
}

/// Has 64 bytes come back.
fn latency(stream: &mut TcpStream) -> Duration {
    let start = Instant::now();
    stream.write_all(&[b'e'; 64]).unwrap();
    stream.read_exact(&mut [0; 64]).unwrap();
    start.elapsed()
}
