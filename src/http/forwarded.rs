//! What a proxy in front of a server says about the visitor behind it: `X-Forwarded-For`, `-Proto` and `-Host`.
//!
//! Anybody can write these fields, so they count only from configured addresses. There is no specification of them;
//! this follows what nginx, Caddy, HAProxy and the load balancers of clouds have in common.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use ipnet::IpNet;
use thiserror::Error;

use super::Headers;

/// Maximum number of addresses of an `X-Forwarded-For` that are read, from the nearest on.
const MAX_HOPS: usize = 32;

/// Why a text is not an address or network of proxies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum NetworkError {
    /// Neither an address nor a network.
    #[error("it is neither a network such as 10.0.0.0/8 nor an address such as 127.0.0.1")]
    Syntax,
    /// Bits after the prefix are set, so the meaning is unclear.
    #[error("{0} is the network of that address")]
    NotFirst(IpNet),
}

/// The proxies that are trusted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TrustedProxies {
    networks: Vec<IpNet>,
    /// Programs on this machine are trusted about the scheme.
    believes_loopback: bool,
}

/// The fields of a request, trusted or not.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Forwarded {
    /// `X-Forwarded-For`, the nearest first, up to the first entry that is not an address.
    addresses: Vec<IpAddr>,
    /// Whether `X-Forwarded-Proto` says that the request came over TLS.
    is_tls: Option<bool>,
    /// `X-Forwarded-Host`.
    host: Option<String>,
}

/// The sender of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sender {
    /// The address by which visitors are told apart.
    pub address: IpAddr,
    /// Whether it used TLS, as far as the sender knows.
    pub is_tls: bool,
    /// The host it asked for, if a proxy says so: untrusted text, perhaps not a host at all.
    pub host: Option<String>,
    /// A proxy described how it came.
    pub is_told: bool,
}

impl TrustedProxies {
    /// Trusts these networks. With `believes_loopback`, also trusts programs on loopback, but only about the scheme.
    pub fn new(networks: Vec<IpNet>, believes_loopback: bool) -> TrustedProxies {
        TrustedProxies { networks, believes_loopback }
    }

    /// Tells whether there are no trusted proxies.
    pub fn is_empty(&self) -> bool {
        self.networks.is_empty()
    }

    /// Tells whether an address is a trusted proxy's, so that its requests come from others.
    pub fn has(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.networks.iter().any(|network| network.contains(&address))
    }

    /// Finds the sender of a request that came from `peer`, over TLS or not.
    pub fn sender(&self, peer: IpAddr, is_tls: bool, said: &Forwarded) -> Sender {
        let address = peer.to_canonical();
        let direct = Sender { address, is_tls, host: None, is_told: false };
        let told = Sender { is_tls: said.is_tls.unwrap_or(is_tls), is_told: said.is_tls.is_some(), ..direct };
        if !self.has(address) {
            let is_believed = self.believes_loopback && address.is_loopback();
            return if is_believed { told } else { Sender { is_tls, is_told: false, ..told } };
        }
        // Take the nearest address that is no trusted proxy: the proxy after it wrote it.
        let mut behind = said.addresses.iter().copied();
        let nearest = behind.find(|address| !self.has(*address)).or(said.addresses.last().copied());
        Sender { address: nearest.unwrap_or(address), host: said.host.clone(), ..told }
    }
}

impl Forwarded {
    /// Reads the fields. If there are several, the last counts, which the nearest proxy wrote.
    pub(crate) fn of(headers: &Headers<'_>) -> Forwarded {
        let values = |name: &'static str| {
            let named = headers.0.iter().rev().filter(move |field| field.name.eq_ignore_ascii_case(name));
            // A visitor's invalid bytes must not hide the fields a proxy added after them.
            named.flat_map(|field| field.value.rsplit(|byte| *byte == b',')).map(|value| value.trim_ascii())
        };
        let text = |value: &[u8]| std::str::from_utf8(value).ok().map(str::to_owned);
        let addresses = values("x-forwarded-for").take(MAX_HOPS).map(address).take_while(Option::is_some).flatten();
        Forwarded {
            addresses: addresses.collect(),
            is_tls: values("x-forwarded-proto").next().and_then(is_tls),
            host: values("x-forwarded-host").next().and_then(text).filter(|host| !host.is_empty()),
        }
    }
}

fn is_tls(scheme: &[u8]) -> Option<bool> {
    match scheme.to_ascii_lowercase().as_slice() {
        b"https" | b"wss" => Some(true),
        b"http" | b"ws" => Some(false),
        _ => None,
    }
}

/// Parses an address, perhaps with a port or in brackets.
fn address(text: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(text).ok()?;
    let bare = || text.strip_prefix('[')?.strip_suffix(']')?.parse::<Ipv6Addr>().ok().map(IpAddr::from);
    let with_port = || text.parse::<SocketAddr>().ok().map(|address| address.ip());
    let address = text.parse::<IpAddr>().ok().or_else(with_port).or_else(bare)?;
    Some(address.to_canonical())
}

/// Parses a network, or an address as a network of one.
///
/// # Errors
/// [`NetworkError`].
pub fn network(text: &str) -> Result<IpNet, NetworkError> {
    let network = match text.trim().parse::<IpNet>() {
        Ok(network) => network,
        Err(_) => IpNet::from(text.trim().parse::<IpAddr>().map_err(|_| NetworkError::Syntax)?.to_canonical()),
    };
    if network == network.trunc() { Ok(network) } else { Err(NetworkError::NotFirst(network.trunc())) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn forwarded(fields: &[(&str, &str)]) -> Forwarded {
        let fields: Vec<httparse::Header<'_>> =
            fields.iter().map(|(name, value)| httparse::Header { name, value: value.as_bytes() }).collect();
        Forwarded::of(&Headers(&fields))
    }

    fn proxies(networks: &[&str]) -> TrustedProxies {
        TrustedProxies::new(networks.iter().map(|text| network(text).unwrap()).collect(), false)
    }

    #[test]
    fn the_nearest_address_that_is_no_proxy_counts() {
        let all = proxies(&["127.0.0.1", "10.0.0.0/8", "fd00::/8"]);
        let rows = [
            ("127.0.0.1", "203.0.113.9", "203.0.113.9"),
            ("::ffff:127.0.0.1", "203.0.113.9", "203.0.113.9"),
            ("127.0.0.1", "6.6.6.6, 203.0.113.9", "203.0.113.9"),
            ("127.0.0.1", "6.6.6.6, 203.0.113.9,10.1.2.3 , fd00::1", "203.0.113.9"),
            ("127.0.0.1", "::ffff:203.0.113.9", "203.0.113.9"),
            ("127.0.0.1", "203.0.113.9:5000", "203.0.113.9"),
            ("127.0.0.1", "[2001:db8::1]:5000", "2001:db8::1"),
            ("127.0.0.1", "[2001:db8::1]", "2001:db8::1"),
            ("127.0.0.1", "2001:db8::1", "2001:db8::1"),
            // All are trusted proxies: the farthest is the best answer.
            ("127.0.0.1", "10.0.0.1, 10.0.0.2", "10.0.0.1"),
            // Entries beyond one that is not an address do not count.
            ("127.0.0.1", "6.6.6.6, unknown", "127.0.0.1"),
            ("127.0.0.1", "6.6.6.6, , 10.0.0.2", "10.0.0.2"),
            ("127.0.0.1", "", "127.0.0.1"),
            // Fields from others are ignored.
            ("203.0.113.8", "6.6.6.6", "203.0.113.8"),
            ("127.0.0.2", "6.6.6.6", "127.0.0.2"),
        ];
        for (peer, field, expected) in rows {
            let said = forwarded(&[("X-Forwarded-For", field)]);
            let sender = all.sender(peer.parse().unwrap(), false, &said);
            assert_eq!(sender.address, expected.parse::<IpAddr>().unwrap(), "{peer} {field}");
        }
        let several = forwarded(&[("X-Forwarded-For", "6.6.6.6"), ("x-forwarded-for", "203.0.113.9, 10.0.0.1")]);
        let sender = all.sender([127, 0, 0, 1].into(), false, &several);
        assert_eq!(sender.address, IpAddr::from([203, 0, 113, 9]));
        let many = vec!["10.0.0.1"; 1000].join(",");
        assert_eq!(forwarded(&[("X-Forwarded-For", &many)]).addresses.len(), MAX_HOPS);
    }

    #[test]
    fn bytes_before_a_proxys_do_not_hide_it() {
        let value = b"\xff\xfe, 203.0.113.9";
        let said = Forwarded::of(&Headers(&[httparse::Header { name: "X-Forwarded-For", value }]));
        let sender = proxies(&["127.0.0.1"]).sender([127, 0, 0, 1].into(), false, &said);
        assert_eq!(sender.address, IpAddr::from([203, 0, 113, 9]));
    }

    #[test]
    fn scheme_and_host_are_the_last_ones() {
        let all = proxies(&["127.0.0.1"]);
        let rows = [("https", false, true), ("HTTPS", false, true), ("wss", false, true), ("http", true, false)];
        let more =
            [("http, https", false, true), ("https,http", false, false), ("ftp", true, true), ("", false, false)];
        for (field, is_tls, expected) in rows.into_iter().chain(more) {
            let said = forwarded(&[("X-Forwarded-Proto", field), ("X-Forwarded-Host", "6.6.6.6, a.test:8443")]);
            let sender = all.sender([127, 0, 0, 1].into(), is_tls, &said);
            assert_eq!((sender.is_tls, sender.host.as_deref()), (expected, Some("a.test:8443")), "{field}");
            let other = all.sender([203, 0, 113, 9].into(), is_tls, &said);
            assert_eq!((other.is_tls, other.host, other.is_told), (is_tls, None, false), "{field}");
        }
    }

    #[test]
    fn loopback_is_believed_about_the_scheme_alone() {
        let local = TrustedProxies::new(Vec::new(), true);
        let said = forwarded(&[
            ("X-Forwarded-Proto", "https"),
            ("X-Forwarded-For", "6.6.6.6"),
            ("X-Forwarded-Host", "evil.test"),
        ]);
        for (peer, expected) in [("127.0.0.1", true), ("::1", true), ("203.0.113.9", false)] {
            let peer: IpAddr = peer.parse().unwrap();
            let sender = local.sender(peer, false, &said);
            assert_eq!(sender, Sender { address: peer, is_tls: expected, host: None, is_told: expected });
        }
    }

    #[test]
    fn networks_are_named_exactly() {
        for (text, expected) in [
            ("10.0.0.0/8", Ok("10.0.0.0/8")),
            ("127.0.0.1", Ok("127.0.0.1/32")),
            ("::1", Ok("::1/128")),
            ("::ffff:10.0.0.1", Ok("10.0.0.1/32")),
            ("fd00::/8", Ok("fd00::/8")),
            ("0.0.0.0/0", Ok("0.0.0.0/0")),
            ("10.0.0.5/8", Err("10.0.0.0/8 is the network of that address")),
        ] {
            let found = network(text).map(|network| network.to_string()).map_err(|error| error.to_string());
            assert_eq!(found, expected.map(str::to_owned).map_err(str::to_owned), "{text}");
        }
        for text in ["", "a", "10.0.0.0/33", "10.0.0", "10.0.0.1:80", "10.0.0.0/"] {
            assert_eq!(network(text), Err(NetworkError::Syntax), "{text}");
        }
    }
}
