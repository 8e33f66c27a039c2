//! Events of the mux for its owner.

use std::time::Duration;

use super::frame::ConnectTarget;
use super::hello::Hello;
use super::id::StreamKey;
use super::reason::{AbortReason, GoAwayReason};

/// Who ended something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// This side.
    Local,
    /// The peer.
    Peer,
}

/// An event of the mux; `Mux::poll_event` returns each once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The peer's first HELLO came: streams can carry data.
    Hello(Hello),
    /// The peer opened a stream: dial, then `accept` or `abort`.
    Opened(StreamKey, ConnectTarget),
    /// The peer's dial succeeded.
    Accepted(StreamKey),
    /// Bytes or datagrams can be read, or the end of the stream was reached.
    Readable(StreamKey),
    /// A stream that had no capacity has some again.
    Writable(StreamKey),
    /// Both directions ended in order and everything is acknowledged; the key is dead.
    Finished(StreamKey),
    /// Both directions and the key are dead.
    Aborted {
        /// The stream.
        key: StreamKey,
        /// Why.
        reason: AbortReason,
        /// Explanation in words, from the peer or from us; may contain unprintable characters.
        detail: String,
        /// Who aborted it.
        origin: Origin,
    },
    /// The peer, a client, wants us to listen: `Mux::listened` answers.
    Listen {
        /// Number of the forward: the host opens streams to `ConnectTarget::Reverse` with it.
        id: u16,
        /// Where, in the peer's words.
        bind: String,
    },
    /// The peer answered `Mux::listen`.
    Listened {
        /// Number of the forward.
        id: u16,
        /// Where the peer listens, or why it does not; in the peer's words, which may contain unprintable characters.
        result: Result<String, String>,
    },
    /// A PING was answered.
    RoundTrip(Duration),
    /// The peer announced the end of the session.
    GoAway(GoAwayReason, String),
    /// Both lists of a further carrier are complete: lower carriers can be dropped.
    Resumed,
    /// The session is over: all streams ended after a GOAWAY, the time for that ran out, or the peer broke the
    /// protocol.
    Ended(GoAwayReason, String, Origin),
}
