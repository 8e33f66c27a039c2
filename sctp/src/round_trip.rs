//! The round trip, and the retransmission timeout derived from it (RFC 9260, section 6.3; RFC 6298).

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Timeout before the first measurement (RFC 9260, section 16: RTO.Initial).
const INITIAL: Duration = Duration::from_secs(1);

/// Minimum timeout. RFC 9260 proposes a second, which is a hundred round trips on short paths; no acknowledgement is
/// delayed for as long as this.
const MIN: Duration = Duration::from_millis(200);

/// Maximum timeout, however often it doubles. RFC 9260 proposes a minute, so that a path that comes back after a
/// minute would be noticed half a minute later. One packet every three seconds harms nobody.
pub(crate) const MAX: Duration = Duration::from_secs(3);

/// How long a measured minimum counts, since paths change.
const LEAST_WINDOW: Duration = Duration::from_secs(30);

/// Granularity of the clock.
pub(crate) const GRANULARITY: Duration = Duration::from_millis(1);

/// Estimates the round trip.
#[derive(Debug, Default)]
pub(crate) struct RoundTrip {
    smoothed: Option<Duration>,
    variation: Duration,
    /// Samples that no later sample beats, oldest first.
    least: VecDeque<(Instant, Duration)>,
}

impl RoundTrip {
    /// Handles a sample, which must come from data that was sent only once (Karn's rule; RFC 9260, section 6.3.1, C5).
    pub(crate) fn handle_sample(&mut self, now: Instant, sample: Duration) {
        match self.smoothed {
            None => {
                self.smoothed = Some(sample);
                self.variation = sample / 2;
            }
            Some(smoothed) => {
                let difference = smoothed.abs_diff(sample);
                self.variation = self.variation * 3 / 4 + difference / 4;
                self.smoothed = Some(smoothed * 7 / 8 + sample / 8);
            }
        }
        while self.least.back().is_some_and(|(_, last)| *last >= sample) {
            self.least.pop_back();
        }
        self.least.push_back((now, sample));
        while self.least.len() > 1 && now.saturating_duration_since(self.least[0].0) > LEAST_WINDOW {
            self.least.pop_front();
        }
    }

    /// Returns the smoothed round trip, once it was measured.
    pub(crate) fn smoothed(&self) -> Option<Duration> {
        self.smoothed
    }

    /// Returns the recent minimum of the round trip, once it was measured.
    pub(crate) fn least(&self) -> Option<Duration> {
        self.least.front().map(|(_, least)| *least)
    }

    /// Returns the retransmission timeout after it has expired `backoff` times in a row.
    pub(crate) fn timeout(&self, backoff: u32) -> Duration {
        let base = match self.smoothed {
            None => INITIAL,
            Some(smoothed) => (smoothed + GRANULARITY.max(self.variation * 4)).max(MIN),
        };
        base.saturating_mul(1 << backoff.min(16)).min(MAX.max(base))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn millis(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn the_timeout_is_a_second_until_measured_and_doubles() {
        let mut round_trip = RoundTrip::default();
        assert_eq!(round_trip.timeout(0), millis(1000));
        assert_eq!(round_trip.timeout(1), millis(2000));
        assert_eq!(round_trip.timeout(9), MAX);
        assert_eq!(round_trip.timeout(u32::MAX), MAX);
        let now = Instant::now();
        round_trip.handle_sample(now, millis(100));
        assert_eq!(round_trip.timeout(0), millis(300));
        for _ in 0..100 {
            round_trip.handle_sample(now, millis(10));
        }
        assert_eq!(round_trip.timeout(0), MIN);
        assert!(round_trip.smoothed().expect("measured") < millis(11));
    }

    #[test]
    fn the_least_forgets() {
        let mut round_trip = RoundTrip::default();
        let start = Instant::now();
        round_trip.handle_sample(start, millis(10));
        round_trip.handle_sample(start + millis(20_000), millis(50));
        assert_eq!(round_trip.least(), Some(millis(10)));
        round_trip.handle_sample(start + millis(31_000), millis(60));
        assert_eq!(round_trip.least(), Some(millis(50)));
    }
}
