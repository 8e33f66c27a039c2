//! The URL a person passes around.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

use percent_encoding::{AsciiSet, CONTROLS, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use thiserror::Error;

use super::pin::Pin;

/// Where signaling answers when a URL names no path.
const DEFAULT_PATH: &str = "/ws";

/// Longest text that is looked at, in bytes.
const MAX_LEN: usize = 8 * 1024;

/// What cannot stand in an HTTP request line as it is, and the quote, which would be taken for one around the URL.
/// `%` can: what came encoded stays so.
const NOT_IN_A_PATH: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'\'')
    .add(b'<')
    .add(b'>')
    .add(b'\\')
    .add(b'^')
    .add(b'`')
    .add(b'{')
    .add(b'|')
    .add(b'}');

/// Where a host's signaling WebSocket answers, without the pin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignalingUrl {
    /// Whether the connection is `wss://`.
    pub tls: bool,
    /// Host name or IP literal, without brackets.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// Path and query of the upgrade request, beginning with `/`; the `pin` parameter is never part of it.
    pub path: String,
}

impl SignalingUrl {
    /// Parses what a person pasted, and takes the pin out of it.
    ///
    /// - Quotes and white space around the URL are dropped, and so is a fragment.
    /// - `https://` means `wss://`, `http://` means `ws://`. Without a scheme, `localhost` and IP literals are
    ///   `ws://`, and everything else is `wss://`.
    /// - No path, or `/`, means `/ws`.
    /// - `pin=` in the query is percent-decoded; `+` is a plus sign. An empty pin is none.
    ///
    /// No error shows any of the text, which may hold the pin.
    pub fn parse(text: &str) -> Result<(SignalingUrl, Option<Pin>), UrlError> {
        // A terminal that wrapped the URL puts line breaks into what is copied from it.
        let joined: String = text.split(['\r', '\n']).map(str::trim).collect();
        let text = joined.trim_matches(|c: char| c.is_whitespace() || "\"'`<>“”‘’".contains(c));
        if text.is_empty() {
            return Err(UrlError::Empty);
        }
        if text.len() > MAX_LEN {
            return Err(UrlError::TooLong);
        }
        if text.contains(|c: char| c.is_whitespace() || c.is_control()) {
            return Err(UrlError::Space);
        }
        let (scheme, rest) = split_scheme(text)?;
        let rest = rest.split('#').next().unwrap_or_default();
        let (authority, request) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        let (host, port) = split_authority(authority)?;
        let tls = scheme.unwrap_or_else(|| !host.is_literal() && !host.is_localhost());
        let (path, query) = request.split_once('?').unwrap_or((request, ""));
        let (path, pin) = split_pin(path, query)?;
        let port = port.unwrap_or(default_port(tls));
        Ok((SignalingUrl { tls, host: host.into_string(), port, path }, pin))
    }

    /// Returns host and port as the `Host` header wants them: an IPv6 literal in brackets, the scheme's own port left
    /// out.
    pub fn authority(&self) -> String {
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        if self.port == default_port(self.tls) { host } else { format!("{host}:{}", self.port) }
    }

    /// Returns the URL with the pin in it: what a person passes on. Never log it.
    pub fn with_pin(&self, pin: &Pin) -> String {
        let separator = if self.path.contains('?') { '&' } else { '?' };
        format!("{self}{separator}pin={}", utf8_percent_encode(pin.reveal(), NON_ALPHANUMERIC))
    }
}

impl fmt::Display for SignalingUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { "wss" } else { "ws" };
        write!(f, "{scheme}://{}{}", self.authority(), self.path)
    }
}

/// What is wrong with a URL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("{}; a right URL looks like wss://abc123-5000.asse.devtunnels.ms/ws?pin=123456", self.problem())]
pub enum UrlError {
    /// Nothing is left once quotes and white space are dropped.
    Empty,
    /// Longer than any URL that works.
    TooLong,
    /// White space or a control character in the middle.
    Space,
    /// Neither `wss`, `ws`, `https` nor `http`.
    Scheme,
    /// A user name or password before the host.
    UserInfo,
    /// No host name.
    NoHost,
    /// The host name has a character that no host name has.
    Host,
    /// The brackets hold no IPv6 address, or an IPv6 address has none.
    Ipv6,
    /// The port is not a number from 1 to 65535.
    Port,
    /// `pin=` stands in the path, where it would be sent in clear.
    PinInPath,
    /// Two different pins.
    TwoPins,
    /// The pin's percent-encoding is no UTF-8.
    PinEncoding,
}

impl UrlError {
    fn problem(self) -> &'static str {
        match self {
            UrlError::Empty => "the URL is empty",
            UrlError::TooLong => "the URL is too long",
            UrlError::Space => "the URL has a space in it",
            UrlError::Scheme => "the URL must begin with wss:// or ws://",
            UrlError::UserInfo => "the URL has a user name before the host, which is not supported",
            UrlError::NoHost => "the URL has no host name",
            UrlError::Host => "the host name has a character that host names cannot have",
            UrlError::Ipv6 => "an IPv6 address must stand in brackets, as in [::1]:5000",
            UrlError::Port => "the port must be a number from 1 to 65535",
            UrlError::PinInPath => "the pin must follow a question mark (?pin=…)",
            UrlError::TwoPins => "the URL has two different pins",
            UrlError::PinEncoding => "the pin is not UTF-8 once it is percent-decoded",
        }
    }
}

/// A validated host.
enum Host {
    Name(String),
    V4(Ipv4Addr),
    V6(Ipv6Addr),
}

impl Host {
    fn is_literal(&self) -> bool {
        matches!(self, Host::V4(_) | Host::V6(_))
    }

    fn is_localhost(&self) -> bool {
        matches!(self, Host::Name(name) if name == "localhost" || name.ends_with(".localhost"))
    }

    fn into_string(self) -> String {
        match self {
            Host::Name(name) => name,
            Host::V4(address) => address.to_string(),
            Host::V6(address) => address.to_string(),
        }
    }
}

fn default_port(tls: bool) -> u16 {
    if tls { 443 } else { 80 }
}

/// Returns whether the scheme means TLS, if there is a scheme, and what follows it.
fn split_scheme(text: &str) -> Result<(Option<bool>, &str), UrlError> {
    let Some((scheme, rest)) = text.split_once("://") else {
        return Ok((None, text));
    };
    // A URL may stand in the query of another one that has no scheme.
    if scheme.contains(['/', '?', '#']) {
        return Ok((None, text));
    }
    match scheme.to_ascii_lowercase().as_str() {
        "wss" | "https" => Ok((Some(true), rest)),
        "ws" | "http" => Ok((Some(false), rest)),
        _ => Err(UrlError::Scheme),
    }
}

fn split_authority(authority: &str) -> Result<(Host, Option<u16>), UrlError> {
    if authority.contains('@') {
        return Err(UrlError::UserInfo);
    }
    if let Some(bracketed) = authority.strip_prefix('[') {
        let (address, port) = bracketed.split_once(']').ok_or(UrlError::Ipv6)?;
        let address = address.parse().map_err(|_| UrlError::Ipv6)?;
        let port = match port {
            "" => None,
            port => Some(parse_port(port.strip_prefix(':').ok_or(UrlError::Port)?)?),
        };
        return Ok((Host::V6(address), port));
    }
    let (name, port) = match authority.split_once(':') {
        Some((_, port)) if port.contains(':') => return Err(UrlError::Ipv6),
        Some((name, port)) => (name, Some(parse_port(port)?)),
        None => (authority, None),
    };
    if name.is_empty() {
        return Err(UrlError::NoHost);
    }
    if let Ok(address) = name.parse() {
        return Ok((Host::V4(address), port));
    }
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
    if !name.chars().all(allowed) || !name.contains(|c: char| c.is_ascii_alphanumeric()) {
        return Err(UrlError::Host);
    }
    Ok((Host::Name(name.to_ascii_lowercase()), port))
}

fn parse_port(text: &str) -> Result<u16, UrlError> {
    let digits = text.chars().all(|c| c.is_ascii_digit());
    match text.parse() {
        Ok(port) if digits && port != 0 => Ok(port),
        _ => Err(UrlError::Port),
    }
}

/// Returns path and query without the pin, and the pin.
fn split_pin(path: &str, query: &str) -> Result<(String, Option<Pin>), UrlError> {
    // `…/ws&pin=123456`: whoever forwards the connection would read the pin.
    if path.to_ascii_lowercase().contains("pin=") {
        return Err(UrlError::PinInPath);
    }
    let mut request = match path {
        "" | "/" => DEFAULT_PATH.to_string(),
        path => utf8_percent_encode(path, NOT_IN_A_PATH).to_string(),
    };
    let mut pin: Option<Pin> = None;
    let mut separator = '?';
    for parameter in query.split('&').filter(|parameter| !parameter.is_empty()) {
        let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        // However it is spelled, a pin must not stay in what is sent.
        let name = percent_decode_str(name).decode_utf8_lossy();
        if !name.eq_ignore_ascii_case("pin") {
            request.push(separator);
            request.extend(utf8_percent_encode(parameter, NOT_IN_A_PATH));
            separator = '&';
            continue;
        }
        let value = percent_decode_str(value).decode_utf8().map_err(|_| UrlError::PinEncoding)?;
        let Some(found) = Pin::new(value) else { continue };
        if pin.as_ref().is_some_and(|pin| *pin != found) {
            return Err(UrlError::TwoPins);
        }
        pin = Some(found);
    }
    Ok((request, pin))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(text: &str) -> (String, Option<String>) {
        let (url, pin) = SignalingUrl::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        (url.to_string(), pin.map(|pin| pin.reveal().to_string()))
    }

    #[test]
    fn a_url_that_a_terminal_wrapped_is_joined() {
        let (url, pin) = SignalingUrl::parse("ws://127.0.0.1:\r\n  4711/ws?pin=\n123456\n").unwrap();
        assert_eq!(url.to_string(), "ws://127.0.0.1:4711/ws");
        assert_eq!(pin, Pin::new("123456"));
    }

    #[test]
    fn what_people_paste_is_understood() {
        let cases = [
            ("wss://abc-5000.asse.devtunnels.ms/ws?pin=123456", "wss://abc-5000.asse.devtunnels.ms/ws"),
            ("  \"https://abc-5000.asse.devtunnels.ms/?pin=123456\"\r\n", "wss://abc-5000.asse.devtunnels.ms/ws"),
            ("<https://abc-5000.asse.devtunnels.ms?pin=123456>", "wss://abc-5000.asse.devtunnels.ms/ws"),
            ("abc-5000.devtunnels.ms?pin=123456", "wss://abc-5000.devtunnels.ms/ws"),
            ("HTTPS://ABC.Example:443/?pin=123456", "wss://abc.example/ws"),
            ("abc.example:8443?pin=123456", "wss://abc.example:8443/ws"),
            ("http://abc.example:80/ws/myhost?pin=123456", "ws://abc.example/ws/myhost"),
            ("http://abc.example:443/ws/?pin=123456", "ws://abc.example:443/ws/"),
            ("localhost:5000?pin=123456", "ws://localhost:5000/ws"),
            ("127.0.0.1:5000/?pin=123456", "ws://127.0.0.1:5000/ws"),
            ("192.168.1.7:5000/?pin=123456", "ws://192.168.1.7:5000/ws"),
            ("[::1]:5000?pin=123456", "ws://[::1]:5000/ws"),
            ("[2001:DB8::0:1]?pin=123456", "ws://[2001:db8::1]/ws"),
            ("wss://[::1]/?pin=123456", "wss://[::1]/ws"),
            ("wss://a.b/ws?pin=123456#section", "wss://a.b/ws"),
            ("a.b/ws?x=http://c.d/&pin=123456", "wss://a.b/ws?x=http://c.d/"),
            ("wss://a.b/ws?x=1&pin=123456&y=%20&z", "wss://a.b/ws?x=1&y=%20&z"),
            ("wss://a.b/?PIN=123456&p%69n=123456&", "wss://a.b/ws"),
            ("wss://a.b/é|?pin=123456", "wss://a.b/%C3%A9%7C"),
        ];
        for (text, expected) in cases {
            assert_eq!(parse(text), (expected.to_string(), Some("123456".to_string())), "{text}");
        }
    }

    #[test]
    fn pins_are_decoded() {
        let cases = [
            ("a.b", None),
            ("a.b?pin=", None),
            ("a.b?pin", None),
            ("a.b?pinned=1", None),
            ("a.b?pin=&pin=1", Some("1")),
            ("a.b?pin=1&pin=1", Some("1")),
            ("a.b?pin=a+b", Some("a+b")),
            ("a.b?pin=a%20b%26%c3%a9", Some("a b&é")),
            ("a.b?pin=é=%zz", Some("é=%zz")),
        ];
        for (text, expected) in cases {
            assert_eq!(parse(text).1.as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn errors_say_what_is_wrong() {
        let cases = [
            ("", UrlError::Empty),
            (" '' ", UrlError::Empty),
            ("wss://a.b/ws ?pin=1", UrlError::Space),
            ("wss://a.b/\u{7f}", UrlError::Space),
            ("ftp://a.b/", UrlError::Scheme),
            ("://a.b/", UrlError::Scheme),
            ("wss:/a.b", UrlError::Port),
            ("wss:a.b", UrlError::Port),
            ("wss://me:secret@a.b/", UrlError::UserInfo),
            ("wss:///ws", UrlError::NoHost),
            ("wss://:5000/ws", UrlError::NoHost),
            ("?pin=1", UrlError::NoHost),
            ("wss://a,b/", UrlError::Host),
            ("wss://a.b&pin=1", UrlError::Host),
            ("wss://bücher.example/", UrlError::Host),
            ("wss://../", UrlError::Host),
            ("::1", UrlError::Ipv6),
            ("wss://[::1", UrlError::Ipv6),
            ("wss://[127.0.0.1]", UrlError::Ipv6),
            ("wss://[fe80::1%eth0]", UrlError::Ipv6),
            ("wss://[::1]5000", UrlError::Port),
            ("wss://a.b:0", UrlError::Port),
            ("wss://a.b:65536", UrlError::Port),
            ("wss://a.b:+80", UrlError::Port),
            ("wss://a.b:", UrlError::Port),
            ("wss://a.b/ws&pin=123456", UrlError::PinInPath),
            ("wss://a.b?pin=1&pin=2", UrlError::TwoPins),
            ("wss://a.b?pin=%ff", UrlError::PinEncoding),
        ];
        for (text, expected) in cases {
            let error = SignalingUrl::parse(text).map(|_| ()).unwrap_err();
            assert_eq!(error, expected, "{text}");
            assert!(error.to_string().ends_with("wss://abc123-5000.asse.devtunnels.ms/ws?pin=123456"));
        }
        assert_eq!(SignalingUrl::parse(&"a".repeat(MAX_LEN + 1)), Err(UrlError::TooLong));
    }

    #[test]
    fn authority_is_what_a_host_header_wants() {
        let authority = |text: &str| SignalingUrl::parse(text).unwrap().0.authority();
        assert_eq!(authority("wss://a.b:443"), "a.b");
        assert_eq!(authority("wss://a.b:80"), "a.b:80");
        assert_eq!(authority("ws://[::1]:80"), "[::1]");
        assert_eq!(authority("ws://[::1]:5000"), "[::1]:5000");
    }

    proptest! {
        #[test]
        fn parsing_never_panics_and_is_stable(text in any::<String>()) {
            if let Ok((url, _)) = SignalingUrl::parse(&text) {
                prop_assert_eq!(SignalingUrl::parse(&url.to_string()), Ok((url, None)));
            }
        }

        #[test]
        fn what_looks_like_a_url_never_panics_and_is_stable(text in "(wss?://|https?://)?[a-z0-9.:@\\[\\]-]{0,9}[/?#&=%pinéA-F+|]{0,20}") {
            if let Ok((url, _)) = SignalingUrl::parse(&text) {
                prop_assert!(url.path.starts_with('/') && url.path.is_ascii());
                prop_assert_eq!(SignalingUrl::parse(&url.to_string()), Ok((url, None)));
            }
        }

        #[test]
        fn pins_round_trip(
            pin in ".+",
            tls in any::<bool>(),
            host in "[a-z][a-z0-9.-]{0,20}",
            port in 1..=u16::MAX,
            path in "/[a-z]{1,5}(/[a-z]{1,5})?(\\?[a-h]{1,3}=[a-z%0-9]{0,5})?",
        ) {
            let url = SignalingUrl { tls, host, port, path };
            let pin = Pin::new(pin);
            let text = url.with_pin(pin.as_ref().unwrap());
            prop_assert_eq!(SignalingUrl::parse(&text), Ok((url, pin)));
        }
    }
}
