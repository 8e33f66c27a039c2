//! How fast bytes pass, without a timer of its own.

use std::time::{Duration, Instant};

/// Time between samples: the present rate is that of the last one to two of these.
const INTERVAL: Duration = Duration::from_secs(1);

/// A count at a time.
#[derive(Debug, Clone, Copy)]
struct Sample {
    at: Instant,
    count: (u64, u64),
}

/// The rates of two counts that only rise.
#[derive(Debug)]
pub(super) struct Meter {
    older: Sample,
    newer: Sample,
}

impl Meter {
    pub(super) fn new(now: Instant) -> Meter {
        let sample = Sample { at: now, count: (0, 0) };
        Meter { older: sample, newer: sample }
    }

    /// Takes a sample, if it is time for one.
    pub(super) fn note(&mut self, now: Instant, count: (u64, u64)) {
        if now.saturating_duration_since(self.newer.at) >= INTERVAL {
            self.older = std::mem::replace(&mut self.newer, Sample { at: now, count });
        }
    }

    /// Returns how much the counts rise in a second at present.
    pub(super) fn rates(&mut self, now: Instant, count: (u64, u64)) -> (u64, u64) {
        self.note(now, count);
        let base = self.older;
        let millis = now.saturating_duration_since(base.at).as_millis();
        let rate = |count: u64, before: u64| match millis {
            0 => 0,
            _ => u64::try_from(u128::from(count.saturating_sub(before)) * 1000 / millis).unwrap_or(u64::MAX),
        };
        (rate(count.0, base.count.0), rate(count.1, base.count.1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_is_that_of_the_last_moments() {
        let start = Instant::now();
        let mut meter = Meter::new(start);
        assert_eq!(meter.rates(start, (0, 0)), (0, 0));
        let at = |ms: u64| start + Duration::from_millis(ms);
        // 1,000 bytes each 100 ms one way, half of it the other way.
        let counts = |step: u64| (step * 1000, step * 500);
        for step in 1..=30 {
            meter.note(at(step * 100), counts(step));
        }
        assert_eq!(meter.rates(at(3000), counts(30)), (10_000, 5_000));
        // Nothing passes any more: the rate falls to nothing, whether somebody looks in between or not.
        assert!(meter.rates(at(3900), counts(30)).0 < 10_000);
        assert!(meter.rates(at(4500), counts(30)).0 < 7_000);
        assert_eq!(meter.rates(at(6000), counts(30)), (0, 0));
    }

    #[test]
    fn a_burst_after_a_long_silence_is_no_average_over_the_silence() {
        let start = Instant::now();
        let mut meter = Meter::new(start);
        let at = |ms: u64| start + Duration::from_millis(ms);
        meter.note(at(3_600_000), (0, 0));
        meter.note(at(3_601_000), (1_000_000, 0));
        assert_eq!(meter.rates(at(3_601_000), (1_000_000, 0)).0, 1_000_000);
    }
}
