//! Connections to targets: they are dialled, and joined to the streams that wait for them.

use std::net::SocketAddr;

use super::dials::Outcome;
use super::{Connections, Phase};
#[cfg(unix)]
use crate::config::ProgramService;
#[cfg(unix)]
use crate::net::stream::Stream;
use crate::run::deadlines::DialDue;
use crate::run::dialer::Wanted;
use crate::run::keys::ConnectionKey;
#[cfg(unix)]
use crate::run::keys::SessionKey;
use crate::run::proxy_header::proxy_header;
use crate::run::shared::Shared;
use crate::tunnel::AbortReason;
#[cfg(unix)]
use crate::tunnel::StreamKey;

impl Connections {
    /// Dials the target of a stream that the peer opened, if the stream still exists.
    pub(in crate::run) fn open_target(&mut self, shared: &mut Shared<'_>, wanted: Wanted) {
        let target = wanted.target();
        let Some(connection) = self.insert(shared, wanted.session, wanted.key, target.clone(), wanted.label) else {
            return;
        };
        let path = shared.sessions[wanted.session].session.peer_path();
        let entry = &mut self.table[connection];
        entry.round = Some(shared.rounds.enter(wanted.session, &target));
        entry.prefix = wanted.header.map_or_else(Vec::new, |version| proxy_header(version, path));
        let outcome = self.dials.begin(shared, connection, wanted);
        self.settle(shared, connection, outcome);
    }

    /// Joins a stream the peer opened to this program itself.
    #[cfg(unix)]
    pub(in crate::run) fn open_program(
        &mut self,
        shared: &mut Shared<'_>,
        session: SessionKey,
        key: StreamKey,
        service: &ProgramService,
    ) {
        let label = shared.turn.tally.label(&service.name);
        let address = format!("{} (this program)", service.name);
        let Some(connection) = self.insert(shared, session, key, address, label) else { return };
        let outcome = match service.inlet.offer() {
            Ok(near) => match self.register(shared, connection, Stream::Program(near)) {
                Ok(stream) => Outcome::Made(stream, Vec::new(), None),
                Err(error) => Outcome::failed(&error),
            },
            Err(error) => Outcome::Failed(AbortReason::Refused, error.to_string()),
        };
        self.settle(shared, connection, Some(outcome));
    }

    /// Handles the resolver's answer for a dial.
    pub(in crate::run) fn handle_lookup(
        &mut self,
        shared: &mut Shared<'_>,
        connection: ConnectionKey,
        answer: Result<Vec<SocketAddr>, String>,
    ) {
        let outcome = self.dials.handle_lookup(shared, connection, answer);
        self.settle(shared, connection, outcome);
    }

    /// Handles a deadline of a dial.
    pub(in crate::run) fn handle_dial_due(&mut self, shared: &mut Shared<'_>, due: DialDue) {
        let connection = due.connection();
        let outcome = self.dials.handle_due(shared, connection, due);
        self.settle(shared, connection, outcome);
    }

    /// Handles an event of a dial's socket.
    pub(super) fn handle_dial_event(&mut self, shared: &mut Shared<'_>, connection: ConnectionKey) {
        let outcome = self.dials.handle_event(shared, connection);
        self.settle(shared, connection, outcome);
    }

    /// Joins a connection to its stream, or ends both, if its dial has ended.
    fn settle(&mut self, shared: &mut Shared<'_>, connection: ConnectionKey, outcome: Option<Outcome>) {
        let Some(outcome) = outcome else { return };
        let entry = &mut self.table[connection];
        let (session, key) = (entry.session, entry.key);
        match outcome {
            Outcome::Made(stream, hops, failure) => {
                entry.hops = hops;
                stream.guard();
                if let Some(mut stream) = shared.sessions[session].session.mux().stream(key) {
                    stream.accept();
                }
                self.open(shared, connection, stream);
                if let (Some(error), Phase::Open(forward)) = (failure, &mut self.table[connection].phase) {
                    forward.handle_failure(error);
                }
            }
            Outcome::Denied(denied) => {
                let name = shared.sessions[session].name.clone();
                shared.turn.warn("denied", format!("session {name} asked for {denied}"));
                let reason = AbortReason::Denied;
                shared.sessions.abort_stream(session, key, reason, "no --allow rule of the host has it");
                self.reset_connection(shared, connection, reason.as_str());
            }
            Outcome::Failed(reason, detail) => {
                let address = &entry.address;
                let message = format!("{address} cannot be reached: {detail}. Is the service running?");
                shared.turn.warn("dial-failed", message);
                shared.sessions.abort_stream(session, key, reason, &detail);
                self.reset_connection(shared, connection, reason.as_str());
            }
        }
    }
}
