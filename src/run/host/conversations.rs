//! Clients that come in through the server: each is a numbered conversation on the WebSocket that all of them share,
//! and a link like any other to the rest of the host. Conversation 0 is the server's own session.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;

use bytes::Bytes;
use log::debug;

use super::links::STEP_TIMEOUT;
use super::{Host, Link, LinkEnd, LinkKey, Phase};
use crate::net::websocket::WebSocketError;
use crate::run::keys::SessionKey;
use crate::run::liveness::Liveness;
use crate::run::outbox::Outbox;
use crate::shares::{self, Standing};
use crate::signaling::handshake::HostHandshake;
use crate::signaling::rendezvous::{FromHost, Packet, Payload, SERVER};
use crate::tunnel::{Config, Role};

/// Bytes that are ahead in the WebSocket: what is given to it later can still take turns.
const MAX_AHEAD: usize = 64 * 1024;

/// Bytes that may wait for their turn in a conversation. A session stops at much less.
const MAX_WAITING: usize = 256 * 1024;

/// What goes over the WebSocket to the server.
#[derive(Default)]
pub(super) struct Conversations {
    /// The link of each.
    links: HashMap<u32, LinkKey>,
    /// Those with something to send, in the order of their turns; each is in it once.
    turns: VecDeque<u32>,
    /// The session with the server itself, and what it has to say.
    session: Option<SessionKey>,
    outbox: Outbox,
}

impl Conversations {
    /// Forgets a conversation, and returns its link.
    pub(super) fn remove(&mut self, number: u32) -> Option<LinkKey> {
        self.links.remove(&number)
    }
}

/// A link's end that is a conversation.
pub(super) struct Conversation {
    number: u32,
    outbox: Outbox,
    /// It is over once everything is sent.
    is_leaving: bool,
}

impl Conversation {
    /// Returns what waits to be sent, in bytes.
    pub(super) fn waiting(&self) -> usize {
        self.outbox.bytes()
    }

    pub(super) fn number(&self) -> u32 {
        self.number
    }
}

impl Host {
    /// A client comes in through the server.
    pub(super) fn add_conversation(&mut self, number: u32, remote: SocketAddr) {
        // A server that uses a number twice ends the first conversation by it.
        self.leave(number);
        let source = shares::Source::of(remote.ip());
        let has_place = self.make_place(source);
        let end = Conversation { number, outbox: Outbox::default(), is_leaving: false };
        let key = self.links.insert(Link {
            end: LinkEnd::Conversation(end),
            step: 0,
            remote: remote.to_string(),
            source,
            phase: Phase::Pake(HostHandshake::new()),
            is_queued: false,
            liveness: Liveness::default(),
        });
        let Some(uplink) = &mut self.uplink else { return };
        uplink.conversations.links.insert(number, key);
        self.places.enter(key, source, Standing::Asking);
        self.expect(key, STEP_TIMEOUT);
        if !has_place {
            self.refuse_busy(key);
        }
    }

    pub(super) fn handle_packet(&mut self, bytes: Bytes) {
        let packet = match Packet::decode(bytes) {
            Ok(packet) => packet,
            Err(error) => return self.uplink_lost(WebSocketError::Protocol(format!("what the server sent: {error}"))),
        };
        if packet.conversation == SERVER {
            return self.handle_server_message(packet.payload);
        }
        let Some(uplink) = &self.uplink else { return };
        // One that we left may still have something under way.
        let Some(&key) = uplink.conversations.links.get(&packet.conversation) else { return };
        match packet.payload {
            Payload::Text(text) => self.handle_text(key, &text),
            Payload::Binary(bytes) => self.handle_binary(key, bytes),
        }
    }

    /// Takes a message of the session with the server, which begins with the first one.
    fn handle_server_message(&mut self, payload: Payload) {
        let Payload::Binary(bytes) = payload else { return };
        let Some(session) = self.uplink.as_ref().map(|uplink| uplink.conversations.session) else { return };
        let session = session.unwrap_or_else(|| self.start_server_session());
        let now = self.core.turn.now;
        if let Some(entry) = self.core.sessions.get_mut(session)
            && let Err(error) = entry.session.handle_binary(now, bytes)
        {
            debug!("server session error={error}");
        }
        self.core.sessions.touch(session);
    }

    fn start_server_session(&mut self) -> SessionKey {
        let mut config = self.config.bounds.apply(Config::new(Role::Host));
        let public = self.config.server.as_ref().and_then(|registration| registration.public.as_ref());
        config.services = public.map(|public| self.announced(Some(public.service))).unwrap_or_default();
        let session = self.core.sessions.add_plain(&self.core.turn, "server".to_owned(), config);
        if let Some(uplink) = &mut self.uplink {
            uplink.conversations.session = Some(session);
        }
        session
    }

    /// The session with the server is over. Unless we end, too, a new WebSocket begins anew.
    pub(super) fn server_session_ended(&mut self, session: SessionKey) {
        let Some(uplink) = &mut self.uplink else { return };
        if uplink.conversations.session != Some(session) {
            return;
        }
        uplink.conversations.session = None;
        if !self.is_stopping {
            self.uplink_lost(WebSocketError::Ended("the session with the server ended".to_owned()));
        }
    }

    /// Sends a message of a conversation once it is its turn; fails if too much waits already.
    pub(super) fn send_packet(&mut self, key: LinkKey, message: Payload) -> Result<(), WebSocketError> {
        let Some(LinkEnd::Conversation(conversation)) = self.links.get_mut(key).map(|link| &mut link.end) else {
            return Ok(());
        };
        let waiting = conversation.outbox.bytes();
        if waiting >= MAX_WAITING {
            return Err(WebSocketError::Full { waiting });
        }
        let (number, is_first) = (conversation.number, conversation.outbox.is_empty());
        conversation.outbox.push(message);
        if is_first {
            self.take_turn(number);
        }
        Ok(())
    }

    /// Sends a message of the session with the server once it is its turn. The session stops by itself when much waits.
    pub(super) fn send_to_server(&mut self, message: Payload) {
        let Some(uplink) = &mut self.uplink else { return };
        let Conversations { outbox, session, .. } = &mut uplink.conversations;
        let is_first = outbox.is_empty();
        outbox.push(message);
        let (session, waiting) = (*session, outbox.bytes());
        self.note_waiting(session, waiting);
        if is_first {
            self.take_turn(SERVER);
        }
    }

    fn take_turn(&mut self, number: u32) {
        if let Some(uplink) = &mut self.uplink {
            uplink.conversations.turns.push_back(number);
            self.pump_uplink();
        }
    }

    /// Gives the WebSocket what it has room for, a message of each conversation in turn.
    pub(super) fn pump_uplink(&mut self) {
        loop {
            let registered = self.uplink.as_mut().and_then(|uplink| uplink.registered());
            let Some((websocket, conversations)) = registered else { return };
            if websocket.buffered() >= MAX_AHEAD {
                return;
            }
            let Some(number) = conversations.turns.pop_front() else { return };
            let (outbox, session, is_leaving) = if number == SERVER {
                (&mut conversations.outbox, conversations.session, false)
            } else {
                let key = conversations.links.get(&number);
                match key.and_then(|key| self.links.get_mut(*key)) {
                    Some(Link { end: LinkEnd::Conversation(conversation), phase, .. }) => {
                        let session = if let Phase::Session(session) = phase { Some(*session) } else { None };
                        (&mut conversation.outbox, session, conversation.is_leaving)
                    }
                    _ => continue,
                }
            };
            let Some(payload) = outbox.pop() else { continue };
            let (waiting, is_empty) = (outbox.bytes(), outbox.is_empty());
            if !is_empty {
                conversations.turns.push_back(number);
            }
            if let Err(error) = websocket.send_binary(Packet { conversation: number, payload }.encode()) {
                return self.uplink_lost(error);
            }
            if is_leaving && is_empty {
                self.leave(number);
            } else {
                self.note_waiting(session, waiting);
            }
        }
    }

    fn note_waiting(&mut self, session: Option<SessionKey>, waiting: usize) {
        if let Some(session) = session
            && let Some(entry) = self.core.sessions.get_mut(session)
        {
            entry.session.set_signaling_buffered(waiting);
            self.core.sessions.touch(session);
        }
    }

    /// Ends a conversation once everything that waits is sent.
    pub(super) fn leave_later(&mut self, key: LinkKey) {
        let Some(LinkEnd::Conversation(conversation)) = self.links.get_mut(key).map(|link| &mut link.end) else {
            return;
        };
        conversation.is_leaving = true;
        if conversation.outbox.is_empty() {
            let number = conversation.number;
            self.leave(number);
        }
    }

    fn leave(&mut self, number: u32) {
        if let Some(&key) = self.uplink.as_ref().and_then(|uplink| uplink.conversations.links.get(&number)) {
            self.drop_link(key);
        }
    }

    /// Takes a conversation from the table, and tells the server that it is over if it does not know yet.
    pub(super) fn forget_conversation(&mut self, number: u32) {
        if self.uplink.as_mut().is_none_or(|uplink| uplink.conversations.remove(number).is_none()) {
            return;
        }
        let registered = self.uplink.as_mut().and_then(|uplink| uplink.registered());
        if let Some((websocket, _)) = registered
            && let Err(error) = websocket.send_text(FromHost::Left { conversation: number }.to_text())
        {
            debug!("conversation={number} end not told: {error}");
        }
    }

    /// Ends what went over the WebSocket.
    pub(super) fn end_conversations(&mut self) {
        let Some(uplink) = &mut self.uplink else { return };
        let Conversations { links, session, .. } = std::mem::take(&mut uplink.conversations);
        links.into_values().for_each(|key| self.drop_link(key));
        if let Some(session) = session {
            self.signaling_closed(session);
        }
    }
}
