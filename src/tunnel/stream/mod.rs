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
//! A stream leaves its id once the sending half is done and the receiving half has ended and is acknowledged, or discards. It
//! stays in the table until the local application took everything, or is gone.

use std::collections::VecDeque;

use bytes::{Buf, Bytes};

use super::chunk::Chunk;
use super::credit::{FRAME_COST, ReceiveWindow, SendCredit};
use super::flow::Flow;
use super::frame::{ConnectTarget, HEADER_LEN, Sequenced, encode_connect, header, kind};
use super::id::{Generation, Sequence, StreamId};
use super::mux::Mux;
use super::trail::Trail;
use super::{AbortReason, StreamKey};

/// Bytes of one stream that may wait in the mux for their first transmission. More would only be delayed here instead
/// of in the local application's socket.
const MAX_UNSENT: usize = 64 * 1024;

/// A sequenced frame of ours that the peer has not acknowledged.
#[derive(Debug)]
pub(super) enum Outgoing {
    /// DATA.
    Data(Chunk),
    /// CONNECT, or the ABORT of a reset.
    Boxed(Box<[u8]>),
    /// ACCEPT or CLOSE.
    Bare([u8; HEADER_LEN]),
}

impl Outgoing {
    pub(super) fn message(&self) -> &[u8] {
        match self {
            Outgoing::Data(chunk) => chunk.message(),
            Outgoing::Boxed(message) => message,
            Outgoing::Bare(message) => message,
        }
    }

    pub(super) fn capacity(&self) -> usize {
        match self {
            Outgoing::Data(chunk) => chunk.capacity(),
            Outgoing::Boxed(message) => message.len(),
            Outgoing::Bare(message) => message.len(),
        }
    }
}

/// Where the sending half stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SendState {
    /// More may come from the local application.
    Open,
    /// The last frame is in the queue.
    Closing,
    /// Everything is acknowledged, or the peer takes nothing any more.
    Done,
}

/// The sending half.
#[derive(Debug)]
pub(super) struct SendHalf {
    pub(super) state: SendState,
    pub(super) credit: SendCredit,
    /// Frames from the first unacknowledged one on; those before `unsent` went out on this carrier.
    pub(super) queue: VecDeque<Outgoing>,
    pub(super) unsent: usize,
    unsent_bytes: usize,
    /// Sequence number of the front of the queue: the peer has everything before it.
    pub(super) acknowledged: Sequence,
    /// First sequence number that never went out on any carrier.
    pub(super) never_sent: Sequence,
    /// The local application found no capacity and wants to hear when there is some.
    pub(super) is_blocked: bool,
    /// The stream is in the queue of those that wait for the send budget.
    pub(super) is_starved: bool,
    pub(super) bytes: u64,
}

impl SendHalf {
    fn new() -> SendHalf {
        SendHalf {
            state: SendState::Open,
            credit: SendCredit::default(),
            queue: VecDeque::new(),
            unsent: 0,
            unsent_bytes: 0,
            acknowledged: Sequence(0),
            never_sent: Sequence(0),
            is_blocked: false,
            is_starved: false,
            bytes: 0,
        }
    }

    pub(super) fn next_sequence(&self) -> Sequence {
        self.acknowledged.plus(self.queue.len() as u32)
    }

    /// Takes note that the frame at `unsent` goes out.
    pub(super) fn mark_sent(&mut self) {
        self.unsent_bytes -= self.queue[self.unsent].capacity();
        self.unsent += 1;
        let sent = self.acknowledged.plus(self.unsent as u32);
        if self.never_sent.is_before(sent) {
            self.never_sent = sent;
        }
    }

    /// Drops what the peer has: every frame before `received`. `None` if it claims frames that never went out; otherwise
    /// the capacity of the chunks that were freed.
    pub(super) fn acknowledge(&mut self, received: Sequence, retired: &mut Vec<Chunk>) -> Option<usize> {
        let count = received.since(self.acknowledged);
        if count > self.never_sent.since(self.acknowledged) {
            // Half of all numbers are behind the first unacknowledged one: said before, and overtaken since.
            return received.is_before(self.acknowledged).then_some(0);
        }
        let mut freed = 0;
        for outgoing in self.queue.drain(..count as usize) {
            if self.unsent > 0 {
                self.unsent -= 1;
            } else {
                self.unsent_bytes -= outgoing.capacity();
            }
            if let Outgoing::Data(chunk) = outgoing {
                freed += chunk.capacity();
                retired.push(chunk);
            }
        }
        self.acknowledged = received;
        if self.state == SendState::Closing && self.queue.is_empty() {
            self.state = SendState::Done;
        }
        Some(freed)
    }

    /// Drops everything: the peer takes nothing any more. Returns the capacity of the chunks that were freed.
    pub(super) fn stop(&mut self, retired: &mut Vec<Chunk>) -> usize {
        self.never_sent = self.next_sequence();
        self.acknowledged = self.never_sent;
        self.state = SendState::Done;
        (self.unsent, self.unsent_bytes) = (0, 0);
        let mut freed = 0;
        for outgoing in self.queue.drain(..) {
            if let Outgoing::Data(chunk) = outgoing {
                freed += chunk.capacity();
                retired.push(chunk);
            }
        }
        freed
    }

    /// Makes every unacknowledged frame go out again, on a further carrier.
    pub(super) fn rewind(&mut self) {
        self.unsent = 0;
        self.unsent_bytes = self.queue.iter().map(Outgoing::capacity).sum();
    }

    /// Tells whether the first frame of the direction went out on this carrier, or is acknowledged.
    pub(super) fn has_begun(&self) -> bool {
        self.unsent > 0 || self.acknowledged != Sequence(0)
    }

    pub(super) fn has_unsent(&self) -> bool {
        self.unsent < self.queue.len()
    }

    pub(super) fn push(&mut self, outgoing: Outgoing) {
        self.unsent_bytes += outgoing.capacity();
        self.queue.push_back(outgoing);
    }
}

/// Where the receiving half stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ReceiveState {
    /// The head frame of the direction has not arrived; what overtook it is kept.
    Head,
    /// DATA is delivered as it comes into order.
    Open,
    /// CLOSE came in order: nothing follows but a reset.
    Closed,
    /// A reset came in order: nothing follows.
    Reset,
    /// We reset the stream: what comes is dropped.
    Discarding,
}

impl ReceiveState {
    /// Tells whether the direction ended, for whatever reason, and everything before its end is here.
    pub(super) fn has_ended(self) -> bool {
        matches!(self, ReceiveState::Closed | ReceiveState::Reset)
    }
}

/// The receiving half.
#[derive(Debug)]
pub(super) struct ReceiveHalf {
    pub(super) state: ReceiveState,
    pub(super) window: ReceiveWindow,
    pub(super) reorder: super::reorder::Reorder<Sequenced>,
    /// Sequence number of the peer's CLOSE, once one arrived.
    pub(super) close_at: Option<Sequence>,
    /// Sequence number of the peer's reset, once it arrived, and its words, once it came into order.
    pub(super) reset_at: Option<Sequence>,
    pub(super) reset_detail: String,
    /// Payloads in order that the local application has not taken.
    pub(super) ready: VecDeque<Bytes>,
    /// Newest `received` we sent.
    pub(super) acknowledged: Sequence,
    /// The stream waits for its turn to send a CREDIT.
    pub(super) credit_queued: bool,
    /// The stream waits for the session's rate to be granted credit.
    pub(super) grant_held: bool,
    /// The stream is in the queue of delayed acknowledgements.
    pub(super) ack_pending: bool,
    pub(super) bytes: u64,
}

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
            receive: ReceiveHalf {
                state: ReceiveState::Head,
                window,
                reorder: Default::default(),
                close_at: None,
                reset_at: None,
                reset_detail: String::new(),
                ready: VecDeque::new(),
                acknowledged: Sequence(0),
                credit_queued: false,
                grant_held: false,
                ack_pending: false,
                bytes: 0,
            },
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

    fn push_bare(&mut self, kind: u8) {
        let sequence = self.send.next_sequence();
        self.send.push(Outgoing::Bare(header(kind, self.generation, self.id.value(), sequence)));
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

    /// Tells whether the peer is owed an acknowledgement.
    pub(super) fn owes_ack(&self) -> bool {
        self.receive.acknowledged != self.receive.reorder.next()
    }

    /// Tells whether both directions ended and everything is acknowledged, both ways.
    pub(super) fn is_settled(&self) -> bool {
        let is_received = match self.receive.state {
            ReceiveState::Head | ReceiveState::Open => false,
            ReceiveState::Closed | ReceiveState::Reset => !self.owes_ack(),
            ReceiveState::Discarding => true,
        };
        self.send.state == SendState::Done && is_received
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
        (self.state().send.bytes, self.state().receive.bytes)
    }

    /// Takes the connections that led to a stream the peer opened, as far as the peer told them.
    pub fn take_trail(&mut self) -> Trail {
        std::mem::take(&mut self.state_mut().trail)
    }

    /// Accepts a stream the peer opened: the dial succeeded.
    pub fn accept(&mut self) {
        let stream = self.state_mut();
        debug_assert!(stream.send.next_sequence() == Sequence(0), "ACCEPT is the first frame of its direction");
        if stream.send.state == SendState::Open {
            stream.push_bare(kind::ACCEPT);
            self.mux.activate(self.key);
        }
    }

    /// Returns how many bytes the next [`StreamMut::send`] may carry. At 0, an event says when there is room again. A UDP flow
    /// carries datagrams instead: see [`StreamMut::send_datagram`].
    pub fn send_capacity(&mut self) -> usize {
        let room = self.mux.payload_limit();
        let over_budget = self.mux.is_over_send_budget();
        let stream = self.state_mut();
        let carries_bytes = !stream.is_udp();
        let send = &mut stream.send;
        let capacity = if send.state != SendState::Open
            || !carries_bytes
            || send.unsent_bytes >= MAX_UNSENT
            || (over_budget && !send.queue.is_empty())
        {
            0
        } else {
            send.credit.payload_room().min(room)
        };
        send.is_blocked = capacity == 0;
        if over_budget && capacity == 0 && !std::mem::replace(&mut send.is_starved, true) {
            self.mux.starves(self.key);
        }
        capacity
    }

    /// Queues a chunk of at least one byte and at most [`StreamMut::send_capacity`].
    ///
    /// # Errors
    /// The chunk is empty, beyond what the peer's credit allows, or nothing follows after `finish`: it is given back.
    pub fn send(&mut self, mut chunk: Chunk) -> Result<(), Chunk> {
        let stream = self.state_mut();
        if chunk.is_empty() || stream.send.state != SendState::Open || !stream.send.credit.spend(chunk.len()) {
            return Err(chunk);
        }
        stream.send.bytes += chunk.len() as u64;
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
        if stream.send.state == SendState::Open {
            stream.push_bare(kind::CLOSE);
            stream.send.state = SendState::Closing;
            self.mux.activate(self.key);
        }
    }

    /// Tells whether the peer has reset the stream, so that it takes nothing any more. What it sent before is still readable, and
    /// the event comes behind that.
    pub fn is_refused(&self) -> bool {
        self.state().receive.reset_at.is_some()
    }

    /// Ends both directions at once, and the key is dead. A reset goes behind what is queued; for any other reason that is
    /// dropped.
    pub fn abort(self, reason: AbortReason, detail: &str) {
        self.mux.abort(self.key, reason, detail);
    }

    /// Returns the payloads that are ready, in order.
    pub fn readable(&self) -> impl Iterator<Item = &[u8]> {
        self.state().receive.ready.iter().map(Bytes::as_ref)
    }

    /// Tells whether the peer's direction ended and everything was consumed. Once it has said so, a stream whose other
    /// direction is done, too, goes at the next `Mux::poll_event`.
    pub fn is_at_end(&mut self) -> bool {
        let Stream { receive, application, .. } = self.state_mut();
        let has_closed = receive.state.has_ended() && receive.close_at.is_some();
        let is_at_end = has_closed && receive.ready.is_empty();
        if is_at_end && std::mem::replace(application, Application::SawEnd) == Application::Holds {
            self.mux.notify(self.key, |notices| notices.at_end = true);
        }
        is_at_end
    }

    /// Takes `count` bytes of what was readable; the peer gets that much more credit.
    pub fn consume(&mut self, mut count: usize) {
        let receive = &mut self.state_mut().receive;
        while count > 0 {
            let front = receive.ready.front_mut().expect("no more is consumed than was readable");
            let taken = count.min(front.len());
            front.advance(taken);
            count -= taken;
            let mut units = taken as u64;
            if front.is_empty() {
                receive.ready.pop_front();
                units += FRAME_COST;
            }
            receive.window.consume(units);
        }
        self.mux.consumed(self.key);
    }

    pub(super) fn state(&self) -> &Stream {
        self.mux.get(self.key).expect("a StreamMut is made for a live stream")
    }

    pub(super) fn state_mut(&mut self) -> &mut Stream {
        self.mux.get_mut(self.key).expect("a StreamMut is made for a live stream")
    }
}
