//! Notices that a target leads back although nobody can say so: by way of another host, another machine, a container.
//!
//! A connection that goes round makes the next one by being made, each stays open, and none ever gets an answer. Where
//! that many are open, dials wait for a moment: if further ones are asked for only after one was let go, and exactly
//! one each time, while none of them ends, they are one connection that goes round. The first answer of a real service
//! lets all go.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use rand::RngExt as _;

use super::dialer::Wanted;
use super::keys::{self, RoundKey, SessionKey};
use super::table::Table;
use crate::net::system;

/// Connections that are open to a target, and silent, before one is suspected.
const MANY: usize = 16;

/// How long nobody may ask for a dial before one is let go.
const QUIET: Duration = Duration::from_millis(150);

/// How long the next one may take to follow it. Others on the way round may be just as suspicious, and wait as long as
/// we do.
const FOLLOWS: Duration = Duration::from_millis(400);

/// How often one is let go and exactly one follows before that is no accident: for dials that are asked for by chance
/// it would be once in some hundred thousand times, and then only if none of all connections gets an answer or ends
/// meanwhile.
const ROUNDS: usize = 16;

/// How long a target that was suspected for nothing is left alone, at first and at most.
const REST: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(64)];

/// How long nothing is dialled for a session at a target that leads back.
const REFUSAL: Duration = Duration::from_secs(10);

/// The targets that sessions have connections to, and the dials `W` that wait there.
#[derive(Debug)]
pub(super) struct Rounds<W = Wanted> {
    targets: Table<Round<W>, keys::Round>,
    places: HashMap<(SessionKey, String), RoundKey>,
    orders: VecDeque<Order<W>>,
}

/// What becomes of a dial.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Order<W = Wanted> {
    /// It is let go; the target is to be [forgotten](Rounds::forget) if nothing comes of it.
    Dial(RoundKey, W),
    /// It leads back.
    Refuse(W),
}

/// A target of a session.
#[derive(Debug)]
pub(super) struct Round<W = Wanted> {
    session: SessionKey,
    target: String,
    /// Its connections, those that are being made included.
    open: usize,
    /// How many there are when it is looked at.
    look_at: usize,
    /// It is not suspected before.
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
        /// When the present part of it is over.
        until: Instant,
        /// How often one followed another.
        rounds: usize,
        /// A connection ended: who goes round never does.
        has_ended: bool,
    },
    Refused {
        until: Instant,
    },
}

/// What is expected of a target that is watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Watch {
    /// Dials that are on their way may be asked for.
    Settling,
    /// Nothing.
    Quiet,
    /// That one is asked for, because one was let go.
    Following,
}

impl<W> Rounds<W> {
    /// Returns a target of a session, which is known from now on.
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

    /// Takes note that a connection is being made.
    pub(super) fn enter(&mut self, session: SessionKey, target: &str) -> RoundKey {
        let key = self.find(session, target);
        self.targets[key].open += 1;
        key
    }

    /// Takes note that a connection is over.
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

    /// Forgets a target that nothing is known of any more.
    pub(super) fn forget(&mut self, key: RoundKey) {
        let is_idle = |round: &Round<W>| round.open == 0 && matches!(round.state, State::Calm);
        if self.targets.get(key).is_some_and(is_idle)
            && let Some(round) = self.targets.remove(key)
        {
            self.places.remove(&(round.session, round.target));
        }
    }

    /// Tells whether a target has so many connections that somebody should look whether any ever got an answer.
    pub(super) fn is_to_be_looked_at(&self, key: RoundKey, now: Instant) -> bool {
        let round = &self.targets[key];
        let is_watched = matches!(round.state, State::Watched { .. });
        !is_watched && round.open >= round.look_at && round.rest_until.is_none_or(|until| now >= until)
    }

    /// Takes note that a target has answered, so that many connections are not looked at for each that is added.
    pub(super) fn note_answered(&mut self, key: RoundKey) {
        let round = &mut self.targets[key];
        round.look_at = round.open * 2;
    }

    /// Takes a dial: it is let go, refused, or held until it is known whether the target leads back. `is_suspect` says
    /// that it has many connections, and none of them ever got an answer. Returns when the target is looked at again.
    pub(super) fn admit(&mut self, now: Instant, key: RoundKey, wanted: W, is_suspect: bool) -> Option<Instant> {
        let round = &mut self.targets[key];
        match &mut round.state {
            State::Watched { held, watch, until, rounds, .. } => {
                held.push_back(wanted);
                match watch {
                    Watch::Settling => None,
                    // It came by itself.
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

    /// What was waited for at a target is over. Returns when it is looked at again.
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

    /// A target answered on one of its connections.
    pub(super) fn answered(&mut self, now: Instant, key: RoundKey) {
        if self.targets.get(key).is_some_and(|round| matches!(round.state, State::Watched { .. })) {
            self.let_all_go(now, key);
        }
    }

    /// Returns what becomes of the next dial.
    pub(super) fn poll(&mut self) -> Option<Order<W>> {
        self.orders.pop_front()
    }

    /// Nothing leads back there.
    fn let_all_go(&mut self, now: Instant, key: RoundKey) {
        let round = &mut self.targets[key];
        let state = std::mem::replace(&mut round.state, State::Calm);
        // Two that suspect each other are not to do so in step for ever.
        let rest = round.rest.mul_f64(system::rng().random_range(0.5..1.5));
        round.rest_until = Some(now + rest);
        round.rest = (round.rest * 2).min(REST[1]);
        if let State::Watched { held, .. } = state {
            self.orders.extend(held.into_iter().map(|wanted| Order::Dial(key, wanted)));
        }
        // Those that are let go come back to it.
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
