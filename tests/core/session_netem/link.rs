//! One direction of an emulated path.

use std::collections::{BTreeMap, HashSet};
use std::net::SocketAddr;
use std::time::Instant;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use str0m_netem::{Input, Netem, NetemConfig, Output};

/// A datagram under way.
#[derive(Debug, Clone)]
pub(crate) struct Datagram {
    pub(crate) source: SocketAddr,
    pub(crate) destination: SocketAddr,
    pub(crate) contents: Vec<u8>,
}

impl AsRef<[u8]> for Datagram {
    fn as_ref(&self) -> &[u8] {
        &self.contents
    }
}

/// A direction of a path: a datagram that goes in comes out at the other end, if the emulator says so.
///
/// One emulator keeps the order of its datagrams (except for neighbours it swaps), so paths that reorder more are
/// several emulators, one of which each datagram takes.
pub(crate) struct Link {
    routes: Vec<Netem<Datagram>>,
    rng: StdRng,
    /// Everything that goes in is lost.
    pub(crate) is_down: bool,
    /// Pairs of addresses that were used, and those of them that do not work any more.
    known: HashSet<(SocketAddr, SocketAddr)>,
    cut: HashSet<(SocketAddr, SocketAddr)>,
    /// No further pairs work.
    is_closed: bool,
    /// DTLS records of application data that went in, by the port they come from: each PeerConnection has its own.
    pub(crate) records: BTreeMap<u16, u64>,
    pub(crate) offered: u64,
    pub(crate) delivered: u64,
}

impl Link {
    pub(crate) fn new(routes: &[NetemConfig], seed: u64) -> Link {
        Link {
            routes: routes.iter().map(|config| Netem::new(*config)).collect(),
            rng: StdRng::seed_from_u64(seed),
            is_down: false,
            known: HashSet::new(),
            cut: HashSet::new(),
            is_closed: false,
            records: BTreeMap::new(),
            offered: 0,
            delivered: 0,
        }
    }

    /// Changes what the routes do to datagrams from now on.
    pub(crate) fn set_routes(&mut self, routes: &[NetemConfig]) {
        for (route, config) in self.routes.iter_mut().zip(routes) {
            route.set_config(*config);
        }
    }

    /// Loses from now on what goes between addresses that were used before.
    pub(crate) fn cut_known_paths(&mut self) {
        self.cut.extend(self.known.iter());
    }

    /// Loses from now on what goes between addresses that were never used before.
    pub(crate) fn cut_unknown_paths(&mut self) {
        self.is_closed = true;
    }

    pub(crate) fn send(&mut self, now: Instant, datagram: Datagram) {
        self.offered += 1;
        let pair = (datagram.source, datagram.destination);
        if datagram.contents.first() == Some(&23) {
            *self.records.entry(datagram.source.port()).or_default() += 1;
        }
        if self.known.insert(pair) && self.is_closed {
            self.cut.insert(pair);
        }
        if !self.is_down && !self.cut.contains(&pair) {
            let route = if self.routes.len() > 1 { self.rng.random_range(0..self.routes.len()) } else { 0 };
            self.routes[route].handle_input(Input::Packet(now, datagram));
        }
    }

    /// Returns what arrives at `now`.
    pub(crate) fn receive(&mut self, now: Instant) -> Vec<Datagram> {
        let mut arrived = Vec::new();
        for route in &mut self.routes {
            if route.is_empty() || route.poll_timeout() > now {
                continue;
            }
            route.handle_input(Input::Timeout(now));
            while let Some(output) = route.poll_output() {
                match output {
                    Output::Packet(datagram) => arrived.push(datagram),
                    Output::Timeout(_) => break,
                }
            }
        }
        self.delivered += arrived.len() as u64;
        arrived
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.routes.iter().filter(|route| !route.is_empty()).map(Netem::poll_timeout).min()
    }
}
