//! The interface of sctp-proto 0.10.8 as far as str0m 0.25 names it, with pinhole-sctp behind it.
//!
//! `[patch.crates-io]` puts it in the place of the published crate. Names and signatures are those that str0m is built against;
//! nothing is done here but to translate them.
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
    /// Takes part.
    Ect0,
    /// Takes part, in another way.
    Ect1,
    /// Congestion was met.
    Ce,
}

/// What a [`Transmit`] carries.
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
    /// When they leave.
    pub now: Instant,
    /// Where they go.
    pub remote: SocketAddr,
    /// Their congestion mark.
    pub ecn: Option<EcnCodepoint>,
    /// Where they come from.
    pub local_ip: Option<IpAddr>,
    /// The packets.
    pub payload: Payload,
}
