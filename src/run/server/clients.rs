//! Clients: conversations whose messages are passed on between two WebSockets.
//!
//! A client's messages go to its host while there is room there; otherwise the client is not read, and its TCP
//! connection makes it wait. A host cannot be stopped like that, since clients share its WebSocket. Its messages are
//! queued for the client within limits; two honest peers keep less than that in transit.

use std::time::Duration;

use super::Server;
use super::cluster::Place;
use super::phase::{Joined, Phase};
use crate::net::websocket::{MAX_MESSAGE, close_code};
use crate::run::deadlines::STEP_TIMEOUT;
use crate::run::keys::LinkKey;
use crate::run::links::Outbox;
use crate::signaling::closing;
use crate::signaling::message::ErrorCode;
use crate::signaling::rendezvous::{FromServer, HostId, PACKET_OVERHEAD, Packet, Payload};
use crate::status::event::Event;
use crate::status::refusal::Refusal;

/// Maximum number of bytes that wait for one client: a relayed session has at most 4 MiB in transit (`session::relay`).
const MAX_WAITING: usize = 5 * 1024 * 1024;

/// Time for a client to receive its queue once its host is done with it.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(30);

/// Maximum number of bytes that wait for all clients together.
const MAX_QUEUED: usize = 256 * 1024 * 1024;

impl Server {
    /// Handles a client that wants to join a host.
    pub(super) fn join(&mut self, key: LinkKey, id: &HostId) {
        let host = match self.look_up(id) {
            Place::Here(host) => host,
            Place::At(elsewhere) => elsewhere.link,
            Place::Away => return self.refuse_away(key),
            Place::Nowhere => return self.refuse_unknown(key, id),
            Place::Asked => return self.seek(key, id),
        };
        if let Some(link) = self.links.get_mut(key) {
            link.phase = Phase::Client(Box::new(Joined {
                id: id.clone(),
                host,
                number: None,
                outbox: Outbox::default(),
                is_leaving: false,
                is_blocked: false,
                distant: None,
                sent: 0,
                received: 0,
            }));
        }
        self.begin_step(key, STEP_TIMEOUT);
    }

    /// Asks a client to come again: its host may be at a server without a link at the moment.
    pub(super) fn refuse_away(&mut self, key: LinkKey) {
        self.refuse(key, Refusal::Busy, "the host cannot be found at the moment; try again");
    }

    pub(super) fn refuse_unknown(&mut self, key: LinkKey, id: &HostId) {
        let message = format!("no host is registered as {id}: is it running, and is the name right?");
        self.refuse(key, Refusal::UnknownHost, &message);
    }

    /// Gives a client that sent its first message a place and a number, or refuses it.
    fn begin_conversation(&mut self, key: LinkKey) -> Option<u32> {
        let id = self.client(key)?.id.clone();
        let host = match self.place_now(&id) {
            Place::Here(host) => host,
            // One hop, never two.
            Place::At(_) if self.is_guest(key) => {
                self.refuse_away(key);
                return None;
            }
            Place::At(elsewhere) => return self.begin_distant(key, elsewhere),
            Place::Away | Place::Asked => {
                self.refuse_away(key);
                return None;
            }
            Place::Nowhere => {
                self.refuse_unknown(key, &id);
                return None;
            }
        };
        if !self.make_place_for_client(key, host) {
            self.refuse(key, Refusal::Full, "the server has all the clients it may have; try again later");
            return None;
        }
        let state = self.host(host)?;
        let conversation = state.next_number();
        state.conversations.insert(conversation, key);
        let remote = self.links.get(key)?.remote;
        let client = self.client(key)?;
        (client.host, client.number) = (host, Some(conversation));
        self.metrics.conversations += 1;
        let joined = FromServer::Joined { conversation, remote };
        self.send_to_host(host, joined.to_text());
        self.core.turn.report(&Event::ClientJoined { id, remote, conversation });
        Some(conversation)
    }

    pub(super) fn client(&mut self, key: LinkKey) -> Option<&mut Joined> {
        match &mut self.links.get_mut(key)?.phase {
            Phase::Client(client) => Some(client),
            _ => None,
        }
    }

    /// Makes a client wait if its host has no room now: it goes into the host's list. Returns whether it waits.
    pub(super) fn block_if_full(&mut self, key: LinkKey) -> bool {
        let is_guest = self.is_guest(key);
        let Some(client) = self.client(key) else { return false };
        if !is_guest && let Some(distant) = &client.distant {
            client.is_blocked = distant.waits();
            return client.is_blocked;
        }
        if client.number.is_none() {
            let id = client.id.clone();
            // Without a host, the client is told so at its first message.
            let Some(&host) = self.names.get(&id) else { return false };
            self.client(key).into_iter().for_each(|client| client.host = host);
        }
        let Some(client) = self.client(key) else { return false };
        let host = client.host;
        if client.is_leaving || self.has_room(host) {
            return false;
        }
        if let Some(client) = self.client(key)
            && !std::mem::replace(&mut client.is_blocked, true)
            && let Some(host) = self.host(host)
        {
            host.blocked.push_back(key);
        }
        true
    }

    /// Passes on a client's message.
    pub(super) fn handle_client_message(&mut self, key: LinkKey, payload: Payload) {
        if payload.len() > MAX_MESSAGE - PACKET_OVERHEAD {
            // As a packet it would be too large for the host.
            return self.refuse(key, Refusal::TooLarge, "a message was too large");
        }
        let Some(client) = self.client(key) else { return };
        if client.is_leaving {
            // The host is gone, and its slot may belong to another.
            return;
        }
        let known = client.number;
        let Some(conversation) = known.or_else(|| self.begin_conversation(key)) else { return };
        let Some(client) = self.client(key) else { return };
        client.received += payload.len() as u64;
        let (host, is_distant) = (client.host, client.distant.is_some());
        self.metrics.relayed.to_host += payload.len() as u64;
        if is_distant && !self.is_guest(key) {
            return self.send_distant(key, &payload);
        }
        self.send_packet(host, Packet { conversation, payload });
    }

    /// Passes on a host's message to a client.
    pub(super) fn send_to_client(&mut self, key: LinkKey, payload: Payload) {
        let Some(link) = self.links.get_mut(key) else { return };
        let Phase::Client(client) = &mut link.phase else { return };
        client.sent += payload.len() as u64;
        self.metrics.relayed.to_client += payload.len() as u64;
        let before = client.outbox.bytes();
        client.outbox.push(payload);
        self.queued += client.outbox.bytes() - before;
        self.pump_client(key);
        // Messages that just went out do not count.
        let waiting = self.client(key).map_or(0, |client| client.outbox.bytes());
        let slow = if waiting > MAX_WAITING {
            Some(key)
        } else if self.queued > MAX_QUEUED {
            self.slowest()
        } else {
            None
        };
        if let Some(slow) = slow {
            self.refuse(slow, Refusal::Slow, "it takes what the host sends too slowly");
        }
    }

    /// Returns the client with the longest queue.
    fn slowest(&self) -> Option<LinkKey> {
        let clients = self.links.iter().filter_map(|(key, link)| match &link.phase {
            Phase::Client(client) => Some((client.outbox.bytes(), key)),
            _ => None,
        });
        clients.max().map(|(_, key)| key)
    }

    /// Writes to a client's WebSocket what it has room for.
    pub(super) fn pump_client(&mut self, key: LinkKey) {
        if self.is_guest(key) {
            return self.pump_guest(key);
        }
        let Some(link) = self.links.get_mut(key) else { return };
        let (Phase::Client(client), Some(websocket)) = link.parts() else { return };
        let before = client.outbox.bytes();
        // The client may not be read at the moment, but its queue must move.
        let mut result = websocket.flush_now();
        while result.is_ok()
            && websocket.buffered() < Outbox::MAX_AHEAD
            && let Some(payload) = client.outbox.pop()
        {
            result = match payload {
                Payload::Text(text) => websocket.send_text(text),
                Payload::Binary(bytes) => websocket.send_binary(bytes),
            };
        }
        let is_over = client.is_leaving && client.outbox.is_empty() && websocket.is_flushed();
        self.queued -= before - client.outbox.bytes();
        match result {
            Err(error) => self.drop_link(key, &error.to_string()),
            Ok(()) if is_over => self.close_link(key, closing::HOST_DONE),
            Ok(()) => {}
        }
    }

    /// Ends a conversation that the host is done with; its earlier messages still go out.
    pub(super) fn end_conversation(&mut self, key: LinkKey) {
        if let Some(client) = self.client(key) {
            client.is_leaving = true;
            self.begin_step(key, LEAVE_TIMEOUT);
            self.pump_client(key);
        }
    }

    /// Cleans up after a client that is gone.
    pub(super) fn client_left(&mut self, key: LinkKey, client: Joined, reason: &str) {
        let Joined { id, host, number, is_leaving, outbox, sent, received, distant, .. } = client;
        distant.into_iter().for_each(|distant| self.leave_distant(*distant));
        self.clients.leave(key);
        self.queued -= outbox.bytes();
        let Some(number) = number else { return };
        // A leaving client was forgotten, as were those of a host that is gone.
        if !is_leaving
            && let Some(state) = self.host(host)
            && state.conversations.remove(&number).is_some()
        {
            state.clients.leave(key);
            self.send_to_host(host, FromServer::Left { conversation: number }.to_text());
        }
        let reason = reason.to_owned();
        self.core.turn.report(&Event::ClientLeft { id, conversation: number, reason, sent, received });
    }

    /// Tells the clients of a host that it is gone.
    pub(super) fn dismiss(&mut self, clients: impl IntoIterator<Item = LinkKey>) {
        // In a cluster it may be at another server by now.
        let code = if self.cluster.is_some() { ErrorCode::Busy } else { ErrorCode::UnknownHost };
        for key in clients {
            self.send_error(key, code, closing::HOST_GONE);
            self.close_link_for(key, close_code::GOING_AWAY, closing::HOST_GONE);
        }
    }
}
