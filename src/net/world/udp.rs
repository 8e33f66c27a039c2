//! UDP sockets: datagrams may be lost, and are dropped beyond a limit.

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, SocketAddr};

use super::network::{Kind, Machine, Network, Process};
use super::poll::Ready;
use super::traffic::Body;

/// Maximum number of bytes a socket queues for its process.
const RECEIVE_BUFFER: usize = 4 * 1024 * 1024;

/// A UDP socket.
pub(super) struct Datagrams {
    pub(super) local: SocketAddr,
    pub(super) remote: Option<SocketAddr>,
    pub(super) error: Option<io::ErrorKind>,
    arrived: VecDeque<(SocketAddr, IpAddr, Vec<u8>)>,
    len: usize,
}

impl Datagrams {
    pub(super) fn ready(&self, quiet: Ready) -> Ready {
        let error = self.error.is_some();
        Ready { readable: error || !self.arrived.is_empty(), writable: true, error, ..quiet }
    }
}

impl Network {
    pub(super) fn bind(&mut self, process: Process, address: SocketAddr) -> io::Result<u64> {
        let local = self.port_at(process, address)?;
        if self.socket_at(self.machine_of(process), local).is_some() {
            return Err(io::ErrorKind::AddrInUse.into());
        }
        let datagrams = Datagrams { local, remote: None, error: None, arrived: VecDeque::new(), len: 0 };
        self.add_socket(process, Kind::Udp(datagrams))
    }

    /// Returns the socket that receives datagrams to an address of a machine.
    fn socket_at(&self, machine: Machine, address: SocketAddr) -> Option<u64> {
        let suits = |local: SocketAddr| {
            local.port() == address.port() && (local.ip() == address.ip() || local.ip().is_unspecified())
        };
        let mut sockets = self.sockets.iter().filter(|(_, socket)| self.machine_of(socket.process) == machine);
        sockets.find(|(_, socket)| matches!(&socket.kind, Kind::Udp(own) if suits(own.local))).map(|(id, _)| *id)
    }

    fn datagrams(&mut self, id: u64) -> io::Result<&mut Datagrams> {
        match self.sockets.get_mut(&id).map(|socket| &mut socket.kind) {
            Some(Kind::Udp(datagrams)) => Ok(datagrams),
            _ => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    pub(super) fn connect_datagrams(&mut self, id: u64, remote: SocketAddr) -> io::Result<()> {
        let process = self.sockets.get(&id).map(|socket| socket.process).ok_or(io::ErrorKind::NotConnected)?;
        let ip = self.source(process, remote.ip())?;
        let datagrams = self.datagrams(id)?;
        datagrams.remote = Some(remote);
        datagrams.local.set_ip(ip);
        Ok(())
    }

    pub(super) fn send_datagram(&mut self, id: u64, to: Option<SocketAddr>, datagram: &[u8]) -> io::Result<usize> {
        let process = self.sockets.get(&id).map(|socket| socket.process).ok_or(io::ErrorKind::NotConnected)?;
        let own = self.machine_of(process);
        let datagrams = self.datagrams(id)?;
        if let Some(error) = datagrams.error.take() {
            return Err(error.into());
        }
        let destination = to.or(datagrams.remote).ok_or(io::ErrorKind::NotConnected)?;
        let mut source = datagrams.local;
        if source.ip().is_unspecified() {
            source.set_ip(self.source(process, destination.ip())?);
        }
        // Loopback addresses reach only themselves.
        if source.ip().is_loopback() == destination.ip().is_loopback()
            && let Some(machine) = self.at(destination.ip(), own)
        {
            let body = Body::Datagram { from: id, source, destination, bytes: datagram.to_vec() };
            self.send(own, machine, body);
        }
        Ok(datagram.len())
    }

    /// Handles a datagram that reached a machine. Returns false if no socket has its address.
    pub(super) fn take_datagram(
        &mut self,
        machine: Machine,
        source: SocketAddr,
        destination: SocketAddr,
        bytes: Vec<u8>,
    ) -> bool {
        let Some(id) = self.socket_at(machine, destination) else { return false };
        let Ok(datagrams) = self.datagrams(id) else { return false };
        let is_wanted = datagrams.remote.is_none_or(|remote| remote == source);
        if is_wanted && datagrams.len + bytes.len() <= RECEIVE_BUFFER {
            datagrams.len += bytes.len();
            datagrams.arrived.push_back((source, destination.ip(), bytes));
            self.news(id);
        }
        is_wanted
    }

    /// Handles a datagram that reached no socket: a connected socket gets an error.
    pub(super) fn take_nobody(&mut self, id: u64) {
        if let Ok(datagrams) = self.datagrams(id)
            && datagrams.remote.is_some()
        {
            datagrams.error = Some(io::ErrorKind::ConnectionRefused);
            self.news(id);
        }
    }

    pub(super) fn receive_datagram(&mut self, id: u64, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr, IpAddr)> {
        let datagrams = self.datagrams(id)?;
        if let Some(error) = datagrams.error.take() {
            return Err(error.into());
        }
        let (source, asked, bytes) = datagrams.arrived.pop_front().ok_or(io::ErrorKind::WouldBlock)?;
        datagrams.len -= bytes.len();
        let len = bytes.len().min(buffer.len());
        buffer[..len].copy_from_slice(&bytes[..len]);
        Ok((len, source, asked))
    }
}
