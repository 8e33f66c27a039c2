//! A simulation of two muxes in virtual time: random operations over carriers that reorder messages and die with those
//! in transit, checked against a model that knows every byte.
//!
//! `SIM_SEEDS=n` runs n seeds instead of the usual number; `SIM_SEED=x` runs only that one and prints every step.

mod goodput;
mod model;
mod settings;
mod wire;
mod world;

use world::World;

const SEEDS: u64 = 256;

/// Names the seed of a run that panics.
struct Named(u64);

impl Drop for Named {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!(
                "the simulation failed; replay it with SIM_SEED={} cargo test --test core seeds_of_random",
                self.0
            );
        }
    }
}

fn variable(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|value| value.parse().expect("a number"))
}

#[test]
fn seeds_of_random_operations_keep_every_promise() {
    let (seeds, is_tracing) = match (variable("SIM_SEED"), variable("SIM_SEEDS")) {
        (Some(seed), _) => (seed..seed + 1, true),
        (None, count) => (0..count.unwrap_or(SEEDS), false),
    };
    let mut totals = model::Totals::default();
    for seed in seeds {
        let _named = Named(seed);
        totals.add(World::new(seed, is_tracing).run());
    }
    println!("{totals:?}");
    if !is_tracing {
        totals.assert_that_it_tests_something();
    }
}

#[test]
fn a_seed_always_runs_the_same_way() {
    for seed in 0..8 {
        let _named = Named(seed);
        assert_eq!(World::new(seed, false).run(), World::new(seed, false).run());
    }
}
