//! Chunks that are considered lost, sent again, or abandoned; and the timers that detect them.

use std::cmp::Reverse;
use std::time::Instant;

use bytes::Bytes;

use super::outstanding::{Outstanding, Status};
use super::{FOREIGN_DELAY, Path, Sender, Source};
use crate::event::Failure;
use crate::number::Tsn;
use crate::queue::pop_if;
use crate::receive;
use crate::round_trip::GRANULARITY;
use crate::stream::Queued;
use crate::wire::chunk::DataHeader;

impl Sender {
    /// Handles all deadlines up to `now`.
    ///
    /// # Errors
    /// The peer has not answered for too long.
    pub(crate) fn handle_timeout(&mut self, now: Instant, source: &mut Source<'_>) -> Result<(), Failure> {
        if self.reorder_at.is_some_and(|at| at <= now) {
            self.reorder_at = None;
            self.detect(now, source);
        }
        if self.probe_at.is_some_and(|at| at <= now) {
            self.probe_at = None;
            self.is_probing = self.in_flight > 0;
        }
        if self.timeout_at.is_some_and(|at| at <= now) {
            self.expire(now, source)?;
        }
        Ok(())
    }

    /// Handles a sign of life from the peer. If the path was silent, one packet may test it before its time.
    pub(crate) fn handle_sign_of_life(&mut self, now: Instant) {
        if let Path::Silent { may_send, probed_at } = &mut self.path {
            let pause = self.round_trip.smoothed().unwrap_or(FOREIGN_DELAY);
            *may_send |= now.saturating_duration_since(*probed_at) >= pause;
        }
    }

    /// Detects chunks that others overtook by too much (RFC 8985, section 6.2, step 5).
    pub(super) fn detect(&mut self, now: Instant, source: &mut Source<'_>) {
        self.reorder_at = None;
        let Some(latest) = self.recovery.latest() else { return };
        while let Some(&(tsn, order)) = self.sent.front() {
            if order >= latest.order {
                break;
            }
            if let Some(sent_at) = self.flight_of(tsn, order) {
                let window = self.recovery.window(self.beyond_count, &self.round_trip);
                let deadline = sent_at + latest.round_trip + window;
                if deadline > now {
                    self.reorder_at = Some(deadline);
                    break;
                }
                self.mark_lost(now, tsn, source);
            }
            self.sent.pop_front();
        }
    }

    /// Returns when the transmission `order` of a chunk left, if it is the one in flight.
    pub(super) fn flight_of(&self, tsn: Tsn, order: u64) -> Option<Instant> {
        let chunk = self.ring.get(tsn)?;
        (chunk.status == Status::InFlight && chunk.order == order).then_some(chunk.stamp.sent_at)
    }

    /// Marks a chunk in flight as lost: it is sent again, or its message is abandoned.
    fn mark_lost(&mut self, now: Instant, tsn: Tsn, source: &mut Source<'_>) {
        let next = self.ring.next();
        let Some(chunk) = self.ring.get_mut(tsn) else { return };
        chunk.status = Status::Lost;
        let (size, stamp, order) = (chunk.size(), chunk.stamp, chunk.order);
        if chunk.is_large {
            self.size.handle_lost(order);
        }
        let is_over = chunk.is_exhausted(now);
        self.in_flight -= 1;
        self.missing += 1;
        self.statistics.lost += 1;
        self.congestion.handle_lost(now, size, &stamp);
        self.recovery.handle_lost(next);
        if is_over && self.settings.is_partial {
            self.abandon(tsn, source);
        } else {
            self.lost.push(Reverse((tsn, order)));
        }
    }

    /// Abandons a message: its unacknowledged chunks that left, and the rest (RFC 3758, section 3.5, A3).
    pub(super) fn abandon(&mut self, tsn: Tsn, source: &mut Source<'_>) {
        let Some((first, last)) = self.ring.message(tsn) else { return };
        let mut is_whole = false;
        let mut current = first;
        while current <= last {
            let Some(chunk) = self.ring.get_mut(current) else { break };
            is_whole = chunk.header.is_end;
            let (size, length, stream) = (chunk.size(), chunk.payload.len(), chunk.header.stream);
            let was = chunk.status;
            let is_released = std::mem::replace(&mut chunk.is_released, true);
            if was != Status::Acknowledged {
                chunk.status = Status::Abandoned;
                chunk.payload.clear();
                self.charged -= if was == Status::Abandoned { 0 } else { length };
            }
            match was {
                Status::InFlight => {
                    self.in_flight -= 1;
                    self.congestion.handle_discarded(size);
                }
                Status::Lost => {
                    self.missing -= 1;
                    self.recovery.handle_abandoned();
                }
                Status::Acknowledged | Status::Abandoned => {}
            }
            if !is_released {
                source.release(stream, length);
            }
            current = current.next();
        }
        if !is_whole {
            self.abandon_rest(last, source);
        }
        self.advance_forward();
    }

    /// Drops the part that has not left of the message whose last chunk sent is `last`. A number is abandoned in its
    /// place: everything that left may have arrived, and the peer would wait for the rest.
    fn abandon_rest(&mut self, last: Tsn, source: &mut Source<'_>) {
        let Some(chunk) = self.ring.get(last) else { return };
        let (header, message, limit, stamp) = (chunk.header, chunk.message, chunk.limit, chunk.stamp);
        let Some(state) = source.streams.get_mut(header.stream) else { return };
        let queue = &mut state.outgoing.queue;
        let is_leaving = |first: &Queued| first.begun.is_some_and(|(number, _)| number == message);
        let Some(rest) = pop_if(queue, is_leaving) else { return };
        // Only the message in turn has begun.
        self.scheduler.finish(!queue.is_empty());
        state.outgoing.unsent -= rest.rest.len();
        source.release(header.stream, rest.rest.len());
        self.ring.push(Outstanding {
            payload: Bytes::new(),
            header: DataHeader { tsn: self.ring.next().wire(), is_begin: false, is_end: true, ..header },
            message,
            limit,
            status: Status::Abandoned,
            stamp,
            order: 0,
            transmissions: 0,
            is_large: false,
            is_released: true,
        });
    }

    /// Advances the number up to which the peer should skip (RFC 3758, section 3.5, C2). It passes over what the peer
    /// has beyond a gap: otherwise every gap would cost a round trip, and a thousand datagrams per second with one in a
    /// hundred lost would never finish. A peer that takes back an acknowledgement would lose data; no known peer does.
    pub(super) fn advance_forward(&mut self) {
        let mut tsn = self.scanned.next().max(self.ring.first());
        while let Some(chunk) = self.ring.get(tsn)
            && matches!(chunk.status, Status::Abandoned | Status::Acknowledged)
        {
            if chunk.status == Status::Abandoned {
                self.forward = tsn;
                self.is_forward_due = true;
            }
            self.scanned = tsn;
            tsn = tsn.next();
        }
    }

    /// Tells whether the peer has yet to skip abandoned chunks.
    pub(super) fn is_forwarding(&self) -> bool {
        self.forward >= self.ring.first()
    }

    /// Handles the retransmission timeout: nothing that left was acknowledged (RFC 9260, section 6.3.3).
    fn expire(&mut self, now: Instant, source: &mut Source<'_>) -> Result<(), Failure> {
        self.timeout_at = None;
        self.probe_at = None;
        self.reorder_at = None;
        if self.in_flight == 0 && self.missing == 0 && !self.is_forwarding() {
            return Ok(());
        }
        self.size.handle_timeout();
        self.statistics.timeouts += 1;
        self.errors += 1;
        if self.settings.max_retransmits.is_some_and(|max| self.errors > max) {
            return Err(Failure::TimedOut);
        }
        let had_flight = self.in_flight > 0;
        while let Some((tsn, order)) = self.sent.pop_front() {
            if self.flight_of(tsn, order).is_some() {
                self.mark_lost(now, tsn, source);
            }
        }
        // A peer without room drops probes; that says nothing about the path.
        if had_flight && self.window > 0 {
            self.congestion.handle_timeout(now);
        }
        self.backoff = self.backoff.saturating_add(1);
        self.is_probing = false;
        self.probed = None;
        self.is_forward_due = self.is_forwarding();
        self.path = Path::Silent { may_send: true, probed_at: now };
        self.arm_timeout(now);
        Ok(())
    }

    /// Restarts the retransmission timer. Before it expires, a probe has its time.
    pub(super) fn arm_timeout(&mut self, now: Instant) {
        let is_waiting = self.in_flight > 0 || self.missing > 0 || self.is_forwarding();
        self.timeout_at = is_waiting.then(|| self.probe_at.unwrap_or(now) + self.timeout());
    }

    /// Restarts the timer of the tail-loss probe (RFC 8985, section 7.2): since the last news, however much leaves in
    /// the meantime.
    pub(super) fn arm_probe(&mut self, now: Instant) {
        let is_apt = self.in_flight > 0
            && self.path == Path::Up
            && !self.is_probing
            && self.probed.is_none()
            && !self.recovery.is_recovering();
        let smoothed = self.round_trip.smoothed().filter(|_| is_apt);
        let delay = match self.in_flight {
            1 if self.settings.is_ours => receive::DELAY,
            1 => FOREIGN_DELAY,
            _ => GRANULARITY,
        };
        self.probe_at = smoothed.map(|smoothed| now + smoothed * 2 + delay);
    }
}
