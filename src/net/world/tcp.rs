//! TCP connections as a program sees them: order, ends, resets, room.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::network::{Kind, Machine, Network, Process};
use super::poll::Ready;
use super::traffic::{Body, Segment};

/// Maximum number of bytes in transit and unread in one direction.
const WINDOW: usize = 64 * 1024;

/// How long the system tries to connect (tcp_syn_retries of 6).
const CONNECT_TIMEOUT: Duration = Duration::from_secs(127);

/// A listening socket.
pub(super) struct Listening {
    local: SocketAddr,
    backlog: VecDeque<(u64, SocketAddr)>,
}

/// One end of a connection.
pub(super) struct Tcp {
    local: SocketAddr,
    remote: SocketAddr,
    /// Socket of the other end, and its machine.
    peer: u64,
    machine: Machine,
    state: State,
    arrived: VecDeque<u8>,
    has_end_arrived: bool,
    has_sent_end: bool,
    /// The error that the next call reports.
    error: Option<io::ErrorKind>,
    /// Bytes sent that the other end has not read yet.
    unread: usize,
    /// A write found no room; an event follows when there is some.
    is_full: bool,
    is_abrupt: bool,
    /// When the last sent data arrives.
    pub(super) arrives_at: Instant,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Connecting,
    Open,
    /// Refused, reset, or given up.
    Dead,
}

impl Listening {
    pub(super) fn is_empty(&self) -> bool {
        self.backlog.is_empty()
    }
}

impl Tcp {
    fn new(local: SocketAddr, remote: SocketAddr, machine: Machine, now: Instant) -> Tcp {
        Tcp {
            local,
            remote,
            peer: 0,
            machine,
            state: State::Connecting,
            arrived: VecDeque::new(),
            has_end_arrived: false,
            has_sent_end: false,
            error: None,
            unread: 0,
            is_full: false,
            is_abrupt: false,
            arrives_at: now,
        }
    }

    pub(super) fn ready(&self, quiet: Ready) -> Ready {
        if self.state == State::Connecting {
            return quiet;
        }
        let is_dead = self.state == State::Dead;
        let is_over = is_dead || self.has_end_arrived && self.has_sent_end;
        Ready {
            readable: is_dead || !self.arrived.is_empty() || self.has_end_arrived,
            writable: is_dead || self.has_sent_end || self.unread < WINDOW,
            error: self.error.is_some(),
            read_closed: is_dead || self.has_end_arrived,
            write_closed: is_over,
            ..quiet
        }
    }

    fn die(&mut self, error: io::ErrorKind) {
        self.state = State::Dead;
        self.error = Some(error);
    }
}

impl Network {
    pub(super) fn listen(&mut self, process: Process, address: SocketAddr) -> io::Result<u64> {
        let local = self.port_at(process, address)?;
        if self.listener_at(self.machine_of(process), local).is_some() {
            return Err(io::ErrorKind::AddrInUse.into());
        }
        self.add_socket(process, Kind::Listener(Listening { local, backlog: VecDeque::new() }))
    }

    /// Returns the socket that listens at an address of a machine.
    fn listener_at(&self, machine: Machine, address: SocketAddr) -> Option<u64> {
        let suits = |local: SocketAddr| {
            let is_every = local.ip().is_unspecified() && (local.is_ipv4() == address.is_ipv4() || local.is_ipv6());
            local.port() == address.port() && (local.ip() == address.ip() || is_every || address.ip().is_unspecified())
        };
        let mut sockets = self.sockets.iter().filter(|(_, socket)| self.machine_of(socket.process) == machine);
        sockets.find(|(_, socket)| matches!(&socket.kind, Kind::Listener(own) if suits(own.local))).map(|(id, _)| *id)
    }

    pub(super) fn accept(&mut self, id: u64) -> io::Result<(u64, SocketAddr)> {
        let first = match self.sockets.get(&id).map(|socket| &socket.kind) {
            Some(Kind::Listener(listening)) => listening.backlog.front().copied(),
            _ => return Err(io::ErrorKind::InvalidInput.into()),
        };
        let (first, remote) = first.ok_or(io::ErrorKind::WouldBlock)?;
        self.give_descriptor(first)?;
        if let Some(Kind::Listener(listening)) = self.sockets.get_mut(&id).map(|socket| &mut socket.kind) {
            listening.backlog.pop_front();
        }
        Ok((first, remote))
    }

    pub(super) fn connect(&mut self, process: Process, remote: SocketAddr) -> io::Result<u64> {
        let (own, ip) = (self.machine_of(process), self.source(process, remote.ip())?);
        self.attempts.push((own, remote, self.now));
        let local = SocketAddr::new(ip, self.free_port());
        // Packets to an address that no machine has get lost.
        let machine = self.at(remote.ip(), own);
        let tcp = Tcp::new(local, remote, machine.unwrap_or(own), self.now);
        let id = self.add_socket(process, Kind::Tcp(tcp))?;
        if let Some(machine) = machine {
            self.send(own, machine, Body::Syn { from: id, local, remote });
        }
        self.later(own, CONNECT_TIMEOUT, Body::Expired { socket: id });
        Ok(id)
    }

    /// Handles a connection request to an address of a machine.
    pub(super) fn take_syn(&mut self, machine: Machine, from: u64, remote: SocketAddr, local: SocketAddr) {
        let Some(other) = self.sockets.get(&from).map(|socket| self.machine_of(socket.process)) else { return };
        let Some(listener) = self.listener_at(machine, local) else {
            return self.send(machine, other, Body::Segment { to: from, from: 0, segment: Segment::Refused });
        };
        let process = self.sockets[&listener].process;
        let mut tcp = Tcp::new(local, remote, other, self.now);
        (tcp.state, tcp.peer) = (State::Open, from);
        let id = self.add_unaccepted(process, Kind::Tcp(tcp));
        if let Some(Kind::Listener(listening)) = self.sockets.get_mut(&listener).map(|socket| &mut socket.kind) {
            listening.backlog.push_back((id, remote));
        }
        self.news(listener);
        self.send(machine, other, Body::Segment { to: from, from: id, segment: Segment::Accepted });
    }

    pub(super) fn expire(&mut self, id: u64) {
        if let Some(tcp) = self.tcp(id).filter(|tcp| tcp.state == State::Connecting) {
            tcp.die(io::ErrorKind::TimedOut);
            self.news(id);
        }
    }

    pub(super) fn take_segment(&mut self, to: u64, from: u64, segment: Segment) {
        let Some(tcp) = self.tcp(to) else {
            // The connection is unknown here, or gone.
            if !matches!(segment, Segment::Reset | Segment::Refused) {
                self.reset(from);
            }
            return;
        };
        match (segment, tcp.state) {
            (Segment::Accepted, State::Connecting) => (tcp.state, tcp.peer) = (State::Open, from),
            (Segment::Refused, State::Connecting) => tcp.die(io::ErrorKind::ConnectionRefused),
            (Segment::Data(bytes), State::Open) => tcp.arrived.extend(bytes),
            (Segment::End, State::Open) => tcp.has_end_arrived = true,
            (Segment::Reset, State::Open) if tcp.has_end_arrived => tcp.die(io::ErrorKind::BrokenPipe),
            (Segment::Reset, State::Open | State::Connecting) => tcp.die(io::ErrorKind::ConnectionReset),
            _ => return,
        }
        self.news(to);
    }

    /// Sends a reset to the other end of an unknown connection.
    fn reset(&mut self, to: u64) {
        let Some(other) = self.sockets.get(&to).map(|socket| self.machine_of(socket.process)) else { return };
        let Some(machine) = self.tcp(to).map(|tcp| tcp.machine) else { return };
        self.send(machine, other, Body::Segment { to, from: 0, segment: Segment::Reset });
    }

    fn tcp(&mut self, id: u64) -> Option<&mut Tcp> {
        match &mut self.sockets.get_mut(&id)?.kind {
            Kind::Tcp(tcp) => Some(tcp),
            Kind::Listener(_) | Kind::Udp(_) => None,
        }
    }

    fn open_tcp(&mut self, id: u64) -> io::Result<&mut Tcp> {
        self.tcp(id).ok_or_else(|| io::ErrorKind::NotConnected.into())
    }

    pub(super) fn peek(&mut self, id: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let tcp = self.open_tcp(id)?;
        if tcp.arrived.is_empty() {
            return tcp.say_nothing_more();
        }
        let len = buffer.len().min(tcp.arrived.len());
        buffer.iter_mut().zip(&tcp.arrived).for_each(|(to, from)| *to = *from);
        Ok(len)
    }

    pub(super) fn read(&mut self, id: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let len = self.peek(id, buffer)?;
        let tcp = self.open_tcp(id)?;
        tcp.arrived.drain(..len);
        let peer = tcp.peer;
        if let Some(other) = self.tcp(peer) {
            other.unread = other.unread.saturating_sub(len);
            if len > 0 && std::mem::take(&mut other.is_full) {
                self.news(peer);
            }
        }
        Ok(len)
    }

    pub(super) fn write(&mut self, id: u64, bytes: &[u8]) -> io::Result<usize> {
        let process = self.sockets.get(&id).map(|socket| socket.process);
        let own = self.machine_of(process.ok_or(io::ErrorKind::NotConnected)?);
        let tcp = self.open_tcp(id)?;
        if let Some(error) = tcp.error.take() {
            return Err(error.into());
        }
        if tcp.has_sent_end || tcp.state == State::Dead {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        let room = if tcp.state == State::Open { WINDOW - tcp.unread } else { 0 };
        let len = room.min(bytes.len());
        tcp.is_full = len < bytes.len();
        if len == 0 && !bytes.is_empty() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        tcp.unread += len;
        let (to, machine) = (tcp.peer, tcp.machine);
        self.send(own, machine, Body::Segment { to, from: id, segment: Segment::Data(bytes[..len].to_vec()) });
        Ok(len)
    }

    pub(super) fn shut_down(&mut self, id: u64, ends_reading: bool) -> io::Result<()> {
        let process = self.sockets.get(&id).map(|socket| socket.process);
        let own = self.machine_of(process.ok_or(io::ErrorKind::NotConnected)?);
        let tcp = self.open_tcp(id)?;
        if tcp.state != State::Open {
            return Err(io::ErrorKind::NotConnected.into());
        }
        if ends_reading {
            tcp.arrived.clear();
            tcp.has_end_arrived = true;
        }
        if !std::mem::replace(&mut tcp.has_sent_end, true) {
            let (to, machine) = (tcp.peer, tcp.machine);
            self.send(own, machine, Body::Segment { to, from: id, segment: Segment::End });
        }
        Ok(())
    }

    pub(super) fn set_abrupt(&mut self, id: u64, is_abrupt: bool) {
        if let Some(tcp) = self.tcp(id) {
            tcp.is_abrupt = is_abrupt;
        }
    }

    pub(super) fn take_error(&mut self, id: u64) -> Option<io::Error> {
        match &mut self.sockets.get_mut(&id)?.kind {
            Kind::Tcp(tcp) => tcp.error.take().map(io::Error::from),
            Kind::Udp(datagrams) => datagrams.error.take().map(io::Error::from),
            Kind::Listener(_) => None,
        }
    }

    pub(super) fn local_addr(&self, id: u64) -> io::Result<SocketAddr> {
        match self.sockets.get(&id).map(|socket| &socket.kind) {
            Some(Kind::Tcp(tcp)) => Ok(tcp.local),
            Some(Kind::Listener(listening)) => Ok(listening.local),
            Some(Kind::Udp(datagrams)) => Ok(datagrams.local),
            None => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    pub(super) fn peer_addr(&self, id: u64) -> io::Result<SocketAddr> {
        match self.sockets.get(&id).map(|socket| &socket.kind) {
            Some(Kind::Tcp(tcp)) if tcp.state == State::Open => Ok(tcp.remote),
            Some(Kind::Udp(datagrams)) => datagrams.remote.ok_or_else(|| io::ErrorKind::NotConnected.into()),
            _ => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    /// Closes a socket as the system does: if data was unread, or still arrives, the connection ends with a reset.
    pub(super) fn close(&mut self, id: u64) {
        let Some(socket) = self.forget(id) else { return };
        let own = self.machine_of(socket.process);
        match socket.kind {
            Kind::Listener(listening) => listening.backlog.into_iter().for_each(|(id, _)| self.abort(id)),
            Kind::Tcp(tcp) if tcp.state == State::Open => {
                let is_over = tcp.has_sent_end && tcp.has_end_arrived;
                let segment = match tcp.is_abrupt || !tcp.arrived.is_empty() {
                    true if is_over && tcp.arrived.is_empty() => return,
                    true => Segment::Reset,
                    false if tcp.has_sent_end => return,
                    false => Segment::End,
                };
                // It arrives after the data sent before, although the sender is gone.
                let at = tcp.arrives_at.saturating_duration_since(self.now);
                self.send_after(own, tcp.machine, at, Body::Segment { to: tcp.peer, from: id, segment });
            }
            Kind::Tcp(_) | Kind::Udp(_) => {}
        }
    }

    /// Ends a connection that was never accepted.
    fn abort(&mut self, id: u64) {
        self.set_abrupt(id, true);
        self.close(id);
    }
}

impl Tcp {
    /// Returns the result of a read that finds no data.
    fn say_nothing_more(&mut self) -> io::Result<usize> {
        match self.error.take() {
            // A reader sees an end in order.
            Some(io::ErrorKind::BrokenPipe) => Ok(0),
            Some(error) => Err(error.into()),
            None if self.has_end_arrived || self.state == State::Dead => Ok(0),
            None => Err(io::ErrorKind::WouldBlock.into()),
        }
    }
}
