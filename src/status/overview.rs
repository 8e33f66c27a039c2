//! What the control interface says of a process as a whole: what it is doing, and what is beside that.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::SystemTime;

use serde::Serialize;
use serde_json::Value;

use super::event::{HostId, InvitationId};
use super::snapshot::{SessionStatus, Snapshot};

/// A process.
#[derive(Debug, Serialize)]
pub(crate) struct Overview<'a> {
    /// The word for what this is, among events.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) event: Option<&'static str>,
    /// Its name.
    pub(crate) name: &'a str,
    /// Its number on this machine.
    pub(crate) pid: u32,
    /// Its version.
    pub(crate) version: &'static str,
    /// When it began.
    #[serde(serialize_with = "super::event::time")]
    pub(crate) since: Option<SystemTime>,
    #[serde(flatten)]
    pub(crate) snapshot: &'a Snapshot,
    /// Its last warnings and errors, the newest last.
    pub(crate) warnings: Vec<Remark>,
    #[serde(flatten)]
    pub(crate) server: Option<ServerStatus>,
}

/// A warning or an error.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Remark {
    pub(crate) code: String,
    pub(crate) message: String,
    #[serde(serialize_with = "super::event::time")]
    pub(crate) at: Option<SystemTime>,
}

/// What a server shows beside what all do.
#[derive(Debug, Serialize)]
pub(crate) struct ServerStatus {
    /// Its hosts, as far as they are listed.
    pub(crate) hosts: Vec<HostStatus>,
    /// Number of hosts beyond.
    pub(crate) unlisted: usize,
    /// What visitors requested, if there is a gateway.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) requests: Option<RequestStatus>,
    /// The links to other servers, if there is a cluster.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) links: Option<Vec<Value>>,
}

/// A host at a server.
#[derive(Debug, Serialize)]
pub(crate) struct HostStatus {
    pub(crate) id: HostId,
    pub(crate) remote: SocketAddr,
    /// It publishes a service.
    pub(crate) public: bool,
    /// It dials for holders of tokens that may dial.
    pub(crate) dials: bool,
    /// How often visitors gave a wrong login lately.
    pub(crate) wrong_logins: u64,
    /// Its clients, as far as they are listed.
    pub(crate) clients: Vec<ClientStatus>,
}

/// A client of a host at a server.
#[derive(Debug, Serialize)]
pub(crate) struct ClientStatus {
    pub(crate) number: u32,
    pub(crate) remote: SocketAddr,
    pub(crate) sent: u64,
    pub(crate) received: u64,
}

/// An invitation that was made, for whoever asked for it.
#[derive(Serialize)]
pub(crate) struct Made {
    pub(crate) id: InvitationId,
    /// The first of `urls`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) url: Option<String>,
    /// The URLs for its clients, with the pin.
    pub(crate) urls: Vec<String>,
    pub(crate) pin: String,
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "super::event::time")]
    pub(crate) expires: Option<SystemTime>,
    /// A QR code of `url`, if it is short enough for one: its rows of cells, each `1` where it is dark.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) qr: Option<Vec<String>>,
}

/// What visitors requested.
#[derive(Debug, Serialize)]
pub(crate) struct RequestStatus {
    /// Requests that are not answered yet.
    pub(crate) open: usize,
    /// Answers so far, by their status.
    pub(crate) by_status: BTreeMap<String, u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) median_ms: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) p99_ms: Option<f64>,
}

/// A session and its streams.
#[derive(Debug, Serialize)]
pub(crate) struct SessionDetails {
    #[serde(flatten)]
    pub(crate) session: SessionStatus,
    /// Its streams, as far as they are listed. `streams` counts all.
    pub(crate) list: Vec<StreamStatus>,
    /// Number of streams beyond.
    pub(crate) unlisted: usize,
}

/// A stream.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(crate) struct StreamStatus {
    /// Its id on the wire.
    pub(crate) stream: u16,
    /// What it leads to, as far as this side knows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) target: Option<String>,
    /// The local program's address, or the dialled target.
    pub(crate) address: String,
    pub(crate) sent: u64,
    pub(crate) received: u64,
}
