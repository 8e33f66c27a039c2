//! Reports for a person or a program.

#[cfg(feature = "cli")]
pub mod board;
#[cfg(feature = "cli")]
mod bottom;
pub mod check;
mod clipboard;
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
#[cfg(feature = "cli")]
pub mod printer;
#[cfg(feature = "cli")]
pub(crate) mod qr;
mod redaction;
pub mod refusal;
pub mod report;
mod serving;
pub mod snapshot;
pub mod style;
pub mod summary;
pub mod text;
mod way;
