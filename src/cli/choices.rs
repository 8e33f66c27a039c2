//! What several commands have alike: arguments and what is made of them, and parts of the help.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::failure::UsageError;
use super::{parse, quantity};
use crate::address::Target;
use crate::config::{Bounds, OtherServer, Rate, default_stun_servers};
use crate::http::field::{HeaderField, MAX_FIELDS};
use crate::http::proxy::{Proxy, ProxyVariables};
use crate::session::Reach;
use crate::signaling::pin::Pin;
use crate::signaling::url::SignalingUrl;

/// Name of the environment variable that gives the pin on either side.
pub(super) const PIN_VARIABLE: &str = "PINHOLE_PIN";

/// Name of the environment variable that gives a host's token.
pub(super) const TOKEN_VARIABLE: &str = "PINHOLE_TOKEN";

/// The end of the long help of every command.
pub(super) const OUTPUT_HELP: &str = "  RUST_LOG              what is logged, as in RUST_LOG=pinhole::net=debug
  NO_COLOR              if it is set, nothing is printed in colours

stdout carries what happens, stderr carries warnings, errors and logs. No log
holds a pin, a token or a password.
Exit codes: 0 done, 1 failed, 2 wrong usage.";

/// The variables that name proxies.
pub(super) const PROXY_HELP: &str = "  HTTPS_PROXY           the HTTP proxy that signaling over wss:// goes through,
                        http://user:password@host:port if it wants a login
  http_proxy            the same for ws://; in small letters only
  ALL_PROXY             the same for both, where neither of these is set
  NO_PROXY              what is reached without a proxy, as for curl; addresses
                        of this machine always are, and so is all that is
                        tunnelled";

/// What a session may use, for either side.
#[derive(Debug, Default, Args)]
pub struct BoundsArguments {
    /// How fast a session may be in each direction, such as 20mbit
    ///
    /// In bit, kbit, mbit or gbit a second, or in bytes, such as 2.5MB/s; from 64kbit to 100gbit. Without it there is
    /// no bound.
    #[arg(long, value_name = "RATE", value_parser = quantity::rate)]
    pub rate: Option<Rate>,
    /// How much data the streams of a session may hold, such as 64MiB [default: 448MiB]
    ///
    /// From 4MiB to 64GiB, for all streams together. With less there are fewer streams, and each is slower over long
    /// distances.
    #[arg(long, value_name = "SIZE", value_parser = quantity::memory)]
    pub memory: Option<usize>,
    /// How many streams the other side may have open at once [default: 4096]
    ///
    /// From 1 to 16384. Each connection is a stream.
    #[arg(long, value_name = "N", value_parser = quantity::max_streams)]
    pub max_streams: Option<u16>,
    /// How long a UDP flow may be idle before it ends
    ///
    /// From 1 to 86400 seconds.
    #[arg(
        long,
        value_name = "SECONDS",
        default_value = "60",
        allow_hyphen_values = true,
        value_parser = parse::seconds::<86_400>
    )]
    pub udp_idle: Duration,
}

/// How the other side is reached, for either side.
#[derive(Debug, Default, Args)]
pub struct ReachArguments {
    /// A STUN server to ask instead of Google's (repeatable)
    ///
    /// HOST:PORT, stun:HOST:PORT, or stun:HOST for port 3478. STUN servers tell how this machine is seen from outside.
    /// Without this, stun.l.google.com:19302 and stun1.l.google.com:19302 are asked.
    #[arg(long, value_name = "HOST:PORT", conflicts_with = "no_stun", value_parser = parse::stun_server)]
    pub stun: Vec<Target>,
    /// Ask no STUN server: only addresses of this machine are offered
    #[arg(long)]
    pub no_stun: bool,
    /// Use a direct path or none: relay nothing over the signaling connection
    #[arg(long, conflicts_with = "relay_only")]
    pub no_relay: bool,
    /// Try no direct path: for networks without UDP
    #[arg(long)]
    pub relay_only: bool,
    /// How long a direct path is looked for
    ///
    /// From 1 to 120 seconds.
    #[arg(
        long,
        value_name = "SECONDS",
        default_value = "10",
        allow_hyphen_values = true,
        value_parser = parse::seconds::<120>
    )]
    pub p2p_timeout: Duration,
    /// How long open connections wait for a lost path
    ///
    /// From 1 to 86400 seconds. Then they are reset.
    #[arg(
        long,
        value_name = "SECONDS",
        default_value = "60",
        allow_hyphen_values = true,
        value_parser = parse::seconds::<86_400>
    )]
    pub grace: Duration,
}

/// Picks the pin of the URL, or else the other one.
pub(super) fn nearest_pin(url: Option<Pin>, other: Option<Pin>) -> Result<Option<Pin>, UsageError> {
    match (url, other) {
        (Some(url), Some(other)) if url != other => Err(UsageError::TwoPins),
        (url, other) => Ok(url.or(other)),
    }
}

/// Refuses certificates to trust where there is no TLS.
pub(super) fn ca<'a>(
    file: Option<PathBuf>,
    urls: impl IntoIterator<Item = &'a SignalingUrl>,
) -> Result<Option<PathBuf>, UsageError> {
    let has_tls = urls.into_iter().any(SignalingUrl::tls);
    if file.is_some() && !has_tls { Err(UsageError::CaWithoutTls) } else { Ok(file) }
}

/// Finds the proxies that further servers are reached through.
pub(super) fn others(
    urls: impl IntoIterator<Item = SignalingUrl>,
    proxies: &ProxyVariables,
) -> Result<Vec<OtherServer>, UsageError> {
    let other = |url| {
        let proxy = proxy(&url, proxies)?;
        Ok(OtherServer { proxy, ..OtherServer::new(url) })
    };
    urls.into_iter().map(other).collect()
}

/// Bounds what the fields of a request are together.
pub(super) fn headers(fields: Vec<HeaderField>) -> Result<Vec<HeaderField>, UsageError> {
    match fields.iter().map(HeaderField::size).sum::<usize>() {
        0..=MAX_FIELDS => Ok(fields),
        _ => Err(UsageError::LongHeaders),
    }
}

/// Finds the proxy that signaling goes through.
pub(super) fn proxy(url: &SignalingUrl, proxies: &ProxyVariables) -> Result<Option<Proxy>, UsageError> {
    Ok(proxies.find(url.tls(), url.host(), url.port())?)
}

/// Picks the STUN servers that were named, or else those that are asked by default, or none.
pub(super) fn stun_servers(named: Vec<Target>, none: bool) -> Vec<Target> {
    match (none, named.is_empty()) {
        (true, _) => Vec::new(),
        (false, true) => default_stun_servers(),
        (false, false) => named,
    }
}

/// Returns the ways to the other side that are tried.
pub(super) fn reach(arguments: &ReachArguments) -> Reach {
    Reach {
        direct: !arguments.relay_only,
        relay: !arguments.no_relay,
        p2p_timeout: arguments.p2p_timeout,
        grace: arguments.grace,
        ..Reach::default()
    }
}

/// Returns what a session may use.
pub(super) fn bounds(arguments: &BoundsArguments) -> Bounds {
    Bounds { max_streams: arguments.max_streams, rate: arguments.rate, memory: arguments.memory }
}
