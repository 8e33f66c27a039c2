//! How STUN servers see the sockets of one PeerConnection, and what that says about the network (RFC 8489, RFC 5780).
//!
//! Each socket asks each server of its own address family for the address its requests come from. The answers are the
//! server-reflexive candidates. Together they tell whether UDP leaves the network and whether a NAT keeps its mapping.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use log::debug;
use stun_types::attribute::XorMappedAddress;
use stun_types::message::{
    BINDING, MAGIC_COOKIE, Message, MessageClass, MessageHeader, MessageType, MessageWrite as _, MessageWriteVec,
    TransactionId,
};

/// Maximum number of sockets that ask; further ones are ignored. A session has no more.
pub const MAX_SOCKETS: usize = 16;

/// Maximum number of servers that are asked; further ones are ignored. Two are enough to know everything.
pub const MAX_SERVERS: usize = 8;

/// Time before a request is sent again; it doubles each time (RFC 8489, section 6.2.1).
pub const FIRST_RTO: Duration = Duration::from_millis(500);

/// Time from the first transmission of a request until it is given up. RFC 8489 would wait 39.5 s, but the peers need
/// time to check a candidate within their 10 s to connect. Requests go out after 0, 0.5, 1.5 and 3.5 s.
pub const GIVE_UP: Duration = Duration::from_secs(4);

/// Time between two first requests: a burst may overflow a home router's table (RFC 8445, section 14.2).
const PACE: Duration = Duration::from_millis(5);

/// A datagram to send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The local address of the socket to send from.
    pub source: SocketAddr,
    /// The server.
    pub destination: SocketAddr,
    /// The datagram.
    pub contents: Vec<u8>,
}

/// An answer: how a server sees a socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mapped {
    /// The local address of the socket.
    pub local: SocketAddr,
    /// The server.
    pub server: SocketAddr,
    /// The address the server saw; equal to `local` where nothing translates.
    pub mapped: SocketAddr,
    /// Time from the first transmission of the request to the answer, so a lost datagram adds to it.
    pub round_trip: Duration,
}

/// Whether UDP leaves this network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Udp {
    /// A server answered.
    Open,
    /// No server answered in time.
    Blocked,
    /// No server was asked, or answers may still come.
    Unknown,
}

/// How a NAT maps a socket's address (RFC 4787, section 4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mapping {
    /// There is no NAT: servers see the socket's own address.
    None,
    /// The same address for every destination.
    Independent,
    /// Another address for each destination ("symmetric").
    Dependent,
    /// Too few answers to know.
    Unknown,
}

/// Conclusion from all answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Findings {
    /// Whether UDP leaves this network.
    pub udp: Udp,
    /// The NAT of the socket with the best chances; of an IPv4 socket if there was any answer over IPv4.
    pub mapping: Mapping,
    /// An IPv6 server answered.
    pub ipv6: bool,
}

/// Finds out how STUN servers see the sockets of one PeerConnection.
///
/// Sockets and servers may be added in any order and at any time. Everything is bounded: [`MAX_SOCKETS`],
/// [`MAX_SERVERS`], and one request for each pair of them, ever.
#[derive(Debug, Default)]
pub struct Gatherer {
    sockets: Vec<SocketAddr>,
    servers: Vec<SocketAddr>,
    queries: Vec<Query>,
    /// The earliest time for the first request of the next query.
    next_start: Option<Instant>,
    requests: VecDeque<Request>,
    mapped: VecDeque<Mapped>,
    ignored: u64,
}

/// The query of one socket to one server.
#[derive(Debug)]
struct Query {
    local: SocketAddr,
    server: SocketAddr,
    transaction: TransactionId,
    state: State,
}

/// ```text
///   Queued ──its turn──▶ Asked ──answer──────────────────▶ Answered
///                        │  ▲ │──error, useless address──▶ Useless
///                  timeout│  │└──GIVE_UP──────────────────▶ Silent
///                        └──┘
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Goes out for the first time at `at`.
    Queued { at: Instant },
    /// Went out `count` times, first at `first`; is repeated or given up at `at`.
    Asked { first: Instant, count: u32, at: Instant },
    /// The server saw this address.
    Answered(SocketAddr),
    /// The server answered without a usable address.
    Useless,
    /// The server did not answer in time.
    Silent,
}

impl Gatherer {
    /// Creates a gatherer that knows no sockets and no servers.
    pub fn new() -> Gatherer {
        Gatherer::default()
    }

    /// Adds a socket, by the address it is bound to. Ignores loopback and link-local addresses, which no server sees,
    /// duplicates, and sockets beyond [`MAX_SOCKETS`].
    pub fn add_socket(&mut self, now: Instant, local: SocketAddr) {
        if self.sockets.len() >= MAX_SOCKETS || self.sockets.contains(&local) || !may_be_seen(local) {
            return;
        }
        self.sockets.push(local);
        for index in 0..self.servers.len() {
            self.ask(now, local, self.servers[index]);
        }
        self.handle_timeout(now);
    }

    /// Adds a server, which only sockets of its address family ask. Ignores addresses that cannot be a server's,
    /// duplicates, and servers beyond [`MAX_SERVERS`].
    pub fn add_server(&mut self, now: Instant, server: SocketAddr) {
        let is_useless = server.port() == 0 || server.ip().is_unspecified() || server.ip().is_multicast();
        if is_useless || self.servers.len() >= MAX_SERVERS || self.servers.contains(&server) {
            return;
        }
        self.servers.push(server);
        for index in 0..self.sockets.len() {
            self.ask(now, self.sockets[index], server);
        }
        self.handle_timeout(now);
    }

    /// Handles a datagram that `local` received from `remote`. Returns true if it answers a request of ours, so that
    /// nobody else needs it. Forged, damaged and useless answers are counted ([`Gatherer::ignored`]).
    pub fn handle_datagram(&mut self, now: Instant, local: SocketAddr, remote: SocketAddr, datagram: &[u8]) -> bool {
        if !is_stun(datagram) {
            return false;
        }
        let Ok(header) = MessageHeader::from_bytes(datagram) else { return false };
        let transaction = header.transaction_id();
        let Some(query) = self.queries.iter_mut().find(|query| query.transaction == transaction) else { return false };
        let State::Asked { first, .. } = query.state else {
            // The second answer to a request that was sent twice, or a forged one.
            self.ignored += 1;
            return query.local == local && query.server == remote;
        };
        if query.local != local || query.server != remote {
            self.ignored += 1;
            return false;
        }
        let Some(answer) = parse(datagram, local) else {
            // Damaged or forged: the true answer may still come.
            self.ignored += 1;
            return true;
        };
        let server = query.server;
        match answer {
            Answer::Address(mapped) => {
                let round_trip = now.saturating_duration_since(first);
                debug!("stun local={local} server={server} mapped={mapped} round_trip={round_trip:?}");
                query.state = State::Answered(mapped);
                self.mapped.push_back(Mapped { local, server, mapped, round_trip });
            }
            Answer::Useless => {
                debug!("stun local={local} server={server} answer=useless");
                query.state = State::Useless;
                self.ignored += 1;
            }
        }
        true
    }

    /// Handles all deadlines up to `now`: sends, repeats and gives up requests.
    pub fn handle_timeout(&mut self, now: Instant) {
        for query in &mut self.queries {
            let (first, count) = match query.state {
                State::Queued { at } if at <= now => (now, 0),
                State::Asked { first, count, at } if at <= now => (first, count),
                State::Queued { .. } | State::Asked { .. } => continue,
                State::Answered(_) | State::Useless | State::Silent => continue,
            };
            let end = first + GIVE_UP;
            if end <= now {
                debug!("stun local={} server={} answer=none", query.local, query.server);
                query.state = State::Silent;
                continue;
            }
            let at = (now + FIRST_RTO * 2_u32.saturating_pow(count)).min(end);
            query.state = State::Asked { first, count: count + 1, at };
            self.requests.push_back(query.request());
        }
    }

    /// Returns the next datagram to send.
    pub fn poll_transmit(&mut self) -> Option<Request> {
        self.requests.pop_front()
    }

    /// Returns the next answer.
    pub fn poll_mapped(&mut self) -> Option<Mapped> {
        self.mapped.pop_front()
    }

    /// Returns when [`Gatherer::handle_timeout`] must be called next.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.queries.iter().filter_map(Query::due).min()
    }

    /// Tells whether every request was answered or given up: true while there is nothing to ask, false again once a
    /// further socket or server leads to a request.
    pub fn is_done(&self) -> bool {
        self.poll_timeout().is_none()
    }

    /// Returns what the answers so far say together.
    pub fn findings(&self) -> Findings {
        let was_heard = |query: &Query| matches!(query.state, State::Answered(_) | State::Useless);
        let udp = if self.queries.iter().any(was_heard) {
            Udp::Open
        } else if self.queries.is_empty() || !self.is_done() {
            Udp::Unknown
        } else {
            Udp::Blocked
        };
        let has_ipv4 = self.queries.iter().any(|query| query.local.is_ipv4() && query.answer().is_some());
        let sockets = self.sockets.iter().filter(|local| local.is_ipv4() == has_ipv4);
        // The peers meet through the socket with the best chances.
        let mapping = sockets.map(|local| self.mapping(*local)).max_by_key(|mapping| match mapping {
            Mapping::None => 3,
            Mapping::Independent => 2,
            Mapping::Dependent => 1,
            Mapping::Unknown => 0,
        });
        let ipv6 = self.queries.iter().any(|query| query.server.is_ipv6() && was_heard(query));
        Findings { udp, mapping: mapping.unwrap_or(Mapping::Unknown), ipv6 }
    }

    /// Returns how many answers were ignored: late, forged, damaged, or without a usable address.
    pub fn ignored(&self) -> u64 {
        self.ignored
    }

    /// Judges the NAT of one socket. If one server sees the socket's own address and another sees something else, the
    /// first is on our side of the NAT and says nothing. Equal answers prove something only if the servers' IP
    /// addresses differ: a mapping may depend on the IP address alone.
    fn mapping(&self, local: SocketAddr) -> Mapping {
        let answers = || {
            let own = self.queries.iter().filter(|query| query.local == local);
            own.filter_map(|query| Some((query.server.ip(), query.answer()?)))
        };
        let translated = || answers().filter(|(_, mapped)| *mapped != local);
        let Some((server, mapped)) = translated().next() else {
            return if answers().next().is_some() { Mapping::None } else { Mapping::Unknown };
        };
        if translated().any(|(_, other)| other != mapped) {
            Mapping::Dependent
        } else if translated().any(|(other, _)| other != server) {
            Mapping::Independent
        } else {
            Mapping::Unknown
        }
    }

    fn ask(&mut self, now: Instant, local: SocketAddr, server: SocketAddr) {
        if local.is_ipv4() != server.is_ipv4() {
            return;
        }
        let at = self.next_start.map_or(now, |start| start.max(now));
        self.next_start = Some(at + PACE);
        let transaction = TransactionId::generate();
        self.queries.push(Query { local, server, transaction, state: State::Queued { at } });
    }
}

impl Query {
    fn request(&self) -> Request {
        let kind = MessageType::from_class_method(MessageClass::Request, BINDING);
        let contents = Message::builder(kind, self.transaction, MessageWriteVec::new()).finish();
        Request { source: self.local, destination: self.server, contents }
    }

    fn due(&self) -> Option<Instant> {
        match self.state {
            State::Queued { at } | State::Asked { at, .. } => Some(at),
            State::Answered(_) | State::Useless | State::Silent => None,
        }
    }

    fn answer(&self) -> Option<SocketAddr> {
        match self.state {
            State::Answered(mapped) => Some(mapped),
            State::Queued { .. } | State::Asked { .. } | State::Useless | State::Silent => None,
        }
    }
}

enum Answer {
    Address(SocketAddr),
    /// An error, no address, or an address that cannot be a socket's.
    Useless,
}

/// Parses the answer to a request of `local`; `None` if it is incomplete or damaged.
fn parse(datagram: &[u8], local: SocketAddr) -> Option<Answer> {
    let message = Message::from_bytes(datagram).ok()?;
    match message.class() {
        MessageClass::Success if message.has_method(BINDING) => {}
        MessageClass::Error if message.has_method(BINDING) => return Some(Answer::Useless),
        MessageClass::Success | MessageClass::Error | MessageClass::Request | MessageClass::Indication => return None,
    }
    let mapped = message.attribute::<XorMappedAddress>().ok().map(|found| found.addr(message.transaction_id()));
    Some(match mapped {
        Some(mapped) if mapped.is_ipv4() == local.is_ipv4() && mapped.port() != 0 && may_be_seen(mapped) => {
            Answer::Address(mapped)
        }
        _ => Answer::Useless,
    })
}

/// Returns the address under which the peer sees us, from the answer to a check of a path. `None` if the datagram is
/// not such an answer: data passes here, too.
pub fn mapped_address(answer: &[u8], local: SocketAddr) -> Option<SocketAddr> {
    match is_stun(answer).then(|| parse(answer, local))?? {
        Answer::Address(mapped) => Some(mapped),
        Answer::Useless => None,
    }
}

/// Tells a STUN message by its first bits and its cookie (RFC 8489, section 5): the channel's data passes here, too.
pub(super) fn is_stun(datagram: &[u8]) -> bool {
    datagram.len() >= MessageHeader::LENGTH && datagram[0] < 4 && datagram[4..8] == MAGIC_COOKIE.to_be_bytes()
}

/// Tells whether datagrams from this address can be seen beyond the machine and its link.
fn may_be_seen(address: SocketAddr) -> bool {
    let ip = address.ip();
    let is_confined = match ip {
        IpAddr::V4(ip) => ip.is_link_local() || ip.is_broadcast(),
        IpAddr::V6(ip) => ip.is_unicast_link_local() || ip.to_ipv4_mapped().is_some(),
    };
    !(is_confined || ip.is_loopback() || ip.is_unspecified() || ip.is_multicast())
}

/// Tells whether an address is public: not one that homes, companies or providers use internally (RFC 1918, RFC 6598,
/// RFC 4193).
pub(super) fn is_public(address: SocketAddr) -> bool {
    match address.ip() {
        IpAddr::V4(ip) => !(ip.is_private() || ip.octets()[0] == 100 && ip.octets()[1] & 0xc0 == 64),
        IpAddr::V6(ip) => !ip.is_unique_local(),
    }
}

#[cfg(test)]
#[path = "stun_tests.rs"]
mod tests;
