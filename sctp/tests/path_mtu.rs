//! The size of packets: found by probes, and reduced when the path no longer carries it.

mod common;

use std::time::Duration;

use common::link::{Loss, Path};
use common::pair::Pair;
use pinhole_sctp::Config;

const SECOND: Duration = Duration::from_secs(1);

/// First and greatest size of a packet, in bytes.
const FIRST: usize = 1112;
const LARGEST: usize = 1412;

fn config() -> Config {
    Config { packet_size: FIRST, max_retransmits: None, ..Config::default() }
}

fn path(largest: usize) -> Path {
    Path { delay: Duration::from_millis(10), largest, ..Path::default() }
}

fn pair(largest: usize) -> Pair {
    pair_with(largest, config())
}

fn pair_with(largest: usize, config: Config) -> Pair {
    let mut pair = Pair::with(5, path(largest), config.clone(), config);
    pair.connect();
    pair
}

/// Sends `count` messages of 16 KiB, and returns how long their acknowledgement took.
fn send(pair: &mut Pair, count: usize) -> Duration {
    let start = pair.now;
    for at in 0..count {
        pair.client.send(1, &vec![at as u8; 16 * 1024]).expect("taken");
    }
    let has_all = |pair: &mut Pair| pair.client.association.stream(1).is_ok_and(|stream| stream.buffered_amount() == 0);
    assert!(pair.run_until(60 * SECOND, has_all), "{:?}", pair.client.association.statistics());
    pair.now - start
}

fn size(pair: &Pair) -> usize {
    pair.client.association.statistics().packet_size
}

#[test]
fn packets_grow_to_what_passes() {
    for (largest, found) in [(1150, 1112), (1240, 1240), (1300, 1240), (1387, 1340), (1388, 1388), (1500, LARGEST)] {
        let mut pair = pair(largest);
        assert_eq!(size(&pair), FIRST);
        for _ in 0..20 {
            send(&mut pair, 20);
            pair.run(Duration::from_millis(100));
        }
        assert_eq!(size(&pair), found, "{largest}");
        let statistics = pair.client.association.statistics();
        assert_eq!((statistics.chunks_lost, statistics.timeouts), (0, 0), "{largest}: a lost probe is no loss of data");
        let before = pair.up.lost;
        assert!(before <= 3, "{largest}: {before} probes");
        // A size that does not pass is tried again much later: the path may have changed.
        pair.up.path.largest = usize::MAX;
        pair.run(590 * SECOND);
        send(&mut pair, 20);
        assert_eq!(size(&pair), found, "{largest}");
        for _ in 0..20 {
            pair.run(SECOND);
            send(&mut pair, 20);
        }
        assert_eq!(size(&pair), LARGEST, "{largest}");
    }
}

#[test]
fn the_search_costs_a_path_that_carries_no_more_nothing() {
    let time = |config: Config| {
        let mut pair = pair_with(1150, config);
        pair.up.path.rate = Some(1e6);
        pair.up.path.queue = 40_000;
        send(&mut pair, 400)
    };
    let (with, without) = (time(config()), time(Config { max_packet_size: FIRST, ..config() }));
    assert!(with <= without + Duration::from_millis(10), "{with:?} {without:?}");
}

#[test]
fn larger_packets_carry_more() {
    let time = |config: Config| {
        let mut pair = pair_with(1500, config);
        send(&mut pair, 50);
        // A packet costs this path as much as 60 bytes more: the headers below.
        pair.up.path.rate = Some(1e6);
        let before = pair.client.association.statistics().packets_sent;
        send(&mut pair, 100);
        pair.client.association.statistics().packets_sent - before
    };
    let (with, without) = (time(config()), time(Config { max_packet_size: FIRST, ..config() }));
    assert!(with * 100 <= without * 81, "{with} {without}");
}

#[test]
fn a_path_that_shrinks_is_noticed_and_everything_arrives() {
    for (largest, found) in [(1200, 1112), (1300, 1240), (1400, 1388)] {
        for busy in [false, true] {
            let mut pair = pair(1500);
            (0..5).for_each(|_| _ = send(&mut pair, 50));
            pair.run(SECOND);
            assert_eq!(size(&pair), LARGEST);
            if busy {
                (0..100u8).for_each(|at| pair.client.send(1, &vec![at; 16 * 1024]).expect("taken"));
                pair.run(Duration::from_millis(15));
            }
            pair.up.path.largest = largest;
            let before = pair.server.received.len();
            let took = send(&mut pair, 1 + if busy { 0 } else { 19 });
            let count = pair.server.received.len() - before;
            assert!(count >= if busy { 2 } else { 20 }, "{count}");
            assert!(took <= SECOND, "{largest} {busy}: {took:?} {:?}", pair.client.association.statistics());
            for _ in 0..20 {
                send(&mut pair, 20);
                pair.run(Duration::from_millis(100));
            }
            assert_eq!(size(&pair), found, "{largest} {busy}");
            // From now on nothing of the old size leaves.
            let lost = pair.up.lost;
            send(&mut pair, 100);
            assert_eq!(pair.up.lost, lost, "{largest} {busy}");
        }
    }
}

#[test]
fn large_packets_that_are_lost_beside_small_ones_that_pass_are_noticed() {
    let mut pair = pair(1500);
    (0..5).for_each(|_| _ = send(&mut pair, 50));
    pair.run(SECOND);
    pair.up.path.largest = 1200;
    let timeouts = pair.client.association.statistics().timeouts;
    let before = pair.server.received.len();
    // Small ones on another stream pass all the time, so that no timeout ever comes.
    for at in 0..200u8 {
        if at < 5 {
            pair.client.send(1, &vec![at; 4 * 1024]).expect("taken");
        }
        pair.run(Duration::from_millis(5));
        pair.client.send(2, &[at]).expect("taken");
        pair.run(Duration::from_millis(5));
    }
    pair.run(SECOND);
    assert_eq!(pair.server.received.len() - before, 205);
    assert_eq!((size(&pair), pair.client.association.statistics().timeouts), (FIRST, timeouts));
}

#[test]
fn an_outage_does_not_make_packets_small_for_long() {
    for silence in [1, 10, 100] {
        let mut pair = pair(1500);
        (0..5).for_each(|_| _ = send(&mut pair, 50));
        pair.run(SECOND);
        (pair.up.path.loss, pair.down.path.loss) = (Loss::All, Loss::All);
        (0..100u8).for_each(|at| pair.client.send(1, &vec![at; 16 * 1024]).expect("taken"));
        pair.run(silence * SECOND);
        (pair.up.path.loss, pair.down.path.loss) = (Loss::None, Loss::None);
        pair.run(4 * SECOND);
        assert_eq!(size(&pair), LARGEST, "{silence}");
    }
}

#[test]
fn random_loss_leaves_packets_large() {
    let mut pair = pair(1500);
    pair.up.path.loss = Loss::Random(0.03);
    pair.up.path.rate = Some(5e6);
    let mut small = 0;
    for _ in 0..400 {
        send(&mut pair, 20);
        small += usize::from(size(&pair) < LARGEST);
    }
    assert!(small <= 40, "{small} of 400");
}

#[test]
fn a_quiet_association_does_not_probe_without_end() {
    let mut pair = pair(1150);
    pair.client.send(1, b"one").expect("taken");
    pair.run(100 * SECOND);
    assert!(pair.up.lost <= 1, "{}", pair.up.lost);
    assert_eq!(pair.client.association.statistics().packet_size, FIRST);
}
