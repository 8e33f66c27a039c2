//! How a session begins: with the pin the first time, with a ticket later. Also what follows from attempts that fail.
//!
//! A forwarder of the WebSocket may play the host, and learns from each confirm whether one guess of the pin is right.
//! So the pin is used only if the host has no ticket of ours: before the first session, and after its process was
//! replaced.

use std::time::{Duration, Instant};

use log::info;
use rand::RngExt;

use super::dial::OPEN_TIMEOUT;
use super::links::{ANSWER_TIMEOUT, Phase};
use super::{Client, MIN_BACKOFF, Stage};
use crate::net::system;
use crate::net::websocket::WebSocketError;
use crate::run::RunError;
use crate::run::keys::LinkKey;
use crate::session::{End, Signal};
use crate::signaling::Ticket;
use crate::signaling::error::{SignalingError, Violation};
use crate::signaling::exposure::Exposure;
use crate::signaling::handshake::{ClientHandshake, Established};
use crate::signaling::message::ErrorCode;
use crate::signaling::resume::ClientResume;
use crate::status::event::Event;

/// How long a client that was never connected keeps asking a busy host.
const BUSY_PATIENCE: Duration = Duration::from_secs(90);

/// Longest pause before a busy host is asked again. Its queue may have room long before its last entry has had its
/// turn, and asking once more costs neither side anything.
const MAX_BUSY_PAUSE: Duration = Duration::from_secs(5);

/// State of the attempts to join.
#[derive(Default)]
pub(super) struct Joining {
    /// The code of the last reported failure.
    pub(super) last_failure: String,
    /// The ticket that replaces the pin.
    ticket: Option<Ticket>,
    /// The host says that it does not have the ticket: the next attempt uses the pin.
    is_forgotten: bool,
    exposure: Exposure,
    /// When the host began to be busy.
    busy_since: Option<Instant>,
}

impl Joining {
    /// Forgets how often the former pin was exposed.
    pub(super) fn pin_changed(&mut self) {
        self.exposure = Exposure::default();
    }
}

impl Client {
    /// Begins the exchange on a WebSocket that was opened for a new session.
    pub(super) fn introduce(&mut self, key: LinkKey) {
        let is_pin_due =
            self.joining.is_forgotten && self.joining.exposure.next(self.core.turn.now) <= self.core.turn.now;
        let ticket = self.joining.ticket.as_ref().filter(|_| !is_pin_due);
        let (phase, text, timeout) = match ticket.map(ClientResume::with_ticket) {
            Some((resume, text)) => (Phase::Returning(Some(resume)), text, OPEN_TIMEOUT),
            None => {
                let (handshake, hello) = ClientHandshake::with(&self.config.pin, self.config.url.invitation());
                self.joining.is_forgotten = false;
                (Phase::Pake(handshake), hello, ANSWER_TIMEOUT)
            }
        };
        self.links[key].phase = phase;
        self.links.begin_step(&mut self.core.turn, key, timeout);
        self.send(key, Signal::Text(text));
    }

    /// Sends our proof of the pin. The other side has not proved anything yet.
    pub(super) fn confirm(&mut self, key: LinkKey, confirm: String) {
        self.joining.exposure.confirmed(self.core.turn.now);
        self.send(key, Signal::Text(confirm));
    }

    /// Handles the host's proof that it knows the pin.
    pub(super) fn proven(&mut self, key: LinkKey, established: Established) {
        self.joining.exposure.proven();
        self.joining.ticket = Some(established.ticket.clone());
        self.start_session(key, established);
    }

    /// Handles the host's answer to our ticket.
    pub(super) fn handle_returned(&mut self, key: LinkKey, resume: ClientResume, text: &str) {
        match resume.handle_returned(text) {
            Ok((proof, established)) => {
                self.joining.is_forgotten = false;
                self.send(key, Signal::Text(proof));
                // The link may be lost by now, which has been handled.
                if self.links.contains(key) {
                    self.start_session(key, established);
                }
            }
            // A host that does not know tickets answers `Protocol`.
            Err(SignalingError::Refused { code: ErrorCode::UnknownSession | ErrorCode::Protocol, .. }) => {
                self.close_link(key);
                self.joining.is_forgotten = true;
                let pause =
                    self.joining.exposure.next(self.core.turn.now).saturating_duration_since(self.core.turn.now);
                if !pause.is_zero() {
                    let seconds = pause.as_secs() + 1;
                    self.reconnecting(
                        "forgotten",
                        format!(
                            "the host does not know this client any more, for the second time; the pin is used again in {seconds} s"
                        ),
                    );
                }
                self.rejoin_after(pause);
            }
            Err(error) => self.refuse(key, error),
        }
    }

    /// Handles a failed attempt to join. The first failure ends the run, unless the host was busy or `--retry` was
    /// given. Later failures lead to a pause and another attempt, unless the host itself refused.
    pub(super) fn join_failed(&mut self, error: RunError) {
        if self.joining.exposure.is_spent() {
            info!("joining failed: {error}");
            return self.finish(Err(RunError::PinExposed));
        }
        let has_others = self.servers.leads_elsewhere(self.core.turn.now) && is_of_one_server(&error);
        let asked = busy(&error).filter(|_| !has_others);
        if asked.is_none() {
            self.joining.busy_since = None;
        }
        let was_connected = match self.stage {
            Stage::Joining => false,
            Stage::Serving => true,
            Stage::Leaving(_) | Stage::Over(_) => return self.finish(Err(error)),
        };
        if !was_connected && let Some(asked) = asked {
            return self.wait_while_busy(asked, error);
        }
        let is_final = match &error {
            RunError::Signaling(error) => !is_passing(error),
            RunError::WebSocket(_) | RunError::Start(_) | RunError::Session(_) => false,
            _ => true,
        };
        let may_wait = was_connected || error.may_pass();
        if !has_others && (is_final || !may_wait) {
            return self.finish(Err(error));
        }
        if !has_others && !was_connected && !self.config.retry {
            return self.finish(Err(RunError::NotYet(Box::new(error))));
        }
        info!("joining failed: {error}");
        let next = if has_others { "another server" } else { "again" };
        self.reconnecting(error.code(), format!("{error}; trying {next}"));
        if !has_others {
            // To wait for the host is what this run is there for now: nobody who started it should wait as well.
            self.core.turn.ready();
        }
        let pause = self.servers.pause(self.core.turn.now, system::rng().random_range(0.0..1.0));
        self.rejoin_after(pause + asked.unwrap_or_default().min(MAX_BUSY_PAUSE));
    }

    /// Asks a busy host again after a pause, for as long as a person may want to wait.
    fn wait_while_busy(&mut self, asked: Duration, error: RunError) {
        let since = *self.joining.busy_since.get_or_insert(self.core.turn.now);
        if self.core.turn.now.saturating_duration_since(since) >= BUSY_PATIENCE && !self.config.retry {
            return self.finish(Err(RunError::Busy { seconds: BUSY_PATIENCE.as_secs() }));
        }
        let patience = match self.config.retry {
            true => String::new(),
            false => format!(" for up to {} s", BUSY_PATIENCE.as_secs()),
        };
        self.reconnecting("busy", format!("the host is busy ({error}); it will be asked again{patience}"));
        let jitter = system::rng().random_range(1.0..1.5);
        self.rejoin_after(asked.clamp(MIN_BACKOFF, MAX_BUSY_PAUSE).mul_f64(jitter));
    }

    /// Reports why there is no session yet. The same kind of failure is reported once, even if its words vary.
    fn reconnecting(&mut self, code: &str, message: String) {
        if code != self.joining.last_failure {
            self.core.turn.report(&Event::Reconnecting { message });
            self.joining.last_failure = code.to_owned();
        }
    }
}

/// Returns how long a busy host asks us to wait.
fn busy(error: &RunError) -> Option<Duration> {
    match error {
        RunError::Signaling(SignalingError::Refused { code: ErrorCode::Busy, retry_after, .. }) => {
            Some(retry_after.unwrap_or_default())
        }
        RunError::WebSocket(WebSocketError::Busy { retry_after }) => Some(*retry_after),
        _ => None,
    }
}

/// Tells whether another server of the same cluster may have the host, as far as an error tells.
fn is_of_one_server(error: &RunError) -> bool {
    match error {
        RunError::WebSocket(_) => true,
        RunError::Session(end) => matches!(end, End::SignalingLost),
        RunError::Signaling(SignalingError::Refused { code, .. }) => {
            // A server that has just started may not know the host yet.
            matches!(code, ErrorCode::UnknownHost | ErrorCode::Busy | ErrorCode::Full | ErrorCode::Restart)
        }
        _ => false,
    }
}

/// Tells whether a refusal may pass with time.
fn is_passing(error: &SignalingError) -> bool {
    match error {
        SignalingError::Refused { code, .. } => {
            // A host that a server does not know at present may be coming back.
            !matches!(code, ErrorCode::BadPin | ErrorCode::Denied | ErrorCode::Version)
        }
        SignalingError::NoInvitations => false,
        // A forwarder may send anything; only a wrong proof shows that the other side does not know the pin.
        SignalingError::Protocol(violation) => !matches!(violation, Violation::HostUnproven | Violation::Pake),
        _ => false,
    }
}
