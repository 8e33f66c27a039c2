//! Sets of TSNs, stored as ranges: what was received, and what the peer acknowledged.

use std::collections::VecDeque;

use crate::number::Tsn;

/// Ranges that neither touch nor overlap, in order. Both ends belong to a range.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ranges {
    ranges: VecDeque<(Tsn, Tsn)>,
}

impl Ranges {
    pub(crate) fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// Returns how many ranges there are.
    pub(crate) fn len(&self) -> usize {
        self.ranges.len()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (Tsn, Tsn)> + '_ {
        self.ranges.iter().copied()
    }

    /// Returns the highest number.
    pub(crate) fn last(&self) -> Option<Tsn> {
        self.ranges.back().map(|(_, last)| *last)
    }

    pub(crate) fn contains(&self, tsn: Tsn) -> bool {
        let after = self.ranges.partition_point(|(first, _)| *first <= tsn);
        after > 0 && self.ranges[after - 1].1 >= tsn
    }

    /// Tells whether all of `from..=to` is in the set. `hint` is the position of the last answer, initially 0: calls in
    /// order together cost only one pass over the set.
    pub(crate) fn covers(&self, hint: &mut usize, from: Tsn, to: Tsn) -> bool {
        while self.ranges.get(*hint).is_some_and(|(_, last)| *last < to) {
            *hint += 1;
        }
        self.ranges.get(*hint).is_some_and(|(first, last)| *first <= from && *last >= to)
    }

    /// Returns the first gap within `from..=to`.
    pub(crate) fn missing(&self, from: Tsn, to: Tsn) -> Option<(Tsn, Tsn)> {
        let mut index = self.ranges.partition_point(|(_, last)| *last < from);
        let mut start = from;
        if let Some((first, last)) = self.ranges.get(index)
            && *first <= start
        {
            start = last.next();
            index += 1;
        }
        let end = self.ranges.get(index).map_or(to, |(first, _)| first.previous().min(to));
        (start <= end).then_some((start, end))
    }

    /// Adds `from..=to`.
    pub(crate) fn insert(&mut self, from: Tsn, to: Tsn) {
        if from > to {
            return;
        }
        // A range that ends right before the new one or overlaps it is merged with it; usually that is the last one, or
        // none.
        let start = match self.ranges.back() {
            Some((first, _)) if *first <= from => {
                self.ranges.len() - usize::from(self.ranges[self.ranges.len() - 1].1.next() >= from)
            }
            _ => self.ranges.partition_point(|(_, last)| last.next() < from),
        };
        let mut end = start;
        let mut merged = (from, to);
        while let Some((first, last)) = self.ranges.get(end)
            && *first <= to.next()
        {
            merged = (merged.0.min(*first), merged.1.max(*last));
            end += 1;
        }
        if end == start {
            self.ranges.insert(start, merged);
        } else {
            self.ranges[start] = merged;
            if end > start + 1 {
                self.ranges.drain(start + 1..end);
            }
        }
    }

    /// Removes everything below `tsn`.
    pub(crate) fn remove_below(&mut self, tsn: Tsn) {
        while let Some((first, last)) = self.ranges.front_mut() {
            if *last < tsn {
                self.ranges.pop_front();
            } else {
                *first = (*first).max(tsn);
                break;
            }
        }
    }

    /// Removes the range that starts with `tsn`, and returns its last number.
    pub(crate) fn take_front(&mut self, tsn: Tsn) -> Option<Tsn> {
        self.ranges
            .front()
            .is_some_and(|(first, _)| *first == tsn)
            .then(|| self.ranges.pop_front())?
            .map(|(_, last)| last)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::random::{Random, Seed};

    fn tsn(number: u64) -> Tsn {
        Tsn::first(u32::MAX - 20).plus(number)
    }

    #[test]
    fn ranges_are_a_set() {
        let mut random = Random::new(Seed([7, 7]));
        for _ in 0..300 {
            let mut ranges = Ranges::default();
            let mut model = BTreeSet::new();
            for _ in 0..40 {
                let from = random.number() % 60;
                let to = from + random.number() % 6;
                if random.number().is_multiple_of(8) {
                    ranges.remove_below(tsn(from));
                    model.retain(|number| *number >= from);
                } else {
                    let mut cursor = tsn(from);
                    let mut missing = Vec::new();
                    while let Some((first, last)) = ranges.missing(cursor, tsn(to)) {
                        missing.extend((0..70).filter(|n| (first..=last).contains(&tsn(*n))));
                        cursor = last.next();
                    }
                    let covers = ranges.covers(&mut 0, tsn(from), tsn(to));
                    assert_eq!(covers, missing.is_empty());
                    let expected: Vec<_> = (from..=to).filter(|n| !model.contains(n)).collect();
                    assert_eq!(missing, expected);
                    ranges.insert(tsn(from), tsn(to));
                    model.extend(from..=to);
                }
                let members: Vec<_> = (0..70).filter(|n| ranges.contains(tsn(*n))).collect();
                assert_eq!(members, model.iter().copied().collect::<Vec<_>>());
                let runs = model.iter().filter(|n| **n == 0 || !model.contains(&(**n - 1))).count();
                assert_eq!(ranges.len(), runs, "{ranges:?}");
            }
        }
    }
}
