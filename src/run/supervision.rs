//! What a service manager is told of a run, by the protocol of `sd_notify(3)`: when it is ready, what it is at, that
//! its loop turns, and that it ends.
//!
//! The signs of life are a deadline of the loop like others. So a manager that misses them restarts a loop that hangs,
//! and not just a process that is gone.

use std::io;
use std::time::{Duration, Instant};

use crate::net::service_manager::{ServiceManager, monotonic};
use crate::status::event::Event;
use crate::status::summary::Summary;

/// Shortest time between two changes of the status, and before a notification is tried again.
const PAUSE: Duration = Duration::from_secs(1);

/// Shortest time between two signs of life.
const MIN_INTERVAL: Duration = Duration::from_millis(5);

/// A service manager and what it is told.
#[derive(Debug)]
pub struct Supervision {
    manager: ServiceManager,
    report: Report,
    /// The user was told that nothing reaches the manager.
    is_told: bool,
}

/// What a manager is told, without I/O.
#[derive(Debug)]
struct Report {
    phase: Phase,
    /// A change of the phase that the manager has not been told.
    owed: Option<Owed>,
    /// Earliest time to tell of it.
    owed_at: Option<Instant>,
    summary: Summary,
    /// The summary may have other words than the manager was told.
    is_stale: bool,
    status: String,
    /// Earliest time to tell of a status.
    status_at: Option<Instant>,
    /// Interval of the signs of life.
    interval: Option<Duration>,
    alive_at: Option<Instant>,
}

/// ```text
///  Starting ──▶ Running ──▶ Ending
///                 └reload─┘
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// The manager is told nothing: its first notification is that we are ready.
    Starting,
    Running,
    Ending,
}

/// A change of the phase.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Owed {
    Ready,
    /// With the time, as the system counts it.
    Reloading(Option<Duration>),
    Stopping,
}

impl Supervision {
    /// Prepares what a manager is told. Within each `watchdog` it is to have two signs of life.
    pub fn new(manager: ServiceManager, watchdog: Option<Duration>, summary: Summary) -> Supervision {
        Supervision { manager, report: Report::new(watchdog, summary), is_told: false }
    }

    /// Takes an event of the run into account.
    pub(super) fn observe(&mut self, event: &Event) {
        self.report.is_stale |= self.report.summary.observe(event);
    }

    /// The run does what it is there for. Like the following, returns what the user should know.
    pub(super) fn ready(&mut self, now: Instant) -> Option<String> {
        self.report.ready(now);
        self.tell(now)
    }

    /// The run begins to read its settings again.
    pub(super) fn reloading(&mut self, now: Instant) -> Option<String> {
        self.report.reloading(now, monotonic());
        self.tell(now)
    }

    /// The run has read its settings again, or has kept the old ones.
    pub(super) fn reloaded(&mut self, now: Instant) -> Option<String> {
        self.report.reloaded(now);
        self.tell(now)
    }

    /// The run begins to end.
    pub(super) fn stopping(&mut self, now: Instant) -> Option<String> {
        self.report.stopping(now);
        self.tell(now)
    }

    /// Returns when [`Supervision::handle_timeout`] has something to do.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.report.poll_timeout()
    }

    /// Tells the manager what is due.
    pub(super) fn handle_timeout(&mut self, now: Instant) -> Option<String> {
        if self.poll_timeout()? > now {
            return None;
        }
        self.tell(now)
    }

    fn tell(&mut self, now: Instant) -> Option<String> {
        let notification = self.report.notification(now)?;
        let sent = self.manager.send(&notification);
        self.report.handle_sent(now, sent.is_ok());
        let error = sent.err()?;
        // It reads too slowly, which passes.
        if error.kind() == io::ErrorKind::WouldBlock || std::mem::replace(&mut self.is_told, true) {
            return None;
        }
        Some(format!(
            "the service manager cannot be told how this run is: {error}; NOTIFY_SOCKET names the socket where it should listen"
        ))
    }
}

impl Report {
    fn new(watchdog: Option<Duration>, summary: Summary) -> Report {
        Report {
            phase: Phase::Starting,
            owed: None,
            owed_at: None,
            summary,
            is_stale: true,
            status: String::new(),
            status_at: None,
            interval: watchdog.map(|watchdog| (watchdog / 2).max(MIN_INTERVAL)),
            alive_at: None,
        }
    }

    fn ready(&mut self, now: Instant) {
        if self.phase == Phase::Starting {
            self.phase = Phase::Running;
            self.owe(now, Owed::Ready);
            self.alive_at = self.interval.map(|interval| now + interval);
            self.status_at = Some(now);
        }
    }

    fn reloading(&mut self, now: Instant, clock: Option<Duration>) {
        if self.phase == Phase::Running {
            self.owe(now, Owed::Reloading(clock));
        }
    }

    fn reloaded(&mut self, now: Instant) {
        if self.phase == Phase::Running {
            self.owe(now, Owed::Ready);
        }
    }

    fn stopping(&mut self, now: Instant) {
        if self.phase == Phase::Running {
            self.phase = Phase::Ending;
            self.owe(now, Owed::Stopping);
            (self.is_stale, self.status_at) = (true, Some(now));
        }
    }

    fn owe(&mut self, now: Instant, owed: Owed) {
        (self.owed, self.owed_at) = (Some(owed), Some(now));
    }

    fn poll_timeout(&self) -> Option<Instant> {
        let owed = self.owed_at.filter(|_| self.owed.is_some());
        let status = self.status_at.filter(|_| self.is_stale);
        [owed, status, self.alive_at].into_iter().flatten().min()
    }

    /// Returns what is due; tell [`Report::handle_sent`] what became of it.
    fn notification(&mut self, now: Instant) -> Option<String> {
        let is_due = |at: Option<Instant>| at.is_some_and(|at| at <= now);
        let mut lines = Vec::new();
        match self.owed.filter(|_| is_due(self.owed_at)) {
            Some(Owed::Ready) => lines.push("READY=1".to_owned()),
            Some(Owed::Reloading(clock)) => {
                lines.push("RELOADING=1".to_owned());
                lines.extend(clock.map(|clock| format!("MONOTONIC_USEC={}", clock.as_micros())));
            }
            Some(Owed::Stopping) => lines.push("STOPPING=1".to_owned()),
            None => {}
        }
        if self.is_stale && is_due(self.status_at) {
            let status = if self.phase == Phase::Ending { "ending".to_owned() } else { self.summary.text() };
            self.is_stale = status != self.status;
            if self.is_stale {
                lines.push(format!("STATUS={status}"));
                self.status = status;
            }
        }
        if is_due(self.alive_at) {
            lines.push("WATCHDOG=1".to_owned());
        }
        (!lines.is_empty()).then(|| lines.join("\n"))
    }

    fn handle_sent(&mut self, now: Instant, is_sent: bool) {
        let is_due = |at: Option<Instant>| at.is_some_and(|at| at <= now);
        if is_due(self.alive_at) {
            self.alive_at = self.interval.map(|interval| now + interval);
        }
        if is_due(self.owed_at) && self.owed.is_some() {
            (self.owed, self.owed_at) = if is_sent { (None, None) } else { (self.owed, Some(now + PAUSE)) };
        }
        if is_due(self.status_at) && self.is_stale {
            self.status_at = Some(now + PAUSE);
            match is_sent {
                true => self.is_stale = false,
                // Whatever it is then, it is news.
                false => self.status.clear(),
            }
        }
    }
}

#[cfg(test)]
#[path = "supervision_tests.rs"]
mod tests;
