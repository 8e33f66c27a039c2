//! UDP flows: datagrams of one local program and one target, in either direction.
//!
//! The opener has one socket for all its programs and tells flows apart by who sent; the side that dials has a socket of its own
//! for each flow, so that answers find their way. Datagrams that find no room are lost, as on any network.

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Instant;

use log::{debug, info};
use mio::Interest;
use mio::net::UdpSocket;

use super::connections::stream_hash;
use super::core::{Core, Notice};
use super::deadlines::Due;
use super::token::Source;
use crate::config::{Protocol, Target};
use crate::forward::proxy::datagram;
use crate::net::resolver::Lookup;
use crate::status::event::Event as StatusEvent;
use crate::tunnel::{AbortReason, ConnectTarget, StreamId, StreamKey};

/// Flows that programs here may have in a session; beyond it the one that was idle for longest goes.
const MAX_FLOWS: usize = 1024;

/// Flows that peers may have opened in all sessions of the loop, each of which has a socket. Beyond it that one of the session with the
/// most of them goes that was idle for longest.
const MAX_TARGET_FLOWS: usize = 1024;

/// The longest datagram there is.
pub(super) const MAX_DATAGRAM: usize = 65_535;

/// Datagrams taken from a socket before others have their turn.
const DATAGRAMS_PER_TURN: usize = 64;

/// A flow and its stream.
pub(super) struct FlowEntry {
    session: usize,
    key: StreamKey,
    id: StreamId,
    pub(super) serial: u64,
    side: Side,
    address: String,
    used_at: Instant,
}

enum Side {
    /// Datagrams come from, and go to, a program, through a listener.
    Program { listener: usize, program: Program },
    /// The target's name is being looked up; the host that a peer named is to be checked.
    Resolving { named: Option<Target> },
    /// A socket that is connected to the target.
    Target(UdpSocket),
}

/// A socket that local programs send to.
pub(super) struct UdpListener {
    pub(super) socket: UdpSocket,
    /// It is the relay of a UDP ASSOCIATE: every datagram has a header with its target, and comes from this address only. Its
    /// port is that of the first datagram, and 0 before.
    owner: Option<SocketAddr>,
    /// The flow of each program.
    flows: HashMap<Program, usize>,
}

/// Who sent a datagram; through a relay, also where to. Those are flows of their own.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Program {
    source: SocketAddr,
    target: Option<Target>,
}

impl UdpListener {
    pub(super) fn bind(address: SocketAddr) -> io::Result<UdpListener> {
        Ok(UdpListener { socket: UdpSocket::bind(address)?, owner: None, flows: HashMap::new() })
    }

    /// Binds the relay of a UDP ASSOCIATE for a program on that machine, at any port.
    pub(super) fn relay(mut address: SocketAddr, owner: IpAddr) -> io::Result<UdpListener> {
        address.set_port(0);
        Ok(UdpListener { owner: Some(SocketAddr::new(owner, 0)), ..UdpListener::bind(address)? })
    }

    fn send(&self, program: &Program, payload: &[u8]) -> io::Result<usize> {
        match program.target.as_ref().and_then(|target| datagram::encode(target, payload)) {
            Some(datagram) => self.socket.send_to(&datagram, program.source),
            None => self.socket.send_to(payload, program.source),
        }
    }
}

impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.target {
            None => write!(f, "{}", self.source),
            Some(target) => write!(f, "udp:{target} ({})", self.source),
        }
    }
}

impl Core {
    /// Takes what programs sent to a listener. `wanted` says which session and target they are for, for a relay the session
    /// only; without one, they are lost.
    pub(super) fn receive_from_programs(&mut self, listener: usize, wanted: Option<(usize, Option<&ConnectTarget>)>) {
        let mut buffer = std::mem::take(&mut self.datagram);
        for count in 0.. {
            let Some(entry) = self.udp_listeners.get_mut(listener) else { break };
            if count == DATAGRAMS_PER_TURN {
                self.notices.push_back(Notice::Programs { listener });
                break;
            }
            let (len, source) = match entry.socket.recv_from(&mut buffer) {
                Ok(received) => received,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                // An earlier datagram found nobody.
                Err(_) => continue,
            };
            let (target, payload) = match &mut entry.owner {
                None => (None, &buffer[..len]),
                Some(owner) if owner.ip() != source.ip() || ![0, source.port()].contains(&owner.port()) => continue,
                Some(owner) => match datagram::decode(&buffer[..len]) {
                    Ok((target, payload)) => {
                        owner.set_port(source.port());
                        (Some(target), payload)
                    }
                    Err(error) => {
                        debug!("a datagram from {source} is lost: {error}");
                        continue;
                    }
                },
            };
            let program = Program { source, target };
            let flow = entry.flows.get(&program).copied().or_else(|| {
                let (session, wanted) = wanted?;
                let named = program.target.as_ref().map(|target| ConnectTarget::Udp(target.to_string()));
                self.open_flow(session, named.as_ref().or(wanted)?, listener, program)
            });
            if let Some(flow) = flow {
                self.send_to_peer(flow, payload);
            }
        }
        self.datagram = buffer;
    }

    /// Prepares the flow of a stream the peer opened.
    pub(super) fn open_target_flow(&mut self, index: usize, key: StreamKey, target: &Target, is_named: bool) {
        self.make_room_for_target();
        let named = is_named.then(|| target.clone());
        let Some(flow) = self.insert_flow(index, key, Side::Resolving { named }, format!("udp:{target}")) else {
            return;
        };
        let serial = self.flows[flow].serial;
        match self.resolver.resolve(serial, &target.host, target.port) {
            Ok(Lookup::Ready(addresses)) => self.connect_flow(flow, &addresses),
            Ok(Lookup::Pending) => {}
            Err(error) => self.fail_flow(flow, AbortReason::Unreachable, &error.to_string()),
        }
    }

    /// Ends a flow that a peer opened if there are as many as there may be.
    fn make_room_for_target(&mut self) {
        let of_peers = || self.flows.iter().filter(|(_, entry)| !matches!(entry.side, Side::Program { .. }));
        if of_peers().count() < MAX_TARGET_FLOWS {
            return;
        }
        let mut counts = HashMap::new();
        of_peers().for_each(|(_, entry)| *counts.entry(entry.session).or_insert(0) += 1);
        let largest = counts.into_iter().max_by_key(|(_, count)| *count).map(|(session, _)| session);
        let own = of_peers().filter(|(_, entry)| Some(entry.session) == largest);
        if let Some((oldest, _)) = own.min_by_key(|(_, entry)| entry.used_at) {
            self.end_flow(oldest, "another flow needs its place");
        }
    }

    /// Takes the resolver's answer, if it is for a flow.
    pub(super) fn handle_flow_lookup(&mut self, serial: u64, answer: &Result<Vec<SocketAddr>, String>) {
        let Some((flow, _)) = self.flows.iter().find(|(_, entry)| entry.serial == serial) else { return };
        match answer {
            Ok(addresses) => self.connect_flow(flow, addresses),
            Err(error) => self.fail_flow(flow, AbortReason::Unreachable, error),
        }
    }

    /// Takes what a target sent.
    pub(super) fn receive_from_target(&mut self, flow: usize) {
        let mut buffer = std::mem::take(&mut self.datagram);
        for count in 0.. {
            let Some(FlowEntry { side: Side::Target(socket), .. }) = self.flows.get(flow) else { break };
            if count == DATAGRAMS_PER_TURN {
                self.notices.push_back(Notice::Target { flow });
                break;
            }
            match socket.recv(&mut buffer) {
                Ok(len) => self.send_to_peer(flow, &buffer[..len]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                // Nobody is at the target now; somebody may be later.
                Err(error) => debug!("flow={flow} receive error={error}"),
            }
        }
        self.datagram = buffer;
    }

    /// Takes what the peer sent, and the end of the flow.
    pub(super) fn flow_readable(&mut self, flow: usize) {
        let now = self.now;
        let Some(entry) = self.flows.get_mut(flow) else { return };
        let Some(mut stream) = self.sessions[entry.session].session.mux().stream(entry.key) else { return };
        loop {
            // Before the socket is there, the mux keeps what comes, within its bound.
            if matches!(entry.side, Side::Resolving { .. }) {
                return;
            }
            let Some(datagram) = stream.receive_datagram() else { break };
            entry.used_at = now;
            let sent = match &entry.side {
                Side::Program { listener, program } => match self.udp_listeners.get(*listener) {
                    Some(listener) => listener.send(program, &datagram),
                    None => break,
                },
                Side::Target(socket) => socket.send(&datagram),
                Side::Resolving { .. } => return,
            };
            if let Err(error) = sent {
                debug!("flow={flow} send error={error}");
            }
        }
        if stream.is_at_end() {
            self.end_flow(flow, "closed");
        }
    }

    /// A flow has been idle for long enough, or is looked at again later.
    pub(super) fn handle_flow_idle(&mut self, flow: usize, serial: u64) {
        let Some(entry) = self.flows.get(flow).filter(|entry| entry.serial == serial) else { return };
        let end = entry.used_at + self.udp_idle;
        if end <= self.now {
            self.end_flow(flow, "idle");
        } else {
            self.deadlines.add(end, Due::FlowIdle { index: flow, serial });
        }
    }

    /// The mux ended a flow's stream.
    pub(super) fn flow_aborted(&mut self, flow: usize, reason: &str) {
        self.remove_flow(flow, reason);
    }

    /// Says that nothing follows, and forgets a flow.
    pub(super) fn end_flow(&mut self, flow: usize, reason: &str) {
        let Some(entry) = self.flows.get(flow) else { return };
        let (session, key) = (entry.session, entry.key);
        if let Some(mut stream) = self.sessions[session].session.mux().stream(key) {
            stream.finish();
        }
        self.touch(session);
        self.remove_flow(flow, reason);
    }

    /// Adds a listener to the loop, and returns its place and where it is bound.
    pub(super) fn add_listener(&mut self, mut listener: UdpListener) -> io::Result<(usize, SocketAddr)> {
        let bound = listener.socket.local_addr()?;
        let entry = self.udp_listeners.vacant_entry();
        let index = entry.key();
        self.poll.registry().register(&mut listener.socket, Source::Programs(index).token(), Interest::READABLE)?;
        entry.insert(listener);
        Ok((index, bound))
    }

    /// Closes a listener and ends its flows.
    pub(super) fn close_listener(&mut self, listener: usize) {
        let Some(mut entry) = self.udp_listeners.try_remove(listener) else { return };
        if let Err(error) = self.poll.registry().deregister(&mut entry.socket) {
            debug!("deregister error={error}");
        }
        for flow in entry.flows.into_values() {
            self.end_flow(flow, "closed");
        }
    }

    fn open_flow(
        &mut self,
        session: usize,
        target: &ConnectTarget,
        listener: usize,
        program: Program,
    ) -> Option<usize> {
        if self.sessions.get(session)?.flows.len() >= MAX_FLOWS {
            let own = self.flows.iter().filter(|(_, entry)| entry.session == session);
            let oldest = own.min_by_key(|(_, entry)| entry.used_at).map(|(flow, _)| flow)?;
            self.end_flow(oldest, "another flow needs its place");
        }
        let local = self.udp_listeners.get(listener)?.socket.local_addr().ok()?;
        let entry = &mut self.sessions[session];
        let hash = stream_hash(&entry.salt, &format!("udp|{local}|{program}"));
        let key = match entry.session.mux().open(hash, target) {
            Ok(key) => key,
            Err(error) => {
                info!("datagrams from {program} are lost: {error}");
                return None;
            }
        };
        let name = program.to_string();
        let flow = self.insert_flow(session, key, Side::Program { listener, program: program.clone() }, name)?;
        self.udp_listeners.get_mut(listener)?.flows.insert(program, flow);
        self.report_opened(flow);
        Some(flow)
    }

    fn insert_flow(&mut self, session: usize, key: StreamKey, side: Side, address: String) -> Option<usize> {
        let id = self.sessions[session].session.mux().stream(key)?.id();
        self.next_serial += 1;
        let (serial, used_at) = (self.next_serial, self.now);
        let flow = self.flows.insert(FlowEntry { session, key, id, serial, side, address, used_at });
        self.sessions[session].flows.insert(key, flow);
        self.prune_deadlines();
        self.deadlines.add(self.now + self.udp_idle, Due::FlowIdle { index: flow, serial });
        Some(flow)
    }

    /// Connects a flow to the first of its addresses that may be dialled.
    fn connect_flow(&mut self, flow: usize, addresses: &[SocketAddr]) {
        let Side::Resolving { named } = &self.flows[flow].side else { return };
        let allow = &self.dialer.allow;
        let is_allowed = |address: &&SocketAddr| match named {
            Some(named) => allow.check_address(Protocol::Udp, &named.host, address.ip(), named.port).is_ok(),
            None => true,
        };
        let Some(&address) = addresses.iter().find(is_allowed) else {
            return self.fail_flow(flow, AbortReason::Denied, "no --allow rule of the host has it");
        };
        match self.connected_socket(flow, address) {
            Ok(socket) => {
                let entry = &mut self.flows[flow];
                entry.side = Side::Target(socket);
                let (session, key) = (entry.session, entry.key);
                if let Some(mut stream) = self.sessions[session].session.mux().stream(key) {
                    stream.accept();
                }
                self.touch(session);
                self.report_opened(flow);
                self.flow_readable(flow);
            }
            Err(error) => self.fail_flow(flow, AbortReason::Unreachable, &error.to_string()),
        }
    }

    fn connected_socket(&mut self, flow: usize, address: SocketAddr) -> io::Result<UdpSocket> {
        let any: SocketAddr =
            if address.is_ipv4() { (Ipv4Addr::UNSPECIFIED, 0).into() } else { (Ipv6Addr::UNSPECIFIED, 0).into() };
        let mut socket = UdpSocket::bind(any)?;
        socket.connect(address)?;
        self.poll.registry().register(&mut socket, Source::Flow(flow).token(), Interest::READABLE)?;
        Ok(socket)
    }

    fn send_to_peer(&mut self, flow: usize, datagram: &[u8]) {
        let now = self.now;
        let Some(entry) = self.flows.get_mut(flow) else { return };
        entry.used_at = now;
        let session = entry.session;
        if let Some(mut stream) = self.sessions[session].session.mux().stream(entry.key) {
            stream.send_datagram(now, datagram, &mut self.pool);
        }
        self.touch(session);
    }

    fn fail_flow(&mut self, flow: usize, reason: AbortReason, detail: &str) {
        let entry = &self.flows[flow];
        let (session, key) = (entry.session, entry.key);
        self.warn("dial-failed", format!("{} cannot be reached: {detail}", entry.address));
        self.abort_stream(session, key, reason, detail);
        self.remove_flow(flow, reason.as_str());
    }

    fn report_opened(&mut self, flow: usize) {
        let entry = &self.flows[flow];
        let (stream, address) = (entry.id.value(), entry.address.clone());
        let session = self.sessions[entry.session].name.clone();
        self.report(&StatusEvent::StreamOpened { session, stream, address });
    }

    fn remove_flow(&mut self, flow: usize, reason: &str) {
        let entry = self.flows.remove(flow);
        let session = &mut self.sessions[entry.session];
        session.flows.remove(&entry.key);
        let (sent, received) = session.session.mux().stream(entry.key).map_or((0, 0), |stream| stream.bytes());
        session.sent += sent;
        session.received += received;
        let name = session.name.clone();
        match entry.side {
            Side::Program { listener, program } => {
                if let Some(listener) = self.udp_listeners.get_mut(listener) {
                    listener.flows.remove(&program);
                }
            }
            Side::Target(mut socket) => {
                if let Err(error) = self.poll.registry().deregister(&mut socket) {
                    debug!("deregister error={error}");
                }
            }
            Side::Resolving { .. } => return,
        }
        let (stream, reason) = (entry.id.value(), reason.to_owned());
        self.report(&StatusEvent::StreamClosed { session: name, stream, sent, received, reason });
    }
}
