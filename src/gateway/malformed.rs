//! Why a request is refused, whatever its host.

use thiserror::Error;

use super::framing::FramingError;
use super::{MAX_FIELDS, MAX_HEAD, MAX_TARGET};

/// Fault in a request. Its text goes to the sender and into the log, and never contains anything that was
/// sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Malformed {
    /// It does not begin like a request.
    #[error("this is not an HTTP request")]
    NotHttp,
    /// It begins like TLS.
    #[error("this port speaks plain HTTP: use http:// instead of https://")]
    Tls,
    /// HTTP of another version than 1.0 and 1.1.
    #[error("only HTTP/1.1 and HTTP/1.0 are supported")]
    Version,
    /// A line ends in LF alone, or contains a CR alone.
    #[error("a line of the request's head does not end in CR LF")]
    LineEnd,
    /// A field has no proper name, is folded, or has control characters.
    #[error("a field of the request's head is malformed")]
    Field,
    /// The head is larger than [`MAX_HEAD`] or has more than [`MAX_FIELDS`] fields.
    #[error("the request's head is larger than {} KiB, or has more than {MAX_FIELDS} fields", MAX_HEAD / 1024)]
    TooLarge,
    /// The target is longer than [`MAX_TARGET`].
    #[error("the request's address is longer than {} KiB", MAX_TARGET / 1024)]
    TargetTooLong,
    /// The target has a form or characters that are not allowed.
    #[error("the request's target is malformed")]
    Target,
    /// There is no `Host`.
    #[error("the request does not say which host it is for")]
    NoHost,
    /// There are several `Host`, or one that is no host.
    #[error("the request's Host is malformed, or there are several")]
    Host,
    /// `Host` and the target name different hosts.
    #[error("the request's Host and its target name different hosts")]
    HostDiffers,
    /// CONNECT at a port that is no proxy.
    #[error("this is not a proxy: CONNECT is not supported here")]
    Connect,
    /// A request for a web server, sent to a proxy.
    #[error("this is an HTTP proxy, not a web server: set it as the proxy of a program")]
    NotForProxy,
    /// A URL that the proxy cannot fetch.
    #[error("this proxy fetches http:// addresses; for https:// programs ask it by CONNECT")]
    Scheme,
    /// The body's length is not clear.
    #[error("the request has {0}")]
    Framing(#[from] FramingError),
    /// CONNECT with a body.
    #[error("a CONNECT request has no body")]
    ConnectBody,
    /// The chunks of the body are malformed.
    #[error("the chunks of the request's body are malformed")]
    Chunk,
    /// The connection ended before the body did.
    #[error("the request's body is incomplete")]
    Incomplete,
    /// The request has passed here several times.
    #[error("the request goes in circles: the service sends it to where it came from")]
    Loop,
}

impl Malformed {
    /// The status of the answer.
    pub fn status(self) -> u16 {
        match self {
            Malformed::Version => 505,
            Malformed::TooLarge => 431,
            Malformed::TargetTooLong => 414,
            Malformed::Connect => 405,
            Malformed::Framing(FramingError::UnknownCoding) => 501,
            Malformed::Loop => 508,
            Malformed::NotHttp
            | Malformed::Tls
            | Malformed::LineEnd
            | Malformed::Field
            | Malformed::Target
            | Malformed::NoHost
            | Malformed::Host
            | Malformed::HostDiffers
            | Malformed::NotForProxy
            | Malformed::Scheme
            | Malformed::Framing(_)
            | Malformed::ConnectBody
            | Malformed::Chunk
            | Malformed::Incomplete => 400,
        }
    }
}
