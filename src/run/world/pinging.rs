//! `pinhole ping`: what it says of the path, and what it is to the host.

use std::time::Duration;

use super::forwarding::{check, is_forwarding, relayed};
use super::{Side, World, client_of, host_of};
use crate::config::{ClientConfig, HostConfig, Invitation};
use crate::net::world::Machine;
use crate::run::PingPlan;
use crate::session::Reach;
use crate::signaling::pin::Pin;
use crate::status::event::{Answer, Event, Way};

const SERVICE: &str = "127.0.0.1:80";
const OFFICE: &str = "10.0.0.1";

const PLAN: PingPlan = PingPlan { count: None, interval: Duration::from_secs(1), until_direct: false };

struct Pair {
    world: World,
    office: Machine,
    home: Machine,
    host: Side,
}

impl Pair {
    fn new(host: HostConfig) -> Pair {
        let mut world = World::new();
        let (office, home) = (world.machine(&[OFFICE]), world.machine(&["10.0.0.2"]));
        world.echo(office, SERVICE);
        let host = world.host(office, host);
        Pair { world, office, home, host }
    }

    /// Runs a ping to its end, and returns what it said.
    fn ping(&mut self, config: ClientConfig, plan: PingPlan) -> (Side, Vec<Event>) {
        let ping = self.world.ping(self.home, config, plan);
        self.world.until("its end", |world| world.end(ping).is_some());
        (ping, self.world.events(ping))
    }
}

fn is_reply(event: &Event) -> bool {
    matches!(event, Event::Ping(Answer::Reply { .. }))
}

fn is_direct(event: &Event) -> bool {
    matches!(event, Event::Ping(Answer::Reply { way: Way::Direct { .. }, .. }))
}

fn is_over(event: &Event) -> bool {
    matches!(event, Event::Disconnected { .. })
}

/// Returns the summary, which is said once.
fn summary(events: &[Event]) -> (u64, u64, u64) {
    let mut all = events.iter().filter_map(|event| match event {
        Event::Ping(Answer::Pinged { sent, answered, direct, .. }) => Some((*sent, *answered, *direct)),
        _ => None,
    });
    let first = all.next().expect("there is a summary");
    assert_eq!(all.next(), None);
    first
}

#[test]
fn each_answer_is_told_with_its_path_and_a_count_ends_it() {
    for (reach, direct) in [(relayed(), 0), (Reach::default(), 5)] {
        let mut pair = Pair::new(HostConfig { reach, ..host_of(SERVICE) });
        let begin = pair.world.time();
        let (ping, events) = pair.ping(client_of(OFFICE), PingPlan { count: Some(5), ..PLAN });
        assert!(pair.world.end(ping).is_some_and(Result::is_ok), "{}", pair.world.report());
        let replies: Vec<&Event> = events.iter().filter(|event| is_reply(event)).collect();
        let numbers = replies.iter().filter_map(|event| match event {
            Event::Ping(Answer::Reply { host, number, rtt_ms, .. }) => Some((host.as_str(), *number, *rtt_ms > 0.0)),
            _ => None,
        });
        let expected = (1..=5).map(|number| (OFFICE, number, true));
        assert_eq!(numbers.collect::<Vec<_>>(), expected.collect::<Vec<_>>());
        assert_eq!(summary(&events).0..=summary(&events).1, 5..=5);
        if direct == 0 {
            assert!(!replies.iter().any(|event| is_direct(event)), "{}", pair.world.report());
        } else {
            assert!(replies.last().is_some_and(|event| is_direct(event)), "{}", pair.world.report());
        }
        let took = pair.world.time() - begin;
        assert!(Duration::from_secs(4) <= took && took < Duration::from_secs(8), "{took:?}");
        // No port of this machine is bound, and nothing of the host's is dialled.
        assert!(!events.iter().any(|event| is_forwarding(event) || matches!(event, Event::StreamOpened { .. })));
    }
}

#[test]
fn the_first_direct_answer_is_enough_where_one_is_wanted() {
    let plan = PingPlan { count: Some(10), until_direct: true, ..PLAN };
    let mut pair = Pair::new(HostConfig { reach: Reach::default(), ..host_of(SERVICE) });
    let (ping, events) = pair.ping(client_of(OFFICE), plan);
    assert!(pair.world.end(ping).is_some_and(Result::is_ok));
    assert_eq!((events.iter().filter(|event| is_direct(event)).count(), summary(&events).2), (1, 1));
    // None comes: it gives up after so many.
    let mut pair = Pair::new(HostConfig { reach: relayed(), ..host_of(SERVICE) });
    let (_, events) = pair.ping(client_of(OFFICE), plan);
    assert_eq!(summary(&events), (10, 10, 0));
}

#[test]
fn what_is_not_answered_is_said_and_is_no_answer() {
    let mut pair = Pair::new(HostConfig { reach: relayed(), ..host_of(SERVICE) });
    let ping = pair.world.ping(pair.home, client_of(OFFICE), PingPlan { count: Some(8), ..PLAN });
    pair.world.until("an answer", |world| world.times_said(ping, is_reply) == 3);
    pair.world.cut(pair.office, pair.home, true);
    let is_missed = |event: &Event| matches!(event, Event::Ping(Answer::NoReply { number: 4, waited_ms: 1000.., .. }));
    pair.world.until("no answer", |world| world.times_said(ping, is_missed) == 2);
    pair.world.cut(pair.office, pair.home, false);
    pair.world.until("its end", |world| world.end(ping).is_some());
    let (sent, answered, _) = summary(&pair.world.events(ping));
    assert!(answered < 8 && sent >= answered, "{}", pair.world.report());
}

#[test]
fn a_ping_is_stopped_in_order_and_sums_up() {
    let mut pair = Pair::new(host_of(SERVICE));
    let ping = pair.world.ping(pair.home, client_of(OFFICE), PLAN);
    pair.world.until("answers", |world| world.times_said(ping, is_reply) >= 3);
    pair.world.stop(ping);
    pair.world.until("its end", |world| world.end(ping).is_some());
    assert!(summary(&pair.world.events(ping)).1 >= 3);
    // It may be stopped before there is a session, and has nothing to sum up then.
    let hall = pair.world.machine(&["10.0.0.3"]);
    pair.world.cut(pair.office, hall, true);
    let early = pair.world.ping(hall, client_of(OFFICE), PLAN);
    pair.world.pass(Duration::from_secs(1));
    pair.world.stop(early);
    pair.world.until("its end", |world| world.end(early).is_some());
    assert!(!pair.world.said(early, |event| matches!(event, Event::Ping(Answer::Pinged { .. }))));
}

#[test]
fn a_wrong_pin_is_a_failure_of_the_run() {
    let mut pair = Pair::new(host_of(SERVICE));
    let (ping, events) = pair.ping(ClientConfig { pin: Pin::new("1").unwrap(), ..client_of(OFFICE) }, PLAN);
    let code = pair.world.end(ping).and_then(|end| end.as_ref().err()).map(|error| error.code().to_owned());
    assert_eq!((code.as_deref(), events.iter().any(is_reply)), (Some("bad-pin"), false));
}

#[test]
fn to_the_host_it_is_a_visit_and_uses_up_nothing() {
    let guests = Invitation {
        id: Some("k3".parse().unwrap()),
        pin: Pin::new("0123456789abcdef"),
        services: vec!["80".to_owned()],
        once: true,
        ..Invitation::new("guests")
    };
    let mut pair = Pair::new(HostConfig { once: true, invitations: vec![guests], ..host_of(SERVICE) });
    let client = client_of(OFFICE);
    let url = client.url.inviting(&"k3".parse().unwrap());
    let guest = ClientConfig { url, pin: Pin::new("0123456789abcdef").unwrap(), ..client };
    let host = pair.host;
    for round in 1..=2 {
        let (ping, events) = pair.ping(guest.clone(), PingPlan { count: Some(2), ..PLAN });
        assert!(pair.world.end(ping).is_some_and(Result::is_ok));
        assert_eq!(summary(&events).1, 2);
        pair.world.until("the host knows", |world| world.times_said(host, is_over) == round);
        assert!(pair.world.end(host).is_none(), "a host for one client has had none");
    }
    let said = |event: &Event| matches!(event, Event::Disconnected { reason, .. } if reason == "the peer only checked whether it could connect");
    assert_eq!(pair.world.times_said(host, said), 2, "{}", pair.world.report());
    // A client that calls itself a visitor and used a service was one.
    let client = pair.world.client(pair.home, guest);
    pair.world.until("a session", |world| world.said(client, is_forwarding));
    check(&mut pair.world, pair.home, b"hello");
    pair.world.stop(client);
    pair.world.until("the host's end", |world| world.end(host).is_some());
}
