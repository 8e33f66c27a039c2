//! Settings that are read again: what goes on, what begins anew, and what is refused.

use std::time::Duration;

use super::forwarding::{Pair, check, is_forwarding, relayed};
use super::{Ended, Side, World, client_of, host_of};
use crate::config::{
    AccessList, ClientConfig, HostConfig, LocalForward, ReverseAccess, ReverseForward, ReverseRule, ServiceBind,
    SharedService,
};
use crate::signaling::pin::Pin;
use crate::status::event::Event;

const SERVICE: &str = "127.0.0.1:80";
const OTHER: &str = "127.0.0.1:81";
const OFFICE: &str = "10.0.0.1";
const LOCAL: &str = "127.0.0.1:9000";

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

/// A host's settings with other services, `name=target` each.
fn sharing(services: &[&str]) -> HostConfig {
    let service = |text: &&str| {
        let (name, endpoint) = text.split_once('=').unwrap();
        SharedService::new(name, endpoint.parse().unwrap())
    };
    HostConfig { services: services.iter().map(service).collect(), reach: relayed(), ..host_of(SERVICE) }
}

fn dialling(local: &str, name: &str) -> LocalForward {
    LocalForward::Service { name: name.to_owned(), bind: Some(ServiceBind::Address(local.parse().unwrap())) }
}

fn changes(world: &World, side: Side) -> Vec<String> {
    let of = |event| if let Event::Reloaded { changed, .. } = event { Some(changed.join(", ")) } else { None };
    world.events(side).into_iter().filter_map(of).collect()
}

fn warnings(world: &World, side: Side, wanted: &str) -> Vec<String> {
    let of = |event| match event {
        Event::Warning { code, message } if code == wanted => Some(message),
        _ => None,
    };
    world.events(side).into_iter().filter_map(of).collect()
}

/// A connection that has said something and heard it.
fn talk(world: &mut World, pair: (super::Machine, &str)) -> super::Visitor {
    let visitor = world.visit(pair.0, pair.1);
    world.say(visitor, b"before ");
    world.until("an echo", |world| world.heard(visitor) == b"before ");
    visitor
}

fn goes_on(world: &mut World, visitor: super::Visitor) {
    world.say(visitor, b"after");
    world.until("an echo", |world| world.heard(visitor) == b"before after");
}

#[test]
fn a_service_that_is_gone_takes_no_new_stream_and_an_open_one_goes_on() {
    let Pair { mut world, office, home, host, client } = Pair::new(relayed());
    world.echo(office, OTHER);
    let visitor = talk(&mut world, (home, LOCAL));
    world.reload_host(host, sharing(&["81=127.0.0.1:81"]));
    assert_eq!(changes(&world, host), ["service 81 added, service 80 removed"]);
    goes_on(&mut world, visitor);
    let refused = world.visit(home, LOCAL);
    world.until("a refusal", |world| world.ended(refused).is_some());
    assert!(world.said(client, |event| {
        matches!(event, Event::StreamClosed { reason, .. }
            if reason.to_string() == "unknown-service: the host does not share that service any more")
    }));
    // Whoever comes next has what is shared now, under the same number.
    let hall = world.machine(&["10.0.0.3"]);
    let next = world.client(hall, client_of(OFFICE));
    world.until("a session", |world| world.said(next, is_forwarding));
    check(&mut world, hall, b"hello");
    // The number still means the service that the session was told of, once that is back.
    world.reload_host(host, sharing(&["81=127.0.0.1:81", "80=127.0.0.1:80"]));
    check(&mut world, home, b"hello");
    goes_on_again(&mut world, visitor);
    assert_eq!(world.times_said(client, |event| matches!(event, Event::Connected { .. })), 1);
}

fn goes_on_again(world: &mut World, visitor: super::Visitor) {
    world.finish(visitor);
    world.until("the end", |world| world.ended(visitor).is_some());
    assert_eq!(world.ended(visitor), Some(Ended::InOrder));
}

#[test]
fn a_service_that_leads_elsewhere_does_so_for_new_streams() {
    let Pair { mut world, office, home, host, .. } = Pair::new(relayed());
    world.silent(office, OTHER);
    let visitor = talk(&mut world, (home, LOCAL));
    world.reload_host(host, sharing(&["80=127.0.0.1:81"]));
    assert_eq!(changes(&world, host), ["service 80 leads to 127.0.0.1:81"]);
    let next = world.visit(home, LOCAL);
    world.say(next, b"hello");
    world.pass(seconds(5));
    assert_eq!((world.heard(next), world.ended(next)), (&b""[..], None), "the other target says nothing");
    goes_on(&mut world, visitor);
}

#[test]
fn what_cannot_be_used_changes_nothing() {
    let Pair { mut world, home, host, .. } = Pair::new(relayed());
    let visitor = talk(&mut world, (home, LOCAL));
    world.fail_reload(host, "nas.toml:3:1: there is no lisen in [host]");
    let nothing = HostConfig { services: Vec::new(), ..host_of(SERVICE) };
    world.reload_host(host, nothing);
    let said = warnings(&world, host, "reload");
    assert_eq!(said[0], "the settings stay as they were: nas.toml:3:1: there is no lisen in [host]");
    assert!(said[1].starts_with("the settings stay as they were: "), "{said:?}");
    assert_eq!((changes(&world, host).len(), said.len()), (0, 2));
    goes_on(&mut world, visitor);
    check(&mut world, home, b"hello");
    // What is the same is said to be.
    world.reload_host(host, HostConfig { reach: relayed(), ..host_of(SERVICE) });
    assert_eq!(changes(&world, host), [""]);
    let elsewhere = HostConfig { listen: Some(([0, 0, 0, 0], 7001).into()), reach: relayed(), ..host_of(SERVICE) };
    world.reload_host(host, elsewhere);
    let left = "listen stays as it was: a change of it counts from the next start on";
    assert_eq!(warnings(&world, host, "restart"), [left]);
}

#[test]
fn who_comes_after_another_pin_proves_that_and_sessions_go_on() {
    let Pair { mut world, office, home, host, client } = Pair::new(relayed());
    let visitor = talk(&mut world, (home, LOCAL));
    let invitations = |world: &World| world.times_said(host, |event| matches!(event, Event::Listening { .. }));
    assert_eq!(invitations(&world), 1);
    let other = || Pin::new("271828").unwrap();
    world.reload_host(host, HostConfig { pin: Some(other()), reach: relayed(), ..host_of(SERVICE) });
    assert_eq!((changes(&world, host), invitations(&world)), (vec!["pin changed".to_owned()], 2));
    goes_on(&mut world, visitor);
    let hall = world.machine(&["10.0.0.3"]);
    let late = world.client(hall, client_of(OFFICE));
    world.until("a refusal", |world| world.end(late).is_some());
    assert!(world.end(late).is_some_and(|end| end.as_ref().is_err_and(|error| error.code() == "bad-pin")));
    let right = world.client(hall, ClientConfig { pin: other(), ..client_of(OFFICE) });
    world.until("a session", |world| world.said(right, is_forwarding));
    // A ticket of the former pin begins no session: the client has to know the pin, once its session is lost.
    world.cut(office, home, true);
    world.until("the end of the session", |world| {
        world.said(client, |event| matches!(event, Event::Disconnected { .. }))
    });
    world.reload_client(client, ClientConfig { pin: other(), ..client_of(OFFICE) });
    world.cut(office, home, false);
    world.until("another session", |world| {
        world.times_said(client, |event| matches!(event, Event::Connected { .. })) == 2
    });
    assert!(!world.said(host, |event| matches!(event, Event::Returned { .. })), "it proved the pin");
    check(&mut world, home, b"hello");
}

#[test]
fn forwards_of_a_client_come_and_go() {
    let Pair { mut world, office, home, host, client } = Pair::new(relayed());
    world.echo(office, OTHER);
    let visitor = talk(&mut world, (home, LOCAL));
    let with = |forwards: Vec<LocalForward>| ClientConfig { forwards, ..client_of(OFFICE) };
    world.reload_client(client, with(vec![dialling("127.0.0.1:9001", "80")]));
    assert_eq!(
        changes(&world, client),
        ["service 80 at 127.0.0.1:9001 added, the only service at 127.0.0.1:9000 removed"]
    );
    goes_on(&mut world, visitor);
    let refused = world.visit(home, LOCAL);
    world.until("a refusal", |world| world.ended(refused).is_some());
    let moved = talk(&mut world, (home, "127.0.0.1:9001"));
    assert_eq!(world.times_said(client, is_forwarding), 2);

    // A service that this session was not told of appears with the next one.
    world.reload_host(host, sharing(&["80=127.0.0.1:80", "81=127.0.0.1:81"]));
    world.reload_client(client, with(vec![dialling("127.0.0.1:9001", "80"), dialling("127.0.0.1:9002", "81")]));
    let said = warnings(&world, client, "reload");
    assert!(said[0].starts_with("the host has no service \"81\"; it has: 80; it appears with"), "{said:?}");
    goes_on(&mut world, moved);
    world.cut(office, home, true);
    world.until("the end of the session", |world| {
        world.said(client, |event| matches!(event, Event::Disconnected { .. }))
    });
    world.cut(office, home, false);
    world.until("a port", |world| world.times_said(client, is_forwarding) == 3);
    talk(&mut world, (home, "127.0.0.1:9002"));
    talk(&mut world, (home, "127.0.0.1:9001"));
}

#[test]
fn a_port_for_the_only_service_leads_to_that_when_others_came() {
    let Pair { mut world, office, home, host, client } = Pair::new(relayed());
    world.silent(office, OTHER);
    world.reload_host(host, sharing(&["81=127.0.0.1:81", "80=127.0.0.1:80"]));
    world.cut(office, home, true);
    world.until("the end of the session", |world| {
        world.said(client, |event| matches!(event, Event::Disconnected { .. }))
    });
    world.cut(office, home, false);
    check(&mut world, home, b"hello");
}

#[test]
fn a_client_without_a_session_takes_other_forwards_too() {
    let mut world = World::new();
    let [office, home] = [OFFICE, "10.0.0.2"].map(|address| world.machine(&[address]));
    world.echo(office, SERVICE);
    let client = world.client(home, ClientConfig { retry: true, ..client_of(OFFICE) });
    world.pass(seconds(3));
    let forwards = vec![dialling("127.0.0.1:9001", "80")];
    world.reload_client(client, ClientConfig { retry: true, forwards, ..client_of(OFFICE) });
    assert!(!world.said(client, is_forwarding), "it is not known yet what the port leads to");
    world.host(office, host_of(SERVICE));
    world.until("a session", |world| world.said(client, is_forwarding));
    talk(&mut world, (home, "127.0.0.1:9001"));
    assert_eq!(world.times_said(client, is_forwarding), 1);
}

#[test]
fn a_port_that_is_taken_is_left_out_and_tried_again() {
    let Pair { mut world, home, client, .. } = Pair::new(relayed());
    world.echo(home, "127.0.0.1:9001");
    let both = || {
        let only = client_of(OFFICE).forwards.remove(0);
        ClientConfig { forwards: vec![only, dialling("127.0.0.1:9001", "80")], ..client_of(OFFICE) }
    };
    for times in 1..3 {
        world.reload_client(client, both());
        assert_eq!(warnings(&world, client, "reload").len(), times);
        check(&mut world, home, b"hello");
    }
}

#[test]
fn rules_count_for_what_is_named_from_then_on() {
    let mut world = World::new();
    let [office, home] = [OFFICE, "10.0.0.2"].map(|address| world.machine(&[address]));
    world.echo(office, OTHER);
    let rules = |rules: &[&str]| HostConfig { allow: AccessList::parse(rules).unwrap(), ..host_of(SERVICE) };
    let host = world.host(office, rules(&["127.0.0.1:81"]));
    let dial = LocalForward::Dial { bind: LOCAL.parse().unwrap(), endpoint: OTHER.parse().unwrap() };
    let client = world.client(home, ClientConfig { forwards: vec![dial], ..client_of(OFFICE) });
    world.until("a session", |world| world.said(client, is_forwarding));
    let visitor = talk(&mut world, (home, LOCAL));
    for (allowed, is_served) in [(&[][..], false), (&["127.0.0.1:80-90"], true)] {
        world.reload_host(host, rules(allowed));
        let next = world.visit(home, LOCAL);
        world.say(next, b"hello");
        world.until("an answer", |world| world.ended(next).is_some() || world.heard(next) == b"hello");
        assert_eq!(world.ended(next).is_none(), is_served);
    }
    goes_on(&mut world, visitor);
}

#[test]
fn reverse_forwards_come_and_go() {
    let mut world = World::new();
    let [office, home] = [OFFICE, "10.0.0.2"].map(|address| world.machine(&[address]));
    world.echo(office, SERVICE);
    world.echo(home, "127.0.0.1:70");
    let rules = |ports: &str| ReverseAccess::new(vec![ReverseRule::parse(ports).unwrap()]);
    let host = world.host(office, HostConfig { allow_reverse: rules("8000-8001"), ..host_of(SERVICE) });
    let reverse = |ports: &[u16]| {
        let forward = |port: &u16| {
            ReverseForward::new(format!("127.0.0.1:{port}").parse().unwrap(), "127.0.0.1:70".parse().unwrap())
        };
        ClientConfig { reverse: ports.iter().map(forward).collect(), ..client_of(OFFICE) }
    };
    let client = world.client(home, reverse(&[8000]));
    let is_there = |event: &Event| matches!(event, Event::ReverseForwarding { .. });
    world.until("a listener", |world| world.said(client, is_there));
    let visitor = talk(&mut world, (office, "127.0.0.1:8000"));

    world.reload_client(client, reverse(&[8001]));
    world.until("another", |world| world.times_said(client, is_there) == 2);
    let other = talk(&mut world, (office, "127.0.0.1:8001"));
    let refused = world.visit(office, "127.0.0.1:8000");
    world.until("a refusal", |world| world.ended(refused).is_some());
    goes_on(&mut world, visitor);

    // The host takes the permission back.
    world.reload_host(host, HostConfig { allow_reverse: rules("8000"), ..host_of(SERVICE) });
    let refused = world.visit(office, "127.0.0.1:8001");
    world.until("a refusal", |world| world.ended(refused).is_some());
    goes_on(&mut world, other);
}

#[test]
fn nothing_is_taken_over_by_a_run_that_ends() {
    let Pair { mut world, host, client, .. } = Pair::new(relayed());
    world.stop(client);
    world.stop(host);
    world.reload_client(client, ClientConfig { once: true, ..client_of(OFFICE) });
    world.reload_host(host, sharing(&["other=127.0.0.1:81"]));
    world.until("both ends", |world| world.end(client).is_some() && world.end(host).is_some());
    world.reload_host(host, sharing(&["other=127.0.0.1:81"]));
}
