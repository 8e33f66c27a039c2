//! The rules of `docs/protocol.md`, section 2, one by one: a mux against frames made by hand.

mod datagrams;
mod listen;
mod many;
mod order;
mod rate;
mod reset;
mod resume;
mod rig;
mod session;
