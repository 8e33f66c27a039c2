//! What a run is asked to do: validated settings, built by the command line, the wizard, or a program that uses the
//! library. Nothing in here can be invalid once built.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

use crate::signaling::pin::Pin;
use crate::signaling::url::SignalingUrl;

/// Default for [`HostConfig::max_sessions`].
pub const DEFAULT_MAX_SESSIONS: usize = 16;

/// What `pinhole host` shares, and how.
#[derive(Debug, Clone)]
pub struct HostConfig {
    /// The local service that every stream is connected to.
    pub target: Target,
    /// Address of the signaling WebSocket; port 0 lets the system pick one.
    pub listen: SocketAddr,
    /// The pin clients must know; `None` generates one of six digits.
    pub pin: Option<Pin>,
    /// End after the first established session ended.
    pub once: bool,
    /// How many clients may be connected at a time.
    pub max_sessions: usize,
    /// Ask at the terminal before a client may join.
    pub ask: bool,
}

/// What `pinhole client` joins, and where the service appears.
#[derive(Debug, Clone)]
pub struct ClientConfig {
    /// The host's signaling WebSocket.
    pub url: SignalingUrl,
    /// The pin the host printed.
    pub pin: Pin,
    /// The local address that accepts connections; port 0 lets the system pick one.
    pub local: SocketAddr,
    /// A PEM file of certificate authorities to trust instead of the system's.
    pub ca: Option<PathBuf>,
    /// Further header fields of the WebSocket upgrade request, as (name, value).
    pub headers: Vec<(String, String)>,
    /// Take it for success when the host ends the session.
    pub once: bool,
}

/// What `pinhole check` looks at.
#[derive(Debug, Clone)]
pub struct CheckConfig {
    /// The STUN servers to ask.
    pub stun: Vec<Target>,
    /// The host to visit, if any.
    pub visit: Option<VisitConfig>,
}

/// The host whose signaling a check visits.
#[derive(Debug, Clone)]
pub struct VisitConfig {
    /// The host's signaling WebSocket.
    pub url: SignalingUrl,
    /// The pin the host printed; without it only the WebSocket is looked at.
    pub pin: Option<Pin>,
    /// A PEM file of certificate authorities to trust instead of the system's.
    pub ca: Option<PathBuf>,
    /// Further header fields of the WebSocket upgrade request, as (name, value).
    pub headers: Vec<(String, String)>,
}

/// An address the host dials: a host name or IP literal, and a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Name or IP literal, without brackets.
    pub host: String,
    /// TCP port, never 0.
    pub port: u16,
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// Default.
pub fn default_stun_servers() -> Vec<Target> {
    vec![
        Target { host: "stun.l.google.com".into(), port: 19302 },
        Target { host: "stun1.l.google.com".into(), port: 19302 },
    ]
}
