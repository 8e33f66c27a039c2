//! Why something did not work.

use crate::run::{CheckError, RunError};

/// Why a run could not start, or ended before its time. Displayed, it is a sentence for people that says what to do
/// next.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct Error(Cause);

#[derive(Debug, thiserror::Error)]
pub(super) enum Cause {
    #[error(transparent)]
    Run(#[from] RunError),
    #[error(transparent)]
    Check(#[from] CheckError),
}

impl Error {
    // Not `From`, which would make the loop's errors public.
    pub(super) fn of(cause: impl Into<Cause>) -> Error {
        Error(cause.into())
    }

    /// Returns a stable word for programs, such as `bad-pin` or `unreachable`. `docs/events.md` lists them.
    pub fn code(&self) -> &str {
        match &self.0 {
            Cause::Run(error) => error.code(),
            Cause::Check(error) => error.code(),
        }
    }

    /// Tells whether the same may work later, although nobody changes anything here.
    pub fn is_temporary(&self) -> bool {
        match &self.0 {
            Cause::Run(error) | Cause::Check(CheckError::Run(error)) => error.may_pass(),
            Cause::Check(CheckError::NoNetwork | CheckError::NoPath(_)) => false,
        }
    }
}
