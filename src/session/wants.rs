//! What a session wants to do for its path, and when: one pure function of the facts. The same function decides what is
//! done and when the session is called next, so that the two cannot disagree.

use std::time::{Duration, Instant};

use super::link::Link;
use super::state::State;
use super::timers::{Timer, TimerTable};
use crate::tunnel::Role;

/// Time for both lists of a carrier, and for the first answer on it.
const READY_TIMEOUT: Duration = Duration::from_secs(10);
const ANSWER_TIMEOUT: Duration = Duration::from_secs(3);

/// The carrier in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ActiveCarrier {
    Nothing,
    /// A PeerConnection.
    Direct {
        carrier: u32,
        /// When it becomes suspect if nothing happens.
        trouble_at: Instant,
        /// Another PeerConnection should replace it.
        is_used_up: bool,
    },
    /// The signaling WebSocket.
    Relay {
        /// When the peer is asked for a sign of life.
        ask_at: Option<Instant>,
        /// When it becomes suspect if nothing arrives.
        trouble_at: Option<Instant>,
    },
}

/// The facts that decide about carriers.
#[derive(Clone, Copy)]
pub(super) struct Facts<'a> {
    pub(super) role: Role,
    pub(super) state: State,
    /// A GOAWAY was sent or received: nothing more is done for the path.
    pub(super) is_going_away: bool,
    pub(super) active: ActiveCarrier,
    /// Streams can move data on the carrier.
    pub(super) is_ready: bool,
    /// When the current carrier opened.
    pub(super) opened_at: Option<Instant>,
    pub(super) link: Option<&'a Link>,
    /// Deadline for the PeerConnection that is being made.
    pub(super) attempt_ends_at: Option<Instant>,
    pub(super) p2p_timeout: Duration,
    /// Both sides allow direct paths.
    pub(super) may_connect: bool,
    /// Both sides allow the relay.
    pub(super) may_relay: bool,
    /// When an offer may be made, if the client asked for one.
    pub(super) offer_at: Option<Instant>,
    /// When a relay should be started.
    pub(super) relay_at: Option<Instant>,
    /// When an offer should be asked for.
    pub(super) retry_at: Option<Instant>,
}

/// Returns the wanted timers. A timer that is due at once has the time when the carrier opened.
pub(super) fn wants(facts: &Facts<'_>) -> TimerTable {
    let mut timers = TimerTable::default();
    timers.set(Timer::State, facts.state.deadline());
    if !facts.state.is_ending() {
        timers.set(Timer::Attempt, facts.attempt_ends_at);
        watch(facts, &mut timers);
        if let Some(link) = facts.link.filter(|link| link.is_usable()) {
            pursue(facts, link, &mut timers);
        }
    }
    timers
}

/// Sets the timers that watch the carrier, and the WebSocket while there is no path.
fn watch(facts: &Facts<'_>, timers: &mut TimerTable) {
    if let ActiveCarrier::Relay { ask_at, trouble_at } = facts.active {
        timers.set(Timer::AskRelay, ask_at);
        // A link that is suspect already need not be suspected again.
        timers.set(Timer::RelaySilent, trouble_at.filter(|_| facts.link.is_some_and(|link| !link.is_suspect())));
    }
    match facts.state {
        State::Established if !facts.is_going_away => match facts.active {
            ActiveCarrier::Nothing => timers.set(Timer::NoCarrier, facts.opened_at),
            ActiveCarrier::Direct { trouble_at, .. } => timers.set(Timer::DirectTrouble, trouble_at),
            ActiveCarrier::Relay { .. } => {}
        },
        // A rejoined WebSocket may be dead as well, without any notice.
        State::Recovering { .. } => {
            let link = facts.link.filter(|link| link.is_usable());
            timers.set(Timer::LinkSilent, link.map(|link| link.quiet_at(facts.p2p_timeout)));
        }
        State::Established | State::Connecting { .. } | State::Closing { .. } | State::Closed => {}
    }
    let is_unready = facts.active != ActiveCarrier::Nothing && !facts.is_ready;
    if is_unready && facts.state == State::Established && !facts.is_going_away {
        timers.set(Timer::Unready, facts.opened_at.map(|at| at + READY_TIMEOUT));
    }
}

/// Sets the timers for a better path: none while a direct path works, a relay if there is no path, an offer if there is
/// no direct path or its keys are used up.
fn pursue(facts: &Facts<'_>, link: &Link, timers: &mut TimerTable) {
    let direct = match facts.active {
        ActiveCarrier::Direct { carrier, is_used_up, .. } if facts.is_ready && facts.state == State::Established => {
            Some((carrier, is_used_up))
        }
        ActiveCarrier::Direct { .. } | ActiveCarrier::Relay { .. } | ActiveCarrier::Nothing => None,
    };
    let asks = |_: &Instant| facts.may_connect && facts.attempt_ends_at.is_none();
    match (facts.role, direct) {
        (Role::Host, direct) => {
            timers.set(Timer::Offer, facts.offer_at);
            // A client that rejoined wants something, even if all seems well here.
            let is_done = direct.is_some_and(|(carrier, _)| link.is_older_than(carrier));
            timers.set(Timer::LinkDone, facts.opened_at.filter(|_| is_done));
        }
        (Role::Client, Some((_, false))) => timers.set(Timer::LinkDone, facts.opened_at),
        (Role::Client, Some((_, true))) => timers.set(Timer::AskOffer, facts.retry_at.or(facts.opened_at).filter(asks)),
        (Role::Client, None) => {
            // A PeerConnection that replaces another has some time to get ready.
            let is_replaced = facts.state == State::Established && matches!(facts.active, ActiveCarrier::Direct { .. });
            let starts_relay = facts.may_relay && !link.has_relayed() && !is_replaced;
            timers.set(Timer::StartRelay, relay_due(facts).filter(|_| starts_relay));
            timers.set(Timer::AskOffer, facts.retry_at.filter(asks));
        }
    }
}

/// Returns when a relay should be started: also if a channel opened first but nothing is answered on it.
fn relay_due(facts: &Facts<'_>) -> Option<Instant> {
    match facts.opened_at {
        Some(opened_at) if facts.state.is_connecting() => Some(facts.relay_at?.max(opened_at + ANSWER_TIMEOUT)),
        _ => facts.relay_at,
    }
}

#[cfg(test)]
#[path = "wants_tests.rs"]
mod wants_tests;
