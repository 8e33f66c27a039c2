//! Arguments, the environment and answers, joined into one command that is ready to run.

use std::ffi::OsString;

use clap::Parser;

use super::args::{Action, Arguments, BoundsArguments, ClientArguments, HostArguments, PIN_VARIABLE, ReachArguments};
use super::check;
use super::choices::{self, nearest_pin, proxy, stun_servers};
use super::failure::{Failure, UsageError};
use super::forwards;
use super::logging::Verbosity;
use super::output::Output;
use super::parse::{self};
use super::quantity;
use super::question::Ask;
use super::registration::{self, registration};
use super::secret_file::{self, Secret};
use super::secrets::{self, PROXY_AUTH};
use super::server;
use super::wizard::{self, Answers};
use crate::address::Target;
use crate::config::{Bounds, CheckConfig, ClientConfig, DEFAULT_HOST_LISTEN, HostConfig, ServerConfig};
use crate::http::proxy::ProxyVariables;
use crate::session::Reach;
use crate::signaling::pin::Pin;
use crate::signaling::url::SignalingUrl;

/// What a command line asks for, ready to run.
#[derive(Debug, Clone)]
pub enum Command {
    /// `pinhole host`.
    Host(HostConfig, Output),
    /// `pinhole client`.
    Client(ClientConfig, Output),
    /// `pinhole server`.
    Server(ServerConfig, Output),
    /// `pinhole check`.
    Check(CheckConfig, Output),
    /// `pinhole demo`.
    Demo(Output),
}

impl Command {
    /// Returns how the run talks.
    pub fn output(&self) -> Output {
        match self {
            Command::Host(_, output)
            | Command::Client(_, output)
            | Command::Server(_, output)
            | Command::Check(_, output)
            | Command::Demo(output) => *output,
        }
    }
}

/// A command line that made sense.
#[derive(Debug, Clone)]
pub struct Parsed {
    /// What to run.
    pub command: Command,
    /// When questions led to it, the command line that does the same without them.
    pub equivalent: Option<String>,
    /// What is to be warned of.
    pub remarks: Vec<String>,
}

impl From<Command> for Parsed {
    fn from(command: Command) -> Parsed {
        Parsed { command, equivalent: None, remarks: Vec::new() }
    }
}

/// What the command line takes from around it.
#[derive(Default)]
pub struct Surroundings<'a> {
    /// Asks a person; `None` when stdin or stderr is no terminal.
    pub ask: Option<&'a mut Ask<'a>>,
    /// The value of `PINHOLE_PIN`; empty counts as unset.
    pub pin: Option<OsString>,
    /// The value of `PINHOLE_TOKEN`; empty counts as unset.
    pub token: Option<OsString>,
    /// The value of `PINHOLE_PUBLIC_AUTH`; empty counts as unset.
    pub public_auth: Option<OsString>,
    /// The value of `PINHOLE_PROXY_AUTH`; empty counts as unset.
    pub proxy_auth: Option<OsString>,
    /// The variables that name proxies.
    pub proxies: ProxyVariables,
}

/// Turns arguments (the program's name first) into a command, asking a person for what is missing.
pub fn parse(
    arguments: impl IntoIterator<Item = impl Into<OsString> + Clone>,
    surroundings: Surroundings<'_>,
) -> Result<Parsed, Failure> {
    let Surroundings { ask, pin, token, public_auth, proxy_auth, proxies } = surroundings;
    let arguments = Arguments::try_parse_from(arguments)?;
    let mut output = Output { json: false, verbosity: Verbosity::new(arguments.quiet, arguments.verbose) };
    let usage = |usage: UsageError, output| Failure::Usage { usage, output };
    match arguments.command {
        None => {
            let Some(ask) = ask else { return Err(Failure::NoCommand) };
            let pin = environment_pin(pin).map_err(|error| usage(error, output))?;
            let answers = wizard::questions(ask, pin)?;
            let equivalent = Some(answers.command());
            let command = match answers {
                Answers::Host(config) => Command::Host(config, output),
                Answers::Client(mut config) => {
                    config.proxy = proxy(&config.url, &proxies).map_err(|error| usage(error, output))?;
                    Command::Client(config, output)
                }
            };
            Ok(Parsed { command, equivalent, remarks: Vec::new() })
        }
        Some(Action::Host(host)) => {
            output.json = host.json;
            let config = environment_pin(pin).and_then(|pin| {
                let (terminal, proxies) = (ask.is_some(), &proxies);
                host_config(host, HostSurroundings { pin, token, public_auth, proxies, terminal })
            });
            let (config, remarks) = config.map_err(|error| usage(error, output))?;
            Ok(Parsed { remarks, ..Command::Host(config, output).into() })
        }
        Some(Action::Server(server)) => {
            output.json = server.wants_json();
            let config = server::settings(server).map_err(|error| usage(error, output))?;
            Ok(Command::Server(config, output).into())
        }
        Some(Action::Client(client)) => {
            output.json = client.json;
            let mut remarks = Vec::new();
            let settings = environment_pin(pin).and_then(|pin| {
                let surroundings = ClientSurroundings { pin, proxy_auth, proxies: &proxies, remarks: &mut remarks };
                client_settings(client, surroundings)
            });
            let (settings, pin) = settings.map_err(|error| usage(error, output))?;
            let pin = match (pin, ask) {
                (Some(pin), _) => pin,
                (None, Some(ask)) => wizard::pin(ask)?,
                (None, None) => return Err(usage(UsageError::NoPin, output)),
            };
            Ok(Parsed { remarks, ..Command::Client(settings(pin), output).into() })
        }
        Some(Action::Check(check)) => {
            output.json = check.json;
            let remarks = check.pin.as_ref().map(|_| secrets::shown("--pin", PIN_VARIABLE)).into_iter().collect();
            let config = environment_pin(pin).and_then(|pin| check::settings(check, pin, &proxies));
            let config = config.map_err(|error| usage(error, output))?;
            Ok(Parsed { remarks, ..Command::Check(config, output).into() })
        }
        Some(Action::Demo(demo)) => {
            output.json = demo.json;
            Ok(Command::Demo(output).into())
        }
    }
}

/// What is around a host.
struct HostSurroundings<'a> {
    pin: Option<Pin>,
    token: Option<OsString>,
    public_auth: Option<OsString>,
    proxies: &'a ProxyVariables,
    terminal: bool,
}

/// What is around a client.
struct ClientSurroundings<'a> {
    pin: Option<Pin>,
    proxy_auth: Option<OsString>,
    proxies: &'a ProxyVariables,
    /// Where warnings go.
    remarks: &'a mut Vec<String>,
}

/// Returns the settings, and what the host's owner should know about them.
fn host_config(
    arguments: HostArguments,
    surroundings: HostSurroundings<'_>,
) -> Result<(HostConfig, Vec<String>), UsageError> {
    let HostSurroundings { pin: environment, token, public_auth, proxies, terminal } = surroundings;
    let mut remarks = Vec::new();
    let pin = match (arguments.pin.as_deref(), arguments.pin_file.as_deref()) {
        (Some(_), Some(_)) => return Err(UsageError::PinAndFile),
        (Some(pin), None) => {
            remarks.push(secrets::shown("--pin", &format!("--pin-file or {PIN_VARIABLE}")));
            Some(parse::pin("--pin", pin)?)
        }
        (None, Some(path)) => {
            let (text, remark) = secret_file::read(Secret { flag: "--pin-file", name: "the pin" }, path)?;
            remarks.extend(remark);
            Pin::new(text)
        }
        (None, None) => environment,
    };
    let udp_idle = parse::seconds("--udp-idle", &arguments.reach.udp_idle, 86_400)?;
    let (reach, stun) = reach(&arguments.reach)?;
    let mut services = forwards::services(&arguments.targets)?;
    forwards::proxy_protocol(&arguments.proxy_protocol, &mut services)?;
    if services.is_empty() && arguments.allow.is_empty() && arguments.allow_reverse.is_empty() {
        return Err(UsageError::NothingShared);
    }
    let allow = forwards::allow(&arguments.allow)?;
    let allows = !arguments.allow.is_empty();
    let remarks_of = &mut remarks;
    let context =
        registration::Context { services: &services, allows, token, public_auth, remarks: remarks_of, proxies };
    let server = registration(arguments.registration, context)?;
    let listen = match (arguments.listen.as_deref(), &server) {
        (Some(text), _) => Some(parse::listen(text)?),
        (None, None) => Some(DEFAULT_HOST_LISTEN),
        (None, Some(_)) => None,
    };
    let config = HostConfig {
        reach,
        stun,
        udp_idle,
        services,
        allow,
        allow_reverse: forwards::allow_reverse(&arguments.allow_reverse)?,
        bounds: bounds(&arguments.bounds)?,
        listen,
        server,
        pin,
        once: arguments.once,
        max_sessions: parse::max_sessions(&arguments.max_sessions)?,
        ask: arguments.ask,
    };
    if config.ask && !terminal {
        return Err(UsageError::NobodyToAsk);
    }
    Ok((config, remarks))
}

/// Returns what makes the settings once the pin is known, and the pin if it is known already.
fn client_settings(
    arguments: ClientArguments,
    surroundings: ClientSurroundings<'_>,
) -> Result<(impl FnOnce(Pin) -> ClientConfig + use<>, Option<Pin>), UsageError> {
    let ClientSurroundings { pin: environment, proxy_auth, proxies, remarks } = surroundings;
    let (url, url_pin) = SignalingUrl::parse(&arguments.url)?;
    if arguments.ca.is_some() && !url.tls {
        return Err(UsageError::CaWithoutTls);
    }
    let mut locals = Vec::new();
    let has_others = !arguments.reverse.is_empty()
        || !arguments.dial.is_empty()
        || !arguments.dynamic.is_empty()
        || arguments.pipe.is_some();
    if !arguments.locals.is_empty() || !has_others {
        locals = forwards::locals(&arguments.locals)?;
    }
    for text in &arguments.dial {
        locals.extend(forwards::dial(text)?);
    }
    let mut reverse = Vec::new();
    for text in &arguments.reverse {
        reverse.extend(forwards::reverse(text)?);
    }
    let bounds = bounds(&arguments.bounds)?;
    let dynamic = arguments.dynamic.iter().map(|text| forwards::proxy(text)).collect::<Result<Vec<_>, _>>()?;
    let pipe = arguments.pipe.as_deref().map(forwards::pipe).transpose()?;
    let credentials = match dynamic.is_empty() {
        true => None,
        false => {
            let (flag, file) = (arguments.proxy_auth.as_deref(), arguments.proxy_auth_file.as_deref());
            PROXY_AUTH.pick(flag, file, proxy_auth, remarks)?
        }
    };
    let headers = arguments.headers.iter().map(|header| parse::header(header));
    let headers = choices::headers(headers.collect::<Result<Vec<_>, _>>()?)?;
    if arguments.pin.is_some() {
        remarks.push(secrets::shown("--pin", PIN_VARIABLE));
    }
    let pin = nearest_pin(url_pin, arguments.pin.as_deref(), environment)?;
    let proxy = proxy(&url, proxies)?;
    let udp_idle = parse::seconds("--udp-idle", &arguments.reach.udp_idle, 86_400)?;
    let (reach, stun) = reach(&arguments.reach)?;
    let (ca, once, retry) = (arguments.ca, arguments.once, arguments.retry);
    let once = once || pipe.is_some();
    let settings = move |pin| ClientConfig {
        url,
        pin,
        forwards: locals,
        reverse,
        bounds,
        dynamic,
        credentials,
        pipe,
        udp_idle,
        ca,
        headers,
        proxy,
        once,
        retry,
        reach,
        stun,
    };
    Ok((settings, pin))
}

fn reach(arguments: &ReachArguments) -> Result<(Reach, Vec<Target>), UsageError> {
    let reach = Reach {
        direct: !arguments.relay_only,
        relay: !arguments.no_relay,
        p2p_timeout: parse::seconds("--p2p-timeout", &arguments.p2p_timeout, 120)?,
        grace: parse::seconds("--grace", &arguments.grace, 86_400)?,
        ..Reach::default()
    };
    Ok((reach, stun_servers(&arguments.stun, arguments.no_stun)?))
}

fn bounds(arguments: &BoundsArguments) -> Result<Bounds, UsageError> {
    Ok(Bounds {
        max_streams: arguments.max_streams.as_deref().map(quantity::max_streams).transpose()?,
        rate: arguments.rate.as_deref().map(quantity::rate).transpose()?,
        memory: arguments.memory.as_deref().map(quantity::memory).transpose()?,
    })
}

fn environment_pin(value: Option<OsString>) -> Result<Option<Pin>, UsageError> {
    let text = value.unwrap_or_default().into_string();
    text.map(Pin::new).map_err(|_| UsageError::PinEncoding)
}

#[cfg(test)]
#[path = "command_tests.rs"]
mod tests;
