//! How many bytes may be under way on the channel.
//!
//! SCTP is one FIFO: whatever it holds delays every other stream behind it, and str0m's cost per packet grows with it.
//! So we hand it what the path needs and no more: the bandwidth it was seen to deliver times the round trip without
//! queues, and half as much again so that a faster path shows itself (the idea of BBR, draft-ietf-ccwg-bbr, without its
//! pacing). Both figures are measured in passing; `docs/performance.md` has throughput against bytes in flight.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// The least that is kept in flight, in bytes: two messages, so that one is under way while the next is taken.
pub const MIN_FLIGHT: usize = 32 * 1024;

/// The most that is kept in flight, in bytes: what the receiver's window can hold.
pub const MAX_FLIGHT: usize = 1024 * 1024;

/// Returns how many bytes may be in flight beyond a target of that many while datagrams are sent: a quarter, and at
/// least one message's worth.
pub const fn datagram_share(target: usize) -> usize {
    let share = target / 4;
    if share < MIN_FLIGHT / 2 { MIN_FLIGHT / 2 } else { share }
}

/// How long a measured rate or round trip counts: long enough to outlast a short pause of the application, short enough
/// to follow a path that changed.
const RATE_WINDOW: Duration = Duration::from_secs(2);
const ROUND_TRIP_WINDOW: Duration = Duration::from_secs(60);

/// Acknowledged bytes in whose place datagrams may go while SCTP holds back what it is given.
const MAX_CLOCKED: usize = 4 * 1024;

/// A rate is measured over at least this long, so that one burst of acknowledgements does not pass for the path's rate.
const MIN_ROUND: Duration = Duration::from_millis(10);

/// Best values of a quantity over a sliding stretch of time.
#[derive(Debug)]
pub(crate) struct Best<T> {
    window: Duration,
    /// Samples that no later one beats, oldest first.
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
        // The newest sample stays, however old: an old figure is better than none.
        while self.samples.len() > 1 && now.saturating_duration_since(self.samples[0].0) > self.window {
            self.samples.pop_front();
        }
    }

    pub(crate) fn get(&self) -> Option<T> {
        self.samples.front().map(|(_, value)| *value)
    }
}

/// Measures the path and derives the bytes that may be in flight.
#[derive(Debug)]
pub struct Flight {
    round_trip: Best<Duration>,
    rate: Best<f64>,
    round_start: Option<Instant>,
    delivered: usize,
    /// Bytes buffered when the state was seen last.
    buffered: usize,
    /// SCTP's own window is full: what it is given waits there.
    is_saturated: bool,
    /// Bytes acknowledged since then, less datagrams that went in their place.
    clocked: usize,
    target: usize,
    fixed: bool,
}

impl Default for Flight {
    fn default() -> Self {
        Flight {
            round_trip: Best::new(ROUND_TRIP_WINDOW, |a, b| a < b),
            rate: Best::new(RATE_WINDOW, |a, b| a > b),
            round_start: None,
            delivered: 0,
            buffered: 0,
            is_saturated: false,
            clocked: 0,
            target: MIN_FLIGHT,
            fixed: false,
        }
    }
}

impl Flight {
    /// Creates a policy that never moves from `target` bytes, for measurements.
    pub fn fixed(target: usize) -> Flight {
        Flight { target, fixed: true, ..Flight::default() }
    }

    /// Takes a round trip that went beside the channel's own queue (STUN does).
    pub fn handle_round_trip(&mut self, now: Instant, sample: Duration) {
        self.round_trip.add(now, sample);
    }

    /// Takes note that `len` bytes were handed to the channel.
    pub fn handle_written(&mut self, now: Instant, len: usize) {
        if self.buffered == 0 || self.round_start.is_none() {
            // An idle stretch says nothing about the path.
            self.round_start = Some(now);
            self.delivered = 0;
        }
        self.buffered += len;
    }

    /// Takes note of how many bytes went out when `len` bytes were handed to the channel. If fewer, SCTP holds back.
    pub fn handle_emitted(&mut self, len: usize, emitted: usize) {
        let was_saturated = std::mem::replace(&mut self.is_saturated, emitted < len);
        self.clocked = if was_saturated { self.clocked } else { 0 };
    }

    /// Takes note that a datagram of that length was handed to the channel.
    pub fn handle_datagram(&mut self, len: usize) {
        self.clocked = self.clocked.saturating_sub(len);
    }

    /// Takes the bytes the channel holds now: what left since the last call was acknowledged.
    pub fn handle_buffered(&mut self, now: Instant, buffered: usize) {
        self.delivered += self.buffered.saturating_sub(buffered);
        self.clocked = MAX_CLOCKED.min(self.clocked + self.buffered.saturating_sub(buffered));
        self.buffered = buffered;
        let (Some(start), Some(round_trip)) = (self.round_start, self.round_trip.get()) else { return };
        let elapsed = now.saturating_duration_since(start);
        if elapsed < round_trip.max(MIN_ROUND) {
            return;
        }
        self.rate.add(now, self.delivered as f64 / elapsed.as_secs_f64());
        self.delivered = 0;
        self.round_start = (buffered > 0).then_some(now);
        if let Some(rate) = self.rate.get()
            && !self.fixed
        {
            let product = rate * round_trip.as_secs_f64();
            self.target = ((product * 1.5) as usize).clamp(MIN_FLIGHT, MAX_FLIGHT);
        }
    }

    /// Tells whether a datagram would be under way soon. Where SCTP holds back, it keeps datagrams for as long as it
    /// takes, which after losses is seconds; then they go only as fast as acknowledgements come.
    pub fn takes_datagram(&self) -> bool {
        self.buffered < self.target + datagram_share(self.target) && (!self.is_saturated || self.clocked > 0)
    }

    /// Returns how many bytes may be in flight.
    pub fn target(&self) -> usize {
        self.target
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Drives the policy over a path of `rate` bytes a second and `round_trip`, always with something to send, and
    /// returns the target it settles at.
    fn settle(rate: f64, round_trip: Duration) -> usize {
        let mut flight = Flight::default();
        let mut now = Instant::now();
        let step = Duration::from_micros(500);
        flight.handle_round_trip(now, round_trip);
        let (mut buffered, mut busy_until) = (0usize, now);
        let mut acks: VecDeque<(Instant, usize)> = VecDeque::new();
        for _ in 0..40_000 {
            while let Some(&(at, len)) = acks.front()
                && at <= now
            {
                acks.pop_front();
                buffered -= len;
            }
            flight.handle_buffered(now, buffered);
            while buffered + 1200 <= flight.target() {
                flight.handle_written(now, 1200);
                buffered += 1200;
                busy_until = busy_until.max(now) + Duration::from_secs_f64(1200.0 / rate);
                acks.push_back((busy_until + round_trip, 1200));
            }
            now += step;
        }
        flight.target()
    }

    #[test]
    fn the_target_settles_near_the_product_of_bandwidth_and_delay() {
        for (rate, millis) in [(12.5e6, 20), (2.5e6, 100), (1.25e6, 50), (6.0e6, 80)] {
            let round_trip = Duration::from_millis(millis);
            let product = rate * round_trip.as_secs_f64();
            let target = settle(rate, round_trip) as f64;
            let expected = (product * 1.5).clamp(MIN_FLIGHT as f64, MAX_FLIGHT as f64);
            assert!((target / expected - 1.0).abs() < 0.25, "{rate} B/s × {millis} ms: {target} for {expected}");
        }
    }

    #[test]
    fn a_short_path_stays_at_the_least() {
        assert_eq!(settle(50e6, Duration::from_micros(200)), MIN_FLIGHT);
    }

    #[test]
    fn datagrams_follow_acknowledgements_where_sctp_holds_back() {
        let (mut flight, now) = (Flight::default(), Instant::now());
        let write = |flight: &mut Flight, emitted| {
            flight.handle_written(now, 1000);
            flight.handle_datagram(1000);
            flight.handle_emitted(1000, emitted);
        };
        write(&mut flight, 1060);
        assert!(flight.takes_datagram());
        write(&mut flight, 0);
        assert!(!flight.takes_datagram(), "it waits in SCTP, and so would the next one");
        flight.handle_buffered(now, 1500);
        assert!(flight.takes_datagram());
        write(&mut flight, 0);
        assert!(!flight.takes_datagram());
        flight.handle_buffered(now, 0);
        write(&mut flight, 1060);
        write(&mut flight, 1060);
        assert!(flight.takes_datagram());
    }

    #[test]
    fn an_idle_stretch_does_not_count_as_slow() {
        let mut flight = Flight::default();
        let start = Instant::now();
        flight.handle_round_trip(start, Duration::from_millis(10));
        flight.handle_written(start, 1_000_000);
        flight.handle_buffered(start + Duration::from_millis(10), 0);
        let target = flight.target();
        assert_eq!(target, MAX_FLIGHT, "100 MB/s over 10 ms");
        flight.handle_written(start + Duration::from_secs(60), 1000);
        flight.handle_buffered(start + Duration::from_millis(60_001), 0);
        assert_eq!(flight.target(), target);
    }

    #[test]
    fn bytes_that_others_put_on_the_channel_do_not_stop_the_measurement() {
        let mut flight = Flight::default();
        let mut now = Instant::now();
        flight.handle_round_trip(now, Duration::from_millis(50));
        // The acknowledgement of the channel's opening is never ours, and never all of it is gone at a write.
        for _ in 0..100 {
            flight.handle_buffered(now, 100);
            flight.handle_written(now, flight.target() - 100);
            now += Duration::from_millis(50);
        }
        assert_eq!(flight.target(), MAX_FLIGHT);
    }
}
