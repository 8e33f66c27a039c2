//! Whether links to other servers work.
//!
//! A server that stands still, or behind a way that is cut, does not end its connections. Its hosts are out of reach
//! all the same, and whoever asks for one is to be told soon. So links are watched more closely than other WebSockets.

use std::time::{Duration, Instant};

use super::Server;
use super::cluster::Cluster;
use super::phase::Phase;
use crate::run::deadlines::{Due, ServerDue};
use crate::run::links::Watch;

/// Time without a look at the links that shows that this server has stood still.
const STANDSTILL: Duration = Duration::from_secs(2);

/// Time after a standstill in which dead links are noticed.
const DOUBT: Duration = Duration::from_secs(5);

impl Server {
    /// Tells whether this server has just stood still. It may not have heard yet that links are gone, nor where its
    /// hosts went meanwhile, so what it does not know may well be elsewhere.
    pub(super) fn has_stood_still(&self) -> bool {
        let now = self.core.turn.now;
        self.cluster.as_ref().is_some_and(|cluster| stands_still(cluster, now) || now < cluster.doubts_until)
    }

    /// Looks at the links to other servers, pings them now and then, and drops those from which nothing comes.
    pub(super) fn watch_peers(&mut self) {
        let now = self.core.turn.now;
        let Some(cluster) = &mut self.cluster else { return };
        if stands_still(cluster, now) {
            cluster.doubts_until = now + DOUBT;
        }
        cluster.looked_at = now;
        let dead = self.links.keep_alive_as(Watch::Anxious, |phase| matches!(phase, Phase::Peer(_)));
        dead.into_iter().for_each(|key| self.drop_link(key, "nothing came from it for four seconds"));
        self.core.turn.set(Watch::Anxious.interval(), Due::Server(ServerDue::Pulse));
    }
}

/// Tells whether a look at the links is long overdue.
fn stands_still(cluster: &Cluster, now: Instant) -> bool {
    now.saturating_duration_since(cluster.looked_at) >= STANDSTILL
}
