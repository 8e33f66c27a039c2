//! One link: its socket, and what is known of it whatever it is at.

use std::net::{IpAddr, SocketAddr};

use super::Attempts;
use super::liveness::{Liveness, Look};
use crate::net::system::TcpStream;
use crate::net::websocket::{Incoming, WebSocket, WebSocketError};
use crate::shares;

/// A signaling WebSocket, or what is to become one, or a conversation that goes over another.
pub(in crate::run) struct Link<P> {
    /// What it is at.
    pub(in crate::run) phase: P,
    /// Where it leads to or comes from.
    pub(in crate::run) remote: SocketAddr,
    pub(super) socket: Socket,
    /// The number of the step that its deadline is for.
    pub(super) step: u64,
    /// A notice to poll it again is under way.
    pub(super) is_queued: bool,
    liveness: Liveness,
}

pub(super) enum Socket {
    /// It has not said yet what it wants.
    Incoming(Box<Incoming>),
    /// It is being opened; these addresses are tried next.
    Opening(Box<WebSocket>, Attempts),
    /// Messages may be sent, until it is closed.
    Open(Box<WebSocket>),
    /// None: it is a conversation of that number on another link.
    Conversation(u32),
    /// None: it could not become what it was to be.
    Lost,
}

impl<P> Link<P> {
    pub(super) fn new(socket: Socket, remote: SocketAddr, phase: P) -> Link<P> {
        Link { phase, remote, socket, step: 0, is_queued: false, liveness: Liveness::default() }
    }

    /// Returns its WebSocket, once there is one.
    pub(in crate::run) fn websocket(&mut self) -> Option<&mut WebSocket> {
        self.parts().1
    }

    /// Returns its phase and its WebSocket, to be changed together.
    pub(in crate::run) fn parts(&mut self) -> (&mut P, Option<&mut WebSocket>) {
        let websocket = match &mut self.socket {
            Socket::Opening(websocket, _) | Socket::Open(websocket) => Some(&mut **websocket),
            Socket::Incoming(_) | Socket::Conversation(_) | Socket::Lost => None,
        };
        (&mut self.phase, websocket)
    }

    /// Returns its connection as long as that has not become a WebSocket.
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

    /// Returns whose it is, as far as places go.
    pub(in crate::run) fn source(&self) -> shares::Source {
        shares::Source::of(self.remote.ip())
    }

    /// Returns our end's address.
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

    /// Returns where else it may be dialled, after that failure.
    pub(in crate::run) fn into_attempts(self, failure: WebSocketError) -> Attempts {
        let mut attempts = if let Socket::Opening(_, attempts) = self.socket { attempts } else { Attempts::default() };
        attempts.failed(failure);
        attempts
    }

    /// Tells whether the other side lives, as far as that can be known, and pings it now and then.
    pub(super) fn is_alive(&mut self) -> bool {
        let Socket::Open(websocket) = &mut self.socket else { return true };
        match self.liveness.look(websocket.received()) {
            Look::Alive => true,
            // One that has no room for a ping has other things under way.
            Look::Ping => matches!(websocket.send_ping(), Ok(()) | Err(WebSocketError::Full { .. })),
            Look::Dead => false,
        }
    }
}

impl Socket {
    /// Returns what it is once messages may be sent.
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
