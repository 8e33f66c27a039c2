//! The rules of `docs/protocol.md`, section 2, one by one: a mux against frames made by hand.

// What cannot fail in a helper of a test needs no message.
#![allow(clippy::unwrap_used)]

#[path = "mux_rules/datagrams.rs"]
mod datagrams;
#[path = "mux_rules/listen.rs"]
mod listen;
#[path = "mux_rules/many.rs"]
mod many;
#[path = "mux_rules/order.rs"]
mod order;
#[path = "mux_rules/rate.rs"]
mod rate;
#[path = "mux_rules/reset.rs"]
mod reset;
#[path = "mux_rules/resume.rs"]
mod resume;
#[path = "mux_rules/rig.rs"]
mod rig;
#[path = "mux_rules/session.rs"]
mod session;
