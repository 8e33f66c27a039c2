//! HTTP CONNECT (RFC 9110, section 9.3.6), with a login by `Basic` (RFC 7617). Other requests are not read here.
//!
//! Only the target of a request counts. `Host`, which repeats it, and the length of a content, which CONNECT does not
//! have, are ignored.

use httparse::Status;

use super::credentials::Credentials;
use super::socks5::Parsed;
use super::{Refusal, Request, address};
use crate::http::{Answer, Headers, MAX_HEAD, MAX_HEADERS, basic_login};
use crate::tunnel::AbortReason;

/// The answer to a CONNECT that succeeded. It has no length: everything after it belongs to the stream.
pub(super) const SUCCESS: &[u8] = b"HTTP/1.1 200 Connection established\r\n\r\n";

/// The first bytes of a CONNECT.
const CONNECT: &[u8] = b"CONNECT ";

/// Finds the first byte by which a request is no CONNECT.
pub(super) fn other_than_connect(bytes: &[u8]) -> Option<usize> {
    bytes.iter().zip(CONNECT).position(|(byte, expected)| byte != expected)
}

/// Parses the head of a CONNECT; `bytes` must have at least [`MAX_HEAD`] bytes if there are that many. Only whole lines
/// are judged, so the result does not depend on the pieces the head came in.
pub(super) fn request(bytes: &[u8], credentials: Option<&Credentials>) -> Parsed<Request> {
    let lines = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |last| last + 1);
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut request = httparse::Request::new(&mut headers);
    let length = match request.parse(&bytes[..lines]) {
        Ok(Status::Complete(length)) => length,
        Ok(Status::Partial) if bytes.len() < MAX_HEAD => return Ok(None),
        Ok(Status::Partial) | Err(httparse::Error::TooManyHeaders) => return Err(Refusal::TooLarge),
        Err(httparse::Error::Version) => return Err(Refusal::HttpVersion),
        Err(_) => return Err(Refusal::NotHttp),
    };
    let Some(target) = request.path else { return Err(Refusal::NotHttp) };
    if let Some(credentials) = credentials {
        login(&Headers(request.headers), credentials)?;
    }
    let target = address::authority(target)?;
    Ok(Some((Request::Connect(target), length)))
}

/// Checks the login if exactly one field has one; of two, it is unclear which is meant.
fn login(headers: &Headers<'_>, credentials: &Credentials) -> Result<(), Refusal> {
    let mut fields = headers.0.iter().filter(|header| header.name.eq_ignore_ascii_case("proxy-authorization"));
    let field = fields.next().ok_or(Refusal::LoginMissing)?;
    let is_right = fields.next().is_none()
        && basic_login(field.value).is_some_and(|pair| match pair.iter().position(|byte| *byte == b':') {
            Some(colon) => credentials.are(&pair[..colon], &pair[colon + 1..]),
            None => false,
        });
    if is_right { Ok(()) } else { Err(Refusal::LoginWrong) }
}

/// Encodes the answer to a request that is malformed or not supported.
pub(super) fn malformed(refusal: Refusal, head: &[u8]) -> Vec<u8> {
    let answer = match refusal {
        Refusal::LoginMissing | Refusal::LoginWrong => {
            Answer::text(407, "This proxy wants the user name and password of the pinhole client's --proxy-auth.")
                .with_header("Proxy-Authenticate", "Basic realm=\"pinhole\", charset=\"UTF-8\"")
        }
        Refusal::TooLarge => Answer::text(431, "The request's header is too large."),
        Refusal::HttpVersion => Answer::text(505, "This proxy speaks HTTP/1.1 and HTTP/1.0."),
        Refusal::Address(problem) => Answer::text(400, &format!("CONNECT needs host:port, but {problem}.")),
        _ => Answer::text(400, "This is not an HTTP request."),
    };
    answer.render(head.starts_with(b"HEAD "))
}

/// What a program is told about a request that the other side could not or would not fulfil.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Explanation {
    /// The status of HTTP.
    pub status: u16,
    /// What happened, as a sentence.
    pub message: &'static str,
    /// What to do next, as a sentence.
    pub advice: &'static str,
}

/// Explains a failure.
pub fn explain(reason: AbortReason) -> Explanation {
    let (status, message, advice) = match reason {
        AbortReason::Denied => (
            403,
            "The pinhole host does not allow this destination.",
            "Ask who runs the host to allow it (--allow there).",
        ),
        AbortReason::Timeout => {
            (504, "The destination did not answer the pinhole host in time.", "Check that it is running.")
        }
        AbortReason::Refused => {
            (502, "The destination refused the pinhole host's connection.", "Check its port, and that it is running.")
        }
        AbortReason::Unreachable => {
            (502, "The pinhole host cannot reach the destination.", "Check its name or address.")
        }
        AbortReason::Shutdown => {
            (503, "There is no session with the pinhole host at the moment.", "Try again in a moment.")
        }
        AbortReason::TooManyStreams => {
            (503, "The pinhole host takes no further connections now.", "Try again in a moment.")
        }
        AbortReason::Reset
        | AbortReason::FlowControl
        | AbortReason::IdInUse
        | AbortReason::Protocol
        | AbortReason::UnknownService
        | AbortReason::Gone
        | AbortReason::Other(_) => (502, "The pinhole host ended the connection.", "Try again."),
    };
    Explanation { status, message, advice }
}

/// Encodes the answer to a request that the other side could not or would not fulfil.
pub(super) fn failure(reason: AbortReason) -> Vec<u8> {
    let Explanation { status, message, advice } = explain(reason);
    Answer::text(status, &format!("{message} {advice}")).render(false)
}
