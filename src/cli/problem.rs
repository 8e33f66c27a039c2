//! What can be wrong with an argument.

use std::fmt;

use thiserror::Error;

use crate::net::address::AddressError;
use crate::status::text::sanitize;

/// Most of a wrong argument that an error shows, in characters.
const MAX_SHOWN: usize = 80;

/// What is wrong with one argument: its name, what was given, why that does not work, and what would.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{argument} '{given}': {problem}; {hint}")]
pub struct ArgumentError {
    argument: &'static str,
    given: String,
    pub(super) problem: Problem,
    hint: &'static str,
}

impl ArgumentError {
    pub(super) fn new(
        argument: &'static str,
        given: &str,
        problem: impl Into<Problem>,
        hint: &'static str,
    ) -> ArgumentError {
        ArgumentError { argument, given: sanitize(given, MAX_SHOWN), problem: problem.into(), hint }
    }

    /// Returns why the text does not work and what would, without the argument's name and the text: what a prompt
    /// says under what was just typed.
    pub fn complaint(&self) -> impl fmt::Display {
        format!("{}; {}", self.problem, self.hint)
    }
}

/// Why an argument does not work.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(super) enum Problem {
    #[error(transparent)]
    Address(#[from] AddressError),
    #[error("only addresses of this machine can be listened on, and localhost is the only name that is certainly one")]
    ForeignName,
    #[error("it has no colon")]
    NoColon,
    #[error("the name of a header has letters, digits and hyphens only")]
    HeaderName,
    #[error("the value has a line break, a control character or a letter beyond ASCII")]
    HeaderValue,
    #[error("the value is longer than 8 KiB")]
    HeaderLength,
    #[error("the WebSocket handshake writes that header itself")]
    HeaderReserved,
    #[error("that many sessions are not possible")]
    Sessions,
    #[error("that is no number of seconds from 1 to {0}")]
    Seconds(u64),
    #[error("a pin has at least one character")]
    NoPin,
}
