//! How two peers meet: the signaling protocol of `docs/protocol.md` section 3, without any I/O.
//!
//! [`url`] parses what a person pasted, [`message`] is the JSON on the WebSocket, [`handshake`] turns a shared pin into
//! keys, [`resume`] rejoins a session, [`sealing`] protects everything after that, [`limiter`] slows down guesses of a
//! host's pin, and [`exposure`] counts how much a client has exposed its own. An [`invitation`] has a pin of its own.
//! [`rendezvous`] is the protocol between a host and a server that gives it a lasting name. Time comes in as `now`;
//! texts come in and go out as strings, one per WebSocket message.

pub mod binary;
pub mod closing;
pub mod error;
mod established;
pub mod exposure;
pub mod farewell;
pub mod handshake;
pub mod invitation;
mod keys;
pub mod limiter;
pub mod message;
pub mod network;
pub mod pin;
pub mod rendezvous;
pub mod resume;
pub mod sealing;
mod session_id;
pub mod url;
mod words;

#[cfg(feature = "server")]
pub(crate) use keys::sealing_between_servers;
pub use keys::{ResumeKey, Ticket};
pub use session_id::SessionId;

#[cfg(test)]
mod texts_vectors_tests;
