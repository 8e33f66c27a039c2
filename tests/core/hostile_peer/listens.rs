//! Reverse forwards that a peer requests without end, or answers without a request.

use std::time::Duration;

use pinhole::internals::session::End;
use pinhole::internals::tunnel::Role;
use pinhole::internals::tunnel::frame::{self, MAX_LISTEN_TEXT, kind};
use pinhole::internals::tunnel::mux::MAX_LISTENS;

use super::raw::{Lab, hello, main_channel};
use super::{connect, met, session_frame};

fn listen(id: u16) -> Vec<u8> {
    let mut message = Vec::new();
    frame::encode_listen(&mut message, id, &"x".repeat(MAX_LISTEN_TEXT));
    message
}

#[test]
fn a_flood_of_listens_is_bounded_and_streams_go_on() {
    let mut lab = met();
    for round in 0..3 {
        for id in (0..=u16::MAX).step_by(16) {
            lab.send(&listen(id));
            if id % 1024 == 0 {
                lab.run(Duration::from_millis(20));
            }
        }
        lab.send(&connect(round + 1, 0));
    }
    lab.run(Duration::from_secs(2));
    assert_eq!((lab.victim.listens, lab.victim.opened, &lab.victim.end), (MAX_LISTENS, 3, &None));
}

#[test]
fn malformed_listens_end_the_session() {
    let long = [&[0, 1][..], &[b'x'; MAX_LISTEN_TEXT + 1]].concat();
    let cases = [
        (kind::LISTEN, &b""[..]),
        (kind::LISTEN, b"\0"),
        (kind::LISTEN, b"\0\x01\xff\xfe"),
        (kind::LISTEN, &long),
        (kind::LISTENED, b"\0\x01"),
        (kind::LISTENED, b"\0\x01\x07what"),
    ];
    for (kind, payload) in cases {
        let mut lab = met();
        lab.send(&session_frame(kind, payload));
        lab.run(Duration::from_secs(4));
        let end = lab.victim.end.clone();
        assert!(matches!(&end, Some(End::Failed(reason)) if reason.contains("protocol")), "{payload:?}: {end:?}");
        lab.victim.assert_nothing_is_left();
    }
}

#[test]
fn a_host_that_asks_or_answers_what_nobody_asked_is_ignored() {
    let mut lab = Lab::new(Role::Client, main_channel());
    lab.run(Duration::from_secs(3));
    lab.send(&hello(Role::Host));
    for id in 0..1000 {
        lab.send(&listen(id));
        let mut message = Vec::new();
        frame::encode_listened(&mut message, id, Ok("127.0.0.1:80"));
        lab.send(&message);
    }
    lab.run(Duration::from_secs(2));
    assert!(lab.victim.is_connected && lab.victim.end.is_none(), "{:?}", lab.victim.end);
    assert_eq!((lab.victim.listens, lab.victim.session.mux().counters().ignored), (0, 2000));
    assert!((0..1000).all(|id| !lab.victim.session.mux().takes_reverse(id)));
}
