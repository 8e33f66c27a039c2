//! Why a server refuses somebody.

use serde::Serialize;

use crate::signaling::message::ErrorCode;

/// Why a connection, a registration or a request was refused or ended. The same word is the code of an event and the
/// label of a metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Refusal {
    /// The server does not know the token, or there was none.
    BadToken,
    /// Another host has the id.
    IdTaken,
    /// The request is not allowed.
    Denied,
    /// A limit of hosts, clients or connections is reached.
    Full,
    /// No host is registered under that id.
    UnknownHost,
    /// A protocol was broken.
    Protocol,
    /// The peer speaks no version of the server's.
    Version,
    /// Something took too long.
    Timeout,
    /// A message, a head or a body is too large.
    TooLarge,
    /// There is no room for the peer's request at the moment.
    Busy,
    /// The peer received too slowly.
    Slow,
    /// An HTTP request that is malformed, or for which there is nothing.
    BadRequest,
    /// A visitor's login is wrong.
    Unauthorized,
    /// The host or its service could not be reached.
    Unreachable,
    /// A TLS handshake failed.
    Tls,
    /// Another process registered the id with the same token.
    Replaced,
    /// The server restarts.
    Restart,
}

impl Refusal {
    /// Number of variants.
    pub const COUNT: usize = Refusal::ALL.len();

    /// All variants, in the order in which they are counted.
    pub const ALL: [Refusal; 17] = [
        Refusal::BadToken,
        Refusal::IdTaken,
        Refusal::Denied,
        Refusal::Full,
        Refusal::UnknownHost,
        Refusal::Protocol,
        Refusal::Version,
        Refusal::Timeout,
        Refusal::TooLarge,
        Refusal::Busy,
        Refusal::Slow,
        Refusal::BadRequest,
        Refusal::Unauthorized,
        Refusal::Unreachable,
        Refusal::Tls,
        Refusal::Replaced,
        Refusal::Restart,
    ];

    /// Returns the word for programs.
    pub fn as_str(self) -> &'static str {
        match self {
            Refusal::BadToken => "bad-token",
            Refusal::IdTaken => "id-taken",
            Refusal::Denied => "denied",
            Refusal::Full => "full",
            Refusal::UnknownHost => "unknown-host",
            Refusal::Protocol => "protocol",
            Refusal::Version => "version",
            Refusal::Timeout => "timeout",
            Refusal::TooLarge => "too-large",
            Refusal::Busy => "busy",
            Refusal::Slow => "slow",
            Refusal::BadRequest => "bad-request",
            Refusal::Unauthorized => "unauthorized",
            Refusal::Unreachable => "unreachable",
            Refusal::Tls => "tls",
            Refusal::Replaced => "replaced",
            Refusal::Restart => "restart",
        }
    }
}

/// Turns the error code on the wire into what is counted.
impl From<ErrorCode> for Refusal {
    fn from(code: ErrorCode) -> Refusal {
        match code {
            ErrorCode::BadToken => Refusal::BadToken,
            ErrorCode::IdTaken => Refusal::IdTaken,
            ErrorCode::Denied | ErrorCode::BadPin => Refusal::Denied,
            ErrorCode::Full => Refusal::Full,
            ErrorCode::UnknownHost | ErrorCode::UnknownSession => Refusal::UnknownHost,
            ErrorCode::Version => Refusal::Version,
            ErrorCode::Busy => Refusal::Busy,
            ErrorCode::Replaced => Refusal::Replaced,
            ErrorCode::Restart => Refusal::Restart,
            ErrorCode::Protocol | ErrorCode::Other => Refusal::Protocol,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_refusal_has_its_place_and_one_word() {
        for (index, refusal) in Refusal::ALL.into_iter().enumerate() {
            assert_eq!(refusal as usize, index, "{refusal:?}");
            assert_eq!(serde_json::to_value(refusal).unwrap(), refusal.as_str());
            let word = format!("`{}`", refusal.as_str());
            assert!(include_str!("../../docs/protocol.md").contains(&word), "docs/protocol.md has {word}");
        }
    }
}
