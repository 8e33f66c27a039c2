//! The direct path: WebRTC, without any I/O.
//!
//! [`connection`] wraps str0m's `Rtc` and carries whole messages over one unordered DataChannel; [`flight`] decides how
//! many bytes of them may be under way.

pub mod connection;
pub mod flight;

pub use connection::{Connection, Event, PathInfo, PeerError};
