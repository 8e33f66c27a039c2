//! What several commands choose alike: a pin, a proxy, STUN servers.

use super::failure::UsageError;
use super::parse;
use crate::address::Target;
use crate::config::default_stun_servers;
use crate::http::field::{HeaderField, MAX_FIELDS};
use crate::http::proxy::{Proxy, ProxyVariables};
use crate::signaling::pin::Pin;
use crate::signaling::url::SignalingUrl;

/// Picks the pin of the URL, or else of the flag, or else of the environment.
pub(super) fn nearest_pin(
    url: Option<Pin>,
    flag: Option<&str>,
    environment: Option<Pin>,
) -> Result<Option<Pin>, UsageError> {
    let flag = flag.map(|pin| parse::pin("--pin", pin)).transpose()?;
    match (url, flag) {
        (Some(url), Some(flag)) if url != flag => Err(UsageError::TwoPins),
        (Some(pin), _) | (None, Some(pin)) => Ok(Some(pin)),
        (None, None) => Ok(environment),
    }
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
    Ok(proxies.find(url.tls, &url.host, url.port)?)
}

/// Picks the STUN servers that were named, or else those that are asked by default, or none.
pub(super) fn stun_servers(named: &[String], none: bool) -> Result<Vec<Target>, UsageError> {
    let named = named.iter().map(|server| parse::stun_server(server)).collect::<Result<Vec<_>, _>>()?;
    Ok(match (none, named.is_empty()) {
        (true, _) => Vec::new(),
        (false, true) => default_stun_servers(),
        (false, false) => named,
    })
}
