//! Losses and their repair: by time, by probes, by timeouts, and after silence.

mod common;

use std::time::Duration;

use common::link::{Loss, Path};
use common::pair::Pair;
use pinhole_sctp::{Config, Statistics};

const SECOND: Duration = Duration::from_secs(1);

const fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// A path with a round trip of 100 ms.
fn long() -> Path {
    Path { delay: millis(50), ..Path::default() }
}

/// A pair that has measured its round trip.
fn warm(path: Path) -> Pair {
    warm_with(path, Config { max_retransmits: None, ..Config::default() })
}

fn warm_with(path: Path, config: Config) -> Pair {
    let mut pair = Pair::with(11, path, config.clone(), config);
    pair.connect();
    // So that neither window nor pacing holds anything back.
    for _ in 0..4000 {
        pair.client.send(1, &[7; 1000]).expect("taken");
    }
    pair.run(4 * SECOND);
    for _ in 0..4 {
        pair.client.send(1, b"warm").expect("taken");
        pair.server.send(1, b"warm").expect("taken");
        pair.run(SECOND);
    }
    pair.server.received.clear();
    pair
}

fn statistics(pair: &Pair) -> Statistics {
    pair.client.association.statistics()
}

/// Sends `count` messages of one packet each, `pause` apart, and loses those that `lost` selects. Returns the time from
/// the last one until all arrived.
fn send_losing(pair: &mut Pair, count: usize, pause: Duration, lost: impl Fn(usize) -> bool) -> Duration {
    pair.up.fates = (0..count).map(lost).collect();
    for at in 0..count {
        pair.client.send(1, &[at as u8; 1000]).expect("taken");
        pair.run(pause);
    }
    let start = pair.now;
    assert!(pair.up.fates.is_empty(), "a packet for each");
    assert!(pair.run_until(20 * SECOND, |pair| pair.server.received.len() == count), "{:?}", statistics(pair));
    pair.now - start
}

#[test]
fn a_loss_in_the_middle_costs_one_more_round_trip() {
    let mut pair = warm(long());
    let took = send_losing(&mut pair, 20, millis(1), |at| at == 5);
    assert!(took <= millis(155), "{took:?}");
    let statistics = statistics(&pair);
    assert_eq!((statistics.chunks_lost, statistics.chunks_repeated, statistics.timeouts), (1, 1, 0), "{statistics:?}");
}

#[test]
fn many_losses_are_repaired_together() {
    let mut pair = warm(long());
    let took = send_losing(&mut pair, 60, millis(1), |at| at % 3 == 1);
    assert!(took <= millis(185), "{took:?}");
    let statistics = statistics(&pair);
    assert_eq!((statistics.chunks_repeated, statistics.timeouts), (20, 0), "{statistics:?}");
}

#[test]
fn the_loss_of_the_last_ones_is_found_by_a_probe() {
    for lost in [1, 3] {
        let mut pair = warm(long());
        let took = send_losing(&mut pair, 10, Duration::ZERO, |at| at >= 10 - lost);
        // Two round trips, the delay of an acknowledgement, and the way there; and one more round trip for losses
        // before the last packets.
        assert!(took <= millis(if lost == 1 { 410 } else { 490 }), "{lost}: {took:?}");
        let statistics = statistics(&pair);
        assert_eq!((statistics.timeouts, statistics.probes), (0, 1), "{lost}: {statistics:?}");
    }
}

#[test]
fn the_loss_of_everything_is_found_by_a_probe_or_the_timeout() {
    let mut pair = warm(long());
    let took = send_losing(&mut pair, 10, Duration::ZERO, |_| true);
    assert!(took <= millis(500), "{took:?}");
}

#[test]
fn a_lost_repair_is_repaired() {
    let mut pair = warm(long());
    let mut sent = 0;
    // The first one is lost each time it leaves within 350 ms, while others pass.
    let start = pair.now;
    let is_done = pair.run_until(10 * SECOND, |pair| {
        if sent < 60 && pair.now >= start + millis(10) * sent {
            pair.up.path.loss = if sent % 10 == 0 { Loss::All } else { Loss::None };
            pair.client.send(1, &[sent as u8; 1000]).expect("taken");
            sent += 1;
        }
        pair.server.received.len() == 60
    });
    assert!(is_done);
    assert_eq!(statistics(&pair).timeouts, 0, "{:?}", statistics(&pair));
}

#[test]
fn what_is_overtaken_a_little_is_not_lost() {
    let path = Path { jitter: millis(20), jittered: 0.2, ..long() };
    let mut pair = warm(path);
    let send = |pair: &mut Pair| {
        for at in 0..2000u32 {
            pair.client.send(1, &at.to_be_bytes().repeat(200)).expect("taken");
            pair.run(millis(2));
        }
        pair.run(2 * SECOND);
        statistics(pair)
    };
    // Until the path is known to reorder, some chunks are considered lost.
    let (learnt, then) = (send(&mut pair), send(&mut pair));
    assert_eq!(pair.server.received.len(), 4000);
    assert!(learnt.chunks_repeated <= 20, "{learnt:?}");
    assert_eq!((then.chunks_repeated, then.timeouts), (learnt.chunks_repeated, 0), "{then:?}");
}

#[test]
fn losses_that_were_none_are_undone() {
    let mut pair = warm(long());
    // One packet is late by more than is forgiven, once.
    pair.up.path.delay = millis(50 + 80);
    pair.client.send(1, &[1; 1000]).expect("taken");
    pair.settle();
    pair.up.path.delay = millis(50);
    for at in 0..10 {
        pair.client.send(1, &[at; 1000]).expect("taken");
        pair.settle();
    }
    pair.run(2 * SECOND);
    assert_eq!(pair.server.received.len(), 11);
    let statistics = statistics(&pair);
    assert_eq!((statistics.chunks_repeated, statistics.undone), (1, 1), "{statistics:?}");
}

#[test]
fn after_silence_the_first_packet_that_gets_through_starts_everything_again() {
    for silence in [1, 5, 20, 61, 300u32] {
        let mut pair = warm(long());
        pair.up.path.loss = Loss::All;
        pair.down.path.loss = Loss::All;
        pair.up.clear();
        pair.down.clear();
        for at in 0..200u8 {
            pair.client.send(1, &[at; 1000]).expect("taken");
        }
        pair.run(silence * SECOND);
        pair.up.path.loss = Loss::None;
        pair.down.path.loss = Loss::None;
        let since = pair.now;
        assert!(pair.run_until(60 * SECOND, |pair| pair.server.received.len() == 200), "{:?}", statistics(&pair));
        let took = pair.now - since;
        assert!(took <= 3 * SECOND + millis(300), "after {silence} s: {took:?}");
        assert!(statistics(&pair).timeouts <= u64::from(4 + silence / 3 * 2), "{:?}", statistics(&pair));
    }
}

#[test]
fn a_silent_path_is_asked_by_its_clock_and_not_without_pause() {
    let mut pair = warm(long());
    pair.up.path.loss = Loss::All;
    for at in 0..50u8 {
        pair.client.send(1, &[at; 1000]).expect("taken");
    }
    let mut steps = 0;
    pair.run_until(10 * SECOND, |_| {
        steps += 1;
        false
    });
    assert!(steps < 100, "{steps}");
}

#[test]
fn a_peer_that_is_heard_again_is_asked_at_once() {
    let mut pair = warm(long());
    pair.up.path.loss = Loss::All;
    pair.down.path.loss = Loss::All;
    for at in 0..50u8 {
        pair.client.send(1, &[at; 1000]).expect("taken");
    }
    // The next timeout is 3 s away.
    pair.run(10 * SECOND + millis(500));
    let timeouts = statistics(&pair).timeouts;
    pair.up.path.loss = Loss::None;
    pair.down.path.loss = Loss::None;
    pair.server.send(1, b"are you there?").expect("taken");
    let since = pair.now;
    assert!(pair.run_until(60 * SECOND, |pair| pair.server.received.len() == 50));
    assert!(pair.now - since <= millis(260), "{:?}", pair.now - since);
    assert_eq!(statistics(&pair).timeouts, timeouts);
}

#[test]
fn retransmissions_have_a_limit_where_one_is_set() {
    let mut pair = warm_with(long(), Config { max_retransmits: Some(3), ..Config::default() });
    pair.up.path.loss = Loss::All;
    pair.client.send(1, b"lost").expect("taken");
    pair.run(60 * SECOND);
    assert!(pair.client.has(&pinhole_sctp::Event::Closed(pinhole_sctp::Reason::TimedOut)), "{:?}", pair.client.events);
}

#[test]
fn one_acknowledgement_answers_a_batch() {
    let mut pair = warm(long());
    let before = pair.client.association.statistics().acknowledgements_received;
    let took = send_losing(&mut pair, 10, Duration::ZERO, |_| false);
    assert!(took <= millis(52));
    pair.run(SECOND);
    let count = pair.client.association.statistics().acknowledgements_received - before;
    assert_eq!(count, 1, "all 10 arrive in one turn");
}

#[test]
fn a_peer_of_another_make_gets_one_for_every_second_packet_at_first() {
    let mut pair = warm_with(long(), Config { private_extensions: false, ..Config::default() });
    let before = pair.client.association.statistics().acknowledgements_received;
    send_losing(&mut pair, 10, Duration::ZERO, |_| false);
    pair.run(SECOND);
    let count = pair.client.association.statistics().acknowledgements_received - before;
    assert_eq!(count, 5);
}

#[test]
fn a_lone_packet_is_acknowledged_after_twenty_milliseconds() {
    let mut pair = warm(long());
    let start = pair.now;
    pair.client.send(1, b"alone").expect("taken");
    let is_acknowledged = |pair: &mut Pair| pair.client.association.stream(1).expect("open").buffered_amount() == 0;
    assert!(pair.run_until(SECOND, is_acknowledged));
    assert!((millis(119)..=millis(121)).contains(&(pair.now - start)), "{:?}", pair.now - start);
    assert_eq!(statistics(&pair).probes, 0);
}

#[test]
fn the_packets_of_a_burst_have_one_length_and_none_is_too_long() {
    for length in [300, 1000, 1200, 2000, 5003, 16_384] {
        let mut pair = warm(long());
        for _ in 0..60 {
            pair.client.send(1, &vec![5; length]).expect("taken");
        }
        let mut lengths = Vec::new();
        while let Some(packet) = pair.client.association.poll_transmit(pair.now) {
            lengths.push(packet.len());
        }
        let (last, train) = lengths.split_last().expect("some");
        let size = statistics(&pair).packet_size;
        assert_eq!(size, Config::default().max_packet_size);
        assert!(train.iter().all(|length| *length == size), "{length}: {lengths:?}");
        assert!(*last <= size);
    }
}
