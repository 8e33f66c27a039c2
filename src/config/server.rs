//! The settings of a server, and a host's registration at one.

use std::fmt;
use std::iter;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::path::PathBuf;
use std::str::FromStr;

use ipnet::IpNet;
use thiserror::Error;

#[cfg(feature = "server")]
use super::cluster::ClusterConfig;
use super::control::ControlConfig;
use crate::address::{self, AddressError, Host};
use crate::http::field::HeaderField;
use crate::http::proxy::Proxy;
use crate::signaling::rendezvous::{HostId, Token};
use crate::signaling::url::SignalingUrl;
use crate::socks::Credentials;

/// Default for [`ServerConfig::max_hosts`].
pub const DEFAULT_MAX_HOSTS: usize = 10_000;

/// Default for [`ServerConfig::max_clients`].
pub const DEFAULT_MAX_CLIENTS: usize = 10_000;

/// Longest domain, in bytes: with the longest id and a dot before it, it is still a name (RFC 1035, section 2.3.4).
const MAX_DOMAIN: usize = 253 - 63 - 1;

/// The settings of a [`Server`](crate::Server).
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ServerConfig {
    /// Address of signaling, `/healthz`, `/metrics` and the gateway. Port 0 lets the system choose.
    pub listen: SocketAddr,
    /// The certificate for TLS at [`ServerConfig::listen`]; `None` is plain TCP. At [`GatewayConfig::listen`] visitors
    /// may use TLS or not.
    pub tls: Option<TlsFiles>,
    /// Who may register as a host.
    pub access: ServerAccess,
    /// Maximum number of registered hosts.
    pub max_hosts: usize,
    /// Maximum number of connected clients, of all hosts together.
    pub max_clients: usize,
    /// Networks of proxies in front of this server, whose forwarding headers are believed.
    pub trusted_proxies: Vec<IpNet>,
    /// The gateway to published services.
    pub gateway: Option<GatewayConfig>,
    /// Address of the HTTP proxy through which holders of a token with `dial` reach the targets that hosts allow.
    pub proxy_listen: Option<SocketAddr>,
    /// Where the run can be looked at and steered; `None` is nowhere.
    pub control: Option<ControlConfig>,
    /// The other servers, if this is one of several.
    #[cfg(feature = "server")]
    pub cluster: Option<ClusterConfig>,
}

/// A server's own certificate, in PEM files.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct TlsFiles {
    /// The certificate, followed by those that lead to an authority.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

/// Who may register as a host.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ServerAccess {
    /// Everybody, under any free id.
    Open,
    /// Holders of a token in this file, under the ids that the file allows them.
    Tokens(PathBuf),
}

/// The gateway, where published services are found by HTTP.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct GatewayConfig {
    /// The domain under which each host has its name.
    pub domain: Domain,
    /// Further addresses of the gateway, beside [`ServerConfig::listen`].
    pub listen: Vec<SocketAddr>,
}

/// A domain name, in lower case and without dots at its ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Domain(String);

/// The reason why a text is not a domain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum DomainError {
    /// It is not a name, or is too long with a host's name before it.
    #[error("that is not the name of a domain")]
    Name,
    /// It has letters beyond ASCII.
    #[error(transparent)]
    NotAscii(AddressError),
    /// It is an IP address.
    #[error("that is an address, and hosts cannot have names under it")]
    Address,
}

impl Domain {
    /// Returns the domain as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Domain {
    type Err = DomainError;

    /// Parses a domain in letters of either case; dots at its ends and white space around it are left out.
    fn from_str(text: &str) -> Result<Domain, DomainError> {
        let name = text.trim().to_ascii_lowercase();
        let name = name.strip_prefix('.').unwrap_or(&name);
        let name = name.strip_suffix('.').unwrap_or(name);
        let is_label = |label: &str| !label.ends_with('-') && !label.contains('_');
        match address::host(name) {
            Ok(Host::Name(name)) if name.len() <= MAX_DOMAIN && name.split('.').all(is_label) => {
                Ok(Domain(name.to_owned()))
            }
            Ok(Host::Address(_)) => Err(DomainError::Address),
            Err(error @ AddressError::NotAscii) => Err(DomainError::NotAscii(error)),
            Ok(Host::Name(_) | Host::Default) | Err(_) => Err(DomainError::Name),
        }
    }
}

impl fmt::Display for Domain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl ServerConfig {
    /// Creates settings of a server for everybody, without TLS and without a gateway.
    pub fn open(listen: SocketAddr) -> ServerConfig {
        ServerConfig { listen, ..ServerConfig::new(ServerAccess::Open) }
    }

    /// Creates settings of a server at port 8080 of every address, without TLS and without a gateway.
    pub fn new(access: ServerAccess) -> ServerConfig {
        ServerConfig {
            listen: SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 8080)),
            tls: None,
            access,
            max_hosts: DEFAULT_MAX_HOSTS,
            max_clients: DEFAULT_MAX_CLIENTS,
            trusted_proxies: Vec::new(),
            gateway: None,
            proxy_listen: None,
            control: None,
            #[cfg(feature = "server")]
            cluster: None,
        }
    }
}

impl TlsFiles {
    /// Names the files of a certificate and its key.
    pub fn new(certificate: impl Into<PathBuf>, key: impl Into<PathBuf>) -> TlsFiles {
        TlsFiles { certificate: certificate.into(), key: key.into() }
    }
}

impl GatewayConfig {
    /// Creates the settings of a gateway for a domain, at [`ServerConfig::listen`].
    pub fn new(domain: Domain) -> GatewayConfig {
        GatewayConfig { domain, listen: Vec::new() }
    }
}

/// A further server of a cluster: whoever is at one of its servers is reached through each of them.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct OtherServer {
    /// The base of its endpoints, as [`SignalingUrl::parse_server`] returns it.
    pub url: SignalingUrl,
    /// The HTTP proxy that leads to it; `None` connects directly.
    pub proxy: Option<Proxy>,
}

impl OtherServer {
    /// Names a server that is dialled directly.
    pub fn new(url: SignalingUrl) -> OtherServer {
        OtherServer { url, proxy: None }
    }
}

/// A host's registration at a server.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Registration {
    /// The base of the server's endpoints, as [`SignalingUrl::parse_server`] returns it.
    pub server: SignalingUrl,
    /// Further servers of the same cluster. The host goes to one of them if it loses the one where it is, and stays
    /// there. They see the token and the header fields, too.
    pub others: Vec<OtherServer>,
    /// The name under which clients find the host.
    pub id: HostId,
    /// The token that allows the id; an open server needs none.
    pub token: Option<Token>,
    /// The service that is published at the server's gateway.
    pub public: Option<PublicService>,
    /// The server may ask the host to dial targets of its access list.
    pub dial: bool,
    /// A PEM file of certificate authorities to trust instead of the system's.
    pub ca: Option<PathBuf>,
    /// Further header fields of the WebSocket upgrade request.
    pub headers: Vec<HeaderField>,
    /// The HTTP proxy that leads to [`Registration::server`]; `None` connects directly.
    pub proxy: Option<Proxy>,
    /// The host waits for a server that cannot be reached at first.
    pub retry: bool,
}

impl Registration {
    /// Creates a registration under an id that publishes nothing.
    pub fn new(server: SignalingUrl, id: HostId) -> Registration {
        Registration {
            server,
            others: Vec::new(),
            id,
            token: None,
            public: None,
            dial: false,
            ca: None,
            headers: Vec::new(),
            proxy: None,
            retry: false,
        }
    }

    /// Returns all servers, and the proxies that lead there.
    pub(crate) fn servers(&self) -> impl Iterator<Item = (&SignalingUrl, Option<&Proxy>)> {
        let others = self.others.iter().map(|other| (&other.url, other.proxy.as_ref()));
        iter::once((&self.server, self.proxy.as_ref())).chain(others)
    }
}

/// A published service.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct PublicService {
    /// Its index in [`HostConfig::services`](super::HostConfig::services); not one of UDP.
    pub service: usize,
    /// The login that visitors need; `None` admits everybody.
    pub auth: Option<Credentials>,
}

impl PublicService {
    /// Publishes the service of that index for everybody.
    pub fn new(service: usize) -> PublicService {
        PublicService { service, auth: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn domains_are_names_that_hosts_can_be_put_before() {
        let longest = format!("{}.{}.{}.org", "a".repeat(63), "b".repeat(63), "c".repeat(57));
        assert_eq!(longest.len(), MAX_DOMAIN);
        for (text, expected) in [
            ("p.example.org", "p.example.org"),
            (" .P.Example.Org. ", "p.example.org"),
            ("localhost", "localhost"),
            ("xn--bcher-kva.example", "xn--bcher-kva.example"),
            (&longest, &longest),
        ] {
            assert_eq!(text.parse::<Domain>().map(|domain| domain.to_string()), Ok(expected.to_owned()), "{text}");
        }
        let long = format!("x{longest}");
        for text in [
            ".",
            "..a",
            "a..b",
            "*.a.b",
            "a_b.c",
            "-a.b",
            "a-.b",
            "a.b-",
            "a b",
            "a.b:80",
            "[::1]",
            "::1",
            "https://a.b",
            "a.b/c",
            "1.2",
            "a.1",
            &long,
        ] {
            assert!(text.parse::<Domain>().is_err(), "{text}");
        }
    }
}
