//! Notices of the loop for a side: some for all sides, some for one kind.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::deadlines::{ClientDue, HostDue, ServerDue};
use super::keys::{FlowKey, LinkKey, Scope, SessionKey, UdpListenerKey};
use super::table::{Mark, Slot};
use crate::net::system::Event as MioEvent;
use crate::session::{End, Signal};
use crate::tunnel::{self, GoAwayReason};

/// Which listeners may have a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Listening {
    /// All listeners of the side.
    All,
    /// The listener in this slot.
    At(Slot),
}

/// A summary of a session, at its end.
#[derive(Debug)]
pub(super) struct Summary {
    pub(super) scope: Scope,
    pub(super) name: String,
    pub(super) sent: u64,
    pub(super) received: u64,
    /// How long it was connected; `None` if it never was.
    pub(super) duration: Option<Duration>,
}

/// A notice for the side.
#[derive(Debug)]
pub(super) enum Notice {
    /// A listener may have a connection.
    Acceptable(Listening),
    /// An event of a signaling WebSocket.
    Link(LinkNotice),
    /// A session has a message for signaling.
    Signal { session: SessionKey, number: u32, signal: Signal },
    /// An event of a stream that belongs to neither a connection nor a flow.
    Unowned { session: SessionKey, event: tunnel::Event },
    /// A session is over and removed.
    Ended { session: SessionKey, end: End, summary: Summary },
    /// The signaling WebSockets should be checked.
    KeepAlive,
    /// Another thread woke the loop: a helper thread may have an answer.
    Woken,
    /// The run should end: in order the first time, at once the second.
    Stop,
    /// Settings and files may have changed.
    #[cfg(feature = "cli")]
    Reload,
    /// It is time to show what the run is doing to those who watch it.
    Look,
    /// For the control interface, of all sides.
    Control(ControlNotice),
    /// For a host or a client.
    Peer(PeerNotice),
    /// For a host.
    Host(HostNotice),
    /// For a client.
    Client(ClientNotice),
    /// For a server.
    Server(ServerNotice),
}

/// A notice for the control interface.
#[derive(Debug)]
pub(super) enum ControlNotice {
    /// Listeners may have a connection.
    Acceptable(Listening),
    /// A connection is ready.
    Ready { slot: Slot, event: MioEvent },
    /// A connection may have more work although no event says so.
    Poll { connection: Mark },
    /// A connection may have something to do by now.
    Due,
}

/// An event of a signaling WebSocket.
#[derive(Debug)]
pub(super) enum LinkNotice {
    /// Its socket is ready.
    Ready { slot: Slot, event: MioEvent },
    /// It may have more to read although no event says so.
    Poll { link: LinkKey },
    /// The deadline of this step.
    Due { link: LinkKey, step: u64 },
}

/// A notice for either side of a session with a peer.
#[derive(Debug)]
pub(super) enum PeerNotice {
    /// Local programs sent datagrams.
    Programs { listener: UdpListenerKey },
    /// The target of a flow sent datagrams.
    Target { flow: FlowKey },
    /// A name look-up of the side's own was answered: where this server is.
    Resolved { server: usize, answer: Result<Vec<SocketAddr>, String> },
    /// This machine's addresses changed.
    Addresses { vanished: Vec<IpAddr> },
    /// A session no longer needs signaling.
    SignalingDone { session: SessionKey },
}

/// A notice for a host.
#[derive(Debug)]
pub(super) enum HostNotice {
    /// The signaling listener may have a connection.
    Acceptable,
    /// A client asks the host to listen.
    Listen { session: SessionKey, id: u16, bind: String },
    /// A guess of the pin may be verified now.
    Verify,
    /// A deadline of the host.
    Due(HostDue),
}

/// A notice for a client.
#[derive(Debug)]
pub(super) enum ClientNotice {
    /// Messages pass, for the first time or again.
    Connected { session: SessionKey },
    /// Messages no longer pass.
    Recovering { session: SessionKey },
    /// The host announced the end of a session.
    GoAway { session: SessionKey, reason: GoAwayReason },
    /// The host answered a PING.
    RoundTrip { session: SessionKey, round_trip: Duration },
    /// The host's answer about a reverse forward: where it listens, or why not.
    Listened { session: SessionKey, id: u16, result: Result<String, String> },
    /// A program that negotiates with our proxy has sent something.
    Negotiation { slot: Slot },
    /// The connection of a program that sends plain requests to our proxy is ready.
    Request { slot: Slot, event: MioEvent },
    /// It may have more work although no event says so.
    RequestPoll { program: Mark },
    /// A deadline of the client.
    Due(ClientDue),
}

/// A notice for a server.
#[derive(Debug)]
pub(super) enum ServerNotice {
    /// The connection of a browser is ready.
    Web { slot: Slot, event: MioEvent },
    /// The connection of a browser may have more work although no event says so.
    WebPoll { web: Mark },
    /// The look-up of another server of the cluster was answered.
    Resolved { peer: usize, answer: Result<Vec<SocketAddr>, String> },
    /// The connection to the directory is ready.
    Directory { event: MioEvent },
    /// The connection to the directory may have more to read although no event says so.
    DirectoryPoll,
    /// The look-up of the directory's address was answered.
    DirectoryResolved { answer: Result<Vec<SocketAddr>, String> },
    /// A deadline of the server.
    Due(ServerDue),
}

impl From<ControlNotice> for Notice {
    fn from(notice: ControlNotice) -> Notice {
        Notice::Control(notice)
    }
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
