//! Places for clients that have proved nothing: how sources share them, and who gives way.

use super::Host;
use super::invitations::Entrance;
use super::links::Phase;
use crate::run::keys::LinkKey;
use crate::shares::{Admission, Source};
use crate::signaling::error::SignalingError;

/// Maximum number of links without a session: handshakes, confirms that wait for their turn, questions of `--ask`,
/// links that close. One source alone gets half of them; behind a dev tunnel all clients are one source.
pub(super) const MAX_UNPROVEN: usize = 512;

impl Host {
    /// Makes a place for a link of this source, if necessary by dropping another. Returns false if there is no place.
    pub(super) fn make_place(&mut self, source: Source) -> bool {
        match self.places.admit(source, rand::random()) {
            Admission::Free => true,
            Admission::InsteadOf(key) => {
                self.give_up(key);
                true
            }
            Admission::Full => false,
        }
    }

    /// Refuses a client for lack of a place, and says when to come again.
    pub(super) fn refuse_busy(&mut self, key: LinkKey) {
        let Some(link) = self.links.get(key) else { return };
        let now = self.core.turn.now;
        let retry_after = match link.phase {
            Phase::Pake(_, Entrance::Invitation(bucket, _)) | Phase::Verifying(_, Entrance::Invitation(bucket, _)) => {
                self.invitations.limiter.retry_after(now, bucket)
            }
            _ => self.limiter.retry_after(now, link.source()),
        };
        self.refuse(key, &SignalingError::Busy { retry_after });
    }

    /// Refuses clients whose turn went to another, and says when to come again.
    pub(super) fn refuse_passed_over(&mut self) {
        while let Some(key) = self.limiter.poll_passed_over().or_else(|| self.invitations.limiter.poll_passed_over()) {
            if self.links.get(key).is_some_and(|link| matches!(link.phase, Phase::Verifying(..))) {
                self.refuse_busy(key);
            }
        }
    }

    /// Drops a link in favour of another. Its place is free at once, without a closing handshake.
    fn give_up(&mut self, key: LinkKey) {
        let is_open = self.links.get_mut(key).is_some_and(|link| {
            matches!(link.phase, Phase::Pake(..) | Phase::Verifying(..)) && link.incoming().is_none()
        });
        if is_open {
            self.refuse_busy(key);
        }
        if self.links.contains(key) {
            self.drop_link(key);
        }
    }
}
