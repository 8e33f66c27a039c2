//! pinhole makes a TCP service on one machine appear on another, directly, peer to peer.
//!
//! The house, from the inside out (see `ARCHITECTURE.md`): [`tunnel`] is the pure multiplexer, [`peer`] wraps the
//! WebRTC stack, [`signaling`] is how two peers meet, [`session`] joins the three without doing any I/O; [`net`] and
//! [`run`] own the sockets and the clock. [`address`] and [`http`] are text, [`access`] says what the other side may
//! reach, [`socks`] is what proxy programs say, [`gateway`] reads what browsers and web services say to each other,
//! [`status`] says what is going on, [`processor`] which cipher suits this machine, and [`fault`] catches the panics of
//! others.

pub mod access;
pub mod address;
pub mod cli;
pub mod config;
pub mod demo;
pub mod fault;
pub mod gateway;
pub mod http;
pub mod net;
pub mod peer;
pub mod processor;
pub mod run;
pub mod session;
pub mod shares;
pub mod signaling;
pub mod socks;
pub mod status;
pub mod tunnel;
