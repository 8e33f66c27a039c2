//! How a server ends: work in progress first, then its streams, then all WebSockets.

use std::time::{Duration, Instant};

use super::Server;
use super::phase::Phase;
use crate::net::websocket::close_code;
use crate::run::deadlines::{Due, ServerDue};
use crate::signaling::closing;
use crate::status::event::Event;

/// Time for work in progress to end after a request to stop.
const DRAIN: Duration = Duration::from_secs(10);

/// Time for hosts and clients to receive the server's good-bye.
const FAREWELL: Duration = Duration::from_secs(1);

/// ```text
///  Serving ──asked to stop──▶ Draining ──nothing under way──▶ Parting ──services saw it──▶ Leaving ──all left──▶ over
///                                └────────────asked again────────┴─────────────────────────┴───────────────────▶ over
/// ```
#[derive(Debug, Clone, Copy)]
pub(super) enum Stage {
    Serving,
    /// Nobody new is admitted; work in progress may end until this time, and hosts go to other servers of the cluster.
    Draining(Instant),
    /// Services are told that no more requests come; they may end until this time.
    Parting(Instant),
    /// Hosts and clients were told; they may leave until this time.
    Leaving(Instant),
    Over,
}

impl Server {
    /// Begins the next stage of the end, if the present one is over.
    pub(super) fn go_on_ending(&mut self) {
        if let Stage::Leaving(_) = self.stage {
            self.close_idle_peers();
        }
        if let Stage::Draining(by) = self.stage
            && (by <= self.core.turn.now || self.is_drained())
        {
            self.stage = Stage::Parting(self.core.turn.now + FAREWELL);
            self.core.turn.set(FAREWELL, Due::Server(ServerDue::Stage));
            self.end_streams();
            self.core.work();
        }
        if let Stage::Parting(by) = self.stage
            && (by <= self.core.turn.now || self.core.leaving.is_empty())
        {
            self.stage = Stage::Leaving(self.core.turn.now + FAREWELL);
            self.core.turn.set(FAREWELL, Due::Server(ServerDue::Stage));
            self.say_good_bye();
        }
    }

    /// Admits nobody new, and lets work in progress end; ends at once if called again.
    pub(super) fn stop(&mut self) {
        match self.stage {
            Stage::Serving => {
                self.core.turn.stopping();
                self.stage = Stage::Draining(self.core.turn.now + DRAIN);
                self.leave_directory();
            }
            Stage::Draining(_) | Stage::Parting(_) => {
                self.say_good_bye();
                self.stage = Stage::Over;
                return;
            }
            Stage::Leaving(_) | Stage::Over => {
                self.stage = Stage::Over;
                return;
            }
        }
        self.core.turn.set(DRAIN, Due::Server(ServerDue::Stage));
        self.core.turn.report(&Event::Draining { hosts: self.names.len(), clients: self.clients.len() });
        self.close_ports();
        self.begin_departures();
    }

    /// Accepts nobody any more, so that whoever comes goes to another server at once. The control interface still shows
    /// how the end goes on.
    fn close_ports(&mut self) {
        for mut port in self.ports.drain() {
            self.core.turn.deregister(&mut port.listener);
        }
    }

    /// Closes the links to other servers on which nothing is under way any more: what hosts and clients were told has
    /// reached those that are there.
    fn close_idle_peers(&mut self) {
        for key in self.links.of(|phase| matches!(phase, Phase::Peer(_))) {
            let Some((session, waiting)) = self.peer(key).map(|peer| (peer.session, peer.waiting())) else { continue };
            if waiting == 0 && self.streams_in(session) == 0 {
                self.close_link_for(key, close_code::GOING_AWAY, closing::SERVER_GOES);
            }
        }
    }

    /// Tells whether no work is in progress that an end would cut off.
    fn is_drained(&self) -> bool {
        self.departures.is_empty() && self.webs.iter().all(|(_, web)| !web.is_busy())
    }

    /// Tells whether other servers may still open something here: hosts are served until their turn to leave.
    pub(super) fn admits_orders(&self) -> bool {
        matches!(self.stage, Stage::Serving | Stage::Draining(_))
    }

    pub(super) fn is_stopping(&self) -> bool {
        !matches!(self.stage, Stage::Serving)
    }
}
