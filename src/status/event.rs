//! Events a run reports: one JSON object a line with `--json`, sentences for people otherwise.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::time::SystemTime;

use serde::{Serialize, Serializer};

pub use super::check::{Expectation, Finding, Side, StunResult};
use super::date::rfc3339;
pub use super::ping::Answer;
pub use super::refusal::Refusal;
pub use super::way::Way;
use crate::config::SharedService;
pub use crate::signaling::invitation::InvitationId;
pub use crate::signaling::network::{Mapping, Network, Udp};
pub use crate::signaling::rendezvous::HostId;

/// Target of a local address; in JSON its name, or `proxy`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Appearance {
    /// A service, by its name, or a target that the host dials.
    Target(String),
    /// A proxy: the program chooses the target.
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

/// How a stream ended; in JSON `closed`, or why it failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StreamEnd {
    /// Both directions ended in order.
    Closed,
    /// It failed, and why; the words may be a peer's.
    Failed(String),
}

impl StreamEnd {
    /// Creates the end of a stream that failed.
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

/// Serializes services as texts.
fn texts<S: Serializer>(services: &Option<Vec<SharedService>>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(services.iter().flatten().map(ToString::to_string))
}

/// Serializes a time of day as text.
pub(super) fn time<S: Serializer>(time: &Option<SystemTime>, serializer: S) -> Result<S::Ok, S::Error> {
    time.map(rfc3339).serialize(serializer)
}

/// Something that a person, or a program that started pinhole, wants to know. An event never contains a key; only
/// [`Event::Listening`], [`Event::Registered`], [`Event::PinReplaced`] and [`Event::Invitation`] contain a pin, and
/// only [`Event::Administration`] a token.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Event {
    /// A host's signaling WebSocket accepts clients.
    #[non_exhaustive]
    Listening {
        /// Address of the WebSocket.
        addr: SocketAddr,
        /// URL for a client on this machine, pin included (percent-encoded where needed).
        url: String,
        /// The pin.
        #[serde(skip_serializing_if = "String::is_empty")]
        pin: String,
        /// URL for clients anywhere, pin included, if the host was told under which address others reach it.
        #[serde(skip_serializing_if = "Option::is_none")]
        public_url: Option<String>,
    },
    /// A host has its id on a server, through which clients reach it. Reported again after each [`Event::ServerLost`].
    #[non_exhaustive]
    Registered {
        /// The id.
        id: HostId,
        /// URL for clients, pin included (percent-encoded where needed).
        url: String,
        /// The pin.
        #[serde(skip_serializing_if = "String::is_empty")]
        pin: String,
        /// URL of the published service.
        #[serde(skip_serializing_if = "Option::is_none")]
        web: Option<String>,
        /// Further servers through which clients reach the host, without the host's name.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        others: Vec<String>,
    },
    /// A host's connection to its server is lost, or could not be made yet. The host tries again, and sessions go on.
    #[non_exhaustive]
    ServerLost {
        /// What happened, as a sentence.
        message: String,
    },
    /// A host replaced its generated pin after too many wrong guesses.
    #[non_exhaustive]
    PinReplaced {
        /// The new pin.
        #[serde(skip_serializing_if = "String::is_empty")]
        pin: String,
        /// URL for clients anywhere, as in [`Event::Listening`].
        #[serde(skip_serializing_if = "Option::is_none")]
        public_url: Option<String>,
    },
    /// A host has an invitation: a pin for some clients, with rights of its own. Reported once for each address where
    /// clients come in.
    #[non_exhaustive]
    Invitation {
        /// Its public id.
        id: InvitationId,
        /// What the host's owner calls it.
        label: String,
        /// URL for its clients, pin included.
        url: String,
        /// Its pin.
        #[serde(skip_serializing_if = "String::is_empty")]
        pin: String,
        /// The services that its clients have.
        services: Vec<String>,
        /// When it ends; in JSON as RFC 3339 writes it, in UTC.
        #[serde(skip_serializing_if = "Option::is_none", serialize_with = "time")]
        expires: Option<SystemTime>,
        /// It is for one client.
        once: bool,
    },
    /// The time of an invitation is over, and its sessions end.
    #[non_exhaustive]
    InvitationExpired {
        /// Its id.
        id: InvitationId,
        /// What the host's owner calls it.
        label: String,
    },
    /// An invitation counts no more, and its sessions end.
    #[non_exhaustive]
    InvitationRevoked {
        /// Its id.
        id: InvitationId,
        /// What the host's owner calls it.
        label: String,
        /// Why, in a few words.
        reason: String,
    },
    /// The run can be looked at and steered over TCP.
    #[non_exhaustive]
    Administration {
        /// Address of the control interface.
        addr: SocketAddr,
        /// URL of its page, with the token in the fragment if that was generated.
        url: String,
    },
    /// A session carries messages in both directions.
    #[non_exhaustive]
    Connected {
        /// Short id of the session, the same on both sides.
        session: String,
        /// How messages travel.
        #[serde(flatten)]
        way: Way,
        /// Round-trip time in milliseconds.
        rtt_ms: f64,
    },
    /// A client that had a session with the host before begins another.
    #[non_exhaustive]
    Returned {
        /// The new session.
        session: String,
        /// Its previous session.
        before: String,
        /// The address its signaling comes from.
        remote: String,
    },
    /// Messages of a session take another path, or more is known about why they are relayed.
    #[non_exhaustive]
    Path {
        /// The session.
        session: String,
        /// How messages travel now.
        #[serde(flatten)]
        way: Way,
        /// What changed, as a sentence, if `way` does not give the reason.
        #[serde(rename = "reason", skip_serializing_if = "Option::is_none")]
        cause: Option<String>,
    },
    /// The peer is silent: streams wait while a path is being sought.
    #[non_exhaustive]
    Recovering {
        /// The session.
        session: String,
        /// What was observed, as a sentence.
        reason: String,
    },
    /// Messages pass again, and streams go on.
    #[non_exhaustive]
    Recovered {
        /// The session.
        session: String,
        /// How messages travel now.
        #[serde(flatten)]
        way: Way,
        /// How long messages did not pass, in milliseconds.
        after_ms: u64,
    },
    /// A client without a session connects again, or still waits for its first session.
    #[non_exhaustive]
    Reconnecting {
        /// Why the session ended or could not begin, as a sentence.
        message: String,
    },
    /// A client's local port accepts connections for a service.
    #[non_exhaustive]
    Forwarding {
        /// The local address, `host:port` or `unix:/path`.
        local: String,
        /// What it leads to.
        service: Appearance,
    },
    /// A host listens for a client's reverse forward.
    #[non_exhaustive]
    ReverseForwarding {
        /// The session.
        session: String,
        /// Where the host listens.
        local: String,
        /// What the client dials; empty on the host, which does not know it.
        #[serde(skip_serializing_if = "String::is_empty")]
        target: String,
    },
    /// A stream opened: a local connection was accepted (client) or the target was dialled (host).
    #[non_exhaustive]
    StreamOpened {
        /// The session it belongs to.
        session: String,
        /// The stream id on the wire.
        stream: u16,
        /// The local program's address (client) or the dialled target (host).
        address: String,
    },
    /// A stream ended.
    #[non_exhaustive]
    StreamClosed {
        /// The session it belonged to.
        session: String,
        /// The stream id on the wire.
        stream: u16,
        /// Payload bytes sent to the peer.
        sent: u64,
        /// Payload bytes received from the peer.
        received: u64,
        /// How it ended.
        reason: StreamEnd,
    },
    /// A session ended.
    #[non_exhaustive]
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
    #[non_exhaustive]
    Serving {
        /// Address of signaling, and of the gateway if there is a domain.
        listen: SocketAddr,
        /// Whether it uses TLS.
        tls: bool,
        /// Further addresses of the gateway.
        gateway: Vec<SocketAddr>,
        /// The domain of published services.
        #[serde(skip_serializing_if = "Option::is_none")]
        domain: Option<String>,
        /// Address of the proxy.
        #[serde(skip_serializing_if = "Option::is_none")]
        proxy: Option<SocketAddr>,
        /// Address of the administration.
        #[serde(skip_serializing_if = "Option::is_none")]
        admin: Option<SocketAddr>,
        /// Address for other servers of the cluster.
        #[serde(skip_serializing_if = "Option::is_none")]
        peers: Option<SocketAddr>,
        /// Whether anybody may register.
        open: bool,
        /// Number of descriptors, and so of connections, that the process may have; the highest number means no limit.
        descriptors: u64,
    },
    /// A host registered on the server.
    #[non_exhaustive]
    HostJoined {
        /// Its id.
        id: HostId,
        /// Its address.
        remote: SocketAddr,
        /// It replaced a connection that had the id.
        replaced: bool,
    },
    /// A host is gone from the server.
    #[non_exhaustive]
    HostLeft {
        /// Its id.
        id: HostId,
        /// Why, in a few words.
        reason: String,
    },
    /// The server was asked to end: it admits nobody new, and work in progress ends.
    #[non_exhaustive]
    Draining {
        /// Number of hosts that are registered.
        hosts: usize,
        /// Number of clients that are connected.
        clients: usize,
    },
    /// Another server of the cluster has a link to this one: its hosts can be reached here.
    #[non_exhaustive]
    PeerLinked {
        /// The other server, by the beginning of the id that it has until it ends.
        server: String,
        /// Its address.
        remote: SocketAddr,
    },
    /// The link to another server of the cluster is gone.
    #[non_exhaustive]
    PeerLost {
        /// The other server.
        server: String,
        /// Why, in a few words.
        reason: String,
    },
    /// The directory of the cluster does not answer any more: the server goes on with what it knows.
    #[non_exhaustive]
    DirectoryLost {
        /// Why, in a few words.
        reason: String,
    },
    /// The directory of the cluster answers again.
    DirectoryBack,
    /// A client joined a host through the server.
    #[non_exhaustive]
    ClientJoined {
        /// The host's id.
        id: HostId,
        /// The client's address.
        remote: SocketAddr,
        /// The conversation's number, unique within the host's connection.
        conversation: u32,
    },
    /// A client is gone from the server.
    #[non_exhaustive]
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
    /// Settings or files were read again.
    #[non_exhaustive]
    Reloaded {
        /// What was read again: `settings`, or a server's `tokens` or `certificate`.
        what: String,
        /// What changed by that, in a few words each; of settings only, and nothing if they are what they were.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        changed: Vec<String>,
        /// Settings that changed, but are left as they were until the next start.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        left: Vec<String>,
        /// What a host shares now, if that changed, or its pin did. [`Event::Listening`] and [`Event::Registered`]
        /// follow, as far as they were reported before.
        #[serde(skip_serializing_if = "Option::is_none", serialize_with = "texts")]
        services: Option<Vec<SharedService>>,
    },
    /// The gateway answered a request.
    #[non_exhaustive]
    Request {
        /// The host whose service was requested; absent if the request named none.
        #[serde(skip_serializing_if = "Option::is_none")]
        host: Option<String>,
        /// The visitor's address.
        remote: IpAddr,
        /// The method, such as `GET`.
        method: String,
        /// The path, without the query, which may contain secrets.
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
    /// A server refused a connection or a registration, or ended it.
    #[non_exhaustive]
    Refused {
        /// Why, as a word for programs.
        code: Refusal,
        /// Who was refused.
        remote: SocketAddr,
        /// Why, as a sentence.
        message: String,
    },
    /// The result of the demo.
    #[non_exhaustive]
    Demo {
        /// Bytes that were fetched through the tunnel and compared.
        bytes: u64,
        /// Speed of the fetch in Mbit/s.
        mbit_per_s: f64,
        /// Median round trip of small requests in milliseconds.
        round_trip_ms: f64,
    },
    /// Something a person should know that ends nothing: a wrong pin was tried, or the target does not answer.
    #[non_exhaustive]
    Warning {
        /// A stable word for programs, such as `bad-pin`.
        code: String,
        /// What happened, why, and what to do.
        message: String,
    },
    /// Something failed; the process usually ends with exit code 1 next.
    #[non_exhaustive]
    Error {
        /// A stable word for programs, such as `bad-pin`.
        code: String,
        /// What failed, why, and what to do.
        message: String,
    },
    /// A finding of `pinhole check`.
    #[serde(untagged)]
    Check(Finding),
    /// What `pinhole ping` found.
    #[serde(untagged)]
    Ping(Answer),
}
