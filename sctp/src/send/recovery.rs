//! Loss detection by time: RACK and its tail-loss probe (RFC 8985), applied to TSNs.

use std::time::{Duration, Instant};

use crate::number::Tsn;
use crate::receive;
use crate::round_trip::RoundTrip;

/// Chunks acknowledged beyond a gap after which chunks before it are considered lost without waiting, unless the path
/// was seen to reorder (RFC 8985, section 6.2, step 4).
const THRESHOLD: u64 = 3;

/// Recoveries for which a wider reordering window is kept (RFC 8985, section 6.2, step 4).
const KEPT_WIDE: u32 = 16;

/// Maximum reordering window, in quarters of the minimal round trip.
const MAX_QUARTERS: u32 = 16;

/// The latest chunk known to have arrived, which judges those that left before it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Latest {
    pub(crate) order: u64,
    pub(crate) round_trip: Duration,
}

/// One recovery: from the first loss until everything that had left by then is acknowledged.
#[derive(Debug, Clone, Copy)]
struct Episode {
    /// The number that would have left next when it began.
    until: Tsn,
    /// Chunks considered lost, and neither sent again nor known to have arrived.
    marked: u64,
    /// Chunks sent again that are not known to have arrived the first time.
    repeated: u64,
    /// Chunks that turned out to have arrived.
    refuted: u64,
    /// Everything is acknowledged. It is kept, because duplicates are reported later.
    is_over: bool,
}

/// Detects losses.
#[derive(Debug)]
pub(crate) struct Recovery {
    latest: Option<Latest>,
    has_reordering: bool,
    quarters: u32,
    /// Recoveries until the window becomes narrow again.
    wide_for: u32,
    widened_at: Option<Tsn>,
    episode: Option<Episode>,
}

impl Default for Recovery {
    fn default() -> Recovery {
        Recovery { latest: None, has_reordering: false, quarters: 1, wide_for: 0, widened_at: None, episode: None }
    }
}

/// A chunk that was just acknowledged.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Arrival {
    pub(crate) order: u64,
    pub(crate) sent_at: Instant,
    pub(crate) transmissions: u32,
}

impl Recovery {
    /// Handles an acknowledged chunk (RFC 8985, section 6.2, steps 2 and 3).
    pub(crate) fn handle_arrival(&mut self, now: Instant, arrival: Arrival, round_trip: &RoundTrip) {
        let took = now.saturating_duration_since(arrival.sent_at);
        // All measurements may include the delay of an acknowledgement; this chunk asked for one at once.
        let least = round_trip.least().map(|least| least.saturating_sub(receive::DELAY).max(least / 2));
        if arrival.transmissions > 1 && least.is_some_and(|least| took < least) {
            // It is too early: an earlier transmission has arrived.
            return;
        }
        match self.latest {
            Some(latest) if arrival.order < latest.order => {}
            _ => self.latest = Some(Latest { order: arrival.order, round_trip: took }),
        }
    }

    /// Detects reordering: a chunk sent once arrived after one that left later and was known to have arrived.
    pub(crate) fn handle_reordering(&mut self) {
        self.has_reordering = true;
    }

    /// Returns the chunk that left last of those known to have arrived.
    pub(crate) fn latest(&self) -> Option<Latest> {
        self.latest
    }

    /// Returns by how much time a chunk may be overtaken. `beyond` chunks are acknowledged beyond a gap.
    pub(crate) fn window(&self, beyond: u64, round_trip: &RoundTrip) -> Duration {
        if !self.has_reordering && (self.is_recovering() || beyond >= THRESHOLD) {
            return Duration::ZERO;
        }
        let least = round_trip.least().unwrap_or_default();
        (least / 4 * self.quarters).min(round_trip.smoothed().unwrap_or(least))
    }

    /// Handles a chunk that is considered lost; `next` is the number that leaves next.
    pub(crate) fn handle_lost(&mut self, next: Tsn) {
        let begun = Episode { until: next, marked: 0, repeated: 0, refuted: 0, is_over: false };
        let episode = self.episode.filter(|episode| !episode.is_over).unwrap_or(begun);
        self.episode = Some(Episode { marked: episode.marked + 1, ..episode });
    }

    /// Counts a lost chunk that is sent again.
    pub(crate) fn handle_repeated(&mut self) {
        if let Some(episode) = &mut self.episode {
            episode.marked = episode.marked.saturating_sub(1);
            episode.repeated += 1;
        }
    }

    /// Counts a lost chunk that was abandoned.
    pub(crate) fn handle_abandoned(&mut self) {
        if let Some(episode) = &mut self.episode {
            episode.marked = episode.marked.saturating_sub(1);
            // It remains a loss, since nothing more will be known of it.
            episode.repeated += 1;
        }
    }

    /// Counts a lost chunk that is acknowledged before it was sent again. Returns true if that refutes the last loss of
    /// the recovery.
    pub(crate) fn handle_refuted(&mut self) -> bool {
        let Some(episode) = &mut self.episode else { return false };
        episode.marked = episode.marked.saturating_sub(1);
        episode.refuted += 1;
        self.has_reordering = true;
        self.is_undone()
    }

    /// Counts a number that the peer received twice. Returns true if that refutes the last loss of the recovery.
    pub(crate) fn handle_duplicate(&mut self, first: Tsn) -> bool {
        self.has_reordering = true;
        // At most once per round trip: the window grows with each round in which it was too narrow.
        if self.widened_at.is_none_or(|at| first >= at) {
            self.quarters = (self.quarters + 1).min(MAX_QUARTERS);
            self.widened_at = None;
        }
        self.wide_for = KEPT_WIDE;
        let Some(episode) = &mut self.episode else { return false };
        episode.repeated = episode.repeated.saturating_sub(1);
        episode.refuted += 1;
        self.is_undone()
    }

    /// Stores the number that leaves next when the window was widened.
    pub(crate) fn note_widened(&mut self, next: Tsn) {
        self.widened_at.get_or_insert(next);
    }

    /// Ends the recovery if everything up to its end is acknowledged; `first` is the first unacknowledged number.
    pub(crate) fn handle_progress(&mut self, first: Tsn) {
        if let Some(episode) = &mut self.episode
            && !episode.is_over
            && first >= episode.until
        {
            episode.is_over = true;
            self.wide_for = self.wide_for.saturating_sub(1);
            if self.wide_for == 0 {
                self.quarters = 1;
            }
        }
    }

    pub(crate) fn is_recovering(&self) -> bool {
        self.episode.is_some_and(|episode| !episode.is_over)
    }

    fn is_undone(&self) -> bool {
        self.episode.is_some_and(|episode| episode.refuted > 0 && episode.marked == 0 && episode.repeated == 0)
    }
}
