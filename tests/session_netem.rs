//! Sessions over real WebRTC and an emulated network, in virtual time.
//!
//! `NETEM_FULL=1` runs more seeds and the whole goodput table.

#[path = "session_netem/goodput.rs"]
mod goodput;
#[path = "session_netem/link.rs"]
mod link;
#[path = "session_netem/traffic.rs"]
mod traffic;
#[path = "session_netem/world.rs"]
mod world;

use std::time::Duration;

use str0m_netem::{NetemConfig, Probability, RandomLoss};
use traffic::Traffic;
use world::{CLIENT, World};

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// A path of that round trip and loss each way.
fn path(round_trip: Duration, loss: f32) -> NetemConfig {
    NetemConfig::new().latency(round_trip / 2).loss(RandomLoss::new(Probability::new(loss)))
}

#[test]
fn smoke() {
    let mut world = World::connected(&[path(millis(20), 0.0)], 1);
    println!("connected after {:?}", world.elapsed());
    world.open(CLIENT, Traffic::Bulk { up: 4_000_000, down: 1_000_000 });
    world.open(CLIENT, Traffic::Ping { count: 50, pause: millis(5) });
    world.finish_streams(Duration::from_secs(60));
    println!("done after {:?}", world.elapsed());
}

/// Tells whether the long sweep was asked for.
fn is_full() -> bool {
    std::env::var_os("NETEM_FULL").is_some_and(|value| value != "0")
}
