//! Readiness of the system's sockets, or of those in memory.

use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use mio::{Interest, Token};

use super::network::{Network, Process};
use super::{Handle, here, lock};

/// As `mio::Poll`.
#[derive(Debug)]
pub struct Poll {
    real: Option<mio::Poll>,
    registry: Registry,
}

/// As `mio::Registry`.
#[derive(Debug)]
pub enum Registry {
    Real(mio::Registry),
    World(Arc<Mutex<Network>>, Process),
}

/// As `mio::Events`.
#[derive(Debug)]
pub struct Events {
    real: mio::Events,
    events: Vec<Event>,
}

/// As `mio::event::Event`.
#[derive(Debug, Clone)]
pub enum Event {
    Real(mio::event::Event),
    World(Ready),
}

/// Readiness of a socket in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ready {
    pub(super) token: Token,
    pub(super) readable: bool,
    pub(super) writable: bool,
    pub(super) error: bool,
    pub(super) read_closed: bool,
    pub(super) write_closed: bool,
}

/// As `mio::Waker`.
#[derive(Debug)]
pub enum Waker {
    Real(mio::Waker),
    World(Arc<Mutex<Network>>, Process, Token),
}

/// As `mio::event::Source`.
pub trait Source {
    fn register(&mut self, registry: &Registry, token: Token, interests: Interest) -> io::Result<()>;
    fn reregister(&mut self, registry: &Registry, token: Token, interests: Interest) -> io::Result<()>;
    fn deregister(&mut self, registry: &Registry) -> io::Result<()>;
}

impl Poll {
    pub fn new() -> io::Result<Poll> {
        if let Some(here) = here() {
            return Ok(Poll { real: None, registry: Registry::World(here.network.clone(), here.process) });
        }
        let real = mio::Poll::new()?;
        let registry = Registry::Real(real.registry().try_clone()?);
        Ok(Poll { real: Some(real), registry })
    }

    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// Polls for events. In a simulated network it never waits, since the test decides when time passes.
    pub fn poll(&mut self, events: &mut Events, timeout: Option<Duration>) -> io::Result<()> {
        events.events.clear();
        match (&mut self.real, &self.registry) {
            (Some(real), _) => {
                real.poll(&mut events.real, timeout)?;
                events.events.extend(events.real.iter().cloned().map(Event::Real));
            }
            (None, Registry::World(network, process)) => {
                let ready = lock(network).take_events(*process);
                events.events.extend(ready.into_iter().map(Event::World));
            }
            (None, Registry::Real(_)) => {}
        }
        Ok(())
    }
}

impl Registry {
    pub fn register(&self, source: &mut (impl Source + ?Sized), token: Token, interests: Interest) -> io::Result<()> {
        source.register(self, token, interests)
    }

    pub fn reregister(&self, source: &mut (impl Source + ?Sized), token: Token, interests: Interest) -> io::Result<()> {
        source.reregister(self, token, interests)
    }

    pub fn deregister(&self, source: &mut (impl Source + ?Sized)) -> io::Result<()> {
        source.deregister(self)
    }
}

impl Events {
    pub fn with_capacity(capacity: usize) -> Events {
        Events { real: mio::Events::with_capacity(capacity), events: Vec::new() }
    }

    pub fn iter(&self) -> std::slice::Iter<'_, Event> {
        self.events.iter()
    }
}

impl<'a> IntoIterator for &'a Events {
    type Item = &'a Event;
    type IntoIter = std::slice::Iter<'a, Event>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl Event {
    pub fn token(&self) -> Token {
        match self {
            Event::Real(event) => event.token(),
            Event::World(ready) => ready.token,
        }
    }

    pub fn is_readable(&self) -> bool {
        match self {
            Event::Real(event) => event.is_readable(),
            Event::World(ready) => ready.readable,
        }
    }

    pub fn is_writable(&self) -> bool {
        match self {
            Event::Real(event) => event.is_writable(),
            Event::World(ready) => ready.writable,
        }
    }

    pub fn is_error(&self) -> bool {
        match self {
            Event::Real(event) => event.is_error(),
            Event::World(ready) => ready.error,
        }
    }

    pub fn is_read_closed(&self) -> bool {
        match self {
            Event::Real(event) => event.is_read_closed(),
            Event::World(ready) => ready.read_closed,
        }
    }

    pub fn is_write_closed(&self) -> bool {
        match self {
            Event::Real(event) => event.is_write_closed(),
            Event::World(ready) => ready.write_closed,
        }
    }
}

impl Waker {
    pub fn new(registry: &Registry, token: Token) -> io::Result<Waker> {
        match registry {
            Registry::Real(registry) => Ok(Waker::Real(mio::Waker::new(registry, token)?)),
            Registry::World(network, process) => Ok(Waker::World(network.clone(), *process, token)),
        }
    }

    pub fn wake(&self) -> io::Result<()> {
        match self {
            Waker::Real(waker) => waker.wake(),
            Waker::World(network, process, token) => {
                lock(network).wake(*process, *token);
                Ok(())
            }
        }
    }

    /// Tells whether it wakes a process of a network in memory.
    pub(crate) fn is_in_world(&self) -> bool {
        matches!(self, Waker::World(..))
    }
}

/// Registers sockets that exist only in the system, not in a simulated network.
macro_rules! real_only {
    ($type:ty) => {
        impl Source for $type {
            fn register(&mut self, registry: &Registry, token: Token, interests: Interest) -> io::Result<()> {
                match registry {
                    Registry::Real(registry) => mio::event::Source::register(self, registry, token, interests),
                    Registry::World(..) => Err(io::ErrorKind::Unsupported.into()),
                }
            }

            fn reregister(&mut self, registry: &Registry, token: Token, interests: Interest) -> io::Result<()> {
                match registry {
                    Registry::Real(registry) => mio::event::Source::reregister(self, registry, token, interests),
                    Registry::World(..) => Err(io::ErrorKind::Unsupported.into()),
                }
            }

            fn deregister(&mut self, registry: &Registry) -> io::Result<()> {
                match registry {
                    Registry::Real(registry) => mio::event::Source::deregister(self, registry),
                    Registry::World(..) => Err(io::ErrorKind::Unsupported.into()),
                }
            }
        }
    };
}

real_only!(mio::net::TcpStream);
real_only!(mio::net::TcpListener);
real_only!(mio::net::UdpSocket);
#[cfg(unix)]
real_only!(mio::net::UnixStream);
#[cfg(unix)]
real_only!(mio::net::UnixListener);
#[cfg(any(target_os = "linux", target_os = "android"))]
real_only!(mio::unix::SourceFd<'_>);
#[cfg(unix)]
real_only!(signal_hook_mio::v1_0::Signals);

impl Source for Handle {
    fn register(&mut self, _registry: &Registry, token: Token, interests: Interest) -> io::Result<()> {
        self.network().register(self.id, Some((token, interests)));
        Ok(())
    }

    fn reregister(&mut self, _registry: &Registry, token: Token, interests: Interest) -> io::Result<()> {
        self.network().register(self.id, Some((token, interests)));
        Ok(())
    }

    fn deregister(&mut self, _registry: &Registry) -> io::Result<()> {
        self.network().register(self.id, None);
        Ok(())
    }
}
