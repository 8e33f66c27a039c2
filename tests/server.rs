//! The server: hosts that register there, clients that join them, and everybody who would rather have it otherwise.

// Helpers of tests stand outside of test functions, where clippy.toml already allows it.
#![allow(clippy::unwrap_used)]
#![cfg(unix)]

mod common;

#[path = "server/administration.rs"]
mod administration;
#[path = "server/crowds.rs"]
mod crowds;
#[path = "server/forwarder.rs"]
mod forwarder;
#[path = "server/idle.rs"]
mod idle;
#[path = "server/in_process.rs"]
mod in_process;
#[path = "server/lab.rs"]
mod lab;
#[path = "server/logs.rs"]
mod logs;
#[path = "server/pins.rs"]
mod pins;
#[path = "server/raw.rs"]
mod raw;
#[path = "server/registration.rs"]
mod registration;
#[path = "server/restarts.rs"]
mod restarts;
#[path = "server/rows.rs"]
mod rows;
#[path = "server/secrecy.rs"]
mod secrecy;
#[path = "server/shares.rs"]
mod shares;
#[path = "server/strangers.rs"]
mod strangers;
#[path = "server/tls.rs"]
mod tls;
#[path = "server/tokens.rs"]
mod tokens;
#[path = "server/waiting.rs"]
mod waiting;
