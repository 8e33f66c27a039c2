//! Whether the directory can be relied on, and the clock of everything that is asked of it.

use std::time::{Duration, Instant};

use super::request::{Birth, Request};
use super::{ANNOUNCE, Directory, DirectoryError, Event, HANG, PATIENCE};

/// After the directory came back, or was found empty, what is missing may only not have been written again yet.
const RETURNING: Duration = Duration::from_secs(15);

/// ```text
///  Hoping ──answered──▶ Up ──cut off──▶ Hoping
///     └──too late──▶ Away ◀──silent──┘
///                     └──answered──▶ Up
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It was cut off just now, or this server just started. Until then, what is wanted waits.
    Hoping(Instant),
    /// It answers.
    Up,
    /// It does not, and nothing waits for it.
    Away,
}

impl Directory {
    /// Tells whether the directory answers.
    pub fn is_up(&self) -> bool {
        self.standing == Standing::Up
    }

    /// Tells whether everything goes on without the directory.
    pub fn is_away(&self) -> bool {
        self.standing == Standing::Away
    }

    /// Handles the end of the connection. What was under way is asked again on the next one.
    pub fn disconnected(&mut self, now: Instant) {
        let oldest = self.sent.front().map_or(now, |sent| sent.at);
        self.sent.clear();
        self.output.clear();
        (self.renewing, self.is_open) = (0, false);
        self.asked.values_mut().for_each(|asked| asked.is_sent = false);
        self.unsend_takes();
        if self.is_up() {
            self.standing = Standing::Hoping(oldest + PATIENCE);
        }
    }

    /// Handles a deadline.
    ///
    /// # Errors
    /// The connection hangs, and is of no use any more.
    pub fn handle_timeout(&mut self, now: Instant) -> Result<(), DirectoryError> {
        let is_late = match self.standing {
            Standing::Hoping(until) => until <= now,
            Standing::Up => self.is_silent_for(now, PATIENCE),
            Standing::Away => false,
        };
        if is_late {
            self.standing = Standing::Away;
            self.events.push_back(Event::Away);
            self.give_up_lookups(now);
            self.give_up_takes(now);
        }
        self.end_seeking(now);
        if self.is_up() && self.announce_at <= now && !self.is_leaving {
            self.announce_at = now + ANNOUNCE;
            self.send(now, Request::Announce);
        }
        if self.is_silent_for(now, HANG) { Err(DirectoryError::Silent) } else { Ok(()) }
    }

    /// Returns when [`Directory::handle_timeout`] is due, or [`Directory::poll_output`] has more.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let oldest = self.sent.front().map(|sent| sent.at);
        let standing = match self.standing {
            Standing::Hoping(until) => Some(until),
            Standing::Up => oldest.map(|at| at + PATIENCE),
            Standing::Away => None,
        };
        let is_announced = self.is_up() && !self.is_leaving;
        let announce = is_announced.then_some(self.announce_at);
        let own = [announce, self.next_renewal(), self.next_unsought()];
        own.into_iter().chain([standing, oldest.map(|at| at + HANG)]).flatten().min()
    }

    /// Handles the first answer on a connection to something that needs the directory to be written.
    pub(super) fn served(&mut self, now: Instant) {
        self.is_open = true;
        if !self.is_up() {
            self.rise(now);
        }
    }

    /// Goes back to work if the directory was silent, and answers again.
    pub(super) fn come_back(&mut self, now: Instant) {
        if self.standing == Standing::Away && self.is_open && !self.is_silent_for(now, PATIENCE) {
            self.rise(now);
        }
    }

    fn rise(&mut self, now: Instant) {
        let was_away = self.standing == Standing::Away;
        if self.has_served || was_away {
            self.absent_from = self.absent_from.max(now + RETURNING);
            // What was said meanwhile was not heard.
            self.cache.expire_all(now);
        }
        if was_away {
            self.events.push_back(Event::Back);
        }
        (self.standing, self.has_served) = (Standing::Up, true);
        self.stop_seeking();
        self.renew_all(now);
        self.send_takes(now);
        self.send_lookups(now);
    }

    /// Takes note of which directory it is.
    pub(super) fn note_birth(&mut self, now: Instant, birth: Option<Birth>) {
        let (word, age) = birth.map_or((None, Duration::ZERO), |birth| (Some(birth.word), birth.age));
        let is_other = self.birth.is_some() && self.birth != word;
        if word.is_none() {
            // Somebody has to begin.
            self.announce_at = now;
        }
        self.birth = word;
        self.absent_from = self.absent_from.max(now + RETURNING.saturating_sub(age));
        if is_other {
            self.renew_all(now);
        }
    }

    fn is_silent_for(&self, now: Instant, time: Duration) -> bool {
        self.sent.front().is_some_and(|sent| sent.at + time <= now)
    }
}
