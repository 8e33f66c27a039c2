//! What the parts of the loop call each other's entries, of which they know nothing else.

use super::table::Key;

/// Finds a session.
pub(super) type SessionKey = Key<Session>;

/// Finds a connection.
pub(super) type ConnectionKey = Key<Connection>;

/// Finds a connection that waits for its reset.
pub(super) type LeavingKey = Key<Leaving>;

/// Finds a signaling WebSocket of a side.
pub(super) type LinkKey = Key<Link>;

/// Finds a flow.
pub(super) type FlowKey = Key<Flow>;

/// Finds a socket that local programs send to.
pub(super) type UdpListenerKey = Key<Programs>;

/// Finds a target of a session.
pub(super) type RoundKey = Key<Round>;

/// The keys of sessions.
pub(super) enum Session {}

/// The keys of connections.
pub(super) enum Connection {}

/// The keys of connections that wait for their reset.
pub(super) enum Leaving {}

/// The keys of signaling WebSockets.
pub(super) enum Link {}

/// The keys of flows.
pub(super) enum Flow {}

/// The keys of sockets that local programs send to.
pub(super) enum Programs {}

/// The keys of targets.
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
