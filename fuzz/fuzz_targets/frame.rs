//! Any bytes decode to a frame or an error; encoding a frame again gives the original message.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use pinhole::internals::tunnel::frame::{
    self, Frame, FrameError, HEADER_LEN, ResumeEntry, Sequenced, SessionFrame, StreamFrame, header, kind,
};
use pinhole::internals::tunnel::{Hello, Role};

fuzz_target!(|message: &[u8]| {
    let bytes = Bytes::copy_from_slice(message);
    let payload = bytes.slice(message.len().min(HEADER_LEN)..);
    match Frame::decode(bytes) {
        Ok(Frame::Stream(id, generation, frame)) => {
            let mut out = Vec::new();
            match frame {
                StreamFrame::Sequenced(sequence, frame) => {
                    let kind = match &frame {
                        Sequenced::Connect(..) => kind::CONNECT,
                        Sequenced::Data(_) => kind::DATA,
                        Sequenced::Close => kind::CLOSE,
                        Sequenced::Accept => kind::ACCEPT,
                        Sequenced::Reset(detail) => {
                            let again = frame::encode_reset(id, generation, sequence, detail);
                            assert_eq!(again[..HEADER_LEN + 1], message[..HEADER_LEN + 1]);
                            assert!(Frame::decode(again.into()).is_ok());
                            return;
                        }
                    };
                    out.extend_from_slice(&header(kind, generation, id.value(), sequence));
                    match frame {
                        Sequenced::Connect(target, trail) => frame::encode_connect(&mut out, &target, &trail),
                        Sequenced::Data(data) => out.extend_from_slice(&data),
                        Sequenced::Close | Sequenced::Accept | Sequenced::Reset(_) => {}
                    }
                    assert_eq!(out, message);
                }
                StreamFrame::Credit { limit, received } => {
                    frame::encode_credit(&mut out, id, generation, limit, received);
                    // The header's sequence field has no meaning here.
                    assert_eq!(out[..4], message[..4]);
                    assert_eq!(out[HEADER_LEN..], message[HEADER_LEN..]);
                }
                StreamFrame::Abort(reason, detail) => {
                    frame::encode_abort(&mut out, id, generation, reason, &detail);
                    let again = Frame::decode(out.into()).expect("what we encode decodes");
                    assert!(matches!(again, Frame::Stream(.., StreamFrame::Abort(same, _)) if same == reason));
                }
                StreamFrame::Datagram(data) => assert_eq!(data, payload),
            }
        }
        Ok(Frame::Session(SessionFrame::Resume { carrier, part, parts, mut entries })) => {
            let mut out = Vec::new();
            frame::encode_resume_head(&mut out, carrier, part, parts);
            while !entries.is_empty() {
                let Some(entry) = ResumeEntry::decode(&mut entries) else { return };
                entry.encode(&mut out);
            }
            assert_eq!(out[HEADER_LEN..], message[HEADER_LEN..]);
        }
        Ok(Frame::Session(SessionFrame::Hello(payload))) => {
            if let Ok(hello) = Hello::decode(&payload, Role::Client) {
                assert_eq!(Hello::decode(&hello.encode(), Role::Client), Ok(hello));
            }
        }
        Ok(Frame::Session(SessionFrame::GoAway(reason, detail))) => {
            let mut out = Vec::new();
            frame::encode_go_away(&mut out, reason, &detail);
            assert!(Frame::decode(out.into()).is_ok());
        }
        Ok(Frame::Session(SessionFrame::Ignorable(kind))) => assert!(kind >= kind::FIRST_IGNORABLE),
        Ok(Frame::Session(_)) => {}
        Err(FrameError::Short(len)) => assert!(len < HEADER_LEN && len == message.len()),
        Err(_) => assert!(message.len() >= HEADER_LEN),
    }
});
