//! Frames that are mostly well-formed, with wrong numbers.

use pinhole::internals::tunnel::frame::{HEADER_LEN, kind};

use super::script::Script;

const KINDS: [u8; 15] = [
    kind::CONNECT,
    kind::DATA,
    kind::DATA,
    kind::DATA,
    kind::CLOSE,
    kind::ACCEPT,
    kind::ABORT,
    kind::CREDIT,
    kind::CREDIT,
    kind::DATAGRAM,
    kind::HELLO,
    kind::PING,
    kind::PONG,
    kind::RESUME,
    kind::LISTEN,
];

/// Ids of both sides' streams.
const IDS: [u16; 8] = [1, 2, 3, 0x7fff, 0x8000, 0x8001, 0x8002, 0xffff];

/// Makes a frame. Some of them end the session, because they are invalid or a GOAWAY.
pub(crate) fn frame(script: &mut Script<'_>) -> Vec<u8> {
    let kind = match script.below(256) {
        0 => script.byte(),
        1 => kind::GOAWAY,
        2..5 => kind::FIRST_IGNORABLE,
        _ => script.pick(&KINDS),
    };
    let is_session = kind >= kind::HELLO;
    let id = if is_session { 0 } else { script.pick(&IDS) };
    let generation = if is_session { 0 } else { script.pick(&[0, 0, 0, 0, 0, 1, 2, 127, 128, 255]) };
    let sequence = match kind {
        kind::DATA | kind::CLOSE | kind::ABORT if script.once_in(3) => script.u32(),
        kind::DATA | kind::CLOSE | kind::ABORT => script.byte().into(),
        _ => 0,
    };
    let mut frame = vec![kind, generation];
    frame.extend(id.to_be_bytes());
    frame.extend(sequence.to_be_bytes());
    payload(script, kind, &mut frame);
    if script.once_in(128) {
        frame.truncate(script.below(HEADER_LEN + 8));
    }
    frame
}

fn payload(script: &mut Script<'_>, kind: u8, out: &mut Vec<u8>) {
    match kind {
        kind::CONNECT => {
            let target: &[u8] =
                script.pick(&[&[0u8, 0, 0][..], &[0, 0, 1], b"\x01127.0.0.1:1", b"\x02/x", b"\x03[::1]:1", &[4, 0, 0]]);
            out.extend(target);
        }
        kind::DATA | kind::DATAGRAM => {
            let len = script.pick(&[1, 1, 2, 32, 1000, 16_384, 16_385, 60_000]);
            out.resize(out.len() + len, 7);
        }
        kind::ABORT | kind::GOAWAY => {
            // A reset, and anything else.
            let reason = script.byte();
            out.push(if reason.is_multiple_of(2) { 5 } else { reason });
            out.resize(out.len() + script.pick(&[0, 3, 255]), b'x');
        }
        kind::CREDIT => {
            out.extend(script.u64().to_be_bytes());
            out.extend(script.u32().to_be_bytes());
        }
        kind::HELLO => {
            let (credit, payload, streams) = (script.u32(), script.u32(), script.u32());
            let role = script.pick(&["host", "client"]);
            let hello = format!(
                r#"{{"versions":[1],"role":"{role}","initial_credit":{credit},"max_payload":{payload},"max_streams":{streams},"features":["datagrams"]}}"#
            );
            out.extend(hello.as_bytes());
        }
        kind::PING => out.extend([script.byte(); 8]),
        // The payloads of a side's PINGs are numbers from 1.
        kind::PONG => out.extend(u64::from(script.byte()).to_be_bytes()),
        kind::RESUME => {
            let other = script.u32();
            out.extend(script.pick(&[1, 2, 3, 4, other]).to_be_bytes());
            let parts: u16 = script.pick(&[1, 1, 1, 1, 2, 128]);
            let parts = if script.once_in(64) { 129 } else { parts };
            out.extend((script.below(parts.into()) as u16).to_be_bytes());
            out.extend(parts.to_be_bytes());
            for _ in 0..script.below(4) {
                out.extend(script.pick(&IDS).to_be_bytes());
                out.push(script.pick(&[0, 0, 1, 255]));
                out.extend(script.u32().to_be_bytes());
                out.extend(script.u64().to_be_bytes());
            }
        }
        kind::LISTEN => {
            out.extend((script.u32() as u16).to_be_bytes());
            out.extend(script.pick(&[&b"127.0.0.1:0"[..], b""]));
        }
        kind::CLOSE | kind::ACCEPT => {}
        _ => out.extend(script.bytes(12)),
    }
}
