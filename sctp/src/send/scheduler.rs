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
    /// Bytes of messages that the front has sent in its turn.
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

    /// Takes note that so many bytes of the message whose turn it is left.
    pub(crate) fn spend(&mut self, bytes: usize) {
        self.spent += bytes;
    }

    /// Takes note that the message whose turn it is has left to its end. Its stream goes on until its turn is used up.
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

    /// Lets streams send messages of that length in fragments of at most 1,000 bytes, and returns the bytes that left of each.
    fn share(lengths: &[usize], messages: usize) -> Vec<usize> {
        let mut scheduler = Scheduler::default();
        (0..lengths.len()).for_each(|stream| scheduler.add(stream as u16));
        let mut left = vec![0; lengths.len()];
        for _ in 0..messages {
            let stream = usize::from(scheduler.current().unwrap());
            let mut rest = lengths[stream];
            while rest > 0 {
                let fragment = rest.min(1000);
                scheduler.spend(fragment);
                rest -= fragment;
            }
            left[stream] += lengths[stream];
            scheduler.finish(true);
        }
        left
    }

    #[test]
    fn streams_share_by_bytes_however_messages_are_cut() {
        let left = share(&[100, 1001, 16_001], 100_000);
        let (least, most) = (left.iter().min().unwrap(), left.iter().max().unwrap());
        assert!(*most < least * 2, "{left:?}");
    }

    #[test]
    fn a_stream_waits_for_no_more_than_a_turn_of_each_other() {
        let mut scheduler = Scheduler::default();
        scheduler.add(1);
        scheduler.spend(16_000);
        scheduler.finish(true);
        scheduler.add(2);
        scheduler.spend(500);
        scheduler.finish(true);
        assert_eq!(scheduler.current(), Some(2));
        scheduler.remove(2);
        assert_eq!((scheduler.current(), scheduler.spent), (Some(1), 0));
    }
}
