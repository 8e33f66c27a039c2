//! Resets: everything sent before one is delivered, and nothing after it is accepted.

use std::time::Duration;

use pinhole::internals::tunnel::frame::{Frame, Sequenced};
use pinhole::internals::tunnel::{AbortReason, ConnectTarget, Event, Origin, StreamKey, Trail};

use super::rig::{
    ID, Rig, aborted, aborts, accept, acknowledged, bare, close, connect, connect_udp, credit, data, datagram, entry,
    reset, sent_data,
};

fn reset_by_us(rig: &mut Rig, key: StreamKey) {
    rig.mux.stream(key).unwrap().abort(AbortReason::Reset, "gone");
}

fn sent_reset(id: u16, generation: u8, sequence: u32) -> Frame {
    bare(id, generation, sequence, Sequenced::Reset("gone".to_owned()))
}

fn is_reset(event: &Event, of: StreamKey) -> bool {
    matches!(event, Event::Aborted { key, reason: AbortReason::Reset, origin: Origin::Peer, .. } if *key == of)
}

/// Checks that neither streams nor memory are left.
fn assert_empty(rig: &mut Rig) {
    rig.mux.reclaim(&mut rig.pool);
    assert_eq!((rig.mux.stream_count(), rig.mux.memory(), rig.pool.outstanding()), (0, (0, 0), 0));
}

#[test]
fn what_was_sent_before_a_reset_is_read_before_it() {
    let mut rig = Rig::host();
    let key = rig.accepted(0);
    rig.feed(reset(ID, 0, 3));
    rig.feed(data(ID, 0, 2, b"words"));
    assert_eq!(rig.events(), []);
    assert!(rig.mux.stream(key).unwrap().is_refused(), "the other direction ends on arrival");
    rig.feed(data(ID, 0, 1, b"last "));
    assert_eq!(rig.events(), [Event::Readable(key)]);
    assert_eq!(rig.sent(), [acknowledged(ID, 0, 4)], "at once: the peer keeps its frames until then");
    let mut stream = rig.mux.stream(key).unwrap();
    stream.consume(7);
    assert!(!stream.poll_end());
    assert_eq!(rig.events(), []);
    assert_eq!(rig.read(key), b"rds");
    let events = rig.events();
    assert!(events.len() == 1 && is_reset(&events[0], key), "{events:?}");
    assert!(rig.mux.stream(key).is_none());
    assert_empty(&mut rig);
}

#[test]
fn our_reset_goes_behind_what_is_queued_and_is_kept_until_acknowledged() {
    let mut rig = Rig::host();
    let key = rig.accepted(0);
    rig.feed(data(ID, 0, 1, b"nobody reads this"));
    rig.write(key, b"the answer");
    reset_by_us(&mut rig, key);
    assert!(rig.mux.stream(key).is_none(), "the key is dead");
    let frames = [sent_data(ID, 0, 1, b"the answer"), sent_reset(ID, 0, 2)];
    assert_eq!(rig.sent(), frames);
    // What the peer sends before it hears of it, in any amount.
    for sequence in 2..100 {
        rig.feed(data(ID, 0, sequence, &[0; 16384]));
    }
    rig.feed(close(ID, 0, 100));
    rig.wait(Duration::from_secs(5));
    assert_eq!((rig.events(), rig.sent()), (vec![], vec![]));
    assert_eq!(rig.resume(&[entry(ID, 0, 1)]), [entry(ID, 0, 2)]);
    assert_eq!(rig.sent(), frames, "again on a further carrier");
    rig.feed(credit(ID, 0, 65536, 3));
    assert_eq!(rig.events(), [Event::Resumed], "the application had its last word");
    assert_empty(&mut rig);
    rig.feed(data(ID, 0, 1, b"late"));
    assert_eq!((rig.sent(), rig.events()), (vec![], vec![]));
    rig.opened(1);
}

#[test]
fn a_reset_waits_for_a_carrier() {
    let mut rig = Rig::host();
    let key = rig.accepted(0);
    rig.mux.lose_carrier(rig.now, 1);
    rig.write(key, b"written while the path was down");
    reset_by_us(&mut rig, key);
    rig.resume(&[entry(ID, 0, 1)]);
    assert_eq!(rig.sent(), [sent_data(ID, 0, 1, b"written while the path was down"), sent_reset(ID, 0, 2)]);
}

#[test]
fn a_reset_that_the_peer_had_is_not_sent_again() {
    let mut rig = Rig::host();
    let key = rig.accepted(0);
    rig.write(key, b"x");
    reset_by_us(&mut rig, key);
    rig.sent();
    // Its CREDIT was lost, and it is done with the stream.
    rig.resume(&[]);
    assert_eq!((rig.sent(), rig.events()), (vec![], vec![Event::Resumed]));
    assert_empty(&mut rig);
}

#[test]
fn a_reset_before_the_connect_is_acknowledged_is_sent_with_it() {
    let mut rig = Rig::host();
    let (key, id) = rig.own();
    rig.write(key, b"request");
    reset_by_us(&mut rig, key);
    rig.sent();
    rig.resume(&[]);
    let connect = bare(id, 0, 0, Sequenced::Connect(ConnectTarget::Service(3), Trail::default()));
    assert_eq!(rig.sent(), [connect, sent_data(id, 0, 1, b"request"), sent_reset(id, 0, 2)]);
    // A peer that had it all before says so.
    rig.feed(super::rig::abort(id, 0, AbortReason::Gone));
    assert_eq!(rig.events(), [Event::Resumed]);
    assert_empty(&mut rig);
}

#[test]
fn what_ended_by_a_reset_is_answered_where_it_comes_again() {
    let mut rig = Rig::host();
    rig.feed(connect(ID, 0));
    rig.feed(reset(ID, 0, 1));
    let events = rig.events();
    let [Event::Opened(key, _), ref last] = events[..] else { panic!("{events:?}") };
    assert!(is_reset(last, key));
    assert_eq!(rig.sent(), [acknowledged(ID, 0, 2)]);
    assert_empty(&mut rig);
    assert_eq!(rig.resume(&[entry(ID, 0, 0)]), []);
    rig.feed(connect(ID, 0));
    rig.feed(reset(ID, 0, 1));
    assert_eq!(aborts(&rig.sent()), [(ID, 0, AbortReason::Gone)]);
    assert_eq!(rig.events(), [Event::Resumed]);
}

#[test]
fn data_that_never_went_out_goes_before_a_reset_and_a_stream_without_is_forgotten() {
    let mut rig = Rig::silent_host(|_| {});
    let keys = [1, 2].map(|hash| rig.mux.open(hash, &ConnectTarget::Service(3)).unwrap());
    rig.open(1);
    rig.feed(super::rig::hello(|_| {}));
    rig.write(keys[0], b"x");
    keys.into_iter().for_each(|key| reset_by_us(&mut rig, key));
    assert_eq!(rig.mux.stream_count(), 1);
    let frames = rig.sent();
    assert!(matches!(&frames[1..], [_, _, Frame::Stream(..)]) && aborts(&frames).len() == 1, "{frames:?}");
}

#[test]
fn both_sides_may_reset_at_once() {
    for ours_is_sent in [false, true] {
        let mut rig = Rig::host();
        let key = rig.accepted(0);
        rig.write(key, b"crossing");
        reset_by_us(&mut rig, key);
        if ours_is_sent {
            rig.sent();
        }
        // Frames before it are missing, and nobody wants them.
        rig.feed(reset(ID, 0, 4));
        assert_eq!(rig.sent(), [acknowledged(ID, 0, 5)], "the peer wants nothing of ours, and is told that it can go");
        assert_eq!(rig.events(), []);
        assert_empty(&mut rig);
    }
}

#[test]
fn a_reset_after_the_peers_that_is_still_on_its_way_ends_the_stream() {
    let mut rig = Rig::host();
    let key = rig.accepted(0);
    rig.feed(data(ID, 0, 1, b"unread"));
    rig.feed(reset(ID, 0, 3));
    rig.events();
    reset_by_us(&mut rig, key);
    assert_eq!(rig.sent(), [acknowledged(ID, 0, 4)], "no reset of ours");
    assert_eq!(rig.events(), []);
    assert_empty(&mut rig);
}

#[test]
fn a_reset_after_close_comes_behind_the_end() {
    let mut rig = Rig::host();
    let key = rig.accepted(0);
    rig.feed(reset(ID, 0, 3));
    rig.feed(close(ID, 0, 2));
    rig.feed(data(ID, 0, 1, b"all"));
    assert_eq!((rig.events(), rig.sent()), (vec![Event::Readable(key)], vec![acknowledged(ID, 0, 4)]));
    let mut stream = rig.mux.stream(key).unwrap();
    stream.consume(3);
    assert_eq!(rig.events(), [], "not before the end was seen");
    assert!(rig.mux.stream(key).unwrap().poll_end());
    let events = rig.events();
    assert!(events.len() == 1 && is_reset(&events[0], key), "{events:?}");
    assert_empty(&mut rig);

    // And in order, one by one.
    let key = rig.accepted(1);
    rig.feed(close(ID, 1, 1));
    rig.events();
    assert!(rig.mux.stream(key).unwrap().poll_end());
    rig.feed(reset(ID, 1, 2));
    assert!(is_reset(&rig.events()[0], key));
    rig.sent();
    assert_empty(&mut rig);
}

#[test]
fn our_reset_may_follow_our_close() {
    let mut rig = Rig::host();
    let key = rig.accepted(0);
    rig.finish(key);
    rig.sent();
    rig.feed(credit(ID, 0, 65536, 2));
    reset_by_us(&mut rig, key);
    assert_eq!(rig.sent(), [sent_reset(ID, 0, 2)]);
    rig.feed(credit(ID, 0, 65536, 3));
    assert_empty(&mut rig);

    // Where both directions ended, there is nothing to say: the peer may know nothing of the stream any more.
    let key = rig.accepted(1);
    rig.feed(data(ID, 1, 1, b"unread"));
    rig.feed(close(ID, 1, 2));
    rig.finish(key);
    rig.sent();
    reset_by_us(&mut rig, key);
    assert_eq!(rig.sent(), []);
    rig.feed(credit(ID, 1, 65536, 2));
    assert_eq!(rig.events(), []);
    assert_empty(&mut rig);
}

#[test]
fn a_reset_drops_what_waits_to_be_sent() {
    let mut rig = Rig::host();
    let key = rig.accepted(0);
    rig.write(key, b"sent");
    rig.sent();
    rig.write(key, b"queued");
    rig.feed(reset(ID, 0, 2));
    rig.mux.reclaim(&mut rig.pool);
    assert_eq!((rig.sent(), rig.mux.memory().1, rig.pool.outstanding()), (vec![], 0, 0));
    assert_eq!(rig.mux.stream(key).unwrap().poll_send_capacity(), 0);
    rig.finish(key);
    assert_eq!(rig.sent(), []);
    // An acknowledgement of what went before changes nothing.
    rig.feed(credit(ID, 0, 100_000, 2));
    rig.feed(data(ID, 0, 1, b"end"));
    assert_eq!((rig.events(), rig.read(key)), (vec![Event::Readable(key), Event::Writable(key)], b"end".to_vec()));
    assert!(is_reset(&rig.events()[0], key));
}

#[test]
fn a_blocked_application_hears_that_nothing_more_is_taken() {
    let mut rig = Rig::host();
    let key = rig.accepted(0);
    loop {
        let capacity = rig.mux.stream(key).unwrap().poll_send_capacity();
        if capacity == 0 {
            break;
        }
        rig.write(key, &[0; 1000][..capacity.min(1000)]);
        rig.sent();
    }
    rig.feed(reset(ID, 0, 2));
    assert_eq!(rig.events(), [Event::Writable(key)]);
    assert!(rig.mux.stream(key).unwrap().is_refused());
}

#[test]
fn the_stream_drains_while_its_id_is_used_again() {
    let mut rig = Rig::host();
    let old = rig.accepted(0);
    rig.feed(data(ID, 0, 1, b"slow"));
    rig.feed(reset(ID, 0, 2));
    assert_eq!(rig.sent(), [acknowledged(ID, 0, 3)]);
    rig.events();
    let new = rig.accepted(1);
    assert_eq!(rig.read(old), b"slow");
    assert!(is_reset(&rig.events()[0], old));
    assert!(rig.mux.stream(new).is_some());
}

#[test]
fn a_newer_generation_says_that_our_reset_arrived() {
    let mut rig = Rig::host();
    let old = rig.accepted(0);
    rig.write(old, b"x");
    reset_by_us(&mut rig, old);
    rig.sent();
    rig.opened(1);
    assert_eq!((rig.mux.stream_count(), rig.sent()), (1, vec![]));
}

#[test]
fn a_stream_that_drains_behind_a_reset_outlives_a_carrier() {
    let mut rig = Rig::host();
    let key = rig.accepted(0);
    rig.feed(data(ID, 0, 1, b"kept"));
    rig.feed(reset(ID, 0, 2));
    // The acknowledgement never goes out: the list says it.
    assert_eq!(rig.resume(&[entry(ID, 0, 1)]), [entry(ID, 0, 3)]);
    assert_eq!(rig.events(), [Event::Resumed, Event::Readable(key)]);
    assert_eq!(rig.read(key), b"kept");
    assert!(is_reset(&rig.events()[0], key));
    rig.sent();
    assert_empty(&mut rig);

    // The peer is done with it already.
    let key = rig.accepted(1);
    rig.feed(data(ID, 1, 1, b"kept"));
    rig.feed(reset(ID, 1, 2));
    rig.events();
    rig.resume(&[]);
    assert_eq!(rig.events(), [Event::Resumed]);
    assert_eq!(rig.read(key), b"kept");
    assert!(is_reset(&rig.events()[0], key));
    assert_empty(&mut rig);

    // What it sent before the reset was lost, and it has given up.
    let key = rig.accepted(2);
    rig.feed(reset(ID, 2, 2));
    rig.resume(&[]);
    assert_eq!(aborted(&rig.events()), [(key, AbortReason::Reset)]);
    assert_empty(&mut rig);
}

#[test]
fn a_reset_before_its_connect_is_kept() {
    let mut rig = Rig::host();
    rig.feed(reset(ID, 0, 2));
    rig.feed(data(ID, 0, 1, b"request"));
    assert_eq!(rig.events(), []);
    rig.feed(connect(ID, 0));
    let events = rig.events();
    let [Event::Opened(key, _), Event::Readable(_)] = events[..] else { panic!("{events:?}") };
    rig.mux.stream(key).unwrap().accept();
    assert_eq!(rig.sent(), [acknowledged(ID, 0, 3)], "nobody waits for an ACCEPT");
    assert_eq!(rig.read(key), b"request");
    assert!(is_reset(&rig.events()[0], key));
    assert_empty(&mut rig);
}

#[test]
fn a_reset_whose_connect_never_comes_times_out() {
    let mut rig = Rig::host();
    rig.feed(reset(ID, 0, 2));
    rig.wait(Duration::from_secs(31));
    assert_eq!(aborts(&rig.sent()), [(ID, 0, AbortReason::Timeout)]);
    assert_empty(&mut rig);
}

#[test]
fn our_stream_may_be_reset_before_or_behind_its_accept() {
    let mut rig = Rig::host();
    let (key, id) = rig.own();
    rig.feed(reset(id, 0, 1));
    rig.feed(accept(id, 0));
    let events = rig.events();
    assert!(matches!(events[..], [Event::Accepted(_), ref last] if is_reset(last, key)), "{events:?}");
    rig.sent();
    assert_empty(&mut rig);

    let key = rig.mux.open(1, &ConnectTarget::Service(3)).unwrap();
    rig.sent();
    rig.feed(reset(id, 1, 0));
    assert!(is_reset(&rig.events()[0], key), "nothing is before it");
    assert_empty(&mut rig);
}

#[test]
fn a_reset_in_a_wrong_place_ends_the_stream() {
    for (frames, reason, what) in [
        (vec![data(ID, 0, 3, b"x"), reset(ID, 0, 2)], AbortReason::Protocol, "before DATA"),
        (vec![reset(ID, 0, 2), data(ID, 0, 3, b"x")], AbortReason::Protocol, "DATA behind it"),
        (vec![reset(ID, 0, 2), reset(ID, 0, 3)], AbortReason::Protocol, "a second one"),
        (vec![reset(ID, 0, 3), reset(ID, 0, 2)], AbortReason::Protocol, "a second one before it"),
        (vec![close(ID, 0, 2), reset(ID, 0, 4)], AbortReason::Protocol, "not right behind CLOSE"),
        (vec![reset(ID, 0, 4), close(ID, 0, 2)], AbortReason::Protocol, "CLOSE not right before it"),
        (vec![reset(ID, 0, 1 + 65536 / 33 + 3)], AbortReason::FlowControl, "behind more frames than were granted"),
        (vec![reset(ID, 0, 0x7fff_ffff)], AbortReason::FlowControl, "behind two thousand million frames"),
    ] {
        let mut rig = Rig::host();
        let key = rig.accepted(0);
        frames.into_iter().for_each(|frame| rig.feed(frame));
        assert_eq!(aborted(&rig.events()), [(key, reason)], "{what}");
        assert_eq!(aborts(&rig.sent()), [(ID, 0, reason)], "{what}");
        assert_empty(&mut rig);
    }
    // As many as were granted, in the smallest frames.
    let mut rig = Rig::host();
    let key = rig.accepted(0);
    rig.feed(reset(ID, 0, 1 + 65536 / 33));
    (1..=65536 / 33).for_each(|sequence| rig.feed(data(ID, 0, sequence, b"x")));
    assert_eq!(rig.read(key).len(), 65536 / 33);
    assert!(rig.events().iter().any(|event| is_reset(event, key)));
}

#[test]
fn a_reset_behind_what_is_known_ends_the_stream_at_once() {
    let mut rig = Rig::host();
    let key = rig.accepted(0);
    rig.feed(data(ID, 0, 1, b"known"));
    rig.feed(reset(ID, 0, 1));
    let events = rig.events();
    assert!(events.len() == 1 && is_reset(&events[0], key), "{events:?}");
    assert_eq!(rig.sent(), []);
    assert_empty(&mut rig);
}

#[test]
fn a_reset_that_comes_twice_is_counted() {
    let mut rig = Rig::host();
    rig.accepted(0);
    rig.feed(reset(ID, 0, 2));
    rig.feed(reset(ID, 0, 2));
    assert_eq!((rig.mux.counters().duplicate, rig.sent()), (1, vec![]));
}

#[test]
fn a_udp_flow_ends_by_a_reset() {
    let mut rig = Rig::host();
    rig.feed(super::rig::hello(|hello| hello.features = vec!["datagrams".to_owned()]));
    let key = rig.accepted_udp(ID, 0);
    rig.feed(reset(ID, 0, 1));
    assert!(is_reset(&rig.events()[0], key));
    rig.sent();
    assert_empty(&mut rig);

    let key = rig.accepted_udp(ID, 1);
    rig.feed(datagram(ID, 1, b"waits"));
    reset_by_us(&mut rig, key);
    rig.feed(datagram(ID, 1, b"late"));
    assert_eq!(rig.sent(), [sent_reset(ID, 1, 1)]);
    rig.feed(credit(ID, 1, 65536, 2));
    rig.feed(connect_udp(ID, 1));
    rig.events();
    assert_eq!(rig.mux.datagram_memory(), [0; 3]);
    assert_empty(&mut rig);
}

#[test]
fn the_drain_of_a_session_waits_for_resets() {
    let mut rig = Rig::host();
    let key = rig.accepted(0);
    rig.write(key, b"last");
    reset_by_us(&mut rig, key);
    rig.mux.go_away(rig.now, pinhole::internals::tunnel::GoAwayReason::Shutdown, "");
    let frames = rig.sent();
    assert!(frames.contains(&sent_reset(ID, 0, 2)), "{frames:?}");
    assert_eq!(rig.events(), []);
    rig.feed(credit(ID, 0, 65536, 3));
    assert!(matches!(rig.events()[..], [Event::Ended(..)]));
}
