//! How much a client has exposed its pin (`docs/protocol.md` section 8, "What a forwarder can do").
//!
//! The client confirms first. Somebody who plays the host without the pin learns from each confirm whether one guess
//! was right, and may end the exchange in any way it likes. So a confirm counts from the moment it is sent, and no
//! longer counts once the host proves itself.

use std::time::{Duration, Instant};

/// Confirms without a proof in answer, over the life of a run, after which the pin is no longer used.
pub const MAX_UNPROVEN: u32 = 5;

/// Confirms, answered or not, that may follow each other without a pause: a host that was really restarted needs one.
///
/// A confirm may end the spacing of guesses at the host. Without this limit, a forwarder could guess faster by asking
/// for confirms again and again, each time saying that the host does not know the client.
const BURST: u32 = 10;

/// The pause before each further confirm.
const PAUSE: Duration = Duration::from_secs(120);

/// How often a run used its pin, and how often without an answer.
#[derive(Debug, Clone, Copy, Default)]
pub struct Exposure {
    unproven: u32,
    /// When all confirms so far would have been made, with a pause after each.
    paid_at: Option<Instant>,
}

impl Exposure {
    /// Counts a confirm that is sent.
    pub fn confirmed(&mut self, now: Instant) {
        self.unproven = self.unproven.saturating_add(1);
        self.paid_at = Some(self.paid_at.map_or(now, |at| at.max(now)) + PAUSE);
    }

    /// Takes the last confirm off the count: the host answered it with its proof, so nobody else learned anything from
    /// it. Earlier confirms still count.
    pub fn proven(&mut self) {
        self.unproven = self.unproven.saturating_sub(1);
    }

    /// Tells whether the pin must no longer be used.
    pub fn is_spent(&self) -> bool {
        self.unproven >= MAX_UNPROVEN
    }

    /// Returns when the pin may be used next, which may be in the past.
    pub fn next(&self, now: Instant) -> Instant {
        self.paid_at.map_or(now, |at| at.checked_sub(PAUSE * (BURST - 1)).unwrap_or(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn confirms_in_vain_are_counted_over_the_life_of_a_run() {
        let now = Instant::now();
        let mut exposure = Exposure::default();
        for count in 1..=MAX_UNPROVEN {
            assert!(!exposure.is_spent());
            // An exchange that succeeds removes only its own confirm from the count.
            exposure.confirmed(now);
            exposure.proven();
            exposure.confirmed(now);
            assert_eq!(exposure.is_spent(), count == MAX_UNPROVEN, "{count}");
        }
        exposure.confirmed(now);
        exposure.proven();
        assert!(exposure.is_spent());
    }

    #[test]
    fn confirms_are_spaced_once_there_were_many() {
        let start = Instant::now() + Duration::from_secs(3600);
        let mut exposure = Exposure::default();
        let (mut now, mut count) = (start, 0);
        while now < start + Duration::from_secs(3600) {
            now = exposure.next(now).max(now);
            exposure.confirmed(now);
            exposure.proven();
            count += 1;
            assert_eq!(now > start, count > BURST);
        }
        assert_eq!(count, 40, "ten at once, then one every two minutes");
        // A long silence leaves no more credit than there was at the beginning.
        now += Duration::from_secs(86_400);
        for _ in 0..BURST {
            assert!(exposure.next(now) <= now);
            exposure.confirmed(now);
        }
        assert_eq!(exposure.next(now), now + PAUSE);
    }
}
