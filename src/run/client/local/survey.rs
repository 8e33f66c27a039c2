//! What is shown of the ports for local programs.

use super::{LocalPorts, PortTarget};
use crate::status::event::Appearance;
use crate::status::metrics::peer::{PeerMetrics, ServiceCount};
use crate::status::snapshot::{ForwardStatus, ServiceStatus};
use crate::tunnel::Service;

impl LocalPorts {
    /// Returns the services of the last session.
    pub(in crate::run::client) fn shown_services(&self, counted: &PeerMetrics) -> Vec<ServiceStatus> {
        let shown = |service: &Service| {
            let ServiceCount { sent, received, open, .. } = counted.service(&service.name);
            ServiceStatus { name: service.name.clone(), target: None, sent, received, streams: open }
        };
        self.services.iter().flatten().map(shown).collect()
    }

    /// Returns what is listened on, and what it leads to.
    pub(in crate::run::client) fn shown_forwards(&self) -> Vec<ForwardStatus> {
        let ports = self.listeners.iter().map(|(_, port)| (&port.name, &port.purpose));
        let datagrams = self.datagrams.values().map(|datagrams| (&datagrams.name, &datagrams.purpose));
        // The second address of a port has no name.
        let named = ports.chain(datagrams).filter_map(|(name, purpose)| Some((name.clone()?, &purpose.target)));
        let only = self.only.as_deref();
        let shown = |(local, target): (String, &PortTarget)| ForwardStatus { local, service: target.appearance(only) };
        let mut forwards: Vec<ForwardStatus> = named.map(shown).collect();
        forwards.sort_by(|one, other| one.local.cmp(&other.local));
        forwards
    }
}

impl PortTarget {
    /// Returns what it leads to, once that is known; `only` is the name of the host's only service.
    pub(super) fn appearance(&self, only: Option<&str>) -> Option<Appearance> {
        Some(match self {
            PortTarget::Only => Appearance::Target(only?.to_owned()),
            PortTarget::Service(name) | PortTarget::Dial(_, name) => Appearance::Target(name.clone()),
            PortTarget::Proxy => Appearance::Proxy,
        })
    }
}
