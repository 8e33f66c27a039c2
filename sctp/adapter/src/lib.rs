//! The interface of sctp-proto 0.10.8, as far as str0m 0.25 uses it, on top of pinhole-sctp.
//!
//! `[patch.crates-io]` replaces the published crate by this one. Names and signatures are those that str0m is built
//! against; this crate only translates them.
#![forbid(unsafe_code)]

mod association;
mod config;
mod endpoint;
mod error;
mod stream;

use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use bytes::Bytes;

pub use association::{Association, Event};
pub use config::{ClientConfig, EndpointConfig, ServerConfig, TransportConfig, generate_snap_token};
pub use endpoint::{AssociationEvent, AssociationHandle, ConnectError, DatagramEvent, Endpoint, EndpointEvent};
pub use error::Error;
pub use stream::{Chunks, PayloadProtocolIdentifier, ReliabilityType, Stream, StreamEvent};

/// Congestion marks of a datagram; not used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EcnCodepoint {
    /// The sender supports marks.
    Ect0,
    /// The sender supports marks, by the second code.
    Ect1,
    /// There was congestion.
    Ce,
}

/// The payload of a [`Transmit`].
#[derive(Debug)]
pub enum Payload {
    /// Packets to send.
    RawEncode(Vec<Bytes>),
    /// A packet that arrived. It is never sent.
    Received(Bytes),
}

/// Packets to send.
#[derive(Debug)]
pub struct Transmit {
    /// The time of sending.
    pub now: Instant,
    /// The destination.
    pub remote: SocketAddr,
    /// Their congestion mark.
    pub ecn: Option<EcnCodepoint>,
    /// The source address.
    pub local_ip: Option<IpAddr>,
    /// The packets.
    pub payload: Payload,
}
