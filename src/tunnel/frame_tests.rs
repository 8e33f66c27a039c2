use proptest::prelude::*;

use super::*;
use crate::tunnel::trail::Hop;

fn stream_frame(kind: u8, sequence: u32, payload: &[u8]) -> Bytes {
    let mut message = header(kind, Generation(7), 9, Sequence(sequence)).to_vec();
    message.extend_from_slice(payload);
    message.into()
}

fn decode(kind: u8, sequence: u32, payload: &[u8]) -> Result<Frame, FrameError> {
    Frame::decode(stream_frame(kind, sequence, payload))
}

#[test]
fn the_header_is_laid_out_as_specified() {
    let bytes = header(2, Generation(3), 0x0405, Sequence(0x0607_0809));
    assert_eq!(bytes, [2, 3, 4, 5, 6, 7, 8, 9]);
}

#[test]
fn stream_frames_decode() {
    let id = StreamId::new(9).unwrap();
    let expect = |frame| Ok(Frame::Stream(id, Generation(7), frame));
    let sequenced = |n, body| expect(StreamFrame::Sequenced(Sequence(n), body));
    assert_eq!(decode(kind::DATA, 5, b"abc"), sequenced(5, Sequenced::Data(Bytes::from_static(b"abc"))));
    assert_eq!(decode(kind::CLOSE, 6, b""), sequenced(6, Sequenced::Close));
    assert_eq!(decode(kind::ACCEPT, 0, b""), sequenced(0, Sequenced::Accept));
    let mut message = Vec::new();
    encode_abort(&mut message, id, Generation(7), AbortReason::Refused, "no");
    assert_eq!(Frame::decode(message.clone().into()), expect(StreamFrame::Abort(AbortReason::Refused, "no".into())));
    let reset = encode_reset(id, Generation(7), Sequence(8), "gone");
    assert_eq!(Frame::decode(reset.into()), sequenced(8, Sequenced::Reset("gone".into())));
    encode_credit(&mut message, id, Generation(7), 1 << 40, Sequence(12));
    let credit = StreamFrame::Credit { limit: 1 << 40, received: Sequence(12) };
    assert_eq!(Frame::decode(message.into()), expect(credit));
}

#[test]
fn connect_targets_round_trip() {
    for target in [
        ConnectTarget::Service(0),
        ConnectTarget::Service(65535),
        ConnectTarget::Tcp("db.local:5432".into()),
        ConnectTarget::Unix("/run/app.sock".into()),
        ConnectTarget::Udp("[::1]:53".into()),
        ConnectTarget::Reverse(3),
    ] {
        for trail in [Trail::default(), [Hop([1; 8]), Hop([2; 8])].into_iter().collect()] {
            let mut payload = Vec::new();
            encode_connect(&mut payload, &target, &trail);
            let Ok(Frame::Stream(_, _, StreamFrame::Sequenced(_, read))) = decode(kind::CONNECT, 0, &payload) else {
                panic!("{target:?} does not decode");
            };
            assert_eq!(read, Sequenced::Connect(target.clone(), trail));
        }
    }
}

#[test]
fn malformed_frames_are_refused() {
    assert_eq!(Frame::decode(Bytes::from_static(b"1234567")), Err(FrameError::Short(7)));
    for (kind, sequence, payload) in [
        (kind::DATA, 1, &b""[..]),
        (kind::CLOSE, 1, b"x"),
        (kind::ACCEPT, 0, b"x"),
        (kind::ACCEPT, 1, b""),
        (kind::CONNECT, 1, b"\0\0\0"),
        (kind::CONNECT, 0, b""),
        (kind::CONNECT, 0, b"\0\0"),
        (kind::CONNECT, 0, b"\x01"),
        (kind::CONNECT, 0, b"\x01\xff"),
        (kind::CONNECT, 0, b"\x05ab"),
        (kind::CONNECT, 0, b"\x80\0\0\0"),
        (kind::CONNECT, 0, b"\x80\x01\0\0"),
        (kind::CONNECT, 0, b"\x80\x0112345678\0"),
        (kind::CREDIT, 0, b"12345678901"),
        (kind::CREDIT, 0, b"1234567890123"),
        (kind::ABORT, 0, b""),
        (kind::ABORT, 0, &[1; 257]),
    ] {
        assert_eq!(decode(kind, sequence, payload), Err(FrameError::Payload(kind)), "type {kind} {payload:?}");
    }
    assert_eq!(decode(kind::HELLO, 0, b"{}"), Err(FrameError::WrongStream(kind::HELLO)));
    assert_eq!(decode(0, 0, b""), Err(FrameError::UnknownType(0)));
    assert_eq!(decode(8, 0, b""), Err(FrameError::UnknownType(8)));
    assert_eq!(decode(127, 0, b""), Err(FrameError::UnknownType(127)));
    assert_eq!(decode(128, 0, b"??"), Ok(Frame::Session(SessionFrame::Ignorable(128))));
    let mut message = Vec::new();
    for (kind, payload) in [
        (kind::PING, &b"1234567"[..]),
        (kind::PONG, b"123456789"),
        (kind::RESUME, b"\0\0\0\x02\0\0\0"),
        (kind::RESUME, b"\0\0\0\x02\0\0\0\x01x"),
        (kind::RESUME, b"\0\0\0\x02\0\x01\0\x01"),
        (kind::GOAWAY, b""),
        (kind::LISTEN, b"1"),
        (kind::LISTEN, b"\0\x01\xff"),
        (kind::LISTEN, &[b'a'; 2 + MAX_LISTEN_TEXT + 1]),
        (kind::LISTENED, b"\0\x01"),
        (kind::LISTENED, b"\0\x01\x02no such status"),
        (kind::LISTENED, &[0; 3 + MAX_LISTEN_TEXT + 1]),
    ] {
        encode_session(&mut message, kind, payload);
        assert_eq!(Frame::decode(message.clone().into()), Err(FrameError::Payload(kind)), "type {kind} {payload:?}");
    }
}

#[test]
fn resume_entries_round_trip() {
    let entry = ResumeEntry {
        id: StreamId::new(0x8001).unwrap(),
        generation: Generation(200),
        received: Sequence(77),
        limit: u64::MAX,
    };
    let mut message = Vec::new();
    encode_resume_head(&mut message, 2, 0, 1);
    entry.encode(&mut message);
    let Ok(Frame::Session(SessionFrame::Resume { carrier: 2, part: 0, parts: 1, mut entries })) =
        Frame::decode(message.into())
    else {
        panic!("a RESUME does not decode");
    };
    assert_eq!(ResumeEntry::decode(&mut entries), Some(entry));
    assert_eq!(ResumeEntry::decode(&mut entries), None);
}

#[test]
fn reverse_forwards_round_trip() {
    let mut message = Vec::new();
    encode_listen(&mut message, 0x102, "udp:[::1]:53");
    let expected = SessionFrame::Listen(0x102, "udp:[::1]:53".to_owned());
    assert_eq!(Frame::decode(message.clone().into()), Ok(Frame::Session(expected)));
    for result in [Ok("127.0.0.1:80"), Err("not allowed"), Err("")] {
        encode_listened(&mut message, 9, result);
        let expected = SessionFrame::Listened(9, result.map(str::to_owned).map_err(str::to_owned));
        assert_eq!(Frame::decode(message.clone().into()), Ok(Frame::Session(expected)));
    }
}

#[test]
fn long_details_are_cut_at_a_character() {
    let mut message = Vec::new();
    encode_go_away(&mut message, GoAwayReason::Limit, &"ä".repeat(200));
    assert_eq!(message.len(), HEADER_LEN + 1 + 254);
    assert!(matches!(Frame::decode(message.into()), Ok(Frame::Session(SessionFrame::GoAway(GoAwayReason::Limit, _)))));
}

#[test]
fn reasons_round_trip() {
    for code in 0..=255 {
        assert_eq!(AbortReason::from_code(code).code(), code);
        assert_eq!(GoAwayReason::from_code(code).code(), code);
    }
}

proptest! {
    #[test]
    fn no_bytes_make_the_decoder_panic(message in prop::collection::vec(any::<u8>(), 0..64)) {
        let _ = Frame::decode(message.into());
    }
}
