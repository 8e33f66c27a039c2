//! The header of the PROXY protocol, by which a service learns a client's address.
//!
//! The formats are those of HAProxy's `proxy-protocol.txt`, sections 2.1 and 2.2. The header goes to the service before
//! the first byte of the stream. The addresses are those of the path between the peers, so the ports are UDP ports; the
//! header calls them TCP because the stream is one.

use std::net::{IpAddr, SocketAddr};

use crate::config::ProxyProtocol;

/// First bytes of every header of version 2.
const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";

/// Version 2, command LOCAL: the addresses are those of the connection itself.
const LOCAL: u8 = 0x20;

/// Version 2, command PROXY.
const PROXY: u8 = 0x21;

/// No address family and no transport.
const UNSPECIFIED: u8 = 0x00;

/// Streams over IPv4; four bytes an address.
const TCP_OVER_IPV4: u8 = 0x11;

/// Streams over IPv6; sixteen bytes an address.
const TCP_OVER_IPV6: u8 = 0x21;

/// Returns the header for a client seen at `source` that came to `destination` of this machine.
///
/// Without a direct path (relayed) it says `UNKNOWN`, in version 2 LOCAL: the service uses the addresses of the
/// connection. IPv4-mapped addresses are written as IPv4. Two different families cannot be expressed and count as no
/// path.
pub(super) fn proxy_header(version: ProxyProtocol, path: Option<(SocketAddr, SocketAddr)>) -> Vec<u8> {
    let addresses = path.map(|(source, destination)| {
        let ends = (source.ip().to_canonical(), destination.ip().to_canonical());
        (ends, source.port(), destination.port())
    });
    match version {
        ProxyProtocol::V1 => text(addresses).into_bytes(),
        ProxyProtocol::V2 => binary(addresses),
    }
}

type Addresses = ((IpAddr, IpAddr), u16, u16);

fn text(addresses: Option<Addresses>) -> String {
    let Some((ends @ (source, destination), source_port, destination_port)) = addresses else {
        return "PROXY UNKNOWN\r\n".to_owned();
    };
    let family = match ends {
        (IpAddr::V4(_), IpAddr::V4(_)) => "TCP4",
        (IpAddr::V6(_), IpAddr::V6(_)) => "TCP6",
        _ => return "PROXY UNKNOWN\r\n".to_owned(),
    };
    format!("PROXY {family} {source} {destination} {source_port} {destination_port}\r\n")
}

fn binary(addresses: Option<Addresses>) -> Vec<u8> {
    let mut header = SIGNATURE.to_vec();
    let mut begin = |command, family, length: u16| {
        header.extend_from_slice(&[command, family]);
        header.extend_from_slice(&length.to_be_bytes());
    };
    let (source_port, destination_port) = match addresses {
        Some(((IpAddr::V4(source), IpAddr::V4(destination)), source_port, destination_port)) => {
            begin(PROXY, TCP_OVER_IPV4, 12);
            header.extend_from_slice(&source.octets());
            header.extend_from_slice(&destination.octets());
            (source_port, destination_port)
        }
        Some(((IpAddr::V6(source), IpAddr::V6(destination)), source_port, destination_port)) => {
            begin(PROXY, TCP_OVER_IPV6, 36);
            header.extend_from_slice(&source.octets());
            header.extend_from_slice(&destination.octets());
            (source_port, destination_port)
        }
        Some(_) | None => {
            begin(LOCAL, UNSPECIFIED, 0);
            return header;
        }
    };
    header.extend_from_slice(&source_port.to_be_bytes());
    header.extend_from_slice(&destination_port.to_be_bytes());
    header
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The signature, as the specification prints it.
    const MAGIC: [u8; 12] = [0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d, 0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a];

    fn header(version: ProxyProtocol, source: &str, destination: &str) -> Vec<u8> {
        proxy_header(version, Some((source.parse().unwrap(), destination.parse().unwrap())))
    }

    #[test]
    fn version_1_is_a_line() {
        let line = |source, destination| String::from_utf8(header(ProxyProtocol::V1, source, destination)).unwrap();
        assert_eq!(line("198.51.100.7:56324", "192.0.2.1:443"), "PROXY TCP4 198.51.100.7 192.0.2.1 56324 443\r\n");
        assert_eq!(
            line("[2001:db8::7]:56324", "[2001:db8::1]:443"),
            "PROXY TCP6 2001:db8::7 2001:db8::1 56324 443\r\n"
        );
        assert_eq!(line("[::ffff:198.51.100.7]:1", "192.0.2.1:2"), "PROXY TCP4 198.51.100.7 192.0.2.1 1 2\r\n");
        assert_eq!(line("198.51.100.7:1", "[2001:db8::1]:2"), "PROXY UNKNOWN\r\n");
        assert_eq!(proxy_header(ProxyProtocol::V1, None), b"PROXY UNKNOWN\r\n");
    }

    #[test]
    fn version_1_fits_the_longest_line_of_the_specification() {
        let most = "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535";
        assert_eq!(header(ProxyProtocol::V1, most, most).len(), 104);
    }

    #[test]
    fn version_2_over_ipv4_has_twelve_bytes_of_addresses() {
        let mut expected = MAGIC.to_vec();
        expected.extend_from_slice(&[0x21, 0x11, 0, 12, 198, 51, 100, 7, 192, 0, 2, 1, 0xdc, 0x04, 0x01, 0xbb]);
        assert_eq!(header(ProxyProtocol::V2, "198.51.100.7:56324", "192.0.2.1:443"), expected);
        assert_eq!(header(ProxyProtocol::V2, "198.51.100.7:56324", "[::ffff:192.0.2.1]:443"), expected);
    }

    #[test]
    fn version_2_over_ipv6_has_thirty_six() {
        let mut expected = MAGIC.to_vec();
        expected.extend_from_slice(&[0x21, 0x21, 0, 36]);
        for last in [7, 1] {
            expected.extend_from_slice(&[0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, last]);
        }
        expected.extend_from_slice(&[0xdc, 0x04, 0x01, 0xbb]);
        assert_eq!(header(ProxyProtocol::V2, "[2001:db8::7]:56324", "[2001:db8::1]:443"), expected);
    }

    #[test]
    fn version_2_without_a_path_is_local() {
        let expected = [&MAGIC[..], &[0x20, 0x00, 0, 0]].concat();
        assert_eq!(proxy_header(ProxyProtocol::V2, None), expected);
        assert_eq!(header(ProxyProtocol::V2, "198.51.100.7:1", "[2001:db8::1]:2"), expected);
    }

    proptest! {
        #[test]
        fn another_implementation_reads_the_same(source in any::<SocketAddr>(), destination in any::<SocketAddr>()) {
            let line = proxy_header(ProxyProtocol::V1, Some((source, destination)));
            let read = ppp::v1::Header::try_from(line.as_slice()).unwrap().addresses;
            let v1 = match read {
                ppp::v1::Addresses::Tcp4(read) => Some((
                    SocketAddr::from((read.source_address, read.source_port)),
                    SocketAddr::from((read.destination_address, read.destination_port)),
                )),
                ppp::v1::Addresses::Tcp6(read) => Some((
                    SocketAddr::from((read.source_address, read.source_port)),
                    SocketAddr::from((read.destination_address, read.destination_port)),
                )),
                ppp::v1::Addresses::Unknown => None,
            };
            let bytes = proxy_header(ProxyProtocol::V2, Some((source, destination)));
            let read = ppp::v2::Header::try_from(bytes.as_slice()).unwrap();
            let v2 = match read.addresses {
                ppp::v2::Addresses::IPv4(read) => Some((
                    SocketAddr::from((read.source_address, read.source_port)),
                    SocketAddr::from((read.destination_address, read.destination_port)),
                )),
                ppp::v2::Addresses::IPv6(read) => Some((
                    SocketAddr::from((read.source_address, read.source_port)),
                    SocketAddr::from((read.destination_address, read.destination_port)),
                )),
                _ => None,
            };
            let canonical = |address: SocketAddr| SocketAddr::new(address.ip().to_canonical(), address.port());
            let (source, destination) = (canonical(source), canonical(destination));
            let expected = (source.is_ipv4() == destination.is_ipv4()).then_some((source, destination));
            prop_assert_eq!(v1, expected);
            prop_assert_eq!(v2, expected);
            prop_assert_eq!(read.command == ppp::v2::Command::Proxy, expected.is_some());
        }
    }
}
