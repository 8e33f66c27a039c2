//! Answers of the directory that still count.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use super::record::Record;
use crate::cluster::ServerId;
use crate::signaling::rendezvous::HostId;

/// How long the place of a host counts.
const FOUND: Duration = Duration::from_secs(10);

/// How long it counts that there is no such host.
const ABSENT: Duration = Duration::from_secs(1);

/// Maximum number of answers; beyond it the oldest goes.
const MAX_ANSWERS: usize = 16 * 1024;

/// Answers by name. They are kept when their time is over: without a directory an old place is better than none.
#[derive(Debug, Default)]
pub(super) struct Cache {
    answers: HashMap<HostId, Cached>,
    /// The names, those that were asked for first in front. Some may be gone, or be there again.
    order: VecDeque<(HostId, u64)>,
    /// Number of answers so far.
    count: u64,
}

#[derive(Debug)]
struct Cached {
    record: Option<Record>,
    until: Instant,
    number: u64,
}

impl Cache {
    /// Returns what is known: the host's record, or that there is none.
    pub(super) fn find(&self, now: Instant, id: &HostId) -> Option<Option<&Record>> {
        self.answers.get(id).filter(|cached| now < cached.until).map(|cached| cached.record.as_ref())
    }

    /// Returns where a host was, even if that does not count any more.
    pub(super) fn recall(&self, id: &HostId) -> Option<&Record> {
        self.answers.get(id)?.record.as_ref()
    }

    /// Keeps an answer.
    pub(super) fn insert(&mut self, now: Instant, id: &HostId, record: Option<Record>) {
        let until = now + if record.is_some() { FOUND } else { ABSENT };
        self.count += 1;
        self.answers.insert(id.clone(), Cached { record, until, number: self.count });
        self.order.push_back((id.clone(), self.count));
        while self.answers.len() > MAX_ANSWERS || self.order.len() > 2 * MAX_ANSWERS {
            let Some((id, number)) = self.order.pop_front() else { break };
            if self.answers.get(&id).is_some_and(|cached| cached.number == number) {
                self.answers.remove(&id);
            }
        }
    }

    /// Has the next look-up of a name ask the directory.
    pub(super) fn expire(&mut self, now: Instant, id: &HostId) {
        self.answers.get_mut(id).into_iter().for_each(|cached| cached.until = now);
    }

    /// Forgets an answer.
    pub(super) fn remove(&mut self, id: &HostId) {
        self.answers.remove(id);
    }

    /// Has every look-up ask the directory.
    pub(super) fn expire_all(&mut self, now: Instant) {
        self.answers.values_mut().for_each(|cached| cached.until = cached.until.min(now));
    }

    /// Has look-ups of hosts at a server ask the directory.
    pub(super) fn expire_server(&mut self, now: Instant, server: ServerId) {
        let is_there = |cached: &&mut Cached| cached.record.as_ref().is_some_and(|record| record.server == server);
        self.answers.values_mut().filter(is_there).for_each(|cached| cached.until = cached.until.min(now));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::names::Entry;
    use crate::signaling::binary::Binary;

    fn record(server: u8) -> Record {
        let tag = Binary([0; 32]);
        let entry = Entry { epoch: 1, owner: tag, instance: tag, public: None, dials: false };
        Record { server: ServerId::of([server; 16]), entry }
    }

    fn id(text: &str) -> HostId {
        text.parse().unwrap()
    }

    #[test]
    fn answers_count_for_their_time_and_are_remembered() {
        let (mut cache, now) = (Cache::default(), Instant::now());
        cache.insert(now, &id("one"), Some(record(1)));
        cache.insert(now, &id("none"), None);
        assert_eq!(cache.find(now, &id("one")), Some(Some(&record(1))));
        assert_eq!((cache.find(now, &id("none")), cache.find(now, &id("two"))), (Some(None), None));
        assert_eq!(cache.find(now + ABSENT, &id("none")), None);
        assert_eq!(cache.find(now + FOUND, &id("one")), None);
        assert_eq!(cache.recall(&id("one")), Some(&record(1)));
        cache.expire_server(now, ServerId::of([2; 16]));
        assert!(cache.find(now, &id("one")).is_some());
        cache.expire_server(now, ServerId::of([1; 16]));
        assert!(cache.find(now, &id("one")).is_none() && cache.recall(&id("one")).is_some());
    }

    #[test]
    fn the_oldest_answers_go_first() {
        let (mut cache, now) = (Cache::default(), Instant::now());
        for round in 0..3 {
            cache.insert(now, &id("again"), Some(record(round)));
        }
        for number in 0..MAX_ANSWERS {
            cache.insert(now, &id(&format!("host-{number}")), None);
            cache.insert(now, &id("again"), Some(record(9)));
        }
        assert_eq!(cache.answers.len(), MAX_ANSWERS);
        assert!(cache.order.len() <= 2 * MAX_ANSWERS);
        assert_eq!(cache.recall(&id("again")), Some(&record(9)));
        assert!(cache.find(now, &id("host-0")).is_none() && cache.find(now, &id("host-100")).is_some());
    }
}
