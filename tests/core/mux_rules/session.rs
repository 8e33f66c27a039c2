//! HELLO, PING, GOAWAY, and types this version does not know.

use std::time::Duration;

use pinhole::internals::tunnel::frame::{Frame, SessionFrame, kind};
use pinhole::internals::tunnel::mux::DRAIN;
use pinhole::internals::tunnel::{AbortReason, ConnectTarget, Event, GoAwayReason, OpenError, Origin};

use super::rig::{ID, ROOM, Rig, aborted, aborts, close, connect, credit, data, hello, session};

fn go_aways(frames: &[Frame]) -> Vec<GoAwayReason> {
    let reason = |frame: &Frame| match frame {
        Frame::Session(SessionFrame::GoAway(reason, _)) => Some(*reason),
        Frame::Session(_) | Frame::Stream(..) => None,
    };
    frames.iter().filter_map(reason).collect()
}

fn assert_fails(rig: &mut Rig, reason: GoAwayReason) {
    assert_eq!(go_aways(&rig.sent()), [reason]);
    let events = rig.events();
    assert!(matches!(events.last(), Some(Event::Ended(ended, _, Origin::Local)) if *ended == reason), "{events:?}");
    assert!(rig.mux.is_ended());
}

#[test]
fn unknown_low_types_end_the_session() {
    let mut rig = Rig::host();
    let key = rig.accepted(0);
    rig.feed(session(15, b""));
    assert_eq!(aborted(&rig.events()), [(key, AbortReason::Protocol)]);
    assert_fails(&mut rig, GoAwayReason::Protocol);
}

#[test]
fn unknown_high_types_are_counted() {
    let mut rig = Rig::host();
    for kind in [128, 200, 255] {
        rig.feed(session(kind, b"from the future"));
    }
    assert_eq!((rig.events(), rig.sent()), (vec![], vec![]));
    assert_eq!(rig.mux.counters().ignored, 3);
}

#[test]
fn frames_before_hello_are_kept() {
    let mut rig = Rig::silent_host(|_| {});
    rig.open(1);
    rig.feed(data(ID, 0, 1, b"early"));
    rig.feed(connect(ID, 0));
    assert_eq!(rig.events(), []);
    assert_eq!(rig.sent().len(), 1, "nothing but HELLO");
    rig.feed(hello(|_| {}));
    let events = rig.events();
    assert!(matches!(events[..], [Event::Hello(_), Event::Opened(..), Event::Readable(_)]), "{events:?}");
}

#[test]
fn frames_before_hello_are_bounded() {
    let mut rig = Rig::silent_host(|_| {});
    rig.open(1);
    rig.sent();
    let message = data(ID, 0, 1, &[0; 16384]);
    for _ in 0..300 {
        rig.feed(message.clone());
    }
    assert_fails(&mut rig, GoAwayReason::Limit);
}

#[test]
fn no_common_version_ends_the_session() {
    let mut rig = Rig::silent_host(|_| {});
    rig.open(1);
    rig.feed(hello(|hello| hello.versions = vec![2, 3]));
    let frames = rig.sent();
    assert!(matches!(frames[0], Frame::Session(SessionFrame::Hello(_))), "our versions first");
    assert_eq!(go_aways(&frames), [GoAwayReason::Version]);
    assert!(matches!(rig.events()[..], [Event::Ended(GoAwayReason::Version, _, Origin::Local)]));
}

#[test]
fn a_session_that_failed_ends_even_if_its_goaway_cannot_go_out() {
    let mut rig = Rig::host();
    rig.mux.lose_carrier(rig.now, 1);
    rig.feed(session(15, b""));
    assert_eq!(rig.events(), []);
    rig.wait(DRAIN);
    assert!(matches!(rig.events()[..], [Event::Ended(GoAwayReason::Protocol, _, Origin::Local)]));
}

#[test]
fn one_pending_pong_is_kept() {
    let mut rig = Rig::host();
    rig.feed(session(kind::PING, &[1; 8]));
    rig.feed(session(kind::PING, &[2; 8]));
    assert_eq!(rig.sent(), [Frame::Session(SessionFrame::Pong([2; 8]))]);
}

#[test]
fn pings_measure_the_round_trip() {
    let mut rig = Rig::silent_host(|_| {});
    rig.open(1);
    rig.feed(hello(|_| {}));
    let mut ping = None;
    while let Some(message) = rig.mux.poll_transmit(rig.now, 65536, &mut rig.pool) {
        if message[0] == kind::PING {
            ping = Some(message[8..].to_vec());
        }
    }
    rig.now += Duration::from_millis(80);
    rig.feed(session(kind::PONG, b"a wrong one"[..8].as_ref()));
    rig.feed(session(kind::PONG, &ping.unwrap()));
    assert_eq!(rig.events()[1..], [Event::RoundTrip(Duration::from_millis(80))]);
    assert_eq!(rig.mux.round_trip(), Some(Duration::from_millis(80)));
}

#[test]
fn pings_are_frequent_only_while_streams_carry_something() {
    let mut rig = Rig::host();
    let idle = rig.mux.poll_timeout().unwrap() - rig.now;
    assert_eq!(idle, Duration::from_secs(15));
    rig.opened(0);
    let active = rig.mux.poll_timeout().unwrap() - rig.now;
    assert_eq!(active, Duration::from_secs(1));
}

#[test]
fn goaway_lets_streams_finish() {
    let mut rig = Rig::host();
    let key = rig.accepted(0);
    rig.mux.go_away(rig.now, GoAwayReason::Restart, "new version");
    assert_eq!(go_aways(&rig.sent()), [GoAwayReason::Restart]);
    assert_eq!(rig.mux.open(1, &ConnectTarget::Service(0)), Err(OpenError::GoingAway));
    rig.feed(connect(ID + 1, 0));
    assert_eq!(aborts(&rig.sent()), [(ID + 1, 0, AbortReason::Shutdown)]);
    rig.write(key, b"last words");
    rig.finish(key);
    rig.feed(close(ID, 0, 1));
    assert_eq!(rig.sent().len(), 3);
    assert_eq!(rig.events(), [Event::Readable(key)]);
    assert_eq!(rig.read(key), b"");
    rig.feed(credit(ID, 0, 65536, 3));
    let events = rig.events();
    assert_eq!(events[0], Event::Finished(key));
    assert!(matches!(events[1], Event::Ended(GoAwayReason::Restart, _, Origin::Local)), "{events:?}");
}

#[test]
fn goaway_is_said_again_on_a_further_carrier() {
    let mut rig = Rig::host();
    let key = rig.accepted(0);
    rig.mux.go_away(rig.now, GoAwayReason::Shutdown, "bye");
    assert_eq!(go_aways(&rig.sent()), [GoAwayReason::Shutdown]);
    rig.mux.lose_carrier(rig.now, rig.carrier);
    rig.open(rig.carrier + 1);
    assert_eq!(go_aways(&rig.sent()), [GoAwayReason::Shutdown], "the first may be lost with its carrier");
    assert!(rig.mux.stream(key).is_some());
}

#[test]
fn goaway_waits_two_seconds_at_most() {
    let mut rig = Rig::host();
    let key = rig.accepted(0);
    rig.feed(session(kind::GOAWAY, &[1]));
    let events = rig.events();
    assert!(matches!(events[..], [Event::GoAway(GoAwayReason::Shutdown, _)]), "{events:?}");
    rig.wait(DRAIN - Duration::from_millis(1));
    assert_eq!(rig.events(), []);
    rig.wait(Duration::from_millis(1));
    let events = rig.events();
    assert_eq!(aborted(&events), [(key, AbortReason::Shutdown)]);
    assert!(matches!(events.last(), Some(Event::Ended(GoAwayReason::Shutdown, _, Origin::Peer))));
    assert_eq!(rig.mux.poll_timeout(), None);
}

#[test]
fn goaway_lets_a_slow_application_take_what_was_acknowledged() {
    let mut rig = Rig::host();
    let key = rig.accepted(0);
    rig.finish(key);
    rig.feed(data(ID, 0, 1, b"acknowledged, not read"));
    rig.feed(close(ID, 0, 2));
    rig.sent();
    rig.feed(credit(ID, 0, 65536, 2));
    rig.feed(session(kind::GOAWAY, &[1]));
    let events = rig.events();
    assert!(matches!(events[..], [Event::GoAway(..), Event::Readable(_)]), "{events:?}");
    assert_eq!(rig.read(key), b"acknowledged, not read");
    let events = rig.events();
    assert!(matches!(events[..], [Event::Finished(_), Event::Ended(..)]), "{events:?}");
}

#[test]
fn a_flood_of_refused_streams_is_bounded() {
    let mut rig = Rig::host_with(|config| config.max_streams = 1);
    for generation in 0..2 {
        for id in 1..=32767 {
            rig.feed(connect(id, generation));
        }
    }
    let frames = rig.sent();
    assert_eq!(go_aways(&frames), [GoAwayReason::Limit]);
}

#[test]
fn frames_of_our_streams_that_we_never_opened_are_strays() {
    let mut rig = Rig::host();
    rig.feed(connect(40_000, 0));
    rig.feed(data(40_000, 0, 1, b"x"));
    assert_eq!((rig.events(), rig.sent()), (vec![], vec![]));
    assert_eq!(rig.mux.counters().stray, 2);
}

#[test]
fn closing_without_a_peer_aborts_everything_silently() {
    let mut rig = Rig::host();
    let key = rig.accepted(0);
    rig.write(key, b"x");
    rig.mux.close(GoAwayReason::Shutdown, "the peer is gone", Origin::Peer);
    let events = rig.events();
    assert_eq!(aborted(&events), [(key, AbortReason::Shutdown)]);
    assert!(matches!(events[1..], [Event::Ended(GoAwayReason::Shutdown, _, Origin::Peer)]));
    assert_eq!(rig.sent(), []);
    assert_eq!((rig.mux.memory(), rig.pool.outstanding()), ((0, 0), 0));
    assert_eq!(rig.mux.poll_timeout(), None);
}

#[test]
fn a_flood_of_streams_that_the_application_aborts_is_bounded() {
    let mut rig = Rig::host();
    let mut count = 0;
    // Nothing goes out meanwhile.
    'flood: for generation in 0..2 {
        for id in 1..=32767 {
            rig.feed(connect(id, generation));
            let events = rig.events();
            let [Event::Opened(key, _)] = events[..] else { break 'flood };
            rig.mux.stream(key).unwrap().abort(AbortReason::Refused, "nobody is at home");
            count += 1;
        }
    }
    assert!((1000..=8192).contains(&count), "{count} streams are owed an ABORT");
    assert_fails(&mut rig, GoAwayReason::Limit);
}

/// Takes all messages out of the mux and returns the payloads of the PINGs among them.
fn pings(rig: &mut Rig) -> Vec<Vec<u8>> {
    let mut pings = Vec::new();
    while let Some(message) = rig.mux.poll_transmit(rig.now, ROOM, &mut rig.pool) {
        if message[0] == kind::PING {
            pings.push(message[8..].to_vec());
        }
    }
    pings
}

#[test]
fn a_pong_that_takes_longer_than_a_ping_interval_measures_the_round_trip() {
    let mut rig = Rig::silent_host(|_| {});
    rig.open(1);
    rig.feed(hello(|_| {}));
    let first = pings(&mut rig);
    assert_eq!(first.len(), 1);
    // A stream that carries something wants a PING every second.
    rig.feed(connect(ID, 0));
    for sequence in 1..=5 {
        rig.wait(Duration::from_millis(500));
        assert_eq!(pings(&mut rig), [[0; 0]; 0], "one PING at a time");
        rig.feed(data(ID, 0, sequence, b"x"));
    }
    rig.feed(session(kind::PONG, &first[0]));
    assert!(rig.events().contains(&Event::RoundTrip(Duration::from_millis(2500))));
    rig.wait(Duration::from_secs(15));
    let second = pings(&mut rig);
    assert_eq!(second.len(), 1, "and the next PING goes out");
    rig.now += Duration::from_millis(30);
    rig.feed(session(kind::PONG, &second[0]));
    assert!(rig.events().contains(&Event::RoundTrip(Duration::from_millis(30))));
}
