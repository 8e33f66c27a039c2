//! Resetting streams (RFC 6525), for closing channels (RFC 8831, section 6.7): when the peer resets its outgoing
//! streams, ours follow.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::event::Event;
use crate::number::Tsn;
use crate::stream::{Incoming, Receiving, Sending, Streams};
use crate::wire::reconfiguration::{Answer, Reconfiguration};

/// Maximum number of streams in one request: as many as fit the smallest packet.
const MAX_NAMED: usize = 200;

/// A request of ours without an answer so far.
#[derive(Debug)]
struct Request {
    number: u32,
    streams: Vec<u16>,
    last_tsn: Tsn,
    /// When to send it again; `None` if it was never sent.
    again_at: Option<Instant>,
    attempts: u32,
}

/// A request of the peer that has to wait.
#[derive(Debug)]
struct Deferred {
    number: u32,
    last_tsn: u32,
    streams: Vec<u16>,
}

/// The resets of both directions.
#[derive(Debug)]
pub(crate) struct Resets {
    /// Streams to reset that are in no request yet.
    waiting: VecDeque<u16>,
    request: Option<Request>,
    next: u32,
    /// The number of the peer's next request.
    expected: u32,
    deferred: Option<Deferred>,
    /// The answer to the peer's last request.
    answered: Option<Answer>,
    /// Answers that were not sent yet.
    answers: VecDeque<Reconfiguration>,
    /// The peer is of this crate, and answers the reset of a stream it does not know with one of its own.
    is_ours: bool,
}

/// Maximum number of answers that wait. Further requests are dropped; a peer that needs one sends it again.
const MAX_ANSWERS: usize = 8;

/// The state that resets work on.
pub(crate) struct Target<'a> {
    pub(crate) streams: &'a mut Streams,
    pub(crate) events: &'a mut VecDeque<Event>,
    /// Everything of the peer up to here was received.
    pub(crate) received: Tsn,
    /// Streams whose unsent messages must be dropped, because the peer closed them.
    pub(crate) dropped: Vec<u16>,
    /// How much of the receive window was freed.
    pub(crate) freed: usize,
}

impl Resets {
    pub(crate) fn new(local_first: u32, peer_first: u32, is_ours: bool) -> Resets {
        Resets {
            waiting: VecDeque::new(),
            request: None,
            next: local_first,
            expected: peer_first,
            deferred: None,
            answered: None,
            answers: VecDeque::new(),
            is_ours,
        }
    }

    /// Queues a stream for a reset, once everything sent on it is delivered.
    pub(crate) fn add(&mut self, stream: u16) {
        self.waiting.push_back(stream);
    }

    /// Handles a RE-CONFIG chunk.
    pub(crate) fn handle(
        &mut self,
        now: Instant,
        parts: Vec<Reconfiguration>,
        timeout: Duration,
        target: &mut Target<'_>,
    ) {
        for part in parts {
            match part {
                // Its response number answers a kind of request that is never sent here (RFC 6525, section 4.1).
                Reconfiguration::OutgoingReset { request, last_tsn, streams, .. } => {
                    self.handle_request(Deferred { number: request, last_tsn, streams }, target);
                }
                Reconfiguration::Other { request } => self.handle_other(request),
                Reconfiguration::Response { response, answer } => {
                    let Some(request) = self.request.as_mut().filter(|r| r.number == response && r.attempts > 0) else {
                        continue;
                    };
                    if answer == Answer::InProgress {
                        request.again_at = Some(now + timeout);
                        request.attempts = 1;
                    } else {
                        self.finish(answer, target);
                    }
                }
            }
        }
    }

    /// Performs a waiting request of the peer, if possible.
    pub(crate) fn handle_progress(&mut self, target: &mut Target<'_>) {
        let Some(deferred) = self.deferred.take() else { return };
        if is_due(&deferred, target) {
            self.perform(&deferred, target);
            self.answer(deferred.number, Answer::Performed);
        } else {
            self.deferred = Some(deferred);
        }
    }

    /// Tells whether a request of the peer waits.
    pub(crate) fn is_deferring(&self) -> bool {
        self.deferred.is_some()
    }

    /// Returns the parameters to send. `last` is the last assigned number.
    pub(crate) fn poll(
        &mut self,
        now: Instant,
        last: Tsn,
        timeout: Duration,
        streams: &Streams,
    ) -> Vec<Reconfiguration> {
        let mut parts = Vec::new();
        if let Some(answer) = self.answers.pop_front() {
            parts.push(answer);
        }
        if self.request.is_none() {
            self.begin(last, streams);
        }
        if let Some(request) = &mut self.request
            && request.again_at.is_none_or(|at| at <= now)
        {
            request.again_at = Some(now + timeout.saturating_mul(1 << request.attempts.min(4)));
            request.attempts += 1;
            parts.push(Reconfiguration::OutgoingReset {
                request: request.number,
                response: self.expected.wrapping_sub(1),
                last_tsn: request.last_tsn.wire(),
                streams: request.streams.clone(),
            });
        }
        parts
    }

    /// Tells whether [`Resets::poll`] has something to send.
    pub(crate) fn is_due(&self, now: Instant, streams: &Streams) -> bool {
        !self.answers.is_empty()
            || match &self.request {
                Some(request) => request.again_at.is_none_or(|at| at <= now),
                None => self.waiting.iter().any(|id| is_delivered(*id, streams)),
            }
    }

    /// Returns when a request must be sent again.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.request.as_ref()?.again_at
    }

    /// Tells whether a reset of the stream is requested or waits.
    pub(crate) fn is_pending(&self, stream: u16) -> bool {
        self.waiting.contains(&stream) || self.request.as_ref().is_some_and(|request| request.streams.contains(&stream))
    }

    /// Makes a request for the streams whose messages are delivered. Before that, the peer could take a message for one
    /// of the new stream.
    fn begin(&mut self, last: Tsn, streams: &Streams) {
        let mut named = Vec::new();
        self.waiting.retain(|id| {
            let is_named = named.len() < MAX_NAMED && is_delivered(*id, streams);
            if is_named {
                named.push(*id);
            }
            !is_named
        });
        if !named.is_empty() {
            let number = self.next;
            self.next = self.next.wrapping_add(1);
            self.request = Some(Request { number, streams: named, last_tsn: last, again_at: None, attempts: 0 });
        }
    }

    /// Finishes our request.
    fn finish(&mut self, answer: Answer, target: &mut Target<'_>) {
        let Some(request) = self.request.take() else { return };
        let is_done = matches!(answer, Answer::Performed | Answer::NothingToDo);
        for id in request.streams {
            let Some(state) = target.streams.get_mut(id) else { continue };
            if !is_done {
                state.outgoing.state = Sending::Failed;
                target.events.push_back(Event::ResetFailed(id));
                continue;
            }
            state.outgoing.state = Sending::Reset;
            state.outgoing.next = 0;
            if state.incoming.state == Receiving::Open {
                // The peer's next stream with this number came before the answer.
                state.outgoing.state = Sending::Open;
                target.events.push_back(Event::ResetComplete(id));
            }
            complete(id, target);
        }
    }

    fn handle_request(&mut self, request: Deferred, target: &mut Target<'_>) {
        let behind = self.expected.wrapping_sub(request.number);
        if behind == 1 {
            // The request was repeated (RFC 6525, section 5.2.2): the answer may have been lost.
            let answer = if self.deferred.is_some() { Answer::InProgress } else { Answer::Performed };
            self.answer_again(request.number, self.answered.unwrap_or(answer));
        } else if self.deferred.is_some() {
            self.answer_again(request.number, Answer::AlreadyInProgress);
        } else if behind != 0 {
            self.answer_again(request.number, Answer::BadSequenceNumber);
        } else {
            self.expected = self.expected.wrapping_add(1);
            self.answered = None;
            self.deferred = Some(request);
            self.handle_progress(target);
        }
    }

    /// Refuses other requests: resets of our outgoing streams or of the association, and further streams.
    fn handle_other(&mut self, request: u32) {
        let answer = if request == self.expected && self.deferred.is_none() {
            self.expected = self.expected.wrapping_add(1);
            Answer::Denied
        } else if self.expected.wrapping_sub(request) == 1 {
            self.answered.unwrap_or(Answer::Denied)
        } else {
            Answer::BadSequenceNumber
        };
        self.answered = Some(answer);
        self.answer_again(request, answer);
    }

    fn answer(&mut self, number: u32, answer: Answer) {
        self.answered = Some(answer);
        self.answer_again(number, answer);
    }

    fn answer_again(&mut self, response: u32, answer: Answer) {
        if self.answers.len() < MAX_ANSWERS {
            self.answers.push_back(Reconfiguration::Response { response, answer });
        }
    }

    /// Resets streams of the peer.
    fn perform(&mut self, request: &Deferred, target: &mut Target<'_>) {
        for id in named(request, target.streams) {
            let Some(state) = target.streams.get_mut(id) else {
                if self.is_ours && !self.is_pending(id) && !request.streams.is_empty() {
                    self.add(id);
                }
                continue;
            };
            if state.incoming.state == Receiving::Finished {
                continue;
            }
            target.freed += state.incoming.clear();
            state.incoming = Incoming::finished();
            state.is_announced = false;
            target.events.push_back(Event::Finished(id));
            match state.outgoing.state {
                Sending::Open => {
                    state.outgoing.state = Sending::Closing;
                    target.dropped.push(id);
                    self.add(id);
                }
                Sending::Closing => {}
                Sending::Failed => target.events.push_back(Event::ResetFailed(id)),
                Sending::Reset => complete(id, target),
            }
        }
    }
}

/// Removes a stream whose directions are both reset.
fn complete(id: u16, target: &mut Target<'_>) {
    let Some(state) = target.streams.get_mut(id) else { return };
    if state.incoming.state == Receiving::Finished {
        target.events.push_back(Event::ResetComplete(id));
        target.streams.remove(id);
    }
}

/// Returns the streams of a request: all, if it names none.
fn named(request: &Deferred, streams: &Streams) -> Vec<u16> {
    let mut named = if request.streams.is_empty() { streams.ids() } else { request.streams.clone() };
    named.sort_unstable();
    named.dedup();
    named
}

/// Tells whether a request can be performed: everything the peer sent before it has arrived and was read.
fn is_due(request: &Deferred, target: &Target<'_>) -> bool {
    let has_arrived = target.received.near(request.last_tsn) <= target.received;
    has_arrived && named(request, target.streams).iter().all(|id| target.streams.get(*id).is_none_or(is_read))
}

fn is_read(state: &crate::stream::State) -> bool {
    !state.incoming.has_ready()
}

/// Tells whether everything sent on a stream is acknowledged or abandoned.
fn is_delivered(stream: u16, streams: &Streams) -> bool {
    streams.get(stream).is_none_or(|state| state.outgoing.buffered == 0)
}
