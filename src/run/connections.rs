//! Forwarded connections: accepted ones open a stream, dialled ones answer one (`dial`).

use std::collections::VecDeque;
use std::io::{self, Read as _, Write as _};
use std::net::SocketAddr;

use log::{debug, warn};
use mio::Interest;
use mio::event::Event as MioEvent;
use sha2::{Digest, Sha256};

use super::core::{Core, Notice};
use super::dial::Waiter;
use super::rounds::RoundKey;
use super::sessions::SessionKey;
use super::table::{Key, Place};
use super::token::Source;
use crate::address::{Protocol, Target};
use crate::net::listener::Ends;
use crate::net::stream::Stream;
use crate::run::pump::{Progress, Pump};
use crate::socks::Negotiation;
use crate::status::event::Event as StatusEvent;
use crate::tunnel::{AbortReason, ConnectTarget, Hop, OpenError, Origin, StreamId, StreamKey, Trail};

/// Finds a connection.
pub(super) type ConnectionKey = Key<ConnectionEntry>;

/// A connection, established or on its way, and its stream.
pub(super) struct ConnectionEntry {
    pub(super) session: SessionKey,
    pub(super) key: StreamKey,
    pub(super) id: StreamId,
    pub(super) phase: Phase,
    /// The local program's address, or the target.
    pub(super) address: String,
    /// The host that a peer named, whose addresses are to be checked; `None` for a service.
    pub(super) named: Option<Target>,
    /// The connections that led to one that is dialled, and what that one is called.
    pub(super) trail: Trail,
    pub(super) hops: Vec<Hop>,
    /// Which of the session's targets it is dialled to.
    pub(super) round: Option<RoundKey>,
    /// What is written to the target before anything else.
    pub(super) prefix: Vec<u8>,
    /// Waits for its turn to be pumped.
    queued: bool,
}

pub(super) enum Phase {
    /// No socket yet: the target's name is being looked up, or the socket is being set up.
    Resolving,
    /// The first of these addresses is to be dialled once a descriptor is free.
    Starved(VecDeque<SocketAddr>),
    /// Dialling; the addresses are those to try next.
    Dialing(Stream, VecDeque<SocketAddr>),
    /// Whoever asked for it waits until the other side has dialled.
    Asking(Box<Asking>),
    /// Joined to its stream.
    Open(Pump),
}

/// A connection whose other end was told nothing yet.
pub(super) struct Asking {
    stream: Stream,
    asker: Asker,
}

/// Who waits until the other side has dialled.
pub(super) enum Asker {
    /// A program that talks to a proxy; with what it sent already.
    Program(Negotiation, Vec<u8>),
    /// A thread of this process, which is told what came of it; false says that it does not wait any more.
    Caller(Box<dyn FnMut(Result<(), AbortReason>) -> bool + Send>),
}

impl Asker {
    fn refuse(&mut self, reason: AbortReason) {
        match self {
            Asker::Program(negotiation, _) => negotiation.refuse(reason),
            Asker::Caller(tell) => {
                tell(Err(reason));
            }
        }
    }

    /// Ends the connection with the last words there are.
    fn end(self, stream: Stream) {
        match self {
            Asker::Program(mut negotiation, _) => answer_and_end(stream, &mut negotiation),
            Asker::Caller(_) => stream.reset(),
        }
    }
}

/// A connection that a local program made.
pub(super) struct Incoming {
    pub(super) stream: Stream,
    /// Who made it, for people.
    pub(super) name: String,
    /// Both its ends.
    pub(super) ends: Ends,
}

impl Core {
    /// Opens a stream for a connection that a local program made. The data may follow at once. Returns the connection.
    pub(super) fn open_stream(
        &mut self,
        session: SessionKey,
        incoming: Incoming,
        target: &ConnectTarget,
    ) -> Option<ConnectionKey> {
        let Incoming { stream, name, ends } = incoming;
        match self.open_connection(session, name.clone(), &ends, target) {
            Ok(connection) => {
                self.join(connection, stream);
                Some(connection)
            }
            Err(error) => {
                self.turn.warn("stream-refused", format!("a connection from {name} was reset: {error}"));
                stream.reset();
                None
            }
        }
    }

    /// The same for a connection whose program waits for an answer: it gets one once the other side has dialled.
    pub(super) fn open_asking(
        &mut self,
        session: SessionKey,
        incoming: Incoming,
        mut asker: Asker,
        target: &ConnectTarget,
    ) {
        let Incoming { stream, name, ends } = incoming;
        match self.open_connection(session, name.clone(), &ends, target) {
            Ok(connection) => match self.register(connection, stream) {
                Ok(stream) => {
                    self.connections[connection].phase = Phase::Asking(Box::new(Asking { stream, asker }));
                }
                Err(error) => self.fail_connection(connection, &error),
            },
            Err(error) => {
                self.turn.warn("stream-refused", format!("a connection from {name} was refused: {error}"));
                asker.refuse(AbortReason::TooManyStreams);
                asker.end(stream);
            }
        }
    }

    fn open_connection(
        &mut self,
        session: SessionKey,
        name: String,
        ends: &Ends,
        target: &ConnectTarget,
    ) -> Result<ConnectionKey, OpenError> {
        let number = self.connections.next_key().number();
        let flow = ends.ports().map_or_else(|| number.to_string(), |(local, remote)| format!("{local}|{remote}"));
        let trail = self.trails.of_accepted(&self.sessions, session, Protocol::Tcp, ends);
        let entry = &mut self.sessions[session];
        let key = entry.session.mux().open_from(stream_hash(&entry.salt, &flow), target, &trail)?;
        self.sessions.touch(session);
        self.insert(session, key, name).ok_or(OpenError::GoingAway)
    }

    /// The other side has dialled: a program that waits may proceed.
    pub(super) fn stream_accepted(&mut self, session: SessionKey, key: StreamKey) {
        let Some(&connection) = self.sessions[session].connections.get(&key) else { return };
        let entry = &mut self.connections[connection];
        let Phase::Asking(asking) = &mut entry.phase else { return };
        let is_heard = match &mut asking.asker {
            Asker::Program(negotiation, _) => {
                negotiation.accept(None);
                answer(&mut asking.stream, negotiation)
            }
            Asker::Caller(tell) => tell(Ok(())),
        };
        if !is_heard {
            return self.fail_connection(connection, &io::ErrorKind::BrokenPipe.into());
        }
        let Phase::Asking(asking) = std::mem::replace(&mut entry.phase, Phase::Resolving) else { return };
        let Asking { stream, asker } = *asking;
        let early = match asker {
            Asker::Program(_, early) => early,
            Asker::Caller(_) => Vec::new(),
        };
        self.open_with(connection, stream, early);
    }

    /// Takes an event of a connection's socket.
    pub(super) fn handle_connection_event(&mut self, place: Place, event: &MioEvent) {
        let Some(connection) = self.connections.at(place) else { return };
        let entry = &mut self.connections[connection];
        match &mut entry.phase {
            Phase::Open(forward) => {
                forward.readiness.handle_event(event);
                self.wake(connection);
            }
            Phase::Dialing(..) => self.check_dial(connection),
            // Who hangs up before the other side has dialled is noticed when it has.
            Phase::Asking(_) | Phase::Resolving | Phase::Starved(_) => {}
        }
    }

    /// Puts a connection in the queue of those that can go on.
    pub(super) fn wake(&mut self, connection: ConnectionKey) {
        if let Some(entry) = self.connections.get_mut(connection)
            && matches!(entry.phase, Phase::Open(_))
            && !std::mem::replace(&mut entry.queued, true)
        {
            self.ready.push_back(connection);
        }
    }

    /// Gives every connection that was ready at the start of the call one turn.
    pub(super) fn pump(&mut self) {
        for _ in 0..self.ready.len() {
            let Some(connection) = self.ready.pop_front() else { break };
            let Some(entry) = self.connections.get_mut(connection) else { continue };
            entry.queued = false;
            let (session, key) = (entry.session, entry.key);
            let Phase::Open(forward) = &mut entry.phase else { continue };
            let Some(mut stream) = self.sessions[session].session.mux().stream(key) else { continue };
            let progress = forward.pump(&mut stream, &mut self.pool);
            let answered = entry.round.filter(|_| forward.bytes().0 > 0);
            self.sessions.touch(session);
            answered.into_iter().for_each(|round| self.target_answered(round));
            match progress {
                Progress::Waiting => {}
                Progress::More => self.wake(connection),
                Progress::Done => {
                    self.remove_connection(connection, "closed");
                }
                Progress::Failed(error) => self.fail_connection(connection, &error),
            }
        }
    }

    /// The mux ended a stream: its connection is reset.
    pub(super) fn stream_aborted(
        &mut self,
        session: SessionKey,
        key: StreamKey,
        reason: AbortReason,
        detail: &str,
        origin: Origin,
    ) {
        let Some(&connection) = self.sessions[session].connections.get(&key) else { return };
        let name = reason.as_str();
        debug!("stream={} aborted reason={name} detail={detail:?} origin={origin:?}", self.connections[connection].id);
        let text = if detail.is_empty() { name.to_owned() } else { format!("{name}: {detail}") };
        if let Phase::Asking(asking) = &mut self.connections[connection].phase {
            asking.asker.refuse(reason);
            let address = self.connections[connection].address.clone();
            self.turn.warn("stream-refused", format!("what {address} asked for was not opened: {text}"));
        }
        if (reason, origin) == (AbortReason::Reset, Origin::Peer)
            && let Phase::Open(_) = self.connections[connection].phase
            && let Phase::Open(forward) = self.remove_connection(connection, &text)
        {
            // It was told what came before, but may not have it yet.
            let (stream, has_finished) = forward.into_stream();
            return self.leaving.add(&mut self.turn, stream, has_finished);
        }
        self.reset_connection(connection, &text);
    }

    /// Ends a connection with a reset, without a word to the stream.
    pub(super) fn reset_connection(&mut self, connection: ConnectionKey, reason: &str) {
        match self.remove_connection(connection, reason) {
            Phase::Open(forward) => forward.into_stream().0.reset(),
            Phase::Asking(asking) => asking.asker.end(asking.stream),
            Phase::Dialing(..) | Phase::Resolving | Phase::Starved(_) => {}
        }
    }

    pub(super) fn insert(&mut self, session: SessionKey, key: StreamKey, address: String) -> Option<ConnectionKey> {
        let id = self.sessions[session].session.mux().stream(key)?.id();
        let phase = Phase::Resolving;
        let entry = ConnectionEntry {
            session,
            key,
            id,
            phase,
            address,
            named: None,
            trail: Trail::default(),
            hops: Vec::new(),
            round: None,
            prefix: Vec::new(),
            queued: false,
        };
        let connection = self.connections.insert(entry);
        self.sessions[session].connections.insert(key, connection);
        Some(connection)
    }

    /// Registers an accepted connection and joins it to its stream.
    pub(super) fn join(&mut self, connection: ConnectionKey, stream: Stream) {
        match self.register(connection, stream) {
            Ok(stream) => self.open(connection, stream),
            Err(error) => self.fail_connection(connection, &error),
        }
    }

    pub(super) fn open(&mut self, connection: ConnectionKey, stream: Stream) {
        self.open_with(connection, stream, Vec::new());
    }

    /// Joins a connection, of which something was read already, to its stream.
    fn open_with(&mut self, connection: ConnectionKey, stream: Stream, early: Vec<u8>) {
        if let Err(error) = stream.set_nodelay() {
            debug!("nodelay error={error}");
        }
        let entry = &mut self.connections[connection];
        entry.phase = Phase::Open(Pump::new(stream).with_prefix(std::mem::take(&mut entry.prefix)).with_early(early));
        let (stream, address) = (entry.id.value(), entry.address.clone());
        let session = self.sessions[entry.session].name.clone();
        self.turn.report(&StatusEvent::StreamOpened { session, stream, address });
        self.wake(connection);
    }

    pub(super) fn register(&mut self, connection: ConnectionKey, mut stream: Stream) -> io::Result<Stream> {
        let interest = Interest::READABLE | Interest::WRITABLE;
        self.turn.registry().register(&mut stream, Source::Connection(connection.place()).token(), interest)?;
        Ok(stream)
    }

    /// Takes a connection's socket from the poll; one that was only being dialled is dropped.
    pub(super) fn deregister(&mut self, connection: ConnectionKey) {
        let entry = &mut self.connections[connection];
        self.trails.remove(&std::mem::take(&mut entry.hops));
        let phase = &mut entry.phase;
        let mut dialled;
        let stream = match phase {
            Phase::Open(forward) => forward.source_mut(),
            Phase::Asking(asking) => &mut asking.stream,
            Phase::Dialing(..) => {
                dialled = std::mem::replace(phase, Phase::Resolving);
                let Phase::Dialing(stream, _) = &mut dialled else { return };
                stream
            }
            Phase::Resolving | Phase::Starved(_) => return,
        };
        if let Err(error) = self.turn.registry().deregister(stream) {
            warn!("deregister error={error}");
        }
    }

    pub(super) fn fail_connection(&mut self, connection: ConnectionKey, error: &io::Error) {
        let entry = &self.connections[connection];
        let (session, key) = (entry.session, entry.key);
        self.sessions.abort_stream(session, key, AbortReason::Reset, &error.to_string());
        self.reset_connection(connection, &format!("reset: {error}"));
    }

    /// Takes a connection out of every table and reports its end.
    fn remove_connection(&mut self, connection: ConnectionKey, reason: &str) -> Phase {
        self.deregister(connection);
        let entry = self.connections.remove(connection).expect("it was found by its stream, or as this");
        if let Phase::Resolving = entry.phase {
            self.resolver.forget(Waiter::Connection(connection));
        }
        entry.round.into_iter().for_each(|round| self.rounds.leave(round));
        let session = &mut self.sessions[entry.session];
        session.connections.remove(&entry.key);
        let (sent, received) = match &entry.phase {
            Phase::Open(forward) => forward.bytes(),
            _ => (0, 0),
        };
        session.sent += sent;
        session.received += received;
        let name = session.name.clone();
        let (stream, reason) = (entry.id.value(), reason.to_owned());
        // One that never opened has had its warning.
        if let Phase::Open(_) = entry.phase {
            self.turn.tell(Notice::Closed { connection, reason: reason.clone() });
            self.turn.report(&StatusEvent::StreamClosed { session: name, stream, sent, received, reason });
        }
        entry.phase
    }
}

/// Writes what a negotiation has to say. The answers are a few bytes and the program waits for them, so a socket that
/// does not take them at once is of no use; false says so.
pub(super) fn answer(stream: &mut Stream, negotiation: &mut Negotiation) -> bool {
    while let Some(output) = negotiation.poll_output() {
        if stream.write_all(&output).is_err() {
            return false;
        }
    }
    true
}

/// Says the last words of a negotiation and ends the connection in order: a reset would overtake them.
pub(super) fn answer_and_end(mut stream: Stream, negotiation: &mut Negotiation) {
    answer(&mut stream, negotiation);
    // What came meanwhile is taken, or closing would reset.
    let mut rest = [0; 4096];
    while matches!(stream.read(&mut rest), Ok(len) if len > 0) {}
    let _ = stream.finish();
}

/// Returns where the search for a free stream id begins: 15 bits of SHA-256(salt ‖ 4-tuple).
pub(super) fn stream_hash(salt: &[u8], flow: &str) -> u16 {
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
