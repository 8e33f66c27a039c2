//! Special addresses, to which no name may lead.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Why an address needs a rule of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Special {
    /// This machine: 127.0.0.0/8, ::1, and 0.0.0.0/8, which Linux treats the same.
    Loopback,
    /// This machine: one of its interfaces has it.
    Own,
    /// `::`, which connects to this machine.
    Unspecified,
    /// This link: 169.254.0.0/16 (where clouds keep credentials), fe80::/10.
    LinkLocal,
    /// A group: 224.0.0.0/4, ff00::/8.
    Multicast,
    /// Everybody on the link: 255.255.255.255.
    Broadcast,
}

impl fmt::Display for Special {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Special::Loopback | Special::Own => "an address of this machine itself",
            Special::Unspecified => "the unspecified address",
            Special::LinkLocal => "a link-local address",
            Special::Multicast => "a multicast address",
            Special::Broadcast => "the broadcast address",
        })
    }
}

/// Returns what is special about an address, without looking at addresses embedded in it.
pub fn of(address: IpAddr) -> Option<Special> {
    match address.to_canonical() {
        IpAddr::V4(address) => match address.octets()[0] {
            0 | 127 => Some(Special::Loopback),
            _ if address.is_link_local() => Some(Special::LinkLocal),
            _ if address.is_multicast() => Some(Special::Multicast),
            _ if address.is_broadcast() => Some(Special::Broadcast),
            _ => None,
        },
        IpAddr::V6(address) if address.is_loopback() => Some(Special::Loopback),
        IpAddr::V6(address) if address.is_unspecified() => Some(Special::Unspecified),
        IpAddr::V6(address) if address.is_unicast_link_local() => Some(Special::LinkLocal),
        IpAddr::V6(address) if address.is_multicast() => Some(Special::Multicast),
        IpAddr::V6(_) => None,
    }
}

/// Returns the IPv4 addresses embedded in an IPv6 address, which a gateway or relay would extract.
///
/// IPv4-mapped addresses are not among them: dialling one is dialling IPv4.
pub fn embedded(address: IpAddr) -> impl Iterator<Item = IpAddr> {
    let found = match address.to_canonical() {
        IpAddr::V4(_) => [None, None],
        IpAddr::V6(address) => embedded_in(address),
    };
    found.into_iter().flatten().map(IpAddr::V4)
}

fn embedded_in(address: Ipv6Addr) -> [Option<Ipv4Addr>; 2] {
    let octets = address.octets();
    let at = |start: usize| Ipv4Addr::new(octets[start], octets[start + 1], octets[start + 2], octets[start + 3]);
    match address.segments() {
        _ if of(address.into()).is_some() => [None, None],
        // IPv4-compatible (RFC 4291 section 2.5.5.1) and IPv4-translated (RFC 2765 section 2.1).
        [0, 0, 0, 0, 0, 0, ..] | [0, 0, 0, 0, 0xffff, 0, ..] => [Some(at(12)), None],
        // NAT64: the well-known prefix (RFC 6052 section 2.1), and local-use prefixes (RFC 8215), usually of 96 bits.
        [0x64, 0xff9b, 0, 0, 0, 0, ..] | [0x64, 0xff9b, 1, ..] => [Some(at(12)), None],
        // 6to4 (RFC 3056 section 2).
        [0x2002, ..] => [Some(at(2)), None],
        // Teredo (RFC 4380 section 4): the server, and the client with inverted bits.
        [0x2001, 0, ..] => [Some(at(4)), Some(Ipv4Addr::from(!u32::from(at(12))))],
        _ => [None, None],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(text: &str) -> Option<Special> {
        let address = text.parse().unwrap();
        of(address).or_else(|| embedded(address).find_map(of))
    }

    #[test]
    fn special_addresses_are_seen_through_every_form() {
        let cases = [
            ("127.0.0.1", Special::Loopback),
            ("127.255.255.255", Special::Loopback),
            ("0.0.0.0", Special::Loopback),
            ("0.1.2.3", Special::Loopback),
            ("169.254.169.254", Special::LinkLocal),
            ("224.0.0.251", Special::Multicast),
            ("239.255.255.255", Special::Multicast),
            ("255.255.255.255", Special::Broadcast),
            ("::", Special::Unspecified),
            ("::1", Special::Loopback),
            ("fe80::1", Special::LinkLocal),
            ("febf::1", Special::LinkLocal),
            ("ff02::fb", Special::Multicast),
            ("::ffff:127.0.0.1", Special::Loopback),
            ("::ffff:0.0.0.0", Special::Loopback),
            ("::127.0.0.1", Special::Loopback),
            ("::2", Special::Loopback),
            ("::ffff:0:127.0.0.1", Special::Loopback),
            ("64:ff9b::127.0.0.1", Special::Loopback),
            ("64:ff9b::169.254.169.254", Special::LinkLocal),
            ("64:ff9b:1::127.0.0.1", Special::Loopback),
            ("64:ff9b:1:ffff::127.0.0.1", Special::Loopback),
            ("2002:7f00:1::", Special::Loopback),
            ("2002:a9fe:a9fe::1", Special::LinkLocal),
            // Teredo: the client is 127.0.0.1, then the server is.
            ("2001:0:4136:e378:8000:63bf:80ff:fffe", Special::Loopback),
            ("2001:0:7f00:1:8000:63bf:3fff:fdd2", Special::Loopback),
        ];
        for (text, expected) in cases {
            assert_eq!(kind(text), Some(expected), "{text}");
        }
    }

    #[test]
    fn ordinary_addresses_are_not_special() {
        let ordinary = [
            "10.0.0.1",
            "192.168.1.1",
            "126.255.255.255",
            "128.0.0.1",
            "1.0.0.0",
            "223.255.255.255",
            "240.0.0.1",
            "2001:db8::1",
            "fd00::1",
            "fec0::1",
            "::ffff:10.0.0.1",
            "64:ff9b::10.0.0.1",
            "2002:a00:1::1",
            "2001:0:4136:e378:8000:63bf:3fff:fdd2",
            "2001:1::7f00:1",
            "64:ff9b:2::127.0.0.1",
            "2606:4700::127.0.0.1",
        ];
        for text in ordinary {
            assert_eq!(kind(text), None, "{text}");
        }
    }
}
