//! A loop on a thread of its own.

use std::thread::{self, JoinHandle};

use super::Error;
use crate::run::{RunError, Stopper};

/// A run. Dropping it ends the run in order.
#[derive(Debug)]
pub(super) struct Running {
    stopper: Stopper,
    thread: Option<JoinHandle<Result<(), RunError>>>,
}

impl Running {
    /// Starts a run.
    ///
    /// # Errors
    /// The system cannot create a thread.
    pub(super) fn start(
        name: &str,
        stopper: Stopper,
        run: impl FnOnce() -> Result<(), RunError> + Send + 'static,
    ) -> Result<Running, Error> {
        let spawned = thread::Builder::new().name(format!("pinhole-{name}")).spawn(run);
        let thread = spawned.map_err(RunError::System).map_err(Error::of)?;
        Ok(Running { stopper, thread: Some(thread) })
    }

    /// Asks for the end.
    pub(super) fn stop(&self) {
        self.stopper.stop();
    }

    /// Returns a handle that stops the run.
    pub(super) fn stopper(&self) -> Stopper {
        self.stopper.clone()
    }

    /// Waits for the end.
    ///
    /// # Errors
    /// Why the run ended before its time.
    pub(super) fn wait(mut self) -> Result<(), Error> {
        match self.thread.take().map(JoinHandle::join) {
            Some(Ok(result)) => result.map_err(Error::of),
            Some(Err(panic)) => std::panic::resume_unwind(panic),
            None => Ok(()),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stopper.stop();
        // A closure for events may hold the handle: the loop's own thread cannot wait for itself.
        let others = |thread: &JoinHandle<_>| thread.thread().id() != thread::current().id();
        if let Some(thread) = self.thread.take().filter(others) {
            // Nobody reads the result.
            let _ = thread.join();
        }
    }
}
