//! A link in virtual time that delays, loses, repeats and reorders packets, by a seed.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::time::{Duration, Instant};

use bytes::Bytes;

/// A small generator (xorshift64*), so that a seed means the same on every machine.
#[derive(Debug, Clone)]
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Dice {
        let mut dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        (0..4).for_each(|_| _ = dice.number());
        dice
    }

    pub fn number(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// Returns a number below `limit`.
    pub fn below(&mut self, limit: u64) -> u64 {
        (self.number() >> 11) % limit.max(1)
    }

    /// Returns true with this probability.
    pub fn hits(&mut self, probability: f64) -> bool {
        ((self.number() >> 11) as f64) < probability * (1u64 << 53) as f64
    }
}

/// How packets are lost.
#[derive(Debug, Clone, Copy)]
pub enum Loss {
    None,
    /// Each on its own.
    Random(f64),
    /// In bursts: the probability of one to begin, of it to end, and of a packet in it to be lost (Gilbert and
    /// Elliott).
    Bursts {
        begin: f64,
        end: f64,
        within: f64,
    },
    /// All.
    All,
}

/// One direction of a path.
#[derive(Debug, Clone, Copy)]
pub struct Path {
    pub delay: Duration,
    /// Maximum random addition to the delay of some packets.
    pub jitter: Duration,
    /// Share of the packets that jitter delays.
    pub jittered: f64,
    pub loss: Loss,
    /// Share of the packets that arrive twice.
    pub repeated: f64,
    /// Bytes per second; `None` means no limit.
    pub rate: Option<f64>,
    /// Maximum number of bytes that wait for the rate.
    pub queue: usize,
    /// Longer packets never arrive.
    pub largest: usize,
}

impl Default for Path {
    fn default() -> Path {
        Path {
            delay: Duration::from_millis(10),
            jitter: Duration::ZERO,
            jittered: 0.0,
            loss: Loss::None,
            repeated: 0.0,
            rate: None,
            queue: usize::MAX,
            largest: usize::MAX,
        }
    }
}

#[derive(Debug)]
pub struct Link {
    pub path: Path,
    dice: Dice,
    is_bursting: bool,
    busy_until: Option<Instant>,
    count: u64,
    /// Whether the next packets are lost, one after another; this comes before every other rule.
    pub fates: VecDeque<bool>,
    under_way: BinaryHeap<Reverse<(Instant, u64, Vec<u8>)>>,
    pub lost: u64,
    pub carried: u64,
}

impl Link {
    pub fn new(path: Path, seed: u64) -> Link {
        Link {
            path,
            dice: Dice::new(seed),
            is_bursting: false,
            busy_until: None,
            count: 0,
            fates: VecDeque::new(),
            under_way: BinaryHeap::new(),
            lost: 0,
            carried: 0,
        }
    }

    pub fn send(&mut self, now: Instant, packet: &Bytes) {
        let copies = 1 + usize::from(self.dice.hits(self.path.repeated));
        for _ in 0..copies {
            if self.fates.pop_front().unwrap_or_else(|| self.loses()) || packet.len() > self.path.largest {
                self.lost += 1;
                continue;
            }
            let mut leaves = now;
            if let Some(rate) = self.path.rate {
                let free = self.busy_until.unwrap_or(now).max(now);
                let waiting = free.saturating_duration_since(now).as_secs_f64() * rate;
                if waiting as usize > self.path.queue {
                    self.lost += 1;
                    continue;
                }
                leaves = free + Duration::from_secs_f64(packet.len() as f64 / rate);
                self.busy_until = Some(leaves);
            }
            let mut arrives = leaves + self.path.delay;
            if self.dice.hits(self.path.jittered) {
                arrives += self.path.jitter.mul_f64(self.dice.below(1000) as f64 / 1000.0);
            }
            self.count += 1;
            self.under_way.push(Reverse((arrives, self.count, packet.to_vec())));
        }
    }

    pub fn next_at(&self) -> Option<Instant> {
        self.under_way.peek().map(|Reverse((at, ..))| *at)
    }

    pub fn receive(&mut self, now: Instant) -> Option<Bytes> {
        if self.next_at()? > now {
            return None;
        }
        let Reverse((_, _, packet)) = self.under_way.pop()?;
        self.carried += 1;
        Some(packet.into())
    }

    pub fn clear(&mut self) {
        self.under_way.clear();
    }

    fn loses(&mut self) -> bool {
        match self.path.loss {
            Loss::None => false,
            Loss::All => true,
            Loss::Random(probability) => self.dice.hits(probability),
            Loss::Bursts { begin, end, within } => {
                let changes = if self.is_bursting { end } else { begin };
                self.is_bursting ^= self.dice.hits(changes);
                self.is_bursting && self.dice.hits(within)
            }
        }
    }
}
