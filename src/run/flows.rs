//! UDP flows: datagrams between one local program and one target.
//!
//! The opener has one socket for all its programs (`programs`) and tells flows apart by their sender. The dialling side
//! has a socket for each flow, so that answers reach the right one. Datagrams for which there is no room are lost, as
//! on any network.

mod programs;
mod targets;

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use log::debug;

use super::deadlines::Due;
use super::dialer::Waiter;
use super::keys::{self, FlowKey, RoundKey, SessionKey, UdpListenerKey};
use super::notice::PeerNotice;
use super::shared::Shared;
use super::table::{Slot, Table};
use super::trails::LEADS_BACK;
use crate::address::Target;
use crate::config::DEFAULT_UDP_IDLE;
use crate::net::system::UdpSocket;
use crate::status::event::{Event as StatusEvent, StreamEnd};
use crate::tunnel::{AbortReason, ConnectTarget, Hop, StreamId, StreamKey, Trail};

pub(super) use programs::UdpListener;

use programs::Program;

/// Longest datagram there is, in bytes.
pub(super) const MAX_DATAGRAM: usize = 65_535;

/// Maximum number of datagrams read from a socket in one turn.
pub(super) const DATAGRAMS_PER_TURN: usize = 64;

/// A flow and its stream.
pub(super) struct FlowEntry {
    pub(super) session: SessionKey,
    key: StreamKey,
    id: StreamId,
    our_end: FlowEnd,
    address: String,
    /// What the peer was asked to dial, for a local program.
    asked: Option<ConnectTarget>,
    /// The connections that led to a flow that is dialled.
    trail: Trail,
    /// The flow's own names in trails.
    hops: Vec<Hop>,
    /// Which of the session's targets it leads to.
    pub(super) round: Option<RoundKey>,
    pub(super) used_at: Instant,
}

/// Our end of a flow.
pub(super) enum FlowEnd {
    /// A program, through a listener.
    Program { listener: UdpListenerKey, program: Program },
    /// The target's name is being looked up; a host that a peer named must be checked.
    Resolving { named: Option<Target> },
    /// A socket connected to the target, and another address of the target while nothing answered.
    Target(UdpSocket, Option<SocketAddr>),
}

/// The UDP flows of a loop, and the sockets that local programs send to.
pub(super) struct Flows {
    table: Table<FlowEntry, keys::Flow>,
    listeners: Table<UdpListener, keys::Programs>,
    /// How long a flow may be idle.
    pub(super) idle: Duration,
    /// Read buffer for one datagram.
    datagram: Vec<u8>,
}

impl Flows {
    /// Returns the program or the target of a flow, and what the peer was asked to dial for a program.
    pub(super) fn ends(&self, flow: FlowKey) -> Option<(&str, Option<&ConnectTarget>)> {
        self.table.get(flow).map(|entry| (entry.address.as_str(), entry.asked.as_ref()))
    }

    /// Creates a table without flows.
    pub(super) fn new() -> Flows {
        Flows { table: Table::new(), listeners: Table::new(), idle: DEFAULT_UDP_IDLE, datagram: vec![0; MAX_DATAGRAM] }
    }

    /// Tells whether a flow exists.
    pub(super) fn contains(&self, flow: FlowKey) -> bool {
        self.table.contains(flow)
    }

    /// Returns which of its session's targets a flow leads to.
    pub(super) fn round(&self, flow: FlowKey) -> Option<RoundKey> {
        self.table.get(flow)?.round
    }

    /// Returns the flow whose socket has this slot.
    pub(super) fn at(&self, slot: Slot) -> Option<FlowKey> {
        self.table.at(slot)
    }

    /// Returns the socket for programs that has this slot.
    pub(super) fn listener_at(&self, slot: Slot) -> Option<UdpListenerKey> {
        self.listeners.at(slot)
    }

    /// Handles datagrams from a target. Returns the target if it answered.
    pub(super) fn receive_from_target(&mut self, shared: &mut Shared<'_>, flow: FlowKey) -> Option<RoundKey> {
        let mut buffer = std::mem::take(&mut self.datagram);
        let mut answered = None;
        for count in 0.. {
            let Some(FlowEntry { our_end: FlowEnd::Target(socket, further), round, .. }) = self.table.get_mut(flow)
            else {
                break;
            };
            if count == DATAGRAMS_PER_TURN {
                shared.turn.tell(PeerNotice::Target { flow });
                break;
            }
            match socket.recv(&mut buffer) {
                Ok(len) => {
                    *further = None;
                    let round = *round;
                    self.send_to_peer(shared, flow, &buffer[..len]);
                    answered = round.or(answered);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                // No program listens at the target now; one may do so later.
                Err(error) => {
                    debug!("flow={flow} receive error={error}");
                    self.try_further(shared, flow);
                }
            }
        }
        self.datagram = buffer;
        answered
    }

    /// Handles datagrams from the peer, and the end of the flow.
    pub(super) fn flow_readable(&mut self, shared: &mut Shared<'_>, flow: FlowKey) {
        loop {
            let Some(entry) = self.table.get_mut(flow) else { return };
            let Some(mut stream) = shared.sessions[entry.session].session.mux().stream(entry.key) else { return };
            // Until there is a socket, the mux keeps arriving datagrams, within its limit.
            if matches!(entry.our_end, FlowEnd::Resolving { .. }) {
                return;
            }
            let Some(datagram) = stream.receive_datagram() else {
                if stream.poll_end() {
                    self.end_flow(shared, flow, StreamEnd::Closed);
                }
                return;
            };
            entry.used_at = shared.turn.now;
            let sent = match &entry.our_end {
                FlowEnd::Program { listener, program } => match self.listeners.get(*listener) {
                    Some(listener) => listener.send(program, &datagram),
                    None => return,
                },
                FlowEnd::Target(socket, None) => socket.send(&datagram).map(drop),
                // On this machine, an unused port is noticed at once.
                FlowEnd::Target(socket, Some(_)) => {
                    socket.send(&datagram).and_then(|_| socket.take_error()?.map_or(Ok(()), Err))
                }
                FlowEnd::Resolving { .. } => return,
            };
            let Err(error) = sent else { continue };
            debug!("flow={flow} send error={error}");
            if self.try_further(shared, flow)
                && let Some(FlowEntry { our_end: FlowEnd::Target(socket, _), .. }) = self.table.get(flow)
            {
                // The datagram is lost if nothing listens there either.
                let _ = socket.send(&datagram);
            }
        }
    }

    /// Ends a flow that was idle for long enough, or sets the next deadline.
    pub(super) fn handle_flow_idle(&mut self, shared: &mut Shared<'_>, flow: FlowKey) {
        let Some(entry) = self.table.get(flow) else { return };
        let end = entry.used_at + self.idle;
        if end <= shared.turn.now {
            self.end_flow(shared, flow, StreamEnd::failed("idle"));
        } else {
            shared.turn.deadlines.add(end, Due::FlowIdle(flow));
        }
    }

    /// Ends a flow whose stream the mux ended.
    pub(super) fn flow_aborted(&mut self, shared: &mut Shared<'_>, flow: FlowKey, reason: &str) {
        self.remove_flow(shared, flow, StreamEnd::failed(reason));
    }

    /// Ends a flow in order, and forgets it.
    pub(super) fn end_flow(&mut self, shared: &mut Shared<'_>, flow: FlowKey, end: StreamEnd) {
        let Some(entry) = self.table.get(flow) else { return };
        let (session, key) = (entry.session, entry.key);
        if let Some(mut stream) = shared.sessions[session].session.mux().stream(key) {
            stream.finish();
        }
        shared.sessions.touch(session);
        self.remove_flow(shared, flow, end);
    }

    /// Ends the flow whose socket has this name in a trail, if there is one: what it sent came back.
    pub(super) fn end_looping_flow(&mut self, shared: &mut Shared<'_>, hop: Hop) {
        let Some((flow, entry)) = self.table.iter().find(|(_, entry)| entry.hops.contains(&hop)) else { return };
        let (session, key) = (entry.session, entry.key);
        shared.sessions.abort_stream(session, key, AbortReason::Refused, LEADS_BACK);
        self.remove_flow(shared, flow, StreamEnd::failed(LEADS_BACK));
    }

    pub(super) fn insert_flow(
        &mut self,
        shared: &mut Shared<'_>,
        session: SessionKey,
        key: StreamKey,
        our_end: FlowEnd,
        address: String,
    ) -> Option<FlowKey> {
        let id = shared.sessions[session].session.mux().stream(key)?.id();
        let (trail, hops, used_at) = (Trail::default(), Vec::new(), shared.turn.now);
        let (asked, round) = (None, None);
        let entry = FlowEntry { session, key, id, our_end, address, asked, trail, hops, round, used_at };
        let flow = self.table.insert(entry);
        shared.sessions[session].flows.insert(key, flow);
        shared.turn.set(self.idle, Due::FlowIdle(flow));
        Some(flow)
    }

    pub(super) fn send_to_peer(&mut self, shared: &mut Shared<'_>, flow: FlowKey, datagram: &[u8]) {
        let now = shared.turn.now;
        let Some(entry) = self.table.get_mut(flow) else { return };
        entry.used_at = now;
        let session = entry.session;
        if let Some(mut stream) = shared.sessions[session].session.mux().stream(entry.key) {
            stream.send_datagram(now, datagram, shared.pool);
        }
        shared.sessions.touch(session);
    }

    fn fail_flow(&mut self, shared: &mut Shared<'_>, flow: FlowKey, reason: AbortReason, detail: &str) {
        let entry = &self.table[flow];
        let (session, key) = (entry.session, entry.key);
        shared.turn.warn("dial-failed", format!("{} cannot be reached: {detail}", entry.address));
        shared.sessions.abort_stream(session, key, reason, detail);
        self.remove_flow(shared, flow, StreamEnd::failed(reason.as_str()));
    }

    pub(super) fn report_opened(&mut self, shared: &mut Shared<'_>, flow: FlowKey) {
        let entry = &self.table[flow];
        let (stream, address) = (entry.id.value(), entry.address.clone());
        let session = shared.sessions[entry.session].name.clone();
        shared.turn.report(&StatusEvent::StreamOpened { session, stream, address });
    }

    fn remove_flow(&mut self, shared: &mut Shared<'_>, flow: FlowKey, end: StreamEnd) {
        let entry = self.table.remove(flow).expect("it was found by its stream, or as this");
        shared.trails.remove(&entry.hops);
        entry.round.into_iter().for_each(|round| shared.rounds.leave(round));
        let session = &mut shared.sessions[entry.session];
        session.flows.remove(&entry.key);
        let (sent, received) = session.session.mux().stream(entry.key).map_or((0, 0), |stream| stream.bytes());
        let name = session.name.clone();
        match entry.our_end {
            FlowEnd::Program { listener, program } => {
                if let Some(listener) = self.listeners.get_mut(listener) {
                    listener.flows.remove(&program);
                }
            }
            FlowEnd::Target(mut socket, _) => {
                shared.turn.deregister(&mut socket);
            }
            FlowEnd::Resolving { .. } => return shared.resolver.forget(Waiter::Flow(flow)),
        }
        let stream = entry.id.value();
        shared.turn.report(&StatusEvent::StreamClosed { session: name, stream, sent, received, reason: end });
    }
}
