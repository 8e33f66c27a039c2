//! The rules of resuming on a further carrier, one by one.

use bytes::Bytes;
use pinhole::internals::tunnel::frame::{Frame, Sequenced, SessionFrame, kind};
use pinhole::internals::tunnel::{AbortReason, ConnectTarget, Event, Trail};

use super::rig::{
    ID, Rig, abort, aborted, aborts, accept, acknowledged, bare, close, connect, credit, data, entry, hello, listed,
    resume, sent_data, session,
};

#[test]
fn each_side_resends_what_the_other_lacks() {
    let mut rig = Rig::host();
    let key = rig.accepted(0);
    for payload in [b"one", b"two", b"six"] {
        rig.write(key, payload);
    }
    assert_eq!(rig.sent().len(), 3);
    rig.feed(data(ID, 0, 1, b"had"));
    rig.feed(data(ID, 0, 3, b"early"));
    let listed = rig.resume(&[entry(ID, 0, 2)]);
    assert_eq!(listed, [entry(ID, 0, 2)], "what came in order, and the limit");
    assert_eq!(rig.sent(), [sent_data(ID, 0, 2, b"two"), sent_data(ID, 0, 3, b"six")]);
    let duplicates = rig.mux.counters().duplicate;
    rig.feed(data(ID, 0, 3, b"early"));
    assert_eq!(rig.mux.counters().duplicate, duplicates + 1, "what came early was kept");
}

#[test]
fn a_stream_the_peer_never_acknowledged_is_sent_from_the_start() {
    let mut rig = Rig::host();
    let (key, id) = rig.own();
    rig.write(key, b"first");
    rig.sent();
    rig.resume(&[]);
    let connect = bare(id, 0, 0, Sequenced::Connect(ConnectTarget::Service(3), Trail::default()));
    assert_eq!(rig.sent(), [connect, sent_data(id, 0, 1, b"first")]);
    assert_eq!(rig.events(), [Event::Resumed]);
}

#[test]
fn a_stream_with_both_closes_that_the_peer_lacks_is_acknowledged_and_drains() {
    let mut rig = Rig::host();
    let key = rig.accepted(0);
    rig.write(key, b"reply");
    rig.finish(key);
    rig.feed(data(ID, 0, 1, b"unread"));
    rig.feed(close(ID, 0, 2));
    rig.sent();
    rig.events();
    rig.resume(&[]);
    assert_eq!(rig.sent(), [], "nothing is sent again");
    assert_eq!(rig.events(), [Event::Resumed]);
    assert_eq!((rig.mux.memory(), rig.pool.outstanding()), ((0, 0), 0));
    assert_eq!(rig.read(key), b"unread");
    assert_eq!(rig.events(), [Event::Finished(key)]);
}

#[test]
fn any_other_stream_that_the_peer_lacks_ended_there() {
    for closes in [(false, false), (true, false), (false, true)] {
        let mut rig = Rig::host();
        let key = rig.accepted(0);
        if closes.0 {
            rig.finish(key);
            rig.sent();
        }
        if closes.1 {
            rig.feed(close(ID, 0, 1));
            rig.sent();
        }
        rig.events();
        rig.resume(&[]);
        assert_eq!(aborted(&rig.events()), [(key, AbortReason::Reset)], "{closes:?}");
    }
}

#[test]
fn a_close_that_never_went_out_is_not_taken_for_acknowledged() {
    let mut rig = Rig::host();
    let key = rig.accepted(0);
    rig.feed(close(ID, 0, 1));
    rig.sent();
    rig.mux.lose_carrier(rig.now, 1);
    rig.finish(key);
    rig.events();
    rig.resume(&[]);
    assert_eq!(aborted(&rig.events()), [(key, AbortReason::Reset)]);
}

#[test]
fn an_acknowledged_stream_of_ours_that_the_peer_lacks_ended_there() {
    let mut rig = Rig::host();
    let (key, id) = rig.own();
    rig.feed(credit(id, 0, 65536, 1));
    rig.resume(&[]);
    assert_eq!(aborted(&rig.events()), [(key, AbortReason::Reset)]);
    assert_eq!(rig.mux.stream_count(), 0);
}

#[test]
fn an_answer_proves_that_the_connect_arrived() {
    let mut rig = Rig::host();
    let (key, id) = rig.own();
    rig.finish(key);
    rig.feed(accept(id, 0));
    rig.feed(close(id, 0, 1));
    assert_eq!(rig.sent(), [acknowledged(id, 0, 2), bare(id, 0, 1, Sequenced::Close)]);
    rig.events();
    assert_eq!(rig.read(key), b"");
    // The peer had it all and is done with the stream; every CREDIT of it was lost.
    rig.resume(&[]);
    assert_eq!(rig.events(), [Event::Finished(key), Event::Resumed]);
    assert_eq!(rig.sent(), []);
}

#[test]
fn streams_are_judged_only_by_lower_carriers() {
    let mut rig = Rig::host();
    rig.open(2);
    rig.feed(hello(|_| {}));
    rig.sent();
    // The peer's list is overtaken by a stream that it opened after having made it.
    rig.feed(connect(ID, 0));
    let own = rig.mux.open(1, &ConnectTarget::Service(1)).unwrap();
    assert_eq!(rig.sent(), [], "streams wait for the list");
    rig.feed(resume(2, 0, 1, &[]));
    let events = rig.events();
    assert!(matches!(events[..], [Event::Resumed, Event::Opened(..)]), "{events:?}");
    assert_eq!(rig.sent().len(), 1);
    assert!(rig.mux.stream(own).is_some());
}

#[test]
fn an_entry_we_do_not_know_needs_no_answer() {
    let mut rig = Rig::host();
    let key = rig.accepted(3);
    rig.resume(&[entry(ID, 3, 1), entry(99, 0, 4), entry(40_000, 2, 1)]);
    assert_eq!((rig.events(), rig.sent()), (vec![Event::Resumed], vec![]));
    assert!(rig.mux.stream(key).is_some());
}

#[test]
fn entries_match_on_the_generation() {
    let mut rig = Rig::host();
    let key = rig.accepted(3);
    rig.resume(&[entry(ID, 2, 1)]);
    assert_eq!(aborted(&rig.events()), [(key, AbortReason::Reset)]);
}

#[test]
fn a_lost_last_credit_is_made_up_for() {
    let mut rig = Rig::host();
    let key = rig.accepted(0);
    rig.finish(key);
    rig.sent();
    rig.feed(credit(ID, 0, 65536, 2));
    rig.feed(close(ID, 0, 1));
    assert_eq!(rig.events(), [Event::Readable(key)]);
    assert!(rig.sent().contains(&acknowledged(ID, 0, 2)));
    assert_eq!(
        (rig.read(key), rig.events()),
        (vec![], vec![Event::Finished(key)]),
        "done here, and the CREDIT that says so is lost"
    );
    let listed = rig.resume(&[entry(ID, 0, 2)]);
    assert_eq!(listed, [], "our list lacks the stream: that says it all");
    assert_eq!((rig.events(), rig.sent()), (vec![Event::Resumed], vec![]));
}

#[test]
fn a_list_comes_in_parts_in_any_order() {
    let mut rig = Rig::host();
    let keys = [rig.accepted(0), {
        rig.feed(connect(ID + 1, 0));
        let events = rig.events();
        let [Event::Opened(key, _)] = events[..] else { panic!("{events:?}") };
        key
    }];
    rig.open(2);
    rig.feed(resume(2, 2, 3, &[entry(ID + 1, 0, 0)]));
    rig.feed(hello(|_| {}));
    rig.feed(resume(2, 0, 3, &[]));
    rig.feed(resume(2, 0, 3, &[]));
    rig.feed(resume(1, 1, 3, &[]));
    assert_eq!(rig.events(), []);
    assert!(!rig.mux.is_ready());
    rig.feed(resume(2, 1, 3, &[entry(ID, 0, 1)]));
    assert_eq!(rig.events(), [Event::Resumed]);
    assert!(rig.mux.is_ready());
    assert!(keys.into_iter().all(|key| rig.mux.stream(key).is_some()));
}

#[test]
fn our_list_goes_out_in_parts() {
    let mut rig = Rig::host();
    for id in 1..=2500 {
        rig.feed(connect(id, 0));
    }
    rig.open(2);
    let frames = rig.sent();
    assert!(matches!(frames[0], Frame::Session(SessionFrame::Hello(_))));
    for (index, frame) in frames[1..].iter().enumerate() {
        let Frame::Session(SessionFrame::Resume { carrier: 2, part, parts: 3, .. }) = frame else {
            panic!("{frame:?}")
        };
        assert_eq!(usize::from(*part), index);
    }
    assert_eq!(listed(&frames).len(), 2500);
}

#[test]
fn what_lower_carriers_still_deliver_is_discarded() {
    let mut rig = Rig::host();
    let key = rig.accepted(0);
    rig.open(2);
    rig.feed_on(1, data(ID, 0, 1, b"x"));
    rig.feed_on(1, abort(ID, 0, AbortReason::Reset));
    rig.feed_on(1, session(kind::PING, &[1; 8]));
    assert_eq!(rig.events(), []);
    assert!(rig.mux.stream(key).is_some());
    let frames = rig.sent();
    assert_eq!(listed(&frames), [entry(ID, 0, 1)]);
    assert_eq!(frames.len(), 2, "HELLO and RESUME, no PONG: {frames:?}");
}

#[test]
fn no_carrier_is_returned_to() {
    let mut rig = Rig::host();
    rig.open(3);
    assert!(!rig.mux.open_carrier(rig.now, 2));
    assert!(!rig.mux.open_carrier(rig.now, 3));
    assert_eq!(rig.mux.carrier(), Some(3));
    rig.mux.lose_carrier(rig.now, 1);
    assert_eq!(rig.mux.carrier(), Some(3), "that a lower one dies is no news");
}

#[test]
fn what_overtook_the_hello_counts_for_its_own_carrier() {
    let mut rig = Rig::silent_host(|_| {});
    rig.open(1);
    rig.feed_on(1, session(kind::PING, &[1; 8]));
    rig.open(2);
    rig.feed_on(2, resume(2, 0, 1, &[]));
    rig.feed_on(1, hello(|_| {}));
    let events = rig.events();
    assert!(matches!(events[..], [Event::Hello(_), Event::Resumed]), "{events:?}");
    let frames = rig.sent();
    let is_pong = |frame: &Frame| matches!(frame, Frame::Session(SessionFrame::Pong(_)));
    assert!(!frames.iter().any(is_pong), "a PING of a lower carrier is not answered on this one");
}

#[test]
fn data_does_not_pass_a_list_that_waits_for_room() {
    let mut rig = Rig::host();
    for id in 1..=100 {
        rig.feed(connect(id, 0));
    }
    rig.open(2);
    rig.feed(hello(|_| {}));
    let entries: Vec<_> = (1..=100).map(|id| entry(id, 0, 0)).collect();
    rig.feed(resume(2, 0, 1, &entries));
    let key = rig.mux.open(1, &ConnectTarget::Service(0)).unwrap();
    rig.write(key, b"small");
    let mut kinds = Vec::new();
    for room in [500, 500, 500, 65536, 500] {
        let message = rig.mux.poll_transmit(rig.now, room, &mut rig.pool);
        kinds.push(message.map(|message| message[0]));
    }
    assert_eq!(kinds, [Some(kind::HELLO), None, None, Some(kind::RESUME), Some(kind::PING)]);
}

#[test]
fn an_entry_twice_is_taken_once_and_a_malformed_one_ends_the_session() {
    let mut rig = Rig::host();
    rig.resume(&[entry(ID, 0, 1), entry(ID, 1, 1)]);
    assert_eq!(rig.events(), [Event::Resumed]);
    let mut rig = Rig::host();
    rig.open(2);
    let mut message = resume(2, 0, 1, &[]).to_vec();
    message.extend_from_slice(&[0; 15]);
    rig.feed(Bytes::from(message));
    assert!(rig.sent().iter().any(|frame| matches!(frame, Frame::Session(SessionFrame::GoAway(..)))));
}

#[test]
fn an_unanswered_abort_is_repeated_where_the_stream_goes_on() {
    let mut rig = Rig::host();
    let key = rig.accepted(0);
    rig.mux.lose_carrier(rig.now, 1);
    rig.mux.stream(key).unwrap().abort(AbortReason::Shutdown, "");
    let listed = rig.resume(&[entry(ID, 0, 1)]);
    assert_eq!(listed, []);
    rig.feed(data(ID, 0, 1, b"x"));
    let told = aborts(&rig.sent());
    assert!(matches!(told[..], [(ID, 0, AbortReason::Shutdown | AbortReason::Gone)]), "{told:?}");
}
