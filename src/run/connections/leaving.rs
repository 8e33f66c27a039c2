//! Connections whose stream the peer has reset. A reset of ours at once would throw away what the system has taken from
//! us and not yet sent, which is what the peer said last: it comes when that is on its way.

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

/// Connections that may wait for their reset. Beyond that the one that has waited for longest is reset.
const MAX_LEAVING: usize = 256;

/// How long a program may take to read what is there for it.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(60);

/// The same where the system does not tell how much it has read: it was told the end already, or this is not Linux.
const SHORT_TIMEOUT: Duration = Duration::from_secs(1);

/// What is taken of a program, to no purpose but to let it go on, before others have their turn.
const READ_BUDGET: usize = 256 * 1024;

/// A connection that waits for its reset.
pub(in crate::run) struct Leaving {
    stream: Stream,
    until: Until,
}

/// What such a connection waits for, beside its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Until {
    /// The system says that everything is on its way.
    Sent,
    /// The program was told the end: it ends, too.
    Ended,
    /// Nothing tells.
    Timeout,
}

/// The connections of a loop that wait for their reset.
#[derive(Default)]
pub(super) struct Leavings {
    table: Table<Leaving, keys::Leaving>,
}

impl Leavings {
    /// Resets a connection once what was written to it is on its way, given whether its end was.
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
        // Whoever registers is told at once what is ready already.
        if let Err(error) = turn.registry().register(&mut stream, token, interest) {
            debug!("register error={error}");
            return stream.reset();
        }
        let key = self.table.insert(Leaving { stream, until });
        let timeout = if until == Until::Sent { LEAVE_TIMEOUT } else { SHORT_TIMEOUT };
        turn.set(timeout, Due::Leaving(key));
    }

    /// Takes an event of such a connection's socket.
    pub(super) fn handle_event(&mut self, turn: &Turn, slot: Slot, event: &MioEvent) {
        let Some(key) = self.table.at(slot) else { return };
        let leaving = &mut self.table[key];
        let is_sent = leaving.until == Until::Sent && (event.is_writable() || event.is_write_closed());
        if is_sent || event.is_error() {
            return self.take(turn, key).reset();
        }
        // What it still says is taken, or a program that does not read until it has said all would wait for ever.
        let mut piece = [0; 16 * 1024];
        let mut budget = READ_BUDGET;
        while budget > 0 {
            match leaving.stream.read(&mut piece) {
                Ok(len) if len > 0 => budget = budget.saturating_sub(len),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // Both directions have ended in order: the system does the rest.
                Ok(_) if leaving.until == Until::Ended => return drop(self.take(turn, key)),
                // It has said all, and may still read.
                Ok(_) => return,
                Err(_) => return self.take(turn, key).reset(),
            }
        }
        // There is more: the next turn hears of it again.
        let interest = Interest::READABLE | Interest::WRITABLE;
        if turn.registry().reregister(&mut leaving.stream, Source::Leaving(key.slot()).token(), interest).is_err() {
            self.take(turn, key).reset();
        }
    }

    /// The time of such a connection is up.
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
