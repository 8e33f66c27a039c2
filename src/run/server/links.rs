//! Connections to the server's ports, from `accept` to the closing handshake.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use log::debug;

use super::clients::Client;
use super::hosts::Host;
use super::places::source;
use super::{PortKey, Server, Serves};
use crate::gateway::Kind;
use crate::http::{Answer, Request};
use crate::net::listen::{self, Accepted};
use crate::net::system::{Event as MioEvent, Interest, TcpStream};
use crate::net::websocket::{Incoming, IncomingEvent, WebSocket, WebSocketEvent, close_code};
use crate::run::RunError;
use crate::run::deadlines::Due;
use crate::run::liveness::{LOOK_INTERVAL, Liveness};
use crate::run::notice::{LinkNotice, Listening, Notice};
use crate::run::table::{Key, Mark, Place};
use crate::run::token::Source;
use crate::shares::Standing;
use crate::signaling::message::ErrorCode;
use crate::signaling::rendezvous::{FromServer, HostId, Payload, Register};
use crate::status::event::Event;
use crate::status::refusal::Refusal;

/// How long a connection may take to say what it wants, and a WebSocket to say its first words.
pub(super) const STEP_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a closing handshake may take.
pub(super) const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// Connections accepted in one turn.
const ACCEPTS_PER_TURN: usize = 64;

/// Messages of one link in a turn: many small ones are as much work as large ones, and others wait for it.
const MESSAGES_PER_TURN: usize = 64;

/// Where hosts register, and what the paths of clients begin with.
const HOST_PATH: &str = "/host";
const CLIENT_PATH: &str = "/ws/";

/// Finds a link.
pub(super) type LinkKey = Key<Link>;

/// A connection.
pub(super) struct Link {
    pub(super) end: End,
    pub(super) step: u64,
    /// Whose it is; behind a proxy that is believed, that one's word, without a port.
    pub(super) remote: SocketAddr,
    /// How it came to the proxy in front.
    pub(super) front: Option<Front>,
    pub(super) state: State,
    /// A notice to poll it again is under way.
    pub(super) is_queued: bool,
    pub(super) liveness: Liveness,
}

/// What a proxy in front of the server is to those behind it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Front {
    pub(super) is_tls: bool,
    /// The port that they connect to, unless it is the scheme's own.
    pub(super) port: Option<u16>,
}

pub(super) enum End {
    Incoming(Box<Incoming>),
    WebSocket(Box<WebSocket>),
}

impl End {
    fn source(&mut self) -> &mut TcpStream {
        match self {
            End::Incoming(incoming) => incoming.source(),
            End::WebSocket(websocket) => websocket.source(),
        }
    }
}

/// ```text
///            ┌─▶ Registering ─▶ (Contending ─▶) Host ──┐
///  Asking ───┼─▶ Visiting ────▶ Client ────────────────┼─▶ Closing
///            └─▶ answered                              │
/// ```
pub(super) enum State {
    /// Its request is to come.
    Asking(Serves),
    /// It becomes a WebSocket for a client of that host.
    Visiting(HostId),
    /// It becomes a WebSocket for a host, or is one that is to say who it is.
    Registering,
    /// It wants a name that another process with the same token has; whether that one lives is being found out.
    Contending(Box<Register>),
    Host(Box<Host>),
    Client(Box<Client>),
    /// Nothing more is to be said.
    Closing,
}

impl Link {
    pub(super) fn websocket(&mut self) -> Option<&mut WebSocket> {
        match &mut self.end {
            End::WebSocket(websocket) => Some(websocket),
            End::Incoming(_) => None,
        }
    }
}

impl Server {
    pub(super) fn accept(&mut self, key: PortKey) -> Result<(), RunError> {
        for _ in 0..ACCEPTS_PER_TURN {
            let Some(port) = self.ports.get(key) else { return Ok(()) };
            match listen::accept(&port.listener) {
                Accepted::Connection(stream, remote) => self.take_in(stream, remote, port.serves),
                Accepted::Empty => return Ok(()),
                // Whoever does not say what it wants gives way to whoever may.
                Accepted::Exhausted(_) if self.free_descriptor() => {}
                Accepted::Exhausted(error) => {
                    debug!("accept paused: {error}");
                    self.core.turn.pause_accepting();
                    return Ok(());
                }
                Accepted::Fatal(error) => return Err(error.into()),
            }
        }
        self.core.turn.tell(Notice::Acceptable(Listening::At(key.place())));
        Ok(())
    }

    fn take_in(&mut self, stream: TcpStream, remote: SocketAddr, serves: Serves) {
        match serves {
            Serves::Signaling if self.config.gateway.is_some() => self.add_web(stream, remote, Kind::Web, true),
            Serves::Gateway => self.add_web(stream, remote, Kind::Web, false),
            Serves::Proxy => self.add_web(stream, remote, Kind::Proxy, false),
            Serves::Signaling | Serves::Administration => self.add_link(stream, remote, serves),
        }
    }

    fn add_link(&mut self, stream: TcpStream, remote: SocketAddr, serves: Serves) {
        let tls = self.tls.clone().filter(|_| serves == Serves::Signaling);
        match Incoming::asking(stream, tls) {
            Ok(incoming) => self.insert_link(incoming, remote, serves),
            Err(error) => debug!("remote={remote} tls error={error}"),
        }
    }

    pub(super) fn insert_link(&mut self, mut incoming: Incoming, remote: SocketAddr, serves: Serves) {
        let source = source(remote);
        if !self.make_place_for_asking(source) {
            return self.metrics.refused(Refusal::Busy);
        }
        let interest = Interest::READABLE | Interest::WRITABLE;
        let token = Source::Link(self.links.next_key().place()).token();
        if let Err(error) = self.core.turn.registry().register(incoming.source(), token, interest) {
            debug!("register error={error}");
            return;
        }
        let key = self.links.insert(Link {
            end: End::Incoming(Box::new(incoming)),
            step: 0,
            remote,
            front: None,
            state: State::Asking(serves),
            is_queued: false,
            liveness: Liveness::default(),
        });
        self.asking.enter(key, source, Standing::Asking);
        self.expect(key, STEP_TIMEOUT);
        // Some of it may have been read already.
        self.poll_later(key);
    }

    /// Gives a link so long for its next step.
    pub(super) fn expect(&mut self, key: LinkKey, timeout: Duration) {
        if let Some(link) = self.links.get_mut(key) {
            link.step += 1;
            let due = Due::Link { link: key.mark(), step: link.step };
            self.core.turn.set(timeout, due);
        }
    }

    pub(super) fn handle_link_due(&mut self, link: Mark, step: u64) {
        let Some(key) = self.links.find(link).filter(|key| self.links[*key].step == step) else { return };
        let link = &self.links[key];
        match &link.state {
            State::Contending(_) => self.contest_lost(key),
            State::Client(client) if client.is_leaving => self.drop_link(key, "it did not take what its host said"),
            State::Client(client) if client.number.is_some() => {}
            // What it says cannot be heard at the moment.
            State::Client(client) if client.is_blocked => self.expect(key, STEP_TIMEOUT),
            State::Host(_) => {}
            State::Closing => self.drop_link(key, "closed"),
            State::Asking(_) | State::Visiting(_) => self.drop_link(key, "it said nothing"),
            State::Registering | State::Client(_) => {
                self.refuse(key, Refusal::Timeout, "nothing was said within 10 s");
            }
        }
    }

    pub(super) fn handle_link_event(&mut self, place: Place, event: &MioEvent) {
        let Some(key) = self.links.at(place) else { return };
        match self.links.get_mut(key).map(|link| &mut link.end) {
            Some(End::Incoming(incoming)) => incoming.handle_event(event),
            Some(End::WebSocket(websocket)) => websocket.handle_event(event),
            None => return,
        }
        self.poll_link(key);
    }

    pub(super) fn poll_link_again(&mut self, link: Mark) {
        if let Some(key) = self.links.find(link) {
            self.links[key].is_queued = false;
            self.poll_link(key);
        }
    }

    /// Takes what a link gives, until there is no more, others have their turn, or there is no room for what it says.
    pub(super) fn poll_link(&mut self, key: LinkKey) {
        for _ in 0..MESSAGES_PER_TURN {
            if self.is_blocked(key) {
                return self.drained(key);
            }
            let Some(link) = self.links.get_mut(key) else { return };
            match &mut link.end {
                End::Incoming(incoming) => match incoming.poll() {
                    Ok(Some(IncomingEvent::Asked)) => self.asked(key),
                    Ok(Some(IncomingEvent::Upgraded)) => self.upgraded(key),
                    Ok(None) => return,
                    Ok(Some(IncomingEvent::Answered { .. })) => return self.drop_link(key, "answered"),
                    Err(error) => return self.drop_link(key, &error.to_string()),
                },
                End::WebSocket(websocket) => match websocket.poll() {
                    Ok(Some(WebSocketEvent::Text(text))) => self.handle_text(key, text),
                    Ok(Some(WebSocketEvent::Binary(bytes))) => self.handle_binary(key, bytes),
                    Ok(Some(WebSocketEvent::Open)) => {}
                    Ok(None) => {
                        if websocket.is_ready() {
                            self.poll_later(key);
                        }
                        return self.drained(key);
                    }
                    Ok(Some(WebSocketEvent::Closed { .. })) => {
                        return self.drop_link(key, "it closed the connection");
                    }
                    Err(error) => {
                        if matches!(error, crate::net::websocket::WebSocketError::TooLarge { .. }) {
                            self.note_refusal(key, Refusal::TooLarge, "a message was too large");
                        }
                        return self.drop_link(key, &error.to_string());
                    }
                },
            }
        }
        self.poll_later(key);
        self.drained(key);
    }

    /// Has a link polled again in the next turn, whether or not its socket says anything.
    pub(super) fn poll_later(&mut self, key: LinkKey) {
        if let Some(link) = self.links.get_mut(key)
            && !std::mem::replace(&mut link.is_queued, true)
        {
            self.core.turn.tell(LinkNotice::Poll { link: key.mark() });
        }
    }

    /// Decides what a request gets.
    fn asked(&mut self, key: LinkKey) {
        let Some(Link { end: End::Incoming(incoming), state: State::Asking(serves), .. }) = self.links.get(key) else {
            return;
        };
        let (Some(request), serves) = (incoming.request().cloned(), *serves) else { return };
        self.note_sender(key, &request);
        let path = request.plain_path();
        let client = path.strip_prefix(CLIENT_PATH).and_then(|id| id.parse::<HostId>().ok());
        let next = match (serves, path.as_str(), client) {
            _ if self.is_stopping() => None,
            (Serves::Signaling, HOST_PATH, _) => Some(State::Registering),
            (Serves::Signaling, _, Some(id)) => Some(State::Visiting(id)),
            _ => None,
        };
        let answer = match (&next, serves) {
            (Some(_), _) => None,
            (None, Serves::Signaling | Serves::Gateway | Serves::Proxy) => Some(self.page(&request)),
            (None, Serves::Administration) => Some(self.administer(&request)),
        };
        let Some(Link { end: End::Incoming(incoming), state, .. }) = self.links.get_mut(key) else { return };
        match (next, answer) {
            (Some(next), _) => {
                *state = next;
                incoming.agree();
            }
            (None, answer) => incoming.answer(&answer.unwrap_or_else(Answer::not_found)),
        }
    }

    /// Finds out who is behind a connection, if it is a proxy's.
    fn note_sender(&mut self, key: LinkKey, request: &Request) {
        let Some(link) = self.links.get_mut(key) else { return };
        let sender = self.proxies.sender(link.remote.ip(), self.tls.is_some(), &request.forwarded);
        link.remote = super::source_of(link.remote, &sender);
        self.asking.set_source(key, source(link.remote));
        if sender.is_told {
            link.front = Some(Front {
                is_tls: sender.is_tls,
                port: port_of(sender.host.as_deref().or(request.host.as_deref())),
            });
        }
    }

    fn upgraded(&mut self, key: LinkKey) {
        self.links.change(key, |link| {
            let End::Incoming(incoming) = link.end else { return None };
            Some(Link { end: End::WebSocket(Box::new(incoming.into_websocket()?)), ..link })
        });
        let state = self.links.get(key).map(|link| &link.state);
        let visited = if let Some(State::Visiting(id)) = state { Some(id.clone()) } else { None };
        self.expect(key, STEP_TIMEOUT);
        if let Some(id) = visited {
            self.join(key, &id);
        }
    }

    fn handle_text(&mut self, key: LinkKey, text: String) {
        match self.links.get(key).map(|link| &link.state) {
            Some(State::Registering) => self.handle_registration(key, &text),
            Some(State::Host(_)) => self.handle_host_text(key, &text),
            Some(State::Client(_)) => self.handle_client_message(key, Payload::Text(text)),
            Some(State::Contending(_)) => self.refuse(key, Refusal::Protocol, "a message came out of turn"),
            Some(State::Asking(_) | State::Visiting(_) | State::Closing) | None => {}
        }
    }

    fn handle_binary(&mut self, key: LinkKey, bytes: Bytes) {
        match self.links.get(key).map(|link| &link.state) {
            Some(State::Host(_)) => self.handle_packet(key, bytes),
            Some(State::Client(_)) => self.handle_client_message(key, Payload::Binary(bytes)),
            Some(State::Registering | State::Contending(_)) => {
                self.refuse(key, Refusal::Protocol, "a host registers before it sends anything else");
            }
            Some(State::Asking(_) | State::Visiting(_) | State::Closing) | None => {}
        }
    }

    /// There may be room again in a link's WebSocket.
    pub(super) fn drained(&mut self, key: LinkKey) {
        match self.links.get(key).map(|link| &link.state) {
            Some(State::Host(_)) => self.pump_host(key),
            Some(State::Client(_)) => self.pump_client(key),
            _ => {}
        }
    }

    /// Counts and reports that somebody was turned away.
    pub(super) fn note_refusal(&mut self, key: LinkKey, code: Refusal, message: &str) {
        let Some(remote) = self.links.get(key).map(|link| link.remote) else { return };
        self.metrics.refused(code);
        self.core.turn.report(&Event::Refused { code, remote, message: message.to_owned() });
    }

    /// Tells a host or a client why it is given up, and closes its WebSocket.
    pub(super) fn refuse(&mut self, key: LinkKey, code: Refusal, message: &str) {
        self.note_refusal(key, code, message);
        self.send_error(key, wire(code), message);
        self.close_link(key, code.as_str());
    }

    pub(super) fn send_error(&mut self, key: LinkKey, code: ErrorCode, message: &str) {
        if let Some(websocket) = self.links.get_mut(key).and_then(Link::websocket)
            && let Err(error) = websocket.send_text(FromServer::error(code, message).to_text())
        {
            debug!("send error={error}");
        }
    }

    /// Ends a link in order: what belongs to it ends at once, its WebSocket with a handshake.
    pub(super) fn close_link(&mut self, key: LinkKey, reason: &str) {
        let Some(link) = self.links.get_mut(key) else { return };
        let state = std::mem::replace(&mut link.state, State::Closing);
        // A host's or a client's had no place among these until now.
        self.asking.enter(key, source(link.remote), Standing::Idle);
        match link.websocket() {
            Some(websocket) => websocket.close(close_code::NORMAL, reason),
            None => {
                self.drop_link(key, reason);
                return;
            }
        }
        self.expect(key, CLOSE_TIMEOUT);
        // The peer's close may be here already.
        self.poll_later(key);
        self.left(key, state, reason);
    }

    /// Ends a link at once.
    pub(super) fn drop_link(&mut self, key: LinkKey, reason: &str) {
        let Some(mut link) = self.links.remove(key) else { return };
        self.asking.leave(key);
        debug!("remote={} dropped: {reason}", link.remote);
        if let Err(error) = self.core.turn.registry().deregister(link.end.source()) {
            debug!("deregister error={error}");
        }
        self.left(key, link.state, reason);
    }

    fn left(&mut self, key: LinkKey, state: State, reason: &str) {
        match state {
            State::Host(host) => self.host_left(key, *host, reason),
            State::Client(client) => self.client_left(key, *client, reason),
            State::Contending(register) => self.contender_left(key, &register),
            State::Asking(_) | State::Visiting(_) | State::Registering | State::Closing => {}
        }
    }

    /// Pings hosts and clients, and drops those that are dead.
    pub(super) fn keep_alive(&mut self) {
        let mut dead = Vec::new();
        for (key, link) in self.links.iter_mut() {
            // One that is not read says nothing, as far as we know.
            let is_blocked = matches!(&link.state, State::Client(client) if client.is_blocked);
            if let (State::Host(_) | State::Client(_), End::WebSocket(websocket)) = (&link.state, &mut link.end)
                && !is_blocked
                && !link.liveness.check(websocket)
            {
                dead.push(key);
            }
        }
        dead.into_iter().for_each(|key| self.drop_link(key, "it did not answer any more"));
        self.bound_memory();
        self.forget_logins();
        self.core.turn.set(LOOK_INTERVAL, Due::KeepAlive);
    }
}

/// The port that a `Host` names.
fn port_of(host: Option<&str>) -> Option<u16> {
    let (_, port) = host?.rsplit_once(':')?;
    port.parse().ok()
}

/// Says on the wire what is counted here.
fn wire(refusal: Refusal) -> ErrorCode {
    match refusal {
        Refusal::BadToken => ErrorCode::BadToken,
        Refusal::IdTaken => ErrorCode::IdTaken,
        Refusal::Denied | Refusal::Unauthorized => ErrorCode::Denied,
        Refusal::Full => ErrorCode::Full,
        Refusal::UnknownHost | Refusal::Unreachable => ErrorCode::UnknownHost,
        Refusal::Version => ErrorCode::Version,
        Refusal::Busy | Refusal::Slow => ErrorCode::Busy,
        Refusal::Replaced => ErrorCode::Replaced,
        Refusal::Restart => ErrorCode::Restart,
        Refusal::Protocol | Refusal::Timeout | Refusal::TooLarge | Refusal::BadRequest | Refusal::Tls => {
            ErrorCode::Protocol
        }
    }
}
