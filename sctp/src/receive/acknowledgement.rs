//! When to acknowledge (RFC 9260, section 6.2).

use std::time::{Duration, Instant};

/// How long an acknowledgement waits for company. Twenty milliseconds give an application the time to answer, so that its answer
/// carries the acknowledgement, and are little beside the least retransmission timeout.
pub(crate) const DELAY: Duration = Duration::from_millis(20);

/// Packets with data after which an acknowledgement waits no longer.
const PACKETS: u32 = 2;

/// Data after which a peer of another make is taken to be past its slow start. Until then its window grows by the number of
/// acknowledgements, and it gets one for every second packet; later one for a batch does.
const SLOW_START: u64 = 4 * 1024 * 1024;

/// When to acknowledge.
#[derive(Debug)]
pub(crate) struct Acknowledgement {
    /// Packets with data since the last one.
    packets: u32,
    is_immediate: bool,
    due: Option<Instant>,
    received: u64,
    /// The peer is content with one acknowledgement for a batch.
    is_batched: bool,
}

impl Acknowledgement {
    pub(crate) fn new(is_batched: bool) -> Acknowledgement {
        Acknowledgement { packets: 0, is_immediate: false, due: None, received: 0, is_batched }
    }

    /// Asks for one without delay: something is missing, came twice, or the peer asks.
    pub(crate) fn hasten(&mut self) {
        self.is_immediate = true;
    }

    /// Takes note of a packet with data. Returns true if an acknowledgement of its own must be made for it.
    pub(crate) fn handle_packet(&mut self, now: Instant, bytes: usize) -> bool {
        self.packets += 1;
        self.due.get_or_insert(now + DELAY);
        self.received = self.received.saturating_add(bytes as u64);
        !self.is_batched && self.received < SLOW_START && self.packets >= PACKETS
    }

    /// Tells whether an acknowledgement should leave now, company or not.
    pub(crate) fn is_due(&self, now: Instant) -> bool {
        self.is_immediate || self.packets >= PACKETS || self.due.is_some_and(|due| due <= now)
    }

    /// Tells whether there is something to acknowledge, so that a packet with data should carry it.
    pub(crate) fn is_wanted(&self) -> bool {
        self.is_immediate || self.packets > 0
    }

    /// Returns until when it waits.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.due
    }

    /// Tells whether the peer is of this crate, and content with one acknowledgement for a batch.
    pub(crate) fn is_batched(&self) -> bool {
        self.is_batched
    }

    /// Takes note that one leaves.
    pub(crate) fn handle_sent(&mut self) {
        self.packets = 0;
        self.is_immediate = false;
        self.due = None;
    }
}
