//! Where the host is, and how it is dialled.

use std::net::SocketAddr;
use std::time::Duration;

use log::{debug, info};

use super::Client;
use super::links::{Link, Phase};
use crate::net::resolver::{Asker, Lookup};
use crate::net::system::Interest;
use crate::net::websocket::{UpgradeRequest, WebSocket, WebSocketError};
use crate::run::attempts::Attempts;
use crate::run::dialer::Waiter;
use crate::run::keys::SessionKey;
use crate::run::liveness::Liveness;
use crate::run::token::Source;

/// How long the WebSocket may take to open: connect, TLS and upgrade together.
pub(super) const OPEN_TIMEOUT: Duration = Duration::from_secs(15);

/// How long joining a session again may take, all of it: the next attempt has begun long before.
const RESUME_TIMEOUT: Duration = Duration::from_secs(3);

/// Redials at a time.
const MAX_LINKS: usize = 8;

impl Client {
    /// Finds the host, and dials it for the first time.
    pub(super) fn look_up(&mut self) {
        let (host, port) = self.config.first_hop();
        match self.core.resolver.resolve(Asker::Own, Waiter::Side, host, port) {
            Ok(Lookup::Ready(addresses)) => self.resolved(Ok(addresses)),
            Ok(Lookup::Pending) => {}
            Err(error) => self.resolved(Err(error.to_string())),
        }
    }

    /// Takes the addresses of the host. Those found before serve on if there are no newer ones.
    pub(super) fn resolved(&mut self, answer: Result<Vec<SocketAddr>, String>) {
        match answer {
            Ok(addresses) => self.addresses = addresses,
            Err(reason) if self.addresses.is_empty() => {
                let host = self.config.first_hop().0.to_owned();
                return self.join_failed(WebSocketError::Dns { host, reason }.into());
            }
            Err(reason) => info!("look-up failed, the last addresses are used: {reason}"),
        }
        // While a pause is kept, the answer only serves the next attempt.
        if self.session.is_none() && !self.is_joining() && self.rejoin_at.is_none() {
            self.dial(None, Attempts::at(self.addresses.clone()));
        }
    }

    /// Dials the host where it was found last, while its name is looked up again.
    pub(super) fn dial_again(&mut self, session: Option<SessionKey>) {
        if self.addresses.is_empty() {
            return self.look_up();
        }
        self.dial(session, Attempts::at(self.addresses.clone()));
        let (host, port) = self.config.first_hop();
        if let Err(error) = self.core.resolver.resolve(Asker::Own, Waiter::Side, host, port) {
            debug!("look-up error={error}");
        }
    }

    /// Tells whether a WebSocket for a new session is being opened.
    pub(super) fn is_joining(&self) -> bool {
        self.links
            .iter()
            .any(|(_, link)| matches!(link.phase, Phase::Opening(None) | Phase::Pake(_) | Phase::Returning(_)))
            || (self.addresses.is_empty() && self.core.resolver.is_pending(Waiter::Side))
    }

    /// Tries the next address of the host.
    pub(super) fn dial(&mut self, session: Option<SessionKey>, mut attempts: Attempts) {
        let url = &self.config.url;
        let authority = url.authority();
        while let Some(address) = attempts.next() {
            let request = UpgradeRequest::new(url, &self.config.headers, self.config.proxy.as_ref());
            match WebSocket::dial(address, &request, self.tls.clone()) {
                Ok(websocket) => return self.add_link(websocket, session, address, attempts),
                Err(failure) => attempts.failed(failure),
            }
        }
        let failure = attempts.into_failure(authority);
        match session {
            None => self.join_failed(failure.into()),
            Some(_) => info!("redial failed: {failure}"),
        }
    }

    fn add_link(
        &mut self,
        mut websocket: WebSocket,
        session: Option<SessionKey>,
        address: SocketAddr,
        further: Attempts,
    ) {
        if self.links.len() >= MAX_LINKS && session.is_some() {
            return;
        }
        let interest = Interest::READABLE | Interest::WRITABLE;
        let token = Source::Link(self.links.next_key().place()).token();
        if let Err(source) = self.core.turn.registry().register(websocket.source(), token, interest) {
            let authority = self.config.url.authority();
            return self.join_failed(WebSocketError::Connect { authority, source }.into());
        }
        let phase = Phase::Opening(session);
        let liveness = Liveness::default();
        let timeout = match (session.is_some(), further.is_last()) {
            (true, true) => RESUME_TIMEOUT,
            (false, true) => OPEN_TIMEOUT,
            // Others are to have their turn: one that answers does so sooner.
            (true, false) => RESUME_TIMEOUT / 3,
            (false, false) => OPEN_TIMEOUT / 5,
        };
        let key = self.links.insert(Link { websocket, step: 0, phase, address, further, is_queued: false, liveness });
        self.expect(key, timeout);
    }
}
