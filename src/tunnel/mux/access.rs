//! What the local application may do with one stream.

use super::Mux;
use crate::tunnel::chunk::Chunk;
use crate::tunnel::frame::{header, kind};
use crate::tunnel::id::{Sequence, StreamId, StreamKey};
use crate::tunnel::reason::AbortReason;
use crate::tunnel::stream::{Application, Bounds, Outgoing, SendState, Stream};
use crate::tunnel::trail::Trail;

/// Access to one live stream of a [`Mux`].
pub struct StreamMut<'a> {
    pub(super) mux: &'a mut Mux,
    pub(super) key: StreamKey,
}

impl StreamMut<'_> {
    /// Returns the stream's id on the wire.
    pub fn id(&self) -> StreamId {
        self.state().id
    }

    /// Returns payload bytes (queued to the peer, received in order from it) so far.
    pub fn bytes(&self) -> (u64, u64) {
        (self.state().send.bytes(), self.state().receive.bytes())
    }

    /// Takes the connections that led to a stream the peer opened, as far as the peer named them.
    pub fn take_trail(&mut self) -> Trail {
        std::mem::take(&mut self.state_mut().trail)
    }

    /// Accepts a stream the peer opened: the dial succeeded.
    pub fn accept(&mut self) {
        let stream = self.state_mut();
        debug_assert!(stream.send.next_sequence() == Sequence(0), "ACCEPT is the first frame of its direction");
        if stream.send.state() == SendState::Open {
            let accept = stream.bare(kind::ACCEPT);
            stream.send.push(accept);
            self.mux.activate(self.key);
        }
    }

    /// Returns how many bytes the next [`StreamMut::send`] may carry. If 0, an event says when there is room again. A
    /// UDP flow carries datagrams instead: see [`StreamMut::send_datagram`].
    pub fn poll_send_capacity(&mut self) -> usize {
        let (limit, is_over_budget) = (self.mux.payload_limit(), self.mux.is_over_send_budget());
        let stream = self.state_mut();
        let payload = if stream.is_udp() { 0 } else { limit };
        let capacity = stream.send.poll_capacity(Bounds { payload, is_over_budget });
        if is_over_budget && capacity == 0 && stream.send.starve() {
            self.mux.starves(self.key);
        }
        capacity
    }

    /// Queues a chunk of at least one byte and at most [`StreamMut::poll_send_capacity`].
    ///
    /// # Errors
    /// Returns the chunk if it is empty, exceeds the peer's credit, or comes after `finish`.
    pub fn send(&mut self, mut chunk: Chunk) -> Result<(), Chunk> {
        let stream = self.state_mut();
        if !stream.send.spend(chunk.len()) {
            return Err(chunk);
        }
        chunk.set_header(header(kind::DATA, stream.generation, stream.id.value(), stream.send.next_sequence()));
        let (len, capacity) = (chunk.len() as u64, chunk.capacity());
        stream.send.push(Outgoing::Data(chunk));
        self.mux.retained += capacity;
        self.mux.payload.0 += len;
        self.mux.activate(self.key);
        Ok(())
    }

    /// Ends our direction after the queued data; the peer's direction goes on.
    pub fn finish(&mut self) {
        let stream = self.state_mut();
        if stream.send.state() == SendState::Open {
            let close = stream.bare(kind::CLOSE);
            stream.send.push_last(close);
            self.mux.activate(self.key);
        }
    }

    /// Tells whether the peer has reset the stream and so takes nothing more. What the peer sent before the reset can
    /// still be read; the event comes after that.
    pub fn is_refused(&self) -> bool {
        self.state().receive.reset_at().is_some()
    }

    /// Ends both directions at once; the key is dead then. A reset goes out after the queued data; for any other reason
    /// that data is dropped.
    pub fn abort(self, reason: AbortReason, detail: &str) {
        self.mux.abort(self.key, reason, detail);
    }

    /// Returns the payloads that are ready, in order.
    pub fn readable(&self) -> impl Iterator<Item = &[u8]> {
        self.state().receive.readable()
    }

    /// Tells whether the peer's direction ended and everything was consumed. After it returned true, a stream whose
    /// other direction is done too is removed at the next `Mux::poll_event`.
    pub fn poll_end(&mut self) -> bool {
        let Stream { receive, application, .. } = self.state_mut();
        let is_at_end = receive.state().has_ended() && receive.has_close() && receive.is_read_up();
        if is_at_end && std::mem::replace(application, Application::SawEnd) == Application::Holds {
            self.mux.notify(self.key, |notices| notices.at_end = true);
        }
        is_at_end
    }

    /// Takes `count` readable bytes; the peer gets new credit for them.
    pub fn consume(&mut self, count: usize) {
        self.state_mut().receive.consume(count);
        self.mux.payload.1 += count as u64;
        self.mux.consumed(self.key);
    }

    pub(super) fn state(&self) -> &Stream {
        self.mux.get(self.key).expect("a StreamMut is made for a live stream")
    }

    pub(super) fn state_mut(&mut self) -> &mut Stream {
        self.mux.get_mut(self.key).expect("a StreamMut is made for a live stream")
    }
}
