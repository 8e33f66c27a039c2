//! The host's side of the loop: the signaling port, the handshakes of many clients, and who may come in.

mod control;
mod conversations;
mod entrance;
mod guests;
mod invitations;
mod inviter;
mod inviting;
mod links;
mod proving;
mod quota;
mod reload;
mod returning;
mod reverse;
mod survey;
mod tickets;
mod uplink;

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use self::invitations::Invitations;
pub(crate) use self::inviter::Inviter;
use self::inviter::Inviters;
pub use self::inviter::Issued;
pub use self::inviting::InviteError;
use self::links::Phase;
use self::reload::Publication;
use self::reverse::ReverseListener;
use self::tickets::Tickets;
use self::uplink::Uplink;
use crate::address::{Endpoint, ListenAddress, Target};
use crate::config::{HostConfig, Rule, SharedService};
use crate::control::Order;
use crate::http::Answer;
use crate::net::interfaces::reached_at;
use crate::net::listen;
use crate::net::system::{Interest, TcpListener};
use crate::run::RunError;
use crate::run::approval::Approval;
use crate::run::core::Core;
use crate::run::deadlines::{Due, HostDue};
use crate::run::dialer::{Dialer, ServerAccess};
use crate::run::keys::{LinkKey, Scope, SessionKey};
use crate::run::links::{Links, Watch};
#[cfg(feature = "cli")]
use crate::run::looks::Observer;
use crate::run::notice::{HostNotice, Listening, Notice, PeerNotice, Summary};
#[cfg(feature = "cli")]
use crate::run::reload::Reader;
use crate::run::reload::{Reloader, Reloading, Reread};
use crate::run::side::Side;
#[cfg(feature = "cli")]
use crate::run::signals::HangUps;
#[cfg(feature = "cli")]
use crate::run::supervision::Supervision;
use crate::run::table::Table;
use crate::run::token::Source;
use crate::run::turn::{Reporter, Stopper, Turn};
use crate::session::End;
use crate::shares::Shares;
use crate::signaling::closing;
use crate::signaling::limiter::GuessLimiter;
use crate::signaling::pin::Pin;
use crate::signaling::url::SignalingUrl;
use crate::status::event::Event;
use crate::status::snapshot::Snapshot;
use crate::tunnel::GoAwayReason;

/// How long a signaling WebSocket that is no longer needed may stay open.
const DONE_TIMEOUT: Duration = Duration::from_secs(5);

/// Shares local services with clients that know the pin.
pub struct Host {
    pub(super) core: Core,
    config: HostConfig,
    pin: Pin,
    listener: Option<TcpListener>,
    local: Option<SocketAddr>,
    /// The registration at a server, if there is one.
    uplink: Option<Uplink>,
    /// What the settings of the start publish there.
    publication: Option<Publication>,
    links: Links<Phase>,
    /// The links without a session.
    places: Shares<LinkKey>,
    /// Guesses of the host's own pin.
    limiter: GuessLimiter<LinkKey>,
    invitations: Invitations,
    /// Other threads that make invitations.
    inviters: Inviters,
    /// When invitations are looked at next.
    invitations_due: Option<Instant>,
    tickets: Tickets,
    /// Listeners for clients.
    reverse: Table<ReverseListener>,
    approval: Option<Approval>,
    /// Where other settings come in.
    reloading: Reloading<Reread<HostConfig>>,
    stage: Stage,
}

/// ```text
///  Serving ──asked to stop, --once, given up──▶ Ending ──sessions have ended──▶ over
///                                                 └────asked again──▶ Over ───▶ over
/// ```
enum Stage {
    Serving,
    /// Sessions end in order; then the run ends with this result.
    Ending(Result<(), RunError>),
    /// Remaining sessions are not waited for.
    Over(Result<(), RunError>),
}

impl Host {
    /// Binds the signaling port; [`Host::run`] reports its address.
    ///
    /// # Errors
    /// The settings contradict each other, or the port cannot be bound.
    pub fn bind(config: HostConfig, reporter: Reporter) -> Result<Host, RunError> {
        config.validate()?;
        config.validate_invitations()?;
        let dialer = Dialer {
            services: config.services.clone(),
            allow: config.allow.clone(),
            server: server_access(&config),
            #[cfg(unix)]
            programs: config.programs.clone(),
            ..Dialer::default()
        };
        let mut core = Core::new(dialer, config.reach.clone(), config.stun.clone(), reporter)?;
        core.flows.idle = config.udp_idle;
        core.control.open(&mut core.turn, config.control.as_ref())?;
        let mut listener = config.listen.map(listen::listen).transpose()?;
        let local = listener.as_ref().map(|listener| listener.local_addr()).transpose()?;
        if let Some(listener) = &mut listener {
            core.turn.registry().register(listener, Source::Signaling.token(), Interest::READABLE)?;
        }
        let uplink = config.server.clone().map(Uplink::new).transpose()?;
        let has_others = uplink.as_ref().is_some_and(|uplink| uplink.servers() > 1);
        let watch = if has_others { Watch::Close } else { Watch::Calm };
        let approval =
            config.approver.clone().map(|approver| Approval::start(core.turn.waker(), approver)).transpose()?;
        let pin = config.pin.clone().unwrap_or_else(Pin::generate);
        // Each has its lines before it has its first stream.
        (0..).map_while(|number| config.service_name(number)).for_each(|name| _ = core.turn.tally.label(name));
        remark(&mut core.turn, config.allow.rules().iter(), config.services.iter());
        Ok(Host {
            core,
            publication: Publication::of(&config),
            config,
            pin,
            listener,
            local,
            links: Links::watched(watch),
            uplink,
            places: Shares::new(quota::MAX_UNPROVEN),
            limiter: GuessLimiter::new(),
            invitations: Invitations::new(),
            inviters: Inviters::new(),
            invitations_due: None,
            tickets: Tickets::default(),
            reverse: Table::new(),
            approval,
            reloading: Reloading::new(),
            stage: Stage::Serving,
        })
    }

    /// Returns the bound address of the signaling port; `None` if clients reach the host only through a server.
    pub fn local_addr(&self) -> Option<SocketAddr> {
        self.local
    }

    /// Returns the pin clients must know.
    pub fn pin(&self) -> &Pin {
        &self.pin
    }

    /// Returns the signaling URL for a client on this machine; `None` as for [`Host::local_addr`].
    pub fn url(&self) -> Option<SignalingUrl> {
        let local = self.local?;
        let ip = match local.ip() {
            IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::from([127, 0, 0, 1]),
            IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::from([0, 0, 0, 0, 0, 0, 0, 1]),
            ip => ip,
        };
        Some(SignalingUrl::at((ip, local.port()).into()))
    }

    /// Returns the signaling URL for a client on another machine, as far as this one knows. It has one of this
    /// machine's addresses in it if the host listens on all of them.
    fn far_url(&self) -> Option<SignalingUrl> {
        let local = self.local?;
        let far = local.ip().is_unspecified().then(|| reached_at(local.is_ipv6())).flatten();
        far.map(|ip| SignalingUrl::at((ip, local.port()).into())).or_else(|| self.url())
    }

    /// Returns a handle that ends the run from another thread.
    pub fn stopper(&self) -> Stopper {
        self.core.turn.stopper()
    }

    /// Returns a handle that gives the run other settings from another thread.
    pub(crate) fn reloader(&self) -> Reloader<Reread<HostConfig>> {
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
        reader: Option<Reader<Reread<HostConfig>>>,
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

    /// Runs until it is stopped, or, with `once`, until the first established session ended.
    ///
    /// # Errors
    /// The loop cannot go on, or the server refuses the host.
    pub fn run(mut self) -> Result<(), RunError> {
        self.drive()
    }

    /// Reports where clients come in, and with which pin.
    fn invite(&mut self) {
        if let (Some(addr), Some(url)) = (self.local, self.url()) {
            let (url, pin) = (url.with_pin(&self.pin), self.pin.reveal().to_owned());
            self.core.turn.report(&Event::Listening { addr, url, pin, public_url: self.public_url() });
        }
        if self.registered().is_some() {
            self.report_registered();
        }
        self.report_invitations();
    }

    /// Returns the URL for clients anywhere, with the pin, as far as the settings tell.
    fn public_url(&self) -> Option<String> {
        self.config.public_url.as_ref().map(|url| url.with_pin(&self.pin))
    }

    fn handle_own(&mut self, notice: HostNotice) -> Result<(), RunError> {
        match notice {
            HostNotice::Acceptable => self.accept()?,
            HostNotice::Listen { session, id, bind } => self.handle_listen(session, id, &bind),
            HostNotice::Verify => self.verify(),
            HostNotice::Due(HostDue::Redial) => self.redial_server(),
            HostNotice::Due(HostDue::Invitations) => self.expire_invitations(),
        }
        Ok(())
    }

    fn ended(&mut self, session: SessionKey, end: &End, summary: Summary) {
        if summary.scope == Scope::Server {
            return self.server_session_ended(session);
        }
        let is_visit = *end == End::Visit && (summary.sent, summary.received) == (0, 0);
        if summary.duration.is_none() || is_visit {
            self.invitations.came_to_nothing(session);
        }
        self.close_reverse(session);
        if let Some(link) = self.link_of(session) {
            self.close_link(link, closing::SESSION_ENDED);
        }
        let is_last = self.config.once && summary.duration.is_some() && !is_visit && !self.is_ending();
        self.core.report_end(summary, end);
        if is_last {
            self.end(Ok(()));
        }
    }

    fn stop(&mut self) {
        match &mut self.stage {
            Stage::Serving => self.end(Ok(())),
            Stage::Ending(outcome) | Stage::Over(outcome) => {
                self.stage = Stage::Over(std::mem::replace(outcome, Ok(())));
            }
        }
    }

    /// Ends the run with an error, once the present sessions have ended in order.
    fn fail(&mut self, failure: RunError) {
        match &mut self.stage {
            Stage::Serving => self.end(Err(failure)),
            Stage::Ending(outcome) | Stage::Over(outcome) if outcome.is_ok() => *outcome = Err(failure),
            Stage::Ending(_) | Stage::Over(_) => {}
        }
    }

    /// Admits nobody else, and ends the present sessions.
    fn end(&mut self, outcome: Result<(), RunError>) {
        self.core.turn.stopping();
        if let Some(mut listener) = self.listener.take() {
            self.core.turn.deregister(&mut listener);
        }
        // If another process has taken the name over, clients may reach it there.
        let reason = if outcome.is_err() { GoAwayReason::Restart } else { GoAwayReason::Shutdown };
        self.stage = Stage::Ending(outcome);
        self.core.go_away(reason, "the host ended the session");
    }

    fn is_ending(&self) -> bool {
        !matches!(self.stage, Stage::Serving)
    }

    fn has_failed(&self) -> bool {
        matches!(self.stage, Stage::Ending(Err(_)) | Stage::Over(Err(_)))
    }
}

impl Side for Host {
    fn core(&mut self) -> &mut Core {
        &mut self.core
    }

    fn start(&mut self) {
        // Not in `bind`: the reader of this may send a signal, and signals are handled only from here on.
        self.make_configured(self.config.invitations.clone());
        self.expire_invitations();
        self.invite();
        if self.local.is_some() {
            self.core.turn.ready();
        }
        self.dial_server();
        self.core.sessions.look_up_stun(self.core.turn.now);
        self.core.turn.set(self.links.look_interval(), Due::KeepAlive);
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
            Notice::Acceptable(Listening::At(slot)) => {
                if let Some(listener) = self.reverse.at(slot) {
                    self.accept_reverse(listener);
                }
            }
            Notice::Acceptable(Listening::All) => {
                self.accept()?;
                self.accept_all_reverse();
            }
            Notice::Link(notice) => self.handle_link(notice),
            Notice::Signal { session, number, signal } => self.send_signal(session, number, signal),
            Notice::Ended { session, end, summary } => self.ended(session, &end, summary),
            Notice::KeepAlive => self.keep_alive(),
            Notice::Woken => {
                self.handle_answers();
                self.handle_inviters();
                self.finish_reload();
            }
            Notice::Stop => self.stop(),
            #[cfg(feature = "cli")]
            Notice::Reload => self.begin_reload(),
            Notice::Peer(PeerNotice::Programs { listener }) => self.receive_reverse(listener),
            Notice::Peer(PeerNotice::Target { flow }) => self.core.receive_from_target(flow),
            Notice::Peer(PeerNotice::Resolved { server, answer }) => self.server_resolved(server, answer),
            Notice::Peer(PeerNotice::Addresses { vanished }) => self.handle_addresses(&vanished),
            Notice::Peer(PeerNotice::SignalingDone { session }) => {
                // The client should close it, before a deadline.
                if let Some(link) = self.link_of(session) {
                    self.begin_step(link, DONE_TIMEOUT);
                }
            }
            Notice::Host(notice) => self.handle_own(notice)?,
            // The connection or flow of this stream is gone.
            Notice::Unowned { .. } | Notice::Client(_) | Notice::Server(_) | Notice::Look | Notice::Control(_) => {}
        }
        Ok(())
    }

    fn poll_outcome(&mut self) -> Option<Result<(), RunError>> {
        let outcome = match &mut self.stage {
            Stage::Serving => return None,
            Stage::Ending(_) if !self.core.sessions.is_empty() || !self.core.turn.notices.is_empty() => return None,
            Stage::Ending(outcome) | Stage::Over(outcome) => std::mem::replace(outcome, Ok(())),
        };
        self.hang_up();
        Some(outcome)
    }
}

/// Returns what the server may have dialled.
fn server_access(config: &HostConfig) -> ServerAccess {
    let Some(registration) = &config.server else { return ServerAccess::default() };
    let published = registration.public.as_ref().and_then(|public| config.service_name(public.service));
    ServerAccess { public: published.map(str::to_owned), dials: registration.dial }
}

/// Warns of what rules do not do, and of services that nobody has started yet.
fn remark<'a>(
    turn: &mut Turn,
    rules: impl Iterator<Item = &'a Rule>,
    services: impl Iterator<Item = &'a SharedService>,
) {
    for rule in rules {
        if let Some(remark) = rule.remark() {
            turn.warn("allow", format!("--allow {rule}: {remark}"));
        }
    }
    for service in services.filter(|service| !is_listened_on(&service.endpoint)) {
        let message = format!("nothing listens on {} yet; clients can use it once it does", service.endpoint);
        turn.warn("target-down", message);
    }
}

/// Tells whether something listens on a target of this machine, without disturbing it: then its port cannot be bound.
/// Targets on other machines count as listened on.
fn is_listened_on(endpoint: &Endpoint) -> bool {
    let target = match endpoint {
        Endpoint::Tcp(target) => target,
        #[cfg(unix)]
        Endpoint::Unix(path) => return path.exists(),
        #[cfg(not(unix))]
        Endpoint::Unix(_) => return true,
        Endpoint::Udp(_) => return true,
    };
    if target.host.eq_ignore_ascii_case("localhost") {
        return ListenAddress::Localhost(target.port).addresses().any(listen::is_taken);
    }
    let ip = target.host.parse().ok().filter(IpAddr::is_loopback);
    ip.is_none_or(|ip| listen::is_taken(SocketAddr::new(ip, target.port)))
}
