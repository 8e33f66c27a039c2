//! A client behind a handle.

use std::net::SocketAddr;

use super::Error;
use super::running::Running;
use crate::config::ClientConfig;
use crate::run::{self, Reloader, Reread, Stopper};
use crate::status::event::Event;
#[cfg(unix)]
use crate::{
    address::Endpoint,
    config::StreamTarget,
    net::program_stream::ProgramStream,
    run::{Connector, DialError, PATIENCE, Until},
};

/// The address of this program's streams in events.
#[cfg(unix)]
const NAME: &str = "this program";

/// A running client: it makes what a host shares appear on local ports, and opens streams to it for this program.
///
/// It runs on a thread of its own until it is stopped, or dropped. It reconnects by itself; [`Client::wait`] tells
/// why it gave up.
#[derive(Debug)]
pub struct Client {
    running: Running,
    local: Option<SocketAddr>,
    reloader: Reloader<Reread<ClientConfig>>,
    #[cfg(unix)]
    connector: Connector,
}

impl Client {
    /// Starts a client. `report` is told what happens, on the client's thread: it must not block.
    ///
    /// The host is dialled meanwhile: [`Event::Connected`] tells when there is a session.
    ///
    /// # Errors
    /// A local port cannot be bound, or certificates cannot be read.
    pub fn start(config: ClientConfig, report: impl FnMut(&Event) + Send + 'static) -> Result<Client, Error> {
        let client = run::Client::bind(config, Box::new(report)).map_err(Error::of)?;
        let local = client.local_addr();
        #[cfg(unix)]
        let connector = client.connector();
        let reloader = client.reloader();
        let running = Running::start("client", client.stopper(), move || client.run())?;
        Ok(Client {
            running,
            local,
            reloader,
            #[cfg(unix)]
            connector,
        })
    }

    /// Opens a stream to a service of the host, by its name. Waits until there is a session and the host has connected
    /// to the service, 30 seconds at most.
    ///
    /// # Errors
    /// [`DialError`].
    #[cfg(unix)]
    pub fn connect(&self, service: &str) -> Result<ProgramStream, DialError> {
        self.connector.open(StreamTarget::Service(service.to_owned()), NAME, Until::Dialled, PATIENCE)
    }

    /// Asks the host to connect to a target of its access list; UDP is refused. Waits as [`Client::connect`] does.
    ///
    /// # Errors
    /// [`DialError`].
    #[cfg(unix)]
    pub fn dial(&self, target: &Endpoint) -> Result<ProgramStream, DialError> {
        self.connector.open(StreamTarget::Dial(target.clone()), NAME, Until::Dialled, PATIENCE)
    }

    /// Returns the first local TCP address that was bound before the host's services were known.
    /// [`Event::Forwarding`] tells of all.
    pub fn local_addr(&self) -> Option<SocketAddr> {
        self.local
    }

    /// Has the client go by other settings, without touching what is open. `docs/config.md` says what changes at once,
    /// what counts for the next session, and what needs another start.
    ///
    /// [`Event::Reloaded`] tells what changed, and [`Event::Warning`] what could not.
    pub fn reload(&self, config: ClientConfig) {
        self.reloader.reload(config);
    }

    /// Asks the client to end its session in order, and itself. Asked twice, it ends at once.
    pub fn stop(&self) {
        self.running.stop();
    }

    /// Returns a handle that stops the client from another thread, while this one [waits](Client::wait).
    pub fn stopper(&self) -> Stopper {
        self.running.stopper()
    }

    /// Waits until the client has ended.
    ///
    /// # Errors
    /// The reason why there is no session.
    pub fn wait(self) -> Result<(), Error> {
        self.running.wait()
    }
}
