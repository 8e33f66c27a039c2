//! What a host, a client or a server is doing at a moment, for people and for programs.
//!
//! Texts that a peer or a person chose, such as labels, agents and reasons, are here as they came. Whoever shows them
//! escapes them.

use std::net::SocketAddr;
use std::time::SystemTime;

use serde::Serialize;

use super::event::{Appearance, HostId, Way};
use crate::signaling::invitation::InvitationId;

/// Which side of pinhole a process is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Side {
    /// It shares services.
    Host,
    /// It makes them appear on local ports.
    Client,
    /// It stands between the two.
    Server,
}

/// What a side is doing as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Stage {
    /// A client has no session yet, or lost its last one and connects anew.
    Connecting,
    /// It does what it is there for.
    Serving,
    /// It was asked to end, and ends in order.
    Ending,
}

/// What a side is doing at a moment. Sizes are bytes, times milliseconds. No pin is in it.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Snapshot {
    /// Which side it is.
    pub role: Side,
    /// What it is doing as a whole.
    pub stage: Stage,
    /// Where signaling listens, of a host or a server.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub listen: Option<SocketAddr>,
    /// Where clients come in, as far as a host knows, or where a client or a registered host goes; without the pin.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// The id of a registered host.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<HostId>,
    /// What a host shares, or what a client's host shares with it.
    pub services: Vec<ServiceStatus>,
    /// What appeared on a client's machine.
    pub forwards: Vec<ForwardStatus>,
    /// The sessions with peers, the oldest first.
    pub sessions: Vec<SessionStatus>,
    /// The invitations of a host that count.
    pub invitations: Vec<InvitationStatus>,
    /// What a server counts. Programs read it in the metrics.
    #[serde(skip)]
    pub totals: Option<ServerTotals>,
}

impl Snapshot {
    /// Returns that of a side with nothing to show.
    pub(crate) fn new(role: Side, stage: Stage) -> Snapshot {
        Snapshot {
            role,
            stage,
            listen: None,
            url: None,
            id: None,
            services: Vec::new(),
            forwards: Vec::new(),
            sessions: Vec::new(),
            invitations: Vec::new(),
            totals: None,
        }
    }
}

/// What a server counts, for a line that people read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ServerTotals {
    /// Hosts that are registered.
    pub hosts: usize,
    /// Clients that are connected.
    pub clients: usize,
    /// Requests that the gateway answered so far.
    pub requests: u64,
    /// Requests that it is at.
    pub open_requests: usize,
}

/// A service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ServiceStatus {
    /// Its name.
    pub name: String,
    /// What the host dials; a client does not know it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// Payload of its streams that went to the peers.
    pub sent: u64,
    /// Payload of its streams that came from the peers.
    pub received: u64,
    /// Number of its streams.
    pub streams: u64,
}

/// Something that appeared on a client's machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ForwardStatus {
    /// The local address, such as `127.0.0.1:8080`, `udp:127.0.0.1:5353` or `unix:/tmp/db.sock`.
    pub local: String,
    /// What it leads to; `None` while that depends on a host that was not reached yet.
    pub service: Option<Appearance>,
}

/// The state of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum SessionState {
    /// The peer proved the pin; messages do not pass yet.
    Connecting,
    /// Messages pass.
    Connected,
    /// Nothing comes from the peer, and streams wait.
    Recovering,
    /// It is ending.
    Ending,
}

/// A session with a peer.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct SessionStatus {
    /// Short id, the same on both sides.
    pub session: String,
    /// Its state.
    pub state: SessionState,
    /// How messages travel, or travelled last; of a session that never was connected, `relayed` and why.
    #[serde(flatten)]
    pub way: Way,
    /// Where the peer's signaling comes from, while there is a connection for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signaling: Option<SocketAddr>,
    /// What the peer says it is, such as `pinhole/1.2.3`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
    /// The invitation by which it began.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub invitation: Option<InvitationId>,
    /// Smoothed round-trip time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rtt_ms: Option<f64>,
    /// Time since messages passed first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connected_ms: Option<u64>,
    /// Payload of streams that went to the peer.
    pub sent: u64,
    /// Payload of streams that came from the peer.
    pub received: u64,
    /// Bytes a second at present, to the peer.
    pub sent_per_s: u64,
    /// Bytes a second at present, from the peer.
    pub received_per_s: u64,
    /// Number of streams.
    pub streams: usize,
    /// How often the peer stopped answering.
    pub losses: u64,
    /// How often messages passed again.
    pub recoveries: u64,
    /// Packets that were sent again on direct paths.
    pub retransmissions: u64,
    /// The estimated bandwidth to the peer in bytes a second, on a direct path, as far as it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bandwidth_per_s: Option<u64>,
}

/// An invitation that counts, without its pin.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct InvitationStatus {
    /// Its public id.
    pub id: InvitationId,
    /// What the host's owner calls it.
    pub label: String,
    /// The services that its clients have.
    pub services: Vec<String>,
    /// When it ends; in JSON as RFC 3339 writes it, in UTC.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "super::event::time")]
    pub expires: Option<SystemTime>,
    /// It is for one client.
    pub once: bool,
    /// How many sessions there are by it.
    pub sessions: usize,
}
