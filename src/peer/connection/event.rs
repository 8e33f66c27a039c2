//! The events and errors of a connection.

use std::net::SocketAddr;

use bytes::Bytes;

use crate::fault::Fault;

/// Why a connection cannot be made or has ended.
#[derive(Debug, thiserror::Error)]
pub enum PeerError {
    /// The peer's session description or candidate does not parse or does not fit.
    #[error("the peer's session description cannot be used: {0}")]
    Description(String),
    /// The peer sent an answer without an open offer.
    #[error("the peer answered an offer twice, or one that was never made")]
    Unasked,
    /// Our own WebRTC stack refused something it should not have.
    #[error("WebRTC failed: {0}")]
    Rtc(String),
    /// Our own WebRTC stack panicked over what the peer said.
    #[error("WebRTC failed: {0}")]
    Fault(#[from] Fault),
}

/// What happened on the connection.
#[derive(Debug)]
pub enum Event {
    /// The channel is open.
    Open,
    /// A message arrived.
    Message(Bytes),
    /// A message arrived on the channel for datagrams.
    Datagram(Bytes),
    /// Datagrams pass (again).
    PathUp,
    /// STUN gets no more answers; they may come back.
    PathDown,
    /// The connection is over.
    Closed(String),
    /// The peer did what the protocol forbids; the connection is over.
    Violation(String),
    /// The WebRTC stack panicked; the connection is over.
    Fault(Fault),
}

/// The addresses between which messages travel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PathInfo {
    /// Our address: the socket's.
    pub local: SocketAddr,
    /// The peer's address.
    pub remote: SocketAddr,
    /// Kinds of the candidates, ours first: `host/host`, `srflx/prflx`.
    pub candidates: String,
}
