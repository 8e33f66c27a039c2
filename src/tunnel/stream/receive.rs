//! The receiving half of a stream: what arrived, in order or early, and was not taken.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::{Buf, Bytes};

use super::arrival::{Arrived, Head, InOrder, Opening, ResetArrival, Violation};
use crate::tunnel::chunk::MAX_PAYLOAD;
use crate::tunnel::credit::{Budget, FRAME_COST, ReceiveWindow, cost};
use crate::tunnel::frame::Sequenced;
use crate::tunnel::id::Sequence;
use crate::tunnel::reason::AbortReason;
use crate::tunnel::reorder::{Arrival, Reorder};

/// State of the receiving half.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::tunnel) enum ReceiveState {
    /// The head frame has not arrived; frames that overtook it are kept.
    Head,
    /// DATA is delivered as it comes into order.
    Open,
    /// CLOSE came in order: nothing follows but a reset.
    Closed,
    /// A reset came in order: nothing follows.
    Reset,
    /// We reset the stream: arriving frames are dropped.
    Discarding,
}

impl ReceiveState {
    /// Tells whether the direction ended, for whatever reason, and everything before its end is here.
    pub(in crate::tunnel) fn has_ended(self) -> bool {
        matches!(self, ReceiveState::Closed | ReceiveState::Reset)
    }
}

/// The receiving half.
#[derive(Debug)]
pub(in crate::tunnel) struct ReceiveHalf {
    state: ReceiveState,
    window: ReceiveWindow,
    reorder: Reorder<Sequenced>,
    /// Sequence number of the peer's CLOSE, once one arrived.
    close_at: Option<Sequence>,
    /// Sequence number of the peer's reset, once it arrived.
    reset_at: Option<Sequence>,
    /// Words of the peer's reset, once it came into order.
    reset_detail: String,
    /// Payloads in order that the local application has not taken.
    ready: VecDeque<Bytes>,
    /// Newest `received` that we sent.
    acknowledged: Sequence,
    /// The stream is in the queue for sending a CREDIT.
    is_credit_queued: bool,
    /// The stream is in the queue for credit that the session's rate delays.
    is_grant_held: bool,
    /// The stream is in the queue of delayed acknowledgements.
    is_ack_queued: bool,
    bytes: u64,
}

impl ReceiveHalf {
    pub(super) fn new(window: ReceiveWindow) -> ReceiveHalf {
        ReceiveHalf {
            state: ReceiveState::Head,
            window,
            reorder: Reorder::default(),
            close_at: None,
            reset_at: None,
            reset_detail: String::new(),
            ready: VecDeque::new(),
            acknowledged: Sequence(0),
            is_credit_queued: false,
            is_grant_held: false,
            is_ack_queued: false,
            bytes: 0,
        }
    }

    /// Checks an arrived frame that is no reset, and counts its cost. Pass a new one to [`ReceiveHalf::put`].
    ///
    /// # Errors
    /// The frame breaks a rule.
    pub(in crate::tunnel) fn arrive(
        &mut self,
        sequence: Sequence,
        frame: &Sequenced,
        expected: Head,
    ) -> Result<Arrived, Violation> {
        if self.reorder.has(sequence) {
            return Ok(Arrived::Duplicate);
        }
        let is_head = match frame {
            Sequenced::Connect(..) => expected == Head::Connect,
            Sequenced::Accept => expected == Head::Accept,
            Sequenced::Data(_) | Sequenced::Close | Sequenced::Reset(_) => false,
        };
        let expects_head = self.state == ReceiveState::Head && sequence == Sequence(0);
        if is_head != expects_head {
            return Err(Violation::protocol("a direction must begin with CONNECT or ACCEPT"));
        }
        if self.close_at.is_some_and(|close| !sequence.is_before(close)) {
            return Err(Violation::protocol("a frame after CLOSE"));
        }
        if self.reset_at.is_some_and(|reset| !sequence.is_before(reset)) {
            return Err(Violation::protocol("a frame after a reset"));
        }
        let (mut units, mut unasked) = (0, 0);
        if let Sequenced::Data(payload) = frame {
            if payload.len() > MAX_PAYLOAD {
                return Err(Violation::protocol("a payload longer than announced"));
            }
            units = cost(payload.len());
            let arrived = self.window.arrive(units);
            unasked = arrived.map_err(|_| Violation::new(AbortReason::FlowControl, "more was sent than granted"))?;
        } else if matches!(frame, Sequenced::Close) {
            let is_last = |last| self.reset_at == Some(last) && last == sequence.next();
            if self.reorder.last_early().is_some_and(|last| sequence.is_before(last) && !is_last(last)) {
                return Err(Violation::protocol("a frame after CLOSE"));
            }
            self.close_at = Some(sequence);
        }
        Ok(Arrived::New { units, unasked })
    }

    /// Checks an arrived reset. Pass one in order to [`ReceiveHalf::put`].
    ///
    /// # Errors
    /// The reset breaks a rule.
    pub(in crate::tunnel) fn arrive_reset(&mut self, sequence: Sequence) -> Result<ResetArrival, Violation> {
        if self.reset_at == Some(sequence) {
            return Ok(ResetArrival::Duplicate);
        }
        if self.state == ReceiveState::Discarding {
            self.skip_to_reset(sequence);
            return Ok(ResetArrival::Unheard);
        }
        let next = self.reorder.next();
        let comes_first = self.state == ReceiveState::Head && sequence == Sequence(0);
        if comes_first || sequence.is_before(next) {
            // No frame before it is missing; frames after it break the rule that a reset is last, and are dropped.
            return Ok(ResetArrival::AtOnce);
        }
        let follows = match self.close_at {
            Some(close) => sequence == close.next(),
            None => self.reorder.last_early().is_none_or(|last| last.is_before(sequence)),
        };
        if self.reset_at.is_some() || !follows {
            return Err(Violation::protocol("a reset in a wrong place"));
        }
        // Beside DATA, the head and CLOSE may be missing.
        let missing = u64::from(sequence.since(next)).saturating_sub(self.reorder.early_count() as u64);
        if missing > self.window.frames_left() + 2 {
            return Err(Violation::new(AbortReason::FlowControl, "a reset behind more than was granted"));
        }
        self.reset_at = Some(sequence);
        Ok(ResetArrival::InOrder)
    }

    /// Puts a frame into its place. Returns what came into order; `None` while frames before it are missing.
    pub(in crate::tunnel) fn put(&mut self, sequence: Sequence, frame: Sequenced) -> Option<InOrder> {
        let Arrival::Next(first) = self.reorder.insert(sequence, frame) else { return None };
        let mut in_order = InOrder::default();
        let mut next = Some(first);
        while let Some(frame) = next {
            match frame {
                Sequenced::Connect(target, trail) => {
                    in_order.opening = Some(Opening::Connect { target, trail, early: self.window.held() });
                    self.state = ReceiveState::Open;
                }
                Sequenced::Accept => {
                    in_order.opening = Some(Opening::Accept);
                    self.state = ReceiveState::Open;
                }
                Sequenced::Data(payload) => {
                    self.bytes += payload.len() as u64;
                    self.ready.push_back(payload);
                    in_order.has_data = true;
                    in_order.is_readable = true;
                }
                Sequenced::Close => {
                    self.state = ReceiveState::Closed;
                    in_order.is_readable = true;
                }
                Sequenced::Reset(detail) => {
                    self.state = ReceiveState::Reset;
                    self.reset_detail = detail;
                }
            }
            next = self.reorder.pop();
        }
        Some(in_order)
    }

    /// Counts the payload of a datagram, which comes outside of the order.
    pub(in crate::tunnel) fn count_datagram(&mut self, len: usize) {
        self.bytes += len as u64;
    }

    /// Drops what is held of the direction, and everything that still arrives.
    pub(in crate::tunnel) fn discard(&mut self) {
        self.state = ReceiveState::Discarding;
        self.ready = VecDeque::new();
        self.reorder.skip_to(self.reorder.next());
        self.acknowledged = self.reorder.next();
    }

    /// Counts everything up to the peer's reset as arrived: the application does not need it.
    pub(in crate::tunnel) fn skip_to_reset(&mut self, reset: Sequence) {
        self.state = ReceiveState::Reset;
        self.reset_at = Some(reset);
        self.reorder.skip_to(reset.next());
    }

    /// Drops what the local application has not taken.
    pub(in crate::tunnel) fn drop_ready(&mut self) {
        self.ready.clear();
    }

    /// Takes `count` readable bytes.
    pub(in crate::tunnel) fn consume(&mut self, mut count: usize) {
        while count > 0 {
            let front = self.ready.front_mut().expect("no more is consumed than was readable");
            let taken = count.min(front.len());
            front.advance(taken);
            count -= taken;
            let mut units = taken as u64;
            if front.is_empty() {
                self.ready.pop_front();
                units += FRAME_COST;
            }
            self.window.consume(units);
        }
    }

    /// Moves the peer's limit as [`ReceiveWindow::grant`] does, and returns it.
    pub(in crate::tunnel) fn grant(
        &mut self,
        now: Instant,
        round_trip: Option<Duration>,
        budget: &mut Budget,
        most: u64,
    ) -> u64 {
        self.window.grant(now, round_trip, budget, most)
    }

    /// Returns the window's growth to the budget.
    pub(in crate::tunnel) fn release(&mut self, budget: &mut Budget) {
        self.window.release(budget);
    }

    /// Returns what has arrived, for a CREDIT; counts it as told to the peer.
    pub(in crate::tunnel) fn acknowledge(&mut self) -> Sequence {
        self.acknowledged = self.reorder.next();
        self.acknowledged
    }

    /// Takes the words of the peer's reset.
    pub(in crate::tunnel) fn take_reset_detail(&mut self) -> String {
        std::mem::take(&mut self.reset_detail)
    }

    /// Enters the queue for sending a CREDIT. Returns false if the stream is in it.
    #[must_use]
    pub(in crate::tunnel) fn enter_credits(&mut self) -> bool {
        !std::mem::replace(&mut self.is_credit_queued, true)
    }

    /// Leaves the queue for sending a CREDIT.
    pub(in crate::tunnel) fn leave_credits(&mut self) {
        self.is_credit_queued = false;
    }

    /// Enters the queue of delayed acknowledgements. Returns false if nothing is owed, or the stream is in it.
    #[must_use]
    pub(in crate::tunnel) fn enter_acks(&mut self) -> bool {
        self.owes_ack() && !std::mem::replace(&mut self.is_ack_queued, true)
    }

    /// Leaves the queue of delayed acknowledgements.
    pub(in crate::tunnel) fn leave_acks(&mut self) {
        self.is_ack_queued = false;
    }

    /// Enters the queue for credit that the rate delays. Returns false if no grant is due, or the stream is in it.
    #[must_use]
    pub(in crate::tunnel) fn enter_grants(&mut self) -> bool {
        self.window.is_grant_due() && !std::mem::replace(&mut self.is_grant_held, true)
    }

    /// Leaves the queue for credit that the rate delays.
    pub(in crate::tunnel) fn leave_grants(&mut self) {
        self.is_grant_held = false;
    }

    pub(in crate::tunnel) fn state(&self) -> ReceiveState {
        self.state
    }

    /// Returns the limit granted to the peer last.
    pub(in crate::tunnel) fn limit(&self) -> u64 {
        self.window.limit()
    }

    /// Returns the units that arrived and have not been taken.
    pub(in crate::tunnel) fn held(&self) -> u64 {
        self.window.held()
    }

    /// Tells whether a CREDIT is due that does not wait for the rate.
    pub(in crate::tunnel) fn is_credit_due(&self) -> bool {
        !self.is_grant_held && self.window.is_grant_due()
    }

    /// Tells whether the peer is owed an acknowledgement.
    pub(in crate::tunnel) fn owes_ack(&self) -> bool {
        self.acknowledged != self.reorder.next()
    }

    /// Returns the sequence number of the peer's reset, once it arrived.
    pub(in crate::tunnel) fn reset_at(&self) -> Option<Sequence> {
        self.reset_at
    }

    /// Tells whether the peer's CLOSE arrived.
    pub(in crate::tunnel) fn has_close(&self) -> bool {
        self.close_at.is_some()
    }

    /// Returns the payloads that the local application has not taken.
    pub(in crate::tunnel) fn readable(&self) -> impl Iterator<Item = &[u8]> {
        self.ready.iter().map(Bytes::as_ref)
    }

    /// Tells whether the local application took everything that is in order.
    pub(in crate::tunnel) fn is_read_up(&self) -> bool {
        self.ready.is_empty()
    }

    /// Returns the number of payload bytes that came into order so far.
    pub(in crate::tunnel) fn bytes(&self) -> u64 {
        self.bytes
    }
}

#[cfg(test)]
#[path = "receive_tests.rs"]
mod receive_tests;
