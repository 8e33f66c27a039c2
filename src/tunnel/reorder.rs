//! Puts the frames of one direction of a stream back into order.

use std::collections::VecDeque;

use super::id::Sequence;

/// What became of a frame that arrived.
#[derive(Debug, PartialEq, Eq)]
pub enum Arrival<T> {
    /// It is the next one; more may follow from [`Reorder::pop`].
    Next(T),
    /// It is held until the ones before it came.
    Early,
    /// It came before; dropped.
    Duplicate,
}

/// Holds what came early. How much that can be is bounded by credit, outside.
#[derive(Debug)]
pub struct Reorder<T> {
    next: Sequence,
    /// Sorted by sequence number, without duplicates; mostly appended to at the back.
    early: VecDeque<(Sequence, T)>,
}

impl<T> Default for Reorder<T> {
    fn default() -> Self {
        Reorder { next: Sequence(0), early: VecDeque::new() }
    }
}

impl<T> Reorder<T> {
    /// Tells whether a frame with this sequence number is one we have had.
    pub fn has(&self, sequence: Sequence) -> bool {
        sequence.is_before(self.next) || self.position(sequence).is_ok()
    }

    /// Takes a frame.
    pub fn insert(&mut self, sequence: Sequence, item: T) -> Arrival<T> {
        if sequence == self.next {
            self.next = sequence.next();
            return Arrival::Next(item);
        }
        if sequence.is_before(self.next) {
            return Arrival::Duplicate;
        }
        match self.position(sequence) {
            Ok(_) => Arrival::Duplicate,
            Err(index) => {
                self.early.insert(index, (sequence, item));
                Arrival::Early
            }
        }
    }

    /// Takes out the next frame in order, if it is here.
    pub fn pop(&mut self) -> Option<T> {
        if self.early.front()?.0 != self.next {
            return None;
        }
        self.next = self.next.next();
        self.early.pop_front().map(|(_, item)| item)
    }

    /// Returns the first sequence number that has not arrived in order.
    pub fn next(&self) -> Sequence {
        self.next
    }

    /// Returns how many frames are held early.
    pub fn early_count(&self) -> usize {
        self.early.len()
    }

    /// Drops what is held and takes everything before `next` for arrived.
    pub fn skip_to(&mut self, next: Sequence) {
        self.early.clear();
        self.next = next;
    }

    /// Returns the last sequence number held early.
    pub fn last_early(&self) -> Option<Sequence> {
        self.early.back().map(|(sequence, _)| *sequence)
    }

    fn position(&self, sequence: Sequence) -> Result<usize, usize> {
        let ahead = sequence.since(self.next);
        match self.early.back() {
            Some((last, _)) if last.since(self.next) < ahead => Err(self.early.len()),
            _ => self.early.binary_search_by_key(&ahead, |(held, _)| held.since(self.next)),
        }
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
            let mut reorder = Reorder { next: Sequence(start), early: VecDeque::new() };
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
        }
    }
}
