//! The datagrams of UDP flows: those to be sent, those that arrived, and those that overtook their CONNECT.
//!
//! Datagrams are never sent again or reordered. A full queue drops its oldest datagram, because a real-time application
//! prefers the newest; nothing blocks.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::chunk::Chunk;
use super::id::{Generation, StreamId};

/// Maximum number of bytes of datagrams one flow may hold in each direction: half a second at 8 Mbit/s, with room for
/// several of the largest.
pub(super) const MAX_FLOW: usize = 512 * 1024;

/// Maximum number of bytes of datagrams all flows may hold in each direction.
pub(super) const MAX_SESSION: usize = 4 * 1024 * 1024;

/// A datagram that waited longer to be sent is useless: its application has asked again or gone on.
const MAX_WAIT: Duration = Duration::from_secs(1);

/// The limit where the flow has newer datagrams: it is probably a call or a game, to which only the newest matter.
const MAX_WAIT_AHEAD: Duration = Duration::from_millis(200);

/// Memory an arrived datagram takes beside its bytes, so that empty ones are not free.
const ARRIVED_COST: usize = 64;

/// Limits on datagrams that wait for their CONNECT: datagrams of one flow, flows, and bytes of all flows.
const MAX_EARLY: usize = 8;
const MAX_EARLY_FLOWS: usize = 64;
const MAX_EARLY_BYTES: usize = 64 * 1024;

/// How long datagrams wait for their CONNECT: as long as DATA does.
const EARLY_WAIT: Duration = Duration::from_secs(30);

/// Counts of dropped datagrams, by reason.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Dropped {
    /// Datagrams not sent in time: the queue was full, or they were too old.
    pub unsent: u64,
    /// Datagrams that arrived, but the local application did not take them.
    pub untaken: u64,
    /// Datagrams that came before their CONNECT and were too many, or whose CONNECT came too late.
    pub early: u64,
    /// Datagrams of a stream that ended, never existed, or is no UDP flow; or longer than any UDP datagram.
    pub stray: u64,
}

/// Something that takes memory while it waits.
pub(super) trait Held {
    /// Returns the bytes the item holds.
    fn cost(&self) -> usize;
}

impl Held for Bytes {
    fn cost(&self) -> usize {
        self.len() + ARRIVED_COST
    }
}

/// A datagram that waits to be sent, and since when.
impl Held for (Instant, Chunk) {
    fn cost(&self) -> usize {
        self.1.capacity()
    }
}

/// A queue of one flow that shares its room with the queues of all other flows. It may hold as much as is left free:
/// one flow that floods takes half of the room, and a hundred that flood still leave room for the next.
#[derive(Debug)]
pub(super) struct Queue<T> {
    items: VecDeque<T>,
    held: usize,
}

impl<T> Default for Queue<T> {
    fn default() -> Self {
        Queue { items: VecDeque::new(), held: 0 }
    }
}

impl<T: Held> Queue<T> {
    /// Adds an item. `shared` is what all queues hold together. Calls `dropped` for each item dropped to make room: the
    /// oldest ones, or the item itself if there is no room at all.
    pub(super) fn push(&mut self, item: T, shared: &mut usize, mut dropped: impl FnMut(T)) {
        let cost = item.cost();
        while !self.items.is_empty() && self.held + cost > MAX_FLOW.min(MAX_SESSION - *shared) {
            if let Some(oldest) = self.pop(shared) {
                dropped(oldest);
            }
        }
        if *shared + cost > MAX_SESSION {
            return dropped(item);
        }
        self.held += cost;
        *shared += cost;
        self.items.push_back(item);
    }

    pub(super) fn front(&self) -> Option<&T> {
        self.items.front()
    }

    pub(super) fn pop(&mut self, shared: &mut usize) -> Option<T> {
        let item = self.items.pop_front()?;
        self.held -= item.cost();
        *shared -= item.cost();
        Some(item)
    }
}

impl Queue<(Instant, Chunk)> {
    /// Takes out the next datagram that has waited for too long.
    pub(super) fn pop_old(&mut self, now: Instant, shared: &mut usize) -> Option<Chunk> {
        let (since, _) = self.items.front()?;
        let longest = if self.items.len() > 1 { MAX_WAIT_AHEAD } else { MAX_WAIT };
        if now.saturating_duration_since(*since) <= longest {
            return None;
        }
        self.pop(shared).map(|(_, chunk)| chunk)
    }
}

/// The datagrams of one UDP flow.
#[derive(Debug, Default)]
pub(super) struct Flow {
    /// The stream carries datagrams only. The target of a reverse forward does not say so.
    pub(super) is_udp: bool,
    pub(super) outgoing: Queue<(Instant, Chunk)>,
    pub(super) incoming: Queue<Bytes>,
    /// The flow is on the schedule of flows with something to send.
    pub(super) is_scheduled: bool,
}

/// The datagrams of one flow that wait for its CONNECT.
#[derive(Debug)]
struct Waiting {
    id: StreamId,
    generation: Generation,
    since: Instant,
    datagrams: VecDeque<Bytes>,
}

impl Waiting {
    fn len(&self) -> usize {
        self.datagrams.iter().map(Bytes::len).sum()
    }
}

/// Datagrams that overtook their CONNECT, by flow; the flow that has waited longest comes first.
#[derive(Debug, Default)]
pub(super) struct Early {
    flows: VecDeque<Waiting>,
    len: usize,
}

impl Early {
    /// Keeps a datagram until the CONNECT of its flow comes. Returns how many datagrams were dropped, perhaps this one.
    pub(super) fn keep(&mut self, now: Instant, id: StreamId, generation: Generation, datagram: Bytes) -> u64 {
        let mut dropped = 0;
        while self.flows.front().is_some_and(|flow| flow.since + EARLY_WAIT <= now) {
            dropped += self.drop_longest();
        }
        match self.flows.iter().find(|flow| flow.id == id).map(|flow| flow.generation) {
            Some(known) if known == generation => {}
            Some(known) if !generation.is_newer_than(known) => return dropped + 1,
            Some(known) => dropped += self.forget(id, known),
            None => {}
        }
        if !self.flows.iter().any(|flow| flow.id == id) {
            if self.flows.len() == MAX_EARLY_FLOWS {
                dropped += self.drop_longest();
            }
            self.flows.push_back(Waiting { id, generation, since: now, datagrams: VecDeque::new() });
        }
        self.len += datagram.len();
        if let Some(flow) = self.flows.iter_mut().find(|flow| flow.id == id) {
            flow.datagrams.push_back(datagram);
            if flow.datagrams.len() > MAX_EARLY {
                self.len -= flow.datagrams.pop_front().map_or(0, |oldest| oldest.len());
                dropped += 1;
            }
        }
        while self.len > MAX_EARLY_BYTES {
            // Drop the flow that has waited longest; if there is only one, drop its oldest datagram.
            if self.flows.len() > 1 {
                dropped += self.drop_longest();
            } else if let Some(oldest) = self.flows.front_mut().and_then(|flow| flow.datagrams.pop_front()) {
                self.len -= oldest.len();
                dropped += 1;
            }
        }
        dropped
    }

    /// Takes the datagrams that waited for the CONNECT of a flow and are not too old.
    pub(super) fn take(&mut self, now: Instant, id: StreamId, generation: Generation) -> VecDeque<Bytes> {
        let Some(index) = self.flows.iter().position(|flow| flow.id == id) else { return VecDeque::new() };
        let Some(flow) = self.flows.remove(index) else { return VecDeque::new() };
        self.len -= flow.len();
        let is_right = flow.generation == generation && now < flow.since + EARLY_WAIT;
        if is_right { flow.datagrams } else { VecDeque::new() }
    }

    /// Drops the datagrams that wait for a CONNECT that will open no flow. Returns how many there were.
    pub(super) fn forget(&mut self, id: StreamId, generation: Generation) -> u64 {
        let is_it = |flow: &Waiting| flow.id == id && !flow.generation.is_newer_than(generation);
        let Some(index) = self.flows.iter().position(is_it) else { return 0 };
        self.flows.remove(index).map_or(0, |flow| self.dropped(&flow))
    }

    /// Drops everything.
    pub(super) fn clear(&mut self) {
        *self = Early::default();
    }

    /// Returns the bytes that wait.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    fn drop_longest(&mut self) -> u64 {
        self.flows.pop_front().map_or(0, |flow| self.dropped(&flow))
    }

    fn dropped(&mut self, flow: &Waiting) -> u64 {
        self.len -= flow.len();
        flow.datagrams.len() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(value: u16) -> StreamId {
        StreamId::new(value).unwrap()
    }

    #[test]
    fn a_full_queue_loses_its_oldest() {
        let (mut queue, mut shared, mut lost) = (Queue::default(), 0, Vec::new());
        let item = |value: u8| Bytes::from(vec![value; 100_000]);
        for value in 0..8 {
            queue.push(item(value), &mut shared, |oldest: Bytes| lost.push(oldest[0]));
        }
        assert_eq!(lost, [0, 1, 2]);
        assert!(shared <= MAX_FLOW && queue.held == shared);
        let left: Vec<u8> = std::iter::from_fn(|| queue.pop(&mut shared)).map(|item| item[0]).collect();
        assert_eq!((left, shared), (vec![3, 4, 5, 6, 7], 0));
    }

    #[test]
    fn many_queues_that_flood_leave_some_room_to_the_next() {
        let (mut queues, mut shared): (Vec<Queue<Bytes>>, usize) = (Vec::new(), 0);
        queues.resize_with(100, Queue::default);
        for _ in 0..2000 {
            for queue in &mut queues {
                queue.push(Bytes::from_static(&[0; 1000]), &mut shared, drop);
                assert!(shared <= MAX_SESSION);
            }
        }
        assert!(queues.iter().all(|queue| queue.items.len() > 20));
        let (mut newcomer, mut lost) = (Queue::default(), 0);
        newcomer.push(Bytes::from_static(b"a question"), &mut shared, |_| lost += 1);
        assert_eq!((newcomer.items.len(), lost), (1, 0));
    }

    #[test]
    fn early_datagrams_are_few_and_lose_the_oldest() {
        let (mut early, now) = (Early::default(), Instant::now());
        let kept: u64 = (0..12).map(|value| early.keep(now, id(1), Generation(0), vec![value; 10].into())).sum();
        assert_eq!(kept, 4);
        let taken: Vec<u8> = early.take(now, id(1), Generation(0)).iter().map(|datagram| datagram[0]).collect();
        assert_eq!((taken, early.len()), ((4..12).collect(), 0));
        for value in 1..=100 {
            early.keep(now, id(value), Generation(0), Bytes::from_static(b"x"));
        }
        assert_eq!((early.flows.len(), early.len(), early.flows[0].id), (64, 64, id(37)));
        early.keep(now, id(200), Generation(0), vec![0; 65_507].into());
        assert!(early.len() <= MAX_EARLY_BYTES);
        assert_eq!(early.take(now, id(200), Generation(0)).len(), 1);
    }

    #[test]
    fn early_datagrams_belong_to_one_generation_and_do_not_wait_for_ever() {
        let (mut early, now) = (Early::default(), Instant::now());
        assert_eq!(early.keep(now, id(1), Generation(3), Bytes::from_static(b"old")), 0);
        assert_eq!(early.keep(now, id(1), Generation(4), Bytes::from_static(b"new")), 1);
        assert_eq!(early.keep(now, id(1), Generation(3), Bytes::from_static(b"late")), 1);
        assert!(early.take(now, id(1), Generation(3)).is_empty());
        early.keep(now, id(1), Generation(4), Bytes::from_static(b"new"));
        assert!(early.take(now + EARLY_WAIT, id(1), Generation(4)).is_empty());
        early.keep(now, id(2), Generation(0), Bytes::from_static(b"x"));
        assert_eq!((early.forget(id(2), Generation(0)), early.len()), (1, 0));
    }
}
