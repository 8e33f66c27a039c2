//! The run of a side, whichever it is.

use super::RunError;
use super::core::Core;
use super::notice::Notice;

/// Rounds of notices and work in a turn. What sessions have to say in the first goes out in the second, without asking
/// the system in between.
const ROUNDS_PER_TURN: usize = 2;

/// A host, a client or a server.
pub(super) trait Side {
    fn core(&mut self) -> &mut Core;

    /// Begins what it is there for.
    fn start(&mut self);

    /// Handles what the loop tells.
    ///
    /// # Errors
    /// The run cannot go on.
    fn handle(&mut self, notice: Notice) -> Result<(), RunError>;

    /// Returns what the run came to, if it is over. Asked in every turn, when its work is done.
    fn poll_outcome(&mut self) -> Option<Result<(), RunError>>;

    /// Does what came up. Tells whether the run is over.
    ///
    /// # Errors
    /// What the run came to, or why it cannot go on.
    fn turn(&mut self) -> Result<bool, RunError> {
        for _ in 0..ROUNDS_PER_TURN {
            // Not those that come up meanwhile: a flood of them would stop everything else.
            for _ in 0..self.core().turn.notices.len() {
                let Some(notice) = self.core().turn.notices.pop_front() else { break };
                self.handle(notice)?;
            }
            self.core().work();
        }
        self.poll_outcome().map_or(Ok(false), |outcome| outcome.map(|()| true))
    }

    /// Runs until it is over.
    ///
    /// # Errors
    /// Those of [`Side::turn`], and the system's.
    fn drive(&mut self) -> Result<(), RunError> {
        self.start();
        while !self.turn()? {
            self.core().wait()?;
        }
        Ok(())
    }
}
