//! What needs no sockets and no clock: muxes, sessions and the signaling exchange, in virtual time and by seed.

// Helpers of tests stand outside of test functions, where clippy.toml already allows it.
#![allow(clippy::unwrap_used)]

#[path = "../common/handshake.rs"]
mod handshake;

/// A session against a peer made by hand that knows the pin and is out to hurt.
mod hostile_peer;
/// The rules of the tunnel's specification, one by one, against frames made by hand.
mod mux_rules;
/// Random operations of two muxes over carriers that die, beside a model; and their goodput.
mod mux_sim;
/// A session against random scripts of what a peer says; the fuzz target `session` runs them too.
mod session_attacks;
/// Sessions over real WebRTC and emulated links: loss, outages, relays, redials.
mod session_netem;
/// The signaling exchange with somebody in between, message by message.
mod signaling_attacks;
