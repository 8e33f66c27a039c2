//! The server's side of a new connection: an upgrade to a WebSocket, or a page.

use std::io::{self, Read as _};
use std::sync::Arc;

use rustls::ServerConfig;
use tungstenite::handshake::derive_accept_key;

use super::error::{Phase, WebSocketError};
use super::{SUB_PROTOCOL, WebSocket};
use crate::fault::caught;
use crate::http::{Answer, BadRequest, Head, Request, RequestReader, Upgrade};
use crate::net::system::{Event, TcpStream};
use crate::net::transport::{Transport, Unsent};

/// Path of the WebSocket.
const WEBSOCKET_PATH: &str = "/ws";

/// Bytes that are read and dropped after an answer. Closing with unread bytes resets the connection, and a reset can
/// overtake the answer.
const MAX_LINGER: usize = 64 * 1024;

/// A connection to the signaling port whose request has not arrived yet.
///
/// Drive it like a [`WebSocket`]: pass events, call [`Incoming::poll`] until `None`. The owner keeps one deadline for
/// all of it, and drops it on an error and after [`IncomingEvent::Answered`].
#[derive(Debug)]
pub struct Incoming {
    transport: Transport,
    policy: Policy,
    state: State,
    /// The request names an invitation in its query.
    names_invitation: bool,
}

/// Who decides about a request.
#[derive(Debug, Clone, Copy)]
enum Policy {
    /// A host's signaling port: one path has the WebSocket.
    Host(Admission),
    /// The owner decides: [`IncomingEvent::Asked`].
    Driver,
}

/// Whether WebSockets are accepted at present. Pages are answered in any case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    /// Yes.
    Open,
    /// No: the answer to an upgrade is 503.
    Busy {
        /// The value of `Retry-After`, in seconds.
        retry_after_seconds: u32,
    },
}

/// An event of a new connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IncomingEvent {
    /// `Incoming::request` returns its request: `Incoming::agree` or `Incoming::answer` decides.
    Asked,
    /// It is a WebSocket: take it with [`Incoming::into_websocket`], then poll that, since it may already have received
    /// messages.
    Upgraded,
    /// It was answered and is done.
    Answered {
        /// The HTTP status code.
        status: u16,
    },
}

/// ```text
///  Reading (─ Deciding) ─┬─ Agreeing ── Upgraded
///                        └─ Answering ─ Lingering ─ Done
/// ```
#[derive(Debug)]
enum State {
    Reading(RequestReader),
    Deciding(Request),
    Agreeing { unsent: Unsent, leftover: Vec<u8> },
    Upgraded { leftover: Vec<u8> },
    Answering { unsent: Unsent, status: u16 },
    Lingering { status: u16, dropped: usize },
    Done,
}

impl Incoming {
    /// Creates it for a connection that was just accepted.
    pub fn new(stream: TcpStream, admission: Admission) -> Self {
        super::prepare(&stream);
        let transport = Transport::accepted(stream);
        Self::reading(transport, Policy::Host(admission), RequestReader::new())
    }

    fn reading(transport: Transport, policy: Policy, reader: RequestReader) -> Self {
        Self { transport, policy, state: State::Reading(reader), names_invitation: false }
    }

    /// Creates it for a connection that was just accepted, and leaves the decision to the owner. With `tls` the
    /// handshake comes first.
    ///
    /// # Errors
    /// TLS cannot begin.
    pub(crate) fn asking(stream: TcpStream, tls: Option<Arc<ServerConfig>>) -> Result<Self, rustls::Error> {
        super::prepare(&stream);
        let transport = Transport::securing(stream, tls)?;
        Ok(Self::reading(transport, Policy::Driver, RequestReader::new()))
    }

    /// Does the same for a connection on which the beginning of one request, and nothing else, has been read already.
    pub(crate) fn continued(transport: Transport, read: Vec<u8>) -> Self {
        Self::reading(transport, Policy::Driver, RequestReader::with(read))
    }

    /// Returns the request, after [`IncomingEvent::Asked`].
    pub(crate) fn request(&self) -> Option<&Request> {
        match &self.state {
            State::Deciding(request) => Some(request),
            _ => None,
        }
    }

    /// Upgrades to a WebSocket if the request is a proper one for that, and otherwise answers how to ask. Poll it next.
    pub(crate) fn agree(&mut self) {
        if let State::Deciding(request) = std::mem::replace(&mut self.state, State::Done) {
            self.state = upgrade(request);
        }
    }

    /// Answers the request. Poll it next.
    pub(crate) fn answer(&mut self, answer: &Answer) {
        if let State::Deciding(request) = std::mem::replace(&mut self.state, State::Done) {
            self.state = answering(answer, request.method == "HEAD");
        }
    }

    /// Handles an event of the socket. Call [`Incoming::poll`] next.
    pub fn handle_event(&mut self, event: &Event) {
        self.transport.handle_event(event);
    }

    /// Makes as much progress as possible without blocking; call until `None`.
    ///
    /// # Errors
    /// [`WebSocketError::Disconnected`] or [`WebSocketError::Io`] if the peer left before it was answered.
    pub fn poll(&mut self) -> Result<Option<IncomingEvent>, WebSocketError> {
        caught(|| self.advance()).unwrap_or_else(|fault| Err(fault.into()))
    }

    fn advance(&mut self) -> Result<Option<IncomingEvent>, WebSocketError> {
        let failed = |error| WebSocketError::from_io(error, Phase::Upgrading);
        loop {
            let (next, done) = match std::mem::replace(&mut self.state, State::Done) {
                State::Reading(reader) if !self.transport.handshake().map_err(failed)? => {
                    (State::Reading(reader), Some(None))
                }
                State::Reading(mut reader) => match reader.read(&mut self.transport).map_err(failed)? {
                    Head::NeedMore => (State::Reading(reader), Some(None)),
                    Head::Ended => return Err(WebSocketError::Disconnected(Phase::Upgrading)),
                    Head::Request(request) => {
                        self.names_invitation = request.names_invitation;
                        match self.policy {
                            Policy::Host(admission) => (decide(request, admission), None),
                            Policy::Driver => (State::Deciding(request), Some(Some(IncomingEvent::Asked))),
                        }
                    }
                    Head::Bad(reason) => (refuse(reason), None),
                },
                State::Agreeing { mut unsent, leftover } => match unsent.write(&mut self.transport).map_err(failed)? {
                    true => (State::Upgraded { leftover }, Some(Some(IncomingEvent::Upgraded))),
                    false => (State::Agreeing { unsent, leftover }, Some(None)),
                },
                State::Answering { mut unsent, status } => match unsent.write(&mut self.transport).map_err(failed)? {
                    true => {
                        self.transport.finish();
                        (State::Lingering { status, dropped: 0 }, None)
                    }
                    false => (State::Answering { unsent, status }, Some(None)),
                },
                State::Lingering { status, mut dropped } => match linger(&mut self.transport, &mut dropped) {
                    true => (State::Done, Some(Some(IncomingEvent::Answered { status }))),
                    false => (State::Lingering { status, dropped }, Some(None)),
                },
                state @ (State::Deciding(_) | State::Upgraded { .. } | State::Done) => (state, Some(None)),
            };
            self.state = next;
            if let Some(result) = done {
                return Ok(result);
            }
        }
    }

    /// Tells whether the request named an invitation in its query, which clients that know invitations do not.
    pub(crate) fn names_invitation(&self) -> bool {
        self.names_invitation
    }

    /// Returns the WebSocket, open, once [`IncomingEvent::Upgraded`] was reported; `None` otherwise. Its socket is the
    /// same and stays registered.
    pub fn into_websocket(self) -> Option<WebSocket> {
        match self.state {
            State::Upgraded { leftover } => Some(WebSocket::open_server(self.transport, leftover)),
            _ => None,
        }
    }

    /// Returns the socket, for registering it with mio or removing it. It needs both interests.
    pub fn source(&mut self) -> &mut TcpStream {
        self.transport.source()
    }
}

/// Decides about a request as a host's signaling port.
fn decide(request: Request, admission: Admission) -> State {
    let head_only = request.method == "HEAD";
    let is_read = head_only || request.method == "GET";
    let answer = match (request.plain_path().as_str(), admission) {
        ("/" | WEBSOCKET_PATH, _) if !is_read => Answer::method_not_allowed(),
        (WEBSOCKET_PATH, Admission::Busy { retry_after_seconds }) if check(&request).is_ok() => {
            Answer::busy(retry_after_seconds)
        }
        (WEBSOCKET_PATH, _) => return upgrade(request),
        ("/", _) => Answer::page(&request.site),
        _ => Answer::not_found(),
    };
    answering(&answer, head_only)
}

/// Agrees to a WebSocket, if the request is a proper one.
fn upgrade(request: Request) -> State {
    match check(&request) {
        Ok((key, protocols)) => {
            let unsent = Unsent::new(agreement(key, protocols));
            State::Agreeing { unsent, leftover: request.leftover }
        }
        Err(answer) => answering(&answer, request.method == "HEAD"),
    }
}

/// Returns the key and the sub-protocols of a proper request for a WebSocket, or the answer that says what is wrong.
fn check(request: &Request) -> Result<(&str, &[String]), Answer> {
    match &request.upgrade {
        Upgrade::WebSocket { .. } if request.is_foreign() => Err(Answer::foreign()),
        Upgrade::WebSocket { version, key, protocols } if request.method == "GET" => {
            match (version.as_deref(), key.as_deref()) {
                (Some("13"), Some(key)) if is_key(key) => Ok((key, protocols)),
                (Some("13"), _) => Err(Answer::bad_key()),
                _ => Err(Answer::upgrade_required()),
            }
        }
        _ => Err(Answer::upgrade_required()),
    }
}

fn refuse(reason: BadRequest) -> State {
    answering(&Answer::bad_request(reason), false)
}

fn answering(answer: &Answer, head_only: bool) -> State {
    State::Answering { unsent: Unsent::new(answer.render(head_only)), status: answer.status() }
}

/// Returns the server's half of the opening handshake (RFC 6455, section 4.2.2).
fn agreement(key: &str, protocols: &[String]) -> Vec<u8> {
    let protocol = if protocols.iter().any(|name| name == SUB_PROTOCOL) {
        format!("Sec-WebSocket-Protocol: {SUB_PROTOCOL}\r\n")
    } else {
        String::new()
    };
    let accept = derive_accept_key(key.as_bytes());
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {accept}\r\n{protocol}\r\n"
    )
    .into_bytes()
}

/// Tells whether a key looks like sixteen bytes in base64 (RFC 6455, section 4.1).
fn is_key(key: &str) -> bool {
    let alphabet = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'+' || byte == b'/';
    key.len() == 24 && key.ends_with("==") && key.bytes().take(22).all(alphabet)
}

/// Drops what still arrives. Returns whether the peer is done, or enough was dropped.
fn linger(transport: &mut Transport, dropped: &mut usize) -> bool {
    let mut piece = [0; 4096];
    while *dropped < MAX_LINGER {
        match transport.read(&mut piece) {
            Ok(0) => return true,
            Ok(count) => *dropped += count,
            Err(error) => return error.kind() != io::ErrorKind::WouldBlock,
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_agreement_echoes_our_sub_protocol_only() {
        let answer = |protocols: &[&str]| {
            let protocols: Vec<String> = protocols.iter().map(|name| (*name).to_owned()).collect();
            String::from_utf8(agreement("dGhlIHNhbXBsZSBub25jZQ==", &protocols)).unwrap()
        };
        // The key and its answer are the example of RFC 6455, section 1.3.
        assert!(answer(&[]).contains("Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"));
        assert!(answer(&["other", SUB_PROTOCOL]).ends_with("Sec-WebSocket-Protocol: pinhole-signal.1\r\n\r\n"));
        assert!(!answer(&["other"]).contains("Protocol:"));
    }

    #[test]
    fn keys_are_checked() {
        assert!(is_key("dGhlIHNhbXBsZSBub25jZQ=="));
        assert!(!is_key("") && !is_key("dGhlIHNhbXBsZSBub25jZQ=") && !is_key("dGhlIHNhbXBsZSBub25j\r\n=="));
    }
}
