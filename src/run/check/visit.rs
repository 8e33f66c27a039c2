//! Visits a host, to find out whether its signaling answers, whether the pin is right, and what it knows of its
//! network.
//!
//! ```text
//!   LookingUp ─▶ Visiting: Opening ─▶ Pake ─▶ Talking ─▶ Leaving ─▶ Over
//!        │                    ├───────┴─ no pin ──┴──────────▲       ▲
//!        └─ error ────────────┴─ error ──────────────────────────────┘
//! ```

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use log::debug;

use crate::config::VisitConfig;
use crate::net::resolver::{Asker, Lookup, Resolver};
use crate::net::websocket::{WebSocketError, close_code};
use crate::run::RunError;
use crate::run::keys::LinkKey;
use crate::run::links::{Attempts, LinkEvent, Links, Patience, Wake, Way};
use crate::run::notice::LinkNotice;
use crate::run::turn::Turn;
use crate::signaling::error::SignalingError;
use crate::signaling::farewell::Farewell;
use crate::signaling::handshake::{ClientHandshake, ClientStep, Established};
use crate::signaling::message::Inner;
use crate::signaling::network::{Network, Udp};
use crate::signaling::rendezvous::Payload;

/// Time for resolving the host's name, and for one of its addresses to answer.
const OPEN_TIMEOUT: Duration = Duration::from_secs(4);

/// The same time for each of several addresses.
const PATIENCE: Patience = Patience { last: OPEN_TIMEOUT, others: OPEN_TIMEOUT };

/// Maximum number of addresses of the host that are tried: an attempt that hangs takes its whole time.
const MAX_ADDRESSES: usize = 3;

/// Time for the host to answer a step of the handshake; it may be slowing down guesses.
const PAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// Time for the host's findings: as long as it may wait for its STUN servers, and a little more.
const FINDINGS_TIMEOUT: Duration = Duration::from_secs(5);

/// One visit.
pub(super) struct Visit {
    config: VisitConfig,
    way: Way,
    resolver: Resolver<()>,
    links: Links<Phase>,
    stage: Stage,
    dialled_at: Instant,
    open_time: Option<Duration>,
    is_proven: bool,
    ours: Network,
    /// Our findings are complete.
    is_final: bool,
    theirs: Option<Network>,
    failure: Option<RunError>,
}

enum Stage {
    /// The host's name is looked up, until this time.
    LookingUp(Instant),
    Visiting,
    Over,
}

enum Phase {
    Opening,
    /// Both sides prove that they know the pin.
    Pake(ClientHandshake),
    /// Both sides tell what they know.
    Talking {
        established: Box<Established>,
        /// The host's time is over.
        is_late: bool,
    },
    Leaving,
}

/// The result of a visit.
pub(super) struct Visited {
    /// The URL, without the pin.
    pub(super) url: String,
    /// How long the WebSocket took to open; `None` if it did not.
    pub(super) open_time: Option<Duration>,
    /// The pin was known and right.
    pub(super) is_proven: bool,
    /// What the host told about its network.
    pub(super) theirs: Option<Network>,
    /// Why the visit failed.
    pub(super) failure: Option<RunError>,
}

impl Visit {
    /// Prepares a visit.
    ///
    /// # Errors
    /// Certificates cannot be read.
    pub(super) fn new(turn: &Turn, config: VisitConfig) -> Result<Visit, RunError> {
        Ok(Visit {
            way: Way::new(&config.url, &config.headers, config.proxy.as_ref(), config.ca.as_deref())?,
            config,
            resolver: Resolver::new(turn.waker()),
            links: Links::new(),
            stage: Stage::LookingUp(turn.now + OPEN_TIMEOUT),
            dialled_at: turn.now,
            open_time: None,
            is_proven: false,
            ours: Network::unknown(true, true),
            is_final: false,
            theirs: None,
            failure: None,
        })
    }

    /// Starts to look up the host.
    pub(super) fn look_up(&mut self, turn: &mut Turn) {
        let (host, port) = self.way.first_hop();
        match self.resolver.resolve(Asker::Own, (), host, port) {
            Ok(Lookup::Ready(addresses)) => self.found(turn, addresses),
            Ok(Lookup::Pending) => {}
            Err(error) => self.not_found(error.to_string()),
        }
    }

    /// Handles an event of the WebSocket.
    pub(super) fn handle_link(&mut self, turn: &mut Turn, notice: LinkNotice) {
        match self.links.handle(notice) {
            Some(Wake::Ready(key)) => self.poll_link(turn, key),
            Some(Wake::Late(key)) => self.handle_late(turn, key),
            None => {}
        }
    }

    /// Sends the final findings about our network.
    pub(super) fn handle_findings(&mut self, turn: &Turn, ours: Network) {
        self.ours = ours;
        self.is_final = true;
        let Some(key) = self.links.find(|phase| matches!(phase, Phase::Talking { .. })) else { return };
        if let Phase::Talking { established, .. } = &mut self.links[key].phase {
            let text = established.sealer.seal(&Inner::Network(ours));
            self.send(turn, key, text);
        }
    }

    /// Makes as much progress as possible.
    pub(super) fn advance(&mut self, turn: &mut Turn) {
        if let Stage::LookingUp(by) = self.stage {
            match self.resolver.poll() {
                Some((_, Ok(addresses))) => self.found(turn, addresses),
                Some((_, Err(reason))) => self.not_found(reason),
                None if by <= turn.now => self.not_found("its name was not resolved in time".to_owned()),
                None => {}
            }
        }
        self.leave_if_done(turn);
    }

    /// Returns when [`Visit::advance`] must be called, beside on events.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        if let Stage::LookingUp(by) = self.stage { Some(by) } else { None }
    }

    /// Tells whether the visit is over.
    pub(super) fn is_over(&self) -> bool {
        matches!(self.stage, Stage::Over)
    }

    /// Returns the result.
    pub(super) fn into_result(self) -> Visited {
        let Visit { config, open_time, is_proven, theirs, failure, .. } = self;
        Visited { url: config.url.to_string(), open_time, is_proven, theirs, failure }
    }

    fn found(&mut self, turn: &mut Turn, addresses: Vec<SocketAddr>) {
        self.dial(turn, Attempts::at(addresses.into_iter().take(MAX_ADDRESSES), PATIENCE));
    }

    fn not_found(&mut self, reason: String) {
        self.fail(WebSocketError::Dns { host: self.way.first_hop().0.to_owned(), reason });
    }

    /// Tries the next address of the host.
    fn dial(&mut self, turn: &mut Turn, attempts: Attempts) {
        self.stage = Stage::Visiting;
        self.dialled_at = turn.now;
        if let Err(failure) = self.links.dial(turn, &self.way, attempts, Phase::Opening) {
            self.fail(failure);
        }
    }

    fn poll_link(&mut self, turn: &mut Turn, key: LinkKey) {
        while let Some(event) = self.links.poll(turn, key) {
            match event {
                LinkEvent::Open => self.opened(turn, key),
                LinkEvent::Text(text) => self.handle_text(turn, key, &text),
                LinkEvent::Closed(reason) => {
                    let error = WebSocketError::Protocol(format!("the host closed signaling: {reason}"));
                    self.lost(turn, key, error);
                }
                LinkEvent::Failed(error) => self.lost(turn, key, error),
                // A visitor starts no relay and accepts no connections.
                LinkEvent::Binary(_) | LinkEvent::Asked | LinkEvent::Answered => {}
            }
        }
    }

    fn lost(&mut self, turn: &mut Turn, key: LinkKey, error: WebSocketError) {
        let Some(link) = self.links.remove(turn, key) else { return };
        match link.phase {
            Phase::Opening => self.dial(turn, link.into_attempts(error)),
            Phase::Leaving => self.stage = Stage::Over,
            Phase::Pake(_) | Phase::Talking { .. } => self.fail(error),
        }
    }

    fn opened(&mut self, turn: &mut Turn, key: LinkKey) {
        self.open_time = Some(turn.now.saturating_duration_since(self.dialled_at));
        match &self.config.pin {
            Some(pin) => {
                let (handshake, hello) = ClientHandshake::with(pin, self.config.url.invitation());
                self.links[key].phase = Phase::Pake(handshake);
                self.links.begin_step(turn, key, PAKE_TIMEOUT);
                self.send(turn, key, hello);
            }
            None => self.leave(turn, key),
        }
    }

    fn handle_text(&mut self, turn: &mut Turn, key: LinkKey, text: &str) {
        match &mut self.links[key].phase {
            Phase::Pake(handshake) => match handshake.handle_text(text) {
                Ok(ClientStep::Send(reply)) => self.send(turn, key, reply),
                Ok(ClientStep::Done(established)) => self.established(turn, key, established),
                Err(error) => self.refuse(turn, key, error),
            },
            Phase::Talking { established, .. } => match established.opener.open(text) {
                Ok(Inner::Network(network)) => self.theirs = Some(network),
                Ok(Inner::Bye { reason }) => {
                    self.lost(turn, key, WebSocketError::Protocol(format!("the host ended the visit: {reason}")));
                }
                // The offer and candidates are for clients that stay.
                Ok(_) => {}
                Err(error) => self.refuse(turn, key, error),
            },
            Phase::Opening | Phase::Leaving => {}
        }
    }

    fn established(&mut self, turn: &mut Turn, key: LinkKey, mut established: Established) {
        self.is_proven = true;
        let text = established.sealer.seal(&Inner::Network(self.ours));
        self.links[key].phase = Phase::Talking { established: Box::new(established), is_late: false };
        self.links.begin_step(turn, key, FINDINGS_TIMEOUT);
        self.send(turn, key, text);
    }

    /// Says good-bye once both sides have told all they know, or the host's time is over.
    fn leave_if_done(&mut self, turn: &mut Turn) {
        let is_told = self.theirs.is_some_and(|theirs| theirs.udp != Udp::Unknown || !theirs.direct);
        let is_done = |phase: &Phase| matches!(phase, Phase::Talking { is_late, .. } if is_told || *is_late);
        let Some(key) = self.links.find(is_done).filter(|_| self.is_final) else { return };
        if let Phase::Talking { established, .. } = &mut self.links[key].phase {
            let bye = established.sealer.seal(&Inner::Bye { reason: Farewell::Check });
            if let Err(error) = self.links.send(key, Payload::Text(bye)) {
                debug!("good-bye error={error}");
            }
        }
        self.leave(turn, key);
    }

    fn leave(&mut self, turn: &mut Turn, key: LinkKey) {
        self.links[key].phase = Phase::Leaving;
        self.links.close(turn, key, close_code::NORMAL, Farewell::Check.as_str());
    }

    /// Handles a WebSocket whose current step took too long.
    fn handle_late(&mut self, turn: &mut Turn, key: LinkKey) {
        let error = match &mut self.links[key].phase {
            Phase::Opening | Phase::Leaving => self.links[key].timed_out(),
            Phase::Pake(_) => WebSocketError::Protocol(
                "the host did not answer in time; it may be slowing down guesses of its pin, try again later"
                    .to_owned(),
            ),
            // Our own findings may still be missing.
            Phase::Talking { is_late, .. } => {
                *is_late = true;
                return;
            }
        };
        self.lost(turn, key, error);
    }

    fn send(&mut self, turn: &Turn, key: LinkKey, text: String) {
        if let Err(error) = self.links.send(key, Payload::Text(text)) {
            self.give_up(turn, key, error);
        }
    }

    /// Gives up because of the host's message; tells the host why, unless it sent an error itself.
    fn refuse(&mut self, turn: &Turn, key: LinkKey, error: SignalingError) {
        if !matches!(error, SignalingError::Refused { .. }) {
            self.send(turn, key, error.to_text());
        }
        self.give_up(turn, key, error);
    }

    fn give_up(&mut self, turn: &Turn, key: LinkKey, error: impl Into<RunError>) {
        self.links.remove(turn, key);
        self.fail(error);
    }

    fn fail(&mut self, error: impl Into<RunError>) {
        self.failure.get_or_insert(error.into());
        self.stage = Stage::Over;
    }
}
