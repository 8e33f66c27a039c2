//! Goodput in virtual time, over a path with a fixed round trip and rate: a guard against gradual regressions.

mod rate;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use bytes::Bytes;
use pinhole::internals::tunnel::credit::MAX_WINDOW;
use pinhole::internals::tunnel::frame::{HEADER_LEN, kind};
use pinhole::internals::tunnel::{ChunkPool, Config, ConnectTarget, Event, Mux, Role, StreamKey};

/// A client that sends to a host over a path that takes one message at a time.
struct Path {
    now: Instant,
    muxes: [Mux; 2],
    pools: [ChunkPool; 2],
    bytes_per_second: f64,
    one_way: Duration,
    /// When each direction of the path takes the next message.
    free_at: [Instant; 2],
    arrivals: BTreeMap<(Instant, u64), (usize, Bytes)>,
    count: u64,
    sources: Vec<StreamKey>,
    sinks: Vec<StreamKey>,
    /// Bytes each sink has read.
    read: Vec<u64>,
    /// Message bytes the client put on the path.
    sent: u64,
    /// What had been sent when the latest small DATA frame went out.
    sent_before_small: u64,
    /// Number of turns of the loop.
    turns: u64,
}

impl Path {
    fn new(megabits: f64, round_trip: Duration, streams: usize) -> Path {
        Path::with(megabits, round_trip, streams, [Role::Client, Role::Host].map(Config::new))
    }

    fn with(megabits: f64, round_trip: Duration, streams: usize, configs: [Config; 2]) -> Path {
        let now = Instant::now();
        let mut path = Path {
            now,
            muxes: configs.map(Mux::new),
            pools: [ChunkPool::new(), ChunkPool::new()],
            bytes_per_second: megabits * 1e6 / 8.0,
            one_way: round_trip / 2,
            free_at: [now; 2],
            arrivals: BTreeMap::new(),
            count: 0,
            sources: Vec::new(),
            sinks: Vec::new(),
            read: vec![0; streams],
            sent: 0,
            sent_before_small: 0,
            turns: 0,
        };
        for mux in &mut path.muxes {
            mux.open_carrier(now, 1);
        }
        for hash in 0..streams {
            path.sources.push(path.muxes[0].open(hash as u16, &ConnectTarget::Service(hash as u16)).unwrap());
        }
        path
    }

    /// Runs for some time, with the first `busy` sources always having more to send.
    fn run(&mut self, time: Duration, busy: usize) {
        let end = self.now + time;
        while self.now < end {
            self.turns += 1;
            for index in 0..busy {
                self.fill(self.sources[index]);
            }
            self.drain_events();
            for side in 0..2 {
                self.transmit(side);
            }
            let wants = [0, 1].map(|side| self.muxes[side].has_transmit().then_some(self.free_at[side]));
            let timers = [0, 1].map(|side| self.muxes[side].poll_timeout());
            let arrival = self.arrivals.keys().next().map(|(at, _)| *at);
            let next = wants.into_iter().chain(timers).chain([arrival, Some(end)]).flatten().min();
            self.now = next.expect("the end is one").max(self.now);
            for (mux, due) in self.muxes.iter_mut().zip(timers) {
                if due.is_some_and(|due| due <= self.now) {
                    mux.handle_timeout(self.now);
                }
            }
            while let Some(entry) = self.arrivals.first_entry()
                && entry.key().0 <= self.now
            {
                let (to, message) = entry.remove();
                self.muxes[to].handle_message(self.now, 1, message);
            }
        }
    }

    fn fill(&mut self, key: StreamKey) {
        let mut stream = self.muxes[0].stream(key).expect("nobody ends a stream");
        loop {
            let room = stream.poll_send_capacity();
            if room == 0 {
                return;
            }
            let mut chunk = self.pools[0].take();
            chunk.set_len(room);
            stream.send(self.pools[0].fit(chunk)).expect("there is capacity");
        }
    }

    fn transmit(&mut self, side: usize) {
        while self.free_at[side] <= self.now {
            let Some(message) = self.muxes[side].poll_transmit(self.now, 65_536, &mut self.pools[side]) else { return };
            let took = Duration::from_secs_f64(message.len() as f64 / self.bytes_per_second);
            if side == 0 {
                if message[0] == kind::DATA && message.len() == HEADER_LEN + 64 {
                    self.sent_before_small = self.sent;
                }
                self.sent += message.len() as u64;
            }
            self.free_at[side] = self.now + took;
            self.count += 1;
            let arrival = (self.free_at[side] + self.one_way, self.count);
            self.arrivals.insert(arrival, (1 - side, Bytes::copy_from_slice(message)));
        }
    }

    fn drain_events(&mut self) {
        while self.muxes[0].poll_event().is_some() {}
        while let Some(event) = self.muxes[1].poll_event() {
            match event {
                Event::Opened(key, target) => {
                    let ConnectTarget::Service(index) = target else { panic!("nobody opened {target:?}") };
                    self.muxes[1].stream(key).unwrap().accept();
                    self.sinks.push(key);
                    assert_eq!(usize::from(index) + 1, self.sinks.len(), "a path without reordering");
                }
                Event::Readable(key) => {
                    let mut stream = self.muxes[1].stream(key).unwrap();
                    let len: usize = stream.readable().map(<[u8]>::len).sum();
                    stream.consume(len);
                    let index = self.sinks.iter().position(|sink| *sink == key).unwrap();
                    self.read[index] += len as u64;
                }
                _ => {}
            }
        }
    }

    /// Runs for some time and returns what each sink read meanwhile.
    fn measure(&mut self, time: Duration, busy: usize) -> Vec<u64> {
        let before = self.read.clone();
        self.run(time, busy);
        self.read.iter().zip(before).map(|(after, before)| after - before).collect()
    }
}

#[test]
fn one_stream_reaches_what_the_path_and_the_largest_window_allow() {
    let mut failures = Vec::new();
    for milliseconds in [1, 20, 100, 200] {
        for megabits in [10.0, 100.0, 500.0] {
            let round_trip = Duration::from_millis(milliseconds);
            let mut path = Path::new(megabits, round_trip, 1);
            path.run((round_trip * 40).max(Duration::from_millis(500)), 1);
            let time = (round_trip * 10).max(Duration::from_millis(200));
            let bytes = path.measure(time, 1)[0];
            let goodput = bytes as f64 * 8.0 / 1e6 / time.as_secs_f64();
            let possible = megabits.min(MAX_WINDOW as f64 * 8.0 / 1e6 / round_trip.as_secs_f64());
            println!("{milliseconds:>4} ms {megabits:>5} Mbit/s: {goodput:>6.1} Mbit/s of {possible:>6.1}");
            if goodput < 0.8 * possible {
                failures.push((milliseconds, megabits, goodput));
            }
        }
    }
    assert!(failures.is_empty(), "below 80%: {failures:?}");
}

#[test]
fn eight_streams_share_a_path_evenly() {
    let mut path = Path::new(100.0, Duration::from_millis(20), 8);
    path.run(Duration::from_secs(2), 8);
    let shares = path.measure(Duration::from_secs(2), 8);
    let (least, most) = (shares.iter().min().unwrap(), shares.iter().max().unwrap());
    assert!((*least as f64) >= 0.9 * *most as f64, "{shares:?}");
}

#[test]
fn a_small_message_waits_for_little_beside_bulk() {
    const BULK: usize = 8;
    let mut path = Path::new(100.0, Duration::from_millis(20), BULK + 1);
    path.run(Duration::from_secs(2), BULK);
    let (small, mut worst) = (path.sources[BULK], 0);
    for _ in 0..50 {
        path.run(Duration::from_micros(50_321), BULK);
        let before = path.sent;
        let mut chunk = path.pools[0].take();
        chunk.set_len(64);
        let mut stream = path.muxes[0].stream(small).unwrap();
        assert!(stream.poll_send_capacity() >= 64);
        stream.send(path.pools[0].fit(chunk)).expect("there is capacity");
        path.run(Duration::from_millis(40), BULK);
        assert!(path.sent_before_small >= before, "it went out");
        worst = worst.max(path.sent_before_small - before);
    }
    println!("a small message waits for {worst} bytes at most");
    assert!(worst <= 2 * 16_392, "{worst} bytes went before a small message");
}
