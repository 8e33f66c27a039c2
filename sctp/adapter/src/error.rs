//! Errors.

use pinhole_sctp::StreamError;

/// Why an operation failed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// There is a stream with this number.
    ErrStreamAlreadyExist,
    /// An earlier stream with this number is not yet reset.
    ErrStreamResetPending,
    /// There is no stream with this number.
    ErrStreamNotExisted,
    /// The stream, or the association, is closed.
    ErrStreamClosed,
    /// The message is longer than the peer accepts.
    ErrOutboundPacketTooLarge,
    /// The buffer is too short for the message.
    ErrShortBuffer,
    /// The association is not up.
    ErrShutdownNonEstablished,
    /// Another error.
    Other(String),
}

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Error::ErrStreamAlreadyExist => "there is a stream with this number",
            Error::ErrStreamResetPending => "an earlier stream with this number is not yet reset",
            Error::ErrStreamNotExisted => "there is no stream with this number",
            Error::ErrStreamClosed => "the stream is closed",
            Error::ErrOutboundPacketTooLarge => "the message is longer than the peer takes",
            Error::ErrShortBuffer => "the buffer is too short for the message",
            Error::ErrShutdownNonEstablished => "the association is not up",
            Error::Other(what) => what,
        })
    }
}

impl std::error::Error for Error {}

impl From<StreamError> for Error {
    fn from(error: StreamError) -> Error {
        match error {
            StreamError::Unknown => Error::ErrStreamNotExisted,
            StreamError::Exists => Error::ErrStreamAlreadyExist,
            StreamError::ResetPending => Error::ErrStreamResetPending,
            StreamError::Closed => Error::ErrStreamClosed,
            StreamError::TooLong => Error::ErrOutboundPacketTooLarge,
            StreamError::NotConnected => Error::ErrShutdownNonEstablished,
            StreamError::Empty | StreamError::TooMany => Error::Other(error.to_string()),
        }
    }
}
