//! What is forwarded, as people type it: `-L`, `-R`, `-D` and `-W`.

use std::path::{Path, PathBuf};

use super::parse::listened;
use super::problem::{Problem, WrongValue};
use crate::address::{
    AddressError, Bind, Endpoint, Host, ListenAddress, PortRange, Prefix, Target, socket_path, split, split_range,
};
use crate::config::{LocalForward, MAX_SERVICES, ReverseForward, StreamTarget, is_service_name};

/// Most ports of a range.
const MAX_RANGE: usize = MAX_SERVICES;

/// What one `-L` makes appear: more than one if its ports are ranges.
pub type Dials = Vec<LocalForward>;

/// What one `-R` asks for.
pub type Reverses = Vec<ReverseForward>;

/// Parses a `-L`: `[bind:]port:host:port`, with `udp:` before it, ranges of equal length for the ports, and
/// `unix:/path` for either side. The path that the host dials is absolute.
///
/// # Errors
/// What is wrong with it.
pub fn dial(text: &str) -> Result<Dials, WrongValue> {
    let hint = "give [BIND:]PORT:HOST:PORT, for example 5432:db.local:5432, udp:5353:10.0.0.53:53, 8080:unix:/run/app.sock \
                or unix:/tmp/pg.sock:db.local:5432";
    let found = pairs(text).and_then(|pairs| {
        let is_absolute = |(_, endpoint): &(Bind, Endpoint)| match endpoint {
            Endpoint::Unix(path) => is_absolute(path),
            Endpoint::Tcp(_) | Endpoint::Udp(_) => true,
        };
        if pairs.iter().all(is_absolute) { Ok(pairs) } else { Err(AddressError::RelativePath.into()) }
    });
    let forwards = found.map(|pairs| pairs.into_iter().map(|(bind, endpoint)| LocalForward::Dial { bind, endpoint }));
    forwards.map(Iterator::collect).map_err(|problem| WrongValue::new(text, problem, hint))
}

/// Parses a `-R`, which has the same shape as a `-L`: what comes first is on the host's side, where its path is
/// absolute.
///
/// # Errors
/// What is wrong with it.
pub fn reverse(text: &str) -> Result<Reverses, WrongValue> {
    let hint =
        "give [BIND:]PORT:HOST:PORT, for example 8080:127.0.0.1:80: the port of the host, then what is dialled here";
    let found = pairs(text).and_then(|pairs| {
        let is_absolute = |(bind, _): &(Bind, Endpoint)| match bind {
            Bind::Unix(path) => is_absolute(path),
            Bind::Tcp(_) | Bind::Udp(_) => true,
        };
        if pairs.iter().all(is_absolute) { Ok(pairs) } else { Err(AddressError::RelativePath.into()) }
    });
    let forwards = found.map(|pairs| pairs.into_iter().map(|(bind, endpoint)| ReverseForward { bind, endpoint }));
    forwards.map(Iterator::collect).map_err(|problem| WrongValue::new(text, problem, hint))
}

/// Parses a `-D`: where the SOCKS and HTTP proxy listens, `[bind:]port`.
///
/// # Errors
/// What is wrong with it.
pub fn proxy(text: &str) -> Result<ListenAddress, WrongValue> {
    let hint = "give [BIND:]PORT, for example 1080, or 0 for any free port";
    let parsed = split(text).map_err(Problem::from).and_then(|(host, port)| listened(host, port));
    parsed.map_err(|problem| WrongValue::new(text, problem, hint))
}

/// Parses a `-W`: the name of a service, `host:port` or `unix:/path`.
///
/// # Errors
/// What is wrong with it.
pub fn pipe(text: &str) -> Result<StreamTarget, WrongValue> {
    let hint = "give the name of a service or HOST:PORT, for example ssh or 127.0.0.1:22";
    let parsed = match (text.trim(), prefix(text)) {
        ("", _) => Err(AddressError::Empty.into()),
        (name, _) if !name.contains([':', '/', '[']) => match is_service_name(name) {
            true => Ok(StreamTarget::Service(name.to_owned())),
            false => Err(Problem::ServiceName),
        },
        (_, Prefix::Udp(_)) => Err(Problem::UdpPipe),
        (_, Prefix::Unix(path)) => absolute(path).map(|path| StreamTarget::Dial(Endpoint::Unix(path))),
        (_, Prefix::None(rest)) => {
            rest.parse().map(|target| StreamTarget::Dial(Endpoint::Tcp(target))).map_err(Problem::from)
        }
    };
    parsed.map_err(|problem| WrongValue::new(text, problem, hint))
}

/// Where is listened and what is dialled, for each port of a `-L` or `-R`.
fn pairs(text: &str) -> Result<Vec<(Bind, Endpoint)>, Problem> {
    let (is_udp, rest) = match prefix(text) {
        Prefix::Unix(rest) => return pair_from_unix(rest),
        Prefix::Udp(rest) => (true, rest),
        Prefix::None(rest) => (false, rest),
    };
    if rest.is_empty() {
        return Err(AddressError::Empty.into());
    }
    if let Some((bind, path)) = rest.split_once(":unix:") {
        let (host, port) = split(bind)?;
        let bind = Bind::Tcp(listened(host, port)?);
        return match is_udp {
            true => Err(Problem::UdpToUnix),
            false => Ok(vec![(bind, Endpoint::Unix(socket_path(path)?.into()))]),
        };
    }
    if rest.contains("://") {
        return Err(AddressError::Url.into());
    }
    let (bind, target) = match colons(rest)[..] {
        [port, _] => (&rest[..port], &rest[port + 1..]),
        [_, port, _] => (&rest[..port], &rest[port + 1..]),
        [] | [_] => return Err(Problem::Parts),
        _ => return Err(AddressError::Brackets.into()),
    };
    let (listening, binds) = range(bind)?;
    if matches!(Prefix::of(target), Prefix::Udp(_)) {
        return Err(Problem::PrefixInside);
    }
    let (host, targets) = range(target)?;
    let host = host.to_text().ok_or(AddressError::NoHost)?;
    if targets.first() == 0 || (binds.first() == 0 && binds.count() > 1) {
        return Err(AddressError::PortZero.into());
    }
    if binds.count() != targets.count() {
        return Err(Problem::RangeLengths);
    }
    let pair = |(bind, port)| {
        let (bind, target) = (listened(listening, bind)?, Target { host: host.clone(), port });
        Ok(match is_udp {
            true => (Bind::Udp(bind), Endpoint::Udp(target)),
            false => (Bind::Tcp(bind), Endpoint::Tcp(target)),
        })
    };
    binds.ports().zip(targets.ports()).map(pair).collect()
}

/// Reads what follows a `unix:` at the beginning of a `-L` or `-R`: a path, and what is dialled. A path may have colons
/// in it, so what is dialled is taken from the end.
fn pair_from_unix(text: &str) -> Result<Vec<(Bind, Endpoint)>, Problem> {
    if let Some((path, endpoint)) = text.split_once(":unix:") {
        let (path, endpoint) = (socket_path(path)?, socket_path(endpoint)?);
        return Ok(vec![(Bind::Unix(path.into()), Endpoint::Unix(endpoint.into()))]);
    }
    let [.., end, _] = colons(text)[..] else { return Err(Problem::Parts) };
    let path = socket_path(&text[..end])?;
    if path.ends_with(":udp") {
        return Err(Problem::UdpToUnix);
    }
    Ok(vec![(Bind::Unix(path.into()), Endpoint::Tcp(text[end + 1..].parse()?))])
}

/// Returns where the colons are that are not inside brackets.
fn colons(text: &str) -> Vec<usize> {
    let mut inside = false;
    let mut found = Vec::new();
    for (index, c) in text.char_indices() {
        match c {
            '[' => inside = true,
            ']' => inside = false,
            ':' if !inside => found.push(index),
            _ => {}
        }
    }
    found
}

/// Takes the prefix off, and `tcp:`, which people may write for what is without a prefix. A second prefix stays, and is
/// then an address gone wrong: nothing that is shown of a service may mean another one when it is typed.
pub(super) fn prefix(text: &str) -> Prefix<'_> {
    match Prefix::of(text.trim()) {
        Prefix::None(text) => {
            let is_prefixed = |rest: &&str| ["tcp:", "udp:", "unix:"].iter().any(|prefix| rest.starts_with(prefix));
            Prefix::None(text.strip_prefix("tcp:").filter(|rest| !is_prefixed(rest)).unwrap_or(text))
        }
        prefix => prefix,
    }
}

pub(super) fn range(text: &str) -> Result<(Host<'_>, PortRange), Problem> {
    let (host, range) = split_range(text)?;
    if range.count() > MAX_RANGE { Err(Problem::LongRange(MAX_RANGE)) } else { Ok((host, range)) }
}

fn absolute(path: &str) -> Result<PathBuf, Problem> {
    let path = PathBuf::from(socket_path(path)?);
    if is_absolute(&path) { Ok(path) } else { Err(AddressError::RelativePath.into()) }
}

/// Tells whether a path of the other side's machine is absolute, which may be one of another kind than this one.
fn is_absolute(path: &Path) -> bool {
    path.to_str().is_some_and(|path| path.starts_with('/'))
}

#[cfg(test)]
#[path = "forwards_tests.rs"]
pub(super) mod tests;
