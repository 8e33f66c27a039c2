//! RESP3, the protocol of Redis and Valkey, as far as the directory needs it.
//!
//! What arrives is not trusted: a message may be nested and long only so far, nothing is reserved for a length that the
//! other side names, and a list that is not complete keeps what it has. So hostile bytes cost what they are long.

use thiserror::Error;

/// Longest text, in bytes.
const MAX_TEXT: usize = 64 * 1024;

/// Longest line: a simple text, an error or a number.
const MAX_LINE: usize = 4 * 1024;

/// Longest message with everything in it, in bytes.
const MAX_MESSAGE: usize = 1024 * 1024;

/// How deep lists may be nested.
const MAX_DEPTH: usize = 4;

/// A value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// A text, a double or a big number, as its bytes.
    Text(Vec<u8>),
    /// An error.
    Error(String),
    /// A number, or a boolean as 0 or 1.
    Number(i64),
    /// A list or a set; of a map, keys and values in turn.
    List(Vec<Value>),
    /// Nothing.
    Null,
}

/// A message of the directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Arrived {
    /// The answer to the oldest command without one.
    Reply(Value),
    /// Something that no command asked for.
    Push(Vec<Value>),
}

/// What arrived is not what Redis says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum RespError {
    /// Not RESP3, or a part of it that nothing here leads to.
    #[error("it does not speak the protocol of Redis 7 or Valkey")]
    Syntax,
    /// A message is longer or deeper than any answer to what is asked.
    #[error("its answer is too long")]
    TooLong,
}

/// Takes messages apart as they arrive.
#[derive(Debug, Default)]
pub struct Decoder {
    input: Vec<u8>,
    /// How much of the input was taken.
    read: usize,
    /// The lists that are not complete, the innermost last.
    open: Vec<Open>,
    /// Bytes of the present message so far.
    len: usize,
}

#[derive(Debug)]
struct Open {
    is_push: bool,
    /// How many values are to come.
    left: usize,
    values: Vec<Value>,
}

/// What a piece of the input is.
enum Piece {
    Value(Value),
    List { is_push: bool, left: usize },
}

impl Value {
    /// Returns a text in UTF-8.
    pub fn text(&self) -> Option<&str> {
        match self {
            Value::Text(bytes) => std::str::from_utf8(bytes).ok(),
            _ => None,
        }
    }

    /// Returns a number, which may have come as a text.
    pub fn number(&self) -> Option<u64> {
        match self {
            Value::Number(number) => u64::try_from(*number).ok(),
            _ => self.text()?.parse().ok(),
        }
    }

    /// Returns a list.
    pub fn list(&self) -> Option<&[Value]> {
        match self {
            Value::List(values) => Some(values),
            _ => None,
        }
    }
}

/// Appends a command.
pub fn encode(output: &mut Vec<u8>, words: &[&[u8]]) {
    let head = |output: &mut Vec<u8>, kind: char, count: usize| {
        output.extend_from_slice(format!("{kind}{count}\r\n").as_bytes());
    };
    head(output, '*', words.len());
    for word in words {
        head(output, '$', word.len());
        output.extend_from_slice(word);
        output.extend_from_slice(b"\r\n");
    }
}

impl Decoder {
    /// Adds bytes that arrived. Take all messages before more is added: then no more than one text waits here.
    pub fn push(&mut self, bytes: &[u8]) {
        self.input.drain(..std::mem::take(&mut self.read));
        self.input.extend_from_slice(bytes);
    }

    /// Returns the next message that is complete. After an error nothing more can be read.
    ///
    /// # Errors
    /// [`RespError`].
    pub fn poll(&mut self) -> Result<Option<Arrived>, RespError> {
        while let Some(piece) = self.piece()? {
            let arrived = match piece {
                Piece::List { is_push, left: 0 } => self.close(is_push, Vec::new()),
                Piece::List { is_push, left } => {
                    if self.open.len() >= MAX_DEPTH {
                        return Err(RespError::TooLong);
                    }
                    self.open.push(Open { is_push, left, values: Vec::new() });
                    None
                }
                Piece::Value(value) => self.add(value),
            };
            if arrived.is_some() {
                self.len = 0;
                return Ok(arrived);
            }
        }
        Ok(None)
    }

    /// Adds a value to the innermost list. Returns the message if that completes it.
    fn add(&mut self, value: Value) -> Option<Arrived> {
        let Some(list) = self.open.last_mut() else { return Some(Arrived::Reply(value)) };
        list.values.push(value);
        list.left -= 1;
        if list.left > 0 {
            return None;
        }
        let Open { is_push, values, .. } = self.open.pop()?;
        self.close(is_push, values)
    }

    fn close(&mut self, is_push: bool, values: Vec<Value>) -> Option<Arrived> {
        match is_push && self.open.is_empty() {
            true => Some(Arrived::Push(values)),
            false => self.add(Value::List(values)),
        }
    }

    /// Takes the next piece, if it is complete.
    fn piece(&mut self) -> Result<Option<Piece>, RespError> {
        let rest = &self.input[self.read..];
        let Some(end) = rest.iter().take(MAX_LINE).position(|byte| *byte == b'\n') else {
            return if rest.len() < MAX_LINE { Ok(None) } else { Err(RespError::TooLong) };
        };
        let line = rest[..end].strip_suffix(b"\r").ok_or(RespError::Syntax)?;
        let (&kind, line) = line.split_first().ok_or(RespError::Syntax)?;
        let (piece, len) = match kind {
            b'+' | b',' | b'(' => (Piece::Value(Value::Text(line.to_vec())), end + 1),
            b'-' => (Piece::Value(Value::Error(String::from_utf8_lossy(line).into_owned())), end + 1),
            b':' => (Piece::Value(Value::Number(number(line)?)), end + 1),
            b'#' => (Piece::Value(Value::Number(i64::from(line == b"t"))), end + 1),
            b'_' => (Piece::Value(Value::Null), end + 1),
            b'$' | b'*' if line == b"-1" => (Piece::Value(Value::Null), end + 1),
            b'$' | b'!' | b'=' => {
                let len = length(line)?;
                if len > MAX_TEXT {
                    return Err(RespError::TooLong);
                }
                let Some(text) = rest[end + 1..].get(..len + 2) else { return Ok(None) };
                let text = text.strip_suffix(b"\r\n").ok_or(RespError::Syntax)?;
                let value = match kind {
                    b'!' => Value::Error(String::from_utf8_lossy(text).into_owned()),
                    _ => Value::Text(text.to_vec()),
                };
                (Piece::Value(value), end + 1 + len + 2)
            }
            b'*' | b'~' => (Piece::List { is_push: false, left: length(line)? }, end + 1),
            b'>' => (Piece::List { is_push: true, left: length(line)? }, end + 1),
            b'%' => (Piece::List { is_push: false, left: 2 * length(line)? }, end + 1),
            _ => return Err(RespError::Syntax),
        };
        self.read += len;
        self.len += len;
        if self.len > MAX_MESSAGE {
            return Err(RespError::TooLong);
        }
        Ok(Some(piece))
    }
}

fn number(line: &[u8]) -> Result<i64, RespError> {
    std::str::from_utf8(line).ok().and_then(|text| text.parse().ok()).ok_or(RespError::Syntax)
}

/// Reads a length. None that a message of the longest size can have is larger.
fn length(line: &[u8]) -> Result<usize, RespError> {
    let length = usize::try_from(number(line)?).map_err(|_| RespError::Syntax)?;
    if length > MAX_MESSAGE { Err(RespError::TooLong) } else { Ok(length) }
}

#[cfg(test)]
#[path = "resp_tests.rs"]
mod tests;
