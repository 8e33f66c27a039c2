//! What tests may use in place of the system: a network in memory with machines, links between them and a clock of its
//! own. Sockets made inside of [`Here::enter`] belong to this network; all others are the system's.
//!
//! Readiness comes as on Linux, by edges: code that stops reading before `WouldBlock` and then waits for an event waits
//! for ever. So a test in here finds what a lost edge does in production.

#![allow(missing_docs, reason = "the names are those of the packages that these stand in for")]

mod either;
mod likeness;
mod network;
mod poll;
mod tcp;
mod traffic;
mod udp;

use std::cell::RefCell;
use std::convert::Infallible;
use std::io;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use if_addrs::{IfAddr, IfOperStatus, Ifv4Addr, Ifv6Addr, Interface};
use rand::{Rng as _, TryRng};

pub use either::{SockRef, TcpListener, TcpStream, UdpSocket, UdpSocketState};
pub(crate) use network::{Machine, Network, Process};
pub use poll::{Event, Events, Poll, Registry, Source, Waker};
pub(crate) use traffic::Way;

thread_local! {
    static HERE: RefCell<Option<Here>> = const { RefCell::new(None) };
}

/// Where a piece of a test runs: a process of a network.
#[derive(Debug, Clone)]
pub(crate) struct Here {
    network: Arc<Mutex<Network>>,
    pub(crate) process: Process,
}

/// Returns where this code runs; `None` for the real machine.
pub(crate) fn here() -> Option<Here> {
    HERE.with_borrow(Clone::clone)
}

impl Here {
    pub(crate) fn new(network: &Arc<Mutex<Network>>, process: Process) -> Here {
        Here { network: network.clone(), process }
    }

    /// Runs `run` there.
    pub(crate) fn enter<T>(&self, run: impl FnOnce() -> T) -> T {
        /// Restores the former place, even if a test fails.
        struct Back(Option<Here>);
        impl Drop for Back {
            fn drop(&mut self) {
                HERE.set(self.0.take());
            }
        }
        let _back = Back(HERE.replace(Some(self.clone())));
        run()
    }

    pub(crate) fn network(&self) -> MutexGuard<'_, Network> {
        lock(&self.network)
    }

    pub(crate) fn now(&self) -> Instant {
        self.network().now
    }

    /// Returns the identity of this machine.
    pub(crate) fn machine(&self) -> Machine {
        self.network().machine_of(self.process)
    }

    pub(crate) fn interfaces(&self) -> Vec<Interface> {
        let addresses = self.network().addresses(self.process);
        addresses.into_iter().map(interface).collect()
    }

    /// Looks a name up: the answer comes later, and wakes the process.
    pub(crate) fn look_up(&self, host: &str, waker: &Waker, answer: impl FnOnce(Found) + Send + 'static) {
        let Waker::World(_, process, token) = waker else { return };
        self.network().look_up((*process, *token), host, Box::new(answer));
    }
}

/// Randomness; inside of a simulated network, from its seed.
#[derive(Debug)]
pub struct Dice(Option<Here>);

pub fn rng() -> Dice {
    Dice(here())
}

impl TryRng for Dice {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok(self.0.as_ref().map_or_else(rand::random, |here| here.network().random.next_u32()))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(self.0.as_ref().map_or_else(rand::random, |here| here.network().random.next_u64()))
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        match &self.0 {
            Some(here) => here.network().random.fill_bytes(bytes),
            None => rand::rng().fill_bytes(bytes),
        }
        Ok(())
    }
}

/// The result of a look-up.
pub(crate) type Found = Result<Vec<IpAddr>, String>;

fn lock(network: &Mutex<Network>) -> MutexGuard<'_, Network> {
    // A test that failed leaves nothing half-done.
    network.lock().unwrap_or_else(PoisonError::into_inner)
}

fn interface(address: IpAddr) -> Interface {
    let addr = match address {
        IpAddr::V4(ip) => {
            IfAddr::V4(Ifv4Addr { ip, netmask: [255, 255, 255, 0].into(), prefixlen: 24, broadcast: None })
        }
        IpAddr::V6(ip) => IfAddr::V6(Ifv6Addr { ip, netmask: ip, prefixlen: 128, broadcast: None }),
    };
    Interface { name: "world0".to_owned(), addr, index: None, oper_status: IfOperStatus::Up, is_p2p: false }
}

/// A socket of the network. Dropping it closes it, as the system does for a process that ends.
#[derive(Debug)]
pub struct Handle {
    network: Arc<Mutex<Network>>,
    id: u64,
}

impl Handle {
    /// Creates a socket where this code runs, if that is in a network.
    fn made(make: impl FnOnce(&mut Network, Process) -> io::Result<u64>) -> Option<io::Result<Handle>> {
        let here = here()?;
        let made = make(&mut here.network(), here.process);
        Some(made.map(|id| Handle { network: here.network.clone(), id }))
    }

    fn beside(&self, id: u64) -> Handle {
        Handle { network: self.network.clone(), id }
    }

    fn network(&self) -> MutexGuard<'_, Network> {
        lock(&self.network)
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.network().close(self.id);
    }
}
