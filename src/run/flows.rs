//! UDP flows: datagrams of one local program and one target, in either direction.
//!
//! The opener has one socket for all its programs (`programs`) and tells flows apart by who sent; the side that dials
//! has a socket of its own for each flow, so that answers find their way. Datagrams that find no room are lost, as on
//! any network.

use std::collections::HashMap;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Instant;

use log::debug;
use mio::Interest;
use mio::net::UdpSocket;

use super::core::{Core, Notice};
use super::deadlines::Due;
use super::dial::{Waiter, Wanted, asker};
use super::programs::{Program, UdpListenerKey};
use super::rounds::RoundKey;
use super::sessions::SessionKey;
use super::table::Key;
use super::token::Source;
use super::trails::LEADS_BACK;
use crate::address::{Protocol, Target};
use crate::net::interfaces::is_own_address;
use crate::net::listener::Ends;
use crate::net::resolver::Lookup;
use crate::status::event::Event as StatusEvent;
use crate::tunnel::{AbortReason, Hop, StreamId, StreamKey, Trail};

/// Flows that peers may have opened in all sessions of the loop, each of which has a socket. Beyond it that one of the
/// session with the most of them goes that was idle for longest.
const MAX_TARGET_FLOWS: usize = 1024;

/// The longest datagram there is.
pub(super) const MAX_DATAGRAM: usize = 65_535;

/// Datagrams taken from a socket before others have their turn.
pub(super) const DATAGRAMS_PER_TURN: usize = 64;

/// Finds a flow.
pub(super) type FlowKey = Key<FlowEntry>;

/// A flow and its stream.
pub(super) struct FlowEntry {
    pub(super) session: SessionKey,
    key: StreamKey,
    id: StreamId,
    side: Side,
    address: String,
    /// The connections that led to one that is dialled, and what that one is called.
    trail: Trail,
    hops: Vec<Hop>,
    /// Which of the session's targets it is connected to.
    pub(super) round: Option<RoundKey>,
    pub(super) used_at: Instant,
}

pub(super) enum Side {
    /// Datagrams come from, and go to, a program, through a listener.
    Program { listener: UdpListenerKey, program: Program },
    /// The target's name is being looked up; the host that a peer named is to be checked.
    Resolving { named: Option<Target> },
    /// A socket that is connected to the target, and where else that may be as long as nobody answered.
    Target(UdpSocket, Option<SocketAddr>),
}

impl Core {
    /// Prepares the flow of a stream the peer opened.
    pub(super) fn open_target_flow(&mut self, wanted: Wanted, target: &Target) {
        self.make_room_for_target();
        let Wanted { session, key, is_named, ref trail, .. } = wanted;
        let named = is_named.then(|| target.clone());
        let Some(flow) = self.insert_flow(session, key, Side::Resolving { named }, wanted.target()) else {
            return;
        };
        self.flows[flow].trail = trail.clone();
        self.flows[flow].round = Some(self.rounds.enter(session, &wanted.target()));
        let asker = asker(session, is_named);
        match self.resolver.resolve(asker, Waiter::Flow(flow), &target.host, target.port) {
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

    /// Takes the resolver's answer for a flow.
    pub(super) fn handle_flow_lookup(&mut self, flow: FlowKey, answer: &Result<Vec<SocketAddr>, String>) {
        match answer {
            _ if !self.flows.contains(flow) => {}
            Ok(addresses) => self.connect_flow(flow, addresses),
            Err(error) => self.fail_flow(flow, AbortReason::Unreachable, error),
        }
    }

    /// Takes what a target sent.
    pub(super) fn receive_from_target(&mut self, flow: FlowKey) {
        let mut buffer = std::mem::take(&mut self.datagram);
        for count in 0.. {
            let Some(FlowEntry { side: Side::Target(socket, further), round, .. }) = self.flows.get_mut(flow) else {
                break;
            };
            if count == DATAGRAMS_PER_TURN {
                self.turn.tell(Notice::Target { flow });
                break;
            }
            match socket.recv(&mut buffer) {
                Ok(len) => {
                    *further = None;
                    let round = *round;
                    self.send_to_peer(flow, &buffer[..len]);
                    round.into_iter().for_each(|round| self.target_answered(round));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                // Nobody is at the target now; somebody may be later.
                Err(error) => {
                    debug!("flow={flow} receive error={error}");
                    self.try_further(flow);
                }
            }
        }
        self.datagram = buffer;
    }

    /// Takes what the peer sent, and the end of the flow.
    pub(super) fn flow_readable(&mut self, flow: FlowKey) {
        loop {
            let Some(entry) = self.flows.get_mut(flow) else { return };
            let Some(mut stream) = self.sessions[entry.session].session.mux().stream(entry.key) else { return };
            // Before the socket is there, the mux keeps what comes, within its bound.
            if matches!(entry.side, Side::Resolving { .. }) {
                return;
            }
            let Some(datagram) = stream.receive_datagram() else {
                if stream.is_at_end() {
                    self.end_flow(flow, "closed");
                }
                return;
            };
            entry.used_at = self.turn.now;
            let sent = match &entry.side {
                Side::Program { listener, program } => match self.udp_listeners.get(*listener) {
                    Some(listener) => listener.send(program, &datagram),
                    None => return,
                },
                Side::Target(socket, None) => socket.send(&datagram).map(drop),
                // On this machine it is known at once that nobody is there.
                Side::Target(socket, Some(_)) => {
                    socket.send(&datagram).and_then(|_| socket.take_error()?.map_or(Ok(()), Err))
                }
                Side::Resolving { .. } => return,
            };
            let Err(error) = sent else { continue };
            debug!("flow={flow} send error={error}");
            if self.try_further(flow)
                && let Some(FlowEntry { side: Side::Target(socket, _), .. }) = self.flows.get(flow)
            {
                // Lost if nobody is there either.
                let _ = socket.send(&datagram);
            }
        }
    }

    /// A flow has been idle for long enough, or is looked at again later.
    pub(super) fn handle_flow_idle(&mut self, flow: FlowKey) {
        let Some(entry) = self.flows.get(flow) else { return };
        let end = entry.used_at + self.udp_idle;
        if end <= self.turn.now {
            self.end_flow(flow, "idle");
        } else {
            self.turn.deadlines.add(end, Due::FlowIdle(flow));
        }
    }

    /// The mux ended a flow's stream.
    pub(super) fn flow_aborted(&mut self, flow: FlowKey, reason: &str) {
        self.remove_flow(flow, reason);
    }

    /// Says that nothing follows, and forgets a flow.
    pub(super) fn end_flow(&mut self, flow: FlowKey, reason: &str) {
        let Some(entry) = self.flows.get(flow) else { return };
        let (session, key) = (entry.session, entry.key);
        if let Some(mut stream) = self.sessions[session].session.mux().stream(key) {
            stream.finish();
        }
        self.sessions.touch(session);
        self.remove_flow(flow, reason);
    }

    /// Ends the flow whose socket is called so, if there is one: what was sent through it came back.
    pub(super) fn end_looping_flow(&mut self, hop: Hop) {
        let Some((flow, entry)) = self.flows.iter().find(|(_, entry)| entry.hops.contains(&hop)) else { return };
        let (session, key) = (entry.session, entry.key);
        self.abort_stream(session, key, AbortReason::Refused, LEADS_BACK);
        self.remove_flow(flow, LEADS_BACK);
    }

    pub(super) fn insert_flow(
        &mut self,
        session: SessionKey,
        key: StreamKey,
        side: Side,
        address: String,
    ) -> Option<FlowKey> {
        let id = self.sessions[session].session.mux().stream(key)?.id();
        let (trail, hops, used_at) = (Trail::default(), Vec::new(), self.turn.now);
        let flow = self.flows.insert(FlowEntry { session, key, id, side, address, trail, hops, round: None, used_at });
        self.sessions[session].flows.insert(key, flow);
        self.prune_deadlines();
        self.turn.set(self.udp_idle, Due::FlowIdle(flow));
        Some(flow)
    }

    /// Connects a flow to the first of its addresses that may be dialled.
    fn connect_flow(&mut self, flow: FlowKey, addresses: &[SocketAddr]) {
        let Side::Resolving { named } = &self.flows[flow].side else { return };
        let allow = &self.dialer.allow;
        let is_allowed = |address: &&SocketAddr| match named {
            Some(named) => {
                let checked = allow.check_address(Protocol::Udp, &named.host, address.ip(), named.port, is_own_address);
                checked.is_ok()
            }
            None => true,
        };
        let mut allowed = addresses.iter().filter(is_allowed).copied();
        let Some(address) = allowed.next() else {
            return self.fail_flow(flow, AbortReason::Denied, "no --allow rule of the host has it");
        };
        // Only this machine says at once that nobody is at the first.
        let further = allowed.next().filter(|further| address.ip().is_loopback() && further.ip().is_loopback());
        match self.connected_socket(flow, address) {
            Ok(socket) => {
                let entry = &mut self.flows[flow];
                entry.side = Side::Target(socket, further);
                let (session, key) = (entry.session, entry.key);
                if let Some(mut stream) = self.sessions[session].session.mux().stream(key) {
                    stream.accept();
                }
                self.sessions.touch(session);
                self.report_opened(flow);
                self.flow_readable(flow);
            }
            Err(error) => self.fail_flow(flow, AbortReason::Unreachable, &error.to_string()),
        }
    }

    /// Turns to the other address of a target where nobody is at the one tried so far. Tells whether there was another.
    fn try_further(&mut self, flow: FlowKey) -> bool {
        let Some(FlowEntry { side: Side::Target(socket, further), .. }) = self.flows.get_mut(flow) else {
            return false;
        };
        let Some((address, tried)) = further.take().zip(socket.peer_addr().ok()) else { return false };
        let Ok(connected) = self.connected_socket(flow, address) else { return false };
        let side = Side::Target(connected, Some(tried));
        if let Side::Target(mut socket, _) = std::mem::replace(&mut self.flows[flow].side, side)
            && let Err(error) = self.turn.registry().deregister(&mut socket)
        {
            debug!("deregister error={error}");
        }
        true
    }

    fn connected_socket(&mut self, flow: FlowKey, address: SocketAddr) -> io::Result<UdpSocket> {
        let any: SocketAddr =
            if address.is_ipv4() { (Ipv4Addr::UNSPECIFIED, 0).into() } else { (Ipv6Addr::UNSPECIFIED, 0).into() };
        let mut socket = UdpSocket::bind(any)?;
        socket.connect(address)?;
        self.turn.registry().register(&mut socket, Source::Flow(flow.place()).token(), Interest::READABLE)?;
        let entry = &mut self.flows[flow];
        self.trails.remove(&entry.hops);
        let ends = Ends::Ports { local: socket.local_addr()?, remote: address };
        entry.hops = self.trails.add(Protocol::Udp, &ends, &entry.address, &entry.trail);
        Ok(socket)
    }

    pub(super) fn send_to_peer(&mut self, flow: FlowKey, datagram: &[u8]) {
        let now = self.turn.now;
        let Some(entry) = self.flows.get_mut(flow) else { return };
        entry.used_at = now;
        let session = entry.session;
        if let Some(mut stream) = self.sessions[session].session.mux().stream(entry.key) {
            stream.send_datagram(now, datagram, &mut self.pool);
        }
        self.sessions.touch(session);
    }

    fn fail_flow(&mut self, flow: FlowKey, reason: AbortReason, detail: &str) {
        let entry = &self.flows[flow];
        let (session, key) = (entry.session, entry.key);
        self.turn.warn("dial-failed", format!("{} cannot be reached: {detail}", entry.address));
        self.abort_stream(session, key, reason, detail);
        self.remove_flow(flow, reason.as_str());
    }

    pub(super) fn report_opened(&mut self, flow: FlowKey) {
        let entry = &self.flows[flow];
        let (stream, address) = (entry.id.value(), entry.address.clone());
        let session = self.sessions[entry.session].name.clone();
        self.turn.report(&StatusEvent::StreamOpened { session, stream, address });
    }

    fn remove_flow(&mut self, flow: FlowKey, reason: &str) {
        let entry = self.flows.remove(flow).expect("it was found by its stream, or as this");
        self.trails.remove(&entry.hops);
        entry.round.into_iter().for_each(|round| self.rounds.leave(round));
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
            Side::Target(mut socket, _) => {
                if let Err(error) = self.turn.registry().deregister(&mut socket) {
                    debug!("deregister error={error}");
                }
            }
            Side::Resolving { .. } => return self.resolver.forget(Waiter::Flow(flow)),
        }
        let (stream, reason) = (entry.id.value(), reason.to_owned());
        self.turn.report(&StatusEvent::StreamClosed { session: name, stream, sent, received, reason });
    }
}
