//! Which stream's message leaves next: one message of each in turn (RFC 8260, section 3.2).

use std::collections::VecDeque;

/// The streams with something to send.
#[derive(Debug, Default)]
pub(crate) struct Scheduler {
    /// The front's first message leaves, or is leaving, next.
    turns: VecDeque<u16>,
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

    /// Ends a turn; the stream has another if it has more.
    pub(crate) fn rotate(&mut self, has_more: bool) {
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
