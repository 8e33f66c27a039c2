//! What is shown of the sessions of a side.

use super::Core;
use crate::run::keys::SessionKey;
use crate::status::overview::StreamStatus;
use crate::status::snapshot::SessionStatus;

impl Core {
    /// Returns what is shown of the sessions with peers, the oldest first.
    pub(in crate::run) fn survey(&mut self) -> Vec<(SessionKey, SessionStatus)> {
        let keys = self.sessions.of_peers();
        keys.into_iter().filter_map(|key| Some((key, self.sessions.survey(&self.turn, key)?))).collect()
    }

    /// Returns what is shown of the streams of a session.
    pub(in crate::run) fn streams_of(&mut self, session: SessionKey) -> Vec<StreamStatus> {
        let Core { sessions, connections, flows, .. } = self;
        let Some(entry) = sessions.get_mut(session) else { return Vec::new() };
        let of_connections = entry.connections.iter().filter_map(|(key, connection)| {
            let connection = connections.get(*connection)?;
            Some((*key, connection.address.clone()))
        });
        let of_flows = entry.flows.iter().filter_map(|(key, flow)| Some((*key, flows.address(*flow)?)));
        let known: Vec<_> = of_connections.chain(of_flows).collect();
        let mux = entry.session.mux();
        let shown = |(key, address)| {
            let stream = mux.stream(key)?;
            let (sent, received) = stream.bytes();
            Some(StreamStatus { stream: stream.id().value(), target: None, address, sent, received })
        };
        known.into_iter().filter_map(shown).collect()
    }
}
