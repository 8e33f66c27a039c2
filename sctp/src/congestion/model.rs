//! A bottleneck with flows, in virtual time, to judge the algorithms without an association around them.
//!
//! Every flow always has data to send. Losses are detected as by ideal RACK: when a packet that left later is
//! acknowledged. The sender's loop wakes on whole milliseconds.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::time::{Duration, Instant};

use super::{Algorithm, Congestion, Random, Stamp};

/// Bytes of a packet, and of its payload.
pub(super) const PACKET: u64 = 1340;
pub(super) const PAYLOAD: u64 = 1312;

/// The link that all flows share.
#[derive(Debug, Clone, Copy)]
pub(super) struct Link {
    pub(super) mbit: u64,
    pub(super) round_trip: Duration,
    /// Maximum number of packets in the queue.
    pub(super) queue: usize,
    /// Random loss, in packets per million.
    pub(super) loss: u64,
}

impl Link {
    /// Returns the link's bandwidth-delay product in packets.
    pub(super) fn product(&self) -> usize {
        (self.mbit * 125 * self.round_trip.as_micros() as u64 / 1000 / PACKET) as usize
    }
}

/// The result of a flow.
#[derive(Debug, Clone)]
pub(super) struct Outcome {
    /// Payload in Mbit/s over the measured part of the run.
    pub(super) goodput: f64,
    /// Round trips in that part, sorted.
    pub(super) round_trips: Vec<Duration>,
}

impl Outcome {
    pub(super) fn round_trip(&self, percent: usize) -> Duration {
        let index = (self.round_trips.len() * percent / 100).min(self.round_trips.len().saturating_sub(1));
        self.round_trips.get(index).copied().unwrap_or_default()
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Wake,
    Depart,
    Acknowledge { number: u64 },
}

struct Flow {
    congestion: Congestion,
    starts: u64,
    next: u64,
    outstanding: VecDeque<(u64, Stamp)>,
    wakes_at: u64,
    unacknowledged: Vec<u64>,
    heard_at: u64,
    delivered: u64,
    round_trips: Vec<Duration>,
}

/// A run.
pub(super) struct Model {
    link: Link,
    base: Instant,
    now: u64,
    events: BinaryHeap<Reverse<(u64, u64, usize, Event)>>,
    order: u64,
    queue: VecDeque<(usize, u64)>,
    flows: Vec<Flow>,
    random: Random,
    counts_from: u64,
}

const MS: u64 = 1_000_000;

impl Model {
    /// Runs flows of these algorithms, each starting at its number of seconds, for `seconds`. Measures the part after
    /// `counts_from` seconds.
    pub(super) fn run(
        link: Link,
        flows: &[(Algorithm, u64)],
        seconds: u64,
        counts_from: u64,
        seed: u64,
    ) -> Vec<Outcome> {
        let base = Instant::now();
        let mut model = Model {
            link,
            base,
            now: 0,
            events: BinaryHeap::new(),
            order: 0,
            queue: VecDeque::new(),
            flows: Vec::new(),
            random: Random::new(seed),
            counts_from: counts_from * 1000 * MS,
        };
        for (index, (algorithm, starts)) in flows.iter().enumerate() {
            let starts = starts * 1000 * MS;
            let at = base + Duration::from_nanos(starts);
            model.flows.push(Flow {
                congestion: Congestion::new(at, *algorithm, PACKET, seed * 31 + index as u64),
                starts,
                next: 0,
                outstanding: VecDeque::new(),
                wakes_at: u64::MAX,
                unacknowledged: Vec::new(),
                heard_at: starts,
                delivered: 0,
                round_trips: Vec::new(),
            });
            model.push(starts, index, Event::Wake);
        }
        let end = seconds * 1000 * MS;
        while let Some(Reverse((at, _, flow, event))) = model.events.pop() {
            if at > end {
                break;
            }
            model.now = at;
            model.handle(flow, event);
        }
        let span = (end - model.counts_from) as f64 / 1e9;
        let outcome = |mut flow: Flow| {
            flow.round_trips.sort();
            let goodput = (flow.delivered * PAYLOAD * 8) as f64 / span / 1e6;
            Outcome { goodput, round_trips: flow.round_trips }
        };
        model.flows.into_iter().map(outcome).collect()
    }

    fn push(&mut self, at: u64, flow: usize, event: Event) {
        self.order += 1;
        self.events.push(Reverse((at, self.order, flow, event)));
    }

    fn instant(&self) -> Instant {
        self.base + Duration::from_nanos(self.now)
    }

    fn handle(&mut self, index: usize, event: Event) {
        match event {
            Event::Wake => {
                self.flows[index].wakes_at = u64::MAX;
                self.check_timeout(index);
                self.send(index);
            }
            Event::Depart => self.depart(),
            Event::Acknowledge { number } => {
                let flow = &mut self.flows[index];
                flow.unacknowledged.push(number);
                if flow.unacknowledged.len() >= 2 {
                    self.acknowledge(index);
                }
                self.send(index);
            }
        }
    }

    fn send(&mut self, index: usize) {
        let now = self.instant();
        let mut budget = self.flows[index].congestion.send_budget(now);
        while budget > 0 {
            let flow = &mut self.flows[index];
            let stamp = flow.congestion.handle_sent(now, PACKET);
            let number = flow.next;
            flow.next += 1;
            flow.outstanding.push_back((number, stamp));
            budget = budget.saturating_sub(PACKET);
            if self.queue.len() < self.link.queue {
                self.queue.push_back((index, number));
                if self.queue.len() == 1 {
                    self.push(self.now + self.transmission(), 0, Event::Depart);
                }
            }
        }
        let next = self.flows[index].congestion.next_send_at();
        let pacing = next.map_or(u64::MAX, |at| at.saturating_duration_since(self.base).as_nanos() as u64);
        // The loop's clock: whole milliseconds, rounded up, plus an occasional check whether everything was lost.
        let at = pacing.max(self.now).saturating_add(MS - 1) / MS * MS;
        let at = at.max(self.now + 1).min(self.now + 250 * MS);
        if at < self.flows[index].wakes_at {
            self.flows[index].wakes_at = at;
            self.push(at, index, Event::Wake);
        }
    }

    fn transmission(&self) -> u64 {
        // Including 28 bytes of IP and UDP.
        (PACKET + 28) * 8 * 1000 / self.link.mbit
    }

    fn depart(&mut self) {
        let Some((flow, number)) = self.queue.pop_front() else { return };
        if self.random.below(1_000_000) >= self.link.loss {
            let at = self.now + self.link.round_trip.as_nanos() as u64;
            self.push(at, flow, Event::Acknowledge { number });
        }
        if !self.queue.is_empty() {
            self.push(self.now + self.transmission(), 0, Event::Depart);
        }
    }

    fn acknowledge(&mut self, index: usize) {
        let (now, nanos) = (self.instant(), self.now);
        let flow = &mut self.flows[index];
        flow.heard_at = nanos;
        let numbers = std::mem::take(&mut flow.unacknowledged);
        let newest = numbers.last().copied().unwrap_or(0);
        let mut round_trip = None;
        let mut lost = Vec::new();
        while let Some(&(number, stamp)) = flow.outstanding.front() {
            if number > newest {
                break;
            }
            flow.outstanding.pop_front();
            if numbers.contains(&number) {
                flow.congestion.handle_acked(now, PACKET, &stamp);
                round_trip = Some(now.saturating_duration_since(stamp.sent_at));
                if nanos >= self.counts_from {
                    flow.delivered += 1;
                    flow.round_trips.push(now.saturating_duration_since(stamp.sent_at));
                }
            } else {
                lost.push(stamp);
            }
        }
        for stamp in lost {
            flow.congestion.handle_lost(now, PACKET, &stamp);
        }
        flow.congestion.finish_ack(now, round_trip);
    }

    fn check_timeout(&mut self, index: usize) {
        let (now, nanos) = (self.instant(), self.now);
        let flow = &mut self.flows[index];
        if nanos >= flow.starts && nanos - flow.heard_at > 1000 * MS && !flow.outstanding.is_empty() {
            for (_, stamp) in std::mem::take(&mut flow.outstanding) {
                flow.congestion.handle_lost(now, PACKET, &stamp);
            }
            flow.unacknowledged.clear();
            flow.congestion.handle_timeout(now);
            flow.heard_at = nanos;
        }
    }
}

/// Returns Jain's fairness index: 1 means equal shares, 1 / number of flows means that one has everything.
pub(super) fn jain(outcomes: &[Outcome]) -> f64 {
    let sum: f64 = outcomes.iter().map(|outcome| outcome.goodput).sum();
    let squares: f64 = outcomes.iter().map(|outcome| outcome.goodput.powi(2)).sum();
    sum * sum / (outcomes.len() as f64 * squares)
}
