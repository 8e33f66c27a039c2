use super::*;
use crate::session::link::Cipher;

const SECOND: Duration = Duration::from_secs(1);
const P2P_TIMEOUT: Duration = Duration::from_secs(10);

/// A client that wants nothing, on a direct path or a relay.
fn quiet(now: Instant, link: Option<&Link>) -> Facts<'_> {
    Facts {
        role: Role::Client,
        state: State::Established,
        is_going_away: false,
        active: ActiveCarrier::Relay { ask_at: None, trouble_at: None },
        is_ready: true,
        opened_at: Some(now),
        link,
        attempt_ends_at: None,
        p2p_timeout: P2P_TIMEOUT,
        may_connect: true,
        may_relay: true,
        offer_at: None,
        relay_at: None,
        retry_at: None,
    }
}

fn direct(now: Instant) -> ActiveCarrier {
    ActiveCarrier::Direct { carrier: 2, trouble_at: now + SECOND, is_used_up: false }
}

/// The timers that are set, and their times.
fn set(facts: &Facts<'_>) -> Vec<(Timer, Instant)> {
    let timers = wants(facts);
    let all = [&[Timer::State, Timer::Attempt], &Timer::PATH[..], &Timer::PURSUIT[..]].concat();
    let times = all.into_iter().filter_map(|timer| Some((timer, timers.get(timer)?)));
    let times: Vec<(Timer, Instant)> = times.collect();
    assert_eq!(timers.next(), times.iter().map(|(_, at)| *at).min());
    times
}

#[test]
fn a_direct_path_is_watched_and_needs_nothing_else() {
    let now = Instant::now();
    let link = Link::new(now, None, Cipher::Plain);
    let facts = Facts { active: direct(now), relay_at: Some(now), retry_at: Some(now), ..quiet(now, Some(&link)) };
    assert_eq!(set(&facts), [(Timer::DirectTrouble, now + SECOND), (Timer::LinkDone, now)]);
    assert_eq!(set(&Facts { link: None, ..facts }), [(Timer::DirectTrouble, now + SECOND)]);
}

#[test]
fn a_client_asks_for_another_connection_when_one_is_used_up() {
    let now = Instant::now();
    let link = Link::new(now, None, Cipher::Plain);
    let active = ActiveCarrier::Direct { carrier: 2, trouble_at: now + SECOND, is_used_up: true };
    let facts = Facts { active, relay_at: Some(now), ..quiet(now, Some(&link)) };
    let trouble = (Timer::DirectTrouble, now + SECOND);
    assert_eq!(set(&facts), [trouble, (Timer::AskOffer, now)]);
    assert_eq!(set(&Facts { retry_at: Some(now + SECOND * 30), ..facts })[1], (Timer::AskOffer, now + SECOND * 30));
    assert_eq!(set(&Facts { attempt_ends_at: Some(now + SECOND), ..facts })[2..], []);
    assert_eq!(set(&Facts { role: Role::Host, ..facts }), [trouble, (Timer::LinkDone, now)]);
    // Wait for a carrier that opened.
    let active = ActiveCarrier::Direct { carrier: 3, trouble_at: now + SECOND, is_used_up: false };
    let times = set(&Facts { active, is_ready: false, ..facts });
    assert_eq!(times, [trouble, (Timer::Unready, now + READY_TIMEOUT)]);
}

#[test]
fn a_host_keeps_the_link_of_a_client_that_joined_again_until_a_further_carrier_opened() {
    let now = Instant::now();
    for (carrier, is_done) in [(None, true), (Some(1), true), (Some(2), false)] {
        let link = Link::new(now, carrier, Cipher::Plain);
        let facts = Facts { role: Role::Host, active: direct(now), ..quiet(now, Some(&link)) };
        assert_eq!(set(&facts).contains(&(Timer::LinkDone, now)), is_done, "{carrier:?}");
    }
}

#[test]
fn a_host_makes_an_offer_when_one_may_be_made_and_starts_nothing() {
    let now = Instant::now();
    let link = Link::new(now, None, Cipher::Plain);
    let facts = Facts {
        role: Role::Host,
        offer_at: Some(now + SECOND),
        relay_at: Some(now),
        retry_at: Some(now),
        ..quiet(now, Some(&link))
    };
    assert_eq!(set(&facts), [(Timer::Offer, now + SECOND)]);
}

#[test]
fn a_client_without_a_direct_path_relays_and_asks_as_far_as_both_sides_allow() {
    let now = Instant::now();
    let mut link = Link::new(now, None, Cipher::Plain);
    let state = State::Recovering { since: now, deadline: now + SECOND * 60 };
    let wanted = |link: &Link, may_relay, may_connect, attempt_ends_at| {
        let active = ActiveCarrier::Nothing;
        let (relay_at, retry_at) = (Some(now), Some(now + SECOND));
        let facts = quiet(now, Some(link));
        let facts = Facts { state, active, may_relay, may_connect, attempt_ends_at, relay_at, retry_at, ..facts };
        set(&facts).into_iter().map(|(timer, _)| timer).filter(|timer| Timer::PURSUIT.contains(timer)).collect()
    };
    let nothing: [Timer; 0] = [];
    let check = |actual: Vec<Timer>, expected: &[Timer]| assert_eq!(actual, expected);
    check(wanted(&link, true, true, None), &[Timer::StartRelay, Timer::AskOffer]);
    check(wanted(&link, false, true, None), &[Timer::AskOffer]);
    check(wanted(&link, true, false, None), &[Timer::StartRelay]);
    check(wanted(&link, true, true, Some(now + P2P_TIMEOUT)), &[Timer::StartRelay]);
    link.begin_relay();
    check(wanted(&link, true, true, None), &[Timer::AskOffer]);
    link.suspect();
    check(wanted(&link, true, true, None), &nothing);
}

#[test]
fn a_channel_that_opened_has_time_to_answer_before_a_relay_is_started() {
    let now = Instant::now();
    let link = Link::new(now, None, Cipher::Plain);
    let state = State::Connecting { deadline: now + SECOND * 25 };
    let facts = Facts { state, relay_at: Some(now + SECOND), is_ready: false, ..quiet(now, Some(&link)) };
    for (opened_at, due) in [(None, now + SECOND), (Some(now), now + ANSWER_TIMEOUT)] {
        let facts = Facts { opened_at, link: Some(&link), ..facts };
        assert_eq!(set(&facts), [(Timer::State, now + SECOND * 25), (Timer::StartRelay, due)]);
    }
}

#[test]
fn a_silent_relay_is_asked_and_suspected_once() {
    let now = Instant::now();
    let mut link = Link::new(now, None, Cipher::Plain);
    let active = ActiveCarrier::Relay { ask_at: Some(now + SECOND), trouble_at: Some(now + SECOND * 5) };
    let both = [(Timer::AskRelay, now + SECOND), (Timer::RelaySilent, now + SECOND * 5)];
    assert_eq!(set(&Facts { active, ..quiet(now, Some(&link)) }), both);
    link.suspect();
    assert_eq!(set(&Facts { active, ..quiet(now, Some(&link)) }), both[..1]);
}

#[test]
fn without_a_path_the_link_is_believed_as_long_as_an_attempt_lasts() {
    let now = Instant::now();
    let link = Link::new(now, None, Cipher::Plain);
    let deadline = now + SECOND * 60;
    let facts = Facts {
        state: State::Recovering { since: now, deadline },
        active: ActiveCarrier::Nothing,
        ..quiet(now, Some(&link))
    };
    assert_eq!(set(&facts), [(Timer::State, deadline), (Timer::LinkSilent, now + P2P_TIMEOUT)]);
}

#[test]
fn a_carrier_that_is_lost_or_does_not_get_ready_is_given_up_unless_the_session_ends() {
    let now = Instant::now();
    let none = Facts { active: ActiveCarrier::Nothing, is_ready: false, ..quiet(now, None) };
    assert_eq!(set(&none), [(Timer::NoCarrier, now)]);
    let unready = Facts { is_ready: false, ..quiet(now, None) };
    assert_eq!(set(&unready), [(Timer::Unready, now + READY_TIMEOUT)]);
    for facts in [none, unready] {
        assert_eq!(set(&Facts { is_going_away: true, ..facts }), []);
    }
}

#[test]
fn a_session_that_ends_wants_nothing_but_its_end() {
    let now = Instant::now();
    let link = Link::new(now, None, Cipher::Plain);
    let all = || Facts {
        active: direct(now),
        attempt_ends_at: Some(now),
        offer_at: Some(now),
        relay_at: Some(now),
        retry_at: Some(now),
        ..quiet(now, Some(&link))
    };
    let closing = State::Closing { deadline: now + SECOND };
    assert_eq!(set(&Facts { state: closing, ..all() }), [(Timer::State, now + SECOND)]);
    assert_eq!(set(&Facts { state: State::Closed, ..all() }), []);
}
