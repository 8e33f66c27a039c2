//! Look-ups: one for each name at a time, however many wait for it.

use std::time::Instant;

use super::record::Record;
use super::request::{CHANGES, Request};
use super::resp::Value;
use super::{Directory, Event, Standing};
use crate::cluster::ServerId;
use crate::signaling::rendezvous::HostId;

/// Maximum number of look-ups under way.
const MAX_ASKED: usize = 8 * 1024;

/// Where a host is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// There.
    At(Record),
    /// No server has it.
    Nowhere,
    /// That cannot be told at the moment.
    Away,
    /// The directory is asked; [`Event::Found`] follows.
    Asked,
}

/// How many look-ups had which result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LookUps {
    /// The host was found.
    pub found: u64,
    /// There is no such host.
    pub absent: u64,
    /// The directory did not answer in time.
    pub away: u64,
}

/// A look-up under way.
#[derive(Debug, Default)]
pub(super) struct Asked {
    pub(super) is_sent: bool,
    /// Something changed since it was sent.
    is_outdated: bool,
    /// It was asked again already.
    is_second: bool,
}

impl Directory {
    /// Returns where a host is, and asks the directory if that is not known.
    pub fn find(&mut self, now: Instant, id: &HostId) -> Found {
        match self.cache.find(now, id).map(|record| record.cloned()) {
            Some(Some(record)) => Found::At(record),
            Some(None) if now < self.absent_from => Found::Away,
            Some(None) => Found::Nowhere,
            None if self.standing != Standing::Away => match self.ask(now, id) {
                true => Found::Asked,
                false => self.recall(id),
            },
            None => match self.recall(id) {
                Found::Away => self.seek(now, id),
                found => found,
            },
        }
    }

    /// Returns where a host is or was, without asking.
    pub fn recall(&self, id: &HostId) -> Found {
        self.cache.recall(id).map_or(Found::Away, |record| Found::At(record.clone()))
    }

    /// Has the next look-up of a name ask the directory: the host was not where it should be.
    pub fn forget(&mut self, now: Instant, id: &HostId) {
        match self.standing {
            // What was true once is of no use if it is not true any more.
            Standing::Away => self.cache.remove(id),
            Standing::Hoping(_) | Standing::Up => self.cache.expire(now, id),
        }
        self.asked.get_mut(id).into_iter().for_each(|asked| asked.is_outdated = asked.is_sent);
    }

    /// Has the next look-ups of hosts at a server ask the directory: its link is lost.
    pub fn forget_server(&mut self, now: Instant, server: ServerId) {
        self.cache.expire_server(now, server);
    }

    /// Returns how many look-ups there were.
    pub fn lookups(&self) -> LookUps {
        self.lookups
    }

    /// Asks where a host is, unless that is being asked. Returns false if too much is.
    fn ask(&mut self, now: Instant, id: &HostId) -> bool {
        if self.asked.contains_key(id) {
            return true;
        }
        if self.asked.len() >= MAX_ASKED {
            return false;
        }
        let is_sent = self.is_up();
        self.asked.insert(id.clone(), Asked { is_sent, ..Asked::default() });
        if is_sent {
            self.send(now, Request::Find(id.clone()));
        }
        true
    }

    /// Handles the answer to a look-up.
    pub(super) fn found(&mut self, now: Instant, id: &HostId, record: Option<Record>) {
        record.iter().for_each(|record| self.note_epoch(record.entry.epoch));
        // Late ones still tell where the host is.
        if let Some(asked) = self.asked.get_mut(id)
            && asked.is_outdated
            && !asked.is_second
        {
            *asked = Asked { is_sent: true, is_outdated: false, is_second: true };
            return self.send(now, Request::Find(id.clone()));
        }
        let own = self.own.id;
        let record = match record {
            Some(record) if record.server == own && !self.holdings.contains_key(id) => {
                self.give_back(now, id, &record);
                None
            }
            Some(record) => {
                self.compare(now, id, &record);
                Some(record)
            }
            None => {
                // Whoever had taken it from us is gone.
                self.hurry(now, id);
                None
            }
        };
        let is_waited_for = self.asked.remove(id).is_some();
        match record {
            Some(_) => self.lookups.found += u64::from(is_waited_for),
            None => self.lookups.absent += u64::from(is_waited_for),
        }
        self.cache.insert(now, id, record);
        if is_waited_for {
            self.events.push_back(Event::Found(id.clone()));
        }
    }

    /// Sends the look-ups that waited for the directory.
    pub(super) fn send_lookups(&mut self, now: Instant) {
        let waiting = self.asked.iter_mut().filter(|(_, asked)| !asked.is_sent);
        let sent = |(id, asked): (&HostId, &mut Asked)| {
            asked.is_sent = true;
            id.clone()
        };
        let waiting: Vec<HostId> = waiting.map(sent).collect();
        waiting.into_iter().for_each(|id| self.send(now, Request::Find(id)));
    }

    /// Ends all look-ups: the directory is away, and the other servers are asked.
    pub(super) fn give_up_lookups(&mut self, now: Instant) {
        self.lookups.away += self.asked.len() as u64;
        for (id, _) in std::mem::take(&mut self.asked) {
            if self.find(now, &id) != Found::Asked {
                self.events.push_back(Event::Found(id));
            }
        }
    }

    /// Handles something that nobody asked for: a hint that a name has changed hands. Only the directory itself is
    /// believed.
    pub(super) fn handle_push(&mut self, now: Instant, values: &[Value]) {
        let [kind, channel, hint] = values else { return };
        if (kind.text(), channel.text()) != (Some("message"), Some(CHANGES)) {
            return;
        }
        let mut words = hint.text().unwrap_or_default().split(' ');
        let (id, epoch, server) = (words.next(), words.next(), words.next());
        let (Some(id), Some(server)) = (id.and_then(|id| id.parse().ok()), server.and_then(ServerId::parse)) else {
            return;
        };
        if server == self.own.id {
            return;
        }
        self.forget(now, &id);
        let epoch: u64 = epoch.and_then(|epoch| epoch.parse().ok()).unwrap_or_default();
        if self.holds(&id).is_some_and(|own| (own, self.own.id) < (epoch, server)) && self.is_up() {
            self.ask(now, &id);
        }
    }
}
