//! Deadlines of the loop, the nearest first. One that no longer matters is recognised by its serial when it comes up.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Instant;

/// What is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Due {
    /// Accepting was paused for want of descriptors.
    Accept,
    /// A session may have something to do.
    Session { index: usize, serial: u64 },
    /// It is time to see whether the signaling WebSockets are alive.
    KeepAlive,
    /// A client may dial the host again, or a host its server.
    Rejoin,
    /// A connection whose stream was reset has waited for its program for too long.
    Leaving { index: usize, serial: u64 },
    /// A UDP flow may have been idle for too long.
    FlowIdle { index: usize, serial: u64 },
    /// A program has talked to our proxy for too long.
    Negotiation { index: usize, serial: u64 },
    /// A local connection has waited for a session for too long.
    Waiting,
    /// A signaling WebSocket has been at its step for too long.
    Link { index: usize, serial: u64 },
    /// The connection of a browser may have been at what it does for too long.
    Web { index: usize, serial: u64 },
    /// The WebSocket to the server has been at its step for too long.
    Uplink { serial: u64 },
    /// A target did not answer at any of its addresses.
    Dial { index: usize, serial: u64 },
    /// A target did not answer at one address; `left` more are to be tried.
    Attempt { index: usize, serial: u64, left: usize },
    /// A target that is watched because it may lead back has had its moment.
    Round { index: usize, serial: u64 },
    /// A dial that failed for want of descriptors may be tried again. The serial comes first: of those that wait for the same
    /// moment, the oldest is served first.
    Redial { serial: u64, index: usize },
}

/// The deadlines of a loop.
#[derive(Debug, Default)]
pub(super) struct Deadlines {
    heap: BinaryHeap<Reverse<(Instant, Due)>>,
}

impl Deadlines {
    pub(super) fn add(&mut self, at: Instant, due: Due) {
        self.heap.push(Reverse((at, due)));
    }

    pub(super) fn next(&self) -> Option<Instant> {
        self.heap.peek().map(|Reverse((at, _))| *at)
    }

    pub(super) fn pop(&mut self, now: Instant) -> Option<Due> {
        if self.next()? > now {
            return None;
        }
        self.heap.pop().map(|Reverse((_, due))| due)
    }
}
