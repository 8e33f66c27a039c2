//! Routes of requests: to published services, or to destinations that hosts dial for holders of tokens.

use super::cluster::Place;
use super::logins::Verdict;
use super::quota::{MAX_STREAMS, RETRY_AFTER};
use super::visitor::{Destination, WebKey};
use super::waiting::Waiting;
use super::{Access, Server};
use crate::gateway::{Kind, Refusal, Request, Route};
use crate::run::keys::SessionKey;
use crate::signaling::rendezvous::{HostId, Token};
use crate::socks::Credentials;
use crate::tunnel::{ConnectTarget, OpenError};

impl Server {
    /// Tells whether a name is under the gateway's domain.
    pub(super) fn is_for_gateway(&self, host: &str) -> bool {
        self.label(host).is_some()
    }

    /// Returns the label in front of the gateway's domain.
    fn label<'a>(&self, host: &'a str) -> Option<&'a str> {
        let gateway = self.config.gateway.as_ref()?;
        host.strip_suffix(gateway.domain.as_str())?.strip_suffix('.')
    }

    /// Routes a request, or refuses it.
    pub(super) fn route(&mut self, key: WebKey, request: &Request) {
        self.note_visitor(key);
        let Some(kind) = self.webs.get(key).map(|web| web.kind) else { return };
        let destination = match kind {
            _ if self.is_stopping() => Err(Refusal::ShuttingDown),
            _ if self.visitors.surplus() > 0 => Err(Refusal::TooMany { retry_after: RETRY_AFTER }),
            Kind::Web => match self.published(key, request).transpose() {
                Some(destination) => destination,
                None => return,
            },
            Kind::Proxy => match self.dialled(key, request).transpose() {
                Some(destination) => destination,
                None => return,
            },
        };
        let result = destination.and_then(|destination| self.carry(key, request, destination));
        if let Err(refusal) = result
            && let Some(web) = self.webs.get_mut(key)
        {
            web.visit.exchange.refuse(refusal);
        }
    }

    /// Returns the service published under the name in the request; `None` while the visitor's login
    /// waits, or the directory is asked.
    fn published(&mut self, key: WebKey, request: &Request) -> Result<Option<Destination>, Refusal> {
        let id: HostId = self.label(&request.host).and_then(|label| label.parse().ok()).ok_or(Refusal::NoHost)?;
        let place = self.look_up(&id);
        let public = match &place {
            Place::Here(link) => self.host(*link).ok_or(Refusal::NoHost)?.public.clone(),
            Place::At(elsewhere) => elsewhere.public.clone(),
            Place::Away => return Err(Refusal::HostAway),
            Place::Nowhere => return Err(Refusal::NoHost),
            Place::Asked => {
                self.wait_for(&id, Waiting::Request(key, Box::new(request.clone())));
                return Ok(None);
            }
        };
        let public = public.ok_or(Refusal::NotPublic)?;
        let target = ConnectTarget::Service(public.service);
        let auth = public.auth.map(|hash| Credentials::from_hash(hash.0));
        if let Some(auth) = &auth
            && let Verdict::Waits = self.check_login(key, request, &id, auth)?
        {
            return Ok(None);
        }
        let (session, epoch) = self.session_at(&place)?;
        Ok(Some(Destination { id, session, target, login: public.auth, token: None, epoch }))
    }

    /// Returns the session that leads to a host, and the epoch that is meant at another server.
    fn session_at(&mut self, place: &Place) -> Result<(SessionKey, Option<u64>), Refusal> {
        match place {
            Place::Here(link) => Ok((self.session_of(*link).ok_or(Refusal::HostGone)?, None)),
            Place::At(elsewhere) => Ok((elsewhere.session, Some(elsewhere.epoch))),
            Place::Away | Place::Asked => Err(Refusal::HostAway),
            Place::Nowhere => Err(Refusal::NoHost),
        }
    }

    /// Opens the stream of a request again where its host is now: it had just moved, and nothing was sent yet.
    pub(super) fn follow_host(&mut self, key: WebKey) {
        if let Some(id) = self.webs.get(key).and_then(|web| Some(web.destination.as_ref()?.id.clone())) {
            self.forget_place(&id);
            self.go_on_following(key);
        }
    }

    /// Goes on with that once it is known where the host is.
    pub(super) fn go_on_following(&mut self, key: WebKey) {
        let Some(destination) = self.webs.get(key).and_then(|web| web.destination.clone()) else { return };
        let place = self.place(&destination.id);
        if let Place::Asked = place {
            return self.wait_for(&destination.id, Waiting::FollowingRequest(key));
        }
        let result = self.session_at(&place).and_then(|(session, epoch)| {
            let destination = Destination { session, epoch, ..destination };
            self.open_stream(key, destination).map_err(refusal)
        });
        if let Err(refusal) = result
            && let Some(web) = self.webs.get_mut(key)
        {
            web.visit.exchange.handle_service_failed(refusal);
        }
    }

    /// Returns the host in a program's user name, if the token allows dialling; `None` while the directory is asked.
    fn dialled(&mut self, key: WebKey, request: &Request) -> Result<Option<Destination>, Refusal> {
        let login = request.proxy_login.as_ref().ok_or(Refusal::ProxyLogin)?;
        let id: HostId = login.user.parse().map_err(|_| Refusal::ProxyLogin)?;
        let token: Token = login.password.parse().map_err(|_| Refusal::ProxyLogin)?;
        let Access::Tokens(tokens) = &self.access else { return Err(Refusal::Denied) };
        let grant = tokens.find(&token).filter(|grant| grant.owns(&id)).ok_or(Refusal::ProxyLogin)?;
        if !grant.dial {
            return Err(Refusal::Denied);
        }
        let hash = grant.hash;
        let port = request.port.unwrap_or(80);
        let host = if request.host.contains(':') { format!("[{}]", request.host) } else { request.host.clone() };
        let target = ConnectTarget::Tcp(format!("{host}:{port}"));
        let place = self.look_up(&id);
        let dials = match &place {
            Place::Here(link) => self.host(*link).is_some_and(|host| host.dials),
            Place::At(elsewhere) => elsewhere.dials,
            Place::Away => return Err(Refusal::HostAway),
            Place::Nowhere => return Err(Refusal::NoHost),
            Place::Asked => {
                self.wait_for(&id, Waiting::Request(key, Box::new(request.clone())));
                return Ok(None);
            }
        };
        if !dials {
            return Err(Refusal::Denied);
        }
        self.metrics.dials += 1;
        let (session, epoch) = self.session_at(&place)?;
        Ok(Some(Destination { id, session, target, login: None, token: Some(hash), epoch }))
    }

    /// Puts a request on a stream: the one of the last request if it leads to the same service.
    fn carry(&mut self, key: WebKey, request: &Request, destination: Destination) -> Result<(), Refusal> {
        let Some(web) = self.webs.get_mut(key) else { return Ok(()) };
        let is_kept = web.visit.exchange.keeps_service() && !request.wants_fresh && web.leads_to(&destination);
        let strip_authorization = destination.login.is_some();
        if !is_kept {
            self.end_stream(key);
            let entry = self.core.sessions.get_mut(destination.session).ok_or(Refusal::HostGone)?;
            let is_distant = destination.epoch.is_some();
            let carrying =
                entry.session.mux().stream_count().saturating_sub(self.core.leaving.count(destination.session));
            // At another server, that one has the places of its hosts.
            let has_place =
                is_distant || carrying < MAX_STREAMS && self.make_place_for_request(key, destination.session);
            if !has_place {
                return Err(Refusal::TooMany { retry_after: RETRY_AFTER });
            }
            self.open_stream(key, destination).map_err(refusal)?;
        }
        if let Some(web) = self.webs.get_mut(key) {
            web.visit.exchange.route(Route { fresh: !is_kept, strip_authorization });
        }
        Ok(())
    }

    /// Sends a request again after its stream turned out to be closed: the service had ended it after the last answer.
    pub(super) fn retry(&mut self, key: WebKey) {
        let Some(destination) = self.webs.get(key).and_then(|web| web.destination.clone()) else { return };
        let strip_authorization = destination.login.is_some();
        let result = self.open_stream(key, destination);
        let Some(web) = self.webs.get_mut(key) else { return };
        match result {
            Ok(()) => web.visit.exchange.route(Route { fresh: true, strip_authorization }),
            Err(error) => web.visit.exchange.refuse(refusal(error)),
        }
    }
}

fn refusal(error: OpenError) -> Refusal {
    match error {
        OpenError::GoingAway => Refusal::HostGone,
        OpenError::TooManyStreams | OpenError::NoDatagrams => Refusal::TooMany { retry_after: RETRY_AFTER },
    }
}
