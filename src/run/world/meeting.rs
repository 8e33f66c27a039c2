//! Registering, meeting and meeting again: names, places, addresses, pauses, approval.

use std::cell::RefCell;
use std::time::Duration;

use super::forwarding::{Pair, check, is_forwarding, relayed};
use super::{Ended, SERVER_PORT, Side, World, client_of, host_of, registration};
use crate::address::ListenAddress;
use crate::config::{
    Approver, ClientConfig, HostConfig, LocalForward, Registration, ServerConfig, ServiceBind, SharedService,
};
use crate::net::world::Machine;
use crate::run::RunError;
use crate::signaling::message::ErrorCode;
use crate::status::event::Event;

const SERVICE: &str = "127.0.0.1:80";
const MEETING: &str = "10.0.0.9";

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

fn is_registered(event: &Event) -> bool {
    matches!(event, Event::Registered { .. })
}

fn is_connected(event: &Event) -> bool {
    matches!(event, Event::Connected { .. })
}

/// A server, a host registered there, and a client that came through it.
struct Trio {
    world: World,
    office: Machine,
    home: Machine,
    meeting: Machine,
    server: Side,
    host: Side,
    client: Side,
}

pub(super) fn server_config() -> ServerConfig {
    ServerConfig::open(([0, 0, 0, 0], SERVER_PORT).into())
}

/// A host that clients reach only through the server. Holders of the token may take the name.
pub(super) fn registered(token: Option<&str>) -> HostConfig {
    let token = token.map(|token| token.parse().unwrap());
    let server = Registration { token, ..registration(MEETING, "office") };
    HostConfig { listen: None, server: Some(server), ..host_of(SERVICE) }
}

pub(super) fn through_server() -> ClientConfig {
    let registration = registration(MEETING, "office");
    ClientConfig { url: registration.server.client_endpoint(&registration.id), ..client_of(MEETING) }
}

impl Trio {
    fn new() -> Trio {
        let mut world = World::new();
        let [office, home, meeting] = ["10.0.0.1", "10.0.0.2", MEETING].map(|address| world.machine(&[address]));
        world.echo(office, SERVICE);
        let server = world.server(meeting, server_config());
        let host = world.host(office, registered(None));
        world.until("a registration", |world| world.said(host, is_registered));
        let client = world.client(home, through_server());
        world.until("a session", |world| world.said(client, is_forwarding));
        Trio { world, office, home, meeting, server, host, client }
    }
}

#[test]
fn a_stream_outlives_a_server_that_is_killed_and_started_again() {
    let Trio { mut world, home, meeting, server, host, client, .. } = Trio::new();
    let visitor = world.visit(home, "127.0.0.1:9000");
    world.say(visitor, b"before ");
    world.until("an echo", |world| world.heard(visitor) == b"before ");
    world.kill(server);
    world.say(visitor, b"meanwhile ");
    world.pass(seconds(20));
    assert_eq!(world.heard(visitor), b"before ");
    world.server(meeting, server_config());
    world.until("another registration", |world| world.times_said(host, is_registered) == 2);
    world.until("an echo", |world| world.heard(visitor) == b"before meanwhile ");
    world.say(visitor, b"after");
    world.finish(visitor);
    world.until("the end", |world| world.ended(visitor).is_some());
    assert_eq!((world.heard(visitor), world.ended(visitor)), (&b"before meanwhile after"[..], Some(Ended::InOrder)));
    assert_eq!(world.times_said(client, is_connected), 1, "the session is the same");
}

#[test]
fn pauses_before_the_server_is_dialled_again_double_up_to_half_a_minute() {
    let Trio { mut world, office, server, host, .. } = Trio::new();
    world.kill(server);
    world.until("the loss", |world| world.said(host, |event| matches!(event, Event::ServerLost { .. })));
    let begin = world.time();
    world.pass(seconds(600));
    let times = world.attempts(office, "10.0.0.9:8080", begin);
    let pauses: Vec<Duration> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
    let mut longest = Duration::from_millis(500);
    for pause in &pauses {
        longest = (2 * longest).min(seconds(30));
        // A look-up and a refusal add to it.
        assert!(*pause >= longest / 2 && *pause <= longest + Duration::from_millis(100), "{pauses:?}");
    }
    assert!(pauses.len() > 20 && pauses.len() < 50, "{pauses:?}");
    assert_eq!(world.times_said(host, |event| matches!(event, Event::ServerLost { .. })), 1, "it is reported once");
}

#[test]
fn pauses_before_the_host_is_dialled_again_double_up_to_a_quarter_of_a_minute() {
    let mut pair = Pair::new(relayed());
    pair.world.kill(pair.host);
    let begin = pair.world.time();
    // While the session may be rejoined, an attempt is made each second.
    pair.world.pass(seconds(300));
    let times = pair.world.attempts(pair.home, "10.0.0.1:7000", begin);
    let pauses: Vec<Duration> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(pauses.iter().all(|pause| *pause <= seconds(16)), "{pauses:?}");
    let steady = &pauses[pauses.len() - 5..];
    assert!(steady.iter().all(|pause| *pause >= seconds(7)), "{pauses:?}");
    // The host comes back as another process, which knows neither the session nor the ticket.
    let config = HostConfig { reach: relayed(), ..host_of(SERVICE) };
    pair.world.host(pair.office, config);
    let client = pair.client;
    let took = pair.world.until("another session", |world| world.times_said(client, is_connected) == 2);
    assert!(took <= seconds(17), "{took:?}");
    pair.check(b"again");
}

#[test]
fn a_name_goes_to_a_process_with_the_same_token_and_to_no_other() {
    let mut world = World::new();
    let [office, other, meeting] = ["10.0.0.1", "10.0.0.3", MEETING].map(|address| world.machine(&[address]));
    let server = world.server(meeting, server_config());
    let first = world.host(office, registered(Some("abcdefghijklmnopqrst")));
    world.until("a registration", |world| world.said(first, is_registered));
    let refused = |world: &World, side: Side, wanted: ErrorCode| match world.end(side) {
        Some(Err(RunError::Refused { error, .. })) => error.code == wanted,
        _ => false,
    };
    for token in [None, Some("tsrqponmlkjihgfedcba")] {
        let stranger = world.host(other, registered(token));
        world.until("a refusal", |world| refused(world, stranger, ErrorCode::IdTaken));
    }
    assert!(world.end(first).is_none());
    // The first one is alive, and is told, so that the two do not take the name from each other for ever.
    let second = world.host(other, registered(Some("abcdefghijklmnopqrst")));
    let took = world.until("a registration", |world| world.said(second, is_registered));
    assert!(took <= Duration::from_millis(200), "{took:?}");
    world.until("the first one's end", |world| refused(world, first, ErrorCode::Replaced));
    // One that does not answer has two seconds.
    world.stall(second, true);
    let third = world.host(office, registered(Some("abcdefghijklmnopqrst")));
    let took = world.until("a registration", |world| world.said(third, is_registered));
    assert!(took >= seconds(2) && took <= seconds(2) + Duration::from_millis(200), "{took:?}");
    assert_eq!(world.times_said(server, |event| matches!(event, Event::HostJoined { replaced: true, .. })), 2);
}

#[test]
fn a_client_that_lost_its_path_gives_way_to_another_and_no_client_does_that_has_one() {
    let mut world = World::new();
    let [office, home, away] = ["10.0.0.1", "10.0.0.2", "10.0.0.3"].map(|address| world.machine(&[address]));
    world.echo(office, SERVICE);
    let host = world.host(office, HostConfig { max_sessions: 1, ..host_of(SERVICE) });
    let first = world.client(home, client_of("10.0.0.1"));
    world.until("a session", |world| world.said(first, is_forwarding));
    let newcomer = world.client(away, client_of("10.0.0.1"));
    world.until("a refusal", |world| world.end(newcomer).is_some());
    assert!(format!("{:?}", world.end(newcomer)).contains("Full"), "{:?}", world.end(newcomer));
    world.cut(office, home, true);
    world.until("the loss", |world| world.said(host, |event| matches!(event, Event::Recovering { .. })));
    let early = world.client(away, client_of("10.0.0.1"));
    world.until("a refusal", |world| world.end(early).is_some());
    world.pass(seconds(5));
    let late = world.client(away, client_of("10.0.0.1"));
    world.until("a session", |world| world.said(late, is_forwarding));
    check(&mut world, away, b"hello");
}

#[test]
fn a_client_tries_each_address_of_its_host() {
    for (first, longest) in [("10.0.0.5", Duration::from_millis(500)), ("10.9.9.9", seconds(4))] {
        let mut world = World::new();
        // Nothing listens at the first address, or there is no such machine.
        let [office, home, _] = ["10.0.0.1", "10.0.0.2", "10.0.0.5"].map(|address| world.machine(&[address]));
        let addresses = [first, "10.0.0.1"].map(|address| address.parse().unwrap());
        world.network().name("office.test", Some(addresses.to_vec()));
        world.echo(office, SERVICE);
        world.host(office, host_of(SERVICE));
        let client = world.client(home, client_of("office.test"));
        let took = world.until("a session", |world| world.said(client, is_forwarding));
        assert!(took <= longest, "{first}: {took:?}");
        // The address that answered is tried first from then on.
        let begin = world.time();
        world.cut(office, home, true);
        world.until("the loss", |world| world.said(client, |event| matches!(event, Event::Recovering { .. })));
        world.cut(office, home, false);
        world.until("the path", |world| world.said(client, |event| matches!(event, Event::Recovered { .. })));
        assert!(world.attempts(home, &format!("{first}:7000"), begin).is_empty());
    }
}

#[test]
fn a_host_tries_each_address_of_its_server_and_of_a_target() {
    let mut world = World::new();
    let [office, home, meeting] = ["10.0.0.1", "10.0.0.2", MEETING].map(|address| world.machine(&[address]));
    let nobody_and = |address: &str| Some(["10.9.9.9", address].map(|address| address.parse().unwrap()).to_vec());
    world.network().name("meeting.test", nobody_and(MEETING));
    world.network().name("shop.test", nobody_and("10.0.0.1"));
    world.echo(office, "10.0.0.1:80");
    world.server(meeting, server_config());
    let server = Some(registration("meeting.test", "office"));
    let host = world.host(office, HostConfig { server, ..host_of("shop.test:80") });
    let took = world.until("a registration", |world| world.said(host, is_registered));
    assert!(took >= seconds(3) && took <= seconds(4), "{took:?}");
    let client = world.client(home, client_of("10.0.0.1"));
    world.until("a session", |world| world.said(client, is_forwarding));
    let begin = world.time();
    check(&mut world, home, b"hello");
    let took = world.time() - begin;
    assert!(took >= seconds(3) && took <= seconds(4), "{took:?}");
}

#[test]
fn a_name_that_nobody_answers_for_delays_no_other_and_ends_with_its_dial() {
    let mut world = World::new();
    let [office, home] = ["10.0.0.1", "10.0.0.2"].map(|address| world.machine(&[address]));
    world.network().name("stuck.test", None);
    let host = world.host(office, host_of("stuck.test:80"));
    let client = world.client(home, client_of("10.0.0.1"));
    world.until("a session", |world| world.said(client, is_forwarding));
    let visitor = world.visit(home, "127.0.0.1:9000");
    let took = world.until("the end", |world| world.ended(visitor).is_some());
    assert!(took >= seconds(10) && took <= seconds(11), "{took:?}");
    assert!(!world.said(host, |event| matches!(event, Event::Disconnected { .. })));
}

#[test]
fn a_dial_without_a_descriptor_waits_for_one() {
    let mut pair = Pair::new(relayed());
    pair.world.limit(pair.host, 1);
    let first = pair.world.visit(pair.home, "127.0.0.1:9000");
    pair.world.say(first, b"first");
    pair.world.until("an echo", |world| world.heard(first) == b"first");
    let second = pair.world.visit(pair.home, "127.0.0.1:9000");
    pair.world.say(second, b"second");
    pair.world.pass(seconds(3));
    assert_eq!((pair.world.heard(second), pair.world.ended(second)), (&b""[..], None));
    pair.world.finish(first);
    let took = pair.world.until("an echo", |world| world.heard(second) == b"second");
    assert!(took <= Duration::from_millis(300), "{took:?}");
    // The third one is given up after its time.
    let third = pair.world.visit(pair.home, "127.0.0.1:9000");
    let took = pair.world.until("the end", |world| world.ended(third).is_some());
    assert!(took >= seconds(10) && took <= seconds(11), "{took:?}");
}

#[test]
fn a_client_without_descriptors_takes_connections_when_there_are_some() {
    let mut pair = Pair::new(relayed());
    pair.world.limit(pair.client, 1);
    let visitors = [0, 1, 2].map(|_| pair.world.visit(pair.home, "127.0.0.1:9000"));
    for visitor in visitors {
        pair.world.say(visitor, b"hello");
    }
    pair.world.until("an echo", |world| world.heard(visitors[0]) == b"hello");
    pair.world.pass(seconds(60));
    assert_eq!(pair.world.heard(visitors[1]), b"", "it waits in the system's queue");
    for pair_of in visitors.windows(2) {
        pair.world.finish(pair_of[0]);
        let took = pair.world.until("an echo", |world| world.heard(pair_of[1]) == b"hello");
        assert!(took <= Duration::from_millis(300), "{took:?}");
    }
}

#[test]
fn whoever_is_asked_says_who_may_join() {
    let mut world = World::new();
    let [office, home] = ["10.0.0.1", "10.0.0.2"].map(|address| world.machine(&[address]));
    world.echo(office, SERVICE);
    let host = world.host(office, HostConfig { approver: Some(Approver::new(|_| false)), ..host_of(SERVICE) });
    let welcome = world.client(home, client_of("10.0.0.1"));
    world.pass(seconds(30));
    assert!(world.events(welcome).is_empty(), "it waits");
    let question = world.with_host(host, |host| host.answer_question(true)).unwrap();
    assert!(question.contains("10.0.0.2"), "{question}");
    world.until("a session", |world| world.said(welcome, is_forwarding));
    check(&mut world, home, b"hello");
    world.stop(welcome);
    world.until("its end", |world| world.end(welcome).is_some());
    let denied = world.client(home, client_of("10.0.0.1"));
    world.pass(seconds(1));
    world.with_host(host, |host| host.answer_question(false)).unwrap();
    world.until("a refusal", |world| world.end(denied).is_some());
    assert!(format!("{:?}", world.end(denied)).contains("Denied"), "{:?}", world.end(denied));
    // Nobody answers the question.
    let ignored = world.client(home, client_of("10.0.0.1"));
    let took = world.until("a refusal", |world| world.end(ignored).is_some());
    assert!(took >= seconds(60) && took <= seconds(61), "{took:?}");
}

#[test]
fn connections_that_came_while_there_was_no_session_are_served_by_the_next() {
    let mut pair = Pair::new(relayed());
    pair.world.kill(pair.host);
    pair.world.pass(seconds(1));
    let visitor = pair.world.visit(pair.home, "127.0.0.1:9000");
    pair.world.say(visitor, b"hello");
    pair.world.pass(seconds(2));
    pair.world.host(pair.office, host_of(SERVICE));
    pair.world.until("an echo", |world| world.heard(visitor) == b"hello");
}

#[test]
fn a_wrong_pin_ends_a_client_and_a_busy_host_is_asked_again() {
    let mut world = World::new();
    let [office, home] = ["10.0.0.1", "10.0.0.2"].map(|address| world.machine(&[address]));
    let host = world.host(office, host_of(SERVICE));
    let pin = crate::signaling::pin::Pin::new("271828").unwrap();
    let client = world.client(home, ClientConfig { pin, ..client_of("10.0.0.1") });
    world.until("an end", |world| world.end(client).is_some());
    assert!(world.end(client).is_some_and(|end| end.as_ref().is_err_and(|error| error.code() == "bad-pin")));
    assert!(world.said(host, |event| matches!(event, Event::Warning { code, .. } if code == "bad-pin")));
}

#[test]
fn a_client_that_ends_in_order_delivers_what_was_said() {
    let Trio { mut world, home, server, host, client, .. } = Trio::new();
    let visitor = world.visit(home, "127.0.0.1:9000");
    world.say(visitor, &[7; 500_000]);
    world.until("some of the echo", |world| world.heard(visitor).len() > 100_000);
    world.stop(client);
    world.until("the end", |world| world.end(client).is_some());
    assert!(world.end(client).is_some_and(Result::is_ok));
    world.pass(seconds(60));
    assert_eq!((world.sockets(client), world.sockets(host), world.sockets(server)), (0, 1, 2));
    assert!(!world.has_sessions(host));
}

#[test]
fn a_client_whose_address_changes_comes_back_from_another() {
    let mut pair = Pair::new(relayed());
    let client = pair.client;
    pair.world.readdress(pair.home, "10.0.0.22");
    let took =
        pair.world.until("the path", |world| world.said(client, |event| matches!(event, Event::Recovered { .. })));
    assert!(took <= seconds(11), "{took:?}");
    pair.check(b"hello");
}

#[test]
fn a_first_session_that_is_cut_off_before_it_is_connected_is_waited_for_where_that_is_wanted() {
    for retry in [true, false] {
        let mut world = World::new();
        let [office, home] = ["10.0.0.1", "10.0.0.2"].map(|address| world.machine(&[address]));
        world.echo(office, SERVICE);
        let host = world.host(office, host_of(SERVICE));
        let client = world.client(home, ClientConfig { retry, ..client_of("10.0.0.1") });
        // Both have proved the pin, and nothing else has arrived.
        world.pass(Duration::from_millis(85));
        assert!(world.has_sessions(client) && !world.said(client, is_connected));
        world.kill(host);
        world.pass(seconds(1));
        if retry {
            world.host(office, host_of(SERVICE));
            world.until("a session", |world| world.said(client, is_forwarding));
        } else {
            let Some(Err(error @ RunError::NotYet(_))) = world.end(client) else { panic!("{}", world.report()) };
            assert_eq!(error.code(), "session");
        }
    }
}

/// A client binds a port before it knows that the service is a UDP one.
#[test]
fn a_port_that_the_system_chose_for_streams_may_be_somebody_elses_for_datagrams() {
    let forwarded = |endpoint: &str, held: Option<&str>| {
        let mut world = World::new();
        let [office, home] = ["10.0.0.1", "10.0.0.2"].map(|address| world.machine(&[address]));
        let service = SharedService { endpoint: endpoint.parse().unwrap(), ..host_of(SERVICE).services.remove(0) };
        world.host(office, HostConfig { services: vec![service], ..host_of(SERVICE) });
        if let Some(held) = held {
            world.hold(home, held);
        }
        let bind = ServiceBind::Address(ListenAddress::Localhost(0));
        let client =
            world.client(home, ClientConfig { forwards: vec![LocalForward::Only { bind }], ..client_of("10.0.0.1") });
        let local = RefCell::new(None);
        world.until("a forwarding", |world| {
            world.said(client, |event| {
                if let Event::Forwarding { local: named, .. } = event {
                    local.replace(Some(named.clone()));
                }
                local.borrow().is_some()
            })
        });
        local.take().unwrap()
    };
    let chosen = forwarded(SERVICE, None);
    let other = forwarded("udp:127.0.0.1:53", Some(&chosen));
    assert!(other.starts_with("udp:127.0.0.1:") && other != format!("udp:{chosen}"), "{other}");
}
