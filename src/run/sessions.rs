//! The sessions of a loop and the sockets each of them owns.

use std::collections::HashMap;
use std::io;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use log::{debug, info, trace, warn};
use mio::Interest;
use rand::Rng;

use super::connections::ConnectionKey;
use super::core::{Core, Notice};
use super::deadlines::Due;
use super::flows::FlowKey;
use super::table::Key;
use super::token::Source;
use crate::net::interfaces::{MAX_IPV4, MAX_IPV6, Offered, offered_addresses};
use crate::net::udp::UdpSocket;
use crate::session::{End, Event, Path, Session};
use crate::signaling::SessionId;
use crate::signaling::handshake::Established;
use crate::status::event::{Event as StatusEvent, Way};
use crate::tunnel::{self, Config, StreamKey};

/// How long a session must have been without a path before it gives way to another client.
const MIN_EVICTED: Duration = Duration::from_secs(5);

/// Addresses that one sentence names.
const MAX_NAMED: usize = 8;

/// Finds a session.
pub(super) type SessionKey = Key<SessionEntry>;

/// What there is to say about a session at its end.
#[derive(Debug)]
pub(super) struct Summary {
    pub(super) scope: Scope,
    pub(super) name: String,
    pub(super) sent: u64,
    pub(super) received: u64,
    /// How long it was connected; `None` if it never was.
    pub(super) duration: Option<Duration>,
}

/// Whose session it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scope {
    /// A client's or a host's that knows the pin.
    Peer,
    /// The one between a host and a server. Nobody proved a pin: on the host it reaches what is published, and what the
    /// host lets the server dial.
    Server,
}

/// A session and what belongs to it.
pub(super) struct SessionEntry {
    pub(super) session: Session,
    pub(super) scope: Scope,
    /// Short id, for people.
    pub(super) name: String,
    sockets: Vec<OwnSocket>,
    /// Our end of the signaling connection.
    pub(super) signaling_address: Option<IpAddr>,
    /// The TCP connection of each stream.
    pub(super) connections: HashMap<StreamKey, ConnectionKey>,
    /// The UDP flow of each stream that is one.
    pub(super) flows: HashMap<StreamKey, FlowKey>,
    /// Keeps stream ids from being guessed from addresses.
    pub(super) salt: [u8; 16],
    pub(super) connected_at: Option<Instant>,
    pub(super) sent: u64,
    pub(super) received: u64,
    /// When somebody was told of a forward that leads back to itself.
    pub(super) loop_told_at: Option<Instant>,
    is_dirty: bool,
    /// The deadline that is set for it.
    due_at: Option<Instant>,
}

/// A UDP socket of a session: whose carrier it serves, and where it is in the loop's table.
struct OwnSocket {
    carrier: u32,
    key: SocketKey,
}

/// Finds a UDP socket.
pub(super) type SocketKey = Key<SocketEntry>;

/// A UDP socket and the session it carries. Each PeerConnection has sockets of its own, so two never share a 4-tuple
/// and a datagram's socket says whose it is.
pub(super) struct SocketEntry {
    pub(super) socket: UdpSocket,
    session: SessionKey,
    /// The loop knows that there is something to receive.
    pub(super) is_queued: bool,
}

impl Core {
    /// Starts a session with a peer that knows the pin.
    pub(super) fn add_session(&mut self, established: Established, config: Config) -> Result<SessionKey, String> {
        let name = established.session.to_string();
        let mut session = Session::new(self.turn.now, established, config, self.reach.clone())
            .map_err(|error| format!("WebRTC cannot be set up: {error}"))?;
        self.fixed_flight.into_iter().for_each(|bytes| session.fix_flight(bytes));
        let (servers, is_complete) = self.stun.known(self.turn.now);
        session.add_stun_servers(self.turn.now, servers, is_complete);
        Ok(self.insert_session(session, Scope::Peer, name))
    }

    /// Starts the session between a host and a server, on the WebSocket that joins them.
    pub(super) fn add_plain_session(&mut self, name: String, config: Config) -> SessionKey {
        self.insert_session(Session::plain(self.turn.now, config), Scope::Server, name)
    }

    fn insert_session(&mut self, session: Session, scope: Scope, name: String) -> SessionKey {
        let mut salt = [0; 16];
        rand::rng().fill_bytes(&mut salt);
        let key = self.sessions.insert(SessionEntry {
            session,
            scope,
            name,
            sockets: Vec::new(),
            signaling_address: None,
            connections: HashMap::new(),
            flows: HashMap::new(),
            salt,
            connected_at: None,
            sent: 0,
            received: 0,
            loop_told_at: None,
            is_dirty: false,
            due_at: None,
        });
        self.touch(key);
        key
    }

    /// Returns how many sessions with peers there are.
    pub(super) fn peer_count(&self) -> usize {
        self.sessions.iter().filter(|(_, entry)| entry.scope == Scope::Peer).count()
    }

    /// Finds the session of that id.
    pub(super) fn find_session(&self, id: &SessionId) -> Option<SessionKey> {
        self.sessions.iter().find(|(_, entry)| entry.session.id() == id).map(|(key, _)| key)
    }

    /// Ends the session that has been without a path for longest, to make room. Tells whether there was one; those that
    /// only just lost theirs are left alone.
    pub(super) fn evict(&mut self) -> bool {
        let recovering = self.sessions.iter().filter_map(|(key, entry)| Some((entry.session.recovering_since()?, key)));
        let Some((_, key)) = recovering.min().filter(|(since, _)| *since + MIN_EVICTED <= self.turn.now) else {
            return false;
        };
        self.sessions[key].session.abandon(self.turn.now, End::PathLost);
        self.service(key);
        true
    }

    /// Ends a session without waiting for the peer, if it is still there.
    pub(super) fn abandon(&mut self, key: SessionKey, end: End) {
        let now = self.turn.now;
        if let Some(entry) = self.session(key) {
            entry.session.abandon(now, end);
            self.service(key);
        }
    }

    /// Finds a live session.
    pub(super) fn session(&mut self, key: SessionKey) -> Option<&mut SessionEntry> {
        self.sessions.get_mut(key)
    }

    /// Marks a session as one that may have something to say.
    pub(super) fn touch(&mut self, key: SessionKey) {
        if let Some(entry) = self.sessions.get_mut(key)
            && !std::mem::replace(&mut entry.is_dirty, true)
        {
            self.dirty.push_back(key);
        }
    }

    /// Marks every session as one that may have something to say.
    pub(super) fn touch_all(&mut self) {
        let Core { sessions, dirty, .. } = self;
        for (key, entry) in sessions.iter_mut() {
            if !std::mem::replace(&mut entry.is_dirty, true) {
                dirty.push_back(key);
            }
        }
    }

    /// Feeds a session what one of its sockets received.
    pub(super) fn receive(&mut self, socket: SocketKey) {
        let now = self.turn.now;
        let Some(SocketEntry { socket, session, .. }) = self.sockets.get_mut(socket) else { return };
        let (local, key) = (socket.local(), *session);
        let Some(entry) = self.sessions.get_mut(key) else { return };
        socket.receive(&mut self.buffers, |remote, datagram| {
            trace!("in local={local} remote={remote} len={} first={:?}", datagram.len(), datagram.first());
            entry.session.handle_datagram(now, local, remote, datagram);
        });
        self.touch(key);
    }

    /// Hands a session's channel what it has room for, sends its datagrams, and handles its events. Events may give the
    /// session more to say, so it is touched again after any.
    pub(super) fn service(&mut self, key: SessionKey) {
        let now = self.turn.now;
        let Some(entry) = self.sessions.get_mut(key) else { return };
        entry.is_dirty = false;
        entry.session.flush(now, &mut self.pool);
        while let Some(signal) = entry.session.poll_signal() {
            let number = entry.session.signaling_number();
            self.turn.tell(Notice::Signal { session: key, number, signal });
        }
        self.transmit(key);
        while let Some(event) = self.sessions[key].session.poll_event(now) {
            if let Event::Ended(end) = event {
                let summary = self.remove_session(key);
                self.turn.tell(Notice::Ended { session: key, end, summary });
                return;
            }
            self.handle_session_event(key, event);
            self.touch(key);
        }
        self.set_deadline(key);
    }

    fn handle_session_event(&mut self, key: SessionKey, event: Event) {
        let now = self.turn.now;
        let entry = &mut self.sessions[key];
        match event {
            Event::Gather { carrier } => self.gather(key, carrier),
            Event::Release { carrier } => self.release(key, carrier),
            Event::Connected { path, round_trip } => {
                entry.connected_at = Some(now);
                if entry.scope == Scope::Peer {
                    let session = entry.name.clone();
                    let rtt_ms = (round_trip.as_secs_f64() * 1e6).round() / 1e3;
                    self.turn.report(&StatusEvent::Connected { session, way: way(path), rtt_ms });
                }
                self.turn.tell(Notice::Connected { session: key });
            }
            Event::PathChanged { path, reason } => {
                let session = entry.name.clone();
                let cause = matches!(path, Path::Direct(_)).then_some(reason);
                self.turn.report(&StatusEvent::Path { session, way: way(path), cause });
            }
            Event::Recovering { reason } => {
                let session = entry.name.clone();
                self.turn.report(&StatusEvent::Recovering { session, reason });
                self.turn.tell(Notice::Recovering { session: key });
            }
            Event::Recovered { path, after } => {
                let (session, after_ms) = (entry.name.clone(), u64::try_from(after.as_millis()).unwrap_or(u64::MAX));
                self.turn.report(&StatusEvent::Recovered { session, way: way(path), after_ms });
                self.turn.tell(Notice::Connected { session: key });
            }
            Event::SignalingDone => self.turn.tell(Notice::SignalingDone { session: key }),
            Event::GoAway(reason) => self.turn.tell(Notice::GoAway(reason)),
            Event::Stream(event) => self.handle_stream_event(key, event),
            Event::Ended(_) => {}
        }
    }

    /// Binds fresh sockets for a PeerConnection, one for every usable address that it has none for yet.
    fn gather(&mut self, key: SessionKey, carrier: u32) {
        let (servers, is_complete) = self.stun.known(self.turn.now);
        self.sessions[key].session.add_stun_servers(self.turn.now, servers, is_complete);
        let own = self.sessions[key].sockets.iter().filter(|socket| socket.carrier == carrier);
        let bound: Vec<IpAddr> = own.map(|socket| self.sockets[socket.key].socket.local().ip()).collect();
        let offered = offered_addresses(self.sessions[key].signaling_address);
        let Offered { addresses, left_out } = offered.unwrap_or_else(|error| {
            debug!("interfaces cannot be listed: {error}");
            Offered::default()
        });
        self.warn_of_left_out(left_out);
        let mut locals = Vec::new();
        for address in addresses.into_iter().filter(|address| !bound.contains(address)) {
            match self.add_socket(address, key) {
                Ok(socket) => {
                    locals.push(self.sockets[socket].socket.local());
                    self.sessions[key].sockets.push(OwnSocket { carrier, key: socket });
                }
                Err(error) => debug!("address={address} bind error={error}"),
            }
        }
        self.sessions[key].session.add_sockets(self.turn.now, carrier, &locals);
    }

    /// Says which addresses peers are not told of, once.
    fn warn_of_left_out(&mut self, left_out: Vec<(IpAddr, String)>) {
        if left_out.iter().all(|(address, _)| self.left_out.contains(address)) {
            return;
        }
        let named = left_out.iter().take(MAX_NAMED).map(|(address, name)| format!("{address} ({name})"));
        let mut names = named.collect::<Vec<_>>().join(", ");
        if left_out.len() > MAX_NAMED {
            names += &format!(" and {} more", left_out.len() - MAX_NAMED);
        }
        let message = format!(
            "this machine has more addresses than the {MAX_IPV4} of IPv4 and {MAX_IPV6} of IPv6 that peers are told of; \
             direct paths do not use {names}"
        );
        self.left_out = left_out.into_iter().map(|(address, _)| address).collect();
        self.turn.warn("addresses", message);
    }

    /// Closes the sockets of a PeerConnection that is gone.
    fn release(&mut self, key: SessionKey, carrier: u32) {
        // Its good-bye goes out before.
        self.transmit(key);
        let sockets = &mut self.sessions[key].sockets;
        let gone: Vec<OwnSocket> = sockets.extract_if(.., |socket| socket.carrier == carrier).collect();
        gone.into_iter().for_each(|socket| self.remove_socket(socket.key));
    }

    fn handle_stream_event(&mut self, session: SessionKey, event: tunnel::Event) {
        match event {
            tunnel::Event::Opened(key, target) => self.open_target(session, key, &target),
            tunnel::Event::Readable(key) | tunnel::Event::Writable(key) => {
                if let Some(&connection) = self.sessions[session].connections.get(&key) {
                    self.wake(connection);
                } else if let Some(&flow) = self.sessions[session].flows.get(&key) {
                    self.flow_readable(flow);
                } else {
                    self.turn.tell(Notice::Stream { session, event });
                }
            }
            tunnel::Event::Aborted { key, reason, ref detail, origin } => {
                if let Some(&flow) = self.sessions[session].flows.get(&key) {
                    self.flow_aborted(flow, reason.as_str());
                } else if self.sessions[session].connections.contains_key(&key) {
                    self.stream_aborted(session, key, reason, detail, origin);
                } else {
                    self.turn.tell(Notice::Stream { session, event });
                }
            }
            tunnel::Event::Accepted(key) if self.sessions[session].connections.contains_key(&key) => {
                self.stream_accepted(session, key);
            }
            tunnel::Event::Accepted(_) => self.turn.tell(Notice::Stream { session, event }),
            tunnel::Event::Listen { id, bind } => self.turn.tell(Notice::Listen { session, id, bind }),
            tunnel::Event::Listened { id, result } => self.turn.tell(Notice::Listened { session, id, result }),
            tunnel::Event::Finished(_) => {}
            // Those of the session as a whole: the session has handled them.
            tunnel::Event::Hello(_)
            | tunnel::Event::RoundTrip(_)
            | tunnel::Event::GoAway(..)
            | tunnel::Event::Resumed
            | tunnel::Event::Ended(..) => {}
        }
    }

    /// Tells every session that this machine's addresses changed.
    pub(super) fn handle_addresses(&mut self, addresses: &[IpAddr]) {
        info!("addresses changed: {addresses:?}");
        let known = std::mem::replace(&mut self.addresses, addresses.to_vec());
        let vanished: Vec<IpAddr> = known.into_iter().filter(|address| !addresses.contains(address)).collect();
        self.stun.look_up(self.turn.now);
        for (_, entry) in self.sessions.iter_mut() {
            entry.session.handle_addresses(self.turn.now, &vanished);
        }
        self.turn.tell(Notice::Addresses { vanished });
        self.touch_all();
    }

    /// Does what is due in a session, if anything is. Its deadline may have moved since it was set.
    pub(super) fn session_due(&mut self, key: SessionKey) {
        let now = self.turn.now;
        // One that was set for later than another is of no use any more.
        let Some(entry) = self.session(key).filter(|entry| entry.due_at.is_some_and(|at| at <= now)) else { return };
        entry.due_at = None;
        if entry.session.poll_timeout().is_some_and(|at| at <= now) {
            entry.session.handle_timeout(now);
            self.touch(key);
        } else {
            self.set_deadline(key);
        }
    }

    /// Sets the clock for a session. If it is set for an earlier moment already, that one looks again: most deadlines
    /// only move away, and nothing is looked at that did not change, however many sessions there are.
    fn set_deadline(&mut self, key: SessionKey) {
        let Some(entry) = self.sessions.get_mut(key) else { return };
        if let Some(at) = entry.session.poll_timeout()
            && entry.due_at.is_none_or(|due_at| at < due_at)
        {
            entry.due_at = Some(at);
            self.turn.deadlines.add(at, Due::Session(key));
        }
    }

    /// Sends a session's datagrams, each from the socket it belongs to.
    fn transmit(&mut self, key: SessionKey) {
        let entry = &mut self.sessions[key];
        while let Some(transmit) = entry.session.poll_transmit() {
            let (local, remote, datagram) = (transmit.source, transmit.destination, &transmit.contents);
            trace!("out local={local} remote={remote} len={} first={:?}", datagram.len(), datagram.first());
            let socket = entry.sockets.iter().find(|socket| self.sockets[socket.key].socket.local() == local);
            if let Some(socket) = socket {
                self.sockets[socket.key].socket.send(remote, datagram);
            }
        }
        for socket in &entry.sockets {
            self.sockets[socket.key].socket.flush();
        }
    }

    fn remove_session(&mut self, key: SessionKey) -> Summary {
        let connections: Vec<ConnectionKey> = self.sessions[key].connections.values().copied().collect();
        for connection in connections {
            self.reset_connection(connection, "the session ended");
        }
        let flows: Vec<FlowKey> = self.sessions[key].flows.values().copied().collect();
        for flow in flows {
            self.flow_aborted(flow, "the session ended");
        }
        // Good-byes go out before their sockets go.
        self.transmit(key);
        let entry = &mut self.sessions[key];
        let sockets = std::mem::take(&mut entry.sockets);
        // Chunks of streams that were cut off go back to the pool.
        entry.session.mux().reclaim(&mut self.pool);
        sockets.into_iter().for_each(|socket| self.remove_socket(socket.key));
        let entry = self.sessions.remove(key).expect("it is there");
        Summary {
            scope: entry.scope,
            name: entry.name,
            sent: entry.sent,
            received: entry.received,
            duration: entry.connected_at.map(|at| self.turn.now.saturating_duration_since(at)),
        }
    }

    fn add_socket(&mut self, address: IpAddr, session: SessionKey) -> io::Result<SocketKey> {
        let mut socket = UdpSocket::bind(address)?;
        let token = Source::Udp(self.sockets.next_key().place()).token();
        self.turn.registry().register(socket.source_mut(), token, Interest::READABLE | Interest::WRITABLE)?;
        Ok(self.sockets.insert(SocketEntry { socket, session, is_queued: false }))
    }

    fn remove_socket(&mut self, socket: SocketKey) {
        let mut entry = self.sockets.remove(socket).expect("its session alone removes it");
        if let Err(error) = self.turn.registry().deregister(entry.socket.source_mut()) {
            warn!("deregister error={error}");
        }
    }
}

fn way(path: Path) -> Way {
    match path {
        Path::Direct(path) => Way::Direct { candidates: path.candidates, local: path.local, remote: path.remote },
        Path::Relayed { reason } => Way::Relayed { reason },
    }
}
