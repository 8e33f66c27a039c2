//! The decision whether a client may join a host.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

/// A request of a client that knows the pin. It displays as a question for a person.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct JoinRequest {
    /// The address its signaling comes from.
    pub remote: SocketAddr,
    /// The session's name, the same on both sides.
    pub session: String,
}

impl fmt::Display for JoinRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Let a client from {} join (session {})?", self.remote, self.session)
    }
}

type Decide = dyn Fn(&JoinRequest) -> bool + Send + Sync;

/// Decides which clients may join a host, one after the other, on a thread of its own. It may block: a client waits a
/// minute for the decision.
#[derive(Clone)]
pub struct Approver(Arc<Decide>);

impl Approver {
    /// Creates an approver from a function, for example one that asks a person.
    pub fn new(decide: impl Fn(&JoinRequest) -> bool + Send + Sync + 'static) -> Approver {
        Approver(Arc::new(decide))
    }

    /// Decides about a client.
    pub(crate) fn decide(&self, request: &JoinRequest) -> bool {
        (self.0)(request)
    }
}

impl fmt::Debug for Approver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Approver(…)")
    }
}
