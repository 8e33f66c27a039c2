//! Why something did not work.

use crate::run::{CheckError, RunError};

/// Why a run could not start, or ended before its time. Displayed, it is a sentence for people that says what to do
/// next.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct Error(Cause);

#[derive(Debug, thiserror::Error)]
enum Cause {
    #[error(transparent)]
    Run(#[from] RunError),
    #[error(transparent)]
    Check(#[from] CheckError),
}

impl Error {
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

impl From<RunError> for Error {
    fn from(error: RunError) -> Error {
        Error(error.into())
    }
}

impl From<CheckError> for Error {
    fn from(error: CheckError) -> Error {
        Error(error.into())
    }
}
