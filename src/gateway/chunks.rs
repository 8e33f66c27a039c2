//! Bodies in chunks (RFC 9112, section 7.1).
//!
//! The framing is checked more strictly than section 7.1 requires, because lenient parsers are what request smuggling
//! exploits: no white space, no sign, no line that ends in LF alone. Extensions and trailers are checked and dropped
//! (an intermediary may, section 7.1.1 and RFC 9110, section 6.5.1). Nobody uses them, and so the other side sees only
//! sizes as we understood them. The chunks keep their sizes, and their bytes pass unchanged.

use thiserror::Error;

use super::buffer::Buffer;

/// Longest extension of one chunk, in bytes.
const MAX_EXTENSION: usize = 1024;

/// Maximum number of bytes of all trailers.
const MAX_TRAILERS: usize = 8 * 1024;

/// Maximum number of digits of a size: those of 64 bits.
const MAX_DIGITS: usize = 16;

/// The error for a chunked body with wrong framing: its end is unknown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the chunks of the body are malformed")]
pub(super) struct MalformedChunk;

/// How a chunked body is passed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// In chunks again. The output is never longer than the input so far.
    Chunked,
    /// The bytes alone, for a receiver that does not know chunks; the connection's end is the body's.
    Plain,
}

/// Reads one chunked body.
#[derive(Debug)]
pub(super) struct Chunks {
    form: Form,
    state: State,
}

/// ```text
///  Size ──(;)──→ Extension          ┌──────────────── 0 ──────────────→ Line ←──────────────┐
///    │ CR            │ CR           │                                    │ name     CR      │ LF
///    └───→ SizeEnd ←─┘ ──── LF ─────┴──→ Data ──→ DataCr ──→ DataLf      ├──→ Name ─→ Value ─→ ValueLf
///                                                              │ LF      │ CR
///  Size ←──────────────────────────────────────────────────────┘         └──→ End ── LF ──→ Done
/// ```
#[derive(Debug)]
enum State {
    Size { digits: usize, size: u64 },
    Extension { size: u64, length: usize },
    SizeEnd { size: u64 },
    Data { left: u64 },
    DataCr,
    DataLf,
    Trailers { length: usize, at: Trailer },
    Done,
}

/// The position in the trailers.
#[derive(Debug, Clone, Copy)]
enum Trailer {
    Line,
    Name,
    Value,
    ValueLf,
    End,
}

impl Chunks {
    pub(super) fn new(form: Form) -> Chunks {
        Chunks { form, state: State::Size { digits: 0, size: 0 } }
    }

    pub(super) fn is_done(&self) -> bool {
        matches!(self.state, State::Done)
    }

    /// Parses up to the end of the body; returns how many bytes belong to it.
    pub(super) fn feed(&mut self, input: &[u8], into: &mut Buffer) -> Result<usize, MalformedChunk> {
        let mut used = 0;
        while used < input.len() {
            if let State::Data { left } = &mut self.state {
                let rest = &input[used..];
                let piece = &rest[..usize::try_from(*left).unwrap_or(usize::MAX).min(rest.len())];
                into.push(piece);
                used += piece.len();
                *left -= piece.len() as u64;
                if *left == 0 {
                    self.state = State::DataCr;
                }
            } else if self.is_done() {
                break;
            } else {
                self.step(input[used], into)?;
                used += 1;
            }
        }
        Ok(used)
    }

    /// Handles a byte of the framing.
    fn step(&mut self, byte: u8, into: &mut Buffer) -> Result<(), MalformedChunk> {
        self.state = match (&self.state, byte) {
            (State::Size { digits: 1.., size }, b'\r') => State::SizeEnd { size: *size },
            (State::Size { digits: 1.., size }, b';') => State::Extension { size: *size, length: 0 },
            (State::Size { digits, size }, digit) if *digits < MAX_DIGITS => {
                let value = char::from(digit).to_digit(16).ok_or(MalformedChunk)?;
                State::Size { digits: digits + 1, size: size << 4 | u64::from(value) }
            }
            (State::Extension { size, .. }, b'\r') => State::SizeEnd { size: *size },
            (State::Extension { size, length }, byte) if *length < MAX_EXTENSION && is_text(byte) => {
                State::Extension { size: *size, length: length + 1 }
            }
            (State::SizeEnd { size: 0 }, b'\n') => State::Trailers { length: 0, at: Trailer::Line },
            (State::SizeEnd { size }, b'\n') => {
                self.frame(&format!("{size:x}\r\n"), into);
                State::Data { left: *size }
            }
            (State::DataCr, b'\r') => State::DataLf,
            (State::DataLf, b'\n') => {
                self.frame("\r\n", into);
                State::Size { digits: 0, size: 0 }
            }
            (State::Trailers { at: Trailer::End, .. }, b'\n') => {
                self.frame("0\r\n\r\n", into);
                State::Done
            }
            (State::Trailers { length, at }, byte) if *length < MAX_TRAILERS => {
                State::Trailers { length: length + 1, at: at.step(byte)? }
            }
            _ => return Err(MalformedChunk),
        };
        Ok(())
    }

    fn frame(&self, text: &str, into: &mut Buffer) {
        if self.form == Form::Chunked {
            into.push(text.as_bytes());
        }
    }
}

impl Trailer {
    fn step(self, byte: u8) -> Result<Trailer, MalformedChunk> {
        match (self, byte) {
            (Trailer::Line, b'\r') => Ok(Trailer::End),
            (Trailer::Name, b':') => Ok(Trailer::Value),
            (Trailer::Line | Trailer::Name, byte) if super::fields::is_token(byte) => Ok(Trailer::Name),
            (Trailer::Value, b'\r') => Ok(Trailer::ValueLf),
            (Trailer::Value, byte) if is_text(byte) => Ok(Trailer::Value),
            (Trailer::ValueLf, b'\n') => Ok(Trailer::Line),
            _ => Err(MalformedChunk),
        }
    }
}

/// Tells whether a byte is no control character.
fn is_text(byte: u8) -> bool {
    byte == b'\t' || (byte >= b' ' && byte != 0x7f)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(input: &[u8], form: Form, piece: usize) -> Result<(Vec<u8>, usize, bool), MalformedChunk> {
        let (mut chunks, mut into, mut used) = (Chunks::new(form), Buffer::default(), 0);
        for part in input.chunks(piece) {
            used += chunks.feed(part, &mut into)?;
            assert!(into.len() <= used, "it grew");
        }
        Ok((into.as_slice().to_vec(), used, chunks.is_done()))
    }

    #[test]
    fn bodies_are_read_to_their_end_and_not_beyond() {
        let rows: &[(&str, &str, &str, usize)] = &[
            ("0\r\n\r\n", "0\r\n\r\n", "", 0),
            ("5\r\nhello\r\n0\r\n\r\nGET /", "5\r\nhello\r\n0\r\n\r\n", "hello", 5),
            ("00000000000000a\r\n0123456789\r\n000\r\n\r\n", "a\r\n0123456789\r\n0\r\n\r\n", "0123456789", 0),
            ("1;a=b;c=\"d e\"\r\nx\r\n0;e\r\nA: b\r\nC:\r\n\r\n", "1\r\nx\r\n0\r\n\r\n", "x", 0),
        ];
        for (input, chunked, plain, left) in rows {
            for piece in [1, 2, 3, 100] {
                let used = input.len() - left;
                assert_eq!(read(input.as_bytes(), Form::Chunked, piece), Ok((chunked.as_bytes().to_vec(), used, true)));
                assert_eq!(read(input.as_bytes(), Form::Plain, piece), Ok((plain.as_bytes().to_vec(), used, true)));
            }
        }
    }

    #[test]
    fn what_others_might_read_differently_is_malformed() {
        let long = format!("1;{}\r\nx\r\n0\r\n\r\n", "a".repeat(MAX_EXTENSION + 1));
        let trailers = format!("0\r\n{}\r\n", "A: b\r\n".repeat(MAX_TRAILERS / 6 + 1));
        let rows = [
            "\r\n",
            " 1\r\nx",
            "1 \r\nx",
            "1\t;a\r\nx",
            "+1\r\nx",
            "-1\r\nx",
            "0x1\r\nx",
            "1_0\r\nx",
            "g\r\n",
            ";a\r\n",
            "1\nx",
            "1\rx",
            "1;a\nx",
            "1;a\0\r\nx",
            "1;a\rb\r\nx",
            "1\r\nx\n",
            "1\r\nxy\r\n",
            "1\r\nx0\r\n",
            "00000000000000001\r\nx",
            "0\r\n\n",
            "0\n\r\n",
            "0\r\nA : b\r\n",
            "0\r\n: b\r\n",
            "0\r\nAb\r\n",
            "0\r\n A: b\r\n",
            "0\r\nA: b\n",
            "0\r\nA: b\r\n\t c\r\n",
            "0\r\nA: \0\r\n",
            "0\r\nGET / HTTP/1.1\r\n",
            &long,
            &trailers,
        ];
        for input in rows {
            for piece in [1, 1000] {
                assert_eq!(read(input.as_bytes(), Form::Chunked, piece), Err(MalformedChunk), "{input:?}");
            }
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived_and_what_is_written_is_read_as_the_same(
            bytes in proptest::collection::vec(prop_oneof![any::<u8>(), Just(b'\r'), Just(b'\n'), Just(b'1'), Just(b'0')], 0..200),
            piece in 1..20_usize,
        ) {
            let whole = read(&bytes, Form::Chunked, 1000);
            prop_assert_eq!(&read(&bytes, Form::Chunked, piece), &whole);
            if let Ok((written, _, true)) = whole {
                let plain = read(&bytes, Form::Plain, piece).unwrap().0;
                prop_assert_eq!(read(&written, Form::Plain, 7), Ok((plain, written.len(), true)));
            }
        }
    }
}
