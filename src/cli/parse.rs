//! Parsers of single values, as people type them: each takes a text and gives a setting that cannot be wrong, or says
//! what would be right. Clap uses them, and so do the questions of the wizard.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use ipnet::IpNet;

use super::problem::{Problem, WrongValue};
use crate::access::{ReverseRule, Rule};
use crate::address::{self, AddressError, Host, ListenAddress, Target, digits, split};
use crate::config::{AdminToken, Domain, MAX_SESSIONS, ProcessName};
#[cfg(feature = "server")]
use crate::config::{DirectoryUrl, DirectoryUrlError};
use crate::http::field::HeaderField;
use crate::http::forwarded;
use crate::signaling::invitation::InvitationId;
use crate::signaling::pin::Pin;
use crate::signaling::rendezvous::{HostId, Token};
use crate::signaling::url::SignalingUrl;
use crate::socks::Credentials;

/// Most hosts and most clients that a server may be told to have at a time: more than a process has descriptors.
const MAX_COUNT: usize = 1_000_000;

/// Where STUN servers answer unless something else is said (RFC 8489, section 18.6).
const STUN_PORT: u16 = 3478;

/// What a host passes on: where its signaling answers, and the pin if it is in there.
pub type HostUrl = (SignalingUrl, Option<Pin>);

/// Parses the URL that a host passes on, as [`SignalingUrl::parse`] does. An error shows nothing of it: a pin may be in
/// there.
pub fn host_url(text: &str) -> Result<HostUrl, WrongValue> {
    let hint = "a right URL looks like wss://abc123-5000.asse.devtunnels.ms/ws?pin=123456";
    SignalingUrl::parse(text).map_err(|error| WrongValue::hidden(error, hint))
}

/// Parses the address under which a host is reached. A pin in it is of an earlier run, and dropped.
pub fn public_url(text: &str) -> Result<SignalingUrl, WrongValue> {
    let hint = "a right URL looks like https://abc123-5000.asse.devtunnels.ms or 192.0.2.7:5000";
    if !looks_like_an_address(text) {
        return Err(WrongValue::hidden(Problem::NoAddress, hint));
    }
    SignalingUrl::parse(text).map(|(url, _)| url).map_err(|error| WrongValue::hidden(error, hint))
}

/// Tells an address from a word: any word is a host's name, too, but nobody anywhere reaches that.
fn looks_like_an_address(text: &str) -> bool {
    let authority = text.trim().split(['/', '?', '#']).next().unwrap_or_default();
    text.contains("://") || authority.contains(['.', ':', '[']) || authority.eq_ignore_ascii_case("localhost")
}

/// Parses the URL of a server, as [`SignalingUrl::parse_server`] does.
pub fn server_url(text: &str) -> Result<SignalingUrl, WrongValue> {
    let hint = "a right one looks like wss://p.example.org";
    SignalingUrl::parse_server(text).map_err(|error| WrongValue::hidden(error, hint))
}

/// Parses the URL of a directory.
#[cfg(feature = "server")]
pub fn directory(text: &str) -> Result<DirectoryUrl, WrongValue> {
    let hint = "a right one looks like redis://user:password@db.example.org:6379";
    text.parse().map_err(|error: DirectoryUrlError| WrongValue::hidden(error, hint))
}

/// Parses one thing that a host shares: `25565`, `127.0.0.1:25565`, `[::1]:25565` or `db.local:5432`. A bare port is
/// one of localhost: 127.0.0.1, or ::1 if only that answers.
pub fn target(text: &str) -> Result<Target, WrongValue> {
    let hint = "give a port or host:port, for example 25565, db.local:5432 or [::1]:8080";
    let parsed = split(text).and_then(|(host, port)| match port {
        0 => Err(AddressError::PortZero),
        _ => Ok(Target { host: host.to_text().unwrap_or_else(|| "localhost".to_owned()), port }),
    });
    parsed.map_err(|problem| WrongValue::new(text, problem, hint))
}

/// Parses where a client listens: `25565`, `0.0.0.0:25565`, `[::1]:80`, `localhost:80`, or `0` for any free port. A
/// bare port is one of localhost.
pub fn local(text: &str) -> Result<ListenAddress, WrongValue> {
    let hint = "give a port or an address of this machine, for example 25565, 0.0.0.0:25565, or 0 for any free port";
    let parsed = split(text).map_err(Problem::from).and_then(|(host, port)| listened(host, port));
    parsed.map_err(|problem| WrongValue::new(text, problem, hint))
}

/// Parses where a host's signaling listens. It is written as [`local`]'s, or as `:5000` for that port of every address;
/// a bare port is one of 127.0.0.1.
pub fn host_listen(text: &str) -> Result<SocketAddr, WrongValue> {
    let hint =
        "give a port or an address of this machine, for example 5000, :5000 for every address, or 0 for any free port";
    wide_address(text).map_err(|problem| WrongValue::new(text, problem, hint))
}

/// Parses where a server listens, which is written as [`host_listen`]'s.
pub fn server_listen(text: &str) -> Result<SocketAddr, WrongValue> {
    let hint =
        "give an address of this machine, for example :443 for every one, 0.0.0.0:443, or 443 for 127.0.0.1 alone";
    wide_address(text).map_err(|problem| WrongValue::new(text, problem, hint))
}

/// Parses a further header field of the WebSocket request, `Name: value`.
pub fn header(text: &str) -> Result<HeaderField, WrongValue> {
    text.parse::<HeaderField>().map_err(|problem| {
        // The value may be a secret, and so may all after the first word when the colon was forgotten.
        let shown = text.split([':', ' ']).next().unwrap_or_default();
        WrongValue::new(shown, problem, "give 'Name: value', for example 'X-Tunnel-Authorization: tunnel abc'")
    })
}

/// Parses how many clients a host serves at a time, 1 to [`MAX_SESSIONS`].
pub fn max_sessions(text: &str) -> Result<usize, WrongValue> {
    let number = digits(text).filter(|number| (1..=MAX_SESSIONS).contains(number));
    let hint = "give a number from 1 to 1024, for example 16";
    number.ok_or_else(|| WrongValue::new(text, Problem::Sessions, hint))
}

/// Parses how many hosts or clients a server has at a time, 1 to 1,000,000.
pub fn server_count(text: &str) -> Result<usize, WrongValue> {
    let number = digits(text).filter(|number| (1..=MAX_COUNT).contains(number));
    let hint = "give a whole number, for example 10000";
    number.ok_or_else(|| WrongValue::new(text, Problem::Bounds("1", "1000000"), hint))
}

/// Parses a time in whole seconds, from 1 to `MOST`.
pub fn seconds<const MOST: u64>(text: &str) -> Result<Duration, WrongValue> {
    let number = digits(text).map(|number| number as u64).filter(|number| (1..=MOST).contains(number));
    let hint = "give whole seconds, for example 30";
    number.map(Duration::from_secs).ok_or_else(|| WrongValue::new(text, Problem::Seconds(MOST), hint))
}

/// Parses a STUN server: `stun.example.org:3478`, `[2001:db8::1]:3478`, or the same as a URI, whose port may be left
/// out (RFC 7064): `stun:stun.example.org`.
pub fn stun_server(text: &str) -> Result<Target, WrongValue> {
    let hint = "give HOST:PORT or stun:HOST:PORT, for example stun.l.google.com:19302";
    stun_address(text.trim()).map_err(|problem| WrongValue::new(text, problem, hint))
}

/// Parses a pin: any text but none.
pub fn pin(text: &str) -> Result<Pin, WrongValue> {
    let hint = "give the pin that the host printed, for example 123456";
    Pin::new(text).ok_or_else(|| WrongValue::new("", Problem::NoPin, hint))
}

/// Parses the id of an invitation.
pub fn invitation_id(text: &str) -> Result<InvitationId, WrongValue> {
    text.parse::<InvitationId>().map_err(|problem| WrongValue::new(text, problem, "give a short one, for example k3"))
}

/// Parses the name that a host has on a server.
pub fn host_id(text: &str) -> Result<HostId, WrongValue> {
    text.parse::<HostId>().map_err(|problem| WrongValue::new(text, problem, "give a name, for example my-host"))
}

/// Parses the name of a process.
pub fn process_name(text: &str) -> Result<ProcessName, WrongValue> {
    text.parse::<ProcessName>().map_err(|problem| WrongValue::new(text, problem, "give a name, for example web"))
}

/// Parses the token of the control interface. An error shows nothing of it.
pub fn admin_token(text: &str) -> Result<AdminToken, WrongValue> {
    text.parse::<AdminToken>().map_err(|problem| WrongValue::hidden(problem, "openssl rand -hex 16 writes a good one"))
}

/// Parses a token. An error shows nothing of it.
pub fn token(text: &str) -> Result<Token, WrongValue> {
    let hint = "give one that the server's file of tokens has the hash of";
    text.parse::<Token>().map_err(|problem| WrongValue::hidden(problem, hint))
}

/// Parses a user name and its password, `USER:PASSWORD`. An error shows nothing of them.
pub fn login(text: &str) -> Result<Credentials, WrongValue> {
    Credentials::parse(text).map_err(|problem| WrongValue::hidden(problem, "give USER:PASSWORD"))
}

/// Parses an `--allow`, as [`Rule::parse`] does.
pub fn rule(text: &str) -> Result<Rule, WrongValue> {
    let hint = "give HOST:PORTS, for example db.local:5432, 10.0.0.0/8:80,443, *.internal:8000-8999, [2001:db8::/32]:22 or \
                unix:/run/app.sock";
    Rule::parse(text).map_err(|problem| WrongValue::new(text, problem, hint))
}

/// Parses an `--allow-reverse`, as [`ReverseRule::parse`] does.
pub fn reverse_rule(text: &str) -> Result<ReverseRule, WrongValue> {
    let hint = "give [BIND:]PORTS, for example 8080, 8000-8010, 0.0.0.0:8080 or udp:5353";
    ReverseRule::parse(text).map_err(|problem| WrongValue::new(text, problem, hint))
}

/// Parses the addresses of proxies in front of a server: one address, or a network such as `10.0.0.0/8`.
pub fn trusted_proxy(text: &str) -> Result<IpNet, WrongValue> {
    let hint = "give the addresses that the proxy connects from, for example 127.0.0.1 for one on this machine";
    forwarded::network(text).map_err(|problem| WrongValue::new(text, problem, hint))
}

/// Parses the domain under which hosts have their names.
pub fn domain(text: &str) -> Result<Domain, WrongValue> {
    let hint = "give the name under which the hosts have theirs, for example p.example.org for blog.p.example.org";
    text.parse::<Domain>().map_err(|problem| WrongValue::new(text, problem, hint))
}

/// Returns where to listen; without an address it is localhost.
pub(super) fn listened(host: Host<'_>, port: u16) -> Result<ListenAddress, Problem> {
    match host {
        Host::Default => Ok(ListenAddress::Localhost(port)),
        Host::Address(address) => Ok(ListenAddress::One(SocketAddr::new(address, port))),
        Host::Name(name) if name.eq_ignore_ascii_case("localhost") => Ok(ListenAddress::Localhost(port)),
        Host::Name(_) => Err(Problem::ForeignName),
    }
}

/// Reads one address to listen on; a port alone is one of 127.0.0.1, and `:80` is that port of every address.
fn wide_address(text: &str) -> Result<SocketAddr, Problem> {
    if let Some(port) = text.trim().strip_prefix(':').filter(|rest| !rest.contains(':')) {
        return Ok((Ipv6Addr::UNSPECIFIED, address::port(port)?).into());
    }
    let (host, port) = split(text)?;
    listened(host, port).map(|address| match address {
        ListenAddress::Localhost(port) => (Ipv4Addr::LOCALHOST, port).into(),
        ListenAddress::One(address) => address,
    })
}

fn stun_address(text: &str) -> Result<Target, Problem> {
    let (scheme, rest) = text.split_once(':').unwrap_or_default();
    match scheme.to_ascii_lowercase().as_str() {
        "stun" => {}
        "stuns" => return Err(Problem::SecureStun),
        "turn" | "turns" => return Err(Problem::Turn),
        _ => return Ok(text.parse()?),
    }
    // As configurations of browsers have it, where a transport is TURN's to say.
    let (address, query) = rest.split_once('?').unwrap_or((rest, ""));
    if !query.is_empty() && !query.eq_ignore_ascii_case("transport=udp") {
        return Err(Problem::StunTransport);
    }
    let address = address.strip_prefix("//").unwrap_or(address);
    let behind_host = if address.starts_with('[') { address.split_once(']').unwrap_or_default().1 } else { address };
    if behind_host.contains(':') || address.is_empty() {
        return Ok(address.parse()?);
    }
    Ok(format!("{address}:{STUN_PORT}").parse()?)
}

#[cfg(test)]
#[path = "parse_tests.rs"]
mod tests;
