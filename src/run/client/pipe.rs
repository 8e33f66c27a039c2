//! `-W`: stdin and stdout joined to one stream.
//!
//! Neither may be waited for by the loop (a file is always ready, a terminal may block), so two threads copy between
//! them and a pair of sockets, one of which is an ordinary local connection to everybody else.

use std::fs::File;
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream;
use std::thread::{self, JoinHandle};

use crossbeam_channel::{Receiver, bounded};

use super::local::named_target;
use super::{Client, Stage};
use crate::config::Pipe;
use crate::net::listener::Ends;
use crate::net::stream::Stream;
use crate::net::system;
use crate::run::RunError;
use crate::run::connections::Incoming;
use crate::run::keys::ConnectionKey;
use crate::status::event::StreamEnd;
use crate::tunnel::{ConnectTarget, Service};

/// The pipe of a client.
#[derive(Default)]
pub(super) struct PipeEnds {
    /// Its connection, once there was one.
    connection: Option<ConnectionKey>,
    writer: Option<JoinHandle<()>>,
    /// Why stdout takes no more.
    failure: Option<Receiver<io::Error>>,
}

impl Client {
    /// Joins stdin and stdout to what the command line names, if it does.
    pub(super) fn open_pipe(&mut self, services: &[Service]) -> Result<(), RunError> {
        let (Some(pipe), None) = (&self.config.pipe, self.pipe.connection) else { return Ok(()) };
        let target = match pipe {
            Pipe::Dial(endpoint) => named_target(endpoint),
            Pipe::Service(name) => match services.iter().find(|service| service.name == *name) {
                Some(service) if service.is_udp() => {
                    let message = format!(
                        "the service {name} is one of datagrams (UDP), and stdin and stdout are a stream; let it appear at a \
                         port instead, as in {name}=5353"
                    );
                    return Err(RunError::NoService(message));
                }
                Some(service) => ConnectTarget::Service(service.id),
                None => {
                    let names: Vec<&str> = services.iter().map(|service| service.name.as_str()).collect();
                    let message = format!("the host has no service {name:?}; it has: {}", names.join(", "));
                    return Err(RunError::NoService(message));
                }
            },
        };
        let Some(session) = self.session else { return Ok(()) };
        let (near, far) = UnixStream::pair()?;
        let mut from_stdin = far.try_clone()?;
        let mut to_stdout = far;
        // Without the buffers of the standard library: half a line is worth as much as a whole one.
        let mut stdin = File::from(io::stdin().as_fd().try_clone_to_owned()?);
        let mut stdout = File::from(io::stdout().as_fd().try_clone_to_owned()?);
        thread::Builder::new().name("stdin".to_owned()).spawn(move || {
            // Whichever side fails, the other learns that nothing follows.
            let _ = copy(&mut stdin, &mut from_stdin);
            let _ = from_stdin.shutdown(Shutdown::Write);
        })?;
        let (failed, failure) = bounded(1);
        self.pipe.failure = Some(failure);
        let waker = self.core.turn.stopper().waker();
        self.pipe.writer = Some(thread::Builder::new().name("stdout".to_owned()).spawn(move || {
            if let Err(error) = copy(&mut to_stdout, &mut stdout) {
                // There is room for one. A loop that has ended needs no waking.
                let _ = failed.send(error);
                let _ = waker.wake();
            }
            // Nobody reads any more, or everything was read.
            let _ = to_stdout.shutdown(Shutdown::Both);
        })?);
        near.set_nonblocking(true)?;
        let stream = Stream::Unix(system::UnixStream::from_std(near));
        let incoming = Incoming { stream, name: "stdin".to_owned(), ends: Ends::Unknown };
        match self.core.open_stream(session, incoming, &target) {
            Some(connection) => {
                self.pipe.connection = Some(connection);
                Ok(())
            }
            None => Err(RunError::Pipe("no stream could be opened".to_owned())),
        }
    }

    /// The pipe's connection is gone: the run ends once everything is written.
    pub(super) fn handle_closed(&mut self, connection: ConnectionKey, end: &StreamEnd) {
        if self.pipe.connection != Some(connection) {
            return;
        }
        if let Some(writer) = self.pipe.writer.take() {
            // It has what came, and the socket behind it has ended.
            let _ = writer.join();
        }
        if self.handle_unwritten() {
            return;
        }
        match end {
            StreamEnd::Closed => self.stop(),
            StreamEnd::Failed(reason) => self.leave(Some(RunError::Pipe(reason.clone()))),
        }
    }

    /// Ends the run if what came cannot be written: a disk is full, or who read is gone. Whoever sends learns of it as
    /// soon as anybody would who writes there.
    pub(super) fn handle_unwritten(&mut self) -> bool {
        if let Some(error) = self.pipe.failure.as_ref().and_then(|failure| failure.try_recv().ok()) {
            self.leave(Some(RunError::Pipe(format!("stdout takes no more: {error}"))));
        }
        matches!(self.stage, Stage::Leaving(Some(_)))
    }
}

/// Copies what comes as it comes. The standard library would splice on Linux, which waits for more than there is where
/// one end is a pipe: a conversation stops.
fn copy(from: &mut impl Read, to: &mut impl Write) -> io::Result<()> {
    let mut buffer = [0; 16 * 1024];
    loop {
        match from.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(len) => to.write_all(&buffer[..len])?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}
