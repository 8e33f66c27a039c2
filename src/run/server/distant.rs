//! Clients whose host is at another server. Each is a stream on the link between the two servers, with the client's
//! messages one after the other. Where the client is, it has a WebSocket and this stream instead of a host; where the
//! host is, it is a guest, and has this stream instead of a WebSocket.
//!
//! A stream has a window of its own, so whoever reads slowly makes its own conversation wait, and no other.

use std::net::SocketAddr;

use super::Server;
use super::cluster::{Distant, Elsewhere, Half, Place};
use super::phase::{Joined, Phase};
use super::waiting::Waiting;
use crate::cluster::framing::FramingError;
use crate::cluster::message::{MOVED, Order, Wanted};
use crate::run::connections::stream_hash;
use crate::run::deadlines::STEP_TIMEOUT;
use crate::run::keys::LinkKey;
use crate::run::links::Outbox;
use crate::signaling::closing;
use crate::signaling::rendezvous::{HostId, Payload};
use crate::status::event::Event;
use crate::status::refusal::Refusal;
use crate::tunnel::{self, AbortReason, ConnectTarget, Trail};

impl Server {
    /// Tells whether a client is at another server, and its host here.
    pub(super) fn is_guest(&self, key: LinkKey) -> bool {
        self.links.get(key).is_some_and(|link| link.conversation().is_some())
    }

    /// Opens the stream of a client that sent its first message, or refuses the client. Returns its number.
    pub(super) fn begin_distant(&mut self, key: LinkKey, elsewhere: Elsewhere) -> Option<u32> {
        if !self.make_place_for_distant(key) {
            self.refuse(key, Refusal::Full, "the server has all the clients it may have; try again later");
            return None;
        }
        let (id, remote) = (self.client(key)?.id.clone(), self.links.get(key)?.remote);
        let Some((half, number)) = self.open_distant(key, &id, &elsewhere) else {
            self.refuse_away(key);
            return None;
        };
        let client = self.client(key)?;
        client.distant = Some(Box::new(Distant::new(half, false)));
        (client.host, client.number) = (elsewhere.link, Some(number));
        self.metrics.conversations += 1;
        self.metrics.crossed.conversations.to_peers += 1;
        self.core.turn.report(&Event::ClientJoined { id, remote, conversation: number });
        Some(number)
    }

    /// Opens a stream to a host of another server. Returns its number with it.
    fn open_distant(&mut self, key: LinkKey, id: &HostId, elsewhere: &Elsewhere) -> Option<(Half, u32)> {
        let to = Wanted::Client(self.links.get(key)?.remote);
        let order = Order { id: id.clone(), epoch: elsewhere.epoch, to }.to_text()?;
        self.opened += 1;
        let flow = self.opened.to_string();
        let session = elsewhere.session;
        let entry = self.core.sessions.get_mut(session)?;
        let hash = stream_hash(&entry.salt, &flow);
        let mux = entry.session.mux();
        let stream = mux.open_from(hash, &ConnectTarget::Tcp(order), &Trail::default()).ok()?;
        let number = u32::from(mux.stream(stream)?.id().value());
        self.core.sessions.touch(session);
        self.cluster.as_mut()?.clients.insert((session, stream), key);
        Some(((session, stream), number))
    }

    /// Takes a client of another server in, for a host of this one.
    pub(super) fn take_guest(&mut self, half: Half, host: LinkKey, id: HostId, remote: SocketAddr) {
        let Some(mut stream) = self.stream_of(half) else { return };
        stream.accept();
        let number = u32::from(stream.id().value());
        self.metrics.crossed.conversations.from_peers += 1;
        self.core.sessions.touch(half.0);
        let client = Joined {
            id,
            host,
            number: None,
            outbox: Outbox::default(),
            is_leaving: false,
            is_blocked: false,
            distant: Some(Box::new(Distant::new(half, true))),
            sent: 0,
            received: 0,
        };
        let phase = Phase::Client(Box::new(client));
        let key = self.links.converse(&mut self.core.turn, number, remote, phase, STEP_TIMEOUT);
        self.cluster.iter_mut().for_each(|cluster| {
            cluster.clients.insert(half, key);
        });
    }

    /// Handles an event of a client's stream.
    pub(super) fn handle_distant(&mut self, key: LinkKey, half: Half, event: &tunnel::Event) {
        match event {
            tunnel::Event::Accepted(_) => {
                if let Some(distant) = self.client(key).and_then(|client| client.distant.as_mut()) {
                    distant.is_accepted = true;
                    self.flush_distant(key);
                }
            }
            tunnel::Event::Writable(_) => {
                self.flush_distant(key);
                if self.is_guest(key) {
                    self.pump_guest(key);
                }
            }
            tunnel::Event::Readable(_) => self.read_distant(key),
            tunnel::Event::Aborted { reason, detail, .. } => self.distant_aborted(key, half, *reason, detail),
            _ => {}
        }
    }

    /// Queues a message for the other end of a client's stream.
    pub(super) fn send_distant(&mut self, key: LinkKey, message: &Payload) {
        if let Some(distant) = self.client(key).and_then(|client| client.distant.as_mut()) {
            distant.unsent.push(message);
            self.flush_distant(key);
        }
    }

    /// Writes to a client's stream what it has room for.
    fn flush_distant(&mut self, key: LinkKey) {
        let Server { links, core, .. } = self;
        let Some(Phase::Client(client)) = links.get_mut(key).map(|link| &mut link.phase) else { return };
        let Some(distant) = client.distant.as_mut().filter(|distant| distant.is_accepted) else { return };
        let (session, stream) = distant.half;
        let Some(entry) = core.sessions.get_mut(session) else { return };
        let Some(mut stream) = entry.session.mux().stream(stream) else { return };
        while !distant.unsent.is_empty() {
            let capacity = stream.poll_send_capacity();
            if capacity == 0 {
                break;
            }
            let mut chunk = core.pool.take();
            let bytes = distant.unsent.bytes();
            let len = chunk.room_mut().len().min(capacity).min(bytes.len());
            chunk.room_mut()[..len].copy_from_slice(&bytes[..len]);
            chunk.set_len(len);
            if let Err(chunk) = stream.send(core.pool.fit(chunk)) {
                core.pool.recycle(chunk);
                break;
            }
            distant.unsent.consume(len);
        }
        let has_room = distant.unsent.is_empty();
        core.sessions.touch(session);
        if has_room && !self.is_guest(key) {
            // It was not read meanwhile.
            let was_blocked = self.client(key).is_some_and(|client| std::mem::take(&mut client.is_blocked));
            if was_blocked {
                self.links.poll_later(&mut self.core.turn, key);
            }
        }
    }

    /// Passes on what came in a client's stream, while there is room for it.
    pub(super) fn read_distant(&mut self, key: LinkKey) {
        let is_guest = self.is_guest(key);
        loop {
            let Some(client) = self.client(key).filter(|client| client.distant.is_some()) else { return };
            let is_full = match is_guest {
                true => self.block_if_full(key),
                false => client.outbox.bytes() >= Outbox::MAX_AHEAD,
            };
            if is_full {
                return;
            }
            match self.next_distant(key) {
                Ok(Some(message)) if is_guest => self.handle_client_message(key, message),
                Ok(Some(message)) => self.send_to_client(key, message),
                Ok(None) => break,
                Err(error) => return self.refuse(key, Refusal::Protocol, &error.to_string()),
            }
        }
        let half = self.client(key).and_then(|client| client.distant.as_ref()).map(|distant| distant.half);
        let Some(half) = half else { return };
        let is_over = self.stream_of(half).is_some_and(|mut stream| stream.poll_end());
        self.core.sessions.touch(half.0);
        match is_over {
            true if is_guest => self.drop_link(key, "it closed the connection"),
            true if self.client(key).is_some_and(|client| !client.is_leaving) => self.end_conversation(key),
            _ => {}
        }
    }

    /// Returns the next message of a client's stream, if it is complete.
    fn next_distant(&mut self, key: LinkKey) -> Result<Option<Payload>, FramingError> {
        let Server { links, core, .. } = self;
        let Some(Phase::Client(client)) = links.get_mut(key).map(|link| &mut link.phase) else { return Ok(None) };
        let Some(distant) = client.distant.as_mut() else { return Ok(None) };
        let (session, stream) = distant.half;
        let Some(entry) = core.sessions.get_mut(session) else { return Ok(None) };
        let Some(mut stream) = entry.session.mux().stream(stream) else { return Ok(None) };
        loop {
            if let Some(message) = distant.assembly.poll()? {
                return Ok(Some(message));
            }
            let wanted = distant.assembly.wanted()?;
            let Some(bytes) = stream.readable().next() else { return Ok(None) };
            let len = bytes.len().min(wanted);
            distant.assembly.push(&bytes[..len]);
            stream.consume(len);
            core.sessions.touch(session);
            let Some(entry) = core.sessions.get_mut(session) else { return Ok(None) };
            let Some(again) = entry.session.mux().stream(distant.half.1) else { return Ok(None) };
            stream = again;
        }
    }

    /// Handles the end of a client's stream that was not in order.
    fn distant_aborted(&mut self, key: LinkKey, half: Half, reason: AbortReason, detail: &str) {
        self.cluster.iter_mut().for_each(|cluster| {
            cluster.clients.remove(&half);
        });
        if self.is_guest(key) {
            return self.drop_link(key, "it is gone");
        }
        let Some(client) = self.client(key) else { return };
        if client.is_leaving {
            return;
        }
        let Some(distant) = client.distant.as_mut() else { return };
        let has_moved = !distant.is_accepted && detail == MOVED;
        if has_moved && !std::mem::replace(&mut distant.has_followed, true) {
            let id = client.id.clone();
            self.forget_place(&id);
            self.follow_client(key);
        } else if reason == AbortReason::TooManyStreams {
            self.refuse(key, Refusal::Full, "the host's server has all the clients it may have; try again later");
        } else {
            self.refuse_away(key);
        }
    }

    /// Opens a client's stream again where its host is now: it had just moved.
    pub(super) fn follow_client(&mut self, key: LinkKey) {
        let Some(id) = self.client(key).map(|client| client.id.clone()) else { return };
        match self.place(&id) {
            Place::At(elsewhere) => {
                let Some((half, _)) = self.open_distant(key, &id, &elsewhere) else { return self.refuse_away(key) };
                if let Some(distant) = self.client(key).and_then(|client| client.distant.as_mut()) {
                    distant.half = half;
                }
            }
            Place::Asked => self.wait_for(&id, Waiting::Follower(key)),
            Place::Nowhere => self.refuse_unknown(key, &id),
            Place::Here(_) | Place::Away => self.refuse_away(key),
        }
    }

    /// Writes to a guest's stream what waits for the guest.
    pub(super) fn pump_guest(&mut self, key: LinkKey) {
        loop {
            self.flush_distant(key);
            let Some(client) = self.client(key) else { return };
            let Some(distant) = client.distant.as_mut().filter(|distant| !distant.waits()) else { return };
            let before = client.outbox.bytes();
            match client.outbox.pop() {
                Some(message) => {
                    distant.unsent.push(&message);
                    let taken = before - client.outbox.bytes();
                    self.queued -= taken;
                }
                None if client.is_leaving => return self.close_link(key, closing::HOST_DONE),
                None => return,
            }
        }
    }

    /// Cleans up after a client's stream that is not needed any more; what waits in it still goes out.
    pub(super) fn leave_distant(&mut self, distant: Distant) {
        let (session, stream) = distant.half;
        self.cluster.iter_mut().for_each(|cluster| {
            cluster.clients.remove(&distant.half);
        });
        match distant.waits() {
            true => self.abort_half(distant.half, AbortReason::Shutdown, ""),
            false => self.core.leave_stream(session, stream),
        }
    }
}
