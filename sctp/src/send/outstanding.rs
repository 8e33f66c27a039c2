//! Chunks that left and are beyond the cumulative acknowledgement: a ring indexed by TSN.

use std::collections::VecDeque;
use std::time::Instant;

use bytes::Bytes;

use crate::congestion::Stamp;
use crate::number::Tsn;
use crate::stream::Limit;
use crate::wire::DATA_HEADER;
use crate::wire::chunk::DataHeader;

/// Where a chunk is.
///
/// ```text
/// InFlight ──> Acknowledged ── the peer took it back (RFC 9260, section 6.2.1) ──> Lost
///    │  ^
///    v  │ sent again
///   Lost ──> Acknowledged (it was not lost), Abandoned
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Status {
    /// In flight.
    InFlight,
    /// Considered lost, to be sent again.
    Lost,
    /// The peer has it.
    Acknowledged,
    /// Abandoned (RFC 3758).
    Abandoned,
}

/// A chunk that left.
#[derive(Debug)]
pub(crate) struct Outstanding {
    pub(crate) payload: Bytes,
    pub(crate) header: DataHeader,
    /// The number of its message in the association.
    pub(crate) message: u64,
    pub(crate) limit: Limit,
    pub(crate) status: Status,
    pub(crate) stamp: Stamp,
    /// Its position among all transmissions when it last left.
    pub(crate) order: u64,
    pub(crate) transmissions: u32,
    /// It left in a packet that may be too long for the path.
    pub(crate) is_large: bool,
    /// Its bytes no longer count as buffered.
    pub(crate) is_released: bool,
}

impl Outstanding {
    /// Returns the bytes of the chunk with its header.
    pub(crate) fn size(&self) -> u64 {
        (DATA_HEADER + self.payload.len()) as u64
    }

    /// Tells whether it must not be sent again.
    pub(crate) fn is_exhausted(&self, now: Instant) -> bool {
        match self.limit {
            Limit::Never => false,
            Limit::Retransmits(count) => self.transmissions > count,
            Limit::At(at) => at <= now,
        }
    }
}

/// The ring of outstanding chunks.
#[derive(Debug)]
pub(crate) struct Ring {
    first: Tsn,
    chunks: VecDeque<Outstanding>,
}

impl Ring {
    pub(crate) fn new(first: Tsn) -> Ring {
        Ring { first, chunks: VecDeque::new() }
    }

    /// Returns the number of the first chunk, or of the next to leave if there is none.
    pub(crate) fn first(&self) -> Tsn {
        self.first
    }

    /// Returns the number of the chunk that leaves next.
    pub(crate) fn next(&self) -> Tsn {
        self.first.plus(self.chunks.len() as u64)
    }

    pub(crate) fn len(&self) -> usize {
        self.chunks.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.chunks.is_empty()
    }

    pub(crate) fn push(&mut self, chunk: Outstanding) {
        self.chunks.push_back(chunk);
    }

    pub(crate) fn pop(&mut self) -> Option<Outstanding> {
        let chunk = self.chunks.pop_front()?;
        self.first = self.first.next();
        Some(chunk)
    }

    pub(crate) fn get(&self, tsn: Tsn) -> Option<&Outstanding> {
        if tsn < self.first { None } else { self.chunks.get(tsn.since(self.first) as usize) }
    }

    pub(crate) fn get_mut(&mut self, tsn: Tsn) -> Option<&mut Outstanding> {
        if tsn < self.first { None } else { self.chunks.get_mut(tsn.since(self.first) as usize) }
    }

    /// Returns the first and last number of the chunks around `tsn` that belong to the same message.
    pub(crate) fn message(&self, tsn: Tsn) -> Option<(Tsn, Tsn)> {
        let message = self.get(tsn)?.message;
        let belongs = |tsn: Tsn| self.get(tsn).is_some_and(|chunk| chunk.message == message);
        let (mut first, mut last) = (tsn, tsn);
        while belongs(first.previous()) {
            first = first.previous();
        }
        while belongs(last.next()) {
            last = last.next();
        }
        Some((first, last))
    }
}
