//! Dialling through hosts, for other threads of this process.

use super::Server;
use super::cluster::Place;
use super::waiting::{Waiting, Wanted};
use crate::address::Target;
use crate::cluster::message::{self, Order};
use crate::net::program_stream::ProgramStream;
use crate::run::keys::SessionKey;
use crate::run::opener::{DialError, Opener, PATIENCE, Request, Until};
use crate::signaling::rendezvous::HostId;
use crate::tunnel::ConnectTarget;

/// Dials through the hosts of a running [`Server`]; clones serve any number of threads.
#[derive(Debug, Clone)]
pub struct Dialer {
    opener: Opener<Wanted>,
}

impl Dialer {
    pub(super) fn new(opener: Opener<Wanted>) -> Dialer {
        Dialer { opener }
    }

    /// Asks a host to connect to a target that its access list has, and waits until it has done so, 30 seconds at most.
    ///
    /// # Errors
    /// [`DialError`].
    pub fn dial(&self, id: &HostId, target: &Target) -> Result<ProgramStream, DialError> {
        let name = format!("{target} (this process)");
        self.opener.open(Wanted { id: id.clone(), target: target.clone() }, &name, Until::Dialled, PATIENCE)
    }
}

impl Server {
    /// Returns a dialer for other threads.
    pub fn dialer(&self) -> Dialer {
        self.dialer.clone()
    }

    /// Opens the streams that other threads requested.
    pub(super) fn handle_dials(&mut self) {
        while let Some(request) = self.dials.poll() {
            self.handle_dial(request);
        }
    }

    pub(super) fn handle_dial(&mut self, request: Request<Wanted>) {
        match self.dialling(&request.target) {
            Ok(Some((session, target))) => {
                self.metrics.dials += 1;
                request.open(&mut self.core, session, &target);
            }
            Ok(None) => {
                let id = request.target.id.clone();
                self.wait_for(&id, Waiting::Dial(Box::new(request)));
            }
            Err(error) => request.refuse(error),
        }
    }

    /// Returns the session that leads to a host, and the target of a stream there; `None` if the directory is asked.
    fn dialling(&mut self, wanted: &Wanted) -> Result<Option<(SessionKey, ConnectTarget)>, DialError> {
        let (id, target) = (&wanted.id, wanted.target.to_string());
        let dials = match self.place(id) {
            Place::Here(key) if self.host(key).is_some_and(|host| host.dials) => {
                let session = self.session_of(key).ok_or(DialError::NoHost)?;
                return Ok(Some((session, ConnectTarget::Tcp(target))));
            }
            Place::At(elsewhere) if elsewhere.dials => elsewhere,
            Place::Here(_) | Place::At(_) => return Err(DialError::NotAllowed),
            Place::Asked => return Ok(None),
            Place::Away | Place::Nowhere => return Err(DialError::NoHost),
        };
        let order = Order { id: id.clone(), epoch: dials.epoch, to: message::Wanted::Target(target) };
        let target = order.to_text().map(ConnectTarget::Tcp).ok_or(DialError::NotAllowed)?;
        Ok(Some((dials.session, target)))
    }
}
