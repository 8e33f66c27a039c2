//! What is forwarded, as people type it: services, where they appear, `-L`, `-R`, `-D`, `-W` and what is allowed.

use std::path::{Path, PathBuf};

use super::failure::UsageError;
use super::parse::listened;
use super::problem::{Problem, WrongValue};
use crate::access::{ReverseRule, Rule};
use crate::address::{
    AddressError, Bind, Endpoint, Host, ListenAddress, PortRange, Prefix, Target, socket_path, split, split_range,
};
use crate::config::{LocalForward, Pipe, ProxyProtocol, ReverseForward, ServiceBind, SharedService, is_service_name};

/// Most services a host may share, which is what a HELLO may announce.
pub const MAX_SERVICES: usize = 256;

/// Most ports of a range.
pub const MAX_RANGE: usize = MAX_SERVICES;

const SERVICE: &str =
    "give [NAME=]TARGET, for example 8080, web=127.0.0.1:8080, 8000-8010, dns=udp:53 or db=unix:/run/db.sock";

const LOCAL: &str =
    "give [NAME=]LOCAL, for example 8080, web=8080, game=0.0.0.0:25565, 8000-8010 or db=unix:/tmp/db.sock";

const PROXY_PROTOCOL: &str = "give v1 or v2, or NAME=v2 for one service";

/// A value that has to get along with others, and the text that it was, for errors.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Given<T> {
    value: T,
    text: String,
}

impl<T> Given<T> {
    fn new(value: T, text: &str) -> Given<T> {
        Given { value, text: text.to_owned() }
    }
}

/// What one TARGET shares: more than one service if it is a range.
pub type GivenServices = Given<Vec<SharedService>>;

/// What one LOCAL makes appear.
pub type GivenLocals = Given<Vec<LocalForward>>;

/// What one `--proxy-protocol` asks for: a version, and the name of the service unless it is for all.
pub type GivenVersion = Given<(Option<String>, ProxyProtocol)>;

/// What one `-L` makes appear: more than one if its ports are ranges.
pub type Dials = Vec<LocalForward>;

/// What one `-R` asks for.
pub type Reverses = Vec<ReverseForward>;

/// Parses what a host shares, `[NAME=]TARGET`: a port, `host:port`, one of these with `udp:` before it or a range for
/// a port, or `unix:` and a path. A bare port is one of localhost. The default name is the port, or the socket's file
/// name in small letters.
///
/// # Errors
/// What is wrong with it.
pub fn service(text: &str) -> Result<GivenServices, WrongValue> {
    let found = parse_service(text).map_err(|problem| WrongValue::new(text, problem, SERVICE))?;
    Ok(Given::new(found, text))
}

/// Joins what a host shares. Of a TCP and a UDP service that are named after one port, the latter is `53-udp`.
///
/// # Errors
/// The first that has the name of one before it; too many.
pub fn services(given: Vec<GivenServices>) -> Result<Vec<SharedService>, UsageError> {
    let mut services: Vec<SharedService> = Vec::new();
    for Given { value, text } in given {
        let error = |problem| WrongValue::new(&text, problem, SERVICE).of("TARGET");
        for mut service in value {
            tell_apart(&mut services, &mut service);
            if services.iter().any(|other| other.name == service.name) {
                return Err(error(Problem::SameName(service.name)));
            }
            services.push(service);
        }
        if services.len() > MAX_SERVICES {
            return Err(error(Problem::ManyServices(MAX_SERVICES)));
        }
    }
    Ok(services)
}

/// Parses where a service appears, `[NAME=]LOCAL`: `web=8080`, `dns=udp:5353`, `db=unix:/tmp/db.sock`; a name alone
/// takes the service's own port, a bare port is for the host's only service, a range for the services of those names.
///
/// # Errors
/// What is wrong with it.
pub fn local(text: &str) -> Result<GivenLocals, WrongValue> {
    let found = parse_local(text).map_err(|problem| WrongValue::new(text, problem, LOCAL))?;
    Ok(Given::new(found, text))
}

/// Joins where services appear; nothing is [`LocalForward::Every`].
///
/// # Errors
/// More than one without a name.
pub fn locals(given: Vec<GivenLocals>) -> Result<Vec<LocalForward>, UsageError> {
    let is_only = |forward: &LocalForward| matches!(forward, LocalForward::Only { .. });
    let mut forwards = Vec::new();
    for Given { value, text } in given {
        if value.iter().any(is_only) && forwards.iter().any(is_only) {
            return Err(WrongValue::new(&text, Problem::TwoOnly, LOCAL).of("LOCAL"));
        }
        forwards.extend(value);
    }
    if forwards.is_empty() {
        forwards.push(LocalForward::Every);
    }
    Ok(forwards)
}

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
pub fn pipe(text: &str) -> Result<Pipe, WrongValue> {
    let hint = "give the name of a service or HOST:PORT, for example ssh or 127.0.0.1:22";
    let parsed = match (text.trim(), prefix(text)) {
        ("", _) => Err(AddressError::Empty.into()),
        (name, _) if !name.contains([':', '/', '[']) => match is_service_name(name) {
            true => Ok(Pipe::Service(name.to_owned())),
            false => Err(Problem::ServiceName),
        },
        (_, Prefix::Udp(_)) => Err(Problem::UdpPipe),
        (_, Prefix::Unix(path)) => absolute(path).map(|path| Pipe::Dial(Endpoint::Unix(path))),
        (_, Prefix::None(rest)) => rest.parse().map(|target| Pipe::Dial(Endpoint::Tcp(target))).map_err(Problem::from),
    };
    parsed.map_err(|problem| WrongValue::new(text, problem, hint))
}

/// Parses a `--proxy-protocol`: `v1` or `v2` for every service that is not UDP, `NAME=v2` for one.
///
/// # Errors
/// It is no version.
pub fn proxy_protocol(text: &str) -> Result<GivenVersion, WrongValue> {
    let (name, version) = match text.split_once('=') {
        Some((name, version)) => (Some(name.trim().to_owned()), version),
        None => (None, text),
    };
    let version = match version.trim() {
        "v1" => ProxyProtocol::V1,
        "v2" => ProxyProtocol::V2,
        _ => return Err(WrongValue::new(text, Problem::HeaderVersion, PROXY_PROTOCOL)),
    };
    Ok(Given::new((name, version), text))
}

/// Applies each `--proxy-protocol`. A name counts more than none, and what comes later more than what came before.
///
/// # Errors
/// There is no such service, or it is UDP.
pub fn apply_proxy_protocol(given: Vec<GivenVersion>, services: &mut [SharedService]) -> Result<(), UsageError> {
    let (named, general): (Vec<_>, Vec<_>) = given.into_iter().partition(|given| given.value.0.is_some());
    for Given { value: (name, version), text } in general.into_iter().chain(named) {
        let error = |problem| WrongValue::new(&text, problem, PROXY_PROTOCOL).of("--proxy-protocol");
        let Some(name) = name else {
            let streams = services.iter_mut().filter(|service| !matches!(service.endpoint, Endpoint::Udp(_)));
            streams.for_each(|service| service.proxy_protocol = Some(version));
            continue;
        };
        match services.iter_mut().find(|service| service.name == name) {
            None => return Err(error(Problem::NoSuchService(name.chars().take(63).collect()))),
            Some(service) if matches!(service.endpoint, Endpoint::Udp(_)) => return Err(error(Problem::HeaderForUdp)),
            Some(service) => service.proxy_protocol = Some(version),
        }
    }
    Ok(())
}

/// Parses an `--allow`, as [`Rule::parse`] does.
///
/// # Errors
/// What is wrong with it.
pub fn rule(text: &str) -> Result<Rule, WrongValue> {
    let hint = "give HOST:PORTS, for example db.local:5432, 10.0.0.0/8:80,443, *.internal:8000-8999, [2001:db8::/32]:22 or \
                unix:/run/app.sock";
    Rule::parse(text).map_err(|problem| WrongValue::new(text, problem, hint))
}

/// Parses an `--allow-reverse`, as [`ReverseRule::parse`] does.
///
/// # Errors
/// What is wrong with it.
pub fn reverse_rule(text: &str) -> Result<ReverseRule, WrongValue> {
    let hint = "give [BIND:]PORTS, for example 8080, 8000-8010, 0.0.0.0:8080 or udp:5353";
    ReverseRule::parse(text).map_err(|problem| WrongValue::new(text, problem, hint))
}

/// Gives the UDP service of two that are named after the same port a name that says so.
fn tell_apart(services: &mut [SharedService], added: &mut SharedService) {
    let is_udp = |service: &SharedService| matches!(service.endpoint, Endpoint::Udp(_));
    let has_its_port = |service: &SharedService| match &service.endpoint {
        Endpoint::Tcp(target) | Endpoint::Udp(target) => service.name == target.port.to_string(),
        Endpoint::Unix(_) => false,
    };
    let is_same = |known: &&mut SharedService| known.name == added.name && has_its_port(known) && has_its_port(added);
    let Some(known) = services.iter_mut().find(is_same) else { return };
    match (is_udp(known), is_udp(added)) {
        (true, false) => known.name += "-udp",
        (false, true) => added.name += "-udp",
        _ => {}
    }
}

fn parse_service(text: &str) -> Result<Vec<SharedService>, Problem> {
    let (name, target) = split_name(text)?;
    let shared = |name, endpoint| SharedService { name, endpoint, proxy_protocol: None };
    let (is_udp, address) = match prefix(target) {
        Prefix::Unix(path) => {
            let path = PathBuf::from(socket_path(path)?);
            let default = || {
                let file_name = path.file_name()?.to_str()?.to_ascii_lowercase();
                is_service_name(&file_name).then_some(file_name)
            };
            let name = name.map(str::to_owned).or_else(default).ok_or(Problem::NoDefaultName)?;
            return Ok(vec![shared(name, Endpoint::Unix(path))]);
        }
        Prefix::Udp(address) => (true, address),
        Prefix::None(address) => (false, address),
    };
    let (host, range) = range(address)?;
    if range.first() == 0 {
        return Err(AddressError::PortZero.into());
    }
    if name.is_some() && range.count() > 1 {
        return Err(Problem::NamedRange);
    }
    let host = host.to_text().unwrap_or_else(|| "localhost".to_owned());
    let each = range.ports().map(|port| {
        let target = Target { host: host.clone(), port };
        let endpoint = if is_udp { Endpoint::Udp(target) } else { Endpoint::Tcp(target) };
        shared(name.map_or_else(|| port.to_string(), str::to_owned), endpoint)
    });
    Ok(each.collect())
}

fn parse_local(text: &str) -> Result<Vec<LocalForward>, Problem> {
    let (name, bind) = split_name(text)?;
    // A name alone; digits and dots alone would be a port or half an address.
    if name.is_none() && is_service_name(bind) && bind.contains(|c: char| c.is_ascii_lowercase()) {
        return Ok(vec![LocalForward::Service { name: bind.to_owned(), bind: None }]);
    }
    let named = |bind| match name {
        Some(name) => LocalForward::Service { name: name.to_owned(), bind: Some(bind) },
        None => LocalForward::Only { bind },
    };
    let (is_udp, address) = match prefix(bind) {
        Prefix::Unix(path) => return Ok(vec![named(ServiceBind::Unix(socket_path(path)?.into()))]),
        Prefix::Udp(address) => (true, address),
        Prefix::None(address) => (false, address),
    };
    let (host, range) = range(address)?;
    let bind = |port| {
        let address = listened(host, port)?;
        Ok::<_, Problem>(if is_udp { ServiceBind::Udp(address) } else { ServiceBind::Address(address) })
    };
    match (range.count(), name) {
        (1, _) => Ok(vec![named(bind(range.first())?)]),
        (_, Some(_)) => Err(Problem::NamedRange),
        (_, None) if range.first() == 0 => Err(AddressError::PortZero.into()),
        (_, None) => {
            let service = |port: u16| Ok(LocalForward::Service { name: port.to_string(), bind: Some(bind(port)?) });
            range.ports().map(service).collect()
        }
    }
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

/// Splits the name off, if there is one. What has a colon or a slash before the equals sign is a path with one in it.
fn split_name(text: &str) -> Result<(Option<&str>, &str), Problem> {
    let text = text.trim();
    match text.split_once('=') {
        Some((name, rest)) if !name.contains([':', '/']) => match is_service_name(name) {
            true => Ok((Some(name), rest)),
            false => Err(Problem::ServiceName),
        },
        _ => Ok((None, text)),
    }
}

/// Takes the prefix off, and `tcp:`, which people may write for what is without a prefix. A second prefix stays, and is
/// then an address gone wrong: nothing that is shown of a service may mean another one when it is typed.
fn prefix(text: &str) -> Prefix<'_> {
    match Prefix::of(text.trim()) {
        Prefix::None(text) => {
            let is_prefixed = |rest: &&str| ["tcp:", "udp:", "unix:"].iter().any(|prefix| rest.starts_with(prefix));
            Prefix::None(text.strip_prefix("tcp:").filter(|rest| !is_prefixed(rest)).unwrap_or(text))
        }
        prefix => prefix,
    }
}

fn range(text: &str) -> Result<(Host<'_>, PortRange), Problem> {
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
mod tests;
