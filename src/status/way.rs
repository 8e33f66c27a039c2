//! How messages travel.

use std::net::SocketAddr;

use serde::Serialize;

/// How a session's messages travel; `path` in JSON, beside the fields of its event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "path", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Way {
    /// Over the WebRTC DataChannel, peer to peer.
    Direct {
        /// Kinds of the local and the remote candidate, as `host/srflx`.
        candidates: String,
        /// Our address on the path.
        local: SocketAddr,
        /// The peer's address on the path.
        remote: SocketAddr,
    },
    /// Over the signaling WebSocket, sealed end to end.
    Relayed {
        /// Why the path is not direct, as a sentence.
        reason: String,
    },
}
