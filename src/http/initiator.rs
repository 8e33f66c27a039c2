//! Whether a web page caused a request, and which site's page.
//!
//! A page of any site may connect to this machine's loopback addresses and to its network: browsers ask nobody's
//! consent for a WebSocket, but they say which page opened it. Requests of other programs say nothing about this and
//! are not affected.

use std::net::IpAddr;

use super::Headers;

/// What a browser says about the page that caused a request (RFC 6454, and Fetch Metadata of the W3C).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Initiator {
    /// The page's scheme, host and port; `null` if the browser hides it.
    origin: Option<String>,
    /// The relation of the page's site to the requested one.
    site: Option<String>,
}

impl Initiator {
    pub(crate) fn of(headers: &Headers<'_>) -> Initiator {
        Initiator { origin: headers.first("origin"), site: headers.first("sec-fetch-site") }
    }

    /// Tells whether a page of another site caused the request, as far as that can be judged. `host` is the request's
    /// `Host`. `forwarded` means that a forwarder left its mark: it may have rewritten `Host` or `Origin`, and a page
    /// that comes through it came like everybody else.
    pub(crate) fn is_foreign(&self, host: Option<&str>, forwarded: bool) -> bool {
        match (self.site.as_deref(), self.origin.as_deref()) {
            (Some(site), _) => !matches!(site, "same-origin" | "same-site" | "none"),
            // Not every browser says more about a WebSocket.
            (None, Some(origin)) => !forwarded && !is_own(origin, host),
            (None, None) => false,
        }
    }
}

/// Tells whether a page is from the host it asks, on any port: whoever serves pages there already has access.
fn is_own(origin: &str, host: Option<&str>) -> bool {
    let (Some((_, origin)), Some(host)) = (origin.split_once("://"), host) else { return false };
    let (origin, host) = (name(origin), name(host));
    !origin.is_empty() && (origin.eq_ignore_ascii_case(host) || (is_loopback(origin) && is_loopback(host)))
}

/// Returns the host without a port, brackets and the root's dot.
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
            // Programs other than browsers.
            (None, None, "127.0.0.1:5000", false),
            (None, None, "", false),
            // Pages of this machine, of the host itself, and of the tunnel.
            (Some("http://127.0.0.1:3000"), None, "127.0.0.1:5000", false),
            (Some("http://localhost:3000"), None, "127.0.0.1:5000", false),
            (Some("http://localhost:3000"), None, "[::1]:5000", false),
            (Some("http://127.0.0.1:3000"), Some("same-site"), "127.0.0.1:5000", false),
            (Some("https://Abc-5000.test"), None, "abc-5000.test", false),
            (Some("https://abc.test"), Some("same-origin"), "localhost:5000", false),
            (Some("https://abc.test"), Some("same-site"), "localhost:5000", false),
            (None, Some("none"), "127.0.0.1:5000", false),
            // Pages of other sites.
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
        // A forwarder may rewrite names, but it leaves what the browser says about the site.
        assert!(!is_foreign(Some("https://abc.test"), None, "localhost:5000", true));
        assert!(is_foreign(Some("https://evil.test"), Some("cross-site"), "localhost:5000", true));
    }
}
