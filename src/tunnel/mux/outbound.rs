//! What we say.

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

/// What there is to send before all streams' data.
pub(super) enum Control {
    /// A frame, now in the scratch buffer.
    Encoded,
    /// A frame that needs more room. Data must not pass it: a carrier kept full by small frames would starve it.
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
    /// Tells whether nothing waits that the end of a session should wait for.
    pub(super) fn is_empty(&self) -> bool {
        self.go_away.is_none() && self.aborts.is_empty() && self.credits.is_empty()
    }
}

impl Mux {
    /// Returns the next message to send on the session's carrier, at most `max_len` bytes long; a longer one waits.
    ///
    /// The message counts as sent: the carrier must take it. Chunks the peer acknowledged go back to `pool`.
    pub fn poll_transmit(&mut self, now: Instant, max_len: usize, pool: &mut ChunkPool) -> Option<&[u8]> {
        self.reclaim(pool);
        if !self.carrier_is_up || self.life == Life::Ended {
            return None;
        }
        match self.encode_control(now, max_len) {
            Control::Encoded => {
                self.rate_owes(now, self.pending.scratch.len());
                return Some(&self.pending.scratch);
            }
            Control::Waits => return None,
            Control::Nothing => {}
        }
        if self.peer.is_none() || !self.resumption.is_complete() {
            return None;
        }
        let key = self.next_to_send()?;
        let stream = self.get_mut(key)?;
        let len = stream.send.queue[stream.send.unsent].message().len();
        if len > max_len || !self.rate_allows(now) {
            return None;
        }
        self.rate_sent(now, len);
        let stream = self.get_mut(key)?;
        stream.send.mark_sent();
        self.schedule.charge(len);
        self.timers.activity();
        self.notify_writable(key);
        let send = &self.get(key)?.send;
        Some(send.queue[send.unsent - 1].message())
    }

    /// Tells whether anything waits for room on the carrier; not what waits for the session's rate.
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
        control || (may_send && self.next_to_send().is_some())
    }

    /// Returns how much room a part of our RESUME list, a PING or a PONG needs that waits to be sent; 0 if none does. They go before
    /// all but HELLO.
    pub fn urgent_len(&self) -> usize {
        match self.pending.resume.front() {
            _ if self.peer.is_none() => 0,
            Some(part) => part.len(),
            None if self.pending.ping || self.pending.pong.is_some() => frame::HEADER_LEN + 1 + frame::MAX_DETAIL,
            None => 0,
        }
    }

    /// Finds the stream whose turn it is, dropping those with nothing to send from the schedule.
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

    /// Encodes the next frame that goes before all streams' data into the scratch buffer.
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
        // A version mismatch is answered before the peer's HELLO counts as known.
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
            receive.credit_queued = false;
            let owed_ack = receive.acknowledged != receive.reorder.next();
            receive.acknowledged = receive.reorder.next();
            let (id, generation, received) = (stream.id, stream.generation, receive.acknowledged);
            let before = receive.window.limit();
            let limit = self.grant(now, key);
            // Where the rate grants nothing, and nothing new arrived, there is nothing to say.
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
            && !std::mem::replace(&mut stream.receive.credit_queued, true)
        {
            prune(&mut self.pending.credits, &self.streams, |key| *key);
            self.pending.credits.push_back(key);
        }
    }

    pub(super) fn queue_abort(&mut self, id: StreamId, generation: Generation, reason: AbortReason, detail: &str) {
        self.pending.aborts.push_back(Abort { id, generation, reason, detail: detail.to_owned() });
    }
}
