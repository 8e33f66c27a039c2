//! Deadlines of the loop, the nearest first. An outdated deadline is recognised when it expires: its key finds nothing,
//! or the link is at a later step.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::{Duration, Instant};

use super::keys::{ConnectionKey, FlowKey, LeavingKey, LinkKey, RoundKey, SessionKey};
use super::table::Mark;

/// Time for a connection to a signaling port to send its request, and for a WebSocket to send its first message.
pub(super) const STEP_TIMEOUT: Duration = Duration::from_secs(10);

/// A deadline.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Due {
    /// Accepting was paused for lack of descriptors.
    Accept,
    /// A session may have something to do.
    Session(SessionKey),
    /// The signaling WebSockets should be checked.
    KeepAlive,
    /// A connection whose stream was reset has waited too long for its program.
    Leaving(LeavingKey),
    /// The end of the time of a stream that nobody needs any more.
    LeavingStreams,
    /// A UDP flow may have been idle for too long.
    FlowIdle(FlowKey),
    /// The current step of a signaling WebSocket took too long.
    Link { link: LinkKey, step: u64 },
    /// A deadline of the host.
    Host(HostDue),
    /// A deadline of the client.
    Client(ClientDue),
    /// A deadline of the server.
    Server(ServerDue),
    /// A target that is watched because it may lead back.
    Round(RoundKey),
    /// A deadline of a dial.
    Dial(DialDue),
    /// Those who watch the run may be shown what it is doing.
    Look,
    /// A connection of the control interface may have something to do.
    Control,
    /// A check may have something to do.
    Check,
}

/// A deadline of a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum HostDue {
    /// It may dial its server again.
    Redial,
    /// An invitation may be over.
    Invitations,
}

/// A deadline of a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum ClientDue {
    /// It may dial the host again.
    Rejoin,
    /// A local connection has waited too long for a session.
    Waiting,
    /// A login of a program that talks to our proxy has its turn.
    Logins,
    /// A program negotiated with our proxy for too long.
    Negotiation(Mark),
    /// A program that sends plain requests to our proxy may have taken too long.
    Request(Mark),
}

/// A deadline of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum ServerDue {
    /// The end of the stage.
    Stage,
    /// A login of a visitor has its turn.
    Logins,
    /// Another server of the cluster may be dialled again.
    Redial,
    /// The links to other servers should be checked.
    Pulse,
    /// The next hosts may leave a server that ends.
    Departure,
    /// The directory may have something to do.
    Directory,
    /// The connection of a browser may have taken too long.
    Web(Mark),
}

/// A deadline of a dial.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum DialDue {
    /// The target did not answer at any of its addresses.
    Timeout(ConnectionKey),
    /// The target did not answer at one address; `left` others had not been tried.
    Attempt { connection: ConnectionKey, left: usize },
    /// A dial that found no descriptor may be tried again. Keys are ordered by age, so of dials with the same time the
    /// oldest is served first.
    Retry(ConnectionKey),
}

impl DialDue {
    /// Returns the connection that is dialled.
    pub(super) fn connection(self) -> ConnectionKey {
        match self {
            DialDue::Timeout(connection) | DialDue::Attempt { connection, .. } | DialDue::Retry(connection) => {
                connection
            }
        }
    }
}

/// With fewer deadlines than this, dead ones are not removed.
const MIN_PRUNED: usize = 16 * 1024;

/// The deadlines of a loop.
#[derive(Debug, Default)]
pub(super) struct Deadlines {
    heap: BinaryHeap<Reverse<(Instant, Due)>>,
    /// Number of deadlines after the dead ones were last removed.
    living: usize,
}

impl Deadlines {
    pub(super) fn add(&mut self, at: Instant, due: Due) {
        self.heap.push(Reverse((at, due)));
    }

    /// Removes outdated deadlines once they can outnumber the others. A peer can cause many in a moment, by streams
    /// that it opens and aborts.
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
