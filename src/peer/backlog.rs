//! How many bytes may wait in the channel.
//!
//! SCTP knows the path: it decides what is in flight and when it leaves. But SCTP is one queue, so data it was handed
//! and has not sent delays every other stream behind it. It is therefore handed only what leaves within a millisecond,
//! at the rate at which bytes were seen to leave.
//!
//! A program that uses this one as a library may run str0m with str0m's own SCTP instead of ours. That SCTP counts
//! unacknowledged bytes, and its cost per packet grows with them, so the limit there is one and a half times bandwidth
//! times round trip. The first message shows which SCTP it is: once everything has left, ours reports no more waiting
//! bytes.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Minimum backlog, in bytes: two messages, so that one is under way while the next is read.
pub const MIN_BACKLOG: usize = 32 * 1024;

/// Maximum backlog, in bytes.
pub const MAX_BACKLOG: usize = 1024 * 1024;

/// Time in which the waiting bytes should leave.
const HORIZON: Duration = Duration::from_millis(1);

/// Returns how many bytes beyond `target` may wait while datagrams are sent: a quarter, and at least one message's
/// worth.
pub const fn datagram_share(target: usize) -> usize {
    let share = target / 4;
    if share < MIN_BACKLOG / 2 { MIN_BACKLOG / 2 } else { share }
}

/// How long a measured rate or round trip counts: long enough to outlast a short pause of the application, short enough
/// to follow a path that changes.
const RATE_WINDOW: Duration = Duration::from_secs(2);
const ROUND_TRIP_WINDOW: Duration = Duration::from_secs(60);

/// If nothing leaves for this long, or for a round trip, although something waits, the path is stalled, and a datagram
/// would arrive late. The next packet that leaves may be a mere probe of a stalled path, so datagrams are then handed
/// over one, two, four at a time.
const STALLED: Duration = Duration::from_millis(20);

/// Minimum time over which a rate is measured, so that one burst of acknowledgements does not count as the path's rate.
const MIN_ROUND: Duration = Duration::from_millis(10);

/// Best values of a quantity over a sliding window of time.
#[derive(Debug)]
pub(crate) struct Best<T> {
    window: Duration,
    /// Samples that no later sample beats, oldest first.
    samples: VecDeque<(Instant, T)>,
    beats: fn(&T, &T) -> bool,
}

impl<T: Copy> Best<T> {
    pub(crate) fn new(window: Duration, beats: fn(&T, &T) -> bool) -> Best<T> {
        Best { window, samples: VecDeque::new(), beats }
    }

    pub(crate) fn add(&mut self, now: Instant, value: T) {
        while self.samples.back().is_some_and(|(_, last)| !(self.beats)(last, &value)) {
            self.samples.pop_back();
        }
        self.samples.push_back((now, value));
        // Keep the newest sample, however old: an old figure is better than none.
        while self.samples.len() > 1 && now.saturating_duration_since(self.samples[0].0) > self.window {
            self.samples.pop_front();
        }
    }

    pub(crate) fn get(&self) -> Option<T> {
        self.samples.front().map(|(_, value)| *value)
    }
}

/// Bytes that the channel's buffered amount counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Counts {
    /// No observation yet.
    Unknown,
    /// Bytes that were not sent.
    Unsent,
    /// Bytes that were not acknowledged.
    Unacknowledged,
}

/// Measures how fast bytes leave, and derives how many may wait.
#[derive(Debug)]
pub struct Backlog {
    counts: Counts,
    round_trip: Best<Duration>,
    rate: Best<f64>,
    round_start: Option<Instant>,
    written_at: Option<Instant>,
    /// When a byte left last, or nothing waited; `None` before the first such time.
    moved_at: Option<Instant>,
    /// Bytes of datagrams that may be handed over before the path shows that they leave.
    batch: usize,
    /// Bytes of datagrams handed over since then.
    handed: usize,
    left: usize,
    /// Bytes that waited at the last observation.
    unsent: usize,
    target: usize,
}

impl Default for Backlog {
    fn default() -> Self {
        Backlog {
            counts: Counts::Unknown,
            round_trip: Best::new(ROUND_TRIP_WINDOW, |a, b| a < b),
            rate: Best::new(RATE_WINDOW, |a, b| a > b),
            round_start: None,
            written_at: None,
            moved_at: None,
            batch: datagram_share(MAX_BACKLOG),
            handed: 0,
            left: 0,
            unsent: 0,
            target: MIN_BACKLOG,
        }
    }
}

impl Backlog {
    /// Handles a round trip measured beside the channel's own queue, by STUN.
    pub fn handle_round_trip(&mut self, now: Instant, sample: Duration) {
        self.round_trip.add(now, sample);
    }

    /// Counts `len` bytes handed to the channel.
    pub fn handle_written(&mut self, now: Instant, len: usize) {
        let is_idle = self.written_at.is_none_or(|at| now.saturating_duration_since(at) > MIN_ROUND);
        if (self.unsent == 0 && is_idle) || self.round_start.is_none() {
            // An idle time says nothing about the path.
            self.round_start = Some(now);
            self.left = 0;
        }
        self.written_at = Some(now);
        self.unsent += len;
    }

    /// Handles the number of waiting bytes after the channel sent what it could.
    pub fn handle_settled(&mut self, now: Instant, unsent: usize) {
        if self.counts == Counts::Unknown && self.unsent > 0 {
            self.counts = if unsent > 0 { Counts::Unacknowledged } else { Counts::Unsent };
        }
        self.observe(now, unsent);
    }

    /// Counts what left since the last call.
    fn observe(&mut self, now: Instant, unsent: usize) {
        if self.is_stalled(now) {
            (self.batch, self.handed) = (1, 0);
        }
        if unsent == 0 || unsent < self.unsent {
            self.moved_at = Some(now);
            self.batch = (self.batch + self.handed).min(datagram_share(MAX_BACKLOG));
            self.handed = 0;
        }
        self.left += self.unsent.saturating_sub(unsent);
        self.unsent = unsent;
    }

    /// Handles the number of waiting bytes. What left since the last call was sent, or acknowledged.
    pub fn handle_unsent(&mut self, now: Instant, unsent: usize) {
        self.observe(now, unsent);
        let Some(start) = self.round_start else { return };
        let (least, horizon) = match self.counts {
            Counts::Unknown => return,
            Counts::Unsent => (MIN_ROUND, HORIZON),
            Counts::Unacknowledged => {
                let Some(round_trip) = self.round_trip.get() else { return };
                (MIN_ROUND.max(round_trip), round_trip * 3 / 2)
            }
        };
        let elapsed = now.saturating_duration_since(start);
        if elapsed < least {
            return;
        }
        self.rate.add(now, self.left as f64 / elapsed.as_secs_f64());
        self.left = 0;
        self.round_start = Some(now);
        if let Some(rate) = self.rate.get() {
            self.target = ((rate * horizon.as_secs_f64()) as usize).clamp(MIN_BACKLOG, MAX_BACKLOG);
        }
    }

    /// Tells whether a datagram would leave soon.
    pub fn takes_datagram(&self, now: Instant) -> bool {
        !self.is_stalled(now) && self.handed < self.batch && self.unsent < self.target + datagram_share(self.target)
    }

    /// Counts `len` bytes of datagrams among those handed to the channel.
    pub fn handle_datagram(&mut self, len: usize) {
        self.handed += len;
    }

    fn is_stalled(&self, now: Instant) -> bool {
        let limit = self.round_trip.get().map_or(STALLED, |round_trip| round_trip.max(STALLED));
        self.unsent > 0 && self.moved_at.is_some_and(|at| now.saturating_duration_since(at) >= limit)
    }

    /// Returns how many bytes may wait.
    pub fn target(&self) -> usize {
        self.target
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// Runs the policy over a path of `rate` bytes per second that always has something to send, and returns the target
    /// it settles at. The channel reports unacknowledged bytes for `round_trip`, or, without one, unsent bytes.
    fn settle(rate: f64, round_trip: Option<Duration>) -> usize {
        let mut backlog = Backlog::default();
        let mut now = Instant::now();
        let step = Duration::from_micros(500);
        round_trip.into_iter().for_each(|sample| backlog.handle_round_trip(now, sample));
        backlog.handle_written(now, 100);
        backlog.handle_settled(now, if round_trip.is_some() { 100 } else { 0 });
        backlog.handle_unsent(now, 0);
        let (mut buffered, mut busy_until) = (0_usize, now);
        let mut leaving: VecDeque<(Instant, usize)> = VecDeque::new();
        for _ in 0..40_000 {
            while let Some(&(at, len)) = leaving.front()
                && at <= now
            {
                leaving.pop_front();
                buffered -= len;
            }
            backlog.handle_unsent(now, buffered);
            while buffered + 1200 <= backlog.target() {
                backlog.handle_written(now, 1200);
                buffered += 1200;
                busy_until = busy_until.max(now) + Duration::from_secs_f64(1200.0 / rate);
                leaving.push_back((busy_until + round_trip.unwrap_or_default(), 1200));
            }
            now += step;
        }
        backlog.target()
    }

    #[test]
    fn what_waits_leaves_within_a_millisecond() {
        for rate in [50e6, 120e6, 400e6] {
            let target = settle(rate, None) as f64;
            let expected = (rate * HORIZON.as_secs_f64()).clamp(MIN_BACKLOG as f64, MAX_BACKLOG as f64);
            assert!((target / expected - 1.0).abs() < 0.25, "{rate} B/s: {target} for {expected}");
        }
        assert_eq!(settle(12.5e6, None), MIN_BACKLOG);
    }

    #[test]
    fn where_the_channel_counts_what_is_unacknowledged_the_pipe_is_filled() {
        for (rate, millis) in [(12.5e6, 20), (2.5e6, 100), (1.25e6, 50), (6.0e6, 80)] {
            let target = settle(rate, Some(MS * millis)) as f64;
            let expected = (rate * f64::from(millis) * 1.5e-3).clamp(MIN_BACKLOG as f64, MAX_BACKLOG as f64);
            assert!((target / expected - 1.0).abs() < 0.25, "{rate} B/s × {millis} ms: {target} for {expected}");
        }
    }

    #[test]
    fn an_idle_stretch_does_not_count_as_slow() {
        let mut backlog = Backlog::default();
        let start = Instant::now();
        backlog.handle_written(start, 1_000_000);
        backlog.handle_settled(start, 0);
        backlog.handle_unsent(start + 10 * MS, 0);
        let target = backlog.target();
        assert_eq!(target, 100_000, "100 MB/s for 1 ms");
        backlog.handle_written(start + 60_000 * MS, 1000);
        backlog.handle_unsent(start + 60_001 * MS, 0);
        assert_eq!(backlog.target(), target);
    }
}
