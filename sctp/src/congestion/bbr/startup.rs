//! Startup and drain: finding the bandwidth, then emptying the queue that this caused.

use std::time::Instant;

use super::{Bbr, Sample, State, percent, scale};

/// Minimum growth that counts.
const GROWTH: u64 = percent(125);
/// Rounds without growth after which the bandwidth is known.
const ROUNDS_WITHOUT_GROWTH: u32 = 3;

/// Detects whether sending more still brings more delivery.
#[derive(Debug, Default)]
pub(super) struct FullBandwidth {
    best: u64,
    rounds: u32,
    /// The bandwidth no longer grows, in this probe.
    pub(super) is_now: bool,
    /// It stopped growing once: startup is over.
    pub(super) is_reached: bool,
}

impl FullBandwidth {
    /// Begins anew, from a known rate.
    pub(super) fn reset(&mut self, best: u64) {
        *self = FullBandwidth { best, is_reached: self.is_reached, ..FullBandwidth::default() };
    }

    fn update(&mut self, sample: &Sample, round_begins: bool) {
        if self.is_now || sample.is_app_limited || sample.rate == 0 {
            return;
        }
        if sample.rate >= scale(self.best, GROWTH) {
            self.reset(sample.rate);
            return;
        }
        if round_begins {
            self.rounds += 1;
            self.is_now = self.rounds >= ROUNDS_WITHOUT_GROWTH;
            self.is_reached |= self.is_now;
        }
    }
}

impl Bbr {
    pub(super) fn check_startup(&mut self, now: Instant, sample: &Sample) {
        self.full.update(sample, self.rounds.has_begun);
        if self.state != State::Startup {
            return;
        }
        if self.loss_round.has_ended_with_too_much_loss && self.loss_round.events >= 6 {
            self.full.is_reached = true;
            let pipe = self.target_in_flight(self.bandwidth.get(), percent(100));
            self.long_term_in_flight = pipe.max(self.loss_round.in_flight);
        }
        if self.full.is_reached {
            self.state = State::Drain;
            self.check_drain(now);
        }
    }

    pub(super) fn check_drain(&mut self, now: Instant) {
        if self.state == State::Drain && self.in_flight <= self.target_in_flight(self.bandwidth.get(), percent(100)) {
            self.start_down(now);
        }
    }
}
