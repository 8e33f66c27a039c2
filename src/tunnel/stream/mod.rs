//! One stream: what it has sent and not yet seen acknowledged, and what arrived and was not yet taken.
//!
//! ```text
//!   sending half   Open ──finish, reset──▶ Closing ──all acknowledged──▶ Done
//!                  Open, Closing ──the peer's reset came──▶ Done
//!   receiving half Head ──CONNECT / ACCEPT──▶ Open ──CLOSE in order──▶ Closed
//!                  Open, Closed ──the peer's reset in order──▶ Reset
//!                  Head, Open, Closed ──a reset of ours──▶ Discarding ──the peer's reset──▶ Reset
//!   application    Holds ──saw the end──▶ SawEnd
//!                  Holds, SawEnd ──reset, or told of one──▶ Gone
//! ```
//! A stream leaves its id once the sending half is done and the receiving half has ended and is acknowledged, or
//! discards. It stays in the table until the local application took everything, or is gone.

mod arrival;
mod receive;
mod send;

use super::chunk::Chunk;
use super::credit::ReceiveWindow;
use super::flow::Flow;
use super::frame::{ConnectTarget, encode_connect, encode_reset, header, kind};
use super::id::{Generation, Sequence, StreamId};
use super::mux::Mux;
use super::trail::Trail;
use super::{AbortReason, StreamKey};
pub(super) use arrival::{Arrived, Head, Opening, ResetArrival, Violation};
use receive::ReceiveHalf;
pub(super) use receive::ReceiveState;
pub(super) use send::SendState;
use send::{Bounds, Outgoing, SendHalf};

/// How far the local application is with a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Application {
    /// It uses the stream.
    Holds,
    /// It was told that nothing follows.
    SawEnd,
    /// It has reset the stream, or was told of a reset: the key is dead to it, and no event follows.
    Gone,
}

/// What the local application has not been told yet.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Notices {
    pub(super) queued: bool,
    pub(super) opened: bool,
    pub(super) accepted: bool,
    pub(super) readable: bool,
    pub(super) writable: bool,
    /// For the mux itself: the end was seen, so the stream may be done.
    pub(super) at_end: bool,
}

/// A stream of the table.
#[derive(Debug)]
pub(super) struct Stream {
    pub(super) serial: u32,
    pub(super) id: StreamId,
    pub(super) generation: Generation,
    /// The stream still owns its id.
    pub(super) attached: bool,
    /// Carrier on which the peer is known to know of the stream: its CONNECT came, or ours was acknowledged.
    pub(super) known_on: Option<u32>,
    pub(super) target: Option<ConnectTarget>,
    /// The connections that led to a stream the peer opened.
    pub(super) trail: Trail,
    /// What a UDP flow holds; `None` for a stream of bytes.
    pub(super) flow: Option<Box<Flow>>,
    pub(super) send: SendHalf,
    pub(super) receive: ReceiveHalf,
    pub(super) notices: Notices,
    pub(super) application: Application,
    pub(super) scheduled: bool,
}

impl Stream {
    pub(super) fn new(serial: u32, id: StreamId, generation: Generation, window: ReceiveWindow) -> Stream {
        Stream {
            serial,
            id,
            generation,
            attached: true,
            known_on: None,
            target: None,
            trail: Trail::default(),
            flow: None,
            send: SendHalf::new(),
            receive: ReceiveHalf::new(window),
            notices: Notices::default(),
            application: Application::Holds,
            scheduled: false,
        }
    }

    pub(super) fn push_connect(&mut self, target: &ConnectTarget, trail: &Trail) {
        let mut message = header(kind::CONNECT, self.generation, self.id.value(), Sequence(0)).to_vec();
        encode_connect(&mut message, target, trail);
        self.send.push(Outgoing::Boxed(message.into_boxed_slice()));
    }

    /// Ends the sending half with a reset behind what is queued.
    pub(super) fn push_reset(&mut self, detail: &str) {
        let message = encode_reset(self.id, self.generation, self.send.next_sequence(), detail);
        self.send.push_last(Outgoing::Boxed(message.into_boxed_slice()));
    }

    fn bare(&self, kind: u8) -> Outgoing {
        Outgoing::Bare(header(kind, self.generation, self.id.value(), self.send.next_sequence()))
    }

    /// Tells whether datagrams are all that the stream carries.
    pub(super) fn is_udp(&self) -> bool {
        self.flow.as_ref().is_some_and(|flow| flow.is_udp)
    }

    /// Tells whether datagrams may go out: not before the CONNECT or ACCEPT, which they would have to wait for on the
    /// other side.
    pub(super) fn may_send_datagrams(&self) -> bool {
        self.send.has_begun()
    }

    /// Tells whether both directions ended and everything is acknowledged, both ways.
    pub(super) fn is_settled(&self) -> bool {
        let is_received = match self.receive.state() {
            ReceiveState::Head | ReceiveState::Open => false,
            ReceiveState::Closed | ReceiveState::Reset => !self.receive.owes_ack(),
            ReceiveState::Discarding => true,
        };
        self.send.state() == SendState::Done && is_received
    }

    /// Tells whether the local application is to hear of the peer's reset: it took everything before, and saw the end
    /// if there was one.
    pub(super) fn is_reset_due(&self) -> bool {
        let has_all = match self.application {
            Application::Holds => !self.receive.has_close(),
            Application::SawEnd => true,
            Application::Gone => false,
        };
        has_all && self.receive.state() == ReceiveState::Reset && self.receive.is_read_up()
    }
}

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

    /// Takes the connections that led to a stream the peer opened, as far as the peer told them.
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

    /// Returns how many bytes the next [`StreamMut::send`] may carry. At 0, an event says when there is room again. A
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
    /// The chunk is empty, beyond what the peer's credit allows, or nothing follows after `finish`: it is given back.
    pub fn send(&mut self, mut chunk: Chunk) -> Result<(), Chunk> {
        let stream = self.state_mut();
        if !stream.send.spend(chunk.len()) {
            return Err(chunk);
        }
        chunk.set_header(header(kind::DATA, stream.generation, stream.id.value(), stream.send.next_sequence()));
        let capacity = chunk.capacity();
        stream.send.push(Outgoing::Data(chunk));
        self.mux.retained += capacity;
        self.mux.activate(self.key);
        Ok(())
    }

    /// Ends our direction after what is queued; the peer's goes on.
    pub fn finish(&mut self) {
        let stream = self.state_mut();
        if stream.send.state() == SendState::Open {
            let close = stream.bare(kind::CLOSE);
            stream.send.push_last(close);
            self.mux.activate(self.key);
        }
    }

    /// Tells whether the peer has reset the stream, so that it takes nothing any more. What it sent before is still
    /// readable, and the event comes behind that.
    pub fn is_refused(&self) -> bool {
        self.state().receive.reset_at().is_some()
    }

    /// Ends both directions at once, and the key is dead. A reset goes behind what is queued; for any other reason that
    /// is dropped.
    pub fn abort(self, reason: AbortReason, detail: &str) {
        self.mux.abort(self.key, reason, detail);
    }

    /// Returns the payloads that are ready, in order.
    pub fn readable(&self) -> impl Iterator<Item = &[u8]> {
        self.state().receive.readable()
    }

    /// Tells whether the peer's direction ended and everything was consumed. Once it has said so, a stream whose other
    /// direction is done, too, goes at the next `Mux::poll_event`.
    pub fn poll_end(&mut self) -> bool {
        let Stream { receive, application, .. } = self.state_mut();
        let is_at_end = receive.state().has_ended() && receive.has_close() && receive.is_read_up();
        if is_at_end && std::mem::replace(application, Application::SawEnd) == Application::Holds {
            self.mux.notify(self.key, |notices| notices.at_end = true);
        }
        is_at_end
    }

    /// Takes `count` bytes of what was readable; the peer gets that much more credit.
    pub fn consume(&mut self, count: usize) {
        self.state_mut().receive.consume(count);
        self.mux.consumed(self.key);
    }

    pub(super) fn state(&self) -> &Stream {
        self.mux.get(self.key).expect("a StreamMut is made for a live stream")
    }

    pub(super) fn state_mut(&mut self) -> &mut Stream {
        self.mux.get_mut(self.key).expect("a StreamMut is made for a live stream")
    }
}
