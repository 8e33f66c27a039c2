//! HTTP CONNECT (RFC 9110, section 9.3.6), with a login by `Basic` (RFC 7617).
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

/// Parses a request's head; `bytes` must have at least [`MAX_HEAD`] bytes if there are that many. Only whole lines are
/// judged, so the result does not depend on the pieces the head came in.
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
    let (Some(method), Some(target)) = (request.method, request.path) else { return Err(Refusal::NotHttp) };
    // Check this before the login: a browser would ask for a password in vain.
    if method != "CONNECT" {
        return Err(Refusal::Method);
    }
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
        Refusal::Method => Answer::text(
            405,
            "This is the proxy of a pinhole client. As an HTTP proxy it serves CONNECT only, which programs use for \
             https:// addresses. For http:// addresses, set it as a SOCKS5 proxy instead, or make the program tunnel \
             (curl --proxytunnel).",
        )
        .with_header("Allow", "CONNECT"),
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

/// Encodes the answer to a request that the other side could not or would not fulfil.
pub(super) fn failure(reason: AbortReason) -> Vec<u8> {
    let answer = match reason {
        AbortReason::Denied => Answer::text(403, "The pinhole host does not allow this destination (--allow there)."),
        AbortReason::Timeout => Answer::text(504, "The destination did not answer the pinhole host in time."),
        AbortReason::Refused => Answer::text(502, "The destination refused the pinhole host's connection."),
        AbortReason::Unreachable => Answer::text(502, "The pinhole host cannot reach the destination."),
        AbortReason::Shutdown => Answer::text(503, "There is no session with the pinhole host at the moment."),
        AbortReason::TooManyStreams => Answer::text(503, "The pinhole host takes no further connections now."),
        AbortReason::Reset
        | AbortReason::FlowControl
        | AbortReason::IdInUse
        | AbortReason::Protocol
        | AbortReason::UnknownService
        | AbortReason::Gone
        | AbortReason::Other(_) => {
            Answer::text(502, &format!("The pinhole host ended the connection ({}).", reason.as_str()))
        }
    };
    answer.render(false)
}
