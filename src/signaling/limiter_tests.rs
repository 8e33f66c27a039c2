use proptest::prelude::*;

use super::*;
use crate::signaling::exposure::Exposure;

fn source(number: u16) -> Source {
    let [high, low] = number.to_be_bytes();
    Source::of([198, 18, high, low].into())
}

/// A chance that gives the newest confirm its turn.
const NEWEST: u32 = 1;

/// Any source, where it does not matter.
fn here() -> Source {
    source(0)
}

/// Makes one guess of a source fail as early as the limiter allows. Returns the time and whether the pin is used up.
fn guess_from(limiter: &mut GuessLimiter<u64>, now: Instant, source: Source) -> (Instant, Option<ReplacePin>) {
    limiter.enqueue(now, source, 0);
    let turn = limiter.poll_timeout().unwrap().max(now);
    assert_eq!(limiter.poll_verify(turn, NEWEST), Some(0));
    (turn, limiter.record_failure(turn))
}

fn guess(limiter: &mut GuessLimiter<u64>, now: Instant) -> (Instant, Option<ReplacePin>) {
    guess_from(limiter, now, here())
}

#[test]
fn a_confirm_that_vanished_in_its_turn_holds_nobody_up() {
    let mut limiter = GuessLimiter::<u64>::default();
    let now = Instant::now();
    limiter.enqueue(now, here(), 1);
    limiter.enqueue(now, here(), 2);
    assert_eq!(limiter.poll_verify(now, NEWEST), Some(2));
    assert_eq!(limiter.poll_verify(now, NEWEST), None);
    limiter.skip();
    assert_eq!(limiter.poll_verify(now, NEWEST), Some(1));
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
fn confirms_are_verified_one_at_a_time_the_newest_of_a_source_first() {
    let now = Instant::now();
    let mut limiter = GuessLimiter::new();
    assert_eq!(limiter.poll_timeout(), None);
    limiter.enqueue(now, here(), 1u64);
    limiter.enqueue(now, here(), 2);
    limiter.enqueue(now, here(), 1);
    assert_eq!(limiter.poll_verify(now, NEWEST), Some(2));
    assert_eq!(limiter.poll_verify(now, NEWEST), None, "the first is not recorded yet");
    assert_eq!(limiter.poll_timeout(), None);
    limiter.record_success();
    assert_eq!(limiter.poll_verify(now, NEWEST), Some(1));
    limiter.record_success();
    assert_eq!(limiter.poll_verify(now, NEWEST), None);
    assert!(limiter.guessers.is_empty(), "nothing needs to be remembered");
}

#[test]
fn guesses_are_slowed_and_a_success_ends_that() {
    let mut now = Instant::now();
    let mut limiter = GuessLimiter::new();
    for _ in 0..4 {
        (now, _) = guess(&mut limiter, now);
    }
    limiter.enqueue(now, here(), 8);
    limiter.enqueue(now, here(), 7);
    assert_eq!(limiter.poll_timeout(), Some(now + Duration::from_millis(500)));
    assert_eq!(limiter.poll_verify(now + Duration::from_millis(499), NEWEST), None);
    now += Duration::from_millis(500);
    assert_eq!(limiter.poll_verify(now, NEWEST), Some(7));
    limiter.record_success();
    assert!(limiter.poll_timeout() <= Some(now));
    assert_eq!(limiter.poll_verify(now, NEWEST), Some(8));
}

#[test]
fn one_who_guesses_makes_nobody_wait_who_comes_from_elsewhere() {
    let mut now = Instant::now();
    let mut limiter = GuessLimiter::new();
    for _ in 0..FREE_FAILURES {
        (now, _) = guess(&mut limiter, now);
    }
    // One that guesses for an hour, with more confirms waiting.
    for _ in 0..90 {
        (now, _) = guess(&mut limiter, now);
        limiter.enqueue(now, here(), 1);
        limiter.enqueue(now, source(1), 2);
        assert_eq!(limiter.poll_timeout(), Some(now));
        assert_eq!(limiter.poll_verify(now, NEWEST), Some(2));
        limiter.skip();
        limiter.cancel(here(), 1);
    }
}

#[test]
fn many_who_guess_have_one_pace_together_and_take_turns_with_everybody_else() {
    let now = Instant::now();
    let mut limiter = GuessLimiter::new();
    for number in 0..32 {
        assert_eq!(guess_from(&mut limiter, now, source(number)), (now, None));
    }
    let (turn, _) = guess_from(&mut limiter, now, source(100));
    assert_eq!(turn, now + SPACING_TOGETHER);
    for number in 0..32 {
        limiter.enqueue(turn, source(number), 1);
    }
    let honest = source(200);
    limiter.enqueue(turn, honest, 2);
    assert_eq!(limiter.retry_after(turn, honest), RETRY_AFTER[1]);
    let mut verified = Vec::new();
    while !verified.contains(&2) {
        let turn = limiter.poll_timeout().unwrap();
        verified.extend(limiter.poll_verify(turn, NEWEST));
        let _ = limiter.record_failure(turn);
    }
    assert!(verified.len() <= 33, "each source has one turn before the first has its second");
    // A success cancels some failures.
    limiter.enqueue(turn, honest, 3);
    let turn = limiter.poll_timeout().unwrap();
    while limiter.poll_verify(turn, NEWEST) != Some(3) {
        limiter.skip();
    }
    limiter.record_success();
    // One turn was due anyway.
    for number in 300..=300 + u16::try_from(MADE_UP_BY_SUCCESS).unwrap() {
        assert_eq!(guess_from(&mut limiter, turn, source(number)), (turn, None));
    }
    assert!(guess_from(&mut limiter, turn, source(400)).0 > turn);
}

#[test]
fn a_client_is_told_when_to_come_again() {
    let now = Instant::now();
    let mut limiter = GuessLimiter::new();
    assert_eq!(limiter.retry_after(now, here()), RETRY_AFTER[0], "whole seconds, and no less than one");
    let mut turn = now;
    for _ in 0..6 {
        (turn, _) = guess(&mut limiter, turn);
    }
    assert_eq!(limiter.retry_after(turn, here()), Duration::from_secs(1), "half of what its turn takes");
    for _ in 0..9 {
        (turn, _) = guess(&mut limiter, turn);
    }
    assert_eq!(limiter.retry_after(turn, here()), RETRY_AFTER[1]);
    assert_eq!(limiter.retry_after(turn, source(1)), RETRY_AFTER[0]);
}

#[test]
fn those_who_are_passed_over_come_again_if_the_next_turn_is_far() {
    let mut now = Instant::now();
    let mut limiter = GuessLimiter::new();
    for count in 1..=6 {
        for id in 0..5 {
            limiter.enqueue(now, here(), id);
        }
        now = limiter.poll_timeout().unwrap().max(now);
        assert_eq!(limiter.poll_verify(now, NEWEST), Some(4));
        let _ = limiter.record_failure(now);
        let passed_over: Vec<u64> = std::iter::from_fn(|| limiter.poll_passed_over()).collect();
        let expected = if count < 6 { vec![] } else { vec![3, 2, 1, 0] };
        assert_eq!(passed_over, expected, "after {count} failures");
        limiter.enqueue(now, source(1), 9);
        limiter.cancel(source(1), 9);
    }
    assert_eq!(limiter.poll_timeout(), None);
}

#[test]
fn one_turn_in_four_goes_to_any() {
    let now = Instant::now();
    let mut counts = [0; 4];
    for chance in 0..160 {
        let mut limiter = GuessLimiter::new();
        for id in 0..4u64 {
            limiter.enqueue(now, here(), id);
        }
        let id = limiter.poll_verify(now, chance).unwrap();
        counts[usize::try_from(id).unwrap()] += 1;
    }
    assert_eq!(counts, [10, 10, 10, 130]);
}

/// Clients of one address: one knows the pin and comes again when told to, and the others always hold wrong confirms.
/// Returns how long it takes until the first is let in, after `before` failures in a row.
fn beside_guessers(guessers: u64, before: u32, seed: u64) -> Duration {
    const HONEST: u64 = u64::MAX;
    let mut chance = seed;
    let mut roll = move || {
        chance = chance.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        u32::try_from(chance >> 32).unwrap()
    };
    let mut now = Instant::now();
    let mut limiter = GuessLimiter::new();
    for _ in 0..before {
        (now, _) = guess(&mut limiter, now);
    }
    let start = now;
    let mut coming: BTreeSet<(Instant, u64)> = (1..=guessers).map(|id| (now, id)).collect();
    coming.insert((now + Duration::from_millis(u64::from(roll() % 1000)), HONEST));
    loop {
        let next = coming.first().map(|(at, _)| *at).into_iter().chain(limiter.poll_timeout()).min().unwrap();
        now = now.max(next);
        while let Some((_, id)) = coming.first().copied().filter(|(at, _)| *at <= now) {
            coming.pop_first();
            limiter.enqueue(now, here(), id);
        }
        while let Some(id) = limiter.poll_verify(now, roll()) {
            if id == HONEST {
                return now - start;
            }
            let _ = limiter.record_failure(now);
            // It comes again at once, as do those that are passed over.
            coming.insert((now + Duration::from_millis(5), id));
            let told = limiter.retry_after(now, here());
            while let Some(id) = limiter.poll_passed_over() {
                let wait = if id == HONEST { told } else { Duration::from_millis(300) };
                coming.insert((now + wait + Duration::from_millis(u64::from(roll() % 50)), id));
            }
        }
    }
}

#[test]
fn of_ten_clients_beside_forty_guessers_of_their_address_eight_get_in_within_thirty_seconds() {
    let mut failed = 0;
    for seed in 0..100 {
        let prompt = |number: u32| {
            let before = if number == 0 { 9 } else { 0 };
            beside_guessers(40, before, seed * 100 + u64::from(number)) <= Duration::from_secs(30)
        };
        failed += u32::from((0..10).filter(|number| prompt(*number)).count() < 8);
    }
    assert_eq!(failed, 0, "of a thousand");
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
        limiter.enqueue(now, here(), id);
        assert_eq!(limiter.poll_timeout(), Some(turn));
        limiter.cancel(here(), id);
    }
    assert_eq!(limiter.poll_timeout(), None);
    assert_eq!(limiter.failures(), 5, "nothing was verified");

    limiter.enqueue(now, here(), 1);
    assert_eq!(limiter.poll_verify(turn, NEWEST), Some(1));
    limiter.cancel(here(), 1);
    limiter.enqueue(turn, here(), 2);
    assert_eq!(limiter.poll_verify(turn + MAX_SPACING, NEWEST), None, "a turn is paid for even after hanging up");
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
            limiter.enqueue(now, here(), 5);
            assert_eq!(limiter.poll_verify(now, NEWEST), Some(5));
            limiter.record_success();
        }
    }
    limiter.enqueue(now, here(), 1);
    limiter.enqueue(now, here(), 2);
    assert_eq!(limiter.pin_replaced(), [1, 2], "they hold the old pin");
    assert_eq!(limiter.failures(), 0);
    let (turn, replace) = guess(&mut limiter, now);
    assert_eq!((turn, replace), (now, None));
}

/// Number of guesses that fail in an hour that begins with the first.
fn in_an_hour(sources: u16) -> u32 {
    let start = Instant::now();
    let mut limiter = GuessLimiter::new();
    for number in 0..sources {
        limiter.enqueue(start, source(number), 0);
    }
    let is_within = |turn: &Instant| *turn < start + Duration::from_secs(3600);
    while let Some(turn) = limiter.poll_timeout().filter(is_within) {
        limiter.poll_verify(turn, NEWEST).unwrap();
        let from = limiter.verifying.unwrap();
        let _ = limiter.record_failure(turn);
        limiter.enqueue(turn, from, 0);
    }
    limiter.failures()
}

#[test]
fn guesses_of_an_hour_are_few_from_one_source_and_from_ten_thousand() {
    assert_eq!(in_an_hour(1), 69);
    assert_eq!(in_an_hour(2), 138);
    assert_eq!(in_an_hour(10_000), FREE_TOGETHER + 119);
}

/// Number of guesses in `hours` beside a client that uses its pin whenever it may; its success ends the spacing. The
/// guesses come from one address, or each from another, as a forwarder may claim.
fn beside_a_client_that_is_called(hours: u64, is_always_another: bool) -> u32 {
    let start = Instant::now();
    let hour = start + Duration::from_secs(3600 * hours);
    let (mut now, mut limiter, mut exposure) = (start, GuessLimiter::new(), Exposure::default());
    let mut number = 0;
    while now < hour {
        let from = if is_always_another { source(number) } else { here() };
        limiter.enqueue(now, from, 0);
        let is_slowed = limiter.poll_timeout().unwrap() > now;
        if exposure.next(now) <= now && is_slowed {
            exposure.confirmed(now);
            exposure.proven();
            limiter.enqueue(now, from, 1);
            while limiter.poll_verify(now.max(limiter.poll_timeout().unwrap()), NEWEST) != Some(1) {
                limiter.skip();
            }
            limiter.record_success();
        }
        // A client that comes in ends the wait.
        let called = exposure.next(now).max(now);
        limiter.enqueue(now, from, 0);
        let turn = limiter.poll_timeout().unwrap().max(now);
        if called < turn && called > now {
            limiter.cancel(from, 0);
            now = called;
            continue;
        }
        assert_eq!(limiter.poll_verify(turn, NEWEST), Some(0));
        let _ = limiter.record_failure(turn);
        now = turn;
        number = (number + 1) % 10_000;
    }
    limiter.failures()
}

#[test]
fn a_client_that_is_called_for_its_pin_makes_guesses_little_faster() {
    for (is_always_another, first, further) in [(false, 480, 370), (true, 500, 370)] {
        let guesses = [1, 2].map(|hours| beside_a_client_that_is_called(hours, is_always_another));
        assert!(guesses[0] <= first && guesses[1] - guesses[0] <= further, "{is_always_another}: {guesses:?}");
    }
}

#[test]
fn sources_that_failed_are_remembered_within_bounds() {
    let mut limiter = GuessLimiter::new();
    let mut now = Instant::now();
    for number in 0..5000 {
        (now, _) = guess_from(&mut limiter, now, source(number));
        limiter.in_total = 0;
    }
    assert_eq!((limiter.guessers.len(), limiter.quiet.len(), limiter.turns.len()), (MAX_QUIET, MAX_QUIET, 0));
    assert!(limiter.guessers.contains_key(&source(4999)) && !limiter.guessers.contains_key(&source(0)));
}

proptest! {
    /// Whatever clients do, failures in a row of a source keep their spacing, all sources together keep their pace, and
    /// every source is in the right list.
    #[test]
    fn no_order_of_events_outruns_the_spacing(
        events in prop::collection::vec((0..5u8, 0..40u64, 0..20_000u64), 0..400),
    ) {
        let mut now = Instant::now();
        let mut limiter = GuessLimiter::new();
        let mut failed: HashMap<Source, (Instant, u32)> = HashMap::new();
        let start = now;
        let (mut together, mut successes) = (0, 0);
        for (event, id, millis) in events {
            let from = source(u16::try_from(id % 3).unwrap());
            match event {
                0 | 1 => limiter.enqueue(now, from, id),
                2 => limiter.cancel(from, id),
                3 => now += Duration::from_millis(millis),
                _ => {
                    let Some(id) = limiter.poll_verify(now, NEWEST) else { continue };
                    let from = source(u16::try_from(id % 3).unwrap());
                    prop_assert_eq!(limiter.verifying, Some(from));
                    if let Some((at, in_a_row)) = failed.get(&from) {
                        prop_assert!(now - *at >= spacing(*in_a_row));
                    }
                    if id < 3 {
                        limiter.record_success();
                        failed.remove(&from);
                        successes += 1;
                    } else {
                        let _ = limiter.record_failure(now);
                        let in_a_row = failed.get(&from).map_or(0, |(_, in_a_row)| *in_a_row);
                        failed.insert(from, (now, in_a_row + 1));
                        together += 1;
                    }
                    let made_up = (now - start).as_secs() / SPACING_TOGETHER.as_secs();
                    prop_assert!(together <= u64::from(FREE_TOGETHER + MADE_UP_BY_SUCCESS * successes) + made_up);
                }
            }
            let waiting = limiter.guessers.values().filter(|guesser| !guesser.waiting.is_empty()).count();
            prop_assert_eq!(limiter.turns.len(), waiting);
            prop_assert_eq!(limiter.quiet.len() + waiting, limiter.guessers.len());
            prop_assert_eq!(limiter.poll_timeout().is_some(), waiting > 0);
        }
    }
}
