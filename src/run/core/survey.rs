//! What is shown of the sessions of a side.

use super::Core;
use crate::run::keys::SessionKey;
use crate::status::snapshot::SessionStatus;

impl Core {
    /// Returns what is shown of the sessions with peers, the oldest first.
    pub(in crate::run) fn survey(&mut self) -> Vec<(SessionKey, SessionStatus)> {
        let keys = self.sessions.of_peers();
        keys.into_iter().filter_map(|key| Some((key, self.sessions.survey(&self.turn, key)?))).collect()
    }
}
