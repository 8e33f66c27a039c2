//! The delivery rate of the path: one sample per SACK (draft-ietf-ccwg-bbr, section 4.1, "Delivery Rate Samples").
//!
//! A sample counts what was delivered between the newest acknowledgement at the time a chunk left and the chunk's own
//! acknowledgement. Its time is the longer of the time for sending and the time for acknowledging, so that neither a
//! burst nor acknowledgements that arrive together look like bandwidth.

use std::time::{Duration, Instant};

use super::Stamp;

/// The measurement of one SACK.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Sample {
    /// Bytes per second; 0 if the interval was too short.
    pub(super) rate: u64,
    /// Bytes delivered in the interval.
    pub(super) delivered: u64,
    /// Bytes delivered when the newest acknowledged chunk left.
    pub(super) prior_delivered: u64,
    /// Bytes in flight when it left, including its own.
    pub(super) in_flight_at_send: u64,
    /// Bytes lost since it left.
    pub(super) lost: u64,
    /// The application had nothing to send during part of the interval.
    pub(super) is_app_limited: bool,
    /// Bytes this SACK acknowledged.
    pub(super) newly_acked: u64,
    /// Bytes considered lost since the last SACK.
    pub(super) newly_lost: u64,
    /// A chunk was acknowledged, so the fields of the interval are valid.
    pub(super) has_interval: bool,
}

/// Takes samples.
#[derive(Debug)]
pub(super) struct Delivery {
    delivered: u64,
    delivered_at: Instant,
    /// When the chunk of the newest acknowledgement left.
    first_sent_at: Instant,
    lost: u64,
    /// Samples are limited by the application until this many bytes are delivered; 0 if they are not.
    app_limited_until: u64,
    /// The newest chunk acknowledged since the last sample.
    newest: Option<Stamp>,
    newly_acked: u64,
    newly_lost: u64,
}

impl Delivery {
    pub(super) fn new(now: Instant) -> Delivery {
        Delivery {
            delivered: 0,
            delivered_at: now,
            first_sent_at: now,
            lost: 0,
            app_limited_until: 0,
            newest: None,
            newly_acked: 0,
            newly_lost: 0,
        }
    }

    /// Returns how many bytes were delivered so far.
    pub(super) fn delivered(&self) -> u64 {
        self.delivered
    }

    /// Returns how many bytes were lost so far.
    pub(super) fn lost(&self) -> u64 {
        self.lost
    }

    /// Stamps `bytes` that leave while `in_flight` other bytes are in flight.
    pub(super) fn handle_sent(&mut self, now: Instant, bytes: u64, in_flight: u64) -> Stamp {
        if in_flight == 0 {
            self.first_sent_at = now;
            self.delivered_at = now;
        }
        Stamp {
            sent_at: now,
            first_sent_at: self.first_sent_at,
            delivered_at: self.delivered_at,
            delivered: self.delivered,
            lost: self.lost,
            in_flight: in_flight + bytes,
            is_app_limited: self.app_limited_until != 0,
        }
    }

    pub(super) fn handle_acked(&mut self, now: Instant, bytes: u64, stamp: &Stamp) {
        self.delivered += bytes;
        self.delivered_at = now;
        self.newly_acked += bytes;
        let is_newer = |newest: &Stamp| (stamp.delivered, stamp.sent_at) >= (newest.delivered, newest.sent_at);
        if self.newest.as_ref().is_none_or(is_newer) {
            self.newest = Some(*stamp);
        }
    }

    pub(super) fn handle_lost(&mut self, bytes: u64) {
        self.lost += bytes;
        self.newly_lost += bytes;
    }

    /// Marks samples as limited by the application while `in_flight` bytes are in flight: samples until their delivery
    /// do not show what the path can do.
    pub(super) fn set_app_limited(&mut self, in_flight: u64) {
        self.app_limited_until = (self.delivered + in_flight).max(1);
    }

    /// Returns the sample of the last SACK. Intervals shorter than `min_round_trip` have no rate.
    pub(super) fn take_sample(&mut self, min_round_trip: Option<Duration>) -> Sample {
        if self.app_limited_until != 0 && self.delivered > self.app_limited_until {
            self.app_limited_until = 0;
        }
        let mut sample = Sample {
            newly_acked: std::mem::take(&mut self.newly_acked),
            newly_lost: std::mem::take(&mut self.newly_lost),
            ..Sample::default()
        };
        let Some(newest) = self.newest.take() else { return sample };
        self.first_sent_at = newest.sent_at;
        sample.has_interval = true;
        sample.delivered = self.delivered - newest.delivered;
        sample.prior_delivered = newest.delivered;
        sample.in_flight_at_send = newest.in_flight;
        sample.lost = self.lost - newest.lost;
        sample.is_app_limited = newest.is_app_limited;
        let sending = newest.sent_at.saturating_duration_since(newest.first_sent_at);
        let acknowledging = self.delivered_at.saturating_duration_since(newest.delivered_at);
        let interval = sending.max(acknowledging);
        if !interval.is_zero() && min_round_trip.is_none_or(|least| interval >= least) {
            sample.rate = rate_of(sample.delivered, interval);
        }
        sample
    }
}

/// Returns the rate of `bytes` in `interval`, in bytes per second.
pub(super) fn rate_of(bytes: u64, interval: Duration) -> u64 {
    let rate = u128::from(bytes) * 1_000_000_000 / interval.as_nanos().max(1);
    u64::try_from(rate).unwrap_or(u64::MAX)
}

/// Returns the bytes that `rate` delivers in `interval`.
pub(super) fn bytes_of(rate: u64, interval: Duration) -> u64 {
    let bytes = u128::from(rate) * interval.as_nanos() / 1_000_000_000;
    u64::try_from(bytes).unwrap_or(u64::MAX)
}

/// Returns the time in which `rate` delivers `bytes`, rounded up; at most a day.
pub(super) fn time_of(bytes: u64, rate: u64) -> Duration {
    const DAY: u64 = 86_400_000_000_000;
    let nanos = (u128::from(bytes) * 1_000_000_000).div_ceil(u128::from(rate.max(1)));
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(DAY).min(DAY))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn a_burst_that_is_acknowledged_slowly_shows_the_paths_rate() {
        let start = Instant::now();
        let mut delivery = Delivery::new(start);
        let stamps: Vec<Stamp> = (0..10).map(|count| delivery.handle_sent(start, 1000, count * 1000)).collect();
        for (count, stamp) in stamps.iter().enumerate() {
            delivery.handle_acked(start + 10 * MS + MS * count as u32, 1000, stamp);
        }
        let sample = delivery.take_sample(Some(10 * MS));
        assert_eq!((sample.delivered, sample.prior_delivered, sample.newly_acked), (10_000, 0, 10_000));
        assert_eq!(sample.rate, 10_000 * 1000 / 19);
    }

    #[test]
    fn acknowledgements_that_arrive_together_are_no_bandwidth() {
        let start = Instant::now();
        let mut delivery = Delivery::new(start);
        let first = delivery.handle_sent(start, 1000, 0);
        delivery.handle_acked(start + 10 * MS, 1000, &first);
        assert_eq!(delivery.take_sample(None).rate, 100_000);
        // Ten chunks leave over 100 ms; all are acknowledged in one moment.
        let stamps: Vec<Stamp> =
            (0..10).map(|n| delivery.handle_sent(start + MS * (20 + 10 * n), 1000, u64::from(n) * 1000)).collect();
        for stamp in &stamps {
            delivery.handle_acked(start + 130 * MS, 1000, stamp);
        }
        let sample = delivery.take_sample(None);
        assert_eq!(sample.rate, rate_of(10_000, 110 * MS));
    }

    #[test]
    fn a_pause_of_the_application_marks_what_leaves_after_it() {
        let start = Instant::now();
        let mut delivery = Delivery::new(start);
        let first = delivery.handle_sent(start, 1000, 0);
        delivery.set_app_limited(1000);
        let second = delivery.handle_sent(start + MS, 1000, 1000);
        delivery.handle_acked(start + 10 * MS, 1000, &first);
        assert!(!delivery.take_sample(None).is_app_limited);
        delivery.handle_acked(start + 11 * MS, 1000, &second);
        assert!(delivery.take_sample(None).is_app_limited);
        let third = delivery.handle_sent(start + 12 * MS, 1000, 0);
        delivery.handle_acked(start + 22 * MS, 1000, &third);
        assert!(!delivery.take_sample(None).is_app_limited);
    }

    #[test]
    fn too_short_an_interval_has_no_rate() {
        let start = Instant::now();
        let mut delivery = Delivery::new(start);
        let stamp = delivery.handle_sent(start, 1000, 0);
        delivery.handle_acked(start + MS, 1000, &stamp);
        assert_eq!(delivery.take_sample(Some(5 * MS)).rate, 0);
    }

    #[test]
    fn rates_do_not_overflow() {
        assert_eq!(rate_of(u64::MAX, Duration::from_nanos(1)), u64::MAX);
        assert_eq!(bytes_of(u64::MAX, Duration::from_secs(10)), u64::MAX);
        assert_eq!(time_of(u64::MAX, 0), Duration::from_secs(86_400));
    }
}
