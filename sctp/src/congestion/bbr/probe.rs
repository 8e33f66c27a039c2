//! The cycle that probes for bandwidth, and the bound on bytes in flight learned from its losses.

use std::time::{Duration, Instant};

use super::bounds::is_too_much;
use super::{Bbr, Sample, Stamp, State, percent, scale};

/// Longest time between two probes, in rounds: as long as a flow that halves its window at each loss needs to fill the
/// pipe again.
const MAX_ROUNDS: u64 = 63;
/// Shortest time between two probes, and the greatest random addition.
const WAIT: Duration = Duration::from_secs(2);
const RANDOM_WAIT: Duration = Duration::from_secs(1);
/// Maximum number of times the wait doubles while probes only find other flows' shares: a flow that halves its window
/// at a loss would otherwise not recover between two probes.
const MAX_IN_VAIN: u32 = 3;

/// What the arriving acknowledgements belong to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AckPhase {
    /// Not to a probe.
    Idle,
    /// To data that left while the pipe was filled.
    Refilling,
    /// To data that left before the probe sent more.
    Starting,
    /// To data that left while the probe sent more.
    Feedback,
    /// To data that left while the probe sent more, after it ended.
    Stopping,
}

/// The cycle of probes.
#[derive(Debug)]
pub(super) struct Probe {
    began_at: Instant,
    wait: Duration,
    pub(super) rounds: u64,
    /// Probes in a row that ended because they lost too much; each makes the wait longer.
    in_vain: u32,
    phase: AckPhase,
    /// Losses of data that leaves now belong to the probe.
    has_samples: bool,
    /// Rounds in which the bound grew.
    up_rounds: u32,
    /// Bytes acknowledged since the bound last grew.
    up_acked: u64,
    /// Bytes acknowledged for the bound to grow by one step.
    up_step: u64,
}

impl Probe {
    pub(super) fn new(now: Instant) -> Probe {
        Probe {
            began_at: now,
            wait: WAIT,
            rounds: 0,
            in_vain: 0,
            phase: AckPhase::Idle,
            has_samples: false,
            up_rounds: 0,
            up_acked: 0,
            up_step: u64::MAX,
        }
    }

    pub(super) fn set_phase(&mut self, phase: AckPhase) {
        self.phase = phase;
    }
}

impl Bbr {
    pub(super) fn update_probe(&mut self, now: Instant, sample: &Sample) {
        if !self.full.is_reached {
            return;
        }
        self.adapt_long_term(now, sample);
        match self.state {
            State::Down | State::Cruise => {
                let is_drained = self.is_drained();
                if !self.check_refill(now) && is_drained {
                    self.state = State::Cruise;
                }
            }
            State::Refill if self.rounds.has_begun => {
                self.probe.has_samples = true;
                self.start_up(now, sample);
            }
            State::Up => {
                if self.is_window_limited && self.window >= self.long_term_in_flight {
                    self.full.reset(sample.rate);
                } else if self.full.is_now {
                    self.probe.in_vain = 0;
                    self.start_down(now);
                }
            }
            _ => {}
        }
    }

    /// Raises the bound by data that passes without loss; too much loss lowers it.
    fn adapt_long_term(&mut self, now: Instant, sample: &Sample) {
        if self.rounds.has_begun {
            match self.probe.phase {
                AckPhase::Starting => self.probe.phase = AckPhase::Feedback,
                AckPhase::Stopping => {
                    self.probe.has_samples = false;
                    self.probe.phase = AckPhase::Idle;
                    if self.state.is_probing_bandwidth() && !sample.is_app_limited {
                        self.bandwidth.advance();
                        self.min_round_trip.start_cycle();
                    }
                }
                _ => {}
            }
        }
        if !sample.has_interval {
            return;
        }
        if self.probe.has_samples && self.is_loss_too_high(sample.lost, sample.in_flight_at_send) {
            self.handle_too_high(now, sample.in_flight_at_send, sample.is_app_limited);
            return;
        }
        if self.long_term_in_flight == u64::MAX {
            return;
        }
        self.long_term_in_flight = self.long_term_in_flight.max(sample.in_flight_at_send);
        if self.state == State::Up {
            self.raise_long_term(sample);
        }
    }

    fn raise_long_term(&mut self, sample: &Sample) {
        if !self.is_window_limited || self.window < self.long_term_in_flight {
            return;
        }
        self.probe.up_acked += sample.newly_acked;
        if self.probe.up_acked >= self.probe.up_step {
            let steps = self.probe.up_acked / self.probe.up_step.max(1);
            self.probe.up_acked -= steps * self.probe.up_step;
            self.long_term_in_flight = self.long_term_in_flight.saturating_add(steps * self.packet_size);
        }
        if self.rounds.has_begun {
            self.raise_slope();
        }
    }

    /// Makes the bound grow twice as fast in each round.
    fn raise_slope(&mut self) {
        let growth = 1_u64 << self.probe.up_rounds;
        self.probe.up_rounds = (self.probe.up_rounds + 1).min(30);
        self.probe.up_step = (self.window / growth).max(1);
    }

    fn is_loss_too_high(&self, lost: u64, in_flight: u64) -> bool {
        is_too_much(lost / self.packet_size, in_flight / self.packet_size)
    }

    /// Checks whether a lost chunk of a probe was one too many.
    pub(super) fn check_probe_loss(&mut self, now: Instant, bytes: u64, stamp: &Stamp, lost: u64) {
        if !self.probe.has_samples || !self.is_loss_too_high(lost, stamp.in_flight) {
            return;
        }
        // Estimate what was in flight when the loss became too high. The sender cannot know which packet of the train
        // it was, so it takes the point at which two percent of the data before were lost.
        let before = stamp.in_flight.saturating_sub(bytes);
        let lost_before = lost.saturating_sub(bytes);
        let allowed = (2 * before / 100).saturating_sub(lost_before);
        self.handle_too_high(now, before + allowed * 100 / 98, stamp.is_app_limited);
    }

    fn handle_too_high(&mut self, now: Instant, in_flight: u64, is_app_limited: bool) {
        self.probe.has_samples = false;
        if !is_app_limited {
            self.long_term_in_flight = in_flight.max(self.reduced_target());
        }
        if self.state == State::Up {
            self.probe.in_vain = (self.probe.in_vain + 1).min(MAX_IN_VAIN);
            self.start_down(now);
        }
    }

    fn is_drained(&self) -> bool {
        self.in_flight <= self.with_headroom()
            && self.in_flight <= self.target_in_flight(self.bandwidth.get(), percent(100))
    }

    /// Begins the next probe if it is due. Returns whether it did.
    fn check_refill(&mut self, now: Instant) -> bool {
        let rounds = (self.target_in_flight(self.usable_bandwidth(), percent(100)) / self.packet_size).min(MAX_ROUNDS)
            << self.probe.in_vain;
        if now < self.probe.began_at + self.probe.wait && self.probe.rounds < rounds {
            return false;
        }
        self.forget_short_term();
        self.probe.up_rounds = 0;
        self.probe.up_acked = 0;
        self.probe.phase = AckPhase::Refilling;
        self.start_round();
        self.state = State::Refill;
        true
    }

    fn start_up(&mut self, now: Instant, sample: &Sample) {
        self.probe.phase = AckPhase::Starting;
        self.probe.began_at = now;
        self.full.reset(sample.rate);
        self.raise_slope();
        self.start_round();
        self.state = State::Up;
    }

    pub(super) fn start_down(&mut self, now: Instant) {
        self.loss_round.reset();
        self.probe.up_step = u64::MAX;
        self.probe.rounds = self.random.below(2);
        self.probe.wait =
            WAIT * (1 << self.probe.in_vain) + RANDOM_WAIT * u32::try_from(self.random.below(1000)).unwrap_or(0) / 1000;
        self.probe.began_at = now;
        self.probe.phase = AckPhase::Stopping;
        self.start_round();
        self.state = State::Down;
    }

    /// Returns the window of a round-trip measurement.
    pub(super) fn probe_rtt_window(&self) -> u64 {
        scale(self.pipe(self.usable_bandwidth(), percent(100)), percent(50)).max(super::MIN_PACKETS * self.packet_size)
    }
}
