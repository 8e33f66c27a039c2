//! The HTTP proxy for signaling, from the environment.
//!
//! The rules are curl's: a variable in small letters comes before the same in capitals, an empty one counts as unset,
//! and `HTTP_PROXY` in capitals is ignored. Two things differ: this machine's own addresses never go through a proxy,
//! where they would mean the proxy's own, and entries of `NO_PROXY` may have a port.

mod exceptions;

use std::ffi::OsString;
use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

use data_encoding::BASE64;
use percent_encoding::percent_decode_str;
use thiserror::Error;

/// Variables for the proxy of a `wss://` host; the first that is set counts.
const FOR_TLS: [&str; 4] = ["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"];

/// Variables for the proxy of a `ws://` host.
const FOR_PLAIN: [&str; 3] = ["http_proxy", "all_proxy", "ALL_PROXY"];

/// Variables for hosts that are reached without a proxy.
const EXCEPTIONS: [&str; 2] = ["no_proxy", "NO_PROXY"];

/// Default port of a proxy: curl's, not HTTP's.
const DEFAULT_PORT: u16 = 1080;

/// A proxy that connects on a CONNECT request. Its `Debug` does not show the password.
#[derive(Clone, PartialEq, Eq)]
pub struct Proxy {
    /// Host name or IP literal, without brackets.
    pub host: String,
    /// TCP port.
    pub port: u16,
    variable: &'static str,
    /// User name and password, encoded for `Basic` (RFC 7617).
    credentials: Option<String>,
}

/// The environment variables about proxies, as they were when they were read.
#[derive(Clone, Default)]
pub struct ProxyVariables {
    values: Vec<(&'static str, String)>,
}

/// Why the proxy in the environment cannot be used. Never shows the variable's value, which may contain a password.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ProxyError {
    /// It is not an HTTP proxy without TLS.
    #[error(
        "{variable} names a proxy of the kind {scheme}://, and only http:// proxies are supported; \
         set {variable}=http://host:port, or NO_PROXY={host} to connect without a proxy"
    )]
    Scheme {
        /// The variable.
        variable: &'static str,
        /// The scheme before `://`.
        scheme: String,
        /// The host to be reached through it.
        host: String,
    },
    /// It is not an address.
    #[error(
        "{variable} is not the address of a proxy; set it to http://host:port or http://user:password@host:port, with \
         special characters of the password percent-encoded"
    )]
    Address {
        /// The variable.
        variable: &'static str,
    },
}

impl Proxy {
    /// Returns the environment variable that named it.
    pub(crate) fn variable(&self) -> &'static str {
        self.variable
    }

    /// Returns the value for `Proxy-Authorization`, if a user name or a password is known. Never log it.
    pub(crate) fn authorization(&self) -> Option<String> {
        self.credentials.as_ref().map(|credentials| format!("Basic {credentials}"))
    }
}

impl fmt::Display for Proxy {
    /// Shows host and port.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let credentials = if self.credentials.is_some() { "…@" } else { "" };
        write!(f, "Proxy({}={credentials}{self})", self.variable)
    }
}

impl fmt::Debug for ProxyVariables {
    /// Shows only the names.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.values.iter().map(|(name, _)| name)).finish()
    }
}

impl ProxyVariables {
    /// Reads the variables with a function such as [`std::env::var_os`].
    pub fn read(variable: impl Fn(&str) -> Option<OsString>) -> ProxyVariables {
        let mut values: Vec<(&'static str, String)> = Vec::new();
        for name in FOR_TLS.into_iter().chain(FOR_PLAIN).chain(EXCEPTIONS) {
            let is_known = values.iter().any(|(known, _)| *known == name);
            if let Some(value) = variable(name).filter(|_| !is_known) {
                // A value that is not text is not an address either; the error comes when it is used.
                values.push((name, value.to_string_lossy().trim().to_owned()));
            }
        }
        ProxyVariables { values }
    }

    /// Returns the proxy for a host (lower case, an IPv6 literal without brackets), or `None` to connect directly.
    ///
    /// # Errors
    /// [`ProxyError`] if the proxy cannot be used.
    pub fn find(&self, tls: bool, host: &str, port: u16) -> Result<Option<Proxy>, ProxyError> {
        let named = if tls { self.first(&FOR_TLS) } else { self.first(&FOR_PLAIN) };
        let Some((variable, address)) = named.filter(|_| !is_this_machine(host)) else {
            return Ok(None);
        };
        if self.first(&EXCEPTIONS).is_some_and(|(_, list)| exceptions::has(list, host, port)) {
            return Ok(None);
        }
        parse(variable, address, host).map(Some)
    }

    fn first(&self, names: &[&'static str]) -> Option<(&'static str, &str)> {
        names.iter().find_map(|name| {
            let found = self.values.iter().find(|(known, value)| known == name && !value.is_empty());
            found.map(|(name, value)| (*name, value.as_str()))
        })
    }
}

fn parse(variable: &'static str, address: &str, target: &str) -> Result<Proxy, ProxyError> {
    let rest = match address.split_once("://") {
        None => address,
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http") => rest,
        Some((scheme, _)) if !scheme.is_empty() && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric()) => {
            return Err(ProxyError::Scheme { variable, scheme: scheme.to_ascii_lowercase(), host: target.to_owned() });
        }
        Some(_) => return Err(ProxyError::Address { variable }),
    };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let (user, place) = match authority.rsplit_once('@') {
        Some((user, place)) => (Some(user), place),
        None => (None, authority),
    };
    let (host, port) = split_place(place).ok_or(ProxyError::Address { variable })?;
    Ok(Proxy { host, port: port.unwrap_or(DEFAULT_PORT), variable, credentials: user.map(basic) })
}

/// Splits host and port; `None` if the host is missing or invalid.
fn split_place(place: &str) -> Option<(String, Option<u16>)> {
    let (host, port) = match place.strip_prefix('[') {
        Some(rest) => {
            let (address, rest) = rest.split_once(']')?;
            let address: Ipv6Addr = address.parse().ok()?;
            (address.to_string(), if rest.is_empty() { None } else { Some(rest.strip_prefix(':')?) })
        }
        None => {
            let (host, port) = place.split_once(':').map_or((place, None), |(host, port)| (host, Some(port)));
            let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
            let is_host = host.chars().all(allowed) && host.contains(|c: char| c.is_ascii_alphanumeric());
            (is_host.then(|| host.to_ascii_lowercase())?, port)
        }
    };
    match port {
        // A URL may be `http://proxy:/`, which has no port.
        None | Some("") => Some((host, None)),
        Some(port) => Some((host, Some(digits(port).filter(|port| *port != 0)?))),
    }
}

/// Encodes `user:password`; either may be percent-encoded, and the password may be missing.
fn basic(user: &str) -> String {
    let (user, password) = user.split_once(':').unwrap_or((user, ""));
    let mut bytes: Vec<u8> = percent_decode_str(user).collect();
    bytes.push(b':');
    bytes.extend(percent_decode_str(password));
    BASE64.encode(&bytes)
}

fn is_this_machine(host: &str) -> bool {
    let name = host.strip_suffix('.').unwrap_or(host);
    name == "localhost"
        || name.ends_with(".localhost")
        || name.parse().is_ok_and(|address: IpAddr| address.is_loopback())
}

/// Parses a number made of digits only; the standard library accepts a plus sign as well.
fn digits(text: &str) -> Option<u16> {
    text.parse().ok().filter(|_| text.bytes().all(|byte| byte.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn variables(set: &[(&str, &str)]) -> ProxyVariables {
        ProxyVariables::read(|name| set.iter().find(|(known, _)| *known == name).map(|(_, value)| value.into()))
    }

    fn find(set: &[(&str, &str)], tls: bool) -> Option<String> {
        let proxy = variables(set).find(tls, "host.test", 443).unwrap();
        proxy.map(|proxy| format!("{} {proxy}", proxy.variable()))
    }

    #[test]
    fn the_nearest_variable_counts() {
        let all: Vec<(&str, &str)> =
            FOR_TLS.into_iter().chain(["http_proxy", "HTTP_PROXY"]).map(|name| (name, "p.test:1")).collect();
        let without = |names: &[&str]| {
            all.iter().map(|&(name, value)| (name, if names.contains(&name) { "" } else { value })).collect::<Vec<_>>()
        };
        // Which variables are empty, whether the host has TLS, and which variable counts.
        let rows: [(&[&str], bool, Option<&str>); 8] = [
            (&[], true, Some("https_proxy p.test:1")),
            (&["https_proxy"], true, Some("HTTPS_PROXY p.test:1")),
            (&["https_proxy", "HTTPS_PROXY"], true, Some("all_proxy p.test:1")),
            (&["https_proxy", "HTTPS_PROXY", "all_proxy"], true, Some("ALL_PROXY p.test:1")),
            (&FOR_TLS, true, None),
            (&[], false, Some("http_proxy p.test:1")),
            (&["http_proxy"], false, Some("all_proxy p.test:1")),
            (&["http_proxy", "all_proxy", "ALL_PROXY"], false, None),
        ];
        for (empty, tls, expected) in rows {
            assert_eq!(find(&without(empty), tls).as_deref(), expected, "{empty:?} {tls}");
        }
        assert_eq!(find(&[], true), None);
    }

    #[test]
    fn proxies_are_understood() {
        let rows = [
            ("http://proxy.test:3128", "proxy.test:3128", None),
            (" http://Proxy.Test:3128/ ", "proxy.test:3128", None),
            ("proxy.test:3128", "proxy.test:3128", None),
            ("HTTP://10.0.0.1", "10.0.0.1:1080", None),
            ("http://proxy.test:/path?x#y", "proxy.test:1080", None),
            ("http://[2001:DB8::1]:8080", "[2001:db8::1]:8080", None),
            ("[::1]", "[::1]:1080", None),
            ("http://user:pass@proxy.test:1", "proxy.test:1", Some("user:pass")),
            ("user@proxy.test:1", "proxy.test:1", Some("user:")),
            ("http://me%40corp:a%3Ab%2F%25%C3%A9@proxy.test:1", "proxy.test:1", Some("me@corp:a:b/%é")),
            ("http://user:p@ss@proxy.test:1", "proxy.test:1", Some("user:p@ss")),
            ("http://:@proxy.test:1", "proxy.test:1", Some(":")),
        ];
        for (given, place, credentials) in rows {
            let proxy = variables(&[("HTTPS_PROXY", given)]).find(true, "host.test", 443).unwrap().unwrap();
            assert_eq!(proxy.to_string(), place, "{given}");
            let expected = credentials.map(|text| format!("Basic {}", BASE64.encode(text.as_bytes())));
            assert_eq!(proxy.authorization(), expected, "{given}");
            assert!(!format!("{proxy:?}").contains("pass"), "{proxy:?}");
        }
        // The example of RFC 7617, section 2.
        let proxy = variables(&[("HTTPS_PROXY", "Aladdin:open%20sesame@p.test")]).find(true, "h.test", 1).unwrap();
        assert_eq!(proxy.unwrap().authorization().as_deref(), Some("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="));
    }

    #[test]
    fn proxies_that_cannot_be_used_are_explained_without_their_password() {
        let address = "HTTPS_PROXY is not the address of a proxy; set it to http://host:port or";
        let rows = [
            ("socks5://u:secret@proxy.test:1080", "HTTPS_PROXY names a proxy of the kind socks5://, and only http://"),
            ("SOCKS5H://proxy.test", "of the kind socks5h://"),
            ("https://u:secret@proxy.test:443", "HTTPS_PROXY=http://host:port, or NO_PROXY=host.test to connect"),
            ("http://", address),
            ("http://u:secret@:3128", address),
            ("http://proxy.test:http", address),
            ("http://proxy.test:0", address),
            ("http://proxy.test:65536", address),
            ("http://proxy.test:+80", address),
            ("http://u:secret@pro xy:1", address),
            ("http://u:secret@[::1", address),
            ("http://[::1]80", address),
            ("://u:secret@proxy.test", address),
            ("u:secret@a://b", address),
            ("http://bücher.test:1", address),
        ];
        for (given, part) in rows {
            let error = variables(&[("HTTPS_PROXY", given)]).find(true, "host.test", 443).unwrap_err().to_string();
            assert!(error.contains(part), "{given}: {error}");
            assert!(!error.contains("secret"), "{error}");
        }
    }

    #[test]
    fn exceptions_are_dialled_directly() {
        let one = variables(&[("all_proxy", "p.test"), ("NO_PROXY", "host.test:443")]);
        assert_eq!(one.find(true, "host.test", 443), Ok(None));
        assert!(one.find(true, "host.test", 444).unwrap().is_some());
        let both = variables(&[("all_proxy", "p.test"), ("no_proxy", "a.test"), ("NO_PROXY", "host.test")]);
        assert!(both.find(true, "host.test", 443).unwrap().is_some());
        // A variable that is not used is not checked.
        let wrong = variables(&[("https_proxy", "socks5://p.test"), ("no_proxy", "host.test")]);
        assert_eq!(wrong.find(true, "host.test", 443), Ok(None));
        assert_eq!(wrong.find(false, "other.test", 80), Ok(None));
    }

    #[test]
    fn this_machine_is_never_asked_of_a_proxy() {
        let set = variables(&[("http_proxy", "p.test"), ("https_proxy", "socks5://p.test")]);
        for host in ["localhost", "localhost.", "a.localhost", "127.0.0.1", "127.9.9.9", "::1"] {
            assert_eq!(set.find(false, host, 80), Ok(None), "{host}");
            assert_eq!(set.find(true, host, 443), Ok(None), "{host}");
        }
        for host in ["localhost.test", "notlocalhost", "192.168.1.7", "2001:db8::1"] {
            assert!(set.find(false, host, 80).unwrap().is_some(), "{host}");
        }
    }

    proptest! {
        #[test]
        fn no_variable_panics(proxy in any::<String>(), list in any::<String>(), host in "[a-z0-9.:-]{0,12}") {
            let _ = variables(&[("all_proxy", &proxy), ("no_proxy", &list)]).find(true, &host, 443);
        }

        #[test]
        fn nearly_right_variables_do_not_panic(
            proxy in "(http://)?[a-z:@%\\[\\]0-9./]{0,16}",
            list in "[a-f0-9.:/\\[\\], *]{0,24}",
            address in any::<IpAddr>(),
        ) {
            let _ = variables(&[("all_proxy", &proxy), ("no_proxy", &list)]).find(false, &address.to_string(), 80);
        }
    }
}
