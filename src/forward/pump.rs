//! The pump between a local connection and a stream.
//!
//! | the connection | the stream | | the stream | the connection |
//! |---|---|---|---|---|
//! | end of file | finish (CLOSE) | | CLOSE, all before it written | `shutdown(Write)` |
//! | error or reset | abort (ABORT reset) | | ABORT | reset |

use std::io::{self, IoSlice, Read, Write};
use std::net::Shutdown;

use crate::net::readiness::Readiness;
use crate::net::stream::Stream;
use crate::tunnel::{Chunk, ChunkPool, StreamMut};

/// Bytes read in one go before others have their turn.
const READ_BUDGET: usize = 128 * 1024;

/// Bytes written in one go before others have their turn.
const WRITE_BUDGET: usize = 256 * 1024;

/// Payloads written with one system call.
const MAX_SLICES: usize = 32;

/// What became of a turn.
#[derive(Debug)]
pub enum Progress {
    /// Nothing more can be done until something happens.
    Waiting,
    /// The budget is used up; there is more to do.
    More,
    /// Both directions ended in order: the connection can be dropped.
    Done,
    /// The connection failed: the stream is to be aborted.
    Failed(io::Error),
}

/// A connection that is joined to a stream of the tunnel.
pub struct Pump {
    stream: Stream,
    /// Latched readiness.
    pub readiness: Readiness,
    /// Bytes for the connection that come before the stream's.
    prefix: Vec<u8>,
    /// Bytes of the connection that were read already.
    early: Vec<u8>,
    read_ended: bool,
    write_ended: bool,
    sent: u64,
    received: u64,
}

impl Pump {
    /// Joins a connection that is established.
    pub fn new(stream: Stream) -> Pump {
        let readiness = Readiness::BOTH;
        let (prefix, early) = (Vec::new(), Vec::new());
        Pump { stream, readiness, prefix, early, read_ended: false, write_ended: false, sent: 0, received: 0 }
    }

    /// Has bytes written to the connection before all that comes from the stream.
    #[must_use]
    pub fn with_prefix(self, prefix: Vec<u8>) -> Pump {
        Pump { prefix, ..self }
    }

    /// Has bytes go to the stream before all that is read from the connection, as the stream has room for them.
    #[must_use]
    pub fn with_early(self, early: Vec<u8>) -> Pump {
        Pump { early, ..self }
    }

    /// Returns the socket, to register it or let go of it.
    pub fn source_mut(&mut self) -> &mut Stream {
        &mut self.stream
    }

    /// Gives the socket back.
    pub fn into_stream(self) -> Stream {
        self.stream
    }

    /// Returns bytes (read from the connection, written to it) so far.
    pub fn bytes(&self) -> (u64, u64) {
        (self.sent, self.received)
    }

    /// Moves what can be moved in both directions, within the budgets.
    pub fn pump(&mut self, stream: &mut StreamMut<'_>, pool: &mut ChunkPool) -> Progress {
        let written = match self.write(stream) {
            Ok(more) => more,
            Err(error) => return Progress::Failed(error),
        };
        let read = match self.read(stream, pool) {
            Ok(more) => more,
            Err(error) => return Progress::Failed(error),
        };
        match (self.read_ended && self.write_ended, written || read) {
            (true, _) => Progress::Done,
            (false, true) => Progress::More,
            (false, false) => Progress::Waiting,
        }
    }

    /// Connection to stream. Returns whether there is more to do.
    fn read(&mut self, stream: &mut StreamMut<'_>, pool: &mut ChunkPool) -> io::Result<bool> {
        let mut budget = READ_BUDGET;
        while self.readiness.readable && !self.read_ended {
            if budget == 0 {
                return Ok(true);
            }
            let capacity = stream.send_capacity();
            if capacity == 0 {
                return Ok(false);
            }
            let mut chunk = pool.take();
            match self.read_into(&mut chunk, capacity) {
                Ok(0) => {
                    pool.recycle(chunk);
                    self.read_ended = true;
                    stream.finish();
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
        self.stream.read(&mut room[..len])
    }

    /// Stream to connection. Returns whether there is more to do.
    fn write(&mut self, stream: &mut StreamMut<'_>) -> io::Result<bool> {
        let mut budget = WRITE_BUDGET;
        while self.readiness.writable && !self.write_ended {
            if !self.prefix.is_empty() {
                match self.stream.write(&self.prefix) {
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
            if stream.is_at_end() {
                self.write_ended = true;
                // A connection that is gone already needs no shutdown; reading tells how it ended.
                return match self.stream.shutdown(Shutdown::Write) {
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
            match self.stream.write_vectored(&slices[..count]) {
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
