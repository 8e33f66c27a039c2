//! What is shown of the sessions of a side.

use super::Core;
use crate::run::dialer::describe;
use crate::run::keys::SessionKey;
use crate::status::overview::StreamStatus;
use crate::status::snapshot::SessionStatus;
use crate::tunnel::ConnectTarget;

impl Core {
    /// Returns what is shown of the sessions with peers, the oldest first.
    pub(in crate::run) fn survey(&mut self) -> Vec<(SessionKey, SessionStatus)> {
        let keys = self.sessions.of_peers();
        keys.into_iter().filter_map(|key| Some((key, self.sessions.survey(&self.turn, key)?))).collect()
    }

    /// Returns what is shown of the streams of a session.
    pub(in crate::run) fn streams_of(&mut self, session: SessionKey) -> Vec<StreamStatus> {
        let Core { sessions, connections, flows, dialer, .. } = self;
        let Some(entry) = sessions.get_mut(session) else { return Vec::new() };
        let of_connections = entry.connections.iter().filter_map(|(key, connection)| {
            let connection = connections.get(*connection)?;
            Some((*key, (connection.address.as_str(), connection.asked.as_ref())))
        });
        let of_flows = entry.flows.iter().filter_map(|(key, flow)| Some((*key, flows.ends(*flow)?)));
        let known: Vec<_> = of_connections.chain(of_flows).collect();
        let mux = entry.session.mux();
        let mut list = Vec::with_capacity(known.len());
        for (key, (address, asked)) in known {
            let target = match asked {
                Some(ConnectTarget::Service(number)) => {
                    let services = mux.peer().into_iter().flat_map(|hello| &hello.services);
                    services.into_iter().find(|service| service.id == *number).map(|service| service.name.clone())
                }
                Some(asked) => Some(describe(asked)),
                None => {
                    let service = dialer.services.iter().find(|service| service.endpoint.to_string() == address);
                    service.map(|service| service.name.clone())
                }
            };
            let Some(stream) = mux.stream(key) else { continue };
            let (sent, received) = stream.bytes();
            let (stream, address) = (stream.id().value(), address.to_owned());
            list.push(StreamStatus { stream, target, address, sent, received });
        }
        list
    }
}
