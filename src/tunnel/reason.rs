//! Why streams and sessions end: the numbers in ABORT and GOAWAY.

/// Why both directions of a stream are dead.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AbortReason {
    /// The target refused the connection.
    Refused,
    /// The target did not answer, or a CONNECT never came.
    Timeout,
    /// No way to the target.
    Unreachable,
    /// The access list does not allow the target.
    Denied,
    /// The TCP connection was reset.
    Reset,
    /// The sender exceeded its credit.
    FlowControl,
    /// The id is in use.
    IdInUse,
    /// The peer broke the protocol on this stream.
    Protocol,
    /// The session is ending.
    Shutdown,
    /// More streams than the receiver takes.
    TooManyStreams,
    /// No service of that number.
    UnknownService,
    /// The stream has already ended here.
    Gone,
    /// A reason this version does not know.
    Other(u8),
}

impl AbortReason {
    /// Returns the number on the wire.
    pub fn code(self) -> u8 {
        match self {
            AbortReason::Refused => 1,
            AbortReason::Timeout => 2,
            AbortReason::Unreachable => 3,
            AbortReason::Denied => 4,
            AbortReason::Reset => 5,
            AbortReason::FlowControl => 6,
            AbortReason::IdInUse => 7,
            AbortReason::Protocol => 8,
            AbortReason::Shutdown => 9,
            AbortReason::TooManyStreams => 10,
            AbortReason::UnknownService => 11,
            AbortReason::Gone => 12,
            AbortReason::Other(code) => code,
        }
    }

    /// Reads the number on the wire.
    pub fn from_code(code: u8) -> AbortReason {
        match code {
            1 => AbortReason::Refused,
            2 => AbortReason::Timeout,
            3 => AbortReason::Unreachable,
            4 => AbortReason::Denied,
            5 => AbortReason::Reset,
            6 => AbortReason::FlowControl,
            7 => AbortReason::IdInUse,
            8 => AbortReason::Protocol,
            9 => AbortReason::Shutdown,
            10 => AbortReason::TooManyStreams,
            11 => AbortReason::UnknownService,
            12 => AbortReason::Gone,
            code => AbortReason::Other(code),
        }
    }

    /// Returns the reason's name, for people and programs.
    pub fn as_str(self) -> &'static str {
        match self {
            AbortReason::Refused => "refused",
            AbortReason::Timeout => "timeout",
            AbortReason::Unreachable => "unreachable",
            AbortReason::Denied => "denied",
            AbortReason::Reset => "reset",
            AbortReason::FlowControl => "flow-control",
            AbortReason::IdInUse => "id-in-use",
            AbortReason::Protocol => "protocol",
            AbortReason::Shutdown => "shutdown",
            AbortReason::TooManyStreams => "too-many-streams",
            AbortReason::UnknownService => "unknown-service",
            AbortReason::Gone => "gone",
            AbortReason::Other(_) => "other",
        }
    }
}

/// Why a session ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum GoAwayReason {
    /// The process ends; do not reconnect.
    Shutdown,
    /// The process restarts; reconnect.
    Restart,
    /// The peer broke the protocol.
    Protocol,
    /// No protocol version in common.
    Version,
    /// A bound was exceeded.
    Limit,
    /// The peer's invitation has expired; do not reconnect.
    Expired,
    /// The peer's invitation was revoked; do not reconnect.
    Revoked,
    /// A reason this version does not know.
    Other(u8),
}

impl GoAwayReason {
    /// Tells whether streams end at once: the peer has no right to them any more.
    pub fn ends_at_once(self) -> bool {
        matches!(self, GoAwayReason::Expired | GoAwayReason::Revoked)
    }

    /// Returns the number on the wire.
    pub fn code(self) -> u8 {
        match self {
            GoAwayReason::Shutdown => 1,
            GoAwayReason::Restart => 2,
            GoAwayReason::Protocol => 3,
            GoAwayReason::Version => 4,
            GoAwayReason::Limit => 5,
            GoAwayReason::Expired => 6,
            GoAwayReason::Revoked => 7,
            GoAwayReason::Other(code) => code,
        }
    }

    /// Reads the number on the wire.
    pub fn from_code(code: u8) -> GoAwayReason {
        match code {
            1 => GoAwayReason::Shutdown,
            2 => GoAwayReason::Restart,
            3 => GoAwayReason::Protocol,
            4 => GoAwayReason::Version,
            5 => GoAwayReason::Limit,
            6 => GoAwayReason::Expired,
            7 => GoAwayReason::Revoked,
            code => GoAwayReason::Other(code),
        }
    }
}
