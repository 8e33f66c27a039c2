//! When those who watch a run are shown what it is doing: soon after a change, and not too often. While nobody watches
//! or nothing changes, this costs nothing.

use std::time::{Duration, Instant};

use crate::status::snapshot::Snapshot;

/// Receives what a run is doing.
pub type Observer = Box<dyn FnMut(&Snapshot) + Send>;

/// Time after which rates are looked at again that are not zero yet.
const FALL: Duration = Duration::from_secs(1);

/// Which of those who watch it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct WatcherId(u64);

/// The looks of a loop.
#[derive(Default)]
pub(super) struct Looks {
    watchers: Vec<Watcher>,
    count: u64,
    /// How often something changed.
    changes: u64,
    /// All who watch are to be shown something.
    is_planned: bool,
    /// The deadline that is set.
    due_at: Option<Instant>,
}

/// Somebody who watches.
struct Watcher {
    id: WatcherId,
    interval: Duration,
    /// What it is shown to. Without one, whoever asks what is due shows it.
    observer: Option<Observer>,
    last: Option<Instant>,
    due_at: Option<Instant>,
}

impl Looks {
    /// Has somebody shown what the run is doing, at most once in an interval.
    pub(super) fn observe(&mut self, interval: Duration, observer: Observer) {
        self.add(interval, Some(observer), None);
    }

    /// Has somebody shown what the run is doing who was just shown it.
    pub(super) fn watch(&mut self, now: Instant, interval: Duration) -> WatcherId {
        self.add(interval, None, Some(now))
    }

    /// Somebody does not watch any more.
    pub(super) fn forget(&mut self, id: WatcherId) {
        self.watchers.retain(|watcher| watcher.id != id);
    }

    fn add(&mut self, interval: Duration, observer: Option<Observer>, last: Option<Instant>) -> WatcherId {
        let id = WatcherId(self.count);
        self.count += 1;
        self.watchers.push(Watcher { id, interval, observer, last, due_at: None });
        self.is_planned = false;
        id
    }

    /// Returns how often something changed.
    pub(super) fn changes(&self) -> u64 {
        self.changes
    }

    /// Something changed. Returns when to look, if no look is due by then already.
    pub(super) fn changed(&mut self, now: Instant) -> Option<Instant> {
        self.changes = self.changes.wrapping_add(1);
        if self.is_planned || self.watchers.is_empty() {
            return None;
        }
        for watcher in &mut self.watchers {
            let at = watcher.last.map_or(now, |last| (last + watcher.interval).max(now));
            // A look at rates that may fall is planned for later than that.
            watcher.due_at = Some(watcher.due_at.map_or(at, |due_at| due_at.min(at)));
        }
        self.is_planned = true;
        self.plan()
    }

    /// Returns when to look, if no look is due by then already.
    fn plan(&mut self) -> Option<Instant> {
        let at = self.watchers.iter().filter_map(|watcher| watcher.due_at).min()?;
        if self.due_at.is_some_and(|due_at| due_at <= at) {
            return None;
        }
        self.due_at = Some(at);
        Some(at)
    }

    /// Tells whether a look is due, and when to ask again otherwise. An earlier deadline than the planned one, or a
    /// later one, says nothing.
    pub(super) fn poll_due(&mut self, now: Instant) -> (bool, Option<Instant>) {
        if self.due_at.is_none_or(|at| at > now) {
            return (false, None);
        }
        self.due_at = None;
        let is_due = self.watchers.iter().any(|watcher| watcher.due_at.is_some_and(|at| at <= now));
        (is_due, if is_due { None } else { self.plan() })
    }

    /// Shows what the run is doing to the observers for whom it is time. Returns who else is to be shown it, and when
    /// to look again.
    pub(super) fn show(&mut self, now: Instant, snapshot: &Snapshot) -> (Vec<WatcherId>, Option<Instant>) {
        let moves = snapshot.sessions.iter().any(|session| session.sent_per_s + session.received_per_s > 0);
        let mut others = Vec::new();
        for watcher in self.watchers.iter_mut().filter(|watcher| watcher.due_at.is_some_and(|at| at <= now)) {
            watcher.last = Some(now);
            watcher.due_at = moves.then(|| now + FALL.max(watcher.interval));
            match &mut watcher.observer {
                Some(observer) => observer(snapshot),
                None => others.push(watcher.id),
            }
        }
        self.is_planned = false;
        (others, self.plan())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::event::Way;
    use crate::status::snapshot::{SessionState, SessionStatus, Side, Stage};

    fn snapshot() -> Snapshot {
        Snapshot::new(Side::Host, Stage::Serving)
    }

    fn moving() -> SessionStatus {
        SessionStatus {
            session: String::new(),
            state: SessionState::Connected,
            way: Way::Relayed { reason: String::new() },
            signaling: None,
            agent: None,
            invitation: None,
            rtt_ms: None,
            connected_ms: None,
            sent: 1,
            received: 1,
            sent_per_s: 1,
            received_per_s: 0,
            streams: 1,
            losses: 0,
            recoveries: 0,
            retransmissions: 0,
            bandwidth_per_s: None,
        }
    }

    #[test]
    fn each_is_shown_changes_at_its_own_pace() {
        let (mut looks, start) = (Looks::default(), Instant::now());
        let at = |milliseconds| start + Duration::from_millis(milliseconds);
        assert_eq!(looks.changed(start), None, "nobody watches");
        let quick = looks.watch(start, Duration::from_millis(250));
        let slow = looks.watch(start, Duration::from_secs(1));
        assert_eq!(looks.changed(at(10)), Some(at(250)));
        assert_eq!(looks.changed(at(20)), None, "it is planned");
        assert_eq!(looks.poll_due(at(200)), (false, None));
        assert_eq!(looks.poll_due(at(250)), (true, None));
        assert_eq!(looks.show(at(250), &snapshot()), (vec![quick], Some(at(1000))));
        assert_eq!(looks.changed(at(260)), Some(at(500)));
        assert_eq!(looks.poll_due(at(500)), (true, None));
        assert_eq!(looks.show(at(500), &snapshot()), (vec![quick], Some(at(1000))));
        assert_eq!(looks.poll_due(at(1000)), (true, None));
        assert_eq!(looks.show(at(1000), &snapshot()), (vec![slow], None), "nothing changed for the other");
        looks.forget(quick);
        looks.forget(slow);
        assert_eq!(looks.changed(at(2000)), None);
    }

    #[test]
    fn what_moves_is_shown_at_the_pace_that_was_asked_for() {
        let (mut looks, start) = (Looks::default(), Instant::now());
        let watcher = looks.watch(start, Duration::from_millis(250));
        let moving = Snapshot { sessions: vec![moving()], ..snapshot() };
        let at = |milliseconds| start + Duration::from_millis(milliseconds);
        assert_eq!(looks.changed(start), Some(at(250)));
        assert_eq!(looks.poll_due(at(250)), (true, None));
        assert_eq!(looks.show(at(250), &moving), (vec![watcher], Some(at(1250))), "its rates may fall");
        assert_eq!(looks.changed(at(260)), Some(at(500)), "a change does not wait for that");
        assert_eq!(looks.poll_due(at(500)), (true, None));
        assert_eq!(looks.show(at(500), &snapshot()), (vec![watcher], None));
    }

    #[test]
    fn a_change_long_after_the_last_look_is_shown_at_once() {
        let (mut looks, start) = (Looks::default(), Instant::now());
        let watcher = looks.watch(start, Duration::from_millis(250));
        let late = start + Duration::from_secs(60);
        assert_eq!(looks.changed(late), Some(late));
        assert_eq!(looks.poll_due(late), (true, None));
        assert_eq!(looks.show(late, &snapshot()), (vec![watcher], None));
    }

    #[test]
    fn a_watcher_that_left_is_no_reason_to_look() {
        let (mut looks, start) = (Looks::default(), Instant::now());
        let quick = looks.watch(start, Duration::from_millis(250));
        looks.watch(start, Duration::from_secs(1));
        let (first, second) = (start + Duration::from_millis(250), start + Duration::from_secs(1));
        assert_eq!(looks.changed(start), Some(first));
        looks.forget(quick);
        assert_eq!(looks.poll_due(first), (false, Some(second)));
    }
}
