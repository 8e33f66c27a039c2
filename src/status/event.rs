//! Events a run reports: one JSON object a line with `--json`, sentences for people otherwise.

use std::net::SocketAddr;

use serde::Serialize;

use super::check::Finding;

/// How a session's messages travel; in JSON beside the fields of its event, as `path`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "path", rename_all = "kebab-case")]
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
        /// Why not directly, in a sentence.
        reason: String,
    },
}

/// Something that a person or a program that started pinhole wants to know. Never carries a key; the pin appears in
/// [`Event::Listening`] only.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Event {
    /// A host's signaling WebSocket accepts clients.
    Listening {
        /// Address of the WebSocket.
        addr: SocketAddr,
        /// URL for a client on this machine, pin included (percent-encoded where needed).
        url: String,
        /// The pin.
        pin: String,
    },
    /// A host replaced its generated pin after too many wrong guesses.
    PinReplaced {
        /// The new pin.
        pin: String,
    },
    /// A session carries messages in both directions.
    Connected {
        /// Short id of the session, the same on both sides.
        session: String,
        /// How messages travel.
        #[serde(flatten)]
        way: Way,
        /// Round-trip time in milliseconds.
        rtt_ms: f64,
    },
    /// Messages of a session take another way, or it became clearer why they are relayed.
    Path {
        /// The session.
        session: String,
        /// How messages travel now.
        #[serde(flatten)]
        way: Way,
        /// What changed, in a sentence, where the way has no reason of its own.
        #[serde(rename = "reason", skip_serializing_if = "Option::is_none")]
        cause: Option<String>,
    },
    /// Nothing comes from the peer: streams wait while a path is looked for.
    Recovering {
        /// The session.
        session: String,
        /// What was seen, in a sentence.
        reason: String,
    },
    /// Messages pass again, and streams went on where they were.
    Recovered {
        /// The session.
        session: String,
        /// How messages travel now.
        #[serde(flatten)]
        way: Way,
        /// How long messages did not pass, in milliseconds.
        after_ms: u64,
    },
    /// A client without a session connects anew.
    Reconnecting {
        /// Why the session ended or could not be had, in a sentence.
        message: String,
    },
    /// A client's local port accepts connections for a service.
    Forwarding {
        /// The local address, `host:port` or `unix:/path`.
        local: String,
        /// The service's name as the host announced it, what the host dials, or `proxy`.
        service: String,
    },
    /// A host listens for a client's reverse forward.
    ReverseForwarding {
        /// The session.
        session: String,
        /// Where the host listens.
        local: String,
        /// What the client dials; empty on the host, which is not told.
        #[serde(skip_serializing_if = "String::is_empty")]
        target: String,
    },
    /// A stream opened: a local connection was accepted (client) or the target was dialled (host).
    StreamOpened {
        /// The session it belongs to.
        session: String,
        /// The stream id on the wire.
        stream: u16,
        /// The local program's address (client) or the dialled target (host).
        address: String,
    },
    /// A stream ended.
    StreamClosed {
        /// The session it belonged to.
        session: String,
        /// The stream id on the wire.
        stream: u16,
        /// Bytes sent to the peer.
        sent: u64,
        /// Bytes received from the peer.
        received: u64,
        /// `closed`, or why it was aborted.
        reason: String,
    },
    /// A session ended.
    Disconnected {
        /// The session.
        session: String,
        /// Why it ended.
        reason: String,
        /// Bytes sent to the peer.
        sent: u64,
        /// Bytes received from the peer.
        received: u64,
        /// How long it was connected, in milliseconds.
        duration_ms: u64,
    },
    /// The demo's result.
    Demo {
        /// Bytes fetched through the tunnel and checked.
        bytes: u64,
        /// Speed of the fetch in Mbit/s.
        mbit_per_s: f64,
        /// Median round trip of small requests in milliseconds.
        round_trip_ms: f64,
    },
    /// Something a person should know that ends nothing: a wrong pin was tried, the target does not answer.
    Warning {
        /// A stable word for programs, such as `bad-pin`.
        code: String,
        /// What happened, why, and what to do.
        message: String,
    },
    /// Something failed; the process usually ends with exit code 1 next.
    Error {
        /// A stable word for programs, such as `bad-pin`.
        code: String,
        /// What failed, why, and what to do.
        message: String,
    },
    /// Something `pinhole check` found.
    #[serde(untagged)]
    Check(Finding),
}
