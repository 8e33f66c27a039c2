//! Connections of browsers, and of programs that use the proxy. [`Exchange`] handles their content; this module has
//! their sockets, their clocks, and the streams that carry requests to hosts.

mod browser;
mod clock;

use std::net::{Shutdown, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use log::debug;

use super::Server;
use super::quota::source;
use super::visitor::{LoginState, Web, WebKey};
use crate::gateway::{Exchange, Finished, Kind, Stage, Visitor};
use crate::net::listen;
use crate::net::listener::Ends;
use crate::net::system::{Event as MioEvent, Interest, TcpStream};
use crate::net::transport::Transport;
use crate::net::websocket::Incoming;
use crate::run::exchange::Visit;
use crate::run::notice::ServerNotice;
use crate::run::table::{self, Mark};
use crate::run::token::Source;
use crate::shares::Standing;
use crate::status::event::Event;
use crate::status::refusal::Refusal as Counted;

const MAX_SURPLUS: usize = 256;

/// Maximum number of rounds of one connection in a turn.
const ROUNDS_PER_TURN: usize = 4;

/// Bytes read at once.
pub(super) const PIECE: usize = 16 * 1024;

/// Status in the log for a request whose browser left before there was an answer.
const NO_ANSWER: u16 = 499;

impl Web {
    /// Returns the stage of the exchange.
    pub(super) fn stage(&self) -> Stage {
        self.visit.stage
    }

    /// Marks it as queued for polling. Returns false if it was.
    pub(super) fn queue(&mut self) -> bool {
        !std::mem::replace(&mut self.is_queued, true)
    }

    /// Returns both ends of the connection.
    pub(super) fn ends(&self) -> Ends {
        let local = self.visit.socket.local_addr();
        local.map_or(Ends::Unknown, |local| Ends::Ports { local, remote: self.remote })
    }

    /// Tells whether a request is in progress.
    pub(super) fn is_busy(&self) -> bool {
        let is_idle = matches!(self.visit.stage, Stage::Idle | Stage::Head | Stage::Done);
        !is_idle || !self.visit.exchange.to_browser().is_empty() || self.visit.socket.holds_back()
    }
}

impl Server {
    /// Adds a connection. On a shared port it may turn out to be for the server itself.
    pub(super) fn add_web(&mut self, stream: TcpStream, remote: SocketAddr, kind: Kind, is_shared: bool) {
        let source = source(remote);
        if !self.make_place_for_visitor(source) && self.visitors.surplus() >= MAX_SURPLUS {
            return self.metrics.refused(Counted::Full);
        }
        // The proxy port is not a front end.
        let proxies = if kind == Kind::Web { Arc::clone(&self.proxies) } else { Arc::default() };
        let visitor = Visitor { remote: remote.ip().to_canonical(), tls: false, proxies };
        // A failure only costs time.
        let _ = listen::set_nodelay(&stream);
        // Nor does a failure of this matter: a stream of events may be silent for long, and so may its browser.
        let _ = listen::set_keepalive(&stream, listen::KEEP_ALIVE);
        let tls = self.tls.clone();
        let transport = match (kind, is_shared) {
            // Tokens travel over this port, too.
            (Kind::Web, true) => Transport::securing(stream, tls),
            (Kind::Web, false) => Transport::maybe_securing(stream, tls),
            (Kind::Proxy, _) => Ok(Transport::accepted(stream)),
        };
        let mut transport = match transport {
            Ok(transport) => transport,
            Err(error) => return debug!("remote={remote} tls error={error}"),
        };
        let interest = Interest::READABLE | Interest::WRITABLE;
        let token = Source::Web(self.webs.next_key().slot()).token();
        if let Err(error) = self.core.turn.registry().register(transport.source(), token, interest) {
            return debug!("register error={error}");
        }
        let now = self.core.turn.now;
        let key = self.webs.insert(Web {
            visit: Visit::new(now, transport, Exchange::new(kind, visitor)),
            kind,
            remote,
            is_secured: false,
            early: is_shared.then(Vec::new),
            destination: None,
            stream: None,
            has_followed: false,
            login: LoginState::default(),
            is_queued: false,
            standing: Standing::Idle,
            due_at: None,
            routed_at: now,
            answered_after: None,
        });
        self.visitors.enter(key, source, Standing::Idle);
        self.pump_web(key);
    }

    pub(super) fn handle_web_event(&mut self, slot: table::Slot, event: &MioEvent) {
        let Some(key) = self.webs.at(slot) else { return };
        if let Some(web) = self.webs.get_mut(key) {
            web.visit.socket.handle_event(event);
            // The event may be for the previous connection in this slot.
            if event.is_error() && matches!(web.visit.socket.source().take_error(), Ok(Some(_))) {
                // Neither reading nor writing may be due, which would show the error.
                (web.visit.read_ended, web.visit.write_ended) = (true, true);
                web.visit.exchange.handle_browser_gone();
            }
            self.pump_web(key);
        }
    }

    pub(super) fn poll_web(&mut self, web: Mark) {
        let Some(key) = self.webs.find(web) else { return };
        if let Some(web) = self.webs.get_mut(key) {
            web.is_queued = false;
            self.pump_web(key);
        }
    }

    /// Moves bytes until nothing moves, or others have their turn.
    pub(super) fn pump_web(&mut self, key: WebKey) {
        let Some(web) = self.webs.get_mut(key) else { return };
        web.visit.socket.begin_turn();
        let mut has_more = true;
        for _ in 0..ROUNDS_PER_TURN {
            has_more = self.move_web(key);
            if !has_more {
                break;
            }
        }
        let Some(web) = self.webs.get_mut(key) else { return };
        web.visit.socket.end_turn();
        if (has_more || web.visit.socket.is_paused()) && web.queue() {
            self.core.turn.tell(ServerNotice::WebPoll { web: key.mark() });
        }
        self.look_at_clock(key);
    }

    /// Does one round in every direction. Returns false if nothing moved, or the connection is gone.
    fn move_web(&mut self, key: WebKey) -> bool {
        let mut has_moved = self.read_browser(key);
        self.route_web(key);
        has_moved |= self.move_stream(key);
        let Some(moved) = self.write_browser(key) else { return false };
        has_moved |= moved;
        let now = self.core.turn.now;
        let Some(web) = self.webs.get_mut(key) else { return false };
        let before = web.visit.settle(now, has_moved);
        let stage = web.visit.stage;
        let is_waiting = matches!(before, Stage::Routing | Stage::Sending | Stage::AwaitingAnswer | Stage::Head);
        if is_waiting && matches!(stage, Stage::Answering | Stage::Piped) {
            web.answered_after = Some(now.saturating_duration_since(web.routed_at));
        }
        while let Some(finished) = self.webs.get_mut(key).and_then(|web| web.visit.exchange.poll_finished()) {
            self.note_finished(key, finished);
        }
        self.note_standing(key);
        self.make_place_for_head(key) && has_moved
    }

    /// Routes the request that waits for it.
    fn route_web(&mut self, key: WebKey) {
        let now = self.core.turn.now;
        let Some(web) = self.webs.get_mut(key) else { return };
        if web.visit.exchange.wants_retry() {
            return self.retry(key);
        }
        let Some(request) = web.visit.exchange.poll_request() else { return };
        web.routed_at = now;
        if web.early.is_some() && !self.is_for_gateway(&request.host) {
            return self.hand_over(key);
        }
        let Some(web) = self.webs.get_mut(key) else { return };
        web.early = None;
        web.remote = super::source_of(web.remote, &request.sender);
        self.route(key, &request);
    }

    /// Hands a connection over to the server's own pages.
    fn hand_over(&mut self, key: WebKey) {
        let Some(mut web) = self.webs.remove(key) else { return };
        self.visitors.leave(key);
        self.heads.leave(key);
        self.core.turn.deregister(web.visit.socket.source());
        let incoming = Incoming::continued(web.visit.socket, web.early.unwrap_or_default());
        self.insert_link(incoming, web.remote, super::Serves::Signaling);
    }

    /// Ends a connection at once; with a reset if its answer is incomplete.
    pub(super) fn drop_web(&mut self, key: WebKey) {
        let Some(web) = self.webs.get_mut(key) else { return };
        let is_whole = web.visit.is_whole();
        web.visit.exchange.handle_browser_gone();
        self.cancel_login(key);
        self.end_stream(key);
        let Some(mut web) = self.webs.remove(key) else { return };
        self.visitors.leave(key);
        self.heads.leave(key);
        self.core.turn.deregister(web.visit.socket.source());
        while let Some(finished) = web.visit.exchange.poll_finished() {
            self.log_request(web.remote, (web.routed_at, web.answered_after.take()), finished);
        }
        if !is_whole || web.visit.socket.holds_back() {
            web.visit.socket.reset();
        } else {
            let _ = web.visit.socket.source().shutdown(Shutdown::Both);
        }
    }

    fn note_finished(&mut self, key: WebKey, finished: Finished) {
        if let Some(web) = self.webs.get_mut(key) {
            let (remote, times) = (web.remote, (web.routed_at, web.answered_after.take()));
            self.log_request(remote, times, finished);
        }
    }

    /// `times` are when the request was complete, and how long the head of its answer took.
    fn log_request(&mut self, remote: SocketAddr, times: (Instant, Option<Duration>), finished: Finished) {
        let (routed_at, answered_after) = times;
        let Finished { method, host, path, status, to_browser, from_browser } = finished;
        let status = status.unwrap_or(NO_ANSWER);
        let duration = self.core.turn.now.saturating_duration_since(routed_at);
        self.metrics.answered(status, answered_after.unwrap_or(duration));
        self.metrics.gateway.to_client += to_browser;
        self.metrics.gateway.to_host += from_browser;
        self.core.turn.report(&Event::Request {
            host: (!host.is_empty()).then_some(host),
            remote: remote.ip().to_canonical(),
            method,
            path,
            status,
            sent: to_browser,
            received: from_browser,
            duration_ms: (duration.as_secs_f64() * 1e6).round() / 1e3,
        });
    }
}
