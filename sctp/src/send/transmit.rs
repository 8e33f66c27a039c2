//! Selects the content of packets: what is skipped, sent again, or new (RFC 9260, sections 6.1, 6.9 and 6.10).

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::time::Instant;

use super::outstanding::{Outstanding, Status};
use super::{MAX_OUTSTANDING, Path, Sender, Source};
use crate::number::Tsn;
use crate::queue::pop_if;
use crate::stream::{Limit, Queued};
use crate::wire::chunk::DataHeader;
use crate::wire::writer::Writer;
use crate::wire::{DATA_HEADER, PACKET_HEADER, kind, padded};

/// Minimum payload of a fragment: less is not worth its header.
const MIN_FRAGMENT: usize = 32;

/// Maximum number of streams in one FORWARD-TSN.
const MAX_SKIPPED: usize = 128;

/// How much may leave in one packet, and why.
#[derive(Debug, Clone, Copy)]
struct Allowance {
    bytes: u64,
    /// One packet that tests the path, whatever the windows allow.
    is_probe: bool,
}

impl Sender {
    /// Fills the packet that is being written.
    pub(crate) fn fill(&mut self, now: Instant, writer: &mut Writer, source: &mut Source<'_>) {
        if self.is_forward_due {
            self.write_forward(now, writer);
        }
        let Some(mut allowance) = self.allowance(now) else { return };
        let had = self.transmissions;
        writer.widen(self.packet_size());
        self.fill_again(now, writer, &mut allowance);
        self.fill_new(now, writer, &mut allowance, source);
        if self.is_probing && self.transmissions == had {
            self.repeat_last(now, writer, source);
        }
        if self.transmissions > had {
            self.note_packet_length(writer.len(), self.transmissions - had);
            self.handle_left(now, allowance.is_probe);
        } else if !self.has_more() && allowance.bytes > 0 {
            self.congestion.set_app_limited();
        }
    }

    /// Tells whether there is data, and a packet with it may leave now.
    pub(crate) fn may_fill(&mut self, now: Instant) -> bool {
        self.has_more() && self.allowance(now).is_some()
    }

    fn allowance(&mut self, now: Instant) -> Option<Allowance> {
        match self.path {
            Path::Silent { may_send, .. } => may_send.then_some(Allowance { bytes: u64::MAX, is_probe: true }),
            Path::Up if self.is_probing => Some(Allowance { bytes: u64::MAX, is_probe: true }),
            Path::Up => {
                let bytes = self.congestion.send_budget(now);
                (bytes > 0).then_some(Allowance { bytes, is_probe: false })
            }
        }
    }

    /// Updates the timers after a packet with data left.
    fn handle_left(&mut self, now: Instant, is_probe: bool) {
        if let Path::Silent { may_send, probed_at } = &mut self.path {
            (*may_send, *probed_at) = (false, now);
            self.arm_timeout(now);
        } else if is_probe {
            self.is_probing = false;
            self.statistics.probes += 1;
            // There is no second probe before the first is answered.
            self.probed.get_or_insert(self.ring.next().previous());
            self.probe_at = None;
            self.arm_timeout(now);
        } else if self.timeout_at.is_none() {
            self.arm_probe(now);
            self.arm_timeout(now);
        }
    }

    /// Adds lost chunks.
    fn fill_again(&mut self, now: Instant, writer: &mut Writer, allowance: &mut Allowance) {
        while allowance.bytes > 0
            && let Some(&Reverse((tsn, order))) = self.lost.peek()
        {
            let lost = self.ring.get(tsn).filter(|chunk| chunk.status == Status::Lost && chunk.order == order);
            let Some(chunk) = lost else {
                self.lost.pop();
                continue;
            };
            let size = DATA_HEADER + padded(chunk.payload.len());
            if size > writer.room() && !writer.is_empty() {
                break;
            }
            allowance.bytes = allowance.bytes.saturating_sub(chunk.size());
            self.lost.pop();
            self.recovery.handle_repeated();
            let is_last = allowance.bytes == 0 || self.missing == 1 || allowance.is_probe;
            self.repeat(now, tsn, is_last, writer);
        }
    }

    /// Sends a chunk again.
    fn repeat(&mut self, now: Instant, tsn: Tsn, is_immediate: bool, writer: &mut Writer) {
        let Some(chunk) = self.ring.get_mut(tsn) else { return };
        self.transmissions += 1;
        self.statistics.repeated += 1;
        self.in_flight += 1;
        self.missing -= usize::from(chunk.status == Status::Lost);
        chunk.status = Status::InFlight;
        chunk.order = self.transmissions;
        chunk.transmissions += 1;
        chunk.is_large = false;
        chunk.stamp = self.congestion.handle_sent(now, chunk.size());
        self.sent.push_back((tsn, self.transmissions));
        writer.data(&DataHeader { is_immediate, ..chunk.header }, &chunk.payload);
    }

    /// Sends the last chunk again, as a probe for the loss of the last chunks (RFC 8985, section 7.3). If it must not
    /// be sent again, it is abandoned, and FORWARD-TSN is the probe.
    fn repeat_last(&mut self, now: Instant, writer: &mut Writer, source: &mut Source<'_>) {
        while let Some((tsn, order)) = self.sent.pop_back() {
            let is_current = self.flight_of(tsn, order).is_some();
            let Some(chunk) = self.ring.get(tsn).filter(|_| is_current) else { continue };
            if self.settings.is_partial && chunk.is_exhausted(now) {
                self.abandon(tsn, source);
                continue;
            }
            if DATA_HEADER + padded(chunk.payload.len()) > writer.room() && !writer.is_empty() {
                self.sent.push_back((tsn, order));
                return;
            }
            // One of the two transmissions is in flight, but it is unknown which.
            self.congestion.handle_discarded(chunk.size());
            self.in_flight -= 1;
            self.probed = Some(tsn);
            self.repeat(now, tsn, true, writer);
            return;
        }
        self.is_probing = false;
        if self.is_forward_due {
            self.write_forward(now, writer);
        }
    }

    /// Adds chunks of messages that have not left.
    fn fill_new(&mut self, now: Instant, writer: &mut Writer, allowance: &mut Allowance, source: &mut Source<'_>) {
        while allowance.bytes > 0 && self.ring.len() < MAX_OUTSTANDING {
            let Some(stream) = self.scheduler.current() else { return };
            let Some(state) = source.streams.get_mut(stream) else {
                self.scheduler.finish(false);
                continue;
            };
            let outgoing = &mut state.outgoing;
            let Some(message) = outgoing.queue.front_mut() else {
                self.scheduler.finish(false);
                continue;
            };
            let Some(length) = self.fragment(message, writer) else { return };
            let is_end = length == message.rest.len();
            let is_begin = message.begun.is_none();
            let (number, ssn) = *message.begun.get_or_insert_with(|| {
                self.messages += 1;
                let ssn = if message.is_ordered { outgoing.next } else { 0 };
                outgoing.next = outgoing.next.wrapping_add(u16::from(message.is_ordered));
                (self.messages, ssn)
            });
            let payload = message.rest.split_to(length);
            outgoing.unsent -= length;
            allowance.bytes = allowance.bytes.saturating_sub((DATA_HEADER + length) as u64);
            let tsn = self.ring.next();
            let header = DataHeader {
                tsn: tsn.wire(),
                stream,
                ssn,
                protocol: message.protocol,
                is_begin,
                is_end,
                is_unordered: !message.is_ordered,
                is_immediate: false,
            };
            let limit = message.limit;
            self.scheduler.spend(length);
            if is_end {
                outgoing.queue.pop_front();
                self.scheduler.finish(!outgoing.queue.is_empty());
            }
            // The sender waits after this chunk, so the answer should not (RFC 7053, section 4).
            let is_last = allowance.bytes == 0 && self.congestion.next_send_at().is_none() || allowance.is_probe;
            writer.data(&DataHeader { is_immediate: is_last, ..header }, &payload);
            self.transmissions += 1;
            self.statistics.chunks += 1;
            self.in_flight += 1;
            self.charged += length;
            let stamp = self.congestion.handle_sent(now, (DATA_HEADER + length) as u64);
            self.sent.push_back((tsn, self.transmissions));
            self.ring.push(Outstanding {
                payload,
                header,
                message: number,
                limit,
                status: Status::InFlight,
                stamp,
                order: self.transmissions,
                transmissions: 1,
                is_large: false,
                is_released: false,
            });
        }
    }

    /// Returns how much of a message goes into the packet, if any.
    fn fragment(&self, message: &Queued, writer: &mut Writer) -> Option<usize> {
        let room = writer.room().checked_sub(DATA_HEADER).filter(|room| *room > 0);
        let rest = message.rest.len();
        let Some(room) = room.filter(|room| rest <= *room || *room >= MIN_FRAGMENT) else {
            // Padding gives all packets of a train the same length.
            if self.settings.is_ours && !writer.is_empty() {
                writer.pad(writer.room());
            }
            return None;
        };
        // A chunk must pass everywhere, however long packets are: it cannot be cut again.
        let full = self.size.first() - PACKET_HEADER - DATA_HEADER;
        // Do not split a message that may be lost: that would double its chance of loss.
        let is_whole = message.begun.is_none() && message.limit != Limit::Never && rest <= full;
        if is_whole && rest > room && !writer.is_empty() {
            return None;
        }
        let length = rest.min(room).min(full);
        // If nothing is outstanding, one packet tests a peer without room (RFC 9260, section 6.1, A).
        let fits = length <= self.peer_room() || self.charged == 0;
        fits.then_some(length)
    }

    /// Drops messages that expired before they left.
    pub(crate) fn drop_expired(&mut self, now: Instant, source: &mut Source<'_>) {
        if !self.settings.is_partial {
            return;
        }
        let mut emptied = Vec::new();
        for stream in self.scheduler.iter() {
            let Some(state) = source.streams.get_mut(stream) else { continue };
            let mut dropped = 0;
            let is_late = |first: &Queued| first.begun.is_none() && matches!(first.limit, Limit::At(at) if at <= now);
            while let Some(late) = pop_if(&mut state.outgoing.queue, is_late) {
                dropped += late.rest.len();
            }
            if state.outgoing.queue.is_empty() {
                emptied.push(stream);
            }
            if dropped > 0 {
                state.outgoing.unsent -= dropped;
                source.release(stream, dropped);
            }
        }
        emptied.into_iter().for_each(|stream| self.scheduler.remove(stream));
    }

    /// Tells the peer to skip abandoned chunks (RFC 3758, section 3.5, C3).
    fn write_forward(&mut self, now: Instant, writer: &mut Writer) {
        self.is_forward_due = false;
        if !self.is_forwarding() || writer.room() < 12 {
            return;
        }
        let most = MAX_SKIPPED.min((writer.room() - 8) / 4);
        let mut skipped: BTreeMap<u16, u16> = BTreeMap::new();
        let mut tsn = self.ring.first();
        let mut last = tsn.previous();
        while tsn <= self.forward {
            let Some(chunk) = self.ring.get(tsn) else { break };
            if chunk.status == Status::Abandoned && !chunk.header.is_unordered {
                // The next one reports what does not fit.
                if skipped.len() == most && !skipped.contains_key(&chunk.header.stream) {
                    break;
                }
                skipped.insert(chunk.header.stream, chunk.header.ssn);
            }
            last = tsn;
            tsn = tsn.next();
        }
        let mut value = last.wire().to_be_bytes().to_vec();
        for (stream, ssn) in skipped {
            value.extend_from_slice(&stream.to_be_bytes());
            value.extend_from_slice(&ssn.to_be_bytes());
        }
        writer.chunk(kind::FORWARD_TSN, 0, &value);
        self.forwarded_at = Some(now);
        if self.timeout_at.is_none() {
            self.arm_timeout(now);
        }
    }
}
