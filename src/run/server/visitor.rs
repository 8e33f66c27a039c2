//! What is known of a visitor: its connection, where its requests go, and its login.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::pace::Pace;
use crate::gateway::{Exchange, Kind, Request, Stage};
use crate::net::transport::Transport;
use crate::run::keys::SessionKey;
use crate::run::table::Key;
use crate::shares::{Source, Standing};
use crate::signaling::rendezvous::HostId;
use crate::tunnel::{ConnectTarget, StreamKey};

/// Connections at a time. Of those for which there is no place a few more are told that there are too many, and others
/// are not taken.
pub(super) const MAX_CONNECTIONS: usize = 16 * 1024;
/// Key of a connection.
pub(super) type WebKey = Key<Web>;

/// A connection.
pub(super) struct Web {
    pub(super) transport: Transport,
    pub(super) exchange: Exchange,
    pub(super) kind: Kind,
    pub(super) remote: SocketAddr,
    /// It is known whether there is TLS, and its handshake is done.
    pub(super) is_secured: bool,
    /// What came so far, as long as it may be for the server itself.
    pub(super) early: Option<Vec<u8>>,
    /// Where requests go at present, and the stream that carries them there.
    pub(super) destination: Option<Destination>,
    pub(super) stream: Option<Carrying>,
    /// What is known of its visitor's login.
    pub(super) login: LoginState,
    pub(super) is_queued: bool,
    /// Nothing more is read, or written.
    pub(super) read_ended: bool,
    pub(super) write_ended: bool,
    pub(super) stage: Stage,
    pub(super) stage_at: Instant,
    /// What is known of it where places are short.
    pub(super) standing: Standing,
    /// The clock of a body.
    pub(super) pace: Pace,
    /// When something moved last.
    pub(super) moved_at: Instant,
    /// When the deadline that is set comes up.
    pub(super) due_at: Option<Instant>,
    /// When the present request was complete.
    pub(super) routed_at: Instant,
    /// How long the head of its answer took.
    pub(super) answered_after: Option<Duration>,
}

/// Where requests go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Destination {
    pub(super) id: HostId,
    pub(super) session: SessionKey,
    pub(super) target: ConnectTarget,
    /// The login was for the gateway.
    pub(super) strip_authorization: bool,
    /// The hash of the token that it may be dialled for.
    pub(super) token: Option<[u8; 32]>,
}

/// A stream that carries requests.
pub(super) struct Carrying {
    pub(super) session: SessionKey,
    pub(super) key: StreamKey,
    /// The exchange knows that nothing follows.
    pub(super) end_told: bool,
    /// The host knows that nothing follows.
    pub(super) is_half_closed: bool,
}

/// What a connection has to do with logins.
#[derive(Default)]
pub(super) enum LoginState {
    /// Nobody has logged in on it.
    #[default]
    Unknown,
    /// Its request waits for its login's turn.
    Waits(Box<Request>, HostId),
    /// Its login is to be verified now.
    HasTurn,
    /// The last login from that source was right, so the next is no guess.
    LoggedIn(HostId, Source),
}
