//! Input of our server that is not a well-behaved pinhole client.

use std::io::{Read, Write};
use std::net::TcpStream as StdStream;
use std::thread;

use pinhole::internals::net::websocket::{Admission, Phase, WebSocketError};

use super::lab::{Connection, DEADLINE, KEY, Lab, upgrade};

#[test]
fn pages_and_refusals() {
    let mut lab = Lab::new();
    let rows = [
        (
            "GET / HTTP/1.1\r\nHost: abc-5000.test\r\n\r\n",
            200,
            "pinhole client &quot;wss://abc-5000.test/ws?pin=&lt;pin&gt;&quot;",
        ),
        ("GET /?x=1 HTTP/1.1\r\n\r\n", 200, "text/html; charset=utf-8"),
        ("POST / HTTP/1.1\r\nContent-Length: 4\r\n\r\nbody", 405, "Allow: GET, HEAD"),
        ("GET /nothing HTTP/1.1\r\n\r\n", 404, "Content-Type: text/plain"),
        ("GET /ws?pin=123456 HTTP/1.1\r\n\r\n", 426, "Sec-WebSocket-Version: 13"),
        ("HELLO\r\n\r\n", 400, "not an HTTP request"),
    ];
    for (request, status, part) in rows {
        let answer = lab.request(request);
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
        assert!(answer.contains(part) && answer.contains("no-store") && answer.contains("close\r\n\r\n"), "{answer}");
        assert!(!answer.contains("123456"), "{answer}");
        lab.run_until("its end", |lab| matches!(lab.connections.last(), Some(Connection::Answered(s)) if *s == status));
    }
    let head = lab.request("HEAD / HTTP/1.1\r\nHost: a.test\r\n\r\n");
    assert!(head.starts_with("HTTP/1.1 200 ") && head.ends_with("\r\n\r\n"), "{head}");
    let hostile = lab.request("GET / HTTP/1.1\r\nHost: \"><script>alert(1)</script>\r\n\r\n");
    assert!(hostile.starts_with("HTTP/1.1 200 ") && !hostile.contains("<script"), "{hostile}");
}

#[test]
fn upgrades_are_checked() {
    let mut lab = Lab::new();
    let good = upgrade("/ws");
    let rows = [
        (upgrade("/other"), 404),
        (good.replace("Version: 13", "Version: 8"), 426),
        (good.replace(KEY, "short"), 400),
        (good.replace("Sec-WebSocket-Key", "X-Key"), 400),
        (good.replace("GET", "POST"), 405),
        (good.replace("HTTP/1.1", "HTTP/1.0"), 426),
    ];
    for (request, status) in rows {
        let answer = lab.request(&request);
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
    }
    // Pages of other sites.
    let from = |fields: &str| good.replace("Host: a.test\r\n", &format!("Host: 127.0.0.1:5000\r\n{fields}\r\n"));
    for fields in [
        "Origin: https://evil.test",
        "Origin: null",
        "Sec-Fetch-Site: cross-site",
        "Origin: https://evil.test\r\nSec-Fetch-Site: cross-site",
        "Origin: https://evil.test\r\nSec-Fetch-Site: cross-site\r\nX-Forwarded-Host: a.test",
    ] {
        let answer = lab.request(&from(fields));
        assert!(answer.starts_with("HTTP/1.1 403 ") && answer.contains("page of another site"), "{fields}: {answer}");
    }
    // Forwarders rewrite the host, and programs that are no browsers send no origin.
    let welcome = [
        good.clone(),
        good.replace("Host: a.test", "Host: localhost:5000"),
        good.replace("Host: a.test\r\n", ""),
        good.replace("Host: a.test", "Host: a.test\r\nOrigin: https://somewhere.test\r\nX-Forwarded-Host: b.test"),
        good.replace("Connection: Upgrade", "Connection: keep-alive, Upgrade"),
        from("Origin: http://127.0.0.1:3000"),
        from("Origin: https://abc-5000.test\r\nSec-Fetch-Site: same-origin"),
        good.replace("Host: a.test", "Host: a.test\r\nOrigin: https://a.test"),
    ];
    for request in welcome {
        let mut bytes = request.clone().into_bytes();
        // A close frame, masked with zeros: the exchange shall end.
        bytes.extend_from_slice(b"\x88\x82\0\0\0\0\x03\xe8");
        let answer = lab.exchange(vec![bytes]);
        assert!(answer.starts_with("HTTP/1.1 101 "), "{request} gave {answer}");
    }
    lab.admission = Admission::Busy { retry_after_seconds: 5 };
    let answer = lab.request(&good);
    assert!(answer.starts_with("HTTP/1.1 503 ") && answer.contains("Retry-After: 5"), "{answer}");
}

#[test]
fn a_head_may_trickle_and_frames_may_come_with_it() {
    let mut lab = Lab::new();
    // A masked (with zeros) text frame and a close frame, behind the head.
    let mut bytes = upgrade("/ws?pin=1").into_bytes();
    bytes.extend_from_slice(b"\x81\x82\0\0\0\0hi\x88\x82\0\0\0\0\x03\xe8");
    let answer = lab.exchange(bytes.iter().map(|byte| vec![*byte]).collect());
    assert!(answer.starts_with("HTTP/1.1 101 ") && answer.contains("Sec-WebSocket-Protocol: pinhole-signal.1"));
    assert!(answer.contains("\u{2}hi"), "{answer:?}");
}

#[test]
fn an_endless_head_ends() {
    let mut lab = Lab::new();
    let mut request = b"GET / HTTP/1.1\r\nX: ".to_vec();
    request.resize(20_000, b'x');
    assert!(lab.exchange(vec![request]).starts_with("HTTP/1.1 431 "));
    let fields = format!("GET / HTTP/1.1\r\n{}\r\n", "A: b\r\n".repeat(65));
    assert!(lab.request(&fields).starts_with("HTTP/1.1 431 "));
}

#[test]
fn frames_against_the_rules_end_it() {
    for (frame, code) in [
        (b"\x81\x02hi".to_vec(), 1002),
        (b"\x82\xff\0\0\0\x01\0\0\0\0\0\0\0\0".to_vec(), 1009),
        (b"\xf1\x80\0\0\0\0".to_vec(), 1002),
    ] {
        let mut lab = Lab::new();
        let mut bytes = upgrade("/ws").into_bytes();
        bytes.extend(frame);
        let addr = lab.addr;
        let answer = lab.serve(thread::spawn(move || {
            let mut stream = StdStream::connect(addr).unwrap();
            stream.set_read_timeout(Some(DEADLINE)).unwrap();
            stream.write_all(&bytes).unwrap();
            let mut answer = Vec::new();
            stream.read_to_end(&mut answer).unwrap();
            answer
        }));
        let code: u16 = code;
        assert_eq!(answer[answer.len() - 4..], [&[0x88, 2], &code.to_be_bytes()[..]].concat());
        let error = lab.wait_for_failure(0);
        match code {
            1009 => assert!(matches!(error, WebSocketError::TooLarge { .. }), "{error}"),
            _ => assert!(matches!(error, WebSocketError::Protocol(_)), "{error}"),
        }
    }
}

#[test]
fn a_peer_that_vanishes_is_an_error() {
    let mut lab = Lab::new();
    let addr = lab.addr;
    let request = upgrade("/ws");
    lab.serve(thread::spawn(move || {
        let mut stream = StdStream::connect(addr).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        stream.read_exact(&mut [0; 16]).unwrap();
    }));
    assert!(matches!(lab.wait_for_failure(0), WebSocketError::Disconnected(Phase::Open)));
}
