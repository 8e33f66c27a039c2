//! The invitations of a host: which count, which did until lately, and how many guesses each had. Values only: what
//! follows for links and sessions is in `inviting`.

use std::collections::hash_map::RandomState;
use std::fmt;
use std::hash::BuildHasher as _;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use crate::config::{Expiry, Invitation, MAX_INVITATIONS};
use crate::run::keys::{LinkKey, SessionKey};
use crate::run::rights::{Rights, Serial};
use crate::signaling::invitation::{InvitationId, Lapse};
use crate::signaling::limiter::{GuessLimiter, MAX_FAILURES};
use crate::signaling::pin::Pin;
use crate::signaling::url::SignalingUrl;

/// Number of groups of invitations. Those in a group share a pace of guesses, known or not, so what somebody waits for
/// one id says nothing of whether there is such an invitation.
const BUCKETS: u64 = 64;

/// How long somebody who proves the pin of a former invitation is told what became of it.
const REMEMBERED: Duration = Duration::from_secs(24 * 3600);

/// Maximum number of former invitations that are remembered; beyond it, the one that ended first is forgotten.
const MAX_FORMER: usize = 1024;

/// Time between looks at the time of day while an invitation has an end: people set that clock, and it goes on while
/// the machine sleeps.
const LOOK: Duration = Duration::from_secs(1);

/// A group of invitations. An id's group is not to be known outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Bucket(u64);

/// Which pin a client proves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Entrance {
    /// The host's own, also before the client has said anything.
    #[default]
    Own,
    /// That of an invitation; without a serial there is no such invitation, and nobody knows the pin.
    Invitation(Bucket, Option<Serial>),
}

/// The two clocks by which an invitation ends.
#[derive(Debug, Clone, Copy)]
pub(super) struct Clocks {
    /// Nobody can set this one.
    pub(super) now: Instant,
    /// The time of day.
    pub(super) day: SystemTime,
}

/// Where an invitation comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    /// The settings, which may be read again without it.
    Settings,
    /// It was made while the host ran, and stays until it ends.
    Made,
}

/// Why an invitation could not be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unmade {
    #[error("another invitation has that id")]
    IdTaken,
    #[error("there are {MAX_INVITATIONS} invitations already: take one back")]
    TooMany,
}

/// Why a client that proved the pin is not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Closed {
    /// The invitation does not count any more.
    Lapsed(Lapse),
    /// It has all the sessions it may have.
    Full,
}

/// The invitations of a host.
pub(super) struct Invitations {
    /// Ordered by their serials.
    entries: Vec<Entry>,
    count: u64,
    key: RandomState,
    /// Guesses of all of them, and at those that do not exist.
    pub(super) limiter: GuessLimiter<LinkKey, Bucket>,
}

/// An invitation. `Debug` shows no pin.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) serial: Serial,
    pub(super) id: InvitationId,
    pub(super) pin: Pin,
    pub(super) invitation: Invitation,
    pub(super) rights: Arc<Rights>,
    pub(super) origin: Origin,
    /// When it ends, by each clock.
    until: (Option<Instant>, Option<SystemTime>),
    failures: u32,
    state: State,
    /// The addresses under which it was reported.
    pub(super) reported: Vec<SignalingUrl>,
}

/// ```text
///  Open ◀──no channel came── Taken ──a channel came──▶ Taken, for good
///    └──────taken back, over──────┴──▶ Former ──24 h──▶ forgotten
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    /// It is for one client, and that one has come.
    Taken(Taker),
    /// It counts no more.
    Former {
        lapse: Lapse,
        forget_at: Instant,
    },
}

/// Who has taken an invitation that is for one client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Taker {
    Link(LinkKey),
    Session(SessionKey),
}

impl Invitations {
    pub(super) fn new() -> Invitations {
        Invitations { entries: Vec::new(), count: 0, key: RandomState::new(), limiter: GuessLimiter::new() }
    }

    /// Makes an invitation. Ids and pins that it lacks are generated.
    pub(super) fn make(&mut self, clocks: Clocks, invitation: Invitation, origin: Origin) -> Result<&Entry, Unmade> {
        if self.counting().count() >= MAX_INVITATIONS {
            return Err(Unmade::TooMany);
        }
        let id = match &invitation.id {
            Some(id) if self.counting().any(|entry| entry.id == *id) => return Err(Unmade::IdTaken),
            Some(id) => id.clone(),
            None => self.free_id(),
        };
        let serial = Serial(self.count);
        self.count += 1;
        let entry = Entry {
            serial,
            id,
            pin: invitation.pin.clone().unwrap_or_else(Pin::generate_long),
            rights: Arc::new(Rights::of(serial, &invitation)),
            until: until(clocks, invitation.expires),
            invitation,
            origin,
            failures: 0,
            state: State::Open,
            reported: Vec::new(),
        };
        self.entries.push(entry);
        Ok(&self.entries[self.entries.len() - 1])
    }

    /// Returns the pin for a client's hello, and which pin that is.
    pub(super) fn pin(&self, id: &InvitationId) -> (Pin, Entrance) {
        let bucket = Bucket(self.key.hash_one(id) % BUCKETS);
        // Generated in any case, so that both take as long.
        let unknown = Pin::generate_long();
        // One that counts goes before a former one of the same id, and that before an older one.
        let of_id = self.entries.iter().filter(|entry| entry.id == *id);
        match of_id.max_by_key(|entry| (entry.counts(), entry.serial)) {
            Some(entry) => (entry.pin.clone(), Entrance::Invitation(bucket, Some(entry.serial))),
            None => (unknown, Entrance::Invitation(bucket, None)),
        }
    }

    pub(super) fn get(&self, serial: Serial) -> Option<&Entry> {
        let index = self.entries.binary_search_by_key(&serial, |entry| entry.serial).ok()?;
        self.entries.get(index)
    }

    pub(super) fn get_mut(&mut self, serial: Serial) -> Option<&mut Entry> {
        let index = self.entries.binary_search_by_key(&serial, |entry| entry.serial).ok()?;
        self.entries.get_mut(index)
    }

    /// Returns the invitations that count.
    pub(super) fn counting(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter().filter(|entry| entry.counts())
    }

    pub(super) fn counting_mut(&mut self) -> impl Iterator<Item = &mut Entry> {
        self.entries.iter_mut().filter(|entry| entry.counts())
    }

    /// Lets in a client that proved the pin, on this link. `sessions` is how many it has at the moment.
    pub(super) fn enter(&mut self, serial: Serial, link: LinkKey, sessions: usize) -> Result<Arc<Rights>, Closed> {
        let entry = self.get_mut(serial).ok_or(Closed::Lapsed(Lapse::Revoked))?;
        match entry.state {
            State::Former { lapse, .. } => return Err(Closed::Lapsed(lapse)),
            State::Taken(_) => return Err(Closed::Lapsed(Lapse::Used)),
            State::Open => {}
        }
        let rights = entry.rights(sessions)?;
        if entry.invitation.once {
            entry.state = State::Taken(Taker::Link(link));
        }
        Ok(rights)
    }

    /// Lets in a client that was there before, and proved that. It takes nothing.
    pub(super) fn enter_again(&self, serial: Serial, sessions: usize) -> Result<Arc<Rights>, Closed> {
        let entry = self.get(serial).ok_or(Closed::Lapsed(Lapse::Revoked))?;
        if let State::Former { lapse, .. } = entry.state {
            return Err(Closed::Lapsed(lapse));
        }
        entry.rights(sessions)
    }

    /// Notes that the client of a link has a session by now.
    pub(super) fn began(&mut self, link: LinkKey, session: SessionKey) {
        self.of_taker(Taker::Link(link)).for_each(|entry| entry.state = State::Taken(Taker::Session(session)));
    }

    /// Notes that the client of a link gets no session.
    pub(super) fn turned_away(&mut self, link: LinkKey) {
        self.of_taker(Taker::Link(link)).for_each(|entry| entry.state = State::Open);
    }

    /// Notes that a session ended to which no channel came.
    pub(super) fn came_to_nothing(&mut self, session: SessionKey) {
        self.of_taker(Taker::Session(session)).for_each(|entry| entry.state = State::Open);
    }

    fn of_taker(&mut self, taker: Taker) -> impl Iterator<Item = &mut Entry> {
        self.entries.iter_mut().filter(move |entry| entry.state == State::Taken(taker))
    }

    /// Counts a guess at the pin. Returns true if that was one too many.
    pub(super) fn failed(&mut self, serial: Serial) -> bool {
        let Some(entry) = self.get_mut(serial) else { return false };
        entry.failures = entry.failures.saturating_add(1);
        entry.counts() && entry.failures >= MAX_FAILURES
    }

    /// Has an invitation count no more. Returns false if it does not, anyway.
    pub(super) fn end(&mut self, now: Instant, serial: Serial, lapse: Lapse) -> bool {
        let Some(entry) = self.get_mut(serial).filter(|entry| entry.counts()) else { return false };
        entry.state = State::Former { lapse, forget_at: now + REMEMBERED };
        let former = self.entries.iter().filter_map(Entry::former).min();
        if let Some((_, oldest)) = former
            && self.entries.len() - self.counting().count() > MAX_FORMER
        {
            self.entries.retain(|entry| entry.serial != oldest);
        }
        true
    }

    /// Returns the invitations whose time is over by either clock, and forgets those that ended long ago.
    pub(super) fn expired(&mut self, clocks: Clocks) -> Vec<Serial> {
        self.entries.retain(|entry| entry.former().is_none_or(|(forget_at, _)| forget_at > clocks.now));
        let is_over = |entry: &&Entry| {
            let (instant, day) = entry.until;
            instant.is_some_and(|at| at <= clocks.now) || day.is_some_and(|at| at <= clocks.day)
        };
        self.counting().filter(is_over).map(|entry| entry.serial).collect()
    }

    /// Returns when [`Invitations::expired`] must be called next.
    pub(super) fn poll_timeout(&self, now: Instant) -> Option<Instant> {
        let ends = self.counting().filter(|entry| entry.until.1.is_some());
        ends.map(|entry| entry.until.0.map_or(now + LOOK, |at| at.min(now + LOOK))).min()
    }

    fn free_id(&self) -> InvitationId {
        loop {
            let id = InvitationId::generate();
            if self.entries.iter().all(|entry| entry.id != id) {
                return id;
            }
        }
    }
}

impl Entry {
    /// Tells whether it counts.
    pub(super) fn counts(&self) -> bool {
        !matches!(self.state, State::Former { .. })
    }

    /// Returns the time of day at which it ends.
    pub(super) fn ends_at(&self) -> Option<SystemTime> {
        self.until.1
    }

    fn rights(&self, sessions: usize) -> Result<Arc<Rights>, Closed> {
        match self.invitation.max_sessions {
            Some(most) if sessions >= most => Err(Closed::Full),
            _ => Ok(self.rights.clone()),
        }
    }

    /// Returns when it is to be forgotten.
    fn former(&self) -> Option<(Instant, Serial)> {
        if let State::Former { forget_at, .. } = self.state { Some((forget_at, self.serial)) } else { None }
    }
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.invitation.label, self.id)
    }
}

/// Returns when an invitation ends by each clock. An end that is too far away for one has none there.
fn until(clocks: Clocks, expires: Option<Expiry>) -> (Option<Instant>, Option<SystemTime>) {
    let Clocks { now, day } = clocks;
    match expires {
        None => (None, None),
        Some(Expiry::After(life)) => (now.checked_add(life), day.checked_add(life)),
        Some(Expiry::At(end)) => (now.checked_add(end.duration_since(day).unwrap_or_default()), Some(end)),
    }
}

#[cfg(test)]
#[path = "invitations_tests.rs"]
mod tests;
