//! The server's gateway and proxy with real processes: curl, browsers and raw sockets on one side, hosts with services
//! of every kind on the other.
//!
//! `GATEWAY_FULL=1` adds what takes long: bodies of 1 GB, and an answer that never comes.

// Helpers of tests stand outside of test functions, where clippy.toml already allows it.
#![allow(clippy::unwrap_used)]
#![cfg(unix)]

mod common;

#[path = "gateway/bodies.rs"]
mod bodies;
#[path = "browser/chromium.rs"]
mod chromium;
#[path = "gateway/crowds.rs"]
mod crowds;
#[path = "gateway/endings.rs"]
mod endings;
#[path = "gateway/events.rs"]
mod events;
#[path = "gateway/fields.rs"]
mod fields;
#[path = "gateway/front.rs"]
mod front;
#[path = "gateway/http.rs"]
mod http;
#[path = "gateway/life.rs"]
mod life;
#[path = "gateway/logins.rs"]
mod logins;
#[path = "gateway/parallel.rs"]
mod parallel;
#[path = "browser/process.rs"]
mod process;
#[path = "gateway/proxy.rs"]
mod proxy;
#[path = "gateway/refusals.rs"]
mod refusals;
#[path = "gateway/rig.rs"]
mod rig;
#[path = "gateway/shares.rs"]
mod shares;
#[path = "gateway/silence.rs"]
mod silence;
#[path = "gateway/smuggling.rs"]
mod smuggling;
#[path = "gateway/tls.rs"]
mod tls;
#[path = "gateway/vite.rs"]
mod vite;
