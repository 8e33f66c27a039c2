//! The targets of flows that peers open: resolving and connecting.

use std::collections::HashMap;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use super::{FlowEnd, FlowEntry, Flows};
use crate::address::{Protocol, Target};
use crate::net::interfaces::is_own_address;
use crate::net::listener::Ends;
use crate::net::resolver::Lookup;
use crate::net::system::{Interest, UdpSocket};
use crate::run::dialer::{Waiter, Wanted, asker};
use crate::run::keys::FlowKey;
use crate::run::shared::Shared;
use crate::run::token::Source;
use crate::status::event::StreamEnd;
use crate::tunnel::AbortReason;

/// Maximum number of flows that peers have opened in all sessions; each has a socket. Beyond it, the flow that was idle
/// for longest ends, in the session with the most of them.
const MAX_TARGET_FLOWS: usize = 1024;

impl Flows {
    /// Prepares the flow of a stream that the peer opened.
    pub(in crate::run) fn open_target_flow(&mut self, shared: &mut Shared<'_>, wanted: Wanted, target: &Target) {
        self.make_room_for_target(shared);
        let Wanted { session, key, is_named, ref trail, .. } = wanted;
        let named = is_named.then(|| target.clone());
        let Some(flow) =
            self.insert_flow(shared, session, key, FlowEnd::Resolving { named }, (wanted.target(), wanted.label))
        else {
            return;
        };
        self.table[flow].trail = trail.clone();
        self.table[flow].round = Some(shared.rounds.enter(session, &wanted.target()));
        let asker = asker(session, is_named);
        match shared.resolver.resolve(asker, Waiter::Flow(flow), &target.host, target.port) {
            Ok(Lookup::Ready(addresses)) => self.connect_flow(shared, flow, &addresses),
            Ok(Lookup::Pending) => {}
            Err(error) => self.fail_flow(shared, flow, AbortReason::Unreachable, &error.to_string()),
        }
    }

    /// Ends a flow that a peer opened, if there are too many.
    fn make_room_for_target(&mut self, shared: &mut Shared<'_>) {
        let of_peers = || self.table.iter().filter(|(_, entry)| !matches!(entry.our_end, FlowEnd::Program { .. }));
        if of_peers().count() < MAX_TARGET_FLOWS {
            return;
        }
        let mut counts = HashMap::new();
        of_peers().for_each(|(_, entry)| *counts.entry(entry.session).or_insert(0) += 1);
        let largest = counts.into_iter().max_by_key(|(_, count)| *count).map(|(session, _)| session);
        let own = of_peers().filter(|(_, entry)| Some(entry.session) == largest);
        if let Some((oldest, _)) = own.min_by_key(|(_, entry)| entry.used_at) {
            self.end_flow(shared, oldest, StreamEnd::failed("another flow needs its place"));
        }
    }

    /// Handles the resolver's answer for a flow.
    pub(in crate::run) fn handle_flow_lookup(
        &mut self,
        shared: &mut Shared<'_>,
        flow: FlowKey,
        answer: &Result<Vec<SocketAddr>, String>,
    ) {
        match answer {
            _ if !self.table.contains(flow) => {}
            Ok(addresses) => self.connect_flow(shared, flow, addresses),
            Err(error) => self.fail_flow(shared, flow, AbortReason::Unreachable, error),
        }
    }

    /// Connects a flow to the first of its addresses that may be dialled.
    fn connect_flow(&mut self, shared: &mut Shared<'_>, flow: FlowKey, addresses: &[SocketAddr]) {
        let FlowEnd::Resolving { named } = &self.table[flow].our_end else { return };
        let access = shared.access(self.table[flow].session);
        let is_allowed = |address: &&SocketAddr| match named {
            Some(named) => {
                let (name, port) = (&named.host, named.port);
                access.is_some_and(|access| {
                    access.check_address(Protocol::Udp, name, address.ip(), port, is_own_address).is_ok()
                })
            }
            None => true,
        };
        let mut allowed = addresses.iter().filter(is_allowed).copied();
        let Some(address) = allowed.next() else {
            return self.fail_flow(shared, flow, AbortReason::Denied, "no --allow rule of the host has it");
        };
        // Only this machine reports at once that nothing listens at the first address.
        let further = allowed.next().filter(|further| address.ip().is_loopback() && further.ip().is_loopback());
        match self.connected_socket(shared, flow, address) {
            Ok(socket) => {
                let entry = &mut self.table[flow];
                entry.our_end = FlowEnd::Target(socket, further);
                let (session, key) = (entry.session, entry.key);
                if let Some(mut stream) = shared.sessions[session].session.mux().stream(key) {
                    stream.accept();
                }
                shared.sessions.touch(session);
                self.report_opened(shared, flow);
                self.flow_readable(shared, flow);
            }
            Err(error) => self.fail_flow(shared, flow, AbortReason::Unreachable, &error.to_string()),
        }
    }

    /// Moves to the other address of a target, if nothing listens at the first. Returns whether there was another.
    pub(super) fn try_further(&mut self, shared: &mut Shared<'_>, flow: FlowKey) -> bool {
        let Some(FlowEntry { our_end: FlowEnd::Target(socket, further), .. }) = self.table.get_mut(flow) else {
            return false;
        };
        let Some((address, tried)) = further.take().zip(socket.peer_addr().ok()) else { return false };
        let Ok(connected) = self.connected_socket(shared, flow, address) else { return false };
        let our_end = FlowEnd::Target(connected, Some(tried));
        if let FlowEnd::Target(mut socket, _) = std::mem::replace(&mut self.table[flow].our_end, our_end) {
            shared.turn.deregister(&mut socket);
        }
        true
    }

    fn connected_socket(
        &mut self,
        shared: &mut Shared<'_>,
        flow: FlowKey,
        address: SocketAddr,
    ) -> io::Result<UdpSocket> {
        let any: SocketAddr =
            if address.is_ipv4() { (Ipv4Addr::UNSPECIFIED, 0).into() } else { (Ipv6Addr::UNSPECIFIED, 0).into() };
        let mut socket = UdpSocket::bind(any)?;
        socket.connect(address)?;
        shared.turn.registry().register(&mut socket, Source::Flow(flow.slot()).token(), Interest::READABLE)?;
        let entry = &mut self.table[flow];
        shared.trails.remove(&entry.hops);
        let ends = Ends::Ports { local: socket.local_addr()?, remote: address };
        entry.hops = shared.trails.add(Protocol::Udp, &ends, &entry.address, &entry.trail);
        Ok(socket)
    }
}
