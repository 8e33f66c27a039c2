//! Acknowledgements of the peer (RFC 9260, section 6.2.1), handled as ranges: what was known before costs nothing.

use std::cmp::Reverse;
use std::time::{Duration, Instant};

use super::outstanding::{Outstanding, Status};
use super::recovery::Arrival;
use super::{Path, Sender, Source};
use crate::event::Failure;
use crate::number::Tsn;
use crate::wire::chunk::Sack;

/// The progress made by one SACK.
#[derive(Debug, Default)]
struct Progress {
    /// A chunk is newly acknowledged.
    has_new: bool,
    /// Of the chunks that were sent once, the one that left last: its order and round trip.
    sample: Option<(u64, Duration)>,
    /// The latest chunk known to have arrived before.
    latest: Option<u64>,
    is_undone: bool,
}

impl Sender {
    /// Handles a SACK.
    ///
    /// # Errors
    /// It acknowledges a chunk that never left.
    pub(crate) fn handle_sack(
        &mut self,
        now: Instant,
        sack: &Sack<'_>,
        source: &mut Source<'_>,
    ) -> Result<(), Failure> {
        let first = self.ring.first();
        let cumulative = first.near(sack.cumulative);
        if cumulative.next() < first {
            // A later SACK has overtaken it.
            return Ok(());
        }
        if cumulative >= self.ring.next() {
            return Err(Failure::Violation("an acknowledgement of a chunk that was never sent"));
        }
        let mut progress =
            Progress { latest: self.recovery.latest().map(|latest| latest.order), ..Progress::default() };
        self.take_cumulative(now, cumulative, &mut progress, source);
        self.handle_reneging(&mut progress);
        let mut hint = 0;
        for (from, to) in sack.gaps() {
            if from > to || from == 0 {
                continue;
            }
            let (from, to) = (cumulative.plus(u64::from(from)), cumulative.plus(u64::from(to)));
            if to >= self.ring.next() {
                return Err(Failure::Violation("an acknowledgement of a chunk that was never sent"));
            }
            if self.beyond.covers(&mut hint, from, to) {
                continue;
            }
            self.take_range(now, from, to, &mut progress, source);
        }
        for tsn in sack.duplicates() {
            self.handle_duplicate(first.near(tsn), &mut progress);
        }
        let has_room = self.window == 0 && sack.window > 0;
        self.window = sack.window as usize;
        if has_room {
            // The probe of the silent path was dropped only for lack of room.
            self.path = Path::Up;
            self.backoff = 0;
        }
        self.finish(now, &progress, source);
        Ok(())
    }

    /// Acknowledges everything up to a number, as a SHUTDOWN reports (RFC 9260, section 9.2). Some peers put a number
    /// of their own there, which is tolerated.
    pub(crate) fn handle_cumulative(&mut self, now: Instant, wire: u32, source: &mut Source<'_>) {
        let cumulative = self.ring.first().near(wire);
        if cumulative >= self.ring.next() {
            return;
        }
        let mut progress = Progress::default();
        self.take_cumulative(now, cumulative, &mut progress, source);
        self.finish(now, &progress, source);
    }

    fn take_cumulative(&mut self, now: Instant, to: Tsn, progress: &mut Progress, source: &mut Source<'_>) {
        while self.ring.first() <= to {
            let tsn = self.ring.first();
            self.settle(now, tsn, progress, source);
            if self.ring.pop().is_none() {
                break;
            }
            progress.has_new = true;
            self.beyond_count -= u64::from(self.beyond.contains(tsn));
        }
        self.beyond.remove_below(self.ring.first());
    }

    fn take_range(&mut self, now: Instant, from: Tsn, to: Tsn, progress: &mut Progress, source: &mut Source<'_>) {
        let mut cursor = from.max(self.ring.first());
        while let Some((first, last)) = self.beyond.missing(cursor, to) {
            let mut tsn = first;
            while tsn <= last {
                self.settle(now, tsn, progress, source);
                self.beyond_count += 1;
                tsn = tsn.next();
            }
            self.beyond.insert(first, last);
            cursor = last.next();
        }
    }

    /// Marks a chunk as received by the peer.
    fn settle(&mut self, now: Instant, tsn: Tsn, progress: &mut Progress, source: &mut Source<'_>) {
        let Some(chunk) = self.ring.get_mut(tsn) else { return };
        let was = chunk.status;
        if matches!(was, Status::Acknowledged | Status::Abandoned) {
            return;
        }
        chunk.status = Status::Acknowledged;
        let Outstanding { stamp, order, transmissions, is_large, .. } = *chunk;
        if is_large {
            self.size.handle_arrived(order);
        }
        let (size, length, stream) = (chunk.size(), chunk.payload.len(), chunk.header.stream);
        let is_released = std::mem::replace(&mut chunk.is_released, true);
        progress.has_new = true;
        self.charged -= length;
        if was == Status::InFlight {
            self.in_flight -= 1;
            self.congestion.handle_acked(now, size, &stamp);
        } else {
            self.missing -= 1;
        }
        if was == Status::Lost && !is_released {
            progress.is_undone |= self.recovery.handle_refuted();
        }
        if !is_released {
            source.release(stream, length);
        }
        let sent_at = stamp.sent_at;
        self.recovery.handle_arrival(now, Arrival { order, sent_at, transmissions }, &self.round_trip);
        if transmissions == 1 {
            if progress.latest.is_some_and(|latest| order < latest) {
                self.recovery.handle_reordering();
            }
            if was == Status::InFlight && progress.sample.is_none_or(|(latest, _)| order > latest) {
                progress.sample = Some((order, now.saturating_duration_since(sent_at)));
            }
        }
    }

    /// Detects a peer that takes back what it acknowledged beyond a gap. That shows when everything before is
    /// acknowledged but it is not.
    fn handle_reneging(&mut self, progress: &mut Progress) {
        if self.ring.get(self.ring.first()).is_none_or(|chunk| chunk.status != Status::Acknowledged) {
            return;
        }
        progress.has_new = true;
        self.scanned = self.ring.first().previous();
        for (first, last) in std::mem::take(&mut self.beyond).iter() {
            let mut tsn = first;
            while tsn <= last {
                if let Some(chunk) = self.ring.get_mut(tsn)
                    && chunk.status == Status::Acknowledged
                {
                    chunk.status = Status::Lost;
                    self.charged += chunk.payload.len();
                    self.missing += 1;
                    self.lost.push(Reverse((tsn, chunk.order)));
                }
                tsn = tsn.next();
            }
        }
        self.beyond_count = 0;
    }

    /// Handles a number that arrived twice: one of its transmissions was unnecessary (RFC 8985, section 6.2, step 4).
    fn handle_duplicate(&mut self, tsn: Tsn, progress: &mut Progress) {
        if self.probed == Some(tsn) {
            self.probed = None;
            return;
        }
        progress.is_undone |= self.recovery.handle_duplicate(self.ring.first());
        self.recovery.note_widened(self.ring.next());
    }

    /// Draws the conclusions from a SACK.
    fn finish(&mut self, now: Instant, progress: &Progress, source: &mut Source<'_>) {
        if let Some((_, sample)) = progress.sample {
            self.round_trip.handle_sample(now, sample);
        }
        // Any SACK shows that the peer and the path work.
        self.errors = 0;
        if progress.has_new {
            self.backoff = 0;
            self.path = Path::Up;
            self.is_probing = false;
            self.size.note_heard(now);
        }
        if self.probed.is_some_and(|tsn| tsn < self.ring.first()) {
            self.probed = None;
        }
        self.recovery.handle_progress(self.ring.first());
        self.detect(now, source);
        self.advance_forward();
        self.repeat_forward(now);
        if progress.is_undone {
            self.statistics.undone += 1;
            self.congestion.undo(now);
        }
        self.congestion.finish_ack(now, progress.sample.map(|(_, sample)| sample));
        if progress.has_new {
            self.arm_probe(now);
            self.arm_timeout(now);
        }
    }

    /// Repeats FORWARD-TSN once per round trip, if the peer answers but still waits for abandoned chunks.
    fn repeat_forward(&mut self, now: Instant) {
        let pause = self.round_trip.smoothed().unwrap_or_else(|| self.timeout());
        let was_lost = self.forwarded_at.is_none_or(|at| now.saturating_duration_since(at) > pause);
        self.is_forward_due |= self.is_forwarding() && was_lost;
        if !self.is_forwarding() {
            self.is_forward_due = false;
        }
    }
}
