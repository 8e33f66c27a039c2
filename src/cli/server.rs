//! The arguments of `pinhole server`.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use ipnet::IpNet;

use super::choices::OUTPUT_HELP;
use super::control::{self, ControlArguments, ControlSurroundings};
use super::failure::UsageError;
use super::parse;
use crate::config::{
    ClusterConfig, DEFAULT_MAX_CLIENTS, DEFAULT_MAX_HOSTS, DirectoryAddress, DirectoryConfig, DirectoryUrl, Domain,
    GatewayConfig, ServerAccess, ServerConfig, SignalingUrl, TlsFiles,
};

// No line of these is longer than 80 columns, where clap would wrap it.
pub(super) const EXAMPLES: &str = "\
Examples:
  pinhole server --open                   for a network that is trusted
  pinhole server --tokens tokens.toml --listen :443 --tls-cert c.pem
    --tls-key k.pem --gateway-domain p.example.org --gateway-listen :80

A bare port is one of 127.0.0.1, and :443 is one of every address.";

pub(super) const FILES: &str = "\
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
#[command(after_help = EXAMPLES, after_long_help = format!("{EXAMPLES}\n\n{FILES}\n\nEnvironment:\n{OUTPUT_HELP}"))]
pub struct ServerArguments {
    /// Where hosts, clients and visitors of published services come to
    ///
    /// A port of 127.0.0.1, :PORT for that port of every address, or ADDRESS:PORT; port 0 is any free one. /healthz,
    /// /readyz and /metrics are there, too.
    #[arg(long, value_name = "ADDR", default_value = "0.0.0.0:8080", value_parser = parse::server_listen)]
    pub listen: SocketAddr,
    /// A TOML file that says which tokens may register which ids
    ///
    /// Its format is shown below.
    #[arg(long, value_name = "FILE")]
    pub tokens: Option<PathBuf>,
    /// Let anybody register any id that is free
    ///
    /// Either this or --tokens is needed.
    #[arg(long)]
    pub open: bool,
    /// A PEM file with the certificate of this server and those above it
    ///
    /// The server's own comes first, then those that lead to an authority. With it and --tls-key, the server speaks TLS
    /// at --listen; at --gateway-listen visitors may use it, or not.
    #[arg(long, value_name = "FILE")]
    pub tls_cert: Option<PathBuf>,
    /// A PEM file with the private key of the certificate
    #[arg(long, value_name = "FILE")]
    pub tls_key: Option<PathBuf>,
    /// How many hosts may be registered at a time
    ///
    /// From 1 to 1000000.
    #[arg(
        long,
        value_name = "N",
        default_value_t = DEFAULT_MAX_HOSTS,
        allow_hyphen_values = true,
        value_parser = parse::server_count
    )]
    pub max_hosts: usize,
    /// How many clients may be connected at a time
    ///
    /// Those of all hosts together, from 1 to 1000000.
    #[arg(
        long,
        value_name = "N",
        default_value_t = DEFAULT_MAX_CLIENTS,
        allow_hyphen_values = true,
        value_parser = parse::server_count
    )]
    pub max_clients: usize,
    /// Believe X-Forwarded-For, -Proto and -Host of this proxy in front (repeatable)
    ///
    /// CIDR is the address that the proxy connects from, or a network such as 10.0.0.0/8.
    #[arg(long, value_name = "CIDR", value_parser = parse::trusted_proxy)]
    pub trusted_proxy: Vec<IpNet>,
    /// What is printed on stdout: text, or json for one object a line
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
    /// Print these settings as a file for pinhole run, and end
    ///
    /// Nothing is started.
    #[arg(long)]
    pub print_config: bool,
    // A heading is for everything after it.
    /// Publish services of hosts by HTTP, each at http(s)://ID.DOMAIN
    #[arg(long, value_name = "DOMAIN", help_heading = "What else it does", value_parser = parse::domain)]
    pub gateway_domain: Option<Domain>,
    /// Where visitors come to beside --listen (repeatable)
    #[arg(long, value_name = "ADDR", help_heading = "What else it does", value_parser = parse::server_listen)]
    pub gateway_listen: Vec<SocketAddr>,
    /// Where an HTTP proxy listens that leads to what hosts --allow
    ///
    /// It serves those whose token may dial.
    #[arg(long, value_name = "ADDR", help_heading = "What else it does", value_parser = parse::server_listen)]
    pub proxy_listen: Option<SocketAddr>,
    /// Another server, at its --peer-listen; hosts of either are reached through both (repeatable)
    ///
    /// Every server of a cluster names every other, or is named by it.
    #[arg(long, value_name = "URL", help_heading = "Several servers as one", value_parser = parse::server_url)]
    pub peer: Vec<SignalingUrl>,
    /// Where other servers come to
    ///
    /// What they say is sealed, with or without TLS.
    #[arg(long, value_name = "ADDR", help_heading = "Several servers as one", value_parser = parse::server_listen)]
    pub peer_listen: Option<SocketAddr>,
    /// A file with the secret of the cluster, 16 characters or more, the same at every server
    ///
    /// With several, one a line, the first proves and all verify, so that it can be replaced server by server.
    #[arg(long, value_name = "FILE", help_heading = "Several servers as one")]
    pub cluster_secret_file: Option<PathBuf>,
    /// A Redis or a Valkey in which the servers find each other, as redis://USER:PASSWORD@HOST:PORT/DATABASE
    ///
    /// It takes the place of --peer where servers or hosts are many. All but HOST may be left out. rediss:// uses TLS.
    #[arg(
        long,
        value_name = "DIRECTORY",
        help_heading = "Several servers as one",
        conflicts_with = "directory_file",
        value_parser = parse::directory
    )]
    pub directory: Option<DirectoryUrl>,
    /// A file with the URL of the directory in its first line, which keeps the password secret
    #[arg(long, value_name = "FILE", help_heading = "Several servers as one")]
    pub directory_file: Option<PathBuf>,
    /// Where other servers come to this one: the URL of its --peer-listen, as they see it
    ///
    /// The directory tells them.
    #[arg(long, value_name = "URL", help_heading = "Several servers as one", value_parser = parse::server_url)]
    pub advertise: Option<SignalingUrl>,
    /// How it is looked at and steered.
    #[command(flatten, next_help_heading = "While it runs")]
    pub control: ControlArguments,
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

/// Turns the arguments into settings. What the owner should know goes to `remarks`.
pub(super) fn settings(
    arguments: ServerArguments,
    surroundings: ControlSurroundings,
    remarks: &mut Vec<String>,
) -> Result<ServerConfig, UsageError> {
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
    let gateway = match arguments.gateway_domain {
        Some(domain) => Some(GatewayConfig { domain, listen: arguments.gateway_listen }),
        None if arguments.gateway_listen.is_empty() => None,
        None => return Err(UsageError::ListenWithoutDomain),
    };
    let config = ServerConfig {
        listen: arguments.listen,
        tls,
        access,
        max_hosts: arguments.max_hosts,
        max_clients: arguments.max_clients,
        trusted_proxies: arguments.trusted_proxy,
        gateway,
        proxy_listen: arguments.proxy_listen,
        control: control::settings(arguments.control, "server", surroundings, remarks)?,
        cluster: cluster(ClusterArguments {
            secret_file: arguments.cluster_secret_file,
            peers: arguments.peer,
            listen: arguments.peer_listen,
            directory: directory(arguments.directory, arguments.directory_file, arguments.advertise)?,
        })?,
    };
    match twice(&config) {
        Some(address) => Err(UsageError::SameListen(address)),
        None => Ok(config),
    }
}

/// The arguments about other servers.
struct ClusterArguments {
    secret_file: Option<PathBuf>,
    peers: Vec<SignalingUrl>,
    listen: Option<SocketAddr>,
    directory: Option<DirectoryConfig>,
}

/// Turns the arguments about other servers into settings.
fn cluster(arguments: ClusterArguments) -> Result<Option<ClusterConfig>, UsageError> {
    let ClusterArguments { secret_file, peers, listen, directory } = arguments;
    if directory.is_some() && listen.is_none() {
        return Err(UsageError::DirectoryWithoutListen);
    }
    match (secret_file, peers.is_empty() && listen.is_none()) {
        (Some(file), false) => Ok(Some(ClusterConfig { peers, listen, directory, ..ClusterConfig::new(file) })),
        (None, true) => Ok(None),
        (Some(_), true) => Err(UsageError::ClusterWithoutPeers),
        (None, false) => Err(UsageError::ClusterWithoutSecret),
    }
}

/// Turns the arguments about the directory into settings.
fn directory(
    url: Option<DirectoryUrl>,
    file: Option<PathBuf>,
    advertise: Option<SignalingUrl>,
) -> Result<Option<DirectoryConfig>, UsageError> {
    let address = url.map(DirectoryAddress::Url).or(file.map(DirectoryAddress::File));
    match (address, advertise) {
        (Some(address), Some(advertise)) => Ok(Some(DirectoryConfig::new(address, advertise))),
        (None, None) => Ok(None),
        (Some(_), None) => Err(UsageError::DirectoryWithoutAdvertise),
        (None, Some(_)) => Err(UsageError::AdvertiseWithoutDirectory),
    }
}

/// Finds an address that two things are to listen on.
fn twice(config: &ServerConfig) -> Option<SocketAddr> {
    let mut known = vec![config.listen];
    let gateway = config.gateway.iter().flat_map(|gateway| &gateway.listen);
    let peers = config.cluster.iter().flat_map(|cluster| &cluster.listen);
    let control = config.control.iter().flat_map(|control| &control.listen);
    for address in gateway.chain(&config.proxy_listen).chain(control).chain(peers) {
        if address.port() != 0 && known.contains(address) {
            return Some(*address);
        }
        known.push(*address);
    }
    None
}

#[cfg(test)]
#[path = "server_tests.rs"]
mod tests;
