//! Keys by which parts of the loop refer to each other's entries, without knowing their owners.

use super::table::Key;

/// Key of a session.
pub(super) type SessionKey = Key<Session>;

/// Key of a connection.
pub(super) type ConnectionKey = Key<Connection>;

/// Key of a connection that waits for its reset.
pub(super) type LeavingKey = Key<Leaving>;

/// Key of a signaling WebSocket of a side.
pub(super) type LinkKey = Key<Link>;

/// Key of a flow.
pub(super) type FlowKey = Key<Flow>;

/// Key of a UDP socket for local programs.
pub(super) type UdpListenerKey = Key<Programs>;

/// Key of a target of a session.
pub(super) type RoundKey = Key<Round>;

/// Marks the key of a session.
pub(super) enum Session {}

/// Marks the key of a connection.
pub(super) enum Connection {}

/// Marks the key of a connection that waits for its reset.
pub(super) enum Leaving {}

/// Marks the key of a signaling WebSocket.
pub(super) enum Link {}

/// Marks the key of a flow.
pub(super) enum Flow {}

/// Marks the key of a UDP socket for local programs.
pub(super) enum Programs {}

/// Marks the key of a target.
pub(super) enum Round {}

/// The kind of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scope {
    /// A session between a client and a host, which know the pin.
    Peer,
    /// A session between a host and a server, without proof of the pin. At the host it reaches what is published, and
    /// what the host dials for the server.
    Server,
    /// A session between two servers of a cluster. Its streams carry conversations of the one with hosts of the other.
    #[cfg(feature = "server")]
    Link,
}
