//! Several requests on one connection, refusals, and reused streams.

use super::talk_tests::Talk;
use super::{AnswerFault, Ending, Exchange, Kind, Refusal, Route, Stage, Visitor};

const GET: &str = "GET / HTTP/1.1\r\nHost: a.test\r\n\r\n";
const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi";

#[test]
fn requests_are_served_one_after_the_other_each_by_its_host() {
    let mut talk = Talk::web();
    talk.says(format!("{GET}POST /b?secret HTTP/1.1\r\nHost: b.test\r\nContent-Length: 3\r\n\r\nabc{GET}"));
    assert_eq!(talk.take_request().host, "a.test");
    talk.route();
    assert!(talk.at_service().starts_with("GET / HTTP/1.1\r\nHost: a.test\r\n"));
    assert_eq!(talk.exchange.stage(), Stage::AwaitingAnswer);
    talk.answers(OK);
    assert_eq!(talk.exchange.stage(), Stage::Routing);
    assert!(talk.exchange.keeps_service());
    let second = talk.take_request();
    assert_eq!((second.host.as_str(), second.has_body), ("b.test", true));
    talk.route();
    assert!(talk.at_service().ends_with("\r\n\r\nabc"));
    talk.answers("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(talk.take_request().host, "a.test");
    talk.route();
    talk.answers(OK);
    assert_eq!(talk.exchange.stage(), Stage::Idle);
    let answers = talk.at_browser();
    assert_eq!(answers.matches("HTTP/1.1 ").count(), 3);
    let seen: Vec<_> = talk.finished.iter().map(|done| (done.host.as_str(), done.path.as_str(), done.status)).collect();
    assert_eq!(seen, [("a.test", "/", Some(200)), ("b.test", "/b", Some(404)), ("a.test", "/", Some(200))]);
    assert_eq!(talk.finished.iter().map(|done| done.to_browser).sum::<u64>(), answers.len() as u64);
    assert_eq!(talk.finished[0].from_browser, GET.len() as u64);
    talk.ends();
    assert_eq!(talk.endings(), (Some(Ending::Close), Some(Ending::Close)));
}

#[test]
fn connections_are_kept_as_both_sides_want_it() {
    let rows = [
        ("1.1", "", "1.1", "", true, true),
        ("1.1", "Connection: close\r\n", "1.1", "", false, false),
        ("1.1", "Connection: Close\r\n", "1.1", "", false, false),
        ("1.1", "", "1.1", "Connection: close\r\n", true, false),
        ("1.1", "", "1.0", "", true, false),
        ("1.1", "", "1.0", "Connection: keep-alive\r\n", true, true),
        ("1.0", "", "1.1", "", false, false),
        ("1.0", "Connection: keep-alive\r\n", "1.1", "", true, true),
        ("1.0", "Connection: keep-alive, close\r\n", "1.1", "", false, false),
    ];
    for (version, field, answer_version, answer_field, browser, service) in rows {
        let mut talk = Talk::routed(&format!("GET / HTTP/{version}\r\nHost: a.test\r\n{field}\r\n"));
        talk.answers(format!("HTTP/{answer_version} 200 OK\r\nContent-Length: 0\r\n{answer_field}\r\n"));
        let stage = if browser { Stage::Idle } else { Stage::Done };
        assert_eq!((talk.exchange.stage(), talk.exchange.keeps_service()), (stage, service), "{version} {field}");
        assert_eq!(talk.at_browser().contains("Connection: close\r\n"), !browser);
        assert_eq!(talk.endings().0, (!service).then_some(Ending::Close));
    }
}

#[test]
fn a_kept_stream_carries_the_next_request() {
    let mut talk = Talk::routed(GET);
    talk.answers(OK);
    talk.says(GET);
    talk.take_request();
    talk.at_service();
    talk.route_again();
    assert!(talk.at_service().starts_with("GET /"));
    talk.answers(OK);
    assert_eq!((talk.exchange.stage(), talk.exchange.keeps_service()), (Stage::Idle, true));
    // The stream may end between two requests.
    talk.service_ends();
    assert!(!talk.exchange.keeps_service());
    assert_eq!(talk.endings(), (Some(Ending::Close), None));
}

#[test]
fn a_stream_that_was_closed_before_the_request_is_replaced() {
    let kept = |request: &str| {
        let mut talk = Talk::routed(GET);
        talk.answers(OK);
        talk.says(request);
        talk.take_request();
        talk.route_again();
        talk.at_service();
        talk.at_browser();
        talk
    };
    for is_reset in [false, true] {
        let mut talk = kept(GET);
        match is_reset {
            true => talk.exchange.handle_service_failed(Refusal::ServiceDown),
            false => talk.exchange.handle_service_end(),
        }
        assert!(talk.exchange.wants_retry());
        assert_eq!((talk.endings(), talk.exchange.stage()), ((Some(Ending::Close), None), Stage::Routing));
        talk.route();
        assert!(!talk.exchange.wants_retry() && talk.at_service().starts_with("GET / HTTP/1.1\r\n"));
        talk.answers(OK);
        assert!(talk.at_browser().ends_with("\r\n\r\nhi") && talk.exchange.keeps_service());
    }
    // It is repeated once, and never if part of an answer came or the request cannot be repeated.
    let mut talk = kept(GET);
    talk.service_ends();
    talk.route();
    talk.service_ends();
    assert!(!talk.exchange.wants_retry() && talk.status() == Some(502));
    for begun in ["H", "HTTP/1.1 103 x\r\n\r\n"] {
        let mut talk = kept(GET);
        talk.answers(begun);
        talk.service_ends();
        assert!(!talk.exchange.wants_retry() && talk.at_browser().contains("HTTP/1.1 502 "));
    }
    let mut talk = kept("POST / HTTP/1.1\r\nHost: a.test\r\n\r\n");
    talk.service_ends();
    assert!(!talk.exchange.wants_retry() && talk.status() == Some(502));
    // The owner may have no stream to send it to.
    let mut talk = kept(GET);
    talk.service_ends();
    talk.refuse(Refusal::HostGone);
    assert!(!talk.exchange.wants_retry() && talk.status() == Some(502));
    assert_eq!(talk.exchange.stage(), Stage::Idle);
}

#[test]
fn an_answer_before_the_body_is_done_ends_the_connection() {
    let post = "POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n";
    let mut talk = Talk::routed(post);
    assert_eq!(talk.exchange.stage(), Stage::Sending);
    talk.answers("HTTP/1.1 100 Continue\r\n\r\n");
    assert_eq!(talk.at_browser(), "HTTP/1.1 100 Continue\r\nVia: 1.1 pinhole\r\n\r\n");
    talk.says("abcd");
    assert_eq!(talk.exchange.stage(), Stage::AwaitingAnswer);
    talk.answers(OK);
    assert_eq!((talk.exchange.stage(), talk.exchange.keeps_service()), (Stage::Idle, true));

    let mut talk = Talk::routed(post);
    talk.answers("HTTP/1.1 417 Expectation Failed\r\nContent-Length: 2\r\n\r\nno");
    assert!(talk.at_browser().contains("Connection: close\r\n"));
    assert_eq!(talk.endings(), (Some(Ending::Close), Some(Ending::Close)));

    // The body continues while the answer does.
    let mut talk = Talk::routed(post);
    talk.answers("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nh");
    talk.says("abcd");
    assert!(talk.at_service().ends_with("abcd"));
    talk.answers("i");
    assert!(talk.at_browser().ends_with("\r\n\r\nhi"));
    assert_eq!(talk.endings(), (Some(Ending::Close), Some(Ending::Close)));
}

#[test]
fn refusals_keep_the_connection_where_nothing_is_left_unread() {
    let rows = [
        (GET, true),
        ("HEAD / HTTP/1.1\r\nHost: a.test\r\n\r\n", true),
        ("POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 0\r\n\r\n", true),
        ("POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 3\r\n\r\nabc", false),
        ("GET / HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n", false),
        ("GET / HTTP/1.0\r\nHost: a.test\r\n\r\n", false),
        ("GET / HTTP/1.1\r\nHost: a.test\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n", false),
    ];
    for (request, keeps) in rows {
        let mut talk = Talk::web();
        talk.says(request);
        talk.take_request();
        talk.refuse(Refusal::NoHost);
        let answer = talk.at_browser();
        assert!(answer.starts_with("HTTP/1.1 404 Not Found\r\n"), "{answer}");
        assert_eq!(answer.contains("Connection: close"), !keeps, "{request}");
        assert_eq!(answer.ends_with("\r\n\r\n"), request.starts_with("HEAD"), "{request}");
        assert_eq!(talk.exchange.stage(), if keeps { Stage::Idle } else { Stage::Done });
        assert_eq!((talk.at_service().as_str(), talk.finished[0].status), ("", Some(404)));
    }
}

#[test]
fn refusals_come_in_the_format_that_is_asked_for() {
    for (accept, expected) in
        [("text/html", "<!doctype html>"), ("application/json", "{\"error\":"), ("*/*", "No host ")]
    {
        let mut talk = Talk::web();
        talk.says(format!("GET /<script> HTTP/1.1\r\nHost: a.test\r\nAccept: {accept}\r\n\r\n"));
        talk.refuse(Refusal::NoHost);
        let answer = talk.at_browser();
        let (_, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(body.starts_with(expected) && !body.contains("<script>"), "{body}");
    }
}

#[test]
fn a_refusal_fits_every_stage() {
    // A head that is never completed.
    let mut talk = Talk::web();
    talk.says("GET / HT");
    talk.refuse(Refusal::SlowRequest);
    assert_eq!((talk.status(), talk.exchange.stage()), (Some(408), Stage::Done));
    // An answer that never comes.
    let mut talk = Talk::routed(GET);
    talk.refuse(Refusal::Timeout);
    assert_eq!((talk.status(), talk.exchange.stage()), (Some(504), Stage::Idle));
    assert_eq!(talk.endings(), (Some(Ending::Close), None));
    // What still arrives on the old stream does not matter.
    talk.answers(OK);
    talk.says(GET);
    talk.take_request();
    talk.route();
    assert_eq!(talk.endings(), (None, None));
    // A dial that failed.
    talk.exchange.handle_service_failed(Refusal::Denied);
    talk.drain();
    assert!(talk.at_browser().contains("HTTP/1.1 403 "));
    // An answer that stops.
    let mut talk = Talk::routed(GET);
    talk.answers("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nh");
    talk.at_browser();
    talk.refuse(Refusal::Timeout);
    assert_eq!((talk.at_browser().as_str(), talk.endings().1), ("", Some(Ending::Reset)));
    talk.refuse(Refusal::BadAnswer(AnswerFault::Ended));
    assert_eq!((talk.at_browser().as_str(), talk.finished.len()), ("", 1));
}

#[test]
fn what_is_sent_ahead_waits_and_is_bounded() {
    let mut talk = Talk::routed(GET);
    let taken = talk.says(GET.repeat(10_000));
    assert_eq!((taken, talk.exchange.room()), (16 * 1024, 0));
    talk.answers(OK);
    // Refusals that are not read do not add up.
    let mut most = 0;
    while talk.exchange.poll_request().is_some() {
        talk.exchange.refuse(Refusal::NoHost);
        most = most.max(talk.exchange.to_browser().len());
    }
    assert!((16 * 1024..20 * 1024).contains(&most), "{most}");
    talk.drain();
    talk.take_request();
}

#[test]
fn a_slow_service_stops_the_browser() {
    let mut talk = Talk::web();
    talk.says("POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 1000000\r\n\r\n");
    talk.exchange.route(Route { fresh: true, strip_authorization: false });
    let head = talk.exchange.to_service().len();
    while talk.exchange.room() > 0 {
        let piece = vec![b'x'; talk.exchange.room().min(10_000)];
        talk.exchange.handle_bytes(&piece);
    }
    assert_eq!(talk.exchange.to_service().len(), 64 * 1024);
    talk.exchange.handle_sent_to_service(head);
    assert_eq!(talk.exchange.room(), head);
}

#[test]
fn an_end_of_the_browser_lets_the_answer_pass() {
    let mut talk = Talk::web();
    talk.says(GET);
    talk.ends();
    talk.take_request();
    talk.route();
    talk.answers(OK);
    let answer = talk.at_browser();
    assert!(answer.contains("Connection: close\r\n") && answer.ends_with("\r\n\r\nhi"), "{answer}");
    assert_eq!(talk.endings(), (Some(Ending::Close), Some(Ending::Close)));
    // A connection that is gone stays gone.
    let mut talk = Talk::routed(GET);
    talk.exchange.handle_browser_gone();
    talk.drain();
    assert_eq!(talk.endings().0, Some(Ending::Close));
    assert_eq!((talk.finished.len(), talk.finished[0].status), (1, None));
}

#[test]
fn an_idle_exchange_is_small() {
    let mut talk = Talk::routed(GET);
    talk.answers(OK);
    assert!(size_of::<Exchange>() <= 256, "{}", size_of::<Exchange>());
    let fresh =
        Exchange::new(Kind::Web, Visitor { remote: [203, 0, 113, 9].into(), tls: true, proxies: Default::default() });
    // Nothing is left of the request, except that its stream is kept.
    assert!(format!("{fresh:?}").contains("held: 0"));
    assert_eq!(format!("{:?}", talk.exchange).replace("Kept", "None"), format!("{fresh:?}"));
}
