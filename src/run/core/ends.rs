//! How sessions end, and everything that belongs to them.

use log::info;

use super::Core;
use crate::run::keys::{ConnectionKey, FlowKey, Scope, SessionKey};
use crate::run::notice::{Notice, Summary};
use crate::run::rights::Serial;
use crate::run::tally;
use crate::session::End;
use crate::status::event::Event;
use crate::tunnel::GoAwayReason;

impl Core {
    /// Ends every session in order.
    pub(in crate::run) fn go_away(&mut self, reason: GoAwayReason, detail: &str) {
        self.sessions.go_away(self.turn.now, reason, detail);
    }

    /// Ends a session in order.
    pub(in crate::run) fn go_away_from(&mut self, session: SessionKey, reason: GoAwayReason, detail: &str) {
        if let Some(entry) = self.sessions.get_mut(session) {
            entry.session.go_away(self.turn.now, reason, detail);
            self.sessions.touch(session);
        }
    }

    /// Ends the session that has been without a path for longest, to make room, and returns whether there was one.
    /// Sessions that have only just lost their path are spared. Of those of an invitation, or of all.
    pub(in crate::run) fn evict(&mut self, of: Option<Serial>) -> bool {
        let Some(session) = self.sessions.poll_evicted(self.turn.now, of) else { return false };
        self.abandon(session, End::PathLost);
        true
    }

    /// Ends a session without waiting for the peer, if the session exists.
    pub(in crate::run) fn abandon(&mut self, session: SessionKey, end: End) {
        if let Some(entry) = self.sessions.get_mut(session) {
            entry.session.abandon(self.turn.now, end);
            self.service(session);
        }
    }

    pub(super) fn end_session(&mut self, session: SessionKey, end: End) {
        let connections: Vec<ConnectionKey> = self.sessions[session].connections.values().copied().collect();
        for connection in connections {
            self.reset_connection(connection, "the session ended");
        }
        let flows: Vec<FlowKey> = self.sessions[session].flows.values().copied().collect();
        for flow in flows {
            self.flow_aborted(flow, "the session ended");
        }
        self.leaving.forget_session(session);
        if self.sessions[session].scope == Scope::Peer {
            self.turn.tally.session_ended(tally::class_of(&end));
        }
        let summary = self.sessions.remove(&self.turn, &mut self.pool, session);
        self.turn.tell(Notice::Ended { session, end, summary });
    }

    /// Reports the end of a session: a summary if it was connected, otherwise a warning.
    pub(in crate::run) fn report_end(&mut self, summary: Summary, end: &End) {
        let Summary { name, sent, received, duration, .. } = summary;
        match duration {
            Some(duration) => {
                let duration_ms = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
                let reason = end.to_string();
                self.turn.report(&Event::Disconnected { session: name, reason, sent, received, duration_ms });
            }
            // Nothing went wrong, and nobody has to act.
            None if *end == End::Visit => info!("session={name} ended: {end}"),
            // The client says so itself, and the host reported it of the invitation.
            None if matches!(end, End::Lapsed(_)) => info!("session={name} ended: {end}"),
            // The user pressed Ctrl-C.
            None if *end == End::Local => {}
            None => self.turn.warn("not-connected", format!("session {name} was not established: {end}")),
        }
    }
}
