//! What two servers say on their link, once it is proven.
//!
//! Every WebSocket message is binary and sealed. What is sealed is a [`Packet`] of conversation 0: a text is a
//! [`Message`], a binary payload a tunnel message of the session between the two, which carries conversations in its
//! streams. The target of such a stream is an [`Order`].

use std::net::SocketAddr;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::secrets::Tag;
use crate::signaling::error::SignalingError;
use crate::signaling::message::MAX_TEXT;
use crate::signaling::rendezvous::{HostId, Packet, Payload, Public, SERVER};
use crate::signaling::sealing::{Opener, Sealer};

/// Maximum number of hosts in a message, so that it is never longer than a text may be.
pub const MAX_HOSTS: usize = 100;

/// Longest order, in bytes: the longest address of a CONNECT.
pub const MAX_ORDER: usize = 512;

/// Highest epoch: one more can always be counted.
pub const MAX_EPOCH: u64 = 1 << 62;

/// A text on a link.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum Message {
    /// The sender has these hosts, or has them no more.
    Names(Names),
    /// The sender cannot ask its directory, and asks whether the receiver has this host.
    Seek {
        /// Its name.
        id: HostId,
    },
    /// Tells whether the directory answers the sender.
    Directory {
        /// It does not.
        away: bool,
    },
    /// A type that this version does not know, and ignores.
    #[serde(other)]
    Unknown,
}

/// Hosts of the sender.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Names {
    /// Hosts that are registered there, each with everything that others have to know.
    #[serde(default)]
    pub here: Vec<Here>,
    /// Hosts that are not registered there any more.
    #[serde(default)]
    pub gone: Vec<HostId>,
    /// All hosts that were there when the link began have been named.
    #[serde(default)]
    pub complete: bool,
}

/// A host of the sender.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Here {
    /// Its name.
    pub id: HostId,
    /// Which claim to the name it is; the highest holds it.
    pub epoch: u64,
    /// Who may replace it.
    pub owner: Tag,
    /// Its process.
    pub instance: Tag,
    /// The published service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub public: Option<Public>,
    /// It dials for holders of tokens that may dial.
    #[serde(default)]
    pub dial: bool,
    /// Its server ends, and is about to send it away: it comes back at another.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub leaving: bool,
}

/// The target of a stream on a link: a host of the receiver, and what is wanted there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// The host.
    pub id: HostId,
    /// The claim that is meant. If the receiver has another, the answer is [`MOVED`].
    pub epoch: u64,
    /// What is wanted.
    pub to: Wanted,
}

/// What is wanted at a host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Wanted {
    /// To join it as a client; the client's address, for people and for shares of places.
    Client(SocketAddr),
    /// The published service, as the sender knows it: visitors have given that login. If the host has published it with
    /// another one, the answer is [`MOVED`].
    Service(Public),
    /// A TCP target that the host dials, for the program that uses the receiver's fellow as a library.
    Target(String),
    /// A TCP target that the host dials, for the holder of the token with this hash.
    Dial(Tag, String),
}

/// The explanation of an abort (reason `gone`): the receiver does not have the host under that epoch.
pub const MOVED: &str = "moved";

impl Order {
    /// Returns the address of the CONNECT; `None` if it would be too long.
    pub fn to_text(&self) -> Option<String> {
        let text = serde_json::to_string(self).expect("numbers and texts always serialize");
        (text.len() <= MAX_ORDER).then_some(text)
    }

    /// Parses the address of a CONNECT; `None` if it is no order.
    pub fn parse(text: &str) -> Option<Order> {
        serde_json::from_str(text).ok().filter(|_| text.len() <= MAX_ORDER)
    }
}

/// Why a link is over.
#[derive(Debug, Error)]
pub enum LinkError {
    /// A message was altered, left out or repeated on the way, or sealed by another.
    #[error(transparent)]
    Sealing(#[from] SignalingError),
    /// A message that no server sends.
    #[error("the other server broke the protocol of links")]
    Protocol,
}

/// Seals what is sent on a link, and opens what arrives.
#[derive(Debug)]
pub struct Sealing {
    sealer: Sealer,
    opener: Opener,
}

/// What arrived on a link.
#[derive(Debug, PartialEq, Eq)]
pub enum Arrived {
    /// About hosts.
    Names(Names),
    /// Whether this host is here.
    Seek(HostId),
    /// Whether the other server is without its directory.
    Directory(bool),
    /// A tunnel message of the session.
    Tunnel(Bytes),
    /// A type that this version does not know.
    Nothing,
}

impl Sealing {
    pub(super) fn new(sealer: Sealer, opener: Opener) -> Sealing {
        Sealing { sealer, opener }
    }

    /// Returns the WebSocket message for a text or a tunnel message.
    pub fn seal(&mut self, payload: Payload) -> Bytes {
        self.sealer.seal_binary(&Packet { conversation: SERVER, payload }.encode()).into()
    }

    /// Opens a WebSocket message. Any error is final.
    ///
    /// # Errors
    /// [`LinkError`].
    pub fn open(&mut self, bytes: Bytes) -> Result<Arrived, LinkError> {
        let opened = self.opener.open_binary(bytes)?;
        let Packet { conversation, payload } = Packet::decode(opened).map_err(|_| LinkError::Protocol)?;
        match (conversation, payload) {
            (SERVER, Payload::Binary(message)) => Ok(Arrived::Tunnel(message)),
            (SERVER, Payload::Text(text)) if text.len() <= MAX_TEXT => match serde_json::from_str(&text) {
                Ok(Message::Names(names)) if names.is_bounded() => Ok(Arrived::Names(names)),
                Ok(Message::Seek { id }) => Ok(Arrived::Seek(id)),
                Ok(Message::Directory { away }) => Ok(Arrived::Directory(away)),
                Ok(Message::Unknown) => Ok(Arrived::Nothing),
                Ok(Message::Names(_)) | Err(_) => Err(LinkError::Protocol),
            },
            _ => Err(LinkError::Protocol),
        }
    }
}

impl Message {
    /// Returns the text.
    pub fn to_text(&self) -> String {
        serde_json::to_string(self).expect("numbers and texts always serialize")
    }
}

impl Names {
    /// Returns the text about hosts, at most [`MAX_HOSTS`].
    pub fn to_text(self) -> String {
        Message::Names(self).to_text()
    }

    fn is_bounded(&self) -> bool {
        self.here.len() + self.gone.len() <= MAX_HOSTS && self.here.iter().all(|here| here.epoch < MAX_EPOCH)
    }
}

#[cfg(test)]
#[path = "message_tests.rs"]
mod tests;
