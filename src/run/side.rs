//! The run of a side of any kind.

mod orders;

use super::RunError;
use super::core::Core;
use super::keys::SessionKey;
use super::notice::Notice;
use crate::address::Target;
use crate::control::Order;
use crate::http::Answer;
use crate::status::overview::ServerStatus;
use crate::status::snapshot::Snapshot;

/// Rounds of notices and work in a turn. The second sends the sessions' output of the first, without polling the system
/// in between.
const ROUNDS_PER_TURN: usize = 2;

/// A host, a client or a server.
pub(super) trait Side {
    fn core(&mut self) -> &mut Core;

    /// Starts the side's task.
    fn start(&mut self);

    /// Returns what the side is doing.
    fn snapshot(&mut self) -> Snapshot;

    /// Returns what a server shows beside that.
    fn server_status(&mut self) -> Option<ServerStatus> {
        None
    }

    /// Returns the STUN servers that a check asks; `None` if there is nothing to check.
    fn checked(&self) -> Option<Vec<Target>> {
        None
    }

    /// Returns what is counted, in Prometheus' text format.
    fn metrics(&mut self) -> String;

    /// Ends a session with a peer in order.
    fn end_session(&mut self, session: SessionKey);

    /// Does what is asked for over the control interface, as far as not all sides do the same.
    fn obey(&mut self, order: Order) -> Answer;

    /// Handles a notice of the loop.
    ///
    /// # Errors
    /// The run cannot go on.
    fn handle(&mut self, notice: Notice) -> Result<(), RunError>;

    /// Returns the result of the run, if it is over. Called in every turn, after its work.
    fn poll_outcome(&mut self) -> Option<Result<(), RunError>>;

    /// Does one turn. Returns whether the run is over.
    ///
    /// # Errors
    /// The result of the run, or why it cannot go on.
    fn turn(&mut self) -> Result<bool, RunError> {
        for _ in 0..ROUNDS_PER_TURN {
            // New notices wait for the next round: a flood of them would stop everything else.
            for _ in 0..self.core().turn.notices.len() {
                let Some(notice) = self.core().turn.notices.pop_front() else { break };
                match notice {
                    Notice::Look => orders::look(self),
                    Notice::Control(notice) => orders::handle(self, notice),
                    Notice::Woken => {
                        let core = self.core();
                        core.control.handle_woken(&mut core.turn);
                        self.handle(Notice::Woken)?;
                    }
                    notice => self.handle(notice)?,
                }
            }
            self.core().work();
        }
        self.poll_outcome().map_or(Ok(false), |outcome| outcome.map(|()| true))
    }

    /// Runs until the run is over.
    ///
    /// # Errors
    /// Those of [`Side::turn`], and the system's.
    fn drive(&mut self) -> Result<(), RunError> {
        self.start();
        let core = self.core();
        core.control.announce(&mut core.turn);
        let outcome = self.turns();
        let core = self.core();
        core.turn.stopping();
        core.control.close(&mut core.turn);
        outcome
    }

    /// Does turns until the run is over.
    ///
    /// # Errors
    /// Those of [`Side::turn`], and the system's.
    fn turns(&mut self) -> Result<(), RunError> {
        while !self.turn()? {
            self.core().wait()?;
        }
        Ok(())
    }
}
