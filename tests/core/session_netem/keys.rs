//! PeerConnections whose keys have protected as many records as allowed: another one replaces each, and no user of the
//! session notices.

use std::time::Duration;

use pinhole::internals::session::Reach;
use str0m_netem::{Bitrate, DataSize};

use super::traffic::Traffic;
use super::world::{CLIENT, HOST, World};
use super::{millis, path, seeds};

const ROUND_TRIP: u64 = 20;

/// A world that met over 20 Mbit/s, with this limit on records per key.
fn connected(records_per_key: u64, loss: f32, seed: u64) -> World {
    let mut reach = Reach::default();
    reach.records_per_key = records_per_key;
    let route = path(millis(ROUND_TRIP), loss).link(Bitrate::mbps(20), DataSize::bytes(100_000));
    let mut world = World::reaching(&[route], seed, [reach.clone(), reach]);
    world.signaling.delay = millis(ROUND_TRIP / 2);
    world.signaling.is_reachable = true;
    world.connect();
    world
}

/// Checks that no path was lost. Returns the number of PeerConnections, and the most records that one sent.
fn connections(world: &World) -> (usize, u64) {
    for side in &world.sides {
        assert!(side.end().is_none() && !side.is_relayed() && side.lost_at.is_empty(), "{:?}", side.lost_at);
    }
    let records = || world.links.iter().flat_map(|link| link.records.values());
    (world.links[HOST].records.len(), records().copied().max().unwrap_or(0))
}

#[test]
fn bulk_goes_on_while_one_connection_after_the_other_is_used_up() {
    // While the next connection is made the last one goes on: for ten round trips, or, where a part of a handshake is
    // lost, until that is sent again, which takes a second or two.
    for (loss, limit) in [(0.0, 4000), (0.01, 10_000)] {
        for seed in seeds() {
            for [up, down] in [[12_000_000, 0], [0, 12_000_000], [12_000_000, 12_000_000]] {
                let mut world = connected(1000, loss, seed);
                world.open(CLIENT, Traffic::Bulk { up, down });
                let begin = world.now;
                world.finish_streams(Duration::from_secs(60));
                let seconds = world.now.duration_since(begin).as_secs_f64();
                let (count, most) = connections(&world);
                println!("{up} up, {down} down, loss {loss}: {count} connections, {most} records, {seconds:.1} s");
                assert!(count >= 3, "{count} connections");
                assert!(most < limit, "{most} records under one key");
                assert!(seconds < 10.0, "{seconds} s");
                world.run_for(Duration::from_secs(5));
                assert!(world.sides.iter().all(|side| !side.session.needs_signaling()));
            }
        }
    }
}

#[test]
fn an_echo_waits_for_a_round_trip_more_when_a_connection_takes_over() {
    for seed in seeds() {
        let mut world = connected(150, 0.0, seed);
        let ping = world.open(CLIENT, Traffic::Ping { count: 500, pause: millis(5) });
        world.finish_streams(Duration::from_secs(60));
        let (count, _) = connections(&world);
        let longest = world.sides[CLIENT].streams[&ping].end.round_trips.iter().max().unwrap();
        println!("{count} connections, the longest echo {longest:?}");
        assert!(count >= 3, "{count} connections");
        assert!(*longest <= millis(2 * ROUND_TRIP + ROUND_TRIP / 2), "an echo took {longest:?}");
    }
}

#[test]
fn without_signaling_the_session_goes_on_under_the_keys_it_has() {
    let mut world = connected(1000, 0.0, 1);
    world.signaling.is_reachable = false;
    world.open(CLIENT, Traffic::Bulk { up: 8_000_000, down: 0 });
    world.finish_streams(Duration::from_secs(60));
    assert_eq!(connections(&world).0, 1);
    world.signaling.is_reachable = true;
    world.open(CLIENT, Traffic::Bulk { up: 100_000, down: 0 });
    world.finish_streams(Duration::from_secs(60));
    world.run_for(Duration::from_secs(5));
    assert_eq!(connections(&world).0, 2);
}

#[test]
fn where_no_further_connection_can_be_made_the_one_that_is_there_stays() {
    let mut world = connected(1000, 0.0, 1);
    world.links.iter_mut().for_each(|link| link.cut_unknown_paths());
    world.open(CLIENT, Traffic::Bulk { up: 8_000_000, down: 0 });
    world.finish_streams(Duration::from_secs(60));
    world.run_for(Duration::from_secs(120));
    assert_eq!(connections(&world).0, 1);
    assert_eq!(world.signaling.resumed_count, 1);
    // One attempt in 30 seconds and the time that each has.
    let texts = world.texts;
    world.run_for(Duration::from_secs(120));
    assert!(world.texts[CLIENT] - texts[CLIENT] <= 4 * 4, "{texts:?} {:?}", world.texts);
}
