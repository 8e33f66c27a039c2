//! Which ports to open, given the services of the host.

use super::{LocalDatagrams, PortTarget, Sharing, named_target};
use crate::address::{Bind, ListenAddress, Protocol};
use crate::config::{LocalForward, ServiceBind};
use crate::run::RunError;
use crate::run::client::Client;
use crate::status::event::{Appearance, Event};
use crate::tunnel::Service;

impl Client {
    /// Binds the ports that do not depend on the host's services.
    pub(in crate::run::client) fn bind_forwards(&mut self) -> Result<(), RunError> {
        // An address without a protocol may turn out to be for datagrams.
        let first = |bind: &ServiceBind| bind.of(Protocol::Tcp).or_else(|| bind.of(Protocol::Udp));
        for forward in &self.config.forwards {
            let (bind, port_target) = match forward {
                LocalForward::Only { bind } => (first(bind), PortTarget::Only),
                LocalForward::Service { name, bind: Some(bind) } => (first(bind), PortTarget::Service(name.clone())),
                LocalForward::Dial { bind, endpoint } => {
                    (Some(bind.clone()), PortTarget::Dial(named_target(endpoint), endpoint.to_string()))
                }
                // The host decides their ports.
                LocalForward::Every | LocalForward::Service { bind: None, .. } => continue,
            };
            match bind {
                // This is a port of each protocol: the host's services decide which is which.
                Some(Bind::Tcp(address)) if self.local.taken_by(address).is_some() => {
                    self.local.deferred.push((address, port_target));
                }
                Some(bind) => self.local.add(&mut self.core, &bind, port_target, Sharing::Warned)?,
                None => {}
            }
        }
        for address in &self.config.dynamic {
            self.local.add(&mut self.core, &Bind::Tcp(*address), PortTarget::Proxy, Sharing::Warned)?;
            let is_open = address.addresses().any(|one| !one.ip().to_canonical().is_loopback());
            if self.config.credentials.is_none() && is_open {
                let message = format!(
                    "everybody who reaches -D {address} can make the host dial what its --allow permits; --proxy-auth \
                     USER:PASSWORD serves only those who know it, and -D {} only this machine",
                    address.port()
                );
                self.core.turn.warn("open-proxy", message);
            }
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
        for (address, port_target) in std::mem::take(&mut self.local.deferred) {
            let is_udp = services.iter().any(|service| service.is_udp() && port_target.is(service));
            if !is_udp && let Some(other) = self.local.taken_by(address) {
                let message = format!(
                    "{other} and {} are both of TCP and cannot both appear at {address}; choose another port for one of them",
                    port_target.name()
                );
                return Err(RunError::NoService(message));
            }
            let bind = if is_udp { Bind::Udp(address) } else { Bind::Tcp(address) };
            self.local.add(&mut self.core, &bind, port_target, Sharing::Warned)?;
        }
        Ok(())
    }

    /// Checks the forwards against the host's services, binds the remaining ports, and reports what leads where.
    pub(in crate::run::client) fn forward(&mut self, services: &[Service]) -> Result<(), RunError> {
        let names = || services.iter().map(|service| service.name.as_str()).collect::<Vec<_>>().join(", ");
        let bound = self.local.listeners.iter().map(|(_, port)| &port.port_target);
        for port_target in bound.chain(self.local.deferred.iter().map(|(_, port_target)| port_target)) {
            match port_target {
                PortTarget::Only if services.len() != 1 => {
                    let message = if services.is_empty() {
                        "the host shares no service of its own; name what it allows with -L, -D or -W, or where it may listen with -R".to_owned()
                    } else {
                        format!(
                            "the host has several services: {}; say which, as in {}=8080",
                            names(),
                            services[0].name
                        )
                    };
                    return Err(RunError::NoService(message));
                }
                PortTarget::Service(name) if !services.iter().any(|service| service.name == *name) => {
                    let message = format!("the host has no service {name:?}; it has: {}", names());
                    return Err(RunError::NoService(message));
                }
                _ => {}
            }
        }
        for forward in self.config.forwards.clone() {
            match forward {
                LocalForward::Every => {
                    for service in services {
                        self.bind_service(service)?;
                    }
                }
                LocalForward::Service { name, bind: None } => {
                    match services.iter().find(|service| service.name == name) {
                        Some(service) => self.bind_service(service)?,
                        None => {
                            let message = format!("the host has no service {name:?}; it has: {}", names());
                            return Err(RunError::NoService(message));
                        }
                    }
                }
                LocalForward::Only { .. } | LocalForward::Service { .. } | LocalForward::Dial { .. } => {}
            }
        }
        self.suit_protocols(services)?;
        self.bind_deferred(services)?;
        let first = services.first().map_or_else(String::new, |service| service.name.clone());
        let datagrams = self.local.datagrams.values().map(|datagrams| (&datagrams.port_target, &datagrams.name));
        let all = datagrams.chain(self.local.listeners.iter().map(|(_, port)| (&port.port_target, &port.name)));
        for (port_target, name) in all {
            let Some(local) = name.clone() else { continue };
            let service = match port_target {
                PortTarget::Only => Appearance::Target(first.clone()),
                PortTarget::Service(name) | PortTarget::Dial(_, name) => Appearance::Target(name.clone()),
                PortTarget::Proxy => Appearance::Proxy,
            };
            self.core.turn.report(&Event::Forwarding { local, service });
        }
        Ok(())
    }

    /// Moves ports that lead to a UDP service to UDP, and refuses impossible ones.
    fn suit_protocols(&mut self, services: &[Service]) -> Result<(), RunError> {
        let find = |port_target: &PortTarget| match port_target {
            PortTarget::Only => services.first(),
            PortTarget::Service(name) => services.iter().find(|service| service.name == *name),
            PortTarget::Dial(..) | PortTarget::Proxy => None,
        };
        let mismatch = |service: &Service, local: &str| {
            let proto = if service.is_udp() { "datagrams (UDP)" } else { "streams (TCP)" };
            RunError::NoService(format!(
                "the service {} is one of {proto}, which cannot appear at {local}",
                service.name
            ))
        };
        for LocalDatagrams { port_target, name } in self.local.datagrams.values() {
            if let (Some(service), Some(name)) = (find(port_target).filter(|service| !service.is_udp()), name) {
                return Err(mismatch(service, name));
            }
        }
        let wrong =
            self.local.listeners.iter().filter(|(_, port)| find(&port.port_target).is_some_and(Service::is_udp));
        for key in wrong.map(|(key, _)| key).collect::<Vec<_>>() {
            let Some(mut port) = self.local.listeners.remove(key) else { continue };
            self.core.turn.deregister(&mut port.listener);
            // The second address of a port goes along with the first.
            let Some(name) = port.name else { continue };
            let Some(address) = port.address else {
                return Err(find(&port.port_target)
                    .map_or(RunError::NoService(name.clone()), |service| mismatch(service, &name)));
            };
            // A port that the system chose for TCP may be in use for UDP.
            self.local.add(&mut self.core, &Bind::Udp(address.asked), port.port_target, Sharing::Warned)?;
        }
        Ok(())
    }

    /// Binds a service to its own port if that is free, otherwise to any.
    fn bind_service(&mut self, service: &Service) -> Result<(), RunError> {
        let port_target = PortTarget::Service(service.name.clone());
        if self.local.has(&port_target) {
            return Ok(());
        }
        let bind = |port: u16| {
            let address = ListenAddress::Localhost(port);
            if service.is_udp() { Bind::Udp(address) } else { Bind::Tcp(address) }
        };
        match service.port.filter(|port| *port != 0) {
            Some(port)
                if self.local.add(&mut self.core, &bind(port), port_target.clone(), Sharing::Refused).is_ok() =>
            {
                Ok(())
            }
            _ => self.local.add(&mut self.core, &bind(0), port_target, Sharing::Warned),
        }
    }
}
