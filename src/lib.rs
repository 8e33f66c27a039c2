#![doc = include_str!("../docs/library.md")]
// Parts of the rooms below serve the program or the server only.
#![cfg_attr(not(all(feature = "cli", feature = "server")), allow(dead_code, unused_imports))]

mod access;
mod address;
mod api;
#[cfg(feature = "cli")]
mod cli;
#[cfg(feature = "server")]
mod cluster;
pub mod config;
mod control;
#[cfg(feature = "cli")]
mod demo;
mod fault;
mod gateway;
mod http;
#[doc(hidden)]
pub mod internals;
mod net;
mod peer;
mod processor;
mod run;
mod session;
mod shares;
mod signaling;
mod socks;
mod status;
mod tunnel;

#[cfg(feature = "server")]
pub use crate::api::Server;
pub use crate::api::{Check, Client, Error, Host, channel};
#[cfg(feature = "server")]
pub use crate::config::ServerConfig;
pub use crate::config::{CheckConfig, ClientConfig, HostConfig};
#[cfg(unix)]
pub use crate::net::program_stream::{ProgramListener as Listener, ProgramStream as Stream};
#[cfg(unix)]
pub use crate::run::DialError;
#[cfg(all(unix, feature = "server"))]
pub use crate::run::ServerDialer as Dialer;
pub use crate::run::{InviteError, Issued, Stopper};
pub use crate::signaling::pin::Pin;
pub use crate::status::event;
#[doc(inline)]
pub use crate::status::event::Event;
pub use crate::status::snapshot::InvitationStatus;
pub use crate::tunnel::AbortReason;
