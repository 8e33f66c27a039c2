//! BBR: a model of the path instead of loss as the only signal (draft-ietf-ccwg-bbr), with six departures.
//!
//! ```text
//!   Startup ──bandwidth no longer grows──▶ Drain ──queue is empty──▶ Down ──▶ Cruise ──▶ Refill ──▶ Up ──┐
//!      ▲                                                              ▲                                  │
//!      └── ProbeRtt, if the round trip was not measured for long ────▶└──────────────────────────────────┘
//! ```
//! Each departure has a test in `model_tests.rs` that fails without it:
//! - **One step of the bandwidth filter for each cycle.** In the draft, the acknowledgements after a probe advance the
//!   filter in every round, so the pacing margin of one percent compounds. Here the phase ends once the filter has
//!   advanced.
//! - **Loss counts only if chance cannot explain it.** Two percent of a small sample is one packet. Here a loss rate is
//!   too high only if it is three standard deviations above two percent; the same test guards the short-term bounds.
//! - **Other flows get room.** A loss counts at once if the whole round met a standing queue. Between probes the window
//!   is one and a half pipes, not two. A probe that only found other flows' shares is repeated at growing intervals. A
//!   round-trip measurement neither resets the short-term bounds nor delays the next probe. In the draft with the two
//!   departures above, CUBIC gets only a tenth of the link.
//! - **The first round trip corrects the first rate.** In the draft, the initial pacing rate assumes a round trip of
//!   one millisecond and only ever grows, which overruns a short queue on a long path.
//! - **Data acknowledged at once is bounded.** In the draft, only the window bounds it. If the other end is a busy
//!   process nearby, data that waits for that process is acknowledged at once, so that the two raise each other without
//!   end, and every stream waits.
//! - **A round trip close to the minimum renews it.** In the draft, only a smaller one does, so every five seconds the
//!   queue is emptied to measure what was visible all the time. That costs a lone flow two percent of the link.

mod bounds;
mod probe;
mod round_trip;
mod startup;

use std::time::{Duration, Instant};

use super::delivery::{Sample, bytes_of, rate_of};
use super::filter::{MaxFilter, RoundMax};
use super::{Random, Stamp};
use bounds::LossRound;
use probe::{AckPhase, Probe};
use round_trip::MinRoundTrip;
use startup::FullBandwidth;

/// Window gain while the pipe is being measured.
const WINDOW_GAIN: u64 = percent(200);
/// Window gain between probes. What exceeds the pipe waits in the queue as soon as another flow fills it, and takes
/// that flow's share.
const CRUISE_WINDOW_GAIN: u64 = percent(150);
/// Share of the bandwidth that pacing leaves free, so that queues drain.
const PACING_MARGIN: u64 = 1;
/// Minimum window, in packets.
const MIN_PACKETS: u64 = 4;
/// First window, in packets (RFC 6928).
const INITIAL_PACKETS: u64 = 10;
/// Round trip assumed until there is a sample.
const INITIAL_ROUND_TRIP: Duration = Duration::from_millis(1);

/// Limit on data acknowledged at once beyond the bandwidth: one pipe, or this many bytes if a pipe is less. That is a
/// few trains of receive offload, or what a wireless link sends at once.
const MAX_EXTRA_ACKED: u64 = 256 * 1024;

/// Returns a gain; gains are in percent.
const fn percent(value: u64) -> u64 {
    value
}

fn scale(value: u64, percent: u64) -> u64 {
    u64::try_from(u128::from(value) * u128::from(percent) / 100).unwrap_or(u64::MAX)
}

/// The state of the control.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Doubles the rate each round trip, until that brings no more delivery.
    Startup,
    /// Empties the queue that startup caused.
    Drain,
    /// Sends less than the bandwidth, to empty the queue of a probe.
    Down,
    /// Sends at the bandwidth.
    Cruise,
    /// Fills the pipe for a round trip before a probe, so that the probe measures only what it adds.
    Refill,
    /// Sends more than the bandwidth, to find out whether there is more.
    Up,
    /// Sends little, to measure the round trip with an empty queue.
    ProbeRtt(ProbeRtt),
}

/// Progress of a round-trip measurement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ProbeRtt {
    /// More is in flight than the target.
    Draining,
    /// Lasts until this time, and at least for one round.
    Holding { until: Instant, round_passed: bool },
}

impl State {
    fn is_probing_bandwidth(self) -> bool {
        matches!(self, State::Down | State::Cruise | State::Refill | State::Up)
    }

    fn pacing_gain(self) -> u64 {
        match self {
            State::Startup => percent(277),
            State::Drain => percent(50),
            State::Down => percent(90),
            State::Up => percent(125),
            State::Cruise | State::Refill | State::ProbeRtt(_) => percent(100),
        }
    }

    fn window_gain(self) -> u64 {
        match self {
            State::Up => percent(225),
            State::ProbeRtt(_) => percent(50),
            State::Cruise | State::Down => CRUISE_WINDOW_GAIN,
            _ => WINDOW_GAIN,
        }
    }
}

/// The control's state for one path.
#[derive(Debug)]
pub(super) struct Bbr {
    state: State,
    random: Random,
    packet_size: u64,

    window: u64,
    pacing_rate: u64,
    quantum: u64,
    /// Window before a round-trip measurement or a timeout.
    saved_window: u64,
    has_round_trip: bool,

    bandwidth: MaxFilter,
    full: FullBandwidth,
    /// Bytes delivered so far.
    delivered: u64,
    rounds: Rounds,
    min_round_trip: MinRoundTrip,
    loss_round: LossRound,
    probe: Probe,

    /// Bounds learned from loss: the long-term one from a probe, the short-term ones from the time since.
    long_term_in_flight: u64,
    short_term_in_flight: u64,
    short_term_bandwidth: u64,
    /// The bounds before the last recovery began, in case its losses are undone.
    undo: Option<(u64, u64, u64)>,

    extra_acked: ExtraAcked,
    /// Bytes in flight when last reported.
    in_flight: u64,
    /// The window limited the sender in this round.
    is_window_limited: bool,
    is_restarting: bool,
}

/// Counts round trips by the bytes delivered.
#[derive(Debug, Default)]
struct Rounds {
    count: u64,
    ends_at: u64,
    /// The newest acknowledgement began a round.
    has_begun: bool,
}

/// How much more is acknowledged at once than the bandwidth explains; the window has to allow for it.
#[derive(Debug)]
struct ExtraAcked {
    since: Instant,
    delivered: u64,
    filter: RoundMax,
}

impl Bbr {
    pub(super) fn new(now: Instant, packet_size: u64, seed: u64) -> Bbr {
        let window = INITIAL_PACKETS * packet_size;
        let pacing_rate = scale(rate_of(window, INITIAL_ROUND_TRIP), State::Startup.pacing_gain());
        Bbr {
            state: State::Startup,
            random: Random::new(seed),
            packet_size,
            window,
            pacing_rate,
            quantum: 2 * packet_size,
            saved_window: 0,
            has_round_trip: false,
            bandwidth: MaxFilter::default(),
            full: FullBandwidth::default(),
            delivered: 0,
            rounds: Rounds::default(),
            min_round_trip: MinRoundTrip::new(now),
            loss_round: LossRound::default(),
            probe: Probe::new(now),
            long_term_in_flight: u64::MAX,
            short_term_in_flight: u64::MAX,
            short_term_bandwidth: u64::MAX,
            undo: None,
            extra_acked: ExtraAcked { since: now, delivered: 0, filter: RoundMax::default() },
            in_flight: 0,
            is_window_limited: false,
            is_restarting: false,
        }
    }

    pub(super) fn window(&self) -> u64 {
        self.window
    }

    /// Returns the bandwidth of the path, as far as it was seen.
    pub(super) fn bandwidth(&self) -> Option<u64> {
        Some(self.bandwidth.get()).filter(|bandwidth| *bandwidth > 0)
    }

    pub(super) fn pacing_rate(&self) -> u64 {
        self.pacing_rate
    }

    pub(super) fn min_round_trip(&self) -> Option<Duration> {
        self.has_round_trip.then(|| self.min_round_trip.value())
    }

    /// Tells whether the control itself limits sending, so that samples say nothing about the path.
    pub(super) fn holds_back(&self) -> bool {
        matches!(self.state, State::ProbeRtt(_))
    }

    pub(super) fn set_packet_size(&mut self, bytes: u64) {
        self.packet_size = bytes;
    }

    /// Sets the size of pacing's trains; the window has room for three.
    pub(super) fn set_quantum(&mut self, bytes: u64) {
        self.quantum = bytes;
    }

    /// Handles a chunk that leaves while `in_flight` bytes, including its own, are in flight.
    pub(super) fn handle_sent(&mut self, now: Instant, in_flight: u64, is_app_limited: bool) {
        if in_flight <= self.packet_size && is_app_limited {
            self.is_restarting = true;
            self.extra_acked.since = now;
            self.extra_acked.delivered = 0;
            if self.state.is_probing_bandwidth() {
                self.set_pacing_rate_with(percent(100));
            }
        }
        self.is_window_limited |= in_flight + self.packet_size > self.window;
        self.in_flight = in_flight;
    }

    /// Handles a SACK: `sample` is its measurement, `in_flight` the bytes that remain in flight.
    pub(super) fn handle_ack(
        &mut self,
        now: Instant,
        sample: &Sample,
        round_trip: Option<Duration>,
        delivered: u64,
        in_flight: u64,
    ) {
        self.in_flight = in_flight;
        self.delivered = delivered;
        if self.saved_window > 0 && !matches!(self.state, State::ProbeRtt(_)) && sample.newly_acked > 0 {
            // The path is back after a timeout.
            self.window = self.window.max(std::mem::take(&mut self.saved_window));
        }
        self.update_round(sample);
        self.update_loss_round(sample);
        self.update_extra_acked(now, sample);
        self.check_startup(now, sample);
        self.check_drain(now);
        self.update_probe(now, sample);
        self.update_min_round_trip(now, sample, round_trip);
        self.advance_loss_round(sample);
        if self.rounds.has_begun {
            self.is_window_limited = false;
        }
        if !self.has_round_trip
            && let Some(round_trip) = round_trip.filter(|sample| !sample.is_zero())
        {
            self.has_round_trip = true;
            self.pacing_rate = scale(rate_of(self.window, round_trip), self.state.pacing_gain());
        }
        self.set_pacing_rate_with(self.state.pacing_gain());
        self.set_window(sample);
    }

    /// Handles a lost chunk: `lost` counts the bytes lost since it left, including its own.
    pub(super) fn handle_lost(&mut self, now: Instant, bytes: u64, stamp: &Stamp, lost: u64) {
        self.note_loss(bytes);
        self.check_probe_loss(now, bytes, stamp, lost.saturating_sub(stamp.lost));
    }

    /// Handles the retransmission timeout: one train checks whether the path still works; its answer restores the
    /// window.
    pub(super) fn handle_timeout(&mut self, in_flight: u64) {
        if self.saved_window == 0 {
            self.saved_window = self.window;
        }
        self.window = (in_flight + self.packet_size).max(MIN_PACKETS * self.packet_size);
    }

    /// Undoes the last recovery, whose losses were none.
    pub(super) fn undo(&mut self) {
        if let Some((long_term, short_term, bandwidth)) = self.undo.take() {
            self.long_term_in_flight = self.long_term_in_flight.max(long_term);
            self.short_term_in_flight = self.short_term_in_flight.max(short_term);
            self.short_term_bandwidth = self.short_term_bandwidth.max(bandwidth);
        }
    }

    /// Returns the bandwidth to send at: the recent maximum, within the bounds from loss.
    fn usable_bandwidth(&self) -> u64 {
        self.bandwidth.get().min(self.short_term_bandwidth)
    }

    /// Returns `gain` percent of the bytes that fill the pipe at `bandwidth`.
    fn pipe(&self, bandwidth: u64, gain: u64) -> u64 {
        if !self.has_round_trip {
            return INITIAL_PACKETS * self.packet_size;
        }
        scale(bytes_of(bandwidth, self.min_round_trip.value()), gain)
    }

    /// Returns the bytes that may be in flight so that a pipe of this size stays full although packets leave in trains.
    fn with_trains(&self, in_flight: u64) -> u64 {
        let in_flight = in_flight.max(3 * self.quantum).max(MIN_PACKETS * self.packet_size);
        if self.state == State::Up { in_flight + 2 * self.packet_size } else { in_flight }
    }

    fn target_in_flight(&self, bandwidth: u64, gain: u64) -> u64 {
        self.with_trains(self.pipe(bandwidth, gain))
    }

    fn update_round(&mut self, sample: &Sample) {
        self.rounds.has_begun = sample.has_interval && sample.prior_delivered >= self.rounds.ends_at;
        if self.rounds.has_begun {
            self.start_round();
            self.rounds.count += 1;
            self.probe.rounds += 1;
        }
        if sample.rate > 0 && (sample.rate >= self.bandwidth.get() || !sample.is_app_limited) {
            self.bandwidth.update(sample.rate);
        }
    }

    fn start_round(&mut self) {
        self.rounds.ends_at = self.delivered;
    }

    fn update_extra_acked(&mut self, now: Instant, sample: &Sample) {
        let expected = bytes_of(self.usable_bandwidth(), now.saturating_duration_since(self.extra_acked.since));
        let mut expected = expected;
        if self.extra_acked.delivered <= expected {
            self.extra_acked.delivered = 0;
            self.extra_acked.since = now;
            expected = 0;
        }
        self.extra_acked.delivered += sample.newly_acked;
        let most = self.pipe(self.usable_bandwidth(), percent(100)).max(MAX_EXTRA_ACKED).min(self.window);
        let extra = self.extra_acked.delivered.saturating_sub(expected).min(most);
        let window = if self.full.is_reached { 10 } else { 1 };
        self.extra_acked.filter.update(self.rounds.count, extra, window);
    }

    fn set_pacing_rate_with(&mut self, gain: u64) {
        let rate = scale(scale(self.usable_bandwidth(), gain), 100 - PACING_MARGIN);
        if rate > 0 && (self.full.is_reached || rate > self.pacing_rate) {
            self.pacing_rate = rate;
        }
    }

    fn set_window(&mut self, sample: &Sample) {
        let extra = self.extra_acked.filter.get();
        let bandwidth = self.usable_bandwidth();
        let most = self.with_trains(self.pipe(bandwidth, self.state.window_gain()).saturating_add(extra));
        if self.full.is_reached {
            self.window = self.window.saturating_add(sample.newly_acked).min(most);
        } else if self.window < most || self.delivered < INITIAL_PACKETS * self.packet_size {
            self.window = self.window.saturating_add(sample.newly_acked);
        }
        self.window = self.window.max(MIN_PACKETS * self.packet_size);
        if let State::ProbeRtt(_) = self.state {
            self.window = self.window.min(self.probe_rtt_window());
        }
        self.bound_window();
    }

    fn bound_window(&mut self) {
        let bound = match self.state {
            State::Down | State::Refill | State::Up => self.long_term_in_flight,
            State::Cruise | State::ProbeRtt(_) => self.with_headroom(),
            State::Startup | State::Drain => u64::MAX,
        };
        let bound = bound.min(self.short_term_in_flight).max(MIN_PACKETS * self.packet_size);
        self.window = self.window.min(bound);
    }
}
