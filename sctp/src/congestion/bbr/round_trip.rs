//! The round trip of an empty queue, and the rare looks at it.

use std::time::{Duration, Instant};

use super::super::filter::MaxFilter;
use super::{AckPhase, Bbr, ProbeRtt, Sample, State};

/// How long a minimum counts.
const MAX_AGE: Duration = Duration::from_secs(10);
/// How long after the last minimum the queue is emptied to see it again.
const INTERVAL: Duration = Duration::from_secs(5);
/// A sample that is longer by no more than this part shows that the queue is nearly empty, so nothing need be emptied to see it.
const SIMILAR: u32 = 8;
/// How long that takes, at least.
const HOLD: Duration = Duration::from_millis(200);

/// The smallest round trip of late.
#[derive(Debug)]
pub(super) struct MinRoundTrip {
    value: Duration,
    seen_at: Instant,
    /// The smallest since the last look, and when it was seen.
    recent: Duration,
    recent_at: Instant,
    is_due: bool,
    /// The largest of the last two cycles, in nanoseconds.
    largest: MaxFilter,
    /// The smallest of the round that losses are counted in.
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

    /// Begins a further cycle, and with it the time in which the largest round trip counts.
    pub(super) fn start_cycle(&mut self) {
        self.largest.advance();
    }

    /// Tells whether all of the round that ends now met a queue that was half full, as queues of this path go.
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
