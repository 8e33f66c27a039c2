//! Dialling through hosts, for other threads of this process.

use super::Server;
use crate::address::Target;
use crate::net::program_stream::ProgramStream;
use crate::run::keys::SessionKey;
use crate::run::opener::{DialError, Opener, PATIENCE, Until};
use crate::signaling::rendezvous::HostId;
use crate::tunnel::ConnectTarget;

/// Dials through the hosts of a running [`Server`]; clones serve any number of threads.
#[derive(Debug, Clone)]
pub struct Dialer {
    opener: Opener<Wanted>,
}

/// A host, and the target that it is to dial.
#[derive(Debug)]
pub(super) struct Wanted {
    id: HostId,
    target: Target,
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
            match self.dialling(&request.target.id) {
                Ok(session) => {
                    let target = ConnectTarget::Tcp(request.target.target.to_string());
                    self.metrics.dials += 1;
                    request.open(&mut self.core, session, &target);
                }
                Err(error) => request.refuse(error),
            }
        }
    }

    fn dialling(&mut self, id: &HostId) -> Result<SessionKey, DialError> {
        let key = *self.names.get(id).ok_or(DialError::NoHost)?;
        if !self.host(key).is_some_and(|host| host.dials) {
            return Err(DialError::NotAllowed);
        }
        self.session_of(key).ok_or(DialError::NoHost)
    }
}
