//! Heads of answers: which are malformed, and what the browser gets of the others.
//!
//! Services are parsed more leniently than browsers where that is harmless: a line may end in LF alone and a name may
//! be followed by spaces, because the head is written anew. Whatever decides where an answer ends is parsed strictly.

use httparse::{ParserConfig, Status};
use thiserror::Error;

use super::body::Body;
use super::chunks::{Chunks, Form};
use super::fields::{self, Options};
use super::framing::{Framing, FramingError};
use super::request::RequestHead;
use super::{MAX_FIELDS, MAX_HEAD};
use crate::http::Headers;

/// First bytes of every answer.
pub(super) const START: &[u8] = b"HTTP/1.";

/// Why a service's answer cannot be passed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum AnswerFault {
    /// It does not begin like an answer of HTTP/1.x.
    #[error("it is not HTTP/1.1 (does the service want https?)")]
    NotHttp,
    /// Its head is malformed.
    #[error("its head is malformed")]
    Head,
    /// Its head is larger than [`MAX_HEAD`] or has more than [`MAX_FIELDS`] fields.
    #[error("its head is larger than {} KiB, or has more than {MAX_FIELDS} fields", MAX_HEAD / 1024)]
    TooLarge,
    /// The body's length is not clear.
    #[error("it has {0}")]
    Framing(#[from] FramingError),
    /// 101 without a request for it, or to another protocol.
    #[error("it switches to a protocol that was not requested")]
    Switch,
    /// Too many interim answers, and no final one.
    #[error("it is preceded by too many interim ones")]
    Interim,
    /// The connection ended before the head was complete.
    #[error("it ended before it began")]
    Ended,
}

/// The kind of an answer.
#[derive(Debug)]
pub(super) enum Sort {
    /// 1xx: another one follows.
    Interim,
    /// 101: raw bytes follow, both ways.
    Switch,
    /// The answer itself.
    Final {
        /// What follows the head.
        body: Body,
        /// Whether the service's connection may carry another request.
        keeps_service: bool,
        /// Whether the browser's may.
        keeps_browser: bool,
    },
}

/// A checked head of an answer.
pub(super) struct AnswerHead {
    pub(super) status: u16,
    pub(super) sort: Sort,
    /// The head for the browser, the empty line included.
    pub(super) outgoing: Vec<u8>,
}

impl AnswerHead {
    /// Checks a complete head. `keeps` says whether the browser's connection may be kept, as far as the request
    /// decides.
    pub(super) fn parse(bytes: &[u8], request: &RequestHead, keeps: bool) -> Result<AnswerHead, AnswerFault> {
        let mut room = [httparse::EMPTY_HEADER; MAX_FIELDS];
        let mut answer = httparse::Response::new(&mut room);
        let mut parser = ParserConfig::default();
        parser.allow_spaces_after_header_name_in_responses(true);
        match parser.parse_response(&mut answer, bytes) {
            Ok(Status::Complete(length)) if length == bytes.len() => {}
            Err(httparse::Error::TooManyHeaders) => return Err(AnswerFault::TooLarge),
            Ok(_) | Err(_) => return Err(AnswerFault::Head),
        }
        let (Some(status @ 100..), Some(minor_version)) = (answer.code, answer.version) else {
            return Err(AnswerFault::Head);
        };
        let headers = Headers(answer.headers);
        let options = Options::of(&headers).ok_or(AnswerFault::TooLarge)?;
        let framing = Framing::of(answer.headers, minor_version, true)?;
        let sort = match status {
            101 => switch(&headers, &options, request)?,
            100..200 => Sort::Interim,
            _ => final_answer(framing, has_no_body(status, request), options.keep(minor_version), keeps, request),
        };
        let mut outgoing = format!("HTTP/1.1 {status} {}\r\n", answer.reason.unwrap_or_default()).into_bytes();
        fields::answer_fields(answer.headers, &options, &mut outgoing);
        fields::append_via(&mut outgoing, minor_version);
        append_framing(&mut outgoing, framing, &sort, status, request);
        append_connection(&mut outgoing, &headers, &sort, status, request);
        outgoing.extend_from_slice(b"\r\n");
        Ok(AnswerHead { status, sort, outgoing })
    }
}

/// Checks a switch of protocols. RFC 9110, section 7.8, allows only a requested one. A switch to HTTP/2 would let
/// requests pass unchecked.
fn switch(headers: &Headers<'_>, options: &Options, request: &RequestHead) -> Result<Sort, AnswerFault> {
    let was_asked = |protocol: &str| request.protocols.iter().any(|asked| asked.eq_ignore_ascii_case(protocol));
    let mut protocols = headers.tokens("upgrade").peekable();
    let is_named = protocols.peek().is_some() && protocols.all(was_asked);
    if is_named && options.has("upgrade") { Ok(Sort::Switch) } else { Err(AnswerFault::Switch) }
}

/// RFC 9112, section 6.3, rules 1 and 2.
fn has_no_body(status: u16, request: &RequestHead) -> bool {
    request.is_head || status == 204 || status == 304
}

fn final_answer(framing: Framing, no_body: bool, keeps_service: bool, keeps: bool, request: &RequestHead) -> Sort {
    let knows_chunks = request.minor_version > 0;
    let (body, keeps_service, keeps_browser) = match framing {
        _ if no_body => (Body::Whole, keeps_service, keeps),
        Framing::Length(length) => (Body::of_length(length), keeps_service, keeps),
        Framing::Chunked if knows_chunks => (Body::Chunked(Chunks::new(Form::Chunked)), keeps_service, keeps),
        Framing::Chunked => (Body::Chunked(Chunks::new(Form::Plain)), keeps_service, false),
        Framing::Unsaid => (Body::UntilClose, false, false),
    };
    Sort::Final { body, keeps_service, keeps_browser }
}

/// Appends the framing. A length is repeated if there is, or would be, a body of that length (RFC 9110, section 8.6).
fn append_framing(into: &mut Vec<u8>, framing: Framing, sort: &Sort, status: u16, request: &RequestHead) {
    if !matches!(sort, Sort::Final { .. }) || status == 204 {
        return;
    }
    match framing {
        Framing::Length(length) => fields::append(into, "Content-Length", length.to_string().as_bytes()),
        Framing::Chunked if request.minor_version > 0 && !has_no_body(status, request) => {
            fields::append(into, "Transfer-Encoding", b"chunked");
        }
        Framing::Chunked | Framing::Unsaid => {}
    }
}

fn append_connection(into: &mut Vec<u8>, headers: &Headers<'_>, sort: &Sort, status: u16, request: &RequestHead) {
    let mut options = Vec::new();
    // 426 lists the protocols it requires (RFC 9110, section 15.5.22).
    if status == 426 || matches!(sort, Sort::Switch) {
        let protocols: Vec<&str> = headers.tokens("upgrade").collect();
        if !protocols.is_empty() {
            fields::append(into, "Upgrade", protocols.join(", ").as_bytes());
            options.push("Upgrade");
        }
    }
    match sort {
        Sort::Final { keeps_browser: false, .. } => options.push("close"),
        Sort::Final { keeps_browser: true, .. } if request.minor_version == 0 => options.push("keep-alive"),
        Sort::Final { .. } | Sort::Interim | Sort::Switch => {}
    }
    if !options.is_empty() {
        fields::append(into, "Connection", options.join(", ").as_bytes());
    }
}
