//! Reassembly of messages from fragments with consecutive numbers (RFC 9260, section 6.9).

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::event::Failure;
use crate::number::Tsn;
use crate::stream::{Message, Parts};
use crate::wire::chunk::DataHeader;

/// Cost of a kept chunk beside its payload, in bytes: about the size of its bookkeeping.
const CHUNK_COST: usize = 64;

/// Fragments with consecutive numbers, of one incomplete message.
#[derive(Debug)]
struct Run {
    parts: Vec<Bytes>,
    last: Tsn,
    has_begin: bool,
    has_end: bool,
    bytes: usize,
    header: DataHeader,
}

/// A complete message.
#[derive(Debug)]
pub(crate) struct Whole {
    pub(crate) stream: u16,
    /// Its number in the stream, if it is ordered.
    pub(crate) order: Option<u16>,
    pub(crate) message: Message,
}

/// Reassembles messages.
#[derive(Debug)]
pub(crate) struct Reassembly {
    /// By the first number of each run.
    runs: BTreeMap<Tsn, Run>,
    max_message: usize,
}

/// Returns how much of the receive window a chunk with this payload uses.
pub(crate) fn cost(payload: usize) -> usize {
    payload + CHUNK_COST
}

impl Run {
    fn cost(&self) -> usize {
        self.bytes + self.parts.len() * CHUNK_COST
    }

    fn fits(&self, header: &DataHeader) -> bool {
        self.header.stream == header.stream
            && self.header.is_unordered == header.is_unordered
            && (header.is_unordered || self.header.ssn == header.ssn)
    }
}

impl Reassembly {
    /// Creates it for messages of at most `max_message` bytes.
    pub(crate) fn new(max_message: usize) -> Reassembly {
        Reassembly { runs: BTreeMap::new(), max_message }
    }

    /// Handles a chunk that was not received before. `is_known` means that the number before it was received or
    /// skipped. Returns a message that is complete with it, and how much of the window was freed, because it can never
    /// be complete.
    ///
    /// # Errors
    /// The fragments do not fit each other, or the message is too long.
    pub(crate) fn handle_chunk(
        &mut self,
        tsn: Tsn,
        header: &DataHeader,
        payload: Bytes,
        is_known: bool,
    ) -> Result<(Option<Whole>, usize), Failure> {
        if payload.len() > self.max_message {
            return Err(Failure::Violation("a message is too long"));
        }
        if header.is_begin && header.is_end {
            let cost = cost(payload.len());
            let message = Message { protocol: header.protocol, parts: Parts::One(payload), cost };
            return Ok((Some(Whole { stream: header.stream, order: order(header), message }), 0));
        }
        let before = self.before(tsn);
        let after = self.runs.get(&tsn.next()).map(|run| (run.has_begin, run.fits(header)));
        let follows = match before {
            Some((first, has_end)) if !header.is_begin && !has_end => Some(first),
            // If another message begins before the end, the sender abandoned the rest before that left.
            Some(_) if header.is_begin => None,
            Some(_) => return Err(Failure::Violation("fragments do not follow each other")),
            // It belongs to a message with a skipped part.
            None if !header.is_begin && is_known => return Ok((None, cost(payload.len()))),
            None => None,
        };
        let precedes = match after {
            Some((has_begin, fits)) if !header.is_end && !has_begin && fits => true,
            Some((has_begin, _)) if has_begin => false,
            Some(_) => return Err(Failure::Violation("fragments do not follow each other")),
            None => false,
        };
        let first = follows.unwrap_or(tsn);
        self.join(first, tsn, header, payload, precedes)?;
        Ok((self.take_whole(first), 0))
    }

    /// Drops messages that begin at or before `tsn`, up to which everything is skipped (RFC 3758, section 3.6). Returns
    /// how much of the window was freed. Calls `dropped` with the stream and the number of each ordered message among
    /// them.
    pub(crate) fn skip(&mut self, tsn: Tsn, mut dropped: impl FnMut(u16, u16)) -> usize {
        let mut freed = 0;
        while let Some(run) = self.runs.first_entry()
            && (*run.key() <= tsn || (*run.key() == tsn.next() && !run.get().has_begin))
        {
            let run = run.remove();
            freed += run.cost();
            if let Some(number) = order(&run.header) {
                dropped(run.header.stream, number);
            }
        }
        freed
    }

    /// Returns the run that ends right before `tsn`: its first number, and whether it is complete at the end.
    fn before(&self, tsn: Tsn) -> Option<(Tsn, bool)> {
        let (first, run) = self.runs.range(..tsn).next_back()?;
        (run.last.next() == tsn).then_some((*first, run.has_end))
    }

    /// Adds a chunk to the run that begins with `first`, and joins the run after the chunk, if there is one.
    fn join(
        &mut self,
        first: Tsn,
        tsn: Tsn,
        header: &DataHeader,
        payload: Bytes,
        precedes: bool,
    ) -> Result<(), Failure> {
        let tail = if precedes { self.runs.remove(&tsn.next()) } else { None };
        let run = self.runs.entry(first).or_insert_with(|| Run {
            parts: Vec::new(),
            last: tsn,
            has_begin: header.is_begin,
            has_end: false,
            bytes: 0,
            header: *header,
        });
        if !run.fits(header) {
            return Err(Failure::Violation("fragments of two messages are mixed"));
        }
        run.bytes += payload.len();
        run.parts.push(payload);
        run.last = tsn;
        run.has_end = header.is_end;
        if let Some(tail) = tail {
            run.bytes += tail.bytes;
            run.parts.extend(tail.parts);
            run.last = tail.last;
            run.has_end = tail.has_end;
        }
        if run.bytes > self.max_message {
            return Err(Failure::Violation("a message is too long"));
        }
        Ok(())
    }

    fn take_whole(&mut self, first: Tsn) -> Option<Whole> {
        self.runs.get(&first).filter(|run| run.has_begin && run.has_end)?;
        let run = self.runs.remove(&first)?;
        let cost = run.cost();
        let message = Message { protocol: run.header.protocol, parts: Parts::Many(run.parts), cost };
        Some(Whole { stream: run.header.stream, order: order(&run.header), message })
    }
}

fn order(header: &DataHeader) -> Option<u16> {
    (!header.is_unordered).then_some(header.ssn)
}
