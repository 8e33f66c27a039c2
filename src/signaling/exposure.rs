//! What a client's pin is exposed to (`docs/protocol.md` section 3, "What a forwarder can do").
//!
//! The client confirms first. Whoever plays the host without the pin learns from each confirm whether one guess was
//! right, and may end the exchange in whatever way it likes. So a confirm counts from the moment it is sent, and is
//! taken back only when the host proves itself.

use std::time::{Duration, Instant};

/// Confirms that nobody answered with a proof, in the life of a run; then the pin is not used any more.
pub const MAX_UNPROVEN: u32 = 5;

/// Confirms, answered or not, that may follow each other at once: a host that was really started again needs one.
///
/// Each may end the spacing of guesses at the host: whoever forwards could otherwise call for one again and again, by
/// saying that the host does not know the client any more, to guess faster there.
const BURST: u32 = 10;

/// The pause to the next one beyond them.
const PAUSE: Duration = Duration::from_secs(120);

/// How often a run used its pin, and how often in vain.
#[derive(Debug, Clone, Copy, Default)]
pub struct Exposure {
    unproven: u32,
    /// When all confirms so far would have been made with a pause after each.
    paid_at: Option<Instant>,
}

impl Exposure {
    /// Takes note that a confirm is on its way.
    pub fn confirmed(&mut self, now: Instant) {
        self.unproven = self.unproven.saturating_add(1);
        self.paid_at = Some(self.paid_at.map_or(now, |at| at.max(now)) + PAUSE);
    }

    /// Takes note that the host answered the last confirm with its proof: nobody else learned anything of it. Those
    /// before it stay counted.
    pub fn proven(&mut self) {
        self.unproven = self.unproven.saturating_sub(1);
    }

    /// Tells whether the pin must not be used any more.
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
            // One exchange that is let through takes back itself and no other.
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
        assert_eq!(count, 40, "ten at once and one every two minutes");
        // After a long silence there is no more credit than at the beginning.
        now += Duration::from_secs(86_400);
        for _ in 0..BURST {
            assert!(exposure.next(now) <= now);
            exposure.confirmed(now);
        }
        assert_eq!(exposure.next(now), now + PAUSE);
    }
}
