//! The client's side of the loop: signaling WebSockets to the host, one session at a time, and its local ports.
//!
//! ```text
//!   Joining ──PAKE, session──▶ Session ──ends, but not for good──▶ Waiting ──pause──▶ Joining
//!      │ first time, refused      │ ends for good
//!      ▼                          ▼
//!    error                      done
//! ```
//!
//! `joining` begins sessions: the first with the pin, later ones with the ticket of the first, so that the pin is not
//! exposed again.
//!
//! While a session lives but has no path, the client dials the host to rejoin it (`links`). The local ports stay open
//! all the time (`local`).

mod control;
mod dial;
mod joining;
mod links;
mod local;
#[cfg(unix)]
mod opening;
#[cfg(feature = "cli")]
mod ping;
mod proxy;
mod reload;
mod survey;

use std::net::SocketAddr;
use std::time::Duration;

use log::debug;

use self::joining::Joining;
use self::links::Phase;
use self::local::LocalPorts;
#[cfg(unix)]
pub(crate) use self::opening::Connector;
#[cfg(feature = "cli")]
pub use self::ping::{Ping, PingError, PingPlan};
use self::proxy::{Asking, Negotiating, Programs};
use super::RunError;
use super::core::Core;
use super::deadlines::{ClientDue, Due};
use super::dialer::Dialer;
use super::keys::SessionKey;
use super::links::{Links, Redial, Servers, Way};
#[cfg(feature = "cli")]
use super::looks::Observer;
use super::notice::{ClientNotice, Listening, Notice, PeerNotice, Summary};
#[cfg(unix)]
use super::opener::Requests;
#[cfg(feature = "cli")]
use super::reload::Reader;
use super::reload::{Reloader, Reloading, Reread};
use super::side::Side;
#[cfg(feature = "cli")]
use super::signals::HangUps;
#[cfg(feature = "cli")]
use super::supervision::Supervision;
use super::table::Table;
use super::turn::{Reporter, Stopper};
use crate::access::logins::LoginLimiter;
use crate::address::Target;
use crate::config::ClientConfig;
#[cfg(unix)]
use crate::config::StreamTarget;
use crate::control::Order;
use crate::http::Answer;
use crate::session::End;
use crate::shares::Source;
#[cfg(feature = "cli")]
use crate::signaling::farewell::VISITED;
use crate::signaling::url::SignalingUrl;
use crate::status::event::Event;
use crate::status::snapshot::Snapshot;
use crate::tunnel::GoAwayReason;

/// Shortest pause before the host is dialled again; it doubles with every failure.
const MIN_BACKOFF: Duration = Duration::from_millis(250);

/// Longest pause before the host is dialled again.
const MAX_BACKOFF: Duration = Duration::from_secs(15);

/// A session that was connected for this long was not a failure: the next one begins at once.
const LASTING: Duration = Duration::from_secs(5);

/// Makes a host's services appear on local ports.
pub struct Client {
    pub(super) core: Core,
    config: ClientConfig,
    local: LocalPorts,
    /// Programs that negotiate with the proxy.
    negotiations: Table<Negotiating>,
    /// Slows down guesses of the proxy's login.
    logins: LoginLimiter<Asking, Source>,
    /// Programs that send plain HTTP requests to the proxy.
    programs: Programs,
    /// What other threads open streams with, and what they want.
    #[cfg(unix)]
    connector: Connector,
    #[cfg(unix)]
    requests: Requests<StreamTarget>,
    /// How each server is dialled; without further servers, how the host is.
    ways: Vec<Way>,
    servers: Servers,
    links: Links<Phase>,
    session: Option<SessionKey>,
    joining: Joining,
    /// Where other settings come in.
    reloading: Reloading<Reread<ClientConfig>>,
    /// It does nothing but have the host answer.
    #[cfg(feature = "cli")]
    ping: Option<ping::Pinging>,
    stage: Stage,
}

/// ```text
///  Joining ──connected──▶ Serving ──no more use──▶ Leaving ──session over──▶ Over
///     │ └────────────────────┼─────────────────────▲                          ▲
///     └── refused, nobody waits ── host ended ─────┴──────────────────────────┘
/// ```
enum Stage {
    /// No session was connected in this run: a failure ends it, unless the user said to wait.
    Joining,
    /// A session was connected: later failures lead to another attempt.
    Serving,
    /// The client ends the session and the run; with an error if the session was useless.
    Leaving(Option<RunError>),
    /// The result of the run.
    Over(Result<(), RunError>),
}

impl Client {
    /// Binds the local ports and reads certificates; nothing is dialled yet.
    ///
    /// # Errors
    /// A port cannot be bound, or the certificates cannot be read.
    pub fn bind(config: ClientConfig, reporter: Reporter) -> Result<Client, RunError> {
        let reverse = config.reverse.iter().cloned().map(Some).collect();
        let dialer = Dialer { reverse, ..Dialer::default() };
        let core = Core::new(dialer, config.reach.clone(), config.stun.clone(), reporter)?;
        #[cfg(unix)]
        let (connector, requests) = Connector::new(core.turn.waker());
        config.validate()?;
        let way = |(url, proxy): (SignalingUrl, _)| Way::new(&url, &config.headers, proxy, config.ca.as_deref());
        let ways = config.urls().map(way).collect::<Result<Vec<Way>, _>>()?;
        let servers = Servers::new(ways.len(), Redial::new(MIN_BACKOFF, MAX_BACKOFF));
        let mut client = Client {
            core,
            config,
            local: LocalPorts::default(),
            negotiations: Table::new(),
            logins: LoginLimiter::default(),
            programs: Programs::default(),
            #[cfg(unix)]
            connector,
            #[cfg(unix)]
            requests,
            ways,
            servers,
            links: Links::new(),
            session: None,
            joining: Joining::default(),
            reloading: Reloading::new(),
            #[cfg(feature = "cli")]
            ping: None,
            stage: Stage::Joining,
        };
        client.core.control.open(&mut client.core.turn, client.config.control.as_ref())?;
        client.core.flows.idle = client.config.udp_idle;
        client.bind_forwards()?;
        Ok(client)
    }

    /// Returns the first local TCP address that is bound, except those that depend on the host's services.
    pub fn local_addr(&self) -> Option<SocketAddr> {
        self.local.address()
    }

    /// Returns a handle that ends the run from another thread.
    pub fn stopper(&self) -> Stopper {
        self.core.turn.stopper()
    }

    /// Returns a handle that gives the run other settings from another thread.
    pub(crate) fn reloader(&self) -> Reloader<Reread<ClientConfig>> {
        self.reloading.reloader(self.core.turn.waker())
    }

    /// Makes SIGINT, SIGTERM and SIGHUP (a closed terminal) end the run in order. An ignored SIGHUP, as under `nohup`,
    /// stays ignored. With a `reader`, SIGHUP has it read the settings again, unless the terminal was closed; it may
    /// have been `taken` over already.
    ///
    /// # Errors
    /// The system's.
    #[cfg(feature = "cli")]
    pub fn handle_signals(
        &mut self,
        taken: Option<HangUps>,
        reader: Option<Reader<Reread<ClientConfig>>>,
    ) -> Result<(), RunError> {
        Ok(self.reloading.handle_signals(&mut self.core.turn, taken, reader)?)
    }

    /// Has somebody shown what the run is doing, when it changes, at most once in an interval.
    #[cfg(feature = "cli")]
    pub fn observe(&mut self, interval: Duration, observer: Observer) {
        self.core.turn.observe(interval, observer);
    }

    /// Has a service manager told how the run is.
    #[cfg(feature = "cli")]
    pub fn supervise(&mut self, supervision: Supervision) {
        self.core.turn.supervise(supervision);
    }

    /// Runs until it is stopped, the host ends the session, or no session can be had.
    ///
    /// # Errors
    /// Why there is no session, or why it ended for good.
    pub fn run(mut self) -> Result<(), RunError> {
        self.drive()
    }

    fn handle_own(&mut self, notice: ClientNotice) {
        match notice {
            ClientNotice::Connected { session } => self.connected(session),
            ClientNotice::Recovering { session } => self.recovering(session),
            ClientNotice::GoAway { session, reason } => self.going_away(session, reason),
            ClientNotice::Listened { session, id, result } => self.listened(session, id, result),
            ClientNotice::Negotiation { slot } => {
                if let Some(program) = self.negotiations.at(slot) {
                    self.handle_negotiation(program);
                }
            }
            #[cfg(feature = "cli")]
            ClientNotice::Answered { session, round_trip } => self.ping_answered(session, round_trip),
            #[cfg(feature = "cli")]
            ClientNotice::Due(ClientDue::Ping) => self.ping_due(),
            #[cfg(not(feature = "cli"))]
            ClientNotice::Answered { .. } => {}
            ClientNotice::Due(ClientDue::Rejoin) => self.rejoin(),
            ClientNotice::Due(ClientDue::Waiting) => self.expire_waiting(),
            ClientNotice::Due(ClientDue::Logins) => self.serve_logins(),
            ClientNotice::Request { slot, event } => self.handle_request_event(slot, &event),
            ClientNotice::RequestPoll { program } => self.poll_requests(program),
            ClientNotice::Due(ClientDue::Request(program)) => self.handle_request_due(program),
            ClientNotice::Due(ClientDue::Negotiation(program)) => self.handle_negotiation_due(program),
        }
    }

    /// Handles the loss of a session's path.
    fn recovering(&mut self, session: SessionKey) {
        if self.session == Some(session) {
            self.local.is_connected = false;
            self.rejoin_session(session);
        }
    }

    /// Handles the host's GOAWAY.
    fn going_away(&mut self, session: SessionKey, reason: GoAwayReason) {
        if self.session != Some(session) {
            return;
        }
        match reason {
            GoAwayReason::Shutdown | GoAwayReason::Expired | GoAwayReason::Revoked => self.stop_listening(),
            _ => self.local.is_connected = false,
        }
    }

    /// Handles a session that passes messages, for the first time or again.
    fn connected(&mut self, session: SessionKey) {
        if self.session != Some(session) {
            return;
        }
        self.local.is_connected = true;
        #[cfg(feature = "cli")]
        if self.ping.is_some() {
            self.stage = Stage::Serving;
            return self.begin_pinging(session);
        }
        let Some(entry) = self.core.sessions.get_mut(session) else { return };
        let services = entry.session.mux().peer().map(|hello| hello.services.clone()).unwrap_or_default();
        if let Stage::Joining = self.stage {
            self.stage = Stage::Serving;
            if let Err(error) = self.forward(&services) {
                return self.leave(Some(error));
            }
            self.core.turn.ready();
        }
        self.suit_services(&services);
        self.ask_to_listen(session);
        self.serve_waiting();
        #[cfg(unix)]
        self.open_wanted();
        self.accept(Listening::All);
    }

    /// Asks the host to listen for our reverse forwards; repeating this changes nothing.
    fn ask_to_listen(&mut self, session: SessionKey) {
        let Some(entry) = self.core.sessions.get_mut(session) else { return };
        for (reverse, id) in self.core.dialer.reverse.iter().zip(0..) {
            if let Some(reverse) = reverse {
                entry.session.mux().listen(id, &reverse.bind.to_string());
            }
        }
        self.core.sessions.touch(session);
    }

    /// Handles the host's answer about a reverse forward.
    fn listened(&mut self, session: SessionKey, id: u16, result: Result<String, String>) {
        if self.session != Some(session) {
            return;
        }
        let Some(Some(reverse)) = self.core.dialer.reverse.get(usize::from(id)).cloned() else { return };
        let target = reverse.endpoint.to_string();
        match result {
            Ok(local) => {
                let session = self.core.sessions.get(session);
                let session = session.map_or_else(String::new, |entry| entry.name.clone());
                self.core.turn.report(&Event::ReverseForwarding { session, local, target });
            }
            Err(reason) => {
                let message = format!("the host does not listen on {} for {target}: {reason}", reverse.bind);
                self.core.turn.warn("reverse-refused", message);
            }
        }
    }

    fn ended(&mut self, session: SessionKey, end: End, summary: Summary) {
        self.close_links_of(session);
        self.end_requests_of(session);
        let lasted = summary.duration.is_some_and(|duration| duration >= LASTING);
        self.core.report_end(summary, &end);
        if self.session != Some(session) {
            return;
        }
        self.session = None;
        self.local.is_connected = false;
        match end {
            End::Local => {
                let reason = if let Stage::Leaving(reason) = &mut self.stage { reason.take() } else { None };
                self.finish(reason.map_or(Ok(()), Err));
            }
            End::Peer if self.config.once => self.finish(Ok(())),
            end @ (End::Peer | End::Lapsed(_)) => self.fail(RunError::Session(end)),
            // The host announced its end, although its last messages were lost.
            _ if !self.local.is_open() && !self.is_stopping() => self.fail(RunError::Session(End::Peer)),
            // The connection was lost on the way to the first session; another attempt may succeed.
            End::SignalingLost if matches!(self.stage, Stage::Joining) => {
                self.join_failed(RunError::Session(End::SignalingLost));
            }
            end if self.config.once || !matches!(self.stage, Stage::Serving) => self.fail(RunError::Session(end)),
            end if lasted => {
                self.servers.redial().reset();
                self.joining.last_failure.clear();
                self.core
                    .turn
                    .report(&Event::Reconnecting { message: format!("the session ended: {end}; connecting again") });
                self.rejoin_after(Duration::ZERO);
            }
            end => self.join_failed(RunError::Session(end)),
        }
    }

    fn stop(&mut self) {
        if self.is_stopping() || self.session.is_none() {
            return self.finish(Ok(()));
        }
        self.leave(None);
    }

    /// Ends the session and the run; with an error if the session is useless.
    fn leave(&mut self, error: Option<RunError>) {
        match &mut self.stage {
            Stage::Joining | Stage::Serving => self.stage = Stage::Leaving(error),
            Stage::Leaving(earlier) => *earlier = earlier.take().or(error),
            Stage::Over(_) => return,
        }
        self.core.turn.stopping();
        self.stop_listening();
        self.core.go_away(GoAwayReason::Shutdown, self.farewell());
    }

    /// Returns what the host is told at the end.
    fn farewell(&self) -> &'static str {
        #[cfg(feature = "cli")]
        if self.ping.is_some() {
            return VISITED;
        }
        "the client ended the session"
    }

    fn fail(&mut self, error: impl Into<RunError>) {
        self.finish(Err(error.into()));
    }

    fn finish(&mut self, outcome: Result<(), RunError>) {
        debug!("finish outcome={outcome:?}");
        self.core.turn.stopping();
        if !matches!(self.stage, Stage::Over(_)) {
            self.stage = Stage::Over(outcome);
            #[cfg(feature = "cli")]
            self.sum_up();
        }
    }

    fn is_stopping(&self) -> bool {
        matches!(self.stage, Stage::Leaving(_) | Stage::Over(_))
    }
}

impl Side for Client {
    fn core(&mut self) -> &mut Core {
        &mut self.core
    }

    fn start(&mut self) {
        self.core.sessions.look_up_stun(self.core.turn.now);
        self.core.turn.set(self.links.look_interval(), Due::KeepAlive);
        if !self.waits_for_services() {
            self.core.turn.ready();
        }
        self.dial_again(None);
    }

    fn snapshot(&mut self) -> Snapshot {
        self.survey()
    }

    fn checked(&self) -> Option<Vec<Target>> {
        Some(self.config.stun.clone())
    }

    fn metrics(&mut self) -> String {
        self.count()
    }

    fn end_session(&mut self, session: SessionKey) {
        self.dismiss(session);
    }

    fn obey(&mut self, order: Order) -> Answer {
        self.follow_order(order)
    }

    fn handle(&mut self, notice: Notice) -> Result<(), RunError> {
        match notice {
            Notice::Acceptable(which) => self.accept(which),
            Notice::Link(notice) => self.handle_link(notice),
            Notice::Signal { session, number, signal } => self.send_signal(session, number, signal),
            Notice::Ended { session, end, summary } => self.ended(session, end, summary),
            Notice::KeepAlive => self.keep_alive(),
            Notice::Woken => {
                #[cfg(unix)]
                self.open_wanted();
                self.finish_reload();
            }
            Notice::Stop => self.stop(),
            #[cfg(feature = "cli")]
            Notice::Reload => self.begin_reload(),
            Notice::Peer(PeerNotice::Programs { listener }) => self.receive_datagrams(listener),
            Notice::Peer(PeerNotice::Target { flow }) => self.core.receive_from_target(flow),
            Notice::Peer(PeerNotice::Resolved { server, answer }) => self.resolved(server, answer),
            Notice::Peer(PeerNotice::Addresses { vanished }) => self.handle_addresses(&vanished),
            Notice::Peer(PeerNotice::SignalingDone { session }) => self.signaling_done(session),
            Notice::Client(notice) => self.handle_own(notice),
            // Of other streams, the connection or flow is gone.
            Notice::Unowned { session, event } => self.handle_request_stream(session, &event),
            Notice::Host(_) | Notice::Server(_) | Notice::Look | Notice::Control(_) => {}
        }
        Ok(())
    }

    fn poll_outcome(&mut self) -> Option<Result<(), RunError>> {
        let Stage::Over(outcome) = &mut self.stage else { return None };
        Some(std::mem::replace(outcome, Ok(())))
    }
}
