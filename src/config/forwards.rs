//! What is forwarded: services, what appears where, and in which direction.

use std::fmt;
use std::path::PathBuf;

use crate::address::{Bind, Endpoint, ListenAddress, Protocol, Target};
#[cfg(unix)]
use crate::net::program_stream::Inlet;

/// The header of the PROXY protocol that a service is sent before anything else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ProxyProtocol {
    /// A line of text.
    V1,
    /// Binary.
    V2,
}

/// Something a host shares, by name.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SharedService {
    /// As [`is_service_name`] wants it, and no other service of the host has it.
    pub name: String,
    /// What is dialled for each stream or flow.
    pub endpoint: Endpoint,
    /// The header with the client's address that streams begin with; never for UDP.
    pub proxy_protocol: Option<ProxyProtocol>,
}

impl SharedService {
    /// Makes a service.
    pub fn new(name: &str, endpoint: Endpoint) -> SharedService {
        SharedService { name: name.to_owned(), endpoint, proxy_protocol: None }
    }

    /// Makes a TCP service that has its port for a name.
    pub fn of(target: Target) -> SharedService {
        SharedService { name: target.port.to_string(), endpoint: Endpoint::Tcp(target), proxy_protocol: None }
    }
}

impl fmt::Display for SharedService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.name, self.endpoint)
    }
}

/// A service whose streams this program takes itself.
#[cfg(unix)]
#[derive(Debug, Clone)]
pub(crate) struct ProgramService {
    /// As [`SharedService::name`].
    pub(crate) name: String,
    pub(crate) inlet: Inlet,
}

/// Something a client makes appear on its machine.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum LocalForward {
    /// Every service the host has, each at its own port where that is free.
    Every,
    /// The only service the host has; more than one is an error that names them.
    Only {
        /// Where it appears.
        bind: ServiceBind,
    },
    /// A service by its name.
    Service {
        /// The name the host gave it.
        name: String,
        /// Where it appears; `None` is its own port where that is free.
        bind: Option<ServiceBind>,
    },
    /// Something the host is asked to dial, and dials if its access list has it.
    Dial {
        /// Where it appears; of the same protocol as `endpoint`.
        bind: Bind,
        /// What the host dials. A path is absolute.
        endpoint: Endpoint,
    },
}

/// Where a service appears. What is said without a protocol takes the service's, which only the host knows.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ServiceBind {
    /// A port of the service's own protocol.
    Address(ListenAddress),
    /// A UDP port: the service must be one of UDP.
    Udp(ListenAddress),
    /// A unix stream socket: the service must not be one of UDP.
    Unix(PathBuf),
}

impl ServiceBind {
    /// Returns where a service of that protocol is listened for; `None` if it cannot appear there.
    pub(crate) fn of(&self, protocol: Protocol) -> Option<Bind> {
        match (self, protocol) {
            (ServiceBind::Address(address), Protocol::Tcp) => Some(Bind::Tcp(*address)),
            (ServiceBind::Address(address) | ServiceBind::Udp(address), Protocol::Udp) => Some(Bind::Udp(*address)),
            (ServiceBind::Unix(path), Protocol::Tcp) => Some(Bind::Unix(path.clone())),
            (ServiceBind::Udp(_), Protocol::Tcp) | (ServiceBind::Unix(_), Protocol::Udp) => None,
        }
    }
}

/// Something of the client's side that appears on the host's machine, if the host allows it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ReverseForward {
    /// Where the host listens; an absolute path, or an address of its machine.
    pub bind: Bind,
    /// What the client dials, of the same protocol, and the only thing the host reaches through this.
    pub endpoint: Endpoint,
}

impl ReverseForward {
    /// Has the host listen there, and dials that.
    pub fn new(bind: Bind, endpoint: Endpoint) -> ReverseForward {
        ReverseForward { bind, endpoint }
    }
}

/// The far end of one stream to a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StreamTarget {
    /// A service of the host, by its name.
    Service(String),
    /// Something the host is asked to dial; never UDP.
    Dial(Endpoint),
}

/// How fast traffic may be, in one direction. As text: `20mbit`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rate {
    bits_per_second: u64,
}

impl Rate {
    /// The slowest: below it, a message of 16 KiB takes more than two seconds, and a session looks dead.
    pub const MIN: Rate = Rate { bits_per_second: 64_000 };
    /// The fastest; more is no limit any more.
    pub const MAX: Rate = Rate { bits_per_second: 100_000_000_000 };

    /// Makes a rate; `None` if it is not between [`Rate::MIN`] and [`Rate::MAX`].
    pub fn from_bits_per_second(bits_per_second: u64) -> Option<Rate> {
        let rate = Rate { bits_per_second };
        (Rate::MIN..=Rate::MAX).contains(&rate).then_some(rate)
    }

    /// Returns the rate in bytes a second, rounded down.
    pub fn bytes_per_second(self) -> u64 {
        self.bits_per_second / 8
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = [(1_000_000_000, "gbit"), (1_000_000, "mbit"), (1000, "kbit"), (1, "bit")];
        let fits = |&&(size, _): &&(u64, &str)| self.bits_per_second.is_multiple_of(size);
        let (size, unit) = units.iter().find(fits).copied().unwrap_or((1, "bit"));
        write!(f, "{}{unit}", self.bits_per_second / size)
    }
}

/// Tells whether a service may have this name: 1 to 63 of a to z, 0 to 9, dot, hyphen and underscore, and no hyphen at
/// the beginning, where a command line would take it for a flag.
pub fn is_service_name(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._-".contains(&byte);
    (1..=63).contains(&text.len()) && !text.starts_with('-') && text.bytes().all(allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn services_appear_where_their_protocol_can() {
        let address: ListenAddress = "127.0.0.1:53".parse().unwrap();
        let bind = ServiceBind::Address(address);
        assert_eq!(bind.of(Protocol::Tcp), Some(Bind::Tcp(address)));
        assert_eq!(bind.of(Protocol::Udp), Some(Bind::Udp(address)));
        assert_eq!(ServiceBind::Udp(address).of(Protocol::Udp), Some(Bind::Udp(address)));
        assert_eq!(ServiceBind::Udp(address).of(Protocol::Tcp), None);
        assert_eq!(ServiceBind::Unix("/a".into()).of(Protocol::Tcp), Some(Bind::Unix("/a".into())));
        assert_eq!(ServiceBind::Unix("/a".into()).of(Protocol::Udp), None);
    }

    #[test]
    fn names_of_services_fit_command_lines() {
        for name in ["web", "8080", ".s.pgsql.5432", "a-b_c", &"x".repeat(63)] {
            assert!(is_service_name(name), "{name}");
        }
        for name in ["", "Web", "-web", "a b", "a=b", "a/b", "ü", &"x".repeat(64)] {
            assert!(!is_service_name(name), "{name}");
        }
    }

    #[test]
    fn rates_are_shown_in_the_largest_unit() {
        for (bits, text) in
            [(64_000, "64kbit"), (2_500_000, "2500kbit"), (64_001, "64001bit"), (1_000_000_000, "1gbit")]
        {
            assert_eq!(Rate::from_bits_per_second(bits).map(|rate| rate.to_string()).as_deref(), Some(text));
        }
        assert_eq!(Rate::from_bits_per_second(63_999), None);
        assert_eq!(Rate::from_bits_per_second(u64::MAX), None);
        assert_eq!(Rate::MIN.bytes_per_second(), 8000);
    }
}
