//! One request, piece by piece.

use std::io::{self, Read};

use httparse::Status;

use super::refusal;
use crate::http::{Answer, BadRequest, Headers, Initiator, MAX_HEAD, MAX_HEADERS};

/// Largest body of a request, in bytes.
pub const MAX_BODY: usize = 64 * 1024;

/// Bytes read at once.
const PIECE: usize = 4 * 1024;

/// Reads the one request of a connection. Keeps at most [`MAX_HEAD`] and [`MAX_BODY`] bytes.
#[derive(Default)]
pub struct Reader {
    bytes: Vec<u8>,
    /// The request and the length of its body, once its head is complete.
    head: Option<(Request, usize)>,
}

/// What a [`Reader`] has so far.
#[must_use]
pub enum Reading {
    /// The request is incomplete: read again when there is more.
    NeedMore,
    /// The other side closed before the request was complete.
    Ended,
    /// A complete request.
    Request(Box<Request>),
    /// This is no request, or none that is taken.
    Refused(Answer),
}

/// A request. It may hold a token and a pin, so it cannot be shown.
pub struct Request {
    /// The method, in its original case.
    pub(super) method: String,
    pub(super) path: String,
    pub(super) query: String,
    /// `Host`, if there is exactly one.
    pub(super) host: Option<String>,
    /// The page that caused the request, as the browser describes it.
    pub(super) initiator: Initiator,
    /// `Authorization`, if there is exactly one.
    pub(super) authorization: Option<String>,
    pub(super) body: Vec<u8>,
}

impl Request {
    /// Tells whether only the head of the answer is wanted.
    pub fn is_head(&self) -> bool {
        self.method == "HEAD"
    }
}

impl Reader {
    /// Reads until the request is complete or refused, or the stream has no more for now.
    ///
    /// # Errors
    /// The stream's, except `WouldBlock`, which is [`Reading::NeedMore`].
    pub fn read(&mut self, stream: &mut impl Read) -> io::Result<Reading> {
        let mut piece = [0; PIECE];
        loop {
            let room = match &self.head {
                None => MAX_HEAD,
                Some((_, length)) => *length,
            };
            let room = room.saturating_sub(self.bytes.len()).min(PIECE);
            let read = match stream.read(piece.get_mut(..room).unwrap_or_default()) {
                Ok(0) if room > 0 => return Ok(Reading::Ended),
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(Reading::NeedMore),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            self.bytes.extend(piece.iter().take(read));
            if let Err(answer) = self.look() {
                return Ok(Reading::Refused(answer));
            }
            if let Some((request, length)) = self.head.take_if(|(_, length)| self.bytes.len() >= *length) {
                let mut body = std::mem::take(&mut self.bytes);
                body.truncate(length);
                return Ok(Reading::Request(Box::new(Request { body, ..request })));
            }
        }
    }

    /// Looks for the end of the head, unless it was found already. What follows it stays.
    fn look(&mut self) -> Result<(), Answer> {
        if self.head.is_some() {
            return Ok(());
        }
        match head(&self.bytes)? {
            Some((request, body, at)) => {
                self.bytes.drain(..at);
                self.head = Some((request, body));
                Ok(())
            }
            None if self.bytes.len() >= MAX_HEAD => Err(refusal(431, "the head of the request is too large")),
            None => Ok(()),
        }
    }
}

/// Reads a head, if it is complete. Returns also the lengths of the body and of the head.
fn head(bytes: &[u8]) -> Result<Option<(Request, usize, usize)>, Answer> {
    const TLS_HANDSHAKE_RECORD: u8 = 22;
    if bytes.first() == Some(&TLS_HANDSHAKE_RECORD) {
        return Err(Answer::bad_request(BadRequest::Tls));
    }
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut request = httparse::Request::new(&mut headers);
    let at = match request.parse(bytes) {
        Ok(Status::Complete(at)) => at,
        Ok(Status::Partial) => return Ok(None),
        Err(httparse::Error::TooManyHeaders) => return Err(refusal(431, "the request has too many header fields")),
        Err(_) => return Err(refusal(400, "this is not an HTTP request")),
    };
    let (Some(method), Some(target)) = (request.method, request.path) else {
        return Err(refusal(400, "this is not an HTTP request"));
    };
    let headers = Headers(request.headers);
    let body = body_length(&headers)?;
    let target = target.split('#').next().unwrap_or_default();
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let request = Request {
        method: method.to_owned(),
        path: path.to_owned(),
        query: query.to_owned(),
        host: only(&headers, "host")?,
        initiator: Initiator::of(&headers),
        authorization: only(&headers, "authorization")?,
        body: Vec::new(),
    };
    Ok(Some((request, body, at)))
}

/// Returns the value of a field that there may be once.
fn only(headers: &Headers<'_>, name: &str) -> Result<Option<String>, Answer> {
    let mut values = headers.all(name);
    match (values.next(), values.next()) {
        (_, Some(_)) => Err(refusal(400, &format!("the request has the header field {name} twice"))),
        (value, None) => Ok(value.map(str::to_owned)),
    }
}

/// Returns the length of the body. One without a length is not taken.
fn body_length(headers: &Headers<'_>) -> Result<usize, Answer> {
    if headers.0.iter().any(|header| header.name.eq_ignore_ascii_case("transfer-encoding")) {
        return Err(refusal(411, "a body is taken with Content-Length only"));
    }
    let Some(text) = only(headers, "content-length")? else { return Ok(0) };
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(refusal(400, "Content-Length is not a number"));
    }
    match text.parse::<usize>() {
        Ok(length) if length <= MAX_BODY => Ok(length),
        _ => Err(refusal(413, "the body is larger than 64 KiB")),
    }
}

#[cfg(test)]
#[path = "reader_tests.rs"]
mod tests;
