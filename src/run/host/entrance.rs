//! What is known of a client that comes in, from its hello to its session.

use std::sync::Arc;

use super::invitations::{Entrance, Invitations};
use crate::run::keys::SessionKey;
use crate::run::rights::{Rights, Serial};
use crate::signaling::handshake::{Established, Pins};
use crate::signaling::invitation::InvitationId;
use crate::signaling::pin::Pin;

/// The pins of a host for one handshake, which notes the one that was picked.
pub(super) struct Keyring<'a> {
    pub(super) own: &'a Pin,
    pub(super) invitations: &'a Invitations,
    pub(super) entrance: &'a mut Entrance,
}

impl Pins for Keyring<'_> {
    fn pin(self, invite: Option<&InvitationId>) -> Pin {
        let Some(id) = invite else { return self.own.clone() };
        let (pin, entrance) = self.invitations.pin(id);
        *self.entrance = entrance;
        pin
    }
}

/// A client that proved a pin, or that it was here before.
pub(super) struct Entrant {
    pub(super) established: Established,
    /// What it may have; `None` is everything that is shared.
    pub(super) rights: Option<Arc<Rights>>,
}

/// How the client of a ticket was here last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Before {
    pub(super) session: SessionKey,
    /// The invitation by which it came.
    pub(super) invitation: Option<Serial>,
}
