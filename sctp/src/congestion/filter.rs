//! Maxima of recent samples.

/// A maximum over a window of a clock that only counts up: rounds, or cycles of probing. It keeps the best samples of
/// the last two windows, so that an old maximum expires with its window.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct MaxFilter {
    /// Best samples of the last window and of the current one.
    best: [u64; 2],
}

impl MaxFilter {
    /// Adds a sample to the current window.
    pub(super) fn update(&mut self, value: u64) {
        self.best[1] = self.best[1].max(value);
    }

    /// Begins another window. A window without a sample does not replace the one before.
    pub(super) fn advance(&mut self) {
        if self.best[1] > 0 {
            self.best = [self.best[1], 0];
        }
    }

    /// Returns the maximum of both windows; 0 without samples.
    pub(super) fn get(&self) -> u64 {
        self.best[0].max(self.best[1])
    }
}

/// A maximum over the last [`ROUNDS`] rounds, as three candidates ordered by age (Kathleen Nichols' windowed filter,
/// which Linux uses in `lib/minmax.c`).
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct RoundMax {
    best: [(u64, u64); 3],
}

/// Rounds after which a sample no longer counts.
const ROUNDS: u64 = 10;

impl RoundMax {
    /// Adds a sample of `round`. Samples older than `window` rounds, at most [`ROUNDS`], expire.
    pub(super) fn update(&mut self, round: u64, value: u64, window: u64) {
        let window = window.min(ROUNDS);
        if value >= self.best[0].1 || round.saturating_sub(self.best[2].0) > window {
            self.best = [(round, value); 3];
            return;
        }
        if value >= self.best[1].1 {
            self.best[1] = (round, value);
            self.best[2] = (round, value);
        } else if value >= self.best[2].1 {
            self.best[2] = (round, value);
        }
        if round.saturating_sub(self.best[0].0) > window {
            self.best = [self.best[1], self.best[2], (round, value)];
        } else if self.best[1].0 == self.best[0].0 && round.saturating_sub(self.best[0].0) > window / 4 {
            self.best[1] = (round, value);
            self.best[2] = (round, value);
        } else if self.best[2].0 == self.best[1].0 && round.saturating_sub(self.best[0].0) > window / 2 {
            self.best[2] = (round, value);
        }
    }

    /// Returns the maximum.
    pub(super) fn get(&self) -> u64 {
        self.best[0].1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_old_maximum_goes_with_its_window() {
        let mut filter = MaxFilter::default();
        filter.update(10);
        filter.advance();
        filter.update(5);
        assert_eq!(filter.get(), 10);
        filter.advance();
        assert_eq!(filter.get(), 5);
        filter.advance();
        assert_eq!(filter.get(), 5, "a window without samples says nothing");
    }

    #[test]
    fn a_maximum_of_rounds_lasts_ten_rounds() {
        let mut filter = RoundMax::default();
        filter.update(0, 100, ROUNDS);
        for round in 1..=ROUNDS {
            filter.update(round, 10 + round, ROUNDS);
            assert_eq!(filter.get(), 100);
        }
        filter.update(ROUNDS + 1, 1, ROUNDS);
        assert!((10..=20).contains(&filter.get()), "{}", filter.get());
    }
}
