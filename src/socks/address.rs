//! Addresses in SOCKS5 (RFC 1928, section 5), and the hosts a program may name.
//!
//! A host is brought into one normal form: an IP literal, or a name of plain labels. So code that compares it with a
//! list or puts it into a message needs to know no other spelling.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use thiserror::Error;

use crate::address::Target;

/// Longest host name, in bytes (RFC 1035, section 2.3.4, without the root's dot).
const MAX_NAME: usize = 253;

/// Longest label of a host name, in bytes (RFC 1035, section 2.3.4).
const MAX_LABEL: usize = 63;

const IPV4: u8 = 1;
const NAME: u8 = 3;
const IPV6: u8 = 4;

/// Why an address cannot be dialled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum AddressError {
    /// RFC 1928 does not define this type of address.
    #[error("the type of the address, {0}, is not known")]
    Type(u8),
    /// Neither a host name nor an IP address: it has characters that are not allowed, is too long, or is a number.
    #[error("the host is neither a name nor an IP address")]
    Host,
    /// An IPv6 address has a zone, which is meaningful on one machine only.
    #[error("the address has a zone, which means nothing on the other machine")]
    Zone,
    /// The port is 0, or is missing.
    #[error("there is no port from 1 to 65535")]
    Port,
}

/// An address as it was sent; only its length has been checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct RawAddress<'a> {
    host: RawHost<'a>,
    port: u16,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum RawHost<'a> {
    Ip(IpAddr),
    Name(&'a [u8]),
}

impl<'a> RawAddress<'a> {
    /// Parses type, host and port at the beginning of `bytes`. Returns the length with it, or `None` if bytes are
    /// missing.
    ///
    /// # Errors
    /// [`AddressError::Type`], because the length is unknown then.
    pub(super) fn decode(bytes: &'a [u8]) -> Result<Option<(RawAddress<'a>, usize)>, AddressError> {
        let Some((kind, rest)) = bytes.split_first() else { return Ok(None) };
        let split = match *kind {
            IPV4 => rest.split_first_chunk().map(|(octets, rest)| (RawHost::Ip(Ipv4Addr::from(*octets).into()), rest)),
            IPV6 => {
                rest.split_first_chunk::<16>().map(|(octets, rest)| (RawHost::Ip(Ipv6Addr::from(*octets).into()), rest))
            }
            NAME => rest
                .split_first()
                .and_then(|(length, rest)| rest.split_at_checked(usize::from(*length)))
                .map(|(name, rest)| (RawHost::Name(name), rest)),
            kind => return Err(AddressError::Type(kind)),
        };
        let Some((host, rest)) = split else { return Ok(None) };
        let Some((port, rest)) = rest.split_first_chunk() else { return Ok(None) };
        Ok(Some((RawAddress { host, port: u16::from_be_bytes(*port) }, bytes.len() - rest.len())))
    }

    /// Checks the address and brings it into its normal form.
    ///
    /// # Errors
    /// Every [`AddressError`] except the type.
    pub(super) fn target(self) -> Result<Target, AddressError> {
        let host = match self.host {
            RawHost::Ip(address) => address.to_canonical().to_string(),
            RawHost::Name(name) => normal_host(std::str::from_utf8(name).map_err(|_| AddressError::Host)?)?,
        };
        target(host, self.port)
    }
}

/// Appends type, host and port. Returns false, and appends nothing, if the host is longer than 255 bytes.
#[must_use]
pub(super) fn encode(host: &str, port: u16, into: &mut Vec<u8>) -> bool {
    match host.parse::<IpAddr>() {
        Ok(address) => encode_ip(address, port, into),
        Err(_) => {
            let Ok(length) = u8::try_from(host.len()) else { return false };
            into.extend([NAME, length]);
            into.extend(host.as_bytes());
            into.extend(port.to_be_bytes());
        }
    }
    true
}

/// Appends type, address and port.
pub(super) fn encode_ip(address: IpAddr, port: u16, into: &mut Vec<u8>) {
    match address.to_canonical() {
        IpAddr::V4(address) => {
            into.push(IPV4);
            into.extend(address.octets());
        }
        IpAddr::V6(address) => {
            into.push(IPV6);
            into.extend(address.octets());
        }
    }
    into.extend(port.to_be_bytes());
}

/// Checks a destination that was read elsewhere, and brings its host into the normal form.
///
/// # Errors
/// Every [`AddressError`] except the type.
pub fn destination(host: &str, port: u16) -> Result<Target, AddressError> {
    target(normal_host(host)?, port)
}

/// Parses host and port of a CONNECT request (RFC 9110, section 9.3.6): an IPv6 address is in brackets, and the port is
/// required.
///
/// # Errors
/// Every [`AddressError`] except the type; a missing port is [`AddressError::Port`].
pub(super) fn authority(text: &str) -> Result<Target, AddressError> {
    // The colons of an address without brackets stay in the host, whose check refuses colons.
    let (host, port) = text.rsplit_once(':').ok_or(AddressError::Port)?;
    if host.contains(':') && !host.starts_with('[') {
        return Err(AddressError::Host);
    }
    let is_number = (1..=5).contains(&port.len()) && port.bytes().all(|byte| byte.is_ascii_digit());
    let port = Some(port).filter(|_| is_number).and_then(|port| port.parse().ok());
    target(normal_host(host)?, port.ok_or(AddressError::Port)?)
}

fn target(host: String, port: u16) -> Result<Target, AddressError> {
    if port == 0 { Err(AddressError::Port) } else { Ok(Target { host, port }) }
}

/// Returns the normal form of a host: an IP address as its type prints it, without brackets, IPv4-mapped as IPv4; a
/// name in small letters.
fn normal_host(text: &str) -> Result<String, AddressError> {
    if text.contains('%') {
        return Err(AddressError::Zone);
    }
    if let Some(rest) = text.strip_prefix('[') {
        let address = rest.strip_suffix(']').and_then(|address| address.parse::<Ipv6Addr>().ok());
        return address.map(|address| address.to_canonical().to_string()).ok_or(AddressError::Host);
    }
    if let Ok(address) = text.parse::<IpAddr>() {
        return Ok(address.to_canonical().to_string());
    }
    if is_name(text) { Ok(text.to_ascii_lowercase()) } else { Err(AddressError::Host) }
}

/// Tells whether a text is a host name. One that ends in a number is not: resolvers take `127.1`, `0x7f000001` and
/// `2130706433` for addresses, each in its own way.
fn is_name(text: &str) -> bool {
    let name = text.strip_suffix('.').unwrap_or(text);
    let is_label = |label: &str| {
        let is_plain = label.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
        is_plain && (1..=MAX_LABEL).contains(&label.len())
    };
    name.len() <= MAX_NAME && name.split('.').all(is_label) && !name.rsplit('.').next().is_some_and(is_number)
}

fn is_number(label: &str) -> bool {
    match label.strip_prefix("0x").or_else(|| label.strip_prefix("0X")) {
        Some(digits) => digits.bytes().all(|byte| byte.is_ascii_hexdigit()),
        None => label.bytes().all(|byte| byte.is_ascii_digit()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn hosts_have_one_spelling() {
        let long = ["a".repeat(63), "b".repeat(63), "c".repeat(63), "d".repeat(61)].join(".");
        let rows = [
            ("example.com", "example.com"),
            ("EXAMPLE.Com", "example.com"),
            ("example.com.", "example.com."),
            ("localhost", "localhost"),
            ("_srv._tcp.a-b.test", "_srv._tcp.a-b.test"),
            ("xn--bcher-kva.example", "xn--bcher-kva.example"),
            ("1password.test", "1password.test"),
            ("10.0.0.1.nip.io", "10.0.0.1.nip.io"),
            ("0x1.test", "0x1.test"),
            ("127.0.0.1", "127.0.0.1"),
            ("::1", "::1"),
            ("[::1]", "::1"),
            ("0:0:0:0:0:0:0:1", "::1"),
            ("2001:DB8::00A0", "2001:db8::a0"),
            ("::ffff:127.0.0.1", "127.0.0.1"),
            ("[::ffff:7f00:1]", "127.0.0.1"),
            (&long, &long),
        ];
        for (given, expected) in rows {
            assert_eq!(normal_host(given).as_deref(), Ok(expected), "{given}");
        }
    }

    #[test]
    fn what_is_no_host_is_refused() {
        let long_label = format!("{}.test", "a".repeat(64));
        let long = ["a".repeat(63), "b".repeat(63), "c".repeat(63), "d".repeat(62)].join(".");
        let rows = [
            "",
            ".",
            "..",
            ".a",
            "a..b",
            "a b",
            "a\0b",
            "a\n",
            "a/b",
            "a@b",
            "a:b",
            "a\u{e9}",
            "b\u{fc}cher",
            "a,b",
            "*",
            "127.1",
            "127.0.0.1.",
            "0127.0.0.1",
            "0x7f000001",
            "0X7F.1",
            "2130706433",
            "1.2.3.4.5",
            "256.0.0.1",
            "a.0x",
            "[",
            "[]",
            "[::1",
            "::1]",
            "[127.0.0.1]",
            "[a]",
            ":::",
            "1::2::3",
            &long_label,
            &long,
        ];
        for given in rows {
            assert_eq!(normal_host(given), Err(AddressError::Host), "{given}");
        }
        for given in ["fe80::1%eth0", "[fe80::1%25eth0]", "fe80::1%2", "%", "a%00b"] {
            assert_eq!(normal_host(given), Err(AddressError::Zone), "{given}");
        }
    }

    #[test]
    fn authorities_need_a_port_and_brackets() {
        let rows = [
            ("a.test:443", Ok(("a.test", 443))),
            ("[::1]:80", Ok(("::1", 80))),
            ("10.0.0.1:65535", Ok(("10.0.0.1", 65535))),
            ("a.test:00080", Ok(("a.test", 80))),
            ("a.test", Err(AddressError::Port)),
            ("a.test:", Err(AddressError::Port)),
            ("a.test:0", Err(AddressError::Port)),
            ("a.test:65536", Err(AddressError::Port)),
            ("a.test:+80", Err(AddressError::Port)),
            ("a.test:000080", Err(AddressError::Port)),
            ("a.test:http", Err(AddressError::Port)),
            (":80", Err(AddressError::Host)),
            ("::1:80", Err(AddressError::Host)),
            ("[::1]", Err(AddressError::Host)),
            ("[::1]x:80", Err(AddressError::Host)),
            ("user@a.test:80", Err(AddressError::Host)),
            ("http://a.test:80", Err(AddressError::Host)),
            ("/:80", Err(AddressError::Host)),
            ("[fe80::1%25eth0]:80", Err(AddressError::Zone)),
        ];
        for (given, expected) in rows {
            let expected = expected.map(|(host, port)| Target { host: host.to_owned(), port });
            assert_eq!(authority(given), expected, "{given}");
        }
    }

    #[test]
    fn nothing_is_appended_for_a_host_that_is_too_long() {
        let mut bytes = Vec::new();
        assert!(!encode(&"a".repeat(256), 1, &mut bytes));
        assert!(bytes.is_empty());
    }

    proptest! {
        #[test]
        fn what_is_accepted_is_in_its_normal_form(text in "[ -~]{0,80}") {
            if let Ok(host) = normal_host(&text) {
                prop_assert_eq!(normal_host(&host), Ok(host.clone()));
                let target = Target { host, port: 7 };
                prop_assert_eq!(authority(&target.to_string()), Ok(target));
            }
        }

        #[test]
        fn names_and_addresses_survive_the_wire(
            host in prop_oneof![
                "[a-z]([a-z0-9-]{0,20}\\.){0,3}[a-z]{1,9}",
                any::<Ipv4Addr>().prop_map(|address| address.to_string()),
                any::<Ipv6Addr>().prop_map(|address| address.to_canonical().to_string()),
            ],
            port in 1..=u16::MAX,
            behind in proptest::collection::vec(any::<u8>(), 0..9),
        ) {
            let mut bytes = Vec::new();
            prop_assert!(encode(&host, port, &mut bytes));
            for length in 0..bytes.len() {
                prop_assert_eq!(RawAddress::decode(&bytes[..length]), Ok(None));
            }
            let end = bytes.len();
            bytes.extend(behind);
            let (raw, length) = RawAddress::decode(&bytes).unwrap().unwrap();
            prop_assert_eq!(length, end);
            prop_assert_eq!(raw.target(), normal_host(&host).map(|host| Target { host, port }));
        }
    }
}
