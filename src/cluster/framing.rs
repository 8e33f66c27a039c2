//! How a client's messages cross a link: one after the other in a stream, each with its length in front.
//!
//! ```text
//!  0..4         4      5..
//! +-----------+------+---------+
//! | length u32| kind | payload |   kind: 0 text, 1 binary; the length is the payload's
//! +-----------+------+---------+
//! ```

use bytes::{Buf as _, BufMut as _, BytesMut};
use thiserror::Error;

use crate::signaling::rendezvous::Payload;

/// Bytes in front of a payload.
const HEAD: usize = 5;

/// Longest payload: the longest message of a WebSocket.
pub const MAX_PAYLOAD: usize = 65 * 1024;

/// What is no message, or is longer than any.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("a message on a link between servers is malformed")]
pub struct FramingError;

/// Messages that wait to be written to a stream.
#[derive(Debug, Default)]
pub struct Unsent(BytesMut);

impl Unsent {
    /// Adds a message.
    pub fn push(&mut self, message: &Payload) {
        let (kind, payload) = match message {
            Payload::Text(text) => (0, text.as_bytes()),
            Payload::Binary(bytes) => (1, &bytes[..]),
        };
        self.0.reserve(HEAD + payload.len());
        self.0.put_u32(u32::try_from(payload.len()).unwrap_or(u32::MAX));
        self.0.put_u8(kind);
        self.0.extend_from_slice(payload);
    }

    /// Returns what is to be written.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// Forgets the first `count` bytes, which were written.
    pub fn consume(&mut self, count: usize) {
        self.0.advance(count);
    }

    /// Tells whether everything is written.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Puts messages together from what a stream brings.
#[derive(Debug, Default)]
pub struct Assembly(BytesMut);

impl Assembly {
    /// Returns how many bytes it takes now: never more than belong to one message.
    ///
    /// # Errors
    /// [`FramingError`].
    pub fn wanted(&self) -> Result<usize, FramingError> {
        let Some((length, _)) = self.0.split_first_chunk() else { return Ok(HEAD - self.0.len()) };
        let length = usize::try_from(u32::from_be_bytes(*length)).map_err(|_| FramingError)?;
        if length > MAX_PAYLOAD {
            return Err(FramingError);
        }
        Ok(HEAD + length - self.0.len())
    }

    /// Takes bytes, at most [`Assembly::wanted`].
    pub fn push(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    /// Returns the message, once it is complete.
    ///
    /// # Errors
    /// [`FramingError`].
    pub fn poll(&mut self) -> Result<Option<Payload>, FramingError> {
        if self.0.len() < HEAD || self.wanted()? > 0 {
            return Ok(None);
        }
        let mut message = std::mem::take(&mut self.0).freeze();
        let kind = message[HEAD - 1];
        let payload = message.split_off(HEAD);
        match kind {
            0 => String::from_utf8(Vec::from(payload)).map(|text| Some(Payload::Text(text))).map_err(|_| FramingError),
            1 => Ok(Some(Payload::Binary(payload))),
            _ => Err(FramingError),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Reads everything that comes in pieces of this length.
    fn read(mut bytes: &[u8], piece: usize) -> Result<Vec<Payload>, FramingError> {
        let (mut assembly, mut messages) = (Assembly::default(), Vec::new());
        while !bytes.is_empty() {
            let count = assembly.wanted()?.min(piece).min(bytes.len());
            assembly.push(&bytes[..count]);
            bytes = &bytes[count..];
            messages.extend(assembly.poll()?);
        }
        Ok(messages)
    }

    #[test]
    fn the_longest_message_passes_and_a_longer_one_does_not() {
        let mut unsent = Unsent::default();
        unsent.push(&Payload::Binary(vec![7; MAX_PAYLOAD].into()));
        assert_eq!(read(unsent.bytes(), 1000).map(|messages| messages.len()), Ok(1));
        let mut longer = Unsent::default();
        longer.push(&Payload::Binary(vec![7; MAX_PAYLOAD + 1].into()));
        assert_eq!(read(longer.bytes(), 1000), Err(FramingError));
        for wrong in [&[0, 0, 0, 0, 2][..], &[0, 0, 0, 1, 0, 0xff], &[0xff; 5]] {
            assert_eq!(read(wrong, 9), Err(FramingError), "{wrong:?}");
        }
    }

    proptest! {
        #[test]
        fn messages_come_back_however_they_are_cut(
            messages in prop::collection::vec((any::<bool>(), ".{0,30}"), 0..8),
            piece in 1..40usize,
            written in 1..9usize,
        ) {
            let message = |(is_text, text): (bool, String)| match is_text {
                true => Payload::Text(text),
                false => Payload::Binary(text.into_bytes().into()),
            };
            let messages: Vec<Payload> = messages.into_iter().map(message).collect();
            let mut unsent = Unsent::default();
            messages.iter().for_each(|message| unsent.push(message));
            let mut stream = Vec::new();
            while !unsent.is_empty() {
                let count = written.min(unsent.bytes().len());
                stream.extend_from_slice(&unsent.bytes()[..count]);
                unsent.consume(count);
            }
            prop_assert_eq!(read(&stream, piece), Ok(messages));
        }

        #[test]
        fn anything_is_bounded_and_never_a_panic(bytes: Vec<u8>, piece in 1..40usize) {
            let _ = read(&bytes, piece);
        }
    }
}
