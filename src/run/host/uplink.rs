//! The WebSocket to a server at which the host has a lasting name. Clients come in by numbered conversations on it.
//!
//! ```text
//!   Away ──dial──▶ Opening ──open──▶ Registering ──registered──▶ Registered
//!     ▲               │                   │                          │
//!     └──── pause ◀───┴── failed, lost ◀──┴──────────────────────────┘
//! ```
//!
//! Sessions that have a direct path do not notice when it is lost; relayed ones are joined again once it is back.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use log::{debug, info};
use mio::Interest;
use mio::event::Event as MioEvent;
use rand::RngExt;
use rustls::ClientConfig as TlsConfig;

use super::Host;
use super::conversations::Conversations;
use crate::config::{PublicService, Registration};
use crate::net::resolver::{Asker, Lookup};
use crate::net::tls;
use crate::net::websocket::{UpgradeRequest, WebSocket, WebSocketError, WebSocketEvent, close_code};
use crate::run::RunError;
use crate::run::attempts::Attempts;
use crate::run::deadlines::{Due, HostDue};
use crate::run::dialer::Waiter;
use crate::run::liveness::Liveness;
use crate::run::notice::HostNotice;
use crate::run::token::Source;
use crate::signaling::binary::Binary;
use crate::signaling::message::{ErrorCode, ErrorMessage, MAX_RETRY_AFTER};
use crate::signaling::rendezvous::{self, FromHost, FromServer, Instance, Public, Register, SERVER};
use crate::status::event::Event;

/// How long the WebSocket may take to open, at one of several addresses, and how long the server may take to register
/// us: it may have to look first whether another process lives.
const OPEN_TIMEOUT: Duration = Duration::from_secs(15);
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(3);
const REGISTER_TIMEOUT: Duration = Duration::from_secs(15);

/// The shortest and the longest pause before the server is dialled anew; it doubles with every failure.
const MIN_BACKOFF: Duration = Duration::from_millis(500);
const MAX_BACKOFF: Duration = Duration::from_secs(30);

/// The host's side of a registration.
pub(super) struct Uplink {
    registration: Registration,
    instance: Instance,
    tls: Option<Arc<TlsConfig>>,
    /// Where the server was found last.
    addresses: Vec<SocketAddr>,
    state: State,
    /// The number of the step that its deadline is for.
    step: u64,
    pub(super) conversations: Conversations,
    backoff: Duration,
    redial_at: Option<Instant>,
    /// We were registered in this run: failures from then on are waited out.
    was_registered: bool,
    /// It was told that the server is away.
    is_told: bool,
    is_queued: bool,
    liveness: Liveness,
}

enum State {
    /// No WebSocket.
    Away,
    /// It is being opened; these addresses are tried next.
    Opening(WebSocket, Attempts),
    /// It is open, and we asked for our name.
    Registering(WebSocket),
    /// We have it.
    Registered(WebSocket),
}

impl State {
    fn websocket(&mut self) -> Option<&mut WebSocket> {
        match self {
            State::Away => None,
            State::Opening(websocket, _) | State::Registering(websocket) | State::Registered(websocket) => {
                Some(websocket)
            }
        }
    }
}

impl Uplink {
    /// Prepares a registration; nothing is dialled yet.
    pub(super) fn new(registration: Registration) -> Result<Uplink, RunError> {
        let tls = registration.server.tls.then(|| tls::client_config(registration.ca.as_deref())).transpose()?;
        Ok(Uplink {
            registration,
            instance: rendezvous::instance(),
            tls,
            addresses: Vec::new(),
            state: State::Away,
            step: 0,
            conversations: Conversations::default(),
            backoff: MIN_BACKOFF,
            redial_at: None,
            was_registered: false,
            is_told: false,
            is_queued: false,
            liveness: Liveness::default(),
        })
    }

    /// Returns the WebSocket while we are registered, and what goes over it.
    pub(super) fn registered(&mut self) -> Option<(&mut WebSocket, &mut Conversations)> {
        match &mut self.state {
            State::Registered(websocket) => Some((websocket, &mut self.conversations)),
            State::Away | State::Opening(..) | State::Registering(_) => None,
        }
    }

    fn register(&self) -> FromHost {
        let registration = &self.registration;
        let public = |public: &PublicService| Public {
            service: u16::try_from(public.service).unwrap_or(u16::MAX),
            auth: public.auth.as_ref().map(|auth| Binary(*auth.hash())),
        };
        FromHost::Register(Register {
            versions: rendezvous::VERSIONS.to_vec(),
            id: registration.id.clone(),
            token: registration.token.clone(),
            instance: self.instance,
            public: registration.public.as_ref().map(public),
            dial: registration.dial,
        })
    }
}

impl Host {
    /// Finds the server and dials it.
    pub(super) fn dial_server(&mut self) {
        let Some(uplink) = &mut self.uplink else { return };
        if !uplink.addresses.is_empty() {
            let attempts = Attempts::at(uplink.addresses.clone());
            self.open_uplink(attempts);
        }
        let Some(uplink) = &self.uplink else { return };
        let (host, port) = uplink.registration.first_hop();
        match self.core.resolver.resolve(Asker::Own, Waiter::Side, host, port) {
            Ok(Lookup::Ready(addresses)) => self.server_resolved(Ok(addresses)),
            Ok(Lookup::Pending) => {}
            Err(error) => self.server_resolved(Err(error.to_string())),
        }
    }

    /// Takes the addresses of the server. Those found before serve on if there are no newer ones.
    pub(super) fn server_resolved(&mut self, answer: Result<Vec<SocketAddr>, String>) {
        let Some(uplink) = &mut self.uplink else { return };
        match answer {
            Ok(addresses) => uplink.addresses = addresses,
            Err(reason) if uplink.addresses.is_empty() => {
                let host = uplink.registration.first_hop().0.to_owned();
                return self.uplink_lost(WebSocketError::Dns { host, reason });
            }
            Err(reason) => info!("look-up of the server failed, the last addresses are used: {reason}"),
        }
        if matches!(uplink.state, State::Away) && uplink.redial_at.is_none() {
            let attempts = Attempts::at(uplink.addresses.clone());
            self.open_uplink(attempts);
        }
    }

    /// Tries the next address of the server.
    fn open_uplink(&mut self, mut attempts: Attempts) {
        let Some(uplink) = &mut self.uplink else { return };
        let Registration { server, headers, proxy, .. } = &uplink.registration;
        let request = UpgradeRequest::new(&server.host_endpoint(), headers, proxy.as_ref());
        while let Some(address) = attempts.next() {
            let interest = Interest::READABLE | Interest::WRITABLE;
            let registry = self.core.turn.registry();
            let dialled = WebSocket::dial(address, &request, uplink.tls.clone()).and_then(|mut websocket| {
                let registered = registry.register(websocket.source(), Source::Uplink.token(), interest);
                let failed = |source| WebSocketError::Connect { authority: server.authority(), source };
                registered.map(|()| websocket).map_err(failed)
            });
            match dialled {
                Ok(websocket) => {
                    let timeout = if attempts.is_last() { OPEN_TIMEOUT } else { ATTEMPT_TIMEOUT };
                    uplink.state = State::Opening(websocket, attempts);
                    return self.expect_of_server(timeout);
                }
                Err(failure) => attempts.failed(failure),
            }
        }
        let authority = server.authority();
        self.uplink_lost(attempts.into_failure(authority));
    }

    fn expect_of_server(&mut self, timeout: Duration) {
        if let Some(uplink) = &mut self.uplink {
            uplink.step += 1;
            self.core.turn.set(timeout, Due::Host(HostDue::Uplink { step: uplink.step }));
        }
    }

    pub(super) fn handle_uplink_due(&mut self, step: u64) {
        let Some(uplink) = self.uplink.as_mut().filter(|uplink| uplink.step == step) else { return };
        if let State::Opening(websocket, _) | State::Registering(websocket) = &uplink.state {
            let error = websocket.timed_out();
            self.uplink_lost(error);
        }
    }

    pub(super) fn handle_uplink_event(&mut self, event: &MioEvent) {
        if let Some(websocket) = self.uplink.as_mut().and_then(|uplink| uplink.state.websocket()) {
            websocket.handle_event(event);
            self.poll_uplink();
        }
    }

    /// Takes what the server sends, until there is no more, or others have their turn.
    pub(super) fn poll_uplink(&mut self) {
        // Once the server has said why it gives us up, its end is nothing further.
        while self.failure.is_none() {
            let Some(uplink) = &mut self.uplink else { return };
            let Some(websocket) = uplink.state.websocket() else { return };
            match websocket.poll() {
                Ok(Some(WebSocketEvent::Open)) => self.uplink_opened(),
                Ok(Some(WebSocketEvent::Text(text))) => self.handle_server_text(&text),
                Ok(Some(WebSocketEvent::Binary(bytes))) if uplink.was_registered => self.handle_packet(bytes),
                Ok(Some(WebSocketEvent::Binary(_))) => return self.uplink_lost(nonsense()),
                Ok(Some(WebSocketEvent::Closed { reason, .. })) => {
                    let detail = if reason.is_empty() { String::new() } else { format!(" ({reason})") };
                    return self.uplink_lost(WebSocketError::Ended(format!("the server closed it{detail}")));
                }
                Ok(None) => {
                    if websocket.is_ready() && !std::mem::replace(&mut uplink.is_queued, true) {
                        self.core.turn.tell(HostNotice::UplinkPoll);
                    }
                    return self.pump_uplink();
                }
                Err(error) => return self.uplink_lost(error),
            }
        }
    }

    pub(super) fn poll_uplink_again(&mut self) {
        if let Some(uplink) = &mut self.uplink {
            uplink.is_queued = false;
        }
        self.poll_uplink();
    }

    fn uplink_opened(&mut self) {
        let Some(uplink) = &mut self.uplink else { return };
        let State::Opening(mut websocket, _) = std::mem::replace(&mut uplink.state, State::Away) else { return };
        let result = websocket.send_text(uplink.register().to_text());
        uplink.state = State::Registering(websocket);
        uplink.liveness = Liveness::default();
        match result {
            Ok(()) => self.expect_of_server(REGISTER_TIMEOUT),
            Err(error) => self.uplink_lost(error),
        }
    }

    fn handle_server_text(&mut self, text: &str) {
        let Some(uplink) = &mut self.uplink else { return };
        match (FromServer::parse(text), &uplink.state) {
            (Ok(FromServer::Registered { version, web }), State::Registering(_))
                if rendezvous::VERSIONS.contains(&version) =>
            {
                self.registered(web);
            }
            (Ok(FromServer::Error(error)), _) => self.refused_by_server(error),
            (Ok(FromServer::Joined { conversation, remote }), State::Registered(_)) if conversation != SERVER => {
                self.add_conversation(conversation, remote);
            }
            (Ok(FromServer::Left { conversation }), State::Registered(_)) => {
                if let Some(index) = uplink.conversations.remove(conversation) {
                    self.drop_link(index);
                }
            }
            (message, _) => {
                debug!("message of the server not understood: {:?}", message.err());
                self.uplink_lost(nonsense());
            }
        }
    }

    fn registered(&mut self, web: Option<String>) {
        let Some(uplink) = &mut self.uplink else { return };
        if let State::Registering(websocket) = std::mem::replace(&mut uplink.state, State::Away) {
            uplink.state = State::Registered(websocket);
        }
        (uplink.backoff, uplink.was_registered, uplink.is_told) = (MIN_BACKOFF, true, false);
        let id = uplink.registration.id.clone();
        let url = uplink.registration.server.client_endpoint(&id).with_pin(&self.pin);
        let pin = self.pin.reveal().to_owned();
        info!("registered id={id}");
        self.core.turn.report(&Event::Registered { id, url, pin, web });
    }

    /// The server gives us up, and says why.
    fn refused_by_server(&mut self, error: ErrorMessage) {
        let Some(uplink) = &mut self.uplink else { return };
        let is_passing = match error.code {
            ErrorCode::Restart | ErrorCode::Busy => true,
            ErrorCode::BadToken | ErrorCode::Denied | ErrorCode::Version | ErrorCode::Replaced => false,
            _ => uplink.was_registered,
        };
        if !is_passing {
            let failure = RunError::Refused { id: uplink.registration.id.to_string(), error };
            return self.fail(failure);
        }
        let asked = error.retry_after.map(|seconds| Duration::from_secs(seconds).min(MAX_RETRY_AFTER));
        uplink.backoff = uplink.backoff.max(asked.unwrap_or_default());
        uplink.was_registered = true;
        self.uplink_lost(WebSocketError::Ended(format!("the server said: {}", error.message)));
    }

    /// There is no WebSocket to the server, or none any more. The first time that is the end, without `--retry`; later
    /// it is waited out.
    pub(super) fn uplink_lost(&mut self, error: WebSocketError) {
        let Some(uplink) = &mut self.uplink else { return };
        let state = std::mem::replace(&mut uplink.state, State::Away);
        if let State::Opening(mut websocket, mut further) = state {
            self.deregister_uplink(&mut websocket);
            further.failed(error);
            return self.open_uplink(further);
        } else if let State::Registering(mut websocket) | State::Registered(mut websocket) = state {
            self.deregister_uplink(&mut websocket);
        }
        self.end_conversations();
        let Some(uplink) = &mut self.uplink else { return };
        if self.is_stopping {
            return;
        }
        let error = RunError::Server(error);
        match (uplink.was_registered, error.may_pass(), uplink.registration.retry) {
            (true, ..) | (false, true, true) => {}
            (false, true, false) => return self.fail(RunError::NotYet(Box::new(error))),
            (false, false, _) => return self.fail(error),
        }
        info!("server lost: {error}");
        let pause = uplink.backoff.mul_f64(rand::rng().random_range(0.5..1.0));
        uplink.backoff = (uplink.backoff * 2).min(MAX_BACKOFF);
        let at = self.core.turn.now + pause;
        uplink.redial_at = Some(at);
        self.core.turn.deadlines.add(at, Due::Host(HostDue::Redial));
        if !std::mem::replace(&mut uplink.is_told, true) {
            self.core.turn.report(&Event::ServerLost { message: format!("{error}; trying again") });
        }
    }

    fn deregister_uplink(&self, websocket: &mut WebSocket) {
        if let Err(error) = self.core.turn.registry().deregister(websocket.source()) {
            debug!("deregister error={error}");
        }
    }

    /// Dials the server anew, if its time has come.
    pub(super) fn redial_server(&mut self) {
        let Some(uplink) = &mut self.uplink else { return };
        if uplink.redial_at.is_some_and(|at| at <= self.core.turn.now) && !self.is_stopping {
            uplink.redial_at = None;
            self.dial_server();
        }
    }

    /// Closes the WebSocket to the server at the end of the run, as well as that goes without waiting.
    pub(super) fn hang_up(&mut self) {
        if let Some(websocket) = self.uplink.as_mut().and_then(|uplink| uplink.state.websocket()) {
            websocket.close(close_code::NORMAL, "the host ended");
        }
    }

    /// Drops the WebSocket to the server if it hangs on an address that this machine has no more.
    pub(super) fn handle_uplink_addresses(&mut self, vanished: &[std::net::IpAddr]) {
        let websocket = self.uplink.as_mut().and_then(|uplink| uplink.state.websocket());
        let local = websocket.and_then(|websocket| websocket.source().local_addr().ok());
        if local.is_some_and(|local| vanished.contains(&local.ip())) {
            self.uplink_lost(WebSocketError::Ended("this machine's address changed".to_owned()));
        }
    }

    /// Pings the server; one that is dead is given up.
    pub(super) fn keep_uplink_alive(&mut self) {
        let Some(uplink) = &mut self.uplink else { return };
        let State::Registered(websocket) = &mut uplink.state else { return };
        if !uplink.liveness.check(websocket) {
            let error = websocket.timed_out();
            self.uplink_lost(error);
        }
    }
}

fn nonsense() -> WebSocketError {
    WebSocketError::Protocol("it sent what makes no sense here; is it a pinhole server?".to_owned())
}
