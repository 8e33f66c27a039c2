//! Slows down guesses of the user name and password of a published service, or of a `-D` proxy.
//!
//! Only verifying a login tells whether it is right, so verification is what waits, and a right login waits with the
//! others. A few wrong ones cost nothing. After that, the time between two verifications grows, for each source and for
//! all together. Of the waiting logins, those of sources with the fewest failures come first; within one source, the
//! choice is random. So an honest visitor is next while others guess; beside somebody who guesses from the same
//! address, it is as likely to be next as any guess.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::{Duration, Instant};

/// Wrong logins that cost no waiting, of one source and of all together: people mistype.
const FREE: u32 = 5;
const FREE_TOGETHER: u32 = 50;

/// The spacing after the first wrong login of a source that costs waiting. It doubles with each further one, up to the
/// second value.
const FIRST_SPACING: Duration = Duration::from_millis(250);
const MAX_SPACING: Duration = Duration::from_secs(1);

/// The same for all sources together, where it doubles with each hundred failures.
const FIRST_TOGETHER: Duration = Duration::from_millis(50);
const MAX_TOGETHER: Duration = Duration::from_secs(1);
const STEP_TOGETHER: u32 = 100;

/// Wrong logins are forgotten after this long without another.
const MEMORY: Duration = Duration::from_secs(15 * 60);

/// Maximum number of sources that are remembered. Beyond it, the source whose last wrong login is the longest ago is
/// forgotten.
const MAX_SOURCES: usize = 256;

/// Maximum number of waiting logins, of one source and together. Beyond it, one of the source with the most is dropped.
const MAX_WAITING_EACH: usize = 8;
const MAX_WAITING: usize = 64;

/// Decides which login is verified, and when. `T` names a waiting login, `S` a source.
#[derive(Debug)]
pub struct LoginLimiter<T, S> {
    sources: HashMap<S, Failures>,
    together: Failures,
    waiting: Vec<Waiting<T, S>>,
    /// Wrong logins that were verified so far.
    total: u64,
}

/// Wrong logins in a row, without a long pause.
#[derive(Debug, Clone, Copy, Default)]
struct Failures {
    count: u32,
    last: Option<Instant>,
}

#[derive(Debug)]
struct Waiting<T, S> {
    id: T,
    source: S,
    since: Instant,
}

impl Failures {
    fn is_forgotten(&self, now: Instant) -> bool {
        self.last.is_none_or(|last| now.saturating_duration_since(last) >= MEMORY)
    }

    fn add(&mut self, now: Instant) {
        let before = if self.is_forgotten(now) { 0 } else { self.count };
        *self = Failures { count: before.saturating_add(1), last: Some(now) };
    }

    /// Returns when the next verification may be, if not at once.
    fn next(&self, spacing: impl Fn(u32) -> Duration) -> Option<Instant> {
        Some(self.last? + spacing(self.count))
    }
}

impl<T, S> Default for LoginLimiter<T, S> {
    fn default() -> LoginLimiter<T, S> {
        LoginLimiter { sources: HashMap::new(), together: Failures::default(), waiting: Vec::new(), total: 0 }
    }
}

impl<T: Copy + PartialEq, S: Copy + Eq + Hash> LoginLimiter<T, S> {
    /// Tells whether a login of this source may be verified at once.
    pub fn is_free(&self, now: Instant, source: S) -> bool {
        self.waiting.is_empty() && self.turn_of(source).is_none_or(|turn| turn <= now)
    }

    /// Queues a login. If too many wait, returns the one that is dropped, which may be the new one. `chance` is a
    /// random number.
    #[must_use]
    pub fn wait(&mut self, now: Instant, id: T, source: S, chance: u32) -> Option<T> {
        self.waiting.push(Waiting { id, source, since: now });
        let of = |source: S| self.waiting.iter().filter(move |waiting| waiting.source == source).count();
        let crowded = if of(source) > MAX_WAITING_EACH {
            source
        } else if self.waiting.len() > MAX_WAITING {
            self.waiting.iter().map(|waiting| waiting.source).max_by_key(|source| of(*source))?
        } else {
            return None;
        };
        self.take(crowded, chance)
    }

    /// Forgets a login that no longer waits. It was never compared, so it does not count as a guess.
    pub fn cancel(&mut self, id: T) {
        self.waiting.retain(|waiting| waiting.id != id);
    }

    /// Returns the next login to verify, until `None`. Report its outcome before the next call.
    pub fn poll_turn(&mut self, now: Instant, chance: u32) -> Option<T> {
        let is_due = |waiting: &&Waiting<T, S>| self.turn_of(waiting.source).is_none_or(|turn| turn <= now);
        let due = self.waiting.iter().filter(is_due);
        let first = due.min_by_key(|waiting| (self.failures_of(waiting.source), waiting.since))?;
        self.take(first.source, chance)
    }

    /// Returns when the next login has its turn.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.waiting.iter().map(|waiting| self.turn_of(waiting.source).unwrap_or(waiting.since)).min()
    }

    /// Counts a wrong login. Returns the count if it should be reported: for the first, the tenth, the hundredth and so
    /// on.
    pub fn failed(&mut self, now: Instant, source: S) -> Option<u64> {
        if self.sources.len() >= MAX_SOURCES && !self.sources.contains_key(&source) {
            let oldest = self.sources.iter().min_by_key(|(_, failures)| failures.last).map(|(source, _)| *source);
            oldest.map(|oldest| self.sources.remove(&oldest));
        }
        self.sources.entry(source).or_default().add(now);
        self.together.add(now);
        self.total += 1;
        let is_round = self.total == 10u64.pow(self.total.ilog10());
        is_round.then_some(self.total)
    }

    /// Returns the number of wrong logins so far.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// Tells whether nothing is left that would slow a login down.
    pub fn is_forgotten(&self, now: Instant) -> bool {
        self.waiting.is_empty() && self.together.is_forgotten(now)
    }

    fn turn_of(&self, source: S) -> Option<Instant> {
        let own = self.sources.get(&source).and_then(|failures| failures.next(spacing));
        own.max(self.together.next(spacing_together))
    }

    fn failures_of(&self, source: S) -> u32 {
        self.sources.get(&source).map_or(0, |failures| failures.count)
    }

    /// Removes one login of a source and returns it.
    fn take(&mut self, source: S, chance: u32) -> Option<T> {
        let those = self.waiting.iter().enumerate().filter(|(_, waiting)| waiting.source == source);
        let those: Vec<usize> = those.map(|(place, _)| place).collect();
        let place = *those.get(chance as usize % those.len().max(1))?;
        Some(self.waiting.remove(place).id)
    }
}

/// Returns the time from the last wrong login of a source to its next verification.
fn spacing(failures: u32) -> Duration {
    doubled(FIRST_SPACING, failures.checked_sub(FREE + 1), MAX_SPACING)
}

fn spacing_together(failures: u32) -> Duration {
    let beyond = failures.checked_sub(FREE_TOGETHER + 1);
    doubled(FIRST_TOGETHER, beyond.map(|beyond| beyond / STEP_TOGETHER), MAX_TOGETHER)
}

fn doubled(first: Duration, times: Option<u32>, most: Duration) -> Duration {
    let Some(times) = times else { return Duration::ZERO };
    first.saturating_mul(1 << times.min(16)).min(most)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    type Limiter = LoginLimiter<u64, u8>;

    /// Makes a wrong guess as soon as the limiter allows; returns the time.
    fn guess(limiter: &mut Limiter, now: Instant, source: u8) -> Instant {
        if limiter.is_free(now, source) {
            limiter.failed(now, source);
            return now;
        }
        assert_eq!(limiter.wait(now, 7, source, 0), None);
        let turn = limiter.poll_timeout().unwrap().max(now);
        assert_eq!(limiter.poll_turn(turn, 0), Some(7));
        limiter.failed(turn, source);
        turn
    }

    #[test]
    fn a_few_are_free_and_then_the_spacing_grows_to_its_bound() {
        let start = Instant::now();
        let (mut now, mut limiter, mut gaps) = (start, Limiter::default(), Vec::new());
        for _ in 0..12 {
            let turn = guess(&mut limiter, now, 1);
            gaps.push((turn - now).as_millis());
            now = turn;
        }
        assert_eq!(gaps, [0, 0, 0, 0, 0, 0, 250, 500, 1000, 1000, 1000, 1000]);
        while now < start + Duration::from_secs(3600) {
            now = guess(&mut limiter, now, 1);
        }
        assert!((3550..3620).contains(&limiter.total()), "{} guesses in an hour", limiter.total());
    }

    #[test]
    fn many_sources_are_slowed_together() {
        let start = Instant::now();
        let (mut now, mut limiter) = (start, Limiter::default());
        for number in 0..u64::MAX {
            now = guess(&mut limiter, now, (number % 200) as u8);
            if now >= start + Duration::from_secs(3600) {
                break;
            }
        }
        assert!((3600..4300).contains(&limiter.total()), "{} guesses in an hour", limiter.total());
        // A source without failures is next.
        for (id, source) in [(1, 3), (2, 4), (3, 250)] {
            assert_eq!(limiter.wait(now, id, source, 0), None);
        }
        let turn = limiter.poll_timeout().unwrap();
        assert!(turn - now <= MAX_TOGETHER);
        assert_eq!(limiter.poll_turn(turn, 0), Some(3));
        // A right login delays nobody.
        assert!(limiter.poll_turn(turn, 0).is_some());
    }

    #[test]
    fn another_source_is_not_slowed() {
        let (mut now, mut limiter) = (Instant::now(), Limiter::default());
        for _ in 0..20 {
            now = guess(&mut limiter, now, 1);
        }
        assert!(!limiter.is_free(now, 1) && limiter.is_free(now, 2));
        assert_eq!(limiter.wait(now, 1, 1, 0), None);
        assert_eq!(limiter.wait(now, 2, 2, 0), None);
        assert_eq!((limiter.poll_timeout(), limiter.poll_turn(now, 0)), (Some(now), Some(2)));
        assert_eq!(limiter.poll_turn(now, 0), None);
        limiter.cancel(1);
        assert_eq!(limiter.poll_timeout(), None);
        assert!(!limiter.is_forgotten(now) && limiter.is_forgotten(now + MEMORY));
        assert!(limiter.is_free(now + MAX_SPACING, 1));
    }

    #[test]
    fn within_a_source_chance_decides() {
        let (mut now, mut limiter) = (Instant::now(), Limiter::default());
        for _ in 0..10 {
            now = guess(&mut limiter, now, 1);
        }
        for id in 0..MAX_WAITING_EACH as u64 {
            assert_eq!(limiter.wait(now, id, 1, 0), None);
        }
        assert_eq!(limiter.wait(now, 8, 1, 8), Some(8), "the last that came");
        assert_eq!(limiter.wait(now, 9, 1, 0), Some(0), "the first");
        assert_eq!(limiter.poll_turn(now + MAX_SPACING, 7), Some(9));
    }

    #[test]
    fn what_is_said_is_said_seldom() {
        let (now, mut limiter) = (Instant::now(), Limiter::default());
        let said: Vec<u64> = (0..20_000).filter_map(|_| limiter.failed(now, 1)).collect();
        assert_eq!(said, [1, 10, 100, 1000, 10_000]);
    }

    proptest! {
        /// In any order of events, the tables keep their limits and wrong logins keep their spacing.
        #[test]
        fn no_order_of_events_outruns_the_spacing(events in prop::collection::vec((0..4u8, any::<u8>(), 0..3000u64), 0..600)) {
            let mut now = Instant::now();
            let mut limiter = Limiter::default();
            let mut last: HashMap<u8, (Instant, u32)> = HashMap::new();
            for (number, (event, source, value)) in events.into_iter().enumerate() {
                let source = source % 5;
                let verified = match event {
                    0 if limiter.is_free(now, source) => Some(source),
                    0 => {
                        let id = number as u64 * 8 + u64::from(source);
                        let _ = limiter.wait(now, id, source, value as u32);
                        None
                    }
                    1 => {
                        now += Duration::from_millis(value);
                        None
                    }
                    _ => limiter.poll_turn(now, value as u32).map(|id| (id % 8) as u8),
                };
                if let Some(source) = verified {
                    let (at, count) = last.get(&source).copied().unwrap_or((now, 0));
                    prop_assert!(now - at >= spacing(count));
                    limiter.failed(now, source);
                    last.insert(source, (now, count + 1));
                }
                prop_assert!(limiter.waiting.len() <= MAX_WAITING && limiter.sources.len() <= MAX_SOURCES);
                prop_assert_eq!(limiter.poll_timeout().is_some(), !limiter.waiting.is_empty());
            }
        }
    }
}
