//! A binary of its own, because it needs root and the machine to itself: the real binaries behind routers of every
//! kind, over links that fail.
//!
//! Without root or Linux's network namespaces, every test says so and ends. `NATLAB_FULL=1` runs the whole matrix of
//! NAT pairs and every fault, and prints them as tables.

// Helpers of tests stand outside of test functions, where clippy.toml already allows it.
#![allow(clippy::unwrap_used)]
#![cfg(target_os = "linux")]

#[path = "../common/mod.rs"]
mod common;

/// Faults that a session survives with traffic on it, and the time to recover.
mod faults;
/// The network: a peer behind a router on each side, and the internet between them.
mod lab;
/// A link whose conditions can be changed.
mod link;
/// Every pair of NATs.
mod matrix;
/// Network namespaces that end with the test.
mod namespace;
/// Kinds of NAT.
mod nat;
/// A host and a client, each in its network.
mod pair;
/// Proof that the laboratory works as assumed.
mod proof;
/// Plain hole punching, for comparison.
mod punch;
/// A STUN server and client.
mod stun;
/// Bytes both ways for as long as a test wants.
mod transfer;
/// A simulated dev tunnel.
mod tunnel;

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;
use std::time::Duration;

/// Lets real time pass, since an outage consists of it: there is no event to wait for.
fn pass(time: Duration) {
    thread::sleep(time);
}

/// Tells whether the long run was requested.
fn is_full() -> bool {
    std::env::var_os("NATLAB_FULL").is_some_and(|value| value != "0")
}

/// Tells whether a part of a test was requested: `NATLAB_ONLY` selects parts by words in their names.
fn is_wanted(name: &str) -> bool {
    std::env::var("NATLAB_ONLY").map_or(true, |wanted| name.contains(&wanted))
}

/// Runs one part of a test, whose failure must not end the others; returns its error.
fn attempt<T>(part: impl FnOnce() -> T) -> Result<T, String> {
    let message = |panic: Box<dyn Any + Send>| match panic.downcast::<String>() {
        Ok(message) => *message,
        Err(panic) => panic.downcast_ref::<&str>().copied().unwrap_or("panic").to_owned(),
    };
    catch_unwind(AssertUnwindSafe(part)).map_err(|panic| message(panic).replace('\n', " "))
}
