//! Conclusions from loss: the short-term bounds, and when a loss rate is more than chance.

use super::{Bbr, Sample, State, percent, scale};

/// Share of a bound that remains after a round with too much loss.
const BETA: u64 = percent(70);
/// Share of the long-term bound that is left free for other flows.
const HEADROOM: u64 = percent(15);

/// Tells whether the loss of `lost` of `sent` packets exceeds two percent by more than three standard deviations. Small
/// samples need more; otherwise random loss of one percent would look like a full queue again and again.
pub(super) fn is_too_much(lost: u64, sent: u64) -> bool {
    // lost > x + 3 √x with x = 2 % of sent, in hundredths, without fractions.
    let expected = 2 * sent;
    let excess = (100 * lost).saturating_sub(expected);
    excess > 0 && u128::from(excess) * u128::from(excess) > 900 * u128::from(expected)
}

/// A round in which losses are counted, beginning with the first one.
#[derive(Debug, Default)]
pub(super) struct LossRound {
    ends_at: u64,
    has_begun: bool,
    has_loss: bool,
    lost: u64,
    began_at: u64,
    /// SACKs that reported loss.
    pub(super) events: u32,
    /// Best rate in the round.
    rate: u64,
    pub(super) in_flight: u64,
    /// The last round lost more than chance explains.
    pub(super) has_ended_with_too_much_loss: bool,
}

impl LossRound {
    pub(super) fn reset(&mut self) {
        self.has_loss = false;
        self.rate = 0;
        self.in_flight = 0;
    }
}

impl Bbr {
    /// Counts a loss: the current round ends when everything that has left by now was answered.
    pub(super) fn note_loss(&mut self, bytes: u64) {
        if !self.loss_round.has_loss {
            self.loss_round.has_loss = true;
            self.loss_round.ends_at = self.delivered;
            self.loss_round.began_at = self.delivered;
            self.loss_round.lost = 0;
            self.loss_round.events = 0;
            self.undo = Some((self.long_term_in_flight, self.short_term_in_flight, self.short_term_bandwidth));
        }
        self.loss_round.lost += bytes;
    }

    pub(super) fn update_loss_round(&mut self, sample: &Sample) {
        let round = &mut self.loss_round;
        round.has_ended_with_too_much_loss = false;
        round.rate = round.rate.max(sample.rate);
        round.in_flight = round.in_flight.max(sample.delivered);
        round.events += u32::from(sample.newly_lost > 0);
        round.has_begun = sample.has_interval && sample.prior_delivered >= round.ends_at;
        if !round.has_begun {
            return;
        }
        let met_queue = self.min_round_trip.take_standing_queue();
        let sent = (self.delivered - round.began_at) + round.lost;
        let size = self.packet_size;
        let is_too_much = round.has_loss && is_too_much(round.lost / size, sent / size);
        round.has_ended_with_too_much_loss = is_too_much;
        let is_congestion = is_too_much || (round.has_loss && met_queue);
        round.ends_at = self.delivered;
        round.began_at = self.delivered;
        round.has_loss = false;
        round.lost = 0;
        if is_congestion && !matches!(self.state, State::Startup | State::Refill | State::Up) {
            self.lower_short_term();
        }
    }

    fn lower_short_term(&mut self) {
        if self.short_term_bandwidth == u64::MAX {
            self.short_term_bandwidth = self.bandwidth.get();
        }
        if self.short_term_in_flight == u64::MAX {
            self.short_term_in_flight = self.window;
        }
        self.short_term_bandwidth = scale(self.short_term_bandwidth, BETA).max(self.loss_round.rate);
        self.short_term_in_flight = scale(self.short_term_in_flight, BETA).max(self.loss_round.in_flight);
    }

    /// Starts the next round's best samples with this SACK's.
    pub(super) fn advance_loss_round(&mut self, sample: &Sample) {
        if self.loss_round.has_begun {
            self.loss_round.rate = sample.rate;
            self.loss_round.in_flight = sample.delivered;
            self.loss_round.events = 0;
        }
    }

    pub(super) fn forget_short_term(&mut self) {
        self.short_term_bandwidth = u64::MAX;
        self.short_term_in_flight = u64::MAX;
    }

    /// Returns the long-term bound minus the share for other flows.
    pub(super) fn with_headroom(&self) -> u64 {
        if self.long_term_in_flight == u64::MAX {
            return u64::MAX;
        }
        let headroom = scale(self.long_term_in_flight, HEADROOM).max(self.packet_size);
        self.long_term_in_flight.saturating_sub(headroom).max(super::MIN_PACKETS * self.packet_size)
    }

    /// Returns the target after a probe that went too far.
    pub(super) fn reduced_target(&self) -> u64 {
        let pipe = self.target_in_flight(self.usable_bandwidth(), percent(100));
        scale(pipe.min(self.window), BETA)
    }
}

#[cfg(test)]
mod tests {
    use super::is_too_much;

    #[test]
    fn a_small_sample_may_lose_what_chance_takes() {
        assert!(!is_too_much(1, 10), "one packet of ten is chance");
        assert!(!is_too_much(2, 20));
        assert!(is_too_much(5, 20));
        assert!(!is_too_much(20, 1000), "two percent is allowed");
        assert!(!is_too_much(33, 1000));
        assert!(is_too_much(34, 1000));
        assert!(is_too_much(3000, 100_000));
        assert!(!is_too_much(0, 0));
    }
}
