//! Places for clients that have proved nothing yet: who comes from where, and who gives way.

use super::Host;
use super::links::Phase;
use crate::run::keys::LinkKey;
use crate::shares::{Admission, Source};
use crate::signaling::error::SignalingError;

/// Links at a time that are no session's: handshakes, confirms that wait for their turn, questions of `--ask`, ends.
/// One source alone has half of them, and behind a dev tunnel all are one.
pub(super) const MAX_UNPROVEN: usize = 512;

impl Host {
    /// Makes a place for somebody who comes from there, if need be by giving somebody up; false says that there is
    /// none.
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

    /// Refuses a client for which there is no place now, and says when to come again.
    pub(super) fn refuse_busy(&mut self, key: LinkKey) {
        let Some(link) = self.links.get(key) else { return };
        let retry_after = self.limiter.retry_after(self.core.turn.now, link.source());
        self.refuse(key, &SignalingError::Busy { retry_after });
    }

    /// Has those come again that waited for a turn which another had.
    pub(super) fn refuse_passed_over(&mut self) {
        while let Some(key) = self.limiter.poll_passed_over() {
            if self.links.get(key).is_some_and(|link| matches!(link.phase, Phase::Verifying(_))) {
                self.refuse_busy(key);
            }
        }
    }

    /// Gives up a link in favour of another. Its place is free at once: it is not waited for.
    fn give_up(&mut self, key: LinkKey) {
        let is_open = self.links.get_mut(key).is_some_and(|link| {
            matches!(link.phase, Phase::Pake(_) | Phase::Verifying(_)) && link.incoming().is_none()
        });
        if is_open {
            self.refuse_busy(key);
        }
        if self.links.contains(key) {
            self.drop_link(key);
        }
    }
}
