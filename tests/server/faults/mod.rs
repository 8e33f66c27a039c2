//! What happens to a cluster under load when servers, links and processes fail: three servers, hosts at all of them,
//! and visitors and clients that come to any of them. An account of what must be so at each moment is kept (`world`),
//! and whoever finds it otherwise says so.
//!
//! `make test` lets each fault happen once, to few. `make cluster-faults` lets each happen twenty times, to many, and
//! prints the table of `docs/performance.md`. `CLUSTER_FAULT` names those that are wanted, `CLUSTER_ROUNDS` says how
//! often.

/// Who uses the cluster all the while.
mod load;
/// Hosts made by hand, and their names.
mod names;
/// Three servers, what is between them, and hosts.
mod rig;
/// What is done to them.
mod stories;
/// What is between two servers.
mod wire;
/// What is so at each moment, and what must follow from it.
mod world;

use std::env;
use std::time::Duration;

use self::load::Crowd;
use self::stories::{OF_THE_DIRECTORY, STORIES, Scene, Story};
use crate::common::system::past_the_harness;
use crate::directory::redis::Redis;

/// How much is to be done.
#[derive(Debug, Clone, Copy)]
struct Size {
    rounds: usize,
    hosts: usize,
    crowd: Crowd,
    /// How long a server stands still: long enough for hosts that know others to leave it.
    stands: Duration,
    /// How long nothing passes on a link.
    parts: Duration,
    /// Hosts that come at once.
    flood: usize,
}

const SMALL: Size = Size {
    rounds: 1,
    hosts: 6,
    crowd: Crowd { visitors: 6, guests: 4, clients: 2 },
    stands: Duration::from_secs(6),
    parts: Duration::from_secs(6),
    flood: 60,
};

const FULL: Size = Size {
    rounds: 20,
    hosts: 30,
    crowd: Crowd { visitors: 60, guests: 30, clients: 10 },
    stands: Duration::from_secs(18),
    parts: Duration::from_secs(8),
    flood: 1000,
};

#[test]
fn each_fault_once() {
    tell("once", SMALL, STORIES, None);
}

#[test]
fn each_fault_of_a_directory_once() {
    let Some(redis) = Redis::start("faults of a directory") else { return };
    tell("directory-once", SMALL, OF_THE_DIRECTORY, Some(redis));
}

#[test]
#[ignore = "make cluster-faults"]
fn each_fault_many_times() {
    tell("often", FULL, STORIES, None);
}

#[test]
#[ignore = "make cluster-faults"]
fn each_fault_many_times_with_a_directory() {
    let Some(redis) = Redis::start("faults of a directory") else { return };
    tell("directory-often", FULL, &[STORIES, OF_THE_DIRECTORY].concat(), Some(redis));
}

/// Lets every story happen, and shows the table.
#[track_caller]
fn tell(name: &str, size: Size, stories: &[Story], redis: Option<Redis>) {
    let mut scene = Scene::start(name, size, redis);
    let only = env::var("CLUSTER_FAULT").unwrap_or_default();
    let rounds = env::var("CLUSTER_ROUNDS").ok().and_then(|rounds| rounds.parse().ok());
    past_the_harness(stories::HEADING);
    for story in stories.iter().filter(|story| story.name.contains(&only)) {
        let row = scene.tell(story, rounds.unwrap_or(size.rounds));
        past_the_harness(&row);
    }
    let violations = scene.finish();
    assert!(violations.is_empty(), "{}", violations.join("\n"));
}
