//! Frames to the peer.

use std::collections::VecDeque;
use std::time::Instant;

use super::timers::prune;
use super::{Life, Mux};
use crate::tunnel::chunk::ChunkPool;
use crate::tunnel::frame::{self, kind};
use crate::tunnel::id::{Generation, StreamId, StreamKey};
use crate::tunnel::reason::{AbortReason, GoAwayReason};

/// Frames outside the order of any stream that wait to be sent.
#[derive(Debug, Default)]
pub(super) struct Pending {
    /// The carrier is new: HELLO goes first.
    pub(super) hello: bool,
    /// Parts of our RESUME list.
    pub(super) resume: VecDeque<Vec<u8>>,
    pub(super) pong: Option<[u8; 8]>,
    pub(super) ping: bool,
    pub(super) go_away: Option<(GoAwayReason, String)>,
    pub(super) aborts: VecDeque<Abort>,
    pub(super) credits: VecDeque<StreamKey>,
    /// The message handed out last, when it is not one of a stream's queue.
    pub(super) scratch: Vec<u8>,
}

/// Longest message that fits now, in bytes, for each channel of a carrier. A channel for datagrams may have room when
/// the other has none; datagrams then go ahead of waiting messages, by at most 32 KiB.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    /// On the channel for messages that must arrive.
    pub messages: usize,
    /// On the channel for datagrams of UDP flows.
    pub datagrams: usize,
}

/// A message to send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outbound<'a> {
    /// A message that must arrive.
    Message(&'a [u8]),
    /// A datagram of a UDP flow, which may be lost.
    Datagram(&'a [u8]),
}

/// Result of encoding the next control frame.
pub(super) enum Control {
    /// The frame is in the scratch buffer.
    Encoded,
    /// The frame needs more room. Data must not pass it: a carrier kept full by small frames would starve it.
    Waits,
    Nothing,
}

#[derive(Debug)]
pub(super) struct Abort {
    id: StreamId,
    generation: Generation,
    reason: AbortReason,
    detail: String,
}

impl Pending {
    /// Tells whether nothing is left that the end of a session should wait for.
    pub(super) fn is_empty(&self) -> bool {
        self.go_away.is_none() && self.aborts.is_empty() && self.credits.is_empty()
    }
}

impl Mux {
    /// Returns the next message to send on a carrier that takes everything in one order, at most `max_len` bytes long;
    /// a longer one waits.
    ///
    /// The message counts as sent: the carrier must take it. Chunks the peer acknowledged go back to `pool`.
    pub fn poll_transmit(&mut self, now: Instant, max_len: usize, pool: &mut ChunkPool) -> Option<&[u8]> {
        let room = Room { messages: max_len, datagrams: max_len };
        self.poll_channels(now, room, pool).map(|transmit| match transmit {
            Outbound::Message(message) | Outbound::Datagram(message) => message,
        })
    }

    /// Returns the next message to send and its channel, given the room on each; a longer message waits.
    ///
    /// Control frames go first, then datagrams, then the data of streams. If only the channel for datagrams has room,
    /// datagrams pass the waiting messages up to a limit: see [`Room`].
    pub fn poll_channels(&mut self, now: Instant, room: Room, pool: &mut ChunkPool) -> Option<Outbound<'_>> {
        self.reclaim(pool);
        if !self.carrier_is_up || self.life == Life::Ended {
            return None;
        }
        let control = self.encode_control(now, room.messages);
        if let Control::Encoded = control {
            let len = self.pending.scratch.len();
            self.rate_owes(now, len);
            self.datagrams.give_way(len);
            return Some(Outbound::Message(&self.pending.scratch));
        }
        let has_begun = !self.pending.hello && self.pending.resume.is_empty();
        if self.peer.is_none() || !has_begun || !self.resumption.is_complete() {
            return None;
        }
        let datagram = self.next_datagram(now);
        let data = self.next_to_send();
        let others_wait = matches!(control, Control::Waits) || data.is_some();
        if (datagram.is_some() || data.is_some()) && !self.poll_rate(now) {
            return None;
        }
        if let Some((key, len)) = datagram
            && !(others_wait && self.must_give_way())
        {
            if len > room.datagrams {
                return None;
            }
            self.rate_sent(now, len);
            return self.take_datagram(key, others_wait).map(Outbound::Datagram);
        }
        if let Control::Waits = control {
            return None;
        }
        let key = data?;
        let len = self.get(key)?.send.next_message()?.len();
        if len > room.messages {
            return None;
        }
        self.rate_sent(now, len);
        let stream = self.get_mut(key)?;
        stream.send.mark_sent();
        self.schedule.charge(len);
        self.datagrams.give_way(len);
        self.timers.activity();
        self.notify_writable(key);
        self.activate_flow(key);
        self.get(key)?.send.last_message().map(Outbound::Message)
    }

    /// Tells whether anything waits for room on the carrier; what waits for the session's rate does not count.
    pub fn has_transmit(&mut self) -> bool {
        if !self.carrier_is_up || self.life == Life::Ended {
            return false;
        }
        let pending = &self.pending;
        let control = pending.hello
            || (self.peer.is_some()
                && (pending.pong.is_some() || pending.ping || !pending.resume.is_empty() || !pending.is_empty()))
            || (self.peer.is_some() && self.listens.is_due());
        let may_send = self.peer.is_some() && self.resumption.is_complete() && !self.is_held_back();
        control || (may_send && (self.next_to_send().is_some() || self.has_datagram()))
    }

    /// Returns the length of the waiting part of our RESUME list, PING or PONG, in bytes; 0 if none waits. These go
    /// before everything except HELLO.
    pub fn urgent_len(&self) -> usize {
        match self.pending.resume.front() {
            _ if self.peer.is_none() => 0,
            Some(part) => part.len(),
            None if self.pending.ping || self.pending.pong.is_some() => frame::HEADER_LEN + 1 + frame::MAX_DETAIL,
            None => 0,
        }
    }

    /// Returns the stream whose turn it is, and drops those with nothing to send from the schedule.
    fn next_to_send(&mut self) -> Option<StreamKey> {
        loop {
            let key = self.schedule.current()?;
            if self.get(key).is_some_and(|stream| stream.send.has_unsent()) {
                return Some(key);
            }
            if self.schedule.idle()
                && let Some(stream) = self.get_mut(key)
            {
                stream.scheduled = false;
            }
        }
    }

    /// Encodes the next control frame into the scratch buffer. Control frames go before all streams' data.
    fn encode_control(&mut self, now: Instant, max_len: usize) -> Control {
        let Mux { pending, timers, .. } = self;
        if pending.hello {
            if max_len < frame::HEADER_LEN + self.hello.len() {
                return Control::Waits;
            }
            pending.hello = false;
            frame::encode_session(&mut pending.scratch, kind::HELLO, &self.hello);
            return Control::Encoded;
        }
        // Answer a version mismatch even though the peer's HELLO does not count as known.
        if let (Life::Failed { .. }, Some((reason, detail))) = (&self.life, &pending.go_away) {
            frame::encode_go_away(&mut pending.scratch, *reason, detail);
            if pending.scratch.len() > max_len {
                return Control::Waits;
            }
            pending.go_away = None;
            return Control::Encoded;
        }
        if self.peer.is_none() {
            return Control::Nothing;
        }
        if let Some(part) = pending.resume.front() {
            if part.len() > max_len {
                return Control::Waits;
            }
            pending.scratch.clone_from(part);
            pending.resume.pop_front();
            return Control::Encoded;
        }
        if max_len < frame::HEADER_LEN + 1 + frame::MAX_DETAIL {
            let is_due = pending.pong.is_some() || pending.ping || !pending.is_empty() || self.listens.is_due();
            return if is_due { Control::Waits } else { Control::Nothing };
        }
        if let Some(bytes) = pending.pong.take() {
            frame::encode_session(&mut pending.scratch, kind::PONG, &bytes);
            return Control::Encoded;
        }
        if std::mem::take(&mut pending.ping) {
            frame::encode_session(&mut pending.scratch, kind::PING, &timers.ping(now));
            return Control::Encoded;
        }
        if let Some(abort) = pending.aborts.pop_front() {
            let Abort { id, generation, reason, detail } = abort;
            frame::encode_abort(&mut pending.scratch, id, generation, reason, &detail);
            return Control::Encoded;
        }
        if self.encode_credit(now) {
            return Control::Encoded;
        }
        if let Some((reason, detail)) = self.pending.go_away.take() {
            frame::encode_go_away(&mut self.pending.scratch, reason, &detail);
            return Control::Encoded;
        }
        self.encode_listen(max_len)
    }

    fn encode_credit(&mut self, now: Instant) -> bool {
        while let Some(key) = self.pending.credits.pop_front() {
            let Some(stream) = self.streams.get_mut(key.index as usize).filter(|stream| stream.serial == key.serial)
            else {
                continue;
            };
            let receive = &mut stream.receive;
            receive.leave_credits();
            let owed_ack = receive.owes_ack();
            let (id, generation, received) = (stream.id, stream.generation, receive.acknowledge());
            let before = receive.limit();
            let limit = self.grant(now, key);
            // If the rate grants nothing, and nothing new arrived, a CREDIT would say nothing.
            let has_news = limit != before || owed_ack || self.rates.is_none();
            if has_news {
                frame::encode_credit(&mut self.pending.scratch, id, generation, limit, received);
            }
            self.settle(key);
            if has_news {
                return true;
            }
        }
        false
    }

    pub(super) fn queue_credit(&mut self, key: StreamKey) {
        if let Some(stream) = self.get_mut(key)
            && stream.attached
            && stream.receive.enter_credits()
        {
            prune(&mut self.pending.credits, &self.streams, |key| *key);
            self.pending.credits.push_back(key);
        }
    }

    pub(super) fn queue_abort(&mut self, id: StreamId, generation: Generation, reason: AbortReason, detail: &str) {
        self.pending.aborts.push_back(Abort { id, generation, reason, detail: detail.to_owned() });
    }
}
