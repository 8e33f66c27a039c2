//! `-W`: stdin and stdout joined to one stream.
//!
//! Nothing can wait for stdin and stdout beside other things (a file is always ready, a terminal may block), so two
//! threads copy between them and the stream.

use std::fs::File;
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::fd::AsFd as _;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::config::StreamTarget;
use crate::net::program_stream::ProgramStream;
use crate::run::{Client, Connector, DialError, Stopper, Until};

/// A pipe that runs beside its client.
pub(super) struct RunningPipe {
    thread: JoinHandle<Result<(), PipeError>>,
}

/// Why a pipe failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum PipeError {
    /// The host does not have what was asked for.
    #[error(transparent)]
    NoService(DialError),
    /// The stream could not be opened, or ended before its time.
    #[error("the connection was cut off: {0}")]
    CutOff(String),
}

impl PipeError {
    /// Returns a stable word for programs (`docs/events.md`).
    pub(super) fn code(&self) -> &'static str {
        match self {
            PipeError::NoService(_) => "no-service",
            PipeError::CutOff(_) => "pipe",
        }
    }
}

impl RunningPipe {
    /// Starts a pipe that ends the client's run when it has ended.
    ///
    /// # Errors
    /// The system's.
    pub(super) fn start(client: &Client, target: StreamTarget) -> io::Result<RunningPipe> {
        // Without the buffers of the standard library: half a line is worth as much as a whole one.
        let stdin = File::from(io::stdin().as_fd().try_clone_to_owned()?);
        let stdout = File::from(io::stdout().as_fd().try_clone_to_owned()?);
        let (connector, stopper) = (client.connector(), client.stopper());
        let thread = thread::Builder::new().name("stdout".to_owned()).spawn(move || {
            let result = join(&connector, target, stdin, stdout);
            Stopper::stop(&stopper);
            result
        })?;
        Ok(RunningPipe { thread })
    }

    /// Waits until everything is written. The client's run has ended.
    ///
    /// # Errors
    /// The pipe did not end in order.
    pub(super) fn finish(self) -> Result<(), PipeError> {
        self.thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }
}

fn join(connector: &Connector, target: StreamTarget, mut stdin: File, mut stdout: File) -> Result<(), PipeError> {
    let mut stream = match connector.open(target, "stdin", Until::Opened, Duration::MAX) {
        Ok(stream) => stream,
        // The client says itself why it has ended.
        Err(DialError::Ended) => return Ok(()),
        Err(error @ DialError::NoService(_)) => return Err(PipeError::NoService(error)),
        Err(_) => return Err(PipeError::CutOff("no stream could be opened".to_owned())),
    };
    let cut_off = |error: io::Error| PipeError::CutOff(error.to_string());
    let mut from_stdin = stream.try_clone().map_err(cut_off)?;
    let copier = thread::Builder::new().name("stdin".to_owned());
    let spawned = copier.spawn(move || {
        // Whichever of the two fails, the other side learns that nothing follows.
        let _ = copy(&mut stdin, &mut from_stdin);
        let _ = from_stdin.shutdown(Shutdown::Write);
    });
    spawned.map_err(cut_off)?;
    match copy(&mut stream, &mut stdout) {
        Ok(()) | Err(CopyError::Read) => {
            // The pipe ends with the service's direction, whatever stdin may still have. An error means that it ended.
            let _ = stream.shutdown(Shutdown::Both);
            stream.wait_closed().map_err(PipeError::CutOff)
        }
        Err(CopyError::Write(error)) => {
            // A disk is full, or the reader is gone. The sender learns of it as it would from a socket.
            ProgramStream::reset(stream);
            Err(PipeError::CutOff(format!("stdout takes no more: {error}")))
        }
    }
}

enum CopyError {
    Read,
    Write(io::Error),
}

/// Copies what comes as it comes. The standard library would splice on Linux, which waits for more than there is where
/// one end is a pipe: a conversation stops.
fn copy(from: &mut impl Read, to: &mut impl Write) -> Result<(), CopyError> {
    let mut buffer = [0; 16 * 1024];
    loop {
        match from.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(len) => to.write_all(&buffer[..len]).map_err(CopyError::Write)?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return Err(CopyError::Read),
        }
    }
}
