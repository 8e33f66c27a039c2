//! Events of a session for its owner.

use std::fmt;
use std::time::Duration;

use crate::fault::Fault;
use crate::peer::PathInfo;
use crate::signaling::invitation::Lapse;
use crate::signaling::rendezvous::Payload;
use crate::tunnel::{self, GoAwayReason};

/// Why a session ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// No path was found in time.
    NoPath,
    /// The path was lost and did not come back.
    PathLost,
    /// The peer's process was replaced by another, which does not know the session.
    Replaced,
    /// We ended it.
    Local,
    /// The peer ended it.
    Peer,
    /// The peer only checked whether the two can connect (`pinhole check`).
    Visit,
    /// The client's invitation does not count any more.
    Lapsed(Lapse),
    /// The peer restarts: it can be joined again.
    Restart,
    /// The signaling connection was lost before any path was found.
    SignalingLost,
    /// The peer broke the protocol, speaks another version, or the connection failed.
    Failed(String),
    /// A library panicked over what the peer sent; other sessions are not affected.
    Fault(Fault),
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            End::NoPath => f.write_str(
                "no direct path was found between the two machines (a firewall or a strict NAT is in the way), and they \
                 could not be relayed: one side was started with --no-relay, or the signaling connection was lost",
            ),
            End::PathLost => f.write_str("the path to the peer was lost and did not come back"),
            End::Replaced => f.write_str("the host no longer knows this session: it was started again, or has waited longer than its --grace"),
            End::Local => f.write_str("ended here"),
            End::Peer => f.write_str("ended by the peer"),
            End::Visit => f.write_str("the peer only checked whether it could connect"),
            End::Lapsed(lapse) => f.write_str(lapse.as_str()),
            End::Restart => f.write_str("the peer restarts"),
            End::SignalingLost => f.write_str("the signaling connection was lost before the peers could meet"),
            End::Failed(reason) => f.write_str(reason),
            End::Fault(fault) => fault.fmt(f),
        }
    }
}

/// The path messages take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Path {
    /// Over the DataChannel, between these addresses.
    Direct(PathInfo),
    /// Over the signaling WebSocket.
    Relayed {
        /// Why the path is not direct, as a sentence.
        reason: String,
    },
}

/// An event of a session.
#[derive(Debug)]
pub enum Event {
    /// A PeerConnection for this carrier needs UDP sockets: see `Session::add_sockets`.
    Gather {
        /// The carrier's number.
        carrier: u32,
    },
    /// The sockets of this carrier are no longer needed.
    Release {
        /// The carrier's number.
        carrier: u32,
    },
    /// Messages pass in both directions and both HELLOs came.
    Connected {
        /// The path they take.
        path: Path,
        /// First measured round trip.
        round_trip: Duration,
    },
    /// Messages take another path, or the reason for relaying changed.
    PathChanged {
        /// The path they take.
        path: Path,
        /// Why it changed, as a sentence.
        reason: String,
    },
    /// The peer stopped answering; streams wait.
    Recovering {
        /// What was observed, as a sentence.
        reason: String,
    },
    /// Messages pass again.
    Recovered {
        /// The path they take.
        path: Path,
        /// How long they did not pass.
        after: Duration,
    },
    /// A round trip was measured.
    RoundTrip(Duration),
    /// The signaling WebSocket is no longer needed.
    SignalingDone,
    /// An event of a stream or of a reverse forward.
    Stream(tunnel::Event),
    /// The peer announced the end of the session.
    GoAway(GoAwayReason),
    /// The session is over; `poll_transmit` returns its last datagrams.
    Ended(End),
}

/// A message for the signaling WebSocket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Signal {
    /// A sealed message.
    Text(String),
    /// A sealed message of the relay carrier.
    Binary(Vec<u8>),
}

impl From<Signal> for Payload {
    fn from(signal: Signal) -> Payload {
        match signal {
            Signal::Text(text) => Payload::Text(text),
            Signal::Binary(bytes) => Payload::Binary(bytes.into()),
        }
    }
}
