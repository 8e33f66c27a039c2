//! What both sides hold once they know each other.

use super::keys::{Keys, ResumeKey, Role, Ticket};
use super::sealing::{Opener, Sealer};
use super::session_id::SessionId;

/// What a completed handshake leaves: both sides hold the same pin, and hold these. `Debug` shows no key.
#[derive(Debug)]
pub struct Established {
    /// The session's name, the same on both sides.
    pub session: SessionId,
    /// Seals what we send.
    pub sealer: Sealer,
    /// Opens what the peer sends.
    pub opener: Opener,
    /// The secret under which the session is joined again on a further WebSocket.
    pub resume_key: ResumeKey,
    /// What the client comes back with once the session is over.
    pub ticket: Ticket,
}

impl Established {
    pub(super) fn new(keys: &Keys, role: Role) -> Established {
        let (sealer, opener) = keys.sealing(role);
        Established { session: keys.session(), sealer, opener, resume_key: keys.resume_key(), ticket: keys.ticket() }
    }
}
