//! Messages that are abandoned (RFC 3758).

mod common;

use std::time::Duration;

use common::link::{Loss, Path};
use common::pair::Pair;
use pinhole_sctp::{Config, Delivery, Reliability};

const SECOND: Duration = Duration::from_secs(1);

fn with_delivery(seed: u64, path: Path, is_ordered: bool, reliability: Reliability) -> Pair {
    let config = Config { max_retransmits: None, ..Config::default() };
    let mut pair = Pair::with(seed, path, config.clone(), config);
    pair.connect();
    for end in [&mut pair.client, &mut pair.server] {
        end.association.open(1).expect("new").set_delivery(Delivery { is_ordered, reliability });
    }
    pair
}

fn numbers(pair: &Pair) -> Vec<u32> {
    let number = |(_, _, payload): &(u16, u32, Vec<u8>)| u32::from_be_bytes(*payload.first_chunk().expect("a number"));
    pair.server.received.iter().map(number).collect()
}

fn message(number: u32, length: usize) -> Vec<u8> {
    let mut message = number.to_be_bytes().to_vec();
    message.resize(length, number as u8);
    message
}

#[test]
fn without_retransmissions_what_is_lost_is_lost_and_the_rest_arrives() {
    for is_ordered in [true, false] {
        for length in [100, 1100, 5000] {
            let path = Path { loss: Loss::Random(0.1), ..Path::default() };
            let mut pair = with_delivery(1, path, is_ordered, Reliability::Retransmits(0));
            for number in 0..400 {
                pair.client.send(1, &message(number, length)).expect("taken");
                pair.run(Duration::from_millis(1));
            }
            pair.run(10 * SECOND);
            let statistics = pair.client.association.statistics();
            assert_eq!(statistics.chunks_repeated, 0, "{statistics:?}");
            let numbers = numbers(&pair);
            assert!(numbers.len() > 150 && numbers.len() < 395, "{length}: {}", numbers.len());
            assert!(numbers.is_sorted(), "nothing overtakes on this path");
            assert_eq!(pair.client.association.stream(1).expect("open").buffered_amount(), 0);
            assert_eq!((statistics.in_flight, statistics.outstanding), (0, 0), "{statistics:?}");
            assert_eq!(pair.server.association.statistics().kept, 0);
        }
    }
}

#[test]
fn with_some_retransmissions_nearly_all_arrive() {
    let path = Path { loss: Loss::Random(0.1), ..Path::default() };
    let mut pair = with_delivery(2, path, true, Reliability::Retransmits(2));
    for number in 0..1000 {
        pair.client.send(1, &message(number, 1000)).expect("taken");
        pair.run(Duration::from_millis(1));
    }
    pair.run(10 * SECOND);
    let numbers = numbers(&pair);
    assert!(numbers.len() >= 990 && numbers.is_sorted(), "{}", numbers.len());
}

#[test]
fn what_is_too_late_is_given_up_unsent_and_sent() {
    let lifetime = Duration::from_millis(300);
    let mut pair = with_delivery(3, Path::default(), true, Reliability::Lifetime(lifetime));
    pair.up.path.loss = Loss::All;
    for number in 0..3000 {
        pair.client.send(1, &message(number, 1000)).expect("taken");
    }
    pair.run(SECOND);
    assert_eq!(pair.client.association.stream(1).expect("open").buffered_amount(), 0);
    pair.up.path.loss = Loss::None;
    pair.client.send(1, &message(9999, 1000)).expect("taken");
    pair.run(5 * SECOND);
    assert_eq!(numbers(&pair), [9999]);
}

#[test]
fn a_message_given_up_half_sent_leaves_nothing_behind() {
    let lifetime = Duration::from_millis(100);
    // A megabyte a second: a quarter of each message has left when its time is over.
    let path = Path { rate: Some(1e5), queue: 20_000, ..Path::default() };
    for is_ordered in [true, false] {
        let mut pair = with_delivery(4, path, is_ordered, Reliability::Lifetime(lifetime));
        for number in 0..20 {
            pair.client.send(1, &message(number, 200_000)).expect("taken");
            pair.run(Duration::from_millis(500));
        }
        pair.client.association.stream(1).expect("open").set_delivery(Delivery { is_ordered, ..Delivery::default() });
        pair.client.send(1, &message(77, 100)).expect("taken");
        pair.run(20 * SECOND);
        assert_eq!(numbers(&pair).last(), Some(&77));
        let statistics = pair.client.association.statistics();
        assert_eq!((statistics.in_flight, statistics.outstanding), (0, 0), "{statistics:?}");
        assert_eq!(pair.server.association.statistics().kept, 0);
    }
}

#[test]
fn reliable_messages_beside_them_all_arrive() {
    let path = Path { loss: Loss::Random(0.2), ..Path::default() };
    let mut pair = with_delivery(5, path, true, Reliability::Retransmits(0));
    for number in 0..300 {
        pair.client.send(1, &message(number, 500)).expect("taken");
        pair.client.send(2, &message(number, 3000)).expect("taken");
        pair.run(Duration::from_millis(5));
    }
    pair.run(20 * SECOND);
    let of_stream = |stream| pair.server.received.iter().filter(|(id, ..)| *id == stream).count();
    assert_eq!(of_stream(2), 300);
    assert!((150..300).contains(&of_stream(1)), "{}", of_stream(1));
}

#[test]
fn where_nothing_is_lost_long_messages_without_retransmissions_arrive() {
    for delay in [1, 5, 10, 50] {
        for seed in 0..5 {
            let path = Path { delay: Duration::from_millis(delay), ..Path::default() };
            let mut pair = with_delivery(seed, path, false, Reliability::Retransmits(0));
            for (number, length) in [65_516, 100_008, 200_008, 60_000, 200_000].into_iter().enumerate() {
                pair.client.send(1, &message(number as u32, length)).expect("taken");
                pair.run(2 * SECOND);
            }
            assert_eq!(numbers(&pair), [0, 1, 2, 3, 4], "{delay} ms: {:?}", pair.client.association.statistics());
        }
    }
}
