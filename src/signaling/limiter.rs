//! Slows down guesses of the pin (`docs/protocol.md` section 3, "Guesses").
//!
//! Each source has its own pace: the time between two verifications grows with its failures in a row, so one that
//! guesses does not delay clients from other sources. All sources together have a pace, too, which a single source
//! never reaches.
//!
//! Behind a dev tunnel every client comes from 127.0.0.1. There, a client with the right pin waits a little longer
//! while somebody guesses, and its success ends the wait for all. Within a source, most turns go to the newest confirm,
//! so that holding many gains nothing; some go to any confirm, so that always being the newest does not gain all turns.
//! Clients that are passed over are told to come again.

use std::collections::{BTreeSet, HashMap};
use std::hash::Hash;
use std::time::{Duration, Instant};

use crate::shares::Source;

/// Failures in total after which a pin is used up.
///
/// A hundred guesses at a pin of six digits succeed once in ten thousand times.
pub const MAX_FAILURES: u32 = 100;

/// Failures in a row that cost no waiting: people mistype.
const FREE_FAILURES: u32 = 3;

/// The spacing after the first failure that costs waiting; it doubles with each further one.
const FIRST_SPACING: Duration = Duration::from_millis(250);

/// Longest spacing.
const MAX_SPACING: Duration = Duration::from_secs(60);

/// Failures of all sources together that delay no other source, and the time until there may be one more. A single
/// source has ten failures in its first minute, and then one a minute.
const FREE_TOGETHER: u32 = 32;
const SPACING_TOGETHER: Duration = Duration::from_secs(30);

/// Number of those failures that one success cancels. A client beside somebody who guesses from the same address needs
/// no more.
const MADE_UP_BY_SUCCESS: u32 = 8;

/// From this spacing on, confirms that are passed over do not wait for the next turn.
const LONG_SPACING: Duration = Duration::from_secs(2);

/// One in this many turns goes to any confirm of its source, the others to the newest.
const ANY_IN: u32 = 4;

/// Maximum number of sources whose failures are remembered while none of their confirms waits. Beyond it, the source
/// whose turn is the longest ago is forgotten.
const MAX_QUIET: usize = 1024;

/// Minimum and maximum time that a client whose confirm found no place, or was passed over, is asked to wait. It is
/// half of the time until the next turn: a client that comes again then is likely to be the newest.
const RETRY_AFTER: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(5)];

/// The pin is used up: a generated one must be replaced, and a chosen one deserves a warning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub struct ReplacePin;

/// Decides which confirm is verified, and when. `T` names the connection of a confirm; the number of connections bounds
/// how many wait. `S` is what shares a pace: a source, or a group of invitations.
///
/// It fails closed: after [`poll_verify`](GuessLimiter::poll_verify) returned a confirm, no other has its turn until
/// [`record_failure`](GuessLimiter::record_failure) or [`record_success`](GuessLimiter::record_success) gives the
/// outcome.
#[derive(Debug)]
pub struct GuessLimiter<T, S = Source> {
    guessers: HashMap<S, Guesser<T>>,
    /// Sources with waiting confirms, by their turns; without the one that is being verified.
    turns: BTreeSet<(Instant, S)>,
    /// The other sources that are remembered.
    quiet: BTreeSet<(Instant, S)>,
    /// The source whose confirm is being verified.
    verifying: Option<S>,
    /// Confirms whose clients must come again.
    passed_over: Vec<T>,
    /// When the failures of all sources will be forgotten, at one for each [`SPACING_TOGETHER`].
    made_up_at: Option<Instant>,
    /// Failures since the pin was made. A success does not reset it: otherwise somebody could guess for ever beside
    /// clients that join honestly.
    in_total: u32,
}

/// A source of confirms.
///
/// ```text
///                 ┌──────────────── more wait ────────────────┐
///                 ▼                                           │
///  forgotten ─▶ in `turns` ──poll_verify──▶ `verifying` ──recorded
///       ▲         ▲  │ none waits                             │ none waits
///       │         │  ▼                                        │
///       └───── in `quiet`, or at once if nothing failed ◀─────┘
/// ```
#[derive(Debug)]
struct Guesser<T> {
    /// Waiting confirms, the newest last.
    waiting: Vec<T>,
    /// Failures since the last success, which decide the spacing.
    in_a_row: u32,
    /// When its next confirm may be verified.
    turn: Instant,
}

impl<T, S> Default for GuessLimiter<T, S> {
    fn default() -> GuessLimiter<T, S> {
        GuessLimiter {
            guessers: HashMap::new(),
            turns: BTreeSet::new(),
            quiet: BTreeSet::new(),
            verifying: None,
            passed_over: Vec::new(),
            made_up_at: None,
            in_total: 0,
        }
    }
}

impl<T: Copy + PartialEq, S: Copy + Ord + Hash> GuessLimiter<T, S> {
    /// Creates a limiter for a fresh pin.
    pub fn new() -> GuessLimiter<T, S> {
        GuessLimiter::default()
    }

    /// Queues the confirm that came on `id`. An id that already waits keeps its place.
    pub fn enqueue(&mut self, now: Instant, source: S, id: T) {
        let guesser = self.guessers.entry(source).or_insert(Guesser { waiting: Vec::new(), in_a_row: 0, turn: now });
        if guesser.waiting.contains(&id) {
            return;
        }
        let is_first = guesser.waiting.is_empty();
        guesser.waiting.push(id);
        if is_first && self.verifying != Some(source) {
            self.quiet.remove(&(guesser.turn, source));
            guesser.turn = guesser.turn.max(now);
            self.turns.insert((guesser.turn, source));
        }
    }

    /// Forgets the confirm of a client that hung up; it does not count as a guess.
    ///
    /// That is safe: a confirm that never had its turn was neither compared nor answered, so its client learns nothing.
    /// The client gains no time either, since the spacing counts from the last verification. A confirm that had its
    /// turn is no longer in the queue and must be recorded, even if its client has hung up.
    pub fn cancel(&mut self, source: S, id: T) {
        let Some(guesser) = self.guessers.get_mut(&source) else { return };
        let before = guesser.waiting.len();
        guesser.waiting.retain(|waiting| *waiting != id);
        if before > 0 && guesser.waiting.is_empty() && self.verifying != Some(source) {
            self.turns.remove(&(guesser.turn, source));
            self.settle(source);
        }
    }

    /// Records that the confirm in turn did not match the pin.
    ///
    /// Returns [`ReplacePin`] from the hundredth failure on, until [`pin_replaced`](GuessLimiter::pin_replaced). Call
    /// [`poll_passed_over`](GuessLimiter::poll_passed_over) next.
    #[must_use]
    pub fn record_failure(&mut self, now: Instant) -> Option<ReplacePin> {
        self.in_total = self.in_total.saturating_add(1);
        if let Some(source) = self.verifying.take()
            && let Some(guesser) = self.guessers.get_mut(&source)
        {
            guesser.in_a_row = guesser.in_a_row.saturating_add(1);
            let spacing = spacing(guesser.in_a_row);
            guesser.turn = now + spacing;
            if spacing >= LONG_SPACING {
                self.passed_over.append(&mut guesser.waiting);
            }
            self.made_up_at = Some(self.made_up_at.map_or(now, |at| at.max(now)) + SPACING_TOGETHER);
            self.settle(source);
        }
        (self.in_total >= MAX_FAILURES).then_some(ReplacePin)
    }

    /// Records that the confirm in turn matched the pin: the next one of its source is verified at once, and some
    /// failures of all sources together are cancelled.
    pub fn record_success(&mut self) {
        self.made_up_at = self.made_up_at.and_then(|at| at.checked_sub(MADE_UP_BY_SUCCESS * SPACING_TOGETHER));
        if let Some(source) = self.verifying.take() {
            self.guessers.entry(source).and_modify(|guesser| guesser.in_a_row = 0);
            self.settle(source);
        }
    }

    /// Starts anew for a new pin, and returns the confirms that were waiting.
    ///
    /// Refuse their clients, and all others whose handshake began before: their handshakes still hold the old pin.
    #[must_use]
    pub fn pin_replaced(&mut self) -> Vec<T> {
        let refused = self.guessers.drain().flat_map(|(_, guesser)| guesser.waiting).collect();
        *self = GuessLimiter::default();
        refused
    }

    /// Returns the next confirm to verify, if its turn has come. Verify it at once and record the outcome. `chance` is
    /// a random number.
    pub fn poll_verify(&mut self, now: Instant, chance: u32) -> Option<T> {
        if self.poll_timeout()? > now {
            return None;
        }
        let (_, source) = self.turns.pop_first()?;
        self.verifying = Some(source);
        let waiting = &mut self.guessers.get_mut(&source)?.waiting;
        let newest = waiting.len().checked_sub(1)?;
        let any = usize::try_from(chance / ANY_IN).unwrap_or_default() % waiting.len();
        Some(waiting.remove(if chance.is_multiple_of(ANY_IN) { any } else { newest }))
    }

    /// Returns a confirm that was dropped from the queue. Tell its client to come again after
    /// [`retry_after`](GuessLimiter::retry_after).
    pub fn poll_passed_over(&mut self) -> Option<T> {
        self.passed_over.pop()
    }

    /// Returns when [`poll_verify`](GuessLimiter::poll_verify) will return a confirm, which may be in the past.
    pub fn poll_timeout(&self) -> Option<Instant> {
        if self.verifying.is_some() {
            return None;
        }
        let (turn, _) = self.turns.first()?;
        Some(self.turn_together().map_or(*turn, |together| together.max(*turn)))
    }

    /// Gives the turn of a confirm that was not verified after all to the next one. Neither a failure nor a success is
    /// counted.
    pub fn skip(&mut self) {
        if let Some(source) = self.verifying.take() {
            self.settle(source);
        }
    }

    /// Returns how long a client of a source that has no place should wait, at least a second.
    pub fn retry_after(&self, now: Instant, source: S) -> Duration {
        let own = self.guessers.get(&source).map(|guesser| guesser.turn);
        let turn = own.max(self.turn_together());
        let [least, most] = RETRY_AFTER;
        turn.map_or(least, |turn| turn.saturating_duration_since(now) / 2).clamp(least, most)
    }

    /// Returns how many guesses failed since the pin was made.
    pub fn failures(&self) -> u32 {
        self.in_total
    }

    /// Returns when all sources together may have another failure, unless that is long past.
    fn turn_together(&self) -> Option<Instant> {
        self.made_up_at?.checked_sub((FREE_TOGETHER - 1) * SPACING_TOGETHER)
    }

    /// Puts a source that is in neither list into the right one.
    fn settle(&mut self, source: S) {
        let Some(guesser) = self.guessers.get(&source) else { return };
        if !guesser.waiting.is_empty() {
            self.turns.insert((guesser.turn, source));
        } else if guesser.in_a_row > 0 {
            self.quiet.insert((guesser.turn, source));
        } else {
            self.guessers.remove(&source);
        }
        if self.quiet.len() > MAX_QUIET
            && let Some((_, forgotten)) = self.quiet.pop_first()
        {
            self.guessers.remove(&forgotten);
        }
    }
}

/// Returns the time between two verifications of a source after this many failures in a row.
fn spacing(failures: u32) -> Duration {
    if failures < FREE_FAILURES {
        return Duration::ZERO;
    }
    let factor = 1u32.checked_shl(failures - FREE_FAILURES).unwrap_or(u32::MAX);
    FIRST_SPACING.saturating_mul(factor).min(MAX_SPACING)
}

#[cfg(test)]
#[path = "limiter_tests.rs"]
mod tests;
