//! The names of our own hosts: asked for, renewed, given up, lost.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use super::Directory;
use super::lookups::Found;
use super::record::Record;
use super::request::{Answer, Request};
use super::{Event, Standing};
use crate::cluster::message::Here;
use crate::cluster::names::Claim;
use crate::signaling::rendezvous::HostId;

/// Longest time between renewals of a name. A server that is cut off from the directory vanishes from there before its
/// names do, so that others know that they may be missing.
const RENEWAL: Duration = Duration::from_secs(9);

/// Renewals are spread over the last quarter of that time.
const SPREAD: u64 = 2500;

/// Maximum number of renewals without an answer, so that a look-up never waits for more.
const MAX_RENEWING: usize = 256;

/// How long a name lasts in the directory without a renewal.
const LASTING: Duration = Duration::from_secs(30);

/// Maximum number of names to give up once the directory is back. Further ones end by themselves.
const MAX_GIVEN_UP: usize = 16 * 1024;

/// What became of a name that was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is ours.
    Held,
    /// The directory is away: the host has the name here, and [`Directory::claim`] has it written later.
    Here,
    /// Another owner has it.
    Taken,
    /// The owner has all the hosts it may have.
    Full,
}

/// A name that was ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loss {
    /// The name.
    pub id: HostId,
    /// How it was lost.
    pub how: Lost,
}

/// How a name was lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lost {
    /// The same process has come to another server.
    Moved,
    /// Another process of the same owner has it.
    Replaced,
    /// Another owner has it: it was there when this server could not ask.
    Taken,
}

/// A name of ours.
#[derive(Debug)]
pub(super) struct Holding {
    claim: Claim,
    state: State,
}

#[derive(Debug)]
enum State {
    /// It is asked for; `most` is how many hosts the owner may have.
    Taking { number: u64, most: usize, is_sent: bool },
    /// A host has it.
    Held {
        epoch: u64,
        /// Fields may differ from those in the directory.
        is_changed: bool,
        /// `None` while the renewal has no answer.
        renew_at: Option<Instant>,
    },
}

/// A name that was given up, and is still ours in the directory.
#[derive(Debug)]
pub(super) struct GivenUp {
    claim: Claim,
    epoch: Option<u64>,
    at: Instant,
}

impl Directory {
    /// Asks for a name, for a host that registers; [`Event::Taken`] follows. `most` is how many hosts its owner may
    /// have, 0 any number.
    pub fn take(&mut self, now: Instant, id: &HostId, claim: Claim, most: usize) {
        self.give_up_names(now);
        self.takes += 1;
        let is_sent = self.is_up();
        let state = State::Taking { number: self.takes, most, is_sent };
        self.holdings.insert(id.clone(), Holding { claim, state });
        if is_sent {
            self.send_take(now, id);
        } else if self.standing == Standing::Away && self.seek(now, id) != Found::Asked {
            self.settle_take(now, id);
        }
    }

    /// Writes that a host here has a name: one that is ours already, that was given up in this turn, or that could not
    /// be asked for.
    pub fn claim(&mut self, now: Instant, id: &HostId, claim: Claim) {
        // What was lost a moment ago was the former host's.
        self.events.retain(|event| !matches!(event, Event::Lost(loss) if loss.id == *id));
        let given_up = self.given_up.remove(id).and_then(|given_up| Some((given_up.epoch?, given_up.claim)));
        let present = self.holdings.remove(id);
        let known = present.and_then(|Holding { claim, state }| match state {
            State::Held { epoch, renew_at, .. } => {
                unplan(&mut self.renewals, renew_at, id);
                Some((epoch, claim, renew_at))
            }
            State::Taking { .. } => None,
        });
        let known = known.or(given_up.map(|(epoch, claim)| (epoch, claim, None)));
        let (epoch, is_changed, renew_at) = match known {
            Some((epoch, former, Some(at))) if former == claim => (epoch, false, at),
            Some((epoch, ..)) => (epoch, true, now),
            None => {
                self.highest += 1;
                if self.standing == Standing::Away {
                    self.events.push_back(Event::Tell(id.clone()));
                }
                (self.highest, true, now)
            }
        };
        self.renewals.insert((renew_at, id.clone()));
        let state = State::Held { epoch, is_changed, renew_at: Some(renew_at) };
        self.holdings.insert(id.clone(), Holding { claim, state });
    }

    /// Gives up a name whose host has left, or that no host waits for any more.
    pub fn release(&mut self, now: Instant, id: &HostId) {
        let Some(Holding { claim, state }) = self.holdings.remove(id) else { return };
        // The answer of one that is asked for, if it comes, is given back.
        let State::Held { epoch, renew_at, .. } = state else { return };
        unplan(&mut self.renewals, renew_at, id);
        if self.is_leaving {
            // The host takes it at another server. Until then it is away, and not unknown.
            return;
        }
        if self.given_up.len() >= MAX_GIVEN_UP {
            self.given_up.retain(|_, given_up| now < given_up.at + LASTING);
        }
        if self.given_up.len() < MAX_GIVEN_UP {
            self.given_up.insert(id.clone(), GivenUp { claim, epoch: Some(epoch), at: now });
        }
    }

    /// Returns the epoch of a name that a host here has.
    pub fn holds(&self, id: &HostId) -> Option<u64> {
        match self.holdings.get(id)?.state {
            State::Held { epoch, .. } => Some(epoch),
            State::Taking { .. } => None,
        }
    }

    /// Gives back a name that the directory has for us, and no host has.
    pub(super) fn give_back(&mut self, now: Instant, id: &HostId, record: &Record) {
        let entry = &record.entry;
        let (owners, instances) = (vec![entry.owner], vec![entry.instance]);
        let claim = Claim { owners, instances, public: None, dials: false };
        self.send(now, Request::GiveUp { id: id.clone(), claim: Box::new(claim), epoch: Some(entry.epoch) });
    }

    pub(super) fn give_up_names(&mut self, now: Instant) {
        if !self.is_up() {
            return;
        }
        for (id, GivenUp { claim, epoch, .. }) in std::mem::take(&mut self.given_up) {
            self.send(now, Request::GiveUp { id, claim: Box::new(claim), epoch });
        }
    }

    fn send_take(&mut self, now: Instant, id: &HostId) {
        let Some(Holding { claim, state: State::Taking { number, most, is_sent } }) = self.holdings.get_mut(id) else {
            return;
        };
        *is_sent = true;
        let (claim, number, most, highest) = (Box::new(claim.clone()), *number, *most, self.highest);
        self.send(now, Request::Take { id: id.clone(), number, claim, most, highest });
    }

    pub(super) fn send_takes(&mut self, now: Instant) {
        let is_waiting = |holding: &Holding| matches!(holding.state, State::Taking { is_sent: false, .. });
        let waiting = self.holdings.iter().filter(|(_, holding)| is_waiting(holding));
        let waiting: Vec<HostId> = waiting.map(|(id, _)| id.clone()).collect();
        waiting.iter().for_each(|id| self.send_take(now, id));
    }

    /// The connection is gone, and with it the answers.
    pub(super) fn unsend_takes(&mut self) {
        for holding in self.holdings.values_mut() {
            if let State::Taking { is_sent, .. } = &mut holding.state {
                *is_sent = false;
            }
        }
    }

    /// Has hosts wait for the other servers and no longer for the directory, which is away.
    pub(super) fn give_up_takes(&mut self, now: Instant) {
        let is_taking = |holding: &Holding| matches!(holding.state, State::Taking { .. });
        let taking = self.holdings.iter().filter(|(_, holding)| is_taking(holding));
        let taking: Vec<HostId> = taking.map(|(id, _)| id.clone()).collect();
        for id in taking {
            if self.seek(now, &id) != Found::Asked {
                self.settle_take(now, &id);
            }
        }
    }

    /// Decides about a name by what the other servers said.
    pub(super) fn settle_take(&mut self, now: Instant, id: &HostId) {
        let Some(Holding { claim, state: State::Taking { .. } }) = self.holdings.get(id) else { return };
        let is_others = |record: &Record| record.server != self.own.id && !claim.owners.contains(&record.entry.owner);
        let is_taken = self.cache.find(now, id).flatten().is_some_and(is_others);
        self.holdings.remove(id);
        let verdict = if is_taken { Verdict::Taken } else { Verdict::Here };
        self.events.push_back(Event::Taken(id.clone(), verdict));
    }

    /// Returns what other servers are told of a host here.
    pub fn here(&self, id: &HostId) -> Option<Here> {
        let Holding { claim, state: State::Held { epoch, .. } } = self.holdings.get(id)? else { return None };
        let (owner, instance) = (*claim.owners.first()?, *claim.instances.first()?);
        let (public, dial) = (claim.public.clone(), claim.dials);
        Some(Here { id: id.clone(), epoch: *epoch, owner, instance, public, dial, leaving: false })
    }

    pub(super) fn take_answered(
        &mut self,
        now: Instant,
        id: &HostId,
        (number, claim): (u64, Box<Claim>),
        answer: Answer,
    ) {
        let is_awaited =
            |holding: &Holding| matches!(holding.state, State::Taking { number: own, .. } if own == number);
        let is_awaited = self.holdings.get(id).is_some_and(is_awaited);
        let verdict = match answer {
            Answer::Held(epoch) => {
                self.note_epoch(epoch);
                match is_awaited {
                    true => self.held(now, id, epoch),
                    false => return self.held_late(now, id, (epoch, claim)),
                }
                Verdict::Held
            }
            Answer::Full => Verdict::Full,
            _ => Verdict::Taken,
        };
        if is_awaited {
            if verdict != Verdict::Held {
                self.holdings.remove(id);
            }
            self.events.push_back(Event::Taken(id.clone(), verdict));
        }
    }

    /// Handles a name that is ours after all, when nobody waited for the answer any more.
    fn held_late(&mut self, now: Instant, id: &HostId, (epoch, claim): (u64, Box<Claim>)) {
        match self.holdings.get_mut(id).map(|holding| &mut holding.state) {
            // It was taken here meanwhile. The higher epoch counts, and is written.
            Some(State::Held { epoch: own, is_changed, renew_at }) => {
                (*own, *is_changed) = ((*own).max(epoch), true);
                unplan(&mut self.renewals, renew_at.replace(now), id);
                self.renewals.insert((now, id.clone()));
            }
            // Another host asks for it now, and its answer follows.
            Some(State::Taking { .. }) => {}
            None => self.send(now, Request::GiveUp { id: id.clone(), claim, epoch: Some(epoch) }),
        }
    }

    pub(super) fn hold_answered(&mut self, now: Instant, id: &HostId, epoch: u64, answer: Answer) {
        if self.holds(id) != Some(epoch) {
            return;
        }
        match answer {
            Answer::Held(_) => self.held(now, id, epoch),
            Answer::Lost(record) => {
                self.note_epoch(record.entry.epoch);
                self.lose(now, id, Some(&record));
            }
            _ => self.lose(now, id, None),
        }
    }

    /// Compares what the directory says of a name with what we have.
    pub(super) fn compare(&mut self, now: Instant, id: &HostId, record: &Record) {
        let Some(Holding { claim, state: State::Held { epoch, .. } }) = self.holdings.get(id) else { return };
        if record.server == self.own.id || !record.beats(*epoch, self.own.id) {
            return;
        }
        match claim.owners.contains(&record.entry.owner) {
            true => self.lose(now, id, Some(record)),
            // Which of two owners was there first, the directory itself knows best.
            false => self.hurry(now, id),
        }
    }

    /// Renews a name at once, if it is ours.
    pub(super) fn hurry(&mut self, now: Instant, id: &HostId) {
        if let Some(Holding { state: State::Held { renew_at: Some(at), .. }, .. }) = self.holdings.get_mut(id) {
            let planned = std::mem::replace(at, now);
            unplan(&mut self.renewals, Some(planned), id);
            self.renewals.insert((now, id.clone()));
        }
    }

    fn lose(&mut self, now: Instant, id: &HostId, record: Option<&Record>) {
        let Some(Holding { claim, state }) = self.holdings.remove(id) else { return };
        if let State::Held { renew_at, .. } = state {
            unplan(&mut self.renewals, renew_at, id);
        }
        let how = match record.map(|record| &record.entry) {
            Some(entry) if claim.instances.contains(&entry.instance) => Lost::Moved,
            Some(entry) if claim.owners.contains(&entry.owner) => Lost::Replaced,
            _ => Lost::Taken,
        };
        self.cache.insert(now, id, record.cloned());
        self.events.push_back(Event::Lost(Loss { id: id.clone(), how }));
    }

    /// The name is ours in the directory, too: the next renewal has time.
    fn held(&mut self, now: Instant, id: &HostId, epoch: u64) {
        let Some(holding) = self.holdings.get_mut(id) else { return };
        let planned = match &holding.state {
            State::Held { renew_at: Some(at), .. } => Some(*at),
            _ => None,
        };
        // A change that came meanwhile is still to be written.
        if planned.is_none() {
            let at = now + RENEWAL - Duration::from_millis(spread(id));
            holding.state = State::Held { epoch, is_changed: false, renew_at: Some(at) };
            self.renewals.insert((at, id.clone()));
        }
    }

    /// Has every name written again, as fast as the directory answers.
    pub(super) fn renew_all(&mut self, now: Instant) {
        self.renewals.clear();
        for (id, holding) in &mut self.holdings {
            if let State::Held { renew_at, .. } = &mut holding.state {
                *renew_at = Some(now);
                self.renewals.insert((now, id.clone()));
            }
        }
    }

    /// Renews the names that are due, as many as may be under way.
    pub(super) fn renew(&mut self, now: Instant) {
        while self.renewing < MAX_RENEWING
            && self.renewals.first().is_some_and(|(at, _)| *at <= now)
            && let Some((_, id)) = self.renewals.pop_first()
        {
            let Some(Holding { claim, state: State::Held { epoch, is_changed, renew_at } }) =
                self.holdings.get_mut(&id)
            else {
                continue;
            };
            *renew_at = None;
            let (claim, epoch, is_changed) = (Box::new(claim.clone()), *epoch, *is_changed);
            self.send(now, Request::Hold { id, claim, epoch, is_changed });
        }
    }

    pub(super) fn next_renewal(&self) -> Option<Instant> {
        let is_possible = self.is_up() && self.renewing < MAX_RENEWING;
        self.renewals.first().filter(|_| is_possible).map(|(at, _)| *at)
    }
}

fn unplan(renewals: &mut BTreeSet<(Instant, HostId)>, at: Option<Instant>, id: &HostId) {
    if let Some(at) = at {
        renewals.remove(&(at, id.clone()));
    }
}

/// Returns by how much the renewal of a name comes early, in milliseconds, so that many do not come at once.
fn spread(id: &HostId) -> u64 {
    id.as_str().bytes().fold(0_u64, |sum, byte| sum.wrapping_mul(31).wrapping_add(u64::from(byte))) % SPREAD
}
