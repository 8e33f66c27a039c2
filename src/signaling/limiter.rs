//! Slows down whoever guesses pins (`docs/protocol.md` section 3, "Guesses").
//!
//! Behind a dev tunnel every client comes from 127.0.0.1, so there is nobody to lock out: all confirms wait in one
//! queue, and the time between two verifications grows with the failures in a row. A client with the right pin waits
//! a little longer while somebody guesses, and ends that wait for everybody.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use thiserror::Error;

/// How many confirms may wait for their verification.
pub const MAX_WAITING: usize = 32;

/// After how many failures, in total, a pin is used up.
///
/// A hundred guesses at a pin of six digits succeed once in ten thousand times.
pub const MAX_FAILURES: u32 = 100;

/// How many failures in a row cost no waiting: people mistype.
const FREE_FAILURES: u32 = 3;

/// The spacing after the first failure that costs waiting; it doubles with each further one.
const FIRST_SPACING: Duration = Duration::from_millis(250);

/// The spacing never grows beyond this.
const MAX_SPACING: Duration = Duration::from_secs(60);

/// The shortest time a refused client is asked to wait.
const MIN_RETRY_AFTER: Duration = Duration::from_secs(1);

/// Too many confirms wait already.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("too many confirms wait for their verification")]
pub struct Busy {
    /// When the next place gets free, counted from now.
    pub retry_after: Duration,
}

/// The pin is used up: a generated one must be replaced, and a chosen one deserves a warning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub struct ReplacePin;

/// Decides when which confirm is verified. `T` names the connection a confirm came on.
///
/// It fails closed: after [`poll_verify`](GuessLimiter::poll_verify) named a confirm, no further one has its turn
/// until [`record_failure`](GuessLimiter::record_failure) or [`record_success`](GuessLimiter::record_success) says how
/// that one ended.
#[derive(Debug)]
pub struct GuessLimiter<T> {
    waiting: VecDeque<Waiting<T>>,
    turn: Turn,
    /// Failures since the last success: they decide the spacing.
    in_a_row: u32,
    /// Failures since the pin was made. A success does not reset it: whoever guesses could otherwise go on for ever
    /// beside clients that join honestly.
    in_total: u32,
}

#[derive(Debug)]
struct Waiting<T> {
    id: T,
    since: Instant,
}

/// ```text
/// Free ──poll_verify──▶ Verifying ──record_success──▶ Free
///                           └──────record_failure──▶ NotBefore ──poll_verify, later──▶ Verifying
/// ```
#[derive(Debug)]
enum Turn {
    /// The next confirm is verified at once.
    Free,
    /// The next confirm is verified then.
    NotBefore(Instant),
    /// The outcome of a verification is outstanding.
    Verifying,
}

impl<T> Default for GuessLimiter<T> {
    fn default() -> GuessLimiter<T> {
        GuessLimiter { waiting: VecDeque::with_capacity(MAX_WAITING), turn: Turn::Free, in_a_row: 0, in_total: 0 }
    }
}

impl<T: Copy + PartialEq> GuessLimiter<T> {
    /// Makes a limiter for a fresh pin.
    pub fn new() -> GuessLimiter<T> {
        GuessLimiter::default()
    }

    /// Tells whether a confirm would find a place now. A client whose hello is refused for want of one has given nothing away
    /// yet; its confirm, once sent, might tell somebody in between what its pin is not.
    ///
    /// # Errors
    /// As for [`GuessLimiter::enqueue`].
    pub fn room(&self, now: Instant) -> Result<(), Busy> {
        if self.waiting.len() < MAX_WAITING {
            return Ok(());
        }
        let wait = match self.turn {
            Turn::Free => Duration::ZERO,
            Turn::NotBefore(turn) => turn.saturating_duration_since(now),
            Turn::Verifying => spacing(self.in_a_row.saturating_add(1)),
        };
        Err(Busy { retry_after: wait.max(MIN_RETRY_AFTER) })
    }

    /// Queues the confirm that came on `id`. An id that waits already keeps its place.
    ///
    /// # Errors
    /// [`MAX_WAITING`] wait already; the client is to come again after the time given.
    pub fn enqueue(&mut self, now: Instant, id: T) -> Result<(), Busy> {
        if self.waiting.iter().any(|waiting| waiting.id == id) {
            return Ok(());
        }
        self.room(now)?;
        self.waiting.push_back(Waiting { id, since: now });
        Ok(())
    }

    /// Forgets the confirm of a client that hung up, which counts as no guess.
    ///
    /// That is safe, because a confirm that never had its turn was compared with nothing and answered by nothing: the
    /// client learns as much as if it had sent none. Nor does it gain time, because the spacing counts from the last
    /// verification, whoever waits. A confirm that had its turn is no longer in the queue, and must be recorded even
    /// if its client hung up meanwhile.
    pub fn cancel(&mut self, id: T) {
        self.waiting.retain(|waiting| waiting.id != id);
    }

    /// Records that the confirm whose turn it was did not match the pin.
    ///
    /// Returns [`ReplacePin`] from the hundredth failure on, until [`pin_replaced`](GuessLimiter::pin_replaced).
    #[must_use]
    pub fn record_failure(&mut self, now: Instant) -> Option<ReplacePin> {
        self.in_a_row = self.in_a_row.saturating_add(1);
        self.in_total = self.in_total.saturating_add(1);
        self.turn = Turn::NotBefore(now + spacing(self.in_a_row));
        (self.in_total >= MAX_FAILURES).then_some(ReplacePin)
    }

    /// Records that the confirm whose turn it was matched the pin: the next one is verified at once.
    pub fn record_success(&mut self) {
        self.in_a_row = 0;
        self.turn = Turn::Free;
    }

    /// Starts all over, for a new pin, and returns whose confirms were waiting.
    ///
    /// Those clients, and all whose handshake began before, must be refused: their handshakes still hold the old pin.
    #[must_use]
    pub fn pin_replaced(&mut self) -> Vec<T> {
        let refused = self.waiting.drain(..).map(|waiting| waiting.id).collect();
        *self = GuessLimiter::default();
        refused
    }

    /// Returns the next confirm to verify, if its turn has come. Verify it at once and record the outcome.
    pub fn poll_verify(&mut self, now: Instant) -> Option<T> {
        let due = match self.turn {
            Turn::Free => true,
            Turn::NotBefore(turn) => now >= turn,
            Turn::Verifying => false,
        };
        if !due {
            return None;
        }
        let waiting = self.waiting.pop_front()?;
        self.turn = Turn::Verifying;
        Some(waiting.id)
    }

    /// Returns when [`poll_verify`](GuessLimiter::poll_verify) will have something, which may be in the past.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let first = self.waiting.front()?;
        match self.turn {
            Turn::Free => Some(first.since),
            Turn::NotBefore(turn) => Some(turn),
            Turn::Verifying => None,
        }
    }

    /// Gives the turn of a confirm that was not verified after all to the next one. It counts neither way.
    pub fn skip(&mut self) {
        if matches!(self.turn, Turn::Verifying) {
            self.turn = Turn::Free;
        }
    }

    /// Returns how many guesses failed since the pin was made.
    pub fn failures(&self) -> u32 {
        self.in_total
    }
}

/// Returns the time between two verifications after so many failures in a row.
fn spacing(failures: u32) -> Duration {
    if failures < FREE_FAILURES {
        return Duration::ZERO;
    }
    let factor = 1u32.checked_shl(failures - FREE_FAILURES).unwrap_or(u32::MAX);
    FIRST_SPACING.saturating_mul(factor).min(MAX_SPACING)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signaling::exposure::Exposure;
    use proptest::prelude::*;

    /// Lets one guess fail as early as the limiter allows; returns the time and whether the pin is used up.
    fn guess(limiter: &mut GuessLimiter<u64>, now: Instant) -> (Instant, Option<ReplacePin>) {
        limiter.enqueue(now, 0).unwrap();
        let turn = limiter.poll_timeout().unwrap().max(now);
        assert_eq!(limiter.poll_verify(turn), Some(0));
        (turn, limiter.record_failure(turn))
    }

    #[test]
    fn a_confirm_that_vanished_in_its_turn_holds_nobody_up() {
        let mut limiter = GuessLimiter::<u64>::default();
        let now = Instant::now();
        limiter.enqueue(now, 1).unwrap();
        limiter.enqueue(now, 2).unwrap();
        assert_eq!(limiter.poll_verify(now), Some(1));
        assert_eq!(limiter.poll_verify(now), None);
        limiter.skip();
        assert_eq!(limiter.poll_verify(now), Some(2));
        assert_eq!(limiter.failures(), 0);
    }

    #[test]
    fn spacing_is_free_then_doubles_up_to_a_minute() {
        let millis: Vec<_> = (0..13).map(|failures| spacing(failures).as_millis()).collect();
        assert_eq!(millis, [0, 0, 0, 250, 500, 1000, 2000, 4000, 8000, 16000, 32000, 60000, 60000]);
        assert_eq!(spacing(34), MAX_SPACING);
        assert_eq!(spacing(35), MAX_SPACING);
        assert_eq!(spacing(u32::MAX), MAX_SPACING);
    }

    #[test]
    fn confirms_are_verified_one_at_a_time_in_order() {
        let now = Instant::now();
        let mut limiter = GuessLimiter::new();
        assert_eq!(limiter.poll_timeout(), None);
        limiter.enqueue(now, 1u64).unwrap();
        limiter.enqueue(now, 2).unwrap();
        limiter.enqueue(now, 1).unwrap();
        assert_eq!(limiter.poll_verify(now), Some(1));
        assert_eq!(limiter.poll_verify(now), None, "the first is not recorded yet");
        assert_eq!(limiter.poll_timeout(), None);
        limiter.record_success();
        assert_eq!(limiter.poll_verify(now), Some(2));
        limiter.record_success();
        assert_eq!(limiter.poll_verify(now), None);
    }

    #[test]
    fn guesses_are_slowed_and_a_success_ends_that() {
        let mut now = Instant::now();
        let mut limiter = GuessLimiter::new();
        for _ in 0..4 {
            (now, _) = guess(&mut limiter, now);
        }
        limiter.enqueue(now, 7).unwrap();
        limiter.enqueue(now, 8).unwrap();
        assert_eq!(limiter.poll_timeout(), Some(now + Duration::from_millis(500)));
        assert_eq!(limiter.poll_verify(now + Duration::from_millis(499)), None);
        now += Duration::from_millis(500);
        assert_eq!(limiter.poll_verify(now), Some(7));
        limiter.record_success();
        assert_eq!(limiter.poll_timeout(), Some(now - Duration::from_millis(500)), "due since it came");
        assert_eq!(limiter.poll_verify(now), Some(8));
    }

    #[test]
    fn the_queue_is_bounded_and_says_when_to_come_again() {
        let now = Instant::now();
        let mut limiter = GuessLimiter::new();
        for _ in 0..9 {
            let turn = limiter.poll_timeout().unwrap_or(now).max(now) + MAX_SPACING;
            limiter.enqueue(turn, 0).unwrap();
            assert_eq!(limiter.poll_verify(turn), Some(0));
            assert_eq!(limiter.record_failure(now), None);
        }
        for id in 0..MAX_WAITING as u64 {
            assert_eq!(limiter.room(now), Ok(()));
            limiter.enqueue(now, id).unwrap();
        }
        assert_eq!(limiter.room(now), Err(Busy { retry_after: Duration::from_secs(16) }), "a hello is told the same");
        assert_eq!(limiter.enqueue(now, 99), Err(Busy { retry_after: Duration::from_secs(16) }));
        let later = now + Duration::from_secs(60);
        assert_eq!(limiter.enqueue(later, 99), Err(Busy { retry_after: MIN_RETRY_AFTER }));
        assert_eq!(limiter.poll_verify(later), Some(0));
        assert_eq!(limiter.enqueue(later, 99), Ok(()));
        assert_eq!(limiter.enqueue(later, 100), Err(Busy { retry_after: Duration::from_secs(32) }));
    }

    #[test]
    fn hanging_up_gains_nothing() {
        let mut now = Instant::now();
        let mut limiter = GuessLimiter::new();
        for _ in 0..5 {
            (now, _) = guess(&mut limiter, now);
        }
        let turn = now + Duration::from_secs(1);
        for id in 0..1000 {
            limiter.enqueue(now, id).unwrap();
            assert_eq!(limiter.poll_timeout(), Some(turn));
            limiter.cancel(id);
        }
        assert_eq!(limiter.poll_timeout(), None);
        assert_eq!(limiter.failures(), 5, "nothing was verified");

        limiter.enqueue(now, 1).unwrap();
        assert_eq!(limiter.poll_verify(turn), Some(1));
        limiter.cancel(1);
        limiter.enqueue(turn, 2).unwrap();
        assert_eq!(limiter.poll_verify(turn + MAX_SPACING), None, "a turn is paid for even after hanging up");
    }

    #[test]
    fn a_pin_is_used_up_by_a_hundred_failures_whatever_succeeds_between() {
        let mut now = Instant::now();
        let mut limiter = GuessLimiter::new();
        for count in 1..=MAX_FAILURES + 1 {
            let replace;
            (now, replace) = guess(&mut limiter, now);
            assert_eq!(replace.is_some(), count >= MAX_FAILURES, "{count}");
            if count % 2 == 0 {
                limiter.enqueue(now, 5).unwrap();
                assert_eq!(limiter.poll_verify(now), Some(5));
                limiter.record_success();
            }
        }
        limiter.enqueue(now, 1).unwrap();
        limiter.enqueue(now, 2).unwrap();
        assert_eq!(limiter.pin_replaced(), [1, 2], "they hold the old pin");
        assert_eq!(limiter.failures(), 0);
        let (turn, replace) = guess(&mut limiter, now);
        assert_eq!((turn, replace), (now, None));
    }

    #[test]
    fn a_hundred_guesses_in_a_row_take_more_than_an_hour() {
        let start = Instant::now();
        let mut now = start;
        let mut limiter = GuessLimiter::new();
        while limiter.failures() < MAX_FAILURES {
            (now, _) = guess(&mut limiter, now);
        }
        assert!(now - start > Duration::from_secs(80 * 60), "{:?}", now - start);
    }

    /// Whoever forwards may call for the pin of a client again and again, whose success ends the spacing: as often as the client
    /// lets itself be called.
    #[test]
    fn a_client_that_is_called_for_its_pin_makes_guesses_little_faster() {
        let start = Instant::now();
        let hour = start + Duration::from_secs(3600);
        let count = |calls: bool| {
            let (mut now, mut limiter, mut exposure) = (start, GuessLimiter::new(), Exposure::default());
            while now < hour {
                if calls && exposure.next(now) <= now && limiter.in_a_row > FREE_FAILURES {
                    exposure.confirmed(now);
                    exposure.proven();
                    limiter.record_success();
                }
                // The waiting is cut short when a client that was called comes in.
                let called = exposure.next(now).max(now);
                limiter.enqueue(now, 0).unwrap();
                let turn = limiter.poll_timeout().unwrap().max(now);
                if calls && called < turn && called > now {
                    limiter.cancel(0);
                    now = called;
                    continue;
                }
                assert_eq!(limiter.poll_verify(turn), Some(0));
                let _ = limiter.record_failure(turn);
                now = turn;
            }
            limiter.failures()
        };
        let (alone, called) = (count(false), count(true));
        // Of a pin that was chosen; a generated one is replaced after a hundred.
        assert!(alone <= 75, "{alone} guesses in the first hour");
        assert!(called <= 470, "{called} guesses in the first hour, beside a client that is called for its pin");
    }

    proptest! {
        /// Whatever clients do, failures in a row are never closer than their spacing and the queue keeps its bound.
        #[test]
        fn no_order_of_events_outruns_the_spacing(events in prop::collection::vec((0..5u8, 0..40u64, 0..20_000u64), 0..400)) {
            let mut now = Instant::now();
            let mut limiter = GuessLimiter::new();
            let mut failed: Option<Instant> = None;
            let mut in_a_row = 0;
            for (event, id, millis) in events {
                match event {
                    0 | 1 => drop(limiter.enqueue(now, id)),
                    2 => limiter.cancel(id),
                    3 => now += Duration::from_millis(millis),
                    _ => {
                        let Some(_) = limiter.poll_verify(now) else { continue };
                        if let Some(failed) = failed {
                            prop_assert!(now - failed >= spacing(in_a_row));
                        }
                        if id == 0 {
                            limiter.record_success();
                            (failed, in_a_row) = (None, 0);
                        } else {
                            let _ = limiter.record_failure(now);
                            (failed, in_a_row) = (Some(now), in_a_row + 1);
                        }
                    }
                }
                prop_assert!(limiter.waiting.len() <= MAX_WAITING);
                prop_assert_eq!(limiter.poll_timeout().is_some(), !limiter.waiting.is_empty());
            }
        }
    }
}
