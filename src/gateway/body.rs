//! Where a body ends (RFC 9112, section 6.3).

use super::buffer::Buffer;
use super::chunks::{Chunks, MalformedChunk};

/// The rest of a body.
#[derive(Debug)]
pub(super) enum Body {
    /// Nothing.
    Whole,
    /// This many bytes.
    Length(u64),
    /// Chunks, up to the last one.
    Chunked(Chunks),
    /// All there is, up to the end of the connection.
    UntilClose,
}

impl Body {
    /// Returns a body of a known length.
    pub(super) fn of_length(length: u64) -> Body {
        if length == 0 { Body::Whole } else { Body::Length(length) }
    }

    pub(super) fn is_whole(&self) -> bool {
        matches!(self, Body::Whole)
    }

    /// Passes on the bytes that belong to the body; returns how many those are.
    pub(super) fn feed(&mut self, input: &[u8], into: &mut Buffer) -> Result<usize, MalformedChunk> {
        match self {
            Body::Whole => Ok(0),
            Body::Length(left) => {
                let used = usize::try_from(*left).unwrap_or(usize::MAX).min(input.len());
                into.push(&input[..used]);
                *self = Body::of_length(*left - used as u64);
                Ok(used)
            }
            Body::Chunked(chunks) => {
                let used = chunks.feed(input, into)?;
                if chunks.is_done() {
                    *self = Body::Whole;
                }
                Ok(used)
            }
            Body::UntilClose => {
                into.push(input);
                Ok(input.len())
            }
        }
    }
}
