//! The endpoint. str0m has one for each peer.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use pinhole_sctp::Token;

use crate::config::{seed, settings};
use crate::{Association, ClientConfig, EcnCodepoint, EndpointConfig, ServerConfig, Transmit};

/// Identifies an association.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AssociationHandle(pub usize);

/// The result of a datagram.
#[derive(Debug)]
pub enum DatagramEvent {
    /// It is for an association.
    AssociationEvent(AssociationEvent),
    /// It started an association.
    NewAssociation(Association),
}

/// An event for an association.
#[derive(Debug)]
pub struct AssociationEvent {
    pub(crate) now: Instant,
    pub(crate) datagram: Bytes,
}

/// An event of an association for its endpoint. There are none.
#[derive(Debug)]
pub struct EndpointEvent(());

/// Why an association cannot start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConnectError {
    /// There is an association already.
    TooManyAssociations,
    /// A token that was exchanged beforehand cannot be used.
    InvalidSnapToken,
}

impl std::fmt::Display for ConnectError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            ConnectError::TooManyAssociations => "there is an association with the peer already",
            ConnectError::InvalidSnapToken => "the token exchanged beforehand is not a usable INIT",
        })
    }
}

impl std::error::Error for ConnectError {}

/// Creates the association with one peer.
#[derive(Debug)]
pub struct Endpoint {
    config: Arc<EndpointConfig>,
    server: Option<Arc<ServerConfig>>,
    has_association: bool,
}

impl Endpoint {
    /// Creates an endpoint. Without a server's settings it accepts no associations.
    pub fn new(config: Arc<EndpointConfig>, server: Option<Arc<ServerConfig>>) -> Endpoint {
        Endpoint { config, server, has_association: false }
    }

    /// Starts an association.
    ///
    /// # Errors
    /// There is an association already, or a token cannot be used.
    pub fn connect(
        &mut self,
        config: ClientConfig,
        remote: SocketAddr,
    ) -> Result<(AssociationHandle, Association), ConnectError> {
        if self.has_association {
            return Err(ConnectError::TooManyAssociations);
        }
        let settings = settings(&self.config, &config.transport);
        let inner = match &config.tokens {
            None => pinhole_sctp::Association::connect(settings, seed()),
            Some((local, remote)) => {
                let parse = |bytes| Token::parse(bytes).map_err(|_| ConnectError::InvalidSnapToken);
                pinhole_sctp::Association::connect_with_tokens(settings, seed(), &parse(local)?, parse(remote)?)
            }
        };
        self.has_association = true;
        Ok((AssociationHandle(0), Association::new(inner, remote)))
    }

    /// Handles a datagram.
    pub fn handle(
        &mut self,
        now: Instant,
        remote: SocketAddr,
        _local_ip: Option<IpAddr>,
        _ecn: Option<EcnCodepoint>,
        datagram: Bytes,
    ) -> Option<(AssociationHandle, DatagramEvent)> {
        let event = AssociationEvent { now, datagram };
        if self.has_association {
            return Some((AssociationHandle(0), DatagramEvent::AssociationEvent(event)));
        }
        let settings = settings(&self.config, &self.server.as_ref()?.transport);
        let mut association = Association::new(pinhole_sctp::Association::accept(settings, seed()), remote);
        association.handle_event(event);
        self.has_association = true;
        Some((AssociationHandle(0), DatagramEvent::NewAssociation(association)))
    }

    /// Handles an event of an association.
    pub fn handle_event(&mut self, _handle: AssociationHandle, event: EndpointEvent) -> Option<AssociationEvent> {
        let EndpointEvent(()) = event;
        None
    }

    /// Returns packets that belong to no association: there are none.
    pub fn poll_transmit(&mut self) -> Option<Transmit> {
        None
    }
}
