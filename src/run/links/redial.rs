//! When the other side is dialled again.

use std::time::{Duration, Instant};

/// The pause before the other side is dialled again, which doubles with every failure, and when that is over.
#[derive(Debug)]
pub(in crate::run) struct Redial {
    shortest: Duration,
    longest: Duration,
    pause: Duration,
    at: Option<Instant>,
}

impl Redial {
    pub(in crate::run) fn new(shortest: Duration, longest: Duration) -> Redial {
        Redial { shortest, longest, pause: shortest, at: None }
    }

    /// Returns the pause after a failure: the share `part` of it, which is random, so that many that lost the same side
    /// do not come back in step.
    pub(in crate::run) fn fail(&mut self, part: f64) -> Duration {
        let pause = self.pause.mul_f64(part);
        self.pause = (self.pause * 2).min(self.longest);
        pause
    }

    /// Resets the pause: the other side was reached, or should be tried at once.
    pub(in crate::run) fn reset(&mut self) {
        self.pause = self.shortest;
    }

    /// Plans to dial the other side at a time, or earlier if that is planned already. Returns whether the deadline is
    /// new.
    pub(in crate::run) fn plan(&mut self, at: Instant) -> bool {
        let is_sooner = self.at.is_none_or(|earlier| at < earlier);
        if is_sooner {
            self.at = Some(at);
        }
        is_sooner
    }

    /// Returns when a dial is planned.
    pub(in crate::run) fn planned(&self) -> Option<Instant> {
        self.at
    }

    /// Tells whether a dial is planned.
    pub(in crate::run) fn is_planned(&self) -> bool {
        self.at.is_some()
    }

    /// Tells whether it is time to dial; returns true once.
    pub(in crate::run) fn poll(&mut self, now: Instant) -> bool {
        self.at.take_if(|at| *at <= now).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn redial() -> Redial {
        Redial::new(Duration::from_millis(250), Duration::from_secs(15))
    }

    #[test]
    fn pauses_double_up_to_the_longest_and_begin_anew() {
        let mut redial = redial();
        let pauses: Vec<u128> = (0..8).map(|_| redial.fail(1.0).as_millis()).collect();
        assert_eq!(pauses, [250, 500, 1000, 2000, 4000, 8000, 15000, 15000]);
        redial.reset();
        assert_eq!(redial.fail(0.5), Duration::from_millis(125));
        assert_eq!(redial.fail(0.5), Duration::from_millis(250), "the random part applies to one pause only");
    }

    #[test]
    fn the_earliest_plan_holds_and_comes_up_once() {
        let (mut redial, now) = (redial(), Instant::now());
        let after = |seconds| now + Duration::from_secs(seconds);
        assert!(!redial.poll(after(100)), "nothing is planned");
        assert!(redial.plan(after(5)) && !redial.plan(after(7)) && redial.plan(after(3)));
        assert!(!redial.poll(after(2)) && redial.is_planned());
        assert!(redial.poll(after(3)) && !redial.is_planned() && !redial.poll(after(9)));
        assert!(redial.plan(after(9)));
    }
}
