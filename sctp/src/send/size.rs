//! The size of packets: one that passes everywhere, or one that a probe has shown to pass; and signs that it no longer
//! does.

use std::time::Instant;

use super::{Path, Sender};

/// Chunks of larger packets lost after the last one that arrived, before the larger size is doubted; each such packet
/// has two or more. A wrong doubt costs little, because the size is tried again at once.
const MAX_LOST: u32 = 6;

/// The size of packets.
#[derive(Debug)]
pub(super) struct PacketSize {
    first: usize,
    size: usize,
    /// Of the chunks that arrived in a larger packet, the position of the one that left last.
    arrived: u64,
    /// Chunks of larger packets that left later and were lost.
    lost: u32,
    is_doubted: bool,
    heard_at: Option<Instant>,
}

impl PacketSize {
    pub(super) fn new(first: usize) -> PacketSize {
        PacketSize { first, size: first, arrived: 0, lost: 0, is_doubted: false, heard_at: None }
    }

    /// Returns the size that passes everywhere; the longest chunk fits it.
    pub(super) fn first(&self) -> usize {
        self.first
    }

    /// Stores that something was acknowledged.
    pub(super) fn note_heard(&mut self, now: Instant) {
        self.heard_at = Some(now);
    }

    /// Counts a chunk of a larger packet that arrived; `order` is its position among all transmissions.
    pub(super) fn handle_arrived(&mut self, order: u64) {
        if order > self.arrived {
            self.arrived = order;
            self.lost = 0;
        }
    }

    /// Counts a lost chunk of a larger packet.
    pub(super) fn handle_lost(&mut self, order: u64) {
        if order > self.arrived {
            self.lost += 1;
            self.is_doubted |= self.lost >= MAX_LOST;
        }
    }

    /// Handles the retransmission timeout.
    pub(super) fn handle_timeout(&mut self) {
        self.is_doubted |= self.size > self.first;
    }
}

impl Sender {
    /// Returns the size of the next packet, in bytes. A packet that tests a silent path has the size that passes
    /// everywhere.
    pub(crate) fn packet_size(&self) -> usize {
        if self.path == Path::Up && !self.is_probing { self.size.size } else { self.size.first }
    }

    /// Sets the size of packets, in bytes.
    pub(crate) fn set_packet_size(&mut self, bytes: usize) {
        self.size.size = bytes.max(self.size.first);
        self.size.lost = 0;
        self.congestion.set_packet_size(self.size.size as u64);
    }

    /// Tells whether packets longer than the first size no longer seem to pass; returns true once.
    pub(crate) fn take_size_doubt(&mut self) -> bool {
        std::mem::take(&mut self.size.is_doubted)
    }

    /// Returns when something was last acknowledged.
    pub(crate) fn heard_at(&self) -> Option<Instant> {
        self.size.heard_at
    }

    /// Stores the length of the packet in which the last `count` transmissions leave.
    pub(super) fn note_packet_length(&mut self, length: usize, count: u64) {
        if length > self.size.first {
            for (tsn, order) in self.sent.iter().rev().take(usize::try_from(count).unwrap_or(usize::MAX)) {
                if let Some(chunk) = self.ring.get_mut(*tsn).filter(|chunk| chunk.order == *order) {
                    chunk.is_large = true;
                }
            }
        }
    }
}
