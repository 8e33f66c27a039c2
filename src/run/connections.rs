//! Forwarded connections: accepted ones open a stream, dialled ones answer one (`dialling`).

mod asker;
mod course;
mod dialling;
mod dials;
mod leaving;
mod opening;

use std::collections::VecDeque;
use std::io;
use std::ops::{Index, IndexMut};

use log::debug;

use super::keys::{self, ConnectionKey, LeavingKey, RoundKey, SessionKey};
use super::shared::Shared;
use super::table::{Slot, Table};
use super::token::Source;
use super::turn::Turn;
use crate::net::listener::Ends;
use crate::net::stream::Stream;
use crate::net::system::{Event as MioEvent, Interest};
use crate::run::pump::{Progress, Pump};
use crate::status::event::{Event as StatusEvent, StreamEnd};
use crate::tunnel::{AbortReason, ConnectTarget, Hop, Origin, StreamId, StreamKey};

pub(super) use asker::{Asker, answer, answer_and_end};
pub(super) use opening::stream_hash;

use dials::Dials;
use leaving::Leavings;

/// A connection, established or in progress, and its stream.
pub(super) struct ConnectionEntry {
    pub(super) session: SessionKey,
    pub(super) key: StreamKey,
    pub(super) id: StreamId,
    pub(super) phase: Phase,
    /// The local program's address, or the target.
    pub(super) address: String,
    /// What the peer was asked to dial, if a local program made it.
    pub(super) asked: Option<ConnectTarget>,
    /// Its names in trails, if it was dialled.
    hops: Vec<Hop>,
    /// Which of the session's targets it leads to.
    pub(super) round: Option<RoundKey>,
    /// Bytes that go to the target before anything else.
    prefix: Vec<u8>,
    /// In the queue of connections to pump.
    queued: bool,
}

pub(super) enum Phase {
    /// It is being dialled, or set up.
    Opening,
    /// The program or thread that asked for it waits until the other side has dialled.
    Asking(Box<Asking>),
    /// Joined to its stream.
    Open(Pump),
}

/// A connection whose program was not answered yet.
pub(super) struct Asking {
    stream: Stream,
    asker: Asker,
}

/// A connection that a local program made.
pub(super) struct Incoming {
    pub(super) stream: Stream,
    /// The program that made it, for people.
    pub(super) name: String,
    /// Both its ends.
    pub(super) ends: Ends,
}

/// The connections of a loop.
#[derive(Default)]
pub(super) struct Connections {
    table: Table<ConnectionEntry, keys::Connection>,
    /// Connections that can make progress.
    ready: VecDeque<ConnectionKey>,
    /// Dials of those that are not open.
    dials: Dials,
    /// Connections that wait for their reset.
    leaving: Leavings,
}

impl Connections {
    /// Tells whether a connection exists.
    pub(super) fn contains(&self, connection: ConnectionKey) -> bool {
        self.table.contains(connection)
    }

    /// Returns a connection.
    pub(super) fn get(&self, connection: ConnectionKey) -> Option<&ConnectionEntry> {
        self.table.get(connection)
    }

    /// Returns how many connections can make progress.
    pub(super) fn ready(&self) -> usize {
        self.ready.len()
    }

    /// Handles an event of a connection's socket.
    pub(super) fn handle_event(&mut self, shared: &mut Shared<'_>, slot: Slot, event: &MioEvent) {
        let Some(connection) = self.table.at(slot) else { return };
        let entry = &mut self.table[connection];
        match &mut entry.phase {
            Phase::Open(forward) => {
                forward.readiness.handle_event(event);
                self.wake(connection);
            }
            Phase::Opening => self.handle_dial_event(shared, connection),
            // If the program hangs up before the other side has dialled, that is noticed afterwards.
            Phase::Asking(_) => {}
        }
    }

    /// Queues a connection that can make progress.
    pub(super) fn wake(&mut self, connection: ConnectionKey) {
        if let Some(entry) = self.table.get_mut(connection)
            && matches!(entry.phase, Phase::Open(_))
            && !std::mem::replace(&mut entry.queued, true)
        {
            self.ready.push_back(connection);
        }
    }

    /// Pumps the next ready connection. Returns its target if that has answered.
    pub(super) fn pump_next(&mut self, shared: &mut Shared<'_>) -> Option<RoundKey> {
        let connection = self.ready.pop_front()?;
        let entry = self.table.get_mut(connection)?;
        entry.queued = false;
        let (session, key) = (entry.session, entry.key);
        let Phase::Open(forward) = &mut entry.phase else { return None };
        let mut stream = shared.sessions[session].session.mux().stream(key)?;
        let progress = forward.pump(&mut stream, shared.pool);
        let answered = entry.round.filter(|_| forward.bytes().0 > 0);
        shared.sessions.touch(session);
        match progress {
            Progress::Waiting => {}
            Progress::More => self.wake(connection),
            Progress::Done => {
                self.remove_connection(shared, connection, StreamEnd::Closed);
            }
            Progress::Failed(error) => self.fail_connection(shared, connection, &error),
        }
        answered
    }

    /// Handles an event of a connection that waits for its reset.
    pub(super) fn handle_leaving_event(&mut self, turn: &Turn, slot: Slot, event: &MioEvent) {
        self.leaving.handle_event(turn, slot, event);
    }

    /// Handles the deadline of a connection that waits for its reset.
    pub(super) fn handle_leaving_due(&mut self, turn: &Turn, key: LeavingKey) {
        self.leaving.handle_due(turn, key);
    }

    /// Resets the connection of a stream that the mux ended.
    pub(super) fn stream_aborted(
        &mut self,
        shared: &mut Shared<'_>,
        session: SessionKey,
        key: StreamKey,
        reason: AbortReason,
        detail: &str,
        origin: Origin,
    ) {
        let Some(&connection) = shared.sessions[session].connections.get(&key) else { return };
        let name = reason.as_str();
        debug!("stream={} aborted reason={name} detail={detail:?} origin={origin:?}", self.table[connection].id);
        let text = if detail.is_empty() { name.to_owned() } else { format!("{name}: {detail}") };
        if let Phase::Asking(asking) = &mut self.table[connection].phase {
            asking.asker.refuse(reason);
            let address = self.table[connection].address.clone();
            shared.turn.warn("stream-refused", format!("the connection of {address} was not forwarded: {text}"));
        }
        if (reason, origin) == (AbortReason::Reset, Origin::Peer)
            && let Phase::Open(_) = self.table[connection].phase
            && let Phase::Open(forward) = self.remove_connection(shared, connection, StreamEnd::failed(&text))
        {
            // What was sent before may not have reached the program yet.
            let (stream, has_finished) = forward.into_socket();
            return self.leaving.add(shared.turn, stream, has_finished);
        }
        self.reset_connection(shared, connection, &text);
    }

    /// Resets a connection, without aborting its stream.
    pub(super) fn reset_connection(&mut self, shared: &mut Shared<'_>, connection: ConnectionKey, reason: &str) {
        match self.remove_connection(shared, connection, StreamEnd::failed(reason)) {
            Phase::Open(forward) => forward.into_socket().0.reset(),
            Phase::Asking(asking) => asking.asker.end(asking.stream),
            Phase::Opening => {}
        }
    }

    fn insert(
        &mut self,
        shared: &mut Shared<'_>,
        session: SessionKey,
        key: StreamKey,
        address: String,
    ) -> Option<ConnectionKey> {
        let id = shared.sessions[session].session.mux().stream(key)?.id();
        let phase = Phase::Opening;
        let entry = ConnectionEntry {
            session,
            key,
            id,
            phase,
            address,
            asked: None,
            hops: Vec::new(),
            round: None,
            prefix: Vec::new(),
            queued: false,
        };
        let connection = self.table.insert(entry);
        shared.sessions[session].connections.insert(key, connection);
        Some(connection)
    }

    /// Registers an accepted connection and joins it to its stream.
    fn join(&mut self, shared: &mut Shared<'_>, connection: ConnectionKey, stream: Stream) {
        match self.register(shared, connection, stream) {
            Ok(stream) => self.open(shared, connection, stream),
            Err(error) => self.fail_connection(shared, connection, &error),
        }
    }

    fn open(&mut self, shared: &mut Shared<'_>, connection: ConnectionKey, stream: Stream) {
        self.open_with(shared, connection, stream, Vec::new());
    }

    /// Joins a connection to its stream; `early` was read from it already.
    fn open_with(&mut self, shared: &mut Shared<'_>, connection: ConnectionKey, stream: Stream, early: Vec<u8>) {
        if let Err(error) = stream.set_nodelay() {
            debug!("nodelay error={error}");
        }
        let entry = &mut self.table[connection];
        entry.phase = Phase::Open(Pump::new(stream).with_prefix(std::mem::take(&mut entry.prefix)).with_early(early));
        let (stream, address) = (entry.id.value(), entry.address.clone());
        let session = shared.sessions[entry.session].name.clone();
        shared.turn.report(&StatusEvent::StreamOpened { session, stream, address });
        self.wake(connection);
    }

    fn register(
        &mut self,
        shared: &mut Shared<'_>,
        connection: ConnectionKey,
        mut stream: Stream,
    ) -> io::Result<Stream> {
        let interest = Interest::READABLE | Interest::WRITABLE;
        shared.turn.registry().register(&mut stream, Source::Connection(connection.slot()).token(), interest)?;
        Ok(stream)
    }

    /// Deregisters a connection's socket, or gives up its dial.
    fn deregister(&mut self, shared: &mut Shared<'_>, connection: ConnectionKey) {
        let entry = &mut self.table[connection];
        shared.trails.remove(&std::mem::take(&mut entry.hops));
        let stream = match &mut entry.phase {
            Phase::Open(forward) => forward.source_mut(),
            Phase::Asking(asking) => &mut asking.stream,
            Phase::Opening => return self.dials.forget(shared, connection),
        };
        shared.turn.deregister(stream);
    }

    fn fail_connection(&mut self, shared: &mut Shared<'_>, connection: ConnectionKey, error: &io::Error) {
        let entry = &self.table[connection];
        let (session, key) = (entry.session, entry.key);
        shared.sessions.abort_stream(session, key, AbortReason::Reset, &error.to_string());
        self.reset_connection(shared, connection, &format!("reset: {error}"));
    }

    /// Removes a connection from every table and reports its end.
    fn remove_connection(&mut self, shared: &mut Shared<'_>, connection: ConnectionKey, end: StreamEnd) -> Phase {
        self.deregister(shared, connection);
        let mut entry = self.table.remove(connection).expect("it was found by its stream, or as this");
        entry.round.into_iter().for_each(|round| shared.rounds.leave(round));
        let session = &mut shared.sessions[entry.session];
        session.connections.remove(&entry.key);
        let (sent, received) = match &entry.phase {
            Phase::Open(forward) => forward.bytes(),
            _ => (0, 0),
        };
        let name = session.name.clone();
        let stream = entry.id.value();
        // A connection that never opened has had its warning.
        if let Phase::Open(forward) = &mut entry.phase {
            if let StreamEnd::Failed(reason) = &end {
                forward.source_mut().note_failure(reason);
            }
            shared.turn.report(&StatusEvent::StreamClosed { session: name, stream, sent, received, reason: end });
        }
        entry.phase
    }
}

/// Panics if the connection is gone.
impl Index<ConnectionKey> for Connections {
    type Output = ConnectionEntry;

    fn index(&self, key: ConnectionKey) -> &ConnectionEntry {
        &self.table[key]
    }
}

impl IndexMut<ConnectionKey> for Connections {
    fn index_mut(&mut self, key: ConnectionKey) -> &mut ConnectionEntry {
        &mut self.table[key]
    }
}
