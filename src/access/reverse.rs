//! What the other side may make this machine listen on.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use super::rule::{Ports, RuleError, rule_path};
use super::{Denied, normalize};
use crate::address::{AddressError, Bind, Host, ListenAddress, Protocol, host};

/// The rules of `--allow-reverse`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ReverseAccess {
    rules: Vec<ReverseRule>,
}

/// A rule for one place to listen on. As text: `8080`, `8000-8010,9000`, `0.0.0.0:8080`, `[::1]:*`, `udp:53`,
/// `unix:/run/app.sock`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReverseRule(Inner);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Inner {
    /// Ports of one address, or of all loopback addresses.
    Ports {
        protocol: Protocol,
        address: Option<IpAddr>,
        ports: Ports,
    },
    Unix(PathBuf),
}

impl ReverseAccess {
    /// Creates the list. Without rules nothing is permitted.
    pub fn new(rules: Vec<ReverseRule>) -> ReverseAccess {
        ReverseAccess { rules }
    }

    /// Decides where to listen for the other side, and returns that: an IPv4-mapped address as IPv4, a path without `.`
    /// and doubled slashes, and for localhost only the permitted address family. Port 0, any free port, is permitted
    /// where all ports are.
    ///
    /// # Errors
    /// Why it must not be listened on.
    #[doc(hidden)]
    pub fn check(&self, bind: &Bind) -> Result<Bind, Denied> {
        match bind {
            Bind::Tcp(address) => self.check_ports(Protocol::Tcp, address).map(Bind::Tcp),
            Bind::Udp(address) => self.check_ports(Protocol::Udp, address).map(Bind::Udp),
            Bind::Unix(path) => {
                let path = normalize(path).ok_or(Denied::Path)?;
                let is_permitted = self.rules.iter().any(|rule| matches!(&rule.0, Inner::Unix(own) if *own == path));
                if is_permitted { Ok(Bind::Unix(path)) } else { Err(Denied::NoRule) }
            }
        }
    }

    fn check_ports(&self, protocol: Protocol, address: &ListenAddress) -> Result<ListenAddress, Denied> {
        let canonical = address.addresses().map(|one| SocketAddr::new(one.ip().to_canonical(), one.port()));
        let permitted: Vec<SocketAddr> =
            canonical.filter(|one| self.rules.iter().any(|rule| rule.permits(protocol, *one))).collect();
        match permitted[..] {
            [] => Err(Denied::NoRule),
            [one] => Ok(ListenAddress::One(one)),
            _ => Ok(*address),
        }
    }

    /// Tells whether nothing at all is permitted.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// Returns the rules, in the order they were given.
    pub fn rules(&self) -> &[ReverseRule] {
        &self.rules
    }
}

impl ReverseRule {
    /// Parses a rule: ports, perhaps after their address. Ports without an address are loopback's; after `0.0.0.0` or
    /// `[::]` they are those of every address of that family.
    ///
    /// # Errors
    /// The fault.
    pub fn parse(text: &str) -> Result<ReverseRule, RuleError> {
        let text = text.trim();
        let (protocol, rest) = match text.split_once(':') {
            Some(("unix", path)) => return Ok(ReverseRule(Inner::Unix(rule_path(path)?))),
            Some(("udp", rest)) => (Protocol::Udp, rest),
            Some(("tcp", rest)) => (Protocol::Tcp, rest),
            _ => (Protocol::Tcp, text),
        };
        if rest.is_empty() {
            return Err(AddressError::Empty.into());
        }
        if rest.contains("://") {
            return Err(AddressError::Url.into());
        }
        let (address, ports) = match (rest.strip_prefix('['), rest.rsplit_once(':')) {
            (Some(bracketed), _) => {
                let (address, rest) = bracketed.split_once(']').ok_or(AddressError::Ipv6)?;
                let address: IpAddr = IpAddr::V6(address.parse().map_err(|_| AddressError::Ipv6)?);
                (Some(address.to_canonical()), rest.strip_prefix(':').ok_or(RuleError::NoPorts)?)
            }
            (None, Some((address, ports))) => (listened(address)?, ports),
            (None, None) => (None, rest),
        };
        Ok(ReverseRule(Inner::Ports { protocol, address, ports: Ports::parse(ports)? }))
    }

    fn permits(&self, asked_protocol: Protocol, asked: SocketAddr) -> bool {
        let Inner::Ports { protocol, address, ports } = &self.0 else { return false };
        let fits = match address {
            None => asked.ip().is_loopback(),
            Some(allowed) if allowed.is_unspecified() => allowed.is_ipv4() == asked.is_ipv4(),
            Some(allowed) => *allowed == asked.ip(),
        };
        fits && *protocol == asked_protocol && ports.contains(asked.port())
    }
}

impl fmt::Display for ReverseRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Inner::Unix(path) => write!(f, "unix:{}", path.display()),
            Inner::Ports { protocol, address, ports } => {
                if *protocol == Protocol::Udp {
                    write!(f, "udp:")?;
                }
                match address {
                    None => {}
                    Some(IpAddr::V4(address)) => write!(f, "{address}:")?,
                    Some(IpAddr::V6(address)) => write!(f, "[{address}]:")?,
                }
                ports.fmt(f)
            }
        }
    }
}

/// Parses the address to listen on; `None` means loopback.
fn listened(text: &str) -> Result<Option<IpAddr>, RuleError> {
    if text.contains(':') {
        return Err(AddressError::Brackets.into());
    }
    match host(text)? {
        Host::Address(address) => Ok(Some(address)),
        Host::Name(name) if name.eq_ignore_ascii_case("localhost") => Ok(None),
        Host::Name(_) | Host::Default => Err(RuleError::BindName),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn permitted(rules: &[&str], bind: &str) -> Result<String, Denied> {
        let access = ReverseAccess::new(rules.iter().map(|rule| ReverseRule::parse(rule).unwrap()).collect());
        access.check(&bind.parse().unwrap()).map(|bind| bind.to_string())
    }

    #[test]
    fn only_what_a_rule_names_is_listened_on() {
        let cases: [(&[&str], &str, bool); 29] = [
            (&[], "127.0.0.1:8080", false),
            (&["8080"], "127.0.0.1:8080", true),
            (&["8080"], "127.9.9.9:8080", true),
            (&["8080"], "[::1]:8080", true),
            (&["8080"], "[::ffff:127.0.0.1]:8080", true),
            (&["8080"], "0.0.0.0:8080", false),
            (&["8080"], "[::]:8080", false),
            (&["8080"], "192.168.1.2:8080", false),
            (&["8080"], "127.0.0.1:8081", false),
            (&["8080"], "127.0.0.1:0", false),
            (&["8080"], "udp:127.0.0.1:8080", false),
            (&["udp:53"], "udp:127.0.0.1:53", true),
            (&["udp:53"], "127.0.0.1:53", false),
            (&["8000-8010,9000"], "127.0.0.1:8010", true),
            (&["8000-8010,9000"], "127.0.0.1:9000", true),
            (&["8000-8010,9000"], "127.0.0.1:8011", false),
            (&["80", "0.0.0.0:8080"], "0.0.0.0:8080", true),
            (&["0.0.0.0:8080"], "127.0.0.1:8080", true),
            (&["0.0.0.0:8080"], "[::]:8080", false),
            (&["[::]:8080"], "0.0.0.0:8080", false),
            (&["[::]:8080"], "[::1]:8080", true),
            (&["192.168.1.2:80"], "192.168.1.2:80", true),
            (&["192.168.1.2:80"], "127.0.0.1:80", false),
            (&["localhost:80"], "127.0.0.1:80", true),
            (&["*"], "127.0.0.1:0", true),
            (&["*"], "0.0.0.0:80", false),
            (&["unix:/run/a.sock"], "unix:/run/a.sock", true),
            (&["unix:/run/a.sock"], "unix:/run/b.sock", false),
            (&["*"], "unix:/run/a.sock", false),
        ];
        for (rules, bind, expected) in cases {
            assert_eq!(permitted(rules, bind).is_ok(), expected, "{rules:?} {bind}");
        }
    }

    #[test]
    fn of_localhost_there_is_what_is_allowed() {
        assert_eq!(permitted(&["80"], "localhost:80"), Ok("localhost:80".into()));
        assert_eq!(permitted(&["127.0.0.1:80"], "localhost:80"), Ok("127.0.0.1:80".into()));
        assert_eq!(permitted(&["udp:[::1]:80"], "udp:localhost:80"), Ok("udp:[::1]:80".into()));
        assert_eq!(permitted(&["192.168.1.2:80"], "localhost:80"), Err(Denied::NoRule));
    }

    #[test]
    fn what_was_checked_is_what_is_listened_on() {
        assert_eq!(permitted(&["80"], "[::ffff:127.0.0.1]:80"), Ok("127.0.0.1:80".into()));
        assert_eq!(permitted(&["unix:/run/a"], "unix://run/./a/"), Ok("unix:/run/a".into()));
        assert_eq!(permitted(&["unix:/run/a"], "unix:/run/x/../a"), Err(Denied::Path));
        assert_eq!(permitted(&["unix:/run/a"], "unix:run/a"), Err(Denied::Path));
    }

    #[test]
    fn wrong_rules_are_explained() {
        let cases = [
            ("", RuleError::Address(AddressError::Empty)),
            ("udp:", RuleError::Address(AddressError::Empty)),
            ("web", RuleError::Address(AddressError::Port)),
            ("0", RuleError::Address(AddressError::PortZero)),
            ("9-8", RuleError::Address(AddressError::RangeOrder)),
            ("web:80", RuleError::BindName),
            ("*:80", RuleError::Address(AddressError::Name)),
            ("::1:80", RuleError::Address(AddressError::Brackets)),
            ("[::1]", RuleError::NoPorts),
            ("127.1:80", RuleError::Address(AddressError::Name)),
            ("unix:a", RuleError::Address(AddressError::RelativePath)),
            ("unix:/a/*", RuleError::PathPattern),
        ];
        for (text, expected) in cases {
            assert_eq!(ReverseRule::parse(text), Err(expected), "{text}");
        }
    }

    proptest! {
        #[test]
        fn rules_come_back(text in r"(udp:|unix:/)?(localhost:|\[::1\]:|0\.0\.0\.0:)?[0-9*,a-]{0,8}") {
            if let Ok(rule) = ReverseRule::parse(&text) {
                prop_assert_eq!(ReverseRule::parse(&rule.to_string()), Ok(rule));
            }
        }
    }
}
