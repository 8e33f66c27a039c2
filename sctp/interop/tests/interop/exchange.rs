//! The tests for every peer: messages of all lengths both ways at once, with every kind of delivery, with and without
//! loss.

use std::time::Duration;

use pinhole_sctp::{Delivery, Reliability};

use crate::pair::{Pair, Peer, STREAM};

const LENGTHS: [usize; 12] = [1, 2, 100, 1062, 1063, 1074, 1075, 5000, 16_384, 65_535, 100_000, 256 * 1024];

fn message(number: usize, length: usize) -> Vec<u8> {
    (0..length).map(|at| (number.wrapping_mul(31) ^ at ^ (at >> 8).wrapping_mul(7)) as u8).collect()
}

/// Sends messages of all lengths both ways at once, and returns what was sent, which is the same for both.
pub fn exchange<P: Peer>(pair: &mut Pair<P>, delivery: Delivery, rounds: usize) -> Vec<Vec<u8>> {
    let sent: Vec<_> = (0..rounds * LENGTHS.len()).map(|at| message(at, LENGTHS[at * 5 % LENGTHS.len()])).collect();
    for message in &sent {
        pair.send_ours(delivery, message);
        pair.foreign.send(delivery, message);
        pair.run_until(Duration::from_millis(2), |_| false);
    }
    sent
}

/// Checks that everything sent arrives, ordered and unordered. `new` makes a peer that begins or waits.
pub fn check_reliable<P: Peer>(new: impl Fn(bool) -> P, losses: &[f64], rounds: usize) {
    for (seed, loss) in losses.iter().copied().enumerate() {
        for we_begin in [true, false] {
            for is_ordered in [true, false] {
                let mut pair = Pair::new(new(!we_begin), we_begin, loss, seed as u64);
                let delivery = Delivery { is_ordered, reliability: Reliability::Reliable };
                let mut sent = exchange(&mut pair, delivery, rounds);
                let is_done = pair.run_until(Duration::from_secs(300), |pair| {
                    pair.by_ours.len() >= sent.len() && pair.by_foreign.len() >= sent.len()
                });
                let what = format!("loss {loss}, we begin: {we_begin}, in order: {is_ordered}");
                let counts = (pair.by_ours.len(), pair.by_foreign.len(), sent.len());
                assert!(is_done, "{what}: {counts:?} {:?}", pair.statistics());
                if !is_ordered {
                    [&mut sent, &mut pair.by_ours, &mut pair.by_foreign].into_iter().for_each(|list| list.sort());
                }
                assert!(pair.by_ours == sent && pair.by_foreign == sent, "{what}");
            }
        }
    }
}

/// Tells whether `received` is what remains of `sent` after some are left out.
fn is_part(sent: &[Vec<u8>], received: &[Vec<u8>]) -> bool {
    let mut rest = sent.iter();
    received.iter().all(|message| rest.any(|sent| sent == message))
}

/// The policies for messages that may be lost, and whether they are ordered.
pub const POLICIES: [(Reliability, bool); 6] = [
    (Reliability::Retransmits(0), true),
    (Reliability::Retransmits(0), false),
    (Reliability::Retransmits(1), true),
    (Reliability::Retransmits(1), false),
    (Reliability::Lifetime(Duration::from_millis(30)), true),
    (Reliability::Lifetime(Duration::from_millis(30)), false),
];

/// Checks that messages which may be lost are abandoned, that no others are, and that later ones arrive.
pub fn check_partial<P: Peer>(new: impl Fn(bool) -> P, policies: &[(Reliability, bool)], rounds: usize) {
    for (seed, (reliability, is_ordered)) in policies.iter().copied().enumerate() {
        for we_begin in [true, false] {
            let mut pair = Pair::new(new(!we_begin), we_begin, 0.05, seed as u64 / 2 + 10);
            let mut sent = exchange(&mut pair, Delivery { is_ordered, reliability }, rounds);
            (pair.up.loss, pair.down.loss) = (0.0, 0.0);
            let last = message(999, 333);
            let reliable = Delivery { is_ordered, reliability: Reliability::Reliable };
            pair.send_ours(reliable, &last);
            pair.foreign.send(reliable, &last);
            let is_done = pair.run_until(Duration::from_secs(300), |pair| {
                let is_idle = pair.ours.stream(STREAM).is_ok_and(|stream| stream.buffered_amount() == 0);
                is_idle && pair.by_ours.contains(&last) && pair.by_foreign.contains(&last)
            });
            let what = format!("{reliability:?}, we begin: {we_begin}, in order: {is_ordered}");
            assert!(is_done, "{what}: {:?}", pair.statistics());
            sent.push(last);
            if !is_ordered {
                [&mut sent, &mut pair.by_ours, &mut pair.by_foreign].into_iter().for_each(|list| list.sort());
            }
            assert!(is_part(&sent, &pair.by_ours) && is_part(&sent, &pair.by_foreign), "{what}");
            assert!(pair.by_ours.len() > 1 && pair.by_foreign.len() > 1, "{what}: something arrived");
        }
    }
}
