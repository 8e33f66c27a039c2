//! The server as a process: hosts that register there, clients that join them, visitors of its gateway, and everybody
//! who would rather have it otherwise.
//!
//! `SERVER_FULL=1` and `GATEWAY_FULL=1` add what takes long.

// Helpers of tests stand outside of test functions, where clippy.toml already allows it.
#![allow(clippy::unwrap_used)]
#![cfg(unix)]

#[path = "../common/mod.rs"]
mod common;

/// What the server tells of itself, and what its owner can do.
mod administration;
/// Those who do not read, and those who are too many.
mod crowds;
/// Stands between processes, keeps what it passes on, and cuts connections.
mod forwarder;
/// The gateway and the proxy: browsers, curl, Vite, smugglers, and services of every kind.
mod gateway;
/// What hosts that do nothing cost.
mod idle;
/// A server, hosts and clients in one process, through the library.
mod in_process;
/// A server as a process, and what tests do with streams through it.
mod lab;
/// No secret of anybody is in a log.
mod logs;
/// Pins of hosts: how long they last, and how slowly they are guessed.
mod pins;
/// Hosts and clients made by hand.
mod raw;
/// Who gets a name, and who gives way.
mod registration;
/// Servers, hosts and clients that end while streams are open.
mod restarts;
/// One server, its hosts and their clients, as they are meant to be.
mod rows;
/// What a server sees of relayed sessions.
mod secrecy;
/// One source against each table of a server.
mod shares;
/// What no pinhole would send.
mod strangers;
/// A server with TLS of its own.
mod tls;
/// A server that lets in those whose tokens it knows.
mod tokens;
/// Hosts and clients that are there before what they need.
mod waiting;
