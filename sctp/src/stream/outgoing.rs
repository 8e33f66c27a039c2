//! The sending half of a stream.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::Bytes;

/// How the messages of a stream are delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Delivery {
    /// In the order of sending (RFC 9260, section 6.6).
    pub is_ordered: bool,
    /// How reliably.
    pub reliability: Reliability,
}

impl Default for Delivery {
    fn default() -> Delivery {
        Delivery { is_ordered: true, reliability: Reliability::Reliable }
    }
}

/// How reliably a message is delivered (RFC 3758; RFC 7496, section 3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Reliability {
    /// Until it arrives.
    #[default]
    Reliable,
    /// With at most this many retransmissions.
    Retransmits(u32),
    /// Not sent after this time.
    Lifetime(Duration),
}

/// When a message is abandoned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Limit {
    Never,
    Retransmits(u32),
    At(Instant),
}

/// Whether messages may be sent.
///
/// ```text
/// Open ── either side closes ──> Closing ── the peer grants the reset ──> Reset
///                                   └────── the peer refuses it ─────────> Failed
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Sending {
    /// Messages may be sent.
    #[default]
    Open,
    /// Everything sent is delivered, then the stream is reset.
    Closing,
    /// The peer has reset the stream.
    Reset,
    /// The peer refused the reset: the state of the stream is unknown.
    Failed,
}

/// A message that has not left completely.
#[derive(Debug)]
pub(crate) struct Queued {
    /// The part that has not left.
    pub(crate) rest: Bytes,
    pub(crate) protocol: u32,
    pub(crate) is_ordered: bool,
    pub(crate) limit: Limit,
    /// Set when its first bytes leave: the number of the message in the association, and in its stream.
    pub(crate) begun: Option<(u64, u16)>,
}

/// The sending half of a stream.
#[derive(Debug, Default)]
pub(crate) struct Outgoing {
    pub(crate) state: Sending,
    pub(crate) delivery: Delivery,
    pub(crate) queue: VecDeque<Queued>,
    /// Bytes that were sent and are neither acknowledged nor abandoned.
    pub(crate) buffered: usize,
    /// Those of them that have not left.
    pub(crate) unsent: usize,
    pub(crate) low_threshold: usize,
    /// The number of the next ordered message.
    pub(crate) next: u16,
}

impl Outgoing {
    /// Subtracts bytes that were acknowledged or abandoned. Returns true if that crossed the threshold.
    pub(crate) fn release(&mut self, bytes: usize) -> bool {
        let before = self.buffered;
        self.buffered = before.saturating_sub(bytes);
        before > self.low_threshold && self.buffered <= self.low_threshold
    }
}
