//! Links between servers that stand still or are cut, measured exactly.

use std::path::PathBuf;
use std::time::Duration;

use super::{SERVER_PORT, Side, World, host_of, registration};
use crate::config::{ClusterConfig, HostConfig, OtherServer, ServerConfig};
use crate::net::world::Machine;
use crate::signaling::url::SignalingUrl;
use crate::status::event::Event;

/// Where servers come to each other.
const PEERS_PORT: u16 = 7000;

/// What a client of a host named office says first.
const JOIN: &str = "GET /ws/office HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\
                    Sec-WebSocket-Protocol: pinhole-signal.1\r\n\r\n";

/// A file with the secret of a cluster, removed with this.
struct Secret(PathBuf);

impl Secret {
    fn new() -> Secret {
        let path = std::env::temp_dir().join(format!("pinhole-cluster-{:016x}", rand::random::<u64>()));
        std::fs::write(&path, "the secret of this cluster").unwrap();
        Secret(path)
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        // What is left is in the folder of temporary files.
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Two servers on machines of their own. The second dials the first.
struct Two {
    world: World,
    machines: [Machine; 2],
    servers: [Side; 2],
    _secret: Secret,
}

impl Two {
    /// Starts them, and waits for their link.
    fn linked() -> Two {
        let secret = Secret::new();
        let mut world = World::new();
        let machines = [world.machine(&["10.0.0.1"]), world.machine(&["10.0.0.2"])];
        let config = |peers: &[&str]| {
            let mut cluster = ClusterConfig::new(&secret.0);
            cluster.listen = Some(([0, 0, 0, 0], PEERS_PORT).into());
            cluster.peers = peers.iter().map(|url| SignalingUrl::parse_server(url).unwrap()).collect();
            ServerConfig { cluster: Some(cluster), ..ServerConfig::open(([0, 0, 0, 0], SERVER_PORT).into()) }
        };
        let first = world.server(machines[0], config(&[]));
        let second = world.server(machines[1], config(&["ws://10.0.0.1:7000"]));
        let mut two = Two { world, machines, servers: [first, second], _secret: secret };
        two.are_linked(1);
        two
    }

    /// Waits until both have had that many links. Returns how long it took.
    #[track_caller]
    fn are_linked(&mut self, times: usize) -> Duration {
        let servers = self.servers;
        self.world.until("a link", |world| servers.iter().all(|server| links(world, *server) == times))
    }

    /// Waits until both have lost that many links. Returns how long it took.
    #[track_caller]
    fn are_lost(&mut self, times: usize) -> Duration {
        let servers = self.servers;
        self.world.until("a loss", |world| servers.iter().all(|server| losses(world, *server) == times))
    }

    fn stall(&mut self, server: usize, is_stalled: bool) {
        self.world.stall(self.servers[server], is_stalled);
    }
}

fn links(world: &World, server: Side) -> usize {
    world.times_said(server, |event| matches!(event, Event::PeerLinked { .. }))
}

fn losses(world: &World, server: Side) -> usize {
    world.times_said(server, |event| matches!(event, Event::PeerLost { .. }))
}

const fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

#[test]
fn a_link_without_traffic_lives() {
    let mut two = Two::linked();
    two.world.pass(seconds(3600));
    assert_eq!(two.servers.map(|server| losses(&two.world, server)), [0, 0]);
}

#[test]
fn a_server_that_stands_still_is_noticed_within_five_seconds_and_linked_again_once_it_goes_on() {
    for frozen in [0, 1] {
        let mut two = Two::linked();
        two.world.pass(Duration::from_millis(5_700));
        two.stall(frozen, true);
        let other = two.servers[1 - frozen];
        let took = two.world.until("the loss", |world| losses(world, other) == 1);
        assert!(took >= seconds(3) && took <= seconds(5), "{took:?}");
        two.world.pass(seconds(60));
        assert_eq!(links(&two.world, other), 1, "nothing is linked that does not answer");
        two.stall(frozen, false);
        let took = two.are_linked(2);
        assert!(took <= seconds(10), "{took:?}");
        two.world.pass(seconds(60));
        assert_eq!(two.servers.map(|server| losses(&two.world, server)), [1, 1]);
    }
}

#[test]
fn a_server_that_stood_still_for_a_moment_takes_nobody_for_dead() {
    let mut two = Two::linked();
    for server in [0, 1] {
        two.stall(server, true);
        two.world.pass(seconds(3));
        two.stall(server, false);
        two.world.pass(seconds(5));
    }
    // Both stand still: whoever wakes has not read yet what the other said.
    (0..2).for_each(|server| two.stall(server, true));
    two.world.pass(seconds(60));
    (0..2).for_each(|server| two.stall(server, false));
    two.world.pass(seconds(60));
    assert_eq!(two.servers.map(|server| losses(&two.world, server)), [0, 0]);
}

#[test]
fn a_way_that_is_cut_in_one_direction_or_in_both_is_noticed_on_both_sides() {
    for (from, to, both) in [(0, 1, false), (1, 0, false), (0, 1, true)] {
        let mut two = Two::linked();
        let (from, to) = (two.machines[from], two.machines[to]);
        two.world.pass(Duration::from_millis(5_300));
        two.world.cut_one_way(from, to, true);
        if both {
            two.world.cut_one_way(to, from, true);
        }
        let took = two.are_lost(1);
        assert!(took <= seconds(10), "{took:?}");
        two.world.pass(seconds(120));
        assert_eq!(two.servers.map(|server| links(&two.world, server)), [1, 1], "neither believes in another link");
        two.world.cut(from, to, false);
        let took = two.are_linked(2);
        assert!(took <= seconds(15), "{took:?}");
        two.world.pass(seconds(60));
        assert_eq!(two.servers.map(|server| losses(&two.world, server)), [1, 1]);
    }
}

#[test]
fn a_way_that_is_cut_during_the_greeting_makes_no_link_on_either_side() {
    // Whichever message is the last one to arrive.
    for after in (100..500).step_by(4) {
        for (from, to) in [(0, 1), (1, 0)] {
            let mut two = Two::linked();
            let (from, to) = (two.machines[from], two.machines[to]);
            two.world.cut(from, to, true);
            two.are_lost(1);
            two.world.cut(from, to, false);
            two.world.pass(Duration::from_millis(after));
            two.world.cut_one_way(from, to, true);
            two.world.pass(seconds(90));
            let had = two.servers.map(|server| links(&two.world, server));
            assert_eq!(had, two.servers.map(|server| losses(&two.world, server)), "what was there is over");
            assert!(had[1] <= had[0] && had[0] <= 2, "the one that dials believes nothing too early: {had:?}");
            two.world.cut(from, to, false);
            two.world.pass(seconds(20));
            let linked = two.servers.map(|server| links(&two.world, server) - losses(&two.world, server));
            assert_eq!(linked, [1, 1]);
        }
    }
}

#[test]
fn a_host_whose_server_stands_still_can_be_had_again_from_another() {
    let mut two = Two::linked();
    let office = two.world.machine(&["10.0.0.7"]);
    let config =
        HostConfig { listen: None, server: Some(registration("10.0.0.1", "office")), ..host_of("127.0.0.1:80") };
    let host = two.world.host(office, config);
    two.world.until("a registration", |world| world.said(host, |event| matches!(event, Event::Registered { .. })));
    two.world.pass(seconds(2));
    let ask = |two: &mut Two| {
        let home = two.machines[1];
        let visitor = two.world.visit(home, &format!("127.0.0.1:{SERVER_PORT}"));
        two.world.say(visitor, JOIN.as_bytes());
        two.world.pass(Duration::from_millis(500));
        String::from_utf8_lossy(two.world.heard(visitor)).into_owned()
    };
    let said = ask(&mut two);
    assert!(said.contains(" 101 ") && !said.contains("error"), "{said}");
    two.stall(0, true);
    two.world.pass(seconds(5));
    let said = ask(&mut two);
    assert!(said.contains("\"busy\""), "{said}");
}

#[test]
fn a_server_that_stood_still_takes_no_host_that_left_it_for_unknown() {
    // When it goes on, it may hear of its host's end before it hears that the link is gone, and of a client in between.
    for offset in (0..5_000).step_by(100) {
        let mut two = Two::linked();
        let office = two.world.machine(&["10.0.0.7"]);
        let mut registration = registration("10.0.0.1", "office");
        let other = SignalingUrl::parse_server(&format!("ws://10.0.0.2:{SERVER_PORT}")).unwrap();
        registration.others = vec![OtherServer::new(other)];
        let config = HostConfig { listen: None, server: Some(registration), ..host_of("127.0.0.1:80") };
        let host = two.world.host(office, config);
        let is_registered = |event: &Event| matches!(event, Event::Registered { .. });
        two.world.until("a registration", |world| world.said(host, is_registered));
        two.world.pass(seconds(2) + Duration::from_millis(offset));
        let home = two.machines[1];
        let visitor = two.world.visit(home, &format!("10.0.0.1:{SERVER_PORT}"));
        two.world.say(visitor, JOIN.as_bytes());
        two.world.pass(Duration::from_millis(100));
        two.stall(0, true);
        two.world.pass(Duration::from_millis(300));
        two.world.say(visitor, b"\x81\x85\0\0\0\0hello");
        two.world.until("another", |world| world.times_said(host, is_registered) == 2);
        two.stall(0, false);
        two.world.pass(Duration::from_millis(500));
        let said = String::from_utf8_lossy(two.world.heard(visitor)).into_owned();
        assert!(said.contains(" 101 ") && said.contains("busy"), "{offset}: {said}");
    }
}
