//! A host behind a handle.

use std::net::SocketAddr;

use super::Error;
use super::running::Running;
use crate::config::{HostConfig, Invitation};
use crate::run::{self, InviteError, Inviter, Issued, Reloader, Reread, Stopper};
use crate::signaling::invitation::InvitationId;
use crate::signaling::pin::Pin;
use crate::status::event::Event;
use crate::status::snapshot::InvitationStatus;

/// A running host: it shares services with the clients that know its pin.
///
/// It runs on a thread of its own until it is stopped, or dropped. Both end its sessions in order.
#[derive(Debug)]
pub struct Host {
    running: Running,
    local: Option<SocketAddr>,
    url: Option<String>,
    pin: Pin,
    reloader: Reloader<Reread<HostConfig>>,
    inviter: Inviter,
}

impl Host {
    /// Starts a host. `report` is told what happens, on the host's thread: it must not block.
    ///
    /// # Errors
    /// The settings contradict each other, the signaling port cannot be bound, or certificates cannot be read.
    pub fn start(config: HostConfig, report: impl FnMut(&Event) + Send + 'static) -> Result<Host, Error> {
        let host = run::Host::bind(config, Box::new(report)).map_err(Error::of)?;
        let (local, pin) = (host.local_addr(), host.pin().clone());
        let url = host.url().map(|url| url.with_pin(&pin));
        let (reloader, inviter) = (host.reloader(), host.inviter());
        let running = Running::start("host", host.stopper(), move || host.run())?;
        Ok(Host { running, local, url, pin, reloader, inviter })
    }

    /// Returns the address of the signaling port; `None` for a host that clients reach through a server only.
    pub fn local_addr(&self) -> Option<SocketAddr> {
        self.local
    }

    /// Returns the URL for a client on this machine, pin included; `None` as for [`Host::local_addr`].
    ///
    /// For a client elsewhere, put the address under which it reaches the signaling port in its place.
    pub fn url(&self) -> Option<&str> {
        self.url.as_deref()
    }

    /// Returns the pin that the host started with. [`Event::PinReplaced`] tells of another one, and so do
    /// [`Event::Listening`] and [`Event::Registered`] after [`Host::reload`].
    pub fn pin(&self) -> &Pin {
        &self.pin
    }

    /// Has the host go by other settings, without touching what is open. `docs/config.md` says what changes at once,
    /// what counts for sessions that begin later, and what needs another start.
    ///
    /// [`Event::Reloaded`] tells what changed, or [`Event::Warning`] why nothing did. Begin with the present settings:
    /// a service of this program is gone if they lack it.
    pub fn reload(&self, config: HostConfig) {
        self.reloader.reload(config);
    }

    /// Makes an invitation: a pin of its own for some clients, with rights of its own. It ends with the host, and a
    /// [reload](Host::reload) leaves it. Do not call this from `report`, which the host waits for.
    ///
    /// # Errors
    /// [`InviteError`].
    pub fn invite(&self, invitation: Invitation) -> Result<Issued, InviteError> {
        self.inviter.make(invitation)
    }

    /// Returns the invitations that count, those of the settings included.
    pub fn invitations(&self) -> Vec<InvitationStatus> {
        self.inviter.list()
    }

    /// Takes an invitation back: sessions that began by it end within a second. Returns false if there is none.
    pub fn uninvite(&self, id: &InvitationId) -> bool {
        self.inviter.revoke(id)
    }

    /// Asks the host to end its sessions in order, and itself. Asked twice, it ends at once.
    pub fn stop(&self) {
        self.running.stop();
    }

    /// Returns a handle that stops the host from another thread, while this one [waits](Host::wait).
    pub fn stopper(&self) -> Stopper {
        self.running.stopper()
    }

    /// Waits until the host has ended.
    ///
    /// # Errors
    /// The server does not want the host, or the system refused something it cannot do without.
    pub fn wait(self) -> Result<(), Error> {
        self.running.wait()
    }
}
