//! CUBIC: the window grows as a cubic function of the time since the last loss (RFC 9438).

use std::time::{Duration, Instant};

use super::delivery::{Sample, rate_of};
use super::hystart::Hystart;
use super::{INITIAL_PACKETS, Stamp};

/// Steepness of the function, in packets per second cubed (RFC 9438, section 4.1.2).
const C: f64 = 0.4;
/// Share of the window that remains after a loss.
const BETA: f64 = 0.7;
/// Round trip assumed until there is a sample.
const INITIAL_ROUND_TRIP: Duration = Duration::from_millis(100);
/// Minimum window, in packets.
const MIN_PACKETS: u64 = 2;

/// The growth of the window since a loss.
#[derive(Debug, Clone, Copy)]
struct Epoch {
    began_at: Instant,
    /// Window at the last loss, in packets.
    max: f64,
    /// Seconds until the function reaches that window again.
    k: f64,
    /// Reno's window, in packets.
    reno: f64,
}

/// The control's state for one path.
#[derive(Debug)]
pub(super) struct Cubic {
    packet_size: u64,
    window: f64,
    threshold: f64,
    /// Window at the last loss, in packets.
    last_max: f64,
    epoch: Option<Epoch>,
    hystart: Hystart,
    smoothed: Duration,
    has_round_trip: bool,
    /// Losses of data that left before this time belong to the same congestion.
    recovery_began_at: Option<Instant>,
    is_window_limited: bool,
    delivered: u64,
    /// Window, threshold and last maximum before the last recovery.
    undo: Option<(f64, f64, f64)>,
}

impl Cubic {
    pub(super) fn new(packet_size: u64) -> Cubic {
        Cubic {
            packet_size,
            window: (INITIAL_PACKETS * packet_size) as f64,
            threshold: f64::MAX,
            last_max: 0.0,
            epoch: None,
            hystart: Hystart::new(),
            smoothed: INITIAL_ROUND_TRIP,
            has_round_trip: false,
            recovery_began_at: None,
            is_window_limited: false,
            delivered: 0,
            undo: None,
        }
    }

    pub(super) fn window(&self) -> u64 {
        self.window as u64
    }

    /// Returns the rate: twice the window per round trip while it doubles, afterwards a quarter more than it.
    pub(super) fn pacing_rate(&self) -> u64 {
        let gain = if self.is_in_slow_start() { 2.0 } else { 1.25 };
        rate_of((self.window * gain) as u64, self.smoothed)
    }

    pub(super) fn set_packet_size(&mut self, bytes: u64) {
        self.packet_size = bytes;
    }

    pub(super) fn handle_sent(&mut self, in_flight: u64, was_idle: bool) {
        // Time without data must not count as growth (RFC 9438, section 5.8).
        if was_idle && self.epoch.is_some() {
            self.last_max = self.last_max.max(self.packets());
            self.epoch = None;
        }
        self.is_window_limited |= in_flight + self.packet_size > self.window();
    }

    pub(super) fn handle_ack(&mut self, now: Instant, sample: &Sample, round_trip: Option<Duration>) {
        if let Some(sample) = round_trip {
            self.smoothed = if self.has_round_trip { (self.smoothed * 7 + sample) / 8 } else { sample };
            self.has_round_trip = true;
        }
        self.delivered += sample.newly_acked;
        if sample.newly_acked == 0 || !std::mem::take(&mut self.is_window_limited) {
            return;
        }
        if self.is_in_slow_start() {
            self.hystart.handle_ack(sample.prior_delivered, self.delivered, round_trip);
            self.window += self.hystart.growth(sample.newly_acked) as f64;
            if self.hystart.is_done() {
                self.threshold = self.window;
            }
        } else {
            self.grow(now, sample.newly_acked);
        }
    }

    fn grow(&mut self, now: Instant, acked: u64) {
        let size = self.packet_size as f64;
        let window = self.packets();
        let last_max = self.last_max;
        let epoch = self.epoch.get_or_insert_with(|| {
            let max = last_max.max(window);
            Epoch { began_at: now, max, k: ((max - window) / C).cbrt(), reno: window }
        });
        let acked = acked as f64 / size;
        // Per round trip, Reno grows by three times (1 - β) / (1 + β) packets until it reaches its last maximum, then
        // by one.
        let alpha = if epoch.reno < epoch.max { 3.0 * (1.0 - BETA) / (1.0 + BETA) } else { 1.0 };
        epoch.reno += alpha * acked / window;
        let since = now.saturating_duration_since(epoch.began_at);
        let at = |time: Duration| C * (time.as_secs_f64() - epoch.k).powi(3) + epoch.max;
        let target = if at(since) < epoch.reno {
            epoch.reno
        } else {
            let ahead = at(since + self.smoothed).clamp(window, window * 1.5);
            window + (ahead - window) / window * acked
        };
        self.window = target.max(window) * size;
    }

    /// Handles a lost chunk. A chunk that left before the last reduction causes no other.
    pub(super) fn handle_lost(&mut self, now: Instant, stamp: &Stamp) {
        if self.recovery_began_at.is_some_and(|began_at| stamp.sent_at <= began_at) {
            return;
        }
        self.recovery_began_at = Some(now);
        self.undo = Some((self.window, self.threshold, self.last_max));
        self.reduce();
        self.window = self.threshold;
    }

    /// Handles the retransmission timeout (RFC 9438, section 4.8).
    pub(super) fn handle_timeout(&mut self, now: Instant) {
        self.recovery_began_at = Some(now);
        self.undo = Some(self.undo.unwrap_or((self.window, self.threshold, self.last_max)));
        self.window = (MIN_PACKETS * self.packet_size) as f64;
    }

    pub(super) fn undo(&mut self) {
        if let Some((window, threshold, last_max)) = self.undo.take() {
            self.window = self.window.max(window);
            self.threshold = self.threshold.max(threshold);
            self.last_max = self.last_max.max(last_max);
            self.epoch = None;
        }
    }

    fn reduce(&mut self) {
        let window = self.packets();
        // A flow that did not reach its last maximum makes room for others faster (RFC 9438, section 4.7).
        self.last_max = if window < self.last_max { window * (1.0 + BETA) / 2.0 } else { window };
        self.threshold = (self.window * BETA).max((MIN_PACKETS * self.packet_size) as f64);
        self.epoch = None;
    }

    fn is_in_slow_start(&self) -> bool {
        self.window < self.threshold
    }

    fn packets(&self) -> f64 {
        self.window / self.packet_size as f64
    }
}
