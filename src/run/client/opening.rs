//! Streams to the host, for other threads of this process.

use super::Client;
use crate::address::Endpoint;
use crate::config::StreamTarget;
use crate::run::client::local::named_target;
use crate::run::opener::{DialError, Opener};
use crate::tunnel::{ConnectTarget, Service};

/// Opens streams through a client on another thread.
pub(crate) type Connector = Opener<StreamTarget>;

impl Client {
    /// Returns the connector for other threads.
    pub(crate) fn connector(&self) -> Connector {
        self.connector.clone()
    }

    /// Opens the streams that other threads requested. Without a session the requests wait.
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

/// Finds a requested target among the host's present services.
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
