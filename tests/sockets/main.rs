//! The library over real sockets, in the process of the tests.

// Helpers are outside of test functions, where clippy.toml allows this.
#![allow(clippy::unwrap_used)]
#![cfg(unix)]

#[path = "../common/mod.rs"]
mod common;

/// The public face: handles, and streams in this process.
mod embedding;
/// curl at the negotiation of SOCKS5 and HTTP CONNECT, without a tunnel.
mod forward_proxy;
/// Addresses that come and go, in a network namespace (needs root).
#[cfg(target_os = "linux")]
mod interfaces;
/// A host and a client, in a program that embeds pinhole.
mod loopback;
/// A host against clients made by hand: guesses, hang-ups, floods, lack of places.
mod signaling_host;
/// Our WebSockets against strangers, front ends, proxies, and each other.
mod websocket;
