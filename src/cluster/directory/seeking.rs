//! What servers tell each other without the directory. While it is away, a name is sought on the links, and whoever has
//! the host says so.

use std::collections::{BTreeSet, HashMap};
use std::time::{Duration, Instant};

use super::lookups::Found;
use super::record::Record;
use super::{Directory, Event};
use crate::cluster::ServerId;
use crate::cluster::message::Here;
use crate::cluster::names::Entry;
use crate::signaling::rendezvous::HostId;

/// How long the other servers have to answer.
const SEEKING: Duration = Duration::from_millis(500);

/// How long it counts that none of them has the host.
const UNFOUND: Duration = Duration::from_secs(1);

/// Maximum number of names that are sought, or were not found just now.
const MAX_SOUGHT: usize = 4 * 1024;

/// Names that are sought on links.
#[derive(Debug, Default)]
pub(super) struct Sought {
    names: HashMap<HostId, State>,
    ends: BTreeSet<(Instant, HostId)>,
}

#[derive(Debug, Clone, Copy)]
struct State {
    until: Instant,
    /// Nobody had it.
    is_over: bool,
}

impl Sought {
    fn insert(&mut self, id: HostId, state: State) {
        self.ends.insert((state.until, id.clone()));
        self.names.insert(id, state);
    }

    /// Removes a name. Returns whether it was still sought.
    fn remove(&mut self, id: &HostId) -> bool {
        let Some(state) = self.names.remove(id) else { return false };
        self.ends.remove(&(state.until, id.clone()));
        !state.is_over
    }
}

impl Directory {
    /// Returns where a host is, and asks the other servers if that is not known: the directory cannot tell.
    pub fn seek(&mut self, now: Instant, id: &HostId) -> Found {
        if let Some(Some(record)) = self.cache.find(now, id) {
            return Found::At(record.clone());
        }
        match self.sought.names.get(id) {
            Some(state) if !state.is_over => return Found::Asked,
            Some(_) => return Found::Away,
            None if self.sought.names.len() >= MAX_SOUGHT => return Found::Away,
            None => {}
        }
        self.sought.insert(id.clone(), State { until: now + SEEKING, is_over: false });
        self.events.push_back(Event::Seek(id.clone()));
        Found::Asked
    }

    /// Takes note of a host that another server says it has. Returns what to answer: that host is here, and our claim
    /// goes before.
    pub fn learn(&mut self, now: Instant, server: ServerId, here: Here) -> Option<Here> {
        let Here { id, epoch, owner, instance, public, dial: dials, leaving: _ } = here;
        self.note_epoch(epoch);
        let record = Record { server, entry: Entry { epoch, owner, instance, public, dials } };
        if let Some(own) = self.holds(&id) {
            self.compare(now, &id, &record);
            return if record.beats(own, self.own.id) { None } else { self.here(&id) };
        }
        let known = self.cache.find(now, &id).flatten();
        if known.is_none_or(|known| record.beats(known.entry.epoch, known.server)) {
            self.cache.insert(now, &id, Some(record));
        }
        if self.sought.remove(&id) {
            self.sought_answered(now, id);
        }
        None
    }

    /// Ends what took too long.
    pub(super) fn end_seeking(&mut self, now: Instant) {
        while let Some((until, _)) = self.sought.ends.first()
            && *until <= now
            && let Some((_, id)) = self.sought.ends.pop_first()
        {
            if self.sought.names.remove(&id).is_some_and(|state| !state.is_over) {
                self.sought.insert(id.clone(), State { until: now + UNFOUND, is_over: true });
                self.sought_answered(now, id);
            }
        }
    }

    /// Stops seeking: the directory is back, and is asked.
    pub(super) fn stop_seeking(&mut self) {
        let waiting = std::mem::take(&mut self.sought).names.into_iter().filter(|(_, state)| !state.is_over);
        self.events.extend(waiting.map(|(id, _)| Event::Found(id)));
    }

    pub(super) fn next_unsought(&self) -> Option<Instant> {
        self.sought.ends.first().map(|(until, _)| *until)
    }

    fn sought_answered(&mut self, now: Instant, id: HostId) {
        self.settle_take(now, &id);
        self.events.push_back(Event::Found(id));
    }
}
