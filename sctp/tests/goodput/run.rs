//! Flows over a bottleneck. Each is an association that always has data to send, perhaps with small questions beside
//! it.

use std::time::{Duration, Instant};

use pinhole_sctp::congestion::Algorithm;
use pinhole_sctp::{Association, Config, Event, Seed};

use crate::path::{Bottleneck, Path, Pipe, nanos};

const BULK: u16 = 1;
const ECHO: u16 = 3;
const MESSAGE: usize = 16 * 1024;

/// Minimum time between two turns of an end: the time to handle one turn's packets.
const TURN: u64 = 50_000;
/// The clock of an end's loop: it wakes on whole milliseconds.
const TICK: u64 = 1_000_000;
const SECOND: u64 = 1_000_000_000;

/// One flow of a run.
#[derive(Debug, Clone, Copy)]
pub struct Flow {
    pub algorithm: Algorithm,
    /// Seconds after which it begins.
    pub starts: u64,
    /// How often it asks a question of 64 bytes beside the bulk.
    pub asks: Option<Duration>,
}

impl Flow {
    pub fn new(algorithm: Algorithm) -> Flow {
        Flow { algorithm, starts: 0, asks: None }
    }
}

/// The result of a flow in the measured part of the run.
#[derive(Debug)]
pub struct Outcome {
    /// Payload in Mbit/s.
    pub goodput: f64,
    /// How long answers took, sorted.
    pub answers: Vec<Duration>,
}

impl Outcome {
    /// Returns the time in which this percentage of the answers arrived, in ms.
    pub fn answer(&self, percent: usize) -> f64 {
        let index = self.answers.len().saturating_sub(1) * percent / 100;
        self.answers.get(index).map_or(f64::INFINITY, |time| time.as_secs_f64() * 1e3)
    }
}

struct End {
    association: Association,
    /// The next turn is not before this time, and at this time at the latest.
    ready_at: u64,
    wakes_at: u64,
}

impl End {
    fn next_at(&self, pipe: &Pipe) -> u64 {
        let arrival = pipe.next_at().unwrap_or(u64::MAX);
        arrival.min(self.wakes_at).max(self.ready_at)
    }
}

struct Running {
    flow: Flow,
    client: End,
    server: End,
    up: Pipe,
    down: Pipe,
    is_connected: bool,
    asks_at: u64,
    received: u64,
    answers: Vec<Duration>,
}

/// Runs flows for `seconds`; measures the part after `counts_from` seconds.
pub fn run(path: Path, flows: &[Flow], seconds: u64, counts_from: u64, seed: u64) -> Vec<Outcome> {
    let base = Instant::now();
    let mut bottleneck = Bottleneck::new(path, seed);
    let mut running: Vec<_> = flows.iter().enumerate().map(|(at, flow)| Running::new(*flow, seed, at as u64)).collect();
    let (end, counts_from) = (seconds * SECOND, counts_from * SECOND);
    // Bytes written ahead: several milliseconds of the rate, as a tunnel does.
    let ahead = (path.mbit as usize * 125 * 8).clamp(4 * MESSAGE, 1024 * 1024);
    let message = vec![7; MESSAGE];
    loop {
        let next = |flow: &Running| flow.client.next_at(&flow.down).min(flow.server.next_at(&flow.up));
        let now = running.iter().map(next).min().unwrap_or(end);
        if now >= end {
            break;
        }
        for flow in &mut running {
            if flow.server.next_at(&flow.up) <= now {
                flow.serve(base, now, now >= counts_from, &mut bottleneck);
            }
            if flow.client.next_at(&flow.down) <= now {
                flow.send(base, now, now >= counts_from, &message, ahead, &mut bottleneck);
            }
        }
    }
    let span = (end - counts_from) as f64 / 1e9;
    running.into_iter().map(|flow| flow.outcome(span)).collect()
}

impl Running {
    fn new(flow: Flow, seed: u64, number: u64) -> Running {
        let config = Config { algorithm: flow.algorithm, ..Config::default() };
        let end = |association| End { association, ready_at: flow.starts * SECOND, wakes_at: flow.starts * SECOND };
        Running {
            flow,
            client: end(Association::connect(config.clone(), Seed([seed, number * 2]))),
            server: end(Association::accept(config, Seed([seed, number * 2 + 1]))),
            up: Pipe::default(),
            down: Pipe::default(),
            is_connected: false,
            asks_at: 0,
            received: 0,
            answers: Vec::new(),
        }
    }

    fn serve(&mut self, base: Instant, now: u64, counts: bool, bottleneck: &mut Bottleneck) {
        let clock = base + Duration::from_nanos(now);
        let server = &mut self.server.association;
        while let Some(packet) = self.up.receive(now) {
            server.handle_datagram(clock, packet);
        }
        server.handle_timeout(clock);
        while server.poll_event().is_some() {}
        if let Ok(mut stream) = server.stream(BULK) {
            while let Ok(Some(message)) = stream.receive() {
                self.received += u64::from(counts) * message.len() as u64;
            }
        }
        if let Ok(mut stream) = server.stream(ECHO) {
            while let Ok(Some(question)) = stream.receive() {
                stream.send(53, &question.into_bytes()).expect("the stream is open");
            }
        }
        while let Some(packet) = server.poll_transmit(clock) {
            bottleneck.send_down(now, packet, &mut self.down);
        }
        self.server.rest(base, now);
    }

    fn send(
        &mut self,
        base: Instant,
        now: u64,
        counts: bool,
        message: &[u8],
        ahead: usize,
        bottleneck: &mut Bottleneck,
    ) {
        let clock = base + Duration::from_nanos(now);
        let client = &mut self.client.association;
        while let Some(packet) = self.down.receive(now) {
            client.handle_datagram(clock, packet);
        }
        client.handle_timeout(clock);
        while let Some(event) = client.poll_event() {
            assert!(!matches!(event, Event::Closed(_)), "the association is lost: {event:?}");
            if event == Event::Connected {
                self.is_connected = true;
                client.open(BULK).expect("new");
                client.open(ECHO).expect("new");
            }
        }
        if self.is_connected {
            self.write(now, counts, message, ahead);
        }
        let client = &mut self.client.association;
        while let Some(packet) = client.poll_transmit(clock) {
            bottleneck.send_up(now, packet, &mut self.up);
        }
        self.client.rest(base, now);
        if self.is_connected && self.flow.asks.is_some() {
            self.client.wakes_at = self.client.wakes_at.min(self.asks_at);
        }
    }

    fn write(&mut self, now: u64, counts: bool, message: &[u8], ahead: usize) {
        let client = &mut self.client.association;
        let mut echo = client.stream(ECHO).expect("open");
        while let Ok(Some(answer)) = echo.receive() {
            let bytes = answer.into_bytes();
            let asked = u64::from_be_bytes(*bytes.first_chunk().expect("as it was sent"));
            if counts {
                self.answers.push(Duration::from_nanos(now - asked));
            }
        }
        if let Some(pause) = self.flow.asks
            && now >= self.asks_at
        {
            let mut question = [0; 64];
            question[..8].copy_from_slice(&now.to_be_bytes());
            echo.send(53, &question).expect("the stream is open");
            self.asks_at = now + nanos(pause);
        }
        let mut bulk = client.stream(BULK).expect("open");
        while bulk.unsent() < ahead {
            bulk.send(53, message).expect("the stream is open");
        }
    }

    fn outcome(mut self, span: f64) -> Outcome {
        self.answers.sort();
        Outcome { goodput: self.received as f64 * 8.0 / span / 1e6, answers: self.answers }
    }
}

impl End {
    fn rest(&mut self, base: Instant, now: u64) {
        self.ready_at = now + TURN;
        let timeout = self.association.poll_timeout();
        let wait = timeout.map(|at| nanos(at.saturating_duration_since(base)).saturating_sub(now));
        self.wakes_at = wait.map_or(u64::MAX, |wait| now + wait.div_ceil(TICK) * TICK);
    }
}

/// Returns Jain's fairness index: 1 means equal shares, 1 / number of flows means that one has everything.
pub fn jain(outcomes: &[Outcome]) -> f64 {
    let sum: f64 = outcomes.iter().map(|outcome| outcome.goodput).sum();
    let squares: f64 = outcomes.iter().map(|outcome| outcome.goodput.powi(2)).sum();
    sum * sum / (outcomes.len() as f64 * squares)
}
