//! Streams for connections that local programs made.

use std::io;

use sha2::{Digest, Sha256};

use super::{Asker, Asking, Connections, Incoming, Phase, answer};
use crate::address::Protocol;
use crate::net::listener::Ends;
use crate::run::keys::{ConnectionKey, SessionKey};
use crate::run::shared::Shared;
use crate::tunnel::{AbortReason, ConnectTarget, OpenError, StreamKey};

impl Connections {
    /// Opens a stream for a connection that a local program made, and returns the connection. Data may follow at once.
    pub(in crate::run) fn open_stream(
        &mut self,
        shared: &mut Shared<'_>,
        session: SessionKey,
        incoming: Incoming,
        target: &ConnectTarget,
    ) -> Option<ConnectionKey> {
        let Incoming { stream, name, ends } = incoming;
        match self.open_connection(shared, session, name.clone(), &ends, target) {
            Ok(connection) => {
                self.join(shared, connection, stream);
                Some(connection)
            }
            Err(error) => {
                shared.turn.warn("stream-refused", format!("a connection from {name} was reset: {error}"));
                stream.reset();
                None
            }
        }
    }

    /// Opens a stream for a connection whose program waits for an answer: it gets one once the other side has dialled.
    pub(in crate::run) fn open_asking(
        &mut self,
        shared: &mut Shared<'_>,
        session: SessionKey,
        incoming: Incoming,
        mut asker: Asker,
        target: &ConnectTarget,
    ) {
        let Incoming { stream, name, ends } = incoming;
        match self.open_connection(shared, session, name.clone(), &ends, target) {
            Ok(connection) => match self.register(shared, connection, stream) {
                Ok(stream) => {
                    self.table[connection].phase = Phase::Asking(Box::new(Asking { stream, asker }));
                }
                Err(error) => self.fail_connection(shared, connection, &error),
            },
            Err(error) => {
                shared.turn.warn("stream-refused", format!("a connection from {name} was refused: {error}"));
                asker.refuse(AbortReason::TooManyStreams);
                asker.end(stream);
            }
        }
    }

    fn open_connection(
        &mut self,
        shared: &mut Shared<'_>,
        session: SessionKey,
        name: String,
        ends: &Ends,
        target: &ConnectTarget,
    ) -> Result<ConnectionKey, OpenError> {
        let number = self.table.next_key().number();
        let flow = ends.ports().map_or_else(|| number.to_string(), |(local, remote)| format!("{local}|{remote}"));
        let trail = shared.trails.of_accepted(shared.sessions, session, Protocol::Tcp, ends);
        let entry = &mut shared.sessions[session];
        let key = entry.session.mux().open_from(stream_hash(&entry.salt, &flow), target, &trail)?;
        shared.sessions.touch(session);
        let connection = self.insert(shared, session, key, name).ok_or(OpenError::GoingAway)?;
        self.table[connection].asked = Some(target.clone());
        Ok(connection)
    }

    /// Lets a waiting program proceed, after the other side has dialled.
    pub(in crate::run) fn stream_accepted(&mut self, shared: &mut Shared<'_>, session: SessionKey, key: StreamKey) {
        let Some(&connection) = shared.sessions[session].connections.get(&key) else { return };
        let entry = &mut self.table[connection];
        let Phase::Asking(asking) = &mut entry.phase else { return };
        let is_heard = match &mut asking.asker {
            Asker::Program(negotiation, _) => {
                negotiation.accept(None);
                answer(&mut asking.stream, negotiation)
            }
            Asker::Caller(tell) => tell(Ok(())),
        };
        if !is_heard {
            return self.fail_connection(shared, connection, &io::ErrorKind::BrokenPipe.into());
        }
        let Phase::Asking(asking) = std::mem::replace(&mut entry.phase, Phase::Opening) else { return };
        let Asking { stream, asker } = *asking;
        let early = match asker {
            Asker::Program(_, early) => early,
            Asker::Caller(_) => Vec::new(),
        };
        self.open_with(shared, connection, stream, early);
    }
}

/// Returns where the search for a free stream id begins: 15 bits of SHA-256(salt ‖ 4-tuple).
pub(in crate::run) fn stream_hash(salt: &[u8], flow: &str) -> u16 {
    let mut hasher = Sha256::new();
    hasher.update(salt);
    hasher.update(flow);
    let digest = hasher.finalize();
    u16::from_be_bytes([digest[0], digest[1]]) & 0x7fff
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stream_hashes_depend_on_everything_and_fit() {
        let (near, far) = ("127.0.0.1:1|127.0.0.1:2", "127.0.0.1:2|127.0.0.1:1");
        let hash = stream_hash(b"salt", near);
        assert!(hash < 0x8000);
        assert_eq!(hash, stream_hash(b"salt", near));
        assert_ne!(hash, stream_hash(b"pepper", near));
        assert_ne!(hash, stream_hash(b"salt", far));
    }
}
