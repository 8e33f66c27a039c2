//! Plain hole punching between two sockets, which shows what the laboratory's routers let through: otherwise a relayed
//! pair would prove nothing about pinhole.

use std::net::{SocketAddr, SocketAddrV4, UdpSocket};
use std::thread;
use std::time::{Duration, Instant};

use crate::is_full;
use crate::lab::{Lab, STUN, Site};
use crate::nat::Nat;
use crate::stun;

/// How long both sides try: many round trips.
const PATIENCE: Duration = Duration::from_millis(500);

/// How much longer one side waits before it starts than the other.
const HEAD_START: Duration = Duration::from_millis(100);

/// The messages: the other side was not heard yet, or it was.
const HELLO: &[u8] = b"hello";
const HEARD: &[u8] = b"heard";

/// How a router maps a socket, as two servers see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mapping {
    /// Not at all.
    Identity,
    Independent,
    Dependent,
    /// No server answers.
    Blocked,
}

/// A socket behind a router, and how the internet sees it.
struct Peer {
    socket: UdpSocket,
    seen: Option<SocketAddrV4>,
    mapping: Mapping,
}

impl Peer {
    fn new(site: &Site) -> Peer {
        let socket = site.inside.run(|| UdpSocket::bind(("0.0.0.0", 0)).unwrap());
        // The address that the routing table gives the socket.
        let local = site.inside.run(|| {
            let probe = UdpSocket::bind(("0.0.0.0", 0)).unwrap();
            probe.connect(STUN[0]).unwrap();
            SocketAddr::new(probe.local_addr().unwrap().ip(), socket.local_addr().unwrap().port())
        });
        let first = stun::ask(&socket, STUN[0]).ok();
        let second = first.and_then(|_| stun::ask(&socket, STUN[1]).ok());
        let mapping = match (first, second) {
            (None, _) | (_, None) => Mapping::Blocked,
            (Some(first), _) if SocketAddr::V4(first) == local => Mapping::Identity,
            (first, second) if first == second => Mapping::Independent,
            _ => Mapping::Dependent,
        };
        Peer { socket, seen: first, mapping }
    }

    /// Writes to where the other one is believed to be, and to where it writes from, until both heard each other.
    fn punch(&self, mut other: SocketAddrV4, delay: Duration) -> bool {
        let start = Instant::now();
        self.socket.set_read_timeout(Some(Duration::from_millis(5))).unwrap();
        // Whoever starts late has been written to by then.
        thread::park_timeout(delay);
        let (mut heard, mut was_heard) = (false, false);
        let mut datagram = [0; 64];
        while !was_heard && start.elapsed() < PATIENCE {
            self.socket.send_to(if heard { HEARD } else { HELLO }, other).unwrap();
            // Answers of STUN servers that came too late are neither.
            let Ok((len, SocketAddr::V4(source))) = self.socket.recv_from(&mut datagram) else { continue };
            if datagram[..len] == *HELLO || datagram[..len] == *HEARD {
                (heard, other) = (true, source);
            }
            was_heard = datagram[..len] == *HEARD;
        }
        if was_heard {
            self.socket.send_to(HEARD, other).unwrap();
        }
        was_heard
    }
}

/// Tells whether two peers can talk if each knows only the other's public address.
fn is_joined(lab: &Lab, delays: [Duration; 2]) -> bool {
    let peers = [Peer::new(&lab.client), Peer::new(&lab.host)];
    let [Some(first), Some(second)] = [peers[0].seen, peers[1].seen] else { return false };
    let ends = [(&peers[0], second, delays[0]), (&peers[1], first, delays[1])];
    thread::scope(|scope| {
        let threads = ends.map(|(peer, other, delay)| scope.spawn(move || peer.punch(other, delay)));
        threads.map(|thread| thread.join().unwrap()) == [true, true]
    })
}

#[test]
fn routers_map_as_their_kind_says() {
    let Some(mut lab) = Lab::new("routers_map_as_their_kind_says", Nat::None, Nat::None) else { return };
    for nat in Nat::ALL {
        lab.set_nats(nat, nat);
        let expected = match nat {
            Nat::None => Mapping::Identity,
            Nat::Full | Nat::Address | Nat::Port => Mapping::Independent,
            Nat::Symmetric => Mapping::Dependent,
            Nat::NoUdp => Mapping::Blocked,
        };
        for site in [&lab.client, &lab.host] {
            assert_eq!(Peer::new(site).mapping, expected, "{nat}");
        }
    }
}

#[test]
fn hole_punching_joins_the_pairs_that_it_can() {
    let test = "hole_punching_joins_the_pairs_that_it_can";
    let Some(mut lab) = Lab::new(test, Nat::None, Nat::None) else { return };
    // The answers of servers are all that takes time here.
    let ideal = crate::link::Conditions { delay: Duration::ZERO, ..crate::link::GOOD };
    lab.client.link.set(&ideal);
    lab.host.link.set(&ideal);
    let mut wrong = Vec::new();
    let orders = [[Duration::ZERO, HEAD_START], [HEAD_START, Duration::ZERO]];
    for (index, (client, host)) in Nat::pairs().into_iter().enumerate() {
        // The short run takes the one order here and the other there.
        for delays in if is_full() { &orders[..] } else { &orders[index % 2..][..1] } {
            lab.set_nats(client, host);
            let joined = is_joined(&lab, *delays);
            if joined != client.joins(host) {
                wrong.push(format!("{client} and {host} with delays {delays:?}: {joined}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
