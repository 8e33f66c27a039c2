//! The server's side of the loop: hosts with lasting names, the clients that join them, and visitors by HTTP.
//!
//! A host has one WebSocket. Each client of the host is a numbered conversation on it, whose messages are passed on
//! without reading them. Conversation 0 is the server's own session with the host: its streams carry the requests of
//! the gateway and of the proxy.

mod admin;
mod claiming;
mod clients;
mod cluster;
mod departures;
#[cfg(unix)]
mod dial;
mod directory;
mod distant;
mod ending;
mod files;
mod health;
mod hosts;
mod links;
mod logins;
mod overview;
mod peers;
mod phase;
mod places;
mod quota;
mod register;
mod reload;
mod route;
mod splice;
mod store;
mod streams;
mod survey;
mod visitor;
mod waiting;
mod web;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
#[cfg(feature = "cli")]
use std::time::Duration;

use rustls::ServerConfig as TlsConfig;

use self::cluster::Cluster;
use self::departures::Departures;
#[cfg(unix)]
pub use self::dial::Dialer as ServerDialer;
use self::ending::Stage;
use self::files::{Tls, read_access, read_tls};
use self::logins::Limiter;
use self::phase::Phase;
pub(crate) use self::reload::ServerReloader;
use self::visitor::{MAX_CONNECTIONS, Web, WebKey};
use self::waiting::Waiting;
#[cfg(unix)]
use self::waiting::Wanted;
use super::RunError;
use super::core::Core;
use super::deadlines::{Due, ServerDue};
use super::dialer::Dialer;
use super::keys::{LinkKey, SessionKey};
use super::links::Links;
#[cfg(feature = "cli")]
use super::looks::Observer;
use super::notice::{Listening, Notice, ServerNotice};
#[cfg(unix)]
use super::opener::{Opener, Requests};
#[cfg(feature = "cli")]
use super::reload::Reader;
use super::reload::{Reloading, Reread};
use super::side::Side;
#[cfg(feature = "cli")]
use super::signals::HangUps;
#[cfg(feature = "cli")]
use super::supervision::Supervision;
use super::table::{Key, Table};
use super::turn::{Reporter, Stopper};
use crate::config::ServerConfig;
use crate::config::tokens::Tokens;
use crate::control::Order;
use crate::http::Answer;
use crate::http::forwarded::{Sender, TrustedProxies};
use crate::net::system::{Interest, TcpListener};
use crate::net::{limits, listen};
use crate::session::Reach;
use crate::shares::Shares;
use crate::signaling::rendezvous::HostId;
use crate::status::event::Event;
use crate::status::metrics::Metrics;
use crate::status::overview::ServerStatus;
use crate::status::snapshot::Snapshot;
use crate::tunnel::StreamKey;

/// Gives hosts lasting names, and lets clients and visitors reach them.
pub struct Server {
    pub(super) core: Core,
    config: ServerConfig,
    tls: Option<Arc<TlsConfig>>,
    access: Access,
    /// The front ends that are trusted about visitors' addresses.
    proxies: Arc<TrustedProxies>,
    ports: Table<Port>,
    links: Links<Phase>,
    /// The link of each registered host.
    names: HashMap<HostId, LinkKey>,
    /// The other servers, if this is one of several.
    cluster: Option<Cluster>,
    /// What waits until the directory has said where a host is.
    waiting: HashMap<HostId, Vec<Waiting>>,
    /// The link of the host, or of the other server, of each session.
    sessions: HashMap<SessionKey, LinkKey>,
    webs: Table<Web>,
    /// The connection of each stream that carries requests.
    streams: HashMap<(SessionKey, StreamKey), WebKey>,
    /// Number of such streams so far.
    opened: u64,
    /// Slows down guesses of logins, for hosts with wrong ones.
    logins: HashMap<HostId, Limiter>,
    /// The handle for other threads to dial, and their requests.
    #[cfg(unix)]
    dialer: ServerDialer,
    #[cfg(unix)]
    dials: Requests<Wanted>,
    /// Read buffer shared by all visitor connections.
    piece: Box<[u8]>,
    /// Connections without a request; hosts; clients.
    asking: Shares<LinkKey>,
    hosts: Shares<LinkKey>,
    clients: Shares<LinkKey>,
    /// Connections of visitors, and those with a long incomplete head.
    visitors: Shares<WebKey>,
    heads: Shares<WebKey>,
    /// Bytes that wait for slow clients, of all of them.
    queued: usize,
    metrics: Metrics,
    /// Where files and settings come in that were read again.
    reloading: Reloading<reload::Read>,
    stage: Stage,
    /// Hosts that go to other servers while this one ends.
    departures: Departures,
}

/// Who may register.
enum Access {
    Open,
    Tokens(Tokens),
}

/// Key of a listener.
type PortKey = Key<Port>;

/// A listener, and its purpose.
struct Port {
    listener: TcpListener,
    serves: Serves,
}

/// The purpose of a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Serves {
    /// Signaling and pages about the server; also published services, if there is a gateway.
    Signaling,
    /// Published services.
    Gateway,
    /// Connections that hosts dial for holders of tokens that may dial.
    Proxy,
    /// Links to other servers of the cluster.
    Peers,
}

impl Server {
    /// Binds every port and reads tokens and certificate; [`Server::run`] reports the addresses.
    ///
    /// # Errors
    /// A port cannot be bound, or a file cannot be read.
    pub fn bind(config: ServerConfig, reporter: Reporter) -> Result<Server, RunError> {
        let reach = Reach { direct: false, ..Reach::default() };
        let mut core = Core::new(Dialer::default(), reach, Vec::new(), reporter)?;
        let (tls, access) = (read_tls(&config)?, read_access(&config)?);
        let tls = tls.map(|tls| tls.warn_of(&mut core.turn));
        let mut wanted = vec![(config.listen, Serves::Signaling)];
        let gateway = config.gateway.iter().flat_map(|gateway| &gateway.listen);
        wanted.extend(gateway.map(|&address| (address, Serves::Gateway)));
        wanted.extend(config.proxy_listen.map(|address| (address, Serves::Proxy)));
        let peers = config.cluster.as_ref().and_then(|cluster| cluster.listen);
        wanted.extend(peers.map(|address| (address, Serves::Peers)));
        let cluster = config.cluster.as_ref().map(|settings| Cluster::new(&mut core.turn, settings)).transpose()?;
        let mut ports = Table::new();
        for (address, serves) in wanted {
            let mut listener = listen::listen(address)?;
            let token = super::token::Source::Listener(ports.next_key().slot()).token();
            core.turn.registry().register(&mut listener, token, Interest::READABLE)?;
            ports.insert(Port { listener, serves });
        }
        core.control.open(&mut core.turn, config.control.as_ref())?;
        if let Some(address) = config.proxy_listen
            && !address.ip().to_canonical().is_loopback()
            && tls.is_none()
        {
            let message = format!(
                "programs send their tokens to {address} without TLS, and others on the network can read them: add --tls-cert and \
                 --tls-key, or listen on 127.0.0.1"
            );
            core.turn.warn("proxy-listen", message);
        }
        #[cfg(unix)]
        let (opener, dials) = Opener::new(core.turn.waker());
        let (max_hosts, max_clients) = (config.max_hosts, config.max_clients);
        Ok(Server {
            #[cfg(unix)]
            dialer: ServerDialer::new(opener),
            #[cfg(unix)]
            dials,
            core,
            tls,
            access,
            proxies: Arc::new(trusted_proxies(&config)),
            config,
            ports,
            links: Links::new(),
            names: HashMap::new(),
            cluster,
            waiting: HashMap::new(),
            sessions: HashMap::new(),
            webs: Table::new(),
            streams: HashMap::new(),
            opened: 0,
            logins: HashMap::new(),
            piece: vec![0; web::PIECE].into_boxed_slice(),
            asking: Shares::new(quota::MAX_ASKING),
            hosts: Shares::new(max_hosts),
            clients: Shares::new(max_clients),
            visitors: Shares::new(MAX_CONNECTIONS),
            heads: Shares::new(quota::MAX_LONG_HEADS),
            queued: 0,
            metrics: Metrics::new(std::time::SystemTime::now()),
            reloading: Reloading::new(),
            stage: Stage::Serving,
            departures: Departures::default(),
        })
    }

    /// Returns the bound address of signaling.
    pub fn local_addr(&self) -> SocketAddr {
        self.address(Serves::Signaling).unwrap_or(self.config.listen)
    }

    fn address(&self, serves: Serves) -> Option<SocketAddr> {
        self.addresses(serves).next()
    }

    fn addresses(&self, serves: Serves) -> impl Iterator<Item = SocketAddr> {
        let ports = self.ports.iter().map(|(_, port)| port).filter(move |port| port.serves == serves);
        ports.filter_map(|port| port.listener.local_addr().ok())
    }

    /// Returns a handle that ends the run from another thread.
    pub fn stopper(&self) -> Stopper {
        self.core.turn.stopper()
    }

    /// Returns a handle that gives the run other settings from another thread.
    pub(crate) fn reloader(&self) -> ServerReloader {
        ServerReloader::new(self.reloading.reloader(self.core.turn.waker()))
    }

    /// Makes SIGINT and SIGTERM end the run in order, and SIGHUP read tokens and certificate again; with a `reader`,
    /// all settings. SIGHUP also ends the run if it came because the terminal was closed on which the server was
    /// started without `nohup`. It may have been `taken` over already.
    ///
    /// # Errors
    /// The system's.
    #[cfg(feature = "cli")]
    pub fn handle_signals(
        &mut self,
        taken: Option<HangUps>,
        reader: Option<Reader<Reread<ServerConfig>>>,
    ) -> Result<(), RunError> {
        let reader = reload::reader(self.config.clone(), reader);
        Ok(self.reloading.handle_signals(&mut self.core.turn, taken, Some(reader))?)
    }

    /// Has somebody shown what the run is doing, when it changes, at most once in an interval.
    #[cfg(feature = "cli")]
    pub fn observe(&mut self, interval: Duration, observer: Observer) {
        self.core.turn.observe(interval, observer);
    }

    /// Has a service manager told how the run is.
    #[cfg(feature = "cli")]
    pub fn supervise(&mut self, supervision: Supervision) {
        self.core.turn.supervise(supervision);
    }

    /// Runs until it is stopped.
    ///
    /// # Errors
    /// The loop cannot go on.
    pub fn run(mut self) -> Result<(), RunError> {
        self.drive()
    }

    fn handle_own(&mut self, notice: ServerNotice) {
        match notice {
            ServerNotice::Web { slot, event } => self.handle_web_event(slot, &event),
            ServerNotice::WebPoll { web } => self.poll_web(web),
            // The stage is checked in each turn.
            ServerNotice::Due(ServerDue::Stage) => {}
            ServerNotice::Resolved { peer, answer } => self.peer_resolved(peer, answer),
            ServerNotice::Due(ServerDue::Redial) => self.redial_peers(),
            ServerNotice::Due(ServerDue::Pulse) => self.watch_peers(),
            ServerNotice::Due(ServerDue::Departure) => self.go_on_with_departures(),
            ServerNotice::Directory { event } => self.handle_directory_event(&event),
            ServerNotice::DirectoryPoll => self.poll_directory(),
            ServerNotice::DirectoryResolved { answer } => self.directory_resolved(answer),
            ServerNotice::Due(ServerDue::Directory) => self.handle_directory_due(),
            ServerNotice::Due(ServerDue::Logins) => self.serve_logins(),
            ServerNotice::Due(ServerDue::Web(web)) => self.handle_web_due(web),
        }
    }
}

impl Side for Server {
    fn core(&mut self) -> &mut Core {
        &mut self.core
    }

    fn start(&mut self) {
        let descriptors = limits::descriptor_limit().unwrap_or_default();
        self.fit_places(descriptors);
        let serving = Event::Serving {
            listen: self.local_addr(),
            tls: self.tls.is_some(),
            gateway: self.addresses(Serves::Gateway).collect(),
            domain: self.config.gateway.as_ref().map(|gateway| gateway.domain.to_string()),
            proxy: self.address(Serves::Proxy),
            admin: self.core.control.address(),
            peers: self.address(Serves::Peers),
            open: matches!(self.access, Access::Open),
            descriptors,
        };
        self.core.turn.report(&serving);
        self.core.turn.ready();
        self.core.turn.set(self.links.look_interval(), Due::KeepAlive);
        self.watch_peers();
        self.dial_peers();
        self.dial_directory();
    }

    fn snapshot(&mut self) -> Snapshot {
        self.survey()
    }

    fn metrics(&mut self) -> String {
        self.count()
    }

    fn server_status(&mut self) -> Option<ServerStatus> {
        Some(self.show())
    }

    /// A server has no sessions with peers.
    fn end_session(&mut self, _session: SessionKey) {}

    fn obey(&mut self, order: Order) -> Answer {
        self.follow_order(order)
    }

    fn handle(&mut self, notice: Notice) -> Result<(), RunError> {
        match notice {
            Notice::Acceptable(Listening::At(slot)) => {
                if let Some(port) = self.ports.at(slot) {
                    self.accept(port)?;
                }
            }
            Notice::Acceptable(Listening::All) => {
                let ports: Vec<PortKey> = self.ports.iter().map(|(key, _)| key).collect();
                ports.into_iter().try_for_each(|port| self.accept(port))?;
            }
            Notice::Link(notice) => self.handle_link(notice),
            Notice::Signal { session, signal, .. } => self.send_signal(session, signal),
            Notice::Unowned { session, event } => self.handle_stream(session, event),
            Notice::Ended { session, end, .. } => self.session_ended(session, &end),
            Notice::KeepAlive => self.keep_alive(),
            Notice::Woken => {
                #[cfg(unix)]
                self.handle_dials();
                self.finish_reload();
            }
            Notice::Stop => self.stop(),
            #[cfg(feature = "cli")]
            Notice::Reload => self.begin_reload(),
            Notice::Server(notice) => self.handle_own(notice),
            Notice::Peer(_) | Notice::Host(_) | Notice::Client(_) | Notice::Look | Notice::Control(_) => {}
        }
        Ok(())
    }

    fn poll_outcome(&mut self) -> Option<Result<(), RunError>> {
        self.settle_names();
        self.settle_directory();
        self.go_on_ending();
        let is_over = match self.stage {
            Stage::Leaving(by) => by <= self.core.turn.now || self.links.is_empty(),
            Stage::Over => true,
            Stage::Serving | Stage::Draining(_) | Stage::Parting(_) => false,
        };
        is_over.then_some(Ok(()))
    }
}

/// Returns the trusted proxies. If all ports for visitors are on loopback, every request comes from a program of this
/// machine, which may say that visitors use TLS: a forgery deceives only the forger. Visitors' addresses are believed
/// only from proxies that were configured.
fn trusted_proxies(config: &ServerConfig) -> TrustedProxies {
    let mut ports = config.gateway.iter().flat_map(|gateway| &gateway.listen).chain([&config.listen]);
    let is_behind_others = config.trusted_proxies.is_empty() && ports.all(|port| port.ip().is_loopback());
    TrustedProxies::new(config.trusted_proxies.clone(), is_behind_others)
}

/// Returns the address that tells a sender from others: with its port, if it connected itself.
fn source_of(remote: SocketAddr, sender: &Sender) -> SocketAddr {
    if remote.ip().to_canonical() == sender.address { remote } else { SocketAddr::new(sender.address, 0) }
}
