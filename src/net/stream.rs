//! A connected byte stream of this machine: TCP, a unix socket, or one to a thread of this process.

use std::io::{self, IoSlice, Read, Write};
use std::net::Shutdown;

use log::debug;

use super::listen;
#[cfg(unix)]
use super::program_stream::NearEnd;
#[cfg(unix)]
use super::system::UnixStream;
use super::system::{Interest, Registry, Source, TcpStream, Token};

/// A connection that a local program made, or that was made to a target.
#[derive(Debug)]
pub enum Stream {
    /// Over TCP.
    Tcp(TcpStream),
    /// Over a unix socket.
    #[cfg(unix)]
    Unix(UnixStream),
    /// To a thread of this process.
    #[cfg(unix)]
    Program(NearEnd),
}

/// State of a connection attempt.
#[derive(Debug)]
pub enum Attempt {
    /// In progress.
    Pending,
    /// Succeeded.
    Connected,
    /// It succeeded, and the other program has already reset the connection. What it sent before can be read.
    Reset(io::Error),
}

/// Does the same with either kind of socket.
macro_rules! either {
    ($stream:expr, $socket:ident => $result:expr) => {
        match $stream {
            Stream::Tcp($socket) => $result,
            #[cfg(unix)]
            Stream::Unix($socket) => $result,
            #[cfg(unix)]
            Stream::Program(NearEnd { socket: $socket, .. }) => $result,
        }
    };
}

impl Stream {
    /// Takes the pending error of the socket.
    ///
    /// # Errors
    /// The system's.
    pub fn take_error(&self) -> io::Result<Option<io::Error>> {
        either!(self, socket => socket.take_error())
    }

    /// Returns the state of a connection attempt.
    ///
    /// # Errors
    /// Why it failed.
    pub fn attempt(&self) -> io::Result<Attempt> {
        match self.take_error()? {
            // A refused attempt has another error: these come only after the connection was made.
            Some(error) if matches!(error.kind(), io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe) => {
                return Ok(Attempt::Reset(error));
            }
            Some(error) => return Err(error),
            None => {}
        }
        match either!(self, socket => socket.peer_addr().map(drop)) {
            Ok(()) => Ok(Attempt::Connected),
            Err(error) if error.kind() == io::ErrorKind::NotConnected => Ok(Attempt::Pending),
            Err(error) => Err(error),
        }
    }

    /// Prepares a connection for forwarding. From here on the other program sees a reset if the socket is closed
    /// without [`Stream::finish`], even because this process died, so it never takes a part for the whole. The system
    /// also notices if the other program's machine vanishes. A unix socket has neither: there a dead process looks like
    /// an orderly end.
    pub fn guard(&self) {
        if let Stream::Tcp(socket) = self
            && let Err(error) =
                listen::set_abrupt(socket, true).and_then(|()| listen::set_keepalive(socket, listen::KEEP_ALIVE))
        {
            // The connection has ended already; the next read or write reports how.
            debug!("guard error={error}");
        }
    }

    /// Ends our direction in order. What was written is delivered even if the socket is closed right after.
    ///
    /// # Errors
    /// The system's.
    pub fn finish(&self) -> io::Result<()> {
        match self {
            Stream::Tcp(socket) => {
                listen::set_abrupt(socket, false)?;
                socket.shutdown(Shutdown::Write)
            }
            #[cfg(unix)]
            Stream::Unix(socket) => socket.shutdown(Shutdown::Write),
            #[cfg(unix)]
            Stream::Program(near) => near.finish(),
        }
    }

    /// Notes why the connection is about to be reset, for a program that can be told.
    pub fn note_failure(&self, reason: &str) {
        #[cfg(unix)]
        if let Stream::Program(near) = self {
            near.note_failure(reason);
        }
        #[cfg(not(unix))]
        let _ = reason;
    }

    /// Makes the socket count as writable only when everything written has been sent. Returns false if that is
    /// impossible: on systems other than Linux, and after [`Stream::finish`].
    pub fn watch_unsent(&self) -> bool {
        match self {
            Stream::Tcp(socket) => listen::TELLS_UNSENT && listen::set_notsent_lowat(socket, 1).is_ok(),
            #[cfg(unix)]
            Stream::Unix(_) | Stream::Program(_) => false,
        }
    }

    /// Tells whether what was written is with the other program at once, as far as this system knows.
    pub fn delivers_at_once(&self) -> bool {
        !matches!(self, Stream::Tcp(_))
    }

    /// Sends small writes at once instead of waiting for more, on sockets that would wait.
    ///
    /// # Errors
    /// The system's.
    pub fn set_nodelay(&self) -> io::Result<()> {
        match self {
            Stream::Tcp(socket) => listen::set_nodelay(socket),
            #[cfg(unix)]
            Stream::Unix(_) | Stream::Program(_) => Ok(()),
        }
    }

    /// Ends a connection so that the other program sees an error. A unix socket has no reset and just ends.
    pub fn reset(self) {
        match self {
            Stream::Tcp(socket) => listen::reset(socket),
            #[cfg(unix)]
            Stream::Unix(_) | Stream::Program(_) => {}
        }
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Stream::Tcp(socket) => socket.read(buffer),
            #[cfg(unix)]
            Stream::Unix(socket) => socket.read(buffer),
            #[cfg(unix)]
            Stream::Program(near) => near.read(buffer),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        either!(self, socket => socket.write(bytes))
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        either!(self, socket => socket.write_vectored(slices))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Source for Stream {
    fn register(&mut self, registry: &Registry, token: Token, interests: Interest) -> io::Result<()> {
        either!(self, socket => socket.register(registry, token, interests))
    }

    fn reregister(&mut self, registry: &Registry, token: Token, interests: Interest) -> io::Result<()> {
        either!(self, socket => socket.reregister(registry, token, interests))
    }

    fn deregister(&mut self, registry: &Registry) -> io::Result<()> {
        either!(self, socket => socket.deregister(registry))
    }
}
