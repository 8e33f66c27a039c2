//! UDP flows: datagrams before their CONNECT, in turn with streams, and dropped if they are too many, too old or stray.

use std::time::Duration;

use bytes::Bytes;
use pinhole::internals::tunnel::chunk::MAX_DATAGRAM;
use pinhole::internals::tunnel::frame::{Frame, Sequenced, StreamFrame};
use pinhole::internals::tunnel::{
    AbortReason, ConnectTarget, Dropped, Event, OpenError, Outbound, Room, Service, Trail,
};

use super::rig::{
    ID, ROOM, Rig, abort, aborted, aborts, accept, acknowledged, bare, close, connect, connect_udp, data, datagram,
    hello, stream,
};

fn is_datagram(frame: &Frame) -> bool {
    matches!(frame, Frame::Stream(_, _, StreamFrame::Datagram(_)))
}

fn sent_datagram(id: u16, payload: &'static [u8]) -> Frame {
    stream(id, 0, StreamFrame::Datagram(Bytes::from_static(payload)))
}

/// A host whose peer takes datagrams and has two services, the second of them UDP.
fn host() -> Rig {
    let mut rig = Rig::silent_host(|_| {});
    rig.open(1);
    rig.feed(hello(|hello| {
        hello.features = vec!["datagrams".into()];
        hello.services = [(0, "tcp"), (1, "udp")]
            .map(|(id, proto)| Service { id, name: proto.into(), proto: proto.into(), port: None })
            .to_vec();
    }));
    rig.sent();
    rig.events();
    rig
}

fn dropped(rig: &Rig) -> Dropped {
    rig.mux.counters().datagrams
}

#[test]
fn our_hello_says_that_we_take_datagrams() {
    let mut rig = Rig::silent_host(|_| {});
    rig.open(1);
    let pool = &mut rig.pool;
    let message = rig.mux.poll_transmit(rig.now, ROOM, pool).unwrap();
    assert!(String::from_utf8_lossy(message).contains(r#""features":["datagrams"]"#));
}

#[test]
fn a_peer_without_the_feature_gets_no_udp_flows() {
    let mut rig = Rig::host();
    assert_eq!(rig.mux.open(1, &ConnectTarget::Udp("a:1".into())), Err(OpenError::NoDatagrams));
    assert!(rig.mux.open(1, &ConnectTarget::Tcp("a:1".into())).is_ok());
    let mut rig = host();
    let udp = [ConnectTarget::Udp("a:1".into()), ConnectTarget::Service(1)];
    for target in udp {
        let key = rig.mux.open(1, &target).unwrap();
        assert!(rig.mux.stream(key).unwrap().is_udp());
    }
    let key = rig.mux.open(1, &ConnectTarget::Service(0)).unwrap();
    assert!(!rig.mux.stream(key).unwrap().is_udp());
}

#[test]
fn a_flow_opens_and_ends_as_a_stream_and_carries_datagrams_both_ways() {
    let mut rig = host();
    let key = rig.mux.open(1, &ConnectTarget::Service(1)).unwrap();
    let id = rig.mux.stream(key).unwrap().id().value();
    rig.send_datagram(key, b"question");
    let connect = bare(id, 0, 0, Sequenced::Connect(ConnectTarget::Service(1), Trail::default()));
    assert_eq!(rig.sent(), [connect, sent_datagram(id, b"question")], "the CONNECT goes first");
    rig.feed(datagram(id, 0, b"answer"));
    rig.feed(accept(id, 0));
    assert_eq!(rig.events(), [Event::Accepted(key), Event::Readable(key)]);
    assert_eq!(rig.datagrams(key), [Bytes::from_static(b"answer")]);
    assert_eq!(rig.mux.stream(key).unwrap().bytes(), (8, 6));
    rig.finish(key);
    rig.feed(close(id, 0, 1));
    assert_eq!(rig.events(), [Event::Readable(key)]);
    assert_eq!(rig.sent(), [acknowledged(id, 0, 2), bare(id, 0, 1, Sequenced::Close)]);
    rig.feed(super::rig::credit(id, 0, 65536, 2));
    assert!(rig.mux.stream(key).unwrap().poll_end());
    assert_eq!(rig.events(), [Event::Finished(key)]);
    rig.sent();
    assert_eq!((rig.pool.outstanding(), rig.mux.datagram_memory()), (0, [0; 3]));
}

#[test]
fn empty_datagrams_and_the_longest_pass_in_one_message() {
    let mut rig = host();
    let key = rig.accepted_udp(ID, 0);
    let longest = vec![7; MAX_DATAGRAM];
    rig.send_datagram(key, b"");
    rig.send_datagram(key, &longest);
    rig.send_datagram(key, &vec![7; MAX_DATAGRAM + 1]);
    let expected =
        [Bytes::new(), Bytes::from(longest.clone())].map(|payload| stream(ID, 0, StreamFrame::Datagram(payload)));
    assert_eq!(rig.sent(), expected);
    assert_eq!(dropped(&rig).unsent, 1, "no UDP datagram is longer");
    rig.feed(datagram(ID, 0, b""));
    rig.feed(datagram(ID, 0, &longest));
    rig.feed(datagram(ID, 0, &vec![7; MAX_DATAGRAM + 1]));
    assert_eq!(rig.datagrams(key), [Bytes::new(), longest.into()]);
    assert_eq!(dropped(&rig).stray, 1);
}

#[test]
fn a_few_datagrams_that_overtake_their_connect_are_kept() {
    let mut rig = host();
    for value in 0..10 {
        rig.feed(datagram(ID, 0, &[value]));
    }
    assert_eq!((rig.events(), rig.mux.stream_count()), (vec![], 0));
    rig.feed(connect_udp(ID, 0));
    let events = rig.events();
    let [Event::Opened(key, _), Event::Readable(_)] = events[..] else { panic!("{events:?}") };
    let expected: Vec<Bytes> = (2..10).map(|value| vec![value].into()).collect();
    assert_eq!(rig.datagrams(key), expected, "the newest eight");
    assert_eq!((dropped(&rig).early, rig.mux.datagram_memory()), (2, [0; 3]));
}

#[test]
fn datagrams_of_a_flow_whose_close_came_first_are_kept_too() {
    let mut rig = host();
    rig.feed(close(ID, 0, 1));
    rig.feed(datagram(ID, 0, b"early"));
    rig.feed(connect_udp(ID, 0));
    let events = rig.events();
    let [Event::Opened(key, _), Event::Readable(_)] = events[..] else { panic!("{events:?}") };
    assert_eq!(rig.datagrams(key), [Bytes::from_static(b"early")]);
}

#[test]
fn early_datagrams_of_many_flows_are_bounded() {
    let mut rig = host();
    for id in 1..=1000 {
        for _ in 0..10 {
            rig.feed(datagram(id, 0, &[0; 900]));
        }
    }
    let [_, _, early] = rig.mux.datagram_memory();
    assert!((32 * 1024..=64 * 1024).contains(&early), "{early}");
    assert_eq!((rig.mux.stream_count(), rig.sent()), (0, vec![]));
    assert!(dropped(&rig).early > 9900);
}

#[test]
fn early_datagrams_do_not_wait_for_ever() {
    let mut rig = host();
    rig.feed(datagram(ID, 0, b"old"));
    rig.wait(Duration::from_secs(30));
    rig.feed(connect_udp(ID, 0));
    let events = rig.events();
    let [Event::Opened(key, _)] = events[..] else { panic!("{events:?}") };
    assert_eq!(rig.datagrams(key), [] as [Bytes; 0]);
}

#[test]
fn early_datagrams_of_a_stream_that_is_no_flow_are_dropped() {
    let mut rig = host();
    rig.feed(datagram(ID, 0, b"x"));
    let key = rig.opened(0);
    rig.feed(datagram(ID, 0, b"x"));
    assert_eq!((rig.events(), rig.datagrams(key)), (vec![], vec![]));
    assert_eq!((dropped(&rig).stray, rig.mux.datagram_memory()), (2, [0; 3]));
}

#[test]
fn early_datagrams_go_with_an_abort_that_overtook_the_connect() {
    let mut rig = host();
    rig.feed(datagram(ID, 0, b"x"));
    rig.feed(abort(ID, 0, AbortReason::Reset));
    assert_eq!(rig.mux.datagram_memory(), [0; 3]);
    rig.feed(datagram(ID, 0, b"x"));
    assert_eq!((dropped(&rig).early, dropped(&rig).stray), (1, 1));
}

#[test]
fn datagrams_of_other_generations_and_unknown_streams_are_dropped() {
    let mut rig = host();
    let key = rig.accepted_udp(ID, 5);
    rig.feed(datagram(ID, 4, b"stale"));
    rig.feed(datagram(ID, 133, b"stale"));
    rig.feed(datagram(40_000, 0, b"of a stream of ours that never was"));
    assert_eq!(dropped(&rig).stray, 3);
    rig.feed(datagram(ID, 6, b"the next one's"));
    assert_eq!((rig.events(), rig.datagrams(key)), (vec![], vec![]), "the flow goes on until the next one's CONNECT");
    rig.feed(connect_udp(ID, 6));
    let events = rig.events();
    let [Event::Aborted { key: old, .. }, Event::Opened(new, _), Event::Readable(_)] = events[..] else {
        panic!("{events:?}")
    };
    assert_eq!((old, rig.datagrams(new)), (key, vec![Bytes::from_static(b"the next one's")]));
    rig.mux.stream(new).unwrap().abort(AbortReason::Reset, "");
    rig.feed(datagram(ID, 6, b"late"));
    assert_eq!(dropped(&rig).stray, 4);
    assert_eq!(aborts(&rig.sent()), [(ID, 6, AbortReason::Reset)], "no datagram is answered");
}

#[test]
fn bytes_on_a_flow_abort_it() {
    for early in [false, true] {
        let mut rig = host();
        if early {
            rig.feed(data(ID, 0, 1, b"bytes"));
        }
        rig.feed(connect_udp(ID, 0));
        if !early {
            rig.feed(data(ID, 0, 1, b"bytes"));
        }
        assert_eq!(aborts(&rig.sent()), [(ID, 0, AbortReason::Protocol)]);
        assert_eq!(aborted(&rig.events()).len(), 1);
        // Nothing of it counts on: as much as ever may come before a CONNECT.
        for id in 100..356 {
            rig.feed(data(id, 0, 1, &[0; 16_000]));
        }
        assert_eq!(rig.mux.stream_count(), 256);
    }
}

#[test]
fn a_flow_takes_no_bytes_to_send() {
    let mut rig = host();
    let key = rig.accepted_udp(ID, 0);
    assert_eq!(rig.mux.stream(key).unwrap().poll_send_capacity(), 0);
}

#[test]
fn a_reverse_stream_may_carry_either() {
    let mut rig = host();
    let key = rig.mux.open(1, &ConnectTarget::Reverse(0)).unwrap();
    let id = rig.mux.stream(key).unwrap().id().value();
    assert!(rig.mux.stream(key).unwrap().poll_send_capacity() > 0);
    rig.send_datagram(key, b"x");
    assert!(rig.sent().contains(&sent_datagram(id, b"x")));
}

#[test]
fn a_full_queue_to_send_loses_its_oldest() {
    let mut rig = host();
    let key = rig.accepted_udp(ID, 0);
    for value in 0..1000u32 {
        rig.send_datagram(key, &value.to_be_bytes());
    }
    let frames = rig.sent();
    let newest = stream(ID, 0, StreamFrame::Datagram(999u32.to_be_bytes().to_vec().into()));
    assert_eq!(frames.last(), Some(&newest));
    assert_eq!((frames.len(), dropped(&rig).unsent), (256, 1000 - 256));
}

#[test]
fn datagrams_nobody_takes_lose_the_oldest() {
    let mut rig = host();
    let key = rig.accepted_udp(ID, 0);
    for value in 0..1000u32 {
        let mut payload = vec![0; 996];
        payload.extend_from_slice(&value.to_be_bytes());
        rig.feed(datagram(ID, 0, &payload));
    }
    assert_eq!(rig.events(), [Event::Readable(key)]);
    let [_, held, _] = rig.mux.datagram_memory();
    assert!((400_000..=512 * 1024).contains(&held), "{held}");
    let kept = rig.datagrams(key);
    assert_eq!(kept.last().map(|last| last[996..].to_vec()), Some(999u32.to_be_bytes().to_vec()));
    assert_eq!(dropped(&rig).untaken, 1000 - kept.len() as u64);
}

#[test]
fn all_flows_together_are_bounded_in_both_directions() {
    let mut rig = host();
    let keys: Vec<_> = (1..=200).map(|id| (id, rig.accepted_udp(id, 0))).collect();
    for _ in 0..100 {
        for (id, key) in &keys {
            rig.send_datagram(*key, &[0; 1200]);
            rig.feed(datagram(*id, 0, &[0; 1200]));
        }
    }
    let [outgoing, incoming, _] = rig.mux.datagram_memory();
    assert!(outgoing <= 4 << 20 && incoming <= 4 << 20, "{outgoing} {incoming}");
    assert!(rig.pool.outstanding() <= 2048 + 1);
    rig.sent();
    let empty = keys.iter().filter(|(_, key)| rig.datagrams(*key).is_empty()).count();
    assert_eq!((empty, rig.mux.datagram_memory()), (0, [0; 3]), "everybody has some");
}

#[test]
fn datagrams_that_waited_for_too_long_are_dropped() {
    let mut rig = host();
    let key = rig.accepted_udp(ID, 0);
    rig.mux.lose_carrier(rig.now, 1);
    rig.send_datagram(key, b"old");
    rig.wait(Duration::from_millis(600));
    rig.send_datagram(key, b"new");
    rig.wait(Duration::from_millis(600));
    rig.resume(&[super::rig::entry(ID, 0, 1)]);
    assert_eq!(rig.sent(), [sent_datagram(ID, b"new")]);
    assert_eq!(dropped(&rig).unsent, 1);
}

#[test]
fn datagrams_wait_for_a_connect_that_is_sent_again() {
    let mut rig = host();
    let key = rig.mux.open(1, &ConnectTarget::Udp("a:1".into())).unwrap();
    let id = rig.mux.stream(key).unwrap().id().value();
    rig.send_datagram(key, b"one");
    assert_eq!(rig.sent().len(), 2);
    rig.send_datagram(key, b"two");
    rig.resume(&[]);
    let connect = bare(id, 0, 0, Sequenced::Connect(ConnectTarget::Udp("a:1".into()), Trail::default()));
    assert_eq!(rig.sent(), [connect, sent_datagram(id, b"two")], "no datagram is sent again");
}

#[test]
fn a_datagram_goes_before_the_bytes_that_wait() {
    let mut rig = host();
    let flow = rig.accepted_udp(ID, 0);
    rig.feed(connect(8, 0));
    let events = rig.events();
    let [Event::Opened(bulk, _)] = events[..] else { panic!("{events:?}") };
    rig.mux.stream(bulk).unwrap().accept();
    rig.write(bulk, &[0; 5000]);
    rig.send_datagram(flow, b"first");
    let frames = rig.sent();
    assert!(is_datagram(&frames[0]), "{:?}", frames[0]);
    assert_eq!(frames.len(), 3);
}

/// Sends what there is with so much room in all, datagrams and bytes always waiting; how much each had.
fn shares(rig: &mut Rig, size: usize, room: impl Fn(usize) -> Room) -> [usize; 2] {
    let flow = rig.accepted_udp(ID, 0);
    let (bulk, _) = rig.own();
    let mut sent = [0, 0];
    while sent[0] + sent[1] < 1_000_000 {
        rig.send_datagram(flow, &vec![1; size]);
        rig.send_datagram(flow, &vec![1; size]);
        let len = rig.mux.stream(bulk).unwrap().poll_send_capacity();
        if len > 0 {
            rig.write(bulk, &vec![0; len]);
        }
        match rig.mux.poll_channels(rig.now, room(sent[0] + sent[1]), &mut rig.pool) {
            Some(Outbound::Datagram(message)) => sent[0] += message.len(),
            Some(Outbound::Message(message)) => sent[1] += message.len(),
            None => break,
        }
        let id = rig.mux.stream(bulk).unwrap().id().value();
        rig.feed(super::rig::credit(id, 0, u64::MAX, 0));
    }
    sent
}

#[test]
fn a_flood_of_datagrams_leaves_half_to_streams() {
    for size in [100, 1200, 60_000] {
        let mut rig = host();
        let [datagrams, bytes] = shares(&mut rig, size, |_| Room { messages: ROOM, datagrams: ROOM });
        assert!(bytes.abs_diff(datagrams) <= 150_000, "{size}: {datagrams} {bytes}");
    }
}

#[test]
fn datagrams_pass_bytes_that_have_no_room_but_not_for_ever() {
    for size in [100, 1200] {
        let mut rig = host();
        let [datagrams, bytes] = shares(&mut rig, size, |_| Room { messages: 100, datagrams: usize::MAX });
        assert_eq!(bytes, 0);
        assert!((32 * 1024..34 * 1024).contains(&datagrams), "{size}: {datagrams}");
    }
}

#[test]
fn nothing_passes_a_datagram_that_has_no_room() {
    let mut rig = host();
    let [datagrams, bytes] = shares(&mut rig, 1200, |_| Room { messages: ROOM, datagrams: 100 });
    assert_eq!((datagrams, bytes), (0, 0));
}

#[test]
fn flows_take_turns() {
    let mut rig = host();
    let (one, two) = (rig.accepted_udp(1, 0), rig.accepted_udp(2, 0));
    for _ in 0..200 {
        rig.send_datagram(one, &[0; 1200]);
    }
    rig.mux.poll_transmit(rig.now, ROOM, &mut rig.pool);
    rig.send_datagram(two, b"a question");
    let frames = rig.sent();
    let position = frames.iter().position(|frame| *frame == sent_datagram(2, b"a question"));
    assert!(position < Some(3), "{position:?}");
}

#[test]
fn frames_that_are_no_datagrams_do_not_count_on_the_channel_for_datagrams() {
    let mut rig = host();
    rig.mux.handle_datagram(rig.now, 1, connect(ID, 0));
    rig.mux.handle_datagram(rig.now, 1, Bytes::new());
    assert_eq!((rig.events(), rig.mux.counters().ignored), (vec![], 2));
    let key = rig.accepted_udp(ID, 0);
    rig.mux.handle_datagram(rig.now, 1, datagram(ID, 0, b"x"));
    assert_eq!(rig.datagrams(key), [Bytes::from_static(b"x")]);
}
