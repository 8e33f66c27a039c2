//! Bytes from a program to a service, over every kind of path.

use std::time::Duration;

use super::{Ended, Side, World, client_of, host_of, registration};
use crate::config::{HostConfig, ServerConfig};
use crate::net::world::Machine;
use crate::session::Reach;
use crate::status::event::{Event, Way};

const SERVICE: &str = "127.0.0.1:80";
const LOCAL: &str = "127.0.0.1:9000";
const OFFICE: &str = "10.0.0.1";
const HOME: &str = "10.0.0.2";
const MEETING: &str = "10.0.0.9";

/// A host with an echo service, and a client, each on its own machine.
pub(super) struct Pair {
    pub(super) world: World,
    pub(super) office: Machine,
    pub(super) home: Machine,
    pub(super) host: Side,
    pub(super) client: Side,
}

impl Pair {
    pub(super) fn new(reach: Reach) -> Pair {
        let mut world = World::new();
        let (office, home) = (world.machine(&[OFFICE]), world.machine(&[HOME]));
        world.echo(office, SERVICE);
        let host = world.host(office, HostConfig { reach, ..host_of(SERVICE) });
        let client = world.client(home, client_of(OFFICE));
        let mut pair = Pair { world, office, home, host, client };
        pair.world.until("a session", |world| world.said(client, is_forwarding));
        pair
    }

    /// Sends bytes through the client and expects them back.
    pub(super) fn check(&mut self, bytes: &[u8]) {
        check(&mut self.world, self.home, bytes);
    }
}

pub(super) fn is_forwarding(event: &Event) -> bool {
    matches!(event, Event::Forwarding { .. })
}

/// Sends bytes to a client's port and expects them back.
pub(super) fn check(world: &mut World, home: Machine, bytes: &[u8]) {
    let visitor = world.visit(home, LOCAL);
    world.say(visitor, bytes);
    world.finish(visitor);
    world.until("an echo", |world| world.ended(visitor).is_some());
    assert_eq!(world.ended(visitor), Some(Ended::InOrder));
    assert!(world.heard(visitor) == bytes, "{} of {} bytes", world.heard(visitor).len(), bytes.len());
}

pub(super) fn relayed() -> Reach {
    Reach { direct: false, ..Reach::default() }
}

fn some_bytes(len: usize) -> Vec<u8> {
    (0..len).map(|index| (index % 251) as u8).collect()
}

#[test]
fn a_relayed_session_carries_bytes_and_leaves_nothing() {
    let mut pair = Pair::new(relayed());
    assert!(pair.world.said(pair.client, |event| matches!(event, Event::Connected { way: Way::Relayed { .. }, .. })));
    pair.check(b"hello");
    pair.check(&some_bytes(1_000_000));
    let (host, client) = (pair.host, pair.client);
    pair.world.stop(client);
    pair.world.until("the client's end", |world| world.end(client).is_some());
    pair.world
        .until("the session's end", |world| world.said(host, |event| matches!(event, Event::Disconnected { .. })));
    pair.world.pass(Duration::from_secs(5));
    assert_eq!(pair.world.sockets(host), 1, "the listener");
    assert_eq!(pair.world.sockets(client), 0);
}

#[test]
fn a_direct_session_carries_bytes_and_leaves_nothing() {
    let mut pair = Pair::new(Reach::default());
    let (host, client) = (pair.host, pair.client);
    let is_direct = |event: &Event| {
        matches!(event, Event::Connected { way: Way::Direct { .. }, .. } | Event::Path { way: Way::Direct { .. }, .. })
    };
    pair.world.until("a direct path", |world| world.said(client, is_direct));
    pair.check(b"hello");
    pair.check(&some_bytes(1_000_000));
    pair.world.pass(Duration::from_secs(60));
    pair.check(b"still there");
    pair.world.stop(client);
    pair.world.until("the client's end", |world| world.end(client).is_some());
    pair.world
        .until("the session's end", |world| world.said(host, |event| matches!(event, Event::Disconnected { .. })));
    pair.world.pass(Duration::from_secs(5));
    assert_eq!((pair.world.sockets(host), pair.world.sockets(client)), (1, 0));
}

#[test]
fn a_session_through_a_server_carries_bytes_and_leaves_nothing() {
    let mut world = World::new();
    let (office, home, meeting) = (world.machine(&[OFFICE]), world.machine(&[HOME]), world.machine(&[MEETING]));
    world.echo(office, SERVICE);
    let server = world.server(meeting, ServerConfig::open(([0, 0, 0, 0], super::SERVER_PORT).into()));
    let registration = registration(MEETING, "office");
    let url = registration.server.client_endpoint(&registration.id);
    let host = world.host(office, HostConfig { listen: None, server: Some(registration), ..host_of(SERVICE) });
    world.until("a registration", |world| world.said(host, |event| matches!(event, Event::Registered { .. })));
    let client = world.client(home, crate::config::ClientConfig { url, ..client_of(MEETING) });
    world.until("a session", |world| world.said(client, is_forwarding));
    check(&mut world, home, &some_bytes(300_000));
    world.stop(client);
    world.until("the client's end", |world| world.end(client).is_some());
    world.pass(Duration::from_secs(60));
    assert_eq!((world.sockets(host), world.sockets(client), world.sockets(server)), (1, 0, 2));
    world.stop(server);
    world.until("the server's end", |world| world.end(server).is_some());
}
