//! Which stream sends next: deficit round robin, with streams that were idle served first.
//!
//! As in FQ-CoDel (RFC 8290, section 4.2), a stream that becomes active joins a list of new streams that goes before
//! the others for one quantum. A key press or a request is therefore not queued behind everybody's bulk data, and a
//! stream cannot stay ahead by emptying itself: from the new list it moves to the old one first.

use std::collections::VecDeque;

use super::id::StreamKey;

/// Bytes a stream may send in one turn, by default.
pub(super) const QUANTUM: u16 = 16 * 1024;

#[derive(Debug)]
struct Entry {
    key: StreamKey,
    deficit: i32,
}

/// The streams that have something to send, in the order they take turns.
#[derive(Debug)]
pub struct Schedule {
    quantum: i32,
    new: VecDeque<Entry>,
    old: VecDeque<Entry>,
}

impl Default for Schedule {
    fn default() -> Self {
        Schedule::new(QUANTUM)
    }
}

impl Schedule {
    /// Creates a schedule whose turns are `quantum` bytes long, at least one.
    pub fn new(quantum: u16) -> Schedule {
        Schedule { quantum: quantum.max(1).into(), new: VecDeque::new(), old: VecDeque::new() }
    }

    /// Makes the turns that come `quantum` bytes long, at least one.
    pub fn set_quantum(&mut self, quantum: u16) {
        self.quantum = quantum.max(1).into();
    }

    /// Adds a stream that has something to send. It must not be on the schedule yet.
    pub fn activate(&mut self, key: StreamKey) {
        self.new.push_back(Entry { key, deficit: self.quantum });
    }

    /// Returns the stream whose turn it is.
    pub fn current(&mut self) -> Option<StreamKey> {
        loop {
            let (list, is_new) = if self.new.is_empty() { (&mut self.old, false) } else { (&mut self.new, true) };
            let entry = list.front_mut()?;
            if entry.deficit > 0 {
                return Some(entry.key);
            }
            entry.deficit += self.quantum;
            if is_new {
                self.old.extend(self.new.pop_front());
            } else {
                self.old.rotate_left(1);
            }
        }
    }

    /// Charges the current stream for a message of `len` bytes.
    pub fn charge(&mut self, len: usize) {
        let list = if self.new.is_empty() { &mut self.old } else { &mut self.new };
        if let Some(entry) = list.front_mut() {
            entry.deficit -= i32::try_from(len).unwrap_or(i32::MAX / 2);
        }
    }

    /// Skips the current stream, which has nothing to send. Returns whether it left the schedule; if not, it gets one
    /// more turn.
    pub fn idle(&mut self) -> bool {
        match self.new.pop_front() {
            Some(entry) => {
                self.old.push_back(entry);
                false
            }
            None => self.old.pop_front().is_some(),
        }
    }

    /// Removes all streams.
    pub fn clear(&mut self) {
        self.new.clear();
        self.old.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(index: u32) -> StreamKey {
        StreamKey { index, serial: 0 }
    }

    #[test]
    fn bytes_are_shared_evenly_whatever_the_message_size() {
        let mut schedule = Schedule::default();
        let sizes = [16392usize, 100, 1500, 9000];
        for index in 0..4 {
            schedule.activate(key(index));
        }
        let mut sent = [0usize; 4];
        for _ in 0..20_000 {
            let index = schedule.current().unwrap().index as usize;
            sent[index] += sizes[index];
            schedule.charge(sizes[index]);
        }
        let (least, most) = (sent.iter().min().unwrap(), sent.iter().max().unwrap());
        assert!(most - least <= 2 * 16392, "{sent:?}");
    }

    #[test]
    fn a_stream_that_was_idle_goes_first_once() {
        let mut schedule = Schedule::default();
        schedule.activate(key(1));
        for _ in 0..30 {
            assert_eq!(schedule.current(), Some(key(1)));
            schedule.charge(1000);
        }
        schedule.activate(key(2));
        assert_eq!(schedule.current(), Some(key(2)));
        schedule.charge(64);
        assert!(!schedule.idle(), "it moves behind the old ones first");
        assert_eq!(schedule.current(), Some(key(1)));
        schedule.charge(16384);
        assert_eq!(schedule.current(), Some(key(2)));
        assert!(schedule.idle());
        assert_eq!(schedule.current(), Some(key(1)));
        assert!(schedule.idle());
        assert_eq!(schedule.current(), None);
    }
}
