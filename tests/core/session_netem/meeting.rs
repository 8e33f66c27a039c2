//! How sessions come up, and what prevents it.

use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use pinhole::internals::peer::Connection;
use pinhole::internals::session::{End, Event, OPEN_TIMEOUT, Reach, Session, Signal};
use pinhole::internals::signaling::farewell::Farewell;
use pinhole::internals::signaling::message::Inner;
use pinhole::internals::tunnel::{Config, Role};
use str0m_netem::Probability;

use super::traffic::Traffic;
use super::world::{CLIENT, HOST, World};
use super::{millis, path, seeds};
use crate::handshake::handshake;

/// Texts each side sends while a session with one address a side comes up: what is known of its network, description,
/// candidate, end of candidates.
const TEXTS: usize = 4;

/// The number of the host's first offer.
const CARRIER: u32 = 2;

fn p2p_timeout() -> Duration {
    Reach::default().p2p_timeout
}

#[test]
fn sessions_come_up_soon() {
    for round_trip in [1, 20, 100, 300] {
        let world = World::connected(&[path(millis(round_trip), 0.0)], 1);
        println!("{round_trip} ms: connected after {:.2?}", world.elapsed());
        // STUN, DTLS 1.2, SCTP, the channel, HELLO and PING, and no timer of any of them.
        assert!(world.elapsed() <= millis(round_trip * 8), "{:?}", world.elapsed());
        assert_eq!(world.texts, [TEXTS; 2]);
    }
}

#[test]
fn without_any_path_both_give_up_at_the_deadline() {
    for down in [&[HOST, CLIENT][..], &[HOST], &[CLIENT]] {
        let mut world = World::new(&[path(millis(20), 0.0)], 1);
        down.iter().for_each(|side| world.links[*side].is_down = true);
        world.run_for(p2p_timeout() + millis(1));
        let (at, end) = world.sides[HOST].ended.clone().expect("the host gave up");
        assert_eq!((at.duration_since(world.start), end), (p2p_timeout(), End::NoPath));
        // The host's good-bye may come before the client's own deadline.
        let (at, end) = world.sides[CLIENT].ended.clone().expect("the client gave up");
        assert_eq!(at.duration_since(world.start), p2p_timeout());
        assert!(matches!(&end, End::NoPath) || end.to_string().contains("no direct path"), "{end:?}");
    }
}

#[test]
fn an_offer_that_never_comes_ends_at_the_deadline() {
    let mut world = World::new(&[path(millis(20), 0.0)], 1);
    world.attacker = Some(Box::new(|_, _| Vec::new()));
    world.run_for(p2p_timeout() + OPEN_TIMEOUT);
    assert_eq!(world.sides[HOST].end(), Some(&End::NoPath));
    // A client does not know whether a person is being asked.
    world.run_for(Duration::from_secs(75));
    assert_eq!(world.sides[CLIENT].end(), Some(&End::NoPath));
}

#[test]
fn signaling_may_close_right_after_the_answer() {
    let mut world = World::new(&[path(millis(20), 0.0)], 1);
    // The client's candidates are lost with the WebSocket: the host learns them from the datagrams.
    let answered = Rc::new(Cell::new(false));
    let is_closed = answered.clone();
    let mut count = 0;
    world.attacker = Some(Box::new(move |side, text| {
        if is_closed.get() {
            return Vec::new();
        }
        // What it knows of its network, then the answer.
        count += usize::from(side == CLIENT);
        is_closed.set(count == 2);
        vec![text]
    }));
    world.service(HOST);
    world.service(CLIENT);
    assert!(answered.get());
    for side in &mut world.sides {
        side.session.handle_signaling_closed(world.start);
    }
    world.connect();
    let path = world.sides[HOST].session.connection().and_then(|connection| connection.path());
    assert_eq!(path.expect("there is a path").candidates, "host/prflx");
    world.open(CLIENT, Traffic::Bulk { up: 100_000, down: 100_000 });
    world.finish_streams(Duration::from_secs(60));
}

#[test]
fn signaling_that_closes_before_the_offer_ends_the_session() {
    let mut world = World::new(&[path(millis(20), 0.0)], 1);
    world.sides[CLIENT].session.handle_signaling_closed(world.start);
    world.run_for(millis(1));
    let end = world.sides[CLIENT].end().expect("it ended");
    assert_eq!(end, &End::SignalingLost);
}

#[test]
fn a_signaling_text_altered_dropped_or_repeated_ends_the_session() {
    type Attack = fn(String) -> Vec<String>;
    let attacks: [(&str, Attack); 5] = [
        ("altered", |text| vec![text.replacen("\"box\":\"", "\"box\":\"A", 1)]),
        ("of another number", |text| vec![text.replacen("\"n\":", "\"n\":1", 1)]),
        ("repeated", |text| vec![text.clone(), text]),
        ("garbage", |_| vec!["{".to_owned()]),
        ("in clear", |_| vec![Inner::Bye { reason: Farewell::default() }.to_text()]),
    ];
    for (name, attack) in attacks {
        for victim in [HOST, CLIENT] {
            for target in 0..TEXTS {
                let mut world = World::new(&[path(millis(20), 0.0)], 1);
                let mut count = 0;
                world.attacker = Some(Box::new(move |side, text| {
                    count += usize::from(side != victim);
                    if side != victim && count == target + 1 { attack(text) } else { vec![text] }
                }));
                // Nothing but signaling passes, so nothing else can end the session this early.
                world.run_for(millis(1));
                let end = world.sides[victim].end();
                let failed = matches!(end, Some(End::Failed(reason)) if reason.contains("signaling failed"));
                assert!(failed, "{name}, text {target} to side {victim}: {end:?}");
                assert!(world.sides[victim].connected_at.is_none());
            }
        }
    }
}

#[test]
fn candidates_that_cannot_be_used_are_skipped() {
    const USELESS: [&str; 9] = [
        "",
        "candidate:",
        "candidate:1 1 UDP 2122260223 3d1b0ca0-3ab1-4b91-a1ff-a3a9a5a1e4d7.local 50000 typ host",
        "candidate:1 1 TCP 2105524479 10.0.0.9 9 typ host tcptype active",
        "candidate:1 1 UDP 1 10.0.0.9 99999 typ host",
        "candidate:1 1 UDP 1 300.0.0.9 9 typ host",
        "candidate:1 1 UDP 99999999999999999999 10.0.0.9 9 typ host",
        "a=candidate:1 1 UDP 1",
        "\r\na=fingerprint:sha-256 00\r\n",
    ];
    let now = Instant::now();
    let [at_host, mut at_client] = handshake();
    let mut host = Session::new(now, at_host, Config::new(Role::Host), Reach::default()).expect("a session starts");
    let mut next = || {
        let Some(Signal::Text(text)) = host.poll_signal() else { panic!("no text") };
        at_client.opener.open(&text)
    };
    assert!(matches!(next(), Ok(Inner::Network(_))));
    let Ok(Inner::Offer { sdp, carrier: CARRIER }) = next() else { panic!("no offer") };
    let (mut client, sdp) = Connection::answer(now, &sdp).expect("the offer is fine");
    for candidate in USELESS {
        assert!(!client.add_remote_candidate(now, candidate), "{candidate:?}");
        let text = at_client.sealer.seal(&Inner::Candidate { carrier: CARRIER, candidate: candidate.to_owned() });
        host.handle_signal(now, &text).expect("it is sealed");
    }
    let long = format!("candidate:1 1 UDP 1 10.0.0.9 9 typ host {}", "x ".repeat(20_000));
    let others = [
        Inner::Answer { carrier: 3, sdp: "v=0".to_owned() },
        Inner::Offer { carrier: CARRIER, sdp: "v=0".to_owned() },
        Inner::Candidate { carrier: CARRIER, candidate: long },
        Inner::EndOfCandidates { carrier: 7 },
        Inner::Answer { carrier: CARRIER, sdp },
    ];
    for inner in others {
        host.handle_signal(now, &at_client.sealer.seal(&inner)).expect("it is sealed");
    }
    for index in 0..1000 {
        let candidate = format!("candidate:1 1 UDP 1 10.1.{}.{} 9 typ host", index / 250, index % 250 + 1);
        let text = at_client.sealer.seal(&Inner::Candidate { carrier: CARRIER, candidate });
        host.handle_signal(now, &text).expect("it is sealed");
    }
    while let Some(event) = host.poll_event(now) {
        assert!(matches!(event, Event::Gather { .. }), "{event:?}");
    }
    assert!(!host.is_closed());
}

#[test]
fn a_description_that_cannot_be_used_leaves_the_relay_or_nothing() {
    for sdp in ["", "v=0", "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\n"] {
        for relay in [true, false] {
            let now = Instant::now();
            let [mut at_host, at_client] = handshake();
            let mut reach = Reach::default();
            reach.relay = relay;
            let mut client = Session::new(now, at_client, Config::new(Role::Client), reach).expect("it starts");
            let text = at_host.sealer.seal(&Inner::Offer { carrier: CARRIER, sdp: sdp.to_owned() });
            client.handle_signal(now, &text).expect("it is sealed");
            assert_eq!(client.is_closed(), !relay, "{sdp:?}");
            let mut told = Vec::new();
            while let Some(Signal::Text(text)) = client.poll_signal() {
                told.extend(at_host.opener.open(&text));
            }
            assert_eq!(told.iter().any(|inner| matches!(inner, Inner::Relay { .. })), relay, "{told:?}");
            let end = std::iter::from_fn(|| client.poll_event(now)).find_map(|event| match event {
                Event::Ended(End::Failed(reason)) => Some(reason),
                _ => None,
            });
            assert_eq!(end.is_some_and(|reason| reason.contains("cannot be used: it ")), !relay);
        }
    }
}

#[test]
fn duplicated_and_reordered_handshakes_come_up() {
    for seed in seeds() {
        let route = path(millis(20), 0.0).duplicate(Probability::new(0.5)).jitter(millis(10));
        let mut world = World::connected(&[route, route.latency(millis(40)), route.latency(millis(1))], seed);
        world.open(HOST, Traffic::Bulk { up: 10_000, down: 10_000 });
        world.finish_streams(Duration::from_secs(60));
    }
}

/// SCTP repeats its own handshake after 3, 6 and 12 seconds, so a session that loses the same step twice is late and
/// one that loses it three times does not come up; that the peers try at all is what counts here.
#[test]
fn most_sessions_come_up_under_loss() {
    for (percent, at_least) in [(1, 40), (2, 40), (5, 36), (10, 30)] {
        let mut times = Vec::new();
        for seed in 0..40 {
            let mut world = World::new(&[path(millis(100), percent as f32 / 100.0)], 1000 + seed);
            let is_up = |world: &World| world.sides.iter().all(|side| side.connected_at.is_some());
            if world.run_until(p2p_timeout() + OPEN_TIMEOUT, is_up) {
                times.push(world.elapsed());
            }
        }
        times.sort();
        let (up, median, longest) = (times.len(), times[times.len() / 2], times[times.len() - 1]);
        println!("{percent} % loss, 100 ms: {up} of 40 came up, median {median:.2?}, longest {longest:.2?}");
        assert!(up >= at_least, "{up} of 40 came up at {percent} % loss");
    }
}
