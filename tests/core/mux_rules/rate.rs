//! `tunnel::Config::rate`: what waits for it, what does not, and what is granted.

use std::time::Duration;

use pinhole::internals::tunnel::frame::{Frame, Sequenced, SessionFrame, StreamFrame, kind};
use pinhole::internals::tunnel::{AbortReason, ConnectTarget};

use super::rig::{ID, Rig, abort, connect, credit, data, hello, session};

/// Bytes a second: 20 ms are 2000 bytes.
const RATE: u64 = 100_000;

fn limited() -> Rig {
    let mut rig = Rig::host_with(|config| config.rate = Some(RATE));
    rig.wait(Duration::from_secs(1));
    rig
}

fn payload_len(frames: &[Frame]) -> usize {
    let len = |frame: &Frame| match frame {
        Frame::Stream(_, _, StreamFrame::Sequenced(_, Sequenced::Data(payload))) => payload.len(),
        _ => 0,
    };
    frames.iter().map(len).sum()
}

#[test]
fn what_is_over_the_rate_waits_and_a_timer_says_how_long() {
    let mut rig = limited();
    let key = rig.accepted(0);
    rig.wait(Duration::from_secs(1));
    rig.sent();
    for _ in 0..10 {
        rig.write(key, &[7; 1000]);
    }
    let first = payload_len(&rig.sent());
    // The PING that the activity makes due.
    rig.wait(Duration::ZERO);
    assert!((2000..=3000).contains(&first), "{first} bytes: 20 ms and at most one message more");
    assert!(!rig.mux.has_transmit(), "nothing waits for room");
    let (mut total, mut timers, start) = (first, 0, rig.now);
    while total < 10_000 {
        let due = rig.mux.poll_timeout().unwrap();
        assert!(due > rig.now);
        rig.now = due;
        rig.mux.handle_timeout(due);
        assert!(rig.mux.has_transmit());
        let more = payload_len(&rig.sent());
        assert!(more > 0, "a timer for nothing");
        (total, timers) = (total + more, timers + 1);
    }
    assert!(timers <= 10);
    let took = rig.now - start;
    assert!((60..=81).contains(&took.as_millis()), "{took:?} for 8000 bytes beyond the burst");
    assert!(rig.mux.poll_timeout().unwrap() - rig.now > Duration::from_millis(500), "nobody waits any more");
}

#[test]
fn control_frames_pass_and_are_counted() {
    let mut rig = limited();
    let key = rig.accepted(0);
    for _ in 0..5 {
        rig.write(key, &[7; 1000]);
    }
    rig.sent();
    // The PING that the activity makes due.
    rig.wait(Duration::ZERO);
    rig.sent();
    let before = rig.mux.poll_timeout().unwrap();
    rig.feed(session(kind::PING, &[3; 8]));
    assert_eq!(rig.sent(), [Frame::Session(SessionFrame::Pong([3; 8]))]);
    let after = rig.mux.poll_timeout().unwrap();
    assert_eq!(after - before, Duration::from_micros(160), "16 bytes at the rate");
}

#[test]
fn a_rate_does_not_run_without_a_carrier() {
    let mut rig = limited();
    let key = rig.accepted(0);
    for _ in 0..5 {
        rig.write(key, &[7; 1000]);
    }
    rig.sent();
    rig.mux.lose_carrier(rig.now, rig.carrier);
    assert_eq!(rig.mux.poll_timeout(), None);
    rig.mux.handle_timeout(rig.now + Duration::from_secs(9));
    rig.now += Duration::from_secs(9);
    rig.open(2);
    assert!(rig.mux.poll_timeout().is_some());
}

#[test]
fn credit_is_granted_no_faster_than_the_rate() {
    let mut rig = limited();
    let key = rig.accepted(0);
    let (mut limit, mut sent, mut sequence, start) = (65_536u64, 0u64, 1, rig.now);
    let mut credits = 0;
    while rig.now - start < Duration::from_secs(20) {
        while sent + 32 + 8000 <= limit {
            rig.feed(data(ID, 0, sequence, &[1; 8000]));
            (sent, sequence) = (sent + 32 + 8000, sequence + 1);
        }
        rig.events();
        rig.read(key);
        for frame in rig.sent() {
            if let Frame::Stream(_, _, StreamFrame::Credit { limit: granted, .. }) = frame {
                (limit, credits) = (limit.max(granted), credits + 1);
            }
        }
        let due = rig.mux.poll_timeout().unwrap();
        rig.now = due.max(rig.now);
        rig.mux.handle_timeout(rig.now);
    }
    let possible = 20 * RATE;
    // The initial credit comes at once and is paid for with at most 2 s.
    assert!((possible * 9 / 10..=possible + 65_536).contains(&sent), "{sent} units of {possible}");
    println!("{sent} units, {credits} CREDITs");
    assert!(credits < 400, "{credits} CREDITs for {} frames", sequence - 1);
}

#[test]
fn a_stream_that_goes_while_it_waits_for_credit_is_forgotten() {
    let mut rig = limited();
    let key = rig.accepted(0);
    for sequence in 1..5 {
        rig.feed(data(ID, 0, sequence, &[1; 16_000]));
    }
    rig.events();
    rig.read(key);
    rig.sent();
    rig.feed(credit(ID, 0, 1 << 20, 1));
    rig.mux.stream(key).unwrap().abort(AbortReason::Denied, "");
    rig.wait(Duration::from_secs(5));
    rig.sent();
    assert_eq!(rig.mux.memory(), (0, 0));
    assert!(rig.mux.poll_timeout().unwrap() - rig.now > Duration::from_secs(5), "nothing is left to wait for");
}

#[test]
fn streams_that_live_on_are_not_starved_by_those_that_come_and_go() {
    let mut rig = limited();
    let key = rig.accepted(0);
    let (mut limit, mut sent, mut sequence, start) = (65_536u64, 0u64, 1, rig.now);
    let mut id = ID;
    while rig.now - start < Duration::from_secs(60) {
        // Ten times the rate in initial credit, in streams that are gone before they cost more.
        for _ in 0..2 {
            id = if id == ID + 1000 { ID + 1 } else { id + 1 };
            let generation = ((rig.now - start).as_millis() / 50_000) as u8;
            rig.feed(connect(id, generation));
            for sequence in 1..4 {
                rig.feed(data(id, generation, sequence, &[1; 16_000]));
            }
            rig.feed(abort(id, generation, AbortReason::Reset));
        }
        while sent + 32 + 1000 <= limit {
            rig.feed(data(ID, 0, sequence, &[1; 1000]));
            (sent, sequence) = (sent + 32 + 1000, sequence + 1);
        }
        rig.events();
        rig.read(key);
        for frame in rig.sent() {
            if let Frame::Stream(_, _, StreamFrame::Credit { limit: granted, .. }) = frame {
                limit = limit.max(granted);
            }
        }
        rig.wait(Duration::from_millis(100));
    }
    println!("{sent} units in a minute beside a flood");
    assert!(sent > 65_536 + 15 * 16_000, "only {sent} units in a minute");
}

#[test]
fn datagrams_wait_for_the_rate_too() {
    let mut rig = Rig::silent_host(|config| config.rate = Some(RATE));
    rig.open(1);
    rig.feed(hello(|hello| hello.features = vec!["datagrams".into()]));
    rig.sent();
    rig.wait(Duration::from_secs(1));
    let key = rig.mux.open(1, &ConnectTarget::Udp("a:1".into())).unwrap();
    rig.sent();
    let (mut sent, start) = (0, rig.now);
    while rig.now - start < Duration::from_secs(10) {
        // Twice the rate.
        rig.send_datagram(key, &[7; 992]);
        rig.wait(Duration::from_millis(5));
        sent +=
            rig.sent().iter().filter(|frame| matches!(frame, Frame::Stream(_, _, StreamFrame::Datagram(_)))).count();
    }
    assert!((990..=1010).contains(&sent), "{sent} datagrams of 1000 bytes in 10 s");
    rig.wait(Duration::from_secs(1));
    rig.sent();
    assert!(rig.mux.counters().datagrams.unsent > 900, "the rest was too old at last");
}

#[test]
fn another_rate_counts_at_once() {
    let mut rig = limited();
    let key = rig.accepted(0);
    rig.wait(Duration::from_secs(1));
    rig.sent();
    for _ in 0..14 {
        rig.write(key, &[7; 1000]);
    }
    let first = payload_len(&rig.sent());
    assert!(first <= 3000, "{first} bytes at the former rate");
    rig.mux.set_rate(Some(3 * RATE));
    assert!(rig.mux.has_transmit(), "nobody waits for the former rate");
    let second = payload_len(&rig.sent());
    assert!((5000..=8000).contains(&second), "{second} bytes: 20 ms of the present rate, and a message more");
    rig.mux.set_rate(None);
    assert_eq!(first + second + payload_len(&rig.sent()), 14_000, "and nothing waits without one");
}

#[test]
fn credit_that_waited_for_the_former_rate_is_granted_at_the_present_one() {
    let mut rig = limited();
    let key = rig.accepted(0);
    let limit = |frames: &[Frame]| {
        let credits = frames.iter().filter_map(|frame| match frame {
            Frame::Stream(_, _, StreamFrame::Credit { limit, .. }) => Some(*limit),
            _ => None,
        });
        credits.max()
    };
    rig.wait(Duration::from_secs(1));
    for sequence in 1..5 {
        rig.feed(data(ID, 0, sequence, &[1; 16_000]));
    }
    rig.events();
    rig.read(key);
    let before = limit(&rig.sent());
    rig.mux.set_rate(None);
    let after = limit(&rig.sent());
    assert!(after > before, "{after:?} is no more than {before:?}");
}
