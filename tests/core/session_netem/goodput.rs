//! A guard against gradual regressions, independent of the machine's load: goodput in virtual time by rate, round trip
//! and loss, and the delay of a small question beside bulk data.

use std::time::Duration;

use str0m_netem::{Bitrate, DataSize, NetemConfig};

use super::traffic::Traffic;
use super::world::{CLIENT, HOST, World};
use super::{is_full, millis, path};

/// One path and the least goodput over it, in percent of the rate.
struct Cell {
    mbits: u64,
    round_trip_ms: u64,
    loss_permille: u64,
    floor: u64,
}

/// The result of a cell.
struct Outcome {
    percent: f64,
    backlog_target: usize,
    echo: Vec<Duration>,
}

/// Returns the bottleneck of a cell. The emulator's buffer holds data in flight as well as queued data: one product of
/// bandwidth and round trip, at least 64 KiB.
fn bottleneck(cell: &Cell) -> NetemConfig {
    let round_trip = millis(cell.round_trip_ms);
    let product = cell.mbits * 125 * cell.round_trip_ms;
    let buffer = product / 2 + product.max(64 * 1024);
    path(round_trip, cell.loss_permille as f32 / 1000.0).link(Bitrate::mbps(cell.mbits), DataSize::bytes(buffer as i64))
}

fn measure(cell: &Cell, warm_up: u64, seconds: u64) -> Outcome {
    let time = Duration::from_secs(seconds);
    let mut world = World::connected(&[bottleneck(cell)], 1);
    let bulk = world.open(CLIENT, Traffic::Bulk { up: u64::MAX, down: 0 });
    let ping = world.open(CLIENT, Traffic::Ping { count: usize::MAX, pause: millis(10) });
    world.run_for(Duration::from_secs(warm_up));
    let received = |world: &World| world.sides[HOST].streams[&bulk].end.received;
    let before = received(&world);
    let asked_before = world.sides[CLIENT].streams[&ping].end.round_trips.len();
    world.run_for(time);
    let bits = (received(&world) - before) as f64 * 8.0;
    let mut echo = world.sides[CLIENT].streams[&ping].end.round_trips[asked_before..].to_vec();
    echo.sort();
    let percent = bits / time.as_secs_f64() / (cell.mbits as f64 * 1e4);
    let backlog_target = world.sides[CLIENT].session.connection().map_or(0, |connection| connection.backlog_target());
    Outcome { percent, backlog_target, echo }
}

/// Minimum goodput for a loss of 0, 0.1 and 1 %, a good tenth below the measured values. BBR does not take a lost
/// packet for congestion, and the windows of the streams hold the data that waits for it.
const FLOORS: [(u64, u64, [u64; 3]); 12] = [
    (10, 1, [80, 80, 80]),
    (10, 20, [80, 80, 80]),
    (10, 50, [80, 80, 80]),
    (10, 100, [80, 80, 75]),
    (50, 1, [80, 80, 75]),
    (50, 20, [80, 80, 75]),
    (50, 50, [80, 80, 75]),
    (50, 100, [80, 80, 75]),
    (100, 1, [80, 80, 75]),
    (100, 20, [80, 80, 75]),
    (100, 50, [80, 75, 75]),
    (100, 100, [80, 75, 75]),
];

/// Everyday paths, without and with loss: the corners of the table, except the most expensive one, and its middle.
const EVERY_DAY: [(u64, u64); 5] = [(10, 1), (10, 100), (50, 20), (50, 100), (100, 1)];

#[test]
fn goodput_table() {
    let mut failures = Vec::new();
    println!("  rate  rtt  loss | goodput  floor | in flight   bdp (KiB) | echo p50    p99    max (ms)");
    for (mbits, round_trip_ms, floors) in FLOORS {
        for (loss_permille, floor) in [0, 1, 10].into_iter().zip(floors) {
            if !is_full() && (loss_permille == 1 || !EVERY_DAY.contains(&(mbits, round_trip_ms))) {
                continue;
            }
            let cell = Cell { mbits, round_trip_ms, loss_permille, floor };
            let outcome = if is_full() { measure(&cell, 4, 8) } else { measure(&cell, 3, 1) };
            println!("{}", row(&cell, &outcome));
            if outcome.percent < cell.floor as f64 {
                failures.push(row(&cell, &outcome));
            }
        }
    }
    assert!(failures.is_empty(), "{failures:#?}");
}

fn row(cell: &Cell, outcome: &Outcome) -> String {
    let Cell { mbits, round_trip_ms, loss_permille, floor } = cell;
    let Outcome { percent, backlog_target, echo } = outcome;
    let rank = |percent: usize| match echo.len() {
        0 => f64::INFINITY,
        len => echo[(len - 1) * percent / 100].as_secs_f64() * 1e3,
    };
    let loss = *loss_permille as f64 / 10.0;
    let (target, product) = (backlog_target / 1024, mbits * 125 * round_trip_ms / 1024);
    let (p50, p99, max) = (rank(50), rank(99), rank(100));
    format!(
        "{mbits:>4} M {round_trip_ms:>4}  {loss:>3.1}% | {percent:>6.1}% {floor:>5}% | \
         {target:>9} {product:>11} | {p50:>8.1} {p99:>6.1} {max:>6.1}"
    )
}
