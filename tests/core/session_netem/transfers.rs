//! Everything arrives, whatever the path does to datagrams.

use std::time::Duration;

use str0m_netem::{Bitrate, DataSize, GilbertElliot, NetemConfig, Probability};

use super::traffic::Traffic;
use super::world::{CLIENT, HOST, World};
use super::{is_full, millis, path, seeds};

/// The longest anything here may take; the slowest path loses a tenth of everything.
const LIMIT: Duration = Duration::from_secs(600);

/// Bulk one way, bulk both ways, a ping-pong beside them and many short streams, from both sides.
fn everything(world: &mut World) {
    world.open(CLIENT, Traffic::Bulk { up: 400_000, down: 0 });
    world.open(CLIENT, Traffic::Bulk { up: 200_001, down: 199_999 });
    world.open(HOST, Traffic::Bulk { up: 100_000, down: 1 });
    world.open(CLIENT, Traffic::Ping { count: 20, pause: millis(50) });
    for _ in 0..30 {
        world.open(CLIENT, Traffic::Bulk { up: 300, down: 5000 });
        world.open(HOST, Traffic::Bulk { up: 0, down: 17 });
    }
    world.finish_streams(LIMIT);
}

fn carry_everything(name: &str, routes: &[NetemConfig]) {
    for seed in seeds() {
        let mut world = World::connected(routes, seed);
        let connected = world.elapsed();
        everything(&mut world);
        let [host, client] = world.links.each_ref().map(|link| (link.offered, link.delivered));
        println!("{name} seed {seed}: connected {connected:.1?}, all {:.1?}, {host:?} {client:?}", world.elapsed());
        for side in &mut world.sides {
            assert!(side.end().is_none());
            let bad = side.session.connection().map(|connection| connection.bad_datagrams());
            assert_eq!(bad, Some(0), "what the peer sends is never malformed");
        }
    }
}

#[test]
fn loss_and_round_trips() {
    for round_trip in [1, 20, 100] {
        for loss in [0, 1, 2, 5, 10] {
            let name = format!("{round_trip} ms, {loss} % loss");
            carry_everything(&name, &[path(millis(round_trip), loss as f32 / 100.0)]);
        }
    }
}

#[test]
fn bursts_of_loss() {
    for (name, model) in [("wifi", GilbertElliot::wifi_lossy()), ("satellite", GilbertElliot::satellite())] {
        carry_everything(name, &[NetemConfig::new().latency(millis(20)).loss(model)]);
    }
}

#[test]
fn jitter_and_reordering() {
    let route = |latency| NetemConfig::new().latency(millis(latency)).jitter(millis(latency / 2)).reorder_gap(7);
    carry_everything("neighbours swapped", &[route(20)]);
    // Each datagram takes one of three routes, so one in three is overtaken by many.
    carry_everything("three routes", &[route(10), route(25), route(60)]);
    carry_everything("three lossy routes", &[10, 25, 60].map(|latency| route(latency).loss(GilbertElliot::wifi())));
}

#[test]
fn duplication() {
    for probability in [0.1, 1.0] {
        let route = path(millis(20), 0.01).duplicate(Probability::new(probability));
        carry_everything("duplicates", &[route]);
        carry_everything("duplicates on two routes", &[route, route.latency(millis(30))]);
    }
}

#[test]
fn a_shallow_buffer() {
    for (mbits, buffer) in [(2, 12_000), (10, 20_000), (20, 20_000)] {
        let route = path(millis(20), 0.0).link(Bitrate::mbps(mbits), DataSize::bytes(buffer));
        carry_everything(&format!("{mbits} Mbit/s, {buffer} bytes of buffer"), &[route]);
    }
}

#[test]
fn a_stalled_reader_stalls_nobody_else() {
    let mut world = World::connected(&[path(millis(20), 0.0)], 1);
    let stalled = world.open(CLIENT, Traffic::Bulk { up: 4_000_000, down: 0 });
    let ping = world.open(CLIENT, Traffic::Ping { count: 200, pause: millis(5) });
    world.run_until(LIMIT, |world| world.sides[HOST].streams.contains_key(&stalled));
    world.sides[HOST].streams.get_mut(&stalled).expect("it is open").end.is_stalled = true;
    world.run_for(Duration::from_secs(5));
    let before = world.sides[HOST].streams[&stalled].end.received;
    let round_trips = &world.sides[CLIENT].streams[&ping].end.round_trips;
    let tail = &round_trips[round_trips.len() - 50..];
    assert!(tail.iter().all(|round_trip| *round_trip < millis(30)), "{tail:?}");
    let (grown, _) = world.sides[HOST].session.mux().memory();
    assert!(before < 4_000_000 && grown <= 4_000_000, "{before} {grown}");
    world.sides[HOST].resume(stalled);
    world.finish_streams(LIMIT);
}

#[test]
fn thousands_of_short_streams() {
    let count = if is_full() { 20_000 } else { 2000 };
    let mut world = World::connected(&[path(millis(20), 0.005)], 1);
    for _ in 0..count / 500 {
        for _ in 0..500 {
            world.open(CLIENT, Traffic::Bulk { up: 100, down: 900 });
        }
        world.finish_streams(LIMIT);
    }
    println!("{count} streams in {:?}", world.elapsed());
}
