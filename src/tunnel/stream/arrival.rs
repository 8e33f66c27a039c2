//! What an arrived frame means for its stream, and what comes into order with it.

use crate::tunnel::frame::ConnectTarget;
use crate::tunnel::reason::AbortReason;
use crate::tunnel::trail::Trail;

/// The rule that the peer broke on a stream.
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

/// An arrived frame that breaks no rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::tunnel) enum Arrived {
    /// It had arrived before.
    Duplicate,
    /// It is new.
    New {
        /// Credit it used.
        units: u64,
        /// How much of that belongs to the initial window.
        unasked: u64,
    },
}

/// An arrived reset that breaks no rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::tunnel) enum ResetArrival {
    /// It had arrived before.
    Duplicate,
    /// It ends a direction that is already ignored.
    Unheard,
    /// It ends the stream at once: no frame before it is needed.
    AtOnce,
    /// It has its place in the order, after frames that may be missing.
    InOrder,
}

/// What came into order with a frame.
#[derive(Debug, Default)]
pub(in crate::tunnel) struct InOrder {
    /// The head of the direction.
    pub(in crate::tunnel) opening: Option<Opening>,
    /// DATA came into order.
    pub(in crate::tunnel) has_data: bool,
    /// There is something to read, or CLOSE ended the direction.
    pub(in crate::tunnel) is_readable: bool,
}

/// A head that came into order: the stream is open.
#[derive(Debug)]
pub(in crate::tunnel) enum Opening {
    Connect {
        target: ConnectTarget,
        trail: Trail,
        /// Units of the frames that had overtaken it.
        early: u64,
    },
    Accept,
}
