//! Signaling WebSockets to the host: one that serves the session, and those that are being opened to begin one or to
//! join it again.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use log::{debug, info};

use super::{Client, MIN_BACKOFF};
use crate::net::system::Event as MioEvent;
use crate::net::websocket::{WebSocket, WebSocketError, WebSocketEvent, close_code};
use crate::run::RunError;
use crate::run::attempts::Attempts;
use crate::run::deadlines::Due;
use crate::run::keys::SessionKey;
use crate::run::liveness::{LOOK_INTERVAL, Liveness};
use crate::run::notice::LinkNotice;
use crate::run::table::{Key, Mark, Place};
use crate::session::{End, Signal};
use crate::signaling::error::SignalingError;
use crate::signaling::handshake::{ClientHandshake, ClientStep, Established};
use crate::signaling::message::ErrorCode;
use crate::signaling::resume::ClientResume;
use crate::tunnel::{Config, Role};

/// How long the host may take to answer a step of the handshake. Longer than its greatest spacing of guesses, though
/// not than a full queue of them.
pub(super) const ANSWER_TIMEOUT: Duration = Duration::from_secs(75);

/// How long a closing handshake may take.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// Finds a link.
pub(super) type LinkKey = Key<Link>;

/// A signaling WebSocket.
pub(super) struct Link {
    pub(super) websocket: WebSocket,
    pub(super) step: u64,
    pub(super) phase: Phase,
    /// Where it was dialled.
    pub(super) address: SocketAddr,
    /// Further addresses of the host to try if this one does not answer.
    pub(super) further: Attempts,
    /// A notice to poll it again is under way.
    pub(super) is_queued: bool,
    pub(super) liveness: Liveness,
}

pub(super) enum Phase {
    /// The WebSocket is being opened: to begin a session, or to join that one again.
    Opening(Option<SessionKey>),
    /// Both sides prove that they know the pin.
    Pake(ClientHandshake),
    /// Both sides prove that they have met before, to begin a session.
    Returning(Option<ClientResume>),
    /// Both sides prove that they belong to the session.
    Resuming(Option<ClientResume>, SessionKey),
    /// A session is being negotiated or relayed.
    Session(SessionKey),
    /// Not needed any more.
    Closing,
}

impl Client {
    /// Sets the deadline of a link's current step.
    pub(super) fn expect(&mut self, key: LinkKey, timeout: Duration) {
        if let Some(link) = self.links.get_mut(key) {
            link.step += 1;
            let due = Due::Link { link: key.mark(), step: link.step };
            self.core.turn.set(timeout, due);
        }
    }

    pub(super) fn handle_link_event(&mut self, place: Place, event: &MioEvent) {
        let Some(key) = self.links.at(place) else { return };
        if let Some(link) = self.links.get_mut(key) {
            link.websocket.handle_event(event);
            self.poll_link(key);
        }
    }

    pub(super) fn poll_link_again(&mut self, link: Mark) {
        if let Some(key) = self.links.find(link) {
            self.links[key].is_queued = false;
            self.poll_link(key);
        }
    }

    pub(super) fn poll_link(&mut self, key: LinkKey) {
        while let Some(link) = self.links.get_mut(key) {
            match link.websocket.poll() {
                Ok(Some(WebSocketEvent::Open)) => self.link_opened(key),
                Ok(Some(WebSocketEvent::Text(text))) => self.handle_text(key, &text),
                Ok(Some(WebSocketEvent::Binary(bytes))) => self.handle_binary(key, bytes),
                Ok(Some(WebSocketEvent::Closed { reason, .. })) => {
                    let detail = if reason.is_empty() { String::new() } else { format!(" ({reason})") };
                    let error = WebSocketError::Ended(format!("the host closed it{detail}"));
                    return self.link_closed(key, error);
                }
                Ok(None) => {
                    if link.websocket.is_ready() && !std::mem::replace(&mut link.is_queued, true) {
                        self.core.turn.tell(LinkNotice::Poll { link: key.mark() });
                    }
                    return self.note_buffered(key);
                }
                Err(error) => return self.link_closed(key, error),
            }
        }
    }

    fn link_opened(&mut self, key: LinkKey) {
        let Link { phase: Phase::Opening(session), address, .. } = self.links[key] else { return };
        // The next time this one is tried first.
        self.addresses.sort_by_key(|other| *other != address);
        match session {
            None => self.introduce(key),
            Some(session) => {
                let entry = self.core.sessions.get_mut(session).map(|entry| &entry.session);
                let Some((id, secret)) = entry.and_then(|session| Some((*session.id(), session.resume_key()?.clone())))
                else {
                    return self.close_link(key);
                };
                let (resume, text) = ClientResume::start(id, secret);
                self.links[key].phase = Phase::Resuming(Some(resume), session);
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
            Phase::Resuming(resume, session) => {
                let session = *session;
                if let Some(resume) = resume.take() {
                    self.handle_resumed(key, session, resume, text);
                }
            }
            Phase::Session(session) => {
                let (session, now) = (*session, self.core.turn.now);
                let result = self.core.sessions.get_mut(session).map(|entry| entry.session.handle_signal(now, text));
                self.core.sessions.touch(session);
                if let Some(Err(error)) = result {
                    self.refuse(key, error);
                }
            }
            Phase::Opening(_) | Phase::Closing => {}
        }
    }

    /// Takes a message of the relay.
    fn handle_binary(&mut self, key: LinkKey, bytes: bytes::Bytes) {
        let Phase::Session(session) = self.links[key].phase else {
            let error = WebSocketError::Protocol("a binary message where text is expected".to_owned());
            return self.link_closed(key, error);
        };
        let now = self.core.turn.now;
        let result = self.core.sessions.get_mut(session).map(|entry| entry.session.handle_binary(now, bytes));
        self.core.sessions.touch(session);
        if let Some(Err(error)) = result {
            self.refuse(key, error);
        }
    }

    pub(super) fn start_session(&mut self, key: LinkKey, established: Established) {
        match self.core.sessions.add(&self.core.turn, established, self.config.bounds.apply(Config::new(Role::Client)))
        {
            Ok(session) => {
                self.session = Some(session);
                self.note_signaling(key, session);
                self.links[key].phase = Phase::Session(session);
            }
            Err(reason) => {
                self.close_link(key);
                self.join_failed(RunError::Start(reason));
            }
        }
    }

    /// Our end of the connection that led to the host may lead to it directly, too.
    fn note_signaling(&mut self, key: LinkKey, session: SessionKey) {
        let local = self.links[key].websocket.source().local_addr().ok();
        if let (Some(entry), Some(local)) = (self.core.sessions.get_mut(session), local) {
            entry.signaling_address = Some(local.ip().to_canonical());
        }
    }

    /// The host answered a request to join the session again.
    fn handle_resumed(&mut self, key: LinkKey, session: SessionKey, resume: ClientResume, text: &str) {
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
                self.note_signaling(key, session);
                if let Some(entry) = self.core.sessions.get_mut(session) {
                    info!("session={} signaling resumed", entry.name);
                    entry.session.handle_resumed_signaling(now, sealer, opener);
                }
                self.core.sessions.touch(session);
            }
            Ok(_) => self.close_link(key),
            // Nobody proved that, so it ends no session that works.
            Err(SignalingError::Refused { code: ErrorCode::UnknownSession, .. }) if recovers => {
                self.close_link(key);
                if let Some(entry) = self.core.sessions.get_mut(session) {
                    entry.session.abandon(now, End::Replaced);
                }
                self.core.sessions.touch(session);
            }
            Err(error) => {
                info!("joining the session again failed: {error}");
                self.close_link(key);
            }
        }
    }

    /// Gives a WebSocket up because of what the host said; it is told why, unless it said so itself.
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
        // What was sealed for a WebSocket that was replaced meanwhile is of no use.
        if self.core.sessions.get_mut(session).is_some_and(|entry| entry.session.signaling_number() != number) {
            return;
        }
        if let Some(key) = self.link_of(session) {
            self.send(key, signal);
        }
    }

    pub(super) fn send(&mut self, key: LinkKey, signal: Signal) {
        let Some(link) = self.links.get_mut(key) else { return };
        if matches!(link.phase, Phase::Closing) {
            return;
        }
        let result = match signal {
            Signal::Text(text) => link.websocket.send_text(text),
            Signal::Binary(bytes) => link.websocket.send_binary(bytes.into()),
        };
        match result {
            Ok(()) => self.note_buffered(key),
            Err(error) => self.link_closed(key, error),
        }
    }

    /// Tells the session how much waits in its WebSocket.
    fn note_buffered(&mut self, key: LinkKey) {
        let Some(Link { phase: Phase::Session(session), websocket, .. }) = self.links.get(key) else { return };
        let (session, waiting) = (*session, websocket.buffered());
        if let Some(entry) = self.core.sessions.get_mut(session) {
            entry.session.set_signaling_buffered(waiting);
            self.core.sessions.touch(session);
        }
    }

    fn link_of(&self, session: SessionKey) -> Option<LinkKey> {
        let mut links = self.links.iter();
        links.find(|(_, link)| matches!(link.phase, Phase::Session(key) if key == session)).map(|(key, _)| key)
    }

    pub(super) fn signaling_done(&mut self, session: SessionKey) {
        if self.core.sessions.get_mut(session).is_some_and(|entry| !entry.session.needs_signaling()) {
            self.close_links_of(session);
        }
    }

    /// Closes the WebSockets that serve a session or are to.
    pub(super) fn close_links_of(&mut self, session: SessionKey) {
        let serves = |link: &Link| {
            matches!(link.phase, Phase::Session(key) | Phase::Opening(Some(key)) if key == session)
                || matches!(&link.phase, Phase::Resuming(Some(_), key) if *key == session)
        };
        let links: Vec<LinkKey> = self.links.iter().filter(|(_, link)| serves(link)).map(|(key, _)| key).collect();
        links.into_iter().for_each(|key| self.close_link(key));
    }

    pub(super) fn close_link(&mut self, key: LinkKey) {
        let Some(link) = self.links.get_mut(key) else { return };
        let phase = std::mem::replace(&mut link.phase, Phase::Closing);
        let is_open = !matches!(phase, Phase::Opening(_));
        link.websocket.close(close_code::NORMAL, "done");
        if let Phase::Session(session) = phase {
            self.signaling_closed(session);
        }
        if is_open {
            self.expect(key, CLOSE_TIMEOUT);
            self.poll_link(key);
        } else {
            self.remove_link(key);
        }
    }

    fn remove_link(&mut self, key: LinkKey) -> Option<Link> {
        let mut link = self.links.remove(key)?;
        if let Err(error) = self.core.turn.registry().deregister(link.websocket.source()) {
            debug!("deregister error={error}");
        }
        Some(link)
    }

    fn link_closed(&mut self, key: LinkKey, error: WebSocketError) {
        let Some(mut link) = self.remove_link(key) else { return };
        match link.phase {
            Phase::Opening(session) => {
                link.further.failed(error);
                self.dial(session, link.further);
            }
            Phase::Pake(_) | Phase::Returning(_) => self.join_failed(error.into()),
            Phase::Session(session) => {
                info!("signaling lost: {error}");
                self.signaling_closed(session);
            }
            Phase::Resuming(..) => info!("redial failed: {error}"),
            Phase::Closing => {}
        }
    }

    pub(super) fn handle_link_due(&mut self, link: Mark, step: u64) {
        let Some(key) = self.links.find(link).filter(|key| self.links[*key].step == step) else { return };
        let link = &self.links[key];
        match link.phase {
            Phase::Pake(_) => {
                let reason =
                    "the host did not answer in time; it may be slowing down guesses of its pin, try again later";
                self.link_closed(key, WebSocketError::Ended(reason.to_owned()));
            }
            Phase::Opening(_) | Phase::Returning(_) | Phase::Resuming(..) | Phase::Closing => {
                let error = link.websocket.timed_out();
                self.link_closed(key, error);
            }
            // The session has a deadline of its own.
            Phase::Session(_) => {}
        }
    }

    fn signaling_closed(&mut self, session: SessionKey) {
        let now = self.core.turn.now;
        if let Some(entry) = self.core.sessions.get_mut(session) {
            entry.session.handle_signaling_closed(now);
        }
        self.core.sessions.touch(session);
    }

    /// Drops WebSockets that hang on an address this machine has no more, and dials anew at once where a pause was
    /// kept.
    pub(super) fn handle_addresses(&mut self, vanished: &[IpAddr]) {
        let mut dead = Vec::new();
        for (key, link) in self.links.iter_mut() {
            if link.websocket.source().local_addr().is_ok_and(|local| vanished.contains(&local.ip())) {
                dead.push(key);
            }
        }
        for key in dead {
            let error = WebSocketError::Ended("this machine's address changed".to_owned());
            self.link_closed(key, error);
        }
        if self.was_connected {
            self.backoff = MIN_BACKOFF;
            self.rejoin_after(Duration::ZERO);
        }
    }

    /// Pings the WebSockets of the session, drops those that are dead, and opens one that is wanted for new keys.
    pub(super) fn keep_alive(&mut self) {
        let mut dead = Vec::new();
        for (key, link) in self.links.iter_mut() {
            if matches!(link.phase, Phase::Session(_)) && !link.liveness.check(&mut link.websocket) {
                dead.push(key);
            }
        }
        for key in dead {
            let error = self.links[key].websocket.timed_out();
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
        self.core.turn.set(LOOK_INTERVAL, Due::KeepAlive);
    }
}
