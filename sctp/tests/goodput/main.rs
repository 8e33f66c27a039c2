//! Goodput of an association over paths of all kinds, in virtual time: minimum values here, and whole tables with
//! `GOODPUT_FULL=1` (`make sim`), which take minutes.
#![allow(unreachable_pub)]

#[path = "../common/mod.rs"]
mod common;
mod path;
mod run;
mod table;

use std::time::{Duration, Instant};

use path::{Disorder, Path};
use pinhole_sctp::congestion::Algorithm::{Bbr, Cubic};
use run::{Flow, jain, run};
use table::{Span, alone, map};

const SHORT: Span = Span { seconds: 8, counts_from: 4 };

/// Mbit/s, round trip in ms, queue in packets, loss, and the least percentage of the rate without headers: a twentieth
/// below the measured value.
const FLOORS: [(u64, u64, usize, f64, f64); 7] = [
    (100, 0, 64, 0.0, 95.0),
    (100, 20, 64, 0.0, 91.0),
    (100, 20, 169, 0.01, 90.0),
    (100, 100, 64, 0.0, 90.0),
    (100, 100, 846, 0.0, 90.0),
    (100, 100, 846, 0.01, 87.0),
    // The start overruns the queue by thousands of packets, and that must be repaired in reasonable time.
    (1000, 100, 64, 0.0, 20.0),
];

#[test]
fn links_are_filled_with_and_without_loss() {
    let goodput =
        map(&FLOORS, |(mbit, ms, queue, loss, _)| alone(Path::new(*mbit, *ms, *queue, *loss), Flow::new(Bbr), SHORT));
    for (floor, goodput) in FLOORS.iter().zip(goodput) {
        assert!(goodput > floor.4, "{floor:?}: {goodput:.1}");
    }
}

#[test]
fn packets_that_overtake_each_other_are_not_lost() {
    let path = Path::new(100, 50, 423, 0.0);
    let span = Span { seconds: 12, counts_from: 8 };
    for disorder in [Disorder::Jitter(Duration::from_millis(5)), Disorder::Late(0.05, Duration::from_millis(12))] {
        let goodput = alone(Path { disorder, ..path }, Flow::new(Bbr), span);
        assert!(goodput > 85.0, "{disorder:?}: {goodput:.1}");
    }
}

#[test]
fn two_flows_share_a_link() {
    let path = Path::new(20, 20, 34, 0.0);
    let flows = [Flow::new(Bbr), Flow { starts: 2, ..Flow::new(Bbr) }];
    let shared = jain(&run(path, &flows, 30, 15, 1));
    assert!(shared > 0.85, "{shared:.2}");
    let against = run(path, &[Flow::new(Bbr), Flow { starts: 2, ..Flow::new(Cubic) }], 30, 15, 1);
    assert!(against.iter().all(|outcome| outcome.goodput > 4.0), "{against:?}");
}

#[test]
fn questions_beside_bulk_wait_for_a_short_queue_only() {
    let flow = Flow { asks: Some(Duration::from_millis(17)), ..Flow::new(Bbr) };
    let outcome = run(Path::new(100, 20, 64, 0.0), &[flow], 8, 4, 1).remove(0);
    let (median, worst) = (outcome.answer(50), outcome.answer(99));
    assert!(outcome.answers.len() > 200, "{}", outcome.answers.len());
    assert!(median < 30.0 && worst < 50.0, "{median:.1} {worst:.1}");
}

/// Prints all tables: `GOODPUT_FULL=1 cargo test --release -p pinhole-sctp --test goodput tables -- --nocapture`.
#[test]
fn tables() {
    if std::env::var_os("GOODPUT_FULL").is_none() {
        println!("SKIPPED: the tables take minutes; GOODPUT_FULL=1 prints them");
        return;
    }
    let start = Instant::now();
    let span = Span { seconds: 20, counts_from: 8 };
    table::print_goodput(&[10, 100, 1000], &[0, 20, 50, 100, 200], span);
    println!();
    table::print_disorder(span);
    println!();
    table::print_shares(Span { seconds: 60, counts_from: 20 }, 3);
    println!();
    table::print_answers(span);
    println!("\n{:.0} s", start.elapsed().as_secs_f64());
}
