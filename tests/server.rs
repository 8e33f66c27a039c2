//! The server: hosts that register there, clients that join them, and everybody who would rather have it otherwise.

// Helpers of tests stand outside of test functions, where clippy.toml already allows it.
#![allow(clippy::unwrap_used)]
#![cfg(unix)]

mod common;

#[path = "server/in_process.rs"]
mod in_process;
#[path = "server/lab.rs"]
mod lab;
#[path = "server/restarts.rs"]
mod restarts;
#[path = "server/rows.rs"]
mod rows;
