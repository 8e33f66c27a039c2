//! Sessions that lose carriers and get new ones: the relay, new PeerConnections, and rejoined signaling.

use std::time::Duration;

use pinhole::internals::session::{End, Reach};
use pinhole::internals::tunnel::GoAwayReason;

use super::traffic::Traffic;
use super::world::{CLIENT, HOST, World};
use super::{is_full, millis, path, seeds};

/// The longest a transfer here may take.
const LIMIT: Duration = Duration::from_secs(600);

fn relay_only() -> Reach {
    Reach::relay_only()
}

/// A world with a signaling WebSocket of that delay, through which the host can be dialled again.
fn world(round_trip: u64, loss: f32, seed: u64, reaches: [Reach; 2]) -> World {
    let mut world = World::reaching(&[path(millis(round_trip), loss)], seed, reaches);
    world.signaling.delay = millis(round_trip / 2);
    world.signaling.is_reachable = true;
    world
}

fn connected(round_trip: u64, loss: f32, seed: u64) -> World {
    let mut world = world(round_trip, loss, seed, [Reach::default(), Reach::default()]);
    world.connect();
    world
}

/// Bulk both ways, short streams and a ping-pong, from both sides.
fn begin_everything(world: &mut World) {
    world.open(CLIENT, Traffic::Bulk { up: 3_000_000, down: 2_000_000 });
    world.open(HOST, Traffic::Bulk { up: 1_000_000, down: 1_000_001 });
    world.open(CLIENT, Traffic::Ping { count: 100, pause: millis(50) });
    for _ in 0..10 {
        world.open(CLIENT, Traffic::Bulk { up: 300, down: 5000 });
        world.open(HOST, Traffic::Bulk { up: 0, down: 17 });
    }
}

fn take_down(world: &mut World, is_down: bool) {
    world.links.iter_mut().for_each(|link| link.is_down = is_down);
    world.signaling.is_reachable = !is_down;
}

fn received(world: &World) -> u64 {
    world.sides.iter().flat_map(|side| side.streams.values()).map(|stream| stream.end.received).sum()
}

#[test]
fn a_relay_carries_everything() {
    for round_trip in [1, 20, 100] {
        for [host, client] in
            [[relay_only(), relay_only()], [relay_only(), Reach::default()], [Reach::default(), relay_only()]]
        {
            let mut world = world(round_trip, 0.0, 1, [host, client]);
            world.connect();
            assert!(world.elapsed() < millis(round_trip * 4 + 1), "{:?}", world.elapsed());
            begin_everything(&mut world);
            world.finish_streams(LIMIT);
            assert!(world.sides.iter().all(|side| side.is_relayed()));
            println!("relay, {round_trip} ms: all after {:.1?}", world.elapsed());
        }
    }
}

#[test]
fn a_session_begins_on_the_relay_and_moves_to_the_direct_path() {
    for seed in seeds() {
        let mut world = world(20, 0.0, seed, [Reach::default(), Reach::default()]);
        world.links.iter_mut().for_each(|link| link.is_down = true);
        world.connect();
        let relayed = world.elapsed();
        assert!(relayed < millis(1600) && world.sides.iter().all(|side| side.is_relayed()), "{relayed:?}");
        begin_everything(&mut world);
        world.run_for(millis(500));
        let before = received(&world);
        assert!(before > 0);
        world.links.iter_mut().for_each(|link| link.is_down = false);
        let is_direct = |world: &World| world.sides.iter().all(|side| !side.is_relayed());
        assert!(world.run_until(Duration::from_secs(10), is_direct), "{}", world.report());
        world.finish_streams(LIMIT);
        world.run_for(Duration::from_secs(1));
        for side in &world.sides {
            assert_eq!((side.path_changes, side.lost_at.len()), (1, 0));
            assert!(!side.session.needs_signaling());
        }
        println!("relayed after {relayed:.2?}, then direct");
    }
}

#[test]
fn a_session_stays_on_the_relay_and_tries_again() {
    let mut world = world(20, 0.0, 1, [Reach::default(), Reach::default()]);
    world.links.iter_mut().for_each(|link| link.is_down = true);
    world.connect();
    world.run_for(Duration::from_secs(200));
    begin_everything(&mut world);
    world.finish_streams(LIMIT);
    assert!(world.sides.iter().all(|side| side.is_relayed() && side.end().is_none() && side.lost_at.is_empty()));
    world.links.iter_mut().for_each(|link| link.is_down = false);
    // Within the pause between two attempts and the time of the next one.
    let is_direct = |world: &World| world.sides.iter().all(|side| !side.is_relayed());
    assert!(world.run_until(Duration::from_secs(45), is_direct), "{}", world.report());
    begin_everything(&mut world);
    world.finish_streams(LIMIT);
}

#[test]
fn traffic_is_back_soon_after_an_outage_of_any_length() {
    let outages: &[u64] = if is_full() { &[1, 3, 5, 8, 13, 20, 30, 40, 50, 58] } else { &[1, 5, 30, 50] };
    for &seconds in outages {
        for seed in seeds() {
            let mut world = connected(20, 0.0, seed);
            begin_everything(&mut world);
            world.run_for(millis(300));
            take_down(&mut world, true);
            world.run_for(Duration::from_secs(seconds));
            let before = received(&world);
            take_down(&mut world, false);
            let back = world.now;
            assert!(world.run_until(Duration::from_secs(3), |world| received(world) > before), "{}", world.report());
            let first = world.now.duration_since(back);
            world.finish_streams(LIMIT);
            world.run_for(Duration::from_secs(5));
            for side in &world.sides {
                assert!(side.end().is_none() && !side.is_relayed(), "{:?}", side.path);
                assert_eq!(side.lost_at.len(), side.back_at.len());
            }
            println!("{seconds} s outage: traffic after {first:.2?}, {} redials", world.signaling.redial_count);
        }
    }
}

#[test]
fn a_path_that_is_gone_for_good_is_replaced() {
    // The addresses of the old path never work again, as after a change of networks: only a new PeerConnection does.
    for seed in seeds() {
        let mut world = connected(20, 0.0, seed);
        begin_everything(&mut world);
        world.run_for(millis(300));
        world.links.iter_mut().for_each(|link| link.cut_known_paths());
        let (before, begin) = (received(&world), world.now);
        assert!(world.run_until(Duration::from_secs(5), |world| received(world) > before), "{}", world.report());
        let first = world.now.duration_since(begin);
        let is_direct = |world: &World| world.sides.iter().all(|side| !side.is_relayed() && side.lost_at.len() == 1);
        assert!(world.run_until(Duration::from_secs(10), is_direct), "{}", world.report());
        world.finish_streams(LIMIT);
        println!(
            "address change: traffic after {first:.2?}, direct again after {:.2?}",
            world.now.duration_since(begin)
        );
        assert_eq!(world.signaling.resumed_count, 1);
    }
}

#[test]
fn without_a_relay_a_new_connection_repairs_the_session() {
    let reach = Reach::direct_only();
    let mut world = world(20, 0.0, 1, [reach.clone(), reach]);
    world.connect();
    begin_everything(&mut world);
    world.run_for(millis(300));
    world.links.iter_mut().for_each(|link| link.cut_known_paths());
    world.finish_streams(LIMIT);
    assert!(world.sides.iter().all(|side| !side.is_relayed() && side.back_at.len() == 1 && side.end().is_none()));
}

#[test]
fn a_relay_that_is_cut_again_and_again_loses_nothing() {
    for seed in seeds() {
        let mut world = world(20, 0.0, seed, [relay_only(), Reach::default()]);
        world.connect();
        begin_everything(&mut world);
        world.open(CLIENT, Traffic::Bulk { up: 30_000_000, down: 30_000_000 });
        for cut in 0..10 {
            // Some before the one before was repaired, some in the middle of that, some long after.
            world.run_for(millis(60 + seed * 10 + cut * 130));
            world.close_signaling();
        }
        world.finish_streams(LIMIT);
        assert!((5..=10).contains(&world.signaling.resumed_count), "{}", world.signaling.resumed_count);
        assert!(world.sides.iter().all(|side| side.end().is_none() && side.is_relayed()));
        println!("ten cuts: all after {:.1?}", world.elapsed());
    }
}

#[test]
fn a_relay_that_falls_silent_is_noticed_and_replaced() {
    let mut world = world(20, 0.0, 1, [relay_only(), relay_only()]);
    world.connect();
    begin_everything(&mut world);
    world.run_for(millis(200));
    world.signaling.clear();
    world.signaling.is_silent = true;
    let begin = world.now;
    world.finish_streams(LIMIT);
    let lost = world.sides[CLIENT].lost_at[0].duration_since(begin);
    assert!(lost < Duration::from_secs(6), "{lost:?}");
    assert_eq!(world.signaling.resumed_count, 1);
}

#[test]
fn signaling_that_goes_after_the_meeting_disturbs_nobody() {
    let mut world = connected(20, 0.01, 1);
    world.signaling.is_reachable = false;
    begin_everything(&mut world);
    world.finish_streams(LIMIT);
    world.run_for(Duration::from_secs(120));
    assert!(world.sides.iter().all(|side| side.end().is_none() && side.lost_at.is_empty()));
    assert_eq!(world.signaling.redial_count, 0);
}

#[test]
fn the_grace_period_ends_a_session_without_any_path() {
    let mut world = connected(20, 0.0, 1);
    world.open(CLIENT, Traffic::Bulk { up: u64::MAX, down: u64::MAX });
    world.run_for(millis(300));
    take_down(&mut world, true);
    world.run_for(Reach::default().grace + Duration::from_secs(8));
    for side in &mut world.sides {
        assert_eq!(side.end(), Some(&End::PathLost));
        assert_eq!(side.session.poll_timeout(), None);
        side.session.mux().reclaim(&mut side.pool);
        assert_eq!((side.session.mux().memory(), side.pool.outstanding()), ((0, 0), 0));
    }
}

#[test]
fn heavy_loss_does_not_make_a_session_flap() {
    let minutes = if is_full() { 30 } else { 5 };
    // Five minutes are few: by chance the rare case comes twice.
    for (percent, most) in [(5, 0), (20, minutes / 5 + 1)] {
        let mut world = World::reaching(&[path(millis(40), 0.0)], 1, [Reach::default(), Reach::default()]);
        world.signaling.delay = millis(20);
        world.signaling.is_reachable = true;
        world.connect();
        world.lose(percent as f32 / 100.0);
        world.open(CLIENT, Traffic::Ping { count: usize::MAX, pause: millis(500) });
        world.run_for(Duration::from_secs(30 * minutes));
        let mut lost = world.sides[CLIENT].lost_at.len() as u64;
        println!("{percent} % loss: {lost} times lost in {} s of questions", 30 * minutes);
        world.run_for(Duration::from_secs(30 * minutes));
        lost = world.sides[CLIENT].lost_at.len() as u64;
        println!("{percent} % loss: {lost} times lost in {minutes} min");
        assert!(lost <= most, "{lost} times in {minutes} min");
    }
}

#[test]
fn going_away_on_a_silent_path_rests() {
    let mut world = connected(20, 0.0, 1);
    world.open(CLIENT, Traffic::Bulk { up: u64::MAX, down: u64::MAX });
    world.run_for(millis(300));
    take_down(&mut world, true);
    world.run_for(millis(1000));
    world.sides[CLIENT].session.go_away(world.now, GoAwayReason::Shutdown, "bye");
    world.run_for(Duration::from_secs(3));
    assert_eq!(world.sides[CLIENT].end(), Some(&End::Local));
}

#[test]
fn a_host_that_notices_no_loss_keeps_the_signaling_that_was_joined_again() {
    let mut world = connected(20, 0.0, 1);
    begin_everything(&mut world);
    world.run_for(millis(300));
    // Only what the host sends is lost.
    world.links[HOST].is_down = true;
    assert!(world.run_until(Duration::from_secs(6), |world| world.sides[CLIENT].back_at.len() == 1));
    world.run_for(Duration::from_secs(10));
    assert!(world.sides[CLIENT].is_relayed() && world.sides[HOST].session.needs_signaling());
    world.finish_streams(LIMIT);
    assert_eq!(world.sides[CLIENT].lost_at.len(), 1);
}

#[test]
fn signaling_stays_until_both_went_over_to_the_direct_path() {
    for seed in 1..=if is_full() { 40 } else { 12 } {
        let mut world = world(100, 0.1, seed, [Reach::default(), Reach::default()]);
        world.signaling.delay = millis(10);
        world.links.iter_mut().for_each(|link| link.is_down = true);
        world.connect();
        begin_everything(&mut world);
        world.run_for(millis(500));
        world.links.iter_mut().for_each(|link| link.is_down = false);
        world.run_until(Duration::from_secs(40), |world| !world.sides[CLIENT].session.needs_signaling());
        assert!(world.sides[CLIENT].session.mux().is_ready(), "seed {seed}");
        world.run_for(Duration::from_secs(1));
        assert!(world.sides.iter().all(|side| side.lost_at.is_empty()), "seed {seed}: {}", world.report());
    }
}
