//! Where the STUN servers are: their names are looked up on a helper thread of their own, so that a name nobody answers
//! for delays nothing else.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use log::debug;

use crate::address::Target;
use crate::net::resolver::{Asker, Lookup, Resolver};
use crate::net::system::Waker;

/// Names are looked up again after this long, and after this long where a look-up failed.
const FRESH: Duration = Duration::from_secs(300);
const FRESH_FAILURE: Duration = Duration::from_secs(10);

/// The STUN servers of a loop.
pub(super) struct Stun {
    servers: Vec<Target>,
    /// Asked for each server by its place in the list.
    resolver: Resolver<usize>,
    /// What was found for each server last; a look-up that fails takes nothing away.
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

    /// Looks the names up, if that was long ago and is not under way.
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

    /// Takes the next answer: the addresses of a server, and whether they are the last for now.
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

    /// Returns the addresses known by now, and whether they are all there will be.
    pub(super) fn known(&mut self, now: Instant) -> (&[SocketAddr], bool) {
        self.look_up(now);
        self.addresses = self.found.concat();
        (&self.addresses, self.resolver.pending() == 0)
    }
}

/// A name may have many addresses, all of one server: the next name gets its turn.
fn one_of_each_family(addresses: &[SocketAddr]) -> Vec<SocketAddr> {
    let first = |is_ipv4| addresses.iter().copied().find(|address| address.is_ipv4() == is_ipv4);
    [first(true), first(false)].into_iter().flatten().collect()
}
