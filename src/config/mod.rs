//! The settings of a run, and what they are made of.

mod approver;
mod error;
mod forwards;
mod server;
#[cfg(feature = "server")]
pub(crate) mod tokens;

use std::collections::HashSet;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::path::PathBuf;
use std::time::Duration;

#[cfg(unix)]
pub(crate) use forwards::ProgramService;
pub(crate) use forwards::StreamTarget;
pub use forwards::{LocalForward, ProxyProtocol, Rate, ReverseForward, ServiceBind, SharedService, is_service_name};
pub use server::{
    DEFAULT_MAX_CLIENTS, DEFAULT_MAX_HOSTS, Domain, DomainError, GatewayConfig, PublicService, Registration,
    ServerAccess, ServerConfig, TlsFiles,
};

pub use self::approver::{Approver, JoinRequest};
pub use self::error::ConfigError;
// Settings hold these, and people write them as text: each is parsed with `str::parse` or its own `parse`.
pub use crate::access::{AccessList, ReverseAccess, ReverseRule, Rule, RuleError};
pub use crate::address::{AddressError, Bind, Endpoint, ListenAddress, Protocol, Target};
pub use crate::http::field::{HeaderField, HeaderFieldError};
pub use crate::http::proxy::{Proxy, ProxyError, ProxyVariables};
pub use crate::session::Reach;
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

/// Default for [`HostConfig::listen`] of a host without a server: any free port of this machine only.
pub const DEFAULT_HOST_LISTEN: SocketAddr = SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0));

/// Default for [`HostConfig::udp_idle`] and [`ClientConfig::udp_idle`].
pub const DEFAULT_UDP_IDLE: Duration = Duration::from_secs(60);

/// STUN servers that are asked unless others are named.
pub const DEFAULT_STUN_SERVERS: [(&str, u16); 2] = [("stun.l.google.com", 19302), ("stun1.l.google.com", 19302)];

/// What `pinhole host` shares, and how.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct HostConfig {
    /// What is shared, by name; not empty unless something is allowed.
    pub services: Vec<SharedService>,
    /// Services that this program serves itself.
    #[cfg(unix)]
    pub(crate) programs: Vec<ProgramService>,
    /// What clients may have dialled beside the services.
    pub allow: AccessList,
    /// Where clients may have us listen for them.
    pub allow_reverse: ReverseAccess,
    /// What each session may use.
    pub bounds: Bounds,
    /// How long a UDP flow may be idle before it ends.
    pub udp_idle: Duration,
    /// Address of the signaling WebSocket; port 0 lets the system pick one. `None`: clients come through the server
    /// only.
    pub listen: Option<SocketAddr>,
    /// The server that clients come through, too.
    pub server: Option<Registration>,
    /// The pin clients must know; `None` generates one of six digits.
    pub pin: Option<Pin>,
    /// End after the first established session ended.
    pub once: bool,
    /// How many clients may be connected at a time.
    pub max_sessions: usize,
    /// Who decides about each client; `None` lets everybody in who knows the pin.
    pub approver: Option<Approver>,
    /// Which ways to the clients are tried, and for how long.
    pub reach: Reach,
    /// Servers that tell how this machine is seen from outside.
    pub stun: Vec<Target>,
}

/// What `pinhole client` joins, and where the service appears.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ClientConfig {
    /// The host's signaling WebSocket.
    pub url: SignalingUrl,
    /// The pin the host printed.
    pub pin: Pin,
    /// What appears where on this machine.
    pub forwards: Vec<LocalForward>,
    /// What the host is asked to listen on, and what is dialled here for connections that are made there.
    pub reverse: Vec<ReverseForward>,
    /// What the session may use.
    pub bounds: Bounds,
    /// Where a SOCKS and HTTP proxy listens whose connections the host dials.
    pub dynamic: Vec<ListenAddress>,
    /// Whom that proxy serves; `None` is everybody who reaches it.
    pub credentials: Option<Credentials>,
    /// How long a UDP flow may be idle before it ends.
    pub udp_idle: Duration,
    /// A PEM file of certificate authorities to trust instead of the system's.
    pub ca: Option<PathBuf>,
    /// Further header fields of the WebSocket upgrade request.
    pub headers: Vec<HeaderField>,
    /// The HTTP proxy that signaling goes through; `None` dials the host itself.
    pub proxy: Option<Proxy>,
    /// End with the first session instead of connecting anew, and take it for success when the host ends it.
    pub once: bool,
    /// Wait for a host that cannot be reached at the start.
    pub retry: bool,
    /// Which ways to the host are tried, and for how long.
    pub reach: Reach,
    /// Servers that tell how this machine is seen from outside.
    pub stun: Vec<Target>,
}

impl HostConfig {
    /// Shares nothing yet: at least one service has to be added, or a rule to [`HostConfig::allow`].
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
            server: None,
            pin: None,
            once: false,
            max_sessions: DEFAULT_MAX_SESSIONS,
            approver: None,
            reach: Reach::default(),
            stun: Vec::new(),
        }
    }

    /// Adds a service that this program serves itself, and returns what takes its streams.
    ///
    /// # Errors
    /// [`ConfigError`]: the name is none, or taken.
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

    /// Checks what one setting does not show by itself.
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
            0 if self.allow.is_empty() && self.allow_reverse.is_empty() => Err(ConfigError::NothingShared),
            len if len > MAX_SERVICES => Err(ConfigError::ManyServices),
            _ if self.max_sessions == 0 => Err(ConfigError::NoSessions),
            _ if self.listen.is_none() && self.server.is_none() => Err(ConfigError::Unreachable),
            _ => Ok(()),
        }
    }

    /// Shares one TCP service with everybody who knows the pin.
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
    /// Joins the host whose URL has the pin in it, as the host prints it. What people paste is understood: `https://`
    /// becomes `wss://`, and a missing `/ws` is added.
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

    /// Joins a host, and has nothing appear on this machine yet.
    pub fn new(url: SignalingUrl, pin: Pin) -> ClientConfig {
        ClientConfig {
            url,
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
        }
    }

    /// Makes the host's only service appear at an address.
    pub fn joining(url: SignalingUrl, pin: Pin, local: impl Into<ListenAddress>) -> ClientConfig {
        let forwards = vec![LocalForward::Only { bind: ServiceBind::Address(local.into()) }];
        ClientConfig { forwards, ..ClientConfig::new(url, pin) }
    }

    /// Returns host and port of the machine that signaling is dialled to: the proxy, or else the host.
    pub(crate) fn first_hop(&self) -> (&str, u16) {
        first_hop(&self.url, self.proxy.as_ref())
    }
}

/// What a session may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Bounds {
    /// Streams that the peer may have open at once.
    pub max_streams: Option<u16>,
    /// How fast traffic may be, in each direction.
    pub rate: Option<Rate>,
    /// What the session's streams may hold, in bytes.
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

/// What `pinhole check` looks at.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct CheckConfig {
    /// The STUN servers to ask.
    pub stun: Vec<Target>,
    /// The host to visit, if any.
    pub visit: Option<VisitConfig>,
}

/// The host whose signaling a check visits.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct VisitConfig {
    /// The host's signaling WebSocket.
    pub url: SignalingUrl,
    /// The pin the host printed; without it only the WebSocket is looked at.
    pub pin: Option<Pin>,
    /// A PEM file of certificate authorities to trust instead of the system's.
    pub ca: Option<PathBuf>,
    /// Further header fields of the WebSocket upgrade request.
    pub headers: Vec<HeaderField>,
    /// The HTTP proxy that signaling goes through; `None` dials the host itself.
    pub proxy: Option<Proxy>,
}

impl CheckConfig {
    /// Looks at this machine's network, with the help of those STUN servers.
    pub fn new(stun: Vec<Target>) -> CheckConfig {
        CheckConfig { stun, visit: None }
    }
}

impl VisitConfig {
    /// Visits a host.
    pub fn new(url: SignalingUrl, pin: Option<Pin>) -> VisitConfig {
        VisitConfig { url, pin, ca: None, headers: Vec::new(), proxy: None }
    }

    /// Returns host and port of the machine that signaling is dialled to: the proxy, or else the host.
    pub(crate) fn first_hop(&self) -> (&str, u16) {
        first_hop(&self.url, self.proxy.as_ref())
    }
}

fn first_hop<'a>(url: &'a SignalingUrl, proxy: Option<&'a Proxy>) -> (&'a str, u16) {
    match proxy {
        Some(proxy) => (&proxy.host, proxy.port),
        None => (url.host(), url.port()),
    }
}

/// Returns the STUN servers that are asked unless others are named.
pub fn default_stun_servers() -> Vec<Target> {
    DEFAULT_STUN_SERVERS.iter().map(|&(host, port)| Target { host: host.to_owned(), port }).collect()
}
