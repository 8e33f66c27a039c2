//! What is shown of sessions.

use super::{SessionEntry, Sessions, events};
use crate::run::keys::{Scope, SessionKey};
use crate::run::turn::Turn;
use crate::status::snapshot::{SessionState, SessionStatus};

impl Sessions {
    /// Returns the keys of the sessions with peers, the oldest first.
    pub(in crate::run) fn of_peers(&self) -> Vec<SessionKey> {
        let mut keys: Vec<SessionKey> =
            self.table.iter().filter(|(_, entry)| entry.scope == Scope::Peer).map(|(key, _)| key).collect();
        keys.sort_unstable();
        keys
    }

    /// Returns what is shown of a session.
    pub(in crate::run) fn survey(&mut self, turn: &Turn, key: SessionKey) -> Option<SessionStatus> {
        Some(self.table.get_mut(key)?.survey(turn))
    }
}

impl SessionEntry {
    fn survey(&mut self, turn: &Turn) -> SessionStatus {
        let now = turn.now;
        let payload = self.session.mux().payload();
        let (sent_per_s, received_per_s) = self.meter.rates(now, payload);
        let mux = self.session.mux();
        let agent = mux.peer().map(|hello| hello.agent.clone());
        let rtt_ms = mux.round_trip().map(|time| (time.as_secs_f64() * 1e6).round() / 1e3);
        let streams = mux.stream_count();
        let connected = self.connected_at.map(|at| now.saturating_duration_since(at).as_millis());
        SessionStatus {
            session: self.name.clone(),
            state: self.state(),
            way: events::way(self.session.path()),
            signaling: None,
            agent,
            invitation: None,
            rtt_ms,
            connected_ms: connected.map(|millis| u64::try_from(millis).unwrap_or(u64::MAX)),
            sent: payload.0,
            received: payload.1,
            sent_per_s,
            received_per_s,
            streams,
            losses: self.tally.losses,
            recoveries: self.tally.recoveries,
            retransmissions: self.tally.retransmissions,
            bandwidth_per_s: self.tally.bandwidth,
        }
    }

    fn state(&self) -> SessionState {
        if self.session.is_ending() {
            SessionState::Ending
        } else if self.session.recovering_since().is_some() {
            SessionState::Recovering
        } else if self.connected_at.is_some() {
            SessionState::Connected
        } else {
            SessionState::Connecting
        }
    }
}
