//! The states of a session, and what leads from one to another.
//!
//! ```text
//!   Connecting ──messages pass──▶ Established ⇄ Recovering
//!       │ deadline                    │ GOAWAY      │ grace period over
//!       ▼                             ▼             ▼
//!     Closed ◀──all acknowledged── Closing        Closed
//! ```

use std::time::{Duration, Instant};

/// Maximum number of grace periods a session may last on a path that passes datagrams but no messages.
const MAX_GRACES: u32 = 3;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Connecting {
        deadline: Instant,
    },
    Established,
    /// The carrier is suspect or gone: it may come back, or a new one may open.
    Recovering {
        since: Instant,
        deadline: Instant,
    },
    /// The last messages have to be acknowledged.
    Closing {
        deadline: Instant,
    },
    Closed,
}

/// An input of the state machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// The two sides begin to look for a path, until the deadline.
    Begin { deadline: Instant },
    /// Messages pass.
    Pass,
    /// Messages no longer pass; the session lives for `grace` without a path.
    Lose { now: Instant, grace: Duration },
    /// Datagrams pass, though messages do not: SCTP sends again when its timer expires, and this time does not count as
    /// without a path. It is limited, since a peer might answer checks and nothing else.
    Hear { now: Instant, grace: Duration },
    /// The session ends; the peer has until the deadline to acknowledge the last messages.
    End { deadline: Instant },
    /// The session is over.
    Close,
}

impl State {
    /// Returns the state after a step; `None` if the step changes nothing.
    pub(super) fn after(self, step: Step) -> Option<State> {
        use State::{Closed, Closing, Connecting, Established, Recovering};
        match (step, self) {
            (Step::Begin { deadline }, Connecting { .. }) => Some(Connecting { deadline }),
            (Step::Pass, Connecting { .. } | Recovering { .. }) => Some(Established),
            (Step::Lose { now, grace }, Established) => Some(Recovering { since: now, deadline: now + grace }),
            (Step::Hear { now, grace }, Recovering { since, .. }) => {
                Some(Recovering { since, deadline: (now + grace).min(since + grace * MAX_GRACES) })
            }
            (Step::End { deadline }, Connecting { .. } | Established | Recovering { .. }) => Some(Closing { deadline }),
            (Step::Close, Connecting { .. } | Established | Recovering { .. } | Closing { .. }) => Some(Closed),
            (Step::Begin { .. }, Established | Recovering { .. } | Closing { .. } | Closed)
            | (Step::Pass, Established | Closing { .. } | Closed)
            | (Step::Lose { .. }, Connecting { .. } | Recovering { .. } | Closing { .. } | Closed)
            | (Step::Hear { .. }, Connecting { .. } | Established | Closing { .. } | Closed)
            | (Step::End { .. }, Closing { .. } | Closed)
            | (Step::Close, Closed) => None,
        }
    }

    /// Returns the deadline of the state.
    pub(super) fn deadline(self) -> Option<Instant> {
        match self {
            State::Connecting { deadline } | State::Recovering { deadline, .. } | State::Closing { deadline } => {
                Some(deadline)
            }
            State::Established | State::Closed => None,
        }
    }

    /// Tells whether the two sides look for a first path.
    pub(super) fn is_connecting(self) -> bool {
        matches!(self, State::Connecting { .. })
    }

    /// Tells whether the path was lost.
    pub(super) fn is_recovering(self) -> bool {
        matches!(self, State::Recovering { .. })
    }

    /// Tells whether the session ends or is over.
    pub(super) fn is_ending(self) -> bool {
        matches!(self, State::Closing { .. } | State::Closed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GRACE: Duration = Duration::from_secs(60);

    #[test]
    fn every_step_leads_somewhere_or_nowhere() {
        let now = Instant::now();
        let deadline = now + GRACE;
        let recovering = State::Recovering { since: now, deadline };
        let (connecting, closing) = (State::Connecting { deadline: now }, State::Closing { deadline });
        let (established, closed) = (State::Established, State::Closed);
        let from = [connecting, established, recovering, closing, closed];
        let rows = [
            (Step::Begin { deadline }, [Some(State::Connecting { deadline }), None, None, None, None]),
            (Step::Pass, [Some(established), None, Some(established), None, None]),
            (Step::Lose { now, grace: GRACE }, [None, Some(recovering), None, None, None]),
            (Step::Hear { now, grace: GRACE }, [None, None, Some(recovering), None, None]),
            (Step::End { deadline }, [Some(closing), Some(closing), Some(closing), None, None]),
            (Step::Close, [Some(closed), Some(closed), Some(closed), Some(closed), None]),
        ];
        for (step, expected) in rows {
            assert_eq!(from.map(|state| state.after(step)), expected, "{step:?}");
        }
    }

    #[test]
    fn a_path_that_passes_datagrams_only_is_waited_for_three_times_as_long_and_no_longer() {
        let since = Instant::now();
        let mut state = State::Established.after(Step::Lose { now: since, grace: GRACE }).unwrap();
        for seconds in 0..1000 {
            let now = since + Duration::from_secs(seconds);
            state = state.after(Step::Hear { now, grace: GRACE }).unwrap();
            assert_eq!(state.deadline(), Some((now + GRACE).min(since + GRACE * 3)));
        }
    }
}
