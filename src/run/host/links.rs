//! Connections to the signaling port, from `accept` to the closing handshake.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use log::{debug, info};
use mio::Interest;
use mio::event::Event as MioEvent;
use mio::net::TcpStream;

use super::{Host, Link, LinkEnd, LinkKey, Phase};
use crate::net::listen::{self, Accepted};
use crate::net::websocket::{Admission, Incoming, IncomingEvent, WebSocketEvent, close_code};
use crate::run::RunError;
use crate::run::core::Notice;
use crate::run::deadlines::Due;
use crate::run::liveness::{LOOK_INTERVAL, Liveness};
use crate::run::sessions::{Scope, SessionKey};
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
                    self.core.pause_accepting();
                    return Ok(());
                }
                Accepted::Fatal(error) => return Err(error.into()),
            }
        }
        self.core.notices.push_back(Notice::Acceptable { index: Some(0) });
        Ok(())
    }

    pub(super) fn add_link(&mut self, stream: TcpStream, remote: SocketAddr) {
        let source = shares::Source::of(remote.ip());
        let admission = match self.make_place(source) {
            true => Admission::Open,
            false => Admission::Busy { retry_after_seconds: RETRY_AFTER },
        };
        let mut incoming = Incoming::new(stream, admission);
        let entry = self.links.vacant_entry();
        let index = entry.key();
        let interest = Interest::READABLE | Interest::WRITABLE;
        if let Err(error) = self.core.poll.registry().register(incoming.source(), Source::Link(index).token(), interest)
        {
            debug!("register error={error}");
            return;
        }
        let phase = Phase::Pake(HostHandshake::new());
        let link = Link {
            end: LinkEnd::Incoming(incoming),
            serial: 0,
            remote: remote.to_string(),
            source,
            phase,
            is_queued: false,
            liveness: Liveness::default(),
        };
        entry.insert(link);
        self.places.enter(index, source, Standing::Asking);
        self.expect(index, STEP_TIMEOUT);
    }

    /// Gives a link so long for its next step.
    pub(super) fn expect(&mut self, index: usize, timeout: Duration) {
        self.core.next_serial += 1;
        let serial = self.core.next_serial;
        if let Some(link) = self.links.get_mut(index) {
            link.serial = serial;
            self.core.deadlines.add(self.core.now + timeout, Due::Link { index, serial });
        }
    }

    pub(super) fn handle_link_event(&mut self, index: usize, event: &MioEvent) {
        match self.links.get_mut(index).map(|link| &mut link.end) {
            Some(LinkEnd::Incoming(incoming)) => incoming.handle_event(event),
            Some(LinkEnd::WebSocket(websocket)) => websocket.handle_event(event),
            Some(LinkEnd::Conversation(_)) | None => return,
        }
        self.poll_link(index);
    }

    pub(super) fn poll_link(&mut self, index: usize) {
        while let Some(link) = self.links.get_mut(index) {
            match &mut link.end {
                LinkEnd::Incoming(incoming) => match incoming.poll() {
                    Ok(Some(IncomingEvent::Upgraded)) => self.upgraded(index),
                    Ok(None) => return,
                    Ok(Some(IncomingEvent::Asked | IncomingEvent::Answered { .. })) | Err(_) => self.drop_link(index),
                },
                LinkEnd::Conversation(_) => return,
                LinkEnd::WebSocket(websocket) => match websocket.poll() {
                    Ok(Some(WebSocketEvent::Text(text))) => self.handle_text(index, &text),
                    Ok(Some(WebSocketEvent::Binary(bytes))) => self.handle_binary(index, bytes),
                    Ok(Some(WebSocketEvent::Open)) => {}
                    Ok(None) => {
                        if websocket.is_ready() {
                            self.poll_link_later(index);
                        }
                        return self.note_buffered(index);
                    }
                    Ok(Some(WebSocketEvent::Closed { .. })) => self.drop_link(index),
                    Err(error) => {
                        debug!("remote={} signaling error={error}", link.remote);
                        self.drop_link(index);
                    }
                },
            }
        }
    }

    pub(super) fn upgraded(&mut self, index: usize) {
        let mut link = self.links.remove(index);
        let LinkEnd::Incoming(incoming) = link.end else { return };
        let Some(websocket) = incoming.into_websocket() else { return };
        link.end = LinkEnd::WebSocket(websocket);
        // The slot that was just freed is the one that is taken: the socket's token stays valid.
        let same = self.links.insert(link);
        debug_assert_eq!(same, index);
        self.expect(index, STEP_TIMEOUT);
    }

    pub(super) fn handle_text(&mut self, index: usize, text: &str) {
        let Some(link) = self.links.get_mut(index) else { return };
        match &mut link.phase {
            Phase::Pake(handshake) => match handshake.handle_text(text, &self.pin) {
                Ok(HostStep::Send(reply)) => {
                    self.send(index, reply);
                    self.expect(index, STEP_TIMEOUT);
                }
                Ok(HostStep::Verify) => self.enqueue(index),
                Ok(HostStep::Resume(request)) => self.resume(index, &request),
                Err(error) => self.refuse(index, &error),
            },
            Phase::Resuming(..) => self.finish_resume(index, text),
            Phase::Returning(..) => self.finish_return(index, text),
            Phase::Session(session) => {
                let (session, now) = (*session, self.core.now);
                let result = self.core.session(session).map(|entry| entry.session.handle_signal(now, text));
                self.core.touch(session);
                if let Some(Err(error)) = result {
                    self.refuse(index, &error);
                }
            }
            Phase::Verifying(_) | Phase::Asking(_) => {
                let error = SignalingError::Protocol(Violation::OutOfTurn("message"));
                self.refuse(index, &error);
            }
            Phase::Closing => {}
        }
    }

    /// Takes a message of the relay.
    pub(super) fn handle_binary(&mut self, index: usize, bytes: Bytes) {
        let Some(Phase::Session(session)) = self.links.get(index).map(|link| &link.phase) else {
            return self.drop_link(index);
        };
        let (session, now) = (*session, self.core.now);
        let result = self.core.session(session).map(|entry| entry.session.handle_binary(now, bytes));
        self.core.touch(session);
        if let Some(Err(error)) = result {
            self.refuse(index, &error);
        }
    }

    /// Answers a client that comes back: to its session, or with a ticket for another.
    fn resume(&mut self, index: usize, request: &Resume) {
        if let Some((key, last)) = self.tickets.find(&request.session) {
            let (resume, text) = HostResume::answer(key, request);
            self.links[index].phase = Phase::Returning(resume, last);
            self.send(index, text);
            return self.expect(index, STEP_TIMEOUT);
        }
        let Some(session) = self.core.find_session(&request.session) else {
            return self.refuse(index, &SignalingError::UnknownSession);
        };
        let Some(key) = self.core.session(session).and_then(|entry| entry.session.resume_key().cloned()) else {
            return self.refuse(index, &SignalingError::UnknownSession);
        };
        let (resume, text) = HostResume::answer(key, request);
        self.links[index].phase = Phase::Resuming(resume, session);
        self.send(index, text);
        self.expect(index, STEP_TIMEOUT);
    }

    /// Gives a session its further WebSocket, if the client proves itself.
    fn finish_resume(&mut self, index: usize, text: &str) {
        let Phase::Resuming(resume, session) = std::mem::replace(&mut self.links[index].phase, Phase::Closing) else {
            return;
        };
        match resume.handle_text(text) {
            Ok((sealer, opener)) => {
                if let Some(older) = self.link_of(session) {
                    self.links[older].phase = Phase::Closing;
                    self.close_link(older, "resumed");
                }
                let now = self.core.now;
                match self.core.session(session) {
                    Some(entry) => {
                        info!("session={} signaling resumed", entry.name);
                        entry.session.handle_resumed_signaling(now, sealer, opener);
                        self.links[index].phase = Phase::Session(session);
                        self.places.leave(index);
                        self.core.touch(session);
                    }
                    None => self.refuse(index, &SignalingError::UnknownSession),
                }
            }
            Err(error) => self.refuse(index, &error),
        }
    }

    /// Pings the WebSockets of sessions, and drops those that are dead.
    pub(super) fn keep_alive(&mut self) {
        let mut dead = Vec::new();
        for (index, link) in &mut self.links {
            if let (Phase::Session(_), LinkEnd::WebSocket(websocket)) = (&link.phase, &mut link.end)
                && !link.liveness.check(websocket)
            {
                dead.push(index);
            }
        }
        for index in dead {
            debug!("remote={} signaling is dead", self.links[index].remote);
            self.drop_link(index);
        }
        self.keep_uplink_alive();
        self.core.deadlines.add(self.core.now + LOOK_INTERVAL, Due::KeepAlive);
    }

    /// Drops WebSockets of sessions that hang on an address this machine has no more.
    pub(super) fn handle_addresses(&mut self, vanished: &[IpAddr]) {
        let mut dead = Vec::new();
        for (index, link) in &mut self.links {
            let local = link.end.source().and_then(|source| source.local_addr().ok());
            if matches!(link.phase, Phase::Session(_)) && local.is_some_and(|local| vanished.contains(&local.ip())) {
                dead.push(index);
            }
        }
        dead.into_iter().for_each(|index| self.drop_link(index));
        self.handle_uplink_addresses(vanished);
    }

    /// Tells a session how much waits on its link.
    fn note_buffered(&mut self, index: usize) {
        let Some(Link { phase: Phase::Session(session), end, .. }) = self.links.get(index) else { return };
        let (session, waiting) = (*session, end.waiting());
        if let Some(entry) = self.core.session(session) {
            entry.session.set_signaling_buffered(waiting);
            self.core.touch(session);
        }
    }

    pub(super) fn send_signal(&mut self, session: SessionKey, number: u32, signal: Signal) {
        // What was sealed for a WebSocket that was replaced meanwhile is of no use.
        let Some(entry) = self.core.session(session).filter(|entry| entry.session.signaling_number() == number) else {
            return;
        };
        let message = match signal {
            Signal::Text(text) => Payload::Text(text),
            Signal::Binary(bytes) => Payload::Binary(bytes.into()),
        };
        if entry.scope == Scope::Server {
            return self.send_to_server(message);
        }
        if let Some(index) = self.link_of(session) {
            self.send_message(index, message);
        }
    }

    pub(super) fn link_of(&self, session: SessionKey) -> Option<usize> {
        let mut links = self.links.iter();
        links.find(|(_, link)| matches!(link.phase, Phase::Session(key) if key == session)).map(|(index, _)| index)
    }

    pub(super) fn send(&mut self, index: usize, text: String) {
        self.send_message(index, Payload::Text(text));
    }

    fn send_message(&mut self, index: usize, message: Payload) {
        let result = match (self.links.get_mut(index).map(|link| &mut link.end), message) {
            (Some(LinkEnd::WebSocket(websocket)), Payload::Text(text)) => websocket.send_text(text),
            (Some(LinkEnd::WebSocket(websocket)), Payload::Binary(bytes)) => websocket.send_binary(bytes),
            (Some(LinkEnd::Conversation(_)), message) => self.send_packet(index, message),
            (Some(LinkEnd::Incoming(_)) | None, _) => return,
        };
        match result {
            Ok(()) => self.note_buffered(index),
            Err(error) => {
                debug!("signaling send error={error}");
                self.drop_link(index);
            }
        }
    }

    pub(super) fn refuse(&mut self, index: usize, error: &SignalingError) {
        if !matches!(error, SignalingError::Refused { .. }) {
            self.send(index, error.to_text());
        }
        self.close_link(index, error.code().as_str());
    }

    pub(super) fn close_link(&mut self, index: usize, reason: &str) {
        let Some(link) = self.links.get_mut(index) else { return };
        // One of a session had no place until now.
        self.places.enter(index, link.source, Standing::Idle);
        match std::mem::replace(&mut link.phase, Phase::Closing) {
            Phase::Verifying(_) => self.limiter.cancel(link.source, LinkKey { index, serial: link.serial }),
            Phase::Session(session) => self.signaling_closed(session),
            Phase::Asking(_) => self.approval.iter_mut().for_each(|approval| approval.forget(link.serial)),
            Phase::Pake(_) | Phase::Resuming(..) | Phase::Returning(..) | Phase::Closing => {}
        }
        let Some(link) = self.links.get_mut(index) else { return };
        match &mut link.end {
            LinkEnd::WebSocket(websocket) => websocket.close(close_code::NORMAL, reason),
            LinkEnd::Incoming(_) => return self.drop_link(index),
            LinkEnd::Conversation(_) => return self.leave_later(index),
        }
        self.expect(index, CLOSE_TIMEOUT);
        // The peer's close may be here already.
        self.poll_link_later(index);
    }

    /// Has a link polled again in the next turn, whether or not its socket says anything.
    fn poll_link_later(&mut self, index: usize) {
        if let Some(link) = self.links.get_mut(index)
            && !std::mem::replace(&mut link.is_queued, true)
        {
            self.core.notices.push_back(Notice::LinkPoll { index });
        }
    }

    pub(super) fn handle_link_due(&mut self, key: LinkKey) {
        let Some(link) = self.links.get_mut(key.index).filter(|link| link.serial == key.serial) else { return };
        match link.phase {
            Phase::Pake(_) | Phase::Resuming(..) | Phase::Returning(..) | Phase::Closing => self.drop_link(key.index),
            Phase::Session(session)
                if self.core.session(session).is_some_and(|entry| !entry.session.needs_signaling()) =>
            {
                self.close_link(key.index, "connected");
            }
            Phase::Asking(_) => self.refuse(key.index, &SignalingError::Denied),
            // The limiter and the session have their own clocks.
            Phase::Verifying(_) | Phase::Session(_) => {}
        }
    }

    pub(super) fn drop_link(&mut self, index: usize) {
        let mut link = self.links.remove(index);
        if let Some(source) = link.end.source()
            && let Err(error) = self.core.poll.registry().deregister(source)
        {
            debug!("deregister error={error}");
        }
        if let LinkEnd::Conversation(conversation) = &link.end {
            self.forget_conversation(conversation.number());
        }
        self.places.leave(index);
        match link.phase {
            Phase::Verifying(_) => self.limiter.cancel(link.source, LinkKey { index, serial: link.serial }),
            Phase::Session(session) => self.signaling_closed(session),
            Phase::Asking(_) => self.approval.iter_mut().for_each(|approval| approval.forget(link.serial)),
            Phase::Pake(_) | Phase::Resuming(..) | Phase::Returning(..) | Phase::Closing => {}
        }
    }

    pub(super) fn signaling_closed(&mut self, session: SessionKey) {
        let now = self.core.now;
        if let Some(entry) = self.core.session(session) {
            entry.session.handle_signaling_closed(now);
        }
        self.core.touch(session);
    }
}
