//! UDP flows: what arrives does so once, whole and soon, whatever else the session carries; lost datagrams stay lost.

use std::collections::HashSet;
use std::time::Duration;

use pinhole::internals::session::Reach;
use pinhole::internals::tunnel::chunk::MAX_DATAGRAM;
use str0m_netem::{Bitrate, DataSize, NetemConfig};

use super::traffic::Traffic;
use super::world::{CLIENT, HOST, World};
use super::{is_full, line, millis, path, seeds};

/// A path with this rate, whose buffer holds one product of bandwidth and round trip beside the data in flight.
fn bottleneck(mbits: u64, round_trip_ms: u64, loss: f32) -> NetemConfig {
    let product = mbits * 125 * round_trip_ms;
    let buffer = product / 2 + product.max(64 * 1024);
    path(millis(round_trip_ms), loss).link(Bitrate::mbps(mbits), DataSize::bytes(buffer as i64))
}

fn relayed(round_trip_ms: u64) -> World {
    let reach = Reach::relay_only();
    let mut world = World::reaching(&[path(millis(round_trip_ms), 0.0)], 1, [reach.clone(), reach]);
    world.signaling.delay = millis(round_trip_ms / 2);
    world.signaling.is_reachable = true;
    world
}

/// Returns the rate of a bulk stream towards the host in this time, in Mbit/s.
fn bulk_rate(world: &mut World, stream: u64, time: Duration) -> f64 {
    let before = world.sides[HOST].streams[&stream].end.received;
    world.run_for(time);
    (world.sides[HOST].streams[&stream].end.received - before) as f64 * 8e-6 / time.as_secs_f64()
}

fn assert_each_at_most_once(world: &World) {
    for flow in &world.flows {
        let numbers: HashSet<usize> = flow.arrivals.iter().map(|(number, _)| *number).collect();
        assert_eq!(numbers.len(), flow.arrivals.len(), "a datagram came twice");
    }
}

#[test]
fn lost_datagrams_are_not_sent_again() {
    for loss in [0.0, 0.01, 0.03, 0.1] {
        for seed in seeds() {
            let mut world = World::connected(&[path(millis(40), loss)], seed);
            let flow = world.open_udp(CLIENT, 1000, millis(20));
            // SCTP begins with a few packets a round trip.
            world.warm_up(Duration::from_secs(1));
            world.measure_udp(Duration::from_secs(20));
            let flow = &world.flows[flow];
            let (share, p50, p99, max) = (flow.share(), flow.latency(50), flow.latency(99), flow.latency(100));
            println!(
                "loss {loss}: {:.1} % of {} came, p50 {p50:.1?} p99 {p99:.1?} max {max:.1?}",
                share * 100.0,
                flow.sent()
            );
            if loss == 0.0 {
                assert_eq!((flow.arrivals.len(), max < millis(21)), (flow.sent(), true), "{max:?}");
            }
            // SCTP takes loss for congestion and sends less: what it does not send in time is dropped here.
            let floor = if loss > 0.01 { 0.15 } else { 1.0 - f64::from(loss) * 4.0 };
            assert!(share >= floor && (loss == 0.0 || share < 1.0), "{share}");
            assert_each_at_most_once(&world);
        }
    }
}

#[test]
fn datagrams_beside_bulk_table() {
    let rows: &[(u64, u64)] = &[(10, 20), (10, 100), (50, 20), (50, 100), (100, 1)];
    println!(" rate   rtt  loss |  came | p50     p99     max (ms, one way) | bulk Mbit/s, KiB waiting");
    for &(mbits, round_trip) in rows {
        // Without loss there is more to be held than that each comes once.
        let losses: &[f32] = if is_full() || (mbits, round_trip) == (10, 20) { &[0.0, 0.001, 0.01] } else { &[0.0] };
        for &loss in losses {
            let mut world = World::connected(&[bottleneck(mbits, round_trip, loss)], 1);
            let bulk = world.open(CLIENT, Traffic::Bulk { up: u64::MAX, down: 0 });
            let flow = world.open_udp(CLIENT, 200, millis(10));
            world.warm_up(Duration::from_secs(2));
            let seconds = if is_full() { 20 } else { 4 };
            let rate = bulk_rate(&mut world, bulk, Duration::from_secs(seconds));
            world.measure_udp(Duration::ZERO);
            let connection = world.sides[CLIENT].session.connection().expect("it is direct");
            let waiting = connection.backlog_target();
            let flow = &world.flows[flow];
            let times = [50, 99, 100].map(|percent| flow.latency(percent).as_secs_f64() * 1e3);
            println!(
                "{mbits:>4} M {round_trip:>4} {:>5.1}% | {:>4.1}% | {:>7.1} {:>7.1} {:>7.1}           | {rate:>5.1} {:>6}",
                loss * 100.0,
                flow.share() * 100.0,
                times[0],
                times[1],
                times[2],
                waiting / 1024
            );
            assert_each_at_most_once(&world);
            if loss == 0.0 {
                // While BBR probes for more, the path's buffer of one product may run over.
                let came = flow.share();
                // No more is in front of a datagram than waits in SCTP, with the share of datagrams and a message that
                // has begun, and in that buffer.
                let queue = (waiting + waiting / 4 + 16_384) as f64 * 8e-3 / mbits as f64;
                let most = queue + round_trip as f64 * 1.5 + 5.0;
                assert!(came > 0.97 && times[2] <= most, "{came}: {} ms, at most {most}", times[2]);
                let counters = world.sides[CLIENT].session.mux().counters().datagrams;
                let connection = world.sides[CLIENT].session.connection().expect("it is direct");
                assert_eq!((counters, connection.dropped_datagrams()), (Default::default(), 0), "only the path loses");
            }
        }
    }
}

#[test]
fn large_datagrams_pass_in_one_piece() {
    for len in [1200, 1201, 9000, 30_000, MAX_DATAGRAM] {
        let mut world = World::connected(&[bottleneck(50, 20, 0.0)], 1);
        let flow = world.open_udp(CLIENT, len, millis(50));
        let back = world.open_udp_echo(HOST, len, millis(50));
        world.measure_udp(Duration::from_secs(2));
        for flow in [flow, back] {
            let flow = &world.flows[flow];
            println!("{len} bytes: {} of {} came, max {:.1?}", flow.arrivals.len(), flow.sent(), flow.latency(100));
            assert_eq!(flow.arrivals.len(), flow.sent());
        }
        let mut world = relayed(20);
        world.signaling.rate = 50.0 * 125_000.0;
        world.connect();
        world.open(CLIENT, Traffic::Bulk { up: u64::MAX, down: 0 });
        let flow = world.open_udp_echo(CLIENT, len, millis(50));
        world.measure_udp(Duration::from_secs(2));
        assert_eq!(world.flows[flow].arrivals.len(), world.flows[flow].sent(), "relayed");
    }
}

#[test]
fn two_hundred_flows_get_their_own_answers() {
    let mut world = World::connected(&[path(millis(20), 0.0)], 1);
    for _ in 0..200 {
        world.open_udp_echo(CLIENT, 100, millis(100));
    }
    world.measure_udp(Duration::from_secs(2));
    for flow in &world.flows {
        assert_eq!(flow.arrivals.len(), flow.sent());
        // The first ones all come at once, and SCTP begins with a few packets a round trip.
        assert!(flow.latency(50) < millis(61) && flow.latency(100) < millis(150), "{:?}", flow.latency(100));
    }
    assert!(world.sides.iter_mut().all(|side| side.session.mux().counters().datagrams == Default::default()));
}

#[test]
fn a_flood_of_datagrams_leaves_streams_their_share() {
    for (mbits, round_trip) in [(10, 20), (50, 20), (10, 100)] {
        for is_relayed in [false, true] {
            let mut world = if is_relayed {
                let mut world = relayed(round_trip);
                world.signaling.rate = mbits as f64 * 125_000.0;
                world.connect();
                world
            } else {
                World::connected(&[bottleneck(mbits, round_trip, 0.0)], 1)
            };
            let bulk = world.open(CLIENT, Traffic::Bulk { up: u64::MAX, down: 0 });
            world.run_for(Duration::from_secs(2));
            let alone = bulk_rate(&mut world, bulk, Duration::from_secs(2));
            // Twice what the path can carry.
            let interval = Duration::from_secs_f64(1200.0 * 8e-6 / (2.0 * mbits as f64));
            let flow = world.open_udp(CLIENT, 1200, interval);
            world.run_for(Duration::from_secs(2));
            let before = world.flows[flow].arrivals.len();
            let beside = bulk_rate(&mut world, bulk, Duration::from_secs(2));
            let datagrams = (world.flows[flow].arrivals.len() - before) as f64 * 1200.0 * 8e-6 / 2.0;
            let p99 = world.flows[flow].latency(99);
            println!(
                "{mbits} Mbit/s × {round_trip} ms, relayed {is_relayed}: bulk {alone:.1}, then {beside:.1} beside \
                 {datagrams:.1} Mbit/s of datagrams, p99 {p99:.0?}"
            );
            assert!(beside > 0.3 * alone && datagrams > 0.3 * alone, "{beside} and {datagrams} of {alone}");
        }
    }
}

#[test]
fn a_fast_flow_within_what_the_path_carries_loses_nothing() {
    for (mbits, round_trip, rate) in [(100, 1, 50.0), (50, 20, 40.0), (50, 100, 25.0)] {
        let mut world = World::connected(&[bottleneck(mbits, round_trip, 0.0)], 1);
        let flow = world.open_udp(CLIENT, 1200, Duration::from_secs_f64(1200.0 * 8e-6 / rate));
        // SCTP takes a while to learn what it may send.
        world.run_for(Duration::from_secs(3));
        let [lost, came] =
            [world.flows[flow].sent() - world.flows[flow].arrivals.len(), world.flows[flow].arrivals.len()];
        world.run_for(Duration::from_secs(2));
        let flow = &world.flows[flow];
        let (late_lost, recent) = (flow.sent() - flow.arrivals.len(), &flow.arrivals[came..]);
        let longest = recent.iter().map(|(_, time)| *time).max();
        println!(
            "{rate} of {mbits} Mbit/s × {round_trip} ms: {lost}, later {late_lost} missing, then {longest:.1?} at most"
        );
        // What is under way counts as missing at both ends.
        let under_way = (rate * 125.0 * round_trip as f64 / 1200.0) as usize + 2;
        assert!(late_lost <= lost + under_way && longest < Some(millis(round_trip + 20)), "{late_lost}");
    }
}

#[test]
fn datagrams_over_the_relay_wait_for_no_more_than_is_under_way() {
    for (mbits, round_trip) in [(10, 20), (50, 20), (10, 100), (100, 100)] {
        let mut world = relayed(round_trip);
        world.signaling.rate = mbits as f64 * 125_000.0;
        world.connect();
        let flow = world.open_udp(CLIENT, 200, millis(10));
        world.run_for(Duration::from_secs(1));
        let alone = world.flows[flow].latency(100);
        let bulk = world.open(CLIENT, Traffic::Bulk { up: u64::MAX, down: 0 });
        world.warm_up(Duration::from_secs(3));
        let rate = bulk_rate(&mut world, bulk, Duration::from_secs(4));
        world.measure_udp(Duration::ZERO);
        let flow = &world.flows[flow];
        let (p50, p99, max) = (flow.latency(50), flow.latency(99), flow.latency(100));
        println!(
            "relay, {mbits} Mbit/s × {round_trip} ms: alone {alone:.1?}, beside {rate:.1} Mbit/s p50 {p50:.1?} p99 {p99:.1?} max {max:.1?}"
        );
        assert_eq!(flow.arrivals.len(), flow.sent());
        // What may be unanswered: three products, or 64 KiB, and a quarter more for datagrams.
        let most = millis(round_trip * 4 + 10) + Duration::from_secs_f64(80.0 * 1024.0 / (mbits as f64 * 125_000.0));
        assert!(alone < millis(round_trip / 2 + 2) && max < most, "{max:?} of {most:?}");
    }
}

#[test]
fn flows_move_with_the_session_from_carrier_to_carrier() {
    let mut world = World::reaching(&[line(millis(20), 0.0)], 1, [Reach::default(), Reach::default()]);
    world.signaling.delay = millis(10);
    world.signaling.is_reachable = true;
    world.links.iter_mut().for_each(|link| link.is_down = true);
    world.connect();
    assert!(world.sides.iter().all(|side| side.is_relayed()));
    let up = world.open_udp(CLIENT, 500, millis(10));
    let echo = world.open_udp_echo(HOST, 100, millis(10));
    world.open(CLIENT, Traffic::Bulk { up: u64::MAX, down: 0 });
    world.run_for(millis(500));
    assert!(world.flows[up].share() > 0.9);
    world.links.iter_mut().for_each(|link| link.is_down = false);
    let is_direct = |world: &World| world.sides.iter().all(|side| !side.is_relayed());
    assert!(world.run_until(Duration::from_secs(10), is_direct), "{}", world.report());
    world.run_for(Duration::from_secs(1));
    let before = [up, echo].map(|flow| (world.flows[flow].arrivals.len(), world.flows[flow].sent()));
    world.run_for(Duration::from_secs(2));
    for (flow, (arrived, sent)) in [up, echo].into_iter().zip(before) {
        let flow = &world.flows[flow];
        println!("relay to direct: {} of {} came", flow.arrivals.len(), flow.sent());
        assert!(flow.arrivals.len() - arrived + 10 >= flow.sent() - sent);
        assert!(flow.share() > 0.9, "little is lost with a carrier");
    }
    // The addresses of the path never work again.
    world.links.iter_mut().for_each(|link| link.cut_known_paths());
    world.run_for(Duration::from_secs(10));
    assert!(world.sides.iter().all(|side| !side.is_relayed() && side.lost_at.len() == 1), "{}", world.report());
    let before = [up, echo].map(|flow| (world.flows[flow].arrivals.len(), world.flows[flow].sent()));
    world.run_for(Duration::from_secs(2));
    for (flow, (arrived, sent)) in [up, echo].into_iter().zip(before) {
        let flow = &world.flows[flow];
        assert!(flow.arrivals.len() - arrived + 10 >= flow.sent() - sent, "the flow goes on");
    }
    assert_each_at_most_once(&world);
    world.stop_udp(up);
}

#[test]
fn what_an_outage_held_back_is_not_delivered_late() {
    let mut world = World::connected(&[path(millis(20), 0.0)], 1);
    let flow = world.open_udp(CLIENT, 1000, millis(10));
    world.run_for(millis(500));
    world.links.iter_mut().for_each(|link| link.is_down = true);
    world.run_for(Duration::from_secs(4));
    world.links.iter_mut().for_each(|link| link.is_down = false);
    world.measure_udp(Duration::from_secs(10));
    let flow = &world.flows[flow];
    let (share, max) = (flow.share(), flow.latency(100));
    let late = flow.arrivals.iter().filter(|(_, time)| *time > millis(1500)).count();
    println!("4 s outage of 14.5 s: {:.0} % came, {late} late, the latest after {max:.1?}", share * 100.0);
    assert!(share > 0.4 && late <= 5, "{share} {late}");
    assert_each_at_most_once(&world);
    let counters = world.sides[CLIENT].session.mux().counters().datagrams;
    assert!(counters.unsent > 50, "{counters:?}");
}
