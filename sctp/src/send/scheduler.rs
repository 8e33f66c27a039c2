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
    /// Bytes that the front has sent in its turn.
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

    /// Takes note that `bytes` of the message whose turn it is leave.
    pub(crate) fn spend(&mut self, bytes: usize) {
        self.spent += bytes;
    }

    /// Takes note that all of the message whose turn it is has left. Its stream goes on until its turn is used up.
    pub(crate) fn finish(&mut self, has_more: bool) {
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
        if self.current() == Some(stream) {
            self.spent = 0;
        }
        self.turns.retain(|other| *other != stream);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.turns.is_empty()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = u16> + '_ {
        self.turns.iter().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_of_long_messages_has_one_in_its_turn_however_it_is_cut() {
        let mut scheduler = Scheduler::default();
        scheduler.add(1);
        scheduler.add(2);
        (0..16).for_each(|_| scheduler.spend(1024));
        assert_eq!(scheduler.current(), Some(1), "a message that has begun is finished");
        scheduler.finish(true);
        assert_eq!(scheduler.current(), Some(2));
    }

    #[test]
    fn a_stream_of_short_messages_has_as_many_as_a_long_one_is_long() {
        let mut scheduler = Scheduler::default();
        scheduler.add(1);
        scheduler.add(2);
        for _ in 0..163 {
            scheduler.spend(100);
            scheduler.finish(true);
            assert_eq!(scheduler.current(), Some(1));
        }
        scheduler.spend(100);
        scheduler.finish(true);
        assert_eq!(scheduler.current(), Some(2));
        scheduler.spend(10);
        scheduler.finish(false);
        assert_eq!(scheduler.current(), Some(1));
    }
}
