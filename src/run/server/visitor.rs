//! A visitor's connection, the destination of its requests, and its login.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::cluster::message::{Order, Wanted};
use crate::gateway::{Kind, Request};
use crate::net::transport::Transport;
use crate::run::exchange::{RequestStream, Visit};
use crate::run::keys::SessionKey;
use crate::run::table::Key;
use crate::shares::{Source, Standing};
use crate::signaling::binary::Binary;
use crate::signaling::rendezvous::{HostId, Public};
use crate::tunnel::ConnectTarget;

/// Maximum number of connections at a time. A few more are told that there are too many; further ones are not accepted.
pub(super) const MAX_CONNECTIONS: usize = 16 * 1024;
/// Key of a connection.
pub(super) type WebKey = Key<Web>;

/// A visitor's connection.
pub(super) struct Web {
    pub(super) visit: Visit<Transport>,
    pub(super) kind: Kind,
    pub(super) remote: SocketAddr,
    /// Its TLS handshake is done, or it uses no TLS.
    pub(super) is_secured: bool,
    /// The first bytes, while they may be for the server itself.
    pub(super) early: Option<Vec<u8>>,
    /// The present destination of requests.
    pub(super) destination: Option<Destination>,
    /// The stream that carries the requests there.
    pub(super) stream: Option<RequestStream>,
    /// Its host had moved once, and it went there.
    pub(super) has_followed: bool,
    /// State of the visitor's login.
    pub(super) login: LoginState,
    pub(super) is_queued: bool,
    /// Its standing where places are shared.
    pub(super) standing: Standing,
    /// The deadline that is set.
    pub(super) due_at: Option<Instant>,
    /// When the present request was complete.
    pub(super) routed_at: Instant,
    /// How long the head of its answer took.
    pub(super) answered_after: Option<Duration>,
}

/// The destination of requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Destination {
    pub(super) id: HostId,
    pub(super) session: SessionKey,
    pub(super) target: ConnectTarget,
    /// The login that visitors have given the gateway, which is not for the service.
    pub(super) login: Option<Binary<32>>,
    /// The hash of the token that allows dialling it.
    pub(super) token: Option<[u8; 32]>,
    /// The host is at another server, under this epoch; the session is with that server.
    pub(super) epoch: Option<u64>,
}

impl Destination {
    /// Returns the target of the stream: of one to another server an order. `None` if that would be too long.
    pub(super) fn connect_target(&self) -> Option<ConnectTarget> {
        let Some(epoch) = self.epoch else { return Some(self.target.clone()) };
        let to = match (&self.target, self.token) {
            (ConnectTarget::Service(service), _) => Wanted::Service(Public { service: *service, auth: self.login }),
            (ConnectTarget::Tcp(target), Some(token)) => Wanted::Dial(Binary(token), target.clone()),
            (ConnectTarget::Tcp(target), None) => Wanted::Target(target.clone()),
            (ConnectTarget::Unix(_) | ConnectTarget::Udp(_) | ConnectTarget::Reverse(_), _) => return None,
        };
        Order { id: self.id.clone(), epoch, to }.to_text().map(ConnectTarget::Tcp)
    }
}

/// State of logins on a connection.
#[derive(Default)]
pub(super) enum LoginState {
    /// Nobody has logged in on it.
    #[default]
    Unknown,
    /// Its request waits for the turn of its login.
    Waits(Box<Request>, HostId),
    /// Its login may be verified now.
    HasTurn,
    /// The last login from this source was right, so the next is no guess.
    LoggedIn(HostId, Source),
}
