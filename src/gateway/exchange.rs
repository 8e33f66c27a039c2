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

/// Maximum number of bytes that wait for the service, and for the browser, before input stops.
const BUFFER: usize = 64 * 1024;

/// Maximum number of bytes of the browser kept while a request waits for its route or its answer: the beginning of a
/// body, or pipelined requests.
const WAITING: usize = 16 * 1024;

/// Bytes read and discarded of a browser whose connection ends.
const DISCARD: usize = 64 * 1024;

/// Bytes waiting for the browser beyond which the next request waits: refusals of many small pipelined requests would
/// add up.
const MAX_AHEAD: usize = 16 * 1024;

/// How much longer a rewritten head may be than the original, in bytes; also the longest page of our own.
const MARGIN: usize = 32 * 1024;

/// Maximum number of bytes that ever wait for the service.
pub const MAX_TO_SERVICE: usize = MAX_HEAD + BUFFER + MARGIN;

/// Maximum number of bytes that ever wait for the browser.
pub const MAX_TO_BROWSER: usize = MAX_HEAD + BUFFER + MARGIN;

/// Maximum number of finished requests that were not polled; the owner polls after every input.
const MAX_FINISHED: usize = 64;

/// What an exchange is doing, for the owner's clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Between requests; the end of an answer may still go out.
    Idle,
    /// A head is arriving.
    Head,
    /// A request waits for its route.
    Routing,
    /// The body of a request is arriving, and no answer yet.
    Sending,
    /// The request is complete; no answer yet.
    AwaitingAnswer,
    /// The answer is arriving.
    Answering,
    /// Raw bytes go both ways.
    Piped,
    /// Only the last bytes still go out.
    Closing,
    /// The last bytes are out: see [`Exchange::browser_ending`].
    Done,
}

/// How to end a socket or a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// Shut down its writing half, and read on.
    HalfClose,
    /// Shut down its writing half, read and discard for a moment, then close it. Closing a socket with unread bytes
    /// resets it: the browser might never see the answer, and services take it for an error.
    Close,
    /// Reset it: what was sent over it is incomplete, and would look whole.
    Reset,
}

/// One connection of a browser, or of a program that uses the proxy.
///
/// After each input the owner calls, in this order: [`poll_request`](Exchange::poll_request),
/// [`to_service`](Exchange::to_service) and [`service_ending`](Exchange::service_ending),
/// [`to_browser`](Exchange::to_browser) and [`browser_ending`](Exchange::browser_ending),
/// [`poll_finished`](Exchange::poll_finished).
pub struct Exchange {
    kind: Kind,
    visitor: Visitor,
    /// Bytes from the browser that were not parsed yet.
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
    /// Creates it for a connection that was just accepted.
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

    /// Sets whether the connection uses TLS. Call it before the first byte.
    pub fn set_tls(&mut self, is_tls: bool) {
        self.visitor.tls = is_tls;
    }

    /// Handles bytes from the browser, at most [`room`](Exchange::room): more would only cost memory.
    pub fn handle_bytes(&mut self, bytes: &[u8]) {
        if self.browser == Half::Ended {
            return;
        }
        // Most bytes of a body take this fast path.
        let sent = if self.inbox.is_empty() { self.pass(bytes) } else { 0 };
        self.inbox.push(&bytes[sent..]);
        self.advance();
    }

    /// Handles the end of the browser's data. An answer in progress still goes out.
    pub fn handle_end(&mut self) {
        self.browser = Half::Ended;
        self.advance();
    }

    /// Handles the loss of the browser's connection: nothing more can be sent to it.
    pub fn handle_browser_gone(&mut self) {
        self.cut();
        self.to_browser.clear();
    }

    /// Routes the request that [`poll_request`](Exchange::poll_request) returned, or that
    /// [`wants_retry`](Exchange::wants_retry). Does nothing if none waits. From here on a stream of an earlier request
    /// belongs to the owner alone, unless it is reused.
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

    /// Answers the present request with a page, even if its head is incomplete because it is too slow. If an answer is
    /// in progress, the connection is cut.
    pub fn refuse(&mut self, refusal: Refusal) {
        self.answer_or_cut(refusal);
        self.advance();
    }

    /// Removes `count` bytes of [`to_service`](Exchange::to_service) that were sent.
    pub fn handle_sent_to_service(&mut self, count: usize) {
        self.to_service.consume(count);
        self.advance();
    }

    /// Handles a dial that succeeded: answers CONNECT. Other requests do not wait for it.
    pub fn handle_service_accepted(&mut self) {
        self.accept();
        self.advance();
    }

    /// Handles bytes from the service, at most [`service_room`](Exchange::service_room): more would only cost memory.
    pub fn handle_service(&mut self, bytes: &[u8]) {
        self.receive(bytes);
        self.advance();
    }

    /// Handles the end of the service's data.
    pub fn handle_service_end(&mut self) {
        self.receive_end();
        self.advance();
    }

    /// Handles a failed dial, or a reset of the service's stream. The browser gets the refusal if no answer is in
    /// progress.
    pub fn handle_service_failed(&mut self, refusal: Refusal) {
        self.receive_failure(refusal);
        self.advance();
    }

    /// Removes `count` bytes of [`to_browser`](Exchange::to_browser) that were sent.
    pub fn handle_sent_to_browser(&mut self, count: usize) {
        self.to_browser.consume(count);
        self.advance();
    }

    /// Returns the request that waits for its route, once.
    pub fn poll_request(&mut self) -> Option<Request> {
        match &mut self.state {
            State::Routing(pending) => pending.request.take(),
            State::Reading { .. } | State::Serving(_) | State::Piped(_) | State::Closing(_) => None,
        }
    }

    /// Returns the next finished request, until `None`.
    pub fn poll_finished(&mut self) -> Option<Finished> {
        let finished = self.finished.pop_front();
        if self.finished.is_empty() {
            self.finished = VecDeque::new();
        }
        finished
    }

    /// Returns how many bytes from the browser are accepted; if 0, there is no use in reading.
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

    /// Returns how many bytes of an incomplete head are there.
    pub fn head_so_far(&self) -> usize {
        match self.state {
            State::Reading { .. } => self.inbox.len(),
            State::Routing(_) | State::Serving(_) | State::Piped(_) | State::Closing(_) => 0,
        }
    }

    /// Returns how many bytes from the service are accepted; if 0, there is no use in reading.
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

    /// Tells whether the stream of the last routed request may carry another one to the same host. Requests that were
    /// refused since then do not change that.
    pub fn keeps_service(&self) -> bool {
        matches!(self.link, Link::Kept)
    }

    /// Tells whether the reused stream turned out to be closed: [`route`](Exchange::route) the request to a fresh one,
    /// or refuse it.
    pub fn wants_retry(&self) -> bool {
        matches!(&self.state, State::Serving(serving) if matches!(serving.answering, Answering::Lost))
    }

    /// Returns how to end the service's stream, if at all. A half-closed stream stays so; a closed or reset one is
    /// forgotten at the next [`route`](Exchange::route).
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

    /// Returns how to end the browser's socket, if at all.
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

/// Hides the bytes in transit, which may contain passwords.
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
