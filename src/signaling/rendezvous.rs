//! The protocol between a host and a rendezvous server (`docs/protocol.md` section 4).
//!
//! Texts are JSON between the two. Binary messages are [`Packet`]s of numbered conversations, which the server passes
//! on without reading them. Conversation 0 is the server's own.

use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;

use bytes::{BufMut as _, Bytes, BytesMut};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use thiserror::Error;

use super::binary::Binary;
use super::message::{self, ErrorCode, ErrorMessage, MessageError};

/// The versions of this protocol that this release speaks.
pub const VERSIONS: &[u32] = &[1];

/// The conversation between the server and the host: tunnel messages, unsealed.
pub const SERVER: u32 = 0;

/// Bytes in front of a packet's payload.
pub const PACKET_OVERHEAD: usize = 5;

/// Longest token, in bytes.
const MAX_TOKEN: usize = 256;

/// Bytes of an [`Instance`].
const INSTANCE_LEN: usize = 16;

/// The name of a host on a server: 3 to 63 of a to z, 0 to 9 and hyphen, without a hyphen at either end. It is also a
/// label of a host name (RFC 1123, section 2.1).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct HostId(String);

/// The error for a text that is no [`HostId`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("an id has 3 to 63 of a to z, 0 to 9 and hyphen, and no hyphen at its ends")]
pub struct HostIdError;

impl HostId {
    /// Returns the id's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for HostId {
    type Err = HostIdError;

    fn from_str(text: &str) -> Result<HostId, HostIdError> {
        let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        let is_id = (3..=63).contains(&text.len())
            && text.bytes().all(allowed)
            && !text.starts_with('-')
            && !text.ends_with('-');
        if is_id { Ok(HostId(text.to_owned())) } else { Err(HostIdError) }
    }
}

impl TryFrom<String> for HostId {
    type Error = HostIdError;

    fn try_from(text: String) -> Result<HostId, HostIdError> {
        text.parse()
    }
}

impl From<HostId> for String {
    fn from(id: HostId) -> String {
        id.0
    }
}

impl fmt::Display for HostId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The secret that allows its holder to register ids on a server. Never shown by `Debug`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Token(String);

/// The error for a text that is no [`Token`]. Does not show the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("a token has 1 to {MAX_TOKEN} printable ASCII characters and no spaces")]
pub struct TokenError;

impl Token {
    /// Returns the SHA-256 of the token, which is all that the server knows of it.
    #[doc(hidden)]
    pub fn hash(&self) -> [u8; 32] {
        Sha256::digest(self.0.as_bytes()).into()
    }
}

impl FromStr for Token {
    type Err = TokenError;

    fn from_str(text: &str) -> Result<Token, TokenError> {
        let is_token = (1..=MAX_TOKEN).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
        if is_token { Ok(Token(text.to_owned())) } else { Err(TokenError) }
    }
}

impl TryFrom<String> for Token {
    type Error = TokenError;

    fn try_from(text: String) -> Result<Token, TokenError> {
        text.parse()
    }
}

impl From<Token> for String {
    fn from(token: Token) -> String {
        token.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

/// Tells a host's process from all others with the same token: random, and as secret as the token.
pub type Instance = Binary<INSTANCE_LEN>;

/// Creates the instance of this process.
pub fn instance() -> Instance {
    Binary(rand::random())
}

/// A text message of a host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum FromHost {
    /// The first message, and the only one of its kind.
    Register(Register),
    /// The host is done with a conversation. The server first passes on what the host sent before.
    Left {
        /// The conversation.
        conversation: u32,
    },
}

/// The request of a host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Register {
    /// Versions the host speaks.
    pub versions: Vec<u32>,
    /// The name the host wants.
    pub id: HostId,
    /// The token for that name; an open server needs none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<Token>,
    /// The process that asks.
    pub instance: Instance,
    /// The service anybody may reach by HTTP, through conversation 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub public: Option<Public>,
    /// The host dials what its access list allows, for holders of a token that may dial.
    #[serde(default)]
    pub dial: bool,
}

/// A published service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Public {
    /// The service's number in CONNECT.
    pub service: u16,
    /// The login of visitors: SHA-256 over the user name's length (u64), the user name and the password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth: Option<Binary<32>>,
}

/// A text message of a server to a host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum FromServer {
    /// The host has the id from here on.
    Registered {
        /// The highest version both speak.
        version: u32,
        /// Where the published service can be reached, if the server has a gateway.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        web: Option<String>,
    },
    /// A client connected; its messages follow.
    Joined {
        /// Its number, which was not used before.
        conversation: u32,
        /// The client's address, for people.
        remote: SocketAddr,
    },
    /// A client is gone, or the host lagged so far behind that the conversation was ended.
    Left {
        /// The conversation.
        conversation: u32,
    },
    /// The server ends the relation with the host.
    Error(ErrorMessage),
}

impl FromHost {
    /// Parses the text of one WebSocket message.
    ///
    /// # Errors
    /// [`MessageError`].
    pub fn parse(text: &str) -> Result<FromHost, MessageError> {
        message::parse(text)
    }

    /// Returns the text of the WebSocket message.
    pub fn to_text(&self) -> String {
        message::to_text(self)
    }
}

impl FromServer {
    /// Parses the text of one WebSocket message.
    ///
    /// # Errors
    /// [`MessageError`].
    pub fn parse(text: &str) -> Result<FromServer, MessageError> {
        message::parse(text)
    }

    /// Returns the text of the WebSocket message.
    pub fn to_text(&self) -> String {
        message::to_text(self)
    }

    /// Creates the message that ends a relation. Clients understand it as well.
    pub fn error(code: ErrorCode, message: impl Into<String>) -> FromServer {
        FromServer::Error(ErrorMessage { code, message: message.into(), retry_after: None })
    }
}

/// Text or binary, like the peer's WebSocket message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Payload {
    /// A text message.
    Text(String),
    /// A binary message.
    Binary(Bytes),
}

impl Payload {
    /// Returns the number of bytes.
    pub fn len(&self) -> usize {
        match self {
            Payload::Text(text) => text.len(),
            Payload::Binary(bytes) => bytes.len(),
        }
    }

    /// Tells whether it is empty.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A message of a conversation on the WebSocket between a host and a server, in binary:
///
/// ```text
///  0..4            4      5..
/// +--------------+------+---------+
/// | conversation | kind | payload |   kind: 0 text, 1 binary
/// +--------------+------+---------+
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packet {
    /// The conversation it belongs to.
    pub conversation: u32,
    /// The message.
    pub payload: Payload,
}

impl Packet {
    /// Parses a binary message.
    ///
    /// # Errors
    /// It is too short, of an unknown kind, or a text that is not UTF-8.
    pub fn decode(mut bytes: Bytes) -> Result<Packet, MessageError> {
        let Some((conversation, [kind, ..])) = bytes.split_first_chunk::<4>() else {
            return Err(MessageError::NotAMessage);
        };
        let (conversation, kind) = (u32::from_be_bytes(*conversation), *kind);
        let payload = bytes.split_off(PACKET_OVERHEAD);
        let payload = match kind {
            0 => Payload::Text(String::from_utf8(payload.into()).map_err(|_| MessageError::NotAMessage)?),
            1 => Payload::Binary(payload),
            _ => return Err(MessageError::NotAMessage),
        };
        Ok(Packet { conversation, payload })
    }

    /// Returns the binary message.
    pub fn encode(&self) -> Bytes {
        let (kind, payload) = match &self.payload {
            Payload::Text(text) => (0, text.as_bytes()),
            Payload::Binary(bytes) => (1, &bytes[..]),
        };
        let mut bytes = BytesMut::with_capacity(PACKET_OVERHEAD + payload.len());
        bytes.put_u32(self.conversation);
        bytes.put_u8(kind);
        bytes.extend_from_slice(payload);
        bytes.freeze()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn ids_are_labels_of_host_names() {
        for right in ["abc", "a-b", "0-1-2", &"x".repeat(63)] {
            assert_eq!(right.parse::<HostId>().unwrap().to_string(), right);
        }
        for wrong in ["", "ab", "-ab", "ab-", "Abc", "a.b", "a_b", "äbc", &"x".repeat(64)] {
            assert_eq!(wrong.parse::<HostId>(), Err(HostIdError), "{wrong:?}");
        }
    }

    #[test]
    fn a_token_is_not_shown() {
        let token: Token = "secret-1".parse().unwrap();
        let register = Register {
            versions: vec![1],
            id: "abc".parse().unwrap(),
            token: Some(token),
            instance: instance(),
            public: None,
            dial: false,
        };
        assert!(!format!("{register:?}").contains("secret"));
        for wrong in ["", "a b", "a\n", "ä", &"x".repeat(257)] {
            assert!(wrong.parse::<Token>().is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn messages_read_as_the_protocol_says() {
        let register = FromHost::Register(Register {
            versions: vec![1],
            id: "abc".parse().unwrap(),
            token: Some("t".parse().unwrap()),
            instance: Binary([0; 16]),
            public: Some(Public { service: 2, auth: None }),
            dial: true,
        });
        let zeros = "A".repeat(22);
        let text = format!(
            r#"{{"type":"register","versions":[1],"id":"abc","token":"t","instance":"{zeros}==","public":{{"service":2}},"dial":true}}"#
        );
        assert_eq!(register.to_text(), text);
        assert_eq!(FromHost::parse(&text), Ok(register));
        let plain = format!(r#"{{"type":"register","versions":[1],"id":"abc","instance":"{zeros}=="}}"#);
        assert!(matches!(FromHost::parse(&plain), Ok(FromHost::Register(Register { token: None, dial: false, .. }))));
        for wrong in [r#"{"type":"register"}"#, r#"{"type":"other"}"#, "{}", "x", &text.replace("abc", "A")] {
            assert!(FromHost::parse(wrong).is_err(), "{wrong}");
        }
        let joined = FromServer::Joined { conversation: 7, remote: "192.0.2.1:9".parse().unwrap() };
        assert_eq!(joined.to_text(), r#"{"type":"joined","conversation":7,"remote":"192.0.2.1:9"}"#);
        assert_eq!(FromServer::parse(&joined.to_text()), Ok(joined));
        let error = FromServer::error(ErrorCode::IdTaken, "no");
        assert_eq!(error.to_text(), r#"{"type":"error","code":"id-taken","message":"no"}"#);
    }

    #[test]
    fn what_is_no_packet_is_refused() {
        for wrong in [&b""[..], &[0; 4], &[0, 0, 0, 1, 2], &[0, 0, 0, 1, 0, 0xff]] {
            assert!(Packet::decode(Bytes::copy_from_slice(wrong)).is_err(), "{wrong:?}");
        }
    }

    proptest! {
        #[test]
        fn packets_come_back(conversation: u32, text in ".{0,40}", bytes: Vec<u8>) {
            for payload in [Payload::Text(text), Payload::Binary(bytes.into())] {
                let packet = Packet { conversation, payload };
                prop_assert_eq!(Packet::decode(packet.encode()), Ok(packet));
            }
        }
    }
}
