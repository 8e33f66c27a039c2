//! Which of several servers is dialled next, and after which pause. Time and chance come in as values.
//!
//! ```text
//!   at a server ──lost──▶ short pause ──▶ one of the others, by chance ──reached──▶ at that one
//!                             ▲                   │ failed
//!                             └── others left ────┤
//!       longer and longer pause ◀── none left ────┘
//! ```
//!
//! Whoever has a server stays there. Whoever loses it goes to any of the others, not to the next in the list, so that
//! the many that lose one server at once spread over the rest.

use std::time::{Duration, Instant};

use super::{Addresses, Redial};

/// Longest pause before a server that was not tried yet: those who lost the same one arrive over this time.
const SPREAD: Duration = Duration::from_secs(1);

/// The servers that are asked for the same, at least one.
#[derive(Debug)]
pub(in crate::run) struct Servers {
    list: Vec<Known>,
    /// The number of the one that is dialled, or was reached last.
    at: usize,
    redial: Redial,
}

#[derive(Debug, Default)]
struct Known {
    addresses: Addresses,
    /// It was tried in this round, or has just been lost: others come first.
    is_spent: bool,
    /// It asked not to be dialled before this time.
    not_before: Option<Instant>,
}

impl Known {
    fn is_ready(&self, now: Instant) -> bool {
        self.not_before.is_none_or(|at| at <= now)
    }
}

impl Servers {
    /// Creates that many servers, of which the first is tried first. `redial` has the pauses for when all have failed.
    pub(in crate::run) fn new(count: usize, redial: Redial) -> Servers {
        let list = (0..count.max(1)).map(|_| Known::default()).collect();
        Servers { list, at: 0, redial }
    }

    /// Chooses the server to dial now, by `chance` from 0 to 1: the present one unless it was lost or tried, or else
    /// one that was not tried in this round. Returns its number.
    pub(in crate::run) fn choose(&mut self, now: Instant, chance: f64) -> usize {
        let is_new_round = !self.has_untried(now);
        if is_new_round {
            self.begin_round();
        }
        let untried: Vec<usize> = self.untried(now).collect();
        self.at = match untried.as_slice() {
            // The pauses are shorter than what the servers asked for.
            [] => self.soonest(),
            some if !is_new_round && some.contains(&self.at) => self.at,
            some => some[((chance * some.len() as f64) as usize).min(some.len() - 1)],
        };
        self.list[self.at].is_spent = true;
        self.at
    }

    /// Goes by what was reached: that server is the present one, and all others may be tried should it be lost.
    pub(in crate::run) fn reached(&mut self, server: usize) {
        self.at = server;
        self.list[server].not_before = None;
        self.begin_round();
    }

    /// Has all tried again, the present one first.
    pub(in crate::run) fn begin_round(&mut self) {
        self.list.iter_mut().for_each(|server| server.is_spent = false);
    }

    /// Has others tried before the present server, which was lost.
    pub(in crate::run) fn leave(&mut self) {
        self.list[self.at].is_spent = true;
    }

    /// Has the present server left alone until a time, as it asked.
    pub(in crate::run) fn spare(&mut self, until: Instant) {
        self.list[self.at].not_before = Some(until);
    }

    /// Tells whether there is a server that was not tried in this round.
    pub(in crate::run) fn has_untried(&self, now: Instant) -> bool {
        self.untried(now).next().is_some()
    }

    /// Tells whether the next server is another one that was not tried in this round.
    pub(in crate::run) fn leads_elsewhere(&self, now: Instant) -> bool {
        self.list[self.at].is_spent && self.has_untried(now)
    }

    /// Returns the pause before the next server is dialled, by `chance` from 0 to 1: short while there is one that was
    /// not tried, and else longer with each round.
    pub(in crate::run) fn pause(&mut self, now: Instant, chance: f64) -> Duration {
        if self.list.len() > 1 && self.has_untried(now) {
            return SPREAD.mul_f64(chance);
        }
        let asked = self
            .list
            .iter()
            .map(|server| server.not_before.map_or(Duration::ZERO, |at| at.saturating_duration_since(now)));
        let part = 0.5 + chance / 2.0;
        let asked = asked.min().unwrap_or_default().mul_f64(part);
        self.redial.fail(part).max(asked)
    }

    /// Returns the number of the present server.
    pub(in crate::run) fn at(&self) -> usize {
        self.at
    }

    /// Returns how many servers there are.
    pub(in crate::run) fn count(&self) -> usize {
        self.list.len()
    }

    /// Returns the addresses of the server with that number.
    pub(in crate::run) fn addresses(&mut self, server: usize) -> &mut Addresses {
        &mut self.list[server].addresses
    }

    /// Tells whether no address of the present server was found yet.
    pub(in crate::run) fn is_unknown(&self) -> bool {
        self.list[self.at].addresses.is_unknown()
    }

    /// Returns when a server is dialled again.
    pub(in crate::run) fn redial(&mut self) -> &mut Redial {
        &mut self.redial
    }

    fn untried(&self, now: Instant) -> impl Iterator<Item = usize> {
        let list = self.list.iter().enumerate();
        list.filter(move |(_, server)| !server.is_spent && server.is_ready(now)).map(|(number, _)| number)
    }

    fn soonest(&self) -> usize {
        (0..self.list.len()).min_by_key(|number| self.list[*number].not_before).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use rand::rngs::StdRng;
    use rand::{RngExt as _, SeedableRng as _};

    use super::*;

    fn servers(count: usize) -> Servers {
        Servers::new(count, Redial::new(Duration::from_millis(500), Duration::from_secs(30)))
    }

    /// Dials until every server was tried once, each without success, and returns them in that order.
    fn round(servers: &mut Servers, now: Instant, random: &mut StdRng) -> Vec<usize> {
        let mut tried = vec![servers.choose(now, random.random())];
        while servers.has_untried(now) {
            tried.push(servers.choose(now, random.random()));
        }
        tried
    }

    #[test]
    fn the_first_is_first_and_each_is_tried_once_in_a_round() {
        let (now, mut random) = (Instant::now(), StdRng::seed_from_u64(1));
        for _ in 0..100 {
            let mut servers = servers(5);
            let tried = round(&mut servers, now, &mut random);
            assert_eq!(tried[0], 0);
            for mut tried in [tried, round(&mut servers, now, &mut random)] {
                tried.sort_unstable();
                assert_eq!(tried, [0, 1, 2, 3, 4]);
            }
        }
    }

    #[test]
    fn whoever_has_a_server_stays_there() {
        let (now, mut random) = (Instant::now(), StdRng::seed_from_u64(2));
        let mut servers = servers(3);
        servers.choose(now, 0.0);
        servers.reached(2);
        for _ in 0..20 {
            // The connection was lost for a reason of our own, such as another address of this machine.
            assert_eq!(servers.choose(now, random.random()), 2);
            servers.reached(2);
        }
        servers.leave();
        assert_ne!(servers.choose(now, random.random()), 2);
    }

    #[test]
    fn a_thousand_that_lose_one_server_spread_over_the_others_and_over_time() {
        let (now, mut random) = (Instant::now(), StdRng::seed_from_u64(3));
        let (mut at, mut tenths) = ([0; 5], [0; 10]);
        for _ in 0..1000 {
            let mut servers = servers(5);
            servers.choose(now, random.random());
            servers.reached(0);
            servers.leave();
            let pause = servers.pause(now, random.random());
            assert!(pause < SPREAD);
            tenths[(pause.as_millis() / 100) as usize] += 1;
            at[servers.choose(now + pause, random.random())] += 1;
        }
        assert_eq!(at[0], 0);
        // Four times and ten times the standard deviation of a fair choice and of fair pauses.
        assert!(at[1..].iter().all(|count| (195..305).contains(count)), "{at:?}");
        assert!(tenths.iter().all(|count| (62..138).contains(count)), "{tenths:?}");
    }

    #[test]
    fn pauses_are_short_until_all_were_tried_and_grow_from_round_to_round() {
        let now = Instant::now();
        let mut servers = servers(3);
        for longest in [500, 1000, 2000, 4000, 8000, 16_000, 30_000, 30_000] {
            for _ in 0..2 {
                servers.choose(now, 0.5);
                assert_eq!(servers.pause(now, 0.25), Duration::from_millis(250));
            }
            servers.choose(now, 0.5);
            assert_eq!(servers.pause(now, 0.0), Duration::from_millis(longest / 2));
        }
        servers.reached(1);
        servers.redial().reset();
        servers.leave();
        assert_eq!(servers.pause(now, 0.5), SPREAD / 2);
    }

    #[test]
    fn one_server_alone_is_dialled_after_longer_and_longer_pauses() {
        let now = Instant::now();
        let mut servers = servers(1);
        for pause in [250, 500, 1000] {
            assert_eq!(servers.choose(now, 0.9), 0);
            assert_eq!(servers.pause(now, 0.0).as_millis(), pause);
        }
        servers.reached(0);
        servers.redial().reset();
        assert_eq!(servers.pause(now, 1.0).as_millis(), 500, "also if it was not its fault");
    }

    #[test]
    fn a_server_that_asks_for_time_has_it_while_others_are_there() {
        let now = Instant::now();
        let after = |seconds| now + Duration::from_secs(seconds);
        let mut servers = servers(2);
        servers.choose(now, 0.0);
        servers.spare(after(60));
        assert_eq!((servers.pause(now, 0.5), servers.choose(now, 0.0)), (SPREAD / 2, 1));
        // The other one fails all the time.
        assert!((0..20).all(|_| servers.choose(after(50), 0.0) == 1));
        assert!((0..20).any(|_| servers.choose(after(60), 0.0) == 0));
    }

    #[test]
    fn if_all_ask_for_time_the_pause_is_as_long_and_the_soonest_is_next() {
        let now = Instant::now();
        let mut servers = servers(2);
        servers.choose(now, 0.0);
        servers.spare(now + Duration::from_secs(60));
        servers.choose(now, 0.0);
        servers.spare(now + Duration::from_secs(40));
        assert_eq!(servers.pause(now, 1.0), Duration::from_secs(40));
        assert_eq!(servers.pause(now, 0.0), Duration::from_secs(20), "not all come at the same time");
        assert_eq!(servers.choose(now + Duration::from_secs(20), 0.0), 1);
        servers.reached(1);
        assert!(servers.has_untried(now));
    }
}
