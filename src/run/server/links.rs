//! Connections to the server's ports, from `accept` to the closing handshake.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use log::debug;

use super::phase::{Front, Phase};
use super::quota::source;
use super::{PortKey, Server, Serves};
use crate::gateway::Kind;
use crate::http::{Answer, Request};
use crate::net::listen::{self, Accepted};
use crate::net::system::TcpStream;
use crate::net::websocket::{Incoming, WebSocketError, close_code};
use crate::run::RunError;
use crate::run::deadlines::{Due, STEP_TIMEOUT};
use crate::run::keys::LinkKey;
use crate::run::links::{LinkEvent, Wake};
use crate::run::notice::{LinkNotice, Listening, Notice};
use crate::shares::Standing;
use crate::signaling::error::SignalingError;
use crate::signaling::message::ErrorCode;
use crate::signaling::rendezvous::{FromServer, HostId, Payload};
use crate::status::event::Event;
use crate::status::refusal::Refusal;

/// Maximum number of connections accepted in one turn.
const ACCEPTS_PER_TURN: usize = 64;

/// Maximum number of messages of one link in a turn: many small ones are as much work as large ones.
const MESSAGES_PER_TURN: usize = 64;

/// Path for hosts to register, and prefix of clients' paths.
const HOST_PATH: &str = "/host";
const CLIENT_PATH: &str = "/ws/";

/// Path for other servers of the cluster.
const PEER_PATH: &str = "/peer";

impl Server {
    pub(super) fn accept(&mut self, key: PortKey) -> Result<(), RunError> {
        for _ in 0..ACCEPTS_PER_TURN {
            let Some(port) = self.ports.get(key) else { return Ok(()) };
            match listen::accept(&port.listener) {
                Accepted::Connection(stream, remote) => self.take_in(stream, remote, port.serves),
                Accepted::Empty => return Ok(()),
                // A connection without a request gives way to a new one.
                Accepted::Exhausted(_) if self.free_descriptor() => {}
                Accepted::Exhausted(error) => {
                    debug!("accept paused: {error}");
                    self.core.turn.pause_accepting();
                    return Ok(());
                }
                Accepted::Fatal(error) => return Err(error.into()),
            }
        }
        self.core.turn.tell(Notice::Acceptable(Listening::At(key.slot())));
        Ok(())
    }

    fn take_in(&mut self, stream: TcpStream, remote: SocketAddr, serves: Serves) {
        match serves {
            Serves::Signaling if self.config.gateway.is_some() => self.add_web(stream, remote, Kind::Web, true),
            Serves::Gateway => self.add_web(stream, remote, Kind::Web, false),
            Serves::Proxy => self.add_web(stream, remote, Kind::Proxy, false),
            Serves::Signaling | Serves::Peers => self.add_link(stream, remote, serves),
        }
    }

    fn add_link(&mut self, stream: TcpStream, remote: SocketAddr, serves: Serves) {
        let tls = self.tls.clone().filter(|_| serves == Serves::Signaling);
        match Incoming::asking(stream, tls) {
            Ok(incoming) => self.insert_link(incoming, remote, serves),
            Err(error) => debug!("remote={remote} tls error={error}"),
        }
    }

    pub(super) fn insert_link(&mut self, incoming: Incoming, remote: SocketAddr, serves: Serves) {
        let source = source(remote);
        if !self.make_place_for_asking(source) {
            return self.metrics.refused(Refusal::Busy);
        }
        let (turn, phase) = (&mut self.core.turn, Phase::Asking(serves));
        let Some(key) = self.links.accept(turn, incoming, remote, phase, STEP_TIMEOUT) else { return };
        self.asking.enter(key, source, Standing::Asking);
        // Some of it may have been read already.
        self.links.poll_later(&mut self.core.turn, key);
    }

    /// Begins a link's next step, with its deadline.
    pub(super) fn begin_step(&mut self, key: LinkKey, timeout: Duration) {
        self.links.begin_step(&mut self.core.turn, key, timeout);
    }

    pub(super) fn handle_link(&mut self, notice: LinkNotice) {
        match self.links.handle(notice) {
            Some(Wake::Ready(key)) => self.poll_link(key),
            Some(Wake::Late(key)) => self.handle_link_late(key),
            None => {}
        }
    }

    /// Handles a link whose current step took too long.
    fn handle_link_late(&mut self, key: LinkKey) {
        match &self.links[key].phase {
            Phase::Contending(..) => self.contest_lost(key),
            Phase::Client(client) if client.is_leaving => self.drop_link(key, "it did not take what its host said"),
            Phase::Client(client) if client.number.is_some() => {}
            // The client is not read at the moment.
            Phase::Client(client) if client.is_blocked => self.begin_step(key, STEP_TIMEOUT),
            Phase::Host(host) if host.is_deposed() => {
                self.drop_link(key, "it did not answer, and its id went to another process, at another server");
            }
            Phase::Host(_) | Phase::Peer(_) => {}
            Phase::Dialling(_) => {
                let error = self.links[key].timed_out();
                self.try_next_address(key, error);
            }
            Phase::Closing => self.drop_link(key, "closed"),
            Phase::Asking(_) | Phase::Visiting(_) => self.drop_link(key, "it said nothing"),
            Phase::Claiming(..) | Phase::Seeking => {
                self.refuse(key, Refusal::Busy, "the directory did not answer in time; try again");
            }
            Phase::Greeting(_) => self.refuse(key, Refusal::Timeout, "the greeting took too long"),
            Phase::Registering(_) | Phase::Client(_) => {
                self.refuse(key, Refusal::Timeout, "nothing was said within 10 s");
            }
        }
    }

    /// Reads a link's messages, until there are no more, others have their turn, or there is no room for them.
    pub(super) fn poll_link(&mut self, key: LinkKey) {
        for _ in 0..MESSAGES_PER_TURN {
            if self.is_seeking(key) {
                return;
            }
            if self.block_if_full(key) {
                return self.drained(key);
            }
            match self.links.poll(&mut self.core.turn, key) {
                Some(LinkEvent::Asked) => self.asked(key),
                Some(LinkEvent::Open) => self.upgraded(key),
                Some(LinkEvent::Text(text)) => self.handle_text(key, text),
                Some(LinkEvent::Binary(bytes)) => self.handle_binary(key, bytes),
                Some(LinkEvent::Answered) => return self.drop_link(key, "answered"),
                Some(LinkEvent::Closed(reason)) => return self.closed_by_other(key, &reason),
                Some(LinkEvent::Failed(error)) if matches!(self.links[key].phase, Phase::Dialling(_)) => {
                    return self.try_next_address(key, error);
                }
                Some(LinkEvent::Failed(error)) => {
                    if let WebSocketError::TooLarge { .. } = error {
                        self.note_refusal(key, Refusal::TooLarge, "a message was too large");
                    }
                    return self.drop_link(key, &error.to_string());
                }
                None => return self.drained(key),
            }
        }
        self.links.poll_later(&mut self.core.turn, key);
        self.drained(key);
    }

    /// Decides about a request.
    fn asked(&mut self, key: LinkKey) {
        let Some(link) = self.links.get_mut(key) else { return };
        let Phase::Asking(serves) = link.phase else { return };
        let Some(request) = link.incoming().and_then(|incoming| incoming.request().cloned()) else { return };
        let front = self.note_sender(key, &request);
        let path = request.plain_path();
        let client = path.strip_prefix(CLIENT_PATH).and_then(|id| id.parse::<HostId>().ok());
        let next = match (serves, path.as_str(), client) {
            _ if self.is_stopping() => None,
            (Serves::Signaling, HOST_PATH, _) => Some(Phase::Registering(front)),
            (Serves::Signaling, _, Some(id)) => Some(Phase::Visiting(id)),
            (Serves::Peers, PEER_PATH, _) => self.await_greeting(),
            _ => None,
        };
        let answer = match (&next, serves) {
            (Some(_), _) => None,
            (None, Serves::Signaling | Serves::Gateway | Serves::Proxy) => Some(self.page(&request)),
            (None, Serves::Peers) => None,
        };
        let Some(link) = self.links.get_mut(key) else { return };
        if let Some(next) = next {
            link.phase = next;
            link.incoming().into_iter().for_each(Incoming::agree);
        } else if let Some(incoming) = link.incoming() {
            incoming.answer(&answer.unwrap_or_else(Answer::not_found));
        }
    }

    /// Finds out who is behind a connection, if it is a proxy's, and how the proxy was reached.
    fn note_sender(&mut self, key: LinkKey, request: &Request) -> Option<Front> {
        let link = self.links.get_mut(key)?;
        let sender = self.proxies.sender(link.remote.ip(), self.tls.is_some(), &request.forwarded);
        link.remote = super::source_of(link.remote, &sender);
        self.asking.set_source(key, link.source());
        let port = port_of(sender.host.as_deref().or(request.host.as_deref()));
        sender.is_told.then_some(Front { is_tls: sender.is_tls, port })
    }

    fn upgraded(&mut self, key: LinkKey) {
        let phase = self.links.get(key).map(|link| &link.phase);
        if let Some(&Phase::Dialling(peer)) = phase {
            return self.greet(key, peer);
        }
        let visited = if let Some(Phase::Visiting(id)) = phase { Some(id.clone()) } else { None };
        if visited.is_some() && self.links.get(key).is_some_and(|link| link.is_outdated) {
            return self.refuse(key, Refusal::Version, &SignalingError::InvitationUnread.to_string());
        }
        self.begin_step(key, STEP_TIMEOUT);
        if let Some(id) = visited {
            self.join(key, &id);
        }
    }

    fn handle_text(&mut self, key: LinkKey, text: String) {
        match self.links.get(key).map(|link| &link.phase) {
            Some(Phase::Registering(_)) => self.handle_registration(key, &text),
            Some(Phase::Host(_)) => self.handle_host_text(key, &text),
            Some(Phase::Client(_)) => self.handle_client_message(key, Payload::Text(text)),
            Some(Phase::Greeting(_)) => self.handle_greeting(key, &text),
            Some(Phase::Contending(..) | Phase::Claiming(..) | Phase::Peer(_)) => {
                self.refuse(key, Refusal::Protocol, "a message came out of turn");
            }
            Some(Phase::Asking(_) | Phase::Visiting(_) | Phase::Seeking | Phase::Dialling(_) | Phase::Closing)
            | None => {}
        }
    }

    fn handle_binary(&mut self, key: LinkKey, bytes: Bytes) {
        match self.links.get(key).map(|link| &link.phase) {
            Some(Phase::Host(_)) => self.handle_packet(key, bytes),
            Some(Phase::Client(_)) => self.handle_client_message(key, Payload::Binary(bytes)),
            Some(Phase::Peer(_)) => self.handle_peer_message(key, bytes),
            Some(Phase::Greeting(_)) => self.handle_first(key, bytes),
            Some(Phase::Registering(_) | Phase::Contending(..) | Phase::Claiming(..)) => {
                self.refuse(key, Refusal::Protocol, "a host registers before it sends anything else");
            }
            Some(Phase::Asking(_) | Phase::Visiting(_) | Phase::Seeking | Phase::Dialling(_) | Phase::Closing)
            | None => {}
        }
    }

    /// Continues when there may be room again in a link's WebSocket.
    pub(super) fn drained(&mut self, key: LinkKey) {
        match self.links.get(key).map(|link| &link.phase) {
            Some(Phase::Host(_)) => self.pump_host(key),
            Some(Phase::Client(_)) => {
                self.pump_client(key);
                self.read_distant(key);
            }
            Some(Phase::Peer(_)) => self.pump_peer(key),
            _ => {}
        }
    }

    /// Counts and reports a refusal.
    pub(super) fn note_refusal(&mut self, key: LinkKey, code: Refusal, message: &str) {
        let Some(remote) = self.links.get(key).map(|link| link.remote) else { return };
        self.metrics.refused(code);
        self.core.turn.report(&Event::Refused { code, remote, message: message.to_owned() });
    }

    /// Tells a host or a client why the relation ends, and closes its WebSocket.
    pub(super) fn refuse(&mut self, key: LinkKey, code: Refusal, message: &str) {
        self.note_refusal(key, code, message);
        self.send_error(key, wire(code), message);
        self.close_link(key, code.as_str());
    }

    pub(super) fn send_error(&mut self, key: LinkKey, code: ErrorCode, message: &str) {
        let message = Payload::Text(FromServer::error(code, message).to_text());
        if self.is_guest(key) {
            return self.send_distant(key, &message);
        }
        if let Err(error) = self.links.send(key, message) {
            debug!("send error={error}");
        }
    }

    /// Closes a link in order: everything that belongs to it ends at once, its WebSocket with a handshake.
    pub(super) fn close_link(&mut self, key: LinkKey, reason: &str) {
        self.close_link_for(key, close_code::NORMAL, reason);
    }

    /// Closes a link like [`Server::close_link`], with a specific code.
    pub(super) fn close_link_for(&mut self, key: LinkKey, code: u16, reason: &str) {
        let Some(link) = self.links.get_mut(key) else { return };
        let phase = std::mem::replace(&mut link.phase, Phase::Closing);
        // The link of a host or a client had no place among these until now.
        self.asking.enter(key, link.source(), Standing::Idle);
        if !self.links.close(&mut self.core.turn, key, code, reason) {
            self.drop_link(key, reason);
        }
        self.left(key, phase, reason);
    }

    /// Removes a link at once.
    pub(super) fn drop_link(&mut self, key: LinkKey, reason: &str) {
        let Some(link) = self.links.remove(&self.core.turn, key) else { return };
        self.asking.leave(key);
        debug!("remote={} dropped: {reason}", link.remote);
        self.left(key, link.phase, reason);
    }

    fn left(&mut self, key: LinkKey, phase: Phase, reason: &str) {
        match phase {
            Phase::Host(host) => self.host_left(key, *host, reason),
            Phase::Client(client) => self.client_left(key, *client, reason),
            Phase::Contending(register, _) => self.contender_left(key, &register),
            Phase::Claiming(register, _) => self.claimant_left(key, &register),
            Phase::Dialling(peer) => self.peer_unreached(peer, reason),
            Phase::Greeting(greeting) => self.greeting_left(&greeting, reason),
            Phase::Peer(peer) => self.peer_left(key, &peer, reason),
            Phase::Asking(_) | Phase::Visiting(_) | Phase::Seeking | Phase::Registering(_) | Phase::Closing => {}
        }
    }

    /// Pings hosts and clients, and drops dead ones.
    pub(super) fn keep_alive(&mut self) {
        // A client that is not read seems silent.
        let serves = |phase: &Phase| match phase {
            Phase::Host(_) => true,
            Phase::Client(client) => !client.is_blocked,
            _ => false,
        };
        let dead = self.links.keep_alive(serves);
        dead.into_iter().for_each(|key| self.drop_link(key, "it did not answer any more"));
        self.bound_memory();
        self.forget_logins();
        self.forget_peers();
        self.core.turn.set(self.links.look_interval(), Due::KeepAlive);
    }
}

/// Returns the port in a `Host`.
fn port_of(host: Option<&str>) -> Option<u16> {
    let (_, port) = host?.rsplit_once(':')?;
    port.parse().ok()
}

/// Returns the code on the wire for a refusal.
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
