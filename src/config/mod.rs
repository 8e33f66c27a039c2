//! The settings of a run, and their parts.
//!
//! Fields may be added later, so settings are made by a constructor and changed field by field.

mod approver;
#[cfg(feature = "server")]
pub(crate) mod cluster;
mod control;
#[cfg(feature = "server")]
pub(crate) mod directory;
mod error;
mod expiry;
mod forwards;
mod invitation;
mod server;
#[cfg(feature = "server")]
pub(crate) mod tokens;

use std::collections::HashSet;
use std::iter;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::path::PathBuf;
use std::time::Duration;

#[cfg(unix)]
pub(crate) use forwards::ProgramService;
pub(crate) use forwards::StreamTarget;
pub use forwards::{LocalForward, ProxyProtocol, Rate, ReverseForward, ServiceBind, SharedService, is_service_name};
pub use server::{
    DEFAULT_MAX_CLIENTS, DEFAULT_MAX_HOSTS, Domain, DomainError, GatewayConfig, OtherServer, PublicService,
    Registration, ServerAccess, ServerConfig, TlsFiles,
};

pub use self::approver::{Approver, JoinRequest};
#[cfg(feature = "server")]
pub use self::cluster::ClusterConfig;
pub use self::control::{AdminToken, AdminTokenError, ControlConfig, ControlFolder, ProcessName, ProcessNameError};
#[cfg(feature = "server")]
pub use self::directory::{DirectoryAddress, DirectoryConfig, DirectoryUrl, DirectoryUrlError};
pub use self::error::ConfigError;
pub use self::expiry::ExpiryError;
pub(crate) use self::invitation::MAX_LABEL;
pub use self::invitation::{Expiry, Invitation, MAX_INVITATIONS};
// Parts of settings. Each has a text form, and is parsed with `str::parse` or its own `parse`.
pub use crate::access::{AccessList, ReverseAccess, ReverseRule, Rule, RuleError};
pub use crate::address::{AddressError, Bind, Endpoint, ListenAddress, Protocol, Target};
pub use crate::http::field::{HeaderField, HeaderFieldError};
pub use crate::http::proxy::{Proxy, ProxyError, ProxyVariables};
pub use crate::session::Reach;
pub use crate::signaling::invitation::{InvitationId, InvitationIdError};
pub use crate::signaling::rendezvous::{HostId, HostIdError, Token, TokenError};
pub use crate::signaling::url::{SignalingUrl, UrlError};
pub use crate::socks::{Credentials, CredentialsError};

pub use crate::tunnel::hello::MAX_SERVICES;

#[cfg(unix)]
use crate::net::program_stream::{self, ProgramListener};
use crate::signaling::pin::Pin;
use crate::tunnel;

/// Default for [`HostConfig::max_sessions`].
pub const DEFAULT_MAX_SESSIONS: usize = 16;

/// Largest number of clients at a time that can be asked for.
pub(crate) const MAX_SESSIONS: usize = 1024;

/// Default for [`HostConfig::listen`] of a host without a server: any free port of this machine only.
pub const DEFAULT_HOST_LISTEN: SocketAddr = SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0));

/// Default for [`HostConfig::udp_idle`] and [`ClientConfig::udp_idle`].
pub const DEFAULT_UDP_IDLE: Duration = Duration::from_secs(60);

/// Host names and ports of the STUN servers that the program asks by default.
pub const DEFAULT_STUN_SERVERS: [(&str, u16); 2] = [("stun.l.google.com", 19302), ("stun1.l.google.com", 19302)];

/// The settings of a [`Host`](crate::Host).
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct HostConfig {
    /// The shared services. There is at least one, or a rule in `allow` or `allow_reverse`.
    pub services: Vec<SharedService>,
    /// Services that this program serves itself.
    #[cfg(unix)]
    pub(crate) programs: Vec<ProgramService>,
    /// Targets that clients may ask the host to dial, beside the services.
    pub allow: AccessList,
    /// Addresses that clients may ask the host to listen on.
    pub allow_reverse: ReverseAccess,
    /// Limits of each session.
    pub bounds: Bounds,
    /// Idle time after which a UDP flow ends.
    pub udp_idle: Duration,
    /// Address of the signaling WebSocket; port 0 lets the system choose. With `None`, clients come through the server
    /// only.
    pub listen: Option<SocketAddr>,
    /// The address under which others reach the signaling WebSocket, where something forwards it: what is passed on is
    /// complete then ([`Event::Listening`](crate::Event::Listening)). It changes nothing else.
    pub public_url: Option<SignalingUrl>,
    /// Registration at a server, through which clients may come, too.
    pub server: Option<Registration>,
    /// The pin that clients must know; `None` generates one of six digits.
    pub pin: Option<Pin>,
    /// Pins for some clients, each with rights of its own. [`HostConfig::pin`] stays, for everything that is shared.
    pub invitations: Vec<Invitation>,
    /// The host ends after its first session.
    pub once: bool,
    /// Maximum number of clients at a time.
    pub max_sessions: usize,
    /// Decides about each client; `None` admits everybody who knows the pin.
    pub approver: Option<Approver>,
    /// The kinds of paths that are tried, and for how long.
    pub reach: Reach,
    /// STUN servers, which tell this machine its public address. None is asked by default.
    pub stun: Vec<Target>,
    /// Where the run can be looked at and steered; `None` is nowhere.
    pub control: Option<ControlConfig>,
}

/// The settings of a [`Client`](crate::Client).
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ClientConfig {
    /// The host's signaling WebSocket.
    pub url: SignalingUrl,
    /// Further servers of the cluster that the URL leads to. The client asks them for the same host if it cannot have
    /// it at the one where it was last. They see the header fields, too.
    pub others: Vec<OtherServer>,
    /// The host's pin.
    pub pin: Pin,
    /// Local ports, and the services that appear there.
    pub forwards: Vec<LocalForward>,
    /// Addresses that the host is asked to listen on, and the targets on this side for the connections made there.
    pub reverse: Vec<ReverseForward>,
    /// Limits of the session.
    pub bounds: Bounds,
    /// Addresses of a SOCKS and HTTP proxy, whose targets the host dials.
    pub dynamic: Vec<ListenAddress>,
    /// The login that the proxy requires; `None` requires none.
    pub credentials: Option<Credentials>,
    /// Idle time after which a UDP flow ends.
    pub udp_idle: Duration,
    /// A PEM file of certificates to trust instead of the system's.
    pub ca: Option<PathBuf>,
    /// Further header fields of the WebSocket upgrade request.
    pub headers: Vec<HeaderField>,
    /// The HTTP proxy for signaling at [`ClientConfig::url`]; `None` connects directly.
    pub proxy: Option<Proxy>,
    /// The client ends with its first session instead of reconnecting. It is a success if the host ends it.
    pub once: bool,
    /// The client waits for a host that cannot be reached at first.
    pub retry: bool,
    /// The kinds of paths that are tried, and for how long.
    pub reach: Reach,
    /// STUN servers, which tell this machine its public address. None is asked by default.
    pub stun: Vec<Target>,
    /// Where the run can be looked at and steered; `None` is nowhere.
    pub control: Option<ControlConfig>,
}

impl HostConfig {
    /// Creates settings that share nothing yet: add a service, or a rule to [`HostConfig::allow`].
    pub fn new() -> HostConfig {
        HostConfig {
            services: Vec::new(),
            #[cfg(unix)]
            programs: Vec::new(),
            allow: AccessList::default(),
            allow_reverse: ReverseAccess::default(),
            bounds: Bounds::default(),
            udp_idle: DEFAULT_UDP_IDLE,
            listen: Some(DEFAULT_HOST_LISTEN),
            public_url: None,
            server: None,
            pin: None,
            invitations: Vec::new(),
            once: false,
            max_sessions: DEFAULT_MAX_SESSIONS,
            approver: None,
            reach: Reach::default(),
            stun: Vec::new(),
            control: None,
        }
    }

    /// Adds a service that this program serves itself, and returns the listener for its streams.
    ///
    /// # Errors
    /// The name is not a service name, or is taken.
    #[cfg(unix)]
    pub fn serve(&mut self, name: &str) -> Result<ProgramListener, ConfigError> {
        let (inlet, listener) = program_stream::listener();
        self.programs.push(ProgramService { name: name.to_owned(), inlet });
        match self.validate() {
            Ok(()) => Ok(listener),
            Err(error) => {
                self.programs.pop();
                Err(error)
            }
        }
    }

    /// Checks the settings against each other.
    pub(crate) fn validate(&self) -> Result<(), ConfigError> {
        let names = self.services.iter().map(|service| &service.name);
        #[cfg(unix)]
        let names = names.chain(self.programs.iter().map(|service| &service.name));
        let mut seen = HashSet::new();
        for name in names {
            if !is_service_name(name) {
                return Err(ConfigError::ServiceName(name.clone()));
            }
            if !seen.insert(name) {
                return Err(ConfigError::SameName(name.clone()));
            }
        }
        match seen.len() {
            0 if self.allow.is_empty() && self.allow_reverse.is_empty() && self.invitations.is_empty() => {
                Err(ConfigError::NothingShared)
            }
            len if len > MAX_SERVICES => Err(ConfigError::ManyServices),
            _ if self.max_sessions == 0 => Err(ConfigError::NoSessions),
            _ if self.listen.is_none() && self.server.is_none() => Err(ConfigError::Unreachable),
            _ => Ok(()),
        }
    }

    /// Returns the name of the service that is announced with this number.
    pub(crate) fn service_name(&self, number: usize) -> Option<&str> {
        let names = self.services.iter().map(|service| &service.name);
        #[cfg(unix)]
        let names = names.chain(self.programs.iter().map(|service| &service.name));
        names.map(String::as_str).nth(number)
    }

    /// Creates settings that share one TCP service, which has its port for a name.
    pub fn sharing(target: Target) -> HostConfig {
        HostConfig { services: vec![SharedService::of(target)], ..HostConfig::new() }
    }
}

impl Default for HostConfig {
    fn default() -> HostConfig {
        HostConfig::new()
    }
}

impl ClientConfig {
    /// Creates settings for the host at a URL that contains the pin, as the host prints it. `https://` becomes
    /// `wss://`, and a missing `/ws` is added.
    ///
    /// ```
    /// let config = pinhole::ClientConfig::from_url("https://abc-5000.example.net/?pin=123456")?;
    /// assert_eq!(config.url.to_string(), "wss://abc-5000.example.net/ws");
    /// # Ok::<(), pinhole::config::ConfigError>(())
    /// ```
    ///
    /// # Errors
    /// [`ConfigError::Url`] and [`ConfigError::NoPin`].
    pub fn from_url(url: &str) -> Result<ClientConfig, ConfigError> {
        let (url, pin) = SignalingUrl::parse(url)?;
        Ok(ClientConfig::new(url, pin.ok_or(ConfigError::NoPin)?))
    }

    /// Creates settings for a host, without local ports.
    pub fn new(url: SignalingUrl, pin: Pin) -> ClientConfig {
        ClientConfig {
            url,
            others: Vec::new(),
            pin,
            forwards: Vec::new(),
            reverse: Vec::new(),
            bounds: Bounds::default(),
            dynamic: Vec::new(),
            credentials: None,
            udp_idle: DEFAULT_UDP_IDLE,
            ca: None,
            headers: Vec::new(),
            proxy: None,
            once: false,
            retry: false,
            reach: Reach::default(),
            stun: Vec::new(),
            control: None,
        }
    }

    /// Creates settings under which the host's only service appears at a local address.
    pub fn joining(url: SignalingUrl, pin: Pin, local: impl Into<ListenAddress>) -> ClientConfig {
        let forwards = vec![LocalForward::Only { bind: ServiceBind::Address(local.into()) }];
        ClientConfig { forwards, ..ClientConfig::new(url, pin) }
    }

    /// Checks the settings against each other.
    pub(crate) fn validate(&self) -> Result<(), ConfigError> {
        match self.others.is_empty() || self.url.host_id().is_some() {
            true => Ok(()),
            false => Err(ConfigError::NoHostId),
        }
    }

    /// Returns the host's signaling WebSocket at each server, and the proxies that lead there.
    pub(crate) fn urls(&self) -> impl Iterator<Item = (SignalingUrl, Option<&Proxy>)> {
        let id = self.url.host_id();
        let at = move |other: &OtherServer| id.as_ref().map(|id| other.url.client_endpoint(id));
        let others = self.others.iter().filter_map(move |other| Some((at(other)?, other.proxy.as_ref())));
        iter::once((self.url.clone(), self.proxy.as_ref())).chain(others)
    }
}

/// Limits of a session; `None` is the default.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Bounds {
    /// Maximum number of streams that the peer may have open.
    pub max_streams: Option<u16>,
    /// Maximum rate in each direction.
    pub rate: Option<Rate>,
    /// Maximum memory of all streams together, in bytes.
    pub memory: Option<usize>,
}

impl Bounds {
    /// Applies the bounds to what a session would otherwise use.
    pub(crate) fn apply(&self, mut config: tunnel::Config) -> tunnel::Config {
        if let Some(bytes) = self.memory {
            config = config.with_memory(bytes as u64);
        }
        if let Some(count) = self.max_streams {
            config = config.with_max_streams(u32::from(count));
        }
        config.rate = self.rate.map(Rate::bytes_per_second);
        config
    }
}

/// The settings of a [`Check`](crate::Check).
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct CheckConfig {
    /// The STUN servers to ask.
    pub stun: Vec<Target>,
    /// The host to visit.
    pub visit: Option<VisitConfig>,
}

/// A host that a check visits.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct VisitConfig {
    /// The host's signaling WebSocket.
    pub url: SignalingUrl,
    /// The host's pin; without it only the WebSocket is checked.
    pub pin: Option<Pin>,
    /// A PEM file of certificates to trust instead of the system's.
    pub ca: Option<PathBuf>,
    /// Further header fields of the WebSocket upgrade request.
    pub headers: Vec<HeaderField>,
    /// The HTTP proxy for signaling; `None` connects directly.
    pub proxy: Option<Proxy>,
}

impl CheckConfig {
    /// Creates settings for a check of this machine's network with these STUN servers.
    pub fn new(stun: Vec<Target>) -> CheckConfig {
        CheckConfig { stun, visit: None }
    }
}

impl VisitConfig {
    /// Creates the settings of a visit.
    pub fn new(url: SignalingUrl, pin: Option<Pin>) -> VisitConfig {
        VisitConfig { url, pin, ca: None, headers: Vec::new(), proxy: None }
    }
}

/// Returns the STUN servers that the program asks by default. The library asks none of its own accord.
pub fn default_stun_servers() -> Vec<Target> {
    DEFAULT_STUN_SERVERS.iter().map(|&(host, port)| Target { host: host.to_owned(), port }).collect()
}
