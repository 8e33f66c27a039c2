//! A binary of its own, for it needs root and has the machine to itself: the real binaries behind routers of every
//! kind, over links that fail.
//!
//! Where root or Linux's network namespaces are missing every test says so and ends. `NATLAB_FULL=1` runs the whole
//! matrix of NAT pairs and every fault, and prints them as tables.

// Helpers of tests stand outside of test functions, where clippy.toml already allows it.
#![allow(clippy::unwrap_used)]
#![cfg(target_os = "linux")]

#[path = "../common/mod.rs"]
mod common;

/// What a session survives with traffic on it, and how long it takes to recover.
mod faults;
/// The network: a peer behind a router on each side, and what is between them.
mod lab;
/// A link whose conditions can be changed.
mod link;
/// Every pair of NATs.
mod matrix;
/// Network namespaces that go with the test.
mod namespace;
/// Kinds of NAT.
mod nat;
/// A host and a client, each in its network.
mod pair;
/// That the laboratory does what its users believe.
mod proof;
/// Plain hole punching, as a yardstick.
mod punch;
/// A STUN server and a question.
mod stun;
/// Bytes that go both ways for as long as a test wants.
mod transfer;
/// What stands for a dev tunnel.
mod tunnel;

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;
use std::time::Duration;

/// Lets real time pass, which is what an outage consists of: nothing is waited for that could say that it is there.
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
