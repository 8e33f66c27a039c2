//! Flow control: absolute credit in units, and receive windows that grow while they are the limit.
//!
//! A DATA frame costs [`FRAME_COST`] units plus one for each byte of its payload (`docs/protocol.md`, "Flow control and
//! acknowledgement").

use std::time::{Duration, Instant};

/// Fixed cost of a DATA frame, in units, so that tiny frames cannot fill memory for free.
pub const FRAME_COST: u64 = 32;

/// Maximum size of a stream's window, in units.
pub const MAX_WINDOW: u64 = 16 * 1024 * 1024;

/// A window that is used up within this many round trips doubles. One round trip's worth would fill the path if nothing
/// were lost. But the data behind a lost packet waits one or two round trips longer before it can be taken, and the
/// path should stay full in that time.
const GROWTH_ROUNDS: u32 = 4;

/// A window that is used up within this many round trips grows fourfold. A sender that has just begun doubles its rate
/// each round trip, and the window should stay ahead of it.
const START_ROUNDS: u32 = 2;

/// Returns the units a DATA frame with `len` bytes of payload costs.
pub fn cost(len: usize) -> u64 {
    FRAME_COST + len as u64
}

/// The units by which all receive windows of a session, together, may grow beyond their initial size.
#[derive(Debug)]
pub struct Budget {
    total: u64,
    used: u64,
}

impl Budget {
    /// Creates a budget of `total` units.
    pub fn new(total: u64) -> Budget {
        Budget { total, used: 0 }
    }

    /// Returns the units that are taken.
    pub fn used(&self) -> u64 {
        self.used
    }

    fn try_take(&mut self, units: u64) -> bool {
        let fits = self.used.saturating_add(units) <= self.total;
        if fits {
            self.used += units;
        }
        fits
    }
}

/// The error of a sender that exceeds its credit.
#[derive(Debug, PartialEq, Eq)]
pub struct Exceeded;

/// The receiving end of a stream's credit.
#[derive(Debug)]
pub struct ReceiveWindow {
    initial: u64,
    window: u64,
    limit: u64,
    arrived: u64,
    consumed: u64,
    /// When the current measurement for growth began, and the units consumed by then.
    measured_since: Option<(Instant, u64)>,
}

impl ReceiveWindow {
    /// Opens a window of `initial` units, which the peer knows from our HELLO. The limit on streams bounds initial
    /// windows; only growth is taken from a budget.
    pub fn open(initial: u64) -> ReceiveWindow {
        ReceiveWindow { initial, window: initial, limit: initial, arrived: 0, consumed: 0, measured_since: None }
    }

    /// Returns the units of growth to the budget.
    pub fn release(&mut self, budget: &mut Budget) {
        budget.used -= self.window - self.initial;
        self.window = self.initial;
    }

    /// Counts a DATA frame that arrived, and returns how many of its units belong to the initial window.
    ///
    /// # Errors
    /// The frame exceeds the limit we granted.
    pub fn arrive(&mut self, units: u64) -> Result<u64, Exceeded> {
        let arrived = self.arrived.saturating_add(units);
        if arrived > self.limit {
            return Err(Exceeded);
        }
        let unasked = self.initial.saturating_sub(self.arrived).min(units);
        self.arrived = arrived;
        Ok(unasked)
    }

    /// Counts units the local application took.
    pub fn consume(&mut self, units: u64) {
        self.consumed += units;
        debug_assert!(self.consumed <= self.arrived, "nothing is taken before it arrived");
    }

    /// Tells whether the grant has grown by a quarter of the window.
    pub fn is_grant_due(&self) -> bool {
        self.consumed + self.window - self.limit >= self.window / 4
    }

    /// Moves the limit forward by at most `most` units and returns it. The window doubles if the peer used up a whole
    /// one in less than four round trips, and grows fourfold if that took less than two: then the window, not the path,
    /// may be the bottleneck.
    pub fn grant(&mut self, now: Instant, round_trip: Option<Duration>, budget: &mut Budget, most: u64) -> u64 {
        match self.measured_since {
            None => self.measured_since = Some((now, self.consumed)),
            Some((since, consumed)) if self.consumed - consumed >= self.window => {
                let elapsed = now.saturating_duration_since(since);
                let is_within = |rounds| round_trip.is_some_and(|round_trip| elapsed < round_trip * rounds);
                let rest = MAX_WINDOW.saturating_sub(self.window);
                let steps = [(START_ROUNDS, self.window * 3), (GROWTH_ROUNDS, self.window)];
                for growth in steps.into_iter().filter(|(rounds, _)| is_within(*rounds)).map(|(_, step)| step.min(rest))
                {
                    if growth > 0 && budget.try_take(growth) {
                        self.window += growth;
                        break;
                    }
                }
                self.measured_since = Some((now, self.consumed));
            }
            Some(_) => {}
        }
        self.limit = self.limit.max(self.consumed + self.window).min(self.limit.saturating_add(most));
        self.limit
    }

    /// Returns the limit granted last.
    pub fn limit(&self) -> u64 {
        self.limit
    }

    /// Returns how many more frames of at least one byte may come.
    pub fn frames_left(&self) -> u64 {
        self.limit.saturating_sub(self.arrived) / cost(1)
    }

    /// Returns the units that arrived and have not been taken.
    pub fn held(&self) -> u64 {
        self.arrived - self.consumed
    }
}

/// The sending end of a stream's credit.
#[derive(Debug, Default)]
pub struct SendCredit {
    limit: u64,
    used: u64,
}

impl SendCredit {
    /// Raises the limit; a lower limit is older and changes nothing.
    pub fn raise(&mut self, limit: u64) {
        self.limit = self.limit.max(limit);
    }

    /// Returns how many payload bytes the next frame may carry.
    pub fn payload_room(&self) -> usize {
        usize::try_from((self.limit - self.used).saturating_sub(FRAME_COST)).unwrap_or(usize::MAX)
    }

    /// Spends the credit of a frame with `len` bytes of payload. Returns false, and spends nothing, if there is not
    /// enough.
    #[must_use]
    pub fn spend(&mut self, len: usize) -> bool {
        let used = self.used.saturating_add(cost(len));
        let fits = used <= self.limit;
        if fits {
            self.used = used;
        }
        fits
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INITIAL: u64 = 65536;

    #[test]
    fn a_sender_cannot_exceed_the_limit_unnoticed() {
        let mut budget = Budget::new(1 << 20);
        let mut window = ReceiveWindow::open(INITIAL);
        assert_eq!(window.arrive(INITIAL), Ok(INITIAL));
        assert_eq!(window.arrive(1), Err(Exceeded));
        assert_eq!(window.held(), INITIAL);
        window.consume(INITIAL / 4 - 1);
        assert!(!window.is_grant_due());
        window.consume(1);
        assert!(window.is_grant_due());
        assert_eq!(window.grant(Instant::now(), None, &mut budget, u64::MAX), INITIAL + INITIAL / 4);
    }

    #[test]
    fn a_window_grows_while_it_is_the_limit_and_stays_inside_the_budget() {
        let now = Instant::now();
        let round_trip = Some(Duration::from_millis(100));
        let mut budget = Budget::new(INITIAL * 8);
        let mut window = ReceiveWindow::open(INITIAL);
        let turn = |window: &mut ReceiveWindow, at: u64, budget: &mut Budget| {
            let units = window.limit() - window.arrived;
            window.arrive(units).unwrap();
            window.consume(units);
            window.grant(now + Duration::from_millis(at), round_trip, budget, u64::MAX) - window.consumed
        };
        assert_eq!(turn(&mut window, 0, &mut budget), INITIAL, "the first window starts the clock");
        assert_eq!(turn(&mut window, 300, &mut budget), INITIAL * 2, "three round trips: it doubles");
        assert_eq!(turn(&mut window, 1000, &mut budget), INITIAL * 2, "slow: the window is not the limit");
        assert_eq!(turn(&mut window, 1100, &mut budget), INITIAL * 8, "one round trip: fourfold");
        assert_eq!(turn(&mut window, 1200, &mut budget), INITIAL * 8, "the budget has no room for a further step");
        assert_eq!(budget.used(), INITIAL * 7);
        let mut second = ReceiveWindow::open(INITIAL);
        turn(&mut second, 0, &mut budget);
        assert_eq!(turn(&mut second, 100, &mut budget), INITIAL * 2, "it doubles where there is no room for fourfold");
        window.release(&mut budget);
        second.release(&mut budget);
        assert_eq!(budget.used(), 0);
    }

    #[test]
    fn old_limits_change_nothing() {
        let mut credit = SendCredit::default();
        assert_eq!(credit.payload_room(), 0);
        credit.raise(100);
        credit.raise(50);
        assert_eq!(credit.payload_room(), 68);
        assert!(!credit.spend(69), "a sender never exceeds the newest limit");
        assert!(credit.spend(68));
        assert_eq!(credit.payload_room(), 0);
        credit.raise(132);
        assert_eq!(credit.payload_room(), 0, "less than a frame costs");
        credit.raise(u64::MAX);
        assert!(credit.payload_room() > 1 << 60 && credit.spend(1 << 60));
    }
}
