//! The rate limit of a session, for both directions.
//!
//! Only credit can slow a peer down, so the incoming direction is limited by granting less of it. The initial credit of
//! a new stream may come at any speed. It is counted, and streams that live on get their next credit later by as much.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::Mux;
use super::timers::prune;
use crate::tunnel::chunk::MAX_PAYLOAD;
use crate::tunnel::credit::cost;
use crate::tunnel::frame::HEADER_LEN;
use crate::tunnel::id::StreamKey;
use crate::tunnel::schedule::{QUANTUM, Schedule};
use crate::tunnel::stream::ReceiveState;

/// What an idle direction saves up, as time at its rate. One more message may go at once: its cost is a debt.
const BURST: Duration = Duration::from_millis(20);

/// Longest time that debts keep a direction quiet. Debts of control frames and initial credit have no other limit.
const MAX_DEBT: Duration = Duration::from_secs(2);

/// Longest turn of a stream, as time at the rate, where frames can be cut that small. A small message may have to wait
/// one turn for each bulk stream beside it.
const MAX_TURN: Duration = Duration::from_millis(10);

/// Minimum payload of a DATA frame that is cut down for that, in bytes.
const MIN_PAYLOAD: usize = 1024;

/// Longest wait for the rate, whatever passes without asking meanwhile. It is longer than [`MAX_DEBT`], so that it only
/// matters then.
const MAX_WAIT: Duration = Duration::from_secs(3);

/// A token bucket, as the time until which its rate is used up.
#[derive(Debug)]
struct Bucket {
    /// In bytes a second.
    rate: u64,
    used_until: Option<Instant>,
    /// When a sender first found the bucket empty; none has passed since.
    waits_since: Option<Instant>,
    /// When a waiting sender can go on.
    wakes_at: Option<Instant>,
}

impl Bucket {
    fn new(rate: u64) -> Bucket {
        Bucket { rate: rate.max(1), used_until: None, waits_since: None, wakes_at: None }
    }

    /// Tells whether something may pass. If not, the bucket wakes the caller later.
    fn is_open(&mut self, now: Instant) -> bool {
        let due = self.used_until.filter(|until| *until > now).map(|until| {
            let since = *self.waits_since.get_or_insert(now);
            until.min(since + MAX_WAIT)
        });
        self.wakes_at = due.filter(|at| *at > now);
        self.wakes_at.is_none()
    }

    /// Counts bytes that pass because the bucket is open.
    fn pass(&mut self, now: Instant, bytes: u64) {
        self.waits_since = None;
        self.owe(now, bytes);
    }

    /// Counts bytes that pass without asking.
    fn owe(&mut self, now: Instant, bytes: u64) {
        let nanos = (u128::from(bytes) * 1_000_000_000).div_ceil(self.rate.into());
        let took = Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
        let full = now.checked_sub(BURST).unwrap_or(now);
        let from = self.used_until.map_or(full, |until| until.max(full));
        self.used_until = Some((from + took.min(MAX_DEBT + BURST)).min(now + MAX_DEBT));
    }

    /// Returns how many bytes pass in `time`.
    fn bytes_in(&self, time: Duration) -> u64 {
        u64::try_from(u128::from(self.rate) * time.as_nanos() / 1_000_000_000).unwrap_or(u64::MAX)
    }
}

/// The two directions of a session that has a rate.
#[derive(Debug)]
pub(super) struct Rates {
    send: Bucket,
    receive: Bucket,
    /// Streams whose credit waits for the rate.
    held: VecDeque<StreamKey>,
}

impl Rates {
    /// Creates the limits for a rate in bytes per second, the same for both directions.
    pub(super) fn new(rate: u64) -> Rates {
        Rates { send: Bucket::new(rate), receive: Bucket::new(rate), held: VecDeque::new() }
    }

    /// Returns the longest payload that keeps no other stream waiting for long, in bytes.
    pub(super) fn payload_limit(&self) -> usize {
        let bytes = usize::try_from(self.send.bytes_in(MAX_TURN)).unwrap_or(usize::MAX);
        bytes.clamp(MIN_PAYLOAD, MAX_PAYLOAD)
    }

    /// Returns a schedule whose turns are one message long.
    pub(super) fn schedule(&self) -> Schedule {
        Schedule::new(self.quantum())
    }

    fn quantum(&self) -> u16 {
        (HEADER_LEN + self.payload_limit()) as u16
    }

    /// Returns when something that waits for the rate can go on.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        [self.send.wakes_at, self.receive.wakes_at].into_iter().flatten().min()
    }
}

impl Mux {
    /// Keeps to another rate from now on, in bytes per second and in both directions; `None` means no limit.
    pub fn set_rate(&mut self, rate: Option<u64>) {
        self.config.rate = rate;
        let rates = rate.map(Rates::new);
        self.schedule.set_quantum(rates.as_ref().map_or(QUANTUM, Rates::quantum));
        // Debts at the former rate are forgiven, and whoever waited for it asks anew.
        let held = std::mem::replace(&mut self.rates, rates).map(|former| former.held);
        for key in held.into_iter().flatten() {
            if let Some(stream) = self.get_mut(key) {
                stream.receive.leave_grants();
                self.queue_credit(key);
            }
        }
    }

    /// Tells whether streams may send at `now`; otherwise sets the deadline when they may.
    pub(super) fn poll_rate(&mut self, now: Instant) -> bool {
        self.rates.as_mut().is_none_or(|rates| rates.send.is_open(now))
    }

    /// Tells whether streams wait to send because of the rate.
    pub(super) fn is_held_back(&self) -> bool {
        self.rates.as_ref().is_some_and(|rates| rates.send.wakes_at.is_some())
    }

    /// Counts a message that goes out because [`Mux::poll_rate`] allowed it.
    pub(super) fn rate_sent(&mut self, now: Instant, len: usize) {
        if let Some(rates) = &mut self.rates {
            rates.send.pass(now, len as u64);
        }
    }

    /// Counts a control frame, which never waits for the rate.
    pub(super) fn rate_owes(&mut self, now: Instant, len: usize) {
        if let Some(rates) = &mut self.rates {
            rates.send.owe(now, len as u64);
        }
    }

    /// Counts units that came from a stream's initial credit.
    pub(super) fn rate_arrived(&mut self, now: Instant, units: u64) {
        if let Some(rates) = &mut self.rates
            && units > 0
        {
            rates.receive.owe(now, units);
        }
    }

    /// Grants a stream credit, as much as the rate allows, and returns its limit. The rest is granted later.
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

    /// Grants credit to the next stream that waits for the rate, or sets the deadline when it may.
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

    /// Handles the deadline of the rate.
    pub(super) fn handle_rate_timeout(&mut self, now: Instant) {
        let Some(rates) = &mut self.rates else { return };
        for bucket in [&mut rates.send, &mut rates.receive] {
            bucket.wakes_at = bucket.wakes_at.filter(|at| *at > now);
        }
        self.release_held(now);
    }
}
