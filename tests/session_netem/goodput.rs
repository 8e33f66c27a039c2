//! A guard against slow decay that no noise of the machine can disturb: goodput in virtual time over rate, round trip
//! and loss, and what a small question beside the bulk has to wait.

use std::time::Duration;

use str0m_netem::{Bitrate, DataSize, NetemConfig};

use crate::traffic::Traffic;
use crate::world::{CLIENT, HOST, World};
use crate::{is_full, millis, path};

/// One path and the least goodput over it, in percent of the rate.
struct Cell {
    mbits: u64,
    round_trip_ms: u64,
    loss_permille: u64,
    floor: u64,
}

/// What a cell came to.
struct Outcome {
    percent: f64,
    flight_target: usize,
    echo: Vec<Duration>,
}

/// Returns the bottleneck of a cell: the emulator's buffer holds what is on its way as well as what queues, which is one
/// product of bandwidth and round trip, and 64 KiB at least.
fn bottleneck(cell: &Cell) -> NetemConfig {
    let round_trip = millis(cell.round_trip_ms);
    let product = cell.mbits * 125 * cell.round_trip_ms;
    let buffer = product / 2 + product.max(64 * 1024);
    path(round_trip, cell.loss_permille as f32 / 1000.0).link(Bitrate::mbps(cell.mbits), DataSize::bytes(buffer as i64))
}

fn measure(cell: &Cell, warm_up: Duration, time: Duration, seed: u64) -> Outcome {
    let mut world = World::connected(&[bottleneck(cell)], seed);
    if let Ok(factor) = std::env::var("NETEM_FLIGHT") {
        let factor: f64 = factor.parse().expect("a number");
        let product = (cell.mbits * 125 * cell.round_trip_ms) as f64;
        for side in &mut world.sides {
            let target = ((product * factor) as usize).clamp(32 * 1024, 4 << 20);
            side.session.connection().unwrap().set_flight(pinhole::peer::flight::Flight::fixed(target));
        }
    }
    let bulk = world.open(CLIENT, Traffic::Bulk { up: u64::MAX, down: 0 });
    let ping = world.open(CLIENT, Traffic::Ping { count: usize::MAX, pause: millis(10) });
    world.run_for(warm_up);
    let received = |world: &World| world.sides[HOST].streams[&bulk].end.received;
    let before = received(&world);
    let asked_before = world.sides[CLIENT].streams[&ping].end.round_trips.len();
    world.run_for(time);
    let bits = (received(&world) - before) as f64 * 8.0;
    let mut echo = world.sides[CLIENT].streams[&ping].end.round_trips[asked_before..].to_vec();
    echo.sort();
    let percent = bits / time.as_secs_f64() / (cell.mbits as f64 * 1e4);
    let flight_target = world.sides[CLIENT].session.connection().map_or(0, |connection| connection.flight_target());
    Outcome { percent, flight_target, echo }
}

#[test]
fn goodput_table() {
    let mut failures = Vec::new();
    println!("  rate  rtt  loss | goodput  floor | in flight   bdp (KiB) | echo p50    p99    max (ms)");
    for mbits in [10, 50, 100] {
        for round_trip_ms in [1, 20, 50, 100] {
            for loss_permille in [0, 1, 10] {
                let cell = Cell { mbits, round_trip_ms, loss_permille, floor: 0 };
                let (warm_up, time) = if is_full() { (4, 8) } else { (2, 2) };
                let outcome = measure(&cell, Duration::from_secs(warm_up), Duration::from_secs(time), 1);
                let Outcome { percent, flight_target, echo } = outcome;
                let rank = |percent: usize| match echo.len() {
                    0 => f64::INFINITY,
                    len => echo[(len - 1) * percent / 100].as_secs_f64() * 1e3,
                };
                println!(
                    "{mbits:>4} M {round_trip_ms:>4}  {:>3.1}% | {percent:>6.1}% {:>5}% | {:>9} {:>11} | {:>8.1} {:>6.1} {:>6.1}",
                    loss_permille as f64 / 10.0,
                    cell.floor,
                    flight_target / 1024,
                    mbits * 125 * round_trip_ms / 1024,
                    rank(50),
                    rank(99),
                    rank(100),
                );
                if percent < cell.floor as f64 {
                    failures.push(format!("{mbits} Mbit/s × {round_trip_ms} ms × {loss_permille} ‰: {percent:.1} %"));
                }
            }
        }
    }
    assert!(failures.is_empty(), "{failures:#?}");
}
