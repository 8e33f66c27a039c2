//! Addresses that come and go while the program runs, on interfaces of a network namespace of the test.

use std::net::{IpAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use mio::{Events, Poll, Token};
use nix::sched::{CloneFlags, unshare};
use pinhole::internals::net::interfaces::{MAX_IPV4, offered_addresses};
use pinhole::internals::net::watch::InterfaceWatch;

use crate::common::DEADLINE;
use crate::common::system::{program, skipped};

const TOKEN: Token = Token(7);

/// A network namespace with two connected interfaces, and a watch of their addresses.
///
/// The namespace belongs to the thread and ends with the test.
struct World {
    ip: PathBuf,
    poll: Poll,
    watch: InterfaceWatch,
    /// The last list that was reported.
    addresses: Vec<IpAddr>,
    reports: usize,
}

impl World {
    fn new(test: &str) -> Option<World> {
        let ip = program("ip", test)?;
        if let Err(error) = unshare(CloneFlags::CLONE_NEWNET) {
            skipped(test, &format!("a network namespace needs root ({error})"));
            return None;
        }
        if !Command::new(&ip).args("link add near type veth peer name far".split(' ')).status().unwrap().success() {
            skipped(test, "this kernel has no virtual Ethernet (veth)");
            return None;
        }
        for interface in ["lo", "near", "far"] {
            run(&ip, &format!("link set {interface} up"));
        }
        let poll = Poll::new().unwrap();
        let watch = InterfaceWatch::start(poll.registry(), TOKEN);
        Some(World { ip, poll, watch, addresses: Vec::new(), reports: 0 })
    }

    /// Runs `ip` with those arguments in the namespace.
    fn ip(&self, arguments: &str) {
        run(&self.ip, arguments);
    }

    /// Drives the watch as a loop would until the last report fits.
    #[track_caller]
    fn wait_until(&mut self, what: &str, fits: impl Fn(&[IpAddr]) -> bool) {
        let deadline = Instant::now() + DEADLINE;
        while !fits(&self.addresses) {
            assert!(Instant::now() < deadline, "not in time: {what}; last reported: {:?}", self.addresses);
            self.turn(deadline);
        }
    }

    /// Drives the watch until it waits for nothing.
    fn settle(&mut self) {
        while let Some(due) = self.watch.poll_timeout() {
            self.turn(due);
        }
    }

    fn turn(&mut self, until: Instant) {
        let mut events = Events::with_capacity(8);
        let due = self.watch.poll_timeout().map_or(until, |due| due.min(until));
        self.poll.poll(&mut events, Some(due.saturating_duration_since(Instant::now()))).unwrap();
        if events.iter().any(|event| event.token() == TOKEN) {
            self.watch.handle_event(Instant::now());
        }
        if let Some(addresses) = self.watch.handle_timeout(Instant::now()) {
            self.addresses = addresses;
            self.reports += 1;
        }
    }
}

fn run(ip: &Path, arguments: &str) {
    let status = Command::new(ip).args(arguments.split(' ')).status().unwrap();
    assert!(status.success(), "ip {arguments}: {status}");
}

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

#[test]
fn addresses_that_come_and_go_are_noticed() {
    let Some(mut world) = World::new("addresses_that_come_and_go_are_noticed") else { return };
    let (one, two) = (address("192.0.2.7"), address("192.0.2.8"));
    world.ip("addr add 192.0.2.7/24 dev near");
    world.wait_until("an address", |list| list.contains(&one) && list.contains(&address("127.0.0.1")));
    world.ip("addr add 192.0.2.8/24 dev near");
    world.wait_until("a second one", |list| list.contains(&one) && list.contains(&two));
    world.ip("addr del 192.0.2.8/24 dev near");
    world.wait_until("one that goes", |list| list.contains(&one) && !list.contains(&two));
}

#[test]
fn a_link_that_loses_its_peer_is_noticed() {
    let Some(mut world) = World::new("a_link_that_loses_its_peer_is_noticed") else { return };
    let one = address("192.0.2.7");
    world.ip("addr add 192.0.2.7/24 dev near");
    world.wait_until("an address", |list| list.contains(&one));
    // As with a cable that is pulled: the address stays, and is of no use.
    world.ip("link set far down");
    world.wait_until("a link that is down", |list| !list.contains(&one));
    world.ip("link set far up");
    world.wait_until("a link that is up again", |list| list.contains(&one));
    world.ip("link del near");
    world.wait_until("an interface that is gone", |list| !list.contains(&one));
}

#[test]
fn an_ipv6_address_is_reported_once_it_can_be_used() {
    const TEST: &str = "an_ipv6_address_is_reported_once_it_can_be_used";
    let Some(mut world) = World::new(TEST) else { return };
    if !Path::new("/proc/net/if_inet6").exists() {
        return skipped(TEST, "this kernel has no IPv6");
    }
    let one = address("2001:db8::7");
    world.ip("addr add 2001:db8::7/64 dev near");
    world.wait_until("an IPv6 address", |list| list.contains(&one));
    UdpSocket::bind((one, 0)).unwrap();
}

#[test]
fn a_burst_is_one_report_and_silence_costs_nothing() {
    let Some(mut world) = World::new("a_burst_is_one_report_and_silence_costs_nothing") else { return };
    world.settle();
    let before = world.reports;
    // Announced before the first turn, whatever that takes.
    for last in 1..=9 {
        world.ip(&format!("addr add 192.0.2.{last}/24 dev near"));
    }
    world.wait_until("all of them", |list| list.contains(&address("192.0.2.9")));
    world.settle();
    assert_eq!(world.reports, before + 1, "{:?}", world.addresses);
    assert_eq!(world.watch.poll_timeout(), None);

    // Announced, and no other addresses than before.
    world.ip("link set near mtu 1400");
    let mut events = Events::with_capacity(8);
    world.poll.poll(&mut events, Some(Duration::from_secs(60))).unwrap();
    world.watch.handle_event(Instant::now());
    assert!(world.watch.poll_timeout().is_some(), "{events:?}");
    world.settle();
    assert_eq!(world.reports, before + 1, "{:?}", world.addresses);
}

#[test]
fn among_many_addresses_those_that_lead_out_are_offered() {
    const TEST: &str = "among_many_addresses_those_that_lead_out_are_offered";
    let Some(world) = World::new(TEST) else { return };
    // As container engines make them, before the interface that leads out.
    for number in 0..20 {
        if !Command::new(&world.ip)
            .args(["link", "add", &format!("br-{number}"), "type", "bridge"])
            .status()
            .unwrap()
            .success()
        {
            return skipped(TEST, "this kernel has no bridges");
        }
        world.ip(&format!("link add p{number} type veth peer name q{number}"));
        world.ip(&format!("link set p{number} master br-{number}"));
        for interface in [format!("p{number}"), format!("q{number}"), format!("br-{number}")] {
            world.ip(&format!("link set {interface} up"));
        }
        world.ip(&format!("addr add 172.20.{number}.1/24 dev br-{number}"));
    }
    world.ip("addr add 192.0.2.7/24 dev near");
    world.ip("addr add 192.0.2.9/24 dev near");
    let has_ipv6 = Path::new("/proc/net/if_inet6").exists();
    if has_ipv6 {
        world.ip("addr add 2001:db8::7/64 dev near nodad");
        world.ip("addr add fd00:9::1/64 dev br-3 nodad");
    }
    world.ip("route add default via 192.0.2.1 dev near");
    let offered = offered_addresses(None).unwrap();
    assert_eq!(offered.addresses[..2], [address("192.0.2.7"), address("192.0.2.9")], "{offered:?}");
    assert_eq!(
        offered.addresses.iter().filter(|own| own.is_ipv4()).count(),
        MAX_IPV4 + 1,
        "with loopback: {offered:?}"
    );
    assert!(offered.left_out.iter().all(|(_, name)| name.starts_with("br-")), "{offered:?}");
    assert!(offered.left_out.len() >= 15);
    if has_ipv6 {
        assert!(offered.addresses.contains(&address("2001:db8::7")), "each family has room: {offered:?}");
    }
    // What led to the peer's signaling comes first, whatever it is.
    let offered = offered_addresses(Some(address("172.20.19.1"))).unwrap();
    assert_eq!(offered.addresses[..2], [address("172.20.19.1"), address("192.0.2.7")], "{offered:?}");
}
