#![doc = include_str!("../docs/library.md")]
// Parts of the rooms below serve the program or the server only.
#![cfg_attr(not(all(feature = "cli", feature = "server")), allow(dead_code, unused_imports))]

mod access;
mod address;
mod api;
#[cfg(feature = "cli")]
mod cli;
pub mod config;
#[cfg(feature = "cli")]
mod demo;
mod fault;
#[cfg(feature = "server")]
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

#[cfg(unix)]
pub use api::Client;
#[cfg(feature = "server")]
pub use api::Server;
pub use api::{Check, Error, Host, channel};
#[cfg(feature = "server")]
pub use config::ServerConfig;
pub use config::{CheckConfig, ClientConfig, HostConfig};
#[cfg(unix)]
pub use net::program_stream::{ProgramListener as Listener, ProgramStream as Stream};
#[cfg(unix)]
pub use run::DialError;
#[cfg(all(unix, feature = "server"))]
pub use run::ServerDialer as Dialer;
pub use run::Stopper;
pub use signaling::pin::Pin;
pub use status::event;
#[doc(inline)]
pub use status::event::Event;
pub use tunnel::AbortReason;
