//! The library over real sockets, in the process of the tests.

// Helpers of tests stand outside of test functions, where clippy.toml already allows it.
#![allow(clippy::unwrap_used)]
#![cfg(unix)]

#[path = "../common/mod.rs"]
mod common;

/// curl at the negotiation of SOCKS5 and HTTP CONNECT, without a tunnel.
mod forward_proxy;
/// Addresses that come and go, in a network namespace (needs root).
#[cfg(target_os = "linux")]
mod interfaces;
/// A host and a client, as a program that embeds pinhole runs them.
mod loopback;
/// A host against clients made by hand: guesses, hang-ups, floods, too few places.
mod signaling_host;
/// Our WebSockets against strangers, front ends, proxies, and each other.
mod websocket;
