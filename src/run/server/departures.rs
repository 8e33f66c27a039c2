//! How hosts leave a server of a cluster that ends: one after the other, so that no other server has all of them at
//! once, and each only when nothing is under way through it.
//!
//! ```text
//!  waiting ──its turn──▶ named as leaving ──nothing under way──▶ told to come back, at another server
//! ```
//!
//! Until its turn a host is served as before. What is left when the time for work in progress is over is told at once.

use std::collections::{HashSet, VecDeque};
use std::time::Duration;

use super::Server;
use super::ending::Stage;
use super::visitor::Destination;
use crate::run::deadlines::{Due, ServerDue};
use crate::run::keys::{LinkKey, SessionKey};
use crate::signaling::rendezvous::HostId;

/// Time over which the turns of all hosts are spread.
const SPREAD: Duration = Duration::from_secs(5);

/// Time from some hosts' turn to that of the next.
const STEP: Duration = Duration::from_millis(50);

/// Hosts that are still here while the server ends.
#[derive(Default)]
pub(super) struct Departures {
    /// Those whose turn is to come.
    waiting: VecDeque<LinkKey>,
    /// How many have their turn at once.
    share: usize,
    /// Those that others know as leaving.
    leaving: Vec<LinkKey>,
}

impl Departures {
    fn of(hosts: impl IntoIterator<Item = LinkKey>) -> Departures {
        let waiting: VecDeque<LinkKey> = hosts.into_iter().collect();
        let steps = usize::try_from(SPREAD.as_millis() / STEP.as_millis()).unwrap_or(1);
        Departures { share: waiting.len().div_ceil(steps), waiting, leaving: Vec::new() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.leaving.is_empty()
    }

    /// Tells whether a host has had its turn: nothing new is to be opened to it.
    pub(super) fn is_leaving(&self, host: LinkKey) -> bool {
        self.leaving.contains(&host)
    }

    fn next(&mut self) -> Vec<LinkKey> {
        let count = self.share.min(self.waiting.len());
        self.waiting.drain(..count).collect()
    }
}

impl Server {
    /// Begins to send hosts away, if there is another server that they can come to.
    pub(super) fn begin_departures(&mut self) {
        if self.cluster.as_ref().is_none_or(|cluster| cluster.links() == 0) {
            return;
        }
        self.departures = Departures::of(self.names.values().copied());
        // What no visitor needs at the moment holds no host.
        self.end_idle_streams(|_| true);
        self.go_on_with_departures();
    }

    /// Gives the next hosts their turn, and tells those to leave through which nothing is under way.
    pub(super) fn go_on_with_departures(&mut self) {
        if !matches!(self.stage, Stage::Draining(_)) {
            return;
        }
        let busy = self.busy_sessions();
        let mut leaving = std::mem::take(&mut self.departures.leaving);
        leaving.retain(|key| {
            let Some(host) = self.host(*key) else { return false };
            let is_busy = host.session.is_some_and(|session| busy.contains(&session));
            if !is_busy {
                self.send_away(*key, 1);
            }
            is_busy
        });
        let next = self.departures.next();
        let ids: Vec<HostId> = next.iter().filter_map(|key| Some(self.host(*key)?.id.clone())).collect();
        ids.iter().for_each(|id| self.leave_name(id));
        self.announce_names();
        leaving.extend(next);
        self.departures.leaving = leaving;
        if !self.departures.is_empty() {
            self.core.turn.set(STEP, Due::Server(ServerDue::Departure));
        }
    }

    /// Returns the sessions with hosts through which something is under way: a request, or the end of a stream.
    fn busy_sessions(&self) -> HashSet<SessionKey> {
        let requests = self.webs.iter().filter(|(_, web)| web.is_busy()).filter_map(|(_, web)| web.session());
        let pairs = self.cluster.iter().flat_map(|cluster| cluster.pairs.keys().map(|(session, _)| *session));
        requests.chain(pairs).chain(self.core.leaving.sessions()).collect()
    }

    /// Ends streams to hosts of other servers that are about to leave those, unless a request is under way.
    pub(super) fn leave_departing<'a>(&mut self, ids: impl IntoIterator<Item = &'a HostId>) {
        let ids: HashSet<&HostId> = ids.into_iter().collect();
        if !ids.is_empty() {
            let leads_there = |to: &Destination| to.epoch.is_some() && ids.contains(&to.id);
            self.end_idle_streams(leads_there);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::table::Table;

    #[test]
    fn turns_are_spread_over_five_seconds_and_nobody_is_left_out() {
        for count in [0_usize, 1, 30, 99, 100, 101, 1000, 12_345] {
            let mut table: Table<(), crate::run::keys::Link> = Table::new();
            let hosts: Vec<LinkKey> = (0..count).map(|_| table.insert(())).collect();
            let mut departures = Departures::of(hosts.iter().copied());
            let turns: Vec<Vec<LinkKey>> =
                std::iter::from_fn(|| Some(departures.next()).filter(|turn| !turn.is_empty())).collect();
            assert!(STEP * u32::try_from(turns.len()).unwrap() <= SPREAD);
            assert!(turns.iter().all(|turn| turn.len() <= count.div_ceil(100)));
            assert_eq!(turns.concat(), hosts);
            assert!(departures.is_empty());
        }
    }
}
