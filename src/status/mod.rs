//! Reports for a person or a program.

pub mod check;
mod date;
pub mod event;
mod guests;
mod human;
mod invitation;
#[cfg(feature = "cli")]
pub mod issued;
pub(crate) mod json;
pub mod metrics;
pub(crate) mod overview;
mod paint;
mod ping;
pub mod printer;
#[cfg(feature = "cli")]
mod qr;
mod redaction;
pub mod refusal;
pub mod report;
mod serving;
pub mod snapshot;
pub mod style;
pub mod summary;
pub mod text;
mod way;
