//! A hostile peer that knows the pin, and strangers who send datagrams to a session.

mod carriers;
mod datagrams;
mod listens;
mod raw;

use std::time::Duration;

use bytes::Bytes;
use pinhole::internals::session::{End, Reach};
use pinhole::internals::tunnel::frame::{self, HEADER_LEN, header, kind};
use pinhole::internals::tunnel::{AbortReason, Generation, GoAwayReason, Hello, Role, Sequence, StreamId};
use rand::rngs::StdRng;
use rand::{Rng, RngExt, SeedableRng};
use raw::{Lab, SEND_BUDGET, Victim, hello, main_channel};
use str0m::channel::{ChannelConfig, Reliability};

/// Maximum memory of a session for a hostile peer's messages, in bytes.
const MAX_MEMORY: usize = 64 * 1024 * 1024;

/// Streams a session takes of a peer: those it announces, and a quarter for CONNECTs that overtake a CREDIT.
const MAX_STREAMS: usize = 4096 * 5 / 4;

fn sequenced(kind: u8, generation: u8, id: u16, sequence: u32, payload: &[u8]) -> Vec<u8> {
    let mut message = header(kind, Generation(generation), id, Sequence(sequence)).to_vec();
    message.extend_from_slice(payload);
    message
}

fn session_frame(kind: u8, payload: &[u8]) -> Vec<u8> {
    let mut message = Vec::new();
    frame::encode_session(&mut message, kind, payload);
    message
}

/// A CONNECT to service 0.
fn connect(id: u16, generation: u8) -> Vec<u8> {
    sequenced(kind::CONNECT, generation, id, 0, &[0, 0, 0])
}

/// A session that said HELLO to a raw client.
fn met() -> Lab {
    let mut lab = Lab::new(Role::Host, main_channel());
    lab.run(Duration::from_secs(3));
    lab.send(&hello(Role::Client));
    lab.run(Duration::from_millis(200));
    assert!(lab.victim.is_connected, "{:?}", lab.victim.end);
    lab
}

#[test]
fn messages_that_are_no_frames_end_the_session_with_a_reason() {
    let mut random = vec![0; 3000];
    StdRng::seed_from_u64(1).fill_bytes(&mut random);
    random[0] = 99;
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("short", vec![2; HEADER_LEN - 1]),
        ("unknown type", session_frame(99, b"")),
        ("type 0", vec![0; HEADER_LEN]),
        ("stream frame on stream 0", sequenced(kind::DATA, 0, 0, 0, b"x")),
        ("session frame on a stream", sequenced(kind::PING, 0, 7, 0, &[0; 8])),
        ("PING of 7 bytes", session_frame(kind::PING, &[0; 7])),
        ("DATA without a byte", sequenced(kind::DATA, 0, 1, 0, b"")),
        ("CLOSE with a byte", sequenced(kind::CLOSE, 0, 1, 0, b"x")),
        ("CONNECT without a target", sequenced(kind::CONNECT, 0, 1, 0, b"")),
        ("CONNECT of an unknown kind", sequenced(kind::CONNECT, 0, 1, 0, &[77, 0, 0])),
        ("CONNECT to no text", sequenced(kind::CONNECT, 0, 1, 0, &[1, 0xff, 0xfe])),
        ("CONNECT in the middle", sequenced(kind::CONNECT, 0, 5, 1, &[0, 0, 0])),
        ("ACCEPT in the middle", sequenced(kind::ACCEPT, 0, 5, 1, b"")),
        ("RESUME without a head", session_frame(kind::RESUME, &[0; 3])),
        ("random", random),
    ];
    for (name, message) in cases {
        let mut lab = met();
        lab.send(&message);
        lab.run(Duration::from_secs(4));
        let end = lab.victim.end.clone();
        assert!(matches!(&end, Some(End::Failed(reason)) if reason.contains("protocol")), "{name}: {end:?}");
        lab.victim.assert_nothing_is_left();
    }
}

#[test]
fn hellos_that_cannot_be_used_end_the_session() {
    let good = String::from_utf8(hello(Role::Client)[HEADER_LEN..].to_vec()).expect("HELLO is JSON");
    let cases = [
        ("not JSON", "{".to_owned()),
        ("of another version", good.replace("[1]", "[9]")),
        ("of our own role", good.replace("\"client\"", "\"host\"")),
        ("without a payload", good.replace("16384", "0")),
        ("long", format!("{good}{}", " ".repeat(31_000))),
        ("deep", "[".repeat(10_000)),
    ];
    for (name, payload) in cases {
        let mut lab = Lab::new(Role::Host, main_channel());
        lab.run(Duration::from_secs(3));
        lab.send(&session_frame(kind::HELLO, payload.as_bytes()));
        lab.run(Duration::from_secs(4));
        assert!(matches!(lab.victim.end, Some(End::Failed(_))), "{name}: {:?}", lab.victim.end);
        lab.victim.assert_nothing_is_left();
    }
}

#[test]
fn frames_before_the_hello_are_kept_within_a_bound() {
    let mut lab = Lab::new(Role::Host, main_channel());
    lab.run(Duration::from_secs(3));
    for _ in 0..400 {
        lab.send(&sequenced(kind::DATA, 0, 1, 1, &[0; 16_000]));
        lab.run(Duration::from_millis(20));
    }
    lab.run(Duration::from_secs(4));
    let end = &lab.victim.end;
    assert!(matches!(end, Some(End::Failed(reason)) if reason.contains("before the HELLO")), "{end:?}");
}

#[test]
fn a_stream_that_breaks_its_rules_is_aborted_and_the_session_goes_on() {
    let cases: Vec<(&str, Vec<Vec<u8>>, AbortReason)> = vec![
        (
            "more than granted",
            (1..7).map(|sequence| sequenced(kind::DATA, 0, 5, sequence, &[0; 16_384])).collect(),
            AbortReason::FlowControl,
        ),
        ("a long payload", vec![sequenced(kind::DATA, 0, 5, 1, &[0; 16_385])], AbortReason::Protocol),
        ("ACCEPT of the opener", vec![sequenced(kind::ACCEPT, 0, 7, 0, b"")], AbortReason::Protocol),
        (
            "DATA after CLOSE",
            vec![sequenced(kind::CLOSE, 0, 5, 1, b""), sequenced(kind::DATA, 0, 5, 2, b"x")],
            AbortReason::Protocol,
        ),
        ("frames acknowledged that never were", vec![credit(5, u64::MAX, 1000)], AbortReason::Protocol),
    ];
    for (name, messages, expected) in cases {
        let mut lab = met();
        lab.send(&connect(5, 0));
        lab.send(&connect(6, 0));
        messages.iter().for_each(|message| lab.send(message));
        lab.run(Duration::from_secs(1));
        assert_eq!(lab.victim.aborts, [expected], "{name}");
        assert!(lab.victim.session.mux().stream_count() >= 1, "{name}: the other stream stays");
        assert!(lab.victim.end.is_none(), "{name}");
    }
}

fn credit(id: u16, limit: u64, received: u32) -> Vec<u8> {
    let mut message = Vec::new();
    let id = StreamId::new(id).expect("not 0");
    frame::encode_credit(&mut message, id, Generation(0), limit, Sequence(received));
    message
}

#[test]
fn a_flood_of_connects_is_bounded_and_others_do_not_notice() {
    let mut bystander = met();
    bystander.send(&connect(1, 0));
    let mut lab = met();
    let mut sent = 0u32;
    for generation in 0..2 {
        for id in 1..=32_767 {
            lab.send(&connect(id, generation));
            sent += 1;
            if id % 64 == 0 {
                lab.run(Duration::from_millis(20));
                assert!(lab.victim.session.mux().stream_count() <= MAX_STREAMS);
                let (grown, retained) = lab.victim.session.mux().memory();
                assert!(grown as usize + retained <= MAX_MEMORY);
            }
        }
    }
    lab.run(Duration::from_secs(5));
    println!("{sent} CONNECTs: {} streams opened, end {:?}", lab.victim.opened, lab.victim.end);
    assert!(lab.victim.opened <= MAX_STREAMS * 2);
    bystander.run(Duration::from_secs(1));
    assert_eq!((bystander.victim.opened, &bystander.victim.end), (1, &None));
}

#[test]
fn ids_that_are_not_the_peers_open_nothing() {
    let mut lab = met();
    for id in [32_768, 40_000, 65_535] {
        for (kind, payload) in [(kind::CONNECT, &[0, 0, 0][..]), (kind::DATA, b"x"), (kind::CLOSE, b"")] {
            lab.send(&sequenced(kind, 0, id, 0, payload));
        }
        lab.send(&credit(id, 1, 1));
    }
    lab.run(Duration::from_secs(1));
    assert_eq!((lab.victim.opened, lab.victim.session.mux().stream_count()), (0, 0));
    assert_eq!(lab.victim.session.mux().counters().stray, 12);
    assert!(lab.victim.end.is_none());
}

#[test]
fn data_that_never_gets_its_connect_is_bounded() {
    let mut lab = met();
    for id in 1..=2000 {
        lab.send(&sequenced(kind::DATA, 0, id, 1, &[0; 16_000]));
        if id % 8 == 0 {
            lab.run(Duration::from_millis(20));
        }
    }
    assert!(lab.victim.session.mux().stream_count() <= 4 * 1024 * 1024 / 16_000 + 1);
    assert!(lab.victim.aborts.contains(&AbortReason::TooManyStreams));
    lab.run(Duration::from_secs(35));
    assert_eq!(lab.victim.session.mux().stream_count(), 0, "30 s later nobody waits any more");
    assert!(lab.victim.end.is_none());
}

#[test]
fn a_peer_that_neither_acknowledges_nor_credits_costs_a_window_a_stream() {
    let mut lab = met();
    lab.victim.floods = true;
    for id in 1..=300 {
        lab.send(&connect(id, 0));
    }
    lab.run(Duration::from_secs(5));
    // Beyond the budget a stream keeps one chunk at a time.
    let bound = SEND_BUDGET + 300 * 2 * 16_392;
    let (_, retained) = lab.victim.session.mux().memory();
    println!("300 streams, nothing acknowledged: {retained} bytes retained");
    assert!((SEND_BUDGET..=bound).contains(&retained), "{retained}");
    // A limit without bounds buys no more.
    for id in 1..=300 {
        lab.send(&credit(id, u64::MAX, 0));
    }
    lab.run(Duration::from_secs(5));
    let (_, retained) = lab.victim.session.mux().memory();
    println!("and with endless credit: {retained} bytes retained");
    assert!(retained <= bound, "{retained}");
    assert!(lab.victim.end.is_none(), "{:?}", lab.victim.end);
}

#[test]
fn resume_lists_nobody_asked_for_change_nothing() {
    let mut lab = met();
    lab.send(&connect(1, 0));
    for (carrier, part, parts) in [(1u32, 0u16, 1u16), (2, 0, u16::MAX), (0, 0, 0), (1, 5, 1), (u32::MAX, 1, 2)] {
        for len in [0, 15, 16, 60_000] {
            let mut payload = carrier.to_be_bytes().to_vec();
            payload.extend_from_slice(&part.to_be_bytes());
            payload.extend_from_slice(&parts.to_be_bytes());
            payload.resize(8 + len / 15 * 15, 1);
            lab.send(&session_frame(kind::RESUME, &payload));
            lab.run(Duration::from_millis(100));
        }
    }
    println!("RESUME: {:?}", lab.victim.end);
    let is_bounded = lab.victim.end.is_some() || lab.victim.session.mux().stream_count() == 1;
    assert!(is_bounded);
}

#[test]
fn endless_pings_and_unknown_frames_are_answered_within_bounds() {
    let mut lab = met();
    for _ in 0..3000 {
        lab.send(&session_frame(kind::PING, &[7; 8]));
        lab.send(&session_frame(200, &[0; 100]));
    }
    lab.run(Duration::from_secs(10));
    assert!(lab.victim.end.is_none());
    assert_eq!(lab.victim.session.mux().counters().ignored, 3000);
}

#[test]
fn oversize_messages_end_the_session() {
    for len in [65_536, 200_000, 262_144] {
        let mut lab = met();
        let is_sent = lab.try_send(true, &sequenced(kind::DATA, 0, 1, 1, &vec![0; len - HEADER_LEN]));
        lab.run(Duration::from_secs(5));
        println!("{len} bytes: sent {is_sent}, end {:?}, aborts {:?}", lab.victim.end, lab.victim.aborts);
        assert!(is_sent, "the hostile side can send it");
        assert!(lab.victim.end.is_some() || !lab.victim.aborts.is_empty());
    }
}

#[test]
fn text_messages_end_the_session() {
    let mut lab = met();
    lab.try_send(false, &connect(1, 0));
    lab.run(Duration::from_secs(2));
    assert!(matches!(&lab.victim.end, Some(End::Failed(reason)) if reason.contains("not a message")));
}

#[test]
fn a_second_channel_ends_the_session() {
    let mut lab = met();
    lab.open_channel(main_channel());
    lab.run(Duration::from_secs(2));
    let end = &lab.victim.end;
    assert!(matches!(end, Some(End::Failed(reason)) if reason.contains("does not belong")), "{end:?}");
}

#[test]
fn channels_of_a_hostile_host_that_are_not_ours_end_the_session() {
    let wrong = [
        ChannelConfig { label: "pinhole2".to_owned(), ..main_channel() },
        ChannelConfig { label: "x".repeat(1000), ..main_channel() },
        ChannelConfig { ordered: true, ..main_channel() },
        ChannelConfig { protocol: String::new(), ..main_channel() },
        ChannelConfig { reliability: Reliability::MaxRetransmits { retransmits: 0 }, ..main_channel() },
        ChannelConfig { reliability: Reliability::MaxPacketLifetime { lifetime: 1 }, ..main_channel() },
    ];
    for config in wrong {
        let mut lab = Lab::new(Role::Client, config.clone());
        lab.run(Duration::from_secs(5));
        let end = &lab.victim.end;
        assert!(matches!(end, Some(End::Failed(reason)) if reason.contains("does not belong")), "{config:?}: {end:?}");
    }
}

#[test]
fn a_closed_channel_is_a_lost_path_and_the_grace_period_bounds_it() {
    let mut lab = met();
    lab.send(&connect(1, 0));
    lab.run(Duration::from_millis(100));
    lab.close_channel();
    lab.run(Duration::from_secs(3));
    assert!(lab.victim.session.recovering_since().is_some() && lab.victim.end.is_none());
    lab.run(Reach::default().grace);
    assert_eq!(lab.victim.end, Some(End::PathLost));
    lab.victim.assert_nothing_is_left();
}

#[test]
fn a_goaway_with_any_reason_and_text_ends_the_session() {
    for code in [0, 1, 3, 5, 255] {
        let mut lab = met();
        let mut message = Vec::new();
        frame::encode_go_away(&mut message, GoAwayReason::from_code(code), &"\u{1b}[2J".repeat(50));
        lab.send(&message);
        lab.run(Duration::from_secs(4));
        assert!(lab.victim.end.is_some(), "{code}");
        lab.victim.assert_nothing_is_left();
    }
}

#[test]
fn random_frames_never_panic() {
    for seed in 0..60 {
        let mut rng = StdRng::seed_from_u64(seed);
        let mut lab = met();
        for _ in 0..300 {
            let kinds = [1, 1, 2, 2, 2, 3, 4, 5, 6, 6, 7, 17, 18, 21, 22, 200];
            let kind = kinds[rng.random_range(0..kinds.len())];
            let id = if kind >= 16 { 0 } else { [1, 2, 3, 32_767, 32_768][rng.random_range(0..5)] };
            let mut payload = vec![0; [0, 1, 3, 8, 12, 300][rng.random_range(0..6)]];
            rng.fill_bytes(&mut payload);
            let generation = if kind >= 16 { 0 } else { rng.random_range(0..3) };
            lab.send(&sequenced(kind, generation, id, rng.random_range(0..4), &payload));
            if rng.random_range(0..10) == 0 {
                lab.run(Duration::from_millis(10));
            }
        }
        lab.run(Duration::from_secs(1));
        assert!(lab.victim.session.mux().stream_count() <= 4);
    }
}

/// Datagrams of strangers: random ones, and ones that resemble STUN and DTLS.
fn garbage(rng: &mut StdRng, heard: &[Bytes]) -> Vec<u8> {
    let mut bytes = vec![0; rng.random_range(0..1400)];
    rng.fill_bytes(&mut bytes);
    match rng.random_range(0..6) {
        0 => {}
        1 => {
            let stun = [0, 1, 0, 8, 0x21, 0x12, 0xa4, 0x42];
            bytes.splice(0..bytes.len().min(8), stun);
        }
        2 => {
            // DTLS 1.2: type, version, epoch, sequence, a length that fits.
            let len = bytes.len().saturating_sub(13) as u16;
            let kind = [20, 21, 22, 23, 25][rng.random_range(0..5)];
            let [high, low] = len.to_be_bytes();
            let record = [kind, 254, 253, 0, rng.random_range(0..2), 0, 0, 0, 0, 0, rng.random(), high, low];
            bytes.splice(0..bytes.len().min(13), record);
        }
        3 if !heard.is_empty() => return heard[rng.random_range(0..heard.len())].to_vec(),
        4 if !heard.is_empty() => {
            let mut copy = heard[rng.random_range(0..heard.len())].to_vec();
            copy.truncate(rng.random_range(0..=copy.len()));
            return copy;
        }
        _ if !heard.is_empty() => {
            let mut copy = heard[rng.random_range(0..heard.len())].to_vec();
            let at = rng.random_range(0..copy.len());
            copy[at] ^= 1 << rng.random_range(0..8);
            return copy;
        }
        _ => {}
    }
    bytes
}

/// Sends `count` datagrams to a session, from a stranger's address or the peer's.
fn throw(lab: &mut Lab, rng: &mut StdRng, count: usize, as_peer: bool) {
    for _ in 0..count {
        let heard = std::mem::take(&mut lab.heard);
        let datagram = garbage(rng, &heard);
        lab.heard = heard;
        lab.inject(&datagram, as_peer);
    }
}

#[test]
fn strangers_datagrams_do_not_keep_a_session_from_coming_up() {
    for role in [Role::Host, Role::Client] {
        for seed in 0..5 {
            let mut rng = StdRng::seed_from_u64(seed);
            let mut lab = Lab::new(role, main_channel());
            for _ in 0..300 {
                throw(&mut lab, &mut rng, 5, false);
                lab.run(Duration::from_millis(10));
            }
            lab.send(&hello(role.peer()));
            lab.run(Duration::from_secs(1));
            assert!(lab.victim.is_connected, "{role:?} {seed}: {:?}", lab.victim.end);
        }
    }
}

#[test]
fn datagrams_with_the_peers_address_do_not_kill_or_stall_a_session() {
    for seed in 0..10 {
        let mut rng = StdRng::seed_from_u64(100 + seed);
        let mut lab = met();
        for id in 1..200 {
            throw(&mut lab, &mut rng, 20, true);
            lab.send(&connect(id, 0));
            lab.run(Duration::from_millis(10));
        }
        lab.run(Duration::from_secs(1));
        assert_eq!((lab.victim.opened, &lab.victim.end), (199, &None), "seed {seed}");
        let bad = lab.victim.session.connection().map(|connection| connection.bad_datagrams());
        assert!(bad > Some(0));
    }
}

/// Uses the parts of the laboratory that only some tests need, so that the compiler does not call them dead.
#[test]
fn a_well_behaved_peer_is_served() {
    let mut lab = met();
    lab.send(&connect(1, 0));
    lab.run(Duration::from_millis(100));
    let said = lab.received.iter().any(|message| Hello::decode(&message[HEADER_LEN..], Role::Host).is_ok());
    assert!(said, "the session introduced itself");
    let Victim { opened, end, .. } = &lab.victim;
    assert_eq!((*opened, end), (1, &None));
}
