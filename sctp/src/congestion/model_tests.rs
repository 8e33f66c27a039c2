//! Results of the algorithms in the model, and proof that each departure from the draft is needed.

use std::time::{Duration, Instant};

use super::Algorithm::{Bbr, Cubic};
use super::model::{Link, Model, jain};
use super::{Congestion, Random};

fn link(mbit: u64, ms: u64, queue: usize, loss: u64) -> Link {
    Link { mbit, round_trip: Duration::from_millis(ms), queue, loss }
}

/// Payload of one BBR flow in Mbit/s, after its start phase.
fn alone(link: Link) -> f64 {
    Model::run(link, &[(Bbr, 0)], 20, 8, 1)[0].goodput
}

#[test]
fn a_long_link_is_filled() {
    let goodput = alone(link(100, 100, 932, 0));
    assert!(goodput > 90.0, "{goodput}");
}

/// Fails without the first departure: the pacing margin compounds, 86 Mbit/s.
#[test]
fn a_probe_advances_the_filter_once() {
    let goodput = alone(link(100, 20, 186, 0));
    assert!(goodput > 91.0, "{goodput}");
}

/// Fails without the second departure: 27 to 40 Mbit/s.
#[test]
fn random_loss_is_not_congestion() {
    for (ms, queue) in [(20, 186), (100, 932), (100, 64)] {
        let goodput = alone(link(100, ms, queue, 10_000));
        assert!(goodput > 86.0, "{ms} ms: {goodput}");
    }
}

/// Fails without the fourth departure: 38 Mbit/s.
#[test]
fn a_short_queue_on_a_long_path_is_not_overrun() {
    let goodput = alone(link(100, 100, 93, 0));
    assert!(goodput > 88.0, "{goodput}");
}

#[test]
fn two_flows_share() {
    for (ms, queue) in [(20, 64), (20, 186)] {
        let shared = jain(&Model::run(link(100, ms, queue, 0), &[(Bbr, 0), (Bbr, 5)], 40, 20, 2));
        assert!(shared > 0.9, "{ms} ms, {queue} packets: {shared}");
    }
}

/// Fails without the third departure: CUBIC has 6 to 8 Mbit/s.
#[test]
fn cubic_keeps_a_share_beside_it() {
    for (ms, queue, least) in [(20, 186, 24.0), (100, 932, 24.0)] {
        let link = link(100, ms, queue, 0);
        let first = Model::run(link, &[(Bbr, 0), (Cubic, 5)], 60, 30, 1);
        let second = Model::run(link, &[(Cubic, 0), (Bbr, 5)], 60, 30, 1);
        for outcomes in [first, second] {
            let goodput: Vec<f64> = outcomes.iter().map(|outcome| outcome.goodput).collect();
            assert!(goodput.iter().all(|share| *share > least), "{ms} ms, {queue} packets: {goodput:?}");
        }
    }
}

/// Fails without the sixth departure: 93 Mbit/s, and 88 with the short queue.
#[test]
fn a_queue_that_is_empty_is_not_emptied() {
    for queue in [18, 186] {
        let goodput = alone(link(100, 20, queue, 0));
        assert!(goodput > 94.0, "{queue} packets: {goodput}");
    }
}

/// A nearby process that reads now and then: data that waits for it is acknowledged at once. Fails without the fifth
/// departure: the window reaches 3.3 MB.
#[test]
fn what_is_acknowledged_at_once_is_bounded() {
    const PACKET: u64 = 1200;
    let mut now = Instant::now();
    let mut congestion = Congestion::new(now, Bbr, PACKET, 1);
    let mut random = Random::new(1);
    let mut largest = 0;
    for _ in 0..5_000 {
        let mut sent = Vec::new();
        let sent_at = now;
        let longest = if random.below(4) == 0 { 10_000 } else { 400 };
        let pause = 50 + random.below(longest);
        while now < sent_at + Duration::from_micros(pause) {
            // 10 packets in 50 µs are 240 MB per second.
            for _ in 0..10 {
                if congestion.send_budget(now) > 0 {
                    sent.push(congestion.handle_sent(now, PACKET));
                }
            }
            congestion.set_app_limited();
            now += Duration::from_micros(50);
        }
        for stamp in &sent {
            congestion.handle_acked(now, PACKET, stamp);
        }
        let round_trip = sent.first().map(|stamp| now - stamp.sent_at);
        congestion.finish_ack(now, round_trip);
        largest = largest.max(congestion.window());
    }
    assert!(largest < 1_500_000, "{largest}");
}

#[test]
fn cubic_fills_a_clean_link() {
    let goodput = Model::run(link(100, 20, 186, 0), &[(Cubic, 0)], 20, 8, 1)[0].goodput;
    assert!(goodput > 94.0, "{goodput}");
}

/// The whole table: `cargo test --release -p pinhole-sctp congestion::model_tests::table -- --ignored --nocapture`.
#[test]
#[ignore = "prints a table; a long sweep"]
fn table() {
    println!("{:32} {:>7} {:>7} {:>8} {:>8}", "link", "cubic", "bbr", "p50 ms", "p99 ms");
    for (mbit, ms) in [(100, 20), (100, 100), (10, 100), (100, 2), (1000, 50)] {
        let product = link(mbit, ms, 0, 0).product();
        for queue in [64, product / 10, product, 4 * product] {
            for loss in [0, 1000, 10_000, 30_000] {
                let link = link(mbit, ms, queue.max(10), loss);
                let run = |algorithm| Model::run(link, &[(algorithm, 0)], 20, 8, 1).remove(0);
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
            let (bbr, cubic) = (against[0].goodput, against[1].goodput);
            println!("{mbit} Mbit/s {ms} ms q{queue}: jain {own:.2?} bbr {bbr:.1} cubic {cubic:.1}");
        }
    }
}
