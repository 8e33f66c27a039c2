//! The receiving half of a stream.

use std::collections::{BTreeMap, VecDeque};

use super::Message;
use crate::number::Ssn;

/// Whether messages are taken.
///
/// ```text
/// Open ── the application closes ──> Stopped ── the peer resets ──> Finished
///   └──────── the peer resets, all was read ───────────────────────────^
/// Finished ── the peer sends a message: a new stream ──> Open
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Receiving {
    /// Messages are kept until they are read.
    #[default]
    Open,
    /// The application no longer reads; messages are dropped until the peer resets the stream.
    Stopped,
    /// The peer reset the stream.
    Finished,
}

/// The receiving half of a stream.
#[derive(Debug)]
pub(crate) struct Incoming {
    pub(crate) state: Receiving,
    /// Messages to be read.
    ready: VecDeque<Message>,
    /// Ordered messages that arrived early.
    waiting: BTreeMap<Ssn, Message>,
    /// The number of the next ordered message.
    next: Ssn,
}

impl Default for Incoming {
    fn default() -> Incoming {
        Incoming { state: Receiving::Open, ready: VecDeque::new(), waiting: BTreeMap::new(), next: Ssn::FIRST }
    }
}

impl Incoming {
    /// Creates the half of a stream that the peer has reset: the next stream's numbers start from the first.
    pub(crate) fn finished() -> Incoming {
        Incoming { state: Receiving::Finished, ..Incoming::default() }
    }

    /// Handles a complete message; an ordered one has its number. Returns how much of the window is freed, if it is
    /// dropped.
    pub(crate) fn handle_message(&mut self, message: Message, order: Option<u16>) -> usize {
        let Some(order) = order else {
            self.ready.push_back(message);
            return 0;
        };
        let number = self.next.near(order);
        if number < self.next {
            // The peer skipped it, or used its number twice.
            return message.cost;
        }
        if number > self.next {
            return self.waiting.insert(number, message).map_or(0, |twin| twin.cost);
        }
        self.ready.push_back(message);
        self.next = self.next.next();
        self.deliver();
        0
    }

    /// Skips ordered messages up to a number, which no longer come (RFC 3758, section 3.6).
    pub(crate) fn skip(&mut self, order: u16) {
        let last = self.next.near(order);
        if last < self.next {
            return;
        }
        while let Some(first) = self.waiting.first_entry()
            && *first.key() <= last
        {
            self.ready.push_back(first.remove());
        }
        self.next = last.next();
        self.deliver();
    }

    pub(crate) fn has_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    pub(crate) fn read(&mut self) -> Option<Message> {
        self.ready.pop_front()
    }

    /// Drops all messages, and returns how much of the window is freed.
    pub(crate) fn clear(&mut self) -> usize {
        let waiting = std::mem::take(&mut self.waiting).into_values();
        self.ready.drain(..).chain(waiting).map(|message| message.cost).sum()
    }

    fn deliver(&mut self) {
        while let Some(first) = self.waiting.first_entry()
            && *first.key() == self.next
        {
            self.ready.push_back(first.remove());
            self.next = self.next.next();
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::stream::message::Parts;

    fn message(protocol: u32) -> Message {
        Message { protocol, parts: Parts::One(Bytes::from_static(b"x")), cost: 10 }
    }

    fn read(incoming: &mut Incoming) -> Vec<u32> {
        std::iter::from_fn(|| incoming.read()).map(|message| message.protocol).collect()
    }

    #[test]
    fn ordered_messages_wait_for_each_other() {
        let mut incoming = Incoming::default();
        assert_eq!(incoming.handle_message(message(2), Some(2)), 0);
        assert_eq!(incoming.handle_message(message(1), Some(1)), 0);
        assert!(!incoming.has_ready());
        assert_eq!(incoming.handle_message(message(9), None), 0);
        assert_eq!(read(&mut incoming), [9]);
        assert_eq!(incoming.handle_message(message(0), Some(0)), 0);
        assert_eq!(read(&mut incoming), [0, 1, 2]);
        assert_eq!(incoming.handle_message(message(1), Some(1)), 10, "it was delivered already");
    }

    #[test]
    fn skipped_messages_are_waited_for_no_more() {
        let mut incoming = Incoming::default();
        for number in [1, 3, 4, 6] {
            incoming.handle_message(message(number), Some(number as u16));
        }
        incoming.skip(2);
        assert_eq!(read(&mut incoming), [1, 3, 4]);
        incoming.skip(0);
        incoming.handle_message(message(5), Some(5));
        assert_eq!(read(&mut incoming), [5, 6]);
    }

    #[test]
    fn numbers_wrap() {
        let mut incoming = Incoming::default();
        incoming.skip(30_000);
        incoming.skip(60_000);
        incoming.skip(u16::MAX - 1);
        incoming.handle_message(message(1), Some(0));
        incoming.handle_message(message(2), Some(1));
        incoming.handle_message(message(0), Some(u16::MAX));
        assert_eq!(read(&mut incoming), [0, 1, 2]);
    }
}
