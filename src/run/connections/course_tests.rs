//! Addresses that answer, refuse or stay silent, and a machine without free descriptors, all without sockets and
//! waiting.

use super::*;
use crate::run::deadlines::{Deadlines, DialDue, Due};
use crate::run::keys::ConnectionKey;

/// The immediate result of an attempt.
#[derive(Debug, Clone, Copy)]
enum Answer {
    /// No answer yet.
    Silence,
    /// The system refuses.
    Error(io::ErrorKind),
    /// There is no free descriptor.
    Exhausted,
}

/// A dial, and the network around it.
struct Rig {
    course: Course<SocketAddr>,
    now: Instant,
    answer: fn(SocketAddr) -> Answer,
    tried: Vec<SocketAddr>,
}

impl Rig {
    fn new(answer: fn(SocketAddr) -> Answer) -> Rig {
        Rig { course: Course::new(), now: Instant::now(), answer, tried: Vec::new() }
    }

    fn resolved(&mut self, addresses: &[&str]) -> Step {
        self.course.left = addresses.iter().map(|address| address.parse().unwrap()).collect();
        self.advance()
    }

    fn advance(&mut self) -> Step {
        let Rig { course, now, answer, tried } = self;
        course.advance(*now, |address| {
            tried.push(address);
            match answer(address) {
                Answer::Silence => Ok(address),
                Answer::Error(kind) => Err(kind.into()),
                Answer::Exhausted => Err(io::ErrorKind::OutOfMemory.into()),
            }
        })
    }

    fn has_tried(&self, addresses: &[&str]) -> bool {
        self.tried.iter().map(ToString::to_string).eq(addresses.iter().copied())
    }
}

fn overtake(step: Step) -> Option<Overtake> {
    match step {
        Step::Trying(overtake) => overtake,
        other => panic!("{other:?}"),
    }
}

fn failure(step: Step) -> io::Error {
    match step {
        Step::Failed(error) => error,
        other => panic!("{other:?}"),
    }
}

const THREE: [&str; 3] = ["192.0.2.1:80", "192.0.2.2:80", "192.0.2.3:80"];

#[test]
fn a_silent_address_has_three_seconds_and_the_last_all_the_time() {
    let mut rig = Rig::new(|_| Answer::Silence);
    for (tried, left) in [(1, 2), (2, 1)] {
        let step = if tried == 1 { rig.resolved(&THREE) } else { rig.advance() };
        let due = overtake(step).expect("there are others");
        assert_eq!(due, Overtake { at: rig.now + Duration::from_secs(3), left });
        assert!(rig.has_tried(&THREE[..tried]));
        rig.now = due.at;
        assert!(rig.course.skip(due.left).is_some());
    }
    assert_eq!(overtake(rig.advance()), None);
    assert!(rig.has_tried(&THREE));
}

#[test]
fn the_time_of_an_address_that_failed_meanwhile_is_not_that_of_the_next() {
    let mut rig = Rig::new(|_| Answer::Silence);
    let first = overtake(rig.resolved(&THREE)).unwrap();
    rig.now += Duration::from_secs(1);
    assert_eq!(rig.course.failed(io::ErrorKind::ConnectionRefused.into()), Some(THREE[0].parse().unwrap()));
    let second = overtake(rig.advance()).unwrap();
    assert_eq!(second.at, first.at + Duration::from_secs(1));
    assert_eq!(rig.course.skip(first.left), None);
    assert_eq!(rig.course.socket(), Some(&mut THREE[1].parse().unwrap()));
}

#[test]
fn addresses_that_fail_at_once_are_passed_over_and_the_last_failure_is_told() {
    let mut rig = Rig::new(|address| match address.port() {
        1 => Answer::Error(io::ErrorKind::NetworkUnreachable),
        2 => Answer::Error(io::ErrorKind::PermissionDenied),
        _ => Answer::Silence,
    });
    let addresses = ["[2001:db8::1]:1", "192.0.2.1:3", "192.0.2.1:2"];
    assert!(overtake(rig.resolved(&addresses)).is_some());
    assert!(rig.has_tried(&addresses[..2]));
    assert!(rig.course.failed(io::ErrorKind::ConnectionRefused.into()).is_some());
    assert_eq!(failure(rig.advance()).kind(), io::ErrorKind::PermissionDenied);
    assert!(rig.has_tried(&addresses));
}

#[test]
fn the_only_address_fails_with_what_it_said() {
    let mut rig = Rig::new(|_| Answer::Silence);
    assert_eq!(overtake(rig.resolved(&THREE[..1])), None);
    assert!(rig.course.failed(io::ErrorKind::ConnectionRefused.into()).is_some());
    assert_eq!(failure(rig.advance()).kind(), io::ErrorKind::ConnectionRefused);
    assert_eq!(failure(Rig::new(|_| Answer::Silence).resolved(&[])).to_string(), "the name has no address");
}

#[test]
fn this_machine_is_not_overtaken_by_itself() {
    let mut rig = Rig::new(|_| Answer::Silence);
    assert_eq!(overtake(rig.resolved(&["127.0.0.1:80", "[::1]:80"])), None);
    assert!(overtake(rig.resolved(&["127.0.0.1:80", "[::1]:80", "192.0.2.1:80"])).is_some());
}

#[test]
fn a_dial_without_a_descriptor_tries_the_same_address_again() {
    let mut rig = Rig::new(|address| if address.port() == 80 { Answer::Exhausted } else { Answer::Silence });
    assert!(matches!(rig.resolved(&["192.0.2.1:80", "192.0.2.2:80"]), Step::Starved));
    assert!(rig.course.is_starved() && rig.course.socket().is_none());
    assert_eq!(rig.course.skip(2), None, "there is no attempt that could have had its time");
    assert!(matches!(rig.advance(), Step::Starved), "and again");
    rig.answer = |_| Answer::Silence;
    assert_eq!(overtake(rig.advance()).unwrap().left, 1);
    assert!(rig.has_tried(&["192.0.2.1:80", "192.0.2.1:80", "192.0.2.1:80"]) && !rig.course.is_starved());
}

/// At each retry, some of the waiting dials get a descriptor, and new ones come.
#[test]
fn of_those_without_a_descriptor_the_oldest_comes_first() {
    let (mut retry, mut deadlines, mut now) = (Retry::default(), Deadlines::default(), Instant::now());
    let mut served = Vec::new();
    for round in 0..10 {
        for number in round * 4..(round + 1) * 4 {
            // They come one after the other, and wait for the same moment.
            now += Duration::from_millis(10);
            deadlines.add(retry.after(now), Due::Dial(DialDue::Retry(ConnectionKey::of_nothing(number))));
        }
        now = deadlines.next().unwrap();
        let mut free = 3;
        while let Some(Due::Dial(DialDue::Retry(key))) = deadlines.pop(now) {
            if free > 0 {
                free -= 1;
                served.push(key.number());
            } else {
                deadlines.add(retry.after(now), Due::Dial(DialDue::Retry(key)));
            }
        }
    }
    assert_eq!(served, (0..30).collect::<Vec<_>>());
}

#[test]
fn the_next_try_is_a_pause_away_at_most() {
    let (mut retry, now) = (Retry::default(), Instant::now());
    let at = retry.after(now);
    assert_eq!(at, now + EXHAUSTED_PAUSE);
    assert_eq!(retry.after(now + EXHAUSTED_PAUSE / 2), at);
    assert_eq!(retry.after(at), at + EXHAUSTED_PAUSE, "that moment is over");
}
