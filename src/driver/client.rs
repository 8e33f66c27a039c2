//! The client's side of the loop: one signaling WebSocket to the host, one session, one local port.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use log::{debug, info};
use mio::Interest;
use mio::event::Event as MioEvent;
use mio::net::TcpListener;
use rustls::ClientConfig as TlsConfig;

use super::RunError;
use super::core::{Core, Notice, Reporter, Stopper};
use super::deadlines::Due;
use super::sessions::{SessionKey, Summary};
use super::token::Source;
use crate::config::ClientConfig;
use crate::net::listen::{self, Accepted};
use crate::net::resolver::Lookup;
use crate::net::tls;
use crate::net::websocket::{UpgradeRequest, WebSocket, WebSocketError, WebSocketEvent, close_code};
use crate::session::End;
use crate::signaling::error::SignalingError;
use crate::signaling::handshake::{ClientHandshake, ClientStep, Established};
use crate::status::event::Event;
use crate::tunnel::{Config, Role};

/// How long the WebSocket may take to open: connect, TLS and upgrade together.
const OPEN_TIMEOUT: Duration = Duration::from_secs(15);

/// How long the host may take to answer a step of the handshake. Longer than its greatest spacing of guesses, though not
/// than a full queue of them.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(75);

/// How long a closing handshake may take.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// Connections accepted in one turn.
const ACCEPTS_PER_TURN: usize = 64;

/// Makes a host's service appear on a local port.
pub struct Client {
    core: Core,
    config: ClientConfig,
    listener: Option<TcpListener>,
    local: SocketAddr,
    tls: Option<Arc<TlsConfig>>,
    addresses: VecDeque<SocketAddr>,
    link: Option<Link>,
    session: Option<SessionKey>,
    /// The session is connected: local connections are taken.
    is_forwarding: bool,
    is_acceptable: bool,
    is_stopping: bool,
    outcome: Option<Result<(), RunError>>,
}

struct Link {
    websocket: WebSocket,
    serial: u64,
    phase: Phase,
    /// A notice to poll it again is under way.
    is_queued: bool,
}

enum Phase {
    /// The WebSocket is being opened.
    Opening,
    /// Both sides prove that they know the pin.
    Pake(ClientHandshake),
    /// The session is being negotiated.
    Session(SessionKey),
    /// Not needed any more.
    Closing,
}

impl Client {
    /// Binds the local port and reads certificates; nothing is dialled yet.
    ///
    /// # Errors
    /// The port cannot be had, or the certificates cannot be read.
    pub fn bind(config: ClientConfig, reporter: Reporter) -> Result<Client, RunError> {
        let core = Core::new(None, reporter)?;
        let mut listener = listen::listen(config.local)?;
        let local = listener.local_addr()?;
        core.poll.registry().register(&mut listener, Source::Listener.token(), Interest::READABLE)?;
        let tls = if config.url.tls { Some(tls::client_config(config.ca.as_deref())?) } else { None };
        Ok(Client {
            core,
            config,
            listener: Some(listener),
            local,
            tls,
            addresses: VecDeque::new(),
            link: None,
            session: None,
            is_forwarding: false,
            is_acceptable: false,
            is_stopping: false,
            outcome: None,
        })
    }

    /// Returns the bound local address.
    pub fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// Returns what ends the run from another thread.
    pub fn stopper(&self) -> Stopper {
        self.core.stopper()
    }

    /// Keeps this many bytes in flight instead of what the path is measured to need. For measurements;
    /// less than one message (16,392 bytes) never sends a full one.
    pub fn fix_flight(&mut self, bytes: usize) {
        self.core.fixed_flight = Some(bytes);
    }

    /// Makes SIGINT and SIGTERM end the run in order.
    ///
    /// # Errors
    /// The system's.
    pub fn handle_signals(&mut self) -> Result<(), RunError> {
        Ok(self.core.handle_signals()?)
    }

    /// Runs until the session is over or somebody stops it.
    ///
    /// # Errors
    /// Why there is no session, or why it ended.
    pub fn run(mut self) -> Result<(), RunError> {
        self.look_up();
        loop {
            // Not those that come up meanwhile: they wait for the next turn, or a flood of them would stop everything else.
            for _ in 0..self.core.notices.len() {
                let Some(notice) = self.core.notices.pop_front() else { break };
                self.handle(notice);
            }
            self.core.work();
            if let Some(outcome) = self.outcome.take() {
                return outcome;
            }
            self.core.wait()?;
        }
    }

    fn handle(&mut self, notice: Notice) {
        match notice {
            Notice::Acceptable => {
                self.is_acceptable = true;
                self.accept();
            }
            Notice::Link { event, .. } => self.handle_link_event(&event),
            Notice::LinkDue { serial, .. } => self.handle_link_due(serial),
            Notice::Resolved { answer } => match answer {
                Ok(addresses) => {
                    self.addresses = addresses.into();
                    self.dial(None);
                }
                Err(reason) => self.fail(WebSocketError::Dns { host: self.config.first_hop().0.to_owned(), reason }),
            },
            Notice::Signal { session, text } => self.send_signal(session, text),
            Notice::Connected { session } => self.connected(session),
            Notice::GoAway => self.stop_listening(),
            Notice::Ended { end, summary, .. } => self.ended(end, summary),
            Notice::Stop => self.stop(),
            Notice::LinkPoll { .. } => {
                if let Some(link) = &mut self.link {
                    link.is_queued = false;
                }
                self.poll_link();
            }
            Notice::Verify | Notice::Woken => {}
        }
    }

    fn look_up(&mut self) {
        let (host, port) = self.config.first_hop();
        match self.core.resolver.resolve(0, host, port) {
            Ok(Lookup::Ready(addresses)) => {
                self.addresses = addresses.into();
                self.dial(None);
            }
            Ok(Lookup::Pending) => {}
            Err(error) => self.fail(WebSocketError::Dns { host: host.to_owned(), reason: error.to_string() }),
        }
    }

    /// Tries the next address of the host; `error` is what the last one gave.
    fn dial(&mut self, mut error: Option<WebSocketError>) {
        let url = &self.config.url;
        let authority = url.authority();
        while let Some(address) = self.addresses.pop_front() {
            let request = UpgradeRequest {
                authority: authority.clone(),
                path: url.path.clone(),
                server_name: url.host.clone(),
                headers: self.config.headers.clone(),
                proxy: self.config.proxy.clone(),
            };
            match WebSocket::dial(address, &request, self.tls.clone()) {
                Ok(websocket) => return self.add_link(websocket),
                Err(failure) => error = Some(failure),
            }
        }
        self.fail(error.unwrap_or(WebSocketError::Dns { host: authority, reason: "it has no address".to_owned() }));
    }

    fn add_link(&mut self, mut websocket: WebSocket) {
        let interest = Interest::READABLE | Interest::WRITABLE;
        let token = Source::Link(0).token();
        if let Err(error) = self.core.poll.registry().register(websocket.source(), token, interest) {
            return self.fail(error);
        }
        self.link = Some(Link { websocket, serial: 0, phase: Phase::Opening, is_queued: false });
        self.expect(Phase::Opening, OPEN_TIMEOUT);
    }

    /// Moves the link to its next phase and gives it so long for that.
    fn expect(&mut self, phase: Phase, timeout: Duration) {
        self.core.next_serial += 1;
        let serial = self.core.next_serial;
        if let Some(link) = &mut self.link {
            link.phase = phase;
            link.serial = serial;
            self.core.deadlines.add(self.core.now + timeout, Due::Link { index: 0, serial });
        }
    }

    fn handle_link_event(&mut self, event: &MioEvent) {
        if let Some(link) = &mut self.link {
            link.websocket.handle_event(event);
            self.poll_link();
        }
    }

    fn poll_link(&mut self) {
        while let Some(link) = &mut self.link {
            match link.websocket.poll() {
                Ok(Some(WebSocketEvent::Open)) => self.link_opened(),
                Ok(Some(WebSocketEvent::Text(text))) => self.handle_text(&text),
                Ok(Some(WebSocketEvent::Binary(_))) => {
                    self.fail(WebSocketError::Protocol("a binary message where text is expected".to_owned()));
                }
                Ok(Some(WebSocketEvent::Closed { reason, .. })) => {
                    return self.link_closed(WebSocketError::Protocol(format!("the host closed signaling: {reason}")));
                }
                Ok(None) => {
                    if link.websocket.is_ready() && !std::mem::replace(&mut link.is_queued, true) {
                        self.core.notices.push_back(Notice::LinkPoll { index: 0 });
                    }
                    return;
                }
                Err(error) => return self.link_closed(error),
            }
        }
    }

    fn link_opened(&mut self) {
        let (handshake, hello) = ClientHandshake::start(&self.config.pin);
        self.expect(Phase::Pake(handshake), ANSWER_TIMEOUT);
        self.send(hello);
    }

    fn handle_text(&mut self, text: &str) {
        let Some(link) = &mut self.link else { return };
        match &mut link.phase {
            Phase::Pake(handshake) => match handshake.handle_text(text) {
                Ok(ClientStep::Send(reply)) => self.send(reply),
                Ok(ClientStep::Done(established)) => self.start_session(established),
                Err(error) => self.refuse(error),
            },
            Phase::Session(session) => {
                let (session, now) = (*session, self.core.now);
                let result = self.core.session(session).map(|entry| entry.session.handle_signal(now, text));
                self.core.touch(session.index);
                if let Some(Err(error)) = result {
                    self.refuse(error);
                }
            }
            Phase::Opening | Phase::Closing => {}
        }
    }

    fn start_session(&mut self, established: Established) {
        match self.core.add_session(established, Config::new(Role::Client)) {
            Ok(session) => {
                self.session = Some(session);
                if let Some(link) = &mut self.link {
                    link.phase = Phase::Session(session);
                }
            }
            Err(reason) => self.finish(Err(RunError::Start(reason))),
        }
    }

    /// Gives up because of what the host said; it is told why, unless it said so itself.
    fn refuse(&mut self, error: SignalingError) {
        if !matches!(error, SignalingError::Refused { .. }) {
            self.send(error.to_text());
        }
        self.finish(Err(error.into()));
    }

    fn send_signal(&mut self, session: SessionKey, text: String) {
        if self.session == Some(session) {
            self.send(text);
        }
    }

    fn send(&mut self, text: String) {
        if let Some(link) = &mut self.link
            && !matches!(link.phase, Phase::Closing)
            && let Err(error) = link.websocket.send_text(text)
        {
            self.link_closed(error);
        }
    }

    fn link_closed(&mut self, error: WebSocketError) {
        let Some(mut link) = self.link.take() else { return };
        if let Err(error) = self.core.poll.registry().deregister(link.websocket.source()) {
            debug!("deregister error={error}");
        }
        match link.phase {
            Phase::Opening if !self.addresses.is_empty() => self.dial(Some(error)),
            Phase::Opening | Phase::Pake(_) => self.fail(error),
            Phase::Session(session) => {
                let now = self.core.now;
                if let Some(entry) = self.core.session(session) {
                    info!("session={} signaling lost: {error}", entry.name);
                    entry.session.handle_signaling_closed(now);
                }
                self.core.touch(session.index);
            }
            Phase::Closing => {}
        }
    }

    fn handle_link_due(&mut self, serial: u64) {
        let Some(link) = self.link.as_ref().filter(|link| link.serial == serial) else { return };
        match link.phase {
            Phase::Opening => {
                let error = link.websocket.timed_out();
                self.link_closed(error);
            }
            Phase::Pake(_) => self.link_closed(WebSocketError::Protocol(
                "the host did not answer in time; it may be slowing down guesses of its pin, try again later"
                    .to_owned(),
            )),
            Phase::Closing => {
                let error = link.websocket.timed_out();
                self.link_closed(error);
            }
            // The session has a deadline of its own.
            Phase::Session(_) => {}
        }
    }

    fn connected(&mut self, session: SessionKey) {
        if let Some(link) = &mut self.link {
            link.websocket.close(close_code::NORMAL, "connected");
            self.expect(Phase::Closing, CLOSE_TIMEOUT);
            self.poll_link();
        }
        let Some(entry) = self.core.session(session) else { return };
        let service = entry.session.mux().peer().and_then(|hello| hello.services.first());
        let service = service.map_or_else(String::new, |service| service.name.clone());
        self.core.report(&Event::Forwarding { local: self.local, service });
        self.is_forwarding = true;
        self.accept();
    }

    fn accept(&mut self) {
        let (Some(session), true) = (self.session, self.is_forwarding && self.is_acceptable) else { return };
        for _ in 0..ACCEPTS_PER_TURN {
            let Some(listener) = &self.listener else { return };
            match listen::accept(listener) {
                Accepted::Connection(stream, remote) => {
                    if self.core.session(session).is_none() {
                        return listen::reset(stream);
                    }
                    self.core.open_stream(session.index, stream, remote);
                }
                Accepted::Empty => {
                    self.is_acceptable = false;
                    return;
                }
                Accepted::Exhausted(error) => {
                    debug!("accept paused: {error}");
                    self.core.pause_accepting();
                    return;
                }
                Accepted::Fatal(error) => return self.fail(error),
            }
        }
        self.core.notices.push_back(Notice::Acceptable);
    }

    fn stop_listening(&mut self) {
        self.is_forwarding = false;
        if let Some(mut listener) = self.listener.take()
            && let Err(error) = self.core.poll.registry().deregister(&mut listener)
        {
            debug!("deregister error={error}");
        }
    }

    fn ended(&mut self, end: End, summary: Summary) {
        self.core.report_end(summary, &end);
        let outcome = match end {
            End::Local => Ok(()),
            End::Peer if self.config.once => Ok(()),
            end => Err(RunError::Session(end)),
        };
        self.finish(outcome);
    }

    fn stop(&mut self) {
        if self.is_stopping || self.session.is_none() {
            return self.finish(Ok(()));
        }
        self.is_stopping = true;
        self.stop_listening();
        self.core.go_away("the client ended the session");
    }

    fn fail(&mut self, error: impl Into<RunError>) {
        self.finish(Err(error.into()));
    }

    fn finish(&mut self, outcome: Result<(), RunError>) {
        self.outcome.get_or_insert(outcome);
    }
}
