//! Reverse forwards: who may ask, how often requests and answers are sent, and how much is kept.

use bytes::Bytes;
use pinhole::internals::tunnel::frame::{self, Frame, MAX_LISTEN_TEXT, SessionFrame};
use pinhole::internals::tunnel::mux::MAX_LISTENS;
use pinhole::internals::tunnel::{Config, Event, GoAwayReason, Role};

use super::rig::{Rig, hello, resume};

fn listen(id: u16, bind: &str) -> Bytes {
    let mut message = Vec::new();
    frame::encode_listen(&mut message, id, bind);
    message.into()
}

fn listened(id: u16, result: Result<&str, &str>) -> Bytes {
    let mut message = Vec::new();
    frame::encode_listened(&mut message, id, result);
    message.into()
}

fn asks(id: u16, bind: &str) -> Frame {
    Frame::Session(SessionFrame::Listen(id, bind.to_owned()))
}

fn answers(id: u16, result: Result<&str, &str>) -> Frame {
    Frame::Session(SessionFrame::Listened(id, owned(result)))
}

fn owned(result: Result<&str, &str>) -> Result<String, String> {
    result.map(str::to_owned).map_err(str::to_owned)
}

fn wanted(id: u16, bind: &str) -> Event {
    Event::Listen { id, bind: bind.to_owned() }
}

fn answered(id: u16, result: Result<&str, &str>) -> Event {
    Event::Listened { id, result: owned(result) }
}

/// Opens the next carrier of a client and completes the change to it. Returns the frames that were sent.
fn move_client(rig: &mut Rig) -> Vec<Frame> {
    rig.open(rig.carrier + 1);
    rig.feed(hello(|hello| hello.role = "host".into()));
    rig.feed(resume(rig.carrier, 0, 1, &[]));
    let sent = rig.sent();
    assert_eq!(rig.events(), [Event::Resumed]);
    sent
}

#[test]
fn listen_is_asked_on_each_carrier_until_answered() {
    let mut rig = Rig::client();
    rig.mux.listen(3, "127.0.0.1:80");
    rig.mux.listen(4, "unix:/a");
    assert!(rig.mux.has_transmit());
    assert_eq!(rig.sent(), [asks(3, "127.0.0.1:80"), asks(4, "unix:/a")]);
    assert!(!rig.mux.has_transmit());
    let sent = move_client(&mut rig);
    assert_eq!(sent[2..], [asks(3, "127.0.0.1:80"), asks(4, "unix:/a")], "after HELLO and RESUME");
    rig.feed(listened(3, Ok("127.0.0.1:80")));
    assert_eq!(rig.events(), [answered(3, Ok("127.0.0.1:80"))]);
    rig.mux.lose_carrier(rig.now, rig.carrier);
    assert_eq!(move_client(&mut rig)[2..], [asks(4, "unix:/a")]);
    rig.feed(listened(4, Err("the host does not allow it")));
    assert_eq!(rig.events(), [answered(4, Err("the host does not allow it"))]);
    assert_eq!(move_client(&mut rig).len(), 2);
}

#[test]
fn listened_is_told_once() {
    let mut rig = Rig::client();
    rig.mux.listen(3, "127.0.0.1:0");
    rig.mux.listen(3, "127.0.0.1:1");
    rig.mux.listen(9, "0.0.0.0:22");
    assert_eq!(rig.sent(), [asks(3, "127.0.0.1:0"), asks(9, "0.0.0.0:22")], "an id is asked for once");
    for (id, result) in [(3, Ok("127.0.0.1:4000")), (9, Err("no")), (3, Err("late")), (9, Ok("late"))] {
        rig.feed(listened(id, result));
    }
    assert_eq!(rig.events(), [answered(3, Ok("127.0.0.1:4000")), answered(9, Err("no"))]);
    assert_eq!(rig.mux.counters().duplicate, 2);
    assert!(rig.mux.takes_reverse(3) && !rig.mux.takes_reverse(9), "the first answer counts");
}

#[test]
fn streams_are_taken_for_what_was_asked_and_not_refused() {
    let mut rig = Rig::client();
    assert!(!rig.mux.takes_reverse(0));
    rig.mux.listen(0, "127.0.0.1:80");
    assert!(rig.mux.takes_reverse(0), "a CONNECT may overtake the LISTENED");
    assert!(!rig.mux.takes_reverse(1));
    rig.feed(listened(0, Err("no")));
    assert!(!rig.mux.takes_reverse(0));
    rig.feed(listened(1, Ok("127.0.0.1:1")));
    assert!(!rig.mux.takes_reverse(1), "nobody asked for it");
    assert_eq!(rig.mux.counters().ignored, 1);
    let mut rig = Rig::host();
    rig.feed(listen(2, "127.0.0.1:80"));
    assert!(!rig.mux.takes_reverse(2), "a host dials nothing in reverse");
}

#[test]
fn listen_is_told_once_and_answered_on_each_carrier() {
    let mut rig = Rig::host();
    rig.feed(listen(7, "127.0.0.1:0"));
    rig.feed(listen(7, "127.0.0.1:0"));
    assert_eq!(rig.events(), [wanted(7, "127.0.0.1:0")]);
    assert_eq!(rig.sent(), [], "the owner has not said");
    rig.mux.listened(7, Ok("127.0.0.1:4000"));
    rig.mux.listened(7, Err("late"));
    assert_eq!(rig.sent(), [answers(7, Ok("127.0.0.1:4000"))]);
    rig.feed(listen(7, "127.0.0.1:0"));
    assert_eq!(rig.sent(), [], "what was said on this carrier arrives");
    rig.resume(&[]);
    assert_eq!(rig.sent(), [], "not asked again");
    rig.feed(listen(7, "another"));
    assert_eq!(rig.sent(), [answers(7, Ok("127.0.0.1:4000"))]);
    assert_eq!(rig.events(), [Event::Resumed]);
}

#[test]
fn an_answer_waits_for_a_carrier() {
    let mut rig = Rig::host();
    rig.feed(listen(7, "unix:/a"));
    rig.mux.lose_carrier(rig.now, 1);
    rig.mux.listened(7, Err("in use"));
    assert!(!rig.mux.has_transmit());
    rig.open(2);
    rig.feed(hello(|_| {}));
    rig.feed(listen(7, "unix:/a"));
    let sent = rig.sent();
    assert_eq!(sent[2..], [answers(7, Err("in use"))], "once, though it was asked again");
}

#[test]
fn an_answer_waits_for_room() {
    let mut rig = Rig::host();
    rig.feed(listen(1, "unix:/a"));
    let reason = "x".repeat(2 * MAX_LISTEN_TEXT);
    rig.mux.listened(1, Err(&reason));
    assert!(rig.mux.poll_transmit(rig.now, 300, &mut rig.pool).is_none());
    assert!(rig.mux.has_transmit());
    assert_eq!(rig.sent(), [answers(1, Err(&reason[..MAX_LISTEN_TEXT]))], "cut off at what a frame may say");
}

#[test]
fn a_client_listens_for_nobody() {
    let mut rig = Rig::client();
    rig.feed(listen(1, "127.0.0.1:80"));
    assert_eq!((rig.events(), rig.sent()), (vec![], vec![]));
    assert_eq!(rig.mux.counters().ignored, 1);
    let mut rig = Rig::host();
    rig.mux.listen(1, "127.0.0.1:80");
    rig.mux.listened(1, Ok("nobody asked"));
    assert_eq!((rig.events(), rig.sent()), (vec![], vec![]));
}

#[test]
fn listens_are_bounded() {
    let mut rig = Rig::host();
    for id in 0..=u16::MAX {
        rig.feed(listen(id, "127.0.0.1:0"));
    }
    let events = rig.events();
    assert_eq!(events.len(), MAX_LISTENS);
    assert_eq!(events[MAX_LISTENS - 1], wanted(MAX_LISTENS as u16 - 1, "127.0.0.1:0"));
    let refused = rig.sent();
    assert!(refused.len() <= 2 * MAX_LISTENS, "{} refusals waited", refused.len());
    let is_refusal = |frame: &Frame| matches!(frame, Frame::Session(SessionFrame::Listened(_, Err(_))));
    assert!(refused.iter().all(is_refusal));
    for id in 0..MAX_LISTENS as u16 {
        rig.mux.listened(id, Ok("127.0.0.1:4000"));
    }
    assert_eq!(rig.sent().len(), MAX_LISTENS, "those that were taken are answered all the same");
    rig.feed(listen(300, "127.0.0.1:0"));
    assert_eq!(rig.sent().len(), 1, "a refusal is said again");
}

#[test]
fn what_is_too_long_to_be_said_is_refused_here() {
    let mut rig = Rig::silent(Config::new(Role::Client));
    rig.mux.listen(1, &"x".repeat(MAX_LISTEN_TEXT + 1));
    assert!(matches!(&rig.events()[..], [Event::Listened { id: 1, result: Err(_) }]));
    rig.mux.listen(2, &"x".repeat(MAX_LISTEN_TEXT));
    rig.open(1);
    assert_eq!(rig.sent().len(), 1, "HELLO, and nothing before the peer's");
    rig.feed(hello(|hello| hello.role = "host".into()));
    assert_eq!(rig.sent(), [asks(2, &"x".repeat(MAX_LISTEN_TEXT))]);
}

#[test]
fn a_session_that_ends_takes_no_more() {
    let mut rig = Rig::host();
    rig.opened(0);
    rig.mux.go_away(rig.now, GoAwayReason::Restart, "");
    rig.sent();
    rig.feed(listen(1, "127.0.0.1:0"));
    assert_eq!(rig.events(), []);
    assert_eq!(rig.sent(), [answers(1, Err("the session is ending"))]);
}

#[test]
fn a_refusal_that_did_not_go_out_waits_for_the_next_carriers_listen() {
    let mut rig = Rig::host();
    rig.mux.go_away(rig.now, GoAwayReason::Shutdown, "");
    rig.sent();
    rig.feed(listen(1, "127.0.0.1:80"));
    rig.resume(&[]);
    assert!(!rig.sent().iter().any(|frame| matches!(frame, Frame::Session(SessionFrame::Listened(..)))));
    rig.feed(listen(1, "127.0.0.1:80"));
    assert_eq!(rig.sent(), [answers(1, Err("the session is ending"))]);
}
