//! The endpoint: str0m has one for each peer.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use pinhole_sctp::Token;

use crate::config::{seed, settings};
use crate::{Association, ClientConfig, EcnCodepoint, EndpointConfig, ServerConfig, Transmit};

/// Which association is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AssociationHandle(pub usize);

/// What became of a datagram.
#[derive(Debug)]
pub enum DatagramEvent {
    /// It is for an association.
    AssociationEvent(AssociationEvent),
    /// It began one.
    NewAssociation(Association),
}

/// Something for an association.
#[derive(Debug)]
pub struct AssociationEvent {
    pub(crate) now: Instant,
    pub(crate) datagram: Bytes,
}

/// Something an association has for its endpoint: nothing.
#[derive(Debug)]
pub struct EndpointEvent(());

/// Why an association cannot begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConnectError {
    /// There is one already.
    TooManyAssociations,
    /// What was exchanged beforehand cannot be used.
    InvalidSnapToken,
}

impl std::fmt::Display for ConnectError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            ConnectError::TooManyAssociations => "there is an association with the peer already",
            ConnectError::InvalidSnapToken => "what was exchanged beforehand is no INIT that can be used",
        })
    }
}

impl std::error::Error for ConnectError {}

/// Makes the association with one peer.
#[derive(Debug)]
pub struct Endpoint {
    config: Arc<EndpointConfig>,
    server: Option<Arc<ServerConfig>>,
    has_association: bool,
}

impl Endpoint {
    /// Creates an endpoint; without a server's settings it takes no peer that begins.
    pub fn new(config: Arc<EndpointConfig>, server: Option<Arc<ServerConfig>>) -> Endpoint {
        Endpoint { config, server, has_association: false }
    }

    /// Begins an association.
    ///
    /// # Errors
    /// There is one, or what was exchanged beforehand cannot be used.
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

    /// Takes a datagram.
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

    /// Takes something of an association.
    pub fn handle_event(&mut self, _handle: AssociationHandle, event: EndpointEvent) -> Option<AssociationEvent> {
        let EndpointEvent(()) = event;
        None
    }

    /// Returns packets to send that belong to no association: there are none.
    pub fn poll_transmit(&mut self) -> Option<Transmit> {
        None
    }
}
