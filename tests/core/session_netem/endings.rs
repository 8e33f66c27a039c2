//! How sessions end on request.

use std::time::Duration;

use pinhole::internals::session::End;
use pinhole::internals::tunnel::mux::DRAIN;
use pinhole::internals::tunnel::{AbortReason, ConnectTarget, GoAwayReason, OpenError};

use super::traffic::Traffic;
use super::world::{CLIENT, HOST, Outcome, World};
use super::{line, millis, path};

/// Additional time beyond a round trip and the streams' own time until both sides know.
const MARGIN: Duration = Duration::from_secs(1);

fn go_away(world: &mut World, side: usize) {
    world.sides[side].session.go_away(world.now, GoAwayReason::Shutdown, "done for today");
    world.service(side);
}

/// Runs until both sides ended; returns how long that took.
fn end(world: &mut World, who: usize) -> Duration {
    let begin = world.now;
    let is_over = world.run_until(DRAIN + MARGIN, |world| world.sides.iter().all(|side| side.ended.is_some()));
    assert!(is_over, "{}", world.report());
    assert_eq!(world.sides[who].end(), Some(&End::Local));
    assert_eq!(world.sides[1 - who].end(), Some(&End::Peer));
    assert!(world.sides[1 - who].went_away);
    let time = world.now.duration_since(begin);
    for side in &mut world.sides {
        assert!(side.session.is_closed());
        assert_eq!(side.session.poll_timeout(), None);
        side.session.mux().reclaim(&mut side.pool);
        assert_eq!((side.session.mux().memory(), side.pool.outstanding()), ((0, 0), 0));
    }
    time
}

#[test]
fn with_everything_acknowledged_both_are_gone_at_once() {
    for who in [HOST, CLIENT] {
        let mut world = World::connected(&[path(millis(20), 0.0)], 1);
        world.open(CLIENT, Traffic::Bulk { up: 50_000, down: 50_000 });
        world.finish_streams(Duration::from_secs(20));
        world.run_for(Duration::from_secs(3));
        go_away(&mut world, who);
        let time = end(&mut world, who);
        println!("goaway of side {who}: both ended after {time:?}");
        // The last acknowledgement may be delayed by 200 ms (RFC 9260, section 6.2).
        assert!(time < millis(300), "{time:?}");
    }
}

#[test]
fn a_client_that_is_connected_before_its_host_hears_of_the_end() {
    let is_early =
        |world: &World| world.sides[CLIENT].connected_at.is_some() && world.sides[HOST].connected_at.is_none();
    let mut count = 0;
    for seed in 0..40 {
        let mut world = World::new(&[path(millis(20), 0.3)], seed);
        if world.run_until(Duration::from_secs(5), is_early) {
            world.close_signaling();
            world.lose(0.0);
            go_away(&mut world, HOST);
            end(&mut world, HOST);
            count += 1;
        }
    }
    assert!(count > 0, "no host was late");
}

#[test]
fn open_streams_finish_within_the_time() {
    for who in [HOST, CLIENT] {
        let mut world = World::connected(&[path(millis(20), 0.0)], 1);
        let numbers = [HOST, CLIENT].map(|side| world.open(side, Traffic::Bulk { up: 100_000, down: 200_000 }));
        world.run_for(millis(30));
        go_away(&mut world, who);
        let target = ConnectTarget::Service(0);
        assert_eq!(world.sides[who].session.mux().open(1, &target), Err(OpenError::GoingAway));
        let time = end(&mut world, who);
        println!("goaway of side {who} with streams: both ended after {time:?}");
        for side in &world.sides {
            for number in numbers {
                assert_eq!(side.streams[&number].outcome, Some(Outcome::Finished), "{number}");
            }
        }
    }
}

#[test]
fn streams_that_go_on_are_cut_off_when_the_time_is_up() {
    for who in [HOST, CLIENT] {
        let mut world = World::connected(&[line(millis(20), 0.01)], 1);
        let bulk = world.open(CLIENT, Traffic::Bulk { up: u64::MAX, down: u64::MAX });
        world.run_for(millis(500));
        go_away(&mut world, who);
        let time = end(&mut world, who);
        println!("goaway of side {who} with an endless stream: both ended after {time:?}");
        assert!(time >= DRAIN, "{time:?}");
        for side in &world.sides {
            assert_eq!(side.streams[&bulk].outcome, Some(Outcome::Aborted(AbortReason::Shutdown)));
        }
    }
}

#[test]
fn both_may_go_away_at_once() {
    let mut world = World::connected(&[path(millis(20), 0.0)], 1);
    go_away(&mut world, HOST);
    go_away(&mut world, CLIENT);
    world.run_for(DRAIN + MARGIN);
    for side in &world.sides {
        assert_eq!(side.end(), Some(&End::Local));
    }
}

#[test]
fn a_goaway_that_nobody_hears_ends_in_time_all_the_same() {
    let mut world = World::connected(&[line(millis(20), 0.0)], 1);
    world.open(CLIENT, Traffic::Bulk { up: u64::MAX, down: 0 });
    world.run_for(millis(500));
    world.links.iter_mut().for_each(|link| link.is_down = true);
    go_away(&mut world, HOST);
    world.run_for(DRAIN + MARGIN);
    assert_eq!(world.sides[HOST].end(), Some(&End::Local));
    assert!(world.sides[CLIENT].end().is_none());
}

#[test]
fn a_session_that_gives_up_while_connecting_tells_the_peer() {
    let mut world = World::new(&[path(millis(20), 0.0)], 1);
    world.service(HOST);
    go_away(&mut world, HOST);
    assert_eq!(world.sides[HOST].end(), Some(&End::Local));
    world.service(CLIENT);
    assert_eq!(world.sides[CLIENT].end(), Some(&End::Failed("the peer gave up: done for today".to_owned())));
}
