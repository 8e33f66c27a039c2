//! Time limits of a browser's connection.

use std::time::{Duration, Instant};

use super::{Web, WebKey};
use crate::gateway::{Refusal, Stage};
use crate::run::deadlines::{Due, ServerDue};
use crate::run::server::{Server, logins};
use crate::run::table::Mark;
use crate::status::refusal::Refusal as Counted;

/// Longest idle time of a connection.
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);

/// Longest time for a head.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);

/// Longest time until a service begins its answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// Longest time without progress while a browser has to read, or a service has to take a body.
const STALL_TIMEOUT: Duration = Duration::from_secs(60);

/// Time for a connection to end.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// Time for it to end if the browser keeps sending data, which is dropped.
const LINGER_TIMEOUT: Duration = Duration::from_secs(30);

impl Web {
    /// Returns the deadline of the connection's present stage.
    fn deadline(&self) -> Option<Instant> {
        match self.visit.stage {
            // The end of the last answer is still going out.
            Stage::Idle if !self.visit.exchange.to_browser().is_empty() => Some(self.visit.moved_at + STALL_TIMEOUT),
            // A handshake gets as much time as a head.
            Stage::Idle if !self.is_secured => Some(self.visit.stage_at + HEAD_TIMEOUT),
            Stage::Idle => Some(self.visit.stage_at.max(self.visit.moved_at) + IDLE_TIMEOUT),
            Stage::Routing if self.waits_for_login() => Some(self.visit.stage_at + logins::TIMEOUT),
            Stage::Head | Stage::Routing => Some(self.visit.stage_at + HEAD_TIMEOUT),
            Stage::Sending => Some(self.visit.pace.deadline().unwrap_or(self.visit.moved_at + STALL_TIMEOUT)),
            Stage::AwaitingAnswer => Some(self.visit.stage_at.max(self.visit.moved_at) + ANSWER_TIMEOUT),
            // A stream of events may be silent without limit.
            Stage::Answering | Stage::Piped if self.visit.exchange.to_browser().is_empty() => None,
            Stage::Answering | Stage::Piped => Some(self.visit.moved_at + STALL_TIMEOUT),
            Stage::Closing if !self.visit.exchange.to_browser().is_empty() => Some(self.visit.moved_at + STALL_TIMEOUT),
            Stage::Done if self.visit.socket.holds_back() => Some(self.visit.moved_at + STALL_TIMEOUT),
            // Its data is read for a while: unread data would reset the connection, and it might never see the answer.
            Stage::Closing | Stage::Done => Some(
                (self.visit.stage_at.max(self.visit.moved_at) + CLOSE_TIMEOUT)
                    .min(self.visit.stage_at + LINGER_TIMEOUT),
            ),
        }
    }
}

impl Server {
    /// Sets the deadline for the present stage.
    pub(super) fn look_at_clock(&mut self, key: WebKey) {
        let Some(web) = self.webs.get_mut(key) else { return };
        if let Some(deadline) = web.deadline()
            && web.due_at.is_none_or(|at| at > deadline)
        {
            web.due_at = Some(deadline);
            self.core.turn.deadlines.add(deadline, Due::Server(ServerDue::Web(key.mark())));
        }
    }

    pub(in crate::run::server) fn handle_web_due(&mut self, web: Mark) {
        let now = self.core.turn.now;
        let Some(key) = self.webs.find(web) else { return };
        // An outdated deadline does nothing.
        let is_set = |web: &&mut Web| web.due_at.is_some_and(|at| at <= now);
        let Some(web) = self.webs.get_mut(key).filter(is_set) else { return };
        web.due_at = None;
        if web.deadline().is_none_or(|deadline| deadline > now) {
            return self.look_at_clock(key);
        }
        let refusal = match web.visit.stage {
            Stage::Routing if web.waits_for_login() => return self.login_late(key),
            Stage::Head | Stage::Sending => Refusal::SlowRequest,
            Stage::Routing | Stage::AwaitingAnswer => Refusal::Timeout,
            Stage::Answering | Stage::Piped => {
                self.metrics.refused(Counted::Slow);
                return self.drop_web(key);
            }
            Stage::Idle | Stage::Closing | Stage::Done => return self.drop_web(key),
        };
        self.metrics.refused(Counted::Timeout);
        web.visit.exchange.refuse(refusal);
        self.pump_web(key);
    }
}
