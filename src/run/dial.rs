//! What the peer's streams are joined to: which target, whether it may be dialled, and where it is.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use super::connections::{ConnectionKey, Phase};
use super::core::Core;
use super::deadlines::Due;
use super::flows::FlowKey;
use super::notice::Notice;
use super::sessions::{Scope, SessionKey};
use super::trails::{LEADS_BACK, warn_of_loop};
use super::turn::EXHAUSTED_PAUSE;
use crate::access::{AccessList, Verdict};
use crate::address::{Endpoint, Protocol, Target};
use crate::config::{ProxyProtocol, SharedService};
use crate::net::interfaces::is_own_address;
use crate::net::listen;
use crate::net::listener::Ends;
use crate::net::resolver::{Asker, Lookup};
use crate::net::stream::{Attempt, Stream};
use crate::run::proxy_header::proxy_header;
use crate::tunnel::{AbortReason, ConnectTarget, StreamKey, Trail};

/// How long a target may take to answer, name look-up included.
const DIAL_TIMEOUT: Duration = Duration::from_secs(10);

/// How long one address of a target may take while there are others to try.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(3);

/// What this side dials for its peers.
#[derive(Debug, Default)]
pub(super) struct Dialer {
    /// By number, as in HELLO.
    pub(super) services: Vec<SharedService>,
    /// What a peer may name itself.
    pub(super) allow: AccessList,
    /// By number, what a client dials for connections that its host took.
    pub(super) reverse: Vec<Endpoint>,
    /// What a server may have dialled.
    pub(super) server: ServerAccess,
}

/// What a host dials for the server that it is registered at.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct ServerAccess {
    /// The number of the service that is published.
    pub(super) public: Option<u16>,
    /// What the access list has, too.
    pub(super) dials: bool,
}

/// What waits for the look-up of a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Waiter {
    /// The side itself: a client for its host, a host for its server.
    Side,
    /// A connection that is to be dialled.
    Connection(ConnectionKey),
    /// A flow.
    Flow(FlowKey),
}

/// What a stream of the peer's is to be joined to.
#[derive(Debug)]
pub(super) struct Wanted {
    pub(super) session: SessionKey,
    pub(super) key: StreamKey,
    pub(super) endpoint: Endpoint,
    header: Option<ProxyProtocol>,
    /// The peer named it.
    pub(super) is_named: bool,
    /// The connections that led there.
    pub(super) trail: Trail,
}

impl Wanted {
    /// Returns the target as people read it.
    pub(super) fn target(&self) -> String {
        self.endpoint.to_string()
    }
}

/// Why a stream gets no target.
struct Refusal {
    reason: AbortReason,
    detail: &'static str,
}

impl Dialer {
    /// Tells whether a server may have that dialled at all.
    fn serves(&self, target: &ConnectTarget) -> bool {
        match target {
            ConnectTarget::Service(id) => self.server.public == Some(*id),
            ConnectTarget::Tcp(_) => self.server.dials,
            ConnectTarget::Unix(_) | ConnectTarget::Udp(_) | ConnectTarget::Reverse(_) => false,
        }
    }

    /// Finds what a stream is to be joined to. The second value is the service, if it is one.
    fn endpoint(&self, target: &ConnectTarget) -> Result<(Endpoint, Option<&SharedService>), Refusal> {
        let denied = |detail| Refusal { reason: AbortReason::Denied, detail };
        match target {
            ConnectTarget::Service(id) => match self.services.get(usize::from(*id)) {
                Some(service) => Ok((service.endpoint.clone(), Some(service))),
                None => Err(Refusal { reason: AbortReason::UnknownService, detail: "no such service" }),
            },
            ConnectTarget::Tcp(text) => {
                let target: Target = text.parse().map_err(|_| denied("that is no host and port"))?;
                match self.allow.check_name(Protocol::Tcp, &target.host, target.port) {
                    Verdict::Resolve => Ok((Endpoint::Tcp(target), None)),
                    Verdict::Denied(_) => Err(denied("no --allow rule of the host has it")),
                }
            }
            ConnectTarget::Unix(path) => match self.allow.check_unix(path.as_ref()) {
                Ok(path) => Ok((Endpoint::Unix(path), None)),
                Err(_) => Err(denied("no --allow rule of the host has it")),
            },
            ConnectTarget::Udp(text) => {
                let target: Target = text.parse().map_err(|_| denied("that is no host and port"))?;
                match self.allow.check_name(Protocol::Udp, &target.host, target.port) {
                    Verdict::Resolve => Ok((Endpoint::Udp(target), None)),
                    Verdict::Denied(_) => Err(denied("no --allow rule of the host has it")),
                }
            }
            ConnectTarget::Reverse(id) => match self.reverse.get(usize::from(*id)) {
                Some(endpoint) => Ok((endpoint.clone(), None)),
                None => Err(denied("nothing was forwarded in that direction")),
            },
        }
    }
}

impl Core {
    /// Dials the target of a stream the peer opened, if there is one and it is allowed.
    pub(super) fn open_target(&mut self, session: SessionKey, key: StreamKey, target: &ConnectTarget) {
        // Only what was asked for, and was not refused, comes back.
        let is_reverse = matches!(target, ConnectTarget::Reverse(_));
        if let ConnectTarget::Reverse(id) = target
            && !self.sessions[session].session.mux().takes_reverse(*id)
        {
            return self.sessions.abort_stream(
                session,
                key,
                AbortReason::Denied,
                "nothing was forwarded in that direction",
            );
        }
        let is_served = self.sessions[session].scope == Scope::Peer || self.dialer.serves(target);
        let refusal = Refusal { reason: AbortReason::Denied, detail: "the host does not let its server have that" };
        let endpoint = if is_served { self.dialer.endpoint(target) } else { Err(refusal) };
        let (endpoint, header) = match endpoint {
            Ok((endpoint, service)) => (endpoint, service.and_then(|service| service.proxy_protocol)),
            Err(Refusal { reason, detail }) => {
                let name = self.sessions[session].name.clone();
                self.turn.warn("denied", format!("session {name} asked for {}: {detail}", describe(target)));
                return self.sessions.abort_stream(session, key, reason, detail);
            }
        };
        let is_named = !is_reverse && !matches!(target, ConnectTarget::Service(_));
        let told = self.sessions[session].session.mux().stream(key).map(|mut stream| stream.take_trail());
        let trail = self.trails.complete(&told.unwrap_or_default());
        let wanted = Wanted { session, key, endpoint, header, is_named, trail };
        if let Some(hop) = self.trails.leads_back(&wanted.target(), &wanted.trail) {
            warn_of_loop(&mut self.turn, &mut self.sessions[session], &wanted.target());
            self.end_looping_flow(hop);
            return self.sessions.abort_stream(session, key, AbortReason::Refused, LEADS_BACK);
        }
        self.admit(wanted);
    }

    /// Dials what a stream is to be joined to, if there still is one.
    pub(super) fn dial_target(&mut self, wanted: Wanted) {
        let target = wanted.target();
        if self.sessions.get_mut(wanted.session).is_none() {
            return;
        }
        if let Endpoint::Udp(address) = &wanted.endpoint {
            let address = address.clone();
            return self.open_target_flow(wanted, &address);
        }
        let Wanted { session, key, endpoint, header, is_named, trail } = wanted;
        let (connections, mut shared) = self.connections_and_shared();
        let Some(connection) = connections.insert(&mut shared, session, key, target) else { return };
        let round = self.rounds.enter(session, &self.connections[connection].address);
        let path = self.sessions[session].session.peer_path();
        let entry = &mut self.connections[connection];
        (entry.trail, entry.round) = (trail, Some(round));
        entry.prefix = header.map_or_else(Vec::new, |version| proxy_header(version, path));
        self.turn.set(DIAL_TIMEOUT, Due::Dial(connection));
        self.prune_deadlines();
        match endpoint {
            Endpoint::Tcp(address) => {
                let asker = asker(session, is_named);
                let lookup = self.resolver.resolve(asker, Waiter::Connection(connection), &address.host, address.port);
                if is_named {
                    self.connections[connection].named = Some(address);
                }
                match lookup {
                    Ok(Lookup::Ready(addresses)) => self.dial_allowed(connection, &addresses),
                    Ok(Lookup::Pending) => {}
                    Err(error) => self.fail_dial(connection, AbortReason::Unreachable, &error.to_string()),
                }
            }
            #[cfg(unix)]
            Endpoint::Unix(path) => match mio::net::UnixStream::connect(&path) {
                Ok(stream) => {
                    self.remember_dial(connection, &Ends::of_file(&path));
                    self.dialling(connection, Stream::Unix(stream), VecDeque::new());
                }
                Err(error) => self.fail_dial(connection, dial_reason(&error), &error.to_string()),
            },
            #[cfg(not(unix))]
            Endpoint::Unix(_) => {
                self.fail_dial(connection, AbortReason::Unreachable, "this system has no unix sockets")
            }
            Endpoint::Udp(_) => self.fail_dial(connection, AbortReason::UnknownService, "it is no service of streams"),
        }
    }

    /// Remembers a connection that is being dialled, until it is deregistered.
    fn remember_dial(&mut self, connection: ConnectionKey, ends: &Ends) {
        let entry = &mut self.connections[connection];
        entry.hops = self.trails.add(Protocol::Tcp, ends, &entry.address, &entry.trail);
    }

    /// Takes the resolver's answers.
    pub(super) fn handle_lookups(&mut self) {
        while let Some((waiter, answer)) = self.resolver.poll() {
            match (waiter, answer) {
                (Waiter::Side, answer) => self.turn.tell(Notice::Resolved { answer }),
                (Waiter::Flow(flow), answer) => self.handle_flow_lookup(flow, &answer),
                (Waiter::Connection(connection), _) if !self.connections.contains(connection) => {}
                (Waiter::Connection(connection), Ok(addresses)) => self.dial_allowed(connection, &addresses),
                (Waiter::Connection(connection), Err(error)) => {
                    self.fail_dial(connection, AbortReason::Unreachable, &error);
                }
            }
        }
    }

    /// A deadline of a dial came up.
    pub(super) fn handle_dial_due(&mut self, due: Due) {
        let (Due::Dial(connection) | Due::Attempt { connection, .. } | Due::Redial(connection)) = due else { return };
        let Some(entry) = self.connections.get_mut(connection) else { return };
        match (due, &mut entry.phase) {
            (Due::Redial(_), Phase::Starved(addresses)) => {
                let addresses = std::mem::take(addresses);
                self.dial(connection, addresses);
            }
            (Due::Attempt { left, .. }, Phase::Dialing(_, addresses)) if addresses.len() == left => {
                let addresses = std::mem::take(addresses);
                self.deregister(connection);
                self.dial(connection, addresses);
            }
            (Due::Dial(_), Phase::Resolving | Phase::Starved(_) | Phase::Dialing(..)) => {
                self.fail_dial(connection, AbortReason::Timeout, "no answer within 10 s");
            }
            _ => {}
        }
    }

    /// Dials those addresses of a target that may be dialled: exactly what was checked, not what its name means a
    /// moment later.
    fn dial_allowed(&mut self, connection: ConnectionKey, addresses: &[SocketAddr]) {
        let Some(named) = self.connections[connection].named.clone() else {
            return self.dial(connection, addresses.iter().copied().collect());
        };
        let mut denied = None;
        let mut check = |address: &SocketAddr| {
            let allow = &self.dialer.allow;
            allow
                .check_address(Protocol::Tcp, &named.host, address.ip(), named.port, is_own_address)
                .map_err(|error| denied = Some(error))
        };
        let allowed: VecDeque<SocketAddr> =
            addresses.iter().copied().filter(|address| check(address).is_ok()).collect();
        match denied {
            Some(denied) if allowed.is_empty() => {
                let session = self.sessions[self.connections[connection].session].name.clone();
                self.turn.warn("denied", format!("session {session} asked for {named}: {denied}"));
                let entry = &self.connections[connection];
                let (session, key) = (entry.session, entry.key);
                self.sessions.abort_stream(session, key, AbortReason::Denied, "no --allow rule of the host has it");
                self.reset_connection(connection, AbortReason::Denied.as_str());
            }
            _ => self.dial(connection, allowed),
        }
    }

    fn dial(&mut self, connection: ConnectionKey, mut addresses: VecDeque<SocketAddr>) {
        let mut last_error = io::Error::other("the name has no address");
        while let Some(address) = addresses.pop_front() {
            match mio::net::TcpStream::connect(address) {
                Ok(stream) => {
                    // It may be accepted before the loop hears of it.
                    if let Ok(local) = stream.local_addr() {
                        self.remember_dial(connection, &Ends::Ports { local, remote: address });
                    }
                    return self.dialling(connection, Stream::Tcp(stream), addresses);
                }
                Err(error) if listen::is_exhaustion(&error) => {
                    addresses.push_front(address);
                    self.connections[connection].phase = Phase::Starved(addresses);
                    // All at the same moment, so that the oldest comes first.
                    if self.redial_at <= self.turn.now {
                        self.redial_at = self.turn.now + EXHAUSTED_PAUSE;
                    }
                    self.turn.deadlines.add(self.redial_at, Due::Redial(connection));
                    return;
                }
                Err(error) => last_error = error,
            }
        }
        self.fail_dial(connection, dial_reason(&last_error), &last_error.to_string());
    }

    pub(super) fn check_dial(&mut self, connection: ConnectionKey) {
        let Phase::Dialing(stream, addresses) = &mut self.connections[connection].phase else { return };
        let error = match stream.attempt() {
            Ok(Attempt::Connected) => return self.dialled(connection, None),
            Ok(Attempt::Reset(error)) => return self.dialled(connection, Some(error)),
            Ok(Attempt::Pending) => return,
            Err(error) => error,
        };
        let addresses = std::mem::take(addresses);
        self.deregister(connection);
        if addresses.is_empty() {
            self.fail_dial(connection, dial_reason(&error), &error.to_string());
        } else {
            self.dial(connection, addresses);
        }
    }

    /// Joins a connection that was made to its stream, given why it takes nothing any more if so.
    fn dialled(&mut self, connection: ConnectionKey, failure: Option<io::Error>) {
        let entry = &mut self.connections[connection];
        let Phase::Dialing(stream, _) = std::mem::replace(&mut entry.phase, Phase::Resolving) else { return };
        stream.guard();
        let (session, key) = (entry.session, entry.key);
        if let Some(mut stream) = self.sessions[session].session.mux().stream(key) {
            stream.accept();
        }
        let (connections, mut shared) = self.connections_and_shared();
        connections.open(&mut shared, connection, stream);
        if let (Some(error), Phase::Open(forward)) = (failure, &mut self.connections[connection].phase) {
            forward.handle_failure(error);
        }
    }

    /// Waits for an attempt, for so long if there are other addresses to try.
    fn dialling(&mut self, connection: ConnectionKey, stream: Stream, further: VecDeque<SocketAddr>) {
        let (connections, mut shared) = self.connections_and_shared();
        match connections.register(&mut shared, connection, stream) {
            Ok(stream) => {
                let left = further.len();
                // This machine answers at once, or is too busy: then another address has nothing better to offer.
                let is_worth_while = further.iter().any(|address| !address.ip().is_loopback());
                self.connections[connection].phase = Phase::Dialing(stream, further);
                if is_worth_while {
                    self.turn.set(ATTEMPT_TIMEOUT, Due::Attempt { connection, left });
                }
            }
            Err(error) => self.fail_dial(connection, dial_reason(&error), &error.to_string()),
        }
    }

    fn fail_dial(&mut self, connection: ConnectionKey, reason: AbortReason, detail: &str) {
        let entry = &self.connections[connection];
        let (session, key) = (entry.session, entry.key);
        self.turn
            .warn("dial-failed", format!("{} cannot be reached: {detail}. Is the service running?", entry.address));
        self.sessions.abort_stream(session, key, reason, detail);
        self.reset_connection(connection, reason.as_str());
    }
}

/// Tells for whom a name is looked up: the peer of that session, if it chose the name.
pub(super) fn asker(session: SessionKey, is_named: bool) -> Asker {
    if is_named { Asker::Peer(session.number()) } else { Asker::Own }
}

fn describe(target: &ConnectTarget) -> String {
    match target {
        ConnectTarget::Service(id) => format!("service {id}"),
        ConnectTarget::Tcp(text) => text.clone(),
        ConnectTarget::Unix(path) => format!("unix:{path}"),
        ConnectTarget::Udp(text) => format!("udp:{text}"),
        ConnectTarget::Reverse(id) => format!("reverse forward {id}"),
    }
}

fn dial_reason(error: &io::Error) -> AbortReason {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => AbortReason::Refused,
        io::ErrorKind::TimedOut => AbortReason::Timeout,
        io::ErrorKind::PermissionDenied => AbortReason::Denied,
        _ => AbortReason::Unreachable,
    }
}
