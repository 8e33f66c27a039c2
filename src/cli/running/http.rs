//! HTTP to a process of this machine, over the unix socket by which it is controlled. Threads of this short command
//! wait for it. What answers may be anything that has the socket, so all of it is bounded.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use httparse::Status;
use thiserror::Error;

/// Longest head of an answer, in bytes.
const MAX_HEAD: usize = 16 * 1024;

/// Maximum number of header fields of an answer.
const MAX_FIELDS: usize = 64;

/// Longest answer, and longest line of an endless one, in bytes.
pub(super) const MAX_BODY: usize = 16 << 20;

/// Time for a process to take a request and to answer all of it.
pub(super) const PATIENCE: Duration = Duration::from_secs(2);

/// Why a process was not asked, or gave no answer.
#[derive(Debug, Error)]
pub(super) enum AskError {
    /// Nobody has the socket any more.
    #[error("nobody answers: a process that was killed left this socket behind")]
    Left,
    /// This user may not use the socket.
    #[error("this user may not ask it; its own user or root may")]
    Denied,
    /// Nothing came in time.
    #[error("it does not answer: it may be stopped, or very busy")]
    Silent,
    /// The process has said all.
    #[error("it has ended")]
    Ended,
    /// It is something else.
    #[error("what answers there is not pinhole: {0}")]
    Foreign(&'static str),
    /// The system's.
    #[error("it cannot be asked: {0}")]
    System(io::Error),
}

impl AskError {
    /// Returns a stable word for programs.
    pub(super) fn code(&self) -> &'static str {
        match self {
            AskError::Left => "socket-left",
            AskError::Denied => "socket-denied",
            AskError::Silent => "socket-silent",
            AskError::Ended => "ended",
            AskError::Foreign(_) => "socket-foreign",
            AskError::System(_) => "system",
        }
    }
}

impl From<io::Error> for AskError {
    fn from(error: io::Error) -> AskError {
        match error.kind() {
            io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound => AskError::Left,
            io::ErrorKind::PermissionDenied => AskError::Denied,
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => AskError::Silent,
            io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => {
                AskError::Foreign("it ended the connection")
            }
            _ => AskError::System(error),
        }
    }
}

/// A request.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ask<'a> {
    pub(super) method: &'static str,
    /// Path and query.
    pub(super) target: &'a str,
    /// JSON.
    pub(super) body: Option<&'a str>,
}

/// An answer, whole.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: Vec<u8>,
}

/// Asks once, and waits for the whole answer until [`PATIENCE`] is over.
///
/// # Errors
/// There is none, or it is too large.
pub(super) fn ask(socket: &Path, request: Ask<'_>) -> Result<Answer, AskError> {
    let mut source = Source { stream: connect(socket)?, by: Some(Instant::now() + PATIENCE) };
    source.send(request)?;
    let (head, mut body) = source.head()?;
    let length = head.length.unwrap_or(MAX_BODY + 1);
    if head.length.is_some_and(|length| length > MAX_BODY) {
        return Err(AskError::Foreign("its answer is too large"));
    }
    while body.len() < length {
        match source.read(&mut body)? {
            0 if head.length.is_none() => break,
            0 => return Err(AskError::Foreign("its answer ends too early")),
            _ if body.len() > MAX_BODY => return Err(AskError::Foreign("its answer is too large")),
            _ => {}
        }
    }
    if let Some(length) = head.length {
        body.truncate(length);
    }
    Ok(Answer { status: head.status, body })
}

/// Lines that come for as long as the process has something to say.
#[derive(Debug)]
pub(super) struct Lines {
    source: Source,
    bytes: Vec<u8>,
    /// Where a line break is looked for next.
    seen: usize,
}

/// Asks for lines without an end. What comes later is waited for without a bound in time.
///
/// # Errors
/// It is refused, or does not answer in time.
pub(super) fn follow(socket: &Path, target: &str) -> Result<Lines, AskError> {
    let mut source = Source { stream: connect(socket)?, by: Some(Instant::now() + PATIENCE) };
    source.send(Ask { method: "GET", target, body: None })?;
    let (head, bytes) = source.head()?;
    if head.status != 200 {
        return Err(AskError::Foreign("it does not tell what happens"));
    }
    source.by = None;
    source.stream.set_read_timeout(None)?;
    Ok(Lines { source, bytes, seen: 0 })
}

impl Lines {
    /// Returns the next line that is not empty; `None` at the end.
    ///
    /// # Errors
    /// The line is too long, or the connection is lost.
    pub(super) fn next_line(&mut self) -> Result<Option<Vec<u8>>, AskError> {
        loop {
            let unseen = self.bytes.get(self.seen..).unwrap_or_default();
            if let Some(at) = unseen.iter().position(|byte| *byte == b'\n') {
                let rest = self.bytes.split_off(self.seen + at + 1);
                let mut line = std::mem::replace(&mut self.bytes, rest);
                self.seen = 0;
                line.truncate(line.trim_ascii_end().len());
                if line.is_empty() {
                    continue;
                }
                return Ok(Some(line));
            }
            self.seen = self.bytes.len();
            if self.seen > MAX_BODY {
                return Err(AskError::Foreign("a line of it is too long"));
            }
            if self.source.read(&mut self.bytes)? == 0 {
                return Ok(None);
            }
        }
    }
}

/// The head of an answer.
struct Head {
    status: u16,
    length: Option<usize>,
}

/// A connection, and until when it is waited for.
#[derive(Debug)]
struct Source {
    stream: UnixStream,
    by: Option<Instant>,
}

/// Connects. A socket whose queue is full would be waited for without an end, so whoever calls this waits with a bound.
fn connect(socket: &Path) -> Result<UnixStream, AskError> {
    Ok(UnixStream::connect(socket)?)
}

impl Source {
    fn send(&mut self, Ask { method, target, body }: Ask<'_>) -> Result<(), AskError> {
        let mut text = format!("{method} {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n");
        if let Some(body) = body {
            text.push_str(&format!("Content-Type: application/json\r\nContent-Length: {}\r\n", body.len()));
        }
        text.push_str("\r\n");
        text.push_str(body.unwrap_or_default());
        self.stream.set_write_timeout(Some(PATIENCE))?;
        Ok(self.stream.write_all(text.as_bytes())?)
    }

    /// Reads the head of an answer. Returns it, and what came behind it.
    fn head(&mut self) -> Result<(Head, Vec<u8>), AskError> {
        let mut bytes = Vec::new();
        loop {
            if let Some((head, size)) = parse(&bytes)? {
                return Ok((head, bytes.split_off(size)));
            }
            if bytes.len() > MAX_HEAD {
                return Err(AskError::Foreign("the head of its answer is too large"));
            }
            if self.read(&mut bytes)? == 0 {
                return Err(AskError::Foreign("it ended the connection"));
            }
        }
    }

    /// Reads what is there. Returns how much; nothing at the end.
    fn read(&mut self, bytes: &mut Vec<u8>) -> Result<usize, AskError> {
        let mut chunk = [0; 16 * 1024];
        if let Some(by) = self.by {
            let left = by.saturating_duration_since(Instant::now());
            // No time at all would mean no bound.
            self.stream.set_read_timeout(Some(left.max(Duration::from_millis(1))))?;
            if left.is_zero() {
                return Err(AskError::Silent);
            }
        }
        let count = loop {
            match self.stream.read(&mut chunk) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => break read?,
            }
        };
        bytes.extend_from_slice(chunk.get(..count).unwrap_or_default());
        Ok(count)
    }
}

/// Parses the head of an answer. Returns it and its size, once it is there.
fn parse(bytes: &[u8]) -> Result<Option<(Head, usize)>, AskError> {
    let mut fields = [httparse::EMPTY_HEADER; MAX_FIELDS];
    let mut answer = httparse::Response::new(&mut fields);
    let size = match answer.parse(bytes) {
        Ok(Status::Complete(size)) => size,
        Ok(Status::Partial) => return Ok(None),
        Err(_) => return Err(AskError::Foreign("it does not speak HTTP")),
    };
    let mut length = None;
    for field in answer.headers.iter() {
        if field.name.eq_ignore_ascii_case("transfer-encoding") {
            return Err(AskError::Foreign("it answers in pieces"));
        }
        if field.name.eq_ignore_ascii_case("content-length") {
            let number = std::str::from_utf8(field.value).ok().and_then(|text| text.trim().parse().ok());
            length = Some(number.ok_or(AskError::Foreign("it does not speak HTTP"))?);
        }
    }
    let status = answer.code.unwrap_or_default();
    // Others end with their head.
    let length = if status == 204 { Some(0) } else { length };
    Ok(Some((Head { status, length }, size)))
}

#[cfg(test)]
#[path = "http_tests.rs"]
mod tests;
