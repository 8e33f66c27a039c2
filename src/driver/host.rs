//! The host's side of the loop: the signaling port, the handshakes of many clients, and who may come in.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use log::{debug, info};
use mio::Interest;
use mio::event::Event as MioEvent;
use mio::net::{TcpListener, TcpStream};
use slab::Slab;
use socket2::{Domain, Socket, Type};

use super::RunError;
use super::approval::Approval;
use super::connections::EXHAUSTED_PAUSE;
use super::core::{Core, Notice, Reporter, Stopper};
use super::deadlines::Due;
use super::sessions::{SessionKey, Summary};
use super::token::Source;
use crate::config::{HostConfig, Target};
use crate::net::listen::{self, Accepted};
use crate::net::websocket::{Admission, Incoming, IncomingEvent, WebSocket, WebSocketEvent, close_code};
use crate::session::End;
use crate::signaling::error::SignalingError;
use crate::signaling::handshake::{Established, HostHandshake, HostStep};
use crate::signaling::limiter::GuessLimiter;
use crate::signaling::pin::Pin;
use crate::signaling::url::SignalingUrl;
use crate::status::event::Event;
use crate::tunnel::{Config, Role, Service};

/// How long a connection to the signaling port may take to become a WebSocket, and a WebSocket to say hello.
const STEP_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a person may take to answer `--ask`.
const ASK_TIMEOUT: Duration = Duration::from_secs(60);

/// How long a closing handshake may take.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// Connections to the signaling port at a time. Beyond it the oldest that has proved nothing has to go.
const MAX_LINKS: usize = 256;

/// Connections accepted in one turn.
const ACCEPTS_PER_TURN: usize = 64;

/// What a refused client is told to wait, in seconds, when the signaling port is full.
const RETRY_AFTER: u32 = 5;

/// Shares a local service with the clients that know the pin.
pub struct Host {
    core: Core,
    config: HostConfig,
    pin: Pin,
    listener: Option<TcpListener>,
    local: SocketAddr,
    links: Slab<Link>,
    limiter: GuessLimiter<LinkKey>,
    approval: Option<Approval>,
    is_stopping: bool,
    is_done: bool,
}

/// Finds a link; one that is gone is found no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct LinkKey {
    index: usize,
    serial: u64,
}

/// A connection to the signaling port.
struct Link {
    end: LinkEnd,
    serial: u64,
    remote: SocketAddr,
    phase: Phase,
}

enum LinkEnd {
    Incoming(Incoming),
    WebSocket(WebSocket),
}

impl LinkEnd {
    fn source(&mut self) -> &mut TcpStream {
        match self {
            LinkEnd::Incoming(incoming) => incoming.source(),
            LinkEnd::WebSocket(websocket) => websocket.source(),
        }
    }
}

enum Phase {
    /// The peers prove that they know the pin.
    Pake(HostHandshake),
    /// The client's proof waits for its turn.
    Verifying(HostHandshake),
    /// A person is asked.
    Asking(Box<Established>),
    /// A session is being negotiated.
    Session(SessionKey),
    /// Nothing more is to be said.
    Closing,
}

impl Host {
    /// Binds the signaling port and reports where it is.
    ///
    /// # Errors
    /// The port cannot be had.
    pub fn bind(config: HostConfig, reporter: Reporter) -> Result<Host, RunError> {
        let mut core = Core::new(Some(config.target.clone()), reporter)?;
        let mut listener = listen::listen(config.listen)?;
        let local = listener.local_addr()?;
        core.poll.registry().register(&mut listener, Source::Listener.token(), Interest::READABLE)?;
        let approval = if config.ask { Some(Approval::start(core.stopper().waker())?) } else { None };
        let pin = config.pin.clone().unwrap_or_else(Pin::generate);
        if !is_listened_on(&config.target) {
            let message = format!("nothing listens on {} yet; clients can use it once it does", config.target);
            core.warn("target-down", message);
        }
        let (links, limiter) = (Slab::new(), GuessLimiter::new());
        let (is_stopping, is_done) = (false, false);
        let listener = Some(listener);
        let mut host = Host { core, config, pin, listener, local, links, limiter, approval, is_stopping, is_done };
        let (url, pin) = (host.url().with_pin(&host.pin), host.pin.reveal().to_owned());
        host.core.report(&Event::Listening { addr: local, url, pin });
        Ok(host)
    }

    /// Returns the bound address of the signaling port.
    pub fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// Returns the pin clients must know.
    pub fn pin(&self) -> &Pin {
        &self.pin
    }

    /// Returns the signaling URL for a client on this machine.
    pub fn url(&self) -> SignalingUrl {
        let ip = match self.local.ip() {
            IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::from([127, 0, 0, 1]),
            IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::from([0, 0, 0, 0, 0, 0, 0, 1]),
            ip => ip,
        };
        SignalingUrl { tls: false, host: ip.to_string(), port: self.local.port(), path: "/ws".to_owned() }
    }

    /// Returns what ends the run from another thread.
    pub fn stopper(&self) -> Stopper {
        self.core.stopper()
    }

    /// Keeps this many bytes in flight instead of what the path is measured to need. For measurements.
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

    /// Runs until somebody stops it, or, with `once`, until the first established session ended.
    ///
    /// # Errors
    /// The loop cannot go on.
    pub fn run(mut self) -> Result<(), RunError> {
        loop {
            while let Some(notice) = self.core.notices.pop_front() {
                self.handle(notice)?;
            }
            self.core.work();
            if self.is_done || (self.is_stopping && self.core.sessions.is_empty() && self.core.notices.is_empty()) {
                return Ok(());
            }
            self.core.wait()?;
        }
    }

    fn handle(&mut self, notice: Notice) -> Result<(), RunError> {
        match notice {
            Notice::Acceptable => self.accept()?,
            Notice::Link { index, event } => self.handle_link_event(index, &event),
            Notice::LinkDue { index, serial } => self.handle_link_due(LinkKey { index, serial }),
            Notice::LinkPoll { index } => self.poll_link(index),
            Notice::Verify => self.verify(),
            Notice::Woken => self.handle_answers(),
            Notice::Signal { session, text } => self.send_signal(session, text),
            Notice::Connected { session } => {
                if let Some(index) = self.link_of(session) {
                    self.close_link(index, "connected");
                }
            }
            Notice::Ended { session, end, summary } => self.ended(session, &end, summary),
            Notice::Stop => self.stop(),
            Notice::GoAway | Notice::Resolved { .. } => {}
        }
        Ok(())
    }

    fn accept(&mut self) -> Result<(), RunError> {
        for _ in 0..ACCEPTS_PER_TURN {
            let Some(listener) = &self.listener else { return Ok(()) };
            match listen::accept(listener) {
                Accepted::Connection(stream, remote) => self.add_link(stream, remote),
                Accepted::Empty => return Ok(()),
                Accepted::Exhausted(error) => {
                    debug!("accept paused: {error}");
                    self.core.deadlines.add(self.core.now + EXHAUSTED_PAUSE, Due::Accept);
                    return Ok(());
                }
                Accepted::Fatal(error) => return Err(error.into()),
            }
        }
        self.core.notices.push_back(Notice::Acceptable);
        Ok(())
    }

    fn add_link(&mut self, stream: TcpStream, remote: SocketAddr) {
        let mut admission = Admission::Open;
        if self.links.len() >= MAX_LINKS {
            let unproven = self.links.iter().filter(|(_, link)| matches!(link.phase, Phase::Pake(_) | Phase::Closing));
            match unproven.min_by_key(|(_, link)| link.serial).map(|(index, _)| index) {
                Some(oldest) => self.drop_link(oldest),
                None => admission = Admission::Busy { retry_after_seconds: RETRY_AFTER },
            }
        }
        let mut incoming = Incoming::new(stream, admission);
        let entry = self.links.vacant_entry();
        let index = entry.key();
        let interest = Interest::READABLE | Interest::WRITABLE;
        if let Err(error) = self.core.poll.registry().register(incoming.source(), Source::Link(index).token(), interest)
        {
            debug!("register error={error}");
            return;
        }
        let phase = Phase::Pake(HostHandshake::new());
        entry.insert(Link { end: LinkEnd::Incoming(incoming), serial: 0, remote, phase });
        self.expect(index, STEP_TIMEOUT);
    }

    /// Gives a link so long for its next step.
    fn expect(&mut self, index: usize, timeout: Duration) {
        self.core.next_serial += 1;
        let serial = self.core.next_serial;
        if let Some(link) = self.links.get_mut(index) {
            link.serial = serial;
            self.core.deadlines.add(self.core.now + timeout, Due::Link { index, serial });
        }
    }

    fn handle_link_event(&mut self, index: usize, event: &MioEvent) {
        match self.links.get_mut(index).map(|link| &mut link.end) {
            Some(LinkEnd::Incoming(incoming)) => incoming.handle_event(event),
            Some(LinkEnd::WebSocket(websocket)) => websocket.handle_event(event),
            None => return,
        }
        self.poll_link(index);
    }

    fn poll_link(&mut self, index: usize) {
        while let Some(link) = self.links.get_mut(index) {
            match &mut link.end {
                LinkEnd::Incoming(incoming) => match incoming.poll() {
                    Ok(Some(IncomingEvent::Upgraded)) => self.upgraded(index),
                    Ok(None) => return,
                    Ok(Some(IncomingEvent::Answered { .. })) | Err(_) => self.drop_link(index),
                },
                LinkEnd::WebSocket(websocket) => match websocket.poll() {
                    Ok(Some(WebSocketEvent::Text(text))) => self.handle_text(index, &text),
                    Ok(Some(WebSocketEvent::Open)) => {}
                    Ok(None) => {
                        if websocket.is_ready() {
                            self.core.notices.push_back(Notice::LinkPoll { index });
                        }
                        return;
                    }
                    Ok(Some(WebSocketEvent::Binary(_) | WebSocketEvent::Closed { .. })) => self.drop_link(index),
                    Err(error) => {
                        debug!("remote={} signaling error={error}", link.remote);
                        self.drop_link(index);
                    }
                },
            }
        }
    }

    fn upgraded(&mut self, index: usize) {
        let mut link = self.links.remove(index);
        let LinkEnd::Incoming(incoming) = link.end else { return };
        let Some(websocket) = incoming.into_websocket() else { return };
        link.end = LinkEnd::WebSocket(websocket);
        // The slot that was just freed is the one that is taken: the socket's token stays valid.
        let same = self.links.insert(link);
        debug_assert_eq!(same, index);
        self.expect(index, STEP_TIMEOUT);
    }

    fn handle_text(&mut self, index: usize, text: &str) {
        let Some(link) = self.links.get_mut(index) else { return };
        match &mut link.phase {
            Phase::Pake(handshake) => match handshake.handle_text(text, &self.pin) {
                Ok(HostStep::Send(reply)) => {
                    self.send(index, reply);
                    self.expect(index, STEP_TIMEOUT);
                }
                Ok(HostStep::Verify) => self.enqueue(index),
                Err(error) => self.refuse(index, &error),
            },
            Phase::Session(session) => {
                let (session, now) = (*session, self.core.now);
                let result = self.core.session(session).map(|entry| entry.session.handle_signal(now, text));
                self.core.touch(session.index);
                if let Some(Err(error)) = result {
                    self.refuse(index, &error);
                }
            }
            Phase::Verifying(_) | Phase::Asking(_) => {
                let error = SignalingError::Protocol(crate::signaling::error::Violation::OutOfTurn("message"));
                self.refuse(index, &error);
            }
            Phase::Closing => {}
        }
    }

    /// Queues a client's proof; from here on its time is the limiter's.
    fn enqueue(&mut self, index: usize) {
        let link = &mut self.links[index];
        self.core.next_serial += 1;
        link.serial = self.core.next_serial;
        let key = LinkKey { index, serial: link.serial };
        match self.limiter.enqueue(self.core.now, key) {
            Ok(()) => {
                let phase = std::mem::replace(&mut link.phase, Phase::Closing);
                link.phase = match phase {
                    Phase::Pake(handshake) => Phase::Verifying(handshake),
                    other => other,
                };
                self.verify();
            }
            Err(busy) => self.refuse(index, &SignalingError::Busy { retry_after: busy.retry_after }),
        }
    }

    /// Verifies the proofs whose turn has come.
    fn verify(&mut self) {
        while let Some(key) = self.limiter.poll_verify(self.core.now) {
            let link = self.links.get_mut(key.index).filter(|link| link.serial == key.serial);
            let verdict = match link.map(|link| std::mem::replace(&mut link.phase, Phase::Closing)) {
                Some(Phase::Verifying(mut handshake)) => handshake.verify(),
                _ => continue,
            };
            match verdict {
                Ok((confirm, established)) => {
                    self.limiter.record_success();
                    self.send(key.index, confirm);
                    self.admit(key.index, established);
                }
                Err(error) => {
                    let remote = self.links[key.index].remote;
                    if matches!(error, SignalingError::BadPin) {
                        let replace = self.limiter.record_failure(self.core.now).is_some();
                        let count = self.limiter.failures();
                        self.core.warn(
                            "bad-pin",
                            format!(
                                "a client from {remote} tried a wrong pin ({count} so far); guesses are slowed down"
                            ),
                        );
                        self.refuse(key.index, &error);
                        if replace {
                            self.replace_pin();
                        }
                    } else {
                        self.limiter.record_success();
                        self.refuse(key.index, &error);
                    }
                }
            }
        }
        if let Some(at) = self.limiter.poll_timeout() {
            self.core.deadlines.add(at, Due::Verify);
        }
    }

    /// Lets a client in that knows the pin, if there is room and nobody objects.
    fn admit(&mut self, index: usize, established: Established) {
        let remote = self.links[index].remote;
        if self.core.sessions.len() >= self.config.max_sessions || self.is_stopping {
            self.core
                .warn("full", format!("a client from {remote} was refused: all sessions are taken (--max-sessions)"));
            return self.refuse(index, &SignalingError::Full);
        }
        let Some(approval) = &self.approval else { return self.start_session(index, established) };
        let serial = self.links[index].serial;
        let question = format!("Let a client from {remote} join (session {})?", established.session);
        if approval.ask(serial, question) {
            self.links[index].phase = Phase::Asking(Box::new(established));
            self.core.deadlines.add(self.core.now + ASK_TIMEOUT, Due::Link { index, serial });
        } else {
            self.refuse(index, &SignalingError::Full);
        }
    }

    /// Takes what the person at the terminal answered.
    fn handle_answers(&mut self) {
        while let Some((serial, verdict)) = self.approval.as_ref().and_then(Approval::poll) {
            let Some((index, _)) = self.links.iter().find(|(_, link)| link.serial == serial) else { continue };
            match std::mem::replace(&mut self.links[index].phase, Phase::Closing) {
                Phase::Asking(established) if verdict => self.start_session(index, *established),
                _ => self.refuse(index, &SignalingError::Denied),
            }
        }
    }

    fn start_session(&mut self, index: usize, established: Established) {
        let mut config = Config::new(Role::Host);
        let name = self.config.target.port.to_string();
        config.services = vec![Service { id: 0, name, proto: "tcp".to_owned() }];
        info!("session={} remote={} joins", established.session, self.links[index].remote);
        match self.core.add_session(established, config) {
            Ok(session) => self.links[index].phase = Phase::Session(session),
            Err(reason) => {
                self.core.warn("start", format!("a client could not be served: {reason}"));
                self.refuse(index, &SignalingError::Full);
            }
        }
    }

    /// A generated pin that was guessed at too often is replaced; one that was chosen stays, with a warning.
    fn replace_pin(&mut self) {
        if self.config.pin.is_some() {
            let failures = self.limiter.failures();
            let message = format!("the pin was guessed at {failures} times: choose a longer one and start again");
            return self.core.warn("pin-attacked", message);
        }
        self.pin = Pin::generate();
        for key in self.limiter.pin_replaced() {
            debug!("guess of the old pin dropped link={}", key.index);
        }
        let unproven = self.links.iter().filter(|(_, link)| matches!(link.phase, Phase::Pake(_) | Phase::Verifying(_)));
        let unproven: Vec<usize> = unproven.map(|(index, _)| index).collect();
        unproven.into_iter().for_each(|index| self.drop_link(index));
        let pin = self.pin.reveal().to_owned();
        self.core.report(&Event::PinReplaced { pin });
    }

    fn send_signal(&mut self, session: SessionKey, text: String) {
        if let Some(index) = self.link_of(session) {
            self.send(index, text);
        }
    }

    fn link_of(&self, session: SessionKey) -> Option<usize> {
        let mut links = self.links.iter();
        links.find(|(_, link)| matches!(link.phase, Phase::Session(key) if key == session)).map(|(index, _)| index)
    }

    fn send(&mut self, index: usize, text: String) {
        let Some(LinkEnd::WebSocket(websocket)) = self.links.get_mut(index).map(|link| &mut link.end) else { return };
        if let Err(error) = websocket.send_text(text) {
            debug!("signaling send error={error}");
            self.drop_link(index);
        }
    }

    fn refuse(&mut self, index: usize, error: &SignalingError) {
        if !matches!(error, SignalingError::Refused { .. }) {
            self.send(index, error.to_text());
        }
        self.close_link(index, error.code().as_str());
    }

    fn close_link(&mut self, index: usize, reason: &str) {
        let Some(link) = self.links.get_mut(index) else { return };
        link.phase = Phase::Closing;
        match &mut link.end {
            LinkEnd::WebSocket(websocket) => websocket.close(close_code::NORMAL, reason),
            LinkEnd::Incoming(_) => return self.drop_link(index),
        }
        self.expect(index, CLOSE_TIMEOUT);
        // The peer's close may be here already.
        self.core.notices.push_back(Notice::LinkPoll { index });
    }

    fn handle_link_due(&mut self, key: LinkKey) {
        let Some(link) = self.links.get_mut(key.index).filter(|link| link.serial == key.serial) else { return };
        match link.phase {
            Phase::Pake(_) | Phase::Closing => self.drop_link(key.index),
            Phase::Asking(_) => self.refuse(key.index, &SignalingError::Denied),
            // The limiter and the session have their own clocks.
            Phase::Verifying(_) | Phase::Session(_) => {}
        }
    }

    fn drop_link(&mut self, index: usize) {
        let mut link = self.links.remove(index);
        if let Err(error) = self.core.poll.registry().deregister(link.end.source()) {
            debug!("deregister error={error}");
        }
        match link.phase {
            Phase::Verifying(_) => self.limiter.cancel(LinkKey { index, serial: link.serial }),
            Phase::Session(session) => {
                let now = self.core.now;
                if let Some(entry) = self.core.session(session) {
                    entry.session.handle_signaling_closed(now);
                }
                self.core.touch(session.index);
            }
            Phase::Pake(_) | Phase::Asking(_) | Phase::Closing => {}
        }
    }

    fn ended(&mut self, session: SessionKey, end: &End, summary: Summary) {
        if let Some(index) = self.link_of(session) {
            self.close_link(index, "the session ended");
        }
        self.is_done |= self.config.once && summary.duration.is_some();
        self.core.report_end(summary, end);
    }

    fn stop(&mut self) {
        if self.is_stopping {
            self.is_done = true;
            return;
        }
        self.is_stopping = true;
        if let Some(mut listener) = self.listener.take()
            && let Err(error) = self.core.poll.registry().deregister(&mut listener)
        {
            debug!("deregister error={error}");
        }
        self.core.go_away("the host ended the session");
    }
}

/// Tells whether something listens on a target of this machine, without disturbing it: its port cannot be bound then.
/// Other machines get the benefit of the doubt.
fn is_listened_on(target: &Target) -> bool {
    let Ok(ip) = target.host.parse::<IpAddr>() else { return true };
    if !ip.is_loopback() {
        return true;
    }
    let address = SocketAddr::new(ip, target.port);
    let probe = Socket::new(Domain::for_address(address), Type::STREAM, None).and_then(|socket| {
        // On Unix this tells a port in use from one that merely was.
        #[cfg(unix)]
        socket.set_reuse_address(true)?;
        socket.bind(&address.into())
    });
    probe.is_err()
}
