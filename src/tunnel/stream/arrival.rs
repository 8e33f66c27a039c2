//! What a frame is that arrived on a stream, and what comes into order with it.

use crate::tunnel::frame::ConnectTarget;
use crate::tunnel::reason::AbortReason;
use crate::tunnel::trail::Trail;

/// Which rule the peer broke on a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::tunnel) struct Violation {
    pub(in crate::tunnel) reason: AbortReason,
    pub(in crate::tunnel) detail: &'static str,
}

impl Violation {
    pub(in crate::tunnel) fn new(reason: AbortReason, detail: &'static str) -> Violation {
        Violation { reason, detail }
    }

    pub(super) fn protocol(detail: &'static str) -> Violation {
        Violation::new(AbortReason::Protocol, detail)
    }
}

/// The first frame of the peer's direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::tunnel) enum Head {
    /// CONNECT: the peer opened the stream.
    Connect,
    /// ACCEPT: we opened it.
    Accept,
}

/// What a frame is that arrived and breaks no rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::tunnel) enum Arrived {
    /// It was here before.
    Duplicate,
    /// It is new.
    New {
        /// Credit that it used.
        units: u64,
        /// How much of that was of the initial window.
        unasked: u64,
    },
}

/// What a reset is that arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::tunnel) enum ResetArrival {
    /// It was here before.
    Duplicate,
    /// It ends a direction that is not listened to any more.
    Unheard,
    /// It ends the stream at once: nothing that counts comes before it.
    AtOnce,
    /// Its place is in the order, behind what may be missing.
    InOrder,
}

/// What came into order with a frame.
#[derive(Debug, Default)]
pub(in crate::tunnel) struct InOrder {
    /// The head of the direction.
    pub(in crate::tunnel) opening: Option<Opening>,
    /// DATA.
    pub(in crate::tunnel) has_data: bool,
    /// There is something to read, or the end by CLOSE.
    pub(in crate::tunnel) is_readable: bool,
}

/// A head that came into order: the stream is open.
#[derive(Debug)]
pub(in crate::tunnel) enum Opening {
    Connect {
        target: ConnectTarget,
        trail: Trail,
        /// Units of what had overtaken it.
        early: u64,
    },
    Accept,
}
