//! A session against a peer that knows the pin and sends anything: descriptions, candidates, datagrams and frames that
//! begin honest and are changed by a script. Here the scripts are random, by seed; `fuzz/fuzz_targets/session.rs` lets
//! libFuzzer write them.

mod frames;
mod script;
mod world;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

/// Scripts of an ordinary run; `SIM_SEEDS` has more.
const SEEDS: u64 = 300;

fn seeds() -> u64 {
    std::env::var("SIM_SEEDS").ok().and_then(|seeds| seeds.parse().ok()).unwrap_or(SEEDS)
}

#[test]
fn nothing_that_a_peer_says_panics_or_stays_behind() {
    for seed in 0..seeds() {
        let mut random = StdRng::seed_from_u64(seed);
        let mut bytes = vec![0; random.random_range(50..3000)];
        random.fill(&mut bytes[..]);
        // Half of them begin with two sides that are connected.
        bytes[0] = bytes[0] & 0x7f | if seed % 2 == 0 { 0x80 } else { 0 };
        eprintln!("seed {seed}");
        world::run(&bytes);
    }
}
