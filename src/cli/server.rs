//! The arguments of `pinhole server`.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use ipnet::IpNet;

use super::failure::UsageError;
use super::parse;
use super::problem::{ArgumentError, Problem};
use crate::address::{self, AddressError, Host, digits};
use crate::config::{DEFAULT_MAX_CLIENTS, DEFAULT_MAX_HOSTS, GatewayConfig, ServerAccess, ServerConfig, TlsFiles};
use crate::http::forwarded;

/// Most hosts and most clients that a server may be told to have at a time: more than a process has descriptors.
const MAX_COUNT: usize = 1_000_000;

/// Longest domain, in bytes: with the longest id and a dot before it, it is still a name (RFC 1035, section 2.3.4).
const MAX_DOMAIN: usize = 253 - 63 - 1;

// No line is longer than 80 columns, where clap would wrap it.
const EXAMPLES: &str = "\
Examples:
  pinhole server --open                   for a network that is trusted
  pinhole server --tokens tokens.toml --listen :443 --tls-cert c.pem
    --tls-key k.pem --gateway-domain p.example.org --gateway-listen :80

A bare port is one of 127.0.0.1, and :443 is one of every address.

The file of tokens has an entry for each; printf %s \"$TOKEN\" | sha256sum hashes:
  [[token]]
  hash = \"<SHA-256 of the token, in hex>\"
  ids = [\"blog\", \"team-*\"]
  dial = false        # may its holder dial through --proxy-listen
  max-hosts = 10      # at a time
  max-clients = 100   # of each host at a time

A SIGHUP has it read tokens and certificate again.";

/// Arguments of `pinhole server`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct ServerArguments {
    /// Where hosts and clients come to, and visitors of published services
    #[arg(long, value_name = "ADDR", default_value = "0.0.0.0:8080")]
    pub listen: String,
    /// A PEM file with this server's certificate, followed by those that lead to an authority
    #[arg(long, value_name = "FILE")]
    pub tls_cert: Option<PathBuf>,
    /// A PEM file with the certificate's private key
    #[arg(long, value_name = "FILE")]
    pub tls_key: Option<PathBuf>,
    /// A TOML file that says which tokens may register which ids
    #[arg(long, value_name = "FILE")]
    pub tokens: Option<PathBuf>,
    /// Let anybody register any id that is free
    #[arg(long)]
    pub open: bool,
    /// How many hosts may be registered at a time
    #[arg(long, value_name = "N", allow_hyphen_values = true, help = format!(
        "How many hosts may be registered at a time [default: {DEFAULT_MAX_HOSTS}]"
    ))]
    pub max_hosts: Option<String>,
    /// How many clients may be connected at a time, those of all hosts together
    #[arg(long, value_name = "N", allow_hyphen_values = true, help = format!(
        "How many clients may be connected at a time, those of all hosts together [default: {DEFAULT_MAX_CLIENTS}]"
    ))]
    pub max_clients: Option<String>,
    /// Publish services of hosts by HTTP, each as ID.DOMAIN
    #[arg(long, value_name = "DOMAIN")]
    pub gateway_domain: Option<String>,
    /// Where visitors come to beside --listen; may be given more than once
    #[arg(long, value_name = "ADDR")]
    pub gateway_listen: Vec<String>,
    /// Believe X-Forwarded-For, -Proto and -Host of a proxy in front: its address, or a network such as 10.0.0.0/8; may
    /// be given more than once
    #[arg(long, value_name = "CIDR")]
    pub trusted_proxy: Vec<String>,
    /// Be a proxy there through which holders of tokens that may dial reach what hosts --allow
    #[arg(long, value_name = "ADDR")]
    pub proxy_listen: Option<String>,
    /// Where this server is administered
    #[arg(long, value_name = "ADDR")]
    pub admin_listen: Option<String>,
    /// What stdout carries: text, which is sentences, or json, which is one object a line
    #[arg(
        long,
        value_name = "FORMAT",
        value_enum,
        default_value_t = LogFormat::Text,
        hide_possible_values = true,
        conflicts_with = "json"
    )]
    pub log_format: LogFormat,
    /// The same as --log-format json
    #[arg(long)]
    pub json: bool,
}

/// What is printed on stdout.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// Sentences.
    Text,
    /// One JSON object a line.
    Json,
}

impl ServerArguments {
    /// Tells whether events are printed as JSON.
    pub(super) fn wants_json(&self) -> bool {
        self.json || self.log_format == LogFormat::Json
    }
}

/// Turns the arguments into settings.
pub(super) fn settings(arguments: ServerArguments) -> Result<ServerConfig, UsageError> {
    let access = match (arguments.tokens, arguments.open) {
        (Some(file), false) => ServerAccess::Tokens(file),
        (None, true) => ServerAccess::Open,
        (None, false) => return Err(UsageError::NoAccess),
        (Some(_), true) => return Err(UsageError::TwoAccesses),
    };
    let tls = match (arguments.tls_cert, arguments.tls_key) {
        (Some(certificate), Some(key)) => Some(TlsFiles { certificate, key }),
        (None, None) => None,
        (Some(_), None) => return Err(UsageError::HalfOfTls("--tls-cert", "--tls-key")),
        (None, Some(_)) => return Err(UsageError::HalfOfTls("--tls-key", "--tls-cert")),
    };
    let gateway_listen = arguments.gateway_listen.iter().map(|text| listening_address("--gateway-listen", text));
    let gateway_listen = gateway_listen.collect::<Result<Vec<_>, _>>()?;
    let gateway = match arguments.gateway_domain.as_deref() {
        Some(text) => Some(GatewayConfig { domain: domain(text)?, listen: gateway_listen }),
        None if gateway_listen.is_empty() => None,
        None => return Err(UsageError::ListenWithoutDomain),
    };
    let optional = |argument, text: Option<&str>| text.map(|text| listening_address(argument, text)).transpose();
    let count = |argument, text: Option<&str>, default| text.map_or(Ok(default), |text| count(argument, text));
    let config = ServerConfig {
        listen: listening_address("--listen", &arguments.listen)?,
        tls,
        access,
        max_hosts: count("--max-hosts", arguments.max_hosts.as_deref(), DEFAULT_MAX_HOSTS)?,
        max_clients: count("--max-clients", arguments.max_clients.as_deref(), DEFAULT_MAX_CLIENTS)?,
        trusted_proxies: arguments.trusted_proxy.iter().map(|text| trusted_proxy(text)).collect::<Result<_, _>>()?,
        gateway,
        proxy_listen: optional("--proxy-listen", arguments.proxy_listen.as_deref())?,
        admin_listen: optional("--admin-listen", arguments.admin_listen.as_deref())?,
    };
    match twice(&config) {
        Some(address) => Err(UsageError::SameListen(address)),
        None => Ok(config),
    }
}

/// Finds an address that two things are to listen on.
fn twice(config: &ServerConfig) -> Option<SocketAddr> {
    let mut known = vec![config.listen];
    let gateway = config.gateway.iter().flat_map(|gateway| &gateway.listen);
    for address in gateway.chain(&config.proxy_listen).chain(&config.admin_listen) {
        if address.port() != 0 && known.contains(address) {
            return Some(*address);
        }
        known.push(*address);
    }
    None
}

/// Parses where something listens, as a host's `--listen`, and `:80` for that port of every address.
fn listening_address(argument: &'static str, text: &str) -> Result<SocketAddr, ArgumentError> {
    let hint =
        "give an address of this machine, for example :443 for every one, 0.0.0.0:443, or 443 for 127.0.0.1 alone";
    parse::wide_address(text).map_err(|problem| ArgumentError::new(argument, text, problem, hint))
}

fn trusted_proxy(text: &str) -> Result<IpNet, ArgumentError> {
    let hint = "give the addresses that the proxy connects from, for example 127.0.0.1 for one on this machine";
    forwarded::network(text).map_err(|error| ArgumentError::new("--trusted-proxy", text, Problem::Network(error), hint))
}

fn count(argument: &'static str, text: &str) -> Result<usize, ArgumentError> {
    digits(text).filter(|number| (1..=MAX_COUNT).contains(number)).ok_or_else(|| {
        let problem = Problem::Bounds("1", "1000000");
        ArgumentError::new(argument, text, problem, "give a whole number, for example 10000")
    })
}

/// Parses a domain, and returns it in small letters and without dots at its ends.
fn domain(text: &str) -> Result<String, ArgumentError> {
    let name = text.trim().to_ascii_lowercase();
    let name = name.strip_prefix('.').unwrap_or(&name);
    let name = name.strip_suffix('.').unwrap_or(name);
    let is_label = |label: &str| !label.ends_with('-') && !label.contains('_');
    let problem = match address::host(name) {
        Ok(Host::Name(name)) if name.len() <= MAX_DOMAIN && name.split('.').all(is_label) => return Ok(name.to_owned()),
        Ok(Host::Address(_)) => Problem::DomainAddress,
        Err(AddressError::NotAscii) => AddressError::NotAscii.into(),
        Ok(Host::Name(_) | Host::Default) | Err(_) => Problem::Domain,
    };
    let hint = "give the name under which the hosts have theirs, for example p.example.org for blog.p.example.org";
    Err(ArgumentError::new("--gateway-domain", text, problem, hint))
}

#[cfg(test)]
#[path = "server_tests.rs"]
mod tests;
