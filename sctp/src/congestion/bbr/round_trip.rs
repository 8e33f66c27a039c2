//! The round trip with an empty queue, and its rare measurements.

use std::time::{Duration, Instant};

use super::super::filter::MaxFilter;
use super::{AckPhase, Bbr, ProbeRtt, Sample, State};

/// How long a minimum counts.
const MAX_AGE: Duration = Duration::from_secs(10);
/// Time after the last minimum until the queue is emptied to measure again.
const INTERVAL: Duration = Duration::from_secs(5);
/// A sample that exceeds the minimum by no more than this part shows a nearly empty queue, so no measurement is needed.
const SIMILAR: u32 = 8;
/// Minimum duration of a measurement.
const HOLD: Duration = Duration::from_millis(200);

/// The recent minimum of the round trip.
#[derive(Debug)]
pub(super) struct MinRoundTrip {
    value: Duration,
    seen_at: Instant,
    /// The minimum since the last measurement.
    recent: Duration,
    /// When that minimum was seen.
    recent_at: Instant,
    is_due: bool,
    /// The maximum of the last two cycles, in nanoseconds.
    largest: MaxFilter,
    /// The minimum of the round in which losses are counted.
    of_round: Duration,
}

impl MinRoundTrip {
    pub(super) fn new(now: Instant) -> MinRoundTrip {
        MinRoundTrip {
            value: Duration::MAX,
            seen_at: now,
            recent: Duration::MAX,
            recent_at: now,
            is_due: false,
            largest: MaxFilter::default(),
            of_round: Duration::MAX,
        }
    }

    pub(super) fn value(&self) -> Duration {
        self.value
    }

    /// Begins another cycle, and the time in which its maximum counts.
    pub(super) fn start_cycle(&mut self) {
        self.largest.advance();
    }

    /// Tells whether the whole round that ends now met a queue at least half full, by the measure of this path.
    pub(super) fn take_standing_queue(&mut self) -> bool {
        let of_round = std::mem::replace(&mut self.of_round, Duration::MAX);
        let largest = Duration::from_nanos(self.largest.get());
        of_round != Duration::MAX && of_round > self.value + largest.saturating_sub(self.value) / 2
    }

    fn update(&mut self, now: Instant, round_trip: Option<Duration>) {
        if round_trip.is_some_and(|sample| sample <= self.value.saturating_add(self.value / SIMILAR)) {
            (self.recent_at, self.seen_at) = (now, now);
        }
        self.is_due = now > self.recent_at + INTERVAL;
        if let Some(sample) = round_trip {
            self.largest.update(u64::try_from(sample.as_nanos()).unwrap_or(u64::MAX));
            self.of_round = self.of_round.min(sample);
        }
        if let Some(sample) = round_trip
            && (sample < self.recent || self.is_due)
        {
            self.recent = sample;
            self.recent_at = now;
        }
        if self.recent < self.value || now > self.seen_at + MAX_AGE {
            self.value = self.recent;
            self.seen_at = self.recent_at;
        }
    }
}

impl Bbr {
    pub(super) fn update_min_round_trip(&mut self, now: Instant, sample: &Sample, round_trip: Option<Duration>) {
        self.min_round_trip.update(now, round_trip);
        match self.state {
            State::ProbeRtt(probe) => self.hold(now, probe),
            _ if self.min_round_trip.is_due && !self.is_restarting && self.has_round_trip => {
                self.saved_window = self.saved_window.max(self.window);
                self.probe.set_phase(AckPhase::Stopping);
                self.state = State::ProbeRtt(ProbeRtt::Draining);
            }
            _ => {}
        }
        if sample.newly_acked > 0 {
            self.is_restarting = false;
        }
    }

    fn hold(&mut self, now: Instant, probe: ProbeRtt) {
        match probe {
            ProbeRtt::Draining if self.in_flight <= self.probe_rtt_window() => {
                self.state = State::ProbeRtt(ProbeRtt::Holding { until: now + HOLD, round_passed: false });
            }
            ProbeRtt::Draining => {}
            ProbeRtt::Holding { until, round_passed } => {
                let round_passed = round_passed || self.rounds.has_begun;
                if round_passed && now > until {
                    self.min_round_trip.recent_at = now;
                    self.window = self.window.max(std::mem::take(&mut self.saved_window));
                    if self.full.is_reached {
                        self.state = State::Cruise;
                    } else {
                        self.state = State::Startup;
                    }
                } else {
                    self.state = State::ProbeRtt(ProbeRtt::Holding { until, round_passed });
                }
            }
        }
    }
}
