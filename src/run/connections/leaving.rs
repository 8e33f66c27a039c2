//! Connections whose stream the peer has reset. An immediate reset would discard what the system has not sent yet,
//! which is the peer's last data. So the reset waits until that is sent.

use std::io::{self, Read as _};
use std::time::Duration;

use log::debug;

use crate::net::stream::Stream;
use crate::net::system::{Event as MioEvent, Interest};
use crate::run::deadlines::Due;
use crate::run::keys::{self, LeavingKey};
use crate::run::table::{Slot, Table};
use crate::run::token::Source;
use crate::run::turn::Turn;

/// Maximum number of connections that wait for their reset. Beyond it, the one that has waited longest is reset.
const MAX_LEAVING: usize = 256;

/// Time for a program to read the remaining data.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(60);

/// The same time if the system does not tell how much was read: the end was sent already, or this is not Linux.
const SHORT_TIMEOUT: Duration = Duration::from_secs(1);

/// Maximum number of bytes of a program that are read and discarded in one turn, so that the program can go on.
const READ_BUDGET: usize = 256 * 1024;

/// A connection that waits for its reset.
pub(in crate::run) struct Leaving {
    stream: Stream,
    until: Until,
}

/// Event that the connection waits for, besides its deadline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Until {
    /// The system reports that everything is sent.
    Sent,
    /// The program was sent the end, and ends, too.
    Ended,
    /// Nothing can be observed.
    Timeout,
}

/// The connections of a loop that wait for their reset.
#[derive(Default)]
pub(super) struct Leavings {
    table: Table<Leaving, keys::Leaving>,
}

impl Leavings {
    /// Resets a connection once everything written to it is sent. `has_finished` tells whether the end was written.
    pub(super) fn add(&mut self, turn: &mut Turn, mut stream: Stream, has_finished: bool) {
        if stream.delivers_at_once() {
            return stream.reset();
        }
        if self.table.len() >= MAX_LEAVING {
            let oldest = self.table.iter().map(|(key, _)| key).min();
            oldest.into_iter().for_each(|oldest| self.take(turn, oldest).reset());
        }
        let until = match has_finished {
            true => Until::Ended,
            false if stream.watch_unsent() => Until::Sent,
            false => Until::Timeout,
        };
        let interest = Interest::READABLE | Interest::WRITABLE;
        let token = Source::Leaving(self.table.next_key().slot()).token();
        // Registration reports present readiness at once.
        if let Err(error) = turn.registry().register(&mut stream, token, interest) {
            debug!("register error={error}");
            return stream.reset();
        }
        let key = self.table.insert(Leaving { stream, until });
        let timeout = if until == Until::Sent { LEAVE_TIMEOUT } else { SHORT_TIMEOUT };
        turn.set(timeout, Due::Leaving(key));
    }

    /// Handles an event of the connection's socket.
    pub(super) fn handle_event(&mut self, turn: &Turn, slot: Slot, event: &MioEvent) {
        let Some(key) = self.table.at(slot) else { return };
        let leaving = &mut self.table[key];
        let is_sent = leaving.until == Until::Sent && (event.is_writable() || event.is_write_closed());
        if is_sent || event.is_error() {
            return self.take(turn, key).reset();
        }
        // Read and discard, or a program that does not read before it has written everything would wait for ever.
        let mut piece = [0; 16 * 1024];
        let mut budget = READ_BUDGET;
        while budget > 0 {
            match leaving.stream.read(&mut piece) {
                Ok(len) if len > 0 => budget = budget.saturating_sub(len),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // Both directions have ended in order: the system does the rest.
                Ok(_) if leaving.until == Until::Ended => return drop(self.take(turn, key)),
                // The program has written everything, and may still read.
                Ok(_) => return,
                Err(_) => return self.take(turn, key).reset(),
            }
        }
        // There is more: re-registering reports it again in the next turn.
        let interest = Interest::READABLE | Interest::WRITABLE;
        if turn.registry().reregister(&mut leaving.stream, Source::Leaving(key.slot()).token(), interest).is_err() {
            self.take(turn, key).reset();
        }
    }

    /// Handles the deadline of such a connection.
    pub(super) fn handle_due(&mut self, turn: &Turn, key: LeavingKey) {
        if self.table.contains(key) {
            self.take(turn, key).reset();
        }
    }

    fn take(&mut self, turn: &Turn, key: LeavingKey) -> Stream {
        let Leaving { mut stream, .. } = self.table.remove(key).expect("it was found a moment ago");
        turn.deregister(&mut stream);
        stream
    }
}
