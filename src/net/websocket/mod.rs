//! A non-blocking WebSocket (RFC 6455) on a mio TCP connection; TLS is optional.
//!
//! tungstenite does the framing, rustls the TLS. Both handshakes of the upgrade are here, because what a front end or a
//! browser sends instead of a WebSocket has to be recognised. There are no timers: the owner keeps the deadlines, and
//! [`WebSocket::timed_out`] gives the error.

mod answer;
mod client;
mod connect;
mod error;
mod frame;
mod proxy_answer;
mod server;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tungstenite::error::Error as ProtocolLayerError;
use tungstenite::protocol::{Message, Role, WebSocketContext};

pub use answer::Dialled;
pub use client::UpgradeRequest;
pub use error::{Phase, WebSocketError};
pub use frame::close_code;
pub use proxy_answer::ProxyProblem;
pub use server::{Admission, Incoming, IncomingEvent};

use crate::fault::caught;
use crate::net::system::{Event, TcpStream};
use crate::net::transport::Transport;
use client::Upgrade;
use connect::Connect;
use error::printable;
use frame::{MAX_CLOSE_REASON, close_frame, config, frame_length};

/// The sub-protocol of signaling (`docs/protocol.md`, section 3).
pub const SUB_PROTOCOL: &str = "pinhole-signal.1";

/// Largest message in either direction, in bytes: 64 KiB of content and the overhead of sealing.
pub const MAX_MESSAGE: usize = 65 * 1024;

/// Maximum number of bytes that wait for the network before [`WebSocketError::Full`].
pub const MAX_WRITE_BUFFER: usize = 256 * 1024;

/// What a ping costs of a turn's reading budget, in bytes. Its answer is a write of its own, and a flood of pings must
/// not cost others more time than a flood of bytes.
const PING_COST: usize = 1024;

/// Maximum number of unsent bytes in the system, so that a relayed PING behind them leaves soon.
const NOT_SENT: u32 = 16 * 1024;

/// One WebSocket, at either side.
///
/// Pass it every mio event of its socket ([`WebSocket::handle_event`]), then call [`WebSocket::poll`] until `None`, and
/// again in a later turn while [`WebSocket::is_ready`]. After an error or [`WebSocketEvent::Closed`] it does nothing
/// more and may be dropped.
#[derive(Debug)]
pub struct WebSocket {
    transport: Transport,
    state: State,
    role: Role,
    /// The value of [`Transport::sent`] once everything accepted for sending is out.
    accepted: u64,
}

/// ```text
///  client: Connecting ─ Proxy ─ Tls ─ Upgrading ─┐
///                                                ├─ Open ─ Closing ─ Closed
///  server: Incoming ─────────────────────────────┘
///  every state ── error ── Closed
/// ```
#[derive(Debug)]
enum State {
    /// To the host, or to the proxy.
    Connecting(Upgrade, Option<Connect>),
    /// Skipped if there is no proxy.
    Proxy(Upgrade, Connect),
    /// Passed at once without TLS.
    Tls(Upgrade),
    Upgrading(Upgrade),
    Open(WebSocketContext),
    Closing(WebSocketContext, Closing),
    Closed,
}

#[derive(Debug)]
enum Closing {
    /// Our close frame is being sent. The peer's is still to come, and its messages are dropped.
    Ours,
    /// The peer closed; our reply is being sent.
    Peers { code: u16, reason: String },
}

/// An event of a WebSocket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WebSocketEvent {
    /// The server agreed; messages may be sent. Not reported at a server, whose side begins open.
    Open,
    /// A text message.
    Text(String),
    /// A binary message.
    Binary(Bytes),
    /// The end, reported once. Both sides closed, or the peer left after our close.
    Closed {
        /// The peer's code, or [`close_code::NO_STATUS`], or [`close_code::ABNORMAL`].
        code: u16,
        /// The peer's reason, printable; may be empty.
        reason: String,
    },
}

impl WebSocket {
    /// Starts a client's WebSocket with a TCP connection to `address`, which is the host's, or that of the request's
    /// proxy.
    ///
    /// # Errors
    /// Those of [`WebSocket::connect`], and [`WebSocketError::Connect`] or [`WebSocketError::Proxy`] if the system
    /// refuses at once.
    pub fn dial(
        address: SocketAddr,
        request: &UpgradeRequest,
        tls: Option<Arc<ClientConfig>>,
    ) -> Result<Self, WebSocketError> {
        let stream = TcpStream::connect(address).map_err(|source| request.unreachable(tls.is_some(), source))?;
        Self::connect(stream, request, tls)
    }

    /// Starts a client's WebSocket on a TCP connection that was just started with `TcpStream::connect`.
    ///
    /// With `tls`, the server's certificate must be valid for the request's `server_name`. If the request names a
    /// proxy, the connection must go to the proxy, which is then asked to connect to the request's `authority`.
    ///
    /// # Errors
    /// [`WebSocketError::Tls`] if TLS cannot begin.
    pub fn connect(
        stream: TcpStream,
        request: &UpgradeRequest,
        tls: Option<Arc<ClientConfig>>,
    ) -> Result<Self, WebSocketError> {
        let upgrade = request.prepare();
        let connect = request.connect(tls.is_some());
        let tls = match tls {
            Some(config) => Some((config, server_name(&request.server_name)?)),
            None => None,
        };
        let transport = Transport::connecting(stream, tls).map_err(|error| WebSocketError::Tls(error.to_string()))?;
        Ok(Self { transport, state: State::Connecting(upgrade, connect), role: Role::Client, accepted: 0 })
    }

    fn open_server(transport: Transport, leftover: Vec<u8>) -> Self {
        let accepted = transport.sent();
        let state = State::Open(WebSocketContext::from_partially_read(leftover, Role::Server, Some(config())));
        Self { transport, state, role: Role::Server, accepted }
    }

    /// Handles an event of the socket. Call [`WebSocket::poll`] next.
    pub fn handle_event(&mut self, event: &Event) {
        self.transport.handle_event(event);
    }

    /// Sends a text message: at once if the network takes it, otherwise later.
    ///
    /// # Errors
    /// [`WebSocketError::Full`], [`WebSocketError::TooLarge`] and [`WebSocketError::NotOpen`] change nothing; after any
    /// other the WebSocket is closed.
    pub fn send_text(&mut self, text: String) -> Result<(), WebSocketError> {
        let length = text.len();
        self.send(Message::text(text), length)
    }

    /// Sends a binary message, like [`WebSocket::send_text`].
    ///
    /// # Errors
    /// Those of [`WebSocket::send_text`].
    pub fn send_binary(&mut self, bytes: Bytes) -> Result<(), WebSocketError> {
        let length = bytes.len();
        self.send(Message::Binary(bytes), length)
    }

    /// Sends a ping; the peer's pong shows in [`WebSocket::received`].
    ///
    /// # Errors
    /// Those of [`WebSocket::send_text`].
    pub fn send_ping(&mut self) -> Result<(), WebSocketError> {
        self.send(Message::Ping(Bytes::new()), 0)
    }

    /// Writes what waits, for a WebSocket that is not polled because nothing should be read.
    ///
    /// # Errors
    /// The WebSocket is closed then.
    pub(crate) fn flush_now(&mut self) -> Result<(), WebSocketError> {
        self.flush().inspect_err(|error| self.fail(error))
    }

    /// Starts the closing handshake; [`WebSocketEvent::Closed`] follows from [`WebSocket::poll`]. Before the WebSocket
    /// is open, the connection ends at once and no event follows. A second call does nothing.
    ///
    /// A code that must not be sent becomes [`close_code::NORMAL`]; the reason is cut at 123 bytes.
    pub fn close(&mut self, code: u16, reason: &str) {
        self.state = match std::mem::replace(&mut self.state, State::Closed) {
            State::Open(mut context) => {
                // A failure appears as an abnormal end at the next poll.
                let _ = context.close(&mut self.transport, Some(close_frame(code, reason)));
                self.accepted += frame_length(self.role, 2 + reason.len().min(MAX_CLOSE_REASON));
                State::Closing(context, Closing::Ours)
            }
            State::Connecting(..) | State::Proxy(..) | State::Tls(_) | State::Upgrading(_) => {
                self.transport.finish();
                State::Closed
            }
            state @ (State::Closing(..) | State::Closed) => state,
        };
    }

    /// Makes as much progress as possible without blocking, and returns the next event; call it until `None`.
    ///
    /// Answers pings. A peer that sends without pause is left after a bounded number of bytes
    /// ([`WebSocket::is_ready`]).
    ///
    /// # Errors
    /// [`WebSocketError`]; the WebSocket is closed then, and further calls return `None`.
    pub fn poll(&mut self) -> Result<Option<WebSocketEvent>, WebSocketError> {
        self.transport.begin_turn();
        // rustls, tungstenite and httparse parse the peer's bytes, and may panic.
        let result = caught(|| self.advance()).unwrap_or_else(|fault| Err(fault.into()));
        match &result {
            Ok(Some(_)) => {}
            Ok(None) => self.transport.end_turn(),
            Err(error) => self.fail(error),
        }
        result
    }

    /// Tells whether [`WebSocket::poll`] returned `None` although there may be more to read: call it again next turn,
    /// since no event will announce it.
    pub fn is_ready(&self) -> bool {
        self.transport.is_paused() && !matches!(self.state, State::Closed)
    }

    /// Returns its state.
    pub fn phase(&self) -> Phase {
        match self.state {
            State::Connecting(_, None) => Phase::Connecting,
            State::Connecting(_, Some(_)) | State::Proxy(..) => Phase::Proxy,
            State::Tls(_) => Phase::Tls,
            State::Upgrading(_) => Phase::Upgrading,
            State::Open(_) => Phase::Open,
            State::Closing(..) => Phase::Closing,
            State::Closed => Phase::Closed,
        }
    }

    /// Returns the bytes of messages and answers that the network did not take yet, frame headers included. With TLS,
    /// up to 16 KiB more may wait inside of rustls.
    pub fn buffered(&self) -> usize {
        usize::try_from(self.accepted.saturating_sub(self.transport.sent())).unwrap_or(usize::MAX)
    }

    /// Tells whether the network took everything that was sent.
    pub fn is_flushed(&self) -> bool {
        self.buffered() == 0 && !self.transport.holds_back()
    }

    /// Returns the bytes received so far, pongs and frame headers included: the number grows while the peer lives.
    pub fn received(&self) -> u64 {
        self.transport.received()
    }

    /// Returns the error for a deadline that passed in the present state.
    pub fn timed_out(&self) -> WebSocketError {
        WebSocketError::Timeout(self.phase())
    }

    /// Returns the socket, for registering it with mio or removing it. It needs both interests.
    pub fn source(&mut self) -> &mut TcpStream {
        self.transport.source()
    }

    fn advance(&mut self) -> Result<Option<WebSocketEvent>, WebSocketError> {
        loop {
            let (next, done) = match std::mem::replace(&mut self.state, State::Closed) {
                State::Connecting(upgrade, connect) => match self.transport.connected() {
                    Ok(true) => {
                        prepare(self.transport.source());
                        match connect {
                            Some(connect) => (State::Proxy(upgrade, connect), None),
                            None => (State::Tls(upgrade), None),
                        }
                    }
                    Ok(false) => (State::Connecting(upgrade, connect), Some(None)),
                    Err(source) => {
                        let authority = upgrade.authority().to_owned();
                        return Err(match connect {
                            Some(connect) => connect.unreachable(source),
                            None => WebSocketError::Connect { authority, source },
                        });
                    }
                },
                State::Proxy(upgrade, mut connect) => match connect.advance(&mut self.transport)? {
                    true => (State::Tls(upgrade), None),
                    false => (State::Proxy(upgrade, connect), Some(None)),
                },
                State::Tls(upgrade) => match self.transport.handshake() {
                    Ok(true) => (State::Upgrading(upgrade), None),
                    Ok(false) => (State::Tls(upgrade), Some(None)),
                    Err(error) => return Err(WebSocketError::from_io(error, Phase::Tls)),
                },
                State::Upgrading(mut upgrade) => match upgrade.advance(&mut self.transport)? {
                    Some(leftover) => {
                        self.accepted = self.transport.sent();
                        let context = WebSocketContext::from_partially_read(leftover, Role::Client, Some(config()));
                        (State::Open(context), Some(Some(WebSocketEvent::Open)))
                    }
                    None => (State::Upgrading(upgrade), Some(None)),
                },
                state @ (State::Open(_) | State::Closing(..)) => {
                    self.state = state;
                    return self.exchange();
                }
                State::Closed => (State::Closed, Some(None)),
            };
            self.state = next;
            if let Some(result) = done {
                return Ok(result);
            }
        }
    }

    /// Reads, then writes: what was read may have queued an answer.
    fn exchange(&mut self) -> Result<Option<WebSocketEvent>, WebSocketError> {
        if let Some(event) = self.read()? {
            return Ok(Some(event));
        }
        match &mut self.state {
            State::Closing(context, closing) => {
                let result = context.flush(&mut self.transport);
                if result.as_ref().is_err_and(is_would_block) {
                    return Ok(None);
                }
                match (closing, result) {
                    (Closing::Ours, Ok(())) => Ok(None),
                    (Closing::Ours, Err(_)) => Ok(Some(self.closed(close_code::ABNORMAL, String::new()))),
                    // The reply is out, or cannot be sent: either way the peer is done.
                    (Closing::Peers { code, reason }, _) => {
                        let (code, reason) = (*code, std::mem::take(reason));
                        Ok(Some(self.closed(code, reason)))
                    }
                }
            }
            _ => self.flush().map(|()| None),
        }
    }

    fn read(&mut self) -> Result<Option<WebSocketEvent>, WebSocketError> {
        loop {
            let (context, is_open) = match &mut self.state {
                State::Open(context) => (context, true),
                State::Closing(context, Closing::Ours) => (context, false),
                _ => return Ok(None),
            };
            match context.read(&mut self.transport) {
                Ok(Message::Text(text)) if is_open => return Ok(Some(WebSocketEvent::Text(text.as_str().to_owned()))),
                Ok(Message::Binary(bytes)) if is_open => return Ok(Some(WebSocketEvent::Binary(bytes))),
                Ok(Message::Ping(payload)) if is_open => {
                    self.accepted += frame_length(self.role, payload.len());
                    self.transport.charge(PING_COST);
                }
                Ok(Message::Close(frame)) => {
                    let (code, reason) = match frame {
                        Some(frame) => (frame.code.into(), printable(frame.reason.as_str(), MAX_CLOSE_REASON)),
                        None => (close_code::NO_STATUS, String::new()),
                    };
                    match std::mem::replace(&mut self.state, State::Closed) {
                        State::Open(context) => self.state = State::Closing(context, Closing::Peers { code, reason }),
                        _ => return Ok(Some(self.closed(code, reason))),
                    }
                }
                Ok(_) => {}
                Err(error) if is_would_block(&error) => return Ok(None),
                Err(_) if !is_open => return Ok(Some(self.closed(close_code::ABNORMAL, String::new()))),
                Err(error) => return Err(WebSocketError::from_protocol_layer(error, Phase::Open)),
            }
        }
    }

    fn send(&mut self, message: Message, length: usize) -> Result<(), WebSocketError> {
        let waiting = self.buffered();
        let phase = self.phase();
        let State::Open(context) = &mut self.state else {
            return Err(WebSocketError::NotOpen(phase));
        };
        if length > MAX_MESSAGE {
            return Err(WebSocketError::TooLarge { size: length });
        }
        match context.write(&mut self.transport, message) {
            Ok(()) => {}
            // tungstenite keeps the frame and reports that the network is full.
            Err(error) if is_would_block(&error) => {}
            Err(ProtocolLayerError::WriteBufferFull(_)) => return Err(WebSocketError::Full { waiting }),
            Err(error) => {
                let error = WebSocketError::from_protocol_layer(error, phase);
                self.fail(&error);
                return Err(error);
            }
        }
        self.accepted += frame_length(self.role, length);
        self.flush().inspect_err(|error| self.fail(error))
    }

    fn flush(&mut self) -> Result<(), WebSocketError> {
        let State::Open(context) = &mut self.state else {
            return Ok(());
        };
        match context.flush(&mut self.transport) {
            Ok(()) => {
                // Pongs that a later ping made superfluous were counted and never sent.
                self.accepted = self.transport.sent();
                Ok(())
            }
            Err(error) if is_would_block(&error) => Ok(()),
            Err(error) => Err(WebSocketError::from_protocol_layer(error, Phase::Open)),
        }
    }

    fn closed(&mut self, code: u16, reason: String) -> WebSocketEvent {
        self.state = State::Closed;
        self.transport.finish();
        WebSocketEvent::Closed { code, reason }
    }

    /// Ends everything. Tells a peer that broke the rules which one, if the network takes it at once.
    fn fail(&mut self, error: &WebSocketError) {
        let code = match error {
            WebSocketError::TooLarge { .. } => Some(close_code::TOO_LARGE),
            WebSocketError::Protocol(_) | WebSocketError::SubProtocol => Some(close_code::PROTOCOL),
            _ => None,
        };
        let state = std::mem::replace(&mut self.state, State::Closed);
        if let (State::Open(mut context), Some(code)) = (state, code) {
            let _ = context.close(&mut self.transport, Some(close_frame(code, "")));
        }
        self.transport.finish();
    }
}

fn server_name(name: &str) -> Result<ServerName<'static>, WebSocketError> {
    let bare = name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(name);
    let wrong = |_| WebSocketError::Tls(format!("no certificate can be for {}", error::printable(name, 80)));
    ServerName::try_from(bare.to_owned()).map_err(wrong)
}

fn is_would_block(error: &ProtocolLayerError) -> bool {
    matches!(error, ProtocolLayerError::Io(error) if error.kind() == io::ErrorKind::WouldBlock)
}

/// Sets a connection up for short messages that wait for each other. A failure only costs time.
fn prepare(stream: &TcpStream) {
    let _ = stream.set_nodelay(true);
    let _ = crate::net::listen::set_notsent_lowat(stream, NOT_SENT);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn server_names_may_be_addresses() {
        assert!(server_name("[::1]").is_ok() && server_name("127.0.0.1").is_ok() && server_name("a.test").is_ok());
        assert!(matches!(server_name("a b"), Err(WebSocketError::Tls(_))));
    }
}
