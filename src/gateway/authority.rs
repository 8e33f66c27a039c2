//! The host of a request.

use std::net::{IpAddr, Ipv6Addr};

use crate::address::{self, Host};

/// Maximum number of digits of a port: leading zeros could make us write a lot.
const MAX_DIGITS: usize = 5;

/// A host, perhaps with a port, as in `Host` or a URL (RFC 9110, section 4.2 and 7.2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Authority {
    /// As it was sent.
    pub(super) text: String,
    /// In small letters, without brackets and the root's dot; an address in its normal form.
    pub(super) host: String,
    pub(super) port: Option<u16>,
}

impl Authority {
    /// Parses `host`, `host:port`, `[::1]` or `[::1]:port`; an empty port counts as none. Refuses user names, and
    /// anything that a resolver might read as another address than we do.
    pub(super) fn parse(text: &str) -> Option<Authority> {
        let (host, port) = match text.strip_prefix('[') {
            Some(bracketed) => {
                let (address, behind) = bracketed.split_once(']')?;
                let address: Ipv6Addr = address.parse().ok()?;
                let port = if behind.is_empty() { "" } else { behind.strip_prefix(':')? };
                (IpAddr::from(address).to_canonical().to_string(), port)
            }
            None => {
                let (host, port) = text.split_once(':').unwrap_or((text, ""));
                let host = match address::host(host).ok()? {
                    Host::Address(address) => address.to_string(),
                    Host::Name(name) => name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase(),
                    Host::Default => return None,
                };
                (host, port)
            }
        };
        let port = match port {
            "" => None,
            digits => Some(address::port(digits).ok().filter(|port| *port > 0 && digits.len() <= MAX_DIGITS)?),
        };
        Some(Authority { text: text.to_owned(), host, port })
    }

    /// Tells whether both name the same host and port, where a missing port means `default_port`.
    pub(super) fn is_same(&self, other: &Authority, default_port: u16) -> bool {
        self.host == other.host && self.port.unwrap_or(default_port) == other.port.unwrap_or(default_port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_have_one_spelling() {
        let rows = [
            ("myhost.p.example.org", Some(("myhost.p.example.org", None))),
            ("MyHost.P.example.org.:8080", Some(("myhost.p.example.org", Some(8080)))),
            ("a.test:", Some(("a.test", None))),
            ("10.0.0.5:80", Some(("10.0.0.5", Some(80)))),
            ("[2001:DB8::00a]", Some(("2001:db8::a", None))),
            ("[::ffff:10.0.0.1]:1", Some(("10.0.0.1", Some(1)))),
            ("a_b.test", Some(("a_b.test", None))),
            ("", None),
            (":80", None),
            (".", None),
            ("a..b", None),
            ("a b", None),
            ("a,b", None),
            ("a/b", None),
            ("a@b", None),
            ("user:pass@b", None),
            ("a\\b", None),
            ("a%41", None),
            ("a\u{e9}", None),
            ("a:0", None),
            ("a:+80", None),
            ("a:00080", Some(("a", Some(80)))),
            ("a:000080", None),
            ("a:65536", None),
            ("a:80:80", None),
            ("a:80 ", None),
            ("127.1", None),
            ("0x7f000001", None),
            ("::1", None),
            ("[::1", None),
            ("[::1]80", None),
            ("[::1%eth0]", None),
            ("[a]", None),
            ("*", None),
        ];
        for (text, expected) in rows {
            let found = Authority::parse(text).map(|found| (found.host, found.port));
            assert_eq!(found, expected.map(|(host, port)| (host.to_owned(), port)), "{text}");
        }
    }

    #[test]
    fn a_default_port_is_the_same_as_none() {
        let [plain, with, other] = ["A.test", "a.test:443", "a.test:80"].map(|text| Authority::parse(text).unwrap());
        assert!(plain.is_same(&with, 443) && !plain.is_same(&with, 80) && !with.is_same(&other, 443));
    }
}
