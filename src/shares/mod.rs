//! Admission to a table with a limited number of places, so that nobody can keep others out from one source.
//!
//! For connections that are not settled, a source may have as many places as are free. So one source alone gets half of
//! a table, two get a third each, and there is always a place for one more. When a source's share is used up, the
//! largest source gives way; if that is the newcomer's own, one of its holders is chosen at random. Behind a dev tunnel
//! all clients come from one address: there, a client that tries again gets in beside somebody who holds all places.

mod source;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::Hash;

pub use source::Source;

/// What is known of the holder of a place. The less is known, the sooner it has to go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Standing {
    /// It wants nothing at the moment, or has not said what it wants.
    Idle,
    /// It is about to say what it wants, or to prove that it is allowed.
    Asking,
    /// It has said or proved it. It has to go only if its source is larger than the newcomer's.
    Settled,
}

/// The decision about a newcomer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Admission<K> {
    /// There is a place.
    Free,
    /// There is a place once this holder has gone.
    InsteadOf(K),
    /// There is no place.
    Full,
}

/// The places of one table. `K` names a holder.
///
/// Every operation takes logarithmic time.
#[derive(Debug)]
pub struct Shares<K> {
    places: usize,
    holders: HashMap<K, Holder>,
    sources: HashMap<Source, Share<K>>,
    /// The sources by the number of their places, the largest last. A number of its own orders equal sources.
    ranking: BTreeSet<(usize, u64, Source)>,
    next: u64,
}

#[derive(Debug, Clone, Copy)]
struct Holder {
    source: Source,
    standing: Standing,
    number: u64,
}

/// The holders of one source. Those with the same standing are in the order in which they got it.
#[derive(Debug)]
struct Share<K> {
    number: u64,
    idle: BTreeMap<u64, K>,
    asking: BTreeMap<u64, K>,
    settled: BTreeMap<u64, K>,
}

impl<K: Copy + Eq + Hash> Shares<K> {
    /// Creates a table with this many free places.
    pub fn new(places: usize) -> Shares<K> {
        Shares { places, holders: HashMap::new(), sources: HashMap::new(), ranking: BTreeSet::new(), next: 0 }
    }

    /// Changes the number of places. No holder has to go at once.
    pub fn set_places(&mut self, places: usize) {
        self.places = places;
    }

    /// Gives a place to a newcomer that was [admitted](Shares::admit). A holder keeps its place, with the new standing.
    pub fn enter(&mut self, key: K, source: Source, standing: Standing) {
        self.leave(key);
        let number = self.number();
        let share = self.sources.entry(source).or_insert_with(|| Share::new(number));
        let before = share.len();
        share.of(standing).insert(number, key);
        self.holders.insert(key, Holder { source, standing, number });
        self.rank(source, before);
    }

    /// Sets the standing of a holder. Its time in that standing begins again, unless it already has it.
    pub fn set(&mut self, key: K, standing: Standing) {
        let number = self.next;
        let Some(holder) = self.holders.get_mut(&key).filter(|holder| holder.standing != standing) else { return };
        let Some(share) = self.sources.get_mut(&holder.source) else { return };
        share.of(holder.standing).remove(&holder.number);
        share.of(standing).insert(number, key);
        (holder.standing, holder.number) = (standing, number);
        self.next += 1;
    }

    /// Moves a holder to another source than was assumed.
    pub fn set_source(&mut self, key: K, source: Source) {
        if let Some(holder) = self.holders.get(&key).filter(|holder| holder.source != source) {
            self.enter(key, source, holder.standing);
        }
    }

    /// Frees the place of a holder, if it has one.
    pub fn leave(&mut self, key: K) {
        let Some(Holder { source, standing, number }) = self.holders.remove(&key) else { return };
        let Some(share) = self.sources.get_mut(&source) else { return };
        let before = share.len();
        share.of(standing).remove(&number);
        self.rank(source, before);
    }

    /// Decides whether a newcomer of a source gets a place, and who must [leave](Shares::leave) for it. `chance` is a
    /// random number.
    pub fn admit(&self, source: Source, chance: u64) -> Admission<K> {
        let own = self.sources.get(&source);
        let free = self.places.saturating_sub(self.holders.len());
        if own.map_or(0, Share::unsettled) < free {
            return Admission::Free;
        }
        let held = own.map_or(0, Share::len);
        let larger = self.ranking.last().filter(|(largest, ..)| *largest > held);
        if let Some((largest, _, other)) = larger
            && let Some(other) = self.sources.get(other)
        {
            // Two sources of nearly the same size do not take settled places from each other: they would do so in turn.
            let settled = if *largest > held + 1 { other.settled.last_key_value() } else { None };
            if let Some((_, key)) = other.first_unsettled().or(settled) {
                return Admission::InsteadOf(*key);
            }
        }
        match own.and_then(|own| own.by_chance(chance)) {
            Some(key) => Admission::InsteadOf(key),
            None if free > 0 => Admission::Free,
            None => Admission::Full,
        }
    }

    /// Returns the holder that goes first when something other than places runs short: the one of the largest source
    /// that has been unsettled for longest. `None` if none of the largest sources has an unsettled holder.
    pub fn first_to_go(&self) -> Option<K> {
        /// Number of sources that are searched.
        const LARGEST: usize = 16;
        let largest = self.ranking.iter().rev().take(LARGEST).filter_map(|(.., source)| self.sources.get(source));
        largest.filter_map(Share::first_unsettled).map(|(_, key)| *key).next()
    }

    /// Returns how many places are taken.
    pub fn len(&self) -> usize {
        self.holders.len()
    }

    /// Returns how many holders there are beyond the number of places.
    pub fn surplus(&self) -> usize {
        self.holders.len().saturating_sub(self.places)
    }

    /// Returns how many places a source has.
    #[cfg(test)]
    pub fn held_by(&self, source: Source) -> usize {
        self.sources.get(&source).map_or(0, Share::len)
    }

    /// Tells whether `key` has a place.
    pub fn holds(&self, key: K) -> bool {
        self.holders.contains_key(&key)
    }

    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next - 1
    }

    /// Updates the rank of a source that had `before` places; an empty source is forgotten.
    fn rank(&mut self, source: Source, before: usize) {
        let Some(share) = self.sources.get(&source) else { return };
        let (len, number) = (share.len(), share.number);
        self.ranking.remove(&(before, number, source));
        if len > 0 {
            self.ranking.insert((len, number, source));
        } else {
            self.sources.remove(&source);
        }
    }
}

impl<K: Copy> Share<K> {
    fn new(number: u64) -> Share<K> {
        Share { number, idle: BTreeMap::new(), asking: BTreeMap::new(), settled: BTreeMap::new() }
    }

    fn of(&mut self, standing: Standing) -> &mut BTreeMap<u64, K> {
        match standing {
            Standing::Idle => &mut self.idle,
            Standing::Asking => &mut self.asking,
            Standing::Settled => &mut self.settled,
        }
    }

    fn len(&self) -> usize {
        self.unsettled() + self.settled.len()
    }

    fn unsettled(&self) -> usize {
        self.idle.len() + self.asking.len()
    }

    /// Returns the holder that has been unsettled for longest, an idle one first.
    fn first_unsettled(&self) -> Option<(&u64, &K)> {
        self.idle.first_key_value().or_else(|| self.asking.first_key_value())
    }

    /// Returns a random unsettled holder, an idle one first. One that came after a gap is a little likelier.
    fn by_chance(&self, chance: u64) -> Option<K> {
        let among = if self.idle.is_empty() { &self.asking } else { &self.idle };
        let ((first, _), (last, _)) = (among.first_key_value()?, among.last_key_value()?);
        among.range(first + chance % (last - first + 1)..).next().map(|(_, key)| *key)
    }
}

#[cfg(test)]
#[path = "shares_tests.rs"]
mod tests;
