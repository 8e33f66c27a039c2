//! Notices that a target leads back although nobody can say so: by way of another host, another machine, a container.
//!
//! A connection that goes round makes the next one by being made, each stays open, and none ever gets an answer. Where
//! that many are open, dials wait for a moment: if further ones are asked for only after one was let go, and exactly
//! one each time, while none of them ends, they are one connection that goes round. The first answer of a real service
//! lets all go.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use rand::RngExt as _;

use super::connections::Phase;
use super::core::Core;
use super::deadlines::Due;
use super::dial::Wanted;
use super::sessions::SessionKey;
use super::table::{Key, Table};
use super::trails::{LEADS_BACK, warn_of_loop};
use crate::tunnel::AbortReason;

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

/// The targets that sessions have connections to.
#[derive(Debug, Default)]
pub(super) struct Rounds {
    targets: Table<Round>,
    places: HashMap<(SessionKey, String), RoundKey>,
}

/// Finds a target of a session.
pub(super) type RoundKey = Key<Round>;

/// A target of a session.
#[derive(Debug)]
pub(super) struct Round {
    session: SessionKey,
    target: String,
    /// Its connections, those that are being made included.
    open: usize,
    /// How many there are when it is looked at.
    look_at: usize,
    /// It is not suspected before.
    rest_until: Option<Instant>,
    rest: Duration,
    state: State,
}

/// ```text
///   Calm ──many, and all silent──▶ Watched ──one for one──▶ Refused ──after a while──▶ Calm
///     ▲                               │ something else
///     └───────────────────────────────┘
/// ```
#[derive(Debug)]
enum State {
    Calm,
    Watched {
        held: VecDeque<Wanted>,
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

impl Rounds {
    fn find(&mut self, session: SessionKey, target: &str) -> RoundKey {
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
    fn forget(&mut self, key: RoundKey) {
        let is_idle = |round: &Round| round.open == 0 && matches!(round.state, State::Calm);
        if self.targets.get(key).is_some_and(is_idle) {
            let round = self.targets.remove(key).expect("it was found a moment ago");
            self.places.remove(&(round.session, round.target));
        }
    }
}

impl Core {
    /// Dials a target, now or in a moment, unless it is known to lead back.
    pub(super) fn admit(&mut self, wanted: Wanted) {
        let (now, session) = (self.turn.now, wanted.session);
        let key = self.rounds.find(session, &wanted.target());
        let is_watched = matches!(self.rounds.targets[key].state, State::Watched { .. });
        let is_suspect = !is_watched && self.is_suspect(key);
        let round = &mut self.rounds.targets[key];
        match &mut round.state {
            State::Watched { held, watch, until, rounds, .. } => {
                held.push_back(wanted);
                match watch {
                    Watch::Settling => {}
                    // It came by itself.
                    Watch::Quiet => self.let_all_go(key),
                    Watch::Following => {
                        *rounds += 1;
                        (*watch, *until) = (Watch::Quiet, now + QUIET);
                        self.turn.deadlines.add(now + QUIET, Due::Round(key));
                    }
                }
            }
            State::Refused { until } if now < *until => self.refuse_round(wanted),
            State::Calm | State::Refused { .. } if is_suspect => {
                let (held, until) = (VecDeque::from([wanted]), now + QUIET);
                let watch = Watch::Settling;
                round.state = State::Watched { held, watch, until, rounds: 0, has_ended: false };
                self.turn.deadlines.add(until, Due::Round(key));
            }
            State::Calm | State::Refused { .. } => {
                round.state = State::Calm;
                self.dial_target(wanted);
                self.rounds.forget(key);
            }
        }
    }

    /// Tells whether a target has many connections, and none of them ever got an answer.
    fn is_suspect(&mut self, key: RoundKey) -> bool {
        let round = &self.rounds.targets[key];
        if round.open < round.look_at || round.rest_until.is_some_and(|until| self.turn.now < until) {
            return false;
        }
        let Some(entry) = self.sessions.get(round.session) else { return false };
        let mut connections = entry.connections.values().filter_map(|&connection| self.connections.get(connection));
        let is_silent = connections.all(|entry| match &entry.phase {
            Phase::Open(pump) if entry.round == Some(key) => pump.bytes().0 == 0,
            _ => true,
        });
        let flows: Vec<_> = entry.flows.iter().map(|(key, flow)| (*key, *flow)).collect();
        let round = &mut self.rounds.targets[key];
        let session = &mut self.sessions[round.session].session;
        let mut has_answer = |key| session.mux().stream(key).is_some_and(|stream| stream.bytes().0 > 0);
        let mut own = flows.into_iter().filter(|(_, flow)| self.flows.round(*flow) == Some(key));
        let is_suspect = is_silent && !own.any(|(key, _)| has_answer(key));
        if !is_suspect {
            // So that many are not looked at for each that is added.
            round.look_at = round.open * 2;
        }
        is_suspect
    }

    /// What was waited for at a target is over.
    pub(super) fn handle_round_due(&mut self, key: RoundKey) {
        let now = self.turn.now;
        let Some(round) = self.rounds.targets.get_mut(key) else { return };
        let (held, watch, until, rounds, has_ended) = match &mut round.state {
            State::Watched { held, watch, until, rounds, has_ended } => (held, watch, until, *rounds, *has_ended),
            State::Refused { until } if now >= *until => {
                round.state = State::Calm;
                return self.rounds.forget(key);
            }
            State::Calm | State::Refused { .. } => return,
        };
        if now < *until {
            return;
        }
        if rounds == ROUNDS && !has_ended {
            let held = std::mem::take(held);
            let until = now + REFUSAL;
            round.state = State::Refused { until };
            self.turn.deadlines.add(until, Due::Round(key));
            return held.into_iter().for_each(|wanted| self.refuse_round(wanted));
        }
        match (!has_ended && *watch != Watch::Following).then(|| held.pop_front()).flatten() {
            Some(wanted) => {
                (*watch, *until) = (Watch::Following, now + FOLLOWS);
                self.turn.deadlines.add(now + FOLLOWS, Due::Round(key));
                self.dial_target(wanted);
            }
            None => self.let_all_go(key),
        }
    }

    /// A target answered on one of its connections.
    pub(super) fn target_answered(&mut self, key: RoundKey) {
        if self.rounds.targets.get(key).is_some_and(|round| matches!(round.state, State::Watched { .. })) {
            self.let_all_go(key);
        }
    }

    /// Nothing leads back there.
    fn let_all_go(&mut self, key: RoundKey) {
        let round = &mut self.rounds.targets[key];
        let state = std::mem::replace(&mut round.state, State::Calm);
        // Two that suspect each other are not to do so in step for ever.
        let rest = round.rest.mul_f64(rand::rng().random_range(0.5..1.5));
        round.rest_until = Some(self.turn.now + rest);
        round.rest = (round.rest * 2).min(REST[1]);
        if let State::Watched { held, .. } = state {
            held.into_iter().for_each(|wanted| self.dial_target(wanted));
        }
        self.rounds.forget(key);
    }

    fn refuse_round(&mut self, wanted: Wanted) {
        // The session may be gone by now.
        if self.sessions.get_mut(wanted.session).is_some() {
            warn_of_loop(&mut self.turn, &mut self.sessions[wanted.session], &wanted.target());
            self.sessions.abort_stream(wanted.session, wanted.key, AbortReason::Refused, LEADS_BACK);
        }
    }
}
