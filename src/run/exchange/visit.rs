//! The connection of a browser, or of a program that uses a proxy, and the exchange that is spoken over it.

use std::io::{self, Read, Write};
use std::time::Instant;

use log::debug;

use super::pace::Pace;
use crate::gateway::{Ending, Exchange, Stage};
use crate::net::stream::Stream;
#[cfg(feature = "server")]
use crate::net::transport::Transport;

/// A connection without blocking.
pub(in crate::run) trait Wire: Read + Write {
    /// Ends our direction in order.
    fn end(&mut self);

    /// Tells whether bytes wait that were written.
    fn holds_back(&self) -> bool;
}

#[cfg(feature = "server")]
impl Wire for Transport {
    fn end(&mut self) {
        self.finish();
    }

    fn holds_back(&self) -> bool {
        Transport::holds_back(self)
    }
}

impl Wire for Stream {
    fn end(&mut self) {
        // It fails if the program is gone; the next read says so.
        let _ = self.finish();
    }

    fn holds_back(&self) -> bool {
        false
    }
}

/// One connection, from its first byte to its last.
pub(in crate::run) struct Visit<S> {
    pub(in crate::run) socket: S,
    pub(in crate::run) exchange: Exchange,
    /// Reading has ended.
    pub(in crate::run) read_ended: bool,
    /// Writing has ended.
    pub(in crate::run) write_ended: bool,
    /// What the exchange is doing, and since when.
    pub(in crate::run) stage: Stage,
    pub(in crate::run) stage_at: Instant,
    /// When bytes last moved.
    pub(in crate::run) moved_at: Instant,
    /// The clock of a body.
    pub(in crate::run) pace: Pace,
}

impl<S: Wire> Visit<S> {
    /// Joins a connection to its exchange.
    pub(in crate::run) fn new(now: Instant, socket: S, exchange: Exchange) -> Visit<S> {
        Visit {
            socket,
            exchange,
            read_ended: false,
            write_ended: false,
            stage: Stage::Idle,
            stage_at: now,
            moved_at: now,
            pace: Pace::new(now),
        }
    }

    /// Reads as much as there is room for; `piece` is a buffer. `tap` sees what came, and at which stage. Returns false
    /// if nothing moved.
    pub(in crate::run) fn read(&mut self, now: Instant, piece: &mut [u8], mut tap: impl FnMut(Stage, &[u8])) -> bool {
        let mut has_moved = false;
        while !self.read_ended {
            let room = self.exchange.room().min(piece.len());
            self.pace.set_room(now, room > 0);
            if room == 0 {
                break;
            }
            match self.socket.read(&mut piece[..room]) {
                Ok(0) => {
                    self.read_ended = true;
                    self.exchange.handle_end();
                }
                Ok(len) => {
                    self.pace.received(now, len);
                    tap(self.exchange.stage(), &piece[..len]);
                    self.exchange.handle_bytes(&piece[..len]);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                    // TLS ended without close_notify, as with most browsers.
                    self.read_ended = true;
                    self.exchange.handle_end();
                }
                Err(error) => {
                    debug!("read error={error}");
                    self.read_ended = true;
                    self.exchange.handle_browser_gone();
                }
            }
            has_moved = true;
        }
        has_moved
    }

    /// Writes what waits for the program. `has_stream` tells whether a stream may bring more. Returns whether something
    /// moved, or `None` if the connection is over.
    pub(in crate::run) fn write(&mut self, has_stream: bool) -> Option<bool> {
        let mut has_moved = false;
        while !self.exchange.to_browser().is_empty() && !self.write_ended {
            match self.socket.write(self.exchange.to_browser()) {
                Ok(len) if len > 0 => {
                    self.exchange.handle_sent_to_browser(len);
                    has_moved = true;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                result => {
                    debug!("write failed: {result:?}");
                    self.write_ended = true;
                    self.exchange.handle_browser_gone();
                }
            }
        }
        if let Err(error) = self.socket.flush()
            && error.kind() != io::ErrorKind::WouldBlock
        {
            self.write_ended = true;
            self.exchange.handle_browser_gone();
        }
        match self.exchange.browser_ending() {
            None => Some(has_moved),
            Some(Ending::Reset) => None,
            Some(ending @ (Ending::Close | Ending::HalfClose)) => {
                if !self.write_ended && !self.socket.holds_back() {
                    self.write_ended = true;
                    self.socket.end();
                }
                let is_over = ending == Ending::Close || !has_stream;
                if is_over && self.read_ended && self.write_ended { None } else { Some(has_moved) }
            }
        }
    }

    /// Notes the stage after a round, and whether bytes moved in it. Returns the stage before.
    pub(in crate::run) fn settle(&mut self, now: Instant, has_moved: bool) -> Stage {
        if has_moved {
            self.moved_at = now;
        }
        let stage = self.exchange.stage();
        if stage != self.stage {
            self.stage_at = now;
            self.pace = Pace::new(now);
        }
        std::mem::replace(&mut self.stage, stage)
    }

    /// Tells whether the connection may end in order: nothing that was sent is incomplete.
    pub(in crate::run) fn is_whole(&self) -> bool {
        match self.exchange.browser_ending() {
            Some(ending) => ending != Ending::Reset,
            None => matches!(self.exchange.stage(), Stage::Idle | Stage::Head) && self.exchange.to_browser().is_empty(),
        }
    }
}
