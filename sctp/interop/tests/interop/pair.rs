//! Our association and a foreign one, over a link that may lose packets.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::Bytes;
use pinhole_sctp::{Association, Config, Delivery, Event, Seed, State, Statistics};

pub const STREAM: u16 = 1;
const DELAY: Duration = Duration::from_millis(5);

/// One end of another implementation.
pub trait Peer {
    /// Whether it has a real clock.
    const IS_REAL: bool = false;

    fn is_up(&self) -> bool;
    fn is_closed(&mut self) -> bool;
    fn handle(&mut self, now: Instant, packet: Bytes);
    /// Handles deadlines, and returns the packets to send.
    fn poll(&mut self, now: Instant) -> Vec<Bytes>;
    fn send(&mut self, delivery: Delivery, message: &[u8]);
    fn receive(&mut self, into: &mut Vec<Vec<u8>>);
    fn shutdown(&mut self);
}

/// Packets in transit in one direction.
#[derive(Default)]
pub struct Link {
    packets: VecDeque<(Instant, Bytes)>,
    pub loss: f64,
    dice: u64,
    pub largest: usize,
}

impl Link {
    fn send(&mut self, now: Instant, packet: Bytes) {
        self.dice ^= self.dice << 13;
        self.dice ^= self.dice >> 7;
        self.dice ^= self.dice << 17;
        self.largest = self.largest.max(packet.len());
        if (self.dice >> 11) as f64 / (1u64 << 53) as f64 >= self.loss {
            self.packets.push_back((now + DELAY, packet));
        }
    }

    fn receive(&mut self, now: Instant) -> Option<Bytes> {
        let has_arrived = self.packets.front().is_some_and(|(at, _)| *at <= now);
        if has_arrived { self.packets.pop_front().map(|(_, packet)| packet) } else { None }
    }
}

pub struct Pair<P> {
    pub now: Instant,
    pub ours: Association,
    pub foreign: P,
    /// From ours to the other, and back.
    pub up: Link,
    pub down: Link,
    pub events: Vec<Event>,
    /// What each end received.
    pub by_ours: Vec<Vec<u8>>,
    pub by_foreign: Vec<Vec<u8>>,
}

impl<P: Peer> Pair<P> {
    /// Creates a pair that is up.
    pub fn new(foreign: P, we_begin: bool, loss: f64, seed: u64) -> Pair<P> {
        // As the adapter sets it.
        let config =
            Config { packet_size: 1102, max_retransmits: None, max_init_retransmits: None, ..Config::default() };
        let begin = if we_begin { Association::connect } else { Association::accept };
        let link = |dice: u64| Link { loss, dice: dice.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1, ..Link::default() };
        let mut pair = Pair {
            now: Instant::now(),
            ours: begin(config, Seed([seed, 1])),
            foreign,
            up: link(seed * 2 + 1),
            down: link(seed * 2 + 2),
            events: Vec::new(),
            by_ours: Vec::new(),
            by_foreign: Vec::new(),
        };
        let is_up = pair.run_until(Duration::from_secs(120), |pair| {
            pair.ours.state() == State::Established && pair.foreign.is_up()
        });
        assert!(is_up, "seed {seed}: it did not come up");
        pair
    }

    fn work(&mut self) {
        while let Some(packet) = self.up.receive(self.now) {
            self.foreign.handle(self.now, packet);
        }
        while let Some(packet) = self.down.receive(self.now) {
            self.ours.handle_datagram(self.now, packet);
        }
        self.ours.handle_timeout(self.now);
        while let Some(packet) = self.ours.poll_transmit(self.now) {
            self.up.send(self.now, packet);
        }
        self.events.extend(std::iter::from_fn(|| self.ours.poll_event()));
        if let Ok(mut stream) = self.ours.stream(STREAM) {
            while let Ok(Some(message)) = stream.receive() {
                self.by_ours.push(message.into_bytes().to_vec());
            }
        }
        for packet in self.foreign.poll(self.now) {
            self.down.send(self.now, packet);
        }
        self.foreign.receive(&mut self.by_foreign);
    }

    /// Runs in steps of a millisecond until `is_done` holds.
    pub fn run_until(&mut self, time: Duration, mut is_done: impl FnMut(&mut Pair<P>) -> bool) -> bool {
        let end = self.now + time;
        while self.now < end {
            self.work();
            if is_done(self) {
                return true;
            }
            self.now += Duration::from_millis(1);
            if P::IS_REAL {
                // A separate process lives in real time.
                std::thread::sleep(self.now.saturating_duration_since(Instant::now()));
                self.now = self.now.max(Instant::now());
            }
        }
        false
    }

    pub fn send_ours(&mut self, delivery: Delivery, message: &[u8]) {
        if self.ours.stream(STREAM).is_err() {
            self.ours.open(STREAM).expect("opens");
        }
        self.ours.stream(STREAM).expect("open").send_with(delivery, 53, message).expect("taken");
    }

    pub fn statistics(&self) -> Statistics {
        self.ours.statistics()
    }
}
