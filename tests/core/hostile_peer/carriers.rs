//! A peer that knows the pin and asks for too many or wrong carriers.

use std::time::{Duration, Instant};

use pinhole::internals::session::{Event, Reach, Session, Signal};
use pinhole::internals::signaling::handshake::Established;
use pinhole::internals::signaling::message::Inner;
use pinhole::internals::tunnel::frame::{self, HEADER_LEN, kind};
use pinhole::internals::tunnel::{AbortReason, ChunkPool, Config, Generation, Role, StreamId};

use super::raw::hello;
use super::{connect, session_frame};
use crate::handshake::handshake;

/// A host's session, and a client that consists only of keys.
struct Lab {
    session: Session,
    client: Established,
    pool: ChunkPool,
    now: Instant,
    /// PeerConnections that asked for sockets, and those that were given up.
    gathered: usize,
    released: usize,
}

impl Lab {
    fn new() -> Lab {
        let now = Instant::now();
        let [at_host, client] = handshake();
        let session = Session::new(now, at_host, Config::new(Role::Host), Reach::default()).expect("a session starts");
        Lab { session, client, pool: ChunkPool::new(), now, gathered: 0, released: 0 }
    }

    fn say(&mut self, inner: &Inner) {
        let text = self.client.sealer.seal(inner);
        self.session.handle_signal(self.now, &text).expect("it is sealed");
        self.service();
    }

    fn send(&mut self, message: &[u8]) {
        let bytes = self.client.sealer.seal_binary(message);
        self.session.handle_binary(self.now, bytes.into()).expect("it is sealed");
        self.service();
    }

    /// Does an owner's work, and answers PINGs. Returns how many messages of the relay came.
    fn service(&mut self) -> usize {
        self.session.flush(self.now, &mut self.pool);
        let (mut count, mut pings) = (0, Vec::new());
        while let Some(signal) = self.session.poll_signal() {
            match signal {
                Signal::Text(text) => drop(self.client.opener.open(&text).expect("the session seals")),
                Signal::Binary(bytes) => {
                    count += 1;
                    let message = self.client.opener.open_binary(bytes.into()).expect("the session seals");
                    if message[0] == kind::PING {
                        pings.push(session_frame(kind::PONG, &message[HEADER_LEN..]));
                    }
                }
            }
        }
        while self.session.poll_transmit().is_some() {}
        while let Some(event) = self.session.poll_event(self.now) {
            self.gathered += usize::from(matches!(event, Event::Gather { .. }));
            self.released += usize::from(matches!(event, Event::Release { .. }));
        }
        for pong in pings {
            let bytes = self.client.sealer.seal_binary(&pong);
            self.session.handle_binary(self.now, bytes.into()).expect("it is sealed");
        }
        count
    }

    /// Lets time pass; fails if the session's deadlines do not advance.
    fn run(&mut self, time: Duration) {
        let until = self.now + time;
        let mut busy = 0;
        while let Some(at) = self.session.poll_timeout().filter(|at| *at <= until) {
            busy = if at > self.now { 0 } else { busy + 1 };
            assert!(busy < 100, "time stands still");
            self.now = self.now.max(at);
            self.session.handle_timeout(self.now);
            self.service();
        }
        self.now = until;
    }
}

/// A session that is established over the relay.
fn relayed() -> Lab {
    let mut lab = Lab::new();
    lab.say(&Inner::Relay { carrier: 1 });
    lab.send(&hello(Role::Client));
    lab.service();
    lab.service();
    assert!(lab.session.mux().is_ready());
    lab
}

#[test]
fn a_flood_of_connects_makes_one_connection_a_second() {
    let mut lab = Lab::new();
    for carrier in 3..1003 {
        lab.say(&Inner::Connect { carrier });
    }
    assert_eq!(lab.gathered, 1, "the first offer");
    lab.run(Duration::from_secs(5));
    assert_eq!((lab.gathered, lab.released), (2, 1), "the newest of the others");
}

#[test]
fn an_offer_that_waits_does_not_spin_without_a_websocket() {
    let mut lab = relayed();
    lab.say(&Inner::Connect { carrier: 3 });
    lab.session.handle_signaling_closed(lab.now);
    lab.run(Duration::from_secs(100));
    assert!(lab.session.is_closed(), "nobody came back");
}

#[test]
fn a_relay_takes_no_number_that_is_in_use() {
    for carrier in [0, 2] {
        let mut lab = Lab::new();
        lab.say(&Inner::Relay { carrier });
        assert_eq!(lab.session.mux().carrier(), None, "{carrier}");
    }
    let mut lab = Lab::new();
    lab.say(&Inner::Relay { carrier: u32::MAX });
    assert_eq!(lab.session.mux().carrier(), Some(u32::MAX));
    lab.say(&Inner::Connect { carrier: u32::MAX });
    lab.run(Duration::from_secs(2));
    assert_eq!(lab.gathered, 1);
}

#[test]
fn streams_opened_before_the_session_is_connected_are_bounded() {
    let mut lab = Lab::new();
    lab.say(&Inner::Relay { carrier: 1 });
    let mut put = |message: &[u8]| {
        let bytes = lab.client.sealer.seal_binary(message);
        let _ = lab.session.handle_binary(lab.now, bytes.into());
        lab.session.flush(lab.now, &mut lab.pool);
        while lab.session.poll_signal().is_some() {}
        while lab.session.poll_event(lab.now).is_some() {}
    };
    put(&hello(Role::Client));
    let mut abort = Vec::new();
    for round in 0..20_000u32 {
        let (generation, id) = ((round / 1000) as u8, (round % 1000 + 1) as u16);
        put(&connect(id, generation));
        let id = StreamId::new(id).expect("not 0");
        frame::encode_abort(&mut abort, id, Generation(generation), AbortReason::Reset, &"x".repeat(255));
        put(&abort);
    }
    assert!(lab.session.is_closed());
}

#[test]
fn a_client_says_nothing_before_the_host_even_if_its_addresses_change() {
    let now = Instant::now();
    let [_, at_client] = handshake();
    let mut session =
        Session::new(now, at_client, Config::new(Role::Client), Reach::default()).expect("a session starts");
    session.handle_addresses(now, &["10.0.0.9".parse().expect("an address")]);
    assert_eq!(session.poll_signal(), None);
}
