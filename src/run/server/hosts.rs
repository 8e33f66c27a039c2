//! Registered hosts, and the traffic of their WebSockets.

use bytes::Bytes;
use log::debug;

use super::Server;
use super::phase::{Joined, Phase, Registered};
use crate::net::websocket::close_code;
use crate::run::keys::{LinkKey, SessionKey};
use crate::run::links::Outbox;
use crate::session::{End, Signal};
use crate::signaling::closing;
use crate::signaling::message::ErrorCode;
use crate::signaling::rendezvous::{FromHost, FromServer, Packet, Payload, SERVER};
use crate::status::event::Event;
use crate::status::refusal::Refusal;
use crate::tunnel::{Config, Role};

/// Initial credit of a stream to a host, in bytes. An answer that a visitor does not read waits in a window of its
/// stream, and a hostile host may send many.
const INITIAL_CREDIT: u32 = 32 * 1024;

/// Maximum number of bytes by which all windows of one host grow together.
const GROWTH_BUDGET: u64 = 8 * 1024 * 1024;

/// Maximum number of bytes of one host's visitors that the host has not acknowledged. Acknowledgements of small
/// requests may take a second, and each request holds 2 KiB: this is enough for 32,000.
const SEND_BUDGET: usize = 64 * 1024 * 1024;

/// Maximum number of bytes of all hosts together, unacknowledged or grown by windows; checked now and then.
const ALL_MEMORY: u64 = 512 * 1024 * 1024;

/// How many hosts are asked to come back within the same second. Each waits for a random share of its time.
const RETURNS_PER_SECOND: u64 = 500;

impl Server {
    pub(super) fn host(&mut self, key: LinkKey) -> Option<&mut Registered> {
        match &mut self.links.get_mut(key)?.phase {
            Phase::Host(host) => Some(host),
            _ => None,
        }
    }

    /// Tells whether a host's WebSocket has room for more.
    pub(super) fn has_room(&mut self, key: LinkKey) -> bool {
        self.links.get_mut(key).is_some_and(|link| link.buffered() < Outbox::MAX_AHEAD)
    }

    pub(super) fn handle_host_text(&mut self, key: LinkKey, text: &str) {
        match FromHost::parse(text) {
            Ok(FromHost::Left { conversation }) => {
                let Some(host) = self.host(key) else { return };
                if let Some(client) = host.conversations.remove(&conversation) {
                    host.clients.leave(client);
                    self.end_conversation(client);
                }
            }
            Ok(FromHost::Register(_)) => self.refuse(key, Refusal::Protocol, "a host registers once"),
            Err(error) => self.refuse(key, Refusal::Protocol, &error.to_string()),
        }
    }

    pub(super) fn handle_packet(&mut self, key: LinkKey, bytes: Bytes) {
        let Packet { conversation, payload } = match Packet::decode(bytes) {
            Ok(packet) => packet,
            Err(error) => return self.refuse(key, Refusal::Protocol, &error.to_string()),
        };
        let Some(host) = self.host(key) else { return };
        if conversation != SERVER {
            // A conversation that just ended may still receive messages.
            if let Some(&client) = host.conversations.get(&conversation) {
                self.send_to_client(client, payload);
            }
            return;
        }
        let (Some(session), Payload::Binary(bytes)) = (host.session, payload) else {
            return self.refuse(key, Refusal::Protocol, "there is no session of the server's own");
        };
        if let Err(error) = self.core.sessions.handle_relayed(self.core.turn.now, session, bytes) {
            debug!("session error={error}");
        }
    }

    pub(super) fn send_to_host(&mut self, key: LinkKey, text: String) {
        if let Err(error) = self.links.send(key, Payload::Text(text)) {
            self.drop_link(key, &error.to_string());
        }
    }

    pub(super) fn send_packet(&mut self, key: LinkKey, packet: Packet) {
        if let Err(error) = self.links.send(key, Payload::Binary(packet.encode())) {
            self.drop_link(key, &error.to_string());
        }
    }

    /// Returns the session with a host; begins one if there is none.
    pub(super) fn session_of(&mut self, key: LinkKey) -> Option<SessionKey> {
        let host = self.host(key)?;
        if let Some(session) = host.session {
            return Some(session);
        }
        let name = host.id.to_string();
        let config = Config {
            initial_credit: INITIAL_CREDIT,
            growth_budget: GROWTH_BUDGET,
            send_budget: SEND_BUDGET,
            ..Config::new(Role::Client)
        };
        let session = self.core.sessions.add_plain(&self.core.turn, name, config);
        self.sessions.insert(session, key);
        self.host(key)?.session = Some(session);
        Some(session)
    }

    /// Sends a message of the session with a host.
    pub(super) fn send_signal(&mut self, session: SessionKey, signal: Signal) {
        let Some(&key) = self.sessions.get(&session) else { return };
        if self.peer(key).is_some() {
            return self.send_to_peer(key, signal.into());
        }
        let Some(host) = self.host(key).filter(|host| host.session == Some(session)) else { return };
        host.outbox.push(signal.into());
        let waiting = host.outbox.bytes();
        self.core.sessions.set_buffered(session, waiting);
        self.pump_host(key);
    }

    /// Writes to a host's WebSocket what it has room for: messages of its session and of clients, in turn.
    pub(super) fn pump_host(&mut self, key: LinkKey) {
        self.check_contender(key);
        let mut is_idle = false;
        while !is_idle && self.has_room(key) {
            is_idle = true;
            let Some(host) = self.host(key) else { return };
            if let Some(payload) = host.outbox.pop() {
                is_idle = false;
                let (session, waiting) = (host.session, host.outbox.bytes());
                self.send_packet(key, Packet { conversation: SERVER, payload });
                session.into_iter().for_each(|session| self.core.sessions.set_buffered(session, waiting));
            }
            let Some(host) = self.host(key) else { return };
            if let Some(client) = host.blocked.pop_front() {
                is_idle = false;
                if let Some(client) = self.client(client) {
                    client.is_blocked = false;
                }
                self.poll_link(client);
            }
        }
    }

    /// Ends the hosts whose streams hold most, until the total is within the limit.
    pub(super) fn bound_memory(&mut self) {
        let mut held: Vec<(u64, LinkKey)> = Vec::new();
        // Sessions with other servers are few, and no strangers'.
        for (key, &link) in self.sessions.iter().filter(|(_, link)| self.links[**link].phase.is_host()) {
            if let Some(entry) = self.core.sessions.get_mut(*key) {
                let (windows, queued) = entry.session.mux().memory();
                held.push((windows + queued as u64, link));
            }
        }
        held.sort_unstable();
        let mut all: u64 = held.iter().map(|(bytes, _)| bytes).sum();
        while all > ALL_MEMORY
            && let Some((bytes, link)) = held.pop()
        {
            all -= bytes;
            self.refuse(link, Refusal::Busy, "its visitors hold too much of the server's memory");
        }
    }

    /// Handles the end of the session with a host: the host is useless without it, and has to connect again.
    pub(super) fn session_ended(&mut self, session: SessionKey, end: &End) {
        let Some(&key) = self.sessions.get(&session) else { return };
        if let Some(host) = self.host(key).filter(|host| host.session == Some(session)) {
            host.session = None;
            self.sessions.remove(&session);
            self.drop_link(key, &end.to_string());
        } else if self.peer(key).is_some_and(|peer| peer.session == session) {
            self.drop_link(key, "the session with it ended");
        }
    }

    /// Cleans up after a host that is gone, with everything it had.
    pub(super) fn host_left(&mut self, key: LinkKey, host: Registered, reason: &str) {
        if self.names.get(&host.id) == Some(&key) {
            self.names.remove(&host.id);
            self.release_name(&host.id);
        }
        self.metrics.hosts = self.names.len();
        let contender = host.contender();
        if let Some(session) = host.session {
            self.sessions.remove(&session);
            self.core.sessions.handle_link_gone(self.core.turn.now, session);
        }
        self.hosts.leave(key);
        // Clients that have sent nothing wait for room in vain.
        let is_silent = |client: &mut Joined| client.number.is_none() && client.is_blocked && client.host == key;
        let mut silent = host.blocked;
        silent.retain(|client| self.client(*client).is_some_and(is_silent));
        self.dismiss(host.conversations.into_values().chain(silent));
        self.core.turn.report(&Event::HostLeft { id: host.id, reason: reason.to_owned() });
        contender.into_iter().for_each(|contender| self.succeed(contender));
    }

    /// Ends all links but those to other servers, and tells every host to come back soon.
    pub(super) fn say_good_bye(&mut self) {
        // Clients first: otherwise they would be told that their host is gone.
        for key in self.links.of(|phase| !matches!(phase, Phase::Host(_) | Phase::Peer(_))) {
            self.close_link_for(key, close_code::GOING_AWAY, closing::SERVER_GOES);
        }
        for (number, key) in (0..).zip(self.links.of(|phase| matches!(phase, Phase::Host(_)))) {
            self.send_away(key, 1 + number / RETURNS_PER_SECOND);
        }
    }

    /// Tells a host to come back, after so many seconds at least, and closes its link.
    pub(super) fn send_away(&mut self, key: LinkKey, retry_after: u64) {
        let mut error = FromServer::error(ErrorCode::Restart, "the server goes away for a moment");
        if let FromServer::Error(error) = &mut error {
            error.retry_after = Some(retry_after);
        }
        self.send_to_host(key, error.to_text());
        self.close_link_for(key, close_code::GOING_AWAY, closing::SERVER_GOES);
    }
}
