//! Floods of datagrams, and misuse of their channel.

use std::time::Duration;

use pinhole::internals::session::End;
use pinhole::internals::tunnel::frame::{header, kind};
use pinhole::internals::tunnel::{AbortReason, Generation, Sequence};

use super::raw::Lab;
use super::{MAX_MEMORY, connect, met, sequenced, session_frame};

fn datagram(id: u16, generation: u8, len: usize) -> Vec<u8> {
    let mut message = header(kind::DATAGRAM, Generation(generation), id, Sequence(0)).to_vec();
    message.resize(message.len() + len, 7);
    message
}

/// Sends `count` datagrams on both channels in turn, and returns the most memory held.
fn flood(lab: &mut Lab, count: usize, message: impl Fn(usize) -> Vec<u8>) -> [usize; 3] {
    let mut most = [0; 3];
    for index in 0..count {
        if index % 2 == 0 {
            lab.send(&message(index));
        } else {
            lab.send_datagram(true, &message(index));
        }
        if index % 16 == 0 {
            lab.run(Duration::from_millis(20));
        }
        let held = lab.victim.session.mux().datagram_memory();
        most = [0, 1, 2].map(|kind| most[kind].max(held[kind]));
    }
    lab.run(Duration::from_secs(1));
    most
}

#[test]
fn datagrams_of_unknown_streams_are_bounded_and_answered_by_nothing() {
    let mut lab = met();
    let most = flood(&mut lab, 20_000, |index| datagram((index * 7) as u16 | 1, index as u8, 200));
    println!("20000 datagrams to unknown streams: {most:?} bytes at most");
    assert!(most[2] <= 64 * 1024 && most[..2] == [0, 0]);
    let counters = lab.victim.session.mux().counters().datagrams;
    assert!(counters.stray > 1000 && counters.early > 1000, "{counters:?}");
    assert_eq!((lab.victim.session.mux().stream_count(), &lab.victim.end), (0, &None));
    assert!(lab.victim.aborts.is_empty());
}

#[test]
fn datagrams_that_never_get_their_connect_are_bounded() {
    for len in [0, 1, 8000, 65_507] {
        let mut lab = met();
        let most = flood(&mut lab, 400, |index| datagram(index as u16 + 1, 0, len));
        assert!(most[2] <= 64 * 1024, "{len}: {most:?}");
        assert_eq!((lab.victim.session.mux().stream_count(), &lab.victim.end), (0, &None));
    }
}

#[test]
fn datagrams_nobody_takes_are_bounded() {
    let mut lab = met();
    let udp = |id| sequenced(kind::CONNECT, 0, id, 0, b"\x03a:1");
    for id in 1..=100 {
        lab.send(&udp(id));
    }
    lab.run(Duration::from_millis(200));
    assert_eq!(lab.victim.opened, 100);
    let most = flood(&mut lab, 8000, |index| datagram(index as u16 % 100 + 1, 0, 1100));
    println!("8000 datagrams to 100 flows that take none: {most:?} bytes at most");
    assert!((2 << 20..=4 << 20).contains(&most[1]), "{most:?}");
    assert!(lab.victim.session.mux().counters().datagrams.untaken > 1000);
    // The peer's other streams do not notice.
    lab.send(&connect(200, 0));
    lab.run(Duration::from_millis(200));
    assert_eq!((lab.victim.opened, &lab.victim.end), (101, &None));
}

#[test]
fn datagrams_longer_than_any_are_dropped() {
    let mut lab = met();
    lab.send(&sequenced(kind::CONNECT, 0, 5, 0, b"\x03a:1"));
    lab.run(Duration::from_millis(100));
    for len in [65_508, 100_000, 200_000] {
        assert!(lab.send_datagram(true, &datagram(5, 0, len)));
        lab.run(Duration::from_secs(2));
    }
    assert_eq!(lab.victim.session.mux().counters().datagrams.stray, 3);
    assert_eq!((lab.victim.session.mux().datagram_memory(), &lab.victim.end), ([0; 3], &None));
}

#[test]
fn bytes_on_a_flow_abort_it_and_datagrams_on_a_stream_are_dropped() {
    let mut lab = met();
    lab.send(&sequenced(kind::CONNECT, 0, 5, 0, b"\x03a:1"));
    lab.send(&sequenced(kind::DATA, 0, 5, 1, b"x"));
    lab.send(&connect(6, 0));
    lab.run(Duration::from_millis(100));
    lab.send(&datagram(6, 0, 10));
    lab.run(Duration::from_millis(100));
    assert_eq!(lab.victim.aborts, [AbortReason::Protocol]);
    assert_eq!((lab.victim.session.mux().stream_count(), &lab.victim.end), (1, &None));
    assert_eq!(lab.victim.session.mux().counters().datagrams.stray, 1);
}

#[test]
fn other_frames_on_the_channel_for_datagrams_do_nothing() {
    let mut lab = met();
    let random = vec![99; 50];
    let goaway = session_frame(kind::GOAWAY, &[1]);
    for message in [connect(5, 0), goaway, random, vec![kind::CONNECT]] {
        assert!(lab.send_datagram(true, &message));
    }
    lab.run(Duration::from_millis(500));
    assert_eq!((lab.victim.opened, &lab.victim.end), (0, &None));
    assert_eq!(lab.victim.session.mux().counters().ignored, 4);
}

#[test]
fn texts_and_frames_cut_short_end_the_session() {
    for (is_binary, message) in
        [(false, datagram(5, 0, 10)), (true, vec![kind::DATAGRAM; 5]), (true, datagram(0, 0, 10))]
    {
        let mut lab = met();
        lab.send_datagram(is_binary, &message);
        lab.run(Duration::from_secs(4));
        assert!(matches!(lab.victim.end, Some(End::Failed(_))), "{:?}", lab.victim.end);
        lab.victim.assert_nothing_is_left();
        let (grown, retained) = lab.victim.session.mux().memory();
        assert!(grown as usize + retained <= MAX_MEMORY);
    }
}
