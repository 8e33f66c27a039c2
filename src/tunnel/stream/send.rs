//! The sending half of a stream: frames that are queued or not acknowledged yet.

use std::collections::VecDeque;

use crate::tunnel::chunk::Chunk;
use crate::tunnel::credit::SendCredit;
use crate::tunnel::frame::HEADER_LEN;
use crate::tunnel::id::Sequence;

/// Bytes of one stream that may wait in the mux for their first transmission. With more, data would wait here instead
/// of in the local application's socket.
const MAX_UNSENT: usize = 64 * 1024;

/// A sequenced frame of ours that the peer has not acknowledged.
#[derive(Debug)]
pub(in crate::tunnel) enum Outgoing {
    /// DATA.
    Data(Chunk),
    /// CONNECT, or the ABORT of a reset.
    Boxed(Box<[u8]>),
    /// ACCEPT or CLOSE.
    Bare([u8; HEADER_LEN]),
}

impl Outgoing {
    fn message(&self) -> &[u8] {
        match self {
            Outgoing::Data(chunk) => chunk.message(),
            Outgoing::Boxed(message) => message,
            Outgoing::Bare(message) => message,
        }
    }

    fn capacity(&self) -> usize {
        match self {
            Outgoing::Data(chunk) => chunk.capacity(),
            Outgoing::Boxed(message) => message.len(),
            Outgoing::Bare(message) => message.len(),
        }
    }
}

/// State of the sending half.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::tunnel) enum SendState {
    /// More may come from the local application.
    Open,
    /// The last frame is in the queue.
    Closing,
    /// Everything is acknowledged, or the peer takes nothing more.
    Done,
}

/// External limits on a stream's next chunk.
#[derive(Debug, Clone, Copy)]
pub(in crate::tunnel) struct Bounds {
    /// Longest payload of one frame, in bytes.
    pub(in crate::tunnel) payload: usize,
    /// The session's send budget is used up.
    pub(in crate::tunnel) is_over_budget: bool,
}

/// The sending half.
#[derive(Debug)]
pub(in crate::tunnel) struct SendHalf {
    state: SendState,
    credit: SendCredit,
    /// Frames from the first unacknowledged one on; those before `unsent` went out on this carrier.
    queue: VecDeque<Outgoing>,
    unsent: usize,
    unsent_bytes: usize,
    /// Sequence number of the front of the queue: the peer has everything before it.
    acknowledged: Sequence,
    /// First sequence number that never went out on any carrier.
    never_sent: Sequence,
    /// The local application found no capacity and waits for an event.
    is_blocked: bool,
    /// The stream is in the queue for the send budget.
    is_starved: bool,
    bytes: u64,
}

impl SendHalf {
    pub(super) fn new() -> SendHalf {
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

    /// Raises the limit granted by the peer; a lower limit is older and changes nothing.
    pub(in crate::tunnel) fn raise_credit(&mut self, limit: u64) {
        self.credit.raise(limit);
    }

    /// Queues a frame.
    pub(in crate::tunnel) fn push(&mut self, outgoing: Outgoing) {
        self.unsent_bytes += outgoing.capacity();
        self.queue.push_back(outgoing);
    }

    /// Queues the direction's last frame.
    pub(in crate::tunnel) fn push_last(&mut self, outgoing: Outgoing) {
        self.push(outgoing);
        self.state = SendState::Closing;
    }

    /// Spends the credit for a chunk that goes to [`SendHalf::push`] next. Returns false, and spends nothing, if it
    /// must not be sent.
    #[must_use]
    pub(in crate::tunnel) fn spend(&mut self, len: usize) -> bool {
        let goes = len > 0 && self.state == SendState::Open && self.credit.spend(len);
        if goes {
            self.bytes += len as u64;
        }
        goes
    }

    /// Counts the payload of a datagram, which is outside of the order.
    pub(in crate::tunnel) fn count_datagram(&mut self, len: usize) {
        self.bytes += len as u64;
    }

    /// Returns how many bytes the next chunk may carry. If 0, the application is blocked until
    /// [`SendHalf::poll_unblocked`].
    pub(in crate::tunnel) fn poll_capacity(&mut self, bounds: Bounds) -> usize {
        let is_held = self.state != SendState::Open
            || self.unsent_bytes >= MAX_UNSENT
            || (bounds.is_over_budget && !self.queue.is_empty());
        let capacity = if is_held { 0 } else { self.credit.payload_room().min(bounds.payload) };
        self.is_blocked = capacity == 0;
        capacity
    }

    /// Tells whether the application was blocked, and clears that.
    pub(in crate::tunnel) fn poll_unblocked(&mut self) -> bool {
        std::mem::take(&mut self.is_blocked)
    }

    /// Enters the queue for the send budget. Returns false if the stream is in it.
    #[must_use]
    pub(in crate::tunnel) fn starve(&mut self) -> bool {
        !std::mem::replace(&mut self.is_starved, true)
    }

    /// Leaves the queue for the send budget.
    pub(in crate::tunnel) fn feed(&mut self) {
        self.is_starved = false;
    }

    /// Returns the next frame that has not gone out on this carrier.
    pub(in crate::tunnel) fn next_message(&self) -> Option<&[u8]> {
        self.queue.get(self.unsent).map(Outgoing::message)
    }

    /// Marks the next frame as sent.
    pub(in crate::tunnel) fn mark_sent(&mut self) {
        self.unsent_bytes -= self.queue[self.unsent].capacity();
        self.unsent += 1;
        let sent = self.acknowledged.plus(self.unsent as u32);
        if self.never_sent.is_before(sent) {
            self.never_sent = sent;
        }
    }

    /// Returns the frame that went out last on this carrier, if the peer has not acknowledged it.
    pub(in crate::tunnel) fn last_message(&self) -> Option<&[u8]> {
        self.queue.get(self.unsent.checked_sub(1)?).map(Outgoing::message)
    }

    /// Drops the frames the peer has: all before `received`. Returns the capacity of the freed chunks, or `None` if the
    /// peer claims frames that never went out.
    pub(in crate::tunnel) fn acknowledge(&mut self, received: Sequence, retired: &mut Vec<Chunk>) -> Option<usize> {
        let count = received.since(self.acknowledged);
        if count > self.never_sent.since(self.acknowledged) {
            // Half of all numbers are behind the first unacknowledged one: such an acknowledgement is old.
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

    /// Drops everything: the peer takes nothing more. Returns the capacity of the freed chunks.
    pub(in crate::tunnel) fn stop(&mut self, retired: &mut Vec<Chunk>) -> usize {
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

    /// Marks every unacknowledged frame to be sent again, on a further carrier.
    pub(in crate::tunnel) fn rewind(&mut self) {
        self.unsent = 0;
        self.unsent_bytes = self.queue.iter().map(Outgoing::capacity).sum();
    }

    pub(in crate::tunnel) fn state(&self) -> SendState {
        self.state
    }

    /// Returns the sequence number of the next frame that is queued.
    pub(in crate::tunnel) fn next_sequence(&self) -> Sequence {
        self.acknowledged.plus(self.queue.len() as u32)
    }

    /// Returns the first sequence number that never went out on any carrier.
    pub(in crate::tunnel) fn never_sent(&self) -> Sequence {
        self.never_sent
    }

    /// Tells whether something waits to go out on this carrier.
    pub(in crate::tunnel) fn has_unsent(&self) -> bool {
        self.unsent < self.queue.len()
    }

    /// Tells whether no frame of the direction was ever queued.
    pub(in crate::tunnel) fn is_untouched(&self) -> bool {
        self.next_sequence() == Sequence(0) && self.queue.is_empty()
    }

    /// Tells whether the first frame of the direction went out on this carrier, or is acknowledged.
    pub(super) fn has_begun(&self) -> bool {
        self.unsent > 0 || self.acknowledged != Sequence(0)
    }

    /// Tells whether the direction ended and all of it went out, on whichever carrier.
    pub(in crate::tunnel) fn has_said_all(&self) -> bool {
        self.state != SendState::Open && self.never_sent == self.next_sequence()
    }

    /// Returns the number of payload bytes that were queued so far.
    pub(in crate::tunnel) fn bytes(&self) -> u64 {
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tunnel::ChunkPool;

    const BOUNDS: Bounds = Bounds { payload: 16_384, is_over_budget: false };

    /// A half with ample credit, and a head in its queue.
    fn half() -> SendHalf {
        let mut half = SendHalf::new();
        half.raise_credit(1 << 30);
        half.push(Outgoing::Bare([0; HEADER_LEN]));
        half
    }

    fn push_data(half: &mut SendHalf, pool: &mut ChunkPool) {
        let mut chunk = pool.take();
        chunk.set_len(1);
        assert!(half.spend(1));
        half.push(Outgoing::Data(chunk));
    }

    #[test]
    fn what_was_not_acknowledged_goes_again_and_what_never_went_cannot_be() {
        let (mut half, mut pool, mut retired) = (half(), ChunkPool::new(), Vec::new());
        push_data(&mut half, &mut pool);
        assert_eq!(half.acknowledge(Sequence(1), &mut retired), None, "nothing went out yet");
        half.mark_sent();
        half.mark_sent();
        assert!(!half.has_unsent());
        assert_eq!(half.acknowledge(Sequence(1), &mut retired), Some(0));
        assert_eq!(half.acknowledge(Sequence(0), &mut retired), Some(0), "said before, and overtaken since");
        half.rewind();
        assert!(half.has_unsent() && half.has_begun());
        assert_eq!(half.acknowledge(Sequence(3), &mut retired), None);
        let capacity = 16_384 + HEADER_LEN;
        assert_eq!(half.acknowledge(Sequence(2), &mut retired), Some(capacity), "it came on an earlier carrier");
        assert_eq!((retired.len(), half.has_unsent()), (1, false));
        half.push_last(Outgoing::Bare([0; HEADER_LEN]));
        assert_eq!((half.state(), half.has_said_all()), (SendState::Closing, false));
        half.mark_sent();
        assert!(half.has_said_all());
        half.acknowledge(Sequence(3), &mut retired);
        assert_eq!(half.state(), SendState::Done);
    }

    #[test]
    fn a_blocked_application_is_told_once() {
        let (mut half, mut pool, mut retired) = (half(), ChunkPool::new(), Vec::new());
        while half.poll_capacity(BOUNDS) > 0 {
            assert!(!half.poll_unblocked());
            push_data(&mut half, &mut pool);
        }
        assert_eq!(half.bytes(), (MAX_UNSENT / 16_384) as u64, "one byte in each chunk, and those count whole");
        assert!(half.poll_unblocked() && !half.poll_unblocked());
        let over = Bounds { is_over_budget: true, ..BOUNDS };
        half.stop(&mut retired);
        assert_eq!((half.poll_capacity(over), half.state()), (0, SendState::Done), "the peer takes nothing any more");
        assert!(!half.spend(1));
    }

    #[test]
    fn over_the_budget_a_stream_may_have_one_frame() {
        let mut half = SendHalf::new();
        half.raise_credit(1 << 30);
        let over = Bounds { is_over_budget: true, ..BOUNDS };
        assert_eq!(half.poll_capacity(over), 16_384);
        half.push(Outgoing::Bare([0; HEADER_LEN]));
        assert_eq!(half.poll_capacity(over), 0);
    }
}
