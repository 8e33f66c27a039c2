//! The arguments of a host that clients reach through a server.

use std::ffi::OsString;
use std::iter;
use std::path::PathBuf;

use clap::Args;

use super::choices;
use super::failure::UsageError;
use super::parse;
use super::problem::{Problem, WrongValue};
use super::secrets::{PUBLIC_AUTH, TOKEN};
use crate::address::Endpoint;
use crate::config::{PublicService, Registration, SharedService};
use crate::http::field::HeaderField;
use crate::http::proxy::ProxyVariables;
use crate::signaling::rendezvous::{HostId, Token};
use crate::signaling::url::SignalingUrl;
use crate::socks::Credentials;

/// Most names of services that an error lists.
const MAX_LISTED: usize = 16;

/// The server that a host registers at, and what it is told.
#[derive(Debug, Default, Args)]
pub struct RegistrationArguments {
    /// Be reached through a pinhole server, such as wss://p.example.org (repeatable)
    ///
    /// Clients join at URL/ws/ID; the host prints the command. It registers again when the connection was lost. No port
    /// is listened on unless --listen is given. Several are servers of one cluster: the host is at one of them, the
    /// first if that answers, and goes to any other when it loses that. All of them see the token.
    #[arg(long, value_name = "URL", value_parser = parse::server_url)]
    pub server: Vec<SignalingUrl>,
    /// The name of this host on the server
    ///
    /// 3 to 63 of a to z, 0 to 9 and hyphen, without a hyphen at either end.
    #[arg(long, value_name = "ID", value_parser = parse::host_id)]
    pub id: Option<HostId>,
    /// The token that lets this host have that name [env: PINHOLE_TOKEN]
    ///
    /// Others on this machine can read it in the list of processes; --token-file and PINHOLE_TOKEN keep it out of
    /// there. An open server wants none.
    #[arg(long, value_name = "TOKEN", value_parser = parse::token)]
    pub token: Option<Token>,
    /// A file with the token in its first line
    #[arg(long, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    /// Let anybody reach this service by HTTP through the server, without the pin
    ///
    /// NAME is one of a TCP or unix service. The service is at http(s)://ID.DOMAIN, where DOMAIN is the server's
    /// --gateway-domain; the host prints the URL.
    #[arg(long, value_name = "NAME")]
    pub public: Option<String>,
    /// The login that visitors of that service need [env: PINHOLE_PUBLIC_AUTH]
    #[arg(long, value_name = "USER:PASSWORD", value_parser = parse::login)]
    pub public_auth: Option<Credentials>,
    /// A file with that login in its first line
    #[arg(long, value_name = "FILE")]
    pub public_auth_file: Option<PathBuf>,
    /// Let those whose token may dial reach what --allow has, through the server's proxy
    #[arg(long)]
    pub server_dial: bool,
    /// A PEM file of certificates to trust instead of the system's
    ///
    /// They are those of authorities, or the server's own. For wss:// only.
    #[arg(long, value_name = "FILE")]
    pub ca: Option<PathBuf>,
    /// A further header of the request to the server (repeatable)
    #[arg(long = "header", value_name = "NAME: VALUE", value_parser = parse::header)]
    pub headers: Vec<HeaderField>,
    /// Wait for a server that cannot be reached yet, instead of ending
    ///
    /// For units that start at boot.
    #[arg(long)]
    pub retry: bool,
}

/// What a registration takes from other arguments and from the environment.
pub(super) struct Context<'a> {
    /// What it shares.
    pub(super) services: &'a [SharedService],
    /// It has an access list that is not empty.
    pub(super) allows: bool,
    /// The value of `PINHOLE_TOKEN`; empty counts as unset.
    pub(super) token: Option<OsString>,
    /// The value of `PINHOLE_PUBLIC_AUTH`; empty counts as unset.
    pub(super) public_auth: Option<OsString>,
    /// Where warnings go.
    pub(super) remarks: &'a mut Vec<String>,
    /// The variables that name proxies.
    pub(super) proxies: &'a ProxyVariables,
}

/// Turns the arguments into a registration, if they name a server.
pub(super) fn registration(
    arguments: RegistrationArguments,
    context: Context<'_>,
) -> Result<Option<Registration>, UsageError> {
    if let (true, Some(flag)) = (arguments.server.is_empty(), of_a_server(&arguments)) {
        return Err(UsageError::WithoutServer(flag));
    }
    let mut servers = arguments.server.into_iter();
    let Some(server) = servers.next() else { return Ok(None) };
    let others = choices::others(servers, context.proxies)?;
    let id = arguments.id.ok_or(UsageError::ServerWithoutId)?;
    let token = TOKEN.pick(arguments.token, arguments.token_file.as_deref(), context.token, context.remarks)?;
    let (login, file) = (arguments.public_auth, arguments.public_auth_file.as_deref());
    let public = match arguments.public.as_deref() {
        Some(name) => {
            let auth = PUBLIC_AUTH.pick(login, file, context.public_auth, context.remarks)?;
            Some(PublicService { service: public(name, context.services)?, auth })
        }
        None if login.is_some() || file.is_some() => return Err(UsageError::AuthWithoutPublic),
        None => None,
    };
    if arguments.server_dial && !context.allows {
        return Err(UsageError::DialWithoutAllow);
    }
    Ok(Some(Registration {
        ca: choices::ca(arguments.ca, iter::once(&server).chain(others.iter().map(|other| &other.url)))?,
        headers: choices::headers(arguments.headers)?,
        proxy: choices::proxy(&server, context.proxies)?,
        server,
        others,
        id,
        token,
        public,
        dial: arguments.server_dial,
        retry: arguments.retry,
    }))
}

/// Returns the first argument that means nothing without a server.
fn of_a_server(arguments: &RegistrationArguments) -> Option<&'static str> {
    let RegistrationArguments {
        server: _,
        id,
        token,
        token_file,
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
        (token_file.is_some(), "--token-file"),
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

/// Finds the service that is published.
fn public(name: &str, services: &[SharedService]) -> Result<usize, UsageError> {
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
    Err(WrongValue::new(name, problem, hint).of("--public"))
}

#[cfg(test)]
#[path = "registration_tests.rs"]
mod tests;
