//! The phases of the server's links, and what is known of the host or client at the other end.

use std::collections::{HashMap, VecDeque};

use super::Serves;
use super::cluster::{Distant, Greeting, Peer};
use super::quota::MAX_REQUESTS;
use super::visitor::WebKey;
use crate::run::keys::{LinkKey, SessionKey};
use crate::run::links::Outbox;
use crate::shares::Shares;
use crate::signaling::rendezvous::{HostId, Instance, Public, Register, SERVER};

/// A proxy in front of the server, as those behind it see it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Front {
    pub(super) is_tls: bool,
    /// The port that they connect to, unless it is the scheme's default.
    pub(super) port: Option<u16>,
}

/// ```text
///            ┌─▶ Registering ─▶ (Contending ─▶) Host ──┐
///            │                └▶ (Claiming ─▶)         │
///  Asking ───┼─▶ Visiting ────▶ (Seeking ─▶) Client ───┼─▶ Closing
///            ├─▶ Greeting ────▶ Peer ──────────────────┤
///            │      ▲                                  │
///  Dialling ─┼──────┘                                  │
///            └─▶ answered                              │
/// ```
pub(super) enum Phase {
    /// Waits for its request.
    Asking(Serves),
    /// It becomes a WebSocket for a client of this host.
    Visiting(HostId),
    /// The directory is asked where a client's host is. The client is not read meanwhile.
    Seeking,
    /// It becomes a WebSocket for a host, or waits for the host's registration; there may be a proxy in front.
    Registering(Option<Front>),
    /// It wants a name of another process with the same token. The server checks whether that process is alive.
    Contending(Box<Register>, Option<Front>),
    /// The directory is asked whether it may have its name.
    Claiming(Box<Register>, Option<Front>),
    Host(Box<Registered>),
    Client(Box<Joined>),
    /// It is being opened, to the other server of this number.
    Dialling(usize),
    /// Another server, which has not proven that it is of this cluster.
    Greeting(Greeting),
    /// Another server of this cluster.
    Peer(Box<Peer>),
    /// Nothing more will be sent.
    Closing,
}

impl Phase {
    pub(super) fn is_host(&self) -> bool {
        matches!(self, Phase::Host(_))
    }
}

/// A client of a host.
pub(super) struct Joined {
    pub(super) id: HostId,
    /// The host's link. While the client has no number, another host may take the name.
    pub(super) host: LinkKey,
    /// The number of the conversation. It has none until its first message: until then its host does not know it, and
    /// it takes no client's place.
    pub(super) number: Option<u32>,
    /// The messages that wait for it.
    pub(super) outbox: Outbox,
    /// It is over once everything is sent: its host has forgotten it, and may be gone.
    pub(super) is_leaving: bool,
    /// It is in its host's list of clients that wait for room.
    pub(super) is_blocked: bool,
    /// Its stream, if client and host are at different servers.
    pub(super) distant: Option<Box<Distant>>,
    /// Bytes sent to the client.
    pub(super) sent: u64,
    /// Bytes received from the client.
    pub(super) received: u64,
}

/// A registered host.
pub(super) struct Registered {
    pub(super) id: HostId,
    /// Who may replace it.
    pub(super) owner: Owner,
    /// The host's process.
    pub(super) instance: Instance,
    /// The published service.
    pub(super) public: Option<Public>,
    /// It dials for holders of tokens that may dial.
    pub(super) dials: bool,
    /// The link of each client, and their places.
    pub(super) clients: Shares<LinkKey>,
    pub(super) conversations: HashMap<u32, LinkKey>,
    pub(super) next_conversation: u32,
    /// Clients that wait for room in the WebSocket, in the order of their turns.
    pub(super) blocked: VecDeque<LinkKey>,
    /// The session with the host itself, and its waiting output.
    pub(super) session: Option<SessionKey>,
    pub(super) outbox: Outbox,
    /// Connections of visitors whose requests the host has.
    pub(super) requests: Shares<WebKey>,
    /// It was asked for a sign of life, because another process wants its name.
    pub(super) contest: Option<Contest>,
}

/// A process that wants the name of a host.
#[derive(Debug, Clone, Copy)]
pub(super) struct Contest {
    pub(super) rival: Rival,
    /// How many bytes had come from the host when it was asked for a sign of life.
    pub(super) received: u64,
}

/// Where a process is that wants the name of a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rival {
    /// It waits on this link.
    Here(LinkKey),
    /// It has the name already, at another server.
    Elsewhere,
}

/// The owner of a name.
#[derive(Clone, Copy)]
pub(super) enum Owner {
    /// Holders of the token with this hash.
    Token([u8; 32]),
    /// One process: an open server accepts hosts without tokens.
    Process(Instance),
}

impl Owner {
    /// Returns what tells it from others.
    pub(super) fn bytes(&self) -> &[u8] {
        match self {
            Owner::Token(hash) => hash,
            Owner::Process(instance) => &instance.0,
        }
    }
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
            contest: None,
        }
    }

    /// Returns the process at this server that waits for its name.
    pub(super) fn contender(&self) -> Option<LinkKey> {
        match self.contest?.rival {
            Rival::Here(key) => Some(key),
            Rival::Elsewhere => None,
        }
    }

    /// Tells whether its name was lost to another server.
    pub(super) fn is_deposed(&self) -> bool {
        self.contest.is_some_and(|contest| contest.rival == Rival::Elsewhere)
    }

    /// Returns an unused number: a new one, until four billion were used.
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
