//! What the loop tells a side.

use std::net::{IpAddr, SocketAddr};

use mio::event::Event as MioEvent;

use super::connections::ConnectionKey;
use super::flows::{FlowKey, UdpListenerKey};
use super::sessions::{SessionKey, Summary};
use super::table::{Mark, Place};
use crate::session::{End, Signal};
use crate::status::event::StreamEnd;
use crate::tunnel::{self, GoAwayReason};

/// Which listener may have a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Listening {
    /// Each may.
    All,
    /// The one of a host's signaling.
    Signaling,
    /// The one at that place of the side's table.
    At(Place),
}

/// Something for the side to handle.
#[derive(Debug)]
pub(super) enum Notice {
    /// A listener may have a connection.
    Acceptable(Listening),
    /// Local programs sent datagrams.
    Programs { listener: UdpListenerKey },
    /// The target of a flow sent datagrams.
    Target { flow: FlowKey },
    /// A program that talks to our proxy has something to say.
    Negotiation { place: Place },
    /// A program has talked to our proxy for too long.
    NegotiationDue { program: Mark },
    /// A client wants its host to listen.
    Listen { session: SessionKey, id: u16, bind: String },
    /// A host answered that: where it listens, or why not.
    Listened { session: SessionKey, id: u16, result: Result<String, String> },
    /// Something about a stream that is neither a connection's nor a flow's.
    Stream { session: SessionKey, event: tunnel::Event },
    /// The connection of a browser is ready.
    Web { place: Place, event: MioEvent },
    /// The connection of a browser may have more to do although no event says so.
    WebPoll { web: Mark },
    /// The connection of a browser may have been at what it does for too long.
    WebDue { web: Mark },
    /// The WebSocket to the server is ready.
    Uplink { event: MioEvent },
    /// The WebSocket to the server may have more to give although no event says so.
    UplinkPoll,
    /// The WebSocket to the server has been at its step for too long.
    UplinkDue { step: u64 },
    /// A connection that was open is gone.
    #[cfg_attr(not(unix), expect(dead_code, reason = "only `-W`, which needs Unix, waits for it"))]
    Closed { connection: ConnectionKey, end: StreamEnd },
    /// A signaling WebSocket's socket is ready.
    Link { place: Place, event: MioEvent },
    /// A signaling WebSocket's time for its step is up.
    LinkDue { link: Mark, step: u64 },
    /// A signaling WebSocket may have more to give although no event says so.
    LinkPoll { link: Mark },
    /// A guess of the pin may be verified now.
    Verify,
    /// Somebody woke the loop: a helper thread may have an answer.
    Woken,
    /// A name look-up of the side's own was answered.
    Resolved { answer: Result<Vec<SocketAddr>, String> },
    /// A session has something to say through signaling.
    Signal { session: SessionKey, number: u32, signal: Signal },
    /// This machine's addresses changed.
    Addresses { vanished: Vec<IpAddr> },
    /// Messages pass, for the first time or again.
    Connected { session: SessionKey },
    /// Messages pass no more.
    Recovering { session: SessionKey },
    /// A session needs signaling no more.
    SignalingDone { session: SessionKey },
    /// It is time to see whether the signaling WebSockets are alive.
    KeepAlive,
    /// The client may dial the host again.
    Rejoin,
    /// A local connection has waited for a session for too long.
    Waiting,
    /// The peer announced the end of a session.
    GoAway(GoAwayReason),
    /// A session is over and gone.
    Ended { session: SessionKey, end: End, summary: Summary },
    /// Files may have changed.
    Reload,
    /// Somebody wants us to end: in order the first time, at once the second.
    Stop,
}
