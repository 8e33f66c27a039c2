//! The rules of `--allow`, and their text.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};

use ipnet::IpNet;
use thiserror::Error;

use super::normalize;
use crate::address::{AddressError, Host, PortRange, Protocol, digits, host, socket_path};

/// A rule for what may be dialled. As text: `10.0.0.0/8:80,443`, `db.local:5432`, `*.internal:8000-8999`,
/// `[2001:db8::/32]:22`, `10.1.2.3:*`, `udp:10.0.0.53:53`, `unix:/run/app.sock`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule(pub(super) Inner);

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Inner {
    /// Ports of hosts.
    Port(PortRule),
    /// The unix socket at an absolute path, stored without `.` and doubled slashes.
    Unix(PathBuf),
}

/// Ports of hosts that may be dialled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PortRule {
    pub(super) protocol: Protocol,
    pub(super) scope: Scope,
    pub(super) ports: Ports,
}

/// Why a text is not a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum RuleError {
    /// Its host, a port or its path is invalid.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// It ends after the host.
    #[error("it has no ports after a colon; * stands for all of them")]
    NoPorts,
    /// It begins with the colon.
    #[error("it has no host; this machine itself is 127.0.0.1")]
    NoHost,
    /// The text after the slash is no length of a network's prefix.
    #[error("the length after the slash is not from 0 to {most}")]
    Length {
        /// 32 or 128.
        most: u8,
    },
    /// The address is not the first of the network.
    #[error("that network begins at {0}")]
    NotFirst(IpNet),
    /// A star in a wrong place.
    #[error("a star in a name stands for all that is before a dot, as in *.internal")]
    Star,
    /// A star for every host.
    #[error("a star is no host; 0.0.0.0/0 and [::/0] are all addresses, this machine's own included")]
    AnyHost,
    /// A pattern in a path.
    #[error("a path stands for itself, without patterns")]
    PathPattern,
    /// A path with `..`, or that names no file.
    #[error("the path has .. in it, or names no file")]
    Path,
    /// A name in place of an address to listen on.
    #[error("only an IP address can be listened on, not a name")]
    BindName,
}

/// Which hosts a rule covers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Scope {
    /// Addresses; IPv4-mapped ones are stored as IPv4.
    Network(IpNet),
    /// A name, or everything below it; in small letters and without the root's dot.
    Name { name: String, below: bool },
}

/// Which ports a rule covers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Ports {
    Any,
    Listed(Vec<PortRange>),
}

impl Rule {
    /// Parses a rule. Without a prefix, or with `tcp:`, it covers TCP.
    ///
    /// `*.internal` means every name below `internal`, at any depth, but not `internal` itself. A network is written
    /// with its first address. Names match regardless of case and of the root's dot.
    ///
    /// # Errors
    /// The fault.
    pub fn parse(text: &str) -> Result<Rule, RuleError> {
        let text = text.trim();
        if text.is_empty() {
            return Err(AddressError::Empty.into());
        }
        let (protocol, rest) = match text.split_once(':') {
            Some(("unix", path)) => return Ok(Rule(Inner::Unix(rule_path(path)?))),
            Some(("udp", rest)) => (Protocol::Udp, rest),
            Some(("tcp", rest)) => (Protocol::Tcp, rest),
            _ => (Protocol::Tcp, text),
        };
        if rest.contains("://") {
            return Err(AddressError::Url.into());
        }
        let (scope, ports) = match rest.strip_prefix('[') {
            Some(bracketed) => {
                let (network, rest) = bracketed.split_once(']').ok_or(AddressError::Ipv6)?;
                let (address, length) = split_length(network);
                let address: Ipv6Addr = address.parse().map_err(|_| AddressError::Ipv6)?;
                let ports = rest.strip_prefix(':').ok_or(RuleError::NoPorts)?;
                (Scope::Network(network_of(address.into(), length)?), ports)
            }
            None => {
                let (hosts, ports) = rest.rsplit_once(':').ok_or(RuleError::NoPorts)?;
                (scope_of(hosts)?, ports)
            }
        };
        Ok(Rule(Inner::Port(PortRule { protocol, scope, ports: Ports::parse(ports)? })))
    }

    /// Returns what the owner might not expect of the rule, as the rest of a sentence that begins with the rule.
    pub fn remark(&self) -> Option<&'static str> {
        let Inner::Port(PortRule { scope, .. }) = &self.0 else { return None };
        match scope {
            Scope::Name { name, .. } if name == "localhost" || name.ends_with(".localhost") => {
                Some("permits nothing by itself: this machine's own addresses need a rule such as 127.0.0.1:80")
            }
            Scope::Network(network) => {
                let own = [IpAddr::from(Ipv4Addr::LOCALHOST), IpAddr::from(Ipv6Addr::LOCALHOST)];
                let beyond = network.prefix_len() < if network.addr().is_ipv4() { 8 } else { 128 };
                let has_own = own.iter().any(|address| network.contains(address));
                (beyond && has_own).then_some("includes this machine's own addresses, such as 127.0.0.1 or ::1")
            }
            Scope::Name { .. } => None,
        }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Inner::Unix(path) => write!(f, "unix:{}", path.display()),
            Inner::Port(PortRule { protocol, scope, ports }) => {
                // A host with the name of a prefix needs an explicit prefix.
                let explicit = match scope {
                    Scope::Name { name, below: false } => ["tcp", "udp", "unix"].contains(&name.as_str()),
                    Scope::Name { .. } | Scope::Network(_) => false,
                };
                if *protocol == Protocol::Udp || explicit {
                    write!(f, "{protocol}:")?;
                }
                write!(f, "{scope}:{ports}")
            }
        }
    }
}

impl Scope {
    /// Tells whether it is a network with this address, which must not be IPv4-mapped.
    pub(super) fn has_address(&self, address: IpAddr) -> bool {
        match self {
            Scope::Network(network) => network.contains(&address),
            Scope::Name { .. } => false,
        }
    }

    /// Tells whether it is a name that equals `asked`, or that `asked` is below.
    pub(super) fn has_name(&self, asked: &str) -> bool {
        let Scope::Name { name, below } = self else { return false };
        let asked = canonical_name(asked);
        match below {
            true => asked.strip_suffix(name.as_str()).is_some_and(|rest| rest.len() > 1 && rest.ends_with('.')),
            false => asked == *name,
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Scope::Name { name, below: true } => write!(f, "*.{name}"),
            Scope::Name { name, below: false } => f.write_str(name),
            Scope::Network(network) => {
                let length = match network.prefix_len() == network.max_prefix_len() {
                    true => String::new(),
                    false => format!("/{}", network.prefix_len()),
                };
                match network.addr() {
                    IpAddr::V4(address) => write!(f, "{address}{length}"),
                    IpAddr::V6(address) => write!(f, "[{address}{length}]"),
                }
            }
        }
    }
}

impl Ports {
    /// Parses `*`, or ports and ranges separated by commas.
    pub(super) fn parse(text: &str) -> Result<Ports, RuleError> {
        if text == "*" {
            return Ok(Ports::Any);
        }
        let range = |text| match PortRange::parse(text)? {
            range if range.first() == 0 => Err(AddressError::PortZero),
            range => Ok(range),
        };
        Ok(Ports::Listed(text.split(',').map(range).collect::<Result<_, _>>()?))
    }

    /// Tells whether a port is among them; port 0 is only among all.
    pub(super) fn contains(&self, port: u16) -> bool {
        match self {
            Ports::Any => true,
            Ports::Listed(ranges) => ranges.iter().any(|range| range.contains(port)),
        }
    }
}

impl fmt::Display for Ports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Ports::Listed(ranges) = self else { return f.write_str("*") };
        for (index, range) in ranges.iter().enumerate() {
            write!(f, "{}{range}", if index == 0 { "" } else { "," })?;
        }
        Ok(())
    }
}

/// Parses the path of a rule.
pub(super) fn rule_path(text: &str) -> Result<PathBuf, RuleError> {
    let path = socket_path(text)?;
    if path.contains(['*', '?', '[', ']', '{', '}']) {
        return Err(RuleError::PathPattern);
    }
    if !path.starts_with('/') {
        return Err(AddressError::RelativePath.into());
    }
    normalize(Path::new(path)).ok_or(RuleError::Path)
}

/// Parses the hosts of a rule, without brackets.
fn scope_of(text: &str) -> Result<Scope, RuleError> {
    if text.is_empty() {
        return Err(RuleError::NoHost);
    }
    if text.contains(':') {
        return Err(AddressError::Brackets.into());
    }
    if let (address, length @ Some(_)) = split_length(text) {
        let address: Ipv4Addr = address.parse().map_err(|_| AddressError::Name)?;
        return Ok(Scope::Network(network_of(address.into(), length)?));
    }
    let (below, name) = match text.strip_prefix("*.") {
        Some("") => return Err(RuleError::Star),
        Some(name) => (true, name),
        None if text == "*" => return Err(RuleError::AnyHost),
        None => (false, text),
    };
    if name.contains('*') {
        return Err(RuleError::Star);
    }
    match host(name)? {
        Host::Address(address) if !below => Ok(Scope::Network(IpNet::from(address))),
        Host::Name(name) => Ok(Scope::Name { name: canonical_name(name), below }),
        Host::Address(_) | Host::Default => Err(RuleError::Star),
    }
}

fn split_length(text: &str) -> (&str, Option<&str>) {
    match text.split_once('/') {
        Some((address, length)) => (address, Some(length)),
        None => (text, None),
    }
}

/// Creates a network from its first address and its length, or from one address alone.
fn network_of(address: IpAddr, length: Option<&str>) -> Result<IpNet, RuleError> {
    let Some(length) = length else { return Ok(IpNet::from(address.to_canonical())) };
    let most = if address.is_ipv4() { 32 } else { 128 };
    let error = RuleError::Length { most };
    let length = digits(length).and_then(|length| u8::try_from(length).ok()).ok_or(error)?;
    let network = IpNet::new(address, length).map_err(|_| error)?;
    if network.trunc() != network {
        return Err(RuleError::NotFirst(network.trunc()));
    }
    // Dialling an IPv4-mapped address is dialling IPv4, so a network of such addresses is an IPv4 network.
    match (address, address.to_canonical()) {
        (IpAddr::V6(_), mapped @ IpAddr::V4(_)) => IpNet::new(mapped, length.saturating_sub(96)).map_err(|_| error),
        _ => Ok(network),
    }
}

fn canonical_name(name: &str) -> String {
    name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase()
}

#[cfg(test)]
#[path = "rule_tests.rs"]
mod tests;
