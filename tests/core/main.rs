//! Tests without sockets and clock: muxes, sessions and the signaling exchange, in virtual time and by seed.

// Helpers are outside of test functions, where clippy.toml allows this.
#![allow(clippy::unwrap_used)]

#[path = "../common/handshake.rs"]
mod handshake;

/// A session against a hostile peer made by hand that knows the pin.
mod hostile_peer;
/// The rules of the tunnel's specification, one by one, against frames made by hand.
mod mux_rules;
/// Random operations on two muxes over carriers that die, checked against a model; and their goodput.
mod mux_sim;
/// A session against random scripts of a peer; the fuzz target `session` runs them too.
mod session_attacks;
/// Sessions over real WebRTC and emulated links: loss, outages, relays, redials.
mod session_netem;
/// The signaling exchange with an attacker in between, message by message.
mod signaling_attacks;
