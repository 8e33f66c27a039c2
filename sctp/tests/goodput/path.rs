//! A path with one bottleneck that all flows share, in virtual time.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;

use crate::common::link::Dice;

/// Overhead of a packet, in bytes: IPv4, UDP, and a record of DTLS 1.2 with AES-GCM.
pub const OVERHEAD: usize = 20 + 8 + 37;

/// The longest packet, with what is around it, as the queue's bytes are counted in.
const FULL: u64 = 1412 + OVERHEAD as u64;

/// Largest possible share of payload on a link: two chunks in a packet of 1,412 bytes.
pub const CEILING: f64 = (1412 - 12 - 2 * 16) as f64 / FULL as f64;

/// Causes of reordering.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Disorder {
    None,
    /// Each packet takes up to this much longer, at random.
    Jitter(Duration),
    /// This share of the packets takes this much longer.
    Late(f64, Duration),
}

/// A path.
#[derive(Debug, Clone, Copy)]
pub struct Path {
    pub mbit: u64,
    pub round_trip: Duration,
    /// Packets the queue holds.
    pub queue: usize,
    /// Packets lost at random behind the queue and on the way back.
    pub loss: f64,
    pub disorder: Disorder,
}

impl Path {
    pub fn new(mbit: u64, round_trip_ms: u64, queue: usize, loss: f64) -> Path {
        let round_trip = Duration::from_millis(round_trip_ms);
        Path { mbit, round_trip, queue, loss, disorder: Disorder::None }
    }

    /// Returns the path's product of bandwidth and round trip in packets.
    pub fn product(mbit: u64, round_trip_ms: u64) -> usize {
        (mbit * 125 * round_trip_ms / FULL) as usize
    }

    fn transmission(&self, length: usize) -> u64 {
        (length + OVERHEAD) as u64 * 8000 / self.mbit
    }
}

/// Packets on their way in one direction of one flow, by the time they arrive.
#[derive(Debug, Default)]
pub struct Pipe(VecDeque<(u64, Bytes)>);

impl Pipe {
    pub fn next_at(&self) -> Option<u64> {
        self.0.front().map(|(at, _)| *at)
    }

    pub fn receive(&mut self, now: u64) -> Option<Bytes> {
        if self.next_at()? > now {
            return None;
        }
        self.0.pop_front().map(|(_, packet)| packet)
    }

    fn push(&mut self, at: u64, packet: Bytes) {
        let later = self.0.iter().rev().take_while(|(other, _)| *other > at).count();
        self.0.insert(self.0.len() - later, (at, packet));
    }
}

/// The bottleneck. The way back has no limit.
#[derive(Debug)]
pub struct Bottleneck {
    path: Path,
    dice: Dice,
    busy_until: u64,
    /// When what is queued will have left.
    departures: VecDeque<u64>,
}

impl Bottleneck {
    pub fn new(path: Path, seed: u64) -> Bottleneck {
        Bottleneck { path, dice: Dice::new(seed), busy_until: 0, departures: VecDeque::new() }
    }

    pub fn send_up(&mut self, now: u64, packet: Bytes, pipe: &mut Pipe) {
        while self.departures.front().is_some_and(|at| *at <= now) {
            self.departures.pop_front();
        }
        if self.departures.len() >= self.path.queue {
            return;
        }
        self.busy_until = self.busy_until.max(now) + self.path.transmission(packet.len());
        self.departures.push_back(self.busy_until);
        self.carry(self.busy_until, packet, pipe);
    }

    pub fn send_down(&mut self, now: u64, packet: Bytes, pipe: &mut Pipe) {
        let leaves = now + self.path.transmission(packet.len());
        self.carry(leaves, packet, pipe);
    }

    fn carry(&mut self, leaves: u64, packet: Bytes, pipe: &mut Pipe) {
        if self.dice.hits(self.path.loss) {
            return;
        }
        let late = match self.path.disorder {
            Disorder::None => 0,
            Disorder::Jitter(most) => self.dice.below(nanos(most)),
            Disorder::Late(share, by) => u64::from(self.dice.hits(share)) * nanos(by),
        };
        pipe.push(leaves + nanos(self.path.round_trip) / 2 + late, packet);
    }
}

pub fn nanos(time: Duration) -> u64 {
    time.as_nanos() as u64
}
