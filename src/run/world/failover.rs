//! Hosts and clients that know several servers, which die, freeze, drain and refuse.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use super::forwarding::is_forwarding;
use super::{SERVER_PORT, Side, World, client_of, host_of, registration};
use crate::config::{ClientConfig, HostConfig, OtherServer, Registration, ServerConfig, SignalingUrl};
use crate::net::world::Machine;
use crate::run::RunError;
use crate::signaling::error::SignalingError;
use crate::signaling::message::ErrorCode;
use crate::status::event::Event;

const SERVICE: &str = "127.0.0.1:80";
const SERVERS: [&str; 3] = ["10.0.0.7", "10.0.0.8", "10.0.0.9"];

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

fn server_config() -> ServerConfig {
    ServerConfig::open(([0, 0, 0, 0], SERVER_PORT).into())
}

fn others(addresses: &[&str]) -> Vec<OtherServer> {
    let url = |address: &&str| SignalingUrl::parse_server(&format!("ws://{address}:{SERVER_PORT}")).unwrap();
    addresses.iter().map(url).map(OtherServer::new).collect()
}

/// A host that knows these servers, and registers with this token.
fn host_at(servers: &[&str], token: Option<&str>) -> HostConfig {
    let token = token.map(|token| token.parse().unwrap());
    let registration = Registration { token, others: others(&servers[1..]), ..registration(servers[0], "office") };
    HostConfig { listen: None, server: Some(registration), ..host_of(SERVICE) }
}

fn client_at(servers: &[&str]) -> ClientConfig {
    let registration = registration(servers[0], "office");
    let url = registration.server.client_endpoint(&registration.id);
    ClientConfig { url, others: others(&servers[1..]), ..client_of(servers[0]) }
}

/// Machines with servers, an office and a home.
struct Place {
    world: World,
    office: Machine,
    home: Machine,
    machines: [Machine; 3],
    servers: [Side; 3],
}

impl Place {
    fn new(seed: u64) -> Place {
        let mut world = World::seeded(seed);
        let [office, home] = ["10.0.0.1", "10.0.0.2"].map(|address| world.machine(&[address]));
        let machines = SERVERS.map(|address| world.machine(&[address]));
        let servers = machines.map(|machine| world.server(machine, server_config()));
        world.echo(office, SERVICE);
        Place { world, office, home, machines, servers }
    }

    fn host(&mut self, servers: &[&str], token: Option<&str>) -> Side {
        let host = self.world.host(self.office, host_at(servers, token));
        self.world.until("a registration", |world| registrations(world, host).len() == 1);
        host
    }
}

fn is_registered(event: &Event) -> bool {
    matches!(event, Event::Registered { .. })
}

/// Where a host was registered, one after the other.
fn registrations(world: &World, host: Side) -> Vec<usize> {
    let server = |event: &Event| match event {
        Event::Registered { url, others, .. } => {
            assert!(others.iter().all(|other| !url.starts_with(other)), "{url} {others:?}");
            SERVERS.iter().position(|address| url.contains(address))
        }
        _ => None,
    };
    world.events(host).iter().filter_map(server).collect()
}

#[test]
fn a_host_begins_at_the_first_goes_to_another_and_stays_there() {
    for seed in 0..8 {
        let mut place = Place::new(seed);
        let host = place.host(&SERVERS, None);
        let Place { world, machines, servers, .. } = &mut place;
        assert_eq!(registrations(world, host), [0]);
        world.kill(servers[0]);
        let took = world.until("another server", |world| registrations(world, host).len() == 2);
        assert!(took <= seconds(2), "{took:?}");
        // The first one is back, and nobody goes there for that.
        servers[0] = world.server(machines[0], server_config());
        world.pass(seconds(600));
        let [0, at] = registrations(world, host)[..] else { panic!("{}", world.report()) };
        assert_ne!(at, 0);
        // What the host says leads where it is.
        world.kill(servers[at]);
        let took = world.until("a third place", |world| registrations(world, host).len() == 3);
        assert!(took <= seconds(2), "{took:?}");
        assert_ne!(registrations(world, host)[2], at);
        assert_eq!(world.times_said(host, |event| matches!(event, Event::ServerLost { .. })), 2);
    }
}

#[test]
fn a_frozen_server_is_left_within_fifteen_seconds() {
    for seed in 0..8 {
        let mut place = Place::new(seed);
        let host = place.host(&SERVERS, None);
        let Place { world, servers, .. } = &mut place;
        // An hour of nothing but signs of life.
        world.pass(seconds(3600) + Duration::from_millis(700 * seed));
        assert_eq!(registrations(world, host), [0]);
        world.stall(servers[0], true);
        let took = world.until("another server", |world| registrations(world, host).len() == 2);
        assert!(took >= seconds(10) && took <= seconds(17), "{took:?}");
    }
}

#[test]
fn a_server_that_drains_is_left_and_not_come_back_to() {
    let mut place = Place::new(1);
    let host = place.host(&SERVERS[..2], None);
    let Place { world, machines, servers, .. } = &mut place;
    world.stop(servers[0]);
    world.until("its end", |world| world.end(servers[0]).is_some());
    world.until("the other server", |world| registrations(world, host) == [0, 1]);
    world.server(machines[0], server_config());
    world.pass(seconds(120));
    assert_eq!(registrations(world, host), [0, 1]);
}

#[test]
fn a_host_whose_own_address_changed_comes_back_to_its_server() {
    let mut place = Place::new(1);
    let host = place.host(&SERVERS, None);
    let Place { world, office, servers, .. } = &mut place;
    world.kill(servers[0]);
    world.until("another server", |world| registrations(world, host).len() == 2);
    for number in 3..12 {
        world.readdress(*office, &format!("10.0.1.{number}"));
        world.until("its server again", |world| registrations(world, host).len() == number);
    }
    let all = registrations(world, host);
    assert!(all[1..].iter().all(|at| *at == all[1]), "{all:?}");
}

#[test]
fn a_full_server_is_passed_over_and_if_all_are_the_run_ends() {
    let mut place = Place::new(1);
    let Place { world, office, machines, servers, .. } = &mut place;
    for (server, machine) in servers.iter_mut().zip(machines).take(2) {
        world.kill(*server);
        *server = world.server(*machine, ServerConfig { max_hosts: 1, ..server_config() });
    }
    for address in &SERVERS[..2] {
        let other = Registration { ..registration(address, "another") };
        let other = world.host(*office, HostConfig { listen: None, server: Some(other), ..host_of(SERVICE) });
        world.until("a registration", |world| registrations(world, other).len() == 1);
    }
    // Whoever asks for a place from the same address as the one that has it is told so.
    let host = world.host(*office, host_at(&SERVERS, None));
    world.until("a place", |world| registrations(world, host) == [2]);
    world.kill(host);
    let host = world.host(*office, host_at(&SERVERS[..2], None));
    world.until("an end", |world| world.end(host).is_some());
    let Some(Err(RunError::Refused { error, .. })) = world.end(host) else { panic!("{}", world.report()) };
    assert_eq!(error.code, ErrorCode::Full);
}

#[test]
fn whoever_is_replaced_goes_nowhere_else() {
    let mut place = Place::new(1);
    let host = place.host(&SERVERS, Some("the-token"));
    let Place { world, home, .. } = &mut place;
    let other = world.host(*home, host_at(&SERVERS, Some("the-token")));
    world.until("an end", |world| world.end(host).is_some());
    let Some(Err(RunError::Refused { error, .. })) = world.end(host) else { panic!("{}", world.report()) };
    assert_eq!(error.code, ErrorCode::Replaced);
    assert_eq!((registrations(world, host), registrations(world, other)), (vec![0], vec![0]));
}

#[test]
fn without_any_server_the_run_ends_after_each_was_tried_or_waits_if_told_to() {
    let mut place = Place::new(1);
    let Place { world, office, machines, servers, .. } = &mut place;
    servers.iter().for_each(|server| world.kill(*server));
    let host = world.host(*office, host_at(&SERVERS, None));
    world.until("an end", |world| world.end(host).is_some());
    assert!(matches!(world.end(host), Some(Err(RunError::NotYet(_)))), "{}", world.report());
    let tried = SERVERS.map(|address| world.attempts(*office, &format!("{address}:{SERVER_PORT}"), seconds(0)).len());
    assert_eq!(tried, [1, 1, 1]);
    let mut patient = host_at(&SERVERS, None);
    patient.server.as_mut().unwrap().retry = true;
    let host = world.host(*office, patient);
    world.pass(seconds(60));
    world.server(machines[2], server_config());
    world.until("the one that is there", |world| registrations(world, host) == [2]);
}

#[test]
fn a_client_finds_its_host_at_whichever_server_it_is() {
    for seed in 0..4 {
        let mut place = Place::new(seed);
        place.host(&SERVERS[2..], None);
        let Place { world, home, servers, .. } = &mut place;
        // One does not know the host, another one is dead.
        world.kill(servers[1]);
        let client = world.client(*home, client_at(&SERVERS));
        let took = world.until("a session", |world| world.said(client, is_forwarding));
        assert!(took <= seconds(4), "{took:?}");
    }
}

#[test]
fn a_host_that_no_server_knows_is_unknown_once_each_was_asked() {
    let mut place = Place::new(1);
    let Place { world, home, .. } = &mut place;
    let client = world.client(*home, client_at(&SERVERS));
    world.until("an end", |world| world.end(client).is_some());
    let Some(Err(RunError::NotYet(error))) = world.end(client) else { panic!("{}", world.report()) };
    let RunError::Signaling(SignalingError::Refused { code, .. }) = **error else { panic!("{error:?}") };
    assert_eq!(code, ErrorCode::UnknownHost);
    let tried = SERVERS.map(|address| world.attempts(*home, &format!("{address}:{SERVER_PORT}"), seconds(0)).len());
    assert_eq!(tried, [1, 1, 1]);
}

/// A relayed session whose server stops working.
fn loses_its_server(seed: u64, change: fn(&mut World, Side)) -> Duration {
    let mut place = Place::new(seed);
    let host = place.host(&SERVERS[..2], None);
    let Place { world, home, servers, .. } = &mut place;
    let client = world.client(*home, client_at(&SERVERS[..2]));
    world.until("a session", |world| world.said(client, is_forwarding));
    let visitor = world.visit(*home, "127.0.0.1:9000");
    world.say(visitor, b"before ");
    world.until("an echo", |world| world.heard(visitor) == b"before ");
    change(world, servers[0]);
    world.say(visitor, b"meanwhile ");
    let took = world.until("an echo", |world| world.heard(visitor) == b"before meanwhile ");
    assert_eq!(registrations(world, host), [0, 1]);
    took
}

#[test]
fn a_relayed_session_goes_on_through_another_server() {
    for seed in 0..6 {
        let took = loses_its_server(seed, World::kill);
        assert!(took <= seconds(4), "killed: {took:?}");
        let took = loses_its_server(seed, |world, server| world.stall(server, true));
        assert!(took <= seconds(20), "frozen: {took:?}");
        let took = loses_its_server(seed, World::stop);
        assert!(took <= seconds(6), "drained: {took:?}");
    }
}

#[test]
fn every_address_of_a_name_is_tried_and_then_the_next_server() {
    let mut place = Place::new(1);
    let Place { world, office, home, machines, servers } = &mut place;
    let [dead, frozen, alive] = SERVERS.map(|address| address.parse().unwrap());
    world.network().name("all.test", Some(vec![dead, frozen, alive]));
    world.kill(servers[0]);
    world.stall(servers[1], true);
    let host = world.host(*office, host_at(&["all.test", "nowhere.test"], None));
    let took = world.until("the third address", |world| world.said(host, is_registered));
    assert!(took <= seconds(4), "{took:?}");
    let client = world.client(*home, client_at(&["all.test"]));
    let took = world.until("a session", |world| world.said(client, is_forwarding));
    assert!(took <= seconds(5), "{took:?}");
    // The address that answered is not there any more, and another one is.
    servers[0] = world.server(machines[0], server_config());
    world.kill(servers[2]);
    let again = |world: &World| world.times_said(host, is_registered) == 2;
    let took = world.until("the first address", again);
    assert!(took <= seconds(10), "{took:?}");
}

#[test]
fn two_hundred_hosts_that_lose_one_server_spread_over_the_others_and_over_a_second() {
    let mut world = World::seeded(7);
    let office = world.machine(&["10.0.0.1"]);
    let addresses = ["10.0.0.10", "10.0.0.11", "10.0.0.12", "10.0.0.13", "10.0.0.14"];
    let machines = addresses.map(|address| world.machine(&[address]));
    let servers = machines.map(|machine| world.server(machine, server_config()));
    let hosts: Vec<Side> = (0..200)
        .map(|number| {
            let first = registration(addresses[0], &format!("host-{number}"));
            let registration = Registration { others: others(&addresses[1..]), ..first };
            world.host(office, HostConfig { listen: None, server: Some(registration), ..host_of(SERVICE) })
        })
        .collect();
    let are_all = |world: &World, times| hosts.iter().all(|host| world.times_said(*host, is_registered) == times);
    world.until("all registrations", |world| are_all(world, 1));
    let begin = world.time();
    world.kill(servers[0]);
    let took = world.until("all of them elsewhere", |world| are_all(world, 2));
    assert!(took <= seconds(2), "{took:?}");
    let at = |address: &&str| world.attempts(office, &format!("{address}:{SERVER_PORT}"), begin);
    let attempts: Vec<Vec<Duration>> = addresses[1..].iter().map(at).collect();
    let counts: Vec<usize> = attempts.iter().map(Vec::len).collect();
    assert_eq!(counts.iter().sum::<usize>(), 200, "each came once");
    // Four times the standard deviation of a fair choice.
    assert!(counts.iter().all(|count| (26..=74).contains(count)), "{counts:?}");
    let mut tenths = [0; 10];
    attempts.iter().flatten().for_each(|at| tenths[((*at - begin).as_millis() / 101).min(9) as usize] += 1);
    assert!(tenths.iter().all(|count| (3..=37).contains(count)), "{tenths:?}");
}

/// Kills, freezes and cuts off two servers, of which each knows its own hosts only, in an order of a seed. Once all is
/// repaired, the client finds its host.
fn meets_again(seed: u64) {
    let mut place = Place::new(seed);
    let mut random = StdRng::seed_from_u64(seed);
    let patient = |mut host: HostConfig| {
        host.server.as_mut().unwrap().retry = true;
        host
    };
    let Place { world, office, home, machines, servers } = &mut place;
    let host = world.host(*office, patient(host_at(&SERVERS[..2], None)));
    let client = world.client(*home, ClientConfig { retry: true, ..client_at(&SERVERS[..2]) });
    for _ in 0..random.random_range(2..8) {
        let server = random.random_range(0..2);
        match random.random_range(0..5) {
            0 => {
                world.kill(servers[server]);
                world.pass(Duration::from_millis(random.random_range(0..20_000)));
                servers[server] = world.server(machines[server], server_config());
            }
            1 => world.stall(servers[server], random.random_bool(0.5)),
            2 => world.cut(*office, machines[server], random.random_bool(0.5)),
            3 => world.cut(*home, machines[server], random.random_bool(0.5)),
            _ => world.readdress(*office, &format!("10.0.1.{}", random.random_range(1..250))),
        }
        world.pass(Duration::from_millis(random.random_range(0..30_000)));
    }
    for server in 0..2 {
        world.stall(servers[server], false);
        world.cut(*office, machines[server], false);
        world.cut(*home, machines[server], false);
    }
    world.pass(seconds(120));
    let visitor = world.visit(*home, "127.0.0.1:9000");
    world.say(visitor, b"still there?");
    world.until("an echo", |world| world.heard(visitor) == b"still there?");
    assert!(world.end(host).is_none() && world.end(client).is_none(), "{}", world.report());
}

#[test]
fn whatever_happens_to_the_servers_all_meet_again() {
    let failed: Vec<u64> = (0..64).filter(|seed| std::panic::catch_unwind(|| meets_again(*seed)).is_err()).collect();
    assert_eq!(failed, [0; 0], "seeds that failed");
}
