//! Listening TCP sockets, and options of accepted ones.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use log::debug;
use socket2::{Domain, Protocol, Socket, TcpKeepalive, Type};
use thiserror::Error;

use super::system::{SockRef, TcpListener, TcpStream};

/// Connections the system queues for `accept`.
const BACKLOG: i32 = 1024;

/// Ports that are tried to find one that is free at two addresses.
const TRIES: usize = 8;

/// Why a local address cannot be listened on, in words for people.
#[derive(Debug, Error)]
pub enum ListenError {
    /// Another socket listens there.
    #[error(
        "{addr} is already in use: end the program that listens there, or choose another port (0 lets the system choose)"
    )]
    InUse {
        /// The requested address.
        addr: SocketAddr,
    },
    /// The system does not let this user listen there.
    #[error(
        "listening on {addr} is not permitted: ports below 1024 usually need administrator rights; choose a higher port"
    )]
    Denied {
        /// The requested address.
        addr: SocketAddr,
    },
    /// No interface of this machine has the address.
    #[error(
        "{addr} is not an address of this machine: use 127.0.0.1 for this machine only, or 0.0.0.0 for every interface"
    )]
    NotLocal {
        /// The requested address.
        addr: SocketAddr,
    },
    /// A unix socket cannot be listened on.
    #[error("cannot listen on unix:{}: {source}", path.display())]
    Path {
        /// The requested path.
        path: std::path::PathBuf,
        /// The reason.
        source: io::Error,
    },
    /// Another error.
    #[error("cannot listen on {addr}: {source}")]
    Other {
        /// The requested address.
        addr: SocketAddr,
        /// The system's reason.
        source: io::Error,
    },
}

/// Listens on a TCP address; port 0 lets the system choose. `[::]` takes IPv4 too, where the system allows it.
///
/// # Errors
/// [`ListenError`], which says what to do next.
pub fn listen(addr: SocketAddr) -> Result<TcpListener, ListenError> {
    bind(addr).map_err(|source| ListenError::new(addr, source))
}

impl ListenError {
    /// Creates the error for an address that cannot be listened on.
    pub fn new(addr: SocketAddr, source: io::Error) -> ListenError {
        match source.kind() {
            io::ErrorKind::AddrInUse => ListenError::InUse { addr },
            io::ErrorKind::PermissionDenied => ListenError::Denied { addr },
            io::ErrorKind::AddrNotAvailable => ListenError::NotLocal { addr },
            _ => ListenError::Other { addr, source },
        }
    }
}

/// The result for the second address of a port.
#[derive(Debug)]
pub enum Second<T> {
    /// The port was bound there, too.
    Taken(T),
    /// Another program has the port there.
    InUse(SocketAddr),
    /// There is no second address.
    Absent,
}

/// Binds a port at one address and, if it is free there, at a second one. For port 0, looks for a port that is free at
/// both.
///
/// # Errors
/// The first address cannot be bound.
pub fn take_both<T>(
    mut addresses: impl Iterator<Item = SocketAddr>,
    bind: impl Fn(SocketAddr) -> Result<(T, SocketAddr), ListenError>,
) -> Result<(T, SocketAddr, Second<T>), ListenError> {
    let (Some(first), second) = (addresses.next(), addresses.next()) else {
        return Err(ListenError::Other {
            addr: (Ipv4Addr::LOCALHOST, 0).into(),
            source: io::ErrorKind::InvalidInput.into(),
        });
    };
    for left in (0..if first.port() == 0 { TRIES } else { 1 }).rev() {
        let (taken, bound) = bind(first)?;
        let Some(second) = second else { return Ok((taken, bound, Second::Absent)) };
        match bind((second.ip(), bound.port()).into()) {
            Ok((second, _)) => return Ok((taken, bound, Second::Taken(second))),
            Err(ListenError::InUse { addr }) if left == 0 => return Ok((taken, bound, Second::InUse(addr))),
            Err(ListenError::InUse { .. }) => {}
            Err(error) => {
                debug!("{error}");
                return Ok((taken, bound, Second::Absent));
            }
        }
    }
    Err(ListenError::InUse { addr: first })
}

/// Binds; every address is every IPv4 address where there is no IPv6.
fn bind(addr: SocketAddr) -> io::Result<TcpListener> {
    match bind_one(addr) {
        Err(error) if addr.ip() == Ipv6Addr::UNSPECIFIED && lacks_family(&error) => {
            bind_one((Ipv4Addr::UNSPECIFIED, addr.port()).into())
        }
        bound => bound,
    }
}

fn bind_one(addr: SocketAddr) -> io::Result<TcpListener> {
    #[cfg(test)]
    if let Some(bound) = TcpListener::in_world(addr) {
        return bound;
    }
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    reuse_address(&socket)?;
    if addr.is_ipv6() && addr.ip().is_unspecified() {
        // Some systems have no dual-stack sockets, and serve only IPv6 then.
        let _ = socket.set_only_v6(false);
    }
    socket.bind(&addr.into())?;
    socket.listen(BACKLOG)?;
    Ok(TcpListener::from_std(socket.into()))
}

/// Tells whether a port of this machine is in use.
pub(crate) fn is_taken(addr: SocketAddr) -> bool {
    #[cfg(test)]
    if let Some(bound) = TcpListener::in_world(addr) {
        return bound.is_err();
    }
    let probe = Socket::new(Domain::for_address(addr), Type::STREAM, None).and_then(|socket| {
        // On Unix this tells a port in use from one that was in use.
        #[cfg(unix)]
        socket.set_reuse_address(true)?;
        socket.bind(&addr.into())
    });
    // Other errors, of privileged ports for example, do not mean that somebody listens. Nobody listens at an address
    // that does not exist.
    probe.is_err_and(|error| !lacks_family(&error))
}

/// Reuses the address. On Unix this skips the wait after a former listener's connections; on Windows it would let two
/// programs share the port.
#[cfg(unix)]
fn reuse_address(socket: &Socket) -> io::Result<()> {
    socket.set_reuse_address(true)
}

#[cfg(not(unix))]
fn reuse_address(_socket: &Socket) -> io::Result<()> {
    Ok(())
}

/// The result of one [`accept`].
#[derive(Debug)]
#[must_use]
pub enum Accepted {
    /// A connection and its remote address.
    Connection(TcpStream, SocketAddr),
    /// No connection waits; the listener's readiness may be cleared.
    Empty,
    /// Descriptors or memory are used up. Keep the listener's readiness and try again when a descriptor was freed, or
    /// after 100 ms: the edge of that connection does not come again.
    Exhausted(io::Error),
    /// The listener is unusable.
    Fatal(io::Error),
}

/// Accepts one connection. Skips connections that ended while they waited, and errors that belong to a single one.
pub fn accept(listener: &TcpListener) -> Accepted {
    // Each pass takes a connection off the backlog; the limit holds even where a system repeats an error.
    for _ in 0..BACKLOG {
        match listener.accept() {
            // A listener for both families calls IPv4 peers by mapped addresses, which nobody reads well.
            Ok((stream, remote)) => {
                let remote = SocketAddr::new(remote.ip().to_canonical(), remote.port());
                return Accepted::Connection(stream, remote);
            }
            Err(error) => match classify(&error) {
                Failure::Empty => return Accepted::Empty,
                Failure::Transient => {}
                Failure::Exhausted => return Accepted::Exhausted(error),
                Failure::Fatal => return Accepted::Fatal(error),
            },
        }
    }
    Accepted::Exhausted(io::Error::other("connections keep failing before they are accepted"))
}

#[derive(Debug, PartialEq, Eq)]
enum Failure {
    Empty,
    Transient,
    Exhausted,
    Fatal,
}

fn classify(error: &io::Error) -> Failure {
    if is_exhaustion(error) {
        return Failure::Exhausted;
    }
    match (error.kind(), error.raw_os_error()) {
        (io::ErrorKind::WouldBlock, _) => Failure::Empty,
        (_, Some(code)) if FATAL_CODES.contains(&code) => Failure::Fatal,
        // Everything else belongs to the connection to be accepted: Linux passes its pending network errors to accept
        // (accept(2), "Error handling"), and EPERM when a firewall rule forbids it.
        _ => Failure::Transient,
    }
}

/// Tells whether an address is unavailable because the system lacks its family: IPv6 may be switched off, or not built
/// in.
pub(crate) fn lacks_family(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::AddrNotAvailable | io::ErrorKind::Unsupported)
        || error.raw_os_error() == Some(NO_FAMILY)
}

/// EAFNOSUPPORT.
#[cfg(any(target_os = "linux", target_os = "android"))]
const NO_FAMILY: i32 = 97;

/// EAFNOSUPPORT as the BSDs number it.
#[cfg(all(unix, not(any(target_os = "linux", target_os = "android"))))]
const NO_FAMILY: i32 = 47;

/// WSAEAFNOSUPPORT.
#[cfg(not(unix))]
const NO_FAMILY: i32 = 10047;

pub(crate) fn is_exhaustion(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::OutOfMemory
        || error.raw_os_error().is_some_and(|code| EXHAUSTION_CODES.contains(&code))
}

/// EBADF, EFAULT, EINVAL, ENOTSOCK: the listener itself is unusable.
#[cfg(any(target_os = "linux", target_os = "android"))]
const FATAL_CODES: [i32; 4] = [9, 14, 22, 88];

/// EBADF, EFAULT, EINVAL, ENOTSOCK as the BSDs number them.
#[cfg(all(unix, not(any(target_os = "linux", target_os = "android"))))]
const FATAL_CODES: [i32; 4] = [9, 14, 22, 38];

/// WSAEBADF, WSAEFAULT, WSAEINVAL, WSAENOTSOCK.
#[cfg(not(unix))]
const FATAL_CODES: [i32; 4] = [10009, 10014, 10022, 10038];

/// ENFILE, EMFILE, ENOBUFS: std has no stable names for them.
#[cfg(any(target_os = "linux", target_os = "android"))]
const EXHAUSTION_CODES: [i32; 3] = [23, 24, 105];

/// ENFILE, EMFILE, ENOBUFS as the BSDs number them.
#[cfg(all(unix, not(any(target_os = "linux", target_os = "android"))))]
const EXHAUSTION_CODES: [i32; 3] = [23, 24, 55];

/// WSAEMFILE, WSAENOBUFS.
#[cfg(not(unix))]
const EXHAUSTION_CODES: [i32; 2] = [10024, 10055];

/// Ends a connection with a reset, so that the other program sees an error and not an orderly end.
pub fn reset(stream: TcpStream) {
    // Without the option, dropping the socket ends the connection in order.
    let _ = set_abrupt(&stream, true);
}

/// Sets how the system ends the connection when its socket is closed, even if this process dies: with a reset, which
/// discards unsent data, or in order.
///
/// # Errors
/// The system's; usually the connection has ended already.
pub fn set_abrupt(stream: &TcpStream, is_abrupt: bool) -> io::Result<()> {
    SockRef::from(stream).set_linger(is_abrupt.then_some(Duration::ZERO))
}

/// Sends small writes at once instead of waiting for more.
///
/// # Errors
/// The system's; usually the connection has ended already, and the next read or write says so.
pub fn set_nodelay(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)
}

/// How long a connection may be silent before the system checks whether the other machine is alive.
pub const KEEP_ALIVE: Duration = Duration::from_secs(60);

/// Makes the system check now and then whether a silent peer is alive. Without that, a machine that vanished is noticed
/// only when something is sent to it.
///
/// # Errors
/// The system's.
pub fn set_keepalive(stream: &TcpStream, idle: Duration) -> io::Result<()> {
    SockRef::from(stream).set_tcp_keepalive(&TcpKeepalive::new().with_time(idle))
}

/// Whether [`set_notsent_lowat`] has an effect on this system.
pub const TELLS_UNSENT: bool = cfg!(any(target_os = "linux", target_os = "android"));

/// Limits the unsent data in the socket, in bytes: it counts as writable only while less than that is unsent. So the
/// next write waits behind little data, while data in flight is not limited.
///
/// Linux and Android have the option; elsewhere this does nothing.
///
/// # Errors
/// The system's.
pub fn set_notsent_lowat(stream: &TcpStream, bytes: u32) -> io::Result<()> {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    return SockRef::from(stream).set_tcp_notsent_lowat(bytes);
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    {
        let _ = (stream, bytes);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;
    use std::time::Instant;

    use super::*;

    fn accept_one(listener: &TcpListener) -> TcpStream {
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            match accept(listener) {
                Accepted::Connection(stream, _) => return stream,
                Accepted::Empty => assert!(Instant::now() < deadline, "no connection within ten seconds"),
                other => panic!("{other:?}"),
            }
            std::thread::yield_now();
        }
    }

    #[test]
    fn errors_say_what_is_wrong() {
        let first = listen("127.0.0.1:0".parse().unwrap()).unwrap();
        let taken = first.local_addr().unwrap();
        let error = listen(taken).unwrap_err();
        assert!(matches!(error, ListenError::InUse { addr } if addr == taken), "{error}");
        assert!(error.to_string().contains("already in use"));
        let error = listen("192.0.2.1:0".parse().unwrap()).unwrap_err();
        assert!(matches!(error, ListenError::NotLocal { .. }), "{error}");
    }

    #[test]
    fn a_reset_is_seen_as_an_error() {
        let listener = listen("127.0.0.1:0".parse().unwrap()).unwrap();
        assert!(matches!(accept(&listener), Accepted::Empty));
        let mut near = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        near.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let far = accept_one(&listener);
        set_nodelay(&far).unwrap();
        reset(far);
        assert_eq!(near.read(&mut [0]).unwrap_err().kind(), io::ErrorKind::ConnectionReset);
    }

    #[test]
    fn an_address_can_be_listened_on_again_at_once() {
        let listener = listen("127.0.0.1:0".parse().unwrap()).unwrap();
        let addr = listener.local_addr().unwrap();
        let near = std::net::TcpStream::connect(addr).unwrap();
        drop(accept_one(&listener));
        drop(listener);
        drop(near);
        #[cfg(unix)]
        listen(addr).unwrap();
    }

    fn both() -> [SocketAddr; 2] {
        ["127.0.0.1:0".parse().unwrap(), "[::1]:0".parse().unwrap()]
    }

    fn bind_std(addr: SocketAddr) -> Result<(std::net::TcpListener, SocketAddr), ListenError> {
        let listener = std::net::TcpListener::bind(addr).map_err(|error| ListenError::new(addr, error))?;
        let bound = listener.local_addr().unwrap();
        Ok((listener, bound))
    }

    #[test]
    fn a_port_is_taken_at_both_addresses() {
        let Ok(_) = bind_std(both()[1]) else { return eprintln!("SKIPPED: there is no IPv6 here") };
        let (_first, bound, Second::Taken(second)) = take_both(both().into_iter(), bind_std).unwrap() else {
            panic!("not both");
        };
        assert_eq!(second.local_addr().unwrap().port(), bound.port());
        // If they are bound again, the first fails: that is an error, whatever the second does.
        let again = both().map(|address| SocketAddr::new(address.ip(), bound.port()));
        assert!(matches!(take_both(again.into_iter(), bind_std), Err(ListenError::InUse { addr }) if addr == bound));
    }

    #[test]
    fn who_has_the_second_address_is_told() {
        let Ok((_other, taken)) = bind_std(both()[1]) else { return eprintln!("SKIPPED: there is no IPv6 here") };
        let addresses = || both().map(|address| SocketAddr::new(address.ip(), taken.port())).into_iter();
        let (_first, _, second) = take_both(addresses(), bind_std).unwrap();
        assert!(matches!(second, Second::InUse(addr) if addr == taken));
    }

    #[test]
    fn without_a_second_family_the_first_is_enough() {
        let only_first = |addr: SocketAddr| match addr {
            SocketAddr::V4(_) => bind_std(addr),
            SocketAddr::V6(_) => Err(ListenError::new(addr, io::Error::from_raw_os_error(NO_FAMILY))),
        };
        assert!(matches!(take_both(both().into_iter(), only_first), Ok((_, _, Second::Absent))));
        assert!(matches!(take_both(both().into_iter().take(1), bind_std), Ok((_, _, Second::Absent))));
    }

    #[test]
    fn a_missing_family_is_told_from_other_errors() {
        assert!(lacks_family(&io::Error::from_raw_os_error(NO_FAMILY)));
        assert!(!lacks_family(&io::ErrorKind::AddrInUse.into()));
        assert!(!lacks_family(&io::ErrorKind::PermissionDenied.into()));
    }

    #[test]
    fn accept_errors_are_told_apart() {
        for kind in [io::ErrorKind::ConnectionAborted, io::ErrorKind::Interrupted] {
            assert_eq!(classify(&kind.into()), Failure::Transient);
        }
        assert_eq!(classify(&io::ErrorKind::WouldBlock.into()), Failure::Empty);
        assert_eq!(classify(&io::ErrorKind::OutOfMemory.into()), Failure::Exhausted);
        for code in EXHAUSTION_CODES {
            assert_eq!(classify(&io::Error::from_raw_os_error(code)), Failure::Exhausted);
        }
        for code in FATAL_CODES {
            assert_eq!(classify(&io::Error::from_raw_os_error(code)), Failure::Fatal);
        }
    }
    #[test]
    fn little_unsent_is_asked_for() {
        let listener = listen("127.0.0.1:0".parse().unwrap()).unwrap();
        let near = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let far = accept_one(&listener);
        set_notsent_lowat(&far, 16 * 1024).unwrap();
        #[cfg(any(target_os = "linux", target_os = "android"))]
        assert_eq!(SockRef::from(&far).tcp_notsent_lowat().unwrap(), 16 * 1024);
        drop(near);
    }
}
