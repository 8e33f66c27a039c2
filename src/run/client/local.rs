//! Where local programs connect: what appears there, and what happens to those who come while there is no session.

mod forwards;

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use log::debug;

use super::{Client, Stage};
use crate::address::{Bind, Endpoint, ListenAddress};
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

/// Connections accepted in one turn.
const ACCEPTS_PER_TURN: usize = 64;

/// How long a local connection waits for a session, and how many do; further ones are reset at once.
const WAIT: Duration = Duration::from_secs(10);
const MAX_WAITING: usize = 256;

/// The listeners, and who waits.
#[derive(Default)]
pub(super) struct LocalPorts {
    listeners: Table<LocalPort>,
    datagrams: HashMap<UdpListenerKey, LocalDatagrams>,
    /// Ports that are taken by ours already, and may be meant for the other protocol.
    deferred: Vec<(ListenAddress, What)>,
    waiting: VecDeque<(Instant, Incoming, What)>,
    /// Messages pass: streams can be opened.
    pub(super) is_connected: bool,
    is_closed: bool,
}

struct LocalPort {
    listener: Listener,
    /// `None` for a unix socket.
    address: Option<Address>,
    /// As people read it; `None` for the second address of a port.
    name: Option<String>,
    what: What,
    is_acceptable: bool,
}

/// Where a port is.
#[derive(Debug, Clone, Copy)]
struct Address {
    /// As it was asked for: the port may be the system's to choose.
    asked: ListenAddress,
    /// Its port known.
    known: ListenAddress,
}

struct LocalDatagrams {
    /// As people read it; `None` for the second address of a port.
    name: Option<String>,
    what: What,
}

/// Whether a port may be taken that another program has at the second address.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Sharing {
    /// It is what the user asked for: taken, and said.
    Warned,
    /// Any other port does as well.
    Refused,
}

/// What connections of a listener lead to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum What {
    /// The only service the host has.
    Only,
    /// The service of that name.
    Service(String),
    /// What the host is asked to dial.
    Dial(ConnectTarget, String),
    /// Whatever the program asks for.
    Proxy,
}

impl What {
    /// Returns what appears there, for people.
    fn name(&self) -> String {
        match self {
            What::Only => String::new(),
            What::Service(name) => name.clone(),
            What::Dial(_, name) => name.clone(),
            What::Proxy => "proxy".to_owned(),
        }
    }

    /// Tells whether it names that service.
    fn is(&self, service: &Service) -> bool {
        matches!(self, What::Service(name) if *name == service.name)
    }

    /// Finds the target among what the host has now.
    fn target(&self, services: &[Service]) -> Option<ConnectTarget> {
        match self {
            What::Only => services.first().map(|service| ConnectTarget::Service(service.id)),
            What::Service(_) => {
                services.iter().find(|service| self.is(service)).map(|service| ConnectTarget::Service(service.id))
            }
            What::Dial(target, _) => Some(target.clone()),
            What::Proxy => None,
        }
    }
}

/// Returns what the host is asked to dial.
pub(super) fn named_target(endpoint: &Endpoint) -> ConnectTarget {
    match endpoint {
        Endpoint::Tcp(target) => ConnectTarget::Tcp(target.to_string()),
        Endpoint::Udp(target) => ConnectTarget::Udp(target.to_string()),
        Endpoint::Unix(path) => ConnectTarget::Unix(path.display().to_string()),
    }
}

impl LocalPorts {
    /// Tells whether connections are taken, at once or later.
    pub(super) fn is_open(&self) -> bool {
        !self.is_closed
    }

    /// Returns the address of the first TCP listener.
    pub(super) fn address(&self) -> Option<SocketAddr> {
        self.listeners.iter().find_map(|(_, port)| port.listener.local_addr())
    }

    fn add(&mut self, core: &mut Core, bind: &Bind, what: What, sharing: Sharing) -> Result<(), RunError> {
        match bind {
            Bind::Tcp(address) => {
                let (first, bound, second) = Listener::take_both(address.addresses())?;
                let second = decide(core, second, bound, sharing)?;
                let address = Address { asked: *address, known: known(*address, bound) };
                self.insert(core, first, Some(address), Some(bound.to_string()), what.clone())?;
                second.map_or(Ok(()), |second| self.insert(core, second, Some(address), None, what))
            }
            #[cfg(unix)]
            Bind::Unix(path) => self.insert(core, Listener::unix(path)?, None, Some(bind.to_string()), what),
            #[cfg(not(unix))]
            Bind::Unix(_) => Err(RunError::NoService("this system has no unix sockets".to_owned())),
            Bind::Udp(address) => {
                let (first, bound, second) = UdpListener::take_both(*address)?;
                let second = decide(core, second, bound, sharing)?;
                let name = Some(format!("udp:{bound}"));
                self.datagrams.insert(core.add_listener(first)?, LocalDatagrams { name, what: what.clone() });
                if let Some(second) = second {
                    self.datagrams.insert(core.add_listener(second)?, LocalDatagrams { name: None, what });
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
        what: What,
    ) -> Result<(), RunError> {
        let token = Source::Listener(self.listeners.next_key().slot()).token();
        core.turn.registry().register(&mut listener, token, Interest::READABLE)?;
        self.listeners.insert(LocalPort { listener, address, name, what, is_acceptable: true });
        Ok(())
    }

    fn has(&self, what: &What) -> bool {
        let mut all = self.listeners.iter().map(|(_, port)| &port.what);
        all.any(|own| own == what) || self.datagrams.values().any(|datagrams| datagrams.what == *what)
    }

    /// Returns what appears at a TCP port of ours.
    fn taken_by(&self, address: ListenAddress) -> Option<String> {
        let first = |address: ListenAddress| address.addresses().next();
        let mut named = self.listeners.iter().filter(|(_, port)| port.name.is_some());
        let (_, port) = named.find(|(_, port)| port.address.and_then(|own| first(own.known)) == first(address))?;
        Some(port.what.name())
    }
}

/// Returns an address with the port that it got.
fn known(address: ListenAddress, bound: SocketAddr) -> ListenAddress {
    match address {
        ListenAddress::One(_) => ListenAddress::One(bound),
        ListenAddress::Localhost(_) => ListenAddress::Localhost(bound.port()),
    }
}

/// Returns what was got of the second address of a port that was got at `bound`. Who has it instead may be taken for
/// us.
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
                "another program has {addr}: whoever asks for localhost:{port} may reach that one. Use {bound}, end that \
                 program, or choose another port"
            );
            core.turn.warn("port-shared", message);
            Ok(None)
        }
    }
}

impl Client {
    /// Takes datagrams of local programs. Without a session they are lost, as on a network that is down.
    pub(super) fn receive_datagrams(&mut self, listener: UdpListenerKey) {
        // The session may have ended in this turn, and nobody was told yet.
        let session = self.session.filter(|key| self.local.is_connected && self.core.sessions.get_mut(*key).is_some());
        let Some(LocalDatagrams { what, .. }) = self.local.datagrams.get(&listener) else {
            // The relay of a program that asked our proxy: every datagram says where to.
            return self.core.receive_from_programs(listener, session.map(|session| (session, None)));
        };
        let services = session
            .and_then(|session| self.core.sessions.get_mut(session))
            .map(|entry| entry.session.mux().peer().map(|hello| hello.services.clone()).unwrap_or_default());
        let target = services.and_then(|services| what.target(&services));
        let wanted = session.zip(target.as_ref()).map(|(session, target)| (session, Some(target)));
        self.core.receive_from_programs(listener, wanted);
    }

    /// Takes connections. Before the first session the system keeps them in its own queue.
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
                        let what = port.what.clone();
                        self.take(Incoming { stream, name, ends }, what);
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

    /// Opens streams for those who waited.
    pub(super) fn serve_waiting(&mut self) {
        for (_, incoming, what) in std::mem::take(&mut self.local.waiting) {
            self.take(incoming, what);
        }
    }

    /// Resets those who waited for too long.
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

    fn take(&mut self, incoming: Incoming, what: What) {
        if what == What::Proxy {
            return self.negotiate(incoming);
        }
        let session = self.session.filter(|_| self.local.is_connected);
        let entry = session.and_then(|session| self.core.sessions.get_mut(session));
        let Some(entry) = entry else { return self.wait(incoming, what) };
        let services = entry.session.mux().peer().map(|hello| hello.services.clone()).unwrap_or_default();
        match (session, what.target(&services)) {
            (Some(session), Some(target)) => {
                self.core.open_stream(session, incoming, &target);
            }
            // The host was started again with other services.
            _ => incoming.stream.reset(),
        }
    }

    fn wait(&mut self, incoming: Incoming, what: What) {
        if self.local.waiting.len() >= MAX_WAITING {
            return incoming.stream.reset();
        }
        let deadline = self.core.turn.now + WAIT;
        self.local.waiting.push_back((deadline, incoming, what));
        self.core.turn.deadlines.add(deadline, Due::Client(ClientDue::Waiting));
    }
}
