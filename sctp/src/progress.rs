//! What can be told of an association that a program reaches only through another library.
//!
//! str0m owns its association and shows nothing of it. An adapter [notes](note) the figures of each association that
//! makes packets, on the thread on which that happens. Whoever calls str0m [takes](take) what was noted since: it is of
//! the one association that the call was about.

use std::cell::Cell;

/// Figures of an association.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Progress {
    /// DATA chunks that were sent again.
    pub repeated: u64,
    /// The bandwidth of the path in bytes per second, as far as it can be estimated.
    pub bandwidth: Option<u64>,
}

thread_local! {
    static NOTED: Cell<Option<Progress>> = const { Cell::new(None) };
}

/// Notes the figures of the association that acts on this thread.
pub fn note(progress: Progress) {
    NOTED.set(Some(progress));
}

/// Takes the figures that were noted last on this thread.
pub fn take() -> Option<Progress> {
    NOTED.take()
}
