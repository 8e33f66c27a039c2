//! A UDP socket for programs, which answers from the address that was asked.

use std::io::{self, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::system::{Interest, RecvMeta, Registry, Source, Token, Transmit, UdpSocket, UdpSocketState};

/// A bound socket. If bound to every address, it learns the destination of each datagram: programs drop answers from
/// another address.
#[derive(Debug)]
pub struct ProgramSocket {
    socket: UdpSocket,
    local: SocketAddr,
    /// For reading the destination; `None` for a socket at one address.
    state: Option<UdpSocketState>,
}

/// The result of one [`ProgramSocket::receive`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Received {
    /// Bytes in the buffer.
    pub len: usize,
    /// Length of each datagram but the last, which may be shorter.
    pub stride: usize,
    /// The sender.
    pub source: SocketAddr,
    /// The address it was sent to, if the socket is bound to every address.
    pub asked: Option<IpAddr>,
}

impl ProgramSocket {
    /// Binds a socket; port 0 lets the system choose. `[::]` takes IPv4 too, and is IPv4 only where there is no IPv6.
    ///
    /// # Errors
    /// The system's.
    pub fn bind(address: SocketAddr) -> io::Result<ProgramSocket> {
        let socket = match UdpSocket::bind(address) {
            Err(error) if address.ip().is_unspecified() && super::listen::lacks_family(&error) => {
                UdpSocket::bind((Ipv4Addr::UNSPECIFIED, address.port()).into())?
            }
            bound => bound?,
        };
        let local = socket.local_addr()?;
        let state = if local.ip().is_unspecified() { Some(UdpSocketState::new((&socket).into())?) } else { None };
        if state.is_some() {
            let_fragments_pass(&socket, local.is_ipv6());
        }
        Ok(ProgramSocket { socket, local, state })
    }

    /// Returns the bound address.
    pub fn local(&self) -> SocketAddr {
        self.local
    }

    /// Receives datagrams of one sender.
    ///
    /// # Errors
    /// The system's; an error may be one of a datagram that was sent earlier.
    pub fn receive(&self, buffer: &mut [u8]) -> io::Result<Received> {
        let Some(state) = &self.state else {
            let (len, source) = self.socket.recv_from(buffer)?;
            return Ok(Received { len, stride: len, source, asked: None });
        };
        let mut meta = [RecvMeta::default()];
        state.recv((&self.socket).into(), &mut [IoSliceMut::new(buffer)], &mut meta)?;
        let [RecvMeta { addr, len, stride, dst_ip, .. }] = meta;
        Ok(Received { len, stride, source: addr, asked: dst_ip.map(|address| address.to_canonical()) })
    }

    /// Answers a program, from the address it asked.
    ///
    /// # Errors
    /// The system's.
    pub fn send(&self, payload: &[u8], program: SocketAddr, asked: Option<IpAddr>) -> io::Result<()> {
        let Some(state) = &self.state else { return self.socket.send_to(payload, program).map(drop) };
        // A multicast or broadcast address cannot be a source.
        let src_ip = asked.filter(|address| !address.is_multicast() && *address != IpAddr::V4(Ipv4Addr::BROADCAST));
        let transmit = Transmit { destination: program, ecn: None, contents: payload, segment_size: None, src_ip };
        state.try_send((&self.socket).into(), &transmit)
    }
}

/// Allows fragmentation of datagrams that are longer than the network's packets, as on any other socket: quinn-udp is
/// made for QUIC, which forbids it.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn let_fragments_pass(socket: &UdpSocket, is_ipv6: bool) {
    use rustix::net::sockopt::{
        Ipv4PathMtuDiscovery, Ipv6PathMtuDiscovery, set_ip_mtu_discover, set_ipv6_mtu_discover,
    };
    #[cfg(test)]
    let Some(socket) = socket.real() else { return };
    // An IPv6 socket may carry IPv4, too. If this fails, only long datagrams are lost.
    let _ = set_ip_mtu_discover(socket, Ipv4PathMtuDiscovery::WANT);
    if is_ipv6 {
        let _ = set_ipv6_mtu_discover(socket, Ipv6PathMtuDiscovery::WANT);
    }
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn let_fragments_pass(_socket: &UdpSocket, _is_ipv6: bool) {}

impl Source for ProgramSocket {
    fn register(&mut self, registry: &Registry, token: Token, interests: Interest) -> io::Result<()> {
        self.socket.register(registry, token, interests)
    }

    fn reregister(&mut self, registry: &Registry, token: Token, interests: Interest) -> io::Result<()> {
        self.socket.reregister(registry, token, interests)
    }

    fn deregister(&mut self, registry: &Registry) -> io::Result<()> {
        self.socket.deregister(registry)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    /// Asks at an address of this machine, with a socket that takes answers only from there.
    fn ask(bind: &str, from: &str, at: IpAddr, len: usize) {
        let socket = ProgramSocket::bind(bind.parse().unwrap()).unwrap();
        let program = std::net::UdpSocket::bind(from).unwrap();
        program.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        program.connect((at, socket.local().port())).unwrap();
        program.send(&vec![7; len]).unwrap();
        let mut buffer = vec![0; 65_535];
        let received = loop {
            match socket.receive(&mut buffer) {
                Ok(received) => break received,
                Err(error) => assert_eq!(error.kind(), io::ErrorKind::WouldBlock),
            }
        };
        assert_eq!((received.len, received.stride.max(received.len)), (len, len));
        assert_eq!(received.asked, Some(at));
        socket.send(&buffer[..len], received.source, received.asked).unwrap();
        assert_eq!(program.recv(&mut buffer).unwrap(), len, "{bind} asked at {at}");
    }

    #[test]
    fn answers_come_from_the_address_that_was_asked() {
        for at in ["127.0.0.1", "127.0.0.2"] {
            ask("0.0.0.0:0", "127.0.0.1:0", at.parse().unwrap(), 100);
        }
        // Longer than any packet.
        ask("0.0.0.0:0", "127.0.0.1:0", [127, 0, 0, 9].into(), 65_507);
        if std::net::UdpSocket::bind("[::1]:0").is_ok() {
            ask("[::]:0", "[::1]:0", "::1".parse().unwrap(), 100);
            ask("[::]:0", "127.0.0.1:0", [127, 0, 0, 2].into(), 100);
        }
    }

    #[test]
    fn one_address_is_asked_at_one_address() {
        let socket = ProgramSocket::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let program = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        program.send_to(b"hello", socket.local()).unwrap();
        let mut buffer = [0; 16];
        let received = loop {
            match socket.receive(&mut buffer) {
                Ok(received) => break received,
                Err(error) => assert_eq!(error.kind(), io::ErrorKind::WouldBlock),
            }
        };
        let source = program.local_addr().unwrap();
        assert_eq!(received, Received { len: 5, stride: 5, source, asked: None });
    }
}
