//! Order within a stream, its identity, credit, half-close.

use std::time::Duration;

use pinhole::internals::tunnel::credit::cost;
use pinhole::internals::tunnel::frame::{Sequenced, StreamFrame};
use pinhole::internals::tunnel::{AbortReason, ConnectTarget, Event, OpenError, Origin, Sequence};

use super::rig::{
    ID, Rig, abort, aborted, aborts, accept, acknowledged, bare, close, connect, credit, data, sent_data, stream,
};

#[test]
fn data_and_close_before_connect_are_kept() {
    let mut rig = Rig::host();
    rig.feed(close(ID, 0, 3));
    rig.feed(data(ID, 0, 2, b"world"));
    rig.feed(data(ID, 0, 1, b"hello "));
    assert_eq!(rig.events(), []);
    rig.feed(connect(ID, 0));
    let events = rig.events();
    let [Event::Opened(key, _), Event::Readable(_)] = events[..] else { panic!("{events:?}") };
    assert_eq!(rig.sent(), [acknowledged(ID, 0, 4)], "CLOSE is acknowledged at once");
    assert_eq!(rig.read(key), b"hello world");
    assert!(rig.mux.stream(key).unwrap().poll_end());
}

#[test]
fn abort_before_connect_is_remembered() {
    let mut rig = Rig::host();
    rig.feed(abort(ID, 0, AbortReason::Reset));
    rig.feed(connect(ID, 0));
    rig.feed(data(ID, 0, 1, b"late"));
    assert_eq!((rig.events(), rig.sent()), (vec![], vec![]));
    assert_eq!(rig.mux.stream_count(), 0);
    assert_eq!(rig.mux.counters().stale, 2);
    rig.opened(1);
}

#[test]
fn credit_before_connect_is_kept() {
    let mut rig = Rig::host();
    rig.feed(credit(ID, 0, 100_000, 0));
    rig.feed(connect(ID, 0));
    let events = rig.events();
    let [Event::Opened(key, _)] = events[..] else { panic!("{events:?}") };
    rig.mux.stream(key).unwrap().accept();
    let mut room = 0;
    while room < 80_000 && rig.mux.stream(key).unwrap().poll_send_capacity() > 0 {
        rig.write(key, &[0; 1000]);
        room += 1000;
        rig.sent();
    }
    assert_eq!(room, 80_000, "more than the initial credit");
}

#[test]
fn a_second_connect_and_a_repeated_frame_are_counted() {
    let mut rig = Rig::host();
    let key = rig.opened(0);
    rig.feed(connect(ID, 0));
    rig.feed(data(ID, 0, 2, b"b"));
    rig.feed(data(ID, 0, 2, b"B"));
    rig.feed(data(ID, 0, 1, b"a"));
    rig.feed(data(ID, 0, 1, b"A"));
    assert_eq!(rig.events(), [Event::Readable(key)]);
    assert_eq!(rig.read(key), b"ab");
    assert_eq!(rig.mux.counters().duplicate, 3);
}

#[test]
fn stale_generations_are_dropped() {
    let mut rig = Rig::host();
    let key = rig.opened(5);
    for frame in [connect(ID, 4), data(ID, 4, 1, b"x"), abort(ID, 4, AbortReason::Reset), credit(ID, 133, 1, 0)] {
        rig.feed(frame);
    }
    assert_eq!((rig.events(), rig.sent()), (vec![], vec![]));
    assert_eq!(rig.mux.counters().stale, 4);
    assert!(rig.mux.stream(key).is_some());
}

#[test]
fn generations_wrap() {
    let mut rig = Rig::host();
    let key = rig.opened(255);
    rig.feed(connect(ID, 0));
    let events = rig.events();
    assert_eq!(aborted(&events), [(key, AbortReason::Reset)]);
    assert!(matches!(events[1], Event::Opened(..)), "{events:?}");
}

#[test]
fn a_newer_generation_detaches_a_stream_that_ended() {
    let mut rig = Rig::host();
    let old = rig.accepted(0);
    rig.feed(data(ID, 0, 1, b"slow"));
    rig.feed(close(ID, 0, 2));
    rig.write(old, b"bye");
    rig.finish(old);
    rig.sent();
    // The last acknowledgement was overtaken by the CONNECT.
    let new = {
        rig.feed(connect(ID, 1));
        let events = rig.events();
        let [Event::Readable(readable), Event::Opened(new, _)] = events[..] else { panic!("{events:?}") };
        assert_eq!(readable, old);
        new
    };
    assert_eq!(rig.read(old), b"slow");
    assert_eq!(rig.events(), [Event::Finished(old)]);
    assert!(rig.mux.stream(new).is_some());
    rig.sent();
    assert_eq!((rig.mux.memory(), rig.pool.outstanding()), ((0, 0), 0));
}

#[test]
fn a_newer_generation_aborts_a_stream_that_did_not_end() {
    let mut rig = Rig::host();
    let old = rig.accepted(0);
    rig.feed(data(ID, 0, 1, b"half"));
    rig.events();
    rig.feed(data(ID, 1, 1, b"the next one's data may come first"));
    assert_eq!(aborted(&rig.events()), [(old, AbortReason::Reset)]);
    assert_eq!(rig.sent(), [], "the peer is done with it: nothing to say");
    rig.feed(connect(ID, 1));
    assert!(matches!(rig.events()[..], [Event::Opened(..), Event::Readable(_)]));
}

#[test]
fn a_newer_generation_aborts_a_stream_whose_last_frames_never_went_out() {
    let mut rig = Rig::host();
    let old = rig.accepted(0);
    rig.feed(close(ID, 0, 1));
    rig.write(old, b"never sent");
    rig.finish(old);
    rig.events();
    rig.feed(connect(ID, 1));
    assert_eq!(aborted(&rig.events()), [(old, AbortReason::Reset)], "it did not finish: the peer lacks our bytes");
}

#[test]
fn frames_of_an_aborted_generation_are_answered_once_per_carrier() {
    let mut rig = Rig::host();
    let key = rig.opened(0);
    rig.mux.stream(key).unwrap().abort(AbortReason::Refused, "nobody there");
    assert_eq!(aborts(&rig.sent()), [(ID, 0, AbortReason::Refused)]);
    rig.feed(data(ID, 0, 1, b"x"));
    assert_eq!(rig.sent(), [], "the peer was told on this carrier");
    rig.resume(&[]);
    rig.feed(credit(ID, 0, 1, 0));
    assert_eq!(rig.sent(), [], "only sequenced frames are answered");
    rig.feed(connect(ID, 0));
    rig.feed(data(ID, 0, 1, b"x"));
    assert_eq!(aborts(&rig.sent()), [(ID, 0, AbortReason::Gone)]);
    assert_eq!(rig.events(), [Event::Resumed]);
}

#[test]
fn exceeding_the_credit_aborts_the_stream() {
    let mut rig = Rig::host();
    let key = rig.opened(0);
    let payload = vec![0; 16384 - 32];
    for sequence in 1..=4 {
        rig.feed(data(ID, 0, sequence, &payload));
    }
    assert_eq!(cost(payload.len()) * 4, 65536);
    assert_eq!(rig.events(), [Event::Readable(key)]);
    rig.feed(data(ID, 0, 5, b"!"));
    assert_eq!(aborts(&rig.sent()), [(ID, 0, AbortReason::FlowControl)]);
    assert_eq!(aborted(&rig.events()), [(key, AbortReason::FlowControl)]);
}

#[test]
fn early_frames_count_against_the_credit() {
    let mut rig = Rig::host();
    rig.opened(0);
    for sequence in 2..=5 {
        rig.feed(data(ID, 0, sequence, &[0; 16384 - 32]));
    }
    rig.feed(data(ID, 0, 9, b"!"));
    assert_eq!(aborts(&rig.sent()), [(ID, 0, AbortReason::FlowControl)]);
}

#[test]
fn acknowledgements_half_way_round_all_numbers_are_believed_no_more_than_others() {
    let half = 1 << 31;
    // With the ACCEPT acknowledged and one DATA sent, what was sent is before 2; half of all numbers are before 1.
    for (received, is_old) in
        [(3, false), (half, false), (half + 1, false), (half + 2, true), (u32::MAX, true), (0, true)]
    {
        let mut rig = Rig::host();
        let key = rig.accepted(0);
        rig.feed(credit(ID, 0, u64::MAX, 1));
        rig.write(key, b"one");
        rig.sent();
        rig.feed(credit(ID, 0, u64::MAX, received));
        let expected = if is_old { Vec::new() } else { vec![(key, AbortReason::Protocol)] };
        assert_eq!(aborted(&rig.events()), expected, "{received}");
        if is_old {
            // What it holds is still what it was, and numbered as it was.
            rig.write(key, b"two");
            assert_eq!(rig.sent(), [sent_data(ID, 0, 2, b"two")]);
            rig.feed(credit(ID, 0, u64::MAX, 3));
        }
        assert_eq!(rig.mux.memory().1, 0, "{received}");
    }
}

#[test]
fn acknowledging_what_was_never_sent_aborts_the_stream() {
    let mut rig = Rig::host();
    let key = rig.accepted(0);
    rig.write(key, b"queued, not sent");
    rig.feed(credit(ID, 0, 65536, 2));
    assert_eq!(aborted(&rig.events()), [(key, AbortReason::Protocol)]);
    assert_eq!(aborts(&rig.sent()), [(ID, 0, AbortReason::Protocol)]);
    assert_eq!((rig.mux.memory(), rig.pool.outstanding()), ((0, 0), 0));
}

#[test]
fn a_direction_begins_with_its_head_and_ends_with_close() {
    for (frames, what) in [
        (vec![data(ID, 0, 0, b"x")], "DATA in place of CONNECT"),
        (vec![accept(ID, 0)], "ACCEPT from the opener"),
        (vec![connect(ID, 0), close(ID, 0, 2), data(ID, 0, 3, b"x")], "DATA after CLOSE"),
        (vec![connect(ID, 0), data(ID, 0, 3, b"x"), close(ID, 0, 2)], "CLOSE before DATA"),
        (vec![connect(ID, 0), close(ID, 0, 1), close(ID, 0, 2)], "a second CLOSE"),
        (vec![connect(ID, 0), data(ID, 0, 1, &[0; 16385])], "a payload longer than announced"),
    ] {
        let mut rig = Rig::host();
        for frame in frames {
            rig.feed(frame);
        }
        assert_eq!(aborts(&rig.sent()), [(ID, 0, AbortReason::Protocol)], "{what}");
        assert_eq!(rig.mux.stream_count(), 0, "{what}");
    }
}

#[test]
fn too_many_streams_are_refused() {
    let mut rig = Rig::host_with(|config| config.max_streams = 2);
    for id in 1..=2 {
        rig.feed(connect(id, 0));
    }
    assert_eq!(rig.events().len(), 2);
    rig.feed(connect(3, 0));
    assert_eq!(rig.events(), []);
    assert_eq!(aborts(&rig.sent()), [(3, 0, AbortReason::TooManyStreams)]);
    rig.feed(abort(1, 0, AbortReason::Reset));
    rig.events();
    rig.feed(connect(4, 0));
    assert!(matches!(rig.events()[..], [Event::Opened(..)]));
}

#[test]
fn streams_beyond_the_memory_budget_are_refused() {
    let mut rig = Rig::host_with(|config| config.receive_budget = 3 * 65536);
    for id in 1..=4 {
        rig.feed(connect(id, 0));
    }
    assert_eq!(rig.events().len(), 3);
    assert_eq!(aborts(&rig.sent()), [(4, 0, AbortReason::TooManyStreams)]);
}

#[test]
fn all_ids_in_use_disturbs_nothing() {
    let mut rig = Rig::silent_host(|config| config.max_streams = 100_000);
    let target = ConnectTarget::Service(0);
    let keys: Vec<_> = (0..32768).map(|hash| rig.mux.open(hash, &target).unwrap()).collect();
    assert_eq!(rig.mux.open(5, &target), Err(OpenError::TooManyStreams));
    assert_eq!(rig.mux.stream_count(), 32768);
    rig.mux.stream(keys[77]).unwrap().abort(AbortReason::Reset, "");
    let key = rig.mux.open(5, &target).unwrap();
    assert_eq!(rig.mux.stream(key).unwrap().id().value(), 32768 + 77, "the one free id, after a search");
}

#[test]
fn a_connect_that_never_comes_times_out_on_a_clock_that_needs_a_carrier() {
    let mut rig = Rig::host();
    rig.feed(data(ID, 0, 1, b"x"));
    rig.wait(Duration::from_secs(20));
    rig.mux.lose_carrier(rig.now, 1);
    rig.wait(Duration::from_secs(3600));
    rig.resume(&[]);
    rig.wait(Duration::from_millis(9_900));
    assert_eq!(aborts(&rig.sent()), []);
    rig.wait(Duration::from_millis(200));
    assert_eq!(aborts(&rig.sent()), [(ID, 0, AbortReason::Timeout)]);
    assert_eq!(rig.mux.stream_count(), 0);
    rig.feed(connect(ID, 0));
    assert_eq!(rig.events(), [Event::Resumed], "the generation is ended");
}

#[test]
fn what_waits_for_connects_is_bounded() {
    let mut rig = Rig::host();
    let payload = vec![0; 16384 - 32];
    let mut refused = 0;
    for id in 1..200 {
        for sequence in 1..=4 {
            rig.feed(data(id, 0, sequence, &payload));
        }
        refused += aborts(&rig.sent()).len();
    }
    assert_eq!(rig.mux.stream_count(), 4 * 1024 * 1024 / 65536);
    assert_eq!(refused, 199 - 64);
}

#[test]
fn both_directions_close_on_their_own() {
    let mut rig = Rig::host();
    let key = rig.accepted(0);
    rig.feed(close(ID, 0, 1));
    assert_eq!(rig.events(), [Event::Readable(key)]);
    assert!(rig.mux.stream(key).unwrap().poll_end());
    rig.write(key, b"still here");
    assert_eq!(rig.sent(), [acknowledged(ID, 0, 2), sent_data(ID, 0, 1, b"still here")]);
    rig.finish(key);
    assert_eq!(rig.sent(), [bare(ID, 0, 2, Sequenced::Close)]);
    assert_eq!(rig.events(), []);
    rig.feed(credit(ID, 0, 65536, 3));
    assert_eq!(rig.events(), [Event::Finished(key)]);
    assert!(rig.mux.stream(key).is_none());

    let key = rig.accepted(1);
    rig.finish(key);
    assert_eq!(rig.sent(), [bare(ID, 1, 1, Sequenced::Close)]);
    rig.feed(credit(ID, 1, 65536, 2));
    rig.feed(data(ID, 1, 1, b"goes on"));
    assert_eq!(rig.events(), [Event::Readable(key)]);
    assert_eq!(rig.read(key), b"goes on");
    rig.feed(close(ID, 1, 2));
    assert_eq!(rig.events(), [Event::Readable(key)]);
    assert_eq!(rig.read(key), b"");
    rig.sent();
    assert_eq!(rig.events(), [Event::Finished(key)], "once the end is acknowledged");
}

#[test]
fn an_abort_ends_both_directions_and_drops_what_waits() {
    let mut rig = Rig::host();
    let key = rig.accepted(0);
    rig.feed(data(ID, 0, 1, b"dropped"));
    rig.write(key, b"dropped, too");
    rig.events();
    rig.feed(abort(ID, 0, AbortReason::Protocol));
    let events = rig.events();
    assert!(matches!(events[..], [Event::Aborted { origin: Origin::Peer, reason: AbortReason::Protocol, .. }]));
    assert_eq!(rig.sent(), []);
    assert_eq!((rig.mux.memory(), rig.pool.outstanding(), rig.mux.stream_count()), ((0, 0), 0, 0));
}

#[test]
fn a_stream_the_peer_never_heard_of_is_aborted_in_silence() {
    for reason in [AbortReason::Reset, AbortReason::Denied] {
        let mut rig = Rig::host();
        let (key, id) = rig.own();
        rig.mux.stream(key).unwrap().abort(reason, "");
        assert_eq!(aborts(&rig.sent()), [(id, 0, reason)]);
        rig.feed(credit(id, 0, 65536, 2));
        rig.mux.lose_carrier(rig.now, 1);
        for _ in 0..200 {
            let key = rig.mux.open(1, &ConnectTarget::Service(0)).unwrap();
            rig.mux.stream(key).unwrap().abort(reason, "");
        }
        rig.resume(&[]);
        assert_eq!(rig.sent(), []);
        let key = rig.mux.open(1, &ConnectTarget::Service(0)).unwrap();
        assert_eq!(rig.sent().len(), 1);
        rig.mux.stream(key).unwrap().abort(reason, "");
        assert_eq!(aborts(&rig.sent()), [(id, 1, reason)], "the next generation that the peer hears of");
    }
}

#[test]
fn what_arrived_is_acknowledged_within_a_second() {
    let mut rig = Rig::host();
    rig.opened(0);
    rig.feed(data(ID, 0, 1, b"x"));
    rig.wait(Duration::from_millis(999));
    assert_eq!(rig.sent(), []);
    rig.wait(Duration::from_millis(1));
    assert_eq!(rig.sent(), [acknowledged(ID, 0, 2)]);
}

#[test]
fn the_grant_is_renewed_at_a_quarter_of_the_window() {
    let mut rig = Rig::host();
    let key = rig.opened(0);
    rig.feed(data(ID, 0, 1, &[0; 16384 - 32]));
    assert_eq!(rig.sent(), [], "not on arrival");
    rig.read(key);
    let limit = 65536 + 16384;
    assert_eq!(rig.sent(), [stream(ID, 0, StreamFrame::Credit { limit, received: Sequence(2) })]);
}
