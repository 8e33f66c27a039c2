//! Keys by which the parts of the loop name each other's entries without knowing their owners.

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

/// Key of a socket that local programs send to.
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

/// Marks the key of a socket that local programs send to.
pub(super) enum Programs {}

/// Marks the key of a target.
pub(super) enum Round {}

/// Whose session it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scope {
    /// A client's or a host's that knows the pin.
    Peer,
    /// The one between a host and a server. Nobody proved a pin: on the host it reaches what is published, and what the
    /// host lets the server dial.
    Server,
}
