//! What the mux tells its owner.

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

/// An event of the mux; each is given once, by `Mux::poll_event`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The peer's first HELLO came: streams can carry data.
    Hello(Hello),
    /// The peer opened a stream: dial, then `accept` or `abort`.
    Opened(StreamKey, ConnectTarget),
    /// The peer's dial succeeded.
    Accepted(StreamKey),
    /// There is something to read (bytes, or datagrams of a UDP flow), or the end of the stream was reached.
    Readable(StreamKey),
    /// A stream that had no capacity has some again.
    Writable(StreamKey),
    /// Both directions ended in order and everything is acknowledged; the key is dead now.
    Finished(StreamKey),
    /// Both directions are dead and the key is, too.
    Aborted {
        /// The stream.
        key: StreamKey,
        /// Why.
        reason: AbortReason,
        /// Words, from the peer or from us; not to be trusted to be printable.
        detail: String,
        /// Who aborted it.
        origin: Origin,
    },
    /// The peer, a client, wants us to listen: `Mux::listened` answers.
    Listen {
        /// What streams to it are opened to: `ConnectTarget::Reverse`.
        id: u16,
        /// Where, in the peer's words.
        bind: String,
    },
    /// The peer answered what `Mux::listen` asked for.
    Listened {
        /// As it was asked.
        id: u16,
        /// Where it listens, or why it does not; in the peer's words, not to be trusted to be printable.
        result: Result<String, String>,
    },
    /// A PING was answered.
    RoundTrip(Duration),
    /// The peer announced the end of the session.
    GoAway(GoAwayReason, String),
    /// Both lists of a further carrier are complete: lower carriers can be dropped.
    Resumed,
    /// The session is over: all streams ended after a GOAWAY, its time ran out, or the peer broke the protocol.
    Ended(GoAwayReason, String, Origin),
}
