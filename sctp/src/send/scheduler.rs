//! Which stream's message leaves next: messages of each in turn, as many bytes as a long one has. One message of each, as in RFC 8260, section
//! 3.2, would leave a stream of short messages a small part of the rate.

use std::collections::VecDeque;

/// What a stream may send in a turn, in bytes. A message that has begun is always finished.
const TURN: usize = 16 * 1024;

/// The streams with something to send.
#[derive(Debug, Default)]
pub(crate) struct Scheduler {
    /// The front's first message leaves, or is leaving, next.
    turns: VecDeque<u16>,
    /// Bytes of messages that the front has finished in its turn.
    spent: usize,
}

impl Scheduler {
    /// Takes note that a stream has its first message to send.
    pub(crate) fn add(&mut self, stream: u16) {
        self.turns.push_back(stream);
    }

    /// Returns whose turn it is.
    pub(crate) fn current(&self) -> Option<u16> {
        self.turns.front().copied()
    }

    /// Takes note that the message whose turn it is has left, with `bytes`. Its stream goes on until its turn is used up.
    pub(crate) fn finish(&mut self, bytes: usize, has_more: bool) {
        self.spent += bytes;
        if !has_more || self.spent >= TURN {
            self.rotate(has_more);
        }
    }

    /// Ends a turn; the stream has another if it has more.
    pub(crate) fn rotate(&mut self, has_more: bool) {
        self.spent = 0;
        if let Some(stream) = self.turns.pop_front()
            && has_more
        {
            self.turns.push_back(stream);
        }
    }

    /// Removes a stream that has nothing to send any more.
    pub(crate) fn remove(&mut self, stream: u16) {
        self.turns.retain(|other| *other != stream);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.turns.is_empty()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = u16> + '_ {
        self.turns.iter().copied()
    }
}
