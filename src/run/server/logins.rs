//! Logins of visitors at published services: some are verified at once, others have to wait.

use std::time::Duration;

use super::Server;
use super::quota::source;
use super::visitor::{LoginState, Web, WebKey};
use crate::access::logins::LoginLimiter;
use crate::gateway::{Refusal, Request};
use crate::run::deadlines::{Due, ServerDue};
use crate::run::notice::ServerNotice;
use crate::shares::Source;
use crate::signaling::rendezvous::HostId;
use crate::socks::Credentials;
use crate::status::refusal::Refusal as Counted;

/// Longest wait of a login for its verification.
pub(super) const TIMEOUT: Duration = Duration::from_secs(20);

/// When visitors whose login was not verified should try again, in seconds.
const RETRY_AFTER: u32 = 2;

/// Maximum number of hosts whose wrong logins are remembered; beyond it the host with the fewest is forgotten.
const MAX_HOSTS: usize = 1024;

/// Number of wrong logins from which on they are reported: people mistype.
const MANY: u64 = 10;

/// Verifies the logins for one host in turn. A connection is named by its key.
pub(super) type Limiter = LoginLimiter<WebKey, Source>;

/// The verdict on a request with a login.
pub(super) enum Verdict {
    Passed,
    Waits,
}

impl Server {
    /// Admits a visitor with the right login, or makes it wait for the verification.
    pub(super) fn check_login(
        &mut self,
        key: WebKey,
        request: &Request,
        id: &HostId,
        auth: &Credentials,
    ) -> Result<Verdict, Refusal> {
        let now = self.core.turn.now;
        let login = request.login.as_ref().ok_or(Refusal::LoginWanted)?;
        let Some(web) = self.webs.get_mut(key) else { return Ok(Verdict::Waits) };
        let source = source(web.remote);
        let is_free = match std::mem::take(&mut web.login) {
            LoginState::HasTurn => true,
            LoginState::LoggedIn(host, known) if host == *id && known == source => true,
            LoginState::Unknown | LoginState::Waits(..) | LoginState::LoggedIn(..) => {
                self.logins.get(id).is_none_or(|limiter| limiter.is_free(now, source))
            }
        };
        if !is_free {
            self.hold(key, request, id, source);
            return Ok(Verdict::Waits);
        }
        if auth.are(login.user.as_bytes(), login.password.as_bytes()) {
            web.login = LoginState::LoggedIn(id.clone(), source);
            return Ok(Verdict::Passed);
        }
        self.metrics.refused(Counted::Unauthorized);
        let said = self.limiter(id).failed(now, source).filter(|count| *count >= MANY);
        if let Some(count) = said {
            let message = format!(
                "{count} wrong logins for what {id} publishes, the last from {source}; each has to wait for the one before it"
            );
            self.core.turn.warn("wrong-logins", message);
        }
        Err(Refusal::LoginWanted)
    }

    /// Holds a request until its login's turn.
    fn hold(&mut self, key: WebKey, request: &Request, id: &HostId, source: Source) {
        let now = self.core.turn.now;
        let Some(web) = self.webs.get_mut(key) else { return };
        web.login = LoginState::Waits(Box::new(request.clone()), id.clone());
        let limiter = self.limiter(id);
        let crowded_out = limiter.wait(now, key, source, rand::random());
        let turn = limiter.poll_timeout();
        if let Some(key) = crowded_out {
            self.turn_away(key);
        }
        if let Some(turn) = turn {
            self.core.turn.deadlines.add(turn, Due::Server(ServerDue::Logins));
        }
    }

    /// Answers a request whose login was not verified.
    fn turn_away(&mut self, key: WebKey) {
        self.metrics.refused(Counted::Busy);
        let Some(web) = self.webs.get_mut(key) else { return };
        web.login = LoginState::Unknown;
        web.visit.exchange.refuse(Refusal::TooManyLogins { retry_after: RETRY_AFTER });
        if web.queue() {
            self.core.turn.tell(ServerNotice::WebPoll { web: key.mark() });
        }
    }

    /// Verifies the logins in turn.
    pub(super) fn serve_logins(&mut self) {
        let now = self.core.turn.now;
        let ids: Vec<HostId> = self.logins.keys().cloned().collect();
        for id in ids {
            while let Some(key) = self.logins.get_mut(&id).and_then(|limiter| limiter.poll_turn(now, rand::random())) {
                let Some(web) = self.webs.get_mut(key) else { continue };
                let LoginState::Waits(request, _) = std::mem::replace(&mut web.login, LoginState::HasTurn) else {
                    continue;
                };
                self.route(key, &request);
                // A turn that was not used is lost.
                if let Some(web) = self.webs.get_mut(key)
                    && matches!(web.login, LoginState::HasTurn)
                {
                    web.login = LoginState::Unknown;
                }
                self.pump_web(key);
            }
            if let Some(turn) = self.logins.get(&id).and_then(Limiter::poll_timeout) {
                self.core.turn.deadlines.add(turn, Due::Server(ServerDue::Logins));
            }
        }
    }

    /// Forgets a waiting connection; the caller answers it. Returns false if it did not wait.
    pub(super) fn cancel_login(&mut self, key: WebKey) -> bool {
        let Some(web) = self.webs.get_mut(key) else { return false };
        let LoginState::Waits(_, id) = std::mem::take(&mut web.login) else { return false };
        if let Some(limiter) = self.logins.get_mut(&id) {
            limiter.cancel(key);
        }
        true
    }

    /// Answers a connection that has waited too long.
    pub(super) fn login_late(&mut self, key: WebKey) {
        if self.cancel_login(key) {
            self.turn_away(key);
        }
    }

    /// Forgets hosts whose wrong logins are long past.
    pub(super) fn forget_logins(&mut self) {
        let now = self.core.turn.now;
        self.logins.retain(|_, limiter| !limiter.is_forgotten(now));
    }

    /// Returns how many recent logins for a host were wrong.
    pub(super) fn wrong_logins(&self, id: &HostId) -> u64 {
        self.logins.get(id).map_or(0, Limiter::total)
    }

    fn limiter(&mut self, id: &HostId) -> &mut Limiter {
        if self.logins.len() >= MAX_HOSTS && !self.logins.contains_key(id) {
            let idle = self.logins.iter().filter(|(_, limiter)| limiter.poll_timeout().is_none());
            let fewest = idle.min_by_key(|(_, limiter)| limiter.total()).map(|(id, _)| id.clone());
            fewest.map(|fewest| self.logins.remove(&fewest));
        }
        self.logins.entry(id.clone()).or_default()
    }
}

impl Web {
    pub(super) fn waits_for_login(&self) -> bool {
        matches!(self.login, LoginState::Waits(..))
    }
}
