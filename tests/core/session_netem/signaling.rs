//! The signaling WebSocket between two sessions, and the client's redials.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use pinhole::internals::session::{Session, Signal};
use pinhole::internals::signaling::message::{ClientMessage, Outer};
use pinhole::internals::signaling::resume::{ClientResume, HostResume};

/// Time from one redial to the next, as in `run/client/dial.rs`.
const REDIAL_INTERVAL: Duration = Duration::from_secs(1);

/// Limit on the time of a redial, as in `run/client/dial.rs`.
const REDIAL_TIMEOUT: Duration = Duration::from_secs(3);

/// Trips until a WebSocket is resumed: TCP, the upgrade, and the three messages of the exchange.
const REDIAL_TRIPS: u32 = 7;

/// The WebSocket, in order and without loss while it lives.
pub(crate) struct Signaling {
    /// Time a message takes.
    pub(crate) delay: Duration,
    /// Bytes a second that pass each way, and until when those take that were sent.
    pub(crate) rate: f64,
    busy_until: [Option<Instant>; 2],
    /// The host can be dialled.
    pub(crate) is_reachable: bool,
    /// Nothing passes, but neither side has been told.
    pub(crate) is_silent: bool,
    /// What each side sent.
    queues: [VecDeque<(Instant, Signal)>; 2],
    redialled_at: Option<Instant>,
    /// When redials that are under way are through.
    redials: VecDeque<Instant>,
    /// Redials that were begun.
    pub(crate) redial_count: usize,
    /// WebSockets that joined the session again.
    pub(crate) resumed_count: usize,
}

impl Signaling {
    pub(crate) fn new() -> Signaling {
        Signaling {
            delay: Duration::ZERO,
            rate: f64::INFINITY,
            busy_until: [None; 2],
            is_reachable: false,
            is_silent: false,
            queues: [VecDeque::new(), VecDeque::new()],
            redialled_at: None,
            redials: VecDeque::new(),
            redial_count: 0,
            resumed_count: 0,
        }
    }

    pub(crate) fn send(&mut self, now: Instant, side: usize, signal: Signal) {
        if !self.is_silent {
            let len = match &signal {
                Signal::Text(text) => text.len(),
                Signal::Binary(bytes) => bytes.len(),
            };
            let begin = self.busy_until[side].map_or(now, |at| at.max(now));
            let end = begin + Duration::from_secs_f64(len as f64 / self.rate);
            self.busy_until[side] = Some(end);
            self.queues[side].push_back((end + self.delay, signal));
        }
    }

    /// Returns the next message that has arrived from a side.
    pub(crate) fn receive(&mut self, now: Instant, side: usize) -> Option<Signal> {
        self.queues[side].front().filter(|(at, _)| *at <= now)?;
        self.queues[side].pop_front().map(|(_, signal)| signal)
    }

    /// Loses what is under way.
    pub(crate) fn clear(&mut self) {
        self.queues.iter_mut().for_each(VecDeque::clear);
    }

    /// Returns when something arrives or is to be done.
    pub(crate) fn poll_timeout(&self, now: Instant, wants_redial: bool) -> Option<Instant> {
        let arrivals = self.queues.iter().filter_map(|queue| Some(queue.front()?.0));
        let redial = wants_redial.then(|| self.redialled_at.map_or(now, |at| at + REDIAL_INTERVAL));
        arrivals.chain(self.redials.front().copied()).chain(redial).min()
    }

    /// Redials while the client wants it; true when a redial is through.
    pub(crate) fn redial(&mut self, now: Instant, wants_redial: bool) -> bool {
        if wants_redial && self.redialled_at.is_none_or(|at| at + REDIAL_INTERVAL <= now) {
            self.redialled_at = Some(now);
            self.redial_count += 1;
            let time = self.delay * REDIAL_TRIPS;
            if self.is_reachable && time < REDIAL_TIMEOUT {
                self.redials.push_back(now + time);
            }
        }
        let is_through = self.redials.front().is_some_and(|at| *at <= now) && self.redials.pop_front().is_some();
        is_through && self.is_reachable && wants_redial
    }

    /// Gives both sessions a further WebSocket, by the real exchange.
    pub(crate) fn resume(&mut self, now: Instant, host: &mut Session, client: &mut Session) {
        self.clear();
        self.redials.clear();
        self.is_silent = false;
        self.resumed_count += 1;
        let (at_client, text) =
            ClientResume::start(*client.id(), client.resume_key().expect("it is a session with a peer").clone());
        let Ok(Outer::Resume(request)) = ClientMessage::parse(&text) else { panic!("{text}") };
        assert_eq!(request.session, *host.id());
        let (at_host, answer) =
            HostResume::answer(host.resume_key().expect("it is a session with a peer").clone(), &request);
        let (proof, sealer, opener) = at_client.handle_text(&answer).expect("the host has the key");
        client.handle_resumed_signaling(now, sealer, opener);
        let (sealer, opener) = at_host.handle_text(&proof).expect("the client has the key");
        host.handle_resumed_signaling(now, sealer, opener);
    }
}
