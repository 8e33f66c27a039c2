//! The least pace of a body: a sender of one byte a minute must not keep a place for ever.

use std::time::{Duration, Instant};

/// How far a body may be behind, and how long it may pause.
const GRACE: Duration = Duration::from_secs(60);

/// Time that each byte earns: 500 bytes a second are enough, which the slowest mobile networks carry.
const TIME_OF_BYTE: Duration = Duration::from_millis(2);

/// The clock of a body. It stops while there is no room for more, which is not the sender's fault.
#[derive(Debug, Clone, Copy)]
pub(in crate::run) struct Pace {
    due: Instant,
    held_up_since: Option<Instant>,
}

impl Pace {
    /// Starts the clock of a body.
    pub(in crate::run) fn new(now: Instant) -> Pace {
        Pace { due: now + GRACE, held_up_since: None }
    }

    /// Counts received bytes.
    pub(in crate::run) fn received(&mut self, now: Instant, bytes: usize) {
        let made_up = TIME_OF_BYTE.saturating_mul(u32::try_from(bytes).unwrap_or(u32::MAX));
        // An earlier fast part does not pay for a later slow one.
        self.due = (self.due + made_up).min(now + GRACE);
    }

    /// Sets whether there is room for more.
    pub(in crate::run) fn set_room(&mut self, now: Instant, has_room: bool) {
        match self.held_up_since {
            None if !has_room => self.held_up_since = Some(now),
            Some(since) if has_room => {
                self.due += now.saturating_duration_since(since);
                self.held_up_since = None;
            }
            None | Some(_) => {}
        }
    }

    /// Returns when the body is too slow unless more of it comes; `None` while there is no room.
    pub(in crate::run) fn deadline(&self) -> Option<Instant> {
        if self.held_up_since.is_some() { None } else { Some(self.due) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// Sends `bytes` every `every` seconds. Returns after how many seconds that was too slow, if it was within ten
    /// hours.
    fn ends(bytes: usize, every: u32) -> Option<u32> {
        let start = Instant::now();
        let mut pace = Pace::new(start);
        (1..36_000).find(|second| {
            let now = start + SECOND * *second;
            let is_over = pace.deadline().is_some_and(|deadline| deadline <= now);
            if second % every == 0 {
                pace.received(now, bytes);
            }
            is_over
        })
    }

    #[test]
    fn a_body_may_be_slow_but_not_for_ever() {
        assert_eq!(ends(1, 1), Some(61));
        assert_eq!(ends(1, 59), Some(61));
        assert_eq!(ends(250, 1), Some(119));
        assert_eq!(ends(500, 1), None);
        assert_eq!(ends(20_000, 30), None, "it comes in pieces");
        assert_eq!(ends(1_000_000, 70), Some(60));
    }

    #[test]
    fn what_was_fast_does_not_pay_for_what_is_slow() {
        let start = Instant::now();
        let mut pace = Pace::new(start);
        pace.received(start, 1_000_000_000);
        assert_eq!(pace.deadline(), Some(start + GRACE));
    }

    #[test]
    fn the_clock_stands_still_while_there_is_no_room() {
        let start = Instant::now();
        let mut pace = Pace::new(start);
        pace.set_room(start + SECOND, false);
        pace.set_room(start + 2 * SECOND, false);
        assert_eq!(pace.deadline(), None);
        pace.set_room(start + 501 * SECOND, true);
        assert_eq!(pace.deadline(), Some(start + 500 * SECOND + GRACE));
        pace.set_room(start + 502 * SECOND, true);
        assert_eq!(pace.deadline(), Some(start + 500 * SECOND + GRACE));
    }
}
