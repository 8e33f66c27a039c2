//! The server as a process: hosts that register, clients that join them, visitors of its gateway, and attackers of all
//! kinds.
//!
//! `SERVER_FULL=1` and `GATEWAY_FULL=1` add what takes long.

// Helpers of tests stand outside of test functions, where clippy.toml already allows it.
#![allow(clippy::unwrap_used)]
#![cfg(unix)]

#[path = "../common/mod.rs"]
mod common;

/// What the server reports about itself, and what its owner can do.
mod administration;
/// Several servers as one: hosts at one, and clients, visitors and dials at another.
mod cluster;
/// Several servers as one, and those who are no good servers.
mod cluster_attacks;
/// Several servers as one, of which some stand still, or cannot hear each other.
mod cluster_health;
/// Several servers as one, and whoever runs them.
mod cluster_operation;
/// Clients that do not read, and crowds.
mod crowds;
/// Several servers and a Redis in which they find each other.
mod directory;
/// Hosts and clients that know several servers: servers that die, freeze and drain.
mod failover;
/// What happens to a cluster under load when servers, links and processes fail.
mod faults;
/// What a second server on the way costs.
mod figures;
/// A forwarder between processes that records what it passes on, and cuts connections.
mod forwarder;
/// The gateway and the proxy: browsers, curl, Vite, smugglers, and services of every kind.
mod gateway;
/// The cost of idle hosts.
mod idle;
/// A server, hosts and clients in one process, through the library.
mod in_process;
/// A server as a process, and what tests do with streams through it.
mod lab;
/// No log contains a secret.
mod logs;
/// Servers of a cluster as processes, and what stands in front of them.
mod members;
/// Pins of hosts: how long they last, and how slowly they are guessed.
mod pins;
/// Hosts and clients made by hand.
mod raw;
/// Who gets a name, and who gives way.
mod registration;
/// Settings, tokens and services that change while all of them run.
mod reload;
/// Servers, hosts and clients that end while streams are open.
mod restarts;
/// One server, its hosts and their clients, in normal use.
mod rows;
/// What a server sees of relayed sessions.
mod secrecy;
/// One source against each table of a server.
mod shares;
/// Messages that no pinhole would send.
mod strangers;
/// A server with TLS of its own.
mod tls;
/// A server that accepts only known tokens.
mod tokens;
/// Hosts and clients that start before what they need.
mod waiting;
