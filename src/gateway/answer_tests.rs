//! Which parts of an answer reach the browser.

use super::framing::FramingError;
use super::talk_tests::Talk;
use super::{AnswerFault, Ending, MAX_FIELDS, MAX_HEAD, Refusal, Stage};

const GET: &str = "GET / HTTP/1.1\r\nHost: a.test\r\n\r\n";
const OLD: &str = "GET / HTTP/1.0\r\nHost: a.test\r\n\r\n";
const OLD_KEPT: &str = "GET / HTTP/1.0\r\nHost: a.test\r\nConnection: keep-alive\r\n\r\n";
const HEAD: &str = "HEAD / HTTP/1.1\r\nHost: a.test\r\n\r\n";

#[test]
fn answers_are_rewritten_for_the_browser() {
    let rows = [
        // Framed by length, by chunks, by the status, by the end of the connection.
        (GET, "200 OK\r\nContent-Length: 2\r\nA: b\r\n\r\nhi", "200 OK\r\nA: b\r\nV\r\nContent-Length: 2\r\n\r\nhi"),
        (GET, "200 OK\r\nContent-Length: 0\r\n\r\n", "200 OK\r\nV\r\nContent-Length: 0\r\n\r\n"),
        (
            GET,
            "200 OK\r\ncontent-length: 2\r\nContent-Length: 02\r\n\r\nhi",
            "200 OK\r\nV\r\nContent-Length: 2\r\n\r\nhi",
        ),
        (
            GET,
            "200 OK\r\ntransfer-encoding: chunked\r\n\r\n02;x\r\nhi\r\n0\r\nT: x\r\n\r\n",
            "200 OK\r\nV\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
        ),
        (GET, "204 No Content\r\nContent-Length: 5\r\n\r\n", "204 No Content\r\nV\r\n\r\n"),
        (GET, "304 Not Modified\r\nContent-Length: 5\r\n\r\n", "304 Not Modified\r\nV\r\nContent-Length: 5\r\n\r\n"),
        (GET, "304 Not Modified\r\nTransfer-Encoding: chunked\r\n\r\n", "304 Not Modified\r\nV\r\n\r\n"),
        (HEAD, "200 OK\r\nContent-Length: 5\r\n\r\n", "200 OK\r\nV\r\nContent-Length: 5\r\n\r\n"),
        (HEAD, "200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "200 OK\r\nV\r\n\r\n"),
        (HEAD, "200 OK\r\n\r\n", "200 OK\r\nV\r\n\r\n"),
        (
            OLD_KEPT,
            "200 OK\r\nContent-Length: 0\r\n\r\n",
            "200 OK\r\nV\r\nContent-Length: 0\r\nConnection: keep-alive\r\n\r\n",
        ),
        // Fields between neighbours.
        (
            GET,
            "200 OK\r\nConnection: x-a, keep-alive, set-cookie\r\nX-A: 1\r\nKeep-Alive: 5\r\nSet-Cookie: a=b\r\n\
             Proxy-Authenticate: Basic\r\nTrailer: x\r\nUpgrade: h2c\r\nVia: 1.1 x\r\nContent-Length: 0\r\n\r\n",
            "200 OK\r\nSet-Cookie: a=b\r\nVia: 1.1 x\r\nV\r\nContent-Length: 0\r\n\r\n",
        ),
        (
            GET,
            "426 Upgrade Required\r\nUpgrade: x/1\r\nConnection: upgrade\r\nContent-Length: 0\r\n\r\n",
            "426 Upgrade Required\r\nV\r\nContent-Length: 0\r\nUpgrade: x/1\r\nConnection: Upgrade\r\n\r\n",
        ),
        // Heads that are untidy but valid.
        (GET, "200\r\nContent-Length: 0\r\n\r\n", "200 \r\nV\r\nContent-Length: 0\r\n\r\n"),
        (GET, "299 x y\nA : b\nContent-Length:0\n\n", "299 x y\r\nA: b\r\nV\r\nContent-Length: 0\r\n\r\n"),
        (GET, "103 Early Hints\r\nLink: x\r\n\r\n", "103 Early Hints\r\nLink: x\r\nV\r\n\r\n"),
    ];
    for (request, answer, expected) in rows {
        for piece in [1, 3, 1000] {
            let mut talk = Talk::routed(request);
            for bytes in format!("HTTP/1.1 {answer}").as_bytes().chunks(piece) {
                talk.answers(bytes);
            }
            let expected = format!("HTTP/1.1 {}", expected.replace("\r\nV\r\n", "\r\nVia: 1.1 pinhole\r\n"));
            assert_eq!(talk.at_browser(), expected, "{answer:?}");
            let is_interim = answer.starts_with("103");
            let stage = if is_interim { Stage::AwaitingAnswer } else { Stage::Idle };
            assert_eq!((talk.exchange.stage(), talk.exchange.keeps_service()), (stage, !is_interim), "{answer:?}");
            assert_eq!(talk.endings(), (None, None));
        }
    }
}

#[test]
fn answers_that_end_with_the_connection_end_the_browsers() {
    for (request, answer, expected) in [
        (GET, "HTTP/1.1 200 OK\r\n\r\nhi", "Via: 1.1 pinhole\r\nConnection: close\r\n\r\nhi"),
        (GET, "HTTP/1.0 200 OK\r\n\r\nhi", "Via: 1.0 pinhole\r\nConnection: close\r\n\r\nhi"),
        (OLD_KEPT, "HTTP/1.1 200 OK\r\n\r\nhi", "Via: 1.1 pinhole\r\nConnection: close\r\n\r\nhi"),
    ] {
        let mut talk = Talk::routed(request);
        talk.answers(answer);
        assert_eq!((talk.exchange.stage(), talk.finished.len()), (Stage::Answering, 0));
        talk.service_ends();
        assert_eq!(talk.at_browser(), format!("HTTP/1.1 200 OK\r\n{expected}"));
        assert_eq!(talk.endings(), (Some(Ending::Close), Some(Ending::Close)));
        assert_eq!(talk.finished[0].status, Some(200));
    }
}

#[test]
fn http_1_0_gets_no_chunks_and_no_interim_answers() {
    for request in [OLD, OLD_KEPT] {
        let mut talk = Talk::routed(request);
        talk.answers("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n");
        talk.answers("1\r\n!\r\n0\r\n\r\n");
        let expected = "HTTP/1.1 200 OK\r\nVia: 1.1 pinhole\r\nConnection: close\r\n\r\nhi!";
        assert_eq!((talk.at_browser().as_str(), talk.exchange.stage()), (expected, Stage::Done));
    }
}

#[test]
fn what_is_no_answer_is_502() {
    use AnswerFault::{Ended, Framing, Head, NotHttp, Switch, TooLarge};
    let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "A: b\r\n".repeat(MAX_FIELDS + 1));
    let long = format!("HTTP/1.1 200 OK\r\nA: {}", "b".repeat(MAX_HEAD));
    let interim = "HTTP/1.1 102 x\r\n\r\n".repeat(17);
    let rows = [
        ("SSH-2.0-x\r\n", NotHttp),
        ("\r\nHTTP/1.1 200 OK\r\n", NotHttp),
        ("H2", NotHttp),
        ("HTTP/2 200\r\n\r\n", NotHttp),
        ("HTTP/1.2 200 OK\r\n\r\n", Head),
        ("HTTP/1.1 20 OK\r\n\r\n", Head),
        ("HTTP/1.1 099 OK\r\n\r\n", Head),
        ("HTTP/1.1 2000 OK\r\n\r\n", Head),
        ("HTTP/1.1 200 OK\r\nA\r\n\r\n", Head),
        ("HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n", Head),
        ("HTTP/1.1 200 OK\r\nA: b\0\r\n\r\n", Head),
        ("HTTP/1.1 200 OK\r\nA: b\rC: d\r\n\r\n", Head),
        ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n", Framing(FramingError::Length)),
        ("HTTP/1.1 200 OK\r\nContent-Length: -2\r\n\r\n", Framing(FramingError::Length)),
        ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n", Framing(FramingError::Both)),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", Framing(FramingError::UnknownCoding)),
        ("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", Framing(FramingError::Coding)),
        ("HTTP/1.1 101 x\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n", Switch),
        (&many, TooLarge),
        (&long, TooLarge),
        (&interim, AnswerFault::Interim),
    ];
    for (answer, fault) in rows {
        for piece in [1, 5000, usize::MAX] {
            let mut talk = Talk::routed(GET);
            for bytes in answer.as_bytes().chunks(piece.min(answer.len())) {
                talk.answers(bytes);
            }
            let shown = &answer[..answer.len().min(80)];
            let browser = talk.at_browser();
            assert!(browser.contains("HTTP/1.1 502 "), "{shown:?}");
            assert!(browser.ends_with(&format!("{}\n", sentence(Refusal::BadAnswer(fault)))), "{shown:?} {browser}");
            assert_eq!(talk.endings(), (Some(Ending::Close), None), "{shown:?}");
            assert_eq!((talk.exchange.stage(), talk.finished[0].status), (Stage::Idle, Some(502)));
        }
    }
    let mut talk = Talk::routed(GET);
    talk.answers("HTTP/1.1 200 OK\r\n");
    talk.service_ends();
    assert!(talk.at_browser().contains(&sentence(Refusal::BadAnswer(Ended))));
}

fn sentence(refusal: Refusal) -> String {
    format!("{} {}", refusal.message(), refusal.advice())
}

#[test]
fn an_answer_that_breaks_off_never_looks_whole() {
    for head in ["Content-Length: 4\r\n\r\nab", "Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n"] {
        for is_reset in [false, true] {
            let mut talk = Talk::routed(GET);
            talk.answers(format!("HTTP/1.1 200 OK\r\n{head}"));
            match is_reset {
                true => talk.exchange.handle_service_failed(Refusal::ServiceDown),
                false => talk.exchange.handle_service_end(),
            }
            talk.drain();
            assert_eq!(talk.endings(), (Some(Ending::Close), Some(Ending::Reset)));
            assert!(!talk.at_browser().contains("0\r\n\r\n"));
            assert_eq!(talk.finished[0].status, Some(200));
        }
    }
    let mut talk = Talk::routed(GET);
    talk.answers("HTTP/1.1 200 OK\r\n\r\nab");
    talk.exchange.handle_service_failed(Refusal::ServiceDown);
    assert_eq!(talk.endings(), (Some(Ending::Close), Some(Ending::Reset)));
    let mut talk = Talk::routed(GET);
    talk.answers("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nabc\r\n");
    assert_eq!(talk.endings(), (Some(Ending::Close), Some(Ending::Reset)));
    assert_eq!(talk.at_browser().split_once("\r\n\r\n").unwrap().1, "2\r\nab");
}

#[test]
fn what_follows_an_answer_is_nobodys() {
    for behind in ["x", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"] {
        for piece in [1, 1000] {
            let mut talk = Talk::routed(GET);
            for bytes in format!("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi{behind}").as_bytes().chunks(piece) {
                talk.answers(bytes);
            }
            assert!(talk.at_browser().ends_with("\r\n\r\nhi"));
            assert!(!talk.exchange.keeps_service());
            assert_eq!(talk.endings(), (Some(Ending::Close), None));
            talk.says(GET);
            talk.take_request();
            assert_eq!(talk.at_browser(), "");
        }
    }
}

#[test]
fn events_are_passed_on_at_once() {
    let mut talk = Talk::routed(GET);
    talk.answers("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n");
    assert!(talk.at_browser().ends_with("\r\n\r\n"));
    talk.answers("9\r\ndata: a\n");
    assert_eq!(talk.at_browser(), "9\r\ndata: a\n");
}

#[test]
fn a_slow_browser_stops_the_service() {
    let mut talk = Talk::routed(GET);
    talk.answers("HTTP/1.1 200 OK\r\n\r\n");
    let mut total = 0;
    while talk.exchange.service_room() > 0 {
        let piece = vec![b'x'; talk.exchange.service_room().min(10_000)];
        total += piece.len();
        talk.exchange.handle_service(&piece);
    }
    assert_eq!((total, talk.exchange.to_browser().len()), (64 * 1024, 64 * 1024));
    talk.exchange.handle_sent_to_browser(100);
    assert_eq!(talk.exchange.service_room(), 100);
}
