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
        let pages = self.pages.iter().zip(0..).filter_map(|(page, high)| Some((page.as_ref()?, high)));
        pages
            .flat_map(|(page, high): (&Box<Page>, u16)| {
                let slots = page.iter().zip(0..).filter(|(slot, _)| slot.is_some());
                slots.map(move |(_, low): (_, u16)| high * PAGE as u16 + low)
            })
            .collect()
    }
}
