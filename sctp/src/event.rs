//! Events of an association, and errors of its functions.

use crate::wire::cause;

/// An event of an association.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The association is up; messages can be sent.
    Connected,
    /// The peer restarted (RFC 9260, section 5.2): all streams start again, and unacknowledged messages are lost.
    Restarted,
    /// The association is over. No event follows.
    Closed(Reason),
    /// The first message of a stream that the application did not open has arrived.
    Opened(u16),
    /// A stream without messages to read has some now.
    Readable(u16),
    /// The buffered amount of a stream fell to its threshold ([`crate::Stream::set_low_threshold`]).
    BufferedAmountLow(u16),
    /// The peer reset the stream, and all its messages were read (RFC 6525): nothing more can be read or sent.
    /// [`Event::ResetComplete`] or [`Event::ResetFailed`] follows.
    Finished(u16),
    /// Both directions of the stream are reset: its number may be used for a new one.
    ResetComplete(u16),
    /// The peer did not reset the stream; its number cannot be used again.
    ResetFailed(u16),
}

/// Why an association is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// Both sides agreed to end it (RFC 9260, section 9.2).
    Shutdown,
    /// The application ended it.
    Aborted,
    /// The peer ended it, for the cause with this number (RFC 9260, section 3.3.10); 0 if it gave none.
    AbortedByPeer(u16),
    /// The peer broke the protocol.
    Violation(&'static str),
    /// The peer does not answer.
    TimedOut,
    /// The peer's messages need more memory than allowed.
    OutOfMemory,
}

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Reason::Shutdown => f.write_str("it was shut down"),
            Reason::Aborted => f.write_str("it was aborted"),
            Reason::AbortedByPeer(0) => f.write_str("the peer aborted it"),
            Reason::AbortedByPeer(code) => write!(f, "the peer aborted it: {} ({code})", cause::name(*code)),
            Reason::Violation(what) => write!(f, "the peer broke the protocol: {what}"),
            Reason::TimedOut => f.write_str("the peer does not answer"),
            Reason::OutOfMemory => f.write_str("the peer's messages cannot be put together within the receive window"),
        }
    }
}

impl std::error::Error for Reason {}

/// Why an operation on a stream failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StreamError {
    /// There is no such stream.
    Unknown,
    /// There is such a stream already.
    Exists,
    /// An earlier stream with this number is not yet reset.
    ResetPending,
    /// The stream, or the association, is closed.
    Closed,
    /// The message is longer than the peer accepts.
    TooLong,
    /// The message is empty, which SCTP does not allow (RFC 9260, section 6.9).
    Empty,
    /// The peer does not allow this many streams.
    TooMany,
    /// The association is not up.
    NotConnected,
}

impl std::fmt::Display for StreamError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            StreamError::Unknown => "there is no such stream",
            StreamError::Exists => "the stream exists already",
            StreamError::ResetPending => "an earlier stream with this number is not yet reset",
            StreamError::Closed => "the stream is closed",
            StreamError::TooLong => "the message is longer than the peer takes",
            StreamError::Empty => "a message has at least one byte",
            StreamError::TooMany => "the peer does not allow a stream with this number",
            StreamError::NotConnected => "the association is not up",
        })
    }
}

impl std::error::Error for StreamError {}

/// A failure that ends the association while input of the peer is handled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Failure {
    /// The peer broke the protocol.
    Violation(&'static str),
    /// A DATA chunk without data, with this TSN.
    NoUserData(u32),
    /// The peer's messages cannot be delivered within the window.
    OutOfMemory,
    /// The peer does not answer.
    TimedOut,
}

impl Failure {
    /// Returns the reason for the application.
    pub(crate) fn reason(self) -> Reason {
        match self {
            Failure::Violation(what) => Reason::Violation(what),
            Failure::NoUserData(_) => Reason::Violation("a chunk without data"),
            Failure::OutOfMemory => Reason::OutOfMemory,
            Failure::TimedOut => Reason::TimedOut,
        }
    }

    /// Returns the value of the ABORT for the peer.
    pub(crate) fn abort(self) -> Vec<u8> {
        match self {
            Failure::Violation(what) => cause::value(cause::PROTOCOL_VIOLATION, what.as_bytes()),
            Failure::NoUserData(tsn) => cause::value(cause::NO_USER_DATA, &tsn.to_be_bytes()),
            Failure::OutOfMemory => cause::value(cause::OUT_OF_RESOURCE, &[]),
            Failure::TimedOut => cause::value(cause::USER_INITIATED, b"no answer"),
        }
    }
}
