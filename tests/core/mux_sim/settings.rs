//! Settings of a run, decided by its seed.

use pinhole::internals::tunnel::{Config, Role};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// The shape of one run.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) configs: [Config; 2],
    /// Streams hash to this many ids: with few, ids are soon reused.
    pub(crate) hashes: u16,
    /// Streams can be refused for being too many.
    pub(crate) is_tight: bool,
    /// Maximum number of bytes a direction carries.
    pub(crate) max_total: u64,
    pub(crate) max_delay_ms: u64,
    pub(crate) go_away: bool,
    pub(crate) steps: u32,
    /// One in so many steps does something to a carrier.
    pub(crate) carrier_rarity: u32,
    /// The share of streams that are UDP flows, and of their datagrams that get lost.
    pub(crate) udp: f64,
    pub(crate) datagram_loss: f64,
    /// One in so many operations on a stream aborts it.
    pub(crate) abort_rarity: u32,
}

impl Settings {
    pub(crate) fn new(seed: u64) -> (Settings, StdRng) {
        let mut rng = StdRng::seed_from_u64(seed);
        let is_tight = rng.random_bool(0.25);
        let mut smallest = u32::MAX;
        let configs = [Role::Client, Role::Host].map(|role| {
            let mut config = Config::new(role);
            config.initial_credit = pick(&mut rng, &[64, 1000, 8192, 65536, 65536]);
            smallest = smallest.min(config.initial_credit);
            if is_tight {
                config.max_streams = rng.random_range(1..8);
            }
            if rng.random_bool(0.3) {
                config.growth_budget = 100_000;
                config.send_budget = 50_000;
            }
            if rng.random_bool(0.2) {
                config.rate = Some(pick(&mut rng, &[20_000, 200_000, 5_000_000]));
            }
            config
        });
        let settings = Settings {
            configs,
            hashes: pick(&mut rng, &[1, 3, 16, u16::MAX]),
            is_tight,
            max_total: if smallest < 1000 { 3000 } else { pick(&mut rng, &[2000, 30_000, 300_000]) },
            max_delay_ms: pick(&mut rng, &[5, 50, 400]),
            go_away: rng.random_bool(0.25),
            steps: rng.random_range(300..3000),
            carrier_rarity: pick(&mut rng, &[30, 100, 1000]),
            udp: pick(&mut rng, &[0.0, 0.3, 0.9]),
            datagram_loss: pick(&mut rng, &[0.0, 0.05, 0.5]),
            abort_rarity: pick(&mut rng, &[20, 100, 1_000_000]),
        };
        (settings, rng)
    }
}

/// Returns one of `choices`.
pub(crate) fn pick<T: Copy>(rng: &mut StdRng, choices: &[T]) -> T {
    choices[rng.random_range(0..choices.len())]
}
