//! The library's face: a host, a client, a server and a check, each behind a handle.

mod check;
mod client;
mod error;
mod host;
mod running;
#[cfg(feature = "server")]
mod server;

use std::sync::mpsc::{self, Receiver};

pub use self::check::Check;
pub use self::client::Client;
pub use self::error::Error;
pub use self::host::Host;
#[cfg(feature = "server")]
pub use self::server::Server;
use crate::status::event::Event;

/// Creates a closure that sends events, and the channel where they arrive.
///
/// The channel has no bound: read it, or drop it.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use pinhole::{Event, Host, HostConfig};
///
/// let (report, events) = pinhole::channel();
/// let host = Host::start(HostConfig::sharing("127.0.0.1:8080".parse()?), report)?;
/// let first = events.iter().find(|event| matches!(event, Event::Listening { .. }));
/// assert!(first.is_some());
/// # drop(host);
/// # Ok(())
/// # }
/// ```
pub fn channel() -> (impl FnMut(&Event) + Send + 'static, Receiver<Event>) {
    let (sender, events) = mpsc::channel();
    // The receiver may be gone; the run goes on without it.
    (move |event: &Event| drop(sender.send(event.clone())), events)
}
