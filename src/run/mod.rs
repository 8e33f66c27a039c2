//! The loop that owns every socket and the clock: one thread, readiness from mio, everything else sans-IO.
//!
//! [`Host`] and [`Client`] are the two sides, [`Server`] is what may stand between them; `core` is what they share.
//! Each is made with its settings, reports what happens to a closure, and runs until it is done or stopped.

mod approval;
mod check;
mod client;
mod connections;
mod control;
mod core;
mod deadlines;
mod dialer;
mod error;
mod exchange;
mod flows;
mod host;
mod keys;
mod links;
mod looks;
mod meter;
mod notice;
#[cfg(unix)]
mod opener;
mod proxy_header;
mod pump;
mod reload;
mod rights;
mod rounds;
#[cfg(feature = "server")]
mod server;
mod sessions;
mod shared;
mod side;
#[cfg(feature = "cli")]
mod signals;
mod sockets;
mod stun;
mod supervision;
mod table;
mod tally;
mod tap;
mod token;
mod trails;
mod turn;
#[cfg(test)]
mod world;

pub use self::check::{Check, CheckError};
pub use self::client::Client;
#[cfg(feature = "cli")]
pub use self::client::{Ping, PingError, PingPlan};
pub use self::error::RunError;
pub(crate) use self::host::Inviter;
pub use self::host::{Host, InviteError, Issued};
#[cfg(feature = "cli")]
pub use self::looks::Observer;
#[cfg(unix)]
pub use self::opener::DialError;
#[cfg(feature = "cli")]
pub use self::reload::Reader;
pub(crate) use self::reload::Reloader;
pub use self::reload::Reread;
#[cfg(feature = "server")]
pub use self::server::Server;
#[cfg(all(unix, feature = "server"))]
pub use self::server::ServerDialer;
#[cfg(feature = "server")]
pub(crate) use self::server::ServerReloader;
#[cfg(feature = "cli")]
pub use self::signals::HangUps;
pub use self::supervision::Supervision;
pub use self::turn::{Reporter, Stopper};
#[cfg(unix)]
pub(crate) use self::{
    client::Connector,
    opener::{PATIENCE, Until},
};
