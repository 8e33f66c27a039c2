//! Many gaps at once: more than fit an acknowledgement.

mod common;

use std::time::Duration;

use common::link::Path;
use common::pair::Pair;
use pinhole_sctp::Config;

const SECOND: Duration = Duration::from_secs(1);

/// A message that fills a packet.
const MESSAGE: [u8; 1120] = [7; 1120];

/// A pair over 100 ms whose windows are no limit.
fn warm() -> Pair {
    let config = Config { max_packet_size: 1150, ..Config::default() };
    let mut pair = Pair::with(3, Path { delay: Duration::from_millis(50), ..Path::default() }, config.clone(), config);
    pair.connect();
    for _ in 0..3000 {
        pair.client.send(1, &MESSAGE).expect("taken");
    }
    pair.run(8 * SECOND);
    pair.server.received.clear();
    pair
}

/// An acknowledgement fits 280 gaps. Chunks beyond them are known to have arrived all the same, and are not sent again.
#[test]
fn what_arrived_beyond_more_gaps_than_fit_is_not_sent_again() {
    let mut pair = warm();
    let before = pair.client.association.statistics();
    pair.up.fates = (0..1500).map(|at| at % 2 == 1).collect();
    for _ in 0..1600 {
        pair.client.send(1, &MESSAGE).expect("taken");
    }
    let is_done = pair.run_until(20 * SECOND, |pair| pair.server.received.len() == 1600);
    let statistics = pair.client.association.statistics();
    assert!(is_done && statistics.timeouts == 0, "{statistics:?}");
    let repeated = statistics.chunks_repeated - before.chunks_repeated;
    assert!((750..900).contains(&repeated), "{repeated} chunks for 750 that were lost");
}
