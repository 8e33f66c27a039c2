//! Receiving: which numbers arrived, what is kept, and what is acknowledged (RFC 9260, section 6.2).

mod acknowledgement;
mod reassembly;

use std::collections::VecDeque;

use bytes::Bytes;

use crate::event::{Event, Failure};
use crate::number::Tsn;
use crate::ranges::Ranges;
use crate::stream::{Receiving, Streams};
use crate::wire::chunk::{DataHeader, ForwardTsn};
use acknowledgement::Acknowledgement;
pub(crate) use acknowledgement::DELAY;
use reassembly::{Reassembly, Whole, cost};

/// How far beyond the cumulative number a chunk is accepted: as far as a SACK can report.
const MAX_AHEAD: u64 = 65_535;

/// Maximum number of numbers that can be skipped at once. More were never sent.
const MAX_SKIP: u64 = 1 << 24;

/// Maximum number of gaps in the received numbers; a chunk that would cause more is dropped.
const MAX_GAPS: usize = 2048;

/// Maximum number of duplicate numbers reported in one SACK.
const MAX_DUPLICATES: usize = 16;

/// The receiving side of an association.
#[derive(Debug)]
pub(crate) struct Receiver {
    /// Everything up to here was received or skipped.
    cumulative: Tsn,
    beyond: Ranges,
    reassembly: Reassembly,
    /// How much of the window the kept chunks use.
    kept: usize,
    window: usize,
    max_message: usize,
    /// The room announced last.
    announced: usize,
    /// Number of streams with something to read.
    readable: usize,
    duplicates: Vec<u32>,
    inbound: u16,
    pub(crate) acknowledgement: Acknowledgement,
}

/// Settings for receiving.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Settings {
    /// The peer's first number.
    pub(crate) first: u32,
    pub(crate) window: usize,
    pub(crate) max_message: usize,
    /// Maximum number of incoming streams.
    pub(crate) inbound: u16,
    /// One acknowledgement per batch is enough for the peer.
    pub(crate) is_batched: bool,
}

/// The destination of messages.
pub(crate) struct Target<'a> {
    pub(crate) streams: &'a mut Streams,
    pub(crate) events: &'a mut VecDeque<Event>,
}

/// The result of a chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    Taken,
    /// Its stream is not allowed (RFC 9260, section 6.5).
    InvalidStream,
}

impl Receiver {
    pub(crate) fn new(settings: Settings) -> Receiver {
        Receiver {
            cumulative: Tsn::first(settings.first).previous(),
            beyond: Ranges::default(),
            reassembly: Reassembly::new(settings.max_message),
            kept: 0,
            window: settings.window,
            max_message: settings.max_message,
            announced: settings.window,
            readable: 0,
            duplicates: Vec::new(),
            inbound: settings.inbound,
            acknowledgement: Acknowledgement::new(settings.is_batched),
        }
    }

    /// Handles a DATA chunk; `keep` turns its payload into one that may be kept.
    ///
    /// # Errors
    /// The association has to end.
    pub(crate) fn handle_data(
        &mut self,
        header: &DataHeader,
        payload: &[u8],
        keep: impl FnOnce(&[u8]) -> Bytes,
        target: &mut Target<'_>,
    ) -> Result<Outcome, Failure> {
        if payload.is_empty() {
            return Err(Failure::NoUserData(header.tsn));
        }
        let tsn = self.cumulative.near(header.tsn);
        if header.is_immediate {
            self.acknowledgement.hasten();
        }
        if tsn <= self.cumulative || self.beyond.contains(tsn) {
            if self.duplicates.len() < MAX_DUPLICATES {
                self.duplicates.push(header.tsn);
            }
            self.acknowledgement.hasten();
            return Ok(Outcome::Taken);
        }
        if !self.has_room(tsn, payload.len())? {
            self.acknowledgement.hasten();
            return Ok(Outcome::Taken);
        }
        // If the number before is known, a fragment without its predecessor can never be complete.
        let is_known = tsn.previous() <= self.cumulative;
        self.note(tsn);
        if header.stream >= self.inbound {
            return Ok(Outcome::InvalidStream);
        }
        self.kept += cost(payload.len());
        let (whole, freed) = self.reassembly.handle_chunk(tsn, header, keep(payload), is_known)?;
        self.kept -= freed;
        if let Some(whole) = whole {
            self.deliver(whole, target);
        }
        Ok(Outcome::Taken)
    }

    /// Skips everything up to a number (RFC 3758, section 3.6).
    pub(crate) fn handle_forward(&mut self, forward: &ForwardTsn<'_>, target: &mut Target<'_>) {
        let tsn = self.cumulative.near(forward.cumulative);
        self.acknowledgement.hasten();
        if tsn <= self.cumulative || tsn.since(self.cumulative) > MAX_SKIP {
            return;
        }
        self.cumulative = tsn;
        self.beyond.remove_below(tsn.next());
        self.advance();
        // A message with a dropped part never becomes complete, whether the peer names it or not: dcsctp 0.1.16 does
        // not name one whose rest it abandoned before that left.
        let mut dropped = Vec::new();
        self.kept -= self.reassembly.skip(tsn, |stream, order| dropped.push((stream, order)));
        for (stream, order) in forward.skipped().chain(dropped) {
            if stream < self.inbound {
                let (state, is_new) = target.streams.entry(stream);
                if is_new {
                    target.events.push_back(Event::Opened(stream));
                }
                state.incoming.skip(order);
                self.announce(stream, target);
            }
        }
    }

    /// Frees the room of a message that was read. `is_drained` means that the stream has no other.
    pub(crate) fn handle_read(&mut self, freed: usize, is_drained: bool) {
        self.kept -= freed;
        self.readable -= usize::from(is_drained);
        // The peer waits for room: tell it once there is much.
        if self.announced < self.window / 4 && self.room() >= self.window / 2 {
            self.acknowledgement.hasten();
        }
    }

    /// Returns the number up to which everything was received.
    pub(crate) fn cumulative(&self) -> Tsn {
        self.cumulative
    }

    /// Returns how much of the window the kept chunks use, in bytes.
    pub(crate) fn kept(&self) -> usize {
        self.kept
    }

    /// Returns the value of a SACK chunk, which has at most `room` bytes with its header.
    pub(crate) fn acknowledge(&mut self, room: usize) -> Vec<u8> {
        self.announced = self.room();
        let fitting = room.saturating_sub(16) / 4;
        let gaps = self.beyond.len().min(fitting);
        let duplicates = self.duplicates.len().min(fitting - gaps);
        let mut value = Vec::with_capacity(12 + 4 * (gaps + duplicates));
        value.extend_from_slice(&self.cumulative.wire().to_be_bytes());
        value.extend_from_slice(&u32::try_from(self.announced).unwrap_or(u32::MAX).to_be_bytes());
        value.extend_from_slice(&u16::try_from(gaps).unwrap_or(u16::MAX).to_be_bytes());
        value.extend_from_slice(&u16::try_from(duplicates).unwrap_or(u16::MAX).to_be_bytes());
        // A foreign peer goes by the first gaps (RFC 9260, section 3.3.4). A peer of this crate remembers earlier ones
        // and needs the new ones: otherwise everything that left since would count as lost.
        let newest = if self.acknowledgement.is_batched() && gaps < self.beyond.len() { gaps / 2 } else { 0 };
        let ranges = self.beyond.iter().take(gaps - newest).chain(self.beyond.iter().skip(self.beyond.len() - newest));
        for (first, last) in ranges {
            let offset = |tsn: Tsn| u16::try_from(tsn.since(self.cumulative)).unwrap_or(u16::MAX);
            value.extend_from_slice(&offset(first).to_be_bytes());
            value.extend_from_slice(&offset(last).to_be_bytes());
        }
        for tsn in self.duplicates.drain(..).take(duplicates) {
            value.extend_from_slice(&tsn.to_be_bytes());
        }
        self.acknowledgement.handle_sent();
        value
    }

    /// Returns the room to announce. A small room is announced as none, so that the peer does not fill it with small
    /// packets (RFC 9260, section 6.2).
    fn room(&self) -> usize {
        let room = self.window.saturating_sub(self.kept);
        if room < 2048 { 0 } else { room }
    }

    /// Tells whether a new chunk may be kept.
    fn has_room(&self, tsn: Tsn, payload: usize) -> Result<bool, Failure> {
        if tsn.since(self.cumulative) > MAX_AHEAD {
            return Ok(false);
        }
        let is_next = tsn.previous() == self.cumulative;
        if !is_next && self.beyond.len() >= MAX_GAPS && !self.beyond.contains(tsn.previous()) {
            return Ok(false);
        }
        let kept = self.kept + cost(payload);
        if kept <= self.window {
            return Ok(true);
        }
        // The next chunk in order may exceed the window by one message: once complete, that can be read. Otherwise
        // nothing could ever be read.
        if is_next && kept <= self.window + 2 * self.max_message {
            return Ok(true);
        }
        // A chunk that fills a gap frees more than it takes. The peer could not foresee the bookkeeping for everything
        // after the gap.
        if self.beyond.last().is_some_and(|last| tsn < last) && kept <= self.window + self.window / 8 {
            return Ok(true);
        }
        if self.readable == 0 && self.beyond.is_empty() {
            // Everything kept waits for a chunk that can never be accepted.
            return Err(Failure::OutOfMemory);
        }
        Ok(false)
    }

    /// Adds a new number.
    fn note(&mut self, tsn: Tsn) {
        if tsn.previous() != self.cumulative {
            self.beyond.insert(tsn, tsn);
            self.acknowledgement.hasten();
            return;
        }
        self.cumulative = tsn;
        if !self.beyond.is_empty() {
            self.advance();
            self.acknowledgement.hasten();
        }
    }

    fn advance(&mut self) {
        if let Some(last) = self.beyond.take_front(self.cumulative.next()) {
            self.cumulative = last;
        }
    }

    fn deliver(&mut self, whole: Whole, target: &mut Target<'_>) {
        let (state, is_new) = target.streams.entry(whole.stream);
        if is_new || state.incoming.state == Receiving::Finished {
            state.incoming.state = Receiving::Open;
            target.events.push_back(Event::Opened(whole.stream));
        }
        if state.incoming.state == Receiving::Stopped {
            self.kept -= whole.message.cost;
            return;
        }
        self.kept -= state.incoming.handle_message(whole.message, whole.order);
        self.announce(whole.stream, target);
    }

    /// Tells the application that a stream can be read, unless it knows.
    fn announce(&mut self, stream: u16, target: &mut Target<'_>) {
        let Some(state) = target.streams.get_mut(stream) else { return };
        if state.incoming.has_ready() && !state.is_announced {
            state.is_announced = true;
            self.readable += 1;
            target.events.push_back(Event::Readable(stream));
        }
    }
}
