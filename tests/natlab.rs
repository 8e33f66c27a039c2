//! The real binaries behind routers of every kind, over links that fail.
//!
//! Needs root and Linux's network namespaces; where these are missing every test says so and ends. `NATLAB_FULL=1` runs
//! the whole matrix of NAT pairs and every fault, and prints them as tables.

// Helpers of tests stand outside of test functions, where clippy.toml already allows it.
#![allow(clippy::unwrap_used)]
#![cfg(target_os = "linux")]

mod common;

#[path = "natlab/faults.rs"]
mod faults;
#[path = "natlab/lab.rs"]
mod lab;
#[path = "natlab/link.rs"]
mod link;
#[path = "natlab/matrix.rs"]
mod matrix;
#[path = "natlab/namespace.rs"]
mod namespace;
#[path = "natlab/nat.rs"]
mod nat;
#[path = "natlab/pair.rs"]
mod pair;
#[path = "natlab/proof.rs"]
mod proof;
#[path = "natlab/punch.rs"]
mod punch;
#[path = "natlab/stun.rs"]
mod stun;
#[path = "natlab/transfer.rs"]
mod transfer;
#[path = "natlab/tunnel.rs"]
mod tunnel;

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;
use std::time::Duration;

/// Lets real time pass, which is what an outage consists of.
fn pass(time: Duration) {
    thread::sleep(time);
}

/// Tells whether the long run was asked for.
fn is_full() -> bool {
    std::env::var_os("NATLAB_FULL").is_some_and(|value| value != "0")
}

/// Tells whether a part of a test was asked for, where `NATLAB_ONLY` names some by what their names contain.
fn is_wanted(name: &str) -> bool {
    std::env::var("NATLAB_ONLY").map_or(true, |wanted| name.contains(&wanted))
}

/// Does one part of a test, whose failure is not the end of the others; the error is what it failed with.
fn attempt<T>(part: impl FnOnce() -> T) -> Result<T, String> {
    let message = |panic: Box<dyn Any + Send>| match panic.downcast::<String>() {
        Ok(message) => *message,
        Err(panic) => panic.downcast_ref::<&str>().copied().unwrap_or("panic").to_owned(),
    };
    catch_unwind(AssertUnwindSafe(part)).map_err(|panic| message(panic).replace('\n', " "))
}
