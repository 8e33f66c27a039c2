//! Streams to the host, for other threads of this process.

use std::time::Duration;

use super::Client;
use crate::address::Endpoint;
use crate::config::StreamTarget;
use crate::net::program_stream::ProgramStream;
use crate::run::client::local::named_target;
use crate::run::opener::{DialError, Opener, Until};
use crate::tunnel::{ConnectTarget, Service};

/// Opens streams through a client on another thread. Clones serve any number of threads.
#[derive(Debug, Clone)]
pub(crate) struct Connector {
    opener: Opener<StreamTarget>,
}

impl Connector {
    pub(super) fn new(opener: Opener<StreamTarget>) -> Connector {
        Connector { opener }
    }

    /// Opens a stream, once there is a session. `name` says who asks, for people.
    ///
    /// # Errors
    /// [`DialError`].
    pub(crate) fn open(
        &self,
        target: StreamTarget,
        name: &str,
        until: Until,
        patience: Duration,
    ) -> Result<ProgramStream, DialError> {
        self.opener.open(target, name.to_owned(), until, patience)
    }
}

impl Client {
    /// Returns what other threads open streams with.
    pub(crate) fn connector(&self) -> Connector {
        self.connector.clone()
    }

    /// Opens what other threads want. Without a session they wait.
    pub(super) fn open_wanted(&mut self) {
        if self.is_stopping() {
            while let Some(request) = self.requests.poll() {
                request.refuse(DialError::Ended);
            }
            return;
        }
        let Some(session) = self.session.filter(|_| self.local.is_connected) else { return };
        let Some(entry) = self.core.sessions.get_mut(session) else { return };
        let services = entry.session.mux().peer().map(|hello| hello.services.clone()).unwrap_or_default();
        while let Some(request) = self.requests.poll() {
            match find(&request.target, &services) {
                Ok(target) => request.open(&mut self.core, session, &target),
                Err(error) => request.refuse(error),
            }
        }
    }
}

/// Finds what a thread wants among what the host has now.
fn find(wanted: &StreamTarget, services: &[Service]) -> Result<ConnectTarget, DialError> {
    let name = match wanted {
        StreamTarget::Dial(Endpoint::Udp(target)) => {
            return Err(DialError::NoService(format!("udp:{target} is one of datagrams (UDP), not of streams")));
        }
        StreamTarget::Dial(endpoint) => return Ok(named_target(endpoint)),
        StreamTarget::Service(name) => name,
    };
    match services.iter().find(|service| service.name == *name) {
        Some(service) if service.is_udp() => Err(DialError::NoService(format!(
            "the service {name} is one of datagrams (UDP), not of streams; let it appear at a port instead, as in {name}=5353"
        ))),
        Some(service) => Ok(ConnectTarget::Service(service.id)),
        None => {
            let names: Vec<&str> = services.iter().map(|service| service.name.as_str()).collect();
            Err(DialError::NoService(format!("the host has no service {name:?}; it has: {}", names.join(", "))))
        }
    }
}
