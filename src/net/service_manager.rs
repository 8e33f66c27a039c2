//! The socket of the service manager, as `sd_notify(3)` describes it: a datagram for each notification.

use std::ffi::OsStr;
use std::io;
use std::time::Duration;

/// Where a service manager takes notifications.
#[derive(Debug)]
pub struct ServiceManager {
    #[cfg(unix)]
    socket: std::os::unix::net::UnixDatagram,
    #[cfg(unix)]
    address: std::os::unix::net::SocketAddr,
}

#[cfg(unix)]
impl ServiceManager {
    /// Takes the value of `NOTIFY_SOCKET`: a path, or a name of Linux' abstract namespace with `@` before it.
    ///
    /// # Errors
    /// It is neither, or too long, or the system has no descriptor left.
    pub fn new(address: &OsStr) -> io::Result<ServiceManager> {
        use std::os::unix::ffi::OsStrExt as _;
        let address = match address.as_bytes() {
            [b'/', ..] => std::os::unix::net::SocketAddr::from_pathname(address)?,
            [b'@', name @ ..] => abstract_name(name)?,
            _ => return Err(io::Error::other("it is neither an absolute path nor @ and a name")),
        };
        let socket = std::os::unix::net::UnixDatagram::unbound()?;
        // A manager that does not read must not stop the loop.
        socket.set_nonblocking(true)?;
        Ok(ServiceManager { socket, address })
    }

    /// Sends a notification: assignments in lines of their own.
    ///
    /// # Errors
    /// The system's; `WouldBlock` if the manager has too much to read already.
    pub fn send(&self, notification: &str) -> io::Result<()> {
        self.socket.send_to_addr(notification.as_bytes(), &self.address).map(drop)
    }
}

#[cfg(not(unix))]
impl ServiceManager {
    /// Refuses: there is none.
    ///
    /// # Errors
    /// Always.
    pub fn new(_address: &OsStr) -> io::Result<ServiceManager> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Sends nothing.
    ///
    /// # Errors
    /// None.
    pub fn send(&self, _notification: &str) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn abstract_name(name: &[u8]) -> io::Result<std::os::unix::net::SocketAddr> {
    #[cfg(target_os = "android")]
    use std::os::android::net::SocketAddrExt as _;
    #[cfg(target_os = "linux")]
    use std::os::linux::net::SocketAddrExt as _;
    std::os::unix::net::SocketAddr::from_abstract_name(name)
}

#[cfg(all(unix, not(any(target_os = "linux", target_os = "android"))))]
fn abstract_name(_name: &[u8]) -> io::Result<std::os::unix::net::SocketAddr> {
    Err(io::Error::other("only Linux has names with @"))
}

/// Returns the time of the system's `CLOCK_MONOTONIC`, in which a service manager counts.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub fn monotonic() -> Option<Duration> {
    rustix::time::clock_gettime(rustix::time::ClockId::Monotonic).try_into().ok()
}

/// Returns nothing: systemd, which wants to know, runs on Linux.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub fn monotonic() -> Option<Duration> {
    None
}
