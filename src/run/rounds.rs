//! Detects targets that lead back where no trail shows it: through another host, another machine, a container.
//!
//! A connection in a loop causes the next one when it is made. All of them stay open, and none ever gets an answer. If
//! many such connections are open, dials are held for a moment, then one is released. If exactly one new dial follows
//! each release, none comes otherwise, and no connection ends, they are one connection in a loop. The first answer of a
//! real service releases all dials.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use rand::RngExt as _;

use super::dialer::Wanted;
use super::keys::{self, RoundKey, SessionKey};
use super::table::Table;
use crate::net::system;

/// Number of open and silent connections to a target that makes it suspicious.
const MANY: usize = 16;

/// Time without a new dial before one is released.
const QUIET: Duration = Duration::from_millis(150);

/// Time for the next dial to follow a release. Other sides in the loop may be suspicious as well, and hold the dial as
/// long as we do.
const FOLLOWS: Duration = Duration::from_millis(400);

/// Number of releases, each followed by exactly one dial, that prove a loop. Independent dials would look like this
/// once in several hundred thousand cases, and only if no connection gets an answer or ends meanwhile.
const ROUNDS: usize = 16;

/// Shortest and longest time without suspicion, after a false one.
const REST: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(64)];

/// How long dials of a session to a target that leads back are refused.
const REFUSAL: Duration = Duration::from_secs(10);

/// The targets of sessions with their connections, and the dials `W` that are held.
#[derive(Debug)]
pub(super) struct Rounds<W = Wanted> {
    targets: Table<Round<W>, keys::Round>,
    places: HashMap<(SessionKey, String), RoundKey>,
    orders: VecDeque<Order<W>>,
}

/// A decision about a dial.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Order<W = Wanted> {
    /// Dial it. [Forget](Rounds::forget) the target if the dial fails.
    Dial(RoundKey, W),
    /// Refuse it: the target leads back.
    Refuse(W),
}

/// A target of a session.
#[derive(Debug)]
pub(super) struct Round<W = Wanted> {
    session: SessionKey,
    target: String,
    /// Its connections, including those that are being made.
    open: usize,
    /// Number of connections at which it is examined.
    look_at: usize,
    /// It is not suspected before this time.
    rest_until: Option<Instant>,
    rest: Duration,
    state: State<W>,
}

/// ```text
///   Calm ──many, and all silent──▶ Watched ──one for one──▶ Refused ──after a while──▶ Calm
///     ▲                               │ something else
///     └───────────────────────────────┘
/// ```
#[derive(Debug)]
enum State<W> {
    Calm,
    Watched {
        held: VecDeque<W>,
        watch: Watch,
        /// The end of the present phase.
        until: Instant,
        /// How many releases were each followed by one dial.
        rounds: usize,
        /// A connection ended, which never happens in a loop.
        has_ended: bool,
    },
    Refused {
        until: Instant,
    },
}

/// The phase of a watched target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Watch {
    /// Dials in transit may still arrive.
    Settling,
    /// No dial is expected.
    Quiet,
    /// One dial is expected after a release.
    Following,
}

impl<W> Rounds<W> {
    /// Returns the entry for a target of a session; adds it if there is none.
    pub(super) fn find(&mut self, session: SessionKey, target: &str) -> RoundKey {
        let place = (session, target.to_owned());
        if let Some(&key) = self.places.get(&place) {
            return key;
        }
        let key = self.targets.insert(Round {
            session,
            target: target.to_owned(),
            open: 0,
            look_at: MANY,
            rest_until: None,
            rest: REST[0],
            state: State::Calm,
        });
        self.places.insert(place, key);
        key
    }

    /// Counts a connection that is being made.
    pub(super) fn enter(&mut self, session: SessionKey, target: &str) -> RoundKey {
        let key = self.find(session, target);
        self.targets[key].open += 1;
        key
    }

    /// Counts a connection that is over.
    pub(super) fn leave(&mut self, key: RoundKey) {
        let Some(round) = self.targets.get_mut(key) else { return };
        round.open -= 1;
        if let State::Watched { has_ended, .. } = &mut round.state {
            *has_ended = true;
        }
        if round.open < MANY / 2 {
            round.look_at = MANY;
        }
        self.forget(key);
    }

    /// Removes a target with no state to remember.
    pub(super) fn forget(&mut self, key: RoundKey) {
        let is_idle = |round: &Round<W>| round.open == 0 && matches!(round.state, State::Calm);
        if self.targets.get(key).is_some_and(is_idle)
            && let Some(round) = self.targets.remove(key)
        {
            self.places.remove(&(round.session, round.target));
        }
    }

    /// Tells whether a target has so many connections that the caller should check whether any ever got an answer.
    pub(super) fn is_to_be_looked_at(&self, key: RoundKey, now: Instant) -> bool {
        let round = &self.targets[key];
        let is_watched = matches!(round.state, State::Watched { .. });
        !is_watched && round.open >= round.look_at && round.rest_until.is_none_or(|until| now >= until)
    }

    /// Stores that a target has answered, so that its connections are not checked for each one that is added.
    pub(super) fn note_answered(&mut self, key: RoundKey) {
        let round = &mut self.targets[key];
        round.look_at = round.open * 2;
    }

    /// Decides about a dial: it is released, refused, or held until it is known whether the target leads back.
    /// `is_suspect` means that the target has many connections, none of which ever got an answer. Returns when to
    /// examine the target again.
    pub(super) fn admit(&mut self, now: Instant, key: RoundKey, wanted: W, is_suspect: bool) -> Option<Instant> {
        let round = &mut self.targets[key];
        match &mut round.state {
            State::Watched { held, watch, until, rounds, .. } => {
                held.push_back(wanted);
                match watch {
                    Watch::Settling => None,
                    // The dial came without a release.
                    Watch::Quiet => {
                        self.let_all_go(now, key);
                        None
                    }
                    Watch::Following => {
                        *rounds += 1;
                        (*watch, *until) = (Watch::Quiet, now + QUIET);
                        Some(*until)
                    }
                }
            }
            State::Refused { until } if now < *until => {
                self.orders.push_back(Order::Refuse(wanted));
                None
            }
            State::Calm | State::Refused { .. } if is_suspect => {
                let (held, until) = (VecDeque::from([wanted]), now + QUIET);
                let watch = Watch::Settling;
                round.state = State::Watched { held, watch, until, rounds: 0, has_ended: false };
                Some(until)
            }
            State::Calm | State::Refused { .. } => {
                round.state = State::Calm;
                self.orders.push_back(Order::Dial(key, wanted));
                None
            }
        }
    }

    /// Handles the end of a target's phase. Returns when to examine it again.
    pub(super) fn handle_due(&mut self, now: Instant, key: RoundKey) -> Option<Instant> {
        let round = self.targets.get_mut(key)?;
        let (held, watch, until, rounds, has_ended) = match &mut round.state {
            State::Watched { held, watch, until, rounds, has_ended } => (held, watch, until, *rounds, *has_ended),
            State::Refused { until } if now >= *until => {
                round.state = State::Calm;
                self.forget(key);
                return None;
            }
            State::Calm | State::Refused { .. } => return None,
        };
        if now < *until {
            return None;
        }
        if rounds == ROUNDS && !has_ended {
            self.orders.extend(held.drain(..).map(Order::Refuse));
            let until = now + REFUSAL;
            round.state = State::Refused { until };
            return Some(until);
        }
        match (!has_ended && *watch != Watch::Following).then(|| held.pop_front()).flatten() {
            Some(wanted) => {
                (*watch, *until) = (Watch::Following, now + FOLLOWS);
                self.orders.push_back(Order::Dial(key, wanted));
                Some(now + FOLLOWS)
            }
            None => {
                self.let_all_go(now, key);
                None
            }
        }
    }

    /// Handles an answer of a target on one of its connections.
    pub(super) fn answered(&mut self, now: Instant, key: RoundKey) {
        if self.targets.get(key).is_some_and(|round| matches!(round.state, State::Watched { .. })) {
            self.let_all_go(now, key);
        }
    }

    /// Returns the next decision.
    pub(super) fn poll(&mut self) -> Option<Order<W>> {
        self.orders.pop_front()
    }

    /// Releases all dials: the target does not lead back.
    fn let_all_go(&mut self, now: Instant, key: RoundKey) {
        let round = &mut self.targets[key];
        let state = std::mem::replace(&mut round.state, State::Calm);
        // Two sides that suspect each other must not stay in step.
        let rest = round.rest.mul_f64(system::rng().random_range(0.5..1.5));
        round.rest_until = Some(now + rest);
        round.rest = (round.rest * 2).min(REST[1]);
        if let State::Watched { held, .. } = state {
            self.orders.extend(held.into_iter().map(|wanted| Order::Dial(key, wanted)));
        }
        // Released dials need the target again.
        if self.orders.is_empty() {
            self.forget(key);
        }
    }
}

impl<W> Default for Rounds<W> {
    fn default() -> Rounds<W> {
        Rounds { targets: Table::new(), places: HashMap::new(), orders: VecDeque::new() }
    }
}

#[cfg(test)]
#[path = "rounds_tests.rs"]
mod tests;
