//! One link: its socket, and its state apart from the side's phase.

use std::net::{IpAddr, SocketAddr};

use super::Attempts;
use super::liveness::{Liveness, Look, Watch};
use crate::net::system::TcpStream;
use crate::net::websocket::{Incoming, WebSocket, WebSocketError};
use crate::shares;

/// A signaling WebSocket, a connection that may become one, or a conversation on another link.
pub(in crate::run) struct Link<P> {
    /// Its phase, known to the side.
    pub(in crate::run) phase: P,
    /// The other side's address.
    pub(in crate::run) remote: SocketAddr,
    /// Its request named an invitation in its query: it knows no invitations.
    pub(in crate::run) is_outdated: bool,
    pub(super) socket: Socket,
    /// The number of the step that its deadline is for.
    pub(super) step: u64,
    /// A notice to poll it again is queued.
    pub(super) is_queued: bool,
    liveness: Liveness,
}

pub(super) enum Socket {
    /// Its request has not arrived yet.
    Incoming(Box<Incoming>),
    /// It is being opened; these addresses are tried next.
    Opening(Box<WebSocket>, Attempts),
    /// Messages may be sent until it is closed.
    Open(Box<WebSocket>),
    /// No socket: it is the conversation with this number on another link.
    Conversation(u32),
    /// No socket: the WebSocket could not be opened.
    Lost,
}

impl<P> Link<P> {
    pub(super) fn new(socket: Socket, remote: SocketAddr, phase: P) -> Link<P> {
        Link { phase, remote, is_outdated: false, socket, step: 0, is_queued: false, liveness: Liveness::default() }
    }

    /// Returns its WebSocket, if there is one.
    pub(in crate::run) fn websocket(&mut self) -> Option<&mut WebSocket> {
        self.parts().1
    }

    /// Returns its phase and its WebSocket, mutably.
    pub(in crate::run) fn parts(&mut self) -> (&mut P, Option<&mut WebSocket>) {
        let websocket = match &mut self.socket {
            Socket::Opening(websocket, _) | Socket::Open(websocket) => Some(&mut **websocket),
            Socket::Incoming(_) | Socket::Conversation(_) | Socket::Lost => None,
        };
        (&mut self.phase, websocket)
    }

    /// Returns its connection while that is not a WebSocket.
    pub(in crate::run) fn incoming(&mut self) -> Option<&mut Incoming> {
        match &mut self.socket {
            Socket::Incoming(incoming) => Some(incoming),
            Socket::Opening(..) | Socket::Open(_) | Socket::Conversation(_) | Socket::Lost => None,
        }
    }

    /// Returns its number, if it is a conversation.
    pub(in crate::run) fn conversation(&self) -> Option<u32> {
        if let Socket::Conversation(number) = self.socket { Some(number) } else { None }
    }

    /// Returns its source, for sharing places.
    pub(in crate::run) fn source(&self) -> shares::Source {
        shares::Source::of(self.remote.ip())
    }

    /// Returns the address of our end.
    pub(in crate::run) fn local_ip(&mut self) -> Option<IpAddr> {
        Some(self.socket.source()?.local_addr().ok()?.ip())
    }

    /// Returns how many bytes its WebSocket holds that the network did not take yet.
    pub(in crate::run) fn buffered(&mut self) -> usize {
        self.websocket().map_or(0, |websocket| websocket.buffered())
    }

    /// Returns the error for a deadline that passed.
    pub(in crate::run) fn timed_out(&mut self) -> WebSocketError {
        let ended = || WebSocketError::Ended("it took too long".to_owned());
        self.websocket().map_or_else(ended, |websocket| websocket.timed_out())
    }

    /// Returns the remaining addresses, after this error.
    pub(in crate::run) fn into_attempts(self, failure: WebSocketError) -> Attempts {
        let mut attempts = if let Socket::Opening(_, attempts) = self.socket { attempts } else { Attempts::default() };
        attempts.failed(failure);
        attempts
    }

    /// Tells whether the other side seems alive, and pings it now and then.
    pub(super) fn is_alive(&mut self, watch: Watch) -> bool {
        let Socket::Open(websocket) = &mut self.socket else { return true };
        match self.liveness.look(watch, websocket.received()) {
            Look::Alive => true,
            // If a ping does not fit, other data is in transit.
            Look::Ping => matches!(websocket.send_ping(), Ok(()) | Err(WebSocketError::Full { .. })),
            Look::Dead => false,
        }
    }
}

impl Socket {
    /// Returns its state once messages may be sent.
    pub(super) fn opened(self) -> Socket {
        match self {
            Socket::Incoming(incoming) => {
                incoming.into_websocket().map_or(Socket::Lost, |websocket| Socket::Open(Box::new(websocket)))
            }
            Socket::Opening(websocket, _) => Socket::Open(websocket),
            other => other,
        }
    }

    pub(super) fn source(&mut self) -> Option<&mut TcpStream> {
        match self {
            Socket::Incoming(incoming) => Some(incoming.source()),
            Socket::Opening(websocket, _) | Socket::Open(websocket) => Some(websocket.source()),
            Socket::Conversation(_) | Socket::Lost => None,
        }
    }
}
