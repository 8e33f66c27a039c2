//! Signaling WebSockets to the host: one serves the session; others are being opened to begin or rejoin one.

use std::net::IpAddr;
use std::time::Duration;

use log::info;

use super::{Client, Stage};
use crate::net::websocket::{WebSocketError, close_code};
use crate::run::RunError;
use crate::run::deadlines::Due;
use crate::run::keys::{LinkKey, SessionKey};
use crate::run::links::{LinkEvent, Wake, closed_by};
use crate::run::notice::LinkNotice;
use crate::run::sessions::Newcomer;
use crate::session::{End, Signal};
use crate::signaling::closing;
use crate::signaling::error::SignalingError;
use crate::signaling::handshake::{ClientHandshake, ClientStep, Established};
use crate::signaling::message::ErrorCode;
use crate::signaling::resume::ClientResume;
use crate::tunnel::{Config, Role};

/// Time for the host to answer a step of the handshake: longer than its greatest spacing of guesses, but not than a
/// full queue of them.
pub(super) const ANSWER_TIMEOUT: Duration = Duration::from_secs(75);

pub(super) enum Phase {
    /// The WebSocket to the server of this number is being opened: to begin a session, or to rejoin this one.
    Opening(Option<SessionKey>, usize),
    /// Both sides prove that they know the pin.
    Pake(ClientHandshake),
    /// Both sides prove that they have met before, to begin a session.
    Returning(Option<ClientResume>),
    /// Both sides prove that they belong to the session, through the server of this number.
    Resuming(Option<ClientResume>, SessionKey, usize),
    /// A session is being negotiated or relayed.
    Session(SessionKey),
    /// No longer needed.
    Closing,
}

impl Client {
    pub(super) fn handle_link(&mut self, notice: LinkNotice) {
        match self.links.handle(notice) {
            Some(Wake::Ready(key)) => self.poll_link(key),
            Some(Wake::Late(key)) => self.handle_link_late(key),
            None => {}
        }
    }

    fn poll_link(&mut self, key: LinkKey) {
        while let Some(event) = self.links.poll(&mut self.core.turn, key) {
            match event {
                LinkEvent::Open => self.link_opened(key),
                LinkEvent::Text(text) => self.handle_text(key, &text),
                LinkEvent::Binary(bytes) => self.handle_binary(key, bytes),
                LinkEvent::Closed(reason) => return self.link_closed(key, closed_by("the host", &reason)),
                LinkEvent::Failed(error) => return self.link_closed(key, error),
                // A client accepts no connections.
                LinkEvent::Asked | LinkEvent::Answered => {}
            }
        }
        self.note_buffered(key);
    }

    fn link_opened(&mut self, key: LinkKey) {
        let Phase::Opening(session, server) = self.links[key].phase else { return };
        self.servers.addresses(server).prefer(self.links[key].remote);
        match session {
            None => self.introduce(key),
            Some(session) => {
                let entry = self.core.sessions.get_mut(session).map(|entry| &entry.session);
                let Some((id, secret)) = entry.and_then(|session| Some((*session.id(), session.resume_key()?.clone())))
                else {
                    return self.close_link(key);
                };
                let (resume, text) = ClientResume::start(id, secret);
                self.links[key].phase = Phase::Resuming(Some(resume), session, server);
                self.send(key, Signal::Text(text));
            }
        }
    }

    fn handle_text(&mut self, key: LinkKey, text: &str) {
        match &mut self.links[key].phase {
            Phase::Pake(handshake) => match handshake.handle_text(text) {
                Ok(ClientStep::Send(confirm)) => self.confirm(key, confirm),
                Ok(ClientStep::Done(established)) => self.proven(key, established),
                Err(error) => self.refuse(key, error),
            },
            Phase::Returning(resume) => {
                if let Some(resume) = resume.take() {
                    self.handle_returned(key, resume, text);
                }
            }
            Phase::Resuming(resume, session, server) => {
                let (session, server) = (*session, *server);
                if let Some(resume) = resume.take() {
                    self.handle_resumed(key, (session, server), resume, text);
                }
            }
            Phase::Session(session) => {
                if let Err(error) = self.core.sessions.handle_signal(self.core.turn.now, *session, text) {
                    self.refuse(key, error);
                }
            }
            Phase::Opening(..) | Phase::Closing => {}
        }
    }

    /// Handles a message of the relay.
    fn handle_binary(&mut self, key: LinkKey, bytes: bytes::Bytes) {
        let Phase::Session(session) = self.links[key].phase else {
            let error = WebSocketError::Protocol("a binary message where text is expected".to_owned());
            return self.link_closed(key, error);
        };
        if let Err(error) = self.core.sessions.handle_relayed(self.core.turn.now, session, bytes) {
            self.refuse(key, error);
        }
    }

    pub(super) fn start_session(&mut self, key: LinkKey, established: Established) {
        let config = self.config.bounds.apply(Config::new(Role::Client));
        let newcomer = Newcomer { established, rights: None, local: self.links[key].local_ip() };
        match self.core.sessions.add(&self.core.turn, newcomer, config) {
            Ok(session) => {
                self.session = Some(session);
                self.servers.reached(self.servers.at());
                // This session's numbers begin anew.
                self.core.dialer.reverse = self.config.reverse.iter().cloned().map(Some).collect();
                self.links[key].phase = Phase::Session(session);
            }
            Err(reason) => {
                self.close_link(key);
                self.join_failed(RunError::Start(reason));
            }
        }
    }

    /// Handles the host's answer to a request to rejoin the session.
    fn handle_resumed(
        &mut self,
        key: LinkKey,
        (session, server): (SessionKey, usize),
        resume: ClientResume,
        text: &str,
    ) {
        let now = self.core.turn.now;
        let entry = self.core.sessions.get_mut(session);
        let (wants, recovers) = entry.map_or((false, false), |entry| {
            (entry.session.wants_signaling(), entry.session.recovering_since().is_some())
        });
        match resume.handle_text(text) {
            Ok((proof, sealer, opener)) if wants => {
                self.close_links_of(session);
                self.send(key, Signal::Text(proof));
                let Some(link) = self.links.get_mut(key) else { return };
                link.phase = Phase::Session(session);
                let local = link.local_ip();
                self.servers.reached(server);
                self.core.sessions.handle_resumed(now, session, local, (sealer, opener));
            }
            Ok(_) => self.close_link(key),
            // The answer is not authenticated, so it must not end a working session.
            Err(SignalingError::Refused { code: ErrorCode::UnknownSession, .. }) if recovers => {
                self.close_link(key);
                self.core.abandon(session, End::Replaced);
            }
            Err(error) => {
                info!("rejoining the session failed: {error}");
                self.close_link(key);
            }
        }
    }

    /// Gives up a WebSocket because of the host's message; tells the host why, unless it sent an error itself.
    pub(super) fn refuse(&mut self, key: LinkKey, error: SignalingError) {
        if !matches!(error, SignalingError::Refused { .. }) {
            self.send(key, Signal::Text(error.to_text()));
        }
        let Some(link) = self.links.get(key) else { return };
        let is_joining = matches!(link.phase, Phase::Pake(_) | Phase::Returning(_));
        let is_connected = self.session.is_some_and(|session| {
            self.core.sessions.get_mut(session).is_some_and(|entry| entry.connected_at.is_some())
        });
        self.close_link(key);
        if is_joining {
            self.join_failed(error.into());
        } else if !is_connected {
            self.session = None;
            self.join_failed(error.into());
        } else {
            // The session goes on without it, and asks for another.
            info!("signaling given up: {error}");
        }
    }

    pub(super) fn send_signal(&mut self, session: SessionKey, number: u32, signal: Signal) {
        // A message sealed for a WebSocket that was replaced is useless.
        if self.core.sessions.get_mut(session).is_some_and(|entry| entry.session.signaling_number() != number) {
            return;
        }
        if let Some(key) = self.link_of(session) {
            self.send(key, signal);
        }
    }

    pub(super) fn send(&mut self, key: LinkKey, signal: Signal) {
        if self.links.get(key).is_none_or(|link| matches!(link.phase, Phase::Closing)) {
            return;
        }
        match self.links.send(key, signal.into()) {
            Ok(()) => self.note_buffered(key),
            Err(error) => self.link_closed(key, error),
        }
    }

    /// Tells the session how much waits in its WebSocket.
    fn note_buffered(&mut self, key: LinkKey) {
        let Some(link) = self.links.get_mut(key) else { return };
        let Phase::Session(session) = link.phase else { return };
        self.core.sessions.set_buffered(session, link.buffered());
    }

    pub(super) fn link_of(&self, session: SessionKey) -> Option<LinkKey> {
        self.links.find(|phase| matches!(phase, Phase::Session(key) if *key == session))
    }

    pub(super) fn signaling_done(&mut self, session: SessionKey) {
        if self.core.sessions.get_mut(session).is_some_and(|entry| !entry.session.needs_signaling()) {
            self.close_links_of(session);
        }
    }

    /// Closes the WebSockets that serve a session, or are being opened for it.
    pub(super) fn close_links_of(&mut self, session: SessionKey) {
        let serves = |phase: &Phase| match phase {
            Phase::Session(key) | Phase::Opening(Some(key), _) | Phase::Resuming(Some(_), key, _) => *key == session,
            _ => false,
        };
        self.links.of(serves).into_iter().for_each(|key| self.close_link(key));
    }

    pub(super) fn close_link(&mut self, key: LinkKey) {
        let Some(link) = self.links.get_mut(key) else { return };
        let phase = std::mem::replace(&mut link.phase, Phase::Closing);
        let is_closing = self.links.close(&mut self.core.turn, key, close_code::NORMAL, closing::DONE);
        if let Phase::Session(session) = phase {
            self.core.sessions.handle_link_gone(self.core.turn.now, session);
        }
        if !is_closing {
            self.links.remove(&self.core.turn, key);
        }
    }

    fn link_closed(&mut self, key: LinkKey, error: WebSocketError) {
        let Some(link) = self.links.remove(&self.core.turn, key) else { return };
        match link.phase {
            Phase::Opening(session, server) => self.dial(session, server, link.into_attempts(error)),
            Phase::Pake(_) | Phase::Returning(_) => self.join_failed(error.into()),
            Phase::Session(session) => {
                info!("signaling lost: {error}");
                self.servers.leave();
                self.core.sessions.handle_link_gone(self.core.turn.now, session);
            }
            Phase::Resuming(..) => info!("redial failed: {error}"),
            Phase::Closing => {}
        }
    }

    /// Handles a link whose current step took too long.
    fn handle_link_late(&mut self, key: LinkKey) {
        match self.links[key].phase {
            Phase::Pake(_) => {
                let reason =
                    "the host did not answer in time; it may be slowing down guesses of its pin, try again later";
                self.link_closed(key, WebSocketError::Ended(reason.to_owned()));
            }
            Phase::Opening(..) | Phase::Returning(_) | Phase::Resuming(..) | Phase::Closing => {
                let error = self.links[key].timed_out();
                self.link_closed(key, error);
            }
            // The session has its own deadline.
            Phase::Session(_) => {}
        }
    }

    /// Drops WebSockets on an address that this machine lost, and ends a pause before dialling.
    pub(super) fn handle_addresses(&mut self, vanished: &[IpAddr]) {
        for key in self.links.bound_to(vanished) {
            let error = WebSocketError::Ended("this machine's address changed".to_owned());
            self.link_closed(key, error);
        }
        // All may be reached from here.
        self.servers.begin_round();
        if let Stage::Serving = self.stage {
            self.servers.redial().reset();
            self.rejoin_after(Duration::ZERO);
        }
    }

    /// Pings the WebSockets of the session, drops dead ones, and opens one if the session wants new keys.
    pub(super) fn keep_alive(&mut self) {
        for key in self.links.keep_alive(|phase| matches!(phase, Phase::Session(_))) {
            let error = self.links[key].timed_out();
            self.link_closed(key, error);
        }
        if let Some(session) = self.session
            && let Some(entry) = self.core.sessions.get_mut(session)
            && entry.session.wants_signaling()
            && entry.session.recovering_since().is_none()
        {
            info!("session={} new keys are due", entry.name);
            self.dial_again(Some(session));
        }
        self.core.turn.set(self.links.look_interval(), Due::KeepAlive);
    }
}
