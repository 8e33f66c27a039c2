//! What programs send, friendly and hostile, whole and in pieces, and how they are answered.

use std::net::Ipv4Addr;

use data_encoding::BASE64;
use proptest::prelude::*;
use proptest::sample::Index;

use super::*;

const CONNECT: &[u8] = b"CONNECT a.test:443 HTTP/1.1\r\nHost: a.test:443\r\n\r\n";
const NO_LOGIN: &[u8] = &[5, 1, 0];
const ZEROS: &[u8] = &[0, 1, 0, 0, 0, 0, 0, 0];

/// The result of some input.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Outcome {
    /// How many bytes were consumed, or why the program was refused.
    taken: Result<usize, Refusal>,
    output: Vec<u8>,
    request: Option<Request>,
}

/// Feeds a negotiation, in pieces that end at the cuts.
fn feed(negotiation: &mut Negotiation, input: &[u8], cuts: &[usize]) -> Outcome {
    let mut outcome = Outcome { taken: Ok(0), output: Vec::new(), request: None };
    let mut taken = 0;
    for end in cuts.iter().copied().chain([input.len()]) {
        if end < taken {
            continue;
        }
        let result = negotiation.handle_bytes(&input[taken..end]);
        outcome.output.extend(negotiation.poll_output().unwrap_or_default());
        let request = negotiation.poll_request();
        assert!(request.is_none() || outcome.request.is_none(), "two requests");
        outcome.request = outcome.request.or(request);
        match result {
            Ok(count) => {
                assert!(taken + count == end || outcome.request.is_some(), "bytes are left before the request");
                taken += count;
                outcome.taken = Ok(taken);
            }
            Err(refusal) => {
                assert_eq!(negotiation.handle_bytes(b"more"), Err(refusal));
                assert_eq!((negotiation.poll_output(), negotiation.poll_request()), (None, None));
                outcome.taken = Err(refusal);
                break;
            }
        }
    }
    outcome
}

fn credentials() -> Option<Credentials> {
    Some(Credentials::parse("me:secret").unwrap())
}

fn whole(input: &[u8]) -> Outcome {
    feed(&mut Negotiation::new(None), input, &[])
}

fn with_login(input: &[u8]) -> Outcome {
    feed(&mut Negotiation::new(credentials()), input, &[])
}

fn connect(host: &str, port: u16) -> Request {
    Request::Connect(Target { host: host.to_owned(), port })
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

/// A SOCKS5 request.
fn socks(command: u8, address: &[u8]) -> Vec<u8> {
    [&[5, command, 0], address].concat()
}

/// The beginning of the answer to one.
fn reply(code: u8) -> Vec<u8> {
    [&[5, code], ZEROS].concat()
}

#[test]
fn socks5_requests_are_understood_and_leave_the_streams_data() {
    let rows: [(&[u8], Request); 6] = [
        (&[1, 127, 0, 0, 1, 0, 80], connect("127.0.0.1", 80)),
        (&[4, 0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 187], connect("2001:db8::1", 443)),
        (&[4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 10, 0, 0, 1, 0, 80], connect("10.0.0.1", 80)),
        (b"\x03\x06A.Test\x01\xbb", connect("a.test", 443)),
        (b"\x03\x09127.0.0.1\x00\x50", connect("127.0.0.1", 80)),
        (b"\x03\x03::1\x00\x50", connect("::1", 80)),
    ];
    for (address, request) in rows {
        let spoken = [NO_LOGIN, &socks(1, address)].concat();
        for behind in [&b""[..], b"\x05\x01\x00 the stream's"] {
            let outcome = whole(&[&spoken, behind].concat());
            let expected = Outcome { taken: Ok(spoken.len()), output: vec![5, 0], request: Some(request.clone()) };
            assert_eq!(outcome, expected);
        }
    }
}

#[test]
fn udp_associate_says_where_and_may_come_from_anywhere() {
    for address in [&[1, 0, 0, 0, 0, 0, 0][..], &[1, 127, 0, 0, 1, 200, 1], &[3, 0, 0, 0]] {
        let mut negotiation = Negotiation::new(None);
        let outcome = feed(&mut negotiation, &[NO_LOGIN, &socks(3, address)].concat(), &[]);
        assert_eq!(outcome.request, Some(Request::UdpAssociate));
        negotiation.accept(Some(SocketAddr::from((Ipv4Addr::LOCALHOST, 0x1234))));
        assert_eq!(negotiation.poll_output(), Some(vec![5, 0, 0, 1, 127, 0, 0, 1, 0x12, 0x34]));
    }
}

#[test]
fn socks5_that_cannot_be_served_hears_why() {
    let name = |name: &[u8]| socks(1, &[&[3, name.len() as u8], name, &[0, 80]].concat());
    let rows = [
        (socks(2, &[1, 0, 0, 0, 0, 0, 0]), 7, Refusal::Command(2)),
        (socks(0, &[1, 0, 0, 0, 0, 0, 80]), 7, Refusal::Command(0)),
        (socks(0xf0, b"\x03\x06a.test\x00\x50"), 7, Refusal::Command(0xf0)),
        (socks(1, &[2]), 8, Refusal::Address(AddressError::Type(2))),
        (socks(2, &[0]), 8, Refusal::Address(AddressError::Type(0))),
        (socks(1, &[1, 10, 0, 0, 1, 0, 0]), 1, Refusal::Address(AddressError::Port)),
        (name(b""), 1, Refusal::Address(AddressError::Host)),
        (name(b"a\0.test"), 1, Refusal::Address(AddressError::Host)),
        (name(b"a\xff.test"), 1, Refusal::Address(AddressError::Host)),
        (name(b"127.1"), 1, Refusal::Address(AddressError::Host)),
        (name(&[b'a'; 255]), 1, Refusal::Address(AddressError::Host)),
        (name(b"fe80::1%eth0"), 1, Refusal::Address(AddressError::Zone)),
        (vec![4, 1, 0, 1, 10, 0, 0, 1, 0, 80], 1, Refusal::Version(4)),
        (vec![1, 1, b'a', 1, b'b'], 1, Refusal::Version(1)),
    ];
    for (request, code, refusal) in rows {
        let outcome = whole(&[NO_LOGIN, &request].concat());
        let output = [&[5, 0], &*reply(code)].concat();
        assert_eq!(outcome, Outcome { taken: Err(refusal), output, request: None });
    }
}

#[test]
fn socks5_logs_in_where_that_is_wanted_only() {
    let right = b"\x01\x02me\x06secret";
    let request = socks(1, b"\x03\x06a.test\x01\xbb");
    let spoken = [&[5, 2, 0, 2], &right[..], &request].concat();
    let output = vec![5, 2, 1, 0];
    let expected = Outcome { taken: Ok(spoken.len()), output, request: Some(connect("a.test", 443)) };
    assert_eq!(with_login(&spoken), expected);

    let rows: [(&[u8], Refusal); 9] = [
        (b"\x01\x02me\x06Secret", Refusal::LoginWrong),
        (b"\x01\x02me\x07secret\0", Refusal::LoginWrong),
        (b"\x01\x03mes\x06secret", Refusal::LoginWrong),
        (b"\x01\x01m\x07esecret", Refusal::LoginWrong),
        (b"\x01\x00\x06secret", Refusal::LoginWrong),
        (b"\x01\x02me\x00", Refusal::LoginWrong),
        (b"\x01\x00\x00", Refusal::LoginWrong),
        (b"\x05\x02me\x06secret", Refusal::Version(5)),
        (b"\x00", Refusal::Version(0)),
    ];
    for (login, refusal) in rows {
        let outcome = with_login(&[&[5, 1, 2], login, &request].concat());
        assert_eq!(outcome, Outcome { taken: Err(refusal), output: vec![5, 2, 1, 1], request: None }, "{login:?}");
    }

    let no_method = |refusal| Outcome { taken: Err(refusal), output: vec![5, 0xff], request: None };
    // A password does not help a program that does not offer the method.
    assert_eq!(with_login(&[NO_LOGIN, right, &request].concat()), no_method(Refusal::LoginMissing));
    assert_eq!(with_login(&[5, 0]), no_method(Refusal::LoginMissing));
    assert_eq!(whole(&[5, 0]), no_method(Refusal::LoginNotWanted));
    assert_eq!(whole(&[5, 2, 1, 2]), no_method(Refusal::LoginNotWanted));
    let many: Vec<u8> = (0..255).rev().collect();
    assert_eq!(whole(&[&[5, 255], &*many].concat()).output, [5, 0]);
}

#[test]
fn connect_is_understood_and_leaves_the_streams_data() {
    let rows = [
        ("CONNECT a.test:443 HTTP/1.1\r\nHost: a.test:443\r\n\r\n", connect("a.test", 443)),
        ("CONNECT A.Test:80 HTTP/1.0\r\n\r\n", connect("a.test", 80)),
        ("CONNECT [::1]:80 HTTP/1.1\nHost: other\nContent-Length: 5\n\n", connect("::1", 80)),
        (
            "CONNECT 10.0.0.1:22 HTTP/1.1\r\nProxy-Authorization: Basic bm9ib2R5OmNhcmVz\r\n\r\n",
            connect("10.0.0.1", 22),
        ),
    ];
    for (head, request) in rows {
        for behind in ["", "\r\n\r\nGET / HTTP/1.1\r\n\r\n"] {
            let outcome = whole(format!("{head}{behind}").as_bytes());
            let expected = Outcome { taken: Ok(head.len()), output: vec![], request: Some(request.clone()) };
            assert_eq!(outcome, expected, "{head}");
        }
    }
}

#[test]
fn http_that_cannot_be_served_hears_why() {
    let fields = |count| format!("CONNECT a.test:1 HTTP/1.1\r\n{}\r\n", "A: b\r\n".repeat(count));
    let rows = [
        ("CONNECT a.test HTTP/1.1\r\n\r\n".to_owned(), 400, Refusal::Address(AddressError::Port)),
        ("CONNECT a.test:0 HTTP/1.1\r\n\r\n".to_owned(), 400, Refusal::Address(AddressError::Port)),
        ("CONNECT ::1:80 HTTP/1.1\r\n\r\n".to_owned(), 400, Refusal::Address(AddressError::Host)),
        ("CONNECT me@a.test:80 HTTP/1.1\r\n\r\n".to_owned(), 400, Refusal::Address(AddressError::Host)),
        ("CONNECT [fe80::1%251]:80 HTTP/1.1\r\n\r\n".to_owned(), 400, Refusal::Address(AddressError::Zone)),
        ("CONNECT http://a.test:80/ HTTP/1.1\r\n\r\n".to_owned(), 400, Refusal::Address(AddressError::Host)),
        ("CONNECT a.test:1 HTTP/2.0\r\n\r\n".to_owned(), 505, Refusal::HttpVersion),
        ("CONNECT \r\n".to_owned(), 400, Refusal::NotHttp),
        ("CONNECT a.test:1 HTTP/1.1\r\nA b\r\n\r\n".to_owned(), 400, Refusal::NotHttp),
        ("CONNECT a.test:1 HTTP/1.1\r\nA: \0\r\n\r\n".to_owned(), 400, Refusal::NotHttp),
        (fields(65), 431, Refusal::TooLarge),
        (format!("CONNECT a.test:1 HTTP/1.1\r\nA: {}", "b".repeat(100_000)), 431, Refusal::TooLarge),
    ];
    for (request, status, refusal) in rows {
        let outcome = whole(request.as_bytes());
        let output = text(&outcome.output);
        assert_eq!((outcome.taken, outcome.request), (Err(refusal), None), "{request}");
        assert!(output.starts_with(&format!("HTTP/1.1 {status} ")) && output.contains("\r\nConnection: close\r\n"));
        assert!(!output.ends_with("\r\n\r\n"), "{output}");
    }
    assert_eq!(whole(fields(64).as_bytes()).request, Some(connect("a.test", 1)));
}

#[test]
fn other_requests_than_connect_are_left_to_others_with_all_that_came() {
    let requests = [
        "GET http://a.test/ HTTP/1.1\r\nHost: a.test\r\n\r\n",
        "connect a.test:1 HTTP/1.1\r\n\r\n",
        "CONNECTS",
        "ZZZZZZZZ",
    ];
    for request in requests {
        for cuts in [&[][..], &[1], &[1, 2, 3], &[7]] {
            for mut negotiation in [Negotiation::new(None), Negotiation::new(credentials())] {
                let outcome = feed(&mut negotiation, request.as_bytes(), cuts);
                let Some(Request::Http(begun)) = outcome.request else { panic!("{request} {cuts:?}") };
                assert_eq!((&*outcome.output, outcome.taken), (&[][..], Ok(begun.len())));
                assert!(request.as_bytes().starts_with(&begun) && !begun.is_empty());
            }
        }
    }
    let unclear = feed(&mut Negotiation::new(None), b"CONNECT", &[3]);
    assert_eq!((unclear.taken, unclear.request), (Ok(7), None));
}

#[test]
fn http_logs_in_where_that_is_wanted() {
    let head = |fields: &str| format!("CONNECT a.test:443 HTTP/1.1\r\nHost: a.test\r\n{fields}\r\n");
    let basic = |pair: &str| format!("Proxy-Authorization: Basic {}\r\n", BASE64.encode(pair.as_bytes()));
    let right = basic("me:secret");
    let spellings = [("Basic", "Basic"), ("Basic ", "bAsIc   "), ("Proxy-A", "PROXY-a"), ("\r\n", "  \r\n")];
    for (usual, other) in spellings {
        let fields = right.replace(usual, other);
        assert_eq!(with_login(head(&fields).as_bytes()).request, Some(connect("a.test", 443)), "{fields}");
    }
    let rows = [
        (String::new(), Refusal::LoginMissing),
        (right.replace("Proxy-", ""), Refusal::LoginMissing),
        (basic("me:Secret"), Refusal::LoginWrong),
        (basic("me:secret "), Refusal::LoginWrong),
        (basic("mesecret"), Refusal::LoginWrong),
        (basic(""), Refusal::LoginWrong),
        (right.replace("Basic", "Bearer"), Refusal::LoginWrong),
        (right.replace("Basic ", "Basic"), Refusal::LoginWrong),
        (right.replace("\r\n", "=\r\n"), Refusal::LoginWrong),
        ("Proxy-Authorization: Basic !!!\r\n".to_owned(), Refusal::LoginWrong),
        ("Proxy-Authorization:\r\n".to_owned(), Refusal::LoginWrong),
        (right.repeat(2), Refusal::LoginWrong),
        (basic("me:wrong") + &right, Refusal::LoginWrong),
    ];
    for (fields, refusal) in rows {
        let outcome = with_login(head(&fields).as_bytes());
        let output = text(&outcome.output);
        assert_eq!((outcome.taken, outcome.request), (Err(refusal), None), "{fields}");
        assert!(
            output.starts_with("HTTP/1.1 407 ") && output.contains("\r\nProxy-Authenticate: Basic realm="),
            "{output}"
        );
    }
    // None without a password learns what may be requested.
    assert_eq!(with_login(b"CONNECT nonsense HTTP/1.1\r\n\r\n").taken, Err(Refusal::LoginMissing));
}

#[test]
fn other_protocols_are_told_apart_by_their_first_byte() {
    let refused = |refusal, output: &[u8]| Outcome { taken: Err(refusal), output: output.to_vec(), request: None };
    let socks4a = b"\x04\x01\x00\x50\x00\x00\x00\x01me\0a.test\0";
    assert_eq!(whole(socks4a), refused(Refusal::Socks4, &[0, 91, 0, 0, 0, 0, 0, 0]));
    assert_eq!(whole(&[22, 3, 1, 2, 0, 1]), refused(Refusal::Tls, b""));
    for first in [0, 1, 2, 3, 6, b'\r', b'\n', b' ', b'0', 0x7f, 0x80, 0xff] {
        assert_eq!(whole(&[first, 1, 0]), refused(Refusal::Protocol(first), b""));
    }
}

#[test]
fn answers_are_in_the_words_of_the_protocol() {
    let rows = [
        (AbortReason::Denied, 2, 403),
        (AbortReason::Unreachable, 4, 502),
        (AbortReason::Refused, 5, 502),
        (AbortReason::Timeout, 6, 504),
        (AbortReason::Shutdown, 1, 503),
        (AbortReason::TooManyStreams, 1, 503),
        (AbortReason::Reset, 1, 502),
        (AbortReason::FlowControl, 1, 502),
        (AbortReason::IdInUse, 1, 502),
        (AbortReason::Protocol, 1, 502),
        (AbortReason::UnknownService, 1, 502),
        (AbortReason::Other(200), 1, 502),
    ];
    let socks = [NO_LOGIN, &socks(1, b"\x03\x06a.test\x01\xbb")].concat();
    for (reason, code, status) in rows {
        let mut negotiation = Negotiation::new(None);
        feed(&mut negotiation, &socks, &[]);
        negotiation.refuse(reason);
        assert_eq!(negotiation.poll_output(), Some(reply(code)));
        let mut negotiation = Negotiation::new(None);
        feed(&mut negotiation, CONNECT, &[]);
        negotiation.refuse(reason);
        let output = negotiation.poll_output().unwrap();
        assert!(text(&output).starts_with(&format!("HTTP/1.1 {status} ")) && !text(&output).contains(" Error\r\n"));
        // There is one answer each, and nothing after it is read.
        negotiation.accept(None);
        assert_eq!(negotiation.handle_bytes(b"more"), Ok(0));
        assert_eq!((negotiation.poll_output(), negotiation.poll_request()), (None, None));
    }
}

#[test]
fn success_waits_for_the_other_side() {
    let bound = SocketAddr::from(([0, 0, 0, 0, 0, 0, 0, 1], 0x102));
    let v6 = [&[5, 0, 0, 4][..], &[0; 15], &[1, 1, 2]].concat();
    for (bound, expected) in [(None, reply(0)), (Some(bound), v6)] {
        let mut negotiation = Negotiation::new(None);
        // Too early to have an effect.
        negotiation.accept(bound);
        negotiation.refuse(AbortReason::Denied);
        let outcome = feed(&mut negotiation, &[NO_LOGIN, &socks(1, b"\x03\x06a.test\x01\xbb")].concat(), &[]);
        assert_eq!(outcome.output, [5, 0]);
        assert_eq!(negotiation.handle_bytes(b"early data"), Ok(0));
        negotiation.accept(bound);
        assert_eq!(negotiation.poll_output(), Some(expected));
    }
    let mut negotiation = Negotiation::new(None);
    assert_eq!(feed(&mut negotiation, CONNECT, &[]).output, b"");
    negotiation.accept(None);
    assert_eq!(text(&negotiation.poll_output().unwrap()), "HTTP/1.1 200 Connection established\r\n\r\n");
}

#[test]
fn secrets_are_not_shown() {
    let mut negotiation = Negotiation::new(credentials());
    let _ = negotiation.handle_bytes(b"\x05\x01\x02\x01\x02me\x06secre");
    assert_eq!(format!("{negotiation:?}"), "Negotiation { state: Login, .. }");
    let mut negotiation = Negotiation::new(credentials());
    let _ = negotiation.handle_bytes(b"CONNECT a.test:1 HTTP/1.1\r\nProxy-Authorization: Basic bWU6c2Vj");
    assert_eq!(format!("{negotiation:?}"), "Negotiation { state: Head, .. }");
}

/// Like a program's input, but truncated or damaged in places.
fn input() -> impl Strategy<Value = Vec<u8>> {
    let spoken: [&[u8]; 9] = [
        b"\x05\x01\x00\x05\x01\x00\x03\x06a.test\x01\xbb",
        b"\x05\x02\x00\x02\x05\x03\x00\x01\x00\x00\x00\x00\x00\x00",
        b"\x05\x02\x00\x02\x01\x02me\x06secret\x05\x01\x00\x01\x7f\x00\x00\x01\x00\x50",
        b"\x05\x01\x02\x01\x02me\x06wrong!\x05\x01\x00\x01\x7f\x00\x00\x01\x00\x50",
        b"\x04\x01\x00\x50\x7f\x00\x00\x01me\x00",
        CONNECT,
        b"CONNECT [::1]:80 HTTP/1.1\nProxy-Authorization: Basic bWU6c2VjcmV0\n\n",
        b"GET http://a.test/ HTTP/1.1\r\nHost: a.test\r\nAccept: */*\r\n\r\n",
        b"CONNECT a.test:1 HTTP/1.1\r\nA: b\r\nB b\r\nC: \0\r\n\r\n",
    ];
    let damage = proptest::collection::vec((any::<Index>(), any::<u8>()), 0..3);
    let behind = proptest::collection::vec(any::<u8>(), 0..40);
    let shape = (proptest::sample::select(spoken.to_vec()), damage, 0..3_usize, behind, any::<bool>());
    shape.prop_map(|(spoken, damage, missing, behind, is_long)| {
        let mut bytes = spoken.to_vec();
        for (place, byte) in damage {
            let place = place.index(bytes.len());
            bytes[place] = byte;
        }
        if is_long {
            // Near the end of a head, in a field's value.
            let place = bytes.len() - 4;
            bytes.splice(place..place, std::iter::repeat_n(b'a', 2 * MAX_HEAD));
        }
        bytes.truncate(bytes.len() - missing);
        bytes.extend(behind);
        bytes
    })
}

proptest! {
    #[test]
    fn pieces_make_no_difference(
        input in input(),
        cuts in proptest::collection::vec(any::<Index>(), 0..12),
        is_bytewise in any::<bool>(),
        is_locked in any::<bool>(),
    ) {
        let credentials = credentials().filter(|_| is_locked);
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(input.len())).collect();
        cuts.sort_unstable();
        if is_bytewise {
            cuts = (0..input.len()).collect();
        }
        let whole = feed(&mut Negotiation::new(credentials.clone()), &input, &[]);
        let pieces = feed(&mut Negotiation::new(credentials), &input, &cuts);
        prop_assert_eq!(pieces, whole);
    }

    #[test]
    fn nobody_gets_through_without_the_password(input in input()) {
        let is_known = |secret: &[u8]| input.windows(secret.len()).any(|window| window == secret);
        if !is_known(b"\x02me\x06secret") && !is_known(b"bWU6c2VjcmV0") {
            // Plain requests log in one by one, elsewhere.
            prop_assert!(matches!(with_login(&input).request, None | Some(Request::Http(_))));
        }
    }

    #[test]
    fn any_bytes_are_survived_and_what_is_kept_is_bounded(
        first in proptest::sample::select(vec![4_u8, 5, 22, b'C']),
        bytes in proptest::collection::vec(any::<u8>(), 0..600),
        size in 1..100_usize,
    ) {
        let mut negotiation = Negotiation::new(None);
        for piece in [vec![first], bytes].concat().chunks(size) {
            let _ = negotiation.handle_bytes(piece);
            prop_assert!(negotiation.message.len() <= MAX_HEAD && negotiation.output.len() < 1024);
        }
    }
}
