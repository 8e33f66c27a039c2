//! When bytes may leave, at a given rate.
//!
//! A token bucket. It releases bytes only when there are enough for a train that is worth a system call. It holds
//! several milliseconds of the rate, since loops wake on whole milliseconds and a late wake-up must not reduce
//! throughput.

use std::time::{Duration, Instant};

use super::delivery::{bytes_of, time_of};

/// Size of a train, as time at the rate.
const QUANTUM: Duration = Duration::from_millis(1);

/// Depth of the bucket, as time at the rate: what is saved up while the loop sleeps or is busy.
const DEPTH: Duration = Duration::from_millis(4);

/// Largest train, in bytes.
const MAX_QUANTUM: u64 = 64 * 1024;

/// A bucket of bytes.
#[derive(Debug)]
pub(super) struct Pacer {
    rate: u64,
    /// Below zero after a packet that was larger than the rest.
    tokens: i64,
    filled_at: Instant,
    quantum: u64,
    depth: u64,
    /// A train is leaving: all tokens may be used.
    is_leaving: bool,
}

impl Pacer {
    /// Creates a bucket that holds `burst` bytes.
    pub(super) fn new(now: Instant, rate: u64, packet_size: u64, burst: u64) -> Pacer {
        let mut pacer = Pacer { rate: 0, tokens: 0, filled_at: now, quantum: 0, depth: burst, is_leaving: false };
        pacer.set_rate(now, rate, packet_size);
        pacer.tokens = signed(burst);
        pacer.depth = pacer.depth.max(burst);
        // The first window is one train, however long that is at the rate.
        pacer.is_leaving = true;
        pacer
    }

    /// Sets the rate, in bytes per second.
    pub(super) fn set_rate(&mut self, now: Instant, rate: u64, packet_size: u64) {
        if rate != self.rate {
            self.fill(now);
            self.rate = rate;
            self.quantum = bytes_of(rate, QUANTUM).clamp(2 * packet_size, MAX_QUANTUM.max(2 * packet_size));
            self.depth = bytes_of(rate, DEPTH).max(2 * self.quantum);
        }
    }

    /// Returns the size of a train, in bytes.
    pub(super) fn quantum(&self) -> u64 {
        self.quantum
    }

    /// Returns how many bytes may leave.
    pub(super) fn budget(&mut self, now: Instant) -> u64 {
        self.fill(now);
        let least = if self.is_leaving { 1 } else { signed(self.quantum) };
        self.is_leaving = self.tokens >= least;
        if self.is_leaving { self.tokens.unsigned_abs() } else { 0 }
    }

    /// Returns when the next train may leave.
    pub(super) fn next_at(&self) -> Option<Instant> {
        let missing = signed(self.quantum) - self.tokens;
        (missing > 0).then(|| self.filled_at + time_of(missing.unsigned_abs(), self.rate))
    }

    /// Uses tokens for bytes that leave.
    pub(super) fn spend(&mut self, bytes: u64) {
        self.tokens = self.tokens.saturating_sub(signed(bytes)).max(-signed(self.depth));
    }

    fn fill(&mut self, now: Instant) {
        let elapsed = now.saturating_duration_since(self.filled_at);
        let bytes = bytes_of(self.rate, elapsed);
        // Fractions of a byte are not lost: the clock stays until there is a whole one.
        if bytes > 0 {
            let full = signed(self.depth).max(self.tokens);
            self.tokens = self.tokens.saturating_add(signed(bytes)).min(full);
            self.filled_at = now;
        }
    }
}

fn signed(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX / 4)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn a_loop_that_wakes_each_millisecond_sends_at_the_rate() {
        let start = Instant::now();
        for rate in [125_000, 1_250_000, 12_500_000, 125_000_000] {
            let mut pacer = Pacer::new(start, rate, 1200, 0);
            let mut sent = 0;
            for tick in 0..1000 {
                let budget = pacer.budget(start + MS * tick);
                pacer.spend(budget);
                sent += budget;
            }
            assert!(sent + 2 * 1200 >= rate * 99 / 100 && sent <= rate * 101 / 100, "rate={rate} sent={sent}");
        }
    }

    #[test]
    fn nothing_leaves_before_a_train_is_due_and_the_clock_says_when_it_is() {
        let start = Instant::now();
        let mut pacer = Pacer::new(start, 12_500_000, 1200, 0);
        assert_eq!(pacer.budget(start), 0);
        let at = pacer.next_at().expect("pacing is what holds the sender back");
        assert_eq!(at, start + MS);
        assert_eq!(pacer.budget(at), 12_500);
        assert_eq!(pacer.next_at(), None);
    }

    #[test]
    fn the_first_window_leaves_at_once_even_if_it_is_shorter_than_a_train() {
        let start = Instant::now();
        let mut pacer = Pacer::new(start, 125_000_000, 1200, 12_000);
        assert_eq!(pacer.budget(start), 12_000);
    }

    #[test]
    fn a_train_may_leave_when_the_clock_says_so_whatever_the_rate() {
        let start = Instant::now();
        for rate in (1..2000).map(|step| 777_777 * step) {
            let mut pacer = Pacer::new(start, rate, 1200, 0);
            let at = pacer.next_at().expect("there are no bytes yet");
            assert!(pacer.budget(at) > 0, "rate={rate}");
        }
    }

    #[test]
    fn a_pause_saves_up_a_few_milliseconds_only() {
        let start = Instant::now();
        let mut pacer = Pacer::new(start, 12_500_000, 1200, 0);
        assert_eq!(pacer.budget(start + 1000 * MS), 50_000);
    }
}
