//! Ports for local programs: what each leads to, and what happens to connections while there is no session.

mod changes;
mod forwards;
mod survey;

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use log::debug;

pub(super) use self::changes::shown;
use super::{Client, Stage};
use crate::address::{Bind, Endpoint, ListenAddress};
use crate::config::LocalForward;
use crate::net::listen::{ListenError, Second};
use crate::net::listener::{Accepted, Listener};
use crate::net::system::Interest;
use crate::run::RunError;
use crate::run::connections::Incoming;
use crate::run::core::Core;
use crate::run::deadlines::{ClientDue, Due};
use crate::run::flows::UdpListener;
use crate::run::keys::UdpListenerKey;
use crate::run::notice::{Listening, Notice};
use crate::run::table::Table;
use crate::run::token::Source;
use crate::tunnel::{ConnectTarget, Service};

/// Maximum number of connections accepted in one turn.
const ACCEPTS_PER_TURN: usize = 64;

/// How long a local connection waits for a session.
const WAIT: Duration = Duration::from_secs(10);

/// Maximum number of local connections that wait; further ones are reset at once.
const MAX_WAITING: usize = 256;

/// The listeners, and the connections that wait.
#[derive(Default)]
pub(super) struct LocalPorts {
    listeners: Table<LocalPort>,
    datagrams: HashMap<UdpListenerKey, LocalDatagrams>,
    /// Ports that we have bound already, and that may be meant for the other protocol.
    deferred: Vec<(ListenAddress, Purpose)>,
    /// Forwards that came later, and whose service the host does not have.
    pending: Vec<LocalForward>,
    /// The services of the last session; `None` before the first.
    services: Option<Vec<Service>>,
    /// The name of the service that was the host's only one last.
    only: Option<String>,
    waiting: VecDeque<(Instant, Incoming, PortTarget)>,
    /// Messages pass, so streams can be opened.
    pub(super) is_connected: bool,
    is_closed: bool,
}

struct LocalPort {
    listener: Listener,
    /// `None` for a unix socket.
    address: Option<Address>,
    /// For people; `None` for the second address of a port.
    name: Option<String>,
    purpose: Purpose,
    is_acceptable: bool,
    /// It was reported what it leads to.
    is_told: bool,
}

/// What a port leads to, and why it is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Purpose {
    target: PortTarget,
    origin: Origin,
}

/// The setting that a port is there for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Origin {
    Forward(LocalForward),
    /// The address of a proxy.
    Proxy(ListenAddress),
}

/// The address of a port.
#[derive(Debug, Clone, Copy)]
struct Address {
    /// As configured: the port may be the system's choice.
    asked: ListenAddress,
    /// With its actual port.
    known: ListenAddress,
}

struct LocalDatagrams {
    /// For people; `None` for the second address of a port.
    name: Option<String>,
    purpose: Purpose,
    /// It was reported what it leads to.
    is_told: bool,
}

/// Whether to use a port that another program has at the second address.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Sharing {
    /// The user asked for this port: use it, and warn.
    Warned,
    /// Any other port serves as well: do not use it.
    Refused,
}

/// Target of a listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum PortTarget {
    /// The only service of the host.
    Only,
    /// The service with this name.
    Service(String),
    /// A target that the host dials, and its name.
    Dial(ConnectTarget, String),
    /// The proxy: the program chooses.
    Proxy,
}

impl PortTarget {
    /// Returns its name, for people.
    fn name(&self) -> String {
        match self {
            PortTarget::Only => String::new(),
            PortTarget::Service(name) => name.clone(),
            PortTarget::Dial(_, name) => name.clone(),
            PortTarget::Proxy => "proxy".to_owned(),
        }
    }

    /// Tells whether it is this service by name.
    fn is(&self, service: &Service) -> bool {
        matches!(self, PortTarget::Service(name) if *name == service.name)
    }

    /// Finds the target among the present services of the host. `only` is the one that was its only one: beside
    /// others that came later, it is still meant.
    fn target(&self, services: &[Service], only: Option<&str>) -> Option<ConnectTarget> {
        let service = match (self, services) {
            (PortTarget::Only, [service]) => Some(service),
            (PortTarget::Only, _) => services.iter().find(|service| Some(&service.name[..]) == only),
            (PortTarget::Service(_), _) => services.iter().find(|service| self.is(service)),
            (PortTarget::Dial(target, _), _) => return Some(target.clone()),
            (PortTarget::Proxy, _) => None,
        };
        service.map(|service| ConnectTarget::Service(service.id))
    }
}

/// Returns the target that the host dials.
pub(super) fn named_target(endpoint: &Endpoint) -> ConnectTarget {
    match endpoint {
        Endpoint::Tcp(target) => ConnectTarget::Tcp(target.to_string()),
        Endpoint::Udp(target) => ConnectTarget::Udp(target.to_string()),
        Endpoint::Unix(path) => ConnectTarget::Unix(path.display().to_string()),
    }
}

impl LocalPorts {
    /// Tells whether connections are accepted, at once or later.
    pub(super) fn is_open(&self) -> bool {
        !self.is_closed
    }

    /// Returns the address of the first TCP listener.
    pub(super) fn address(&self) -> Option<SocketAddr> {
        self.listeners.iter().find_map(|(_, port)| port.listener.local_addr())
    }

    fn add(&mut self, core: &mut Core, bind: &Bind, purpose: Purpose, sharing: Sharing) -> Result<(), RunError> {
        match bind {
            Bind::Tcp(address) => {
                let (first, bound, second) = Listener::take_both(address.addresses())?;
                let second = decide(core, second, bound, sharing)?;
                let address = Address { asked: *address, known: known(*address, bound) };
                self.insert(core, first, Some(address), Some(bound.to_string()), purpose.clone())?;
                second.map_or(Ok(()), |second| self.insert(core, second, Some(address), None, purpose))
            }
            #[cfg(unix)]
            Bind::Unix(path) => self.insert(core, Listener::unix(path)?, None, Some(bind.to_string()), purpose),
            #[cfg(not(unix))]
            Bind::Unix(_) => Err(RunError::NoService("this system has no unix sockets".to_owned())),
            Bind::Udp(address) => {
                let (first, bound, second) = UdpListener::take_both(*address)?;
                let second = decide(core, second, bound, sharing)?;
                let name = Some(format!("udp:{bound}"));
                let entry = LocalDatagrams { name, purpose: purpose.clone(), is_told: false };
                self.datagrams.insert(core.add_listener(first)?, entry);
                if let Some(second) = second {
                    let entry = LocalDatagrams { name: None, purpose, is_told: false };
                    self.datagrams.insert(core.add_listener(second)?, entry);
                }
                Ok(())
            }
        }
    }

    fn insert(
        &mut self,
        core: &mut Core,
        mut listener: Listener,
        address: Option<Address>,
        name: Option<String>,
        purpose: Purpose,
    ) -> Result<(), RunError> {
        let token = Source::Listener(self.listeners.next_key().slot()).token();
        core.turn.registry().register(&mut listener, token, Interest::READABLE)?;
        self.listeners.insert(LocalPort { listener, address, name, purpose, is_acceptable: true, is_told: false });
        Ok(())
    }

    fn has(&self, port_target: &PortTarget) -> bool {
        let mut all = self.listeners.iter().map(|(_, port)| &port.purpose.target);
        all.any(|own| own == port_target)
            || self.datagrams.values().any(|datagrams| datagrams.purpose.target == *port_target)
    }

    /// Closes the ports that are there for these settings. Connections that were accepted go on; flows end with their
    /// socket.
    pub(super) fn close(&mut self, core: &mut Core, is_gone: impl Fn(&Origin) -> bool) {
        self.deferred.retain(|(_, purpose)| !is_gone(&purpose.origin));
        self.pending.retain(|forward| !is_gone(&Origin::Forward(forward.clone())));
        let gone = self.listeners.iter().filter(|(_, port)| is_gone(&port.purpose.origin)).map(|(key, _)| key);
        for key in gone.collect::<Vec<_>>() {
            if let Some(mut port) = self.listeners.remove(key) {
                core.turn.deregister(&mut port.listener);
            }
        }
        let gone = self.datagrams.iter().filter(|(_, datagrams)| is_gone(&datagrams.purpose.origin));
        for listener in gone.map(|(listener, _)| *listener).collect::<Vec<_>>() {
            self.datagrams.remove(&listener);
            core.close_listener(listener);
        }
    }

    /// Notes the services of a session.
    fn note_services(&mut self, services: &[Service]) {
        self.services = Some(services.to_vec());
        if let [service] = services {
            self.only = Some(service.name.clone());
        }
    }

    /// Returns the name of what a TCP port of ours leads to.
    fn taken_by(&self, address: ListenAddress) -> Option<String> {
        let first = |address: ListenAddress| address.addresses().next();
        let mut named = self.listeners.iter().filter(|(_, port)| port.name.is_some());
        let (_, port) = named.find(|(_, port)| port.address.and_then(|own| first(own.known)) == first(address))?;
        Some(port.purpose.target.name())
    }
}

/// Returns an address with its actual port.
fn known(address: ListenAddress, bound: SocketAddr) -> ListenAddress {
    match address {
        ListenAddress::One(_) => ListenAddress::One(bound),
        ListenAddress::Localhost(_) => ListenAddress::Localhost(bound.port()),
    }
}

/// Returns the socket for the second address of a port bound at `bound`, if there is one. If another program has it,
/// that program may be mistaken for us.
fn decide<T>(
    core: &mut Core,
    second: Second<T>,
    bound: SocketAddr,
    sharing: Sharing,
) -> Result<Option<T>, ListenError> {
    match (second, sharing) {
        (Second::Taken(second), _) => Ok(Some(second)),
        (Second::Absent, _) => Ok(None),
        (Second::InUse(addr), Sharing::Refused) => Err(ListenError::InUse { addr }),
        (Second::InUse(addr), Sharing::Warned) => {
            let port = bound.port();
            let message = format!(
                "another program has {addr}: a connection to localhost:{port} may reach it. Use {bound}, end that \
                 program, or choose another port"
            );
            core.turn.warn("port-shared", message);
            Ok(None)
        }
    }
}

impl Client {
    /// Handles datagrams of local programs. Without a session they are lost, as on a network that is down.
    pub(super) fn receive_datagrams(&mut self, listener: UdpListenerKey) {
        // The session may have ended in this turn, without notice so far.
        let session = self.session.filter(|key| self.local.is_connected && self.core.sessions.get_mut(*key).is_some());
        let Some(LocalDatagrams { purpose, .. }) = self.local.datagrams.get(&listener) else {
            // This is the relay of a program that uses our proxy: every datagram names its destination.
            return self.core.receive_from_programs(listener, session.map(|session| (session, None)));
        };
        let services = session
            .and_then(|session| self.core.sessions.get_mut(session))
            .map(|entry| entry.session.mux().peer().map(|hello| hello.services.clone()).unwrap_or_default());
        let target = services.and_then(|services| purpose.target.target(&services, self.local.only.as_deref()));
        let wanted = session.zip(target.as_ref()).map(|(session, target)| (session, Some(target)));
        self.core.receive_from_programs(listener, wanted);
    }

    /// Accepts connections. Before the first session, the system keeps them in its own queue.
    pub(super) fn accept(&mut self, which: Listening) {
        for (key, port) in self.local.listeners.iter_mut() {
            port.is_acceptable |= [Listening::All, Listening::At(key.slot())].contains(&which);
        }
        if let Stage::Joining = self.stage {
            return;
        }
        let acceptable = self.local.listeners.iter().filter(|(_, port)| port.is_acceptable).map(|(key, _)| key);
        for key in acceptable.collect::<Vec<_>>() {
            for _ in 0..ACCEPTS_PER_TURN {
                let Some(port) = self.local.listeners.get_mut(key) else { break };
                match port.listener.accept() {
                    Accepted::Connection(stream, name, ends) => {
                        let port_target = port.purpose.target.clone();
                        self.take(Incoming { stream, name, ends }, port_target);
                    }
                    Accepted::Empty => {
                        port.is_acceptable = false;
                        break;
                    }
                    Accepted::Exhausted(error) => {
                        debug!("accept paused: {error}");
                        return self.core.turn.pause_accepting();
                    }
                    Accepted::Fatal(error) => return self.fail(error),
                }
            }
            if self.local.listeners.get(key).is_some_and(|port| port.is_acceptable) {
                self.core.turn.tell(Notice::Acceptable(Listening::At(key.slot())));
            }
        }
    }

    /// Opens streams for waiting connections.
    pub(super) fn serve_waiting(&mut self) {
        for (_, incoming, port_target) in std::mem::take(&mut self.local.waiting) {
            self.take(incoming, port_target);
        }
    }

    /// Resets connections that waited too long.
    pub(super) fn expire_waiting(&mut self) {
        while self.local.waiting.front().is_some_and(|(deadline, ..)| *deadline <= self.core.turn.now) {
            if let Some((_, incoming, _)) = self.local.waiting.pop_front() {
                debug!("local={} reset: no session within {WAIT:?}", incoming.name);
                incoming.stream.reset();
            }
        }
    }

    /// Closes every listener for good.
    pub(super) fn stop_listening(&mut self) {
        self.local.is_closed = true;
        for mut port in self.local.listeners.drain() {
            self.core.turn.deregister(&mut port.listener);
        }
        self.local.waiting.drain(..).for_each(|(_, incoming, _)| incoming.stream.reset());
    }

    fn take(&mut self, incoming: Incoming, port_target: PortTarget) {
        if port_target == PortTarget::Proxy {
            return self.negotiate(incoming);
        }
        let session = self.session.filter(|_| self.local.is_connected);
        let entry = session.and_then(|session| self.core.sessions.get_mut(session));
        let Some(entry) = entry else { return self.wait(incoming, port_target) };
        let services = entry.session.mux().peer().map(|hello| hello.services.clone()).unwrap_or_default();
        match (session, port_target.target(&services, self.local.only.as_deref())) {
            (Some(session), Some(target)) => {
                self.core.open_stream(session, incoming, &target);
            }
            // The host was restarted with other services.
            _ => incoming.stream.reset(),
        }
    }

    fn wait(&mut self, incoming: Incoming, port_target: PortTarget) {
        if self.local.waiting.len() >= MAX_WAITING {
            return incoming.stream.reset();
        }
        let deadline = self.core.turn.now + WAIT;
        self.local.waiting.push_back((deadline, incoming, port_target));
        self.core.turn.deadlines.add(deadline, Due::Client(ClientDue::Waiting));
    }
}
