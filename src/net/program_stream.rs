//! A byte stream between the loop and a thread of this process: a pair of unix sockets, and how the stream ended.
//! Either side may begin it; [`listener`] is for streams that the loop begins.
//!
//! A unix socket cannot be reset, so an end of file on it may be the end or a part. Both ends share a note that says
//! which it was.

use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::net::Shutdown;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};

use super::system;

/// The reason that is given for a stream whose loop ended without giving one.
const NO_REASON: &str = "the session ended";

/// How a stream ended, as far as it has. Each end writes before it touches its socket, and reads after.
#[derive(Debug, Default)]
struct Ending {
    /// The loop ended its direction in order.
    is_finished: AtomicBool,
    /// The program reset the stream.
    is_reset: AtomicBool,
    /// Why the loop reset the stream.
    failure: OnceLock<String>,
}

/// Makes a stream: the loop's end, which never blocks, and the program's.
///
/// # Errors
/// No descriptor is free.
pub fn pair() -> io::Result<(NearEnd, ProgramStream)> {
    let (near, far) = UnixStream::pair()?;
    near.set_nonblocking(true)?;
    let ending = Arc::new(Ending::default());
    let (alive, gone) = bounded(0);
    let near = NearEnd { socket: system::UnixStream::from_std(near), ending: ending.clone(), _alive: alive };
    Ok((near, ProgramStream { socket: far, ending, gone }))
}

/// Streams that wait for [`ProgramListener::accept`]; further ones are refused.
const BACKLOG: usize = 1024;

/// Creates a listener and the inlet through which the loop offers it streams.
pub fn listener() -> (Inlet, ProgramListener) {
    let (sender, streams) = bounded(BACKLOG);
    (Inlet { sender }, ProgramListener { streams })
}

/// The loop's side of a listener.
#[derive(Debug, Clone)]
pub struct Inlet {
    sender: Sender<ProgramStream>,
}

/// The reason why a program takes no stream.
#[derive(Debug, thiserror::Error)]
pub enum InletError {
    /// No descriptor is free.
    #[error(transparent)]
    Descriptors(#[from] io::Error),
    /// As many streams wait as may.
    #[error("{BACKLOG} streams wait for the program to accept them")]
    Full,
    /// The listener was dropped.
    #[error("the program does not listen any more")]
    Closed,
}

impl Inlet {
    /// Offers a stream, and returns the loop's end of it.
    ///
    /// # Errors
    /// [`InletError`].
    pub fn offer(&self) -> Result<NearEnd, InletError> {
        let (near, stream) = pair()?;
        match self.sender.try_send(stream) {
            Ok(()) => Ok(near),
            Err(TrySendError::Full(_)) => Err(InletError::Full),
            Err(TrySendError::Disconnected(_)) => Err(InletError::Closed),
        }
    }
}

/// A listener for the streams of a service that this program serves itself.
///
/// Up to 1,024 streams wait here; further ones are refused, as all are once it is dropped. It ends with its host.
#[derive(Debug)]
#[must_use = "dropping it closes the service"]
pub struct ProgramListener {
    streams: Receiver<ProgramStream>,
}

impl ProgramListener {
    /// Waits for a client's next stream. `None` says that the host has ended.
    pub fn accept(&self) -> Option<ProgramStream> {
        self.streams.recv().ok()
    }

    /// Waits for a client's next stream, but not longer than that. `None` says that none came, or that the host has
    /// ended.
    pub fn accept_timeout(&self, timeout: Duration) -> Option<ProgramStream> {
        self.streams.recv_timeout(timeout).ok()
    }

    /// Returns an iterator over the streams that clients open, until the host has ended.
    pub fn incoming(&self) -> impl Iterator<Item = ProgramStream> {
        self.streams.iter()
    }
}

/// The loop's end of a stream.
#[derive(Debug)]
pub struct NearEnd {
    pub(super) socket: system::UnixStream,
    ending: Arc<Ending>,
    /// Nothing is sent: the program learns when it is dropped.
    _alive: Sender<()>,
}

impl NearEnd {
    /// Ends our direction in order.
    ///
    /// # Errors
    /// The system's.
    pub(super) fn finish(&self) -> io::Result<()> {
        self.ending.is_finished.store(true, Ordering::Release);
        self.socket.shutdown(Shutdown::Write)
    }

    /// Notes why the stream is about to be reset.
    pub(super) fn note_failure(&self, reason: &str) {
        // The first reason is the cause of the others.
        let _ = self.ending.failure.set(reason.to_owned());
    }
}

impl Read for NearEnd {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let len = self.socket.read(buffer)?;
        if len == 0 && !buffer.is_empty() && self.ending.is_reset.load(Ordering::Acquire) {
            return Err(io::Error::new(io::ErrorKind::ConnectionReset, "this program reset the stream"));
        }
        Ok(len)
    }
}

/// A byte stream to a service on another machine.
///
/// It blocks like a `std::net::TcpStream`, and knows what that knows: a stream that was cut off ends with an error of
/// the kind [`ConnectionReset`](io::ErrorKind::ConnectionReset), never with an end of file. Dropping it ends both
/// directions in order; [`Stream::reset`](ProgramStream::reset) tells the other side that something is missing.
///
/// A program with a loop of its own sets it [non-blocking](ProgramStream::set_nonblocking) and waits on its descriptor.
#[derive(Debug)]
pub struct ProgramStream {
    socket: UnixStream,
    ending: Arc<Ending>,
    gone: Receiver<()>,
}

impl ProgramStream {
    /// Ends one direction or both. The other side of the tunnel reads an end of file once it has read everything.
    ///
    /// # Errors
    /// The system's.
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        if how != Shutdown::Write {
            // The program asked for the end that it reads from here on.
            self.ending.is_finished.store(true, Ordering::Release);
        }
        self.socket.shutdown(how)
    }

    /// Ends both directions so that the other side sees a reset, not an end.
    pub fn reset(self) {
        self.ending.is_reset.store(true, Ordering::Release);
        // The stream is gone already if this fails.
        let _ = self.socket.shutdown(Shutdown::Both);
    }

    /// Makes another handle of the same stream, for example to read on one thread and write on another.
    ///
    /// # Errors
    /// No descriptor is free.
    pub fn try_clone(&self) -> io::Result<ProgramStream> {
        Ok(ProgramStream { socket: self.socket.try_clone()?, ending: self.ending.clone(), gone: self.gone.clone() })
    }

    /// Sets whether reads and writes return [`WouldBlock`](io::ErrorKind::WouldBlock) instead of waiting.
    ///
    /// # Errors
    /// The system's.
    pub fn set_nonblocking(&self, is_nonblocking: bool) -> io::Result<()> {
        self.socket.set_nonblocking(is_nonblocking)
    }

    /// Bounds how long a read waits; `None` waits for ever.
    ///
    /// # Errors
    /// The time is zero.
    pub fn set_read_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.socket.set_read_timeout(timeout)
    }

    /// Bounds how long a write waits; `None` waits for ever.
    ///
    /// # Errors
    /// The time is zero.
    pub fn set_write_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.socket.set_write_timeout(timeout)
    }

    /// Waits until both directions have ended.
    ///
    /// # Errors
    /// Why they did not end in order.
    pub(crate) fn wait_closed(&self) -> Result<(), String> {
        let _ = self.gone.recv();
        match self.ending.failure.get() {
            Some(reason) => Err(reason.clone()),
            None if self.ending.is_finished.load(Ordering::Acquire) => Ok(()),
            None => Err(NO_REASON.to_owned()),
        }
    }

    /// Turns an end of file into an error unless the stream ended in order.
    fn check_end(&self, len: usize, has_room: bool) -> io::Result<usize> {
        match len {
            0 if has_room && !self.ending.is_finished.load(Ordering::Acquire) => Err(self.failure()),
            len => Ok(len),
        }
    }

    fn failure(&self) -> io::Error {
        let reason = self.ending.failure.get().map_or(NO_REASON, String::as_str);
        io::Error::new(io::ErrorKind::ConnectionReset, format!("the stream was cut off: {reason}"))
    }

    /// Says why nothing can be written.
    fn explain(&self, error: io::Error) -> io::Error {
        match (error.kind(), self.ending.failure.get()) {
            (io::ErrorKind::BrokenPipe, Some(_)) => self.failure(),
            _ => error,
        }
    }
}

impl Read for &ProgramStream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let len = (&self.socket).read(buffer)?;
        self.check_end(len, !buffer.is_empty())
    }

    fn read_vectored(&mut self, buffers: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        let len = (&self.socket).read_vectored(buffers)?;
        self.check_end(len, buffers.iter().any(|buffer| !buffer.is_empty()))
    }
}

impl Write for &ProgramStream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        (&self.socket).write(bytes).map_err(|error| self.explain(error))
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        (&self.socket).write_vectored(slices).map_err(|error| self.explain(error))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Read for ProgramStream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        (&*self).read(buffer)
    }

    fn read_vectored(&mut self, buffers: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        (&*self).read_vectored(buffers)
    }
}

impl Write for ProgramStream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        (&*self).write(bytes)
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        (&*self).write_vectored(slices)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl AsFd for ProgramStream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl AsRawFd for ProgramStream {
    fn as_raw_fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_all(stream: &ProgramStream) -> io::Result<String> {
        let mut text = String::new();
        { stream }.read_to_string(&mut text).map(|_| text)
    }

    #[test]
    fn an_end_in_order_is_an_end() {
        let (mut near, far) = pair().unwrap();
        near.socket.write_all(b"all").unwrap();
        near.finish().unwrap();
        assert_eq!(read_all(&far).unwrap(), "all");
        drop(near);
        assert_eq!(read_all(&far).unwrap(), "");
    }

    #[test]
    fn a_part_is_never_taken_for_the_whole() {
        for reason in [Some("refused"), None] {
            let (mut near, far) = pair().unwrap();
            near.socket.write_all(b"part").unwrap();
            reason.into_iter().for_each(|reason| near.note_failure(reason));
            drop(near);
            let mut part = [0; 4];
            { &far }.read_exact(&mut part).unwrap();
            assert_eq!(&part, b"part");
            let error = read_all(&far).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
            let reason = reason.unwrap_or("the session ended");
            assert_eq!(error.to_string(), format!("the stream was cut off: {reason}"));
        }
    }

    #[test]
    fn a_program_resets_or_ends() {
        let read = |near: &mut NearEnd| near.read(&mut [0; 8]).map_err(|error| error.kind());
        let (mut near, far) = pair().unwrap();
        far.reset();
        assert_eq!(read(&mut near), Err(io::ErrorKind::ConnectionReset));
        let (mut near, far) = pair().unwrap();
        drop(far);
        assert_eq!(read(&mut near), Ok(0));
    }

    #[test]
    fn nobody_is_told_of_an_end_that_was_asked_for() {
        let (_near, far) = pair().unwrap();
        far.shutdown(Shutdown::Read).unwrap();
        assert_eq!(read_all(&far).unwrap(), "");
    }
}
