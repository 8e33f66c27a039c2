//! How fast a session may be: what goes out, and how fast what comes in is let come.
//!
//! Nothing of ours can slow a peer down but credit, so the other direction is held to the rate by granting no more of
//! it. What a peer may send on a new stream without being asked, the initial credit, comes at whatever speed it likes;
//! it is counted, and streams that live on get their next credit so much later.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::Mux;
use super::timers::prune;
use crate::tunnel::chunk::MAX_PAYLOAD;
use crate::tunnel::credit::cost;
use crate::tunnel::frame::HEADER_LEN;
use crate::tunnel::id::StreamKey;
use crate::tunnel::schedule::Schedule;
use crate::tunnel::stream::ReceiveState;

/// What an idle direction saves up, as time at its rate. One message more may go at once: its cost is a debt.
const BURST: Duration = Duration::from_millis(20);

/// The longest that debts keep a direction quiet: those of control frames and initial credit have no other bound.
const MAX_DEBT: Duration = Duration::from_secs(2);

/// The time at the rate that a stream's turn to send takes at the most, if it can be helped: so long a small message
/// may have to wait for each bulk stream beside it.
const MAX_TURN: Duration = Duration::from_millis(10);

/// The least that DATA frames are cut down to for that, in bytes of payload.
const MIN_PAYLOAD: usize = 1024;

/// The longest that anything waits for the rate, whatever passes without asking meanwhile. Longer than [`MAX_DEBT`], so
/// that it counts only then.
const MAX_WAIT: Duration = Duration::from_secs(3);

/// A token bucket, as the time until which its rate is used up.
#[derive(Debug)]
struct Bucket {
    /// In bytes a second.
    rate: u64,
    used_until: Option<Instant>,
    /// Somebody found it used up, and nothing that asks has passed since.
    waits_since: Option<Instant>,
    /// When somebody who waits can go on.
    wakes_at: Option<Instant>,
}

impl Bucket {
    fn new(rate: u64) -> Bucket {
        Bucket { rate: rate.max(1), used_until: None, waits_since: None, wakes_at: None }
    }

    /// Tells whether something may pass; if not, the bucket will wake somebody.
    fn is_open(&mut self, now: Instant) -> bool {
        let due = self.used_until.filter(|until| *until > now).map(|until| {
            let since = *self.waits_since.get_or_insert(now);
            until.min(since + MAX_WAIT)
        });
        self.wakes_at = due.filter(|at| *at > now);
        self.wakes_at.is_none()
    }

    /// Takes note of bytes that pass because the bucket is open.
    fn pass(&mut self, now: Instant, bytes: u64) {
        self.waits_since = None;
        self.owe(now, bytes);
    }

    /// Takes note of bytes that pass without asking.
    fn owe(&mut self, now: Instant, bytes: u64) {
        let nanos = (u128::from(bytes) * 1_000_000_000).div_ceil(self.rate.into());
        let took = Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
        let full = now.checked_sub(BURST).unwrap_or(now);
        let from = self.used_until.map_or(full, |until| until.max(full));
        self.used_until = Some((from + took.min(MAX_DEBT + BURST)).min(now + MAX_DEBT));
    }

    /// Returns what passes in some time, in bytes.
    fn bytes_in(&self, time: Duration) -> u64 {
        u64::try_from(u128::from(self.rate) * time.as_nanos() / 1_000_000_000).unwrap_or(u64::MAX)
    }
}

/// The two directions of a session that has a rate.
#[derive(Debug)]
pub(super) struct Rates {
    send: Bucket,
    receive: Bucket,
    /// Streams that wait for the rate to be granted credit.
    held: VecDeque<StreamKey>,
}

impl Rates {
    /// Holds both directions to a rate in bytes a second.
    pub(super) fn new(rate: u64) -> Rates {
        Rates { send: Bucket::new(rate), receive: Bucket::new(rate), held: VecDeque::new() }
    }

    /// Returns the longest payload that keeps nobody waiting for long, in bytes.
    pub(super) fn payload_limit(&self) -> usize {
        let bytes = usize::try_from(self.send.bytes_in(MAX_TURN)).unwrap_or(usize::MAX);
        bytes.clamp(MIN_PAYLOAD, MAX_PAYLOAD)
    }

    /// Makes a schedule whose turns are a message long.
    pub(super) fn schedule(&self) -> Schedule {
        Schedule::new((HEADER_LEN + self.payload_limit()) as u16)
    }

    /// Returns when something can go on that waits for the rate.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        [self.send.wakes_at, self.receive.wakes_at].into_iter().flatten().min()
    }
}

impl Mux {
    /// Tells whether streams may send now, or notes when they may.
    pub(super) fn poll_rate(&mut self, now: Instant) -> bool {
        self.rates.as_mut().is_none_or(|rates| rates.send.is_open(now))
    }

    /// Tells whether streams wait for the rate to send.
    pub(super) fn is_held_back(&self) -> bool {
        self.rates.as_ref().is_some_and(|rates| rates.send.wakes_at.is_some())
    }

    /// Counts a message that goes out because [`Mux::poll_rate`] it.
    pub(super) fn rate_sent(&mut self, now: Instant, len: usize) {
        if let Some(rates) = &mut self.rates {
            rates.send.pass(now, len as u64);
        }
    }

    /// Counts a control frame, which waits for nothing.
    pub(super) fn rate_owes(&mut self, now: Instant, len: usize) {
        if let Some(rates) = &mut self.rates {
            rates.send.owe(now, len as u64);
        }
    }

    /// Counts units that came of a stream's initial credit.
    pub(super) fn rate_arrived(&mut self, now: Instant, units: u64) {
        if let Some(rates) = &mut self.rates
            && units > 0
        {
            rates.receive.owe(now, units);
        }
    }

    /// Grants a stream credit, as much as the rate allows, and returns its limit. Where that is not all it is due, the
    /// rest is granted later.
    pub(super) fn grant(&mut self, now: Instant, key: StreamKey) -> u64 {
        let Some(stream) = self.streams.get_mut(key.index as usize).filter(|stream| stream.serial == key.serial) else {
            return 0;
        };
        let receive = &mut stream.receive;
        let Some(rates) = &mut self.rates else {
            return receive.grant(now, self.round_trip, &mut self.budget, u64::MAX);
        };
        let before = receive.limit();
        if !matches!(receive.state(), ReceiveState::Head | ReceiveState::Open) {
            return before;
        }
        let mut limit = before;
        if rates.receive.is_open(now) {
            let most = rates.receive.bytes_in(BURST).max(cost(MAX_PAYLOAD));
            limit = receive.grant(now, self.round_trip, &mut self.budget, most);
            rates.receive.pass(now, limit - before);
        }
        if receive.enter_grants() {
            prune(&mut rates.held, &self.streams, |key| *key);
            rates.held.push_back(key);
        }
        self.release_held(now);
        limit
    }

    /// Lets the next stream that waits for the rate have its turn, or notes when it may.
    pub(super) fn release_held(&mut self, now: Instant) {
        while let Some(rates) = &mut self.rates
            && !rates.held.is_empty()
            && rates.receive.is_open(now)
        {
            let Some(key) = rates.held.pop_front() else { return };
            if let Some(stream) = self.get_mut(key) {
                stream.receive.leave_grants();
                return self.queue_credit(key);
            }
        }
    }

    /// Takes note that time went on for the rate.
    pub(super) fn handle_rate_timeout(&mut self, now: Instant) {
        let Some(rates) = &mut self.rates else { return };
        for bucket in [&mut rates.send, &mut rates.receive] {
            bucket.wakes_at = bucket.wakes_at.filter(|at| *at > now);
        }
        self.release_held(now);
    }
}
