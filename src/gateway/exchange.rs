//! One connection of a browser, from its first byte to its last.

mod ending;
mod inbound;
mod outbound;
mod state;

use std::collections::VecDeque;
use std::fmt;

use super::buffer::Buffer;
use super::request::HeadReader;
use super::{Finished, Kind, MAX_HEAD, Refusal, Request, Route, Visitor};

use state::{Answering, Half, Link, Serving, State};

/// Bytes for the service, and for the browser, beyond which no more are taken.
const BUFFER: usize = 64 * 1024;

/// Bytes of the browser that are kept while a request waits for its route or its answer: the beginning of a body, or
/// requests that were sent ahead.
const WAITING: usize = 16 * 1024;

/// What is taken of a browser whose connection ends, without looking.
const DISCARD: usize = 64 * 1024;

/// Bytes for the browser beyond which the next request has to wait: refusals of many small requests that were sent
/// ahead would add up.
const MAX_AHEAD: usize = 16 * 1024;

/// What a rewritten head may have more than the one that came, or a page of our own.
const MARGIN: usize = 32 * 1024;

/// The most bytes that ever wait for the service.
pub const MAX_TO_SERVICE: usize = MAX_HEAD + BUFFER + MARGIN;

/// The most bytes that ever wait for the browser.
pub const MAX_TO_BROWSER: usize = MAX_HEAD + BUFFER + MARGIN;

/// Requests that ended and were not asked about; the driver asks after every input.
const MAX_FINISHED: usize = 64;

/// What an exchange is doing, for the driver's clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Between requests; the end of an answer may still go out.
    Idle,
    /// A head is under way.
    Head,
    /// A request waits to be told where it goes.
    Routing,
    /// The body of a request is under way, and no answer yet.
    Sending,
    /// All of a request came; no answer yet.
    AwaitingAnswer,
    /// The answer is under way.
    Answering,
    /// Raw bytes go both ways.
    Piped,
    /// Nothing more happens but that the last bytes go out.
    Closing,
    /// They are out: see [`Exchange::browser_ending`].
    Done,
}

/// What is to be done with a socket or a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// Its writing half is to be shut down, and reading goes on.
    HalfClose,
    /// It is to be closed, after its writing half was shut down and what still came was read for a moment. A socket
    /// that is closed with unread bytes resets: the browser may never see the answer, and services take it for an
    /// error.
    Close,
    /// It is to be reset: what went over it is incomplete, and would look whole.
    Reset,
}

/// One connection of a browser, or of a program that uses the proxy.
///
/// After each input the driver asks, in this order: [`poll_request`](Exchange::poll_request),
/// [`to_service`](Exchange::to_service) and [`service_ending`](Exchange::service_ending),
/// [`to_browser`](Exchange::to_browser) and [`browser_ending`](Exchange::browser_ending),
/// [`poll_finished`](Exchange::poll_finished).
pub struct Exchange {
    kind: Kind,
    visitor: Visitor,
    /// From the browser, and not understood yet.
    inbox: Buffer,
    to_service: Buffer,
    to_browser: Buffer,
    /// Whether the browser may still send.
    browser: Half,
    link: Link,
    state: State,
    finished: VecDeque<Finished>,
}

impl Exchange {
    /// Begins with a connection that was just accepted.
    pub fn new(kind: Kind, visitor: Visitor) -> Exchange {
        Exchange {
            kind,
            visitor,
            inbox: Buffer::default(),
            to_service: Buffer::default(),
            to_browser: Buffer::default(),
            browser: Half::Open,
            link: Link::None,
            state: State::Reading { reader: HeadReader::default(), empty_lines: 0 },
            finished: VecDeque::new(),
        }
    }

    /// Takes note whether the connection turned out to be one of TLS, before its first byte.
    pub fn set_tls(&mut self, is_tls: bool) {
        self.visitor.tls = is_tls;
    }

    /// Takes bytes of the browser's, at most [`room`](Exchange::room): more would only cost memory.
    pub fn handle_bytes(&mut self, bytes: &[u8]) {
        if self.browser == Half::Ended {
            return;
        }
        // Most of the bytes of a body take the short way.
        let sent = if self.inbox.is_empty() { self.pass(bytes) } else { 0 };
        self.inbox.push(&bytes[sent..]);
        self.advance();
    }

    /// The browser sends no more. An answer that is under way still goes to it.
    pub fn handle_end(&mut self) {
        self.browser = Half::Ended;
        self.advance();
    }

    /// The browser's connection is gone: nothing can be sent to it any more.
    pub fn handle_browser_gone(&mut self) {
        self.cut();
        self.to_browser.clear();
    }

    /// Says where the request goes that [`poll_request`](Exchange::poll_request) returned, or that
    /// [`wants_retry`](Exchange::wants_retry). Does nothing if none waits. From now on a stream of an earlier request
    /// is the driver's alone, unless it is used again.
    pub fn route(&mut self, route: Route) {
        let serving = match std::mem::replace(&mut self.state, State::Closing(Ending::Close)) {
            State::Routing(pending) => Serving::new(pending.head),
            State::Serving(mut serving) if matches!(serving.answering, Answering::Lost) => {
                serving.answering = Answering::begin(&serving.head);
                serving
            }
            other => {
                self.state = other;
                return;
            }
        };
        self.to_service.clear();
        self.to_service.push(&serving.head.outgoing(route.strip_authorization));
        self.link = match self.link {
            Link::Kept if !route.fresh => Link::Reused,
            Link::None | Link::Kept | Link::Fresh | Link::Reused | Link::Spent | Link::Broken => Link::Fresh,
        };
        self.state = State::Serving(serving);
        self.advance();
    }

    /// Answers the present request with a page, or what there is of one: a head may be too slow. If an answer is under
    /// way already, the connection is cut.
    pub fn refuse(&mut self, refusal: Refusal) {
        self.answer_or_cut(refusal);
        self.advance();
    }

    /// Takes note that so many bytes of [`to_service`](Exchange::to_service) were sent.
    pub fn handle_sent_to_service(&mut self, count: usize) {
        self.to_service.consume(count);
        self.advance();
    }

    /// The dial succeeded: CONNECT is answered now. Other requests do not wait for it.
    pub fn handle_service_accepted(&mut self) {
        self.accept();
        self.advance();
    }

    /// Takes bytes of the service's, at most [`service_room`](Exchange::service_room): more would only cost memory.
    pub fn handle_service(&mut self, bytes: &[u8]) {
        self.receive(bytes);
        self.advance();
    }

    /// The service sends no more.
    pub fn handle_service_end(&mut self) {
        self.receive_end();
        self.advance();
    }

    /// The dial failed, or the service's stream was reset; the refusal says why, if no answer is under way yet.
    pub fn handle_service_failed(&mut self, refusal: Refusal) {
        self.receive_failure(refusal);
        self.advance();
    }

    /// Takes note that so many bytes of [`to_browser`](Exchange::to_browser) were sent.
    pub fn handle_sent_to_browser(&mut self, count: usize) {
        self.to_browser.consume(count);
        self.advance();
    }

    /// Returns the request that waits to be told where it goes, once.
    pub fn poll_request(&mut self) -> Option<Request> {
        match &mut self.state {
            State::Routing(pending) => pending.request.take(),
            State::Reading { .. } | State::Serving(_) | State::Piped(_) | State::Closing(_) => None,
        }
    }

    /// Returns what became of a request, until `None`.
    pub fn poll_finished(&mut self) -> Option<Finished> {
        let finished = self.finished.pop_front();
        if self.finished.is_empty() {
            self.finished = VecDeque::new();
        }
        finished
    }

    /// Returns how many bytes of the browser's are taken now; with 0 there is nothing to read for.
    pub fn room(&self) -> usize {
        let limit = match &self.state {
            _ if self.browser == Half::Ended => 0,
            State::Reading { .. } => MAX_HEAD,
            State::Serving(serving) if !serving.sending.is_whole() => BUFFER.saturating_sub(self.to_service.len()),
            State::Routing(_) | State::Serving(_) => WAITING,
            State::Piped(_) => BUFFER.saturating_sub(self.to_service.len()),
            State::Closing(_) => DISCARD,
        };
        limit.saturating_sub(self.inbox.len())
    }

    /// Returns how many bytes of a head are there that is not complete.
    pub fn head_so_far(&self) -> usize {
        match self.state {
            State::Reading { .. } => self.inbox.len(),
            State::Routing(_) | State::Serving(_) | State::Piped(_) | State::Closing(_) => 0,
        }
    }

    /// Returns how many bytes of the service's are taken now; with 0 there is nothing to read for.
    pub fn service_room(&self) -> usize {
        match self.link {
            Link::Fresh | Link::Reused | Link::Kept => BUFFER.saturating_sub(self.to_browser.len()),
            Link::None | Link::Spent | Link::Broken => 0,
        }
    }

    /// Returns the bytes to send to the service.
    pub fn to_service(&self) -> &[u8] {
        self.to_service.as_slice()
    }

    /// Returns the bytes to send to the browser.
    pub fn to_browser(&self) -> &[u8] {
        self.to_browser.as_slice()
    }

    /// Tells whether the stream of the last request that was routed may carry another one to the same host. Requests
    /// that were refused meanwhile do not change that.
    pub fn keeps_service(&self) -> bool {
        matches!(self.link, Link::Kept)
    }

    /// Tells whether the stream that was used again turned out to be closed: [`route`](Exchange::route) the request to
    /// a fresh one, or refuse it.
    pub fn wants_retry(&self) -> bool {
        matches!(&self.state, State::Serving(serving) if matches!(serving.answering, Answering::Lost))
    }

    /// Says what is to be done with the service's stream, now. A stream that is half-closed stays so; one that is
    /// closed or reset is forgotten here with the next [`route`](Exchange::route).
    pub fn service_ending(&self) -> Option<Ending> {
        match (&self.link, &self.state) {
            (Link::Broken, _) => Some(Ending::Reset),
            (Link::Spent, _) => Some(Ending::Close),
            (_, State::Piped(_))
                if self.browser == Half::Ended && self.inbox.is_empty() && self.to_service.is_empty() =>
            {
                Some(Ending::HalfClose)
            }
            (Link::None | Link::Fresh | Link::Reused | Link::Kept, _) => None,
        }
    }

    /// Says what is to be done with the browser's socket, now.
    pub fn browser_ending(&self) -> Option<Ending> {
        match &self.state {
            _ if !self.to_browser.is_empty() => None,
            State::Closing(ending) => Some(*ending),
            State::Piped(pipe) if pipe.service == Half::Ended => Some(Ending::HalfClose),
            State::Reading { .. } | State::Routing(_) | State::Serving(_) | State::Piped(_) => None,
        }
    }

    /// Returns what it is doing.
    pub fn stage(&self) -> Stage {
        match &self.state {
            State::Reading { .. } if self.inbox.is_empty() => Stage::Idle,
            State::Reading { .. } => Stage::Head,
            State::Routing(_) => Stage::Routing,
            State::Serving(serving) => match &serving.answering {
                Answering::Lost => Stage::Routing,
                Answering::Body { .. } => Stage::Answering,
                _ if serving.sending.is_whole() => Stage::AwaitingAnswer,
                Answering::Accept | Answering::Head { .. } => Stage::Sending,
            },
            State::Piped(_) => Stage::Piped,
            State::Closing(_) if self.to_browser.is_empty() => Stage::Done,
            State::Closing(_) => Stage::Closing,
        }
    }
}

/// Without what is on its way: it may hold passwords.
impl fmt::Debug for Exchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let held = self.inbox.held() + self.to_service.held() + self.to_browser.held() + self.finished.capacity();
        f.debug_struct("Exchange")
            .field("kind", &self.kind)
            .field("visitor", &self.visitor)
            .field("stage", &self.stage())
            .field("link", &self.link)
            .field("held", &held)
            .finish_non_exhaustive()
    }
}
