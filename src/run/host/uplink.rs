//! The WebSocket to a server where the host has a lasting name. Clients are numbered conversations on it.
//!
//! ```text
//!   Away ──dial──▶ Opening ──open──▶ Registering ──registered──▶ Registered
//!     ▲               │                   │                          │
//!     └──── pause ◀───┴── failed, lost ◀──┴──────────────────────────┘
//! ```
//!
//! Sessions with a direct path do not notice its loss; relayed ones are rejoined once it is back. Of several servers,
//! all of one cluster, the host has one at a time, and goes to another when it loses that (`run/links/servers.rs`).

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use log::{debug, info};
use rand::RngExt;

use super::Host;
use super::conversations::Conversations;
use super::links::Phase;
use crate::config::Registration;
use crate::net::resolver::{Asker, Lookup};
use crate::net::system;
use crate::net::websocket::{WebSocketError, close_code};
use crate::run::RunError;
use crate::run::deadlines::{Due, HostDue};
use crate::run::dialer::Waiter;
use crate::run::keys::LinkKey;
use crate::run::links::{Attempts, Patience, Redial, Servers, Way};
use crate::signaling::binary::Binary;
use crate::signaling::closing;
use crate::signaling::message::{ErrorCode, ErrorMessage, MAX_RETRY_AFTER};
use crate::signaling::rendezvous::{self, FromHost, FromServer, Instance, Payload, Public, Register, SERVER};
use crate::signaling::url::SignalingUrl;
use crate::status::event::Event;
use crate::tunnel::Service;

/// Time for the WebSocket to open.
const PATIENCE: Patience = Patience { last: Duration::from_secs(15), others: OTHERS };

/// The same while there is another address or server to try.
const OTHERS: Duration = Duration::from_secs(3);

/// Time for the server to register us: it may first have to check whether another process is alive.
const REGISTER_TIMEOUT: Duration = Duration::from_secs(15);

/// Shortest pause before the server is dialled again; it doubles with every failure.
const MIN_BACKOFF: Duration = Duration::from_millis(500);

/// Longest pause before the server is dialled again.
const MAX_BACKOFF: Duration = Duration::from_secs(30);

/// The host's side of a registration.
pub(super) struct Uplink {
    registration: Registration,
    instance: Instance,
    /// How each server is dialled.
    ways: Vec<Way>,
    servers: Servers,
    /// The WebSocket, unless the server is away.
    link: Option<LinkKey>,
    pub(super) conversations: Conversations,
    /// The published service, as the server was told of it last. Its session has that number, whatever is shared since.
    pub(super) published: Option<Service>,
    /// The token is newer than the one that the server was shown last.
    is_token_new: bool,
    /// Where the published service is found.
    web: Option<String>,
    /// We were registered in this run, so later failures lead to another attempt.
    was_registered: bool,
    /// The user was told that the server is away.
    is_told: bool,
}

impl Uplink {
    /// Returns where clients reach the host through the server that has it.
    pub(super) fn client_url(&self) -> SignalingUrl {
        let mut servers = self.registration.servers().map(|(server, _)| server);
        let server = servers.nth(self.servers.at()).unwrap_or(&self.registration.server);
        server.client_endpoint(&self.registration.id)
    }

    /// Prepares a registration; nothing is dialled yet.
    pub(super) fn new(registration: Registration) -> Result<Uplink, RunError> {
        let Registration { headers, ca, .. } = &registration;
        let way =
            |(server, proxy): (&SignalingUrl, _)| Way::new(&server.host_endpoint(), headers, proxy, ca.as_deref());
        let ways = registration.servers().map(way).collect::<Result<Vec<Way>, _>>()?;
        let servers = Servers::new(ways.len(), Redial::new(MIN_BACKOFF, MAX_BACKOFF));
        Ok(Uplink {
            registration,
            instance: rendezvous::instance(),
            ways,
            servers,
            link: None,
            conversations: Conversations::default(),
            published: None,
            is_token_new: false,
            web: None,
            was_registered: false,
            is_told: false,
        })
    }

    /// Returns the number of servers.
    pub(super) fn servers(&self) -> usize {
        self.servers.count()
    }

    /// Returns how the addresses of the present server are tried.
    fn attempts(&mut self, now: Instant) -> Attempts {
        let last = if self.servers.has_untried(now) { OTHERS } else { PATIENCE.last };
        let at = self.servers.at();
        self.servers.addresses(at).attempts(Patience { last, ..PATIENCE })
    }

    /// Goes by another registration, of the same name on the same servers.
    pub(super) fn follow(&mut self, registration: Registration) {
        self.is_token_new |= self.registration.token != registration.token;
        self.registration = registration;
    }

    fn register(&self) -> FromHost {
        let registration = &self.registration;
        let public = self.published.as_ref().zip(registration.public.as_ref()).map(|(service, public)| Public {
            service: service.id,
            auth: public.auth.as_ref().map(|auth| Binary(*auth.hash())),
        });
        FromHost::Register(Register {
            versions: rendezvous::VERSIONS.to_vec(),
            id: registration.id.clone(),
            token: registration.token.clone(),
            instance: self.instance,
            public,
            dial: registration.dial,
        })
    }
}

impl Host {
    /// Chooses a server, looks it up and dials it.
    pub(super) fn dial_server(&mut self) {
        let now = self.core.turn.now;
        let Some(uplink) = &mut self.uplink else { return };
        let server = uplink.servers.choose(now, system::rng().random_range(0.0..1.0));
        if !uplink.servers.is_unknown() {
            let attempts = uplink.attempts(now);
            self.open_uplink(attempts);
        }
        let Some(uplink) = &self.uplink else { return };
        let (host, port) = uplink.ways[server].first_hop();
        match self.core.resolver.resolve(Asker::Own, Waiter::Side(server), host, port) {
            Ok(Lookup::Ready(addresses)) => self.server_resolved(server, Ok(addresses)),
            Ok(Lookup::Pending) => {}
            Err(error) => self.server_resolved(server, Err(error.to_string())),
        }
    }

    /// Handles the addresses of a server. If the look-up failed, earlier ones are used.
    pub(super) fn server_resolved(&mut self, server: usize, answer: Result<Vec<SocketAddr>, String>) {
        let now = self.core.turn.now;
        let Some(uplink) = &mut self.uplink else { return };
        let found = uplink.servers.addresses(server).resolved(answer);
        if uplink.servers.at() != server || uplink.link.is_some() || uplink.servers.redial().is_planned() {
            return;
        }
        match found {
            Ok(()) => {
                let attempts = uplink.attempts(now);
                self.open_uplink(attempts);
            }
            Err(reason) => {
                let host = uplink.ways[server].first_hop().0.to_owned();
                self.uplink_lost(WebSocketError::Dns { host, reason });
            }
        }
    }

    /// Tries the next address of the server.
    fn open_uplink(&mut self, attempts: Attempts) {
        let Some(uplink) = &mut self.uplink else { return };
        let way = &uplink.ways[uplink.servers.at()];
        match self.links.dial(&mut self.core.turn, way, attempts, Phase::Opening) {
            Ok(key) => uplink.link = Some(key),
            Err(failure) => self.uplink_lost(failure),
        }
    }

    /// Returns the WebSocket to the server while we are registered.
    pub(super) fn registered(&self) -> Option<LinkKey> {
        let key = self.uplink.as_ref()?.link?;
        matches!(self.links.get(key)?.phase, Phase::Registered).then_some(key)
    }

    /// Tells whether this is the WebSocket to a server that has announced that it ends the relation: its end is no
    /// news.
    pub(super) fn is_given_up_by(&self, key: LinkKey) -> bool {
        self.has_failed() && self.uplink.as_ref().is_some_and(|uplink| uplink.link == Some(key))
    }

    pub(super) fn uplink_opened(&mut self, key: LinkKey) {
        let public = self.config.server.as_ref().and_then(|registration| registration.public.as_ref());
        let published = public.and_then(|public| self.announced(Some(public.service)).pop());
        let remote = self.links[key].remote;
        let Some(uplink) = &mut self.uplink else { return };
        let server = uplink.servers.at();
        uplink.servers.addresses(server).prefer(remote);
        uplink.published = published;
        uplink.is_token_new = false;
        let text = uplink.register().to_text();
        self.links[key].phase = Phase::Registering;
        self.begin_step(key, REGISTER_TIMEOUT);
        if let Err(error) = self.links.send(key, Payload::Text(text)) {
            self.uplink_lost(error);
        }
    }

    pub(super) fn handle_server_text(&mut self, key: LinkKey, text: &str) {
        let Some(uplink) = &mut self.uplink else { return };
        let is_registered = matches!(self.links[key].phase, Phase::Registered);
        match (FromServer::parse(text), is_registered) {
            (Ok(FromServer::Registered { version, web }), false) if rendezvous::VERSIONS.contains(&version) => {
                self.links[key].phase = Phase::Registered;
                self.note_registered(web);
            }
            (Ok(FromServer::Error(error)), _) => self.refused_by_server(error),
            (Ok(FromServer::Joined { conversation, remote }), true) if conversation != SERVER => {
                self.add_conversation(conversation, remote);
            }
            (Ok(FromServer::Left { conversation }), true) => {
                if let Some(link) = uplink.conversations.remove(conversation) {
                    self.drop_link(link);
                }
            }
            (message, _) => {
                debug!("message of the server not understood: {:?}", message.err());
                self.uplink_lost(nonsense());
            }
        }
    }

    pub(super) fn handle_server_binary(&mut self, bytes: Bytes) {
        match &self.uplink {
            Some(uplink) if uplink.was_registered => self.handle_packet(bytes),
            _ => self.uplink_lost(nonsense()),
        }
    }

    fn note_registered(&mut self, web: Option<String>) {
        let Some(uplink) = &mut self.uplink else { return };
        (uplink.was_registered, uplink.is_told) = (true, false);
        uplink.web = web;
        uplink.servers.reached(uplink.servers.at());
        uplink.servers.redial().reset();
        info!("registered id={}", uplink.registration.id);
        self.report_registered();
        self.core.turn.ready();
    }

    /// Reports how clients come in through the server.
    pub(super) fn report_registered(&mut self) {
        let Some(uplink) = &self.uplink else { return };
        let is_published = self.config.server.as_ref().is_some_and(|registration| registration.public.is_some());
        let (id, web) = (uplink.registration.id.clone(), uplink.web.clone().filter(|_| is_published));
        let url = uplink.client_url().with_pin(&self.pin);
        let servers = uplink.registration.servers().enumerate().filter(|(number, _)| *number != uplink.servers.at());
        let others = servers.map(|(_, (server, _))| server.to_string()).collect();
        let pin = self.pin.reveal().to_owned();
        self.core.turn.report(&Event::Registered { id, url, pin, web, others });
        self.report_invitations();
    }

    /// Handles the server's reason for ending the relation.
    fn refused_by_server(&mut self, error: ErrorMessage) {
        let now = self.core.turn.now;
        let Some(uplink) = &mut self.uplink else { return };
        let is_passing = match error.code {
            ErrorCode::Restart | ErrorCode::Busy => true,
            ErrorCode::Full if uplink.servers.has_untried(now) => true,
            // It was shown the token that was replaced since.
            ErrorCode::BadToken | ErrorCode::Denied if uplink.is_token_new => true,
            ErrorCode::BadToken | ErrorCode::Denied | ErrorCode::Version | ErrorCode::Replaced => false,
            _ => uplink.was_registered,
        };
        if !is_passing {
            let failure = RunError::Refused { id: uplink.registration.id.to_string(), error };
            return self.fail(failure);
        }
        let asked = error.retry_after.map(|seconds| Duration::from_secs(seconds).min(MAX_RETRY_AFTER));
        uplink.servers.spare(now + asked.unwrap_or_default());
        uplink.was_registered |= error.code != ErrorCode::Full;
        self.uplink_lost(WebSocketError::Ended(format!("the server said: {}", error.message)));
    }

    /// Handles the loss of the WebSocket to the server, or a failure to open it. Before the first registration this
    /// ends the run, unless another server is left or `--retry` was given; later the host dials again.
    pub(super) fn uplink_lost(&mut self, error: WebSocketError) {
        self.uplink.iter_mut().for_each(|uplink| uplink.servers.leave());
        self.uplink_cut(error);
    }

    /// The same where the server is not to blame, so that it comes first again.
    pub(super) fn uplink_cut(&mut self, error: WebSocketError) {
        let Some(uplink) = &mut self.uplink else { return };
        if let Some(key) = uplink.link.take()
            && let Some(link) = self.links.remove(&self.core.turn, key)
            && let Phase::Opening = link.phase
        {
            return self.open_uplink(link.into_attempts(error));
        }
        self.end_conversations();
        if self.is_ending() {
            return;
        }
        let now = self.core.turn.now;
        let Some(uplink) = &mut self.uplink else { return };
        let error = RunError::Server(error);
        let has_others = uplink.servers.leads_elsewhere(now);
        match (uplink.was_registered, error.may_pass(), uplink.registration.retry) {
            _ if has_others => {}
            (true, ..) | (false, true, true) => {}
            (false, true, false) => return self.fail(RunError::NotYet(Box::new(error))),
            (false, false, _) => return self.fail(error),
        }
        info!("server lost: {error}");
        let at = now + uplink.servers.pause(now, system::rng().random_range(0.0..1.0));
        if uplink.servers.redial().plan(at) {
            self.core.turn.deadlines.add(at, Due::Host(HostDue::Redial));
        }
        if !std::mem::replace(&mut uplink.is_told, true) {
            let next = if has_others { "another server" } else { "again" };
            self.core.turn.report(&Event::ServerLost { message: format!("{error}; trying {next}") });
        }
        if !has_others {
            // To wait for the server is what this run is there for now: nobody who started it should wait as well.
            self.core.turn.ready();
        }
    }

    /// Dials the server again, if it is time.
    pub(super) fn redial_server(&mut self) {
        let now = self.core.turn.now;
        if !self.is_ending() && self.uplink.as_mut().is_some_and(|uplink| uplink.servers.redial().poll(now)) {
            self.dial_server();
        }
    }

    /// Closes the WebSocket to the server at the end of the run, as far as possible without waiting.
    pub(super) fn hang_up(&mut self) {
        if let Some(key) = self.uplink.as_ref().and_then(|uplink| uplink.link) {
            self.links.close(&mut self.core.turn, key, close_code::NORMAL, closing::HOST_ENDED);
        }
    }
}

fn nonsense() -> WebSocketError {
    WebSocketError::Protocol("it sent an unexpected message; is it a pinhole server?".to_owned())
}
