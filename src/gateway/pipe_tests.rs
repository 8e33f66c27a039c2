//! Pipes: WebSockets and other protocols by 101, and CONNECT.

use super::talk_tests::Talk;
use super::{Ending, Refusal, Stage};

const UPGRADE: &str = "GET /ws HTTP/1.1\r\nHost: a.test\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: x\r\n\r\n";
const SWITCH: &str =
    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: WebSocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: y\r\n\r\n";

fn piped() -> Talk {
    let mut talk = Talk::routed(UPGRADE);
    assert!(talk.at_service().ends_with("\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"));
    talk.answers(format!("{SWITCH}from service"));
    let expected = "HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Accept: y\r\nVia: 1.1 pinhole\r\n\
                    Upgrade: WebSocket\r\nConnection: Upgrade\r\n\r\nfrom service";
    assert_eq!((talk.at_browser().as_str(), talk.exchange.stage()), (expected, Stage::Piped));
    talk
}

#[test]
fn a_switch_makes_a_pipe_of_both_directions() {
    let mut talk = piped();
    talk.says("GET / HTTP/1.1\r\n\0\r\n\r\n");
    assert_eq!(talk.at_service(), "GET / HTTP/1.1\r\n\0\r\n\r\n");
    talk.answers("\0\r\n");
    assert_eq!(talk.at_browser(), "\0\r\n");
    assert_eq!(talk.endings(), (None, None));
}

#[test]
fn each_direction_ends_by_itself() {
    let mut talk = piped();
    talk.exchange.handle_bytes(b"last");
    talk.exchange.handle_end();
    assert_eq!(talk.exchange.service_ending(), None, "bytes are still to be sent");
    talk.drain();
    assert_eq!((talk.at_service().as_str(), talk.endings()), ("last", (Some(Ending::HalfClose), None)));
    talk.answers("more");
    assert_eq!(talk.at_browser(), "more");
    assert_eq!(talk.finished.len(), 0);
    talk.service_ends();
    assert_eq!(talk.endings(), (Some(Ending::Close), Some(Ending::Close)));
    assert_eq!((talk.finished[0].status, talk.finished[0].path.as_str()), (Some(101), "/ws"));

    let mut talk = piped();
    talk.service_ends();
    assert_eq!(talk.endings(), (None, Some(Ending::HalfClose)));
    talk.says("still");
    assert_eq!(talk.at_service(), "still");
    talk.ends();
    assert_eq!(talk.endings(), (Some(Ending::Close), Some(Ending::Close)));

    let mut talk = piped();
    talk.exchange.handle_service_failed(Refusal::ServiceDown);
    assert_eq!(talk.endings(), (Some(Ending::Close), Some(Ending::Reset)));
    let mut talk = piped();
    talk.exchange.handle_browser_gone();
    assert_eq!(talk.endings().0, Some(Ending::Close));
}

#[test]
fn both_directions_of_a_pipe_are_bounded() {
    let mut talk = piped();
    while talk.exchange.room() > 0 {
        talk.exchange.handle_bytes(&vec![b'x'; talk.exchange.room().min(5000)]);
    }
    while talk.exchange.service_room() > 0 {
        talk.exchange.handle_service(&vec![b'x'; talk.exchange.service_room().min(5000)]);
    }
    assert_eq!((talk.exchange.to_service().len(), talk.exchange.to_browser().len()), (64 * 1024, 64 * 1024));
}

#[test]
fn only_what_was_asked_for_is_switched_to() {
    let rows = [
        "HTTP/1.1 101 x\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n",
        "HTTP/1.1 101 x\r\nUpgrade: websocket, h2c\r\nConnection: Upgrade\r\n\r\n",
        "HTTP/1.1 101 x\r\nConnection: Upgrade\r\n\r\n",
        "HTTP/1.1 101 x\r\nUpgrade: websocket\r\n\r\n",
    ];
    for answer in rows {
        let request = UPGRADE.replace("Upgrade: websocket", "Upgrade: websocket, h2c");
        let mut talk = Talk::routed(&request);
        talk.answers(answer);
        assert_eq!((talk.status(), talk.endings().0), (Some(502), Some(Ending::Close)), "{answer}");
    }
    // Not before the request's body is complete.
    let mut talk = Talk::routed(&UPGRADE.replace("Host", "Content-Length: 5\r\nHost"));
    talk.answers(SWITCH);
    assert_eq!((talk.status(), talk.exchange.stage()), (Some(502), Stage::Done));
}

#[test]
fn an_upgrade_may_be_declined() {
    let mut talk = Talk::routed(UPGRADE);
    talk.says("GET /next HTTP/1.1\r\nHost: a.test\r\n\r\n");
    assert_eq!(talk.exchange.stage(), Stage::AwaitingAnswer);
    talk.answers("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(talk.take_request().target, "/next");
}

#[test]
fn what_was_sent_ahead_of_a_switch_goes_through() {
    let mut talk = Talk::routed(UPGRADE);
    talk.at_service();
    talk.says("early");
    assert_eq!(talk.at_service(), "");
    talk.answers(SWITCH);
    assert_eq!(talk.at_service(), "early");
}

fn connect() -> Talk {
    let mut talk = Talk::proxy();
    talk.says("CONNECT [2001:DB8::1]:443 HTTP/1.1\r\nHost: x\r\nProxy-Authorization: Basic aWQ6dA==\r\n\r\nhello");
    let request = talk.take_request();
    assert_eq!((request.host.as_str(), request.port, request.is_connect), ("2001:db8::1", Some(443), true));
    assert!(request.wants_fresh && request.proxy_login.is_some());
    talk
}

#[test]
fn connect_is_answered_when_the_far_side_is_there() {
    let mut talk = connect();
    talk.route();
    assert_eq!((talk.at_service().as_str(), talk.at_browser().as_str()), ("", ""));
    assert_eq!(talk.exchange.stage(), Stage::AwaitingAnswer);
    talk.exchange.handle_service_accepted();
    talk.drain();
    assert_eq!(talk.at_browser(), "HTTP/1.1 200 Connection established\r\n\r\n");
    assert_eq!((talk.at_service().as_str(), talk.exchange.stage()), ("hello", Stage::Piped));
    talk.answers("HTTP/1.1");
    talk.ends();
    talk.service_ends();
    assert_eq!(talk.at_browser(), "HTTP/1.1");
    assert_eq!((talk.finished[0].host.as_str(), talk.finished[0].status), ("2001:db8::1", Some(200)));
    assert_eq!(talk.endings(), (Some(Ending::Close), Some(Ending::Close)));
    // A service that sends first.
    let mut talk = connect();
    talk.route();
    talk.answers("220 hi");
    assert_eq!(talk.at_browser(), "HTTP/1.1 200 Connection established\r\n\r\n220 hi");
}

/// The bytes of a tunnel do not show where they end, so half of them must not look whole.
#[test]
fn a_tunnel_that_is_cut_is_reset() {
    for is_gone in [true, false] {
        let mut talk = connect();
        talk.route();
        talk.exchange.handle_service_accepted();
        talk.drain();
        match is_gone {
            true => talk.exchange.handle_browser_gone(),
            false => talk.refuse(Refusal::HostGone),
        }
        assert_eq!(talk.endings(), (Some(Ending::Reset), Some(Ending::Reset)));
    }
}

#[test]
fn a_connect_that_fails_is_answered_and_what_follows_is_no_request() {
    let mut talk = connect();
    talk.says("GET http://a.test/ HTTP/1.1\r\nHost: a.test\r\n\r\n");
    talk.refuse(Refusal::ProxyLogin);
    assert_eq!((talk.status(), talk.exchange.stage()), (Some(407), Stage::Done));
    let mut talk = connect();
    talk.route();
    talk.exchange.handle_service_failed(Refusal::Denied);
    talk.drain();
    assert_eq!((talk.status(), talk.exchange.stage()), (Some(403), Stage::Done));
    let mut talk = connect();
    talk.route();
    talk.service_ends();
    assert_eq!(talk.status(), Some(502));
}
