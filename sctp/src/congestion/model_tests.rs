//! What the algorithms reach in the model, and that each departure from the draft is needed.

use std::time::Duration;

use super::Algorithm::{Bbr, Cubic};
use super::model::{Link, Model, jain};

fn link(mbit: u64, ms: u64, queue: usize, loss: u64) -> Link {
    Link { mbit, round_trip: Duration::from_millis(ms), queue, loss }
}

/// The whole table: `cargo test -p pinhole-sctp --release table -- --ignored --nocapture`.
#[test]
#[ignore = "prints a table; a long sweep"]
fn table() {
    println!("{:32} {:>7} {:>7} {:>8} {:>8}", "link", "cubic", "bbr", "p50 ms", "p99 ms");
    for (mbit, ms) in [(100, 20), (100, 100), (10, 100), (100, 2), (1000, 50)] {
        let product = link(mbit, ms, 0, 0).product();
        for queue in [64, product / 10, product, 4 * product] {
            for loss in [0, 1000, 10_000, 30_000] {
                let link = link(mbit, ms, queue.max(10), loss);
                let run = |algorithm| {
                    let mut runs: Vec<_> =
                        (1..=3).map(|seed| Model::run(link, &[(algorithm, 0)], 24, 8, seed).remove(0)).collect();
                    runs.sort_by(|a, b| a.goodput.total_cmp(&b.goodput));
                    runs.remove(1)
                };
                let (cubic, bbr) = (run(Cubic), run(Bbr));
                println!(
                    "{:32} {:7.1} {:7.1} {:8.1} {:8.1}",
                    format!("{mbit} Mbit/s {ms} ms q{queue} {}%", loss as f64 / 1e4),
                    cubic.goodput,
                    bbr.goodput,
                    bbr.round_trip(50).as_secs_f64() * 1e3,
                    bbr.round_trip(99).as_secs_f64() * 1e3,
                );
            }
        }
    }
    for (mbit, ms) in [(100, 20), (100, 100)] {
        let product = link(mbit, ms, 0, 0).product();
        for queue in [64, product, 4 * product] {
            let link = link(mbit, ms, queue, 0);
            let own: Vec<f64> =
                (1..=3).map(|seed| jain(&Model::run(link, &[(Bbr, 0), (Bbr, 5)], 60, 20, seed))).collect();
            let against = Model::run(link, &[(Bbr, 0), (Cubic, 5)], 60, 20, 1);
            println!(
                "{mbit} Mbit/s {ms} ms q{queue}: jain {own:.2?} bbr {:.1} cubic {:.1}",
                against[0].goodput, against[1].goodput
            );
        }
    }
}
