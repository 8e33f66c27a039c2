//! Malformed requests, of which the service sees nothing.

use super::talk_tests::Talk;
use super::{Ending, Kind, MAX_FIELDS, MAX_HEAD, MAX_TARGET, Stage};

/// Heads that are refused before the owner is asked, by status.
fn heads() -> Vec<(u16, String)> {
    let with = |fields: &str| format!("GET / HTTP/1.1\r\nHost: a.test\r\n{fields}\r\n");
    let post = |fields: &str| format!("POST / HTTP/1.1\r\nHost: a.test\r\n{fields}\r\n0\r\n\r\n");
    let line = |line: &str| format!("{line}\r\nHost: a.test\r\n\r\n");
    let smuggled = "0\r\n\r\nGET /admin HTTP/1.1\r\nHost: a.test\r\n\r\n";
    let mut rows: Vec<(u16, String)> = vec![
        // Two lengths.
        (400, format!("{}{smuggled}", with("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n"))),
        (400, post("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n")),
        (400, post("Transfer-Encoding: identity\r\nContent-Length: 5\r\n")),
        (400, post("content-length: 5\r\nTRANSFER-ENCODING: Chunked\r\n")),
        (400, post("Content-Length: 5\r\nContent-Length: 5\r\n")),
        (400, post("Content-Length: 5\r\nContent-Length: 6\r\n")),
        (400, post("Content-Length: 5\r\ncontent-length: 0\r\n")),
        (400, post("Content-Length: 5, 5\r\n")),
        (400, post("Content-Length: 5,6\r\n")),
        // Lengths that are not numbers.
        (400, post("Content-Length: +5\r\n")),
        (400, post("Content-Length: -5\r\n")),
        (400, post("Content-Length:\r\n")),
        (400, post("Content-Length: \t\r\n")),
        (400, post("Content-Length: 0x5\r\n")),
        (400, post("Content-Length: 5 5\r\n")),
        (400, post("Content-Length: 5;\r\n")),
        (400, post("Content-Length: 5.0\r\n")),
        (400, post("Content-Length: 1e1\r\n")),
        (400, post("Content-Length: \"5\"\r\n")),
        (400, post("Content-Length: 18446744073709551616\r\n")),
        (400, post("Content-Length: 99999999999999999999999\r\n")),
        (400, post("Content-Length: 5\u{a0}\r\n")),
        (400, post("Content-Length: \u{665}\r\n")),
        // Codings that are wrong, or hidden.
        (400, post("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n")),
        (400, post("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n")),
        (400, post("Transfer-Encoding: chunked, chunked\r\n")),
        (400, post("Transfer-Encoding: chunked, identity\r\n")),
        (400, post("Transfer-Encoding: identity\r\n")),
        (400, post("Transfer-Encoding: xchunked\r\n")),
        (400, post("Transfer-Encoding: x chunked\r\n")),
        (400, post("Transfer-Encoding: \"chunked\"\r\n")),
        (400, post("Transfer-Encoding: chunked;q=1\r\n")),
        (400, post("Transfer-Encoding: chunked\u{a0}\r\n")),
        (400, post("Transfer-Encoding: \u{b}chunked\r\n")),
        (400, post("Transfer-Encoding: \u{130}hunked\r\n")),
        (400, post("Transfer-Encoding:\r\n")),
        (400, post("Transfer-Encoding: ,chunked\r\n")),
        (400, post("Transfer-Encoding: cow\r\n")),
        (501, post("Transfer-Encoding: gzip, chunked\r\n")),
        (400, "POST / HTTP/1.0\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n".into()),
        // Fields that other programs read differently.
        (400, post("Transfer-Encoding : chunked\r\n")),
        (400, post("Transfer-Encoding\t: chunked\r\n")),
        (400, post(" Transfer-Encoding: chunked\r\n")),
        (400, post("X: y\r\n Transfer-Encoding: chunked\r\n")),
        (400, post("Transfer-Encoding:\r\n chunked\r\n")),
        (400, post("X: y\r\n\tz\r\n")),
        (400, post("X: y\nTransfer-Encoding: chunked\r\n")),
        (400, post("X: y\rTransfer-Encoding: chunked\r\n")),
        (400, post("X: y\r\r\n")),
        (400, post("X: y\0z\r\n")),
        (400, post("X: y\u{1}\r\n")),
        (400, post("X: y\u{7f}\r\n")),
        (400, post("X\0: y\r\n")),
        (400, post("X\u{e9}: y\r\n")),
        (400, post("X y: z\r\n")),
        (400, post("(X): z\r\n")),
        (400, post(": y\r\n")),
        (400, post("X\r\n")),
        (400, post("\"X\": y\r\n")),
        // Wrong hosts.
        (400, "GET / HTTP/1.1\r\n\r\n".into()),
        (400, "GET / HTTP/1.0\r\n\r\n".into()),
        (400, "GET / HTTP/1.1\r\nHost:\r\n\r\n".into()),
        (400, with("Host: b.test\r\n")),
        (400, with("host: a.test\r\n")),
        (400, "GET / HTTP/1.1\r\nHost: a.test, b.test\r\n\r\n".into()),
        (400, "GET / HTTP/1.1\r\nHost: a.test b.test\r\n\r\n".into()),
        (400, "GET / HTTP/1.1\r\nHost: user@a.test\r\n\r\n".into()),
        (400, "GET / HTTP/1.1\r\nHost: a.test/x\r\n\r\n".into()),
        (400, "GET / HTTP/1.1\r\nHost: a.test:80:80\r\n\r\n".into()),
        (400, "GET / HTTP/1.1\r\nHost: a.test:http\r\n\r\n".into()),
        (400, "GET / HTTP/1.1\r\nHost: a.test#\r\n\r\n".into()),
        (400, "GET / HTTP/1.1\r\nHost: b\u{fc}cher.test\r\n\r\n".into()),
        (400, "GET / HTTP/1.1\r\nHost : a.test\r\n\r\n".into()),
        (400, line("GET http://b.test/ HTTP/1.1")),
        (400, line("GET http://a.test:8080/ HTTP/1.1")),
        (400, line("GET http://a.test@b.test/ HTTP/1.1")),
        (400, line("GET http:///x HTTP/1.1")),
        (400, line("GET ftp://a.test/ HTTP/1.1")),
        (400, line("GET //: HTTP/1.1").replace("//:", "a.test/")),
        (400, line("GET * HTTP/1.1")),
        // The first line.
        (400, line("GET / HTTP/1.1 ")),
        (400, line("GET  / HTTP/1.1")),
        (400, line("GET /  HTTP/1.1")),
        (400, line("GET / HTTP/1.1 HTTP/1.1")),
        (400, line("GET\t/ HTTP/1.1")),
        (400, line(" GET / HTTP/1.1")),
        (400, line("GET /")),
        (400, line("GET")),
        (400, line("G@T / HTTP/1.1")),
        (400, line("GET / http/1.1")),
        (400, line("GET / HTTP/1.10")),
        (400, line("GET / HTTP/1")),
        (400, line("GET / HTTPS/1.1")),
        (400, line("GET /\u{e9} HTTP/1.1")),
        (400, line("GET /\0 HTTP/1.1")),
        (400, line("GET /a#b HTTP/1.1")),
        (400, line("GET /a\rb HTTP/1.1")),
        (400, "GET / HTTP/1.1\nHost: a.test\n\n".into()),
        (400, "GET / HTTP/1.1\r\nHost: a.test\r\n\n".into()),
        (400, "GET / HTTP/1.1\r\nHost: a.test\n\r\n".into()),
        (505, line("GET / HTTP/2.0")),
        (505, line("GET / HTTP/0.9")),
        (505, line("GET / HTTP/1.2")),
        (505, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".into()),
        (405, line("CONNECT a.test:443 HTTP/1.1")),
        // Other protocols.
        (400, "\u{16}\u{3}\u{1}\u{2}\0".into()),
        (400, "SSH-2.0-x\r\n".into()),
        (400, "\0\u{1}".into()),
        (400, "\n".into()),
        (400, "\r\n\nGET / HTTP/1.1\r\n".into()),
        (400, "\rGET / HTTP/1.1\r\n".into()),
        (400, "\r\n".repeat(9)),
        // Loops.
        (508, with(&"Via: 1.1 pinhole\r\n".repeat(4))),
        (508, with("Via: 1.1 pinhole, 1.1 a, 1.0 pinhole, 1.1 pinhole,1.1 pinhole\r\n")),
    ];
    rows.push((431, with(&"A: b\r\n".repeat(MAX_FIELDS))));
    rows.push((431, with(&format!("A: {}\r\n", "b".repeat(MAX_HEAD)))));
    rows.push((431, with(&format!("Connection: {}\r\n", "a,".repeat(65)))));
    rows.push((431, with(&format!("Connection: upgrade\r\nUpgrade: {}\r\n", "a,".repeat(65)))));
    rows.push((414, line(&format!("GET /{} HTTP/1.1", "a".repeat(MAX_TARGET)))));
    rows.push((414, format!("GET /{}", "a".repeat(MAX_HEAD))));
    rows
}

#[test]
fn what_is_no_request_is_answered_and_sent_to_nobody() {
    let rows = heads();
    assert!(rows.len() > 100);
    for (status, text) in rows {
        for piece in [1, 7, usize::MAX] {
            let shown = &text[..text.len().min(100)];
            let mut talk = Talk::web();
            for bytes in text.as_bytes().chunks(piece.min(text.len())) {
                talk.says(bytes);
            }
            assert_eq!(talk.exchange.poll_request(), None, "{shown:?}");
            assert_eq!(talk.status(), Some(status), "{shown:?} in pieces of {piece}");
            assert_eq!(talk.endings(), (None, Some(Ending::Close)), "{shown:?}");
            assert_eq!(talk.exchange.stage(), Stage::Done);
            assert_eq!(talk.finished.len(), 1);
            assert_eq!((talk.finished[0].status, talk.finished[0].path.as_str()), (Some(status), ""));
            assert_eq!(talk.finished[0].to_browser, talk.browser.len() as u64);
            assert_eq!(talk.at_service(), "");
            let answer = talk.at_browser();
            assert!(answer.contains("\r\nConnection: close\r\n"), "{answer}");
            // What follows changes nothing.
            talk.says("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n");
            assert_eq!((talk.exchange.poll_request(), talk.at_browser().as_str()), (None, ""));
        }
    }
}

#[test]
fn what_a_proxy_does_not_fetch_is_refused() {
    let rows = [
        (400, "GET / HTTP/1.1\r\nHost: a.test\r\n\r\n"),
        (400, "OPTIONS * HTTP/1.1\r\nHost: a.test\r\n\r\n"),
        (400, "GET https://a.test/ HTTP/1.1\r\nHost: a.test\r\n\r\n"),
        (400, "GET http://me:pw@a.test/ HTTP/1.1\r\nHost: a.test\r\n\r\n"),
        (400, "GET http:// HTTP/1.1\r\nHost: a.test\r\n\r\n"),
        (400, "GET http:/a.test HTTP/1.1\r\nHost: a.test\r\n\r\n"),
        (400, "GET http://a.test:0/ HTTP/1.1\r\nHost: a.test\r\n\r\n"),
        (400, "GET http://a.test/ HTTP/1.1\r\n\r\n"),
        (400, "GET http://a.test/ HTTP/1.1\r\nHost: a.test\r\nHost: a.test\r\n\r\n"),
        (400, "GET http://127.1/ HTTP/1.1\r\nHost: a.test\r\n\r\n"),
        (400, "CONNECT a.test HTTP/1.1\r\nHost: a.test\r\n\r\n"),
        (400, "CONNECT a.test:0 HTTP/1.1\r\nHost: a.test\r\n\r\n"),
        (400, "CONNECT /a.test:443 HTTP/1.1\r\nHost: a.test\r\n\r\n"),
        (400, "CONNECT http://a.test:443 HTTP/1.1\r\nHost: a.test\r\n\r\n"),
        (400, "CONNECT me@a.test:443 HTTP/1.1\r\nHost: a.test\r\n\r\n"),
        (400, "CONNECT a.test:443 HTTP/1.1\r\n\r\n"),
        (400, "CONNECT a.test:443 HTTP/1.1\r\nHost: a.test\r\nContent-Length: 1\r\n\r\nx"),
        (400, "CONNECT a.test:443 HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    ];
    for (status, text) in rows {
        let mut talk = Talk::new(Kind::Proxy);
        talk.says(text);
        assert_eq!((talk.status(), talk.exchange.poll_request()), (Some(status), None), "{text:?}");
        assert_eq!(talk.at_service(), "");
    }
}

#[test]
fn a_body_that_turns_out_malformed_is_never_completed() {
    let head = "POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n";
    let bodies = [
        "5\r\nhello\r\n-1\r\n",
        "5\r\nhello6\r\n",
        "5\r\nhello\n",
        "5\nhello\r\n",
        "0x5\r\nhello",
        "5;\0\r\nhello",
        "11111111111111111\r\n",
        "5\r\nhello\r\n0\r\nGET /admin HTTP/1.1\r\nHost: a.test\r\n\r\n",
    ];
    for body in bodies {
        let mut talk = Talk::routed(head);
        talk.at_service();
        talk.says(body);
        assert_eq!(talk.status(), Some(400), "{body:?}");
        assert_eq!(talk.endings(), (Some(Ending::Close), Some(Ending::Close)), "{body:?}");
        assert!(!talk.at_service().contains("0\r\n\r\n"));
        assert_eq!(talk.finished.len(), 1);
    }
    // An answer cannot make it look whole.
    let mut talk = Talk::routed(head);
    talk.answers("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nab");
    talk.says("x");
    assert_eq!(talk.endings(), (Some(Ending::Close), Some(Ending::Reset)));
}

#[test]
fn a_body_that_ends_early_is_never_completed() {
    for framing in ["Content-Length: 5\r\n\r\nab", "Transfer-Encoding: chunked\r\n\r\n5\r\nab"] {
        let mut talk = Talk::routed(&format!("POST / HTTP/1.1\r\nHost: a.test\r\n{framing}"));
        talk.ends();
        assert_eq!(talk.status(), Some(400));
        assert_eq!(talk.endings(), (Some(Ending::Close), Some(Ending::Close)));
    }
    let mut talk = Talk::web();
    talk.says("GET / HTTP/1.1\r\nHost:");
    talk.ends();
    assert_eq!((talk.at_browser().as_str(), talk.exchange.stage()), ("", Stage::Done));
}
