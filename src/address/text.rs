//! Parsing of hosts, ports and paths.
//!
//! Some texts are addresses to the system's resolver, but not to us (`127.1`, `0x7f000001`, `2130706433`). They are
//! refused, so that what was checked and what is dialled cannot differ.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use thiserror::Error;

/// Longest host name, in bytes (RFC 1035 section 2.3.4, without the root's dot).
const MAX_NAME: usize = 253;

/// Longest path of a unix socket, in bytes: `sockaddr_un` of Linux holds this and a terminating byte.
pub const MAX_SOCKET_PATH: usize = 107;

/// Why a text is not an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum AddressError {
    /// It is empty, or only white space.
    #[error("nothing is given")]
    Empty,
    /// It has a scheme, such as `http://`.
    #[error("that is a URL, not an address")]
    Url,
    /// There is no port.
    #[error("it has no port number, and names of services are not understood")]
    NoPort,
    /// The port is not a number.
    #[error("the port is not a number from 0 to 65535")]
    Port,
    /// Port 0 for a destination.
    #[error("nothing can be reached on port 0")]
    PortZero,
    /// A range from a higher port to a lower one.
    #[error("a range goes from the lower port to the higher one, as in 8000-8010")]
    RangeOrder,
    /// A port without a host, where a host is needed.
    #[error("there is no host before the colon")]
    NoHost,
    /// More colons than a name and a port can have.
    #[error("an IPv6 address needs brackets, as in [::1]:25565")]
    Brackets,
    /// Brackets around something other than an IPv6 address.
    #[error("there is no IPv6 address in the brackets")]
    Ipv6,
    /// Neither a name nor an IPv4 address in our reading.
    #[error("the host is neither a name nor an IPv4 address")]
    Name,
    /// A name that is not in its ASCII form.
    #[error("a name with letters beyond a to z must be written in its xn-- form")]
    NotAscii,
    /// A name where only an address of this machine is possible.
    #[error("only an IP address can be listened on, not a name")]
    NameToListenOn,
    /// No path after `unix:`.
    #[error("there is no path after unix:")]
    NoPath,
    /// A path that no socket can have.
    #[error("the path of a socket has at most {MAX_SOCKET_PATH} bytes")]
    PathLength,
    /// A path with a NUL or another control character.
    #[error("the path has a control character")]
    PathControl,
    /// A name in Linux's abstract namespace.
    #[error("abstract sockets (@…) are not supported, only those with a file")]
    AbstractPath,
    /// A relative path where only an absolute one says which file is meant.
    #[error("the path has to be absolute, beginning with /")]
    RelativePath,
}

/// The host before a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Host<'a> {
    /// None: there is only a port.
    Default,
    /// An IP literal.
    Address(IpAddr),
    /// A name that no resolver takes for an address, as it was written.
    Name(&'a str),
}

impl Host<'_> {
    /// Returns the host as text, without brackets.
    pub fn to_text(self) -> Option<String> {
        match self {
            Host::Default => None,
            Host::Address(address) => Some(address.to_string()),
            Host::Name(name) => Some(name.to_owned()),
        }
    }
}

/// The prefix of an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Prefix<'a> {
    /// No prefix; the whole text.
    None(&'a str),
    /// `udp:`; the text after it.
    Udp(&'a str),
    /// `unix:`; the path after it.
    Unix(&'a str),
}

impl<'a> Prefix<'a> {
    /// Splits the prefix off.
    pub fn of(text: &'a str) -> Prefix<'a> {
        match text.split_once(':') {
            Some(("udp", rest)) => Prefix::Udp(rest),
            Some(("unix", rest)) => Prefix::Unix(rest),
            _ => Prefix::None(text),
        }
    }
}

/// Ports from the first to the last, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PortRange {
    first: u16,
    last: u16,
}

impl PortRange {
    /// Creates a range; `None` if it would be empty.
    pub fn new(first: u16, last: u16) -> Option<PortRange> {
        (first <= last).then_some(PortRange { first, last })
    }

    /// Parses `8000` or `8000-8010`.
    ///
    /// # Errors
    /// A part is not a port, or the last comes before the first.
    pub fn parse(text: &str) -> Result<PortRange, AddressError> {
        let (first, last) = match text.split_once('-') {
            Some((first, last)) => (port(first)?, port(last)?),
            None => (port(text)?, port(text)?),
        };
        PortRange::new(first, last).ok_or(AddressError::RangeOrder)
    }

    /// Returns the lowest port.
    pub fn first(self) -> u16 {
        self.first
    }

    /// Returns how many ports there are, at least 1.
    pub fn count(self) -> usize {
        usize::from(self.last - self.first) + 1
    }

    /// Tells whether a port is one of these.
    pub fn contains(self, port: u16) -> bool {
        (self.first..=self.last).contains(&port)
    }

    /// Returns each port, in order.
    pub fn ports(self) -> impl Iterator<Item = u16> {
        self.first..=self.last
    }
}

impl fmt::Display for PortRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.first)?;
        if self.last > self.first {
            write!(f, "-{}", self.last)?;
        }
        Ok(())
    }
}

/// Splits `25565`, `127.0.0.1:25565`, `[::1]:25565` or `db.local:5432`. Ignores surrounding white space.
///
/// # Errors
/// What is wrong; errors of the host come first.
pub fn split(text: &str) -> Result<(Host<'_>, u16), AddressError> {
    let (host, digits) = split_host(text, |byte| byte.is_ascii_digit())?;
    Ok((host, port(digits)?))
}

/// Splits like [`split`], but accepts a range of ports: `8000-8010`, `db.local:8000-8010`.
///
/// # Errors
/// What is wrong; errors of the host come first.
pub fn split_range(text: &str) -> Result<(Host<'_>, PortRange), AddressError> {
    let (host, range) = split_host(text, |byte| byte.is_ascii_digit() || byte == b'-')?;
    Ok((host, PortRange::parse(range)?))
}

/// Parses a host without brackets and port: a name or an IPv4 address.
///
/// # Errors
/// It is neither, or a resolver might take it for another address.
pub fn host(text: &str) -> Result<Host<'_>, AddressError> {
    if text.is_empty() {
        return Err(AddressError::NoHost);
    }
    if let Ok(address) = text.parse::<Ipv4Addr>() {
        return Ok(Host::Address(address.into()));
    }
    if !text.is_ascii() && text.chars().all(|c| c.is_alphanumeric() || ".-".contains(c)) {
        return Err(AddressError::NotAscii);
    }
    let labels = text.strip_suffix('.').unwrap_or(text);
    let is_label = |label: &str| {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        (1..=63).contains(&label.len()) && label.bytes().all(allowed) && !label.starts_with('-')
    };
    let last = labels.rsplit('.').next().unwrap_or_default();
    if labels.len() > MAX_NAME || is_number(last) || !labels.split('.').all(is_label) {
        return Err(AddressError::Name);
    }
    Ok(Host::Name(text))
}

/// Parses a port.
///
/// # Errors
/// It is not all digits, or above 65535.
pub fn port(text: &str) -> Result<u16, AddressError> {
    digits(text).and_then(|number| u16::try_from(number).ok()).ok_or(AddressError::Port)
}

/// Parses the path of a unix socket, without `unix:`.
///
/// # Errors
/// No socket with a file can have this path, or it would not print as it is.
pub fn socket_path(text: &str) -> Result<&str, AddressError> {
    if text.is_empty() {
        Err(AddressError::NoPath)
    } else if text.contains(char::is_control) {
        Err(AddressError::PathControl)
    } else if text.starts_with('@') {
        Err(AddressError::AbstractPath)
    } else if text.len() > MAX_SOCKET_PATH {
        Err(AddressError::PathLength)
    } else {
        Ok(text)
    }
}

/// Parses a number made of digits only; the standard library accepts a plus sign as well.
pub fn digits(text: &str) -> Option<usize> {
    let all_digits = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| all_digits)
}

/// Splits an address that another program wrote, without white space.
pub(super) fn split_exactly(text: &str) -> Result<(Host<'_>, u16), AddressError> {
    if text.trim() == text { split(text) } else { Err(AddressError::Name) }
}

/// Splits the host from the rest; a text in which all bytes are `bare` has no host.
fn split_host(text: &str, bare: impl Fn(u8) -> bool) -> Result<(Host<'_>, &str), AddressError> {
    let text = text.trim();
    if text.is_empty() {
        return Err(AddressError::Empty);
    }
    if text.contains("://") {
        return Err(AddressError::Url);
    }
    if text.starts_with(|c: char| c.is_ascii_digit()) && text.bytes().all(bare) {
        return Ok((Host::Default, text));
    }
    if let Some(bracketed) = text.strip_prefix('[') {
        let (address, rest) = bracketed.split_once(']').ok_or(AddressError::Ipv6)?;
        let address: Ipv6Addr = address.parse().map_err(|_| AddressError::Ipv6)?;
        let port = rest.strip_prefix(':').ok_or(AddressError::NoPort)?;
        return Ok((Host::Address(address.into()), port));
    }
    if text.matches(':').count() > 1 {
        return Err(AddressError::Brackets);
    }
    let (name, port) = text.split_once(':').ok_or(AddressError::NoPort)?;
    Ok((host(name)?, port))
}

/// Tells whether the last label of a host makes it an address for some resolver. `inet_aton` accepts up to four
/// numbers, decimal, octal or hexadecimal, so only a host whose last label is not a number is certainly a name (RFC
/// 1123 section 2.1 demands the same of top-level domains).
fn is_number(label: &str) -> bool {
    let hexadecimal = label.strip_prefix("0x").or_else(|| label.strip_prefix("0X"));
    let is_hexadecimal = hexadecimal.is_some_and(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()));
    is_hexadecimal || label.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_a_resolver_might_take_for_an_address_is_no_host() {
        let spellings = [
            "127.1",
            "127.0.1",
            "2130706433",
            "0x7f.1",
            "0x7f000001",
            "0X7F000001",
            "127.0x1",
            "0177.0.0.1",
            "127.0.0.01",
            "127.0.0.1.",
            "0x7f.0x0.0x0.0x1",
            "0",
            "0x",
            "256.256.256.256",
            "1.2.3.4.5",
            "127.0.0.1.1.",
            "a.0x7f",
            "127。0。0。1",
            "１２７.0.0.1",
            "①.1",
            "127.0.0.1 ",
            " 127.0.0.1",
            "127.0.0.1\0",
            "127.0.0.1%lo",
            "::1",
            "[::1]",
            "0:0:0:0:0:0:0:1",
            "",
            ".",
            "..",
            "a..b",
            "-a",
            "a b",
            "a/b",
            "*",
            "*.a",
        ];
        for spelling in spellings {
            assert!(host(spelling).is_err(), "{spelling:?}");
        }
    }

    #[test]
    fn names_may_look_a_little_like_addresses() {
        for name in ["0x7g", "1.2.3.com", "0x7f.example", "a", "x0x1", "127.0.0.1.nip.io", "a.b.", "_x._tcp.a"] {
            assert_eq!(host(name), Ok(Host::Name(name)));
        }
        assert_eq!(host("127.0.0.1"), Ok(Host::Address([127, 0, 0, 1].into())));
    }

    #[test]
    fn ranges_are_split_from_their_host() {
        let range = |text| split_range(text).map(|(host, range)| (host.to_text(), range.to_string()));
        assert_eq!(range("8000-8010"), Ok((None, "8000-8010".into())));
        assert_eq!(range("[::1]:1-1"), Ok((Some("::1".into()), "1".into())));
        assert_eq!(range("a-b:80-90"), Ok((Some("a-b".into()), "80-90".into())));
        assert_eq!(range("8010-8000"), Err(AddressError::RangeOrder));
        for text in ["80-", "a:-80", "80--90", "80-90-99", "0-65536", "a:80-x"] {
            assert_eq!(range(text), Err(AddressError::Port), "{text}");
        }
        assert_eq!(range("-80"), Err(AddressError::NoPort));
        assert_eq!(split("80-90"), Err(AddressError::NoPort));
        let range = PortRange::new(8000, 8002).unwrap();
        assert_eq!(range.ports().collect::<Vec<_>>(), [8000, 8001, 8002]);
        assert_eq!((range.count(), PortRange::new(0, u16::MAX).unwrap().count()), (3, 65536));
    }

    #[test]
    fn paths_that_no_socket_has_are_refused() {
        assert_eq!(socket_path("/run/app.sock"), Ok("/run/app.sock"));
        assert_eq!(socket_path(""), Err(AddressError::NoPath));
        assert_eq!(socket_path("@app"), Err(AddressError::AbstractPath));
        assert_eq!(socket_path("/run/\0"), Err(AddressError::PathControl));
        assert_eq!(socket_path(&"/".repeat(108)), Err(AddressError::PathLength));
    }

    proptest! {
        #[test]
        fn whatever_is_a_name_is_no_address_for_inet_aton(text in "(0x|0)?[0-9a-fx]{0,9}(\\.(0x|0)?[0-9a-fx]{0,4}){0,4}") {
            if host(&text) == Ok(Host::Name(&text)) {
                prop_assert!(!is_address_for_inet_aton(&text), "{}", text);
            }
        }

        #[test]
        fn ranges_come_back(first in any::<u16>(), count in 0u16..300) {
            let range = PortRange::new(first, first.saturating_add(count)).unwrap();
            prop_assert_eq!(PortRange::parse(&range.to_string()), Ok(range));
        }
    }

    /// Tells whether `inet_aton` accepts a text: up to four numbers, each read by `strtoul` with base 0.
    fn is_address_for_inet_aton(text: &str) -> bool {
        let is_part = |part: &str| {
            let lower = part.to_ascii_lowercase();
            match (lower.strip_prefix("0x"), lower.strip_prefix('0')) {
                (Some(digits), _) => u64::from_str_radix(digits, 16).is_ok(),
                (None, Some("")) => true,
                (None, Some(digits)) => u64::from_str_radix(digits, 8).is_ok(),
                (None, None) => lower.parse::<u64>().is_ok(),
            }
        };
        let parts: Vec<&str> = text.split('.').collect();
        parts.len() <= 4 && parts.into_iter().all(is_part)
    }
}
