//! Visits a host: whether its signaling answers, whether the pin is right, and what it knows of its network.
//!
//! ```text
//!   LookingUp ─▶ Opening ─▶ Pake ─▶ Talking ─▶ Leaving ─▶ Over
//!        └──────────┴─ error, no pin ─┴───────────────────▲
//! ```

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use log::debug;
use rustls::ClientConfig as TlsConfig;

use super::LINK;
use crate::config::VisitConfig;
use crate::net::resolver::{Asker, Lookup, Resolver};
use crate::net::system::{Event as MioEvent, Interest, Registry, Waker};
use crate::net::websocket::{UpgradeRequest, WebSocket, WebSocketError, WebSocketEvent, close_code};
use crate::run::RunError;
use crate::run::attempts::Attempts;
use crate::signaling::error::SignalingError;
use crate::signaling::farewell::Farewell;
use crate::signaling::handshake::{ClientHandshake, ClientStep, Established};
use crate::signaling::message::Inner;
use crate::signaling::network::{Network, Udp};

/// How long the host's name may take to resolve, and one of its addresses to answer.
const OPEN_TIMEOUT: Duration = Duration::from_secs(4);

/// Addresses of the host that are tried: an attempt that hangs takes its whole time.
const MAX_ADDRESSES: usize = 3;

/// How long the host may take to answer a step of the handshake; it may be slowing down guesses.
const PAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// How long the host's findings are waited for: as long as it may wait for its STUN servers, and a little.
const FINDINGS_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a closing handshake may take.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// One visit.
pub(super) struct Visit {
    config: VisitConfig,
    tls: Option<Arc<TlsConfig>>,
    resolver: Resolver<()>,
    attempts: Attempts,
    phase: Phase,
    /// When the present phase is over in any case.
    deadline: Instant,
    dialled_at: Instant,
    open_time: Option<Duration>,
    is_proven: bool,
    ours: Network,
    /// Ours are all the findings there will be.
    is_final: bool,
    theirs: Option<Network>,
    failure: Option<RunError>,
}

enum Phase {
    LookingUp,
    Opening(WebSocket),
    /// Both sides prove that they know the pin.
    Pake(WebSocket, ClientHandshake),
    /// Both sides say what they know.
    Talking(WebSocket, Box<Established>),
    Leaving(WebSocket),
    Over,
}

/// What a visit came to.
pub(super) struct Visited {
    /// The URL, without the pin.
    pub(super) url: String,
    /// How long the WebSocket took to open; `None` if it did not.
    pub(super) open_time: Option<Duration>,
    /// The pin was known and right.
    pub(super) is_proven: bool,
    /// What the host said of its network.
    pub(super) theirs: Option<Network>,
    /// What went wrong.
    pub(super) failure: Option<RunError>,
}

impl Visit {
    /// Starts to look up the host.
    pub(super) fn start(
        now: Instant,
        registry: &Registry,
        waker: Arc<Waker>,
        config: VisitConfig,
        tls: Option<Arc<TlsConfig>>,
    ) -> Visit {
        let (host, port) = config.first_hop();
        let host = host.to_owned();
        let mut visit = Visit {
            config,
            tls,
            resolver: Resolver::new(waker),
            attempts: Attempts::default(),
            phase: Phase::LookingUp,
            deadline: now + OPEN_TIMEOUT,
            dialled_at: now,
            open_time: None,
            is_proven: false,
            ours: Network::unknown(true, true),
            is_final: false,
            theirs: None,
            failure: None,
        };
        match visit.resolver.resolve(Asker::Own, (), &host, port) {
            Ok(Lookup::Ready(addresses)) => visit.found(now, registry, addresses),
            Ok(Lookup::Pending) => {}
            Err(error) => visit.fail(WebSocketError::Dns { host, reason: error.to_string() }),
        }
        visit
    }

    /// Takes note of what an event of the WebSocket's socket says.
    pub(super) fn handle_event(&mut self, event: &MioEvent) {
        if let Some(websocket) = self.websocket() {
            websocket.handle_event(event);
        }
    }

    /// Gives what there is to say of our network; it is all there will be.
    pub(super) fn handle_findings(&mut self, ours: Network) {
        self.ours = ours;
        self.is_final = true;
        if let Phase::Talking(websocket, established) = &mut self.phase {
            let text = established.sealer.seal(&Inner::Network(ours));
            if let Err(error) = websocket.send_text(text) {
                self.fail(error);
            }
        }
    }

    /// Gets on as far as possible.
    pub(super) fn advance(&mut self, now: Instant, registry: &Registry) {
        if let Phase::LookingUp = self.phase
            && let Some((_, answer)) = self.resolver.poll()
        {
            match answer {
                Ok(addresses) => self.found(now, registry, addresses),
                Err(reason) => self.fail(WebSocketError::Dns { host: self.config.first_hop().0.to_owned(), reason }),
            }
        }
        self.poll_websocket(now, registry);
        if self.deadline <= now {
            self.time_is_up(now, registry);
        }
        self.leave_if_done(now);
    }

    /// Returns when [`Visit::advance`] wants to be called.
    pub(super) fn poll_timeout(&self, now: Instant) -> Option<Instant> {
        match &self.phase {
            Phase::Over => None,
            Phase::Opening(websocket)
            | Phase::Pake(websocket, _)
            | Phase::Talking(websocket, _)
            | Phase::Leaving(websocket)
                if websocket.is_ready() =>
            {
                Some(now)
            }
            // Our own findings are waited for then.
            Phase::Talking(..) if self.deadline <= now => None,
            _ => Some(self.deadline),
        }
    }

    /// Tells whether nothing more will come of it.
    pub(super) fn is_over(&self) -> bool {
        matches!(self.phase, Phase::Over)
    }

    /// Returns what it came to.
    pub(super) fn into_result(self) -> Visited {
        let Visit { config, open_time, is_proven, theirs, failure, .. } = self;
        Visited { url: config.url.to_string(), open_time, is_proven, theirs, failure }
    }

    fn found(&mut self, now: Instant, registry: &Registry, addresses: Vec<SocketAddr>) {
        self.attempts = Attempts::at(addresses.into_iter().take(MAX_ADDRESSES));
        self.dial(now, registry);
    }

    /// One address of the host will not do.
    fn next(&mut self, now: Instant, registry: &Registry, error: WebSocketError) {
        self.attempts.failed(error);
        self.dial(now, registry);
    }

    /// Tries the next address of the host.
    fn dial(&mut self, now: Instant, registry: &Registry) {
        let url = &self.config.url;
        let authority = url.authority();
        while let Some(address) = self.attempts.next() {
            let request = UpgradeRequest::new(url, &self.config.headers, self.config.proxy.as_ref());
            let opened = WebSocket::dial(address, &request, self.tls.clone())
                .and_then(|websocket| register(registry, websocket).map_err(WebSocketError::Io));
            match opened {
                Ok(websocket) => {
                    self.phase = Phase::Opening(websocket);
                    self.dialled_at = now;
                    self.deadline = now + OPEN_TIMEOUT;
                    return;
                }
                Err(failure) => self.attempts.failed(failure),
            }
        }
        let failure = std::mem::take(&mut self.attempts).into_failure(authority);
        self.fail(failure);
    }

    fn poll_websocket(&mut self, now: Instant, registry: &Registry) {
        while let Some(websocket) = self.websocket() {
            match websocket.poll() {
                Ok(Some(WebSocketEvent::Open)) => self.opened(now),
                Ok(Some(WebSocketEvent::Text(text))) => self.handle_text(now, &text),
                // Nobody started a relay.
                Ok(Some(WebSocketEvent::Binary(_))) => {}
                Ok(Some(WebSocketEvent::Closed { reason, .. })) => self.closed(&reason),
                Ok(None) => return,
                Err(error) => match self.phase {
                    Phase::Opening(_) => self.next(now, registry, error),
                    Phase::Leaving(_) => self.phase = Phase::Over,
                    _ => self.fail(error),
                },
            }
        }
    }

    fn opened(&mut self, now: Instant) {
        self.open_time = Some(now.saturating_duration_since(self.dialled_at));
        let Phase::Opening(websocket) = std::mem::replace(&mut self.phase, Phase::Over) else { return };
        match &self.config.pin {
            Some(pin) => {
                let (handshake, hello) = ClientHandshake::start(pin);
                self.phase = Phase::Pake(websocket, handshake);
                self.deadline = now + PAKE_TIMEOUT;
                self.send(hello);
            }
            None => self.leave(now, websocket),
        }
    }

    fn handle_text(&mut self, now: Instant, text: &str) {
        match &mut self.phase {
            Phase::Pake(_, handshake) => match handshake.handle_text(text) {
                Ok(ClientStep::Send(reply)) => self.send(reply),
                Ok(ClientStep::Done(established)) => self.established(now, established),
                Err(error) => self.refuse(error),
            },
            Phase::Talking(_, established) => match established.opener.open(text) {
                Ok(Inner::Network(network)) => self.theirs = Some(network),
                Ok(Inner::Bye { reason }) => {
                    self.fail(WebSocketError::Protocol(format!("the host ended the visit: {reason}")));
                }
                // The offer and candidates are for clients that stay.
                Ok(_) => {}
                Err(error) => self.refuse(error),
            },
            Phase::LookingUp | Phase::Opening(_) | Phase::Leaving(_) | Phase::Over => {}
        }
    }

    fn established(&mut self, now: Instant, mut established: Established) {
        let Phase::Pake(mut websocket, _) = std::mem::replace(&mut self.phase, Phase::Over) else { return };
        self.is_proven = true;
        let text = established.sealer.seal(&Inner::Network(self.ours));
        match websocket.send_text(text) {
            Ok(()) => {
                self.phase = Phase::Talking(websocket, Box::new(established));
                self.deadline = now + FINDINGS_TIMEOUT;
            }
            Err(error) => self.fail(error),
        }
    }

    /// Says good-bye once both sides have said all they know, or the host's time is up.
    fn leave_if_done(&mut self, now: Instant) {
        let is_told = self.theirs.is_some_and(|theirs| theirs.udp != Udp::Unknown || !theirs.direct);
        let is_done = self.is_final && (is_told || self.deadline <= now);
        if !is_done || !matches!(self.phase, Phase::Talking(..)) {
            return;
        }
        let Phase::Talking(mut websocket, mut established) = std::mem::replace(&mut self.phase, Phase::Over) else {
            return;
        };
        let text = established.sealer.seal(&Inner::Bye { reason: Farewell::Check });
        if let Err(error) = websocket.send_text(text) {
            debug!("good-bye error={error}");
        }
        self.leave(now, websocket);
    }

    fn leave(&mut self, now: Instant, mut websocket: WebSocket) {
        websocket.close(close_code::NORMAL, Farewell::Check.as_str());
        self.phase = Phase::Leaving(websocket);
        self.deadline = now + CLOSE_TIMEOUT;
    }

    fn closed(&mut self, reason: &str) {
        match self.phase {
            Phase::Leaving(_) => self.phase = Phase::Over,
            _ => self.fail(WebSocketError::Protocol(format!("the host closed signaling: {reason}"))),
        }
    }

    fn time_is_up(&mut self, now: Instant, registry: &Registry) {
        match &self.phase {
            Phase::LookingUp => {
                let reason = "its name was not resolved in time".to_owned();
                self.fail(WebSocketError::Dns { host: self.config.first_hop().0.to_owned(), reason });
            }
            Phase::Opening(websocket) => {
                let error = websocket.timed_out();
                self.next(now, registry, error);
            }
            Phase::Pake(..) => self.fail(WebSocketError::Protocol(
                "the host did not answer in time; it may be slowing down guesses of its pin, try again later"
                    .to_owned(),
            )),
            Phase::Leaving(_) => self.phase = Phase::Over,
            Phase::Talking(..) | Phase::Over => {}
        }
    }

    fn send(&mut self, text: String) {
        if let Some(websocket) = self.websocket()
            && let Err(error) = websocket.send_text(text)
        {
            self.fail(error);
        }
    }

    /// Gives up because of what the host said; it is told why, unless it said so itself.
    fn refuse(&mut self, error: SignalingError) {
        if !matches!(error, SignalingError::Refused { .. }) {
            self.send(error.to_text());
        }
        self.fail(error);
    }

    fn fail(&mut self, error: impl Into<RunError>) {
        self.failure.get_or_insert(error.into());
        self.phase = Phase::Over;
    }

    fn websocket(&mut self) -> Option<&mut WebSocket> {
        match &mut self.phase {
            Phase::Opening(websocket)
            | Phase::Pake(websocket, _)
            | Phase::Talking(websocket, _)
            | Phase::Leaving(websocket) => Some(websocket),
            Phase::LookingUp | Phase::Over => None,
        }
    }
}

fn register(registry: &Registry, mut websocket: WebSocket) -> io::Result<WebSocket> {
    registry.register(websocket.source(), LINK, Interest::READABLE | Interest::WRITABLE)?;
    Ok(websocket)
}
