//! The server's gateway and proxy with real processes: curl, browsers and raw sockets on one side, hosts with services
//! of every kind on the other.
//!
//! `GATEWAY_FULL=1` adds what takes long: bodies of 1 GB, and an answer that never comes.

use crate::common::http;

mod bodies;
mod crowds;
mod endings;
mod events;
mod fields;
mod front;
mod life;
mod logins;
mod parallel;
mod proxy;
mod refusals;
mod rig;
mod shares;
mod silence;
mod smuggling;
mod tls;
mod vite;
