//! Which ports to open, given the services of the host.

use super::{LocalDatagrams, Origin, PortTarget, Purpose, Sharing, named_target};
use crate::address::{Bind, ListenAddress, Protocol};
use crate::config::{LocalForward, ServiceBind};
use crate::run::RunError;
use crate::run::client::Client;
use crate::status::event::Event;
use crate::tunnel::Service;

impl Purpose {
    pub(super) fn new(target: PortTarget, forward: &LocalForward) -> Purpose {
        Purpose { target, origin: Origin::Forward(forward.clone()) }
    }
}

impl Client {
    /// Binds the ports that do not depend on the host's services.
    pub(in crate::run::client) fn bind_forwards(&mut self) -> Result<(), RunError> {
        for forward in self.config.forwards.clone() {
            self.bind_forward(&forward)?;
        }
        for address in self.config.dynamic.clone() {
            self.bind_proxy(address)?;
        }
        Ok(())
    }

    /// Binds the port of a forward, unless that depends on the host's services.
    pub(super) fn bind_forward(&mut self, forward: &LocalForward) -> Result<(), RunError> {
        // An address without a protocol may turn out to be for datagrams.
        let first = |bind: &ServiceBind| bind.of(Protocol::Tcp).or_else(|| bind.of(Protocol::Udp));
        let (bind, target) = match forward {
            LocalForward::Only { bind } => (first(bind), PortTarget::Only),
            LocalForward::Service { name, bind: Some(bind) } => (first(bind), PortTarget::Service(name.clone())),
            LocalForward::Dial { bind, endpoint } => {
                (Some(bind.clone()), PortTarget::Dial(named_target(endpoint), endpoint.to_string()))
            }
            // The host decides their ports.
            LocalForward::Every | LocalForward::Service { bind: None, .. } => return Ok(()),
        };
        let purpose = Purpose::new(target, forward);
        match bind {
            // This is a port of each protocol: the host's services decide which is which.
            Some(Bind::Tcp(address)) if self.local.taken_by(address).is_some() => {
                self.local.deferred.push((address, purpose));
                Ok(())
            }
            Some(bind) => self.local.add(&mut self.core, &bind, purpose, Sharing::Warned),
            None => Ok(()),
        }
    }

    /// Binds a port of the proxy.
    pub(super) fn bind_proxy(&mut self, address: ListenAddress) -> Result<(), RunError> {
        let purpose = Purpose { target: PortTarget::Proxy, origin: Origin::Proxy(address) };
        self.local.add(&mut self.core, &Bind::Tcp(address), purpose, Sharing::Warned)?;
        let is_open = address.addresses().any(|one| !one.ip().to_canonical().is_loopback());
        if self.config.credentials.is_none() && is_open {
            let message = format!(
                "everybody who reaches -D {address} can make the host dial what its --allow permits; --proxy-auth \
                 USER:PASSWORD serves only those who know it, and -D {} only this machine",
                address.port()
            );
            self.core.turn.warn("open-proxy", message);
        }
        Ok(())
    }

    /// Tells whether only the host's services say which ports there are.
    pub(in crate::run::client) fn waits_for_services(&self) -> bool {
        let waits =
            |forward: &LocalForward| matches!(forward, LocalForward::Every | LocalForward::Service { bind: None, .. });
        self.config.forwards.iter().any(waits)
    }

    /// Binds the ports whose protocol depends on the services.
    fn bind_deferred(&mut self, services: &[Service]) -> Result<(), RunError> {
        for (address, purpose) in std::mem::take(&mut self.local.deferred) {
            let is_udp = services.iter().any(|service| service.is_udp() && purpose.target.is(service));
            if !is_udp && let Some(other) = self.local.taken_by(address) {
                let message = format!(
                    "{other} and {} are both of TCP and cannot both appear at {address}; choose another port for one of them",
                    purpose.target.name()
                );
                return Err(RunError::NoService(message));
            }
            let bind = if is_udp { Bind::Udp(address) } else { Bind::Tcp(address) };
            self.local.add(&mut self.core, &bind, purpose, Sharing::Warned)?;
        }
        Ok(())
    }

    /// Checks the forwards against the host's services, binds the remaining ports, and reports what leads where.
    pub(in crate::run::client) fn forward(&mut self, services: &[Service]) -> Result<(), RunError> {
        self.local.note_services(services);
        let bound = self.local.listeners.iter().map(|(_, port)| &port.purpose.target);
        for port_target in bound.chain(self.local.deferred.iter().map(|(_, purpose)| &purpose.target)) {
            match port_target {
                PortTarget::Only => drop(only(services)?),
                PortTarget::Service(name) => drop(named(services, name)?),
                PortTarget::Dial(..) | PortTarget::Proxy => {}
            }
        }
        for forward in self.config.forwards.clone() {
            match &forward {
                LocalForward::Every => {
                    for service in services {
                        self.bind_service(service, &forward)?;
                    }
                }
                LocalForward::Service { name, bind: None } => self.bind_service(named(services, name)?, &forward)?,
                LocalForward::Only { .. } | LocalForward::Service { .. } | LocalForward::Dial { .. } => {}
            }
        }
        self.suit_protocols(services)?;
        self.bind_deferred(services)?;
        self.report_forwarding();
        Ok(())
    }

    /// Reports what the ports lead to of which that was not said yet.
    pub(super) fn report_forwarding(&mut self) {
        let only = self.local.only.clone();
        let datagrams = self.local.datagrams.values_mut();
        let datagrams = datagrams.map(|datagrams| (&mut datagrams.is_told, &datagrams.purpose, &datagrams.name));
        let ports = self.local.listeners.iter_mut();
        let ports = ports.map(|(_, port)| (&mut port.is_told, &port.purpose, &port.name));
        for (is_told, purpose, name) in datagrams.chain(ports) {
            if let (Some(local), Some(service), false) = (name, purpose.target.appearance(only.as_deref()), *is_told) {
                *is_told = true;
                self.core.turn.report(&Event::Forwarding { local: local.clone(), service });
            }
        }
    }

    /// Moves ports that lead to a UDP service to UDP, and refuses impossible ones.
    fn suit_protocols(&mut self, services: &[Service]) -> Result<(), RunError> {
        let find = |port_target: &PortTarget| match port_target {
            PortTarget::Only => services.first(),
            PortTarget::Service(name) => services.iter().find(|service| service.name == *name),
            PortTarget::Dial(..) | PortTarget::Proxy => None,
        };
        for LocalDatagrams { purpose, name, .. } in self.local.datagrams.values() {
            if let (Some(service), Some(name)) = (find(&purpose.target).filter(|service| !service.is_udp()), name) {
                return Err(mismatch(service, name));
            }
        }
        let wrong =
            self.local.listeners.iter().filter(|(_, port)| find(&port.purpose.target).is_some_and(Service::is_udp));
        for key in wrong.map(|(key, _)| key).collect::<Vec<_>>() {
            let Some(mut port) = self.local.listeners.remove(key) else { continue };
            self.core.turn.deregister(&mut port.listener);
            // The second address of a port goes along with the first.
            let Some(name) = port.name else { continue };
            let Some(address) = port.address else {
                return Err(find(&port.purpose.target)
                    .map_or(RunError::NoService(name.clone()), |service| mismatch(service, &name)));
            };
            // A port that the system chose for TCP may be in use for UDP.
            self.local.add(&mut self.core, &Bind::Udp(address.asked), port.purpose, Sharing::Warned)?;
        }
        Ok(())
    }

    /// Binds a service to its own port if that is free, otherwise to any.
    pub(super) fn bind_service(&mut self, service: &Service, forward: &LocalForward) -> Result<(), RunError> {
        let purpose = Purpose::new(PortTarget::Service(service.name.clone()), forward);
        if self.local.has(&purpose.target) {
            return Ok(());
        }
        let bind = |port: u16| {
            let address = ListenAddress::Localhost(port);
            if service.is_udp() { Bind::Udp(address) } else { Bind::Tcp(address) }
        };
        match service.port.filter(|port| *port != 0) {
            Some(port) if self.local.add(&mut self.core, &bind(port), purpose.clone(), Sharing::Refused).is_ok() => {
                Ok(())
            }
            _ => self.local.add(&mut self.core, &bind(0), purpose, Sharing::Warned),
        }
    }
}

/// Returns the only service of a host.
pub(super) fn only(services: &[Service]) -> Result<&Service, RunError> {
    match services {
        [service] => Ok(service),
        [] => Err(RunError::NoService(
            "the host shares no service of its own; name what it allows with -L, -D or -W, or where it may listen with -R"
                .to_owned(),
        )),
        [first, ..] => Err(RunError::NoService(format!(
            "the host has several services: {}; say which, as in {}=8080",
            names(services),
            first.name
        ))),
    }
}

/// Returns the service of that name.
pub(super) fn named<'a>(services: &'a [Service], name: &str) -> Result<&'a Service, RunError> {
    let message = || format!("the host has no service {name:?}; it has: {}", names(services));
    services.iter().find(|service| service.name == name).ok_or_else(|| RunError::NoService(message()))
}

fn names(services: &[Service]) -> String {
    services.iter().map(|service| service.name.as_str()).collect::<Vec<_>>().join(", ")
}

pub(super) fn mismatch(service: &Service, local: &str) -> RunError {
    let proto = if service.is_udp() { "datagrams (UDP)" } else { "streams (TCP)" };
    RunError::NoService(format!("the service {} is one of {proto}, which cannot appear at {local}", service.name))
}
