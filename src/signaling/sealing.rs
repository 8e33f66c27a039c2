//! Sealed messages: everything after the handshake, encrypted end to end.
//!
//! ChaCha20-Poly1305 with one key per direction. The counter `n` is the nonce, so a message that is replayed, dropped
//! or moved is detected like one that is altered.

use std::fmt;

use aws_lc_rs::aead::{Aad, LessSafeKey, NONCE_LEN, Nonce};
use bytes::{Bytes, BytesMut};
use serde::de::IgnoredAny;

use super::error::{SignalingError, Violation};
use super::message::{HostMessage, Inner, MessageError, Outer, Sealed};

/// Separates sealed JSON messages from the relay's binary ones, which share a key and its counter.
const TEXT: &[u8] = b"text";
const RELAY: &[u8] = b"relay";

/// Length of the counter in front of a binary message.
const COUNTER_LEN: usize = 8;

/// Bytes that sealing adds to a binary message: the counter and the tag.
pub const RELAY_OVERHEAD: usize = COUNTER_LEN + 16;

/// Seals the messages of one direction. Never shows its key by `Debug`.
pub struct Sealer {
    key: LessSafeKey,
    next: u64,
}

impl Sealer {
    pub(super) fn new(key: LessSafeKey) -> Sealer {
        Sealer { key, next: 0 }
    }

    /// Returns the text of the next `sealed` message.
    ///
    /// The peer refuses texts longer than [`MAX_TEXT`](super::message::MAX_TEXT): base64 leaves about 48 KiB of JSON.
    pub fn seal(&mut self, message: &Inner) -> String {
        let n = self.take();
        let mut sealed_box = message.to_text().into_bytes();
        self.key
            .seal_in_place_append_tag(nonce(n), Aad::from(TEXT), &mut sealed_box)
            .expect("only a message of 2^38 bytes cannot be sealed");
        HostMessage::Sealed(Sealed { n, sealed_box }).to_text()
    }

    /// Returns the next binary message of the relay: `n u64 ‖ box`.
    pub fn seal_binary(&mut self, message: &[u8]) -> Vec<u8> {
        let n = self.take();
        let mut bytes = Vec::with_capacity(message.len() + RELAY_OVERHEAD);
        bytes.extend_from_slice(&n.to_be_bytes());
        bytes.extend_from_slice(message);
        let tag = self
            .key
            .seal_in_place_separate_tag(nonce(n), Aad::from(RELAY), &mut bytes[COUNTER_LEN..])
            .expect("only a message of 2^38 bytes cannot be sealed");
        bytes.extend_from_slice(tag.as_ref());
        bytes
    }

    fn take(&mut self) -> u64 {
        let n = self.next;
        self.next = n.checked_add(1).expect("no session lasts for 2^64 messages");
        n
    }
}

impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sealer").field("next", &self.next).finish_non_exhaustive()
    }
}

/// Opens the messages of one direction. Never shows its key by `Debug`.
pub struct Opener(State);

/// ```text
/// Open ──anything but the next message──▶ Ended
/// ```
enum State {
    Open { key: LessSafeKey, next: u64 },
    Ended,
}

impl Opener {
    pub(super) fn new(key: LessSafeKey) -> Opener {
        Opener(State::Open { key, next: 0 })
    }

    /// Opens the next message.
    ///
    /// Accepts exactly the message that follows the last one. Any error is final: later calls fail too. An `error`
    /// message in clear is [`SignalingError::Refused`]; everything else is [`SignalingError::Protocol`].
    pub fn open(&mut self, text: &str) -> Result<Inner, SignalingError> {
        let State::Open { key, next } = std::mem::replace(&mut self.0, State::Ended) else {
            return Err(Violation::Ended.into());
        };
        let sealed = match Outer::<IgnoredAny>::parse(text)? {
            Outer::Sealed(sealed) => sealed,
            other => return Err(SignalingError::out_of_turn(other)),
        };
        if sealed.n != next {
            return Err(Violation::Sequence { expected: next, got: sealed.n }.into());
        }
        let mut bytes = sealed.sealed_box;
        let bytes = key.open_in_place(nonce(next), Aad::from(TEXT), &mut bytes).map_err(|_| Violation::Seal)?;
        let inner = std::str::from_utf8(bytes).map_err(|_| MessageError::NotJson)?;
        let message = Inner::parse(inner)?;
        // Wrapping is fine: the peer's counter would have to wrap first, which its sealer refuses.
        self.0 = State::Open { key, next: next.wrapping_add(1) };
        Ok(message)
    }
}

impl Opener {
    /// Opens the next binary message of the relay and returns its content. Any error is final.
    pub fn open_binary(&mut self, bytes: Bytes) -> Result<Bytes, SignalingError> {
        let State::Open { key, next } = std::mem::replace(&mut self.0, State::Ended) else {
            return Err(Violation::Ended.into());
        };
        let Some((counter, _)) = bytes.split_first_chunk::<COUNTER_LEN>() else {
            return Err(Violation::Seal.into());
        };
        let n = u64::from_be_bytes(*counter);
        if n != next {
            return Err(Violation::Sequence { expected: next, got: n }.into());
        }
        // The WebSocket hands its buffer over, so nothing is copied here.
        let mut bytes = BytesMut::from(bytes);
        let _counter = bytes.split_to(COUNTER_LEN);
        let len = key.open_in_place(nonce(n), Aad::from(RELAY), &mut bytes).map_err(|_| Violation::Seal)?.len();
        bytes.truncate(len);
        self.0 = State::Open { key, next: next.wrapping_add(1) };
        Ok(bytes.freeze())
    }
}

impl fmt::Debug for Opener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            State::Open { next, .. } => f.debug_struct("Opener").field("next", next).finish_non_exhaustive(),
            State::Ended => f.write_str("Opener(ended)"),
        }
    }
}

/// The nonce of message `n`: four zero bytes and the counter. It is unique because a key serves one direction of one
/// WebSocket, and a sealer never uses a counter twice.
fn nonce(n: u64) -> Nonce {
    let mut bytes = [0; NONCE_LEN];
    bytes[NONCE_LEN - 8..].copy_from_slice(&n.to_be_bytes());
    Nonce::assume_unique_for_key(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signaling::message::{ErrorCode, MAX_TEXT};
    use aws_lc_rs::aead::{CHACHA20_POLY1305, UnboundKey};
    use proptest::prelude::*;

    fn key(byte: u8) -> LessSafeKey {
        LessSafeKey::new(UnboundKey::new(&CHACHA20_POLY1305, &[byte; 32]).unwrap())
    }

    fn pair() -> (Sealer, Opener) {
        (Sealer::new(key(1)), Opener::new(key(1)))
    }

    fn bye(reason: &str) -> Inner {
        Inner::Bye { reason: reason.into() }
    }

    fn violation(result: Result<Inner, SignalingError>) -> Violation {
        match result {
            Err(SignalingError::Protocol(violation)) => violation,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn messages_arrive_in_order() {
        let (mut sealer, mut opener) = pair();
        for i in 0..300 {
            let message = Inner::EndOfCandidates { carrier: i };
            assert_eq!(opener.open(&sealer.seal(&message)).unwrap(), message);
        }
    }

    #[test]
    fn unknown_inner_types_keep_the_exchange_going() {
        let (mut sealer, mut opener) = pair();
        assert_eq!(opener.open(&sealer.seal(&Inner::Unknown)).unwrap(), Inner::Unknown);
        assert_eq!(opener.open(&sealer.seal(&bye("x"))).unwrap(), bye("x"));
    }

    #[test]
    fn the_same_message_never_looks_the_same() {
        let (mut sealer, _) = pair();
        assert_ne!(sealer.seal(&bye("x")), sealer.seal(&bye("x")));
    }

    #[test]
    fn only_the_next_message_is_accepted_and_failure_is_final() {
        let (mut sealer, mut opener) = pair();
        let first = sealer.seal(&bye("1"));
        let second = sealer.seal(&bye("2"));
        assert_eq!(violation(opener.open(&second)), Violation::Sequence { expected: 0, got: 1 });
        assert_eq!(violation(opener.open(&first)), Violation::Ended);
    }

    #[test]
    fn another_key_or_a_renumbered_message_does_not_open() {
        let (mut sealer, _) = pair();
        let first = sealer.seal(&bye("1"));
        assert_eq!(violation(Opener::new(key(2)).open(&first)), Violation::Seal);
        let second = sealer.seal(&bye("2")).replace(r#""n":1"#, r#""n":0"#);
        assert_eq!(violation(Opener::new(key(1)).open(&second)), Violation::Seal);
    }

    #[test]
    fn other_uses_of_the_key_are_no_text() {
        let mut sealed_box = bye("x").to_text().into_bytes();
        key(1).seal_in_place_append_tag(nonce(0), Aad::from(b"relay"), &mut sealed_box).unwrap();
        let text = HostMessage::Sealed(Sealed { n: 0, sealed_box }).to_text();
        assert_eq!(violation(Opener::new(key(1)).open(&text)), Violation::Seal);
    }

    #[test]
    fn texts_and_binary_messages_share_one_order() {
        let (mut sealer, mut opener) = pair();
        let text = sealer.seal(&bye("x"));
        let binary = sealer.seal_binary(b"frame");
        assert_eq!(binary.len(), 5 + RELAY_OVERHEAD);
        let empty = sealer.seal_binary(b"");
        assert_eq!(opener.open(&text).unwrap(), bye("x"));
        assert_eq!(opener.open_binary(binary.clone().into()).unwrap(), "frame");
        assert_eq!(opener.open_binary(empty.into()).unwrap(), "");
        assert!(matches!(
            opener.open_binary(binary.into()),
            Err(SignalingError::Protocol(Violation::Sequence { expected: 3, got: 1 }))
        ));
    }

    #[test]
    fn binary_messages_that_were_touched_do_not_open() {
        let (mut sealer, _) = pair();
        let good = sealer.seal_binary(b"frame");
        for index in 0..good.len() {
            let mut bytes = good.clone();
            bytes[index] ^= 1;
            assert!(pair().1.open_binary(bytes.into()).is_err(), "byte {index}");
            assert!(pair().1.open_binary(good[..index].to_vec().into()).is_err(), "cut at {index}");
        }
        assert!(pair().1.open_binary(good.into()).is_ok());
    }

    #[test]
    fn clear_messages_end_the_exchange() {
        let (_, mut opener) = pair();
        let inner = bye("x").to_text();
        assert_eq!(violation(opener.open(&inner)), Violation::Message(MessageError::NotAMessage));
        let (_, mut opener) = pair();
        assert_eq!(violation(opener.open(r#"{"type":"hello"}"#)), Violation::OutOfTurn("hello"));
        let (_, mut opener) = pair();
        let refused = opener.open(&SignalingError::Full.to_text());
        assert!(matches!(refused, Err(SignalingError::Refused { code: ErrorCode::Full, .. })));
        assert_eq!(violation(opener.open("")), Violation::Ended);
    }

    #[test]
    fn long_texts_are_not_opened() {
        let (mut sealer, mut opener) = pair();
        let text = sealer.seal(&bye(&"x".repeat(MAX_TEXT)));
        assert!(matches!(violation(opener.open(&text)), Violation::Message(MessageError::TooLong(_))));
    }

    #[test]
    fn keys_are_never_shown() {
        let (sealer, opener) = pair();
        assert_eq!(format!("{sealer:?} {opener:?}"), "Sealer { next: 0, .. } Opener { next: 0, .. }");
    }

    proptest! {
        #[test]
        fn any_box_is_refused_without_panic(n in 0..2u64, sealed_box in any::<Vec<u8>>()) {
            let (_, mut opener) = pair();
            let text = HostMessage::Sealed(Sealed { n, sealed_box }).to_text();
            prop_assert!(opener.open(&text).is_err());
        }
    }
}
