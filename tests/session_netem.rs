//! Sessions over real WebRTC and an emulated network, in virtual time.
//!
//! `NETEM_FULL=1` runs more seeds and the whole goodput table.

#[path = "session_netem/datagrams.rs"]
mod datagrams;
#[path = "session_netem/endings.rs"]
mod endings;
#[path = "session_netem/goodput.rs"]
mod goodput;
#[path = "session_netem/keys.rs"]
mod keys;
#[path = "session_netem/link.rs"]
mod link;
#[path = "session_netem/meeting.rs"]
mod meeting;
#[path = "session_netem/outages.rs"]
mod outages;
#[path = "session_netem/recovery.rs"]
mod recovery;
#[path = "session_netem/signaling.rs"]
mod signaling;
#[path = "session_netem/traffic.rs"]
mod traffic;
#[path = "session_netem/transfers.rs"]
mod transfers;
#[path = "session_netem/udp.rs"]
mod udp;
#[path = "session_netem/world.rs"]
mod world;

use std::time::Duration;

use str0m_netem::{NetemConfig, Probability, RandomLoss};

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// A path of that round trip and loss each way.
fn path(round_trip: Duration, loss: f32) -> NetemConfig {
    NetemConfig::new().latency(round_trip / 2).loss(RandomLoss::new(Probability::new(loss)))
}

/// Tells whether the long sweep was asked for.
fn is_full() -> bool {
    std::env::var_os("NETEM_FULL").is_some_and(|value| value != "0")
}

/// The seeds each case runs with.
fn seeds() -> std::ops::RangeInclusive<u64> {
    1..=if is_full() { 8 } else { 1 }
}
