//! Tables of everything that is open. A key finds its entry while that exists, and never another entry in its slot.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::marker::PhantomData;
use std::ops::{Index, IndexMut};

use slab::Slab;

/// Entries, each found by its [`Key<K>`]. Free slots are reused, the last one first.
pub(super) struct Table<T, K = T> {
    slots: Slab<Numbered<T>>,
    /// Number of entries so far.
    count: u64,
    keys: PhantomData<fn() -> K>,
}

struct Numbered<T> {
    number: u64,
    entry: T,
}

/// Key of an entry; `T` distinguishes it from keys of other tables. Keys of one table are ordered by the age of their
/// entries.
pub(super) struct Key<T> {
    /// Unique in its table, so it distinguishes the entry from others in the same slot.
    number: u64,
    slot: Slot,
    of: PhantomData<fn() -> T>,
}

/// A key without its table: the loop keeps it for a side in a notice or a deadline, and returns it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Mark {
    number: u64,
    slot: Slot,
}

/// A slot of a table, whatever its entry: this is all that a token of the system can hold. Only a table turns it into a
/// key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Slot(usize);

impl Slot {
    /// Restores a slot from [`Slot::to_bits`].
    pub(super) fn from_bits(bits: usize) -> Slot {
        Slot(bits)
    }

    /// Returns the slot as a small number.
    pub(super) fn to_bits(self) -> usize {
        self.0
    }
}

impl<T, K> Table<T, K> {
    /// Creates an empty table.
    pub(super) fn new() -> Table<T, K> {
        Table { slots: Slab::new(), count: 0, keys: PhantomData }
    }

    /// Returns the key that the next entry will have.
    pub(super) fn next_key(&self) -> Key<K> {
        Key { number: self.count, slot: Slot(self.slots.vacant_key()), of: PhantomData }
    }

    /// Adds an entry.
    pub(super) fn insert(&mut self, entry: T) -> Key<K> {
        let key = self.next_key();
        self.slots.insert(Numbered { number: key.number, entry });
        self.count += 1;
        key
    }

    /// Removes an entry and returns it, if it exists.
    pub(super) fn remove(&mut self, key: Key<K>) -> Option<T> {
        self.contains(key).then(|| self.slots.remove(key.slot.0).entry)
    }

    /// Returns an entry, if it exists.
    pub(super) fn get(&self, key: Key<K>) -> Option<&T> {
        self.slots.get(key.slot.0).filter(|found| found.number == key.number).map(|found| &found.entry)
    }

    /// Returns an entry mutably, if it exists.
    pub(super) fn get_mut(&mut self, key: Key<K>) -> Option<&mut T> {
        self.slots.get_mut(key.slot.0).filter(|found| found.number == key.number).map(|found| &mut found.entry)
    }

    /// Removes all entries.
    pub(super) fn drain(&mut self) -> impl Iterator<Item = T> {
        self.slots.drain().map(|numbered| numbered.entry)
    }

    /// Tells whether an entry exists.
    pub(super) fn contains(&self, key: Key<K>) -> bool {
        self.get(key).is_some()
    }

    /// Returns the key of the present entry in a slot.
    pub(super) fn at(&self, slot: Slot) -> Option<Key<K>> {
        let number = self.slots.get(slot.0)?.number;
        Some(Key { number, slot, of: PhantomData })
    }

    /// Returns the key of a marked entry, if it exists.
    pub(super) fn find(&self, mark: Mark) -> Option<Key<K>> {
        self.at(mark.slot).filter(|key| key.number == mark.number)
    }

    /// Returns the number of entries.
    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }

    /// Tells whether there are no entries.
    pub(super) fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// Returns the entries, ordered by slot.
    pub(super) fn iter(&self) -> impl DoubleEndedIterator<Item = (Key<K>, &T)> {
        self.slots.iter().map(|(index, found)| (key(index, found), &found.entry))
    }

    /// Returns the entries mutably, ordered by slot.
    pub(super) fn iter_mut(&mut self) -> impl DoubleEndedIterator<Item = (Key<K>, &mut T)> {
        self.slots.iter_mut().map(|(index, found)| (key(index, found), &mut found.entry))
    }
}

fn key<T, K>(index: usize, entry: &Numbered<T>) -> Key<K> {
    Key { number: entry.number, slot: Slot(index), of: PhantomData }
}

/// Panics if the entry is gone.
impl<T, K> Index<Key<K>> for Table<T, K> {
    type Output = T;

    fn index(&self, key: Key<K>) -> &T {
        self.get(key).expect("the holder of this key keeps the entry")
    }
}

impl<T, K> IndexMut<Key<K>> for Table<T, K> {
    fn index_mut(&mut self, key: Key<K>) -> &mut T {
        self.get_mut(key).expect("the holder of this key keeps the entry")
    }
}

impl<T, K> Default for Table<T, K> {
    fn default() -> Table<T, K> {
        Table::new()
    }
}

impl<T, K> fmt::Debug for Table<T, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Table").field("len", &self.len()).finish_non_exhaustive()
    }
}

impl<T> Key<T> {
    /// Creates a key of no table.
    #[cfg(test)]
    pub(super) fn of_nothing(number: u64) -> Key<T> {
        Key { number, slot: Slot(0), of: PhantomData }
    }

    /// Returns the key without its table.
    pub(super) fn mark(self) -> Mark {
        Mark { number: self.number, slot: self.slot }
    }

    /// Returns the slot of the entry.
    pub(super) fn slot(self) -> Slot {
        self.slot
    }

    /// Returns the number, unique among all entries of the table.
    pub(super) fn number(self) -> u64 {
        self.number
    }
}

// Derived implementations would require the same of `T`.
impl<T> Clone for Key<T> {
    fn clone(&self) -> Key<T> {
        *self
    }
}

impl<T> Copy for Key<T> {}

impl<T> PartialEq for Key<T> {
    fn eq(&self, other: &Key<T>) -> bool {
        (self.number, self.slot) == (other.number, other.slot)
    }
}

impl<T> Eq for Key<T> {}

impl<T> PartialOrd for Key<T> {
    fn partial_cmp(&self, other: &Key<T>) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> Ord for Key<T> {
    fn cmp(&self, other: &Key<T>) -> Ordering {
        (self.number, self.slot).cmp(&(other.number, other.slot))
    }
}

impl<T> Hash for Key<T> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.number, self.slot).hash(state);
    }
}

impl<T> fmt::Debug for Key<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}#{}", self.slot.0, self.number)
    }
}

/// For the log.
impl<T> fmt::Display for Key<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.slot.0)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_key_does_not_find_who_came_later() {
        let mut table: Table<_> = Table::new();
        let first = table.insert("a");
        assert_eq!((table.remove(first), table.remove(first)), (Some("a"), None));
        let second = table.insert("b");
        assert_eq!(first.slot(), second.slot(), "the slot is used again");
        assert_ne!(first, second);
        assert_eq!((table.get(first), table.get(second)), (None, Some(&"b")));
        assert_eq!((table.remove(first), table.len()), (None, 1));
        assert_eq!(table.at(first.slot()), Some(second), "a slot belongs to its present entry");
    }

    #[test]
    fn the_next_key_is_known_before() {
        let mut table: Table<_> = Table::new();
        for name in ["a", "b", "c"] {
            let key = table.next_key();
            assert!(!table.contains(key) && table.at(key.slot()).is_none());
            assert_eq!(table.insert(name), key);
        }
        let second = table.at(Slot(1)).unwrap();
        table.remove(second);
        let key = table.next_key();
        assert_eq!((table.insert("d"), table[key], key.slot()), (key, "d", second.slot()));
    }

    #[test]
    #[should_panic(expected = "the holder of this key")]
    fn nobody_is_taken_for_another() {
        let mut table: Table<_> = Table::new();
        let first = table.insert("a");
        table.remove(first);
        table.insert("b");
        let _ = table[first];
    }

    #[test]
    fn keys_are_in_the_order_of_their_entries() {
        let mut table: Table<_> = Table::new();
        let keys = ["a", "b", "c"].map(|name| table.insert(name));
        table.remove(keys[0]);
        let last = table.insert("d");
        assert_eq!(last.slot(), keys[0].slot());
        assert!(keys[0] < keys[1] && keys[1] < keys[2] && keys[2] < last);
        assert_eq!(
            table.iter().map(|(key, name)| (key, *name)).collect::<Vec<_>>(),
            [(last, "d"), (keys[1], "b"), (keys[2], "c")]
        );
    }

    proptest! {
        #[test]
        fn a_table_is_a_map(operations in prop::collection::vec((0..3u8, 0..64usize), 0..300)) {
            let (mut table, mut map, mut keys): (Table<_>, _, _) = (Table::new(), HashMap::new(), Vec::new());
            for (number, (what, which)) in operations.into_iter().enumerate() {
                match (what, keys.len()) {
                    (0, _) | (_, 0) => {
                        let key = table.insert(number);
                        prop_assert_eq!(map.insert(key, number), None);
                        keys.push(key);
                    }
                    (1, len) => prop_assert_eq!(table.remove(keys[which % len]), map.remove(&keys[which % len])),
                    (_, len) => {
                        let key = keys[which % len];
                        prop_assert_eq!(table.get(key), map.get(&key));
                        if let Some(entry) = table.get_mut(key) {
                            *entry += 1000;
                            *map.get_mut(&key).unwrap() += 1000;
                        }
                    }
                }
                prop_assert_eq!((table.len(), table.is_empty()), (map.len(), map.is_empty()));
            }
            let found: HashMap<_, _> = table.iter().map(|(key, entry)| (key, *entry)).collect();
            prop_assert_eq!(found, map);
        }
    }
}
