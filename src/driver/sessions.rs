//! The sessions of a loop and the sockets each of them owns.

use std::collections::HashMap;
use std::io;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use log::{debug, trace, warn};
use mio::Interest;
use rand::Rng;

use super::core::{Core, Notice};
use super::token::Source;
use crate::net::interfaces::usable_addresses;
use crate::net::udp::UdpSocket;
use crate::session::{Event, Session};
use crate::signaling::handshake::Established;
use crate::status::event::{Event as StatusEvent, Path};
use crate::tunnel::{self, Config, StreamKey};

/// Finds a session; one that is gone is found no more, whoever took its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SessionKey {
    pub(super) index: usize,
    serial: u64,
}

/// What there is to say about a session at its end.
#[derive(Debug)]
pub(super) struct Summary {
    pub(super) name: String,
    pub(super) sent: u64,
    pub(super) received: u64,
    /// How long it was connected; `None` if it never was.
    pub(super) duration: Option<Duration>,
}

/// A session and what belongs to it.
pub(super) struct SessionEntry {
    pub(super) session: Session,
    serial: u64,
    /// Short id, for people.
    pub(super) name: String,
    sockets: Vec<usize>,
    /// The TCP connection of each stream.
    pub(super) connections: HashMap<StreamKey, usize>,
    /// Keeps stream ids from being guessed from addresses.
    pub(super) salt: [u8; 16],
    pub(super) connected_at: Option<Instant>,
    pub(super) sent: u64,
    pub(super) received: u64,
    is_dirty: bool,
}

/// A UDP socket and the session it carries. Each session has sockets of its own, so two PeerConnections never share a
/// 4-tuple and a datagram's socket says whose it is.
pub(super) struct SocketEntry {
    pub(super) socket: UdpSocket,
    session: usize,
    /// The loop knows that there is something to receive.
    pub(super) is_queued: bool,
}

impl Core {
    /// Starts a session with a peer that knows the pin, on fresh sockets, one for every usable address.
    pub(super) fn add_session(&mut self, established: Established, config: Config) -> Result<SessionKey, String> {
        let index = self.sessions.vacant_key();
        let addresses =
            usable_addresses(true).map_err(|error| format!("the network interfaces cannot be listed: {error}"))?;
        let mut sockets = Vec::new();
        for address in addresses {
            match self.add_socket(address, index) {
                Ok(socket) => sockets.push(socket),
                Err(error) => debug!("address={address} bind error={error}"),
            }
        }
        let local = sockets.iter().map(|&socket| self.sockets[socket].socket.local()).collect();
        let name = established.session.to_string();
        let session = match Session::new(self.now, established, config, local) {
            Ok(mut session) if !sockets.is_empty() => {
                self.fixed_flight.into_iter().for_each(|bytes| session.fix_flight(bytes));
                session
            }
            result => {
                sockets.into_iter().for_each(|socket| self.remove_socket(socket));
                return Err(result.err().map_or("no UDP socket could be bound".to_owned(), |error| error.to_string()));
            }
        };
        let mut salt = [0; 16];
        rand::rng().fill_bytes(&mut salt);
        self.next_serial += 1;
        let serial = self.next_serial;
        self.sessions.insert(SessionEntry {
            session,
            serial,
            name,
            sockets,
            connections: HashMap::new(),
            salt,
            connected_at: None,
            sent: 0,
            received: 0,
            is_dirty: false,
        });
        self.touch(index);
        Ok(SessionKey { index, serial })
    }

    /// Finds a live session.
    pub(super) fn session(&mut self, key: SessionKey) -> Option<&mut SessionEntry> {
        self.sessions.get_mut(key.index).filter(|entry| entry.serial == key.serial)
    }

    /// Marks a session as one that may have something to say.
    pub(super) fn touch(&mut self, index: usize) {
        if let Some(entry) = self.sessions.get_mut(index)
            && !std::mem::replace(&mut entry.is_dirty, true)
        {
            self.dirty.push_back(index);
        }
    }

    /// Feeds a session what one of its sockets received.
    pub(super) fn receive(&mut self, socket: usize) {
        let now = self.now;
        let Some(SocketEntry { socket, session, .. }) = self.sockets.get_mut(socket) else { return };
        let (local, index) = (socket.local(), *session);
        let Some(entry) = self.sessions.get_mut(index) else { return };
        socket.receive(&mut self.buffers, |remote, datagram| {
            trace!("in local={local} remote={remote} len={} first={:?}", datagram.len(), datagram.first());
            entry.session.handle_datagram(now, local, remote, datagram);
        });
        self.touch(index);
    }

    /// Hands a session's channel what it has room for, sends its datagrams, and handles its events. Events may give the
    /// session more to say, so it is touched again after any.
    pub(super) fn service(&mut self, index: usize) {
        let now = self.now;
        let Some(entry) = self.sessions.get_mut(index) else { return };
        entry.is_dirty = false;
        let key = SessionKey { index, serial: entry.serial };
        entry.session.flush(now, &mut self.pool);
        while let Some(text) = entry.session.poll_signal() {
            self.notices.push_back(Notice::Signal { session: key, text });
        }
        self.transmit(index);
        while let Some(event) = self.sessions[index].session.poll_event(now) {
            if let Event::Ended(end) = event {
                let summary = self.remove_session(index);
                self.notices.push_back(Notice::Ended { session: key, end, summary });
                return;
            }
            self.handle_session_event(key, event);
            self.touch(index);
        }
    }

    fn handle_session_event(&mut self, key: SessionKey, event: Event) {
        let now = self.now;
        let entry = &mut self.sessions[key.index];
        match event {
            Event::Connected { path, round_trip } => {
                entry.connected_at = Some(now);
                let session = entry.name.clone();
                self.report(&StatusEvent::Connected {
                    session,
                    path: Path::Direct,
                    candidates: path.candidates,
                    local: path.local,
                    remote: path.remote,
                    rtt_ms: (round_trip.as_secs_f64() * 1e6).round() / 1e3,
                });
                self.notices.push_back(Notice::Connected { session: key });
            }
            Event::PathLost => {
                let message = format!("session {}: the path is lost; streams wait for it", entry.name);
                self.warn("path-lost", message);
            }
            Event::PathBack => {
                let message = format!("session {}: the path is back", entry.name);
                self.warn("path-back", message);
            }
            Event::GoAway(_) => self.notices.push_back(Notice::GoAway),
            Event::Stream(event) => self.handle_stream_event(key.index, event),
            Event::Ended(_) => {}
        }
    }

    fn handle_stream_event(&mut self, index: usize, event: tunnel::Event) {
        match event {
            tunnel::Event::Opened(key, target) => self.open_target(index, key, &target),
            tunnel::Event::Readable(key) | tunnel::Event::Writable(key) => {
                if let Some(&connection) = self.sessions[index].connections.get(&key) {
                    self.wake(connection);
                }
            }
            tunnel::Event::Aborted { key, reason, detail, origin } => {
                self.stream_aborted(index, key, reason, &detail, origin)
            }
            tunnel::Event::Accepted(_) | tunnel::Event::Finished(_) => {}
            // Those of the session as a whole: the session has handled them.
            tunnel::Event::Hello(_)
            | tunnel::Event::RoundTrip(_)
            | tunnel::Event::GoAway(..)
            | tunnel::Event::Resumed
            | tunnel::Event::Ended(..) => {}
        }
    }

    /// Does what is due in a session, if anything is.
    pub(super) fn session_timeout(&mut self, index: usize) {
        let now = self.now;
        if let Some(entry) = self.sessions.get_mut(index)
            && entry.session.poll_timeout().is_some_and(|at| at <= now)
        {
            entry.session.handle_timeout(now);
            self.touch(index);
        }
    }

    /// Sends a session's datagrams, each from the socket it belongs to.
    fn transmit(&mut self, index: usize) {
        let entry = &mut self.sessions[index];
        while let Some(transmit) = entry.session.poll_transmit() {
            let (local, remote, datagram) = (transmit.source, transmit.destination, &transmit.contents);
            trace!("out local={local} remote={remote} len={} first={:?}", datagram.len(), datagram.first());
            let socket = entry.sockets.iter().find(|&&socket| self.sockets[socket].socket.local() == local);
            if let Some(&socket) = socket {
                self.sockets[socket].socket.send(remote, datagram);
            }
        }
        for &socket in &entry.sockets {
            self.sockets[socket].socket.flush();
        }
    }

    fn remove_session(&mut self, index: usize) -> Summary {
        let connections: Vec<usize> = self.sessions[index].connections.values().copied().collect();
        for connection in connections {
            self.reset_connection(connection, "the session ended");
        }
        // Good-byes go out before their sockets go.
        self.transmit(index);
        let entry = &mut self.sessions[index];
        let sockets = std::mem::take(&mut entry.sockets);
        // Chunks of streams that were cut off go back to the pool.
        entry.session.mux().reclaim(&mut self.pool);
        sockets.into_iter().for_each(|socket| self.remove_socket(socket));
        let entry = self.sessions.remove(index);
        Summary {
            name: entry.name,
            sent: entry.sent,
            received: entry.received,
            duration: entry.connected_at.map(|at| self.now.saturating_duration_since(at)),
        }
    }

    fn add_socket(&mut self, address: IpAddr, session: usize) -> io::Result<usize> {
        let mut socket = UdpSocket::bind(address)?;
        let slot = self.sockets.vacant_entry();
        let interest = Interest::READABLE | Interest::WRITABLE;
        self.poll.registry().register(socket.source_mut(), Source::Udp(slot.key()).token(), interest)?;
        let index = slot.key();
        slot.insert(SocketEntry { socket, session, is_queued: false });
        Ok(index)
    }

    fn remove_socket(&mut self, index: usize) {
        let mut entry = self.sockets.remove(index);
        if let Err(error) = self.poll.registry().deregister(entry.socket.source_mut()) {
            warn!("deregister error={error}");
        }
    }
}
