//! Where local programs connect: a TCP port, or a unix socket.

use std::io;
use std::net::SocketAddr;
#[cfg(unix)]
use std::path::{Path, PathBuf};

#[cfg(unix)]
use super::folder;
use super::listen::{self, Accepted as AcceptedTcp, ListenError, Second};
use super::stream::Stream;
use super::system::{Interest, Registry, Source, TcpListener, Token};
#[cfg(unix)]
use super::system::{UnixListener, UnixStream};

/// A listening socket.
#[derive(Debug)]
pub enum Listener {
    /// A TCP port.
    Tcp(TcpListener),
    /// A unix socket and its file, which is removed with it. It goes first: while the socket is open, nobody takes the
    /// file for one that is left over, and puts another into its place.
    #[cfg(unix)]
    Unix(SocketFile, UnixListener),
}

/// The file of a unix socket. Removed when this is dropped, unless another file is in its place by then.
#[cfg(unix)]
#[derive(Debug)]
pub struct SocketFile {
    path: PathBuf,
    ends: Ends,
}

#[cfg(unix)]
impl Drop for SocketFile {
    fn drop(&mut self) {
        if self.ends != Ends::Unknown && Ends::of_link(&self.path) == self.ends {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// Addresses of both ends of a connection, as far as they are known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ends {
    /// Two ports.
    Ports {
        /// Our end.
        local: SocketAddr,
        /// The other end.
        remote: SocketAddr,
    },
    /// The file of a unix socket; the program that connects has no name.
    File {
        /// The device of the file.
        device: u64,
        /// Its number on the device.
        inode: u64,
    },
    /// Nothing is known.
    Unknown,
}

impl Ends {
    /// Returns the unix socket at a path, if there is one.
    pub fn of_file(path: &std::path::Path) -> Ends {
        #[cfg(unix)]
        if let Ok(metadata) = std::fs::metadata(path) {
            return Ends::of_metadata(&metadata);
        }
        let _ = path;
        Ends::Unknown
    }

    /// Returns the file at a path, which may be a link, if there is one.
    #[cfg(unix)]
    fn of_link(path: &Path) -> Ends {
        std::fs::symlink_metadata(path).map_or(Ends::Unknown, |metadata| Ends::of_metadata(&metadata))
    }

    #[cfg(unix)]
    fn of_metadata(metadata: &std::fs::Metadata) -> Ends {
        use std::os::unix::fs::MetadataExt as _;
        Ends::File { device: metadata.dev(), inode: metadata.ino() }
    }

    /// Returns our address and the other one.
    pub fn ports(&self) -> Option<(SocketAddr, SocketAddr)> {
        match self {
            Ends::Ports { local, remote } => Some((*local, *remote)),
            Ends::File { .. } | Ends::Unknown => None,
        }
    }
}

/// The result of one [`Listener::accept`].
#[derive(Debug)]
#[must_use]
pub enum Accepted {
    /// A connection, the name of its maker for people, and both its ends.
    Connection(Stream, String, Ends),
    /// No connection waits.
    Empty,
    /// Descriptors are used up: try again later.
    Exhausted(io::Error),
    /// The listener is unusable.
    Fatal(io::Error),
}

impl Listener {
    /// Listens on a TCP port, and also at the second address if the port is free there.
    ///
    /// # Errors
    /// [`ListenError`], for the first address.
    pub fn take_both(
        addresses: impl Iterator<Item = SocketAddr>,
    ) -> Result<(Listener, SocketAddr, Second<Listener>), ListenError> {
        listen::take_both(addresses, |one| {
            let listener = listen::listen(one)?;
            let bound = listener.local_addr().map_err(|error| ListenError::new(one, error))?;
            Ok((Listener::Tcp(listener), bound))
        })
    }

    /// Listens on a unix socket that only this user may use. Replaces the file of a socket on which nobody listens, but
    /// no other file. Of several programs that do so at a time, one has the socket.
    ///
    /// # Errors
    /// [`ListenError`].
    #[cfg(unix)]
    pub fn unix(path: &Path) -> Result<Listener, ListenError> {
        let failed = |source: io::Error| ListenError::Path { path: path.to_owned(), source };
        // Until this is dropped.
        let _lock = folder::lock(path);
        if is_stale(path).map_err(failed)? {
            std::fs::remove_file(path).map_err(failed)?;
        }
        let listener = bind_private(path).map_err(failed)?;
        Ok(Listener::Unix(SocketFile { path: path.to_owned(), ends: Ends::of_file(path) }, listener))
    }

    /// Returns the bound address of a TCP listener.
    pub fn local_addr(&self) -> Option<SocketAddr> {
        match self {
            Listener::Tcp(listener) => listener.local_addr().ok(),
            #[cfg(unix)]
            Listener::Unix(..) => None,
        }
    }

    /// Accepts one connection.
    pub fn accept(&self) -> Accepted {
        match self {
            Listener::Tcp(listener) => match listen::accept(listener) {
                AcceptedTcp::Connection(stream, remote) => {
                    let local = stream.local_addr().unwrap_or(remote);
                    let stream = Stream::Tcp(stream);
                    stream.guard();
                    Accepted::Connection(stream, remote.to_string(), Ends::Ports { local, remote })
                }
                AcceptedTcp::Empty => Accepted::Empty,
                AcceptedTcp::Exhausted(error) => Accepted::Exhausted(error),
                AcceptedTcp::Fatal(error) => Accepted::Fatal(error),
            },
            #[cfg(unix)]
            Listener::Unix(file, listener) => match listener.accept() {
                Ok((stream, _)) => {
                    Accepted::Connection(Stream::Unix(stream), format!("unix:{}", file.path.display()), file.ends)
                }
                Err(error) if listen::is_exhaustion(&error) => Accepted::Exhausted(error),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => Accepted::Empty,
                // The program that connected is gone already; the next call finds the others.
                Err(_) => Accepted::Empty,
            },
        }
    }
}

/// Tells whether there is a socket at the path on which nobody listens. Returns false if there is no file.
#[cfg(unix)]
fn is_stale(path: &Path) -> io::Result<bool> {
    use std::os::unix::fs::FileTypeExt as _;
    match std::fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
        Ok(metadata) if !metadata.file_type().is_socket() => {
            Err(io::Error::other("a file that is not a socket is there already: remove it or choose another path"))
        }
        // It does not wait: the queue of a program that hangs may be full.
        Ok(_) => match UnixStream::connect(path) {
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Ok(true),
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => Err(error),
            Ok(_) | Err(_) => Err(io::Error::new(
                io::ErrorKind::AddrInUse,
                "a program listens there already: end it or choose another path",
            )),
        },
    }
}

/// Binds a socket and denies it to other users. Between the two calls the file has the mode that the umask left; the
/// folder of a socket should not be open to others anyway.
#[cfg(unix)]
fn bind_private(path: &Path) -> io::Result<UnixListener> {
    use std::os::unix::fs::PermissionsExt as _;
    let listener = UnixListener::bind(path).map_err(|error| match error.kind() {
        io::ErrorKind::InvalidInput => {
            io::Error::new(error.kind(), "the path is longer than that of a socket may be, which is about 100 bytes")
        }
        _ => error,
    })?;
    if let Err(error) = std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)) {
        let _ = std::fs::remove_file(path);
        return Err(error);
    }
    Ok(listener)
}

impl Source for Listener {
    fn register(&mut self, registry: &Registry, token: Token, interests: Interest) -> io::Result<()> {
        match self {
            Listener::Tcp(listener) => listener.register(registry, token, interests),
            #[cfg(unix)]
            Listener::Unix(_, listener) => listener.register(registry, token, interests),
        }
    }

    fn reregister(&mut self, registry: &Registry, token: Token, interests: Interest) -> io::Result<()> {
        match self {
            Listener::Tcp(listener) => listener.reregister(registry, token, interests),
            #[cfg(unix)]
            Listener::Unix(_, listener) => listener.reregister(registry, token, interests),
        }
    }

    fn deregister(&mut self, registry: &Registry) -> io::Result<()> {
        match self {
            Listener::Tcp(listener) => listener.deregister(registry),
            #[cfg(unix)]
            Listener::Unix(_, listener) => listener.deregister(registry),
        }
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::fs::File;
    use std::os::unix::fs::PermissionsExt as _;
    use std::thread;

    fn path(name: &str) -> PathBuf {
        std::env::temp_dir().join(format!("pinhole-listener-{}-{name}", std::process::id()))
    }

    #[test]
    fn a_socket_is_private_and_goes_with_its_listener() {
        let path = path("private");
        let listener = Listener::unix(&path).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(Listener::unix(&path).unwrap_err().to_string().contains("listens there already"));
        drop(listener);
        assert!(!path.exists());
    }

    #[test]
    fn another_file_in_the_place_of_a_socket_is_left_alone() {
        let (path, moved) = (path("moved"), path("elsewhere"));
        let listener = Listener::unix(&path).unwrap();
        std::fs::rename(&path, &moved).unwrap();
        std::fs::write(&path, "mine").unwrap();
        drop(listener);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "mine");
        std::fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink(&moved, &path).unwrap();
        drop(Listener::Unix(
            SocketFile { path: path.clone(), ends: Ends::of_file(&path) },
            UnixListener::bind(path.with_extension("other")).unwrap(),
        ));
        assert!(std::fs::symlink_metadata(&path).is_ok(), "a link to the socket is another file");
        for file in [path.with_extension("other"), path, moved] {
            std::fs::remove_file(file).unwrap();
        }
    }

    #[test]
    fn of_many_who_find_a_socket_that_is_left_over_one_has_it() {
        let folder = path("race");
        std::fs::create_dir(&folder).unwrap();
        std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o700)).unwrap();
        let path = folder.join("s");
        for round in 0..50 {
            drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
            let start = std::sync::Barrier::new(16);
            let listening: Vec<Listener> = thread::scope(|scope| {
                let bind = || {
                    start.wait();
                    Listener::unix(&path)
                };
                let all: Vec<_> = (0..16).map(|_| scope.spawn(bind)).collect();
                all.into_iter().filter_map(|one| one.join().unwrap().ok()).collect()
            });
            assert_eq!(listening.len(), 1, "round {round}");
            assert!(UnixStream::connect(&path).is_ok(), "round {round}");
            drop(listening);
            assert!(!path.exists(), "round {round}");
        }
        std::fs::remove_dir(&folder).unwrap();
    }

    #[test]
    fn a_lock_that_somebody_holds_keeps_nobody_out() {
        let folder = path("locked");
        std::fs::create_dir(&folder).unwrap();
        let lock = File::open(&folder).unwrap();
        lock.lock().unwrap();
        drop(Listener::unix(&folder.join("s")).unwrap());
        std::fs::remove_dir(&folder).unwrap();
    }

    #[test]
    fn a_path_that_is_too_long_is_said_to_be() {
        let error = Listener::unix(&path(&"x".repeat(120))).unwrap_err().to_string();
        assert!(error.contains("longer than that of a socket may be") && !error.contains("SUN_LEN"), "{error}");
    }

    #[test]
    fn only_a_socket_on_which_nobody_listens_is_replaced() {
        let path = path("stale");
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        assert!(path.exists(), "the file remains after its program");
        drop(Listener::unix(&path).unwrap());
        std::fs::write(&path, "mine").unwrap();
        assert!(Listener::unix(&path).unwrap_err().to_string().contains("not a socket"));
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "mine");
        std::fs::remove_file(&path).unwrap();
    }
}
