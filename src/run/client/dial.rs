//! Where the host is, and how it is dialled.

use std::net::SocketAddr;
use std::time::Duration;

use log::info;
use rand::RngExt;

use super::Client;
use super::links::Phase;
use crate::net::resolver::{Asker, Lookup};
use crate::net::system;
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
    /// Handles the addresses of the host at a server. If the look-up failed, earlier ones are used.
    pub(super) fn resolved(&mut self, server: usize, answer: Result<Vec<SocketAddr>, String>) {
        let addresses = self.servers.addresses(server);
        let is_awaited = addresses.is_unknown();
        let found = addresses.resolved(answer);
        if self.servers.at() != server || self.is_stopping() {
            return;
        }
        let session = self.session;
        match (session, found) {
            // During a pause, the answer only serves the next attempt.
            (None, _) if self.is_joining() || self.servers.redial().is_planned() => {}
            (None, Err(reason)) => {
                let host = self.ways[server].first_hop().0.to_owned();
                self.join_failed(WebSocketError::Dns { host, reason }.into());
            }
            (Some(_), Err(reason)) => info!("redial failed: {reason}"),
            (None, Ok(())) => self.dial_present(None),
            // It was not dialled at addresses from before.
            (Some(key), Ok(())) if is_awaited && self.wants_signaling(key) => self.dial_present(session),
            (Some(_), Ok(())) => {}
        }
    }

    fn wants_signaling(&mut self, session: SessionKey) -> bool {
        self.core.sessions.get_mut(session).is_some_and(|entry| entry.session.wants_signaling())
    }

    /// Chooses a server and dials the host there at its last addresses, while its name is looked up again.
    pub(super) fn dial_again(&mut self, session: Option<SessionKey>) {
        let server = self.servers.choose(self.core.turn.now, system::rng().random_range(0.0..1.0));
        if !self.servers.is_unknown() {
            self.dial_present(session);
        }
        let (host, port) = self.ways[server].first_hop();
        match self.core.resolver.resolve(Asker::Own, Waiter::Side(server), host, port) {
            Ok(Lookup::Ready(addresses)) => self.resolved(server, Ok(addresses)),
            Ok(Lookup::Pending) => {}
            Err(error) => self.resolved(server, Err(error.to_string())),
        }
    }

    /// Dials the host at the present server.
    fn dial_present(&mut self, session: Option<SessionKey>) {
        let patience = match session {
            Some(_) => AGAIN,
            None if self.servers.has_untried(self.core.turn.now) => Patience { last: NEW.others, ..NEW },
            None => NEW,
        };
        let server = self.servers.at();
        let attempts = self.servers.addresses(server).attempts(patience);
        self.dial(session, server, attempts);
    }

    /// Tells whether a WebSocket for a new session is being opened.
    pub(super) fn is_joining(&self) -> bool {
        let joins = |phase: &Phase| matches!(phase, Phase::Opening(None, _) | Phase::Pake(_) | Phase::Returning(_));
        let waiter = Waiter::Side(self.servers.at());
        self.links.find(joins).is_some() || (self.servers.is_unknown() && self.core.resolver.is_pending(waiter))
    }

    /// Tries the next address of the host at a server.
    pub(super) fn dial(&mut self, session: Option<SessionKey>, server: usize, attempts: Attempts) {
        if self.links.len() >= MAX_LINKS && session.is_some() {
            return;
        }
        let phase = Phase::Opening(session, server);
        match (self.links.dial(&mut self.core.turn, &self.ways[server], attempts, phase), session) {
            (Ok(_), _) => {}
            (Err(failure), None) => self.join_failed(failure.into()),
            (Err(failure), Some(_)) => {
                info!("redial failed: {failure}");
                self.hasten();
            }
        }
    }

    /// Does not wait for the next attempt to rejoin the session while there is a server that was not tried.
    fn hasten(&mut self) {
        if self.servers.leads_elsewhere(self.core.turn.now) {
            self.rejoin_after(REDIAL_INTERVAL.mul_f64(system::rng().random_range(0.0..0.25)));
        }
    }

    /// Dials the host after a pause, or earlier if that is planned already.
    pub(super) fn rejoin_after(&mut self, pause: Duration) {
        let at = self.core.turn.now + pause;
        if self.servers.redial().plan(at) {
            self.core.turn.deadlines.add(at, Due::Client(ClientDue::Rejoin));
        }
    }

    /// Begins to rejoin a session that has no path: at the same server unless that relayed it.
    pub(super) fn rejoin_session(&mut self, session: SessionKey) {
        // The relay is silent, and the server may be frozen. A WebSocket that ended is seen by `link_closed`.
        if self.link_of(session).is_some() {
            self.servers.leave();
        }
        let is_alone = !self.servers.leads_elsewhere(self.core.turn.now);
        let spread = if is_alone { 0.0 } else { system::rng().random_range(0.0..1.0) };
        self.rejoin_after(REDIAL_INTERVAL.mul_f64(spread));
    }

    /// Dials the host: for a new session, or to rejoin the one that has no path.
    pub(super) fn rejoin(&mut self) {
        if self.is_stopping() || !self.servers.redial().poll(self.core.turn.now) {
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
