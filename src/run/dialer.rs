//! The targets of a peer's streams, and whether they may be dialled.

use super::keys::{ConnectionKey, FlowKey, Scope, SessionKey};
use crate::access::{AccessList, Verdict};
use crate::address::{Endpoint, Protocol, Target};
#[cfg(unix)]
use crate::config::ProgramService;
use crate::config::{ProxyProtocol, SharedService};
use crate::net::resolver::Asker;
use crate::tunnel::{AbortReason, ConnectTarget, StreamKey, Trail};

/// The detail of a refused stream for a reverse forward that does not exist.
pub(super) const NOT_FORWARDED: &str = "nothing was forwarded in that direction";

/// The targets that this side dials for its peers.
#[derive(Debug, Default)]
pub(super) struct Dialer {
    /// By number, as in HELLO.
    pub(super) services: Vec<SharedService>,
    /// Services of this program itself, whose numbers follow.
    #[cfg(unix)]
    pub(super) programs: Vec<ProgramService>,
    /// Targets that a peer may name.
    pub(super) allow: AccessList,
    /// By number, a client's targets for the connections that its host accepted.
    pub(super) reverse: Vec<Endpoint>,
    /// The targets that a server may ask for.
    pub(super) server: ServerAccess,
}

/// The targets that a host dials for its server.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct ServerAccess {
    /// The number of the service that is published.
    pub(super) public: Option<u16>,
    /// The server may ask for targets of the access list.
    pub(super) dials: bool,
}

/// The one who waits for a name to be looked up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Waiter {
    /// The side itself: a client for its host, a host for its server.
    Side,
    /// A connection that is to be dialled.
    Connection(ConnectionKey),
    /// A flow.
    Flow(FlowKey),
}

/// A peer's stream, and the target that it is to be joined to.
#[derive(Debug)]
pub(super) struct Wanted {
    pub(super) session: SessionKey,
    pub(super) key: StreamKey,
    pub(super) endpoint: Endpoint,
    /// The PROXY header that comes first.
    pub(super) header: Option<ProxyProtocol>,
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

/// The reason why a stream gets no target.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) reason: AbortReason,
    pub(super) detail: &'static str,
}

impl Dialer {
    /// Tells whether a server may ask for a target.
    fn serves(&self, target: &ConnectTarget) -> bool {
        match target {
            ConnectTarget::Service(id) => self.server.public == Some(*id),
            ConnectTarget::Tcp(_) => self.server.dials,
            ConnectTarget::Unix(_) | ConnectTarget::Udp(_) | ConnectTarget::Reverse(_) => false,
        }
    }

    /// Finds the service of this program that a stream is to be joined to, if it is one.
    #[cfg(unix)]
    pub(super) fn program(&self, scope: Scope, target: &ConnectTarget) -> Option<&ProgramService> {
        let ConnectTarget::Service(id) = target else { return None };
        let service = self.programs.get(usize::from(*id).checked_sub(self.services.len())?)?;
        (scope != Scope::Server || self.serves(target)).then_some(service)
    }

    /// Finds the target of a stream in a session of that scope, and the PROXY header that comes first.
    pub(super) fn endpoint(
        &self,
        scope: Scope,
        target: &ConnectTarget,
    ) -> Result<(Endpoint, Option<ProxyProtocol>), Refusal> {
        let denied = |detail| Refusal { reason: AbortReason::Denied, detail };
        if scope == Scope::Server && !self.serves(target) {
            return Err(denied("the host does not let its server have that"));
        }
        match target {
            ConnectTarget::Service(id) => match self.services.get(usize::from(*id)) {
                Some(service) => Ok((service.endpoint.clone(), service.proxy_protocol)),
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
                None => Err(denied(NOT_FORWARDED)),
            },
        }
    }
}

/// Returns for whom a name is looked up: for the session's peer if it chose the name.
pub(super) fn asker(session: SessionKey, is_named: bool) -> Asker {
    if is_named { Asker::Peer(session.number()) } else { Asker::Own }
}

/// Returns a peer's target as people read it.
pub(super) fn describe(target: &ConnectTarget) -> String {
    match target {
        ConnectTarget::Service(id) => format!("service {id}"),
        ConnectTarget::Tcp(text) => text.clone(),
        ConnectTarget::Unix(path) => format!("unix:{path}"),
        ConnectTarget::Udp(text) => format!("udp:{text}"),
        ConnectTarget::Reverse(id) => format!("reverse forward {id}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_has_what_is_published_and_what_the_host_lets_it_dial() {
        let mut dialer = Dialer {
            services: ["localhost:1", "localhost:2"].map(|text| SharedService::of(text.parse().unwrap())).to_vec(),
            allow: AccessList::parse(["localhost:3", "udp:localhost:3"]).unwrap(),
            ..Dialer::default()
        };
        let (first, second) = (ConnectTarget::Service(0), ConnectTarget::Service(1));
        let (tcp, udp) = (ConnectTarget::Tcp("localhost:3".to_owned()), ConnectTarget::Udp("localhost:3".to_owned()));
        let has = |dialer: &Dialer, scope| {
            [&first, &second, &tcp, &udp].map(|target| u8::from(dialer.endpoint(scope, target).is_ok()))
        };
        assert_eq!(has(&dialer, Scope::Peer), [1, 1, 1, 1]);
        assert_eq!(has(&dialer, Scope::Server), [0, 0, 0, 0]);
        dialer.server.public = Some(1);
        assert_eq!(has(&dialer, Scope::Server), [0, 1, 0, 0]);
        dialer.server.dials = true;
        assert_eq!(has(&dialer, Scope::Server), [0, 1, 1, 0]);
        dialer.allow = AccessList::default();
        assert_eq!(has(&dialer, Scope::Server), [0, 1, 0, 0]);
        let unknown = dialer.endpoint(Scope::Peer, &ConnectTarget::Service(2)).unwrap_err();
        assert_eq!(unknown.reason, AbortReason::UnknownService);
        assert_eq!(dialer.endpoint(Scope::Peer, &ConnectTarget::Reverse(0)).unwrap_err().detail, NOT_FORWARDED);
    }
}
