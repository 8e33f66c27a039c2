//! Ports that come and go while the client runs.

use super::forwards::{mismatch, named, only};
use super::{Origin, PortTarget, Purpose, Sharing, named_target};
use crate::address::Protocol;
use crate::config::{ClientConfig, LocalForward, ServiceBind};
use crate::run::RunError;
use crate::run::client::Client;
use crate::run::notice::Listening;
use crate::tunnel::Service;

impl Client {
    /// Opens and closes ports for the forwards and proxies of these settings. What cannot be bound is warned of, and
    /// left out of the settings, so that another reload tries again.
    pub(in crate::run::client) fn change_ports(&mut self, before: &ClientConfig) {
        let (forwards, dynamic) = (self.config.forwards.clone(), self.config.dynamic.clone());
        // Connections in the system's queue of a port that goes were made in time.
        self.accept(Listening::All);
        self.local.close(&mut self.core, |origin| match origin {
            Origin::Forward(forward) => !forwards.contains(forward),
            Origin::Proxy(address) => !dynamic.contains(address),
        });
        let mut failed = Vec::new();
        for forward in forwards.iter().filter(|forward| !before.forwards.contains(forward)) {
            match self.appear(forward) {
                Ok(()) => {}
                Err(RunError::NoService(reason)) => {
                    let message = format!("{reason}; it appears with the first session in which the host has it");
                    self.core.turn.warn("reload", message);
                    self.local.pending.push(forward.clone());
                }
                Err(error) => {
                    self.core.turn.warn("reload", format!("a forward is left out: {error}"));
                    failed.push(forward);
                }
            }
        }
        self.config.forwards.retain(|forward| !failed.contains(&forward));
        for &address in dynamic.iter().filter(|address| !before.dynamic.contains(address)) {
            if let Err(error) = self.bind_proxy(address) {
                self.core.turn.warn("reload", format!("a proxy is left out: {error}"));
                self.config.dynamic.retain(|own| *own != address);
            }
        }
        self.report_changes();
    }

    /// Binds the ports that wait for services which a new session has.
    pub(in crate::run::client) fn suit_services(&mut self, services: &[Service]) {
        if self.local.services.as_deref() == Some(services) {
            return;
        }
        self.local.note_services(services);
        let pending = std::mem::take(&mut self.local.pending);
        let every = self.config.forwards.iter().filter(|forward| **forward == LocalForward::Every).cloned();
        for forward in pending.into_iter().chain(every).collect::<Vec<_>>() {
            match self.appear(&forward) {
                Ok(()) => {}
                Err(RunError::NoService(_)) => self.local.pending.push(forward),
                Err(error) => self.core.turn.warn("reload", format!("a forward is left out: {error}")),
            }
        }
        self.report_changes();
    }

    /// Reports new ports, once it is known what they lead to.
    fn report_changes(&mut self) {
        if self.local.services.is_some() {
            self.report_forwarding();
        }
    }

    /// Binds the ports of a forward, as far as the host's services are known.
    fn appear(&mut self, forward: &LocalForward) -> Result<(), RunError> {
        let Some(services) = self.local.services.clone() else { return self.bind_forward(forward) };
        let (service, bind, target) = match forward {
            LocalForward::Every => {
                return services.iter().try_for_each(|service| self.bind_service(service, forward));
            }
            LocalForward::Service { name, bind: None } => return self.bind_service(named(&services, name)?, forward),
            LocalForward::Only { bind } => (only(&services)?, bind, PortTarget::Only),
            LocalForward::Service { name, bind: Some(bind) } => {
                (named(&services, name)?, bind, PortTarget::Service(name.clone()))
            }
            LocalForward::Dial { bind, endpoint } => {
                let target = PortTarget::Dial(named_target(endpoint), endpoint.to_string());
                return self.local.add(&mut self.core, bind, Purpose::new(target, forward), Sharing::Warned);
            }
        };
        let protocol = if service.is_udp() { Protocol::Udp } else { Protocol::Tcp };
        let bound = bind.of(protocol).ok_or_else(|| mismatch(service, &shown(bind)))?;
        self.local.add(&mut self.core, &bound, Purpose::new(target, forward), Sharing::Warned)
    }
}

/// Returns the place where a service appears, as on a command line.
pub(in crate::run::client) fn shown(bind: &ServiceBind) -> String {
    match bind {
        ServiceBind::Address(address) => address.to_string(),
        ServiceBind::Udp(address) => format!("udp:{address}"),
        ServiceBind::Unix(path) => format!("unix:{}", path.display()),
    }
}
