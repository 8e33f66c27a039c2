//! The result of an exchange, for both sides.

use super::keys::{Keys, ResumeKey, Role, Ticket};
use super::sealing::{Opener, Sealer};
use super::session_id::SessionId;

/// The result of a handshake between two sides with the same pin. `Debug` shows no key.
#[derive(Debug)]
pub struct Established {
    /// The session's name, the same on both sides.
    pub session: SessionId,
    /// Seals what we send.
    pub sealer: Sealer,
    /// Opens what the peer sends.
    pub opener: Opener,
    /// The secret for rejoining the session on another WebSocket.
    pub resume_key: ResumeKey,
    /// What the client uses for another session once this one is over.
    pub ticket: Ticket,
}

impl Established {
    pub(super) fn new(keys: &Keys, role: Role) -> Established {
        let (sealer, opener) = keys.sealing(role);
        Established { session: keys.session(), sealer, opener, resume_key: keys.resume_key(), ticket: keys.ticket() }
    }
}
