//! Real programs, and programs' habits, through a host and a client that are processes of their own.

// Helpers of tests stand outside of test functions, where clippy.toml already allows it.
#![allow(clippy::unwrap_used)]
#![cfg(unix)]

mod common;

#[path = "programs/death.rs"]
mod death;
#[path = "programs/endings.rs"]
mod endings;
#[path = "programs/families.rs"]
mod families;
#[path = "programs/forwards.rs"]
mod forwards;
#[path = "programs/guesses.rs"]
mod guesses;
#[path = "programs/http.rs"]
mod http;
#[path = "programs/leaks.rs"]
mod leaks;
#[path = "programs/loops.rs"]
mod loops;
#[path = "programs/postgres.rs"]
mod postgres;
#[path = "programs/redis.rs"]
mod redis;
#[path = "programs/ssh.rs"]
mod ssh;
#[path = "programs/stall.rs"]
mod stall;
#[path = "programs/streams.rs"]
mod streams;
#[path = "programs/udp.rs"]
mod udp;
#[path = "programs/websocket.rs"]
mod websocket;
