//! The timeouts in `ARCHITECTURE.md`'s table of bounds, each measured exactly.

use std::time::Duration;

use super::forwarding::{Pair, check, is_forwarding, relayed};
use super::{Ended, SERVER_PORT, Side, Visitor, World, client_of, host_of, registration};
use crate::address::ListenAddress;
use crate::config::{ClientConfig, GatewayConfig, HostConfig, PublicService, Registration, ServerConfig};
use crate::net::websocket::{Phase, WebSocketError};
use crate::net::world::Machine;
use crate::run::RunError;
use crate::session::{End, Reach};
use crate::status::event::Event;
use crate::status::refusal::Refusal;

const SERVICE: &str = "127.0.0.1:80";
const NOBODY: &str = "10.9.9.9";

/// Time that connections and answers in transit add to a timeout.
const SLACK: Duration = Duration::from_millis(200);

/// Returns a request for a WebSocket at a path.
fn upgrade(path: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Protocol: pinhole-signal.1\r\n\r\n"
    )
}

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

#[track_caller]
fn assert_about(what: &str, took: Duration, expected: Duration) {
    assert!(took >= expected && took <= expected + SLACK, "{what}: {took:?}, not {expected:?}");
}

fn open_server(world: &mut World, machine: Machine) -> Side {
    world.server(machine, ServerConfig::open(([0, 0, 0, 0], SERVER_PORT).into()))
}

/// A server with a gateway, a host that publishes a service, and a visitor's machine.
struct Published {
    world: World,
    server: Side,
    host: Side,
    home: Machine,
}

impl Published {
    fn new() -> Published {
        let mut world = World::new();
        let (office, home, meeting) =
            (world.machine(&["10.0.0.1"]), world.machine(&["10.0.0.2"]), world.machine(&["10.0.0.9"]));
        let config = ServerConfig {
            gateway: Some(GatewayConfig { domain: "example.org".parse().unwrap(), listen: Vec::new() }),
            ..ServerConfig::open(([0, 0, 0, 0], SERVER_PORT).into())
        };
        let server = world.server(meeting, config);
        world.silent(office, SERVICE);
        let public = Some(PublicService { service: 0, auth: None });
        let registration = Registration { public, ..registration("10.0.0.9", "office") };
        let host = world.host(office, HostConfig { listen: None, server: Some(registration), ..host_of(SERVICE) });
        world.until("a registration", |world| world.said(host, |event| matches!(event, Event::Registered { .. })));
        Published { world, server, host, home }
    }

    fn visit(&mut self, words: &str) -> Visitor {
        let visitor = self.world.visit(self.home, "10.0.0.9:8080");
        self.world.say(visitor, words.as_bytes());
        visitor
    }

    fn ends(&mut self, visitor: Visitor) -> Duration {
        self.world.until("an end", |world| world.ended(visitor).is_some())
    }

    fn heard(&self, visitor: Visitor) -> String {
        String::from_utf8_lossy(self.world.heard(visitor)).into_owned()
    }
}

const REQUEST: &str = "GET / HTTP/1.1\r\nHost: office.example.org\r\n\r\n";

#[test]
fn whoever_says_nothing_at_a_signaling_port_is_let_go_after_ten_seconds() {
    let mut world = World::new();
    let (office, home) = (world.machine(&["10.0.0.1"]), world.machine(&["10.0.0.2"]));
    let host = world.host(office, host_of("10.0.0.1:80"));
    let server = open_server(&mut world, office);
    // A WebSocket of the server is told why, and has two seconds to close in order.
    for (port, words, expected) in [
        (7000, String::new(), 10),
        (7000, "GET /ws HTTP/1.1\r\nHost: a\r\n".to_owned(), 10),
        (7000, upgrade("/ws"), 10),
        (8080, String::new(), 10),
        (8080, "GET /host HTTP/1.1\r\n".to_owned(), 10),
        (8080, upgrade("/host"), 12),
        (8080, upgrade("/ws/somebody"), 2),
    ] {
        let visitor = world.visit(home, &format!("10.0.0.1:{port}"));
        world.say(visitor, words.as_bytes());
        let took = world.until("an end", |world| world.ended(visitor).is_some());
        assert_about(&format!("{port} {words:?}"), took, seconds(expected));
        let heard = String::from_utf8_lossy(world.heard(visitor)).into_owned();
        assert_eq!(heard.contains("nothing was said within 10 s"), expected == 12, "{heard}");
        world.leave(visitor);
    }
    assert_eq!(world.times_said(server, |event| matches!(event, Event::Refused { code: Refusal::Timeout, .. })), 1);
    // A request that arrives byte by byte gets no more time.
    for port in [7000, 8080] {
        let visitor = world.visit(home, &format!("10.0.0.1:{port}"));
        world.say(visitor, b"GET /ws HTTP/1.1\r\nHost: x\r\nX-Slow: ");
        let begin = world.time();
        while world.ended(visitor).is_none() && world.time() - begin < seconds(20) {
            world.say(visitor, b"x");
            world.pass(Duration::from_millis(100));
        }
        assert_about(&format!("{port} drips"), world.time() - begin, seconds(10));
    }
    world.pass(seconds(5));
    assert_eq!((world.sockets(host), world.sockets(server)), (1, 1));
}

#[test]
fn a_client_gives_a_host_its_time_for_each_step() {
    let mut world = World::new();
    let (office, home) = (world.machine(&["10.0.0.1"]), world.machine(&["10.0.0.2"]));
    let is_timeout = |world: &World, client: Side, phase: Phase| match world.end(client) {
        Some(Err(RunError::NotYet(error))) => {
            matches!(**error, RunError::WebSocket(WebSocketError::Timeout(own)) if own == phase)
        }
        _ => false,
    };
    let client = world.client(home, client_of(NOBODY));
    let took = world.until("an end", |world| is_timeout(world, client, Phase::Connecting));
    assert_about("nobody is there", took, seconds(15));
    world.silent(office, "10.0.0.1:7000");
    let client = world.client(home, client_of("10.0.0.1"));
    let took = world.until("an end", |world| is_timeout(world, client, Phase::Upgrading));
    assert_about("the other side is silent", took, seconds(15));
}

#[test]
fn a_client_waits_longer_than_guesses_are_spaced_for_the_hosts_proof() {
    let mut world = World::new();
    let (office, home) = (world.machine(&["10.0.0.1"]), world.machine(&["10.0.0.2"]));
    let host = world.host(office, host_of("10.0.0.1:80"));
    let client = world.client(home, client_of("10.0.0.1"));
    // The WebSocket is open, and the client's next message is not read.
    world.pass(Duration::from_millis(35));
    world.stall(host, true);
    let took = world.until("an end", |world| world.end(client).is_some());
    assert_about("no proof", took, seconds(75) - Duration::from_millis(35));
    let end = format!("{:?}", world.end(client));
    assert!(end.contains("the host did not answer in time"), "{end}");
}

#[test]
fn a_host_gives_its_server_its_time_for_each_step() {
    let mut world = World::new();
    let (office, meeting) = (world.machine(&["10.0.0.1"]), world.machine(&["10.0.0.9"]));
    let host_at =
        |server: &str| HostConfig { listen: None, server: Some(registration(server, "office")), ..host_of(SERVICE) };
    let host = world.host(office, host_at(NOBODY));
    let took = world.until("an end", |world| world.end(host).is_some());
    assert_about("nobody is there", took, seconds(15));
    let server = open_server(&mut world, meeting);
    let host = world.host(office, host_at("10.0.0.9"));
    world.pass(Duration::from_millis(35));
    world.stall(server, true);
    let took = world.until("an end", |world| world.end(host).is_some());
    assert_about("it does not register", took, seconds(15) - Duration::from_millis(15));
}

#[test]
fn a_local_connection_waits_ten_seconds_for_a_session() {
    let mut pair = Pair::new(relayed());
    pair.world.kill(pair.host);
    pair.world.pass(seconds(1));
    let visitor = pair.world.visit(pair.home, "127.0.0.1:9000");
    pair.world.say(visitor, b"hello");
    let took = pair.world.until("an end", |world| world.ended(visitor).is_some());
    assert_about("no session", took, seconds(10));
    assert_eq!(pair.world.ended(visitor), Some(Ended::Failed(std::io::ErrorKind::ConnectionReset)));
}

#[test]
fn a_target_has_ten_seconds_to_answer() {
    let mut world = World::new();
    let (office, home) = (world.machine(&["10.0.0.1"]), world.machine(&["10.0.0.2"]));
    let host = world.host(office, host_of("10.9.9.9:80"));
    let client = world.client(home, client_of("10.0.0.1"));
    world.until("a session", |world| world.said(client, is_forwarding));
    let visitor = world.visit(home, "127.0.0.1:9000");
    let took = world.until("an end", |world| world.ended(visitor).is_some());
    assert_about("no answer", took, seconds(10));
    let is_told = |event: &Event| matches!(event, Event::Warning { code, .. } if code == "dial-failed");
    assert!(world.said(host, is_told));
    assert_eq!(world.ended(visitor), Some(Ended::Failed(std::io::ErrorKind::ConnectionReset)));
}

#[test]
fn a_program_has_ten_seconds_to_say_what_it_wants_of_the_proxy() {
    let mut world = World::new();
    let (office, home) = (world.machine(&["10.0.0.1"]), world.machine(&["10.0.0.2"]));
    world.host(office, host_of("10.0.0.1:80"));
    let dynamic = vec![ListenAddress::One(([127, 0, 0, 1], 1080).into())];
    let client = world.client(home, ClientConfig { dynamic, ..client_of("10.0.0.1") });
    world.until("a session", |world| world.said(client, is_forwarding));
    for words in [&b""[..], &[5, 1]] {
        let visitor = world.visit(home, "127.0.0.1:1080");
        world.say(visitor, words);
        let took = world.until("an end", |world| world.ended(visitor).is_some());
        assert_about("it says nothing", took, seconds(10));
    }
}

#[test]
fn a_session_without_any_path_lives_for_a_minute() {
    let mut pair = Pair::new(relayed());
    let (host, client) = (pair.host, pair.client);
    pair.world.cut(pair.office, pair.home, true);
    pair.world.until("the loss is seen", |world| {
        let is_seen = |event: &Event| matches!(event, Event::Recovering { .. });
        world.said(client, is_seen) && world.said(host, is_seen)
    });
    let is_over = |event: &Event| matches!(event, Event::Disconnected { .. });
    let took = pair.world.until("the session's end", |world| world.said(client, is_over) && world.said(host, is_over));
    assert!(took >= seconds(50) && took <= seconds(61), "{took:?}");
    // Once the link is back, the client begins another session by itself.
    pair.world.cut(pair.office, pair.home, false);
    pair.world.until("another session", |world| {
        world.times_said(client, |event| matches!(event, Event::Connected { .. })) == 2
    });
    pair.check(b"again");
}

#[test]
fn without_a_relay_and_datagrams_there_is_no_session() {
    let mut world = World::new();
    let (office, home) = (world.machine(&["10.0.0.1"]), world.machine(&["10.0.0.2"]));
    world.change_way(office, home, |way| way.blocks_datagrams = true);
    let reach = Reach { relay: false, ..Reach::default() };
    world.host(office, HostConfig { reach: reach.clone(), ..host_of("10.0.0.1:80") });
    let client = world.client(home, ClientConfig { reach, ..client_of("10.0.0.1") });
    let took = world.until("an end", |world| world.end(client).is_some());
    assert!(matches!(world.end(client), Some(Err(RunError::Session(End::NoPath)))), "{:?}", world.end(client));
    assert!(took <= seconds(61), "{took:?}");
}

#[test]
fn a_websocket_that_is_silent_for_thirty_seconds_is_given_up() {
    let mut world = World::new();
    let (office, meeting) = (world.machine(&["10.0.0.1"]), world.machine(&["10.0.0.9"]));
    let server = open_server(&mut world, meeting);
    let config = HostConfig { listen: None, server: Some(registration("10.0.0.9", "office")), ..host_of(SERVICE) };
    let host = world.host(office, config);
    world.until("a registration", |world| world.said(host, |event| matches!(event, Event::Registered { .. })));
    // An hour with nothing but signs of life.
    world.pass(seconds(3600));
    assert!(!world.said(host, |event| matches!(event, Event::ServerLost { .. })));
    world.cut(office, meeting, true);
    let is_lost = |world: &World| world.said(host, |event| matches!(event, Event::ServerLost { .. }));
    let has_left = |world: &World| world.said(server, |event| matches!(event, Event::HostLeft { .. }));
    let took = world.until("the loss", |world| is_lost(world) && has_left(world));
    assert!(took >= seconds(30) && took <= seconds(40), "{took:?}");
    world.cut(office, meeting, false);
    world.until("another registration", |world| {
        world.times_said(host, |event| matches!(event, Event::Registered { .. })) == 2
    });
}

#[test]
fn a_visitors_head_an_answers_head_and_an_idle_connection_have_their_time() {
    let mut published = Published::new();
    let visitor = published.visit("GET / HTTP/1.1\r\n");
    let took = published.ends(visitor);
    assert_about("a head", took, seconds(10));
    assert!(published.heard(visitor).starts_with("HTTP/1.1 408 "), "{}", published.heard(visitor));
    let visitor = published.visit(REQUEST);
    let took = published.world.until("an answer", |world| !world.heard(visitor).is_empty());
    assert_about("an answer", took, seconds(30));
    assert!(published.heard(visitor).starts_with("HTTP/1.1 504 "), "{}", published.heard(visitor));
    let visitor = published.visit("");
    let took = published.ends(visitor);
    assert_about("an idle one", took, seconds(60));
}

#[test]
fn a_server_that_is_asked_to_end_waits_ten_seconds_for_what_is_under_way() {
    let mut published = Published::new();
    let visitor = published.visit(REQUEST);
    published.world.pass(seconds(1));
    published.world.stop(published.server);
    let server = published.server;
    let took = published.world.until("the server's end", |world| world.end(server).is_some());
    assert!(took >= seconds(10) && took <= seconds(13), "{took:?}");
    published.world.until("the visitor knows", |world| world.ended(visitor).is_some());
    // With nothing in progress it does not wait.
    let mut published = Published::new();
    published.world.stop(published.server);
    let (server, host) = (published.server, published.host);
    let took = published.world.until("the server's end", |world| world.end(server).is_some());
    assert!(took <= seconds(2), "{took:?}");
    published
        .world
        .until("the host knows", |world| world.said(host, |event| matches!(event, Event::ServerLost { .. })));
}

#[test]
fn a_connection_is_as_it_was_after_an_hour() {
    let mut pair = Pair::new(relayed());
    let visitor = pair.world.visit(pair.home, "127.0.0.1:9000");
    pair.world.say(visitor, b"before");
    pair.world.until("an echo", |world| world.heard(visitor) == b"before");
    pair.world.pass(seconds(3600));
    pair.world.say(visitor, b" after");
    pair.world.until("an echo", |world| world.heard(visitor) == b"before after");
    let home = pair.home;
    check(&mut pair.world, home, b"another");
}
