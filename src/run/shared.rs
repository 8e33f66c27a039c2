//! What the owners of tables borrow for a call.

use super::dialer::{Dialer, Waiter};
use super::keys::SessionKey;
use super::rounds::Rounds;
use super::sessions::Sessions;
use super::trails::Trails;
use super::turn::Turn;
use crate::access::AccessList;
use crate::net::resolver::Resolver;
use crate::tunnel::ChunkPool;

/// What the owners of tables need beside their own tables.
pub(super) struct Shared<'a> {
    pub(super) turn: &'a mut Turn,
    pub(super) sessions: &'a mut Sessions,
    pub(super) pool: &'a mut ChunkPool,
    pub(super) dialer: &'a Dialer,
    pub(super) trails: &'a mut Trails,
    pub(super) rounds: &'a mut Rounds,
    pub(super) resolver: &'a mut Resolver<Waiter>,
}

impl Shared<'_> {
    /// Returns the targets that the peer of a session may name; `None` if the session is gone.
    pub(super) fn access(&self, session: SessionKey) -> Option<&AccessList> {
        let entry = self.sessions.get(session)?;
        Some(entry.rights.as_ref().map_or(&self.dialer.allow, |rights| &rights.allow))
    }
}
