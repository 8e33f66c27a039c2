//! Sessions over real WebRTC and an emulated network, in virtual time.
//!
//! `NETEM_FULL=1` runs more seeds and the whole goodput table.

mod datagrams;
mod endings;
mod goodput;
mod keys;
mod link;
mod meeting;
mod outages;
mod recovery;
mod signaling;
mod traffic;
mod transfers;
mod udp;
mod world;

use std::time::Duration;

use str0m_netem::{Bitrate, DataSize, NetemConfig, Probability, RandomLoss};

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// A path with this round trip, and this loss in each direction.
fn path(round_trip: Duration, loss: f32) -> NetemConfig {
    NetemConfig::new().latency(round_trip / 2).loss(RandomLoss::new(Probability::new(loss)))
}

/// The same at the rate of a broadband line, with room for everything sent ahead. It is for endless streams, which
/// otherwise move as much as the machine can compute.
fn line(round_trip: Duration, loss: f32) -> NetemConfig {
    path(round_trip, loss).link(Bitrate::mbps(20), DataSize::bytes(1_000_000))
}

/// Tells whether the long run was requested.
fn is_full() -> bool {
    std::env::var_os("NETEM_FULL").is_some_and(|value| value != "0")
}

/// The seeds each case runs with.
fn seeds() -> std::ops::RangeInclusive<u64> {
    1..=if is_full() { 8 } else { 1 }
}
