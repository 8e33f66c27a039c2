//! Against aiortc's SCTP (Python), which is a process of its own, so time is real. Skipped if aiortc is not installed.

use std::io::{Read, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use bytes::Bytes;
use pinhole_sctp::{Delivery, Event, Reason, Reliability, State};

use crate::exchange::{POLICIES, check_partial, check_reliable};
use crate::pair::{Pair, Peer};

/// aiortc's end.
struct Foreign {
    process: Child,
    input: ChildStdin,
    output: Receiver<(u8, Vec<u8>)>,
    is_up: bool,
    is_closed: bool,
    received: Vec<Vec<u8>>,
}

/// Where CI installs aiortc.
const INSTALLED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/tmp/aiortc/bin/python");

/// Returns the Python that has aiortc: `AIORTC_PYTHON`, the one that CI installs, or the system's.
fn python() -> Option<String> {
    let fallback = if std::fs::exists(INSTALLED).is_ok_and(|is_there| is_there) { INSTALLED } else { "python3" };
    let python = std::env::var("AIORTC_PYTHON").unwrap_or_else(|_| fallback.to_owned());
    let check = Command::new(&python).args(["-c", "import aiortc.rtcsctptransport"]).stderr(Stdio::null()).status();
    let is_there = check.is_ok_and(|status| status.success());
    if !is_there {
        println!("SKIPPED: {python} has no aiortc (pip install aiortc)");
    }
    is_there.then_some(python)
}

impl Foreign {
    fn new(python: &str, begins: bool) -> Foreign {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/interop/aiortc_peer.py");
        let mut process = Command::new(python)
            .args([script, if begins { "begin" } else { "wait" }])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("it ran before");
        let input = process.stdin.take().expect("piped");
        let mut stdout = process.stdout.take().expect("piped");
        let (sender, output) = channel();
        std::thread::spawn(move || {
            let mut head = [0; 5];
            while stdout.read_exact(&mut head).is_ok() {
                let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]);
                let mut data = vec![0; length as usize];
                if stdout.read_exact(&mut data).is_err() || sender.send((head[0], data)).is_err() {
                    return;
                }
            }
        });
        Foreign { process, input, output, is_up: false, is_closed: false, received: Vec::new() }
    }

    fn tell(&mut self, kind: u8, parts: &[&[u8]]) {
        let length: usize = parts.iter().map(|part| part.len()).sum();
        let mut frame = vec![kind];
        frame.extend_from_slice(&(length as u32).to_be_bytes());
        parts.iter().for_each(|part| frame.extend_from_slice(part));
        self.input.write_all(&frame).expect("it runs");
        self.input.flush().expect("it runs");
    }
}

impl Drop for Foreign {
    fn drop(&mut self) {
        _ = self.process.kill();
        _ = self.process.wait();
    }
}

impl Peer for Foreign {
    const IS_REAL: bool = true;

    fn is_up(&self) -> bool {
        self.is_up
    }

    fn is_closed(&mut self) -> bool {
        self.is_closed
    }

    fn handle(&mut self, _now: Instant, packet: Bytes) {
        self.tell(b'P', &[&packet]);
    }

    fn poll(&mut self, _now: Instant) -> Vec<Bytes> {
        let mut packets = Vec::new();
        while let Ok((kind, data)) = self.output.try_recv() {
            match kind {
                b'P' => packets.push(data.into()),
                b'U' => self.is_up = true,
                b'C' => self.is_closed = self.is_up,
                _ => self.received.push(data),
            }
        }
        packets
    }

    fn send(&mut self, delivery: Delivery, message: &[u8]) {
        let (policy, value) = match delivery.reliability {
            Reliability::Reliable => (0, 0),
            Reliability::Retransmits(count) => (1, count),
            Reliability::Lifetime(time) => (2, time.as_millis() as u32),
        };
        self.tell(b'S', &[&[u8::from(delivery.is_ordered), policy], &value.to_be_bytes(), message]);
    }

    fn receive(&mut self, into: &mut Vec<Vec<u8>>) {
        into.append(&mut self.received);
    }

    fn shutdown(&mut self) {
        self.tell(b'X', &[]);
    }
}

#[test]
fn everything_arrives_in_order_or_without() {
    let Some(python) = python() else { return };
    check_reliable(|begins| Foreign::new(&python, begins), &[0.0, 0.01], 1);
}

#[test]
fn what_may_be_lost_is_given_up_and_the_rest_goes_on() {
    let Some(python) = python() else { return };
    check_partial(|begins| Foreign::new(&python, begins), &POLICIES, 1);
}

#[test]
fn it_ends_it() {
    let Some(python) = python() else { return };
    let mut pair = Pair::new(Foreign::new(&python, false), true, 0.0, 77);
    // It knows no other end than ABORT.
    pair.foreign.shutdown();
    assert!(pair.run_until(Duration::from_secs(30), |pair| pair.ours.state() == State::Closed));
    assert!(matches!(pair.events.last(), Some(Event::Closed(Reason::AbortedByPeer(_)))), "{:?}", pair.events);
}
