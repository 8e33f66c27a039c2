//! The arguments of a host that clients reach through a server.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::Args;

use super::choices::{headers, proxy};
use super::failure::UsageError;
use super::parse;
use super::problem::{ArgumentError, Problem};
use super::secrets;
use crate::address::Endpoint;
use crate::config::{PublicService, Registration, SharedService};
use crate::http::proxy::ProxyVariables;
use crate::signaling::rendezvous::{HostId, Token};
use crate::signaling::url::SignalingUrl;

/// Name of the environment variable that gives a host's token.
pub const TOKEN_VARIABLE: &str = "PINHOLE_TOKEN";

/// Most names of services that an error lists.
const MAX_LISTED: usize = 16;

/// Where a host is registered.
#[derive(Debug, Default, Args)]
pub struct RegistrationArguments {
    /// Be reached through a pinhole server, such as wss://p.example.org; no port is listened on without --listen
    #[arg(long, value_name = "URL")]
    pub server: Option<String>,
    /// The name that this host has there: 3 to 63 of a to z, 0 to 9 and hyphen
    #[arg(long, value_name = "ID")]
    pub id: Option<String>,
    /// What the server lets it have that name for; better set by PINHOLE_TOKEN, which nobody sees in a list of
    /// processes
    #[arg(long, value_name = "TOKEN")]
    pub token: Option<String>,
    /// Let anybody reach this service by HTTP through the server's gateway, without the pin
    #[arg(long, value_name = "NAME")]
    pub public: Option<String>,
    /// Have its visitors log in
    #[arg(long, value_name = "USER:PASSWORD")]
    pub public_auth: Option<String>,
    /// A file with that in its first line; PINHOLE_PUBLIC_AUTH sets it, too
    #[arg(long, value_name = "FILE")]
    pub public_auth_file: Option<PathBuf>,
    /// Let holders of a token that may dial reach what --allow has, through the server
    #[arg(long)]
    pub server_dial: bool,
    /// A PEM file of certificates to trust instead of the system's: authorities', or the server's own
    #[arg(long, value_name = "FILE")]
    pub ca: Option<PathBuf>,
    /// A further header of the WebSocket request; may be given more than once
    #[arg(long = "header", value_name = "NAME: VALUE")]
    pub headers: Vec<String>,
    /// Wait for a server that cannot be reached yet, instead of ending: for units that start at boot
    #[arg(long)]
    pub retry: bool,
}

/// What the other arguments of the host and its environment say.
pub(super) struct Context<'a> {
    /// What it shares.
    pub(super) services: &'a [SharedService],
    /// It has an access list that is not empty.
    pub(super) allows: bool,
    /// The value of [`TOKEN_VARIABLE`]; empty counts as unset.
    pub(super) token: Option<OsString>,
    /// The value of `PINHOLE_PUBLIC_AUTH`; empty counts as unset.
    pub(super) public_auth: Option<OsString>,
    /// Where warnings go.
    pub(super) remarks: &'a mut Vec<String>,
    /// The variables that name proxies.
    pub(super) proxies: &'a ProxyVariables,
}

/// Turns the arguments into what is asked of a server, if there is one.
pub(super) fn registration(
    arguments: RegistrationArguments,
    context: Context<'_>,
) -> Result<Option<Registration>, UsageError> {
    let Some(server) = &arguments.server else {
        return match of_a_server(&arguments) {
            Some(flag) => Err(UsageError::WithoutServer(flag)),
            None => Ok(None),
        };
    };
    let server = SignalingUrl::parse_server(server).map_err(UsageError::Server)?;
    let id = id(arguments.id.as_deref().ok_or(UsageError::ServerWithoutId)?)?;
    if arguments.token.is_some() {
        context.remarks.push(secrets::shown("--token", TOKEN_VARIABLE));
    }
    let token = token(arguments.token, context.token)?;
    let (login, file) = (arguments.public_auth.as_deref(), arguments.public_auth_file.as_deref());
    let public = match arguments.public.as_deref() {
        Some(name) => {
            let auth = secrets::PUBLIC_AUTH.pick(login, file, context.public_auth, context.remarks)?;
            Some(PublicService { service: public(name, context.services)?, auth })
        }
        None if login.is_some() || file.is_some() => return Err(UsageError::AuthWithoutPublic),
        None => None,
    };
    if arguments.server_dial && !context.allows {
        return Err(UsageError::DialWithoutAllow);
    }
    if arguments.ca.is_some() && !server.tls {
        return Err(UsageError::CaWithoutTls);
    }
    let fields = arguments.headers.iter().map(|header| parse::header(header)).collect::<Result<Vec<_>, _>>()?;
    let headers = headers(fields)?;
    let (proxy, ca, dial) = (proxy(&server, context.proxies)?, arguments.ca, arguments.server_dial);
    let retry = arguments.retry;
    Ok(Some(Registration { server, id, token, public, dial, ca, headers, proxy, retry }))
}

/// The first argument that means nothing without a server.
fn of_a_server(arguments: &RegistrationArguments) -> Option<&'static str> {
    let RegistrationArguments {
        server: _,
        id,
        token,
        public,
        public_auth,
        public_auth_file,
        server_dial,
        ca,
        headers,
        retry,
    } = arguments;
    let given = [
        (id.is_some(), "--id"),
        (token.is_some(), "--token"),
        (public.is_some(), "--public"),
        (public_auth.is_some(), "--public-auth"),
        (public_auth_file.is_some(), "--public-auth-file"),
        (*server_dial, "--server-dial"),
        (ca.is_some(), "--ca"),
        (!headers.is_empty(), "--header"),
        (*retry, "--retry"),
    ];
    given.into_iter().find(|(is_given, _)| *is_given).map(|(_, flag)| flag)
}

fn id(text: &str) -> Result<HostId, ArgumentError> {
    text.parse::<HostId>()
        .map_err(|problem| ArgumentError::new("--id", text, problem, "give a name, for example my-host"))
}

/// Picks the token of the flag, or else of the environment.
fn token(flag: Option<String>, environment: Option<OsString>) -> Result<Option<Token>, UsageError> {
    let wrong = |origin| move |error| UsageError::Token { origin, error };
    if let Some(text) = flag {
        return text.parse().map(Some).map_err(wrong("--token"));
    }
    let text = environment.unwrap_or_default().into_string().map_err(|_| UsageError::TokenEncoding)?;
    if text.is_empty() { Ok(None) } else { text.parse().map(Some).map_err(wrong(TOKEN_VARIABLE)) }
}

/// Finds the service that is published.
fn public(name: &str, services: &[SharedService]) -> Result<usize, ArgumentError> {
    let hint = "name a TCP or unix service, for example web for a TARGET web=8080, or 8080 for a TARGET 8080";
    let found = services.iter().position(|service| service.name == name);
    let problem = match found.map(|index| (index, &services[index].endpoint)) {
        Some((index, Endpoint::Tcp(_) | Endpoint::Unix(_))) => return Ok(index),
        Some((_, Endpoint::Udp(_))) => Problem::PublicUdp,
        None if services.is_empty() => Problem::NoServices,
        None => {
            let mut names: Vec<&str> = services.iter().map(|service| service.name.as_str()).take(MAX_LISTED).collect();
            if services.len() > MAX_LISTED {
                names.push("…");
            }
            Problem::NoneOf(names.join(", "))
        }
    };
    Err(ArgumentError::new("--public", name, problem, hint))
}

#[cfg(test)]
#[path = "registration_tests.rs"]
mod tests;
