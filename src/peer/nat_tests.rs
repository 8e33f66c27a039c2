//! Two connections that meet through NATs, using only the addresses a STUN server told them.

use std::collections::{HashSet, VecDeque};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use stun_types::attribute::XorMappedAddress;
use stun_types::message::{
    BINDING, Message, MessageClass, MessageType, MessageWrite, MessageWriteExt, MessageWriteVec,
};

use super::connection::{Connection, Event};
use super::stun::{Gatherer, Mapping, Udp};

const SERVERS: [&str; 2] = ["203.0.113.100:3478", "203.0.113.101:3478"];

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

/// A datagram on the public network.
struct Datagram {
    source: SocketAddr,
    destination: SocketAddr,
    contents: Vec<u8>,
}

/// A NAT that keeps its mapping and lets in only packets from addresses it sent to ("port-restricted"), with one
/// machine behind it.
struct Nat {
    public: SocketAddr,
    contacted: HashSet<SocketAddr>,
}

/// One side: its machine and its router.
struct Side {
    base: SocketAddr,
    connection: Connection,
    gatherer: Gatherer,
    nat: Nat,
    candidates: Vec<String>,
    is_open: bool,
}

impl Side {
    fn new(now: Instant, mut connection: Connection, base: &str, public: &str) -> Side {
        let base = address(base);
        connection.add_local_candidate(now, base).unwrap();
        let mut gatherer = Gatherer::new();
        gatherer.add_socket(now, base);
        SERVERS.iter().for_each(|server| gatherer.add_server(now, address(server)));
        let nat = Nat { public: address(public), contacted: HashSet::new() };
        Side { base, connection, gatherer, nat, candidates: Vec::new(), is_open: false }
    }

    fn receive(&mut self, now: Instant, datagram: &Datagram) {
        if !self.nat.contacted.contains(&datagram.source) {
            return;
        }
        let (local, remote) = (self.base, datagram.source);
        if !self.gatherer.handle_datagram(now, local, remote, &datagram.contents) {
            self.connection.handle_datagram(now, local, remote, &datagram.contents);
        }
    }

    /// Sends this side's datagrams and collects its candidates.
    fn send(&mut self, now: Instant, network: &mut VecDeque<Datagram>) {
        while let Some(found) = self.gatherer.poll_mapped() {
            self.candidates.extend(self.connection.add_server_reflexive(now, found.mapped, found.local));
        }
        while let Some(event) = self.connection.poll_event() {
            assert!(!matches!(event, Event::Closed(_)), "{event:?}");
            self.is_open |= matches!(event, Event::Open);
        }
        let mut sent = Vec::new();
        while let Some(request) = self.gatherer.poll_transmit() {
            sent.push((request.source, request.destination, request.contents));
        }
        while let Some(transmit) = self.connection.poll_transmit() {
            sent.push((transmit.source, transmit.destination, transmit.contents.to_vec()));
        }
        for (source, destination, contents) in sent {
            assert_eq!(source, self.base, "datagrams leave from the socket, not from its public address");
            self.nat.contacted.insert(destination);
            network.push_back(Datagram { source: self.nat.public, destination, contents });
        }
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.gatherer.handle_timeout(now);
        self.connection.handle_timeout(now);
    }

    fn timeout(&self) -> Option<Instant> {
        [self.gatherer.poll_timeout(), self.connection.poll_timeout()].into_iter().flatten().min()
    }
}

fn serve(datagram: &Datagram) -> Datagram {
    let request = Message::from_bytes(&datagram.contents).unwrap();
    let transaction = request.transaction_id();
    let kind = MessageType::from_class_method(MessageClass::Success, BINDING);
    let mut answer = Message::builder(kind, transaction, MessageWriteVec::new());
    answer.add_attribute(&XorMappedAddress::new(datagram.source, transaction)).unwrap();
    Datagram { source: datagram.destination, destination: datagram.source, contents: answer.finish() }
}

#[test]
fn peers_behind_nats_meet_by_what_a_stun_server_told_them() {
    let start = Instant::now();
    let mut now = start;
    let (host, offer) = Connection::offer(now).unwrap();
    let (client, answer) = Connection::answer(now, &offer).unwrap();
    let mut host = Side::new(now, host, "192.168.1.2:1000", "203.0.113.1:41000");
    let mut client = Side::new(now, client, "192.168.1.2:1000", "203.0.113.2:42000");
    host.connection.handle_answer(now, &answer).unwrap();
    let mut network = VecDeque::new();
    let servers = SERVERS.map(address);
    while !(host.is_open && client.is_open) {
        host.send(now, &mut network);
        client.send(now, &mut network);
        // Only the server-reflexive candidates are exchanged; each is useless without the other.
        host.candidates.drain(..).for_each(|text| assert!(client.connection.add_remote_candidate(now, &text)));
        client.candidates.drain(..).for_each(|text| assert!(host.connection.add_remote_candidate(now, &text)));
        if let Some(datagram) = network.pop_front() {
            let destination = datagram.destination;
            if servers.contains(&destination) {
                network.push_back(serve(&datagram));
            } else if destination == host.nat.public {
                host.receive(now, &datagram);
            } else if destination == client.nat.public {
                client.receive(now, &datagram);
            }
        } else {
            now = [host.timeout(), client.timeout()].into_iter().flatten().min().unwrap().max(now);
            host.handle_timeout(now);
            client.handle_timeout(now);
        }
        assert!(now < start + Duration::from_secs(3), "they do not meet");
    }
    for (side, other) in [(&host, &client), (&client, &host)] {
        let findings = side.gatherer.findings();
        assert_eq!((findings.udp, findings.mapping), (Udp::Open, Mapping::Independent));
        let path = side.connection.path().unwrap();
        assert_eq!((path.local, path.remote), (side.base, other.nat.public));
        assert_eq!(path.candidates, "srflx/srflx");
    }
}

#[test]
fn an_address_that_says_nothing_new_is_not_told() {
    let now = Instant::now();
    let (mut connection, _) = Connection::offer(now).unwrap();
    let base = address("192.168.1.2:1000");
    let mapped = address("203.0.113.1:41000");
    assert_eq!(connection.add_server_reflexive(now, mapped, base), None, "the socket is unknown");
    connection.add_local_candidate(now, base).unwrap();
    let candidate = connection.add_server_reflexive(now, mapped, base).unwrap();
    assert!(candidate.contains("203.0.113.1 41000 typ srflx"), "{candidate}");
    assert_eq!(connection.add_server_reflexive(now, mapped, base), None, "told already");
    assert_eq!(connection.add_server_reflexive(now, base, base), None, "it is the socket's own");
    assert_eq!(connection.add_server_reflexive(now, address("[2001:db8::1]:5"), base), None, "another family");
}
