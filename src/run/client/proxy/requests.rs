//! Plain HTTP requests of local programs at the `-D` port: each names its destination by a whole URL.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use log::info;

use super::{Asking, source};
use crate::address::{Protocol, Target};
use crate::gateway::{Ending, Exchange, Kind, Malformed, Refusal, Request, Route, Stage, Visitor};
use crate::net::listener::Ends;
use crate::net::stream::Stream;
use crate::net::system::{Event as MioEvent, Interest};
use crate::run::client::Client;
use crate::run::connections::{Incoming, stream_hash};
use crate::run::deadlines::{ClientDue, Due};
use crate::run::exchange::{RequestStream, Visit};
use crate::run::keys::SessionKey;
use crate::run::notice::ClientNotice;
use crate::run::table::{Key, Mark, Slot, Table};
use crate::run::{tally, token};
use crate::socks::{self, Refusal as LoginRefusal};
use crate::status::event::{Event, StreamEnd};
use crate::status::metrics::peer::{Label, StreamResult};
use crate::tunnel::{self, AbortReason, ConnectTarget, OpenError, StreamKey};

/// Maximum number of programs that send requests.
const MAX_PROGRAMS: usize = 1024;

/// Maximum number of rounds of one connection in a turn.
const ROUNDS_PER_TURN: usize = 4;

/// Bytes read at once.
const PIECE: usize = 16 * 1024;

/// Longest time for a head.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);

/// Longest idle time of a connection.
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);

/// Time for a connection to end.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// Key of a program that sends requests.
pub(in crate::run::client) type RequestsKey = Key<Requesting>;

/// Programs that send requests, and the streams that carry these.
#[derive(Default)]
pub(in crate::run::client) struct Programs {
    table: Table<Requesting>,
    streams: HashMap<(SessionKey, StreamKey), RequestsKey>,
    /// Number of streams so far.
    opened: u64,
}

/// A program that sends requests.
pub(in crate::run::client) struct Requesting {
    visit: Visit<Stream>,
    /// The program, for people.
    name: String,
    ends: Ends,
    /// The stream of its requests.
    carried: Option<Carried>,
    /// Its request waits for the turn of its login.
    waiting: Option<Box<Request>>,
    /// Its last login was right, so the next is no guess.
    is_logged_in: bool,
    is_queued: bool,
    /// The deadline that is set.
    due_at: Option<Instant>,
}

/// A stream, and where it leads.
struct Carried {
    stream: RequestStream,
    target: Target,
    /// Its number on the wire, once people were told of it.
    told: Option<u16>,
    sent: u64,
    received: u64,
}

impl Requesting {
    /// Returns the deadline of the present stage. Only the program's own slowness has one: how long an answer takes,
    /// and how slowly it is read, is between the program and its destination.
    fn deadline(&self) -> Option<Instant> {
        let visit = &self.visit;
        match visit.stage {
            Stage::Idle if visit.exchange.to_browser().is_empty() => {
                Some(visit.stage_at.max(visit.moved_at) + IDLE_TIMEOUT)
            }
            Stage::Head => Some(visit.stage_at + HEAD_TIMEOUT),
            Stage::Closing | Stage::Done if visit.exchange.to_browser().is_empty() => {
                Some(visit.stage_at + CLOSE_TIMEOUT)
            }
            Stage::Idle
            | Stage::Routing
            | Stage::Sending
            | Stage::AwaitingAnswer
            | Stage::Answering
            | Stage::Piped
            | Stage::Closing
            | Stage::Done => None,
        }
    }
}

impl Client {
    /// Serves the requests of a program, of which these bytes have come.
    pub(super) fn serve_requests(&mut self, incoming: Incoming, bytes: &[u8]) {
        let Incoming { mut stream, name, ends } = incoming;
        if self.programs.table.len() >= MAX_PROGRAMS {
            return stream.reset();
        }
        let token = token::Source::Requests(self.programs.table.next_key().slot()).token();
        let interest = Interest::READABLE | Interest::WRITABLE;
        if let Err(error) = self.core.turn.registry().register(&mut stream, token, interest) {
            info!("a program cannot be served: {error}");
            return stream.reset();
        }
        // A failure only costs time.
        let _ = stream.set_nodelay();
        stream.guard();
        let remote = ends.ports().map_or(std::net::Ipv4Addr::LOCALHOST.into(), |(_, remote)| remote.ip());
        let visitor = Visitor { remote: remote.to_canonical(), tls: false, proxies: Default::default() };
        let mut visit = Visit::new(self.core.turn.now, stream, Exchange::new(Kind::Proxy, visitor));
        visit.exchange.handle_bytes(bytes);
        let key = self.programs.table.insert(Requesting {
            visit,
            name,
            ends,
            carried: None,
            waiting: None,
            is_logged_in: false,
            is_queued: false,
            due_at: None,
        });
        self.pump_requests(key);
    }

    /// Handles an event of a program's socket.
    pub(in crate::run::client) fn handle_request_event(&mut self, slot: Slot, event: &MioEvent) {
        let Some(key) = self.programs.table.at(slot) else { return };
        let visit = &mut self.programs.table[key].visit;
        // The event may be for the previous connection in this slot.
        if event.is_error() && matches!(visit.socket.take_error(), Ok(Some(_))) {
            // Neither reading nor writing may be due, which would show the error.
            (visit.read_ended, visit.write_ended) = (true, true);
            visit.exchange.handle_browser_gone();
        }
        self.pump_requests(key);
    }

    /// Goes on with a program that had its turn.
    pub(in crate::run::client) fn poll_requests(&mut self, program: Mark) {
        let Some(key) = self.programs.table.find(program) else { return };
        self.programs.table[key].is_queued = false;
        self.pump_requests(key);
    }

    /// Handles an event of a stream that may carry requests.
    pub(in crate::run::client) fn handle_request_stream(&mut self, session: SessionKey, event: &tunnel::Event) {
        let (tunnel::Event::Readable(stream)
        | tunnel::Event::Writable(stream)
        | tunnel::Event::Accepted(stream)
        | tunnel::Event::Aborted { key: stream, .. }) = *event
        else {
            return;
        };
        let Some(&key) = self.programs.streams.get(&(session, stream)) else { return };
        match event {
            tunnel::Event::Accepted(_) => self.request_accepted(key),
            tunnel::Event::Aborted { reason, detail, .. } => self.request_aborted(key, *reason, detail),
            _ => {}
        }
        self.pump_requests(key);
    }

    /// Fails the requests whose session is over.
    pub(in crate::run::client) fn end_requests_of(&mut self, session: SessionKey) {
        let of_session = self.programs.streams.iter().filter(|((other, _), _)| *other == session);
        let keys: Vec<RequestsKey> = of_session.map(|(_, &key)| key).collect();
        for key in keys {
            self.request_aborted(key, AbortReason::Shutdown, "the session ended");
            self.pump_requests(key);
        }
    }

    /// Handles the deadline of a program.
    pub(in crate::run::client) fn handle_request_due(&mut self, program: Mark) {
        let now = self.core.turn.now;
        let Some(key) = self.programs.table.find(program) else { return };
        let entry = &mut self.programs.table[key];
        // An outdated deadline does nothing.
        if entry.due_at.is_none_or(|at| at > now) {
            return;
        }
        entry.due_at = None;
        match entry.deadline() {
            Some(deadline) if deadline <= now && entry.visit.stage == Stage::Head => {
                entry.visit.exchange.refuse(Refusal::SlowRequest);
                self.pump_requests(key);
            }
            Some(deadline) if deadline <= now => self.drop_requests(key),
            _ => self.set_request_due(key),
        }
    }

    /// Serves a program whose turn to log in has come.
    pub(super) fn serve_request_login(&mut self, key: RequestsKey) {
        let Some(request) = self.programs.table.get_mut(key).and_then(|entry| entry.waiting.take()) else { return };
        self.log_in(key, &request, true);
        self.pump_requests(key);
    }

    /// Ends the connection of a program: with a reset if its answer is incomplete.
    pub(super) fn drop_requests(&mut self, key: RequestsKey) {
        let Some(entry) = self.programs.table.get_mut(key) else { return };
        let is_whole = entry.visit.is_whole();
        entry.visit.exchange.handle_browser_gone();
        self.end_request_stream(key);
        self.logins.cancel(Asking::Requests(key));
        let Some(mut entry) = self.programs.table.remove(key) else { return };
        self.core.turn.deregister(&mut entry.visit.socket);
        if is_whole {
            let _ = entry.visit.socket.finish();
        } else {
            entry.visit.socket.reset();
        }
    }

    /// Moves bytes until nothing moves, or others have their turn.
    fn pump_requests(&mut self, key: RequestsKey) {
        let mut has_more = true;
        for _ in 0..ROUNDS_PER_TURN {
            has_more = self.move_requests(key);
            if !has_more {
                break;
            }
        }
        let Some(entry) = self.programs.table.get_mut(key) else { return };
        if has_more && !std::mem::replace(&mut entry.is_queued, true) {
            self.core.turn.tell(ClientNotice::RequestPoll { program: key.mark() });
        }
        self.set_request_due(key);
    }

    /// Does one round in every direction. Returns false if nothing moved, or the connection is over.
    fn move_requests(&mut self, key: RequestsKey) -> bool {
        let now = self.core.turn.now;
        let Some(entry) = self.programs.table.get_mut(key) else { return false };
        let mut has_moved = entry.visit.read(now, &mut [0; PIECE], |_, _| {});
        self.route_request(key);
        has_moved |= self.move_request_stream(key);
        let Some(entry) = self.programs.table.get_mut(key) else { return false };
        let Some(moved) = entry.visit.write(entry.carried.is_some()) else {
            self.drop_requests(key);
            return false;
        };
        has_moved |= moved;
        entry.visit.settle(now, has_moved);
        while let Some(finished) = entry.visit.exchange.poll_finished() {
            info!("program={} host={} status={:?}", entry.name, finished.host, finished.status);
            if let Some(status) = finished.status.filter(|_| finished.method.is_empty()) {
                let message = format!("{}: its HTTP request was answered with {status}", entry.name);
                self.core.turn.warn("proxy-refused", message);
            }
        }
        has_moved
    }

    fn set_request_due(&mut self, key: RequestsKey) {
        let Some(entry) = self.programs.table.get_mut(key) else { return };
        if let Some(deadline) = entry.deadline()
            && entry.due_at.is_none_or(|at| at > deadline)
        {
            entry.due_at = Some(deadline);
            self.core.turn.deadlines.add(deadline, Due::Client(ClientDue::Request(key.mark())));
        }
    }

    /// Routes the request that waits for it.
    fn route_request(&mut self, key: RequestsKey) {
        let Some(entry) = self.programs.table.get_mut(key) else { return };
        if entry.visit.exchange.wants_retry() {
            let Some(target) = entry.carried.as_ref().map(|carried| carried.target.clone()) else { return };
            return self.carry_anew(key, target);
        }
        if let Some(request) = entry.visit.exchange.poll_request() {
            self.log_in(key, &request, false);
        }
    }

    /// Checks the login of a request, unless it has to wait for its turn, and serves it.
    fn log_in(&mut self, key: RequestsKey, request: &Request, has_turn: bool) {
        let now = self.core.turn.now;
        let Some(credentials) = &self.config.credentials else { return self.serve_request(key, request) };
        let Some(entry) = self.programs.table.get_mut(key) else { return };
        let from = source(&entry.ends);
        let has_turn = has_turn || std::mem::take(&mut entry.is_logged_in) || self.logins.is_free(now, from);
        let refusal = match &request.proxy_login {
            None => LoginRefusal::LoginMissing,
            Some(_) if !has_turn => {
                entry.waiting = Some(Box::new(request.clone()));
                return self.await_login(Asking::Requests(key), from);
            }
            Some(login) if credentials.are(login.user.as_bytes(), login.password.as_bytes()) => {
                entry.is_logged_in = true;
                return self.serve_request(key, request);
            }
            Some(_) => LoginRefusal::LoginWrong,
        };
        entry.visit.exchange.refuse(Refusal::ClientLogin);
        let name = entry.name.clone();
        self.note_refused(&name, from, refusal);
    }

    /// Puts a request on a stream: the one of the last request if it leads to the same destination.
    fn serve_request(&mut self, key: RequestsKey, request: &Request) {
        let Some(entry) = self.programs.table.get_mut(key) else { return };
        let Ok(target) = socks::destination(&request.host, request.port.unwrap_or(80)) else {
            return entry.visit.exchange.refuse(Refusal::Malformed(Malformed::Target));
        };
        let leads_there = entry.carried.as_ref().is_some_and(|carried| carried.target == target);
        if leads_there && entry.visit.exchange.keeps_service() && !request.wants_fresh {
            return entry.visit.exchange.route(Route { fresh: false, strip_authorization: false });
        }
        self.carry_anew(key, target);
    }

    /// Opens a stream for the present request.
    fn carry_anew(&mut self, key: RequestsKey, target: Target) {
        self.end_request_stream(key);
        let result = match self.session.filter(|_| self.local.is_connected) {
            Some(session) => self.open_request_stream(key, session, target),
            None => Err(OpenError::GoingAway),
        };
        let Some(entry) = self.programs.table.get_mut(key) else { return };
        match result {
            Ok(()) => entry.visit.exchange.route(Route { fresh: true, strip_authorization: false }),
            Err(OpenError::GoingAway) => entry.visit.exchange.refuse(refusal(AbortReason::Shutdown)),
            Err(OpenError::TooManyStreams | OpenError::NoDatagrams) => {
                entry.visit.exchange.refuse(refusal(AbortReason::TooManyStreams));
            }
        }
    }

    fn open_request_stream(&mut self, key: RequestsKey, session: SessionKey, target: Target) -> Result<(), OpenError> {
        let Some(program) = self.programs.table.get_mut(key) else { return Err(OpenError::GoingAway) };
        let trail = self.core.trails.of_accepted(&self.core.sessions, session, Protocol::Tcp, &program.ends);
        let entry = self.core.sessions.get_mut(session).ok_or(OpenError::GoingAway)?;
        self.programs.opened += 1;
        let hash = stream_hash(&entry.salt, &self.programs.opened.to_string());
        let stream = entry.session.mux().open_from(hash, &ConnectTarget::Tcp(target.to_string()), &trail)?;
        self.core.sessions.touch(session);
        self.programs.streams.insert((session, stream), key);
        let stream = RequestStream::new(session, stream, false);
        program.carried = Some(Carried { stream, target, told: None, sent: 0, received: 0 });
        Ok(())
    }

    /// Tells whether there is something to read of a stream that was not accepted as far as is known.
    fn has_answer(&mut self, key: RequestsKey) -> bool {
        let carried = self.programs.table.get(key).and_then(|program| program.carried.as_ref());
        let Some(Carried { stream, told: None, .. }) = carried else { return false };
        let (session, stream) = (stream.session, stream.key);
        let stream = self.core.sessions.get_mut(session).and_then(|entry| entry.session.mux().stream(stream));
        stream.is_some_and(|stream| stream.readable().next().is_some())
    }

    /// Notes that the other side has dialled, unless that is known.
    fn request_accepted(&mut self, key: RequestsKey) {
        let Some(entry) = self.programs.table.get_mut(key) else { return };
        let Some(Carried { stream, target, told: told @ None, .. }) = &mut entry.carried else { return };
        entry.visit.exchange.handle_service_accepted();
        let Some(session) = self.core.sessions.get_mut(stream.session) else { return };
        let number = session.session.mux().stream(stream.key).map(|stream| stream.id().value());
        let Some(number) = number else { return };
        *told = Some(number);
        let (session, address) = (session.name.clone(), format!("{target} ({})", entry.name));
        self.core.turn.tally.opened(Label::PROXY);
        self.core.turn.report(&Event::StreamOpened { session, stream: number, address });
    }

    fn request_aborted(&mut self, key: RequestsKey, reason: AbortReason, detail: &str) {
        let Some(entry) = self.programs.table.get_mut(key) else { return };
        let Some(carried) = entry.carried.take() else { return };
        entry.visit.exchange.handle_service_failed(refusal(reason));
        let word = reason.as_str();
        let text = if detail.is_empty() { word.to_owned() } else { format!("{word}: {detail}") };
        if carried.told.is_none() {
            let address = format!("{} ({})", carried.target, entry.name);
            let message = format!("the connection of {address} was not forwarded: {text}");
            self.core.turn.warn("stream-refused", message);
        }
        self.forget_stream(carried, StreamEnd::failed(&text));
    }

    fn move_request_stream(&mut self, key: RequestsKey) -> bool {
        // The program may have its answer, and be gone, before the event comes.
        if self.has_answer(key) {
            self.request_accepted(key);
        }
        let Some(Requesting { visit, carried: Some(carried), .. }) = self.programs.table.get_mut(key) else {
            return false;
        };
        let moved = carried.stream.move_bytes(&mut self.core, &mut visit.exchange);
        let (sent, received) = (moved.sent as u64, moved.received as u64);
        carried.sent += sent;
        carried.received += received;
        self.core.turn.tally.moved(Label::PROXY, sent, received);
        if moved.is_over {
            self.end_request_stream(key);
        }
        moved.has_moved
    }

    /// Ends the stream of a program that needs it no more.
    fn end_request_stream(&mut self, key: RequestsKey) {
        let Some(entry) = self.programs.table.get_mut(key) else { return };
        let is_reset = entry.visit.exchange.service_ending() == Some(Ending::Reset);
        let Some(carried) = entry.carried.take() else { return };
        let stream = self.forget_stream(carried, StreamEnd::Closed);
        stream.end(&mut self.core, is_reset);
    }

    fn forget_stream(&mut self, carried: Carried, reason: StreamEnd) -> RequestStream {
        let Carried { stream, told, sent, received, .. } = carried;
        self.programs.streams.remove(&(stream.session, stream.key));
        let session = self.core.sessions.get(stream.session).map_or_else(String::new, |entry| entry.name.clone());
        let result = if told.is_some() { tally::result_of(&reason) } else { StreamResult::Refused };
        self.core.turn.tally.ended(Label::PROXY, result);
        if let Some(number) = told {
            self.core.turn.report(&Event::StreamClosed { session, stream: number, sent, received, reason });
        }
        stream
    }
}

/// Explains to a program why its destination cannot be reached.
fn refusal(reason: AbortReason) -> Refusal {
    let socks::Explanation { status, message, advice } = socks::explain(reason);
    Refusal::Destination { status, code: reason.as_str(), message, advice }
}
