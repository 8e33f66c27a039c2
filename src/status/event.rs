//! Events a run reports: one JSON object a line with `--json`, sentences for people otherwise.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use serde::{Serialize, Serializer};

use super::check::Finding;
use super::refusal::Refusal;
use crate::signaling::rendezvous::HostId;

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

/// What appears at a local address; in JSON its name, or `proxy`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Appearance {
    /// A service, by the name the host announced, or what the host dials.
    Target(String),
    /// A proxy: whatever the program asks for.
    Proxy,
}

impl fmt::Display for Appearance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Appearance::Target(name) => name,
            Appearance::Proxy => "proxy",
        })
    }
}

impl Serialize for Appearance {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// How a stream ended; in JSON `closed`, or why it ended otherwise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StreamEnd {
    /// Both directions ended in order.
    Closed,
    /// Otherwise, and why; in words that may be a peer's.
    Failed(String),
}

impl StreamEnd {
    /// Says that it ended otherwise than in order.
    pub fn failed(reason: impl Into<String>) -> StreamEnd {
        StreamEnd::Failed(reason.into())
    }
}

impl fmt::Display for StreamEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            StreamEnd::Closed => "closed",
            StreamEnd::Failed(reason) => reason,
        })
    }
}

impl Serialize for StreamEnd {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Something that a person or a program that started pinhole wants to know. Never carries a key or a token; the pin
/// appears in [`Event::Listening`], [`Event::Registered`] and [`Event::PinReplaced`] only.
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
    /// A host has its id on a server: clients reach it through that one. Once more after each [`Event::ServerLost`].
    Registered {
        /// The id.
        id: HostId,
        /// URL for clients, pin included (percent-encoded where needed).
        url: String,
        /// The pin.
        pin: String,
        /// URL of the published service.
        #[serde(skip_serializing_if = "Option::is_none")]
        web: Option<String>,
    },
    /// A host's connection to its server is gone, or could not be made yet, and is made anew. Sessions go on.
    ServerLost {
        /// What happened, in a sentence.
        message: String,
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
    /// A client that a host had a session with before begins another.
    Returned {
        /// The new session.
        session: String,
        /// Its last one.
        before: String,
        /// Where its signaling comes from.
        remote: String,
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
    /// A client without a session connects anew, or waits for its first.
    Reconnecting {
        /// Why the session ended or could not be had, in a sentence.
        message: String,
    },
    /// A client's local port accepts connections for a service.
    Forwarding {
        /// The local address, `host:port` or `unix:/path`.
        local: String,
        /// What appears there.
        service: Appearance,
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
        /// How.
        reason: StreamEnd,
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
    /// A server accepts hosts and clients.
    Serving {
        /// Address of signaling, and of the gateway if there is a domain.
        listen: SocketAddr,
        /// It speaks TLS.
        tls: bool,
        /// Further addresses of the gateway.
        gateway: Vec<SocketAddr>,
        /// The domain under which published services are found.
        #[serde(skip_serializing_if = "Option::is_none")]
        domain: Option<String>,
        /// Address of the proxy.
        #[serde(skip_serializing_if = "Option::is_none")]
        proxy: Option<SocketAddr>,
        /// Address of the administration.
        #[serde(skip_serializing_if = "Option::is_none")]
        admin: Option<SocketAddr>,
        /// Anybody may register.
        open: bool,
        /// How many descriptors, and so connections, the system lets the process have; the highest number is no limit.
        descriptors: u64,
    },
    /// A host registered on the server.
    HostJoined {
        /// Its id.
        id: HostId,
        /// Where it comes from.
        remote: SocketAddr,
        /// It took the place of a connection that had the id.
        replaced: bool,
    },
    /// A host is gone from the server.
    HostLeft {
        /// Its id.
        id: HostId,
        /// Why, in a few words.
        reason: String,
    },
    /// A client joined a host through the server.
    ClientJoined {
        /// The host's id.
        id: HostId,
        /// Where the client comes from.
        remote: SocketAddr,
        /// The conversation's number; no other of the host's connection has it.
        conversation: u32,
    },
    /// A client is gone from the server.
    ClientLeft {
        /// The host's id.
        id: HostId,
        /// The conversation's number.
        conversation: u32,
        /// Why, in a few words.
        reason: String,
        /// Bytes sent to the client.
        sent: u64,
        /// Bytes received from the client.
        received: u64,
    },
    /// A server read a file again.
    Reloaded {
        /// What was read, such as `tokens`.
        what: String,
    },
    /// The gateway answered a request.
    Request {
        /// Whose service was asked for; absent if no name of a host was in the request.
        #[serde(skip_serializing_if = "Option::is_none")]
        host: Option<String>,
        /// Who asked.
        remote: IpAddr,
        /// The method, as `GET`.
        method: String,
        /// The path, without the query, which may hold secrets.
        path: String,
        /// The status of the answer.
        status: u16,
        /// Bytes of the answer, its head included.
        sent: u64,
        /// Bytes of the request, its head included.
        received: u64,
        /// From the head of the request to the end of the answer, in milliseconds.
        duration_ms: f64,
    },
    /// A server refused a connection or a registration, or gave it up.
    Refused {
        /// Why, as a word for programs.
        code: Refusal,
        /// Who was refused.
        remote: SocketAddr,
        /// Why, in a sentence.
        message: String,
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
