//! Services, as people type them: what a host shares, and where a client has it.

use std::path::PathBuf;

use super::failure::UsageError;
use super::forwards::{prefix, range};
use super::parse::listened;
use super::problem::{Problem, WrongValue};
use crate::address::{AddressError, Endpoint, Prefix, Target, socket_path};
use crate::config::{LocalForward, MAX_SERVICES, ProxyProtocol, ServiceBind, SharedService, is_service_name};

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

#[cfg(test)]
#[path = "services_tests.rs"]
mod tests;
