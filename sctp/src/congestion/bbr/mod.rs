//! BBR: a model of the path in place of loss as the only sign (draft-ietf-ccwg-bbr), with six stated departures.
//!
//! ```text
//!   Startup ──bandwidth no longer grows──▶ Drain ──queue is empty──▶ Down ──▶ Cruise ──▶ Refill ──▶ Up ──┐
//!      ▲                                                              ▲                                  │
//!      └── ProbeRtt, whenever the round trip was not seen for long ──▶└──────────────────────────────────┘
//! ```
//! The departures, each with a test in `model_tests.rs` that fails without it:
//! - **One step of the bandwidth filter for each cycle.** As drafted, the acknowledgements that follow a probe advance the filter
//!   in every round, so that the pacing margin of one percent compounds. Here the phase ends when the filter has advanced.
//! - **Loss counts when chance cannot explain it.** Two percent of a small sample is one packet. A loss rate is too high only when it is
//!   three standard deviations above two percent; the same gate stands before the short-term bounds.
//! - **Others are left room.** A loss counts at once where all of the round met a standing queue; between probes the window is one
//!   and a half pipes, not two; a probe that only found what others need is repeated later and later; a look at the round trip neither forgets
//!   the short-term bounds nor puts off the next probe. As drafted with the two corrections above, CUBIC is left with a tenth of the link.
//! - **The first round trip corrects the first rate.** As drafted, the initial pacing rate assumes a round trip of one millisecond and only
//!   ever grows, which overruns a short queue on a long path.
//! - **What is acknowledged at once has a bound.** As drafted, only the window bounds it. Where the other end is a busy process
//!   close by, what waits for that process comes back at once, so that the two raise each other without end, and every stream waits.
//! - **A round trip that is nearly the smallest renews it.** As drafted, only a smaller one does, so that every five seconds the queue is
//!   emptied to see what was seen all the time. That costs a lone flow two percent of the link.

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
/// Window gain between probes. What exceeds the pipe stands in the queue as soon as another flow fills it, and is that flow's share.
const CRUISE_WINDOW_GAIN: u64 = percent(150);
/// Share of the bandwidth that pacing leaves free, so that queues drain.
const PACING_MARGIN: u64 = 1;
/// Packets the window never falls below.
const MIN_PACKETS: u64 = 4;
/// Packets of the first window (RFC 6928).
const INITIAL_PACKETS: u64 = 10;
/// Round trip assumed until there is a sample.
const INITIAL_ROUND_TRIP: Duration = Duration::from_millis(1);

/// What is acknowledged at once beyond the bandwidth counts up to one pipe, and up to this many bytes where a pipe is less: a few
/// trains of receive offload, or what a wireless link sends at once.
const MAX_EXTRA_ACKED: u64 = 256 * 1024;

/// Gains are in percent.
const fn percent(value: u64) -> u64 {
    value
}

fn scale(value: u64, percent: u64) -> u64 {
    u64::try_from(u128::from(value) * u128::from(percent) / 100).unwrap_or(u64::MAX)
}

/// What the control is after.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Doubles the rate each round trip, until it brings no more.
    Startup,
    /// Empties the queue that startup made.
    Drain,
    /// Sends less than the bandwidth, to empty the queue of a probe.
    Down,
    /// Sends at the bandwidth.
    Cruise,
    /// Fills the pipe for a round trip before a probe, so that what the probe adds is what it measures.
    Refill,
    /// Sends more than the bandwidth, to see whether there is more.
    Up,
    /// Sends little, to see the round trip of an empty queue.
    ProbeRtt(ProbeRtt),
}

/// How far a look at the round trip is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ProbeRtt {
    /// What is in flight is still more than it shall be.
    Draining,
    /// It lasts until then, and for a round at least.
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
    /// Window before a look at the round trip or a timeout.
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

    /// Bounds learned from loss: of a probe, for long, and of the time since, for short.
    long_term_in_flight: u64,
    short_term_in_flight: u64,
    short_term_bandwidth: u64,
    /// The bounds before the last recovery began, should its losses turn out to be none.
    undo: Option<(u64, u64, u64)>,

    extra_acked: ExtraAcked,
    /// What was in flight when it was last told, and whether the window was what held the sender back in this round.
    in_flight: u64,
    is_window_limited: bool,
    is_restarting: bool,
}

/// Counts round trips by what was delivered.
#[derive(Debug, Default)]
struct Rounds {
    count: u64,
    ends_at: u64,
    /// The newest acknowledgement began a round.
    has_begun: bool,
}

/// How much more is acknowledged at once than the bandwidth explains: what a window has to allow for.
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

    pub(super) fn pacing_rate(&self) -> u64 {
        self.pacing_rate
    }

    pub(super) fn min_round_trip(&self) -> Option<Duration> {
        self.has_round_trip.then(|| self.min_round_trip.value())
    }

    /// Tells whether the control itself is why little is sent, so that samples say nothing of the path.
    pub(super) fn holds_back(&self) -> bool {
        matches!(self.state, State::ProbeRtt(_))
    }

    pub(super) fn set_packet_size(&mut self, bytes: u64) {
        self.packet_size = bytes;
    }

    /// Takes the train that pacing makes of the rate; the window has room for three.
    pub(super) fn set_quantum(&mut self, bytes: u64) {
        self.quantum = bytes;
    }

    /// A chunk leaves while `in_flight` bytes, itself among them, are on the way.
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

    /// A SACK was handled: `sample` is what it showed, `in_flight` what is left on the way.
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

    /// A chunk is taken for lost: `lost` is what was lost since it left, itself among it.
    pub(super) fn handle_lost(&mut self, now: Instant, bytes: u64, stamp: &Stamp, lost: u64) {
        self.note_loss(bytes);
        self.check_probe_loss(now, bytes, stamp, lost.saturating_sub(stamp.lost));
    }

    /// The retransmission timer fired: one train asks whether the path is still there; its answer gives the window back.
    pub(super) fn handle_timeout(&mut self, in_flight: u64) {
        if self.saved_window == 0 {
            self.saved_window = self.window;
        }
        self.window = (in_flight + self.packet_size).max(MIN_PACKETS * self.packet_size);
    }

    /// The losses of the last recovery were none.
    pub(super) fn undo(&mut self) {
        if let Some((long_term, short_term, bandwidth)) = self.undo.take() {
            self.long_term_in_flight = self.long_term_in_flight.max(long_term);
            self.short_term_in_flight = self.short_term_in_flight.max(short_term);
            self.short_term_bandwidth = self.short_term_bandwidth.max(bandwidth);
        }
    }

    /// Returns the bandwidth that is sent at: the best of late, as far as loss allows.
    fn usable_bandwidth(&self) -> u64 {
        self.bandwidth.get().min(self.short_term_bandwidth)
    }

    /// Returns `gain` percent of what fills the pipe at `bandwidth`.
    fn pipe(&self, bandwidth: u64, gain: u64) -> u64 {
        if !self.has_round_trip {
            return INITIAL_PACKETS * self.packet_size;
        }
        scale(bytes_of(bandwidth, self.min_round_trip.value()), gain)
    }

    /// Returns what may be in flight so that a pipe of that size stays full although packets leave in trains.
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
