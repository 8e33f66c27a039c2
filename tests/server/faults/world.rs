//! What is so at each moment, by what was done to the servers and what they said, and what must follow from it.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

use serde_json::Value;

/// Servers of the cluster.
pub(super) const SERVERS: usize = 3;

/// A host that came back is reachable through every server after this time.
pub(super) const REACHABLE: Duration = Duration::from_secs(5);

/// An id has two holders no longer than this.
const TWO_HOLDERS: Duration = Duration::from_secs(15);

/// Shared by all who put the cluster under load and look at it.
pub(super) struct World {
    state: Mutex<State>,
}

struct State {
    /// What happens at the moment.
    fault: String,
    /// Since when each server runs and is not frozen.
    servers: [Option<Instant>; SERVERS],
    /// Since when nothing is done to the link of two servers, the lower first.
    links: BTreeMap<(usize, usize), Option<Instant>>,
    /// Since when nothing is done to the directory.
    directory: Option<Instant>,
    hosts: BTreeMap<String, Holders>,
    violations: Vec<String>,
    tally: Tally,
}

/// The servers that say that they have a host, and since when.
#[derive(Default)]
struct Holders {
    since: BTreeMap<usize, Instant>,
    /// Since when there are two that run.
    two: Option<Instant>,
}

/// What was tried.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Tally {
    /// Visitors and clients that came through, and those that were told to come again.
    pub(super) served: u64,
    pub(super) put_off: u64,
    /// Bytes that came back, all of them right.
    pub(super) bytes: u64,
}

impl World {
    pub(super) fn new() -> World {
        let pairs = (0..SERVERS).flat_map(|low| (low + 1..SERVERS).map(move |high| (low, high)));
        let links = pairs.map(|pair| (pair, Some(Instant::now()))).collect();
        World {
            state: Mutex::new(State {
                fault: "the start".to_owned(),
                servers: [None; SERVERS],
                links,
                directory: Some(Instant::now()),
                hosts: BTreeMap::new(),
                violations: Vec::new(),
                tally: Tally::default(),
            }),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// Names what happens next.
    pub(super) fn begin(&self, fault: &str) {
        fault.clone_into(&mut self.state().fault);
    }

    /// Says that a server runs from now on, or that it does not.
    pub(super) fn server(&self, server: usize, runs: bool) {
        self.state().servers[server] = runs.then(Instant::now);
    }

    /// Says that nothing is done to a link from now on, or that something is.
    pub(super) fn link(&self, one: usize, other: usize, is_whole: bool) {
        self.state().links.insert((one.min(other), one.max(other)), is_whole.then(Instant::now));
    }

    /// Says that nothing is done to the directory from now on, or that something is.
    pub(super) fn directory(&self, is_whole: bool) {
        self.state().directory = is_whole.then(Instant::now);
    }

    /// Says that a server's process is gone, with all that it held.
    pub(super) fn emptied(&self, server: usize) {
        let mut state = self.state();
        state.servers[server] = None;
        state.hosts.values_mut().for_each(|holders| {
            holders.since.remove(&server);
        });
    }

    /// Handles what a server said.
    pub(super) fn heard(&self, server: usize, event: &Value) {
        let Some(id) = event["id"].as_str() else { return };
        let mut state = self.state();
        let holders = state.hosts.entry(id.to_owned()).or_default();
        match event["event"].as_str() {
            Some("host-joined") => drop(holders.since.insert(server, Instant::now())),
            Some("host-left") => drop(holders.since.remove(&server)),
            _ => {}
        }
    }

    pub(super) fn running(&self) -> Vec<usize> {
        let state = self.state();
        (0..SERVERS).filter(|&server| state.servers[server].is_some()).collect()
    }

    /// Returns the server that runs and was the last to get the host.
    pub(super) fn holder(&self, id: &str) -> Option<usize> {
        self.state().holder(id).map(|(server, _)| server)
    }

    /// Returns when that server got the host.
    pub(super) fn joined(&self, id: &str) -> Option<Instant> {
        self.state().holder(id).map(|(_, since)| since)
    }

    /// Returns since when a host has had to be reachable through a server, if nothing stands between the two.
    pub(super) fn whole_since(&self, id: &str, through: usize) -> Option<Instant> {
        let state = self.state();
        let (holder, joined) = state.holder(id)?;
        let since = joined.max(state.servers[holder]?).max(state.servers[through]?);
        match holder == through {
            true => Some(since),
            false => {
                let link = state.links[&(holder.min(through), holder.max(through))]?;
                Some(since.max(link).max(state.directory?))
            }
        }
    }

    /// Tells whether a host had to be reachable through a server during all of an attempt that began then.
    pub(super) fn was_due(&self, id: &str, through: usize, begun: Instant) -> bool {
        self.whole_since(id, through).is_some_and(|since| since + REACHABLE < begun)
    }

    /// Returns how long it took until a host could be reached again, which must not be too long.
    pub(super) fn took(&self, id: &str, through: usize, since: Instant) -> Duration {
        let (took, holder) = (since.elapsed(), self.holder(id));
        if took > REACHABLE {
            self.violated(&format!("{id} of server {holder:?} is reachable through {through} only after {took:?}"));
        }
        took
    }

    pub(super) fn served(&self) {
        self.state().tally.served += 1;
    }

    pub(super) fn put_off(&self) {
        self.state().tally.put_off += 1;
    }

    pub(super) fn came_back(&self, bytes: u64) {
        self.state().tally.bytes += bytes;
    }

    pub(super) fn tally(&self) -> Tally {
        self.state().tally
    }

    pub(super) fn violated(&self, what: &str) {
        let mut state = self.state();
        let violation = format!("{}: {what}", state.fault);
        eprintln!("violation: {violation}");
        state.violations.push(violation);
    }

    pub(super) fn violations(&self) -> Vec<String> {
        self.state().violations.clone()
    }

    /// Looks for ids with two holders for too long.
    pub(super) fn look(&self) {
        let now = Instant::now();
        let mut state = self.state();
        let State { servers, links, hosts, .. } = &mut *state;
        let mut found = Vec::new();
        for (id, holders) in hosts {
            let all: Vec<usize> = holders.since.keys().copied().filter(|&server| servers[server].is_some()).collect();
            // Those that nothing can tell of each other may well have the same.
            let know_each_other =
                links.iter().any(|((low, high), whole)| whole.is_some() && all.contains(low) && all.contains(high));
            holders.two = know_each_other.then(|| holders.two.unwrap_or(now));
            if let Some(since) = holders.two.filter(|&since| since + TWO_HOLDERS < now) {
                found.push(format!("{id} is at servers {all:?} for {:?}", now - since));
                holders.two = Some(now);
            }
        }
        drop(state);
        found.iter().for_each(|violation| self.violated(violation));
    }
}

impl State {
    fn holder(&self, id: &str) -> Option<(usize, Instant)> {
        let holders = self.hosts.get(id)?;
        let running = holders.since.iter().filter(|(server, _)| self.servers[**server].is_some());
        running.max_by_key(|(_, since)| **since).map(|(server, since)| (*server, *since))
    }
}
