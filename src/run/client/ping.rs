//! `pinhole ping`: a client without forwards that does nothing but have the host answer, and says by which path it did.
//! To the host it is a visit, as a check is.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use thiserror::Error;

use super::Client;
use crate::config::ClientConfig;
use crate::run::deadlines::{ClientDue, Due};
use crate::run::keys::SessionKey;
use crate::run::sessions::way;
use crate::run::side::Side;
use crate::run::signals::HangUps;
use crate::run::{Reporter, RunError};
use crate::status::event::{Answer, Event, Way};

/// Number of round trips of which the median is told: the last ones.
const MAX_TIMES: usize = 10_000;

/// What is to be found out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PingPlan {
    /// After so many PINGs it is over; `None` goes on until it is stopped.
    pub count: Option<u64>,
    /// Time between PINGs.
    pub interval: Duration,
    /// It is over with the first answer that comes directly, and failed without one.
    pub until_direct: bool,
}

/// Why a ping did not find what it was to find.
#[derive(Debug, Error)]
pub enum PingError {
    /// There is no session with the host.
    #[error(transparent)]
    Run(#[from] RunError),
    /// Nothing was answered.
    #[error("the host answered nothing")]
    NoReply,
    /// All answers came over the relay.
    #[error("no answer came directly: they are relayed, because {0}")]
    NotDirect(String),
}

impl PingError {
    /// Returns a stable word for programs (`docs/events.md`).
    pub fn code(&self) -> &str {
        match self {
            PingError::Run(error) => error.code(),
            PingError::NoReply => "no-reply",
            PingError::NotDirect(_) => "not-direct",
        }
    }
}

/// A client that pings.
pub struct Ping {
    client: Client,
}

impl Ping {
    /// Prepares it. Nothing of what the settings forward is.
    ///
    /// # Errors
    /// Certificates cannot be read.
    pub fn new(config: ClientConfig, plan: PingPlan, reporter: Reporter) -> Result<Ping, RunError> {
        let (forwards, reverse, dynamic) = (Vec::new(), Vec::new(), Vec::new());
        let config = ClientConfig { forwards, reverse, dynamic, once: true, retry: false, control: None, ..config };
        let name = config.url.host_id().map_or_else(|| config.url.host().to_owned(), |id| id.to_string());
        let mut client = Client::bind(config, reporter)?;
        client.ping = Some(Pinging::new(name, plan));
        Ok(Ping { client })
    }

    /// Makes SIGINT, SIGTERM and SIGHUP end it in order.
    ///
    /// # Errors
    /// The system's.
    pub fn handle_signals(&mut self, taken: Option<HangUps>) -> Result<(), RunError> {
        self.client.handle_signals(taken, None)
    }

    /// Runs it, and reports what came of it.
    ///
    /// # Errors
    /// There was no session, or not what was to be found.
    pub fn run(mut self) -> Result<(), PingError> {
        self.client.drive().map_err(|error| match error {
            // A ping has no --retry that it could advise.
            RunError::NotYet(error) => *error,
            error => error,
        })?;
        self.client.ping.map_or(Ok(()), Pinging::verdict)
    }

    /// Takes out the client, for tests that turn its loop themselves.
    #[cfg(test)]
    pub(in crate::run) fn into_client(self) -> Client {
        self.client
    }
}

/// The state of a ping.
pub(super) struct Pinging {
    /// What the host is called.
    name: String,
    plan: PingPlan,
    /// When the PING went out that was not answered yet.
    waiting: Option<Instant>,
    is_begun: bool,
    sent: u64,
    /// Times at which a PING was due, but for the first.
    rounds: u64,
    answered: u64,
    direct: u64,
    bounds: Option<(Duration, Duration)>,
    times: VecDeque<Duration>,
    /// Why the last answer was relayed.
    reason: String,
}

impl Pinging {
    fn new(name: String, plan: PingPlan) -> Pinging {
        Pinging {
            name,
            plan,
            waiting: None,
            is_begun: false,
            sent: 0,
            rounds: 0,
            answered: 0,
            direct: 0,
            bounds: None,
            times: VecDeque::new(),
            reason: String::new(),
        }
    }

    /// Notes an answer. Returns what is told of it.
    fn answer(&mut self, session: String, way: Way, time: Duration) -> Answer {
        self.waiting = None;
        self.answered += 1;
        let (least, most) = self.bounds.unwrap_or((time, time));
        self.bounds = Some((least.min(time), most.max(time)));
        if self.times.len() == MAX_TIMES {
            self.times.pop_front();
        }
        self.times.push_back(time);
        match &way {
            Way::Direct { .. } => self.direct += 1,
            Way::Relayed { reason } => self.reason.clone_from(reason),
        }
        Answer::Reply { host: self.name.clone(), session, number: self.sent, way, rtt_ms: millis(time) }
    }

    /// Tells whether nothing more is to be found out.
    fn is_over(&self) -> bool {
        let is_found = self.plan.until_direct && self.direct > 0;
        // The last one is waited for.
        is_found || self.plan.count.is_some_and(|count| self.rounds >= count || self.answered >= count)
    }

    /// Says whether it found what it was to find.
    fn verdict(self) -> Result<(), PingError> {
        match self.answered {
            0 => Err(PingError::NoReply),
            _ if self.plan.until_direct && self.direct == 0 => Err(PingError::NotDirect(self.reason)),
            _ => Ok(()),
        }
    }

    fn summary(&self) -> Answer {
        let (min, max) = self.bounds.unzip();
        let mut times: Vec<Duration> = self.times.iter().copied().collect();
        times.sort_unstable();
        Answer::Pinged {
            host: self.name.clone(),
            sent: self.sent,
            answered: self.answered,
            direct: self.direct,
            min_ms: min.map(millis),
            median_ms: times.get(times.len() / 2).copied().map(millis),
            max_ms: max.map(millis),
        }
    }
}

fn millis(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e6).round() / 1e3
}

impl Client {
    /// Begins with a session that has a path; one that has it again goes on.
    pub(super) fn begin_pinging(&mut self) {
        let Some(ping) = &mut self.ping else { return };
        if !std::mem::replace(&mut ping.is_begun, true) {
            self.ping_again();
        }
    }

    /// Sends the next PING, or says that the last one was not answered.
    pub(super) fn ping_due(&mut self) {
        let now = self.core.turn.now;
        let Some(ping) = &mut self.ping else { return };
        ping.rounds += 1;
        if let Some(since) = ping.waiting {
            let waited_ms = u64::try_from(now.saturating_duration_since(since).as_millis()).unwrap_or(u64::MAX);
            let event = Answer::NoReply { host: ping.name.clone(), number: ping.sent, waited_ms };
            self.core.turn.report(&Event::Ping(event));
        }
        self.ping_again();
    }

    fn ping_again(&mut self) {
        let now = self.core.turn.now;
        let (Some(ping), Some(session)) = (&mut self.ping, self.session) else { return };
        if ping.is_over() {
            return self.leave(None);
        }
        if let Some(entry) = self.core.sessions.get_mut(session) {
            if ping.waiting.is_none() {
                ping.waiting = Some(now);
                ping.sent += 1;
            }
            entry.session.mux().ping_now(now);
            self.core.sessions.touch(session);
        }
        self.core.turn.set(ping.plan.interval, Due::Client(ClientDue::Ping));
    }

    /// Handles the answer to a PING, ours or one that the session sent for itself.
    pub(super) fn ping_answered(&mut self, session: SessionKey, time: Duration) {
        let Some(ping) = self.ping.as_mut().filter(|ping| ping.waiting.is_some() && !ping.is_over()) else { return };
        let Some(entry) = self.core.sessions.get_mut(session) else { return };
        let event = ping.answer(entry.name.clone(), way(entry.session.path()), time);
        let is_over = ping.is_over();
        self.core.turn.report(&Event::Ping(event));
        if is_over {
            self.leave(None);
        }
    }

    /// Reports what came of a ping that is over.
    pub(super) fn sum_up(&mut self) {
        if let Some(ping) = self.ping.as_ref().filter(|ping| ping.is_begun) {
            self.core.turn.report(&Event::Ping(ping.summary()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pinging(until_direct: bool) -> Pinging {
        let plan = PingPlan { count: Some(3), interval: Duration::from_secs(1), until_direct };
        Pinging::new("nas".to_owned(), plan)
    }

    fn relayed() -> Way {
        Way::Relayed { reason: "UDP is blocked".to_owned() }
    }

    fn direct() -> Way {
        let address = "192.0.2.1:2".parse().unwrap();
        Way::Direct { candidates: "host/host".to_owned(), local: address, remote: address }
    }

    #[test]
    fn the_verdict_is_about_what_was_to_be_found() {
        let answer = |ping: &mut Pinging, way| drop(ping.answer(String::new(), way, Duration::from_millis(5)));
        for until_direct in [false, true] {
            assert_eq!(pinging(until_direct).verdict().unwrap_err().code(), "no-reply");
            let mut ping = pinging(until_direct);
            answer(&mut ping, relayed());
            assert!(!ping.is_over());
            let error = ping.verdict().err().map(|error| error.to_string());
            let sentence = "no answer came directly: they are relayed, because UDP is blocked".to_owned();
            assert_eq!(error, until_direct.then_some(sentence));
            let mut ping = pinging(until_direct);
            answer(&mut ping, relayed());
            answer(&mut ping, direct());
            assert_eq!(ping.is_over(), until_direct);
            assert!(ping.verdict().is_ok());
        }
    }

    #[test]
    fn the_summary_has_the_last_times_and_all_extremes() {
        let mut ping = pinging(false);
        let none = Answer::Pinged {
            host: "nas".to_owned(),
            sent: 0,
            answered: 0,
            direct: 0,
            min_ms: None,
            median_ms: None,
            max_ms: None,
        };
        assert_eq!(ping.summary(), none);
        for ms in [1, 900].into_iter().chain(std::iter::repeat_n(20, MAX_TIMES)) {
            ping.answer(String::new(), direct(), Duration::from_millis(ms));
        }
        assert_eq!(ping.times.len(), MAX_TIMES);
        let Answer::Pinged { min_ms, median_ms, max_ms, answered, .. } = ping.summary() else { panic!("no summary") };
        assert_eq!((min_ms, median_ms, max_ms), (Some(1.0), Some(20.0), Some(900.0)));
        assert_eq!(answered, 2 + MAX_TIMES as u64);
    }
}
