//! The sessions of a loop and the sockets each of them owns.

mod events;
mod paths;
mod signaling;
mod survey;

#[cfg(feature = "cli")]
pub(super) use events::way;

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::ops::{Index, IndexMut};
use std::sync::Arc;
use std::time::{Duration, Instant};

use log::info;
use rand::Rng;

use super::deadlines::Due;
use super::keys::{self, ConnectionKey, FlowKey, Scope, SessionKey};
use super::meter::Meter;
use super::notice::{Notice, PeerNotice, Summary};
use super::rights::{Rights, Serial};
use super::sockets::{SocketKey, Sockets};
use super::stun::Stun;
use super::table::{Slot, Table};
use super::tally::SessionTally;
use super::turn::Turn;
use crate::address::Target;
use crate::config::Rate;
use crate::net::interfaces::usable_addresses;
use crate::net::system::{Event as MioEvent, Waker};
use crate::session::{End, Reach, Session};
use crate::signaling::SessionId;
use crate::signaling::handshake::Established;
use crate::tunnel::{self, AbortReason, ChunkPool, Config, GoAwayReason, StreamKey};

/// How long a session must have been without a path before it may give way to another client.
const MIN_EVICTED: Duration = Duration::from_secs(5);

/// A session and what belongs to it.
pub(super) struct SessionEntry {
    pub(super) session: Session,
    pub(super) scope: Scope,
    /// What the peer may have; `None` is everything that is shared.
    pub(super) rights: Option<Arc<Rights>>,
    /// Short id, for people.
    pub(super) name: String,
    sockets: Vec<OwnSocket>,
    /// The address of our end of the signaling connection.
    signaling_address: Option<IpAddr>,
    /// The connection of each stream.
    pub(super) connections: HashMap<StreamKey, ConnectionKey>,
    /// The flow of each UDP stream.
    pub(super) flows: HashMap<StreamKey, FlowKey>,
    /// Prevents guessing stream ids from addresses.
    pub(super) salt: [u8; 16],
    pub(super) connected_at: Option<Instant>,
    /// The payload that passed, when it was last looked at.
    payload: (u64, u64),
    meter: Meter,
    tally: SessionTally,
    /// When a forward that leads back to itself was last reported.
    pub(super) loop_told_at: Option<Instant>,
    is_dirty: bool,
    /// The deadline that is set for it.
    due_at: Option<Instant>,
}

/// A peer with which a session begins.
pub(super) struct Newcomer {
    pub(super) established: Established,
    /// What it may have; `None` is everything that is shared.
    pub(super) rights: Option<Arc<Rights>>,
    /// Our end of its link.
    pub(super) local: Option<IpAddr>,
}

/// A UDP socket of a session: the carrier it serves, and its key.
struct OwnSocket {
    carrier: u32,
    key: SocketKey,
}

/// An event of a session for others.
pub(super) enum SessionEvent {
    /// An event of a stream.
    Stream(tunnel::Event),
    /// The session is over: everything that belongs to it is removed, then the session.
    Ended(End),
}

/// The sessions of a loop, and the UDP sockets that carry them.
pub(super) struct Sessions {
    table: Table<SessionEntry, keys::Session>,
    sockets: Sockets,
    /// Sessions that may have output or events.
    dirty: VecDeque<SessionKey>,
    reach: Reach,
    stun: Stun,
    /// This machine's addresses, as far as they were reported.
    addresses: Vec<IpAddr>,
}

impl Sessions {
    /// Creates a table without sessions. Its sessions use these kinds of paths and these STUN servers.
    pub(super) fn new(reach: Reach, stun: Vec<Target>, waker: Arc<Waker>) -> Sessions {
        Sessions {
            table: Table::new(),
            sockets: Sockets::default(),
            dirty: VecDeque::new(),
            stun: Stun::new(asked(&reach, stun), waker),
            reach,
            addresses: usable_addresses(true).unwrap_or_default(),
        }
    }

    /// Has sessions that begin from now on use these kinds of paths and these STUN servers.
    pub(super) fn set_ways(&mut self, now: Instant, reach: Reach, stun: Vec<Target>, waker: Arc<Waker>) {
        let servers = asked(&reach, stun);
        if self.stun.servers() != servers {
            self.stun = Stun::new(servers, waker);
            self.stun.look_up(now);
        }
        self.reach = reach;
    }

    /// Has present sessions keep to another rate.
    pub(super) fn set_rate(&mut self, rate: Option<Rate>) {
        let rate = rate.map(Rate::bytes_per_second);
        for (_, entry) in self.table.iter_mut() {
            entry.session.mux().set_rate(rate);
        }
        self.touch_all();
    }

    /// Starts a session with a peer that knows the pin.
    pub(super) fn add(&mut self, turn: &Turn, newcomer: Newcomer, config: Config) -> Result<SessionKey, String> {
        let Newcomer { established, rights, local } = newcomer;
        let name = established.session.to_string();
        let mut session = Session::new(turn.now, established, config, self.reach.clone())
            .map_err(|error| format!("WebRTC cannot be set up: {error}"))?;
        let (servers, is_complete) = self.stun.known(turn.now);
        session.add_stun_servers(turn.now, servers, is_complete);
        let key = self.insert(turn, session, Scope::Peer, name);
        self.table[key].came_by(local);
        self.table[key].rights = rights;
        Ok(key)
    }

    /// Starts the session between a host and a server, on their WebSocket.
    pub(super) fn add_plain(&mut self, turn: &Turn, name: String, config: Config) -> SessionKey {
        self.insert(turn, Session::plain(turn.now, config), Scope::Server, name)
    }

    /// Starts the session between two servers, on their link.
    #[cfg(feature = "server")]
    pub(super) fn add_link(&mut self, turn: &Turn, name: String, config: Config) -> SessionKey {
        self.insert(turn, Session::plain(turn.now, config), Scope::Link, name)
    }

    fn insert(&mut self, turn: &Turn, session: Session, scope: Scope, name: String) -> SessionKey {
        let mut salt = [0; 16];
        rand::rng().fill_bytes(&mut salt);
        let key = self.table.insert(SessionEntry {
            session,
            scope,
            rights: None,
            name,
            sockets: Vec::new(),
            signaling_address: None,
            connections: HashMap::new(),
            flows: HashMap::new(),
            salt,
            connected_at: None,
            payload: (0, 0),
            meter: Meter::new(turn.now),
            tally: SessionTally::default(),
            loop_told_at: None,
            is_dirty: false,
            due_at: None,
        });
        self.touch(key);
        key
    }

    /// Returns the number of sessions with peers.
    pub(super) fn peer_count(&self) -> usize {
        self.table.iter().filter(|(_, entry)| entry.scope == Scope::Peer).count()
    }

    /// Returns the sessions that began by an invitation.
    pub(super) fn of_invitation(&self, serial: Serial) -> Vec<SessionKey> {
        let is_of = |entry: &SessionEntry| entry.rights.as_ref().is_some_and(|rights| rights.serial == serial);
        self.table.iter().filter(|(_, entry)| is_of(entry)).map(|(key, _)| key).collect()
    }

    /// Returns the session with this id.
    pub(super) fn find(&self, id: &SessionId) -> Option<SessionKey> {
        self.table.iter().find(|(_, entry)| entry.session.id() == id).map(|(key, _)| key)
    }

    /// Aborts a stream, if it exists.
    pub(super) fn abort_stream(&mut self, session: SessionKey, key: StreamKey, reason: AbortReason, detail: &str) {
        let entry = &mut self.table[session];
        if let Some(stream) = entry.session.mux().stream(key) {
            stream.abort(reason, detail);
        }
        entry.touch(session, &mut self.dirty);
    }

    /// Returns the session that has been without a path for longest, if that is long enough to give way; of those of an
    /// invitation, or of all.
    pub(super) fn poll_evicted(&self, now: Instant, of: Option<Serial>) -> Option<SessionKey> {
        let is_of = |entry: &SessionEntry| of.is_none() || entry.rights.as_ref().map(|rights| rights.serial) == of;
        let sessions = self.table.iter().filter(|(_, entry)| is_of(entry));
        let recovering = sessions.filter_map(|(key, entry)| Some((entry.session.recovering_since()?, key)));
        let (_, key) = recovering.min().filter(|(since, _)| *since + MIN_EVICTED <= now)?;
        Some(key)
    }

    /// Returns a live session.
    pub(super) fn get(&self, key: SessionKey) -> Option<&SessionEntry> {
        self.table.get(key)
    }

    /// Returns a live session, mutably.
    pub(super) fn get_mut(&mut self, key: SessionKey) -> Option<&mut SessionEntry> {
        self.table.get_mut(key)
    }

    /// Tells whether there are no sessions.
    pub(super) fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    /// Tells whether this machine has an address.
    pub(super) fn has_address(&self, address: IpAddr) -> bool {
        self.addresses.contains(&address)
    }

    /// Starts to look up the STUN servers.
    pub(super) fn look_up_stun(&mut self, now: Instant) {
        self.stun.look_up(now);
    }

    /// Passes the addresses of STUN servers on to the sessions.
    pub(super) fn handle_stun_lookups(&mut self, now: Instant) {
        while let Some((addresses, is_complete)) = self.stun.poll() {
            for (_, entry) in self.table.iter_mut() {
                entry.session.add_stun_servers(now, &addresses, is_complete);
            }
            self.touch_all();
        }
    }

    /// Ends every session in order.
    pub(super) fn go_away(&mut self, now: Instant, reason: GoAwayReason, detail: &str) {
        for (_, entry) in self.table.iter_mut() {
            entry.session.go_away(now, reason, detail);
        }
        self.touch_all();
    }

    /// Marks a session that may have output or events.
    pub(super) fn touch(&mut self, key: SessionKey) {
        if let Some(entry) = self.table.get_mut(key) {
            entry.touch(key, &mut self.dirty);
        }
    }

    /// Marks every session as one that may have output or events.
    pub(super) fn touch_all(&mut self) {
        let Sessions { table, dirty, .. } = self;
        table.iter_mut().for_each(|(key, entry)| entry.touch(key, dirty));
    }

    /// Handles an event of a UDP socket.
    pub(super) fn handle_socket_event(&mut self, slot: Slot, event: &MioEvent) {
        self.sockets.handle_event(slot, event);
    }

    /// Passes received datagrams to the sessions.
    pub(super) fn receive_datagrams(&mut self, now: Instant) {
        let Sessions { table, sockets, dirty, .. } = self;
        sockets.receive(|key, local, remote, datagram| {
            let Some(entry) = table.get_mut(key) else { return };
            entry.session.handle_datagram(now, local, remote, datagram);
            entry.touch(key, dirty);
        });
    }

    /// Returns the next marked session.
    pub(super) fn poll_dirty(&mut self) -> Option<SessionKey> {
        self.dirty.pop_front()
    }

    /// Returns how many sessions are marked.
    pub(super) fn dirty(&self) -> usize {
        self.dirty.len()
    }

    /// Tells whether a session is marked, or a socket may have datagrams.
    pub(super) fn has_work(&self) -> bool {
        !self.dirty.is_empty() || self.sockets.has_work()
    }

    /// Fills a session's channel, sends its datagrams, and passes its signaling messages to the side.
    pub(super) fn flush(&mut self, turn: &mut Turn, pool: &mut ChunkPool, key: SessionKey) {
        let Some(entry) = self.table.get_mut(key) else { return };
        entry.is_dirty = false;
        entry.session.flush(turn.now, pool);
        let payload = entry.session.mux().payload();
        if std::mem::replace(&mut entry.payload, payload) != payload {
            turn.changed();
        }
        entry.tally.look_at(&mut turn.tally, entry.session.progress());
        entry.meter.note(turn.now, payload);
        while let Some(signal) = entry.session.poll_signal() {
            let number = entry.session.signaling_number();
            turn.tell(Notice::Signal { session: key, number, signal });
        }
        self.transmit(key);
    }

    /// Tells every session that this machine's addresses changed.
    pub(super) fn handle_addresses(&mut self, turn: &mut Turn, addresses: &[IpAddr]) {
        info!("addresses changed: {addresses:?}");
        let known = std::mem::replace(&mut self.addresses, addresses.to_vec());
        let vanished: Vec<IpAddr> = known.into_iter().filter(|address| !addresses.contains(address)).collect();
        self.stun.look_up(turn.now);
        for (_, entry) in self.table.iter_mut() {
            entry.session.handle_addresses(turn.now, &vanished);
        }
        turn.tell(PeerNotice::Addresses { vanished });
        self.touch_all();
    }

    /// Handles a session's deadline, if it is due; it may have moved since it was set.
    pub(super) fn handle_due(&mut self, turn: &mut Turn, key: SessionKey) {
        let now = turn.now;
        // An outdated deadline does nothing.
        let Some(entry) = self.table.get_mut(key).filter(|entry| entry.due_at.is_some_and(|at| at <= now)) else {
            return;
        };
        entry.due_at = None;
        if entry.session.poll_timeout().is_some_and(|at| at <= now) {
            entry.session.handle_timeout(now);
            self.touch(key);
        } else {
            self.set_deadline(turn, key);
        }
    }

    /// Sets the deadline for a session. An earlier deadline that is set already checks again: most deadlines only move
    /// away, so sessions without changes cost nothing, however many there are.
    pub(super) fn set_deadline(&mut self, turn: &mut Turn, key: SessionKey) {
        let Some(entry) = self.table.get_mut(key) else { return };
        if let Some(at) = entry.session.poll_timeout()
            && entry.due_at.is_none_or(|due_at| at < due_at)
        {
            entry.due_at = Some(at);
            turn.deadlines.add(at, Due::Session(key));
        }
    }

    /// Removes a session that is over. Everything that belongs to it is gone already.
    pub(super) fn remove(&mut self, turn: &Turn, pool: &mut ChunkPool, key: SessionKey) -> Summary {
        // Good-byes leave before their sockets are closed.
        self.transmit(key);
        let entry = &mut self.table[key];
        let sockets = std::mem::take(&mut entry.sockets);
        // Chunks of aborted streams go back to the pool.
        entry.session.mux().reclaim(pool);
        sockets.into_iter().for_each(|socket| self.sockets.remove(turn, socket.key));
        let mut entry = self.table.remove(key).expect("it is there");
        let (sent, received) = entry.session.mux().payload();
        Summary {
            scope: entry.scope,
            name: entry.name,
            sent,
            received,
            duration: entry.connected_at.map(|at| turn.now.saturating_duration_since(at)),
        }
    }
}

/// Returns the STUN servers that are asked: without direct paths, none.
fn asked(reach: &Reach, stun: Vec<Target>) -> Vec<Target> {
    if reach.direct { stun } else { Vec::new() }
}

impl SessionEntry {
    /// Puts the session into the list of marked ones.
    fn touch(&mut self, key: SessionKey, dirty: &mut VecDeque<SessionKey>) {
        if !std::mem::replace(&mut self.is_dirty, true) {
            dirty.push_back(key);
        }
    }
}

/// Panics if the session is gone.
impl Index<SessionKey> for Sessions {
    type Output = SessionEntry;

    fn index(&self, key: SessionKey) -> &SessionEntry {
        &self.table[key]
    }
}

impl IndexMut<SessionKey> for Sessions {
    fn index_mut(&mut self, key: SessionKey) -> &mut SessionEntry {
        &mut self.table[key]
    }
}
