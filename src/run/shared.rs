//! What the owners of tables borrow for a call.

use super::dialer::{Dialer, Waiter};
use super::rounds::Rounds;
use super::sessions::Sessions;
use super::trails::Trails;
use super::turn::Turn;
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
