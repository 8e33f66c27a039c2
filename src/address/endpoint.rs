//! Places to dial and to listen on, as text and as values.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;

use super::text::{Prefix, socket_path, split_exactly};
use super::{AddressError, Host, Target};

/// The protocol of a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// Streams; a unix socket is one of these.
    Tcp,
    /// Datagrams.
    Udp,
}

impl Protocol {
    /// Returns the name in HELLO.
    pub fn as_str(self) -> &'static str {
        match self {
            Protocol::Tcp => "tcp",
            Protocol::Udp => "udp",
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A place to dial. As text: `127.0.0.1:8080`, `udp:10.0.0.53:53`, `unix:/run/app.sock`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Endpoint {
    /// A TCP port.
    Tcp(Target),
    /// A UDP port.
    Udp(Target),
    /// A unix stream socket, by its path.
    Unix(PathBuf),
}

impl Endpoint {
    /// Returns whether streams or datagrams go there.
    pub fn protocol(&self) -> Protocol {
        match self {
            Endpoint::Tcp(_) | Endpoint::Unix(_) => Protocol::Tcp,
            Endpoint::Udp(_) => Protocol::Udp,
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Endpoint::Tcp(target) => target.fmt(f),
            Endpoint::Udp(target) => write!(f, "udp:{target}"),
            Endpoint::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

impl FromStr for Endpoint {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Endpoint, AddressError> {
        match Prefix::of(text) {
            Prefix::None(text) => Ok(Endpoint::Tcp(text.parse()?)),
            Prefix::Udp(rest) => Ok(Endpoint::Udp(rest.parse()?)),
            Prefix::Unix(path) => Ok(Endpoint::Unix(socket_path(path)?.into())),
        }
    }
}

/// An address to listen on. As text: `127.0.0.1:8080`, or `localhost:8080`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ListenAddress {
    /// This address.
    One(SocketAddr),
    /// 127.0.0.1, and also ::1 if the port is free there.
    Localhost(u16),
}

impl ListenAddress {
    /// Returns the port; 0 lets the system choose one.
    pub fn port(&self) -> u16 {
        match self {
            ListenAddress::One(address) => address.port(),
            ListenAddress::Localhost(port) => *port,
        }
    }

    /// Returns the addresses; the port must be free at the first.
    pub fn addresses(&self) -> impl Iterator<Item = SocketAddr> {
        let both = [IpAddr::from(Ipv4Addr::LOCALHOST), IpAddr::from(Ipv6Addr::LOCALHOST)];
        let (first, second) = match *self {
            ListenAddress::One(address) => (address, None),
            ListenAddress::Localhost(port) => ((both[0], port).into(), Some(SocketAddr::from((both[1], port)))),
        };
        [first].into_iter().chain(second)
    }
}

impl From<SocketAddr> for ListenAddress {
    fn from(address: SocketAddr) -> ListenAddress {
        ListenAddress::One(address)
    }
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ListenAddress::One(address) => address.fmt(f),
            ListenAddress::Localhost(port) => write!(f, "localhost:{port}"),
        }
    }
}

impl FromStr for ListenAddress {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<ListenAddress, AddressError> {
        match split_exactly(text)? {
            (Host::Address(address), port) => Ok(ListenAddress::One(SocketAddr::new(address, port))),
            (Host::Default, _) => Err(AddressError::NoHost),
            (Host::Name(name), port) if name.eq_ignore_ascii_case("localhost") => Ok(ListenAddress::Localhost(port)),
            (Host::Name(_), _) => Err(AddressError::NameToListenOn),
        }
    }
}

/// A place to listen on; port 0 lets the system choose one. As text, also in LISTEN and LISTENED of the protocol:
/// `127.0.0.1:8080`, `localhost:8080`, `udp:[::1]:53`, `unix:/tmp/pg.sock`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Bind {
    /// A TCP port.
    Tcp(ListenAddress),
    /// A UDP port.
    Udp(ListenAddress),
    /// A unix stream socket, by its path.
    Unix(PathBuf),
}

impl Bind {
    /// Returns whether streams or datagrams arrive there.
    pub fn protocol(&self) -> Protocol {
        match self {
            Bind::Tcp(_) | Bind::Unix(_) => Protocol::Tcp,
            Bind::Udp(_) => Protocol::Udp,
        }
    }
}

impl fmt::Display for Bind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Bind::Tcp(address) => address.fmt(f),
            Bind::Udp(address) => write!(f, "udp:{address}"),
            Bind::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

impl FromStr for Bind {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Bind, AddressError> {
        match Prefix::of(text) {
            Prefix::None(text) => Ok(Bind::Tcp(text.parse()?)),
            Prefix::Udp(rest) => Ok(Bind::Udp(rest.parse()?)),
            Prefix::Unix(path) => Ok(Bind::Unix(socket_path(path)?.into())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn endpoints_and_binds_come_back() {
        for text in ["127.0.0.1:80", "db.local:5432", "[::1]:80", "udp:10.0.0.53:53", "udp:[::1]:53", "unix:/run/a:1"] {
            assert_eq!(text.parse::<Endpoint>().map(|endpoint| endpoint.to_string()), Ok(text.to_owned()));
        }
        for text in ["127.0.0.1:0", "localhost:0", "[::]:80", "udp:0.0.0.0:53", "udp:localhost:53", "unix:/tmp/pg.sock"]
        {
            assert_eq!(text.parse::<Bind>().map(|bind| bind.to_string()), Ok(text.to_owned()));
        }
    }

    #[test]
    fn localhost_is_both_families() {
        let addresses = |text: &str| {
            let address: ListenAddress = text.parse().unwrap();
            address.addresses().map(|address| address.to_string()).collect::<Vec<_>>()
        };
        assert_eq!(addresses("LOCALHOST:80"), ["127.0.0.1:80", "[::1]:80"]);
        assert_eq!(addresses("127.0.0.1:80"), ["127.0.0.1:80"]);
    }

    #[test]
    fn what_a_peer_may_not_name_is_no_endpoint() {
        let cases = [
            ("80", AddressError::NoHost),
            ("a:0", AddressError::PortZero),
            (" a:1", AddressError::Name),
            ("a:1\n", AddressError::Name),
            ("0x7f.1:80", AddressError::Name),
            ("udp:unix:/a", AddressError::Port),
            ("unix:", AddressError::NoPath),
            ("UDP:a:1", AddressError::Brackets),
        ];
        for (text, expected) in cases {
            assert_eq!(text.parse::<Endpoint>(), Err(expected), "{text:?}");
        }
        assert_eq!("a.localhost:80".parse::<Bind>(), Err(AddressError::NameToListenOn));
        assert_eq!("80".parse::<Bind>(), Err(AddressError::NoHost));
    }

    proptest! {
        #[test]
        fn what_parses_comes_back(text in r"(udp:|unix:)?[\[\]:0-9a-fx./ -]{0,24}") {
            if let Ok(endpoint) = text.parse::<Endpoint>() {
                prop_assert_eq!(endpoint.to_string().parse(), Ok(endpoint));
            }
            if let Ok(bind) = text.parse::<Bind>() {
                prop_assert_eq!(bind.to_string().parse(), Ok(bind));
            }
        }
    }
}
