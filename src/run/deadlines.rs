//! Deadlines of the loop, the nearest first. One that no longer matters is recognised when it comes up: its
//! key finds nothing any more, or the link is at a later step.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::{Duration, Instant};

use super::keys::{ConnectionKey, FlowKey, LeavingKey, LinkKey, RoundKey, SessionKey};
use super::table::Mark;

/// How long a connection to a signaling port may take to say what it wants, and a WebSocket to say its first words.
pub(super) const STEP_TIMEOUT: Duration = Duration::from_secs(10);

/// What is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Due {
    /// Accepting was paused for want of descriptors.
    Accept,
    /// A session may have something to do.
    Session(SessionKey),
    /// It is time to see whether the signaling WebSockets are alive.
    KeepAlive,
    /// A connection whose stream was reset has waited for its program for too long.
    Leaving(LeavingKey),
    /// A UDP flow may have been idle for too long.
    FlowIdle(FlowKey),
    /// A signaling WebSocket has been at its step for too long.
    Link { link: LinkKey, step: u64 },
    /// Something of a host's own.
    Host(HostDue),
    /// Something of a client's own.
    Client(ClientDue),
    /// Something of a server's own.
    Server(ServerDue),
    /// A target that is watched because it may lead back has had its moment.
    Round(RoundKey),
    /// A dial has had its time.
    Dial(DialDue),
    /// A check may have something to do.
    Check,
}

/// What is due of a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum HostDue {
    /// It may dial its server again.
    Redial,
}

/// What is due of a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum ClientDue {
    /// It may dial the host again.
    Rejoin,
    /// A local connection has waited for a session for too long.
    Waiting,
    /// A login of a program that talks to our proxy has its turn.
    Logins,
    /// A program has talked to our proxy for too long.
    Negotiation(Mark),
}

/// What is due of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum ServerDue {
    /// Its stage has had its time.
    Stage,
    /// A stream that is leaving has had its time.
    Leaving,
    /// A login of a browser has its turn.
    Logins,
    /// The connection of a browser may have been at what it does for too long.
    Web(Mark),
}

/// What is due of a dial.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum DialDue {
    /// A target did not answer at any of its addresses.
    Timeout(ConnectionKey),
    /// A target did not answer at one address; `left` more are to be tried.
    Attempt { connection: ConnectionKey, left: usize },
    /// One that found no descriptor may be tried again. Keys are in the order of their entries: of those that wait for
    /// the same moment, the oldest is served first.
    Retry(ConnectionKey),
}

impl DialDue {
    /// Returns whose dial it is.
    pub(super) fn connection(self) -> ConnectionKey {
        match self {
            DialDue::Timeout(connection) | DialDue::Attempt { connection, .. } | DialDue::Retry(connection) => {
                connection
            }
        }
    }
}

/// Deadlines are not searched for dead ones below this number.
const MIN_PRUNED: usize = 16 * 1024;

/// The deadlines of a loop.
#[derive(Debug, Default)]
pub(super) struct Deadlines {
    heap: BinaryHeap<Reverse<(Instant, Due)>>,
    /// How many there were after the dead ones went last.
    living: usize,
}

impl Deadlines {
    pub(super) fn add(&mut self, at: Instant, due: Due) {
        self.heap.push(Reverse((at, due)));
    }

    /// Makes room: those that no longer matter go once they can outnumber the others. A peer makes many in a moment, by
    /// streams that it opens and aborts.
    pub(super) fn prune(&mut self, matters: impl Fn(&Due) -> bool) {
        if self.heap.len() >= MIN_PRUNED.max(2 * self.living) {
            self.heap.retain(|Reverse((_, due))| matters(due));
            self.living = self.heap.len();
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deadlines_of_what_is_gone_do_not_pile_up() {
        let (mut deadlines, now) = (Deadlines::default(), Instant::now());
        let far = now + Duration::from_secs(60);
        deadlines.add(far, Due::KeepAlive);
        for number in 0..1_000_000 {
            deadlines.prune(|due| !matches!(due, Due::FlowIdle(dead) if dead.number() < number));
            deadlines.add(far, Due::FlowIdle(FlowKey::of_nothing(number)));
            assert!(deadlines.heap.len() <= MIN_PRUNED);
        }
        assert_eq!((deadlines.pop(now), deadlines.pop(far)), (None, Some(Due::KeepAlive)));
    }
}
