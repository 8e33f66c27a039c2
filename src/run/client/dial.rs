//! Where the host is, and how it is dialled.

use std::net::SocketAddr;
use std::time::Duration;

use log::{debug, info};

use super::Client;
use super::links::Phase;
use crate::net::resolver::{Asker, Lookup};
use crate::net::websocket::WebSocketError;
use crate::run::deadlines::{ClientDue, Due};
use crate::run::dialer::Waiter;
use crate::run::keys::SessionKey;
use crate::run::links::{Attempts, Patience};

/// Time for the WebSocket to open: connect, TLS and upgrade together.
pub(super) const OPEN_TIMEOUT: Duration = Duration::from_secs(15);

/// Patience with each address for a new session.
const NEW: Patience = Patience { last: OPEN_TIMEOUT, others: Duration::from_secs(3) };

/// Patience when a session is rejoined; the next attempt begins long before this one ends.
const AGAIN: Patience = Patience { last: Duration::from_secs(3), others: Duration::from_secs(1) };

/// Time from one attempt to rejoin a session to the next. Packets sent while the network was down do not come back, so
/// fresh ones must follow.
const REDIAL_INTERVAL: Duration = Duration::from_secs(1);

/// Maximum number of redials at a time.
const MAX_LINKS: usize = 8;

impl Client {
    /// Looks up the host, and dials it for the first time.
    pub(super) fn look_up(&mut self) {
        let (host, port) = self.config.first_hop();
        match self.core.resolver.resolve(Asker::Own, Waiter::Side, host, port) {
            Ok(Lookup::Ready(addresses)) => self.resolved(Ok(addresses)),
            Ok(Lookup::Pending) => {}
            Err(error) => self.resolved(Err(error.to_string())),
        }
    }

    /// Handles the addresses of the host. If the look-up failed, earlier ones are used.
    pub(super) fn resolved(&mut self, answer: Result<Vec<SocketAddr>, String>) {
        if let Err(reason) = self.redial.resolved(answer) {
            let host = self.config.first_hop().0.to_owned();
            return self.join_failed(WebSocketError::Dns { host, reason }.into());
        }
        // During a pause, the answer only serves the next attempt.
        if self.session.is_none() && !self.is_joining() && !self.redial.is_planned() {
            self.dial(None, self.redial.attempts(NEW));
        }
    }

    /// Dials the host at its last addresses, while its name is looked up again.
    pub(super) fn dial_again(&mut self, session: Option<SessionKey>) {
        if self.redial.is_unknown() {
            return self.look_up();
        }
        self.dial(session, self.redial.attempts(if session.is_some() { AGAIN } else { NEW }));
        let (host, port) = self.config.first_hop();
        if let Err(error) = self.core.resolver.resolve(Asker::Own, Waiter::Side, host, port) {
            debug!("look-up error={error}");
        }
    }

    /// Tells whether a WebSocket for a new session is being opened.
    pub(super) fn is_joining(&self) -> bool {
        let joins = |phase: &Phase| matches!(phase, Phase::Opening(None) | Phase::Pake(_) | Phase::Returning(_));
        self.links.find(joins).is_some() || (self.redial.is_unknown() && self.core.resolver.is_pending(Waiter::Side))
    }

    /// Tries the next address of the host.
    pub(super) fn dial(&mut self, session: Option<SessionKey>, attempts: Attempts) {
        if self.links.len() >= MAX_LINKS && session.is_some() {
            return;
        }
        match (self.links.dial(&mut self.core.turn, &self.way, attempts, Phase::Opening(session)), session) {
            (Ok(_), _) => {}
            (Err(failure), None) => self.join_failed(failure.into()),
            (Err(failure), Some(_)) => info!("redial failed: {failure}"),
        }
    }

    /// Dials the host after a pause, or earlier if that is planned already.
    pub(super) fn rejoin_after(&mut self, pause: Duration) {
        let at = self.core.turn.now + pause;
        if self.redial.plan(at) {
            self.core.turn.deadlines.add(at, Due::Client(ClientDue::Rejoin));
        }
    }

    /// Dials the host: for a new session, or to rejoin the one that has no path.
    pub(super) fn rejoin(&mut self) {
        if self.is_stopping() || !self.redial.poll(self.core.turn.now) {
            return;
        }
        match self.session {
            Some(session) => {
                let Some(entry) = self.core.sessions.get_mut(session) else { return };
                let (wants, recovers) = (entry.session.wants_signaling(), entry.session.recovering_since().is_some());
                if wants {
                    self.dial_again(Some(session));
                }
                // Repeat this while there is no path: the new WebSocket may be lost, too.
                if recovers {
                    self.rejoin_after(REDIAL_INTERVAL);
                }
            }
            None if self.is_joining() => {}
            None => self.dial_again(None),
        }
    }
}
