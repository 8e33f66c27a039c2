//! The last addresses of the other side, and when to dial it again.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use log::info;

use super::{Attempts, Patience};

/// The addresses of the other side, and the pause before they are tried again, which doubles with every failure.
#[derive(Debug)]
pub(in crate::run) struct Redial {
    addresses: Vec<SocketAddr>,
    /// The address where the other side answered last.
    preferred: Option<SocketAddr>,
    shortest: Duration,
    longest: Duration,
    pause: Duration,
    at: Option<Instant>,
}

impl Redial {
    pub(in crate::run) fn new(shortest: Duration, longest: Duration) -> Redial {
        Redial { addresses: Vec::new(), preferred: None, shortest, longest, pause: shortest, at: None }
    }

    /// Handles the answer to a look-up. If it failed, earlier addresses are used.
    ///
    /// # Errors
    /// There are no addresses at all; the resolver's reason.
    pub(in crate::run) fn resolved(&mut self, answer: Result<Vec<SocketAddr>, String>) -> Result<(), String> {
        match answer {
            Ok(addresses) => {
                self.addresses = addresses;
                self.addresses.sort_by_key(|address| Some(*address) != self.preferred);
            }
            Err(reason) if self.addresses.is_empty() => return Err(reason),
            Err(reason) => info!("look-up failed, the last addresses are used: {reason}"),
        }
        Ok(())
    }

    /// Tells whether no address was found yet.
    pub(in crate::run) fn is_unknown(&self) -> bool {
        self.addresses.is_empty()
    }

    /// Returns the addresses to try, the best first.
    pub(in crate::run) fn attempts(&self, patience: Patience) -> Attempts {
        Attempts::at(self.addresses.iter().copied(), patience)
    }

    /// Prefers an address from here on, as long as look-ups find it: the other side answered there.
    pub(in crate::run) fn prefer(&mut self, address: SocketAddr) {
        self.preferred = Some(address);
        self.addresses.sort_by_key(|other| *other != address);
    }

    /// Returns the pause after a failure: the share `part` of it, which is random, so that many that lost the same side
    /// do not come back in step.
    pub(in crate::run) fn fail(&mut self, part: f64) -> Duration {
        let pause = self.pause.mul_f64(part);
        self.pause = (self.pause * 2).min(self.longest);
        pause
    }

    /// Makes the next pause at least this long, as the other side asked.
    pub(in crate::run) fn wait_at_least(&mut self, pause: Duration) {
        self.pause = self.pause.max(pause);
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

    const PATIENCE: Patience = Patience { last: Duration::from_secs(9), others: Duration::from_secs(3) };

    fn redial() -> Redial {
        Redial::new(Duration::from_millis(250), Duration::from_secs(15))
    }

    fn at(port: u16) -> SocketAddr {
        SocketAddr::from(([192, 0, 2, 1], port))
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
    fn a_pause_that_is_asked_for_is_kept_even_if_it_is_longer_than_the_longest() {
        let mut redial = redial();
        redial.wait_at_least(Duration::from_secs(60));
        redial.wait_at_least(Duration::from_secs(1));
        assert_eq!((redial.fail(1.0), redial.fail(1.0)), (Duration::from_secs(60), Duration::from_secs(15)));
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

    #[test]
    fn addresses_serve_on_and_the_one_that_answered_goes_first() {
        let mut redial = redial();
        assert_eq!(
            (redial.resolved(Err("no answer".to_owned())), redial.is_unknown()),
            (Err("no answer".to_owned()), true)
        );
        redial.resolved(Ok(vec![at(1), at(2), at(3)])).unwrap();
        redial.resolved(Err("no answer".to_owned())).unwrap();
        redial.prefer(at(3));
        let tried = |redial: &Redial| {
            let mut attempts = redial.attempts(PATIENCE);
            std::iter::from_fn(move || attempts.next()).collect::<Vec<_>>()
        };
        assert_eq!(tried(&redial), [at(3), at(1), at(2)]);
        redial.resolved(Ok(vec![at(1), at(2), at(3), at(4)])).unwrap();
        assert_eq!(
            tried(&redial),
            [at(3), at(1), at(2), at(4)],
            "the preferred address comes first after a look-up, too"
        );
        redial.resolved(Ok(vec![at(4), at(2)])).unwrap();
        assert_eq!(tried(&redial), [at(4), at(2)], "an address that is not found any more is not tried");
    }
}
