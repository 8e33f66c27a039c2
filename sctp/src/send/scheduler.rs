//! Selects the stream whose message leaves next: streams share by bytes, and each message leaves whole (start-time fair
//! queueing). One message of each stream in turn, as in RFC 8260, section 3.2, would give a stream of short messages a
//! small part of the rate.

use std::collections::{BTreeMap, BTreeSet};

/// The start of a stream's next message, in bytes that each stream would have sent by then with equal shares.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Start(u64);

/// A stream with something to send. The earliest start comes first; equal ones go by arrival.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Turn {
    start: Start,
    number: u64,
    stream: u16,
}

/// The streams with something to send.
#[derive(Debug, Default)]
pub(crate) struct Scheduler {
    /// The message of the first stream is leaving, or leaves next.
    turns: BTreeSet<Turn>,
    /// Counts the turns that were given.
    given: u64,
    /// Bytes of the message that is leaving.
    spent: u64,
    /// The start of the message that left last.
    now: Start,
    /// Where streams without messages would continue: a stream must not regain what it had beyond its share by pausing
    /// for a moment.
    ahead: BTreeMap<u16, Start>,
}

impl Scheduler {
    /// Adds a stream that has its first message to send.
    pub(crate) fn add(&mut self, stream: u16) {
        let now = self.turns.first().map_or(self.now, |turn| turn.start);
        let start = self.ahead.remove(&stream).unwrap_or_default();
        self.insert(stream, start.max(now));
    }

    fn insert(&mut self, stream: u16, start: Start) {
        self.given += 1;
        self.turns.insert(Turn { start, number: self.given, stream });
    }

    /// Returns the stream whose message leaves next.
    pub(crate) fn current(&self) -> Option<u16> {
        self.turns.first().map(|turn| turn.stream)
    }

    /// Counts bytes of the current message that left.
    pub(crate) fn spend(&mut self, bytes: usize) {
        self.spent += bytes as u64;
    }

    /// Finishes the current message; `has_more` means that its stream has another.
    pub(crate) fn finish(&mut self, has_more: bool) {
        let spent = std::mem::take(&mut self.spent);
        let Some(turn) = self.turns.pop_first() else { return };
        self.now = turn.start;
        let next = Start(turn.start.0 + spent);
        if has_more {
            self.insert(turn.stream, next);
        } else {
            self.ahead.insert(turn.stream, next);
        }
    }

    /// Removes a stream with nothing left to send.
    pub(crate) fn remove(&mut self, stream: u16) {
        if self.current() == Some(stream) {
            self.spent = 0;
        }
        self.turns.retain(|turn| turn.stream != stream);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.turns.is_empty()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = u16> + '_ {
        self.turns.iter().map(|turn| turn.stream)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn send(scheduler: &mut Scheduler, length: usize, has_more: bool) {
        let mut rest = length;
        while rest > 0 {
            let fragment = rest.min(1000);
            scheduler.spend(fragment);
            rest -= fragment;
        }
        scheduler.finish(has_more);
    }

    #[test]
    fn streams_share_by_bytes_however_messages_are_cut() {
        let lengths = [100, 1001, 16_001];
        let mut scheduler = Scheduler::default();
        (0..3).for_each(|stream| scheduler.add(stream));
        let mut left = [0; 3];
        for _ in 0..10_000 {
            let stream = usize::from(scheduler.current().unwrap());
            left[stream] += lengths[stream];
            send(&mut scheduler, lengths[stream], true);
            assert!(left.iter().max().unwrap() - left.iter().min().unwrap() <= 17_000, "{left:?}");
        }
    }

    #[test]
    fn a_stream_that_always_has_one_message_to_send_gets_no_more_than_its_share() {
        let mut scheduler = Scheduler::default();
        scheduler.add(1);
        scheduler.add(2);
        let mut left = [0; 3];
        for _ in 0..10_000 {
            let stream = scheduler.current().unwrap();
            let length = if stream == 1 { 16_000 } else { 200 };
            left[usize::from(stream)] += length;
            send(&mut scheduler, length, stream == 2);
            if stream == 1 {
                scheduler.add(1);
            }
        }
        assert!(left[1].abs_diff(left[2]) <= 16_000, "{left:?}");
    }

    #[test]
    fn one_that_was_silent_is_next_and_saves_nothing_up() {
        let mut scheduler = Scheduler::default();
        scheduler.add(1);
        for _ in 0..100 {
            send(&mut scheduler, 1000, true);
        }
        scheduler.spend(500);
        scheduler.add(2);
        assert_eq!(scheduler.current(), Some(1), "a message that has begun is finished");
        scheduler.finish(true);
        assert_eq!(scheduler.current(), Some(2));
        send(&mut scheduler, 1000, true);
        assert_eq!(scheduler.current(), Some(1));
        scheduler.remove(1);
        assert_eq!(scheduler.current(), Some(2));
    }
}
