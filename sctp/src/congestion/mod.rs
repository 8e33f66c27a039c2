//! How many bytes may be in flight, and how fast they leave: windows, pacing, and the samples for both.
//!
//! An association tells [`Congestion`] of every DATA chunk that leaves, is acknowledged or is considered lost, and asks
//! it how many bytes may leave. All sizes are bytes of DATA chunks with their headers; rates are such bytes per second.

mod bbr;
mod cubic;
mod delivery;
mod filter;
mod hystart;
#[cfg(test)]
mod model;
#[cfg(test)]
mod model_tests;
mod pacer;

use std::time::{Duration, Instant};

use bbr::Bbr;
use cubic::Cubic;
use delivery::Delivery;
use pacer::Pacer;

/// First window, in packets (RFC 6928, which is newer than the 4380 bytes in RFC 9260).
const INITIAL_PACKETS: u64 = 10;

/// The congestion control algorithm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Algorithm {
    /// A model of the path: its bandwidth and its round trip (draft-ietf-ccwg-bbr).
    #[default]
    Bbr,
    /// Loss as the sign of a full queue (RFC 9438), with a careful start (RFC 9406).
    Cubic,
}

/// The state when a chunk left. It is stored with the chunk, and passed back when that is acknowledged or lost.
#[derive(Debug, Clone, Copy)]
pub struct Stamp {
    /// When the chunk left.
    pub sent_at: Instant,
    first_sent_at: Instant,
    delivered_at: Instant,
    delivered: u64,
    lost: u64,
    in_flight: u64,
    is_app_limited: bool,
}

/// The algorithm with its state: an enum, so that the data path has no dynamic dispatch.
#[derive(Debug)]
enum Control {
    Bbr(Box<Bbr>),
    Cubic(Box<Cubic>),
}

/// Congestion control of one association.
#[derive(Debug)]
pub struct Congestion {
    control: Control,
    delivery: Delivery,
    pacer: Pacer,
    packet_size: u64,
    in_flight: u64,
    is_app_limited: bool,
}

impl Congestion {
    /// Creates the control for an unknown path. `packet_size` is the greatest size of a packet; `seed` is its source of
    /// randomness.
    pub fn new(now: Instant, algorithm: Algorithm, packet_size: u64, seed: u64) -> Congestion {
        let packet_size = packet_size.max(1);
        let control = match algorithm {
            Algorithm::Bbr => Control::Bbr(Box::new(Bbr::new(now, packet_size, seed))),
            Algorithm::Cubic => Control::Cubic(Box::new(Cubic::new(packet_size))),
        };
        let pacer = Pacer::new(now, control.pacing_rate(), packet_size, INITIAL_PACKETS * packet_size);
        Congestion { control, delivery: Delivery::new(now), pacer, packet_size, in_flight: 0, is_app_limited: false }
    }

    /// Returns how many bytes may leave now. The last packet may exceed this.
    pub fn send_budget(&mut self, now: Instant) -> u64 {
        let room = self.window().saturating_sub(self.in_flight);
        if room == 0 { 0 } else { room.min(self.pacer.budget(now)) }
    }

    /// Returns when pacing lets more bytes leave; `None` if pacing is not the limit.
    pub fn next_send_at(&self) -> Option<Instant> {
        if self.in_flight < self.window() { self.pacer.next_at() } else { None }
    }

    /// Counts a chunk that leaves, for the first time or again.
    pub fn handle_sent(&mut self, now: Instant, bytes: u64) -> Stamp {
        let was_idle = self.in_flight == 0;
        let stamp = self.delivery.handle_sent(now, bytes, self.in_flight);
        self.in_flight += bytes;
        self.pacer.spend(bytes);
        match &mut self.control {
            Control::Bbr(bbr) => bbr.handle_sent(now, self.in_flight, was_idle && self.is_app_limited),
            Control::Cubic(cubic) => cubic.handle_sent(self.in_flight, was_idle),
        }
        self.is_app_limited = false;
        stamp
    }

    /// Counts an acknowledged chunk that was in flight. Call [`Congestion::finish_ack`] after all chunks of a SACK.
    pub fn handle_acked(&mut self, now: Instant, bytes: u64, stamp: &Stamp) {
        self.in_flight = self.in_flight.saturating_sub(bytes);
        self.delivery.handle_acked(now, bytes, stamp);
    }

    /// Counts a chunk in flight that is considered lost.
    pub fn handle_lost(&mut self, now: Instant, bytes: u64, stamp: &Stamp) {
        self.in_flight = self.in_flight.saturating_sub(bytes);
        self.delivery.handle_lost(bytes);
        match &mut self.control {
            Control::Bbr(bbr) => bbr.handle_lost(now, bytes, stamp, self.delivery.lost()),
            Control::Cubic(cubic) => cubic.handle_lost(now, stamp),
        }
    }

    /// Removes an abandoned chunk that was in flight, acknowledged or not (RFC 3758).
    pub fn handle_discarded(&mut self, bytes: u64) {
        self.in_flight = self.in_flight.saturating_sub(bytes);
    }

    /// Finishes a SACK, after all its acknowledged and lost chunks. `round_trip` is its sample, from a chunk that was
    /// sent only once.
    pub fn finish_ack(&mut self, now: Instant, round_trip: Option<Duration>) {
        match &mut self.control {
            Control::Bbr(bbr) => {
                let sample = self.delivery.take_sample(bbr.min_round_trip());
                bbr.handle_ack(now, &sample, round_trip, self.delivery.delivered(), self.in_flight);
                if bbr.holds_back() {
                    self.delivery.set_app_limited(self.in_flight);
                }
            }
            Control::Cubic(cubic) => {
                let sample = self.delivery.take_sample(None);
                cubic.handle_ack(now, &sample, round_trip);
            }
        }
        self.update_pacer(now);
    }

    /// Handles the retransmission timeout; everything in flight must have been reported as lost.
    pub fn handle_timeout(&mut self, now: Instant) {
        match &mut self.control {
            Control::Bbr(bbr) => bbr.handle_timeout(self.in_flight),
            Control::Cubic(cubic) => cubic.handle_timeout(now),
        }
        self.update_pacer(now);
    }

    /// Undoes the last recovery: its chunks had arrived.
    pub fn undo(&mut self, now: Instant) {
        match &mut self.control {
            Control::Bbr(bbr) => bbr.undo(),
            Control::Cubic(cubic) => cubic.undo(),
        }
        self.update_pacer(now);
    }

    /// Marks the samples as limited by the application: there is room but nothing to send.
    pub fn set_app_limited(&mut self) {
        if self.in_flight < self.window() {
            self.is_app_limited = true;
            self.delivery.set_app_limited(self.in_flight);
        }
    }

    /// Sets the greatest size of a packet.
    pub fn set_packet_size(&mut self, bytes: u64) {
        self.packet_size = bytes.max(1);
        match &mut self.control {
            Control::Bbr(bbr) => bbr.set_packet_size(self.packet_size),
            Control::Cubic(cubic) => cubic.set_packet_size(self.packet_size),
        }
    }

    /// Returns how many bytes may be in flight.
    pub fn window(&self) -> u64 {
        match &self.control {
            Control::Bbr(bbr) => bbr.window(),
            Control::Cubic(cubic) => cubic.window(),
        }
    }

    /// Returns how many bytes are in flight.
    pub fn in_flight(&self) -> u64 {
        self.in_flight
    }

    /// Returns the pacing rate, in bytes per second.
    pub fn pacing_rate(&self) -> u64 {
        self.control.pacing_rate()
    }

    /// Estimates the bandwidth of the path, in bytes per second: what the model of it says, or else a window each round
    /// trip. `None` while nothing is known.
    pub fn bandwidth(&self, round_trip: Option<Duration>) -> Option<u64> {
        if let Control::Bbr(bbr) = &self.control {
            return bbr.bandwidth();
        }
        let micros = u64::try_from(round_trip?.as_micros()).ok()?.max(1);
        Some(self.window().saturating_mul(1_000_000) / micros)
    }

    fn update_pacer(&mut self, now: Instant) {
        self.pacer.set_rate(now, self.control.pacing_rate(), self.packet_size);
        if let Control::Bbr(bbr) = &mut self.control {
            bbr.set_quantum(self.pacer.quantum());
        }
    }
}

impl Control {
    fn pacing_rate(&self) -> u64 {
        match self {
            Control::Bbr(bbr) => bbr.pacing_rate(),
            Control::Cubic(cubic) => cubic.pacing_rate(),
        }
    }
}

/// Numbers that differ between flows (SplitMix64); they need not be secret.
#[derive(Debug)]
struct Random(u64);

impl Random {
    fn new(seed: u64) -> Random {
        Random(seed)
    }

    /// Returns a number below `bound`, which must not be 0.
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound.max(1)
    }
}
