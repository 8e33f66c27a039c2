//! The frames of `docs/vectors.json`, both ways, and what `docs/protocol.md` says of them.

use std::collections::BTreeSet;
use std::time::Instant;

use data_encoding::HEXLOWER;
use serde_json::{Value, json};

use super::*;
use crate::tunnel::hello::{Hello, HelloError};
use crate::tunnel::id::Role;
use crate::tunnel::trail::Hop;
use crate::tunnel::{ChunkPool, Config, Mux};

const PAGE: &str = include_str!("../../docs/protocol.md");
const VECTORS: &str = include_str!("../../docs/vectors.json");

fn vectors(name: &str) -> Vec<Value> {
    let vectors: Value = serde_json::from_str(VECTORS).unwrap();
    vectors[name].as_array().unwrap().clone()
}

fn number<T: TryFrom<u64>>(vector: &Value, field: &str) -> T {
    let number = vector[field].as_u64().unwrap_or_else(|| panic!("{field} of {vector}"));
    T::try_from(number).unwrap_or_else(|_| panic!("{field} of {vector}"))
}

fn text(vector: &Value, field: &str) -> String {
    vector[field].as_str().unwrap_or_else(|| panic!("{field} of {vector}")).to_owned()
}

fn bytes(vector: &Value, field: &str) -> Bytes {
    HEXLOWER.decode(text(vector, field).as_bytes()).unwrap().into()
}

/// Returns the message of a vector, made as long as it says.
fn message(vector: &Value) -> Bytes {
    let mut message = bytes(vector, "hex").to_vec();
    if vector.get("fill_to").is_some() {
        message.resize(number(vector, "fill_to"), b'x');
    }
    message.into()
}

fn target(vector: &Value) -> (ConnectTarget, Trail) {
    let target = &vector["target"];
    let (kind, _) = target.as_object().unwrap().iter().next().unwrap();
    let target = match kind.as_str() {
        "service" => ConnectTarget::Service(number(target, kind)),
        "tcp" => ConnectTarget::Tcp(text(target, kind)),
        "unix" => ConnectTarget::Unix(text(target, kind)),
        "udp" => ConnectTarget::Udp(text(target, kind)),
        "reverse" => ConnectTarget::Reverse(number(target, kind)),
        other => panic!("{other}"),
    };
    let hops = vector["trail"].as_array().unwrap().iter();
    let hop = |hop: &Value| Hop(HEXLOWER.decode(hop.as_str().unwrap().as_bytes()).unwrap().try_into().unwrap());
    (target, hops.map(hop).collect())
}

fn entries(vector: &Value) -> Vec<ResumeEntry> {
    let entry = |entry: &Value| ResumeEntry {
        id: StreamId::new(number(entry, "stream")).unwrap(),
        generation: Generation(number(entry, "generation")),
        received: Sequence(number(entry, "received")),
        limit: number(entry, "limit"),
    };
    vector["entries"].as_array().unwrap().iter().map(entry).collect()
}

/// Makes the frame of a vector from its fields, and its message by our encoder.
fn made(vector: &Value) -> (Frame, Vec<u8>) {
    let (kind, sequence) = (number(vector, "type"), Sequence(number(vector, "sequence")));
    let (generation, stream) = (Generation(number(vector, "generation")), StreamId::new(number(vector, "stream")));
    let mut out = Vec::new();
    let mut sequenced = |kind: u8, frame: Sequenced, payload: &[u8]| {
        out.extend_from_slice(&header(kind, generation, number(vector, "stream"), sequence));
        out.extend_from_slice(payload);
        Frame::Stream(stream.unwrap(), generation, StreamFrame::Sequenced(sequence, frame))
    };
    let frame = match kind {
        kind::CONNECT => {
            let (target, trail) = target(vector);
            let mut payload = Vec::new();
            encode_connect(&mut payload, &target, &trail);
            sequenced(kind, Sequenced::Connect(target, trail), &payload)
        }
        kind::DATA => sequenced(kind, Sequenced::Data(bytes(vector, "bytes")), &bytes(vector, "bytes")),
        kind::CLOSE => sequenced(kind, Sequenced::Close, &[]),
        kind::ACCEPT => sequenced(kind, Sequenced::Accept, &[]),
        kind::ABORT => {
            let (reason, detail) = (AbortReason::from_code(number(vector, "reason")), text(vector, "detail"));
            assert_eq!(reason.as_str(), text(vector, "word"));
            let id = stream.unwrap();
            if reason == AbortReason::Reset {
                out = encode_reset(id, generation, sequence, &detail);
                let frame = StreamFrame::Sequenced(sequence, Sequenced::Reset(detail));
                Frame::Stream(id, generation, frame)
            } else {
                encode_abort(&mut out, id, generation, reason, &detail);
                Frame::Stream(id, generation, StreamFrame::Abort(reason, detail))
            }
        }
        kind::CREDIT => {
            let (limit, received) = (number(vector, "limit"), Sequence(number(vector, "received")));
            encode_credit(&mut out, stream.unwrap(), generation, limit, received);
            Frame::Stream(stream.unwrap(), generation, StreamFrame::Credit { limit, received })
        }
        kind::DATAGRAM => {
            let payload = bytes(vector, "bytes");
            out.extend_from_slice(&header(kind, generation, stream.unwrap().value(), Sequence(0)));
            out.extend_from_slice(&payload);
            Frame::Stream(stream.unwrap(), generation, StreamFrame::Datagram(payload))
        }
        kind::HELLO => {
            let hello: Hello = serde_json::from_value(vector["hello"].clone()).unwrap();
            encode_session(&mut out, kind, &hello.encode());
            let payload = Bytes::from(hello.encode());
            assert_eq!(Hello::decode(&payload, Role::Host), Ok(hello));
            Frame::Session(SessionFrame::Hello(payload))
        }
        kind::PING | kind::PONG => {
            let payload: [u8; 8] = bytes(vector, "bytes").as_ref().try_into().unwrap();
            encode_session(&mut out, kind, &payload);
            Frame::Session(if kind == kind::PING { SessionFrame::Ping(payload) } else { SessionFrame::Pong(payload) })
        }
        kind::GOAWAY => {
            let (reason, detail) = (GoAwayReason::from_code(number(vector, "reason")), text(vector, "detail"));
            assert_eq!(format!("{reason:?}").to_lowercase(), text(vector, "word"));
            encode_go_away(&mut out, reason, &detail);
            Frame::Session(SessionFrame::GoAway(reason, detail))
        }
        kind::RESUME => {
            let (carrier, part, parts) = (number(vector, "carrier"), number(vector, "part"), number(vector, "parts"));
            encode_resume_head(&mut out, carrier, part, parts);
            entries(vector).iter().for_each(|entry| entry.encode(&mut out));
            let entries = Bytes::copy_from_slice(&out[HEADER_LEN + RESUME_HEAD_LEN..]);
            Frame::Session(SessionFrame::Resume { carrier, part, parts, entries })
        }
        kind::LISTEN => {
            encode_listen(&mut out, number(vector, "id"), &text(vector, "bind"));
            Frame::Session(SessionFrame::Listen(number(vector, "id"), text(vector, "bind")))
        }
        kind::LISTENED => {
            let result = match vector.get("refused") {
                Some(_) => Err(text(vector, "refused")),
                None => Ok(text(vector, "bind")),
            };
            encode_listened(&mut out, number(vector, "id"), result.as_deref().map_err(String::as_str));
            Frame::Session(SessionFrame::Listened(number(vector, "id"), result))
        }
        other => panic!("a vector of type {other}"),
    };
    (frame, out)
}

#[test]
fn frames_of_the_vectors_are_read_and_written() {
    for vector in vectors("frames") {
        let (frame, message) = made(&vector);
        assert_eq!(HEXLOWER.encode(&message), text(&vector, "hex"), "{vector}");
        assert_eq!(Frame::decode(bytes(&vector, "hex")), Ok(frame.clone()), "{vector}");
        if let Frame::Session(SessionFrame::Resume { entries: mut read, .. }) = frame {
            let read: Vec<ResumeEntry> = std::iter::from_fn(|| ResumeEntry::decode(&mut read)).collect();
            assert_eq!(read, entries(&vector));
        }
    }
}

#[test]
fn malformed_frames_of_the_vectors_are_refused_and_others_ignored() {
    for vector in vectors("malformed") {
        assert!(Frame::decode(message(&vector)).is_err(), "{vector}");
    }
    for vector in vectors("ignored") {
        let frame = Frame::decode(message(&vector));
        assert!(matches!(frame, Ok(Frame::Session(SessionFrame::Ignorable(_)))), "{vector}");
    }
}

#[test]
fn frames_of_the_vectors_that_must_be_taken_are_taken() {
    for vector in vectors("taken") {
        let frame = Frame::decode(message(&vector));
        assert!(!matches!(frame, Err(_) | Ok(Frame::Session(SessionFrame::Ignorable(_)))), "{vector}");
        if vector.get("as").is_some() {
            assert_eq!(frame, Frame::decode(bytes(&vector, "as")), "{vector}");
        }
    }
}

#[test]
fn hellos_of_the_vectors_are_taken_or_answered() {
    for vector in vectors("hellos") {
        let mut payload = text(&vector, "text").into_bytes();
        if vector.get("fill_to").is_some() {
            payload.resize(number(&vector, "fill_to"), b' ');
        }
        let answer = match Hello::decode(&payload, Role::Client) {
            Ok(_) => "taken",
            Err(HelloError::Malformed(_)) => "protocol",
            Err(HelloError::Version(_)) => "version",
        };
        assert_eq!(answer, text(&vector, "answer"), "{vector}");
    }
}

/// Hands a host the messages of a client, and returns its ABORTs and GOAWAYs in the form of the vectors.
fn answers_of_a_host(vector: &Value) -> Vec<Value> {
    let (now, mut pool) = (Instant::now(), ChunkPool::new());
    let mut mux = Mux::new(Config::new(Role::Host));
    let carrier = vector.get("carrier").map_or(1, |_| number(vector, "carrier"));
    assert!(mux.open_carrier(now, carrier));
    let mut hello = Vec::new();
    encode_session(&mut hello, kind::HELLO, text(&vectors("hellos")[0], "text").as_bytes());
    mux.handle_message(now, carrier, hello.into());
    for vector in vector["messages"].as_array().unwrap() {
        mux.handle_message(now, carrier, message(vector));
    }
    let mut answers = Vec::new();
    while let Some(message) = mux.poll_transmit(now, 1 << 16, &mut pool) {
        match Frame::decode(Bytes::copy_from_slice(message)).unwrap() {
            Frame::Stream(id, generation, StreamFrame::Abort(reason, _)) => answers.push(json!({
                "type": kind::ABORT, "stream": id.value(), "generation": generation.0, "reason": reason.code()
            })),
            Frame::Session(SessionFrame::GoAway(reason, _)) => {
                answers.push(json!({"type": kind::GOAWAY, "reason": reason.code()}));
            }
            _ => {}
        }
    }
    answers
}

#[test]
fn messages_of_the_vectors_are_answered() {
    for vector in vectors("answers") {
        let expected: Vec<Value> =
            Some(vector["answer"].clone()).filter(|answer| !answer.is_null()).into_iter().collect();
        assert_eq!(answers_of_a_host(&vector), expected, "{vector}");
    }
}

/// A payload of which a type makes a frame, if it is known at all.
fn is_known(kind: u8) -> bool {
    (0..=1).any(|stream| {
        let message = header(kind, Generation(0), stream, Sequence(0)).to_vec();
        !matches!(Frame::decode(message.into()), Err(FrameError::UnknownType(_) | FrameError::WrongStream(_)))
    })
}

#[test]
fn every_type_and_every_reason_has_a_vector() {
    let frames = vectors("frames");
    let types: BTreeSet<u8> = frames.iter().map(|vector| number(vector, "type")).collect();
    let known: BTreeSet<u8> = (0..kind::FIRST_IGNORABLE).filter(|kind| is_known(*kind)).collect();
    assert_eq!(types, known);
    let codes = |kind: u8| {
        let of_kind = frames.iter().filter(|vector| number::<u8>(vector, "type") == kind);
        of_kind.map(|vector| number(vector, "reason")).collect::<BTreeSet<u8>>()
    };
    let is_abort = |code: &u8| !matches!(AbortReason::from_code(*code), AbortReason::Other(_));
    let is_go_away = |code: &u8| !matches!(GoAwayReason::from_code(*code), GoAwayReason::Other(_));
    assert_eq!(codes(kind::ABORT), (0..=255).filter(is_abort).collect());
    assert_eq!(codes(kind::GOAWAY), (0..=255).filter(is_go_away).collect());
}

#[test]
fn the_page_shows_a_frame_of_each_type_and_names_every_reason() {
    let mut shown = BTreeSet::new();
    for vector in vectors("frames") {
        let (kind, hex) = (number::<u8>(&vector, "type"), text(&vector, "hex"));
        if shown.insert(kind) {
            assert!(PAGE.contains(&hex), "the first frame of type {kind} stands in docs/protocol.md: {hex}");
        }
        if matches!(kind, kind::ABORT | kind::GOAWAY) {
            let row = format!("| {} | `{}` |", number::<u8>(&vector, "reason"), text(&vector, "word"));
            assert!(PAGE.contains(&row), "docs/protocol.md has a row {row}");
        }
        for field in vector["hello"].as_object().into_iter().flatten().map(|(field, _)| field) {
            assert!(PAGE.contains(&format!("| `{field}` |")), "docs/protocol.md has a row for {field} of HELLO");
        }
        let row = format!("| {kind} | {} |", text(&vector, "name"));
        assert!(PAGE.contains(&row), "docs/protocol.md has a row {row}");
    }
}
