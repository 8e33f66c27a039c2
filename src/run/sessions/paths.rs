//! The sockets of sessions.

use std::net::IpAddr;

use log::{debug, trace};

use super::{OwnSocket, Sessions};
use crate::run::keys::SessionKey;
use crate::run::turn::Turn;

impl Sessions {
    /// Binds new sockets for a PeerConnection, one for every usable address without one.
    pub(super) fn gather(&mut self, turn: &mut Turn, key: SessionKey, carrier: u32) {
        let (servers, is_complete) = self.stun.known(turn.now);
        self.table[key].session.add_stun_servers(turn.now, servers, is_complete);
        let own = self.table[key].sockets.iter().filter(|socket| socket.carrier == carrier);
        let bound: Vec<IpAddr> = own.map(|socket| self.sockets.local(socket.key).ip()).collect();
        let addresses = self.sockets.offered(turn, self.table[key].signaling_address);
        let mut locals = Vec::new();
        for address in addresses.into_iter().filter(|address| !bound.contains(address)) {
            match self.sockets.bind(turn, address, key) {
                Ok(socket) => {
                    locals.push(self.sockets.local(socket));
                    self.table[key].sockets.push(OwnSocket { carrier, key: socket });
                }
                Err(error) => debug!("address={address} bind error={error}"),
            }
        }
        self.table[key].session.add_sockets(turn.now, carrier, &locals);
    }

    /// Closes the sockets of a PeerConnection that is gone.
    pub(super) fn release(&mut self, turn: &Turn, key: SessionKey, carrier: u32) {
        // Its good-bye leaves before.
        self.transmit(key);
        let sockets = &mut self.table[key].sockets;
        let gone: Vec<OwnSocket> = sockets.extract_if(.., |socket| socket.carrier == carrier).collect();
        gone.into_iter().for_each(|socket| self.sockets.remove(turn, socket.key));
    }

    /// Sends a session's datagrams, each from its own socket.
    pub(super) fn transmit(&mut self, key: SessionKey) {
        let entry = &mut self.table[key];
        while let Some(transmit) = entry.session.poll_transmit() {
            let (local, remote, datagram) = (transmit.source, transmit.destination, &transmit.contents);
            trace!("out local={local} remote={remote} len={} first={:?}", datagram.len(), datagram.first());
            let socket = entry.sockets.iter().find(|socket| self.sockets.local(socket.key) == local);
            if let Some(socket) = socket {
                self.sockets.send(socket.key, remote, datagram);
            }
        }
        for socket in &entry.sockets {
            self.sockets.flush(socket.key);
        }
    }
}
