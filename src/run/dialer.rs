//! The targets of a peer's streams, and whether they may be dialled.

use super::keys::{ConnectionKey, FlowKey, Scope, SessionKey};
use super::rights::Rights;
use crate::access::{AccessList, Verdict};
use crate::address::{Endpoint, Protocol, Target};
#[cfg(unix)]
use crate::config::ProgramService;
use crate::config::{ProxyProtocol, ReverseForward, SharedService};
use crate::net::resolver::Asker;
use crate::status::metrics::peer::Label;
use crate::tunnel::{AbortReason, ConnectTarget, Service, StreamKey, Trail};

/// The detail of a refused stream for a reverse forward that does not exist.
pub(super) const NOT_FORWARDED: &str = "nothing was forwarded in that direction";

/// The detail of a refused stream for a service that the session was told of, and that is gone.
pub(super) const NOT_SHARED: &str = "the host does not share that service any more";

/// The detail of a refused stream for a target that no rule has.
const NO_RULE: &str = "no --allow rule of the host has it";

/// The detail of a refused stream for a target that the invitation does not name.
const NOT_INVITED: &str = "the invitation does not have it";

/// The one whose stream is to be joined to a target.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asking<'a> {
    pub(super) scope: Scope,
    /// What its session may have; `None` is everything that is shared.
    pub(super) rights: Option<&'a Rights>,
    /// What the session was told of the service that the stream is for.
    pub(super) offered: Option<&'a Service>,
}

impl Asking<'_> {
    /// Tells whether it may have a service of that name, as far as its rights say.
    fn may_have(&self, name: &str) -> bool {
        self.rights.is_none_or(|rights| rights.has_service(name))
    }
}

/// The targets that this side dials for its peers.
#[derive(Debug, Default)]
pub(super) struct Dialer {
    /// The services that are shared now. A session has the numbers that its HELLO told, which a reload does not change.
    pub(super) services: Vec<SharedService>,
    /// Services of this program itself.
    #[cfg(unix)]
    pub(super) programs: Vec<ProgramService>,
    /// Targets that a peer may name.
    pub(super) allow: AccessList,
    /// By number, a client's reverse forwards as the host was told of them; `None` if one is gone since.
    pub(super) reverse: Vec<Option<ReverseForward>>,
    /// The targets that a server may ask for.
    pub(super) server: ServerAccess,
}

/// The targets that a host dials for its server.
#[derive(Debug, Clone, Default)]
pub(super) struct ServerAccess {
    /// The name of the service that is published.
    pub(super) public: Option<String>,
    /// The server may ask for targets of the access list.
    pub(super) dials: bool,
}

/// The one who waits for a name to be looked up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Waiter {
    /// The side itself: a client for its host at the server with this number, a host for that server.
    Side(usize),
    /// A connection that is to be dialled.
    Connection(ConnectionKey),
    /// A flow.
    Flow(FlowKey),
    /// A server, for the other one with this number.
    #[cfg(feature = "server")]
    Peer(usize),
    /// A server, for the directory of its cluster.
    #[cfg(feature = "server")]
    Directory,
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
    /// What the stream is counted under.
    pub(super) label: Label,
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
    fn serves(&self, target: &ConnectTarget, offered: Option<&Service>) -> bool {
        match target {
            ConnectTarget::Service(_) => {
                offered.is_some_and(|offered| self.server.public.as_ref() == Some(&offered.name))
            }
            ConnectTarget::Tcp(_) => self.server.dials,
            ConnectTarget::Unix(_) | ConnectTarget::Udp(_) | ConnectTarget::Reverse(_) => false,
        }
    }

    /// Finds the service of this program that a stream is to be joined to, if it is one.
    #[cfg(unix)]
    pub(super) fn program(&self, asking: Asking<'_>, target: &ConnectTarget) -> Option<&ProgramService> {
        let Asking { scope, offered, .. } = asking;
        let offered_name = offered.map(|offered| offered.name.as_str()).filter(|name| asking.may_have(name))?;
        let service = self.programs.iter().find(|service| offered_name == service.name)?;
        (scope != Scope::Server || self.serves(target, offered)).then_some(service)
    }

    /// Finds the target of a stream, and the PROXY header that comes first. A service is the same as long as it has the
    /// name and the protocol that its session was told of, wherever it leads by now.
    pub(super) fn endpoint(
        &self,
        asking: Asking<'_>,
        target: &ConnectTarget,
    ) -> Result<(Endpoint, Option<ProxyProtocol>), Refusal> {
        let Asking { scope, rights, offered } = asking;
        let (allow, no_rule) = rights.map_or((&self.allow, NO_RULE), |rights| (&rights.allow, NOT_INVITED));
        let denied = |detail| Refusal { reason: AbortReason::Denied, detail };
        if scope == Scope::Server && !self.serves(target, offered) {
            return Err(denied("the host does not let its server have that"));
        }
        match target {
            ConnectTarget::Service(_) => {
                let unknown = |detail| Refusal { reason: AbortReason::UnknownService, detail };
                let offered = offered.filter(|offered| asking.may_have(&offered.name));
                let offered = offered.ok_or(unknown("no such service"))?;
                let is_same = |service: &&SharedService| {
                    service.name == offered.name && service.endpoint.protocol().as_str() == offered.proto
                };
                match self.services.iter().find(is_same) {
                    Some(service) => Ok((service.endpoint.clone(), service.proxy_protocol)),
                    None => Err(unknown(NOT_SHARED)),
                }
            }
            ConnectTarget::Tcp(text) => {
                let target: Target = text.parse().map_err(|_| denied("that is no host and port"))?;
                match allow.check_name(Protocol::Tcp, &target.host, target.port) {
                    Verdict::Resolve => Ok((Endpoint::Tcp(target), None)),
                    Verdict::Denied(_) => Err(denied(no_rule)),
                }
            }
            ConnectTarget::Unix(path) => match allow.check_unix(path.as_ref()) {
                Ok(path) => Ok((Endpoint::Unix(path), None)),
                Err(_) => Err(denied(no_rule)),
            },
            ConnectTarget::Udp(text) => {
                let target: Target = text.parse().map_err(|_| denied("that is no host and port"))?;
                match allow.check_name(Protocol::Udp, &target.host, target.port) {
                    Verdict::Resolve => Ok((Endpoint::Udp(target), None)),
                    Verdict::Denied(_) => Err(denied(no_rule)),
                }
            }
            ConnectTarget::Reverse(id) => match self.reverse.get(usize::from(*id)) {
                Some(Some(reverse)) => Ok((reverse.endpoint.clone(), None)),
                Some(None) | None => Err(denied(NOT_FORWARDED)),
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
    use crate::config::Invitation;
    use crate::run::rights::Serial;

    fn shared(texts: &[&str]) -> Vec<SharedService> {
        texts.iter().map(|text| SharedService::of(text.parse().unwrap())).collect()
    }

    fn offered(service: &SharedService, id: u16) -> Service {
        let proto = service.endpoint.protocol().as_str().to_owned();
        Service { id, name: service.name.clone(), proto, port: None }
    }

    fn of_peer(offered: Option<&Service>) -> Asking<'_> {
        Asking { scope: Scope::Peer, rights: None, offered }
    }

    #[test]
    fn a_server_has_what_is_published_and_what_the_host_lets_it_dial() {
        let mut dialer = Dialer {
            services: shared(&["localhost:1", "localhost:2"]),
            allow: AccessList::parse(["localhost:3", "udp:localhost:3"]).unwrap(),
            ..Dialer::default()
        };
        let offered = [offered(&dialer.services[0], 0), offered(&dialer.services[1], 1)];
        let (tcp, udp) = (ConnectTarget::Tcp("localhost:3".to_owned()), ConnectTarget::Udp("localhost:3".to_owned()));
        let has = |dialer: &Dialer, scope| {
            let services = [0, 1].map(|id| (ConnectTarget::Service(id), offered.get(usize::from(id))));
            let [first, second] = services;
            [first, second, (tcp.clone(), None), (udp.clone(), None)].map(|(target, offered)| {
                u8::from(dialer.endpoint(Asking { scope, rights: None, offered }, &target).is_ok())
            })
        };
        assert_eq!(has(&dialer, Scope::Peer), [1, 1, 1, 1]);
        assert_eq!(has(&dialer, Scope::Server), [0, 0, 0, 0]);
        dialer.server.public = Some("2".to_owned());
        assert_eq!(has(&dialer, Scope::Server), [0, 1, 0, 0]);
        dialer.server.dials = true;
        assert_eq!(has(&dialer, Scope::Server), [0, 1, 1, 0]);
        dialer.allow = AccessList::default();
        assert_eq!(has(&dialer, Scope::Server), [0, 1, 0, 0]);
        let unknown = dialer.endpoint(of_peer(None), &ConnectTarget::Service(2)).unwrap_err();
        assert_eq!(unknown.reason, AbortReason::UnknownService);
        assert_eq!(dialer.endpoint(of_peer(None), &ConnectTarget::Reverse(0)).unwrap_err().detail, NOT_FORWARDED);
    }

    #[test]
    fn a_number_stays_with_the_service_that_the_session_was_told_of() {
        let mut dialer = Dialer { services: shared(&["localhost:1", "localhost:2"]), ..Dialer::default() };
        let [first, second] = [0, 1].map(|id| offered(&dialer.services[usize::from(id)], id));
        let find = |dialer: &Dialer, offered: &Service| {
            let found = dialer.endpoint(of_peer(Some(offered)), &ConnectTarget::Service(offered.id));
            found.map(|(endpoint, _)| endpoint.to_string()).map_err(|refusal| (refusal.reason, refusal.detail))
        };
        // The first is gone, another comes, and the second leads elsewhere: each number still means its own service.
        dialer.services = shared(&["localhost:3", "localhost:2"]);
        dialer.services[1].endpoint = "localhost:22".parse().unwrap();
        assert_eq!(find(&dialer, &first), Err((AbortReason::UnknownService, NOT_SHARED)));
        assert_eq!(find(&dialer, &second).as_deref(), Ok("localhost:22"));
        // What has the name, but not the protocol, is another service.
        dialer.services[1].endpoint = "udp:localhost:2".parse().unwrap();
        assert_eq!(find(&dialer, &second), Err((AbortReason::UnknownService, NOT_SHARED)));
        dialer.services = shared(&["localhost:1"]);
        assert_eq!(find(&dialer, &first).as_deref(), Ok("localhost:1"), "it is back");
    }

    #[test]
    fn a_session_of_an_invitation_has_what_that_names_and_nothing_else() {
        let dialer = Dialer {
            services: shared(&["localhost:1", "localhost:2"]),
            allow: AccessList::parse(["localhost:3", "udp:localhost:3", "unix:/run/a.sock"]).unwrap(),
            ..Dialer::default()
        };
        let invitation = Invitation {
            services: vec!["2".to_owned()],
            allow: AccessList::parse(["localhost:4"]).unwrap(),
            ..Invitation::new("guests")
        };
        let rights = Rights::of(Serial(0), &invitation);
        // Its HELLO has the second service only, but numbers and names of the first are as good as told.
        let offered = [offered(&dialer.services[0], 0), offered(&dialer.services[1], 1)];
        let asked = |target: ConnectTarget| {
            let offered = if let ConnectTarget::Service(id) = target { offered.get(usize::from(id)) } else { None };
            let asking = Asking { scope: Scope::Peer, rights: Some(&rights), offered };
            let found = dialer.endpoint(asking, &target);
            found.map(|(endpoint, _)| endpoint.to_string()).map_err(|refusal| (refusal.reason, refusal.detail))
        };
        let denied = Err((AbortReason::Denied, NOT_INVITED));
        assert_eq!(asked(ConnectTarget::Service(0)), Err((AbortReason::UnknownService, "no such service")));
        assert_eq!(asked(ConnectTarget::Service(1)).as_deref(), Ok("localhost:2"));
        assert_eq!(asked(ConnectTarget::Tcp("localhost:3".to_owned())), denied);
        assert_eq!(asked(ConnectTarget::Udp("localhost:3".to_owned())), denied);
        assert_eq!(asked(ConnectTarget::Unix("/run/a.sock".to_owned())), denied);
        assert_eq!(asked(ConnectTarget::Tcp("localhost:4".to_owned())).as_deref(), Ok("localhost:4"));
    }
}
