//! Asks STUN servers about this machine's network.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use log::debug;

use crate::address::Target;
use crate::net::resolver::{Asker, Lookup, Resolver};
use crate::net::system::{Event as MioEvent, Interest};
use crate::net::udp::{ReceiveBuffers, UdpSocket};
use crate::peer::stun::{Gatherer, MAX_SERVERS, Mapped};
use crate::run::sockets::RECEIVES_PER_TURN;
use crate::run::table::{Slot, Table};
use crate::run::token::Source;
use crate::run::turn::Turn;
use crate::session::diagnosis;
use crate::signaling::network::Network;
use crate::status::check::{Finding, StunResult};

/// Time for resolving the name of a server: a machine without a network may wait for half a minute.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(3);

/// The queries to STUN servers and their answers.
pub(super) struct Survey {
    sockets: Table<UdpSocket>,
    buffers: ReceiveBuffers,
    servers: Vec<Server>,
    /// The addresses that are queried.
    asked: Vec<SocketAddr>,
    gatherer: Gatherer,
    mapped: Vec<Mapped>,
    lookups_end: Instant,
}

struct Server {
    target: Target,
    state: Found,
}

enum Found {
    /// Each name has a helper thread of its own, so one that hangs does not delay the others.
    Pending(Resolver<()>),
    /// One address of each of its address families.
    At(Vec<SocketAddr>),
    Failed(String),
}

impl Survey {
    /// Binds a socket to each address and starts to look up the servers.
    pub(super) fn start(turn: &Turn, addresses: &[IpAddr], servers: &[Target]) -> Survey {
        let now = turn.now;
        let mut survey = Survey {
            sockets: Table::new(),
            buffers: ReceiveBuffers::default(),
            servers: Vec::new(),
            asked: Vec::new(),
            gatherer: Gatherer::new(),
            mapped: Vec::new(),
            lookups_end: now + LOOKUP_TIMEOUT,
        };
        for &address in addresses {
            if let Err(error) = survey.add_socket(turn, address) {
                debug!("address={address} bind error={error}");
            }
        }
        for target in servers {
            let mut resolver = Resolver::new(turn.waker());
            let state = match resolver.resolve(Asker::Own, (), &target.host, target.port) {
                Ok(Lookup::Ready(addresses)) => survey.found(now, &addresses),
                Ok(Lookup::Pending) => Found::Pending(resolver),
                Err(error) => Found::Failed(error.to_string()),
            };
            survey.servers.push(Server { target: target.clone(), state });
        }
        survey
    }

    /// Handles an event of a socket.
    pub(super) fn handle_event(&mut self, slot: Slot, event: &MioEvent) {
        if let Some(key) = self.sockets.at(slot) {
            self.sockets[key].readiness.handle_event(event);
        }
    }

    /// Handles what arrived, and sends what is due.
    pub(super) fn advance(&mut self, now: Instant) {
        for (_, socket) in self.sockets.iter_mut() {
            let local = socket.local();
            for _ in 0..RECEIVES_PER_TURN {
                if socket.readiness.readable {
                    socket.receive(&mut self.buffers, |remote, datagram| {
                        self.gatherer.handle_datagram(now, local, remote, datagram);
                    });
                }
            }
        }
        self.look_up(now);
        self.gatherer.handle_timeout(now);
        while let Some(request) = self.gatherer.poll_transmit() {
            if let Some((_, socket)) = self.sockets.iter_mut().find(|(_, socket)| socket.local() == request.source) {
                socket.send(request.destination, &request.contents);
            }
        }
        self.sockets.iter_mut().for_each(|(_, socket)| socket.flush());
        while let Some(mapped) = self.gatherer.poll_mapped() {
            self.mapped.push(mapped);
        }
    }

    /// Returns when [`Survey::advance`] must be called next.
    pub(super) fn poll_timeout(&self, now: Instant) -> Option<Instant> {
        if self.sockets.iter().any(|(_, socket)| socket.readiness.readable) {
            return Some(now);
        }
        let lookups = self.is_looking_up().then_some(self.lookups_end);
        [lookups, self.gatherer.poll_timeout()].into_iter().flatten().min()
    }

    /// Tells whether every server answered or was given up.
    pub(super) fn is_done(&self) -> bool {
        !self.is_looking_up() && self.gatherer.is_done()
    }

    /// Returns what is known of this machine's network.
    pub(super) fn network(&self) -> Network {
        diagnosis::network(Network::unknown(true, true), self.gatherer.findings())
    }

    /// Returns the result for each server.
    pub(super) fn findings(&self) -> impl Iterator<Item = Finding> {
        self.servers.iter().flat_map(|server| {
            let results = match &server.state {
                Found::Pending(_) => {
                    vec![StunResult::NotFound { message: "its name was not resolved in time".to_owned() }]
                }
                Found::Failed(reason) => vec![StunResult::NotFound { message: format!("cannot be found: {reason}") }],
                Found::At(addresses) => addresses.iter().map(|address| self.result(*address)).collect(),
            };
            let name = server.target.to_string();
            results.into_iter().map(move |result| Finding::Stun { server: name.clone(), result })
        })
    }

    fn result(&self, address: SocketAddr) -> StunResult {
        let answers = self.mapped.iter().filter(|mapped| mapped.server == address);
        if let Some(first) = answers.min_by_key(|mapped| mapped.round_trip) {
            let rtt_ms = (first.round_trip.as_secs_f64() * 1e6).round() / 1e3;
            return StunResult::Answered { address, local: first.local, mapped: first.mapped, rtt_ms };
        }
        let has_family = self.sockets.iter().any(|(_, socket)| socket.local().is_ipv4() == address.is_ipv4());
        if !has_family {
            let family = if address.is_ipv4() { "IPv4" } else { "IPv6" };
            return StunResult::NotAsked {
                address,
                message: format!("not asked: this machine has no {family} address"),
            };
        }
        if !self.asked.contains(&address) {
            return StunResult::NotAsked { address, message: "not asked: enough others were asked".to_owned() };
        }
        StunResult::Silent { address }
    }

    fn is_looking_up(&self) -> bool {
        self.servers.iter().any(|server| matches!(server.state, Found::Pending(_)))
    }

    fn look_up(&mut self, now: Instant) {
        for index in 0..self.servers.len() {
            let Found::Pending(resolver) = &mut self.servers[index].state else { continue };
            let state = match resolver.poll() {
                Some((_, Ok(addresses))) => self.found(now, &addresses),
                Some((_, Err(reason))) => Found::Failed(reason),
                None if self.lookups_end <= now => Found::Failed("its name was not resolved in time".to_owned()),
                None => continue,
            };
            self.servers[index].state = state;
        }
    }

    /// Chooses one address of each family, if possible one that no other server has: only different servers show how a
    /// NAT maps.
    fn found(&mut self, now: Instant, addresses: &[SocketAddr]) -> Found {
        let mut picked = Vec::new();
        for is_ipv4 in [true, false] {
            let of_family = || addresses.iter().filter(|address| address.is_ipv4() == is_ipv4);
            let address = of_family().find(|address| !self.asked.contains(address)).or_else(|| of_family().next());
            let Some(&address) = address else { continue };
            let has_family = self.sockets.iter().any(|(_, socket)| socket.local().is_ipv4() == is_ipv4);
            if has_family && self.asked.len() < MAX_SERVERS && !self.asked.contains(&address) {
                self.gatherer.add_server(now, address);
                self.asked.push(address);
            }
            picked.push(address);
        }
        Found::At(picked)
    }

    fn add_socket(&mut self, turn: &Turn, address: IpAddr) -> io::Result<()> {
        let mut socket = UdpSocket::bind(address)?;
        let token = Source::Udp(self.sockets.next_key().slot()).token();
        turn.registry().register(socket.source_mut(), token, Interest::READABLE | Interest::WRITABLE)?;
        self.gatherer.add_socket(turn.now, socket.local());
        self.sockets.insert(socket);
        Ok(())
    }
}
