//! What the client of a session may have, where that is not everything that the host shares.

use crate::access::AccessList;
use crate::config::{Invitation, ReverseAccess};

/// Names an invitation for as long as the host's process lives. No two have the same, whatever their ids are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Serial(pub(super) u64);

/// The rights of the sessions that began by an invitation. What is not named is denied.
#[derive(Debug)]
pub(super) struct Rights {
    /// The invitation.
    pub(super) serial: Serial,
    services: Vec<String>,
    pub(super) allow: AccessList,
    pub(super) reverse: ReverseAccess,
}

impl Rights {
    /// Returns what an invitation gives.
    pub(super) fn of(serial: Serial, invitation: &Invitation) -> Rights {
        Rights {
            serial,
            services: invitation.services.clone(),
            allow: invitation.allow.clone(),
            reverse: invitation.reverse.clone(),
        }
    }

    /// Tells whether a service is among them.
    pub(super) fn has_service(&self, name: &str) -> bool {
        self.services.iter().any(|service| service == name)
    }
}
