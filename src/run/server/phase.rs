//! What a link of the server is at, and what is known of the host or the client at its other end.

use std::collections::{HashMap, VecDeque};

use super::Serves;
use super::quota::MAX_REQUESTS;
use super::visitor::WebKey;
use crate::run::keys::{LinkKey, SessionKey};
use crate::run::links::Outbox;
use crate::shares::Shares;
use crate::signaling::rendezvous::{HostId, Instance, Public, Register, SERVER};

/// What a proxy in front of the server is to those behind it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Front {
    pub(super) is_tls: bool,
    /// The port that they connect to, unless it is the scheme's own.
    pub(super) port: Option<u16>,
}

/// ```text
///            ┌─▶ Registering ─▶ (Contending ─▶) Host ──┐
///  Asking ───┼─▶ Visiting ────▶ Client ────────────────┼─▶ Closing
///            └─▶ answered                              │
/// ```
pub(super) enum Phase {
    /// Its request is to come.
    Asking(Serves),
    /// It becomes a WebSocket for a client of that host.
    Visiting(HostId),
    /// It becomes a WebSocket for a host, or is one that is to say who it is; there may be a proxy in front.
    Registering(Option<Front>),
    /// It wants a name that another process with the same token has; whether that one lives is being found out.
    Contending(Box<Register>, Option<Front>),
    Host(Box<Registered>),
    Client(Box<Joined>),
    /// Nothing more is to be said.
    Closing,
}

/// A client of a host.
pub(super) struct Joined {
    pub(super) id: HostId,
    /// The host's link. As long as it has no number there may be another host of that name by now.
    pub(super) host: LinkKey,
    /// The number of the conversation. It has none until it says something: until then its host does not know of it,
    /// and it takes no client's place.
    pub(super) number: Option<u32>,
    /// What waits for it.
    pub(super) outbox: Outbox,
    /// It is over once everything is sent: its host knows it no more, and may be gone.
    pub(super) is_leaving: bool,
    /// It is in its host's list of those who wait for room.
    pub(super) is_blocked: bool,
    /// Bytes to the client, and from it.
    pub(super) sent: u64,
    pub(super) received: u64,
}

/// A registered host.
pub(super) struct Registered {
    pub(super) id: HostId,
    /// Who may take its place.
    pub(super) owner: Owner,
    /// The process.
    pub(super) instance: Instance,
    /// What is published.
    pub(super) public: Option<Public>,
    /// It dials for holders of tokens that may.
    pub(super) dials: bool,
    /// The link of each client, and their places.
    pub(super) clients: Shares<LinkKey>,
    pub(super) conversations: HashMap<u32, LinkKey>,
    pub(super) next_conversation: u32,
    /// Clients that wait for room in the WebSocket, in the order of their turns.
    pub(super) blocked: VecDeque<LinkKey>,
    /// The session with the host itself, and what it has to say.
    pub(super) session: Option<SessionKey>,
    pub(super) outbox: Outbox,
    /// Connections of visitors whose requests it has.
    pub(super) requests: Shares<WebKey>,
    /// A process that wants the name, and how much had come from this one when it was asked for a sign of life.
    pub(super) contender: Option<(LinkKey, u64)>,
}

/// Who has a name.
#[derive(Clone, Copy)]
pub(super) enum Owner {
    /// Whoever has the token of this hash.
    Token([u8; 32]),
    /// One process: an open server takes hosts without tokens.
    Process(Instance),
}

impl Registered {
    pub(super) fn new(
        id: HostId,
        owner: Owner,
        instance: Instance,
        public: Option<Public>,
        dials: bool,
        max_clients: usize,
    ) -> Registered {
        Registered {
            id,
            owner,
            instance,
            public,
            dials,
            clients: Shares::new(max_clients),
            requests: Shares::new(MAX_REQUESTS),
            conversations: HashMap::new(),
            next_conversation: SERVER + 1,
            blocked: VecDeque::new(),
            session: None,
            outbox: Outbox::default(),
            contender: None,
        }
    }

    /// Returns a number that no conversation has: a new one, until four billions were used.
    pub(super) fn next_number(&mut self) -> u32 {
        loop {
            let number = self.next_conversation;
            self.next_conversation = number.checked_add(1).unwrap_or(SERVER + 1);
            if !self.conversations.contains_key(&number) {
                return number;
            }
        }
    }
}
