//! The direct path: WebRTC, without any I/O.
//!
//! [`connection`] wraps str0m's `Rtc` and carries whole messages over one unordered DataChannel; [`backlog`] decides
//! how many bytes may be under way; [`stun`] finds the public addresses of our sockets.

pub mod backlog;
pub mod connection;
mod description;
mod dtls;
mod learned;
pub mod stun;

#[cfg(test)]
mod nat_tests;

pub use connection::{Connection, Event, PathInfo, PeerError, Progress};
pub use stun::{Gatherer, mapped_address};
