//! Puts the frames of one direction of a stream back into order.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use super::id::Sequence;

/// Result of a frame's arrival.
#[derive(Debug, PartialEq, Eq)]
pub enum Arrival<T> {
    /// It is the next frame; more may follow from [`Reorder::pop`].
    Next(T),
    /// It is held until the frames before it arrive.
    Early,
    /// It had arrived before; dropped.
    Duplicate,
}

/// Holds frames that came early. Credit bounds how many there can be. The cost of one grows with the logarithm of that
/// number, in whatever order the peer sends.
#[derive(Debug)]
pub struct Reorder<T> {
    next: Sequence,
    /// How many frames came before `next`: a sequence number that does not wrap.
    position: u64,
    /// Early frames, by position. Empty, and without memory of its own, while everything comes in order.
    early: BTreeMap<u64, T>,
}

impl<T> Default for Reorder<T> {
    fn default() -> Self {
        Reorder { next: Sequence(0), position: 0, early: BTreeMap::new() }
    }
}

impl<T> Reorder<T> {
    /// Tells whether the frame with this sequence number has arrived.
    pub fn has(&self, sequence: Sequence) -> bool {
        sequence.is_before(self.next) || self.early.contains_key(&self.position_of(sequence))
    }

    /// Takes a frame.
    pub fn insert(&mut self, sequence: Sequence, item: T) -> Arrival<T> {
        if sequence == self.next {
            self.advance();
            return Arrival::Next(item);
        }
        if sequence.is_before(self.next) {
            return Arrival::Duplicate;
        }
        let position = self.position_of(sequence);
        match self.early.entry(position) {
            Entry::Occupied(_) => Arrival::Duplicate,
            Entry::Vacant(place) => {
                place.insert(item);
                Arrival::Early
            }
        }
    }

    /// Takes the next frame in order, if it is here.
    pub fn pop(&mut self) -> Option<T> {
        let first = self.early.first_entry().filter(|first| *first.key() == self.position)?;
        let item = first.remove();
        self.advance();
        Some(item)
    }

    /// Returns the first sequence number that has not arrived in order.
    pub fn next(&self) -> Sequence {
        self.next
    }

    /// Returns how many frames are held early.
    pub fn early_count(&self) -> usize {
        self.early.len()
    }

    /// Drops the held frames, and counts everything before `next` as arrived.
    pub fn skip_to(&mut self, next: Sequence) {
        self.early.clear();
        self.next = next;
    }

    /// Returns the last sequence number held early.
    pub fn last_early(&self) -> Option<Sequence> {
        let (position, _) = self.early.last_key_value()?;
        Some(self.next.plus((position - self.position) as u32))
    }

    fn advance(&mut self) {
        self.next = self.next.next();
        self.position += 1;
    }

    /// Returns the position of a frame that is not before the next one.
    fn position_of(&self, sequence: Sequence) -> u64 {
        self.position + u64::from(sequence.since(self.next))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_order_with_duplicates_comes_out_in_order(
            start in any::<u32>(),
            order in prop::collection::vec(0u32..40, 0..200),
        ) {
            let mut reorder = Reorder { next: Sequence(start), ..Reorder::default() };
            let mut seen = std::collections::BTreeSet::new();
            let mut out = Vec::new();
            for offset in order {
                let known = reorder.has(Sequence(start).plus(offset));
                prop_assert_eq!(known, !seen.insert(offset));
                match reorder.insert(Sequence(start).plus(offset), offset) {
                    Arrival::Next(item) => {
                        out.push(item);
                        while let Some(item) = reorder.pop() {
                            out.push(item);
                        }
                    }
                    Arrival::Early => prop_assert!(!known),
                    Arrival::Duplicate => prop_assert!(known),
                }
            }
            let in_order: Vec<u32> = (0..).take_while(|n| seen.contains(n)).collect();
            prop_assert_eq!(&out, &in_order);
            prop_assert_eq!(reorder.next(), Sequence(start).plus(out.len() as u32));
            let last = seen.last().filter(|last| **last as usize >= out.len());
            prop_assert_eq!(reorder.last_early(), last.map(|last| Sequence(start).plus(*last)));
        }
    }

    /// As many frames as fit into the largest window. Quadratic work would not end here.
    #[test]
    fn half_a_million_frames_that_come_from_both_ends_are_put_into_order() {
        let count = 500_000;
        let mut reorder = Reorder::default();
        for offset in 1..=count / 2 {
            for offset in [offset, count + 1 - offset] {
                assert_eq!(reorder.insert(Sequence(offset), offset), Arrival::Early);
            }
        }
        assert_eq!(reorder.insert(Sequence(0), 0), Arrival::Next(0));
        assert!((1..=count).all(|offset| reorder.pop() == Some(offset)));
        assert_eq!((reorder.pop(), reorder.next()), (None, Sequence(count + 1)));
    }

    #[test]
    fn a_sequence_number_half_way_round_is_ahead_and_disturbs_none() {
        let mut reorder = Reorder::default();
        for (sequence, arrival) in
            [(1 << 31, Arrival::Early), ((1 << 31) + 1, Arrival::Duplicate), (0, Arrival::Next(()))]
        {
            assert_eq!(reorder.insert(Sequence(sequence), ()), arrival, "{sequence}");
        }
        assert_eq!((reorder.pop(), reorder.next()), (None, Sequence(1)));
        assert_eq!(reorder.last_early(), Some(Sequence(1 << 31)));
    }
}
