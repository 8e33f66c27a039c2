//! The half of a stream that goes to the peer.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::Bytes;

/// How the messages of a stream are delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Delivery {
    /// In the order in which they were sent (RFC 9260, section 6.6).
    pub is_ordered: bool,
    /// How hard is tried.
    pub reliability: Reliability,
}

impl Default for Delivery {
    fn default() -> Delivery {
        Delivery { is_ordered: true, reliability: Reliability::Reliable }
    }
}

/// How hard a message is tried to be delivered (RFC 3758; RFC 7496, section 3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Reliability {
    /// Until it arrives.
    #[default]
    Reliable,
    /// Sent again at most so often.
    Retransmits(u32),
    /// Not sent any more after this time.
    Lifetime(Duration),
}

/// When a message is given up.
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
    /// What was sent is delivered, then the stream is reset.
    Closing,
    /// The peer starts the stream anew.
    Reset,
    /// The peer refused: nobody knows where the stream stands.
    Failed,
}

/// A message that has not left, or not all of it.
#[derive(Debug)]
pub(crate) struct Queued {
    /// What has not left.
    pub(crate) rest: Bytes,
    pub(crate) protocol: u32,
    pub(crate) is_ordered: bool,
    pub(crate) limit: Limit,
    /// Set when its first bytes left: the number of the message in the association, and in its stream.
    pub(crate) begun: Option<(u64, u16)>,
}

/// The half of a stream that goes to the peer.
#[derive(Debug, Default)]
pub(crate) struct Outgoing {
    pub(crate) state: Sending,
    pub(crate) delivery: Delivery,
    pub(crate) queue: VecDeque<Queued>,
    /// Bytes that were sent and are neither acknowledged nor given up, and how many of them have not left.
    pub(crate) buffered: usize,
    pub(crate) unsent: usize,
    pub(crate) low_threshold: usize,
    /// The number of the next ordered message.
    pub(crate) next: u16,
}

impl Outgoing {
    /// Takes note that bytes were acknowledged or given up. Returns true if the threshold was crossed with that.
    pub(crate) fn release(&mut self, bytes: usize) -> bool {
        let before = self.buffered;
        self.buffered = before.saturating_sub(bytes);
        before > self.low_threshold && self.buffered <= self.low_threshold
    }
}
