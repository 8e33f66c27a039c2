//! Connections to the signaling port, from `accept` to the closing handshake.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use log::{debug, info};

use super::{Host, Link, LinkEnd, LinkKey, Phase};
use crate::net::listen::{self, Accepted};
use crate::net::system::{Event as MioEvent, Interest, TcpStream};
use crate::net::websocket::{Admission, Incoming, IncomingEvent, WebSocketEvent, close_code};
use crate::run::RunError;
use crate::run::deadlines::Due;
use crate::run::keys::{Scope, SessionKey};
use crate::run::liveness::{LOOK_INTERVAL, Liveness};
use crate::run::notice::{HostNotice, LinkNotice};
use crate::run::table::{Mark, Place};
use crate::run::token::Source;
use crate::session::Signal;
use crate::shares::{self, Standing};
use crate::signaling::error::{SignalingError, Violation};
use crate::signaling::handshake::{HostHandshake, HostStep};
use crate::signaling::message::Resume;
use crate::signaling::rendezvous::Payload;
use crate::signaling::resume::HostResume;

/// How long a connection to the signaling port may take to become a WebSocket, and a WebSocket to say hello.
pub(super) const STEP_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a closing handshake may take.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// Connections accepted in one turn.
const ACCEPTS_PER_TURN: usize = 64;

/// What a refused client is told to wait, in seconds, when the signaling port is full.
const RETRY_AFTER: u32 = 5;

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

    pub(super) fn add_link(&mut self, stream: TcpStream, remote: SocketAddr) {
        let source = shares::Source::of(remote.ip());
        let admission = match self.make_place(source) {
            true => Admission::Open,
            false => Admission::Busy { retry_after_seconds: RETRY_AFTER },
        };
        let mut incoming = Incoming::new(stream, admission);
        let interest = Interest::READABLE | Interest::WRITABLE;
        let token = Source::Link(self.links.next_key().place()).token();
        if let Err(error) = self.core.turn.registry().register(incoming.source(), token, interest) {
            debug!("register error={error}");
            return;
        }
        let phase = Phase::Pake(HostHandshake::new());
        let link = Link {
            end: LinkEnd::Incoming(incoming),
            step: 0,
            remote: remote.to_string(),
            source,
            phase,
            is_queued: false,
            liveness: Liveness::default(),
        };
        let key = self.links.insert(link);
        self.places.enter(key, source, Standing::Asking);
        self.expect(key, STEP_TIMEOUT);
    }

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
        match self.links.get_mut(key).map(|link| &mut link.end) {
            Some(LinkEnd::Incoming(incoming)) => incoming.handle_event(event),
            Some(LinkEnd::WebSocket(websocket)) => websocket.handle_event(event),
            Some(LinkEnd::Conversation(_)) | None => return,
        }
        self.poll_link(key);
    }

    pub(super) fn poll_link_again(&mut self, link: Mark) {
        if let Some(key) = self.links.find(link) {
            self.links[key].is_queued = false;
            self.poll_link(key);
        }
    }

    pub(super) fn poll_link(&mut self, key: LinkKey) {
        while let Some(link) = self.links.get_mut(key) {
            match &mut link.end {
                LinkEnd::Incoming(incoming) => match incoming.poll() {
                    Ok(Some(IncomingEvent::Upgraded)) => self.upgraded(key),
                    Ok(None) => return,
                    Ok(Some(IncomingEvent::Asked | IncomingEvent::Answered { .. })) | Err(_) => self.drop_link(key),
                },
                LinkEnd::Conversation(_) => return,
                LinkEnd::WebSocket(websocket) => match websocket.poll() {
                    Ok(Some(WebSocketEvent::Text(text))) => self.handle_text(key, &text),
                    Ok(Some(WebSocketEvent::Binary(bytes))) => self.handle_binary(key, bytes),
                    Ok(Some(WebSocketEvent::Open)) => {}
                    Ok(None) => {
                        if websocket.is_ready() {
                            self.poll_link_later(key);
                        }
                        return self.note_buffered(key);
                    }
                    Ok(Some(WebSocketEvent::Closed { .. })) => self.drop_link(key),
                    Err(error) => {
                        debug!("remote={} signaling error={error}", link.remote);
                        self.drop_link(key);
                    }
                },
            }
        }
    }

    pub(super) fn upgraded(&mut self, key: LinkKey) {
        self.links.change(key, |link| {
            let LinkEnd::Incoming(incoming) = link.end else { return None };
            Some(Link { end: LinkEnd::WebSocket(incoming.into_websocket()?), ..link })
        });
        self.expect(key, STEP_TIMEOUT);
    }

    pub(super) fn handle_text(&mut self, key: LinkKey, text: &str) {
        let Some(link) = self.links.get_mut(key) else { return };
        match &mut link.phase {
            Phase::Pake(handshake) => match handshake.handle_text(text, &self.pin) {
                Ok(HostStep::Send(reply)) => {
                    self.send(key, reply);
                    self.expect(key, STEP_TIMEOUT);
                }
                Ok(HostStep::Verify) => self.enqueue(key),
                Ok(HostStep::Resume(request)) => self.resume(key, &request),
                Err(error) => self.refuse(key, &error),
            },
            Phase::Resuming(..) => self.finish_resume(key, text),
            Phase::Returning(..) => self.finish_return(key, text),
            Phase::Session(session) => {
                let (session, now) = (*session, self.core.turn.now);
                let result = self.core.sessions.get_mut(session).map(|entry| entry.session.handle_signal(now, text));
                self.core.sessions.touch(session);
                if let Some(Err(error)) = result {
                    self.refuse(key, &error);
                }
            }
            Phase::Verifying(_) | Phase::Asking(_) => {
                let error = SignalingError::Protocol(Violation::OutOfTurn("message"));
                self.refuse(key, &error);
            }
            Phase::Closing => {}
        }
    }

    /// Takes a message of the relay.
    pub(super) fn handle_binary(&mut self, key: LinkKey, bytes: Bytes) {
        let Some(Phase::Session(session)) = self.links.get(key).map(|link| &link.phase) else {
            return self.drop_link(key);
        };
        let (session, now) = (*session, self.core.turn.now);
        let result = self.core.sessions.get_mut(session).map(|entry| entry.session.handle_binary(now, bytes));
        self.core.sessions.touch(session);
        if let Some(Err(error)) = result {
            self.refuse(key, &error);
        }
    }

    /// Answers a client that comes back: to its session, or with a ticket for another.
    fn resume(&mut self, key: LinkKey, request: &Resume) {
        if let Some((secret, last)) = self.tickets.find(&request.session) {
            let (resume, text) = HostResume::answer(secret, request);
            self.links[key].phase = Phase::Returning(resume, last);
            self.send(key, text);
            return self.expect(key, STEP_TIMEOUT);
        }
        let Some(session) = self.core.sessions.find(&request.session) else {
            return self.refuse(key, &SignalingError::UnknownSession);
        };
        let Some(secret) = self.core.sessions.get_mut(session).and_then(|entry| entry.session.resume_key().cloned())
        else {
            return self.refuse(key, &SignalingError::UnknownSession);
        };
        let (resume, text) = HostResume::answer(secret, request);
        self.links[key].phase = Phase::Resuming(resume, session);
        self.send(key, text);
        self.expect(key, STEP_TIMEOUT);
    }

    /// Gives a session its further WebSocket, if the client proves itself.
    fn finish_resume(&mut self, key: LinkKey, text: &str) {
        let Phase::Resuming(resume, session) = std::mem::replace(&mut self.links[key].phase, Phase::Closing) else {
            return;
        };
        match resume.handle_text(text) {
            Ok((sealer, opener)) => {
                if let Some(older) = self.link_of(session) {
                    self.links[older].phase = Phase::Closing;
                    self.close_link(older, "resumed");
                }
                let now = self.core.turn.now;
                match self.core.sessions.get_mut(session) {
                    Some(entry) => {
                        info!("session={} signaling resumed", entry.name);
                        entry.session.handle_resumed_signaling(now, sealer, opener);
                        self.links[key].phase = Phase::Session(session);
                        self.places.leave(key);
                        self.core.sessions.touch(session);
                    }
                    None => self.refuse(key, &SignalingError::UnknownSession),
                }
            }
            Err(error) => self.refuse(key, &error),
        }
    }

    /// Pings the WebSockets of sessions, and drops those that are dead.
    pub(super) fn keep_alive(&mut self) {
        let mut dead = Vec::new();
        for (key, link) in self.links.iter_mut() {
            if let (Phase::Session(_), LinkEnd::WebSocket(websocket)) = (&link.phase, &mut link.end)
                && !link.liveness.check(websocket)
            {
                dead.push(key);
            }
        }
        for key in dead {
            debug!("remote={} signaling is dead", self.links[key].remote);
            self.drop_link(key);
        }
        self.keep_uplink_alive();
        self.core.turn.set(LOOK_INTERVAL, Due::KeepAlive);
    }

    /// Drops WebSockets of sessions that hang on an address this machine has no more.
    pub(super) fn handle_addresses(&mut self, vanished: &[IpAddr]) {
        let mut dead = Vec::new();
        for (key, link) in self.links.iter_mut() {
            let local = link.end.source().and_then(|source| source.local_addr().ok());
            if matches!(link.phase, Phase::Session(_)) && local.is_some_and(|local| vanished.contains(&local.ip())) {
                dead.push(key);
            }
        }
        dead.into_iter().for_each(|key| self.drop_link(key));
        self.handle_uplink_addresses(vanished);
    }

    /// Tells a session how much waits on its link.
    fn note_buffered(&mut self, key: LinkKey) {
        let Some(Link { phase: Phase::Session(session), end, .. }) = self.links.get(key) else { return };
        let (session, waiting) = (*session, end.waiting());
        if let Some(entry) = self.core.sessions.get_mut(session) {
            entry.session.set_signaling_buffered(waiting);
            self.core.sessions.touch(session);
        }
    }

    pub(super) fn send_signal(&mut self, session: SessionKey, number: u32, signal: Signal) {
        // What was sealed for a WebSocket that was replaced meanwhile is of no use.
        let Some(entry) =
            self.core.sessions.get_mut(session).filter(|entry| entry.session.signaling_number() == number)
        else {
            return;
        };
        let message = match signal {
            Signal::Text(text) => Payload::Text(text),
            Signal::Binary(bytes) => Payload::Binary(bytes.into()),
        };
        if entry.scope == Scope::Server {
            return self.send_to_server(message);
        }
        if let Some(key) = self.link_of(session) {
            self.send_message(key, message);
        }
    }

    pub(super) fn link_of(&self, session: SessionKey) -> Option<LinkKey> {
        let mut links = self.links.iter();
        links.find(|(_, link)| matches!(link.phase, Phase::Session(key) if key == session)).map(|(key, _)| key)
    }

    pub(super) fn send(&mut self, key: LinkKey, text: String) {
        self.send_message(key, Payload::Text(text));
    }

    fn send_message(&mut self, key: LinkKey, message: Payload) {
        let result = match (self.links.get_mut(key).map(|link| &mut link.end), message) {
            (Some(LinkEnd::WebSocket(websocket)), Payload::Text(text)) => websocket.send_text(text),
            (Some(LinkEnd::WebSocket(websocket)), Payload::Binary(bytes)) => websocket.send_binary(bytes),
            (Some(LinkEnd::Conversation(_)), message) => self.send_packet(key, message),
            (Some(LinkEnd::Incoming(_)) | None, _) => return,
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
        // One of a session had no place until now.
        self.places.enter(key, link.source, Standing::Idle);
        match std::mem::replace(&mut link.phase, Phase::Closing) {
            Phase::Verifying(_) => self.limiter.cancel(link.source, key),
            Phase::Session(session) => self.signaling_closed(session),
            Phase::Asking(_) => self.approval.iter_mut().for_each(|approval| approval.forget(key.number())),
            Phase::Pake(_) | Phase::Resuming(..) | Phase::Returning(..) | Phase::Closing => {}
        }
        let Some(link) = self.links.get_mut(key) else { return };
        match &mut link.end {
            LinkEnd::WebSocket(websocket) => websocket.close(close_code::NORMAL, reason),
            LinkEnd::Incoming(_) => return self.drop_link(key),
            LinkEnd::Conversation(_) => return self.leave_later(key),
        }
        self.expect(key, CLOSE_TIMEOUT);
        // The peer's close may be here already.
        self.poll_link_later(key);
    }

    /// Has a link polled again in the next turn, whether or not its socket says anything.
    fn poll_link_later(&mut self, key: LinkKey) {
        if let Some(link) = self.links.get_mut(key)
            && !std::mem::replace(&mut link.is_queued, true)
        {
            self.core.turn.tell(LinkNotice::Poll { link: key.mark() });
        }
    }

    pub(super) fn handle_link_due(&mut self, link: Mark, step: u64) {
        let Some(key) = self.links.find(link).filter(|key| self.links[*key].step == step) else { return };
        let link = &self.links[key];
        match link.phase {
            Phase::Pake(_) | Phase::Resuming(..) | Phase::Returning(..) | Phase::Closing => self.drop_link(key),
            Phase::Session(session)
                if self.core.sessions.get_mut(session).is_some_and(|entry| !entry.session.needs_signaling()) =>
            {
                self.close_link(key, "connected");
            }
            Phase::Asking(_) => self.refuse(key, &SignalingError::Denied),
            // The limiter and the session have their own clocks.
            Phase::Verifying(_) | Phase::Session(_) => {}
        }
    }

    pub(super) fn drop_link(&mut self, key: LinkKey) {
        let Some(mut link) = self.links.remove(key) else { return };
        if let Some(source) = link.end.source()
            && let Err(error) = self.core.turn.registry().deregister(source)
        {
            debug!("deregister error={error}");
        }
        if let LinkEnd::Conversation(conversation) = &link.end {
            self.forget_conversation(conversation.number());
        }
        self.places.leave(key);
        match link.phase {
            Phase::Verifying(_) => self.limiter.cancel(link.source, key),
            Phase::Session(session) => self.signaling_closed(session),
            Phase::Asking(_) => self.approval.iter_mut().for_each(|approval| approval.forget(key.number())),
            Phase::Pake(_) | Phase::Resuming(..) | Phase::Returning(..) | Phase::Closing => {}
        }
    }

    pub(super) fn signaling_closed(&mut self, session: SessionKey) {
        let now = self.core.turn.now;
        if let Some(entry) = self.core.sessions.get_mut(session) {
            entry.session.handle_signaling_closed(now);
        }
        self.core.sessions.touch(session);
    }
}
