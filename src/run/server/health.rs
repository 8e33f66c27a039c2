//! Whether links to other servers work.
//!
//! A server that stands still, or behind a way that is cut, does not end its connections. Its hosts are out of reach
//! all the same, and whoever asks for one is to be told soon. So links are watched more closely than other WebSockets.

use super::Server;
use super::phase::Phase;
use crate::run::deadlines::{Due, ServerDue};
use crate::run::links::Watch;

impl Server {
    /// Looks at the links to other servers, pings them now and then, and drops those from which nothing comes.
    pub(super) fn watch_peers(&mut self) {
        if self.cluster.is_none() {
            return;
        }
        let dead = self.links.keep_alive_as(Watch::Anxious, |phase| matches!(phase, Phase::Peer(_)));
        dead.into_iter().for_each(|key| self.drop_link(key, "nothing came from it for four seconds"));
        self.core.turn.set(Watch::Anxious.interval(), Due::Server(ServerDue::Pulse));
    }
}
