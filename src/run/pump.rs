//! The pump between a local connection and a stream.
//!
//! | the connection | the stream | | the stream | the connection |
//! |---|---|---|---|---|
//! | end of file | finish (CLOSE) | | CLOSE, all before it written | `shutdown(Write)` |
//! | error or reset, all before it read | abort (ABORT reset) | | ABORT | reset |
//!
//! If a connection takes nothing more, it may still have data to read: what a program sent before it left is read to
//! its end, and data for it is dropped, as its system would do. The same holds in the other direction.

use std::io::{self, IoSlice, Read, Write};

use crate::net::readiness::Readiness;
use crate::net::stream::Stream;
use crate::tunnel::{Chunk, ChunkPool, StreamMut};

/// Maximum number of bytes read in one go, before others have their turn.
const READ_BUDGET: usize = 128 * 1024;

/// Maximum number of bytes written in one go, before others have their turn.
const WRITE_BUDGET: usize = 256 * 1024;

/// Maximum number of payloads written with one system call.
const MAX_SLICES: usize = 32;

/// The result of a turn.
#[derive(Debug)]
pub(super) enum Progress {
    /// Nothing more can be done until an event.
    Waiting,
    /// The budget is used up; there is more to do.
    More,
    /// Both directions ended in order: drop the connection.
    Done,
    /// The connection failed: abort the stream.
    Failed(io::Error),
}

/// A connection that is joined to a stream of the tunnel.
pub(super) struct Pump {
    socket: Stream,
    /// Latched readiness.
    pub(super) readiness: Readiness,
    /// Bytes for the connection that go before the stream's.
    prefix: Vec<u8>,
    /// Bytes of the connection that were read before.
    early: Vec<u8>,
    read_ended: bool,
    write_ended: bool,
    /// Why the connection takes nothing more.
    failure: Option<io::Error>,
    sent: u64,
    received: u64,
}

impl Pump {
    /// Joins an established connection.
    pub(super) fn new(socket: Stream) -> Pump {
        let readiness = Readiness::BOTH;
        let (prefix, early) = (Vec::new(), Vec::new());
        let (read_ended, write_ended) = (false, false);
        Pump { socket, readiness, prefix, early, read_ended, write_ended, failure: None, sent: 0, received: 0 }
    }

    /// Writes `prefix` to the connection before everything from the stream.
    #[must_use]
    pub(super) fn with_prefix(self, prefix: Vec<u8>) -> Pump {
        Pump { prefix, ..self }
    }

    /// Sends `early` to the stream before everything that is read from the connection.
    #[must_use]
    pub(super) fn with_early(self, early: Vec<u8>) -> Pump {
        Pump { early, ..self }
    }

    /// Returns the socket, for registering or removing it.
    pub(super) fn source_mut(&mut self) -> &mut Stream {
        &mut self.socket
    }

    /// Returns the socket, and whether our direction of it has ended in order.
    pub(super) fn into_socket(self) -> (Stream, bool) {
        (self.socket, self.write_ended)
    }

    /// Returns bytes (read from the connection, written to it) so far.
    pub(super) fn bytes(&self) -> (u64, u64) {
        (self.sent, self.received)
    }

    /// Stores the error of a connection that takes nothing more. What the program sent before is read to its end.
    pub(super) fn handle_failure(&mut self, error: io::Error) {
        self.failure = Some(error);
        self.readiness.readable = true;
    }

    /// Moves bytes in both directions, within the budgets.
    pub(super) fn pump(&mut self, stream: &mut StreamMut<'_>, pool: &mut ChunkPool) -> Progress {
        // Read first: a failed write takes the error that tells how the other direction ends.
        let read = match self.read(stream, pool) {
            Ok(more) => more,
            Err(error) => return Progress::Failed(self.failure.take().unwrap_or(error)),
        };
        let written = match self.failure {
            None => self.write(stream).unwrap_or_else(|error| {
                self.handle_failure(error);
                true
            }),
            Some(_) => false,
        };
        if self.failure.is_some() {
            drop_readable(stream);
        }
        match (self.read_ended, self.write_ended, read || written) {
            (true, _, _) if let Some(error) = self.failure.take() => Progress::Failed(error),
            (true, true, _) => Progress::Done,
            (_, _, true) => Progress::More,
            (_, _, false) => Progress::Waiting,
        }
    }

    /// Tells whether an empty read is an end in order. After a reset whose error a write took, it looks the same; but
    /// if an end had come before the reset, that error is EPIPE.
    fn has_ended_in_order(&self) -> bool {
        self.failure.as_ref().is_none_or(|error| error.kind() == io::ErrorKind::BrokenPipe)
    }

    /// Moves bytes from the connection to the stream. Returns whether there is more to do.
    fn read(&mut self, stream: &mut StreamMut<'_>, pool: &mut ChunkPool) -> io::Result<bool> {
        let mut budget = READ_BUDGET;
        while self.readiness.readable && !self.read_ended {
            if budget == 0 {
                return Ok(true);
            }
            let is_refused = stream.is_refused();
            let capacity = if is_refused { usize::MAX } else { stream.poll_send_capacity() };
            if capacity == 0 {
                return Ok(false);
            }
            let mut chunk = pool.take();
            match self.read_into(&mut chunk, capacity) {
                Ok(0) => {
                    pool.recycle(chunk);
                    self.read_ended = true;
                    if self.has_ended_in_order() {
                        stream.finish();
                    }
                }
                // Read and discard: a program that writes everything before it reads would otherwise never read the
                // answer.
                Ok(len) if is_refused => {
                    pool.recycle(chunk);
                    budget = budget.saturating_sub(len);
                }
                Ok(len) => {
                    chunk.set_len(len);
                    if let Err(chunk) = stream.send(pool.fit(chunk)) {
                        pool.recycle(chunk);
                        return Err(io::Error::other("the stream takes nothing more"));
                    }
                    self.sent += len as u64;
                    budget = budget.saturating_sub(len);
                }
                Err(error) => {
                    pool.recycle(chunk);
                    match error.kind() {
                        io::ErrorKind::WouldBlock => self.readiness.clear_readable(),
                        io::ErrorKind::Interrupted => {}
                        _ => return Err(error),
                    }
                }
            }
        }
        Ok(false)
    }

    fn read_into(&mut self, chunk: &mut Chunk, capacity: usize) -> io::Result<usize> {
        let room = chunk.room_mut();
        let len = capacity.min(room.len());
        if !self.early.is_empty() {
            let len = len.min(self.early.len());
            room[..len].copy_from_slice(&self.early[..len]);
            self.early.drain(..len);
            return Ok(len);
        }
        self.socket.read(&mut room[..len])
    }

    /// Moves bytes from the stream to the connection. Returns whether there is more to do.
    fn write(&mut self, stream: &mut StreamMut<'_>) -> io::Result<bool> {
        let mut budget = WRITE_BUDGET;
        while self.readiness.writable && !self.write_ended {
            if !self.prefix.is_empty() {
                match self.socket.write(&self.prefix) {
                    Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                    Ok(len) => drop(self.prefix.drain(..len)),
                    Err(error) => match error.kind() {
                        io::ErrorKind::WouldBlock => self.readiness.clear_writable(),
                        io::ErrorKind::Interrupted => {}
                        _ => return Err(error),
                    },
                }
                continue;
            }
            if stream.poll_end() {
                self.write_ended = true;
                // A connection that is gone needs no shutdown; reading tells how it ended.
                return match self.socket.finish() {
                    Err(error) if error.kind() != io::ErrorKind::NotConnected => Err(error),
                    _ => Ok(false),
                };
            }
            if budget == 0 {
                return Ok(true);
            }
            let mut slices = [IoSlice::new(&[]); MAX_SLICES];
            let mut count = 0;
            for (slot, payload) in slices.iter_mut().zip(stream.readable()) {
                *slot = IoSlice::new(payload);
                count += 1;
            }
            if count == 0 {
                return Ok(false);
            }
            match self.socket.write_vectored(&slices[..count]) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(len) => {
                    stream.consume(len);
                    self.received += len as u64;
                    budget = budget.saturating_sub(len);
                }
                Err(error) => match error.kind() {
                    io::ErrorKind::WouldBlock => self.readiness.clear_writable(),
                    io::ErrorKind::Interrupted => {}
                    _ => return Err(error),
                },
            }
        }
        Ok(false)
    }
}

/// Drops data for a connection that takes nothing more: its sender may have to finish before it reads.
fn drop_readable(stream: &mut StreamMut<'_>) {
    let len = stream.readable().map(<[u8]>::len).sum();
    stream.consume(len);
    stream.poll_end();
}
