//! What a session tells its owner.

use std::fmt;
use std::time::Duration;

use crate::fault::Fault;
use crate::peer::PathInfo;
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
    /// The peer only looked whether the two could connect (`pinhole check`).
    Visit,
    /// The peer goes away for a moment: it can be joined anew.
    Restart,
    /// The signaling connection was lost before there was any path.
    SignalingLost,
    /// The peer broke the protocol, speaks another version, or the connection failed.
    Failed(String),
    /// Code of others panicked over what the peer sent; other sessions do not notice.
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
            End::Replaced => f.write_str("the host does not know this session any more: it was started again, or has waited for longer than its --grace"),
            End::Local => f.write_str("ended here"),
            End::Peer => f.write_str("ended by the peer"),
            End::Visit => f.write_str("the peer only checked whether it could connect"),
            End::Restart => f.write_str("the peer restarts"),
            End::SignalingLost => f.write_str("the signaling connection was lost before the peers could meet"),
            End::Failed(reason) => f.write_str(reason),
            End::Fault(fault) => fault.fmt(f),
        }
    }
}

/// The way messages take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Path {
    /// Over the DataChannel, between these addresses.
    Direct(PathInfo),
    /// Over the signaling WebSocket.
    Relayed {
        /// Why not directly, in a sentence.
        reason: String,
    },
}

/// What a session tells its owner.
#[derive(Debug)]
pub enum Event {
    /// A PeerConnection of that carrier needs UDP sockets: see `Session::add_sockets`.
    Gather {
        /// The carrier's number.
        carrier: u32,
    },
    /// The sockets of that carrier are not needed any more.
    Release {
        /// The carrier's number.
        carrier: u32,
    },
    /// Messages pass in both directions and both HELLOs came.
    Connected {
        /// The way they take.
        path: Path,
        /// First measured round trip.
        round_trip: Duration,
    },
    /// Messages take another way, or the reason why they are relayed changed.
    PathChanged {
        /// The way they take.
        path: Path,
        /// Why it changed, in a sentence.
        reason: String,
    },
    /// No answers from the peer any more; streams wait.
    Recovering {
        /// What was seen, in a sentence.
        reason: String,
    },
    /// Messages pass again.
    Recovered {
        /// The way they take.
        path: Path,
        /// How long they did not pass.
        after: Duration,
    },
    /// The signaling WebSocket is not needed any more.
    SignalingDone,
    /// Something about a stream or a reverse forward.
    Stream(tunnel::Event),
    /// The peer announced the end of the session.
    GoAway(GoAwayReason),
    /// The session is over, with everything that is to be sent in `poll_transmit`.
    Ended(End),
}

/// Something to send over the signaling WebSocket.
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
