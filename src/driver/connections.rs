//! Forwarded TCP connections: accepted ones open a stream, dialled ones answer one.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use log::{debug, warn};
use mio::Interest;
use mio::event::Event as MioEvent;
use sha2::{Digest, Sha256};

use super::core::{Core, Notice};
use super::deadlines::Due;
use super::token::Source;
use crate::forward::pump::{Progress, Pump};
use crate::net::listen;
use crate::net::resolver::Lookup;
use crate::net::stream::Stream;
use crate::status::event::Event as StatusEvent;
use crate::tunnel::{AbortReason, ConnectTarget, Origin, StreamId, StreamKey};

/// How long a target may take to answer, name look-up included.
const DIAL_TIMEOUT: Duration = Duration::from_secs(10);

/// How long one address of a target may take while there are others to try.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(3);

/// How long to wait for a descriptor when none is free.
pub(super) const EXHAUSTED_PAUSE: Duration = Duration::from_millis(100);

/// A TCP connection, established or on its way, and its stream.
pub(super) struct ConnectionEntry {
    session: usize,
    key: StreamKey,
    id: StreamId,
    serial: u64,
    phase: Phase,
    /// The local program's address, or the target.
    address: String,
    /// Waits for its turn to be pumped.
    queued: bool,
}

enum Phase {
    /// No socket yet: the target's name is being looked up, or the socket is being set up.
    Resolving,
    /// The first of these addresses is to be dialled once a descriptor is free.
    Starved(VecDeque<SocketAddr>),
    /// Dialling; the addresses are those to try next.
    Dialing(Stream, VecDeque<SocketAddr>),
    /// Joined to its stream.
    Open(Pump),
}

impl Core {
    /// Opens a stream for a connection that a local program made. The data may follow at once.
    pub(super) fn open_stream(&mut self, index: usize, stream: Stream, remote: SocketAddr, local: SocketAddr) {
        let entry = &mut self.sessions[index];
        let hash = stream_hash(&entry.salt, local, remote);
        let key = match entry.session.mux().open(hash, &ConnectTarget::Service(0)) {
            Ok(key) => key,
            Err(error) => {
                self.warn("stream-refused", format!("a connection from {remote} was reset: {error}"));
                return stream.reset();
            }
        };
        let Some(connection) = self.insert(index, key, Phase::Resolving, remote.to_string()) else { return };
        self.join(connection, stream);
    }

    /// Dials our target for a stream the peer opened.
    pub(super) fn open_target(&mut self, index: usize, key: StreamKey, target: &ConnectTarget) {
        let refusal = match (target, &self.target) {
            (ConnectTarget::Service(0), Some(_)) => None,
            (ConnectTarget::Service(_), _) => Some((AbortReason::UnknownService, "no such service")),
            _ => Some((AbortReason::Denied, "the host does not dial what a client names")),
        };
        let (None, Some(target)) = (refusal, self.target.clone()) else {
            let (reason, detail) = refusal.unwrap_or((AbortReason::UnknownService, "nothing is shared"));
            return self.abort_stream(index, key, reason, detail);
        };
        let Some(connection) = self.insert(index, key, Phase::Resolving, target.to_string()) else { return };
        let serial = self.connections[connection].serial;
        self.deadlines.add(self.now + DIAL_TIMEOUT, Due::Dial { index: connection, serial });
        if !self.lookups.is_empty() {
            // There is one target: its answer is on the way.
            return self.lookups.push((connection, serial));
        }
        match self.resolver.resolve(0, &target.host, target.port) {
            Ok(Lookup::Ready(addresses)) => self.dial(connection, addresses.into()),
            Ok(Lookup::Pending) => self.lookups.push((connection, serial)),
            Err(error) => self.fail_dial(connection, AbortReason::Unreachable, &error.to_string()),
        }
    }

    /// Takes the resolver's answers.
    pub(super) fn handle_lookups(&mut self) {
        while let Some((_, answer)) = self.resolver.poll() {
            if self.target.is_none() {
                self.notices.push_back(Notice::Resolved { answer });
                continue;
            }
            for (connection, serial) in std::mem::take(&mut self.lookups) {
                if self.connections.get(connection).is_none_or(|entry| entry.serial != serial) {
                    continue;
                }
                match &answer {
                    Ok(addresses) => self.dial(connection, addresses.iter().copied().collect()),
                    Err(error) => self.fail_dial(connection, AbortReason::Unreachable, error),
                }
            }
        }
    }

    /// Takes an event of a connection's socket.
    pub(super) fn handle_connection_event(&mut self, connection: usize, event: &MioEvent) {
        let Some(entry) = self.connections.get_mut(connection) else { return };
        match &mut entry.phase {
            Phase::Open(forward) => {
                forward.readiness.handle_event(event);
                // A reset shows even while the stream has no capacity and nothing is read.
                if event.is_error()
                    && let Ok(Some(error)) = forward.source_mut().take_error()
                {
                    return self.fail_connection(connection, &error);
                }
                self.wake(connection);
            }
            Phase::Dialing(..) => self.check_dial(connection),
            Phase::Resolving | Phase::Starved(_) => {}
        }
    }

    /// Puts a connection in the queue of those that can go on.
    pub(super) fn wake(&mut self, connection: usize) {
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
            self.touch(session);
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

    /// A deadline of a dial came up.
    pub(super) fn handle_dial_due(&mut self, due: Due) {
        let (Due::Dial { index, serial } | Due::Attempt { index, serial, .. } | Due::Redial { index, serial }) = due
        else {
            return;
        };
        let Some(entry) = self.connections.get_mut(index).filter(|entry| entry.serial == serial) else { return };
        match (due, &mut entry.phase) {
            (Due::Redial { .. }, Phase::Starved(addresses)) => {
                let addresses = std::mem::take(addresses);
                self.dial(index, addresses);
            }
            (Due::Attempt { left, .. }, Phase::Dialing(_, addresses)) if addresses.len() == left => {
                let addresses = std::mem::take(addresses);
                self.deregister(index);
                self.dial(index, addresses);
            }
            (Due::Dial { .. }, Phase::Resolving | Phase::Starved(_) | Phase::Dialing(..)) => {
                self.fail_dial(index, AbortReason::Timeout, "no answer within 10 s");
            }
            _ => {}
        }
    }

    /// The mux ended a stream: its connection is reset.
    pub(super) fn stream_aborted(
        &mut self,
        index: usize,
        key: StreamKey,
        reason: AbortReason,
        detail: &str,
        origin: Origin,
    ) {
        let Some(&connection) = self.sessions[index].connections.get(&key) else { return };
        let reason = reason.as_str();
        debug!(
            "stream={} aborted reason={reason} detail={detail:?} origin={origin:?}",
            self.connections[connection].id
        );
        let text = if detail.is_empty() { reason.to_owned() } else { format!("{reason}: {detail}") };
        self.reset_connection(connection, &text);
    }

    /// Ends a connection with a reset, without a word to the stream.
    pub(super) fn reset_connection(&mut self, connection: usize, reason: &str) {
        match self.remove_connection(connection, reason) {
            Phase::Open(forward) => forward.into_stream().reset(),
            Phase::Dialing(..) | Phase::Resolving | Phase::Starved(_) => {}
        }
    }

    fn insert(&mut self, session: usize, key: StreamKey, phase: Phase, address: String) -> Option<usize> {
        let id = self.sessions[session].session.mux().stream(key)?.id();
        self.next_serial += 1;
        let serial = self.next_serial;
        let entry = ConnectionEntry { session, key, id, serial, phase, address, queued: false };
        let connection = self.connections.insert(entry);
        self.sessions[session].connections.insert(key, connection);
        Some(connection)
    }

    fn dial(&mut self, connection: usize, mut addresses: VecDeque<SocketAddr>) {
        let mut last_error = io::Error::other("the name has no address");
        while let Some(address) = addresses.pop_front() {
            match mio::net::TcpStream::connect(address).map(Stream::Tcp) {
                Ok(stream) => match self.register(connection, stream) {
                    Ok(stream) => {
                        let (left, serial) = (addresses.len(), self.connections[connection].serial);
                        self.connections[connection].phase = Phase::Dialing(stream, addresses);
                        if left > 0 {
                            self.deadlines
                                .add(self.now + ATTEMPT_TIMEOUT, Due::Attempt { index: connection, serial, left });
                        }
                        return;
                    }
                    Err(error) => last_error = error,
                },
                Err(error) if listen::is_exhaustion(&error) => {
                    addresses.push_front(address);
                    let serial = self.connections[connection].serial;
                    self.connections[connection].phase = Phase::Starved(addresses);
                    self.deadlines.add(self.now + EXHAUSTED_PAUSE, Due::Redial { index: connection, serial });
                    return;
                }
                Err(error) => last_error = error,
            }
        }
        self.fail_dial(connection, dial_reason(&last_error), &last_error.to_string());
    }

    fn check_dial(&mut self, connection: usize) {
        let Phase::Dialing(stream, addresses) = &mut self.connections[connection].phase else { return };
        let error = match stream.is_connected() {
            Ok(true) => return self.dialled(connection),
            Ok(false) => return,
            Err(error) => error,
        };
        let addresses = std::mem::take(addresses);
        self.deregister(connection);
        if addresses.is_empty() {
            self.fail_dial(connection, dial_reason(&error), &error.to_string());
        } else {
            self.dial(connection, addresses);
        }
    }

    fn dialled(&mut self, connection: usize) {
        let entry = &mut self.connections[connection];
        let Phase::Dialing(stream, _) = std::mem::replace(&mut entry.phase, Phase::Resolving) else { return };
        let (session, key) = (entry.session, entry.key);
        if let Some(mut stream) = self.sessions[session].session.mux().stream(key) {
            stream.accept();
        }
        self.open(connection, stream);
    }

    /// Registers an accepted connection and joins it to its stream.
    fn join(&mut self, connection: usize, stream: Stream) {
        match self.register(connection, stream) {
            Ok(stream) => self.open(connection, stream),
            Err(error) => self.fail_connection(connection, &error),
        }
    }

    fn open(&mut self, connection: usize, stream: Stream) {
        if let Err(error) = stream.set_nodelay() {
            debug!("nodelay error={error}");
        }
        let entry = &mut self.connections[connection];
        entry.phase = Phase::Open(Pump::new(stream));
        let (stream, address) = (entry.id.value(), entry.address.clone());
        let session = self.sessions[entry.session].name.clone();
        self.report(&StatusEvent::StreamOpened { session, stream, address });
        self.wake(connection);
    }

    fn register(&mut self, connection: usize, mut stream: Stream) -> io::Result<Stream> {
        let interest = Interest::READABLE | Interest::WRITABLE;
        self.poll.registry().register(&mut stream, Source::Connection(connection).token(), interest)?;
        Ok(stream)
    }

    /// Takes a connection's socket from the poll; one that was only being dialled is dropped.
    fn deregister(&mut self, connection: usize) {
        let phase = &mut self.connections[connection].phase;
        let mut dialled;
        let stream = match phase {
            Phase::Open(forward) => forward.source_mut(),
            Phase::Dialing(..) => {
                dialled = std::mem::replace(phase, Phase::Resolving);
                let Phase::Dialing(stream, _) = &mut dialled else { return };
                stream
            }
            Phase::Resolving | Phase::Starved(_) => return,
        };
        if let Err(error) = self.poll.registry().deregister(stream) {
            warn!("deregister error={error}");
        }
    }

    fn fail_dial(&mut self, connection: usize, reason: AbortReason, detail: &str) {
        let entry = &self.connections[connection];
        let (session, key) = (entry.session, entry.key);
        self.warn("dial-failed", format!("{} cannot be reached: {detail}. Is the service running?", entry.address));
        self.abort_stream(session, key, reason, detail);
        self.reset_connection(connection, reason.as_str());
    }

    fn fail_connection(&mut self, connection: usize, error: &io::Error) {
        let entry = &self.connections[connection];
        let (session, key) = (entry.session, entry.key);
        self.abort_stream(session, key, AbortReason::Reset, &error.to_string());
        self.reset_connection(connection, &format!("reset: {error}"));
    }

    fn abort_stream(&mut self, session: usize, key: StreamKey, reason: AbortReason, detail: &str) {
        if let Some(stream) = self.sessions[session].session.mux().stream(key) {
            stream.abort(reason, detail);
        }
        self.touch(session);
    }

    /// Takes a connection out of every table and reports its end.
    fn remove_connection(&mut self, connection: usize, reason: &str) -> Phase {
        self.deregister(connection);
        let entry = self.connections.remove(connection);
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
            self.report(&StatusEvent::StreamClosed { session: name, stream, sent, received, reason });
        }
        entry.phase
    }
}

/// Returns where the search for a free stream id begins: 15 bits of SHA-256(salt ‖ 4-tuple).
fn stream_hash(salt: &[u8], local: SocketAddr, remote: SocketAddr) -> u16 {
    let mut hasher = Sha256::new();
    hasher.update(salt);
    hasher.update(local.to_string());
    hasher.update(b"|");
    hasher.update(remote.to_string());
    let digest = hasher.finalize();
    u16::from_be_bytes([digest[0], digest[1]]) & 0x7fff
}

fn dial_reason(error: &io::Error) -> AbortReason {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => AbortReason::Refused,
        io::ErrorKind::TimedOut => AbortReason::Timeout,
        io::ErrorKind::PermissionDenied => AbortReason::Denied,
        _ => AbortReason::Unreachable,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_has_fifteen_bits_and_depends_on_salt_and_addresses() {
        let near: SocketAddr = "127.0.0.1:80".parse().unwrap();
        let far: SocketAddr = "127.0.0.1:4000".parse().unwrap();
        let hash = stream_hash(b"salt", near, far);
        assert!(hash < 0x8000);
        assert_eq!(hash, stream_hash(b"salt", near, far));
        assert_ne!(hash, stream_hash(b"pepper", near, far));
        assert_ne!(hash, stream_hash(b"salt", far, near));
    }
}
