//! The JSON messages of the signaling WebSocket (`docs/protocol.md` section 3).
//!
//! [`Outer`] messages travel in clear; [`Inner`] messages travel inside `sealed` ones. Unknown fields are ignored;
//! a field that appears twice, a missing field, or an unknown outer type makes the text malformed.

use std::fmt;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::binary::{Binary, MAC_LEN, NONCE_LEN, PAKE_LEN, decode, encode};
use super::farewell::Farewell;
use super::invitation::InvitationId;
use super::network::Network;
use super::session_id::SessionId;
use super::words::words;

/// Longest text that is parsed at all, in bytes.
pub const MAX_TEXT: usize = 64 * 1024;

/// Longest waiting time accepted from a peer.
pub const MAX_RETRY_AFTER: Duration = Duration::from_secs(600);

/// A message in clear. `H` is the form of its sender's hello.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum Outer<H> {
    /// The sender's share of the PAKE, and its versions.
    Hello(H),
    /// Proof that the sender derived the same keys.
    Confirm(Confirm),
    /// A client rejoins a live session.
    Resume(Resume),
    /// The host knows the session, and proves it.
    Resumed(Resumed),
    /// The client proves that it belongs to the session.
    ResumeProof(ResumeProof),
    /// An [`Inner`] message, encrypted.
    Sealed(Sealed),
    /// The sender gives up.
    Error(ErrorMessage),
}

/// A message from a client.
pub type ClientMessage = Outer<ClientHello>;

/// A message from a host.
pub type HostMessage = Outer<HostHello>;

impl<H> Outer<H> {
    /// Returns the message's `type`.
    pub fn kind(&self) -> &'static str {
        match self {
            Outer::Hello(_) => "hello",
            Outer::Confirm(_) => "confirm",
            Outer::Resume(_) => "resume",
            Outer::Resumed(_) => "resumed",
            Outer::ResumeProof(_) => "resume-proof",
            Outer::Sealed(_) => "sealed",
            Outer::Error(_) => "error",
        }
    }
}

impl<H: DeserializeOwned> Outer<H> {
    /// Parses the text of one WebSocket message.
    pub fn parse(text: &str) -> Result<Outer<H>, MessageError> {
        parse(text)
    }
}

impl<H: Serialize> Outer<H> {
    /// Returns the text of the WebSocket message.
    pub fn to_text(&self) -> String {
        to_text(self)
    }
}

/// The client's first message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientHello {
    /// The protocol versions the client speaks.
    pub versions: Vec<u32>,
    /// The client's SPAKE2 message.
    pub pake: Binary<PAKE_LEN>,
    /// The invitation whose pin the client knows; `None` for the host's own pin.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub invite: Option<InvitationId>,
}

/// The host's first message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostHello {
    /// The highest version both speak.
    pub version: u32,
    /// The host's SPAKE2 message.
    pub pake: Binary<PAKE_LEN>,
    /// The host knows what an invitation is. Older ones do not, and take every confirm for one of their own pin.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub invitations: bool,
}

/// Key confirmation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Confirm {
    /// HMAC-SHA256 over the sender's role and the transcript.
    pub mac: Binary<MAC_LEN>,
}

/// A client's first message on another WebSocket of a session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resume {
    /// The session.
    pub session: SessionId,
    /// Fresh random bytes.
    pub nonce: Binary<NONCE_LEN>,
}

/// The host's answer to [`Resume`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resumed {
    /// Fresh random bytes.
    pub nonce: Binary<NONCE_LEN>,
    /// HMAC-SHA256 over the host's role, the session and both nonces.
    pub proof: Binary<MAC_LEN>,
}

/// The client's answer to [`Resumed`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResumeProof {
    /// HMAC-SHA256 over the client's role, the session and both nonces.
    pub proof: Binary<MAC_LEN>,
}

/// An encrypted message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sealed {
    /// Counter of the direction, from 0.
    pub n: u64,
    /// Ciphertext and tag.
    #[serde(rename = "box", serialize_with = "encode", deserialize_with = "decode")]
    pub sealed_box: Vec<u8>,
}

/// Why the sender gives up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorMessage {
    /// The reason, for programs.
    pub code: ErrorCode,
    /// The reason, for people; shortened and stripped of control characters when parsed.
    #[serde(default, deserialize_with = "words")]
    pub message: String,
    /// Seconds to wait before trying again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after: Option<u64>,
}

/// The reasons for refusing an exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ErrorCode {
    /// The confirm does not match the pin.
    BadPin,
    /// Too many confirms wait.
    Busy,
    /// The host has as many sessions as it may.
    Full,
    /// No version in common.
    Version,
    /// The session to resume is not known: the peer's process was replaced.
    UnknownSession,
    /// No host is registered under that id.
    UnknownHost,
    /// The person at the host refused, or a server does not allow the request.
    Denied,
    /// A server does not know the token.
    BadToken,
    /// Another host has the id on the server.
    IdTaken,
    /// Another process registered the same id with the same token.
    Replaced,
    /// The server restarts.
    Restart,
    /// The protocol was broken.
    Protocol,
    /// A code this release does not know.
    #[serde(other)]
    Other,
}

impl ErrorCode {
    /// Returns the code's name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            ErrorCode::BadPin => "bad-pin",
            ErrorCode::Busy => "busy",
            ErrorCode::Full => "full",
            ErrorCode::Version => "version",
            ErrorCode::UnknownSession => "unknown-session",
            ErrorCode::UnknownHost => "unknown-host",
            ErrorCode::Denied => "denied",
            ErrorCode::BadToken => "bad-token",
            ErrorCode::IdTaken => "id-taken",
            ErrorCode::Replaced => "replaced",
            ErrorCode::Restart => "restart",
            ErrorCode::Protocol => "protocol",
            ErrorCode::Other => "other",
        }
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A message inside a `sealed` one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum Inner {
    /// What the sender allows, and knows of its network.
    Network(Network),
    /// The client asks for an offer.
    Connect {
        /// Number of the new carrier.
        carrier: u32,
    },
    /// The client starts the relay carrier; binary messages may follow.
    Relay {
        /// Number of the carrier within the session.
        carrier: u32,
    },
    /// The host opens a carrier.
    Offer {
        /// Number of the carrier within the session.
        carrier: u32,
        /// The session description.
        sdp: String,
    },
    /// The client takes the offer.
    Answer {
        /// Number of the carrier within the session.
        carrier: u32,
        /// The session description.
        sdp: String,
    },
    /// Another address of the sender.
    Candidate {
        /// Number of the carrier within the session.
        carrier: u32,
        /// The candidate as in SDP: `candidate:…`.
        candidate: String,
    },
    /// The sender has no more candidates for this carrier.
    EndOfCandidates {
        /// Number of the carrier within the session.
        carrier: u32,
    },
    /// The sender ends the session.
    Bye {
        /// Why.
        #[serde(default)]
        reason: Farewell,
    },
    /// A type this release does not know; ignored.
    #[serde(other)]
    Unknown,
}

impl Inner {
    /// Parses the content of a `sealed` message.
    pub fn parse(text: &str) -> Result<Inner, MessageError> {
        parse(text)
    }

    /// Returns the text to seal.
    pub fn to_text(&self) -> String {
        to_text(self)
    }
}

/// Why a text is not a message. Contains nothing of the text, which may have been sealed or be hostile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum MessageError {
    /// The text is longer than [`MAX_TEXT`]; it was not parsed.
    #[error("a message of {0} bytes is too long; at most {MAX_TEXT} are accepted")]
    TooLong(usize),
    /// The text is not JSON.
    #[error("a message is not JSON")]
    NotJson,
    /// The text is JSON, but not a message that is allowed here.
    #[error("a message has an unknown type, or a field is missing or out of range")]
    NotAMessage,
}

pub(super) fn parse<T: DeserializeOwned>(text: &str) -> Result<T, MessageError> {
    if text.len() > MAX_TEXT {
        return Err(MessageError::TooLong(text.len()));
    }
    serde_json::from_str(text).map_err(
        |error| {
            if error.is_data() { MessageError::NotAMessage } else { MessageError::NotJson }
        },
    )
}

pub(super) fn to_text<T: Serialize>(message: &T) -> String {
    serde_json::to_string(message).expect("messages are structs of numbers and strings, which always serialize")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signaling::words::MAX_WORDS;
    use proptest::prelude::*;

    fn inner_messages() -> Vec<(Inner, &'static str)> {
        vec![
            (Inner::Offer { carrier: 1, sdp: "v=0\r\n".into() }, r#"{"type":"offer","carrier":1,"sdp":"v=0\r\n"}"#),
            (Inner::Answer { carrier: 2, sdp: "v=0".into() }, r#"{"type":"answer","carrier":2,"sdp":"v=0"}"#),
            (
                Inner::Candidate { carrier: 1, candidate: "candidate:1 1 UDP 1 ::1 9 typ host".into() },
                r#"{"type":"candidate","carrier":1,"candidate":"candidate:1 1 UDP 1 ::1 9 typ host"}"#,
            ),
            (
                Inner::Network(Network::unknown(true, false)),
                r#"{"type":"network","direct":true,"relay":false,"udp":"unknown","mapping":"unknown","ipv6":false}"#,
            ),
            (Inner::Connect { carrier: 4 }, r#"{"type":"connect","carrier":4}"#),
            (Inner::Relay { carrier: 3 }, r#"{"type":"relay","carrier":3}"#),
            (Inner::EndOfCandidates { carrier: 1 }, r#"{"type":"end-of-candidates","carrier":1}"#),
            (Inner::Bye { reason: "done".into() }, r#"{"type":"bye","reason":"done"}"#),
        ]
    }

    #[test]
    fn outer_messages_read_as_the_protocol_says() {
        let pake = Binary([0; PAKE_LEN]);
        let zeros = "A".repeat(44);
        let hello = ClientMessage::Hello(ClientHello { versions: vec![1], pake, invite: None });
        assert_eq!(hello.to_text(), format!(r#"{{"type":"hello","versions":[1],"pake":"{zeros}"}}"#));
        let hello = HostMessage::Hello(HostHello { version: 1, pake, invitations: false });
        assert_eq!(hello.to_text(), format!(r#"{{"type":"hello","version":1,"pake":"{zeros}"}}"#));
        let hello = ClientHello { versions: vec![1], pake, invite: Some("k3".parse().unwrap()) };
        let invited = format!(r#"{{"type":"hello","versions":[1],"pake":"{zeros}","invite":"k3"}}"#);
        assert_eq!(ClientMessage::Hello(hello).to_text(), invited);
        assert_eq!(ClientMessage::parse(&invited.replace("k3", "K3")), Err(MessageError::NotAMessage));
        let hello = HostMessage::Hello(HostHello { version: 1, pake, invitations: true });
        assert_eq!(hello.to_text(), format!(r#"{{"type":"hello","version":1,"pake":"{zeros}","invitations":true}}"#));
        let confirm = HostMessage::Confirm(Confirm { mac: Binary([0; MAC_LEN]) });
        assert_eq!(confirm.to_text(), format!(r#"{{"type":"confirm","mac":"{}="}}"#, "A".repeat(43)));
        let sealed = HostMessage::Sealed(Sealed { n: 7, sealed_box: vec![0, 0, 0] });
        assert_eq!(sealed.to_text(), r#"{"type":"sealed","n":7,"box":"AAAA"}"#);
        let error = ErrorMessage { code: ErrorCode::UnknownHost, message: "no".into(), retry_after: Some(3) };
        let error = HostMessage::Error(error);
        assert_eq!(error.to_text(), r#"{"type":"error","code":"unknown-host","message":"no","retry_after":3}"#);
        for message in [confirm, sealed, error] {
            assert_eq!(HostMessage::parse(&message.to_text()), Ok(message));
        }
    }

    #[test]
    fn inner_messages_read_as_the_protocol_says() {
        for (message, text) in inner_messages() {
            assert_eq!(message.to_text(), text);
            assert_eq!(Inner::parse(text), Ok(message));
        }
    }

    #[test]
    fn unknown_inner_types_are_kept_apart_and_unknown_outer_types_refused() {
        assert_eq!(Inner::parse(r#"{"type":"newer","carrier":[{}]}"#), Ok(Inner::Unknown));
        let newer = r#"{"type":"network","direct":true,"relay":true,"udp":"sometimes","mapping":"odd","x":1}"#;
        assert_eq!(Inner::parse(newer), Ok(Inner::Network(Network::unknown(true, true))));
        assert_eq!(HostMessage::parse(r#"{"type":"relay"}"#), Err(MessageError::NotAMessage));
    }

    #[test]
    fn every_error_code_displays_as_it_serializes() {
        for name in [
            "bad-pin",
            "busy",
            "full",
            "version",
            "unknown-session",
            "unknown-host",
            "denied",
            "bad-token",
            "id-taken",
            "replaced",
            "restart",
            "protocol",
        ] {
            let code: ErrorCode = serde_json::from_value(name.into()).unwrap();
            assert_eq!(code.to_string(), name);
            assert_eq!(serde_json::to_value(code).unwrap(), name);
        }
        let newer = HostMessage::parse(r#"{"type":"error","code":"too-new"}"#);
        assert!(matches!(newer, Ok(HostMessage::Error(ErrorMessage { code: ErrorCode::Other, .. }))));
    }

    #[test]
    fn unknown_fields_are_ignored_and_repeated_ones_refused() {
        let text = r#"{"x":{"y":[1]},"type":"end-of-candidates","carrier":1,"type2":null}"#;
        assert_eq!(Inner::parse(text), Ok(Inner::EndOfCandidates { carrier: 1 }));
        let text = r#"{"type":"end-of-candidates","carrier":1,"carrier":2}"#;
        assert_eq!(Inner::parse(text), Err(MessageError::NotAMessage));
        let text = r#"{"type":"end-of-candidates","type":"bye","carrier":1}"#;
        assert_eq!(Inner::parse(text), Err(MessageError::NotAMessage));
    }

    #[test]
    fn binary_values_have_one_spelling() {
        let good = format!(r#"{{"type":"confirm","mac":"{}="}}"#, "A".repeat(43));
        assert!(HostMessage::parse(&good).is_ok());
        for mac in ["A".repeat(43), "A".repeat(44), format!("{}B=", "A".repeat(42)), format!("{}_=", "A".repeat(42))] {
            let text = format!(r#"{{"type":"confirm","mac":"{mac}"}}"#);
            assert_eq!(HostMessage::parse(&text), Err(MessageError::NotAMessage), "{text}");
        }
    }

    #[test]
    fn long_texts_are_refused_before_parsing() {
        let longest = format!("{}{}", r#"{"type":"bye","reason":""}"#, " ".repeat(MAX_TEXT - 26));
        assert_eq!(longest.len(), MAX_TEXT);
        assert!(Inner::parse(&longest).is_ok());
        assert_eq!(Inner::parse(&(longest + " ")), Err(MessageError::TooLong(MAX_TEXT + 1)));
    }

    #[test]
    fn words_of_a_peer_are_safe_to_print() {
        let text = r#"{"type":"bye","reason":"a\u001b[2J\nb\u202ec"}"#;
        assert_eq!(Inner::parse(text), Ok(Inner::Bye { reason: "a[2Jbc".into() }));
        let text = Inner::Bye { reason: "é".repeat(1000).into() }.to_text();
        assert_eq!(Inner::parse(&text), Ok(Inner::Bye { reason: "é".repeat(MAX_WORDS).into() }));
    }

    proptest! {
        #[test]
        fn parsing_never_panics(text in any::<String>()) {
            let _ = Inner::parse(&text);
            let _ = ClientMessage::parse(&text);
            let _ = HostMessage::parse(&text);
        }

        #[test]
        fn inner_messages_round_trip(carrier in any::<u32>(), sdp in any::<String>()) {
            let message = Inner::Offer { carrier, sdp };
            prop_assert_eq!(Inner::parse(&message.to_text()), Ok(message));
        }
    }
}
