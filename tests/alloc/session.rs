//! Two sessions that meet over str0m, in virtual time: asking for their deadlines allocates nothing.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use pinhole::internals::session::{Event, Path, Reach, Session, Signal};
use pinhole::internals::tunnel::{ChunkPool, Config, Role};
use str0m::net::Transmit;

use crate::handshake::handshake;
use crate::{COUNT, counted};

struct Side {
    session: Session,
    address: SocketAddr,
    path: Option<Path>,
    signals: VecDeque<Signal>,
    datagrams: VecDeque<Transmit>,
}

struct Pair {
    now: Instant,
    pool: ChunkPool,
    sides: [Side; 2],
}

impl Pair {
    fn new(reach: &Reach) -> Pair {
        let now = Instant::now();
        let [at_host, at_client] = handshake();
        let side = |role, established, address: [u8; 4]| Side {
            session: Session::new(now, established, Config::new(role), reach.clone()).expect("a session starts"),
            address: (address, 1000).into(),
            path: None,
            signals: VecDeque::new(),
            datagrams: VecDeque::new(),
        };
        let sides = [side(Role::Host, at_host, [192, 0, 2, 1]), side(Role::Client, at_client, [192, 0, 2, 2])];
        Pair { now, pool: ChunkPool::new(), sides }
    }

    /// One turn of both sides: earlier output arrives at the other, and time passes.
    fn turn(&mut self) {
        self.now += Duration::from_millis(10);
        let now = self.now;
        for index in 0..2 {
            let peer = &mut self.sides[1 - index];
            let (signals, datagrams) = (std::mem::take(&mut peer.signals), std::mem::take(&mut peer.datagrams));
            let side = &mut self.sides[index];
            for signal in signals {
                match signal {
                    Signal::Text(text) => side.session.handle_signal(now, &text),
                    Signal::Binary(bytes) => side.session.handle_binary(now, bytes.into()),
                }
                .expect("nobody changes what is said");
            }
            for datagram in datagrams.iter().filter(|datagram| datagram.destination == side.address) {
                side.session.handle_datagram(now, datagram.destination, datagram.source, &datagram.contents);
            }
            if counted(|| side.session.poll_timeout()).is_some_and(|at| at <= now) {
                side.session.handle_timeout(now);
            }
            self.service(index);
        }
    }

    fn service(&mut self, index: usize) {
        let (now, side) = (self.now, &mut self.sides[index]);
        side.session.set_signaling_buffered(0);
        loop {
            side.session.flush(now, &mut self.pool);
            side.signals.extend(std::iter::from_fn(|| side.session.poll_signal()));
            side.datagrams.extend(std::iter::from_fn(|| side.session.poll_transmit()));
            match side.session.poll_event(now) {
                Some(Event::Gather { carrier }) => side.session.add_sockets(now, carrier, &[side.address]),
                Some(Event::Connected { path, .. } | Event::PathChanged { path, .. }) => side.path = Some(path),
                Some(Event::Ended(end)) => panic!("{end}"),
                Some(_) => {}
                None => return,
            }
        }
    }
}

#[test]
fn a_session_that_is_asked_what_it_waits_for_allocates_nothing() {
    let direct = Reach::direct_only();
    let relayed = Reach::relay_only();
    for reach in [direct, relayed] {
        COUNT.set(0);
        let mut pair = Pair::new(&reach);
        for _ in 0..500 {
            pair.turn();
        }
        let is_direct = pair.sides.iter().map(|side| matches!(side.path, Some(Path::Direct(_))));
        assert!(is_direct.eq([reach.direct; 2]), "the two did not meet");
        assert_eq!(COUNT.get(), 0, "allocations of 1000 calls, direct: {}", reach.direct);
    }
}
