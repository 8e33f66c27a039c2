//! Streams by number, in two steps: a look-up costs the same for one stream as for all.

use super::State;

const PAGE: usize = 256;

type Page = [Option<Box<State>>; PAGE];

/// The streams of an association.
#[derive(Debug)]
pub(crate) struct Streams {
    pages: Vec<Option<Box<Page>>>,
    count: usize,
}

impl Default for Streams {
    fn default() -> Streams {
        Streams { pages: std::iter::repeat_with(|| None).take(PAGE).collect(), count: 0 }
    }
}

impl Streams {
    pub(crate) fn get(&self, id: u16) -> Option<&State> {
        self.pages[usize::from(id) / PAGE].as_ref()?[usize::from(id) % PAGE].as_deref()
    }

    pub(crate) fn get_mut(&mut self, id: u16) -> Option<&mut State> {
        self.pages[usize::from(id) / PAGE].as_mut()?[usize::from(id) % PAGE].as_deref_mut()
    }

    /// Returns the stream, and whether it was created for that.
    pub(crate) fn entry(&mut self, id: u16) -> (&mut State, bool) {
        let page = self.pages[usize::from(id) / PAGE].get_or_insert_with(|| Box::new([const { None }; PAGE]));
        let slot = &mut page[usize::from(id) % PAGE];
        let is_new = slot.is_none();
        self.count += usize::from(is_new);
        (slot.get_or_insert_with(Box::default), is_new)
    }

    pub(crate) fn remove(&mut self, id: u16) -> Option<Box<State>> {
        let removed = self.pages[usize::from(id) / PAGE].as_mut()?[usize::from(id) % PAGE].take();
        self.count -= usize::from(removed.is_some());
        removed
    }

    /// Returns how many streams there are.
    pub(crate) fn len(&self) -> usize {
        self.count
    }

    /// Returns the numbers of all streams.
    pub(crate) fn ids(&self) -> Vec<u16> {
        let all = 0..=u16::MAX;
        let pages = all.step_by(PAGE).filter(|first| self.pages[usize::from(*first) / PAGE].is_some());
        pages.flat_map(|first| first..=first + (PAGE as u16 - 1)).filter(|id| self.get(*id).is_some()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_are_found_by_number() {
        let mut streams = Streams::default();
        for id in [0, 255, 256, 700, u16::MAX] {
            assert!(streams.get(id).is_none());
            assert!(streams.entry(id).1);
            assert!(!streams.entry(id).1);
            assert!(streams.get_mut(id).is_some());
        }
        assert_eq!((streams.ids(), streams.len()), (vec![0, 255, 256, 700, u16::MAX], 5));
        assert!(streams.remove(256).is_some() && streams.remove(256).is_none());
        assert_eq!((streams.ids(), streams.len()), (vec![0, 255, 700, u16::MAX], 4));
    }
}
