//! Addresses and ports as text and as values, from people and from peers. Nothing here looks up names.

mod endpoint;
pub mod special;
mod text;

use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;

pub use endpoint::{Bind, Endpoint, ListenAddress, Protocol};
pub use text::{AddressError, Host, PortRange, Prefix, digits, host, port, socket_path, split, split_range};

/// An address to dial or ask: a host name or IP literal, and a port.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Target {
    /// Name or IP literal, without brackets.
    pub host: String,
    /// The port, never 0.
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

impl From<SocketAddr> for Target {
    fn from(address: SocketAddr) -> Target {
        Target { host: address.ip().to_string(), port: address.port() }
    }
}

/// Parses `db.local:5432`, `10.0.0.7:80` or `[2001:db8::1]:443`, without surrounding white space. A port without a host
/// is an error: only the caller knows which machine it means.
impl FromStr for Target {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Target, AddressError> {
        let (host, port) = text::split_exactly(text)?;
        let host = host.to_text().ok_or(AddressError::NoHost)?;
        if port == 0 { Err(AddressError::PortZero) } else { Ok(Target { host, port }) }
    }
}
