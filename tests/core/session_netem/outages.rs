//! The behaviour of a session while nothing passes.

use std::time::{Duration, Instant};

use pinhole::internals::session::{End, Reach};
use pinhole::internals::tunnel::AbortReason;

use super::traffic::Traffic;
use super::world::{CLIENT, HOST, Outcome, World};
use super::{line, millis, path, seeds};

/// Within this time a path that is dead in one direction is noticed by the side whose datagrams are lost: by SCTP's
/// lack of progress, or by a PING that is not acknowledged.
const NOTICE: Duration = Duration::from_secs(21);

fn grace() -> Duration {
    Reach::default().grace
}

/// Bytes the host's applications have received.
fn received(world: &World) -> u64 {
    world.sides[HOST].streams.values().map(|stream| stream.end.received).sum()
}

/// Takes the links of `down` away for a while in the middle of transfers; how long after its end anything came through,
/// how long until everything was there, and when the host noticed the outage, after its begin.
fn survive(
    down: &[usize],
    outage: Duration,
    round_trip: Duration,
    seed: u64,
) -> (Duration, Duration, Option<Duration>) {
    let mut world = World::connected(&[path(round_trip, 0.0)], seed);
    world.open(CLIENT, Traffic::Bulk { up: 3_000_000, down: 0 });
    world.open(CLIENT, Traffic::Bulk { up: 500_000, down: 500_000 });
    world.open(CLIENT, Traffic::Ping { count: 100, pause: millis(100) });
    world.run_for(millis(500));
    let begin = world.now;
    down.iter().for_each(|side| world.links[*side].is_down = true);
    world.run_for(outage);
    assert!(world.sides.iter().all(|side| side.end().is_none()), "{}", world.report());
    down.iter().for_each(|side| world.links[*side].is_down = false);
    let (end, before) = (world.now, received(&world));
    assert!(world.run_until(Duration::from_secs(120), |world| received(world) > before), "{}", world.report());
    let first = world.now.duration_since(end);
    world.finish_streams(Duration::from_secs(180));
    let all = world.now.duration_since(end);
    // A path that was called lost is called back before the session would end.
    world.run_for(grace());
    for side in &world.sides {
        assert_eq!(side.lost_at.len(), side.back_at.len(), "a path that works is not called lost");
        assert!(side.end().is_none());
    }
    let noticed = world.sides[HOST].lost_at.first().map(|at| at.duration_since(begin));
    (first, all, noticed)
}

#[test]
fn five_seconds_without_any_datagram() {
    for round_trip in [1, 20, 100] {
        for seed in seeds() {
            let (first, all, noticed) = survive(&[HOST, CLIENT], Duration::from_secs(5), millis(round_trip), seed);
            println!(
                "5 s outage, {round_trip} ms: first bytes after {first:.2?}, all after {all:.2?}, noticed {noticed:.2?}"
            );
            assert!(first <= Duration::from_secs(4), "{first:?}");
        }
    }
}

#[test]
fn outages_of_other_lengths() {
    for seconds in [1, 10, 20, 28, 32] {
        let (first, all, noticed) = survive(&[HOST, CLIENT], Duration::from_secs(seconds), millis(20), 1);
        println!("{seconds} s outage: first bytes after {first:.2?}, all after {all:.2?}, noticed {noticed:.2?}");
        // SCTP doubles its timeout from 1 s on, so its silence outlasts the outage by less than the outage and two
        // seconds.
        assert!(first <= Duration::from_secs(seconds + 2), "{first:?}");
    }
}

#[test]
fn five_seconds_in_one_direction() {
    for side in [HOST, CLIENT] {
        let (first, all, noticed) = survive(&[side], Duration::from_secs(5), millis(20), 1);
        println!("5 s outage of what side {side} sends: first {first:.2?}, all {all:.2?}, noticed {noticed:.2?}");
    }
}

/// Opens a stream that never ends, lets `vanish` happen, and checks that those who remain end with `PathLost` in time.
fn is_lost(vanish: impl Fn(&mut World), remaining: &[usize]) {
    let mut world = World::connected(&[line(millis(20), 0.0)], 1);
    let bulk = world.open(CLIENT, Traffic::Bulk { up: u64::MAX, down: u64::MAX });
    world.run_for(millis(500));
    let begin: Instant = world.now;
    vanish(&mut world);
    world.run_for(NOTICE + grace() + Duration::from_secs(5));
    for &side in remaining {
        let side = &mut world.sides[side];
        let lost = side.lost_at.first().expect("the loss was noticed").duration_since(begin);
        let (ended, end) = side.ended.clone().expect("the session ended");
        println!("lost after {lost:.2?}, ended after {:.2?}", ended.duration_since(begin));
        assert_eq!(end, End::PathLost);
        assert!(lost <= NOTICE, "{lost:?}");
        // The peer may give up first, and say so in the direction that still works.
        assert!(ended.duration_since(begin) <= lost + grace(), "{ended:?}");
        assert_eq!(side.streams[&bulk].outcome, Some(Outcome::Aborted(AbortReason::Shutdown)));
        assert_eq!(side.session.mux().stream_count(), 0);
        side.session.mux().reclaim(&mut side.pool);
        assert_eq!((side.session.mux().memory(), side.pool.outstanding()), ((0, 0), 0));
        assert_eq!(side.session.poll_timeout(), None, "nothing is left to do");
    }
}

#[test]
fn an_outage_beyond_the_grace_period_ends_the_session() {
    is_lost(|world| world.links.iter_mut().for_each(|link| link.is_down = true), &[HOST, CLIENT]);
}

#[test]
fn an_outage_in_one_direction_beyond_the_grace_period_ends_the_session() {
    for down in [HOST, CLIENT] {
        is_lost(|world| world.links[down].is_down = true, &[1 - down]);
    }
}

#[test]
fn whose_datagrams_are_lost_ends_when_the_peer_gives_up() {
    // str0m counts a path on which the peer's checks still come as a path; the peer ends the session then.
    for down in [HOST, CLIENT] {
        let mut world = World::connected(&[line(millis(20), 0.0)], 1);
        world.open(CLIENT, Traffic::Bulk { up: u64::MAX, down: u64::MAX });
        world.run_for(millis(500));
        world.links[down].is_down = true;
        // One may wait for as long again as the other did.
        world.run_for(NOTICE + grace() * 2);
        for side in &mut world.sides {
            assert!(side.end().is_some());
            assert_eq!(side.session.mux().stream_count(), 0);
        }
    }
}

#[test]
fn a_peer_that_is_silently_gone_is_noticed() {
    is_lost(|world| world.sides[CLIENT].is_gone = true, &[HOST]);
    is_lost(|world| world.sides[HOST].is_gone = true, &[CLIENT]);
}

#[test]
fn an_idle_session_notices_and_outlives_an_outage() {
    let mut world = World::connected(&[path(millis(20), 0.0)], 1);
    world.run_for(Duration::from_secs(60));
    world.links.iter_mut().for_each(|link| link.is_down = true);
    world.run_for(Duration::from_secs(25));
    world.links.iter_mut().for_each(|link| link.is_down = false);
    world.open(CLIENT, Traffic::Bulk { up: 10_000, down: 10_000 });
    world.finish_streams(Duration::from_secs(60));
    world.run_for(Duration::from_secs(10));
    // And once more, so that the checks go on after the first time.
    world.links.iter_mut().for_each(|link| link.is_down = true);
    world.run_for(Duration::from_secs(25));
    world.links.iter_mut().for_each(|link| link.is_down = false);
    world.run_for(grace() * 2);
    for side in &world.sides {
        assert_eq!((side.lost_at.len(), side.back_at.len()), (2, 2));
        assert!(side.end().is_none());
    }
}
