//! Clients that come through the server. Each is a numbered conversation on the WebSocket that all of them share, and a
//! link like any other to the rest of the host. Conversation 0 is the server's own session.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;

use bytes::Bytes;
use log::debug;

use super::Host;
use super::links::Phase;
use crate::net::websocket::WebSocketError;
use crate::run::deadlines::STEP_TIMEOUT;
use crate::run::keys::{LinkKey, SessionKey};
use crate::run::links::Outbox;
use crate::shares::{Source, Standing};
use crate::signaling::rendezvous::{FromHost, Packet, Payload, SERVER};
use crate::tunnel::{Config, Role};

/// Maximum number of bytes that wait in a conversation. A session stops at much less.
const MAX_WAITING: usize = 256 * 1024;

/// The conversations on the WebSocket to the server.
#[derive(Default)]
pub(super) struct Conversations {
    open: HashMap<u32, Conversation>,
    /// Conversations with something to send, in the order of their turns; each is in it once.
    turns: VecDeque<u32>,
    /// The session with the server itself, and its waiting output.
    session: Option<SessionKey>,
    outbox: Outbox,
}

/// The output of a client's link.
struct Conversation {
    link: LinkKey,
    outbox: Outbox,
    /// It ends once everything is sent.
    is_leaving: bool,
}

impl Conversations {
    /// Forgets a conversation, and returns its link.
    pub(super) fn remove(&mut self, number: u32) -> Option<LinkKey> {
        self.open.remove(&number).map(|conversation| conversation.link)
    }

    /// Returns how many bytes wait to be sent in a conversation.
    pub(super) fn waiting(&self, number: u32) -> usize {
        self.open.get(&number).map_or(0, |conversation| conversation.outbox.bytes())
    }
}

impl Host {
    /// Handles a client that comes through the server.
    pub(super) fn add_conversation(&mut self, number: u32, remote: SocketAddr) {
        // A server that uses a number again ends the former conversation by that.
        self.leave(number);
        let source = Source::of(remote.ip());
        let has_place = self.make_place(source);
        let Some(uplink) = &mut self.uplink else { return };
        let link = self.links.converse(&mut self.core.turn, number, remote, Phase::begin(), STEP_TIMEOUT);
        let conversation = Conversation { link, outbox: Outbox::default(), is_leaving: false };
        uplink.conversations.open.insert(number, conversation);
        self.places.enter(link, source, Standing::Asking);
        if !has_place {
            self.refuse_busy(link);
        }
    }

    pub(super) fn handle_packet(&mut self, bytes: Bytes) {
        let packet = match Packet::decode(bytes) {
            Ok(packet) => packet,
            Err(error) => {
                return self.uplink_lost(WebSocketError::Protocol(format!("its message is invalid: {error}")));
            }
        };
        if packet.conversation == SERVER {
            return self.handle_server_message(packet.payload);
        }
        let Some(uplink) = &self.uplink else { return };
        // A conversation that we left may still receive messages.
        let Some(conversation) = uplink.conversations.open.get(&packet.conversation) else { return };
        let key = conversation.link;
        match packet.payload {
            Payload::Text(text) => self.handle_text(key, &text),
            Payload::Binary(bytes) => self.handle_binary(key, bytes),
        }
    }

    /// Handles a message of the session with the server, which begins with the first one.
    fn handle_server_message(&mut self, payload: Payload) {
        let Payload::Binary(bytes) = payload else { return };
        let Some(session) = self.uplink.as_ref().map(|uplink| uplink.conversations.session) else { return };
        let session = session.unwrap_or_else(|| self.start_server_session());
        if let Err(error) = self.core.sessions.handle_relayed(self.core.turn.now, session, bytes) {
            debug!("server session error={error}");
        }
    }

    fn start_server_session(&mut self) -> SessionKey {
        let mut config = self.config.bounds.apply(Config::new(Role::Host));
        config.services = self.uplink.iter().filter_map(|uplink| uplink.published.clone()).collect();
        let session = self.core.sessions.add_plain(&self.core.turn, "server".to_owned(), config);
        if let Some(uplink) = &mut self.uplink {
            uplink.conversations.session = Some(session);
        }
        session
    }

    /// Handles the end of the session with the server. Unless the host is ending, it opens a new WebSocket.
    pub(super) fn server_session_ended(&mut self, session: SessionKey) {
        let Some(uplink) = &mut self.uplink else { return };
        if uplink.conversations.session != Some(session) {
            return;
        }
        uplink.conversations.session = None;
        if !self.is_ending() {
            self.uplink_lost(WebSocketError::Ended("the session with the server ended".to_owned()));
        }
    }

    /// Queues a message of a conversation; fails if too much waits already.
    pub(super) fn send_packet(&mut self, number: u32, message: Payload) -> Result<(), WebSocketError> {
        let Some(uplink) = &mut self.uplink else { return Ok(()) };
        let Some(Conversation { outbox, .. }) = uplink.conversations.open.get_mut(&number) else { return Ok(()) };
        let (waiting, is_first) = (outbox.bytes(), outbox.is_empty());
        if waiting >= MAX_WAITING {
            return Err(WebSocketError::Full { waiting });
        }
        outbox.push(message);
        if is_first {
            self.take_turn(number);
        }
        Ok(())
    }

    /// Queues a message of the session with the server. That session stops by itself when much waits.
    pub(super) fn send_to_server(&mut self, message: Payload) {
        let Some(uplink) = &mut self.uplink else { return };
        let Conversations { outbox, session, .. } = &mut uplink.conversations;
        let is_first = outbox.is_empty();
        outbox.push(message);
        if let Some(session) = *session {
            self.core.sessions.set_buffered(session, outbox.bytes());
        }
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

    /// Writes to the WebSocket what it has room for, one message of each conversation in turn.
    pub(super) fn pump_uplink(&mut self) {
        while let Some(key) = self.registered()
            && self.links[key].buffered() < Outbox::MAX_AHEAD
            && let Some(uplink) = &mut self.uplink
        {
            let conversations = &mut uplink.conversations;
            let Some(number) = conversations.turns.pop_front() else { return };
            let (outbox, session, is_leaving) = if number == SERVER {
                (&mut conversations.outbox, conversations.session, false)
            } else {
                let Some(Conversation { link, outbox, is_leaving }) = conversations.open.get_mut(&number) else {
                    continue;
                };
                let phase = self.links.get(*link).map(|link| &link.phase);
                let session = if let Some(Phase::Session(session)) = phase { Some(*session) } else { None };
                (outbox, session, *is_leaving)
            };
            let Some(payload) = outbox.pop() else { continue };
            let (waiting, is_empty) = (outbox.bytes(), outbox.is_empty());
            if !is_empty {
                conversations.turns.push_back(number);
            }
            let packet = Packet { conversation: number, payload }.encode();
            if let Err(error) = self.links.send(key, Payload::Binary(packet)) {
                return self.uplink_lost(error);
            }
            if is_leaving && is_empty {
                self.leave(number);
            } else if let Some(session) = session {
                self.core.sessions.set_buffered(session, waiting);
            }
        }
    }

    /// Ends a conversation once everything that waits is sent.
    pub(super) fn leave_later(&mut self, number: u32) {
        let Some(uplink) = &mut self.uplink else { return };
        let Some(conversation) = uplink.conversations.open.get_mut(&number) else { return };
        conversation.is_leaving = true;
        if conversation.outbox.is_empty() {
            self.leave(number);
        }
    }

    fn leave(&mut self, number: u32) {
        if let Some(conversation) = self.uplink.as_ref().and_then(|uplink| uplink.conversations.open.get(&number)) {
            self.drop_link(conversation.link);
        }
    }

    /// Removes a conversation, and tells the server if it does not know yet.
    pub(super) fn forget_conversation(&mut self, number: u32) {
        if self.uplink.as_mut().is_none_or(|uplink| uplink.conversations.remove(number).is_none()) {
            return;
        }
        let left = Payload::Text(FromHost::Left { conversation: number }.to_text());
        if let Some(key) = self.registered()
            && let Err(error) = self.links.send(key, left)
        {
            debug!("conversation={number} end not told: {error}");
        }
    }

    /// Ends everything on the WebSocket.
    pub(super) fn end_conversations(&mut self) {
        let Some(uplink) = &mut self.uplink else { return };
        let Conversations { open, session, .. } = std::mem::take(&mut uplink.conversations);
        open.into_values().for_each(|conversation| self.drop_link(conversation.link));
        if let Some(session) = session {
            self.core.sessions.handle_link_gone(self.core.turn.now, session);
        }
    }
}
