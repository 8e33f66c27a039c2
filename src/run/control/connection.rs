//! A connection of the control interface: one request, one answer.

use std::collections::VecDeque;
use std::io::{self, Read as _, Write as _};
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::doors::Door;
use crate::control::{Reader, Reading, Request};
use crate::http::{Answer, COMMON};
use crate::net::readiness::Readiness;
use crate::net::stream::Stream;
use crate::run::looks::WatcherId;
use crate::run::table::Key;

/// Time for a check, which ends by itself.
const CHECK_TIMEOUT: Duration = Duration::from_secs(60);

/// Time for the other side to take an answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// Time for the other side to close after the answer. Closing first would take the answer from it, if it is still
/// sending.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(2);

/// How many bytes that nobody wants are read meanwhile.
const MAX_DROPPED: usize = 1024 * 1024;

/// Time without an event after which a follower gets an empty line, which shows whether it is still there.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// Bytes that may wait for a follower. One line may be longer.
const MAX_WAITING: usize = 1024 * 1024;

/// Bytes that are written in one go, before others have their turn.
const WRITE_BUDGET: usize = 256 * 1024;

/// How readily a connection gives way to a new one, the readiest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Patience {
    /// It has its answer.
    Leaving,
    /// It does not take its answer.
    Answering,
    /// It has not said what it wants.
    Reading,
}

/// A connection.
pub(in crate::run) struct Connection {
    pub(super) stream: Stream,
    /// Where it came in.
    pub(super) door: Key<Door>,
    pub(super) readiness: Readiness,
    pub(super) state: State,
    /// The other side takes nothing more.
    pub(super) is_gone: bool,
    due_at: Instant,
}

/// ```text
///  Reading ──request──▶ Waiting ──▶ Answering ──all sent──▶ Leaving ──▶ gone
///     └──refused────────────────────────▲
///                          └──▶ Following ──does not read──▶ gone
/// ```
pub(super) enum State {
    /// The request is not complete.
    Reading(Reader),
    /// The side has the request. Only the head of the answer is wanted, or all of it.
    Waiting { is_head: bool },
    /// The answer is sent.
    Answering(Outbox),
    /// Events are sent as they come.
    Following(Follower),
    /// Everything is sent; what still comes is dropped, up to so many bytes.
    Leaving(usize),
}

/// Somebody who follows events.
pub(super) struct Follower {
    outbox: Outbox,
    /// It watches what the run is doing, too.
    pub(super) watcher: Option<WatcherId>,
}

/// What is to be sent.
#[derive(Default)]
pub(super) struct Outbox {
    pieces: VecDeque<Bytes>,
    /// Length of all of them.
    waiting: usize,
}

impl Outbox {
    fn push(&mut self, piece: Bytes) {
        self.waiting += piece.len();
        self.pieces.push_back(piece);
    }
}

impl Connection {
    pub(super) fn new(stream: Stream, door: Key<Door>, due_at: Instant) -> Connection {
        let state = State::Reading(Reader::default());
        Connection { stream, door, readiness: Readiness::BOTH, state, is_gone: false, due_at }
    }

    /// Tells whether the request is incomplete.
    pub(super) fn is_reading(&self) -> bool {
        matches!(self.state, State::Reading(_))
    }

    /// Tells whether events are sent as they come.
    pub(super) fn is_following(&self) -> bool {
        matches!(self.state, State::Following(_))
    }

    /// Returns how readily it gives way, if it does at all.
    pub(super) fn patience(&self) -> Option<Patience> {
        match self.state {
            State::Leaving(_) => Some(Patience::Leaving),
            State::Answering(_) => Some(Patience::Answering),
            State::Reading(_) => Some(Patience::Reading),
            // The answer comes by itself, or is for as long as the other side wants.
            State::Waiting { .. } | State::Following(_) => None,
        }
    }

    /// Tells whether nothing more is to be done.
    pub(super) fn is_over(&self) -> bool {
        // What a side that only closed its end has sent before is still a request.
        self.is_gone && !self.is_reading() || matches!(self.state, State::Leaving(0))
    }

    /// Returns when [`Connection::handle_due`] must be called next.
    pub(super) fn due_at(&self) -> Instant {
        self.due_at
    }

    /// Handles that it is late. Returns false if the connection is to end.
    pub(super) fn handle_due(&mut self, now: Instant) -> bool {
        self.is_following() && self.push(now, &Bytes::from_static(b"\n"))
    }

    /// Reads the request; returns it when it is complete.
    pub(super) fn read(&mut self, now: Instant) -> Option<Box<Request>> {
        let State::Reading(reader) = &mut self.state else { return None };
        if !self.readiness.readable {
            return None;
        }
        match reader.read(&mut self.stream) {
            Ok(Reading::NeedMore) => self.readiness.clear_readable(),
            Ok(Reading::Request(request)) => return Some(request),
            Ok(Reading::Refused(answer)) => self.answer(now, &answer),
            Ok(Reading::Ended) | Err(_) => self.state = State::Leaving(0),
        }
        None
    }

    /// The side has the request.
    pub(super) fn wait(&mut self, is_head: bool) {
        self.state = State::Waiting { is_head };
    }

    /// The answer waits for a check.
    pub(super) fn await_check(&mut self, now: Instant) {
        self.due_at = now + CHECK_TIMEOUT;
    }

    /// Sends an answer.
    pub(super) fn answer(&mut self, now: Instant, answer: &Answer) {
        let is_head = matches!(self.state, State::Waiting { is_head: true });
        let mut outbox = Outbox::default();
        outbox.push(answer.render(is_head).into());
        (self.state, self.due_at) = (State::Answering(outbox), now + ANSWER_TIMEOUT);
    }

    /// Sends events from now on. Returns false if only the head was wanted.
    pub(super) fn follow(&mut self, now: Instant, watcher: Option<WatcherId>, first: Option<Bytes>) -> bool {
        let is_head = matches!(self.state, State::Waiting { is_head: true });
        let head =
            format!("HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\n{COMMON}Connection: close\r\n\r\n");
        let mut outbox = Outbox::default();
        outbox.push(head.into());
        if is_head {
            (self.state, self.due_at) = (State::Answering(outbox), now + ANSWER_TIMEOUT);
            return false;
        }
        first.into_iter().for_each(|line| outbox.push(line));
        (self.state, self.due_at) = (State::Following(Follower { outbox, watcher }), now + HEARTBEAT);
        true
    }

    /// Adds a line for a follower. Returns false if too much waits for it already.
    pub(super) fn push(&mut self, now: Instant, line: &Bytes) -> bool {
        let State::Following(follower) = &mut self.state else { return false };
        let waiting = follower.outbox.waiting;
        if waiting > 0 && waiting + line.len() > MAX_WAITING {
            return false;
        }
        follower.outbox.push(line.clone());
        self.due_at = now + HEARTBEAT;
        true
    }

    /// Sends what waits, and drops what nobody wants. Returns true if there is more to do at once.
    ///
    /// # Errors
    /// The stream's.
    pub(super) fn go_on(&mut self, now: Instant) -> io::Result<bool> {
        let mut budget = WRITE_BUDGET;
        let outbox = match &mut self.state {
            State::Answering(outbox) => outbox,
            State::Following(follower) => &mut follower.outbox,
            State::Leaving(_) => return self.drop_input(),
            State::Reading(_) | State::Waiting { .. } => return Ok(false),
        };
        while self.readiness.writable
            && let Some(piece) = outbox.pieces.front_mut()
        {
            if budget == 0 {
                return Ok(true);
            }
            let len = piece.len().min(budget);
            match self.stream.write(piece.get(..len).unwrap_or_default()) {
                Ok(written) => {
                    budget -= written;
                    outbox.waiting -= written;
                    drop(piece.split_to(written));
                    if piece.is_empty() {
                        outbox.pieces.pop_front();
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.readiness.clear_writable(),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        if outbox.waiting > 0 || !matches!(self.state, State::Answering(_)) {
            return Ok(false);
        }
        self.stream.finish()?;
        (self.state, self.due_at) = (State::Leaving(MAX_DROPPED), now + LEAVE_TIMEOUT);
        self.drop_input()
    }

    /// Reads what still comes, until the other side has closed.
    fn drop_input(&mut self) -> io::Result<bool> {
        let State::Leaving(left) = &mut self.state else { return Ok(false) };
        let mut piece = [0; 4096];
        while self.readiness.readable && *left > 0 {
            match self.stream.read(&mut piece) {
                Ok(0) => *left = 0,
                Ok(read) => *left = left.saturating_sub(read),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.readiness.clear_readable(),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(false)
    }
}
