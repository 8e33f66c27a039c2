use proptest::prelude::*;

use super::*;

fn source(number: u8) -> Source {
    Source::of([192, 0, 2, number].into())
}

/// Admits a newcomer as an owner does. Returns who had to go, or `Err` if there was no place.
fn come(shares: &mut Shares<u32>, key: u32, from: u8, standing: Standing, chance: u64) -> Result<Option<u32>, ()> {
    let gone = match shares.admit(source(from), chance) {
        Admission::Free => None,
        Admission::InsteadOf(key) => Some(key),
        Admission::Full => return Err(()),
    };
    gone.into_iter().for_each(|key| shares.leave(key));
    shares.enter(key, source(from), standing);
    Ok(gone)
}

#[test]
fn one_source_gets_half_and_everybody_else_still_gets_in() {
    let mut shares = Shares::new(100);
    for key in 0..1000 {
        let gone = come(&mut shares, key, 1, Standing::Asking, u64::from(key) * 7919).unwrap();
        assert_eq!(gone.is_some(), key >= 50, "{key}");
    }
    assert_eq!(shares.held_by(source(1)), 50);
    for other in 2..=40 {
        assert_eq!(come(&mut shares, 1000 + u32::from(other), other, Standing::Asking, 0), Ok(None));
    }
}

#[test]
fn two_that_want_all_get_as_much() {
    let mut shares = Shares::new(90);
    for key in 0..90 {
        come(&mut shares, key, 1, Standing::Asking, 0).unwrap();
    }
    for key in 1000..2000 {
        come(&mut shares, key, 2, Standing::Asking, 5).unwrap();
    }
    let held = [1, 2].map(|number| shares.held_by(source(number)));
    assert!(held[0].abs_diff(held[1]) <= 1 && shares.len() < 90, "{held:?}");
}

#[test]
fn the_longest_busy_of_the_largest_source_goes_first() {
    let mut shares = Shares::new(4);
    for (key, from) in [(1, 1), (2, 1), (3, 2), (4, 3)] {
        // More than the share of one source, to begin with.
        shares.enter(key, source(from), Standing::Asking);
    }
    assert_eq!(shares.admit(source(9), 0), Admission::InsteadOf(1));
    shares.set(1, Standing::Settled);
    assert_eq!(shares.admit(source(9), 0), Admission::InsteadOf(2));
    shares.set(2, Standing::Settled);
    assert_eq!(shares.admit(source(9), 0), Admission::InsteadOf(2), "of those that are settled, the newest");
    shares.set(1, Standing::Idle);
    assert_eq!(shares.admit(source(9), 0), Admission::InsteadOf(1));
    assert_eq!(shares.first_to_go(), Some(1));
}

#[test]
fn in_a_source_of_its_own_a_newcomer_takes_the_place_of_anybody_who_is_not_settled() {
    let mut shares = Shares::new(8);
    for key in 0..4 {
        come(&mut shares, key, 1, Standing::Asking, 0).unwrap();
    }
    let gone: Vec<_> = (0..4).map(|chance| shares.admit(source(1), chance)).collect();
    assert_eq!(gone, [0, 1, 2, 3].map(Admission::InsteadOf));
    shares.set(3, Standing::Idle);
    for chance in 0..4 {
        assert_eq!(shares.admit(source(1), chance), Admission::InsteadOf(3), "an idle one first");
    }
}

#[test]
fn a_holder_may_turn_out_to_be_another_sources() {
    let mut shares = Shares::new(8);
    shares.enter(1, source(1), Standing::Settled);
    shares.enter(2, source(1), Standing::Asking);
    shares.set_source(1, source(2));
    shares.set_source(2, source(1));
    shares.set_source(3, source(1));
    assert_eq!([1, 2].map(|number| shares.held_by(source(number))), [1, 1]);
    assert_eq!((shares.len(), shares.first_to_go()), (2, Some(2)));
}

#[test]
fn what_is_settled_fills_the_table_and_stays_until_a_smaller_source_comes() {
    let mut shares = Shares::new(10);
    for key in 0..10 {
        assert_eq!(come(&mut shares, key, 1, Standing::Settled, 3), Ok(None));
    }
    assert_eq!(come(&mut shares, 10, 1, Standing::Settled, 3), Err(()), "its own source takes nothing from it");
    let mut in_turn = 0;
    for key in 20..40 {
        in_turn += usize::from(come(&mut shares, key, 2, Standing::Settled, 3).is_ok());
    }
    assert_eq!((in_turn, shares.held_by(source(1)), shares.held_by(source(2))), (5, 5, 5));
    assert_eq!(come(&mut shares, 50, 1, Standing::Settled, 3), Err(()), "the two do not take from each other in turn");
}

proptest! {
    /// In any order of events, no more places are taken than there are, the largest source gives way, and a source that
    /// has less than another gets a place.
    #[test]
    fn places_are_kept_and_shared(
        places in 1..40usize,
        events in prop::collection::vec((0..6u8, 0..60u32, 0..5u8, any::<u64>()), 0..400),
    ) {
        let mut shares = Shares::new(places);
        for (event, key, from, chance) in events {
            let standing = [Standing::Idle, Standing::Asking, Standing::Settled][usize::from(event % 3)];
            match event {
                0 => shares.leave(key),
                1 | 2 => shares.set(key, standing),
                _ if shares.holds(key) => {}
                _ => {
                    let held = shares.held_by(source(from));
                    let most = (0..5).map(|number| shares.held_by(source(number))).max().unwrap_or(0);
                    match come(&mut shares, key, from, standing, chance) {
                        Ok(Some(gone)) => prop_assert!(!shares.holds(gone)),
                        Ok(None) => {}
                        Err(()) => prop_assert!(most <= held + 1, "{most} of one, {held} of its own"),
                    }
                }
            }
            prop_assert!(shares.len() <= places);
            let of_sources: usize = (0..5).map(|number| shares.held_by(source(number))).sum();
            prop_assert_eq!(of_sources, shares.len());
            prop_assert_eq!(shares.sources.len(), shares.ranking.len());
            let largest = shares.ranking.last().map_or(0, |(len, ..)| *len);
            prop_assert_eq!(largest, (0..5).map(|number| shares.held_by(source(number))).max().unwrap_or(0));
        }
    }
}
