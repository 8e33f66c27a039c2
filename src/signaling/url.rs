//! The URL a person passes around.

mod query;

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use percent_encoding::{AsciiSet, CONTROLS, NON_ALPHANUMERIC, utf8_percent_encode};
use thiserror::Error;

use self::query::{Query, names_pin, split_query};
use super::invitation::InvitationId;
use super::pin::Pin;
use super::rendezvous::HostId;

/// Path of signaling if a URL has none.
const DEFAULT_PATH: &str = "/ws";

/// Longest text that is parsed, in bytes.
const MAX_LEN: usize = 8 * 1024;

/// Longest path and query, in bytes, once they are encoded: half of what servers commonly take for a whole head.
const MAX_PATH: usize = 4 * 1024;

/// Longest host name, in bytes (RFC 1035, section 2.3.4), and longest part of one between dots.
const MAX_NAME: usize = 253;
const MAX_LABEL: usize = 63;

/// Characters of a pin that are encoded in a URL: all but the unreserved ones (RFC 3986, section 2.3).
pub(crate) const PIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Characters that must be encoded in an HTTP request line, and the quote, which would be taken for one around the URL.
/// `%` is not among them: what came encoded stays so.
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

/// The address of a signaling WebSocket, without the pin: a host's, or, as the base of several, a server's. Each part
/// can be written into a request unchanged, but for the id of an invitation, which is not for there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignalingUrl {
    tls: bool,
    host: String,
    port: u16,
    path: String,
    invitation: Option<InvitationId>,
}

impl SignalingUrl {
    /// Returns where a host's signaling answers that listens on an address, without TLS.
    pub fn at(address: SocketAddr) -> SignalingUrl {
        let (host, port) = (address.ip().to_string(), address.port());
        SignalingUrl { tls: false, host, port, path: DEFAULT_PATH.to_owned(), invitation: None }
    }

    /// Parses what a person pasted, and takes the pin out of it.
    ///
    /// - Quotes and white space around the URL are dropped, and so are a fragment and the command around it.
    /// - `https://` means `wss://`, `http://` means `ws://`. Without a scheme, `localhost` and IP literals are `ws://`,
    ///   and everything else is `wss://`. If one URL was pasted in place of the address of another, the inner one
    ///   counts.
    /// - No path, or `/`, means `/ws`; superfluous slashes are dropped.
    /// - `pin=` in the query is percent-decoded; `+` is a plus sign. An empty pin counts as none.
    /// - `invite=` in the query is taken out of it, too.
    ///
    /// No error shows any of the text, which may contain the pin.
    pub fn parse(text: &str) -> Result<(SignalingUrl, Option<Pin>), UrlError> {
        let pasted = pasted(text);
        let Parts { tls, host, port, path, query } = split(&pasted)?;
        let Query { path, pin, invitation } = split_query(&path, query)?;
        Ok((SignalingUrl { tls, host, port, path: bounded(path)?, invitation }, pin))
    }

    /// Parses what a person typed for a server, and returns the base of its endpoints: `wss://p.example.org`,
    /// `https://example.org/p`. Scheme, quotes and fragment are handled as in [`SignalingUrl::parse`]; a `/ws` at the
    /// end is dropped.
    ///
    /// # Errors
    /// The URL has a query, contains a pin, or is invalid.
    pub fn parse_server(text: &str) -> Result<SignalingUrl, UrlError> {
        let pasted = pasted(text);
        let Parts { tls, host, port, path, query } = split(&pasted)?;
        if !query.is_empty() || names_pin(&path) {
            return Err(UrlError::ServerQuery);
        }
        let path = path.trim_end_matches('/');
        let base = path.strip_suffix(DEFAULT_PATH).unwrap_or(path).trim_end_matches('/');
        let path = bounded(utf8_percent_encode(base, NOT_IN_A_PATH).to_string())?;
        Ok(SignalingUrl { tls, host, port, path, invitation: None })
    }

    /// Returns whether the connection is `wss://`.
    pub fn tls(&self) -> bool {
        self.tls
    }

    /// Returns the host name, in small letters, or the IP literal, without brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Returns the TCP port, never 0.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Returns path and query of the upgrade request, which begin with `/`; the parameters `pin` and `invite` are never
    /// part of them. Of a server's base it is the path before its endpoints, which may be empty and does not end with
    /// `/`.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Returns the invitation that the URL names.
    pub fn invitation(&self) -> Option<&InvitationId> {
        self.invitation.as_ref()
    }

    /// Returns the URL for those who have this invitation.
    pub(crate) fn inviting(&self, invitation: &InvitationId) -> SignalingUrl {
        SignalingUrl { invitation: Some(invitation.clone()), ..self.clone() }
    }

    /// Returns where hosts register, given a server's base.
    pub(crate) fn host_endpoint(&self) -> SignalingUrl {
        self.endpoint("/host")
    }

    /// Returns where clients join a host, given a server's base.
    pub(crate) fn client_endpoint(&self, id: &HostId) -> SignalingUrl {
        self.endpoint(&format!("{DEFAULT_PATH}/{id}"))
    }

    /// Returns the name of the host that answers here, if it is a host at a server.
    pub(crate) fn host_id(&self) -> Option<HostId> {
        let path = self.path.split('?').next()?;
        path.rsplit_once(DEFAULT_PATH)?.1.strip_prefix('/')?.parse().ok()
    }

    /// Returns where other servers of a cluster come to, given a server's base.
    #[cfg(feature = "server")]
    pub(crate) fn peer_endpoint(&self) -> SignalingUrl {
        self.endpoint("/peer")
    }

    /// Returns host and port for the `Host` header: an IPv6 literal in brackets, without the scheme's default port.
    pub(crate) fn authority(&self) -> String {
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        if self.port == default_port(self.tls) { host } else { format!("{host}:{}", self.port) }
    }

    /// Returns the URL with the pin in it, for a person to pass on. Never log it.
    pub fn with_pin(&self, pin: &Pin) -> String {
        let separator = if self.path.contains('?') || self.invitation.is_some() { '&' } else { '?' };
        format!("{self}{separator}pin={}", utf8_percent_encode(pin.reveal(), PIN))
    }

    fn endpoint(&self, path: &str) -> SignalingUrl {
        SignalingUrl { path: format!("{}{path}", self.path), ..self.clone() }
    }
}

impl fmt::Display for SignalingUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { "wss" } else { "ws" };
        write!(f, "{scheme}://{}{}", self.authority(), self.path)?;
        let Some(invitation) = &self.invitation else { return Ok(()) };
        let separator = if self.path.contains('?') { '&' } else { '?' };
        write!(f, "{separator}invite={invitation}")
    }
}

/// What is wrong with a URL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("{}; a right URL looks like wss://abc123-5000.asse.devtunnels.ms/ws?pin=123456", self.problem())]
#[non_exhaustive]
pub enum UrlError {
    /// Nothing is left after quotes and white space are dropped.
    Empty,
    /// Longer than any URL that can work.
    TooLong,
    /// White space or a control character in the middle.
    Space,
    /// A printed URL still has a placeholder for the address, as `<forwarded-address>`.
    Placeholder,
    /// A printed URL still has `<pin>` in place of the pin.
    PinPlaceholder,
    /// Neither `wss`, `ws`, `https` nor `http`.
    Scheme,
    /// A user name or password before the host.
    UserInfo,
    /// No host name.
    NoHost,
    /// The host name has a character that host names cannot have.
    Host,
    /// The host name, or a part of it, is too long or empty, or has a hyphen at an end; or it ends with a number.
    Name,
    /// The brackets hold no IPv6 address, or an IPv6 address has none.
    Ipv6,
    /// The port is not a number from 1 to 65535.
    Port,
    /// `pin=` is in the path, where it would be sent in clear.
    PinInPath,
    /// Two different pins.
    TwoPins,
    /// The pin is not UTF-8 after percent-decoding.
    PinEncoding,
    /// The id of the invitation is none.
    Invitation,
    /// Two different invitations.
    TwoInvitations,
    /// A pin or another query in the URL of a server.
    ServerQuery,
}

impl UrlError {
    /// Returns what is wrong, without an example of a right URL.
    pub(crate) fn problem(self) -> &'static str {
        match self {
            UrlError::Empty => "the URL is empty",
            UrlError::TooLong => "the URL is too long",
            UrlError::Space => "the URL has a space in it",
            UrlError::Placeholder => {
                "the URL has <…> where an address belongs: put the one there that the forwarder shows for the host's port"
            }
            UrlError::PinPlaceholder => {
                "the URL has <pin> where the pin belongs: put the one there that the host printed"
            }
            UrlError::Scheme => "the URL must begin with wss:// or ws://",
            UrlError::UserInfo => "the URL has a user name before the host, which is not supported",
            UrlError::NoHost => "the URL has no host name",
            UrlError::Host => "the host name has a character that host names cannot have",
            UrlError::Name => {
                "the host name is none: parts between dots have 1 to 63 characters and no hyphen at an end, and the last is no number"
            }
            UrlError::Ipv6 => "an IPv6 address must stand in brackets, as in [::1]:5000",
            UrlError::Port => "the port must be a number from 1 to 65535",
            UrlError::PinInPath => "the pin must follow a question mark (?pin=…)",
            UrlError::TwoPins => "the URL has two different pins",
            UrlError::PinEncoding => "the pin is not UTF-8 once it is percent-decoded",
            UrlError::Invitation => {
                "what follows invite= is no invitation: its id has 1 to 16 of a to z, 0 to 9 and hyphen"
            }
            UrlError::TwoInvitations => "the URL has two different invitations",
            UrlError::ServerQuery => "the URL of a server has no pin and nothing else after a question mark",
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

/// A URL in parts, the query unchanged.
struct Parts<'a> {
    tls: bool,
    host: String,
    port: u16,
    /// Without superfluous slashes.
    path: String,
    query: &'a str,
}

/// Characters that people copy along with a URL: quotes of all kinds, and brackets.
const AROUND: [char; 9] = ['"', '\'', '`', '<', '>', '“', '”', '‘', '’'];

/// Joins a URL that a terminal wrapped, which puts line breaks into the copied text, and removes what shells and chats
/// insert.
fn pasted(text: &str) -> String {
    let joined: String = text.split(['\r', '\n']).map(str::trim).collect();
    let is_invisible = |c: &char| matches!(c, '\u{200b}'..='\u{200f}' | '\u{2060}' | '\u{feff}');
    let mut visible: String = joined.chars().filter(|c| !is_invisible(c)).collect();
    // zsh escapes these while one types.
    for sign in ["?", "=", "&"] {
        visible = visible.replace(&format!("\\{sign}"), sign);
    }
    of_command(&visible).unwrap_or(&visible).to_owned()
}

/// Finds the URL in a whole `pinhole client URL PORT`.
fn of_command(text: &str) -> Option<&str> {
    let mut words = text.split_whitespace();
    words.next().filter(|program| program.rsplit(['/', '\\']).next() == Some("pinhole"))?;
    words.find(|word| word.contains("://") || word.contains("?pin=") || word.contains("?invite="))
}

fn split(text: &str) -> Result<Parts<'_>, UrlError> {
    let text = text.trim_matches(|c: char| c.is_whitespace() || AROUND.contains(&c));
    if text.is_empty() {
        return Err(UrlError::Empty);
    }
    if text.len() > MAX_LEN {
        return Err(UrlError::TooLong);
    }
    let (scheme, rest) = split_scheme(text)?;
    let rest = rest.split('#').next().unwrap_or_default();
    let (address, query) = rest.split_once('?').unwrap_or((rest, ""));
    if is_placeholder(address) {
        return Err(UrlError::Placeholder);
    }
    if text.contains(|c: char| c.is_whitespace() || c.is_control()) {
        return Err(UrlError::Space);
    }
    let (authority, path) = address.split_at(address.find('/').unwrap_or(address.len()));
    let (host, port) = split_authority(authority.trim_matches(AROUND), path)?;
    let tls = scheme.unwrap_or_else(|| !host.is_literal() && !host.is_localhost());
    let port = port.unwrap_or(default_port(tls));
    Ok(Parts { tls, host: host.into_string(), port, path: plain_path(path), query })
}

/// Tells whether the address is a placeholder in angle brackets, as in text that people are to fill in. One of the
/// brackets may have been removed already.
fn is_placeholder(address: &str) -> bool {
    let behind = address.split_once('<').map_or(address, |(_, behind)| behind);
    let words = behind.split('>').next().unwrap_or_default();
    words.len() < address.len() && !words.contains(['.', ':', '/']) && !words.eq_ignore_ascii_case("localhost")
}

/// Removes the superfluous slashes that come from an address copied with a slash at its end, or with the whole path.
fn plain_path(path: &str) -> String {
    let mut plain = String::with_capacity(path.len());
    for c in path.chars().filter(|c| !AROUND.contains(c)) {
        if c != '/' || !plain.ends_with('/') {
            plain.push(c);
        }
    }
    let is_signaling = plain.ends_with("/ws/") || plain.rsplit('/').nth(2) == Some("ws");
    if is_signaling && plain.ends_with('/') {
        plain.pop();
    }
    // No id of a host is as short as `ws`.
    while plain.ends_with("/ws/ws") {
        plain.truncate(plain.len() - DEFAULT_PATH.len());
    }
    plain
}

fn bounded(path: String) -> Result<String, UrlError> {
    if path.len() > MAX_PATH { Err(UrlError::TooLong) } else { Ok(path) }
}

fn default_port(tls: bool) -> u16 {
    if tls { 443 } else { 80 }
}

/// Returns whether the scheme means TLS, if there is a scheme, and the rest of the text.
fn split_scheme(text: &str) -> Result<(Option<bool>, &str), UrlError> {
    let (mut tls, mut rest) = (None, text);
    // A URL may stand in place of an address, or in the query of another one that has no scheme.
    while let Some((scheme, behind)) = rest.split_once("://")
        && !scheme.contains(['/', '?', '#'])
    {
        tls = Some(is_tls(scheme.trim_matches(AROUND)).ok_or(UrlError::Scheme)?);
        rest = behind;
    }
    match rest.strip_prefix("//") {
        Some(address) if tls.is_none() => Ok((None, address)),
        _ => Ok((tls, rest)),
    }
}

fn is_tls(scheme: &str) -> Option<bool> {
    match scheme.to_ascii_lowercase().as_str() {
        "wss" | "https" => Some(true),
        "ws" | "http" => Some(false),
        _ => None,
    }
}

fn split_authority(authority: &str, path: &str) -> Result<(Host, Option<u16>), UrlError> {
    // A scheme that lacks its colon or a slash.
    let word = authority.split(':').next().unwrap_or_default();
    let rest = authority.strip_prefix(word).and_then(|rest| rest.strip_prefix(':'));
    if is_tls(word).is_some() && rest.map_or(path.starts_with("//"), |rest| parse_port(rest).is_err()) {
        return Err(UrlError::Scheme);
    }
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
    let labels = name.strip_suffix('.').unwrap_or(name);
    let is_label =
        |label: &str| (1..=MAX_LABEL).contains(&label.len()) && !label.starts_with('-') && !label.ends_with('-');
    // Resolvers take a number for an address.
    let is_number = labels.rsplit('.').next().is_some_and(|last| last.bytes().all(|byte| byte.is_ascii_digit()));
    if labels.len() > MAX_NAME || is_number || !labels.split('.').all(is_label) {
        return Err(UrlError::Name);
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

#[cfg(test)]
#[path = "url_tests.rs"]
mod tests;
