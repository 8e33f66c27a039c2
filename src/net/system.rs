//! What this program uses of the system: sockets, their readiness, and the clock. No other file names `mio` or
//! `quinn_udp`, and nothing else in the loop asks for the time, so tests can replace them by a network in memory and a
//! clock of their own (`net/world`). Outside of tests this module only re-exports names.

use std::time::{Instant, SystemTime};

#[cfg(all(not(test), unix))]
pub use mio::net::{UnixListener, UnixStream};
#[cfg(not(test))]
pub use mio::{
    Events, Interest, Poll, Registry, Token, Waker,
    event::{Event, Source},
    net::{TcpListener, TcpStream, UdpSocket},
};
pub use quinn_udp::{BATCH_SIZE, RecvMeta, Transmit};
#[cfg(not(test))]
pub use {quinn_udp::UdpSocketState, socket2::SockRef};

#[cfg(test)]
pub use super::world::{
    Event, Events, Poll, Registry, SockRef, Source, TcpListener, TcpStream, UdpSocket, UdpSocketState, Waker,
};
#[cfg(all(test, unix))]
pub use mio::net::{UnixListener, UnixStream};
#[cfg(any(target_os = "linux", target_os = "android"))]
pub use mio::unix::SourceFd;
#[cfg(test)]
pub use mio::{Interest, Token};

/// Returns the current time.
#[cfg(not(test))]
pub fn now() -> Instant {
    Instant::now()
}

/// Returns the current time: the simulated one inside of a simulated network.
#[cfg(test)]
pub fn now() -> Instant {
    super::world::here().map_or_else(Instant::now, |here| here.now())
}

/// Returns the time of day, which people can set.
#[cfg(not(test))]
pub fn time_of_day() -> SystemTime {
    SystemTime::now()
}

/// Returns the time of day: the simulated one inside of a simulated network.
#[cfg(test)]
pub fn time_of_day() -> SystemTime {
    super::world::here().map_or_else(SystemTime::now, |here| here.network().time_of_day())
}

#[cfg(test)]
pub use super::world::rng;
/// Source of randomness for pauses, so that many processes do not act in step.
#[cfg(not(test))]
pub use rand::rng;

/// Lists the interfaces of this machine.
///
/// # Errors
/// The system's.
pub fn interfaces() -> std::io::Result<Vec<if_addrs::Interface>> {
    #[cfg(test)]
    if let Some(here) = super::world::here() {
        return Ok(here.interfaces());
    }
    if_addrs::get_if_addrs()
}
