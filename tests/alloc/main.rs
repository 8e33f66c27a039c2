//! A binary of its own, because it has its own allocator, which counts: steady forwarding between two muxes allocates
//! nothing in our layers, and neither do two sessions that are asked for their deadlines.
//!
//! An allocator needs `unsafe`; this one adds only counting to the system's.
#![allow(unsafe_code)]

#[path = "../common/handshake.rs"]
mod handshake;
/// Two sessions that are asked for their deadlines.
mod session;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::Bytes;
use pinhole::internals::tunnel::{ChunkPool, Config, ConnectTarget, Event, Mux, Role, StreamKey};

thread_local! {
    static IS_COUNTING: Cell<bool> = const { Cell::new(false) };
    static COUNT: Cell<u64> = const { Cell::new(0) };
}

struct Counting;

fn count() {
    // While a thread ends, its counters are gone, and nothing is counted.
    let _ = IS_COUNTING.try_with(|is_counting| {
        if is_counting.get() {
            COUNT.with(|count| count.set(count.get() + 1));
        }
    });
}

// SAFETY: every call is passed on to the system's allocator unchanged, which upholds the contract; counting touches
// only cells without destructors that need no allocation.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller upholds the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller upholds the contract of `dealloc`, and the pointer came from `System`.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: the caller upholds the contract of `realloc`, and the pointer came from `System`.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Counts the allocations of a call into our layers.
fn counted<T>(call: impl FnOnce() -> T) -> T {
    IS_COUNTING.set(true);
    let result = call();
    IS_COUNTING.set(false);
    result
}

struct Pair {
    muxes: [Mux; 2],
    pools: [ChunkPool; 2],
    now: Instant,
    streams: [Vec<StreamKey>; 2],
    /// Messages in transit to each side; neighbours swap places.
    on_the_way: [VecDeque<Bytes>; 2],
    received: u64,
    flows: [Vec<StreamKey>; 2],
    received_datagrams: u64,
}

impl Pair {
    fn new(streams: u16) -> Pair {
        let muxes = [Role::Client, Role::Host].map(|role| Mux::new(Config::new(role)));
        let mut pair = Pair {
            muxes,
            pools: [ChunkPool::new(), ChunkPool::new()],
            now: Instant::now(),
            streams: [Vec::new(), Vec::new()],
            on_the_way: [VecDeque::new(), VecDeque::new()],
            received: 0,
            flows: [Vec::new(), Vec::new()],
            received_datagrams: 0,
        };
        for mux in &mut pair.muxes {
            mux.open_carrier(pair.now, 1);
        }
        for hash in 0..streams {
            let key = pair.muxes[0].open(hash, &ConnectTarget::Service(0)).expect("far from too many");
            pair.streams[0].push(key);
        }
        pair
    }

    /// One turn of both sides: applications write and read, messages cross, time passes.
    fn turn(&mut self, len: usize) {
        self.now += Duration::from_millis(1);
        let now = self.now;
        for side in 0..2 {
            let (mux, pool) = (&mut self.muxes[side], &mut self.pools[side]);
            for key in &self.streams[side] {
                counted(|| {
                    let mut stream = mux.stream(*key).expect("nobody ends a stream");
                    for _ in 0..2 {
                        let len = stream.poll_send_capacity().min(len);
                        if len > 0 {
                            let mut chunk = pool.take();
                            chunk.room_mut()[..len].fill(1);
                            chunk.set_len(len);
                            stream.send(pool.fit(chunk)).expect("there is capacity");
                        }
                    }
                });
            }
            while let Some(message) = counted(|| mux.poll_transmit(now, 65_536, pool)) {
                self.on_the_way[1 - side].push_back(Bytes::copy_from_slice(message));
            }
        }
        for side in 0..2 {
            let (mux, streams, flows) = (&mut self.muxes[side], &mut self.streams[side], &mut self.flows[side]);
            while let Some(first) = self.on_the_way[side].pop_front() {
                let second = self.on_the_way[side].pop_front();
                for message in second.into_iter().chain([first]) {
                    counted(|| mux.handle_message(now, 1, message));
                }
            }
            counted(|| mux.handle_timeout(now));
            while let Some(event) = counted(|| mux.poll_event()) {
                match event {
                    Event::Opened(key, _) => {
                        let is_udp = counted(|| {
                            let mut stream = mux.stream(key).expect("it was opened");
                            stream.accept();
                            stream.is_udp()
                        });
                        if is_udp { &mut *flows } else { &mut *streams }.push(key);
                    }
                    Event::Readable(key) if flows.contains(&key) => {}
                    Event::Readable(key) => counted(|| {
                        let mut stream = mux.stream(key).expect("nobody ends a stream");
                        let len = stream.readable().map(<[u8]>::len).sum();
                        stream.consume(len);
                        self.received += len as u64;
                    }),
                    _ => {}
                }
            }
        }
    }
}

#[test]
fn steady_forwarding_allocates_nothing() {
    for len in [100, 1460, 16_384] {
        let mut pair = Pair::new(10);
        for _ in 0..3000 {
            pair.turn(len);
        }
        COUNT.set(0);
        let before = pair.received;
        for _ in 0..3000 {
            pair.turn(len);
        }
        let forwarded = pair.received - before;
        assert!(forwarded >= 3000 * 10 * len as u64, "{forwarded} bytes of payloads of {len}");
        assert_eq!(COUNT.get(), 0, "allocations while {forwarded} bytes in payloads of {len} were forwarded");
    }
}

/// Datagrams from both sides over ten UDP flows, and those that came.
fn forward_datagrams(pair: &mut Pair, len: usize, payload: &[u8]) {
    pair.turn(len);
    let now = pair.now;
    for side in 0..2 {
        let (mux, pool) = (&mut pair.muxes[side], &mut pair.pools[side]);
        for key in &pair.flows[side] {
            counted(|| mux.stream(*key).expect("nobody ends a flow").send_datagram(now, payload, pool));
        }
    }
    for side in 0..2 {
        for key in &pair.flows[side] {
            counted(|| {
                let mut flow = pair.muxes[side].stream(*key).expect("nobody ends a flow");
                while let Some(datagram) = flow.receive_datagram() {
                    pair.received_datagrams += 1;
                    assert_eq!(datagram.len(), payload.len());
                }
            });
        }
    }
}

#[test]
fn steady_forwarding_of_datagrams_allocates_nothing() {
    for len in [0, 100, 1200, 9000, 65_507] {
        let mut pair = Pair::new(1);
        pair.turn(100);
        for hash in 0..10 {
            let key =
                pair.muxes[0].open(1000 + hash, &ConnectTarget::Udp("a:1".to_owned())).expect("far from too many");
            pair.flows[0].push(key);
        }
        let payload = vec![7; len];
        for _ in 0..500 {
            forward_datagrams(&mut pair, 1460, &payload);
        }
        COUNT.set(0);
        let before = pair.received_datagrams;
        for _ in 0..500 {
            forward_datagrams(&mut pair, 1460, &payload);
        }
        assert_eq!(pair.received_datagrams - before, 500 * 10 * 2, "of {len} bytes");
        assert_eq!(COUNT.get(), 0, "allocations while datagrams of {len} bytes were forwarded");
    }
}

#[test]
fn the_allocator_counts() {
    COUNT.set(0);
    let vec = counted(|| std::hint::black_box(vec![1u8; 100]));
    drop(std::hint::black_box(vec![1u8; 100]));
    assert_eq!((COUNT.get(), vec.len()), (1, 100));
}
