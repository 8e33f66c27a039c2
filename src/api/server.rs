//! A server behind a handle.

use std::net::SocketAddr;

use super::Error;
use super::running::Running;
use crate::config::ServerConfig;
#[cfg(unix)]
use crate::run::ServerDialer;
use crate::run::{self, ServerReloader, Stopper};
use crate::status::event::Event;

/// A running server: it gives hosts lasting names, and publishes their services.
///
/// It runs on a thread of its own until it is stopped, or dropped.
#[derive(Debug)]
pub struct Server {
    running: Running,
    local: SocketAddr,
    reloader: ServerReloader,
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
        let reloader = server.reloader();
        let running = Running::start("server", server.stopper(), move || server.run())?;
        Ok(Server {
            running,
            local,
            reloader,
            #[cfg(unix)]
            dialer,
        })
    }

    /// Returns a dialer, which connects through the server's hosts, on any thread.
    #[cfg(unix)]
    pub fn dialer(&self) -> ServerDialer {
        self.dialer.clone()
    }

    /// Returns the address of signaling.
    pub fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// Has the server go by other settings, without touching what is open, and reads tokens and certificate again, on
    /// this thread. `docs/config.md` says what changes at once, and what needs another start.
    ///
    /// [`Event::Reloaded`] tells what changed, and [`Event::Warning`] what could not.
    pub fn reload(&self, config: ServerConfig) {
        self.reloader.reload(config);
    }

    /// Asks the server to end in order. Asked twice, it ends at once.
    pub fn stop(&self) {
        self.running.stop();
    }

    /// Returns a handle that stops the server from another thread, while this one [waits](Server::wait).
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
