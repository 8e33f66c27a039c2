//! The real binaries behind routers of every kind, over links that fail.
//!
//! Needs root and Linux's network namespaces; where these are missing every test says so and ends. `NATLAB_FULL=1` runs
//! the whole matrix of NAT pairs and every fault, and prints them as tables.

// Helpers of tests stand outside of test functions, where clippy.toml already allows it.
#![allow(clippy::unwrap_used)]
#![cfg(target_os = "linux")]

mod common;

#[path = "natlab/lab.rs"]
mod lab;
#[path = "natlab/link.rs"]
mod link;
#[path = "natlab/namespace.rs"]
mod namespace;
#[path = "natlab/nat.rs"]
mod nat;
#[path = "natlab/proof.rs"]
mod proof;
#[path = "natlab/punch.rs"]
mod punch;
#[path = "natlab/stun.rs"]
mod stun;
#[path = "natlab/tunnel.rs"]
mod tunnel;

use std::thread;
use std::time::Duration;

/// Lets real time pass, which is what an outage consists of.
fn pass(time: Duration) {
    thread::sleep(time);
}
