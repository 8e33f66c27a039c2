//! Connections to the signaling port, from `accept` to the closing handshake.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use log::debug;

use super::Host;
use super::entrance::{Before, Entrant, Keyring};
use super::invitations::Entrance;
use crate::net::listen::{self, Accepted};
use crate::net::system::TcpStream;
use crate::net::websocket::{Admission, Incoming, WebSocketError, close_code};
use crate::run::RunError;
use crate::run::deadlines::Due;
use crate::run::deadlines::STEP_TIMEOUT;
use crate::run::keys::{LinkKey, Scope, SessionKey};
use crate::run::links::{LinkEvent, Wake, closed_by};
use crate::run::notice::{HostNotice, LinkNotice};
use crate::session::Signal;
use crate::shares::{Source, Standing};
use crate::signaling::closing;
use crate::signaling::error::{SignalingError, Violation};
use crate::signaling::handshake::{HostHandshake, HostStep};
use crate::signaling::rendezvous::Payload;
use crate::signaling::resume::HostResume;

/// Maximum number of connections accepted in one turn.
const ACCEPTS_PER_TURN: usize = 64;

/// How long a client should wait if the signaling port is full, in seconds.
const RETRY_AFTER: u32 = 5;

/// The phase of a link: the one to the server, or a client's, through the signaling port or the server.
///
/// ```text
///  Opening ──open──▶ Registering ──registered──▶ Registered
///
///        ┌─▶ Verifying ─────────┐
///  Pake ─┼─▶ Returning ─────────┼─▶ (Asking ─▶) Session ─▶ Closing
///        └─▶ Resuming ─▶ Session
/// ```
pub(super) enum Phase {
    /// The WebSocket to the server is being opened.
    Opening,
    /// The server was asked to register us.
    Registering,
    /// We are registered.
    Registered,
    /// The peers prove that they know this pin.
    Pake(HostHandshake, Entrance),
    /// The client's proof waits for its turn.
    Verifying(HostHandshake, Entrance),
    /// A client rejoins a session.
    Resuming(HostResume, SessionKey),
    /// A client with a ticket begins a session, after this one.
    Returning(HostResume, Before),
    /// A person is asked to approve.
    Asking(Box<Entrant>),
    /// A session is being negotiated or relayed.
    Session(SessionKey),
    /// Nothing more will be sent.
    Closing,
}

impl Phase {
    /// Returns the phase of a client that has not said anything.
    pub(super) fn begin() -> Phase {
        Phase::Pake(HostHandshake::new(), Entrance::Own)
    }

    /// Tells whether this is the phase of the link to the server.
    pub(super) fn is_uplink(&self) -> bool {
        matches!(self, Phase::Opening | Phase::Registering | Phase::Registered)
    }
}

impl Host {
    pub(super) fn accept(&mut self) -> Result<(), RunError> {
        for _ in 0..ACCEPTS_PER_TURN {
            let Some(listener) = &self.listener else { return Ok(()) };
            match listen::accept(listener) {
                Accepted::Connection(stream, remote) => self.add_link(stream, remote),
                Accepted::Empty => return Ok(()),
                Accepted::Exhausted(error) => {
                    debug!("accept paused: {error}");
                    self.core.turn.pause_accepting();
                    return Ok(());
                }
                Accepted::Fatal(error) => return Err(error.into()),
            }
        }
        self.core.turn.tell(HostNotice::Acceptable);
        Ok(())
    }

    fn add_link(&mut self, stream: TcpStream, remote: SocketAddr) {
        let source = Source::of(remote.ip());
        let admission = match self.make_place(source) {
            true => Admission::Open,
            false => Admission::Busy { retry_after_seconds: RETRY_AFTER },
        };
        let (incoming, phase) = (Incoming::new(stream, admission), Phase::begin());
        if let Some(key) = self.links.accept(&mut self.core.turn, incoming, remote, phase, STEP_TIMEOUT) {
            self.places.enter(key, source, Standing::Asking);
        }
    }

    /// Begins a client's next step, with its deadline.
    pub(super) fn begin_step(&mut self, key: LinkKey, timeout: Duration) {
        self.links.begin_step(&mut self.core.turn, key, timeout);
    }

    pub(super) fn handle_link(&mut self, notice: LinkNotice) {
        match self.links.handle(notice) {
            Some(Wake::Ready(key)) => self.poll_link(key),
            Some(Wake::Late(key)) => self.handle_link_late(key),
            None => {}
        }
    }

    fn poll_link(&mut self, key: LinkKey) {
        while !self.is_given_up_by(key)
            && let Some(event) = self.links.poll(&mut self.core.turn, key)
        {
            match event {
                LinkEvent::Open if self.links[key].phase.is_uplink() => self.uplink_opened(key),
                LinkEvent::Open if self.links[key].is_outdated => self.refuse(key, &SignalingError::InvitationUnread),
                LinkEvent::Open => self.begin_step(key, STEP_TIMEOUT),
                LinkEvent::Text(text) => self.handle_text(key, &text),
                LinkEvent::Binary(bytes) => self.handle_binary(key, bytes),
                LinkEvent::Closed(reason) => {
                    let whom = if self.links[key].phase.is_uplink() { "the server" } else { "the client" };
                    self.link_lost(key, closed_by(whom, &reason));
                }
                LinkEvent::Failed(error) => self.link_lost(key, error),
                LinkEvent::Asked | LinkEvent::Answered => self.drop_link(key),
            }
        }
        match self.links.get(key).map(|link| &link.phase) {
            Some(Phase::Registered) => self.pump_uplink(),
            _ => self.note_buffered(key),
        }
    }

    fn link_lost(&mut self, key: LinkKey, error: WebSocketError) {
        let Some(link) = self.links.get(key) else { return };
        if link.phase.is_uplink() {
            return self.uplink_lost(error);
        }
        debug!("remote={} signaling lost: {error}", link.remote);
        self.drop_link(key);
    }

    pub(super) fn handle_text(&mut self, key: LinkKey, text: &str) {
        if matches!(self.links.get(key).map(|link| &link.phase), Some(Phase::Pake(..))) {
            // Whether an invitation counts is decided by what is so now.
            self.expire_invitations();
        }
        let Some(link) = self.links.get_mut(key) else { return };
        match &mut link.phase {
            Phase::Registering | Phase::Registered => self.handle_server_text(key, text),
            Phase::Pake(handshake, entrance) => {
                let keyring = Keyring { own: &self.pin, invitations: &self.invitations, entrance };
                match handshake.handle_text(text, keyring) {
                    Ok(HostStep::Send(reply)) => {
                        self.send(key, reply);
                        self.begin_step(key, STEP_TIMEOUT);
                    }
                    Ok(HostStep::Verify) => self.enqueue(key),
                    Ok(HostStep::Resume(request)) => self.resume(key, &request),
                    Err(error) => self.refuse(key, &error),
                }
            }
            Phase::Resuming(..) => self.finish_resume(key, text),
            Phase::Returning(..) => self.finish_return(key, text),
            Phase::Session(session) => {
                if let Err(error) = self.core.sessions.handle_signal(self.core.turn.now, *session, text) {
                    self.refuse(key, &error);
                }
            }
            Phase::Verifying(..) | Phase::Asking(_) => {
                let error = SignalingError::Protocol(Violation::OutOfTurn("message"));
                self.refuse(key, &error);
            }
            Phase::Opening | Phase::Closing => {}
        }
    }

    /// Handles a message of the relay, or a packet of the server.
    pub(super) fn handle_binary(&mut self, key: LinkKey, bytes: Bytes) {
        match self.links.get(key).map(|link| &link.phase) {
            Some(Phase::Session(session)) => {
                if let Err(error) = self.core.sessions.handle_relayed(self.core.turn.now, *session, bytes) {
                    self.refuse(key, &error);
                }
            }
            Some(phase) if phase.is_uplink() => self.handle_server_binary(bytes),
            _ => self.drop_link(key),
        }
    }

    /// Pings the WebSockets of sessions, and drops dead ones.
    pub(super) fn keep_alive(&mut self) {
        let serves = |phase: &Phase| matches!(phase, Phase::Session(_) | Phase::Registered);
        for key in self.links.keep_alive(serves) {
            let error = self.links[key].timed_out();
            self.link_lost(key, error);
        }
        self.core.turn.set(self.links.look_interval(), Due::KeepAlive);
    }

    /// Drops WebSockets of sessions, and the one to the server, on an address that this machine lost.
    pub(super) fn handle_addresses(&mut self, vanished: &[IpAddr]) {
        for key in self.links.bound_to(vanished) {
            let phase = self.links.get(key).map(|link| &link.phase);
            let error = WebSocketError::Ended("this machine's address changed".to_owned());
            match phase {
                Some(phase) if phase.is_uplink() => self.uplink_cut(error),
                Some(Phase::Session(_)) => self.link_lost(key, error),
                _ => {}
            }
        }
    }

    /// Tells a session how much waits on its link.
    fn note_buffered(&mut self, key: LinkKey) {
        let Some(link) = self.links.get_mut(key) else { return };
        let Phase::Session(session) = link.phase else { return };
        let waiting = match link.conversation() {
            Some(number) => self.uplink.as_ref().map_or(0, |uplink| uplink.conversations.waiting(number)),
            None => link.buffered(),
        };
        self.core.sessions.set_buffered(session, waiting);
    }

    /// Sends a message of a session, which may have ended with it.
    pub(super) fn send_signal(&mut self, session: SessionKey, number: u32, signal: Signal) {
        if let Some(entry) = self.core.sessions.get_mut(session) {
            // A message sealed for a WebSocket that was replaced is useless.
            if entry.session.signaling_number() != number {
                return;
            }
            if entry.scope == Scope::Server {
                return self.send_to_server(signal.into());
            }
        }
        if let Some(key) = self.link_of(session) {
            self.send_message(key, signal.into());
        }
    }

    pub(super) fn link_of(&self, session: SessionKey) -> Option<LinkKey> {
        self.links.find(|phase| matches!(phase, Phase::Session(key) if *key == session))
    }

    pub(super) fn send(&mut self, key: LinkKey, text: String) {
        self.send_message(key, Payload::Text(text));
    }

    fn send_message(&mut self, key: LinkKey, message: Payload) {
        let Some(link) = self.links.get(key) else { return };
        let result = match link.conversation() {
            Some(number) => self.send_packet(number, message),
            None => self.links.send(key, message),
        };
        match result {
            Ok(()) => self.note_buffered(key),
            Err(error) => {
                debug!("signaling send error={error}");
                self.drop_link(key);
            }
        }
    }

    pub(super) fn refuse(&mut self, key: LinkKey, error: &SignalingError) {
        if !matches!(error, SignalingError::Refused { .. }) {
            self.send(key, error.to_text());
        }
        self.close_link(key, error.code().as_str());
    }

    pub(super) fn close_link(&mut self, key: LinkKey, reason: &str) {
        let Some(link) = self.links.get_mut(key) else { return };
        let (source, conversation) = (link.source(), link.conversation());
        let phase = std::mem::replace(&mut link.phase, Phase::Closing);
        // The link of a session had no place among these until now.
        self.places.enter(key, source, Standing::Idle);
        self.left(key, source, &phase);
        if let Some(number) = conversation {
            self.leave_later(number);
        } else if !self.links.close(&mut self.core.turn, key, close_code::NORMAL, reason) {
            self.drop_link(key);
        }
    }

    /// Handles a link whose current step took too long.
    fn handle_link_late(&mut self, key: LinkKey) {
        match self.links[key].phase {
            Phase::Opening | Phase::Registering => {
                let error = self.links[key].timed_out();
                self.uplink_lost(error);
            }
            Phase::Pake(..) | Phase::Resuming(..) | Phase::Returning(..) | Phase::Closing => self.drop_link(key),
            Phase::Session(session)
                if self.core.sessions.get_mut(session).is_some_and(|entry| !entry.session.needs_signaling()) =>
            {
                self.close_link(key, closing::CONNECTED);
            }
            Phase::Asking(_) => self.refuse(key, &SignalingError::Denied),
            // The limiter and the session have their own clocks.
            Phase::Verifying(..) | Phase::Session(_) | Phase::Registered => {}
        }
    }

    pub(super) fn drop_link(&mut self, key: LinkKey) {
        let Some(link) = self.links.remove(&self.core.turn, key) else { return };
        if let Some(number) = link.conversation() {
            self.forget_conversation(number);
        }
        self.places.leave(key);
        self.left(key, link.source(), &link.phase);
    }

    /// Cleans up after a client that left a phase.
    fn left(&mut self, key: LinkKey, source: Source, phase: &Phase) {
        match phase {
            Phase::Verifying(_, Entrance::Own) => self.limiter.cancel(source, key),
            Phase::Verifying(_, Entrance::Invitation(bucket, _)) => self.invitations.limiter.cancel(*bucket, key),
            Phase::Session(session) => self.core.sessions.handle_link_gone(self.core.turn.now, *session),
            Phase::Asking(_) => {
                self.invitations.turned_away(key);
                self.approval.iter_mut().for_each(|approval| approval.forget(key.number()));
            }
            Phase::Pake(..) | Phase::Resuming(..) | Phase::Returning(..) | Phase::Closing => {}
            // These phases belong to the server's link.
            Phase::Opening | Phase::Registering | Phase::Registered => {}
        }
    }
}
