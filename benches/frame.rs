//! Benchmarks of the frame codec and of the reordering of frames.
#![allow(missing_docs)]

use std::hint::black_box;
use std::time::Duration;

use bytes::Bytes;
use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use pinhole::internals::tunnel::frame::{Frame, HEADER_LEN, header, kind};
use pinhole::internals::tunnel::reorder::{Arrival, Reorder};
use pinhole::internals::tunnel::{Generation, Sequence};
use rand::SeedableRng;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;

/// Frames in one run of the reordering.
const FRAMES: u32 = 1024;

fn codec(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("frame");
    for len in [64, 1024, 16 * 1024] {
        group.throughput(Throughput::Bytes(len as u64));
        let mut message = vec![0; HEADER_LEN + len];
        group.bench_function(BenchmarkId::new("encode", len), |bencher| {
            // A payload already has its headroom, so encoding writes only the header.
            bencher.iter(|| {
                let header = header(kind::DATA, Generation(1), black_box(7), Sequence(black_box(9)));
                message[..HEADER_LEN].copy_from_slice(&header);
                black_box(&mut message);
            });
        });
        let message = Bytes::from(message);
        group.bench_function(BenchmarkId::new("decode", len), |bencher| {
            bencher.iter(|| Frame::decode(black_box(message.clone())));
        });
    }
    group.finish();
}

fn reorder(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("reorder");
    group.throughput(Throughput::Elements(u64::from(FRAMES)));
    let in_order: Vec<u32> = (0..FRAMES).collect();
    let swapped: Vec<u32> = (0..FRAMES).map(|n| n ^ 1).collect();
    let mut shuffled = in_order.clone();
    let mut rng = StdRng::seed_from_u64(1);
    for run in shuffled.chunks_mut(32) {
        run.shuffle(&mut rng);
    }
    for (name, order) in [("in order", in_order), ("swapped pairs", swapped), ("random within 32", shuffled)] {
        group.bench_function(name, |bencher| {
            bencher.iter_batched_ref(
                Reorder::default,
                |reorder| {
                    for &sequence in &order {
                        if let Arrival::Next(item) = reorder.insert(Sequence(sequence), sequence) {
                            black_box(item);
                            while let Some(item) = reorder.pop() {
                                black_box(item);
                            }
                        }
                    }
                },
                BatchSize::SmallInput,
            );
        });
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().warm_up_time(Duration::from_millis(200)).measurement_time(Duration::from_millis(800));
    targets = codec, reorder
}
criterion_main!(benches);
