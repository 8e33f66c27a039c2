//! The basics of an association: it comes up, carries messages, ends.

mod common;

use std::time::Duration;

use common::link::{Loss, Path};
use common::pair::Pair;
use pinhole_sctp::{Event, Reason, State};

const SECOND: Duration = Duration::from_secs(1);

fn message(length: usize, tag: u8) -> Vec<u8> {
    (0..length).map(|at| (at as u8).wrapping_mul(7).wrapping_add(tag)).collect()
}

#[test]
fn two_ends_come_up_in_two_round_trips() {
    let mut pair = Pair::new(1, Path::default());
    pair.connect();
    assert!(pair.elapsed() <= Duration::from_millis(45), "{:?}", pair.elapsed());
    assert!(pair.client.has(&Event::Connected) && pair.server.has(&Event::Connected));
}

#[test]
fn messages_of_all_lengths_arrive_in_order() {
    let mut pair = Pair::connected(2, Path::default());
    let lengths = [1, 2, 3, 4, 5, 1000, 1061, 1062, 1063, 1122, 1123, 2000, 16_384, 65_536, 262_144];
    let messages: Vec<_> = lengths.iter().zip(0..).map(|(length, tag)| message(*length, tag)).collect();
    for message in &messages {
        pair.client.send(3, message).expect("taken");
    }
    pair.run(5 * SECOND);
    let received: Vec<_> = pair.server.received.iter().map(|(_, _, payload)| payload.clone()).collect();
    assert!(received == messages, "{:?}", received.iter().map(Vec::len).collect::<Vec<_>>());
    assert!(pair.server.has(&Event::Opened(3)));
    assert_eq!(pair.client.association.stream(3).expect("open").buffered_amount(), 0);
}

#[test]
fn messages_arrive_over_a_bad_link() {
    for seed in 0..20 {
        let path = Path {
            loss: Loss::Random(0.1),
            jitter: Duration::from_millis(20),
            jittered: 0.3,
            repeated: 0.1,
            ..Path::default()
        };
        let mut pair = Pair::connected(seed, path);
        let messages: Vec<_> = (0..100).map(|tag| message(50 + usize::from(tag) * 97, tag)).collect();
        for message in &messages {
            pair.client.send(1, message).expect("taken");
            pair.server.send(2, message).expect("taken");
        }
        let is_done = pair.run_until(60 * SECOND, |pair| {
            pair.server.received.len() == messages.len() && pair.client.received.len() == messages.len()
        });
        assert!(is_done, "seed {seed}: {} and {}", pair.server.received.len(), pair.client.received.len());
        for end in [&pair.server, &pair.client] {
            assert!(end.received.iter().zip(&messages).all(|((_, _, payload), sent)| payload == sent), "seed {seed}");
        }
    }
}

#[test]
fn a_shutdown_delivers_what_was_sent() {
    let mut pair = Pair::connected(4, Path::default());
    pair.client.send(1, &message(100_000, 1)).expect("taken");
    assert!(pair.client.association.shutdown());
    assert!(pair.client.send(1, b"late").is_err());
    pair.run(5 * SECOND);
    assert_eq!(pair.server.received.len(), 1);
    for end in [&pair.client, &pair.server] {
        assert_eq!(end.association.state(), State::Closed);
        assert!(end.has(&Event::Closed(Reason::Shutdown)));
    }
}

#[test]
fn an_abort_is_told() {
    let mut pair = Pair::connected(5, Path::default());
    pair.client.association.abort();
    pair.run(SECOND);
    assert!(pair.client.has(&Event::Closed(Reason::Aborted)));
    assert!(pair.server.has(&Event::Closed(Reason::AbortedByPeer(12))));
}

#[test]
fn a_stream_is_closed_on_both_sides_and_may_be_used_again() {
    let mut pair = Pair::connected(6, Path::default());
    for round in 0..3 {
        pair.client.send(7, b"first").expect("taken");
        pair.run(SECOND);
        pair.server.send(7, b"answer").expect("taken");
        pair.run(SECOND);
        pair.client.association.stream(7).expect("open").close().expect("up");
        pair.run(SECOND);
        for end in [&mut pair.client, &mut pair.server] {
            assert_eq!(end.events.iter().filter(|event| **event == Event::Finished(7)).count(), round + 1);
            assert_eq!(end.events.iter().filter(|event| **event == Event::ResetComplete(7)).count(), round + 1);
            assert!(end.association.stream(7).is_err());
        }
    }
    assert_eq!(pair.server.received.len(), 3);
}
