//! The addresses of STUN servers. Helper threads look up their names, so that a name no server answers for delays
//! nothing else.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use log::debug;

use crate::address::Target;
use crate::net::resolver::{Asker, Lookup, Resolver};
use crate::net::system::Waker;

/// Age at which an answer is looked up again.
const FRESH: Duration = Duration::from_secs(300);

/// Age at which a failed look-up is tried again.
const FRESH_FAILURE: Duration = Duration::from_secs(10);

/// The STUN servers of a loop.
pub(super) struct Stun {
    servers: Vec<Target>,
    /// Looks up each server, by its place in the list.
    resolver: Resolver<usize>,
    /// The last addresses of each server; a failed look-up does not remove them.
    found: Vec<Vec<SocketAddr>>,
    addresses: Vec<SocketAddr>,
    /// When the last look-ups began; `None` before the first.
    asked_at: Option<Instant>,
    has_failed: bool,
}

impl Stun {
    pub(super) fn new(servers: Vec<Target>, waker: Arc<Waker>) -> Stun {
        let resolver = Resolver::new(waker);
        let found = vec![Vec::new(); servers.len()];
        Stun { servers, resolver, found, addresses: Vec::new(), asked_at: None, has_failed: false }
    }

    /// Returns the servers.
    pub(super) fn servers(&self) -> &[Target] {
        &self.servers
    }

    /// Looks the names up, unless that was recent or is in progress.
    pub(super) fn look_up(&mut self, now: Instant) {
        let fresh = if self.has_failed { FRESH_FAILURE } else { FRESH };
        if self.resolver.pending() > 0 || self.asked_at.is_some_and(|at| at + fresh > now) {
            return;
        }
        self.asked_at = Some(now);
        self.has_failed = false;
        for (index, server) in self.servers.iter().enumerate() {
            match self.resolver.resolve(Asker::Own, index, &server.host, server.port) {
                Ok(Lookup::Ready(addresses)) => self.found[index] = addresses,
                Ok(Lookup::Pending) => {}
                Err(error) => {
                    debug!("stun server={server} error={error}");
                    self.has_failed = true;
                }
            }
        }
    }

    /// Returns the next answer: the addresses of a server, and whether it is the last for now.
    pub(super) fn poll(&mut self) -> Option<(Vec<SocketAddr>, bool)> {
        let (index, answer) = self.resolver.poll()?;
        let addresses = match answer {
            Ok(addresses) => one_of_each_family(&addresses),
            Err(error) => {
                debug!("stun look-up error={error}");
                self.has_failed = true;
                Vec::new()
            }
        };
        if !addresses.is_empty() {
            self.found[index].clone_from(&addresses);
        }
        Some((addresses, self.resolver.pending() == 0))
    }

    /// Returns the addresses known so far, and whether they are complete.
    pub(super) fn known(&mut self, now: Instant) -> (&[SocketAddr], bool) {
        self.look_up(now);
        self.addresses = self.found.concat();
        (&self.addresses, self.resolver.pending() == 0)
    }
}

/// Keeps one address of each family: many addresses of one server would displace the next name's.
fn one_of_each_family(addresses: &[SocketAddr]) -> Vec<SocketAddr> {
    let first = |is_ipv4| addresses.iter().copied().find(|address| address.is_ipv4() == is_ipv4);
    [first(true), first(false)].into_iter().flatten().collect()
}
