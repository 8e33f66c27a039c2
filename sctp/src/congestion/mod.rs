//! How much may be on the way, and how fast it leaves: windows, pacing, and the samples both are made of.
//!
//! An association tells [`Congestion`] of every DATA chunk that leaves, is acknowledged or is taken for lost, and asks it how
//! many bytes may leave now. All sizes are bytes of DATA chunks with their headers, rates are such bytes in a second.

use std::time::{Duration, Instant};

/// Which algorithm decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Algorithm {
    /// A model of the path: its bandwidth and its round trip (draft-ietf-ccwg-bbr).
    #[default]
    Bbr,
    /// Loss as the sign of a full queue (RFC 9438).
    Cubic,
}

/// What was known when a chunk left; kept with the chunk and given back when it is acknowledged or lost.
#[derive(Debug, Clone, Copy)]
pub struct Stamp {
    /// When the chunk left.
    pub sent_at: Instant,
}

/// Congestion control of one association.
#[derive(Debug)]
pub struct Congestion {
    in_flight: u64,
}

impl Congestion {
    /// Creates the control for a path of which nothing is known. `packet_size` is what one packet carries at the most; `seed` is
    /// where its randomness comes from.
    pub fn new(_now: Instant, _algorithm: Algorithm, _packet_size: u64, _seed: u64) -> Congestion {
        Congestion { in_flight: 0 }
    }

    /// Returns how many bytes may leave now. A packet may exceed the last byte of it.
    pub fn send_budget(&mut self, _now: Instant) -> u64 {
        (1u64 << 20).saturating_sub(self.in_flight)
    }

    /// Returns when pacing lets more leave. `None` if it is not what holds the sender back.
    pub fn next_send_at(&self) -> Option<Instant> {
        None
    }

    /// Takes note that a chunk leaves, for the first time or again.
    pub fn handle_sent(&mut self, now: Instant, bytes: u64) -> Stamp {
        self.in_flight += bytes;
        Stamp { sent_at: now }
    }

    /// Takes note that a chunk in flight was acknowledged. [`Congestion::finish_ack`] follows after all chunks of a SACK.
    pub fn handle_acked(&mut self, _now: Instant, bytes: u64, _stamp: &Stamp) {
        self.in_flight -= bytes;
    }

    /// Takes note that a chunk in flight is taken for lost.
    pub fn handle_lost(&mut self, _now: Instant, bytes: u64, _stamp: &Stamp) {
        self.in_flight -= bytes;
    }

    /// Takes note that a chunk in flight was given up, acknowledged or not (RFC 3758).
    pub fn handle_discarded(&mut self, bytes: u64) {
        self.in_flight -= bytes;
    }

    /// Ends a SACK: every chunk it acknowledged and every loss it showed was told. `round_trip` is a sample of it, of a chunk that
    /// left once only.
    pub fn finish_ack(&mut self, _now: Instant, _round_trip: Option<Duration>) {}

    /// Takes note that the retransmission timer fired; what was in flight has been told as lost.
    pub fn handle_timeout(&mut self, _now: Instant) {}

    /// Takes note that the losses of the last recovery were none: the chunks had arrived.
    pub fn undo(&mut self, _now: Instant) {}

    /// Takes note that there is room and nothing to send.
    pub fn set_app_limited(&mut self) {}

    /// Sets what one packet carries at the most.
    pub fn set_packet_size(&mut self, _bytes: u64) {}

    /// Returns how many bytes may be in flight.
    pub fn window(&self) -> u64 {
        1 << 20
    }

    /// Returns how many bytes are in flight.
    pub fn in_flight(&self) -> u64 {
        self.in_flight
    }
}
