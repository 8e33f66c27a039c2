//! Hosts, clients and servers, and the settings that tests start from.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use crate::address::Target;
use crate::config::{ClientConfig, HostConfig, Registration};
use crate::net::world::Here;
use crate::run::core::Core;
use crate::run::side::Side;
use crate::run::{Client, Host, Reporter, RunError, Server, Stopper};
use crate::session::Reach;
use crate::signaling::pin::Pin;
use crate::signaling::rendezvous::HostId;
use crate::signaling::url::SignalingUrl;
use crate::status::event::Event;

/// The pin of every host.
const PIN: &str = "314159";

/// Port of hosts.
const HOST_PORT: u16 = 7000;

/// Port of servers.
pub(in crate::run) const SERVER_PORT: u16 = 8080;

/// The address a client forwards from.
const LOCAL: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 9000);

pub(super) enum Kind {
    Host(Box<Host>),
    Client(Box<Client>),
    Server(Box<Server>),
}

/// The reports of a side, and their times.
type Told = Arc<Mutex<Vec<(Instant, Event)>>>;

/// A process.
pub(super) struct Running {
    pub(super) here: Here,
    /// `None` once the run is over.
    pub(super) kind: Option<Kind>,
    pub(super) end: Option<Result<(), RunError>>,
    pub(super) is_stalled: bool,
    stopper: Option<Stopper>,
    told: Told,
}

impl Kind {
    pub(super) fn core(&mut self) -> &mut Core {
        match self {
            Kind::Host(host) => &mut host.core,
            Kind::Client(client) => &mut client.core,
            Kind::Server(server) => &mut server.core,
        }
    }

    pub(super) fn core_ref(&self) -> &Core {
        match self {
            Kind::Host(host) => &host.core,
            Kind::Client(client) => &client.core,
            Kind::Server(server) => &server.core,
        }
    }

    fn start(&mut self) {
        match self {
            Kind::Host(host) => host.start(),
            Kind::Client(client) => client.start(),
            Kind::Server(server) => server.start(),
        }
    }

    fn turn(&mut self) -> Result<bool, RunError> {
        match self {
            Kind::Host(host) => host.turn(),
            Kind::Client(client) => client.turn(),
            Kind::Server(server) => server.turn(),
        }
    }
}

impl Running {
    pub(super) fn start(
        here: Here,
        bind: impl FnOnce(Reporter) -> Result<Kind, RunError>,
    ) -> Result<Running, RunError> {
        let told = Told::default();
        let (own, place) = (told.clone(), here.clone());
        let reporter: Reporter = Box::new(move |event| {
            let now = place.now();
            own.lock().unwrap_or_else(PoisonError::into_inner).push((now, event.clone()));
        });
        let mut kind = here.enter(|| bind(reporter))?;
        here.enter(|| kind.start());
        let stopper = Some(kind.core().turn.stopper());
        let mut running = Running { here, kind: Some(kind), end: None, is_stalled: false, stopper, told };
        running.turn(|_| Ok(()));
        Ok(running)
    }

    pub(super) fn told(&self) -> Vec<(Instant, Event)> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn events(&self) -> Vec<Event> {
        self.told().into_iter().map(|(_, event)| event).collect()
    }

    pub(super) fn stop(&self) {
        self.stopper.iter().for_each(Stopper::stop);
    }

    pub(super) fn kill(&mut self) {
        let kind = self.kind.take();
        self.here.enter(|| drop(kind));
    }

    /// Returns when it has work although nothing arrives.
    pub(super) fn due_at(&self) -> Option<Instant> {
        self.kind.as_ref().filter(|_| !self.is_stalled)?.core_ref().turn.due_at()
    }

    /// Turns its loop once if a real loop would not sleep now.
    pub(super) fn turn_if_wanted(&mut self) -> bool {
        let Some(kind) = self.kind.as_ref().filter(|_| !self.is_stalled) else { return false };
        let core = kind.core_ref();
        let is_due = core.turn.due_at().is_some_and(|at| at <= self.here.now());
        let has_work = core.has_work() || !core.turn.notices.is_empty();
        let is_wanted = is_due || has_work || self.here.network().has_events(self.here.process);
        if is_wanted {
            self.turn(Core::wait);
        }
        is_wanted
    }

    fn turn(&mut self, wait: impl FnOnce(&mut Core) -> std::io::Result<()>) {
        let Some(kind) = &mut self.kind else { return };
        let outcome = self.here.enter(|| {
            wait(kind.core())?;
            kind.turn()
        });
        match outcome {
            Ok(false) => return,
            Ok(true) => self.end = Some(Ok(())),
            Err(error) => self.end = Some(Err(error)),
        }
        self.kill();
    }
}

/// Returns a host that shares a service of its machine, and listens at every address.
pub(in crate::run) fn host_of(target: &str) -> HostConfig {
    let target: Target = target.parse().unwrap();
    HostConfig {
        listen: Some((Ipv4Addr::UNSPECIFIED, HOST_PORT).into()),
        pin: Pin::new(PIN),
        stun: Vec::new(),
        // Most tests here do not depend on the path, and the relay is faster to test.
        reach: Reach { direct: false, ..Reach::default() },
        ..HostConfig::sharing(target)
    }
}

/// Returns a client of the host at an address or name.
pub(in crate::run) fn client_of(host: &str) -> ClientConfig {
    let (url, _) = SignalingUrl::parse(&format!("ws://{host}:{HOST_PORT}")).unwrap();
    ClientConfig { stun: Vec::new(), ..ClientConfig::joining(url, Pin::new(PIN).unwrap(), LOCAL) }
}

pub(in crate::run) fn id(text: &str) -> HostId {
    text.parse().unwrap()
}

/// Returns a registration at the server at an address or name.
pub(in crate::run) fn registration(server: &str, name: &str) -> Registration {
    let server = SignalingUrl::parse_server(&format!("ws://{server}:{SERVER_PORT}")).unwrap();
    Registration::new(server, id(name))
}
