//! The real binary as a process: real programs, and their habits, through a host and a client.
//!
//! `PIPE_FULL=1` adds what takes long.

// Helpers of tests stand outside of test functions, where clippy.toml already allows it.
#![allow(clippy::unwrap_used)]
#![cfg(unix)]

#[path = "../common/mod.rs"]
mod common;

/// Another implementation as the client: a page in headless Chromium, and its scripts in Node.js.
mod browser;
/// The command line: exit codes, events, words, the terminal, and a forwarder that plays the host.
mod cli;
/// Processes that are looked at and steered over their control sockets.
mod control;
/// The death of a process, as programs at its connections see it.
mod death;
/// How connections end through every kind of forward, beside plain TCP, socat and `ssh -L`.
mod endings;
/// The examples of the library.
mod examples;
/// Localhost of both address families.
mod families;
/// Every kind of forward: services by name, unix sockets, `-L`, `-R`, `-D`, `-W`.
mod forwards;
/// Guesses at the login of a `-D` port.
mod guesses;
/// curl, and many HTTP connections at once.
mod http;
/// Resources of processes after many connections.
mod leaks;
/// Forwards that lead back to themselves.
mod loops;
/// psql and PostgreSQL.
mod postgres;
/// Redis between unix sockets.
mod redis;
/// Plain HTTP requests at a `-D` port.
mod requests;
/// ssh and sshd.
mod ssh;
/// A reader that stalls beside others.
mod stall;
/// Half-close, services that send first, and failures.
mod streams;
/// UDP: many programs, long datagrams, dig, iperf3.
mod udp;
/// A WebSocket through the tunnel.
mod websocket;
