//! Links to a side that is dialled.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use rustls::ClientConfig as TlsConfig;

use super::{Attempts, Links, Socket};
use crate::http::field::HeaderField;
use crate::http::proxy::Proxy;
use crate::net::tls::{self, TlsConfigError};
use crate::net::websocket::{UpgradeRequest, WebSocket, WebSocketError};
use crate::run::keys::LinkKey;
use crate::run::turn::Turn;
use crate::signaling::url::SignalingUrl;

/// How to dial the other side, whatever its address.
pub(in crate::run) struct Way {
    request: UpgradeRequest,
    /// Host and port of the machine that is dialled.
    first_hop: (String, u16),
    tls: Option<Arc<TlsConfig>>,
}

impl Way {
    /// Creates the way to the address in a URL, through `proxy` if there is one. With `ca`, only its authorities are
    /// trusted.
    ///
    /// # Errors
    /// Certificates cannot be read.
    pub(in crate::run) fn new(
        url: &SignalingUrl,
        headers: &[HeaderField],
        proxy: Option<&Proxy>,
        ca: Option<&Path>,
    ) -> Result<Way, TlsConfigError> {
        let tls = url.tls().then(|| tls::client_config(ca)).transpose()?;
        let (host, port) = proxy.map_or((url.host(), url.port()), |proxy| (&proxy.host, proxy.port));
        Ok(Way { request: UpgradeRequest::new(url, headers, proxy), first_hop: (host.to_owned(), port), tls })
    }

    /// Returns host and port of the machine that is dialled: the proxy, or else the other side.
    pub(in crate::run) fn first_hop(&self) -> (&str, u16) {
        (&self.first_hop.0, self.first_hop.1)
    }
}

impl<P> Links<P> {
    /// Dials the next address, with its deadline; skips one that fails at once.
    ///
    /// # Errors
    /// The most telling error, once no address is left.
    pub(in crate::run) fn dial(
        &mut self,
        turn: &mut Turn,
        way: &Way,
        mut attempts: Attempts,
        phase: P,
    ) -> Result<LinkKey, WebSocketError> {
        while let Some(address) = attempts.next() {
            match self.open(turn, way, address) {
                Ok(websocket) => {
                    let timeout = attempts.timeout();
                    let socket = Socket::Opening(Box::new(websocket), attempts);
                    return Ok(self.insert(turn, socket, address, phase, timeout));
                }
                Err(failure) => attempts.failed(failure),
            }
        }
        Err(attempts.into_failure(way.request.authority.clone()))
    }

    fn open(&self, turn: &Turn, way: &Way, address: SocketAddr) -> Result<WebSocket, WebSocketError> {
        let mut websocket = WebSocket::dial(address, &way.request, way.tls.clone())?;
        let failed = |source| WebSocketError::Connect { authority: way.request.authority.clone(), source };
        self.register(turn, websocket.source()).map_err(failed)?;
        Ok(websocket)
    }
}
