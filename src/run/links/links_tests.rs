//! Steps, their deadlines, and notices of links, in virtual time.

use std::time::Duration;

use super::{LinkKey, Links, Wake};
use crate::run::deadlines::Due;
use crate::run::notice::{LinkNotice, Notice};
use crate::run::turn::Turn;

const STEP: Duration = Duration::from_secs(10);

/// A loop, and a link without a socket that has begun its first step.
fn begun() -> (Turn, Links<&'static str>, LinkKey) {
    let mut turn = Turn::new(Box::new(|_| {})).unwrap();
    let mut links = Links::new();
    let key = links.converse(&mut turn, 1, ([192, 0, 2, 1], 1).into(), "phase", STEP);
    (turn, links, key)
}

/// Advances the time, and returns the links whose step took too long.
fn pass(turn: &mut Turn, links: &mut Links<&'static str>, time: Duration) -> Vec<Wake> {
    turn.now += time;
    let mut late = Vec::new();
    while let Some(due) = turn.poll_due() {
        let Due::Link { link, step } = due else { continue };
        late.extend(links.handle(LinkNotice::Due { link, step }));
    }
    late
}

#[test]
fn a_step_is_late_once_its_time_is_up() {
    let (mut turn, mut links, key) = begun();
    assert_eq!(pass(&mut turn, &mut links, STEP - Duration::from_millis(1)), []);
    assert_eq!(pass(&mut turn, &mut links, Duration::from_millis(1)), [Wake::Late(key)]);
    assert_eq!(pass(&mut turn, &mut links, STEP), [], "it is reported once");
}

#[test]
fn the_deadline_of_a_step_before_is_nobodys() {
    let (mut turn, mut links, key) = begun();
    assert_eq!(pass(&mut turn, &mut links, STEP / 2), []);
    links.begin_step(&mut turn, key, STEP);
    assert_eq!(pass(&mut turn, &mut links, STEP / 2), [], "the first step is over");
    assert_eq!(pass(&mut turn, &mut links, STEP / 2), [Wake::Late(key)]);
    links.begin_step(&mut turn, key, STEP);
    links.begin_endless_step(key);
    assert_eq!(pass(&mut turn, &mut links, STEP * 9), []);
}

#[test]
fn what_is_meant_for_a_link_that_is_gone_is_not_the_next_ones() {
    let (mut turn, mut links, first) = begun();
    links.poll_later(&mut turn, first);
    assert_eq!(links.remove(&turn, first).map(|link| link.phase), Some("phase"));
    let second = links.converse(&mut turn, 2, ([192, 0, 2, 2], 2).into(), "phase", STEP * 2);
    assert_eq!(first.slot(), second.slot());
    let Some(Notice::Link(notice)) = turn.notices.pop_front() else { panic!("no notice") };
    assert_eq!(links.handle(notice), None);
    assert_eq!(pass(&mut turn, &mut links, STEP), []);
    assert_eq!(pass(&mut turn, &mut links, STEP), [Wake::Late(second)]);
}

#[test]
fn a_link_is_polled_later_once_however_often_that_is_wanted() {
    let (mut turn, mut links, key) = begun();
    (0..3).for_each(|_| links.poll_later(&mut turn, key));
    assert_eq!(turn.notices.len(), 1);
    let Some(Notice::Link(notice)) = turn.notices.pop_front() else { panic!("no notice") };
    assert_eq!(links.handle(notice), Some(Wake::Ready(key)));
    links.poll_later(&mut turn, key);
    assert_eq!(turn.notices.len(), 1, "it may be queued again");
}

#[test]
fn a_conversation_has_nothing_that_could_end_or_be_silent() {
    let (mut turn, mut links, key) = begun();
    assert!(!links.close(&mut turn, key, 1000, "done") && links.contains(key));
    assert!((0..9).all(|_| links.keep_alive(|_| true).is_empty()));
    assert!(links.poll(&mut turn, key).is_none() && links.bound_to(&[[192, 0, 2, 1].into()]).is_empty());
    assert_eq!((links[key].conversation(), links[key].buffered()), (Some(1), 0));
}
