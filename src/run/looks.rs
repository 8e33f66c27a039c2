//! When those who watch a run are shown what it is doing: soon after a change, and not too often. While nobody watches
//! or nothing changes, this costs nothing.

use std::time::{Duration, Instant};

use crate::status::snapshot::Snapshot;

/// Receives what a run is doing.
pub type Observer = Box<dyn FnMut(&Snapshot) + Send>;

/// Time after which rates are looked at again that are not zero yet.
const FALL: Duration = Duration::from_secs(1);

/// The looks of a loop.
#[derive(Default)]
pub(super) struct Looks {
    observer: Option<(Duration, Observer)>,
    last: Option<Instant>,
    due_at: Option<Instant>,
}

impl Looks {
    /// Has somebody shown what the run is doing, at most once in an interval.
    pub(super) fn observe(&mut self, interval: Duration, observer: Observer) {
        self.observer = Some((interval, observer));
    }

    /// Something changed. Returns when to look, if no look is due by then already.
    pub(super) fn changed(&mut self, now: Instant) -> Option<Instant> {
        let (interval, _) = self.observer.as_ref()?;
        let at = self.last.map_or(now, |last| (last + *interval).max(now));
        self.plan(at)
    }

    fn plan(&mut self, at: Instant) -> Option<Instant> {
        if self.due_at.is_some_and(|due_at| due_at <= at) {
            return None;
        }
        self.due_at = Some(at);
        Some(at)
    }

    /// Tells whether a look is due. An earlier deadline than the planned one, or a later one, says nothing.
    pub(super) fn poll_due(&mut self, now: Instant) -> bool {
        let is_due = self.due_at.is_some_and(|at| at <= now);
        if is_due {
            (self.due_at, self.last) = (None, Some(now));
        }
        is_due
    }

    /// Shows what the run is doing. Returns when to look again although nothing may change.
    pub(super) fn show(&mut self, now: Instant, snapshot: &Snapshot) -> Option<Instant> {
        if let Some((_, observer)) = &mut self.observer {
            observer(snapshot);
        }
        let moves = snapshot.sessions.iter().any(|session| session.sent_per_s + session.received_per_s > 0);
        if moves { self.plan(now + FALL) } else { None }
    }
}
