//! What the loop tells a side: what is for all of them, and what is for one kind.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::deadlines::{ClientDue, HostDue, ServerDue};
use super::keys::{FlowKey, LinkKey, Scope, SessionKey, UdpListenerKey};
use super::table::{Mark, Slot};
use crate::net::system::Event as MioEvent;
use crate::session::{End, Signal};
use crate::tunnel::{self, GoAwayReason};

/// Which listeners of a side's table may have a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Listening {
    /// Each may, and so may all others of the side.
    All,
    /// The one in that slot.
    At(Slot),
}

/// What there is to say about a session at its end.
#[derive(Debug)]
pub(super) struct Summary {
    pub(super) scope: Scope,
    pub(super) name: String,
    pub(super) sent: u64,
    pub(super) received: u64,
    /// How long it was connected; `None` if it never was.
    pub(super) duration: Option<Duration>,
}

/// Something for the side to handle.
#[derive(Debug)]
pub(super) enum Notice {
    /// A listener may have a connection.
    Acceptable(Listening),
    /// Something about a signaling WebSocket.
    Link(LinkNotice),
    /// A session has something to say through signaling.
    Signal { session: SessionKey, number: u32, signal: Signal },
    /// Something about a stream that is neither a connection's nor a flow's.
    Unowned { session: SessionKey, event: tunnel::Event },
    /// A session is over and gone.
    Ended { session: SessionKey, end: End, summary: Summary },
    /// It is time to see whether the signaling WebSockets are alive.
    KeepAlive,
    /// Somebody woke the loop: a helper thread may have an answer.
    Woken,
    /// Somebody wants us to end: in order the first time, at once the second.
    Stop,
    /// For a host or a client.
    Peer(PeerNotice),
    /// For a host.
    Host(HostNotice),
    /// For a client.
    Client(ClientNotice),
    /// For a server.
    Server(ServerNotice),
}

/// Something about a signaling WebSocket.
#[derive(Debug)]
pub(super) enum LinkNotice {
    /// Its socket is ready.
    Ready { slot: Slot, event: MioEvent },
    /// It may have more to give although no event says so.
    Poll { link: LinkKey },
    /// Its time for its step is up.
    Due { link: LinkKey, step: u64 },
}

/// Something for either side of a session with a peer.
#[derive(Debug)]
pub(super) enum PeerNotice {
    /// Local programs sent datagrams.
    Programs { listener: UdpListenerKey },
    /// The target of a flow sent datagrams.
    Target { flow: FlowKey },
    /// A name look-up of the side's own was answered.
    Resolved { answer: Result<Vec<SocketAddr>, String> },
    /// This machine's addresses changed.
    Addresses { vanished: Vec<IpAddr> },
    /// A session needs signaling no more.
    SignalingDone { session: SessionKey },
}

/// Something for a host.
#[derive(Debug)]
pub(super) enum HostNotice {
    /// The listener of its signaling may have a connection.
    Acceptable,
    /// A client wants it to listen.
    Listen { session: SessionKey, id: u16, bind: String },
    /// A guess of the pin may be verified now.
    Verify,
    /// A deadline of its own came up.
    Due(HostDue),
}

/// Something for a client.
#[derive(Debug)]
pub(super) enum ClientNotice {
    /// Messages pass, for the first time or again.
    Connected { session: SessionKey },
    /// Messages pass no more.
    Recovering { session: SessionKey },
    /// The host announced the end of a session.
    GoAway { session: SessionKey, reason: GoAwayReason },
    /// The host was asked to listen: where it does, or why not.
    Listened { session: SessionKey, id: u16, result: Result<String, String> },
    /// A program that talks to our proxy has something to say.
    Negotiation { slot: Slot },
    /// A deadline of its own came up.
    Due(ClientDue),
}

/// Something for a server.
#[derive(Debug)]
pub(super) enum ServerNotice {
    /// The connection of a browser is ready.
    Web { slot: Slot, event: MioEvent },
    /// The connection of a browser may have more to do although no event says so.
    WebPoll { web: Mark },
    /// Files may have changed.
    Reload,
    /// A deadline of its own came up.
    Due(ServerDue),
}

impl From<LinkNotice> for Notice {
    fn from(notice: LinkNotice) -> Notice {
        Notice::Link(notice)
    }
}

impl From<PeerNotice> for Notice {
    fn from(notice: PeerNotice) -> Notice {
        Notice::Peer(notice)
    }
}

impl From<HostNotice> for Notice {
    fn from(notice: HostNotice) -> Notice {
        Notice::Host(notice)
    }
}

impl From<ClientNotice> for Notice {
    fn from(notice: ClientNotice) -> Notice {
        Notice::Client(notice)
    }
}

impl From<ServerNotice> for Notice {
    fn from(notice: ServerNotice) -> Notice {
        Notice::Server(notice)
    }
}
