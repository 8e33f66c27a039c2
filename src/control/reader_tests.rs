use proptest::prelude::*;

use super::*;
use crate::http::pieces::Pieces;

fn read(bytes: impl AsRef<[u8]>) -> Reading {
    Reader::default().read(&mut Pieces(vec![bytes.as_ref().to_vec()])).unwrap()
}

fn request(bytes: impl AsRef<[u8]>) -> Request {
    match read(bytes) {
        Reading::Request(request) => *request,
        _ => panic!("no request"),
    }
}

fn refused(bytes: impl AsRef<[u8]>) -> u16 {
    match read(bytes) {
        Reading::Refused(answer) => answer.status(),
        Reading::NeedMore => 0,
        _ => panic!("not refused"),
    }
}

const POST: &str = "POST /v1/invitations?a=b#c HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer x\r\n\
    Content-Length: 5\r\n\r\nhello";

#[test]
fn a_request_is_understood() {
    let request = request(format!("{POST} and more that nobody asked for"));
    assert_eq!((request.method.as_str(), request.path.as_str()), ("POST", "/v1/invitations"));
    assert_eq!((request.query.as_str(), request.host.as_deref()), ("a=b", Some("localhost")));
    assert_eq!((request.authorization.as_deref(), request.body.as_slice()), (Some("Bearer x"), &b"hello"[..]));
}

#[test]
fn a_request_may_come_byte_by_byte() {
    let mut reader = Reader::default();
    for byte in &POST.as_bytes()[..POST.len() - 1] {
        assert!(matches!(reader.read(&mut Pieces(vec![vec![*byte]])).unwrap(), Reading::NeedMore));
    }
    assert!(matches!(reader.read(&mut Pieces(vec![b"o".to_vec()])).unwrap(), Reading::Request(_)));
}

#[test]
fn a_request_that_is_cut_off_is_none() {
    for length in [0, 1, 20, POST.len() - 1] {
        let mut cut = io::Cursor::new(&POST.as_bytes()[..length]);
        assert!(matches!(Reader::default().read(&mut cut).unwrap(), Reading::Ended), "{length}");
    }
}

#[test]
fn only_one_way_to_say_the_length_is_taken() {
    let with = |fields: &str| refused(format!("POST / HTTP/1.1\r\nHost: a\r\n{fields}\r\n\r\n5\r\nhello\r\n0\r\n\r\n"));
    let rows = [
        ("Transfer-Encoding: chunked", 411),
        ("Transfer-Encoding: chunked\r\nContent-Length: 5", 411),
        ("Transfer-Encoding: \u{fffd}", 411),
        ("Content-Length: 5\r\nContent-Length: 5", 400),
        ("Content-Length: -1", 400),
        ("Content-Length: +5", 400),
        ("Content-Length: 5, 5", 400),
        ("Content-Length:", 400),
        ("Content-Length: 0x5", 400),
        ("Content-Length: 65537", 413),
        ("Content-Length: 99999999999999999999999999", 413),
        ("Content-Length: 65536", 0),
        ("Host: b", 400),
        ("Authorization: a\r\nAuthorization: b", 400),
        ("no colon", 400),
    ];
    for (fields, status) in rows {
        assert_eq!(with(fields), status, "{fields}");
    }
}

#[test]
fn heads_and_bodies_are_bounded() {
    let field = |length| format!("GET / HTTP/1.1\r\nA: {}", "a".repeat(length));
    assert_eq!(refused(field(100_000)), 431);
    assert_eq!(refused(format!("GET / HTTP/1.1\r\n{}\r\n", "A: b\r\n".repeat(MAX_HEADERS + 1))), 431);
    assert_eq!(refused([22, 3, 1, 2, 0, 1]), 400);
    assert_eq!(refused("SSH-2.0-x\r\n"), 400);
    assert_eq!(refused(b"\x00\x01\x02"), 400);
    let body = "b".repeat(MAX_BODY);
    let whole = format!("POST / HTTP/1.1\r\nContent-Length: {MAX_BODY}\r\n\r\n{body}{body}");
    let mut reader = Reader::default();
    let mut pieces = Pieces(vec![whole.into_bytes()]);
    let Reading::Request(request) = reader.read(&mut pieces).unwrap() else { panic!("a request") };
    assert_eq!(request.body.len(), MAX_BODY);
    assert!(pieces.0[0].len() >= MAX_BODY - MAX_HEAD, "what nobody asked for is left where it is");
}

proptest! {
    #[test]
    fn any_bytes_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..2 * MAX_HEAD)) {
        let _ = Reader::default().read(&mut Pieces(vec![bytes]));
    }

    #[test]
    fn any_fields_are_survived(name in "[A-Za-z-]{1,20}", value in "[ -~\\u{80}-\\u{ff}]{0,60}", target in "/[ -~]{0,30}") {
        let text = format!("GET {target} HTTP/1.1\r\n{name}: {value}\r\nContent-Length: 1\r\n\r\nx");
        let _ = Reader::default().read(&mut Pieces(vec![text.into_bytes()]));
    }

    #[test]
    fn where_a_request_is_cut_makes_no_difference(at in 0..POST.len()) {
        let (first, second) = POST.as_bytes().split_at(at);
        let mut pieces = Pieces(vec![first.to_vec(), second.to_vec()]);
        pieces.0.retain(|piece| !piece.is_empty());
        let Reading::Request(request) = Reader::default().read(&mut pieces).unwrap() else { panic!("a request") };
        prop_assert_eq!(request.body, b"hello");
    }
}
