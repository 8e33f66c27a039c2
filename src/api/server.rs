//! A server behind a handle.

use std::net::SocketAddr;

use super::Error;
use super::running::Running;
use crate::config::ServerConfig;
#[cfg(unix)]
use crate::run::ServerDialer;
use crate::run::{self, Stopper};
use crate::status::event::Event;

/// A running server: it gives hosts lasting names, and publishes what they want to be published.
///
/// It runs on a thread of its own until it is stopped, or dropped.
#[derive(Debug)]
pub struct Server {
    running: Running,
    local: SocketAddr,
    #[cfg(unix)]
    dialer: ServerDialer,
}

impl Server {
    /// Starts a server. `report` is told what happens, on the server's thread: it must not block.
    ///
    /// # Errors
    /// A port cannot be bound, or tokens or certificates cannot be read.
    pub fn start(config: ServerConfig, report: impl FnMut(&Event) + Send + 'static) -> Result<Server, Error> {
        let server = run::Server::bind(config, Box::new(report)).map_err(Error::of)?;
        let local = server.local_addr();
        #[cfg(unix)]
        let dialer = server.dialer();
        let running = Running::start("server", server.stopper(), move || server.run())?;
        Ok(Server {
            running,
            local,
            #[cfg(unix)]
            dialer,
        })
    }

    /// Returns what connects through the server's hosts, on any thread.
    #[cfg(unix)]
    pub fn dialer(&self) -> ServerDialer {
        self.dialer.clone()
    }

    /// Returns the address of signaling.
    pub fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// Asks the server to end in order. Asked twice, it ends at once.
    pub fn stop(&self) {
        self.running.stop();
    }

    /// Returns what stops the server from another thread, while this one [waits](Server::wait).
    pub fn stopper(&self) -> Stopper {
        self.running.stopper()
    }

    /// Waits until the server has ended.
    ///
    /// # Errors
    /// The system refused something it cannot do without.
    pub fn wait(self) -> Result<(), Error> {
        self.running.wait()
    }
}
