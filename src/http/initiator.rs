//! Whether a request is the doing of a web page, and of whose.
//!
//! A page of any site may connect to this machine's loopback addresses and to its network: the browser asks for
//! nobody's consent to a WebSocket, but says who began it. What no browser sent says nothing, and is none of this.

use std::net::IpAddr;

use super::Headers;

/// What a browser says about the page that began a request (RFC 6454, and Fetch Metadata of the W3C).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Initiator {
    /// The page's scheme, host and port; `null` if it is to be told to nobody.
    origin: Option<String>,
    /// How the page's site is related to what it asks.
    site: Option<String>,
}

impl Initiator {
    pub(super) fn of(headers: &Headers<'_>) -> Initiator {
        Initiator { origin: headers.first("origin"), site: headers.first("sec-fetch-site") }
    }

    /// Tells whether a page of another site began the request, as far as that can be judged. `host` is what the request
    /// has as its `Host`, and `forwarded` that a forwarder left its mark: it may have written `Host`, or `Origin`,
    /// anew, and a page that comes that way came as everybody does.
    pub(super) fn is_foreign(&self, host: Option<&str>, forwarded: bool) -> bool {
        match (self.site.as_deref(), self.origin.as_deref()) {
            (Some(site), _) => !matches!(site, "same-origin" | "same-site" | "none"),
            // Not every browser says more of a WebSocket.
            (None, Some(origin)) => !forwarded && !is_own(origin, host),
            (None, None) => false,
        }
    }
}

/// Whether a page is from where it asks, on whatever port: who serves pages there is there.
fn is_own(origin: &str, host: Option<&str>) -> bool {
    let (Some((_, origin)), Some(host)) = (origin.split_once("://"), host) else { return false };
    let (origin, host) = (name(origin), name(host));
    !origin.is_empty() && (origin.eq_ignore_ascii_case(host) || (is_loopback(origin) && is_loopback(host)))
}

/// The host without a port, brackets and the root's dot.
fn name(authority: &str) -> &str {
    if let Some((address, _)) = authority.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        return address;
    }
    let name = authority.split_once(':').map_or(authority, |(name, _)| name);
    name.strip_suffix('.').unwrap_or(name)
}

fn is_loopback(name: &str) -> bool {
    name.eq_ignore_ascii_case("localhost")
        || name.parse::<IpAddr>().is_ok_and(|address| address.to_canonical().is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_foreign(origin: Option<&str>, site: Option<&str>, host: &str, forwarded: bool) -> bool {
        let [origin, site] = [origin, site].map(|text| text.map(str::to_owned));
        Initiator { origin, site }.is_foreign(Some(host).filter(|host| !host.is_empty()), forwarded)
    }

    #[test]
    fn pages_of_other_sites_are_foreign() {
        let rows = [
            // What is no browser.
            (None, None, "127.0.0.1:5000", false),
            (None, None, "", false),
            // A page of this machine, of the host itself, and of the tunnel.
            (Some("http://127.0.0.1:3000"), None, "127.0.0.1:5000", false),
            (Some("http://localhost:3000"), None, "127.0.0.1:5000", false),
            (Some("http://localhost:3000"), None, "[::1]:5000", false),
            (Some("http://127.0.0.1:3000"), Some("same-site"), "127.0.0.1:5000", false),
            (Some("https://Abc-5000.test"), None, "abc-5000.test", false),
            (Some("https://abc.test"), Some("same-origin"), "localhost:5000", false),
            (Some("https://abc.test"), Some("same-site"), "localhost:5000", false),
            (None, Some("none"), "127.0.0.1:5000", false),
            // One of another site.
            (Some("https://evil.test"), None, "127.0.0.1:5000", true),
            (Some("https://evil.test"), Some("cross-site"), "127.0.0.1:5000", true),
            (None, Some("cross-site"), "127.0.0.1:5000", true),
            (Some("http://127.0.0.1:3000"), Some("cross-site"), "127.0.0.1:5000", true),
            (None, Some("what-comes-next"), "127.0.0.1:5000", true),
            (Some("null"), None, "127.0.0.1:5000", true),
            (Some("file://"), None, "127.0.0.1:5000", true),
            (Some("file://"), None, "", true),
            (Some("https://evil.test"), None, "", true),
            (Some("http://127.0.0.1.evil.test"), None, "127.0.0.1:5000", true),
            (Some("http://localhost.evil.test"), None, "localhost:5000", true),
            (Some("http://evil.test:5000"), None, "localhost:5000", true),
            (Some("http://10.0.0.1"), None, "127.0.0.1:5000", true),
            (Some("http://127.0.0.1@evil.test"), None, "127.0.0.1:5000", true),
        ];
        for (origin, site, host, expected) in rows {
            assert_eq!(is_foreign(origin, site, host, false), expected, "{origin:?} {site:?} {host}");
        }
        // A forwarder may have written names anew; what the browser says of the site it leaves alone.
        assert!(!is_foreign(Some("https://abc.test"), None, "localhost:5000", true));
        assert!(is_foreign(Some("https://evil.test"), Some("cross-site"), "localhost:5000", true));
    }
}
