//! Benchmarks of two muxes that forward data over a carrier in memory.
#![allow(missing_docs)]

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::Bytes;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use pinhole::internals::tunnel::{ChunkPool, Config, ConnectTarget, Event, Mux, Role, StreamKey};

/// Bytes forwarded in one run, over all streams.
const TOTAL: usize = 1024 * 1024;

/// Messages the carrier holds.
const IN_FLIGHT: usize = 16;

struct Pair {
    now: Instant,
    client: Mux,
    host: Mux,
    pools: [ChunkPool; 2],
    streams: Vec<StreamKey>,
    carrier: VecDeque<Bytes>,
}

impl Pair {
    fn new(streams: u16) -> Pair {
        let [mut client, mut host] = [Role::Client, Role::Host].map(|role| Mux::new(Config::new(role)));
        let now = Instant::now();
        client.open_carrier(now, 1);
        host.open_carrier(now, 1);
        let target = ConnectTarget::Service(0);
        let streams = (0..streams).map(|hash| client.open(hash, &target).expect("far from too many")).collect();
        let pools = [ChunkPool::new(), ChunkPool::new()];
        let mut pair = Pair { now, client, host, pools, streams, carrier: VecDeque::new() };
        // Both HELLOs have to cross before anything can be sent.
        for _ in 0..3 {
            pair.exchange();
        }
        pair
    }

    /// Moves messages both ways; the host's application reads everything. Returns how much it read.
    fn exchange(&mut self) -> usize {
        let [ours, theirs] = &mut self.pools;
        while self.carrier.len() < IN_FLIGHT
            && let Some(message) = self.client.poll_transmit(self.now, 65_536, ours)
        {
            self.carrier.push_back(Bytes::copy_from_slice(message));
        }
        for message in self.carrier.drain(..) {
            self.host.handle_message(self.now, 1, message);
        }
        let mut read = 0;
        while let Some(event) = self.host.poll_event() {
            match event {
                Event::Opened(key, _) => self.host.stream(key).expect("it was opened").accept(),
                Event::Readable(key) => {
                    let mut stream = self.host.stream(key).expect("nobody ends a stream");
                    let len = stream.readable().map(<[u8]>::len).sum();
                    stream.consume(len);
                    read += len;
                }
                _ => {}
            }
        }
        while let Some(message) = self.host.poll_transmit(self.now, 65_536, theirs) {
            self.client.handle_message(self.now, 1, Bytes::copy_from_slice(message));
        }
        while self.client.poll_event().is_some() {}
        read
    }

    fn forward(&mut self, total: usize) {
        let share = total / self.streams.len();
        let mut left = vec![share; self.streams.len()];
        let mut read = 0;
        while read < share * self.streams.len() {
            for (key, left) in self.streams.iter().zip(&mut left) {
                let mut stream = self.client.stream(*key).expect("nobody ends a stream");
                let len = stream.poll_send_capacity().min(*left);
                if len > 0 {
                    let mut chunk = self.pools[0].take();
                    chunk.set_len(len);
                    stream.send(self.pools[0].fit(chunk)).expect("there is capacity");
                    *left -= len;
                }
            }
            self.now += Duration::from_micros(100);
            read += self.exchange();
        }
    }
}

fn forward(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("mux/forward 1 MiB");
    group.throughput(Throughput::Bytes(TOTAL as u64));
    for streams in [1, 100] {
        let mut pair = Pair::new(streams);
        pair.forward(TOTAL);
        group.bench_function(BenchmarkId::new("streams", streams), |bencher| bencher.iter(|| pair.forward(TOTAL)));
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(3));
    targets = forward
}
criterion_main!(benches);
