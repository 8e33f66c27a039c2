//! When to acknowledge (RFC 9260, section 6.2).

use std::time::{Duration, Instant};

/// How long an acknowledgement waits for data to go along. Twenty milliseconds give an application time to answer, so
/// that its answer carries the acknowledgement; they are short compared with the least retransmission timeout.
pub(crate) const DELAY: Duration = Duration::from_millis(20);

/// Packets with data after which an acknowledgement no longer waits.
const PACKETS: u32 = 2;

/// Data after which a foreign peer is assumed to be past slow start. Until then its window grows with the number of
/// acknowledgements, so every second packet gets one; later one per batch is enough.
const SLOW_START: u64 = 4 * 1024 * 1024;

/// The state of acknowledgements.
#[derive(Debug)]
pub(crate) struct Acknowledgement {
    /// Packets with data since the last acknowledgement.
    packets: u32,
    is_immediate: bool,
    due: Option<Instant>,
    received: u64,
    /// One acknowledgement per batch is enough for the peer.
    is_batched: bool,
}

impl Acknowledgement {
    pub(crate) fn new(is_batched: bool) -> Acknowledgement {
        Acknowledgement { packets: 0, is_immediate: false, due: None, received: 0, is_batched }
    }

    /// Requests an acknowledgement without delay: something is missing, came twice, or the peer asks.
    pub(crate) fn hasten(&mut self) {
        self.is_immediate = true;
    }

    /// Counts a packet with data. Returns true if it needs an acknowledgement of its own.
    pub(crate) fn handle_packet(&mut self, now: Instant, bytes: usize) -> bool {
        self.packets += 1;
        self.due.get_or_insert(now + DELAY);
        self.received = self.received.saturating_add(bytes as u64);
        !self.is_batched && self.received < SLOW_START && self.packets >= PACKETS
    }

    /// Tells whether an acknowledgement must leave now, with or without data.
    pub(crate) fn is_due(&self, now: Instant) -> bool {
        self.is_immediate || self.packets >= PACKETS || self.due.is_some_and(|due| due <= now)
    }

    /// Tells whether there is something to acknowledge, so that a packet with data should carry it.
    pub(crate) fn is_wanted(&self) -> bool {
        self.is_immediate || self.packets > 0
    }

    /// Returns until when the acknowledgement may wait.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.due
    }

    /// Tells whether the peer is of this crate, so that one acknowledgement per batch is enough.
    pub(crate) fn is_batched(&self) -> bool {
        self.is_batched
    }

    /// Resets the state after an acknowledgement left.
    pub(crate) fn handle_sent(&mut self) {
        self.packets = 0;
        self.is_immediate = false;
        self.due = None;
    }
}
