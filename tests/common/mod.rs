//! Common parts of the end-to-end tests: the real binary as a process, small services behind the tunnel, and the
//! resources of a process.

// Every test binary includes all of this and uses a part.
#![allow(dead_code)]

pub(crate) mod bytes;
pub(crate) mod chromium;
pub(crate) mod folder;
pub(crate) mod http;
pub(crate) mod pinhole;
pub(crate) mod process;
pub(crate) mod proxy;
pub(crate) mod services;
pub(crate) mod sides;
pub(crate) mod system;

use std::io::{self, Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicU16, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use socket2::{Domain, Socket, Type};

/// Limit for anything that should be immediate: a bound on hopeless waiting, not a measurement.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);

/// Any free port of this machine.
pub(crate) fn any_port() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

/// Connects with deadlines for connecting, reading and writing.
pub(crate) fn connect(address: SocketAddr) -> TcpStream {
    try_connect(address).unwrap()
}

/// Like [`connect`], for connections that may be reset so soon that connecting fails.
pub(crate) fn try_connect(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&address, DEADLINE)?;
    stream.set_read_timeout(Some(DEADLINE))?;
    stream.set_write_timeout(Some(DEADLINE))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Connects from another address of this machine: 127.0.0.`last`.
pub(crate) fn connect_from(last: u8, address: SocketAddr) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from(([127, 0, 0, last], 0)).into()).unwrap();
    socket.connect_timeout(&address.into(), DEADLINE).unwrap();
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream.set_write_timeout(Some(DEADLINE)).unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

/// Sends a word to an echo service and waits for it.
#[track_caller]
pub(crate) fn ping(stream: &mut TcpStream) {
    stream.write_all(b"ping").unwrap();
    let mut answer = [0; 4];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"ping");
}

/// Tells whether the other side has ended a connection. Reads its data, and makes it non-blocking.
pub(crate) fn has_ended(mut stream: &TcpStream) -> bool {
    stream.set_nonblocking(true).unwrap();
    loop {
        match stream.read(&mut [0; 1024]) {
            Ok(0) => return true,
            // A refusal, with the end behind it.
            Ok(_) => {}
            Err(error) => return error.kind() != io::ErrorKind::WouldBlock,
        }
    }
}

/// Tells whether the other side has not ended all of these connections. Checks the last ones first.
pub(crate) fn some_are_open<'a>(
    streams: impl IntoIterator<Item = &'a TcpStream, IntoIter: DoubleEndedIterator>,
) -> bool {
    streams.into_iter().rev().any(|stream| !has_ended(stream))
}

/// A port on which nothing listens, reserved for as long as this exists.
pub(crate) struct ReservedPort {
    socket: Socket,
    pub(crate) address: SocketAddr,
}

impl ReservedPort {
    pub(crate) fn new() -> ReservedPort {
        ReservedPort::at(Ipv4Addr::LOCALHOST)
    }

    /// A port of another address of this machine.
    pub(crate) fn at(address: Ipv4Addr) -> ReservedPort {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.set_reuse_address(true).unwrap();
        socket.bind(&SocketAddr::from((address, 0)).into()).unwrap();
        let address = socket.local_addr().unwrap().as_socket().unwrap();
        ReservedPort { socket, address }
    }

    /// Starts to listen there.
    pub(crate) fn listen(self) -> TcpListener {
        self.socket.listen(128).unwrap();
        self.socket.into()
    }
}

/// Returns a port of localhost that is free for TCP and UDP and in both address families. It is outside of the
/// ephemeral range, which starts at 32768 and from which the system serves other tests.
pub(crate) fn quiet_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let first = 20_000 + (std::process::id() % 1_000) as u16 * 10;
    let is_free = |port: &u16| {
        let mut loopbacks = vec![IpAddr::from(Ipv4Addr::LOCALHOST)];
        loopbacks
            .extend(TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_ok().then_some(IpAddr::from(Ipv6Addr::LOCALHOST)));
        loopbacks
            .into_iter()
            .all(|address| TcpListener::bind((address, *port)).is_ok() && UdpSocket::bind((address, *port)).is_ok())
    };
    (0..2_000).map(|_| first + NEXT.fetch_add(1, Ordering::Relaxed)).find(is_free).unwrap()
}

/// Waits for a condition that is not announced: a port that is free, a descriptor that is closed.
#[track_caller]
pub(crate) fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !is_so() {
        assert!(Instant::now() < deadline, "not in time: {what}");
        // Leaves the processor to those who are waited for.
        thread::park_timeout(Duration::from_millis(5));
    }
}
