//! Notices a forward that leads back to itself: the service is down, and the client listens on its port.
//!
//! A side that dials remembers the connection, and the side that accepts it names it in its CONNECT. If that CONNECT
//! reaches the side that dialled, and asks for the same target again, the next round would be like the last.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Duration;

use sha2::{Digest, Sha256};

use super::keys::SessionKey;
use super::sessions::{SessionEntry, Sessions};
use super::turn::Turn;
use crate::address::Protocol;
use crate::net::listener::Ends;
use crate::net::machine::Machine;
use crate::tunnel::{Hop, Trail};

/// Message to a peer and to the log about a forward that leads back.
pub(super) const LEADS_BACK: &str = "the forward leads back to itself";

/// Minimum time between two reports of a session's forwards that lead back.
const TELL_INTERVAL: Duration = Duration::from_secs(10);

/// The open connections that this side dialled, with those that led to them.
#[derive(Debug)]
pub(super) struct Trails {
    machine: Machine,
    dialled: HashMap<Hop, Dialled>,
}

#[derive(Debug)]
struct Dialled {
    target: String,
    trail: Trail,
}

impl Trails {
    pub(super) fn new() -> Trails {
        Trails { machine: Machine::this(), dialled: HashMap::new() }
    }

    /// Adds a connection that is being made to a target, and returns its names: one in case this machine accepts it,
    /// one for another machine.
    pub(super) fn add(&mut self, protocol: Protocol, ends: &Ends, target: &str, trail: &Trail) -> Vec<Hop> {
        let hops: Vec<Hop> = [self.here(protocol, ends), between(protocol, ends)].into_iter().flatten().collect();
        for hop in &hops {
            self.dialled.insert(*hop, Dialled { target: target.to_owned(), trail: trail.clone() });
        }
        hops
    }

    /// Forgets a connection that is over.
    pub(super) fn remove(&mut self, hops: &[Hop]) {
        for hop in hops {
            self.dialled.remove(hop);
        }
    }

    /// Returns the peer's trail, extended by what is known here about its connections.
    pub(super) fn complete(&self, told: &Trail) -> Trail {
        let known = told.hops().iter().filter_map(|hop| self.dialled.get(hop));
        let further = known.flat_map(|dialled| dialled.trail.hops());
        told.hops().iter().chain(further).copied().collect()
    }

    /// Returns the connection in a trail that was made from here to the same target.
    pub(super) fn leads_back(&self, target: &str, trail: &Trail) -> Option<Hop> {
        let is_same = |hop: &&Hop| self.dialled.get(hop).is_some_and(|dialled| dialled.target == target);
        trail.hops().iter().find(is_same).copied()
    }

    /// Returns the name of a connection with both ends on this machine.
    fn here(&self, protocol: Protocol, ends: &Ends) -> Option<Hop> {
        let mut hasher = Sha256::new();
        hasher.update(self.machine.as_bytes());
        match ends {
            Ends::Ports { local, remote } => hash_ports(&mut hasher, protocol, *local, *remote),
            Ends::File { device, inode } => hasher.update(format!("unix|{device}|{inode}")),
            Ends::Unknown => return None,
        }
        Some(hop(hasher))
    }
}

/// Returns the name of a connection between two machines.
fn between(protocol: Protocol, ends: &Ends) -> Option<Hop> {
    let Ends::Ports { local, remote } = ends else { return None };
    let mut hasher = Sha256::new();
    hash_ports(&mut hasher, protocol, *local, *remote);
    Some(hop(hasher))
}

/// Hashes both ports in the same order, whichever end is ours.
fn hash_ports(hasher: &mut Sha256, protocol: Protocol, near: SocketAddr, far: SocketAddr) {
    let canonical = |address: SocketAddr| SocketAddr::new(address.ip().to_canonical(), address.port());
    let (near, far) = (canonical(near), canonical(far));
    hasher.update(format!("{protocol}|{}|{}", near.min(far), near.max(far)));
}

fn hop(hasher: Sha256) -> Hop {
    let digest = hasher.finalize();
    Hop(std::array::from_fn(|index| digest[index]))
}

impl Trails {
    /// Returns the trail for the peer of an accepted connection. It is empty unless the connection came from this
    /// machine or the peer's, so a peer never learns who else connects.
    pub(super) fn of_accepted(
        &self,
        sessions: &Sessions,
        session: SessionKey,
        protocol: Protocol,
        ends: &Ends,
    ) -> Trail {
        let hop = match ends {
            Ends::Ports { local, remote } => {
                let (near, far) = (local.ip().to_canonical(), remote.ip().to_canonical());
                let peer = sessions.get(session).and_then(|entry| entry.session.peer_path());
                if far.is_loopback() || far == near || sessions.has_address(far) {
                    self.here(protocol, ends)
                } else if peer.is_some_and(|(peer, _)| peer.ip().to_canonical() == far) {
                    between(protocol, ends)
                } else {
                    None
                }
            }
            Ends::File { .. } => self.here(protocol, ends),
            Ends::Unknown => None,
        };
        self.complete(&hop.into_iter().collect())
    }
}

/// Warns now and then that a target was not dialled again: datagrams may ask for it a thousand times a second.
pub(super) fn warn_of_loop(turn: &mut Turn, entry: &mut SessionEntry, target: &str) {
    if entry.loop_told_at.is_some_and(|at| turn.now < at + TELL_INTERVAL) {
        return;
    }
    entry.loop_told_at = Some(turn.now);
    let name = &entry.name;
    let message = format!(
        "session {name} asked for {target}, and so did the connection that was made to it: {LEADS_BACK}. Is the service \
         down, and does the other side's forward have its port? Choose another port for the forward"
    );
    turn.warn("loop", message);
}

#[cfg(test)]
#[path = "trails_tests.rs"]
mod vectors;

#[cfg(test)]
mod tests {
    use super::*;

    fn ends(local: &str, remote: &str) -> Ends {
        Ends::Ports { local: local.parse().unwrap(), remote: remote.parse().unwrap() }
    }

    #[test]
    fn both_ends_of_a_connection_name_it_alike() {
        let (one, other) = (Trails::new(), Trails::new());
        let (near, far) = (ends("127.0.0.1:5", "127.0.0.1:80"), ends("[::ffff:127.0.0.1]:80", "127.0.0.1:5"));
        let name = one.here(Protocol::Tcp, &near);
        assert!(name.is_some() && name == other.here(Protocol::Tcp, &far));
        assert_ne!(name, other.here(Protocol::Udp, &far));
        assert_ne!(name, other.here(Protocol::Tcp, &ends("127.0.0.1:6", "127.0.0.1:80")));
        assert_ne!(name, between(Protocol::Tcp, &near), "other machines have such addresses, too");
        assert_eq!(between(Protocol::Tcp, &near), between(Protocol::Tcp, &far));
        assert_eq!(one.here(Protocol::Tcp, &Ends::Unknown), None);
    }

    #[test]
    fn only_the_same_target_is_a_way_back() {
        let mut trails = Trails::new();
        let first = trails.add(Protocol::Tcp, &ends("127.0.0.1:5", "127.0.0.1:80"), "a:80", &Trail::default());
        let came_back: Trail = [first[0]].into_iter().collect();
        assert_eq!(trails.leads_back("a:80", &came_back), Some(first[0]));
        assert_eq!(trails.leads_back("a:81", &came_back), None, "a detour is not a loop");
        // From a:80 to a:81 and back to a:80.
        let second = trails.add(Protocol::Tcp, &ends("127.0.0.1:6", "127.0.0.1:81"), "a:81", &came_back);
        let told: Trail = [second[0]].into_iter().collect();
        assert_eq!(trails.leads_back("a:80", &trails.complete(&told)), Some(first[0]));
        trails.remove(&first);
        assert_eq!(trails.leads_back("a:80", &trails.complete(&told)), None, "a connection that is over leads nowhere");
    }

    #[test]
    fn a_socket_file_is_itself() {
        let mut trails = Trails::new();
        let file = Ends::File { device: 1, inode: 2 };
        let hops = trails.add(Protocol::Tcp, &file, "unix:/a", &Trail::default());
        let told = Trails::new().here(Protocol::Tcp, &file).into_iter().collect();
        assert_eq!(trails.leads_back("unix:/a", &told), Some(hops[0]));
    }
}
