//! The host's side of the loop: the signaling port, the handshakes of many clients, and who may come in.

mod conversations;
mod guests;
mod links;
mod places;
mod reverse;
mod tickets;
mod uplink;

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use log::debug;

use self::conversations::Conversation;
use self::reverse::ReverseListener;
use self::tickets::Tickets;
use self::uplink::Uplink;
use crate::address::{Endpoint, ListenAddress};
use crate::config::HostConfig;
use crate::net::listen;
use crate::net::system::{Interest, TcpListener, TcpStream};
use crate::net::websocket::{Incoming, WebSocket};
use crate::run::RunError;
use crate::run::approval::Approval;
use crate::run::core::{Core, ROUNDS_PER_TURN};
use crate::run::deadlines::{Due, HostDue};
use crate::run::dialer::{Dialer, ServerAccess};
use crate::run::keys::{Scope, SessionKey};
use crate::run::liveness::{LOOK_INTERVAL, Liveness};
use crate::run::notice::{HostNotice, LinkNotice, Listening, Notice, PeerNotice, Summary};
use crate::run::signals::HangUp;
use crate::run::table::{Key, Table};
use crate::run::token::Source;
use crate::run::turn::{Reporter, Stopper};
use crate::session::End;
use crate::shares::{self, Shares};
use crate::signaling::handshake::{Established, HostHandshake};
use crate::signaling::limiter::GuessLimiter;
use crate::signaling::pin::Pin;
use crate::signaling::resume::HostResume;
use crate::signaling::url::SignalingUrl;
use crate::status::event::Event;
use crate::tunnel::GoAwayReason;

/// How long a signaling WebSocket that nobody needs may stay open.
const DONE_TIMEOUT: Duration = Duration::from_secs(5);

/// Shares a local service with the clients that know the pin.
pub struct Host {
    pub(super) core: Core,
    config: HostConfig,
    pin: Pin,
    listener: Option<TcpListener>,
    local: Option<SocketAddr>,
    /// The registration at a server, if there is to be one.
    uplink: Option<Uplink>,
    links: Table<Link>,
    /// Links that are no session's.
    places: Shares<LinkKey>,
    limiter: GuessLimiter<LinkKey>,
    tickets: Tickets,
    /// Where clients have us listen.
    reverse: Table<ReverseListener>,
    approval: Option<Approval>,
    is_stopping: bool,
    is_done: bool,
    /// Why the run cannot go on.
    failure: Option<RunError>,
}

/// Finds a link.
type LinkKey = Key<Link>;

/// A connection to the signaling port, or one through the server.
struct Link {
    end: LinkEnd,
    /// The number of the step that its deadline is for.
    step: u64,
    /// Where it comes from, for people.
    remote: String,
    /// Whose it is, as far as that is known.
    source: shares::Source,
    phase: Phase,
    /// A notice to poll it again is under way.
    is_queued: bool,
    liveness: Liveness,
}

enum LinkEnd {
    Incoming(Incoming),
    WebSocket(WebSocket),
    Conversation(Conversation),
}

impl LinkEnd {
    fn source(&mut self) -> Option<&mut TcpStream> {
        match self {
            LinkEnd::Incoming(incoming) => Some(incoming.source()),
            LinkEnd::WebSocket(websocket) => Some(websocket.source()),
            LinkEnd::Conversation(_) => None,
        }
    }

    /// Returns how many bytes wait to be sent.
    fn waiting(&self) -> usize {
        match self {
            LinkEnd::Incoming(_) => 0,
            LinkEnd::WebSocket(websocket) => websocket.buffered(),
            LinkEnd::Conversation(conversation) => conversation.waiting(),
        }
    }
}

enum Phase {
    /// The peers prove that they know the pin.
    Pake(HostHandshake),
    /// The client's proof waits for its turn.
    Verifying(HostHandshake),
    /// A client joins a session again.
    Resuming(HostResume, SessionKey),
    /// A client with a ticket begins a session; this one was its last when it came.
    Returning(HostResume, SessionKey),
    /// A person is asked.
    Asking(Box<Established>),
    /// A session is being negotiated or relayed.
    Session(SessionKey),
    /// Nothing more is to be said.
    Closing,
}

impl Host {
    /// Binds the signaling port; [`Host::run`] reports where it is.
    ///
    /// # Errors
    /// The port cannot be had.
    pub fn bind(config: HostConfig, reporter: Reporter) -> Result<Host, RunError> {
        let (services, allow) = (config.services.clone(), config.allow.clone());
        let server = config.server.as_ref().map_or_else(ServerAccess::default, |registration| ServerAccess {
            public: registration.public.as_ref().and_then(|public| u16::try_from(public.service).ok()),
            dials: registration.dial,
        });
        let dialer = Dialer { services, allow, server, ..Dialer::default() };
        let mut core = Core::new(dialer, config.reach.clone(), config.stun.clone(), reporter)?;
        core.flows.idle = config.udp_idle;
        let mut listener = config.listen.map(listen::listen).transpose()?;
        let local = listener.as_ref().map(|listener| listener.local_addr()).transpose()?;
        if let Some(listener) = &mut listener {
            core.turn.registry().register(listener, Source::Signaling.token(), Interest::READABLE)?;
        }
        let uplink = config.server.clone().map(Uplink::new).transpose()?;
        let approval = if config.ask { Some(Approval::start(core.turn.stopper().waker())?) } else { None };
        let pin = config.pin.clone().unwrap_or_else(Pin::generate);
        for rule in config.allow.rules() {
            if let Some(remark) = rule.remark() {
                core.turn.warn("allow", format!("--allow {rule}: {remark}"));
            }
        }
        for service in &config.services {
            if !is_listened_on(&service.endpoint) {
                let message = format!("nothing listens on {} yet; clients can use it once it does", service.endpoint);
                core.turn.warn("target-down", message);
            }
        }
        Ok(Host {
            core,
            config,
            pin,
            listener,
            local,
            uplink,
            links: Table::new(),
            places: Shares::new(places::MAX_UNPROVEN),
            limiter: GuessLimiter::new(),
            tickets: Tickets::default(),
            reverse: Table::new(),
            approval,
            is_stopping: false,
            is_done: false,
            failure: None,
        })
    }

    /// Returns the bound address of the signaling port; `None` for a host that clients reach through a server only.
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
        Some(SignalingUrl { tls: false, host: ip.to_string(), port: local.port(), path: "/ws".to_owned() })
    }

    /// Returns what ends the run from another thread.
    pub fn stopper(&self) -> Stopper {
        self.core.turn.stopper()
    }

    /// Makes SIGINT, SIGTERM and SIGHUP (a closed terminal) end the run in order. A SIGHUP that is ignored, as under
    /// `nohup`, stays so.
    ///
    /// # Errors
    /// The system's.
    pub fn handle_signals(&mut self) -> Result<(), RunError> {
        Ok(self.core.turn.handle_signals(HangUp::Ends)?)
    }

    /// Runs until somebody stops it, or, with `once`, until the first established session ended.
    ///
    /// # Errors
    /// The loop cannot go on, or the server does not want us.
    pub fn run(mut self) -> Result<(), RunError> {
        self.start();
        while !self.turn()? {
            self.core.wait()?;
        }
        Ok(())
    }

    /// Says where it listens, and dials the server for the first time.
    pub(super) fn start(&mut self) {
        // Only here signals are handled, and whoever reads this may send one.
        if let (Some(addr), Some(url)) = (self.local, self.url()) {
            let (url, pin) = (url.with_pin(&self.pin), self.pin.reveal().to_owned());
            self.core.turn.report(&Event::Listening { addr, url, pin });
        }
        self.dial_server();
        self.core.sessions.look_up_stun(self.core.turn.now);
        self.core.turn.set(LOOK_INTERVAL, Due::KeepAlive);
    }

    /// Does what came up. Tells whether the run is over.
    pub(super) fn turn(&mut self) -> Result<bool, RunError> {
        for _ in 0..ROUNDS_PER_TURN {
            // Not those that come up meanwhile: a flood of them would stop everything else.
            for _ in 0..self.core.turn.notices.len() {
                let Some(notice) = self.core.turn.notices.pop_front() else { break };
                self.handle(notice)?;
            }
            self.core.work();
        }
        if self.is_done || (self.is_stopping && self.core.sessions.is_empty() && self.core.turn.notices.is_empty()) {
            self.hang_up();
            return self.failure.take().map_or(Ok(true), Err);
        }
        Ok(false)
    }

    fn handle(&mut self, notice: Notice) -> Result<(), RunError> {
        match notice {
            Notice::Acceptable(Listening::At(place)) => {
                if let Some(listener) = self.reverse.at(place) {
                    self.accept_reverse(listener);
                }
            }
            Notice::Acceptable(Listening::All) => {
                self.accept()?;
                self.accept_all_reverse();
            }
            Notice::Link(LinkNotice::Ready { place, event }) => self.handle_link_event(place, &event),
            Notice::Link(LinkNotice::Poll { link }) => self.poll_link_again(link),
            Notice::Link(LinkNotice::Due { link, step }) => self.handle_link_due(link, step),
            Notice::Signal { session, number, signal } => self.send_signal(session, number, signal),
            Notice::Ended { session, end, summary } => self.ended(session, &end, summary),
            Notice::KeepAlive => self.keep_alive(),
            Notice::Woken => self.handle_answers(),
            Notice::Stop => self.stop(),
            Notice::Peer(PeerNotice::Programs { listener }) => self.receive_reverse(listener),
            Notice::Peer(PeerNotice::Target { flow }) => self.core.receive_from_target(flow),
            Notice::Peer(PeerNotice::Resolved { answer }) => self.server_resolved(answer),
            Notice::Peer(PeerNotice::Addresses { vanished }) => self.handle_addresses(&vanished),
            Notice::Peer(PeerNotice::SignalingDone { session }) => {
                // The client closes it; one that does not has its time.
                if let Some(link) = self.link_of(session) {
                    self.expect(link, DONE_TIMEOUT);
                }
            }
            Notice::Host(notice) => self.handle_own(notice)?,
            Notice::Client(_) | Notice::Server(_) => {}
        }
        Ok(())
    }

    fn handle_own(&mut self, notice: HostNotice) -> Result<(), RunError> {
        match notice {
            HostNotice::Acceptable => self.accept()?,
            HostNotice::Listen { session, id, bind } => self.handle_listen(session, id, &bind),
            HostNotice::Verify => self.verify(),
            HostNotice::Uplink { event } => self.handle_uplink_event(&event),
            HostNotice::UplinkPoll => self.poll_uplink_again(),
            HostNotice::Due(HostDue::Uplink { step }) => self.handle_uplink_due(step),
            HostNotice::Due(HostDue::Redial) => self.redial_server(),
        }
        Ok(())
    }

    /// Ends the run with an error, as soon as the sessions there are have ended in order.
    fn fail(&mut self, failure: RunError) {
        self.failure.get_or_insert(failure);
        if !self.is_stopping {
            self.stop();
        }
    }

    fn ended(&mut self, session: SessionKey, end: &End, summary: Summary) {
        if summary.scope == Scope::Server {
            return self.server_session_ended(session);
        }
        self.close_reverse(session);
        if let Some(link) = self.link_of(session) {
            self.close_link(link, "the session ended");
        }
        let is_last = self.config.once && summary.duration.is_some() && !self.is_stopping;
        self.core.report_end(summary, end);
        if is_last {
            self.stop();
        }
    }

    fn stop(&mut self) {
        if self.is_stopping {
            self.is_done = true;
            return;
        }
        self.is_stopping = true;
        if let Some(mut listener) = self.listener.take()
            && let Err(error) = self.core.turn.registry().deregister(&mut listener)
        {
            debug!("deregister error={error}");
        }
        // One whose name another process has taken over may be followed there.
        let reason = if self.failure.is_some() { GoAwayReason::Restart } else { GoAwayReason::Shutdown };
        self.core.go_away(reason, "the host ended the session");
    }
}

/// Tells whether something listens on a target of this machine, without disturbing it: its port cannot be bound then.
/// Other machines get the benefit of the doubt.
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
