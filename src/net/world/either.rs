//! Sockets of the system, or of the network in memory.

use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::time::Duration;

use mio::{Interest, Token};
use quinn_udp::{RecvMeta, Transmit};
use socket2::TcpKeepalive;

use super::Handle;
use super::poll::{Registry, Source};

/// As `mio::net::TcpStream`.
#[derive(Debug)]
pub enum TcpStream {
    Real(mio::net::TcpStream),
    World(Handle),
}

/// As `mio::net::TcpListener`.
#[derive(Debug)]
pub enum TcpListener {
    Real(mio::net::TcpListener),
    World(Handle),
}

/// As `mio::net::UdpSocket`.
#[derive(Debug)]
pub enum UdpSocket {
    Real(mio::net::UdpSocket),
    World(Handle),
}

/// As `quinn_udp::UdpSocketState`.
#[derive(Debug)]
pub enum UdpSocketState {
    Real(quinn_udp::UdpSocketState),
    World,
}

/// As `quinn_udp::UdpSockRef`.
#[derive(Debug)]
pub struct UdpSockRef<'a>(&'a UdpSocket);

/// As `socket2::SockRef`, of TCP connections.
#[derive(Debug)]
pub enum SockRef<'a> {
    Real(socket2::SockRef<'a>),
    World(&'a Handle),
}

/// Does the same with either kind.
macro_rules! either {
    ($self:expr, $type:ident, $socket:ident => $real:expr, $handle:ident => $world:expr) => {
        match $self {
            $type::Real($socket) => $real,
            $type::World($handle) => $world,
        }
    };
}

impl TcpStream {
    pub fn connect(address: SocketAddr) -> io::Result<TcpStream> {
        match Handle::made(|network, process| network.connect(process, address)) {
            Some(made) => made.map(TcpStream::World),
            None => mio::net::TcpStream::connect(address).map(TcpStream::Real),
        }
    }

    pub fn from_std(stream: std::net::TcpStream) -> TcpStream {
        TcpStream::Real(mio::net::TcpStream::from_std(stream))
    }

    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        either!(self, TcpStream, socket => socket.peer_addr(), world => world.network().peer_addr(world.id))
    }

    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        either!(self, TcpStream, socket => socket.local_addr(), world => world.network().local_addr(world.id))
    }

    pub fn take_error(&self) -> io::Result<Option<io::Error>> {
        either!(self, TcpStream, socket => socket.take_error(), world => Ok(world.network().take_error(world.id)))
    }

    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        either!(self, TcpStream, socket => socket.shutdown(how), world => {
            assert_ne!(how, Shutdown::Read, "nobody asks for that");
            world.network().shut_down(world.id, how == Shutdown::Both)
        })
    }

    pub fn set_nodelay(&self, nodelay: bool) -> io::Result<()> {
        either!(self, TcpStream, socket => socket.set_nodelay(nodelay), _world => Ok(()))
    }

    pub fn peek(&self, buffer: &mut [u8]) -> io::Result<usize> {
        either!(self, TcpStream, socket => socket.peek(buffer), world => world.network().peek(world.id, buffer))
    }
}

impl Read for TcpStream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        either!(self, TcpStream, socket => socket.read(buffer), world => world.network().read(world.id, buffer))
    }
}

impl Write for TcpStream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        either!(self, TcpStream, socket => socket.write(bytes), world => world.network().write(world.id, bytes))
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let either = either!(self, TcpStream, socket => return socket.write_vectored(slices), world => world);
        let bytes: Vec<u8> = slices.iter().flat_map(|slice| slice.iter().copied()).collect();
        either.network().write(either.id, &bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl TcpListener {
    /// Listens in the simulated network that this code runs in, if there is one.
    pub(crate) fn in_world(address: SocketAddr) -> Option<io::Result<TcpListener>> {
        let made = Handle::made(|network, process| network.listen(process, address))?;
        Some(made.map(TcpListener::World))
    }

    pub fn from_std(listener: std::net::TcpListener) -> TcpListener {
        TcpListener::Real(mio::net::TcpListener::from_std(listener))
    }

    pub fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        either!(self, TcpListener, socket => {
            let (stream, remote) = socket.accept()?;
            Ok((TcpStream::Real(stream), remote))
        }, world => {
            let (id, remote) = world.network().accept(world.id)?;
            Ok((TcpStream::World(world.beside(id)), remote))
        })
    }

    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        either!(self, TcpListener, socket => socket.local_addr(), world => world.network().local_addr(world.id))
    }
}

impl UdpSocket {
    pub fn bind(address: SocketAddr) -> io::Result<UdpSocket> {
        match Handle::made(|network, process| network.bind(process, address)) {
            Some(made) => made.map(UdpSocket::World),
            None => mio::net::UdpSocket::bind(address).map(UdpSocket::Real),
        }
    }

    pub fn connect(&self, address: SocketAddr) -> io::Result<()> {
        either!(self, UdpSocket, socket => socket.connect(address),
            world => world.network().connect_datagrams(world.id, address))
    }

    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        either!(self, UdpSocket, socket => socket.local_addr(), world => world.network().local_addr(world.id))
    }

    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        either!(self, UdpSocket, socket => socket.peer_addr(), world => world.network().peer_addr(world.id))
    }

    pub fn take_error(&self) -> io::Result<Option<io::Error>> {
        either!(self, UdpSocket, socket => socket.take_error(), world => Ok(world.network().take_error(world.id)))
    }

    pub fn send(&self, datagram: &[u8]) -> io::Result<usize> {
        either!(self, UdpSocket, socket => socket.send(datagram),
            world => world.network().send_datagram(world.id, None, datagram))
    }

    pub fn send_to(&self, datagram: &[u8], target: SocketAddr) -> io::Result<usize> {
        either!(self, UdpSocket, socket => socket.send_to(datagram, target),
            world => world.network().send_datagram(world.id, Some(target), datagram))
    }

    pub fn recv(&self, buffer: &mut [u8]) -> io::Result<usize> {
        either!(self, UdpSocket, socket => socket.recv(buffer),
            world => world.network().receive_datagram(world.id, buffer).map(|(len, ..)| len))
    }

    pub fn recv_from(&self, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        either!(self, UdpSocket, socket => socket.recv_from(buffer),
            world => world.network().receive_datagram(world.id, buffer).map(|(len, source, _)| (len, source)))
    }

    /// Returns the system's socket, for options that the simulated network lacks.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    pub(crate) fn real(&self) -> Option<&mio::net::UdpSocket> {
        either!(self, UdpSocket, socket => Some(socket), _world => None)
    }
}

impl<'a> From<&'a UdpSocket> for UdpSockRef<'a> {
    fn from(socket: &'a UdpSocket) -> UdpSockRef<'a> {
        UdpSockRef(socket)
    }
}

impl UdpSocketState {
    pub fn new(socket: UdpSockRef<'_>) -> io::Result<UdpSocketState> {
        either!(socket.0, UdpSocket, socket => quinn_udp::UdpSocketState::new(socket.into()).map(UdpSocketState::Real),
            _world => Ok(UdpSocketState::World))
    }

    pub fn set_send_buffer_size(&self, socket: UdpSockRef<'_>, bytes: usize) -> io::Result<()> {
        match (self, socket.0) {
            (UdpSocketState::Real(state), UdpSocket::Real(socket)) => state.set_send_buffer_size(socket.into(), bytes),
            _ => Ok(()),
        }
    }

    pub fn set_recv_buffer_size(&self, socket: UdpSockRef<'_>, bytes: usize) -> io::Result<()> {
        match (self, socket.0) {
            (UdpSocketState::Real(state), UdpSocket::Real(socket)) => state.set_recv_buffer_size(socket.into(), bytes),
            _ => Ok(()),
        }
    }

    pub fn recv_buffer_size(&self, socket: UdpSockRef<'_>) -> io::Result<usize> {
        match (self, socket.0) {
            (UdpSocketState::Real(state), UdpSocket::Real(socket)) => state.recv_buffer_size(socket.into()),
            _ => Ok(usize::MAX),
        }
    }

    pub fn max_gso_segments(&self) -> usize {
        match self {
            UdpSocketState::Real(state) => state.max_gso_segments(),
            UdpSocketState::World => 64,
        }
    }

    pub fn recv(
        &self,
        socket: UdpSockRef<'_>,
        buffers: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> io::Result<usize> {
        let world = match (self, socket.0) {
            (UdpSocketState::Real(state), UdpSocket::Real(socket)) => return state.recv(socket.into(), buffers, meta),
            (_, UdpSocket::World(world)) => world,
            (UdpSocketState::World, UdpSocket::Real(_)) => return Err(io::ErrorKind::InvalidInput.into()),
        };
        let (len, source, asked) = world.network().receive_datagram(world.id, &mut buffers[0])?;
        let mut received = RecvMeta::default();
        (received.addr, received.len, received.stride, received.dst_ip) = (source, len, len, Some(asked));
        meta[0] = received;
        Ok(1)
    }

    pub fn try_send(&self, socket: UdpSockRef<'_>, transmit: &Transmit<'_>) -> io::Result<()> {
        let world = match (self, socket.0) {
            (UdpSocketState::Real(state), UdpSocket::Real(socket)) => return state.try_send(socket.into(), transmit),
            (_, UdpSocket::World(world)) => world,
            (UdpSocketState::World, UdpSocket::Real(_)) => return Err(io::ErrorKind::InvalidInput.into()),
        };
        for datagram in transmit.contents.chunks(transmit.segment_size.unwrap_or(transmit.contents.len()).max(1)) {
            world.network().send_datagram(world.id, Some(transmit.destination), datagram)?;
        }
        Ok(())
    }
}

impl<'a> From<&'a TcpStream> for SockRef<'a> {
    fn from(stream: &'a TcpStream) -> SockRef<'a> {
        either!(stream, TcpStream, socket => SockRef::Real(socket2::SockRef::from(socket)), world => SockRef::World(world))
    }
}

impl SockRef<'_> {
    pub fn set_linger(&self, linger: Option<Duration>) -> io::Result<()> {
        either!(self, SockRef, socket => socket.set_linger(linger), world => {
            world.network().set_abrupt(world.id, linger == Some(Duration::ZERO));
            Ok(())
        })
    }

    pub fn set_tcp_keepalive(&self, keepalive: &TcpKeepalive) -> io::Result<()> {
        either!(self, SockRef, socket => socket.set_tcp_keepalive(keepalive), _world => Ok(()))
    }

    #[cfg(any(target_os = "linux", target_os = "android"))]
    pub fn set_tcp_notsent_lowat(&self, bytes: u32) -> io::Result<()> {
        either!(self, SockRef, socket => socket.set_tcp_notsent_lowat(bytes), _world => Ok(()))
    }

    #[cfg(any(target_os = "linux", target_os = "android"))]
    pub fn tcp_notsent_lowat(&self) -> io::Result<u32> {
        either!(self, SockRef, socket => socket.tcp_notsent_lowat(), _world => Ok(0))
    }
}

/// Registers either kind.
macro_rules! source {
    ($type:ident) => {
        impl Source for $type {
            fn register(&mut self, registry: &Registry, token: Token, interests: Interest) -> io::Result<()> {
                either!(self, $type, socket => Source::register(socket, registry, token, interests),
                    world => world.register(registry, token, interests))
            }

            fn reregister(&mut self, registry: &Registry, token: Token, interests: Interest) -> io::Result<()> {
                either!(self, $type, socket => Source::reregister(socket, registry, token, interests),
                    world => world.reregister(registry, token, interests))
            }

            fn deregister(&mut self, registry: &Registry) -> io::Result<()> {
                either!(self, $type, socket => Source::deregister(socket, registry),
                    world => world.deregister(registry))
            }
        }
    };
}

source!(TcpStream);
source!(TcpListener);
source!(UdpSocket);
