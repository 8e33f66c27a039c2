//! Streams that the peer opened: whether their target is dialled at once, later, or not at all.

use std::time::Instant;

use super::Core;
use crate::address::Endpoint;
use crate::run::connections::Phase;
use crate::run::deadlines::Due;
use crate::run::dialer::{Asking, NOT_FORWARDED, Refusal, Wanted, describe};
use crate::run::keys::{RoundKey, SessionKey};
use crate::run::rounds::Order;
use crate::run::tally::label_of;
use crate::run::trails::{LEADS_BACK, warn_of_loop};
use crate::status::metrics::peer::{Label, StreamResult};
use crate::tunnel::{AbortReason, ConnectTarget, StreamKey};

impl Core {
    /// Dials the target of a stream that the peer opened, if it exists and is allowed.
    pub(super) fn open_target(&mut self, session: SessionKey, key: StreamKey, target: &ConnectTarget) {
        let entry = &mut self.sessions[session];
        let label = label_of(&mut self.turn.tally, entry.session.mux(), target);
        // Only accepted reverse forwards may come back.
        if let ConnectTarget::Reverse(id) = target
            && !entry.session.mux().takes_reverse(*id)
        {
            return self.refuse(session, key, label, (AbortReason::Denied, NOT_FORWARDED));
        }
        let offered = match target {
            ConnectTarget::Service(id) => entry.session.mux().service(*id).cloned(),
            _ => None,
        };
        let asking = Asking { scope: entry.scope, rights: entry.rights.as_deref(), offered: offered.as_ref() };
        #[cfg(unix)]
        if let Some(service) = self.dialer.program(asking, target).cloned() {
            let (connections, mut shared) = self.connections_and_shared();
            return connections.open_program(&mut shared, session, key, &service);
        }
        let (endpoint, header) = match self.dialer.endpoint(asking, target) {
            Ok(found) => found,
            Err(Refusal { reason, detail }) => {
                let name = &entry.name;
                self.turn.warn("denied", format!("session {name} asked for {}: {detail}", describe(target)));
                return self.refuse(session, key, label, (reason, detail));
            }
        };
        let is_named = !matches!(target, ConnectTarget::Reverse(_) | ConnectTarget::Service(_));
        let told = entry.session.mux().stream(key).map(|mut stream| stream.take_trail());
        let trail = self.trails.complete(&told.unwrap_or_default());
        let wanted = Wanted { session, key, endpoint, header, is_named, trail, label };
        if let Some(hop) = self.trails.leads_back(&wanted.target(), &wanted.trail) {
            warn_of_loop(&mut self.turn, entry, &wanted.target());
            let (flows, mut shared) = self.flows_and_shared();
            flows.end_looping_flow(&mut shared, hop);
            return self.refuse(session, key, label, (AbortReason::Refused, LEADS_BACK));
        }
        self.admit(wanted);
    }

    /// Refuses a stream that the peer opened.
    fn refuse(&mut self, session: SessionKey, key: StreamKey, label: Label, (reason, detail): (AbortReason, &str)) {
        self.turn.tally.ended(label, StreamResult::Refused);
        self.sessions.abort_stream(session, key, reason, detail);
    }

    /// Dials the target of a stream, if the stream still exists.
    pub(super) fn dial_target(&mut self, wanted: Wanted) {
        if self.sessions.get(wanted.session).is_none() {
            return;
        }
        if let Endpoint::Udp(address) = &wanted.endpoint {
            let address = address.clone();
            let (flows, mut shared) = self.flows_and_shared();
            flows.open_target_flow(&mut shared, wanted, &address);
        } else {
            let (connections, mut shared) = self.connections_and_shared();
            connections.open_target(&mut shared, wanted);
        }
        self.prune_deadlines();
    }

    /// Dials a target, at once or later, unless it is known to lead back.
    pub(super) fn admit(&mut self, wanted: Wanted) {
        let now = self.turn.now;
        let key = self.rounds.find(wanted.session, &wanted.target());
        let is_suspect = self.rounds.is_to_be_looked_at(key, now) && self.is_silent(wanted.session, key);
        let look_at = self.rounds.admit(now, key, wanted, is_suspect);
        self.obey_rounds(key, look_at);
    }

    /// Handles the deadline of a watched target.
    pub(super) fn handle_round_due(&mut self, key: RoundKey) {
        let look_at = self.rounds.handle_due(self.turn.now, key);
        self.obey_rounds(key, look_at);
    }

    /// Handles an answer of a target on one of its connections.
    pub(super) fn target_answered(&mut self, key: RoundKey) {
        self.rounds.answered(self.turn.now, key);
        self.obey_rounds(key, None);
    }

    /// Carries out decisions about dials.
    fn obey_rounds(&mut self, key: RoundKey, look_at: Option<Instant>) {
        look_at.into_iter().for_each(|at| self.turn.deadlines.add(at, Due::Round(key)));
        while let Some(order) = self.rounds.poll() {
            match order {
                Order::Dial(key, wanted) => {
                    self.dial_target(wanted);
                    self.rounds.forget(key);
                }
                // The session may be gone by now.
                Order::Refuse(wanted) if self.sessions.get(wanted.session).is_none() => {}
                Order::Refuse(wanted) => {
                    let target = wanted.target();
                    warn_of_loop(&mut self.turn, &mut self.sessions[wanted.session], &target);
                    let Wanted { session, key, label, .. } = wanted;
                    self.refuse(session, key, label, (AbortReason::Refused, LEADS_BACK));
                }
            }
        }
    }

    /// Tells whether none of a target's connections and flows ever got an answer.
    fn is_silent(&mut self, session: SessionKey, key: RoundKey) -> bool {
        let Some(entry) = self.sessions.get(session) else { return false };
        let mut connections = entry.connections.values().filter_map(|&connection| self.connections.get(connection));
        let is_silent = connections.all(|entry| match &entry.phase {
            Phase::Open(pump) if entry.round == Some(key) => pump.bytes().0 == 0,
            _ => true,
        });
        let flows: Vec<_> = entry.flows.iter().map(|(key, flow)| (*key, *flow)).collect();
        let session = &mut self.sessions[session].session;
        let mut has_answer = |key| session.mux().stream(key).is_some_and(|stream| stream.bytes().0 > 0);
        let mut own = flows.into_iter().filter(|(_, flow)| self.flows.round(*flow) == Some(key));
        let is_silent = is_silent && !own.any(|(key, _)| has_answer(key));
        if !is_silent {
            self.rounds.note_answered(key);
        }
        is_silent
    }
}
