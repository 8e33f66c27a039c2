//! The UDP sockets that carry sessions.

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, SocketAddr};

use log::{debug, info, trace};

use super::keys::SessionKey;
use super::table::{Key, Slot, Table};
use super::token::Source;
use super::turn::Turn;
use crate::net::interfaces::{MAX_IPV4, MAX_IPV6, Offered, offered_addresses};
use crate::net::system::{Event as MioEvent, Interest};
use crate::net::udp::{KERNEL_BUFFER, ReceiveBuffers, UdpSocket};

/// Maximum number of addresses named in one sentence.
const MAX_NAMED: usize = 8;

/// Maximum number of receive calls of a socket in a turn.
pub(super) const RECEIVES_PER_TURN: usize = 4;

/// Key of a socket.
pub(super) type SocketKey = Key<SocketEntry>;

/// A UDP socket and its session. Each PeerConnection has its own sockets, so two never share a 4-tuple, and the socket
/// of a datagram identifies its session.
pub(super) struct SocketEntry {
    socket: UdpSocket,
    session: SessionKey,
    /// In the list of sockets with something to receive.
    is_queued: bool,
}

/// The UDP sockets of a loop's sessions.
#[derive(Default)]
pub(super) struct Sockets {
    table: Table<SocketEntry>,
    /// Sockets with something to receive.
    receivable: VecDeque<SocketKey>,
    buffers: ReceiveBuffers,
    /// Addresses beyond the limit, of which peers were not told.
    left_out: Vec<IpAddr>,
    has_told_of_kernel_buffers: bool,
}

impl Sockets {
    /// Returns the addresses of this machine to tell a peer whose signaling came to `signaling`; warns about those that
    /// are left out.
    pub(super) fn offered(&mut self, turn: &mut Turn, signaling: Option<IpAddr>) -> Vec<IpAddr> {
        let Offered { addresses, left_out } = offered_addresses(signaling).unwrap_or_else(|error| {
            debug!("interfaces cannot be listed: {error}");
            Offered::default()
        });
        self.warn_of_left_out(turn, left_out);
        addresses
    }

    /// Warns about addresses that are left out, once.
    fn warn_of_left_out(&mut self, turn: &mut Turn, left_out: Vec<(IpAddr, String)>) {
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
        turn.warn("addresses", message);
    }

    /// Binds a socket for a session, at any port of an address.
    ///
    /// # Errors
    /// The system's.
    pub(super) fn bind(&mut self, turn: &Turn, address: IpAddr, session: SessionKey) -> io::Result<SocketKey> {
        let mut socket = UdpSocket::bind(address)?;
        self.tell_of_kernel_buffers(socket.receive_buffer());
        let token = Source::Udp(self.table.next_key().slot()).token();
        turn.registry().register(socket.source_mut(), token, Interest::READABLE | Interest::WRITABLE)?;
        Ok(self.table.insert(SocketEntry { socket, session, is_queued: false }))
    }

    /// Reports once that the system grants a socket less than requested.
    fn tell_of_kernel_buffers(&mut self, granted: usize) {
        if granted < KERNEL_BUFFER && !std::mem::replace(&mut self.has_told_of_kernel_buffers, true) {
            info!(
                "the system keeps {granted} bytes for a socket, not {KERNEL_BUFFER}: bursts of a fast path may be lost; \
                 on Linux net.core.rmem_max and net.core.wmem_max set the limit"
            );
        }
    }

    /// Closes a socket.
    pub(super) fn remove(&mut self, turn: &Turn, key: SocketKey) {
        let Some(mut entry) = self.table.remove(key) else { return };
        turn.deregister(entry.socket.source_mut());
    }

    /// Handles an event of a socket.
    pub(super) fn handle_event(&mut self, slot: Slot, event: &MioEvent) {
        let Some(key) = self.table.at(slot) else { return };
        let entry = &mut self.table[key];
        entry.socket.readiness.handle_event(event);
        if entry.socket.readiness.writable {
            entry.socket.flush();
        }
        if !std::mem::replace(&mut entry.is_queued, true) {
            self.receivable.push_back(key);
        }
    }

    /// Tells whether a socket may have something to receive.
    pub(super) fn has_work(&self) -> bool {
        !self.receivable.is_empty()
    }

    /// Receives a few batches of each socket. Passes the session, our address, the peer's address and the datagram to
    /// `take`.
    pub(super) fn receive(&mut self, mut take: impl FnMut(SessionKey, SocketAddr, SocketAddr, &[u8])) {
        for _ in 0..self.receivable.len() {
            let Some(key) = self.receivable.pop_front() else { break };
            let Some(SocketEntry { socket, session, is_queued }) = self.table.get_mut(key) else { continue };
            let local = socket.local();
            for _ in 0..RECEIVES_PER_TURN {
                if socket.readiness.readable {
                    socket.receive(&mut self.buffers, |remote, datagram| {
                        trace!("in local={local} remote={remote} len={} first={:?}", datagram.len(), datagram.first());
                        take(*session, local, remote, datagram);
                    });
                }
            }
            *is_queued = socket.readiness.readable;
            if *is_queued {
                self.receivable.push_back(key);
            }
        }
    }

    /// Returns a socket's own address.
    pub(super) fn local(&self, key: SocketKey) -> SocketAddr {
        self.table[key].socket.local()
    }

    /// Sends a datagram, or queues it until there is room.
    pub(super) fn send(&mut self, key: SocketKey, remote: SocketAddr, datagram: &[u8]) {
        self.table[key].socket.send(remote, datagram);
    }

    /// Sends the queued batch.
    pub(super) fn flush(&mut self, key: SocketKey) {
        self.table[key].socket.flush();
    }
}
