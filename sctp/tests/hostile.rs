//! Peers that lie: memory and time stay bounded, the association ends where it must, and nothing panics.

mod common;

use std::time::Duration;

use bytes::Bytes;
use common::link::Path;
use common::pair::Pair;
use common::raw::{
    self, BEGIN, END, MIDDLE, OUR_TAG, PEER_TAG, Raw, UNORDERED, WHOLE, data, forward, has, reset, sack,
};
use pinhole_sctp::{Association, Config, Event, Reason, Seed, State};

const ABORT: u8 = 6;

fn is_ended(raw: &mut Raw) -> Option<Reason> {
    std::iter::from_fn(|| raw.association.poll_event()).find_map(|event| match event {
        Event::Closed(reason) => Some(reason),
        _ => None,
    })
}

fn send(raw: &mut Raw, count: usize) -> usize {
    if raw.association.stream(1).is_err() {
        raw.association.open(1).expect("new");
    }
    (0..count).for_each(|_| raw.association.stream(1).expect("open").send(53, &[1; 1000]).expect("taken"));
    raw.drain().iter().flat_map(|packet| raw::chunks(packet)).filter(|chunk| chunk.0 == 0).count()
}

#[test]
fn an_acknowledgement_of_what_never_was_sent_ends_it() {
    for first in [0, 7, u32::MAX - 1, u32::MAX] {
        let mut raw = Raw::new(first, 1);
        let sent = send(&mut raw, 5) as u32;
        assert!(!has(&raw.say(&sack(first.wrapping_add(sent - 1), 1 << 20, &[], &[])), 0));
        assert_eq!(raw.association.statistics().outstanding, 0);
        let answer = raw.say(&sack(first.wrapping_add(sent), 1 << 20, &[], &[]));
        assert!(has(&answer, ABORT));
        assert_eq!(is_ended(&mut raw), Some(Reason::Violation("an acknowledgement of a chunk that was never sent")));

        let mut raw = Raw::new(first, 1);
        let sent = send(&mut raw, 5) as u16;
        raw.say(&sack(first.wrapping_sub(1), 1 << 20, &[(2, sent + 1)], &[]));
        assert_eq!(raw.association.state(), State::Closed);
    }
}

#[test]
fn acknowledgements_of_any_form_are_survived() {
    let mut dice = common::link::Dice::new(3);
    for round in 0..300u32 {
        let first = round.wrapping_mul(0x0101_0101).wrapping_sub(50);
        let mut raw = Raw::new(first, 1);
        for _ in 0..60 {
            send(&mut raw, 2);
            let outstanding = raw.association.statistics().outstanding as u64;
            let number = |dice: &mut common::link::Dice| dice.below(outstanding + 2) as u16;
            let gaps: Vec<_> = (0..dice.below(200)).map(|_| (number(&mut dice), number(&mut dice))).collect();
            let duplicates: Vec<_> = (0..dice.below(9)).map(|_| first.wrapping_add(dice.below(99) as u32)).collect();
            let cumulative = first.wrapping_sub(1).wrapping_add(dice.below(6) as u32);
            raw.say(&sack(cumulative, dice.below(1 << 21) as u32, &gaps, &duplicates));
            raw.wait();
            let statistics = raw.association.statistics();
            if raw.association.state() == State::Closed {
                break;
            }
            assert!(statistics.in_flight <= statistics.outstanding as u64 * 1200, "{statistics:?}");
        }
    }
}

#[test]
fn a_peer_that_takes_back_what_it_acknowledged_gets_it_again() {
    let mut raw = Raw::new(100, 1);
    let sent = send(&mut raw, 10) as u32;
    raw.say(&sack(99, 1 << 20, &[(3, 5)], &[]));
    // Now everything before is acknowledged, but not what was beyond the gap.
    let answer = raw.say(&sack(101, 1 << 20, &[], &[]));
    let mut numbers: Vec<_> = answer
        .iter()
        .chain(raw.wait().iter())
        .flat_map(|packet| raw::chunks(packet))
        .filter(|chunk| chunk.0 == 0)
        .map(|chunk| u32::from_be_bytes(*chunk.2.first_chunk().expect("a number")))
        .collect();
    numbers.sort_unstable();
    assert!([102, 103, 104].iter().all(|tsn| numbers.contains(tsn)), "{numbers:?}");
    raw.say(&sack(99 + sent, 1 << 20, &[], &[]));
    assert_eq!(raw.association.statistics().outstanding, 0);
    assert_eq!(raw.association.stream(1).expect("open").buffered_amount(), 0);
}

#[test]
fn numbers_far_ahead_are_not_taken() {
    let mut raw = Raw::new(1, 1000);
    for ahead in [65_536, 1 << 20, 1 << 30, u32::MAX / 2] {
        raw.say(&data(WHOLE | UNORDERED, 1000 + ahead, 1, 0, b"far"));
        assert_eq!(raw.association.statistics().kept, 0);
    }
    raw.say(&data(WHOLE | UNORDERED, 1000 + 65_534, 1, 0, b"near enough"));
    assert!(raw.association.stream(1).expect("opened").receive().expect("open").is_some());
}

#[test]
fn every_second_number_fills_no_memory() {
    let mut raw = Raw::new(1, 0);
    let mut longest = 0;
    for at in 1..32_000u32 {
        let sent = raw.say(&data(BEGIN, at * 2, 1, 0, &[1; 100]));
        longest = longest.max(sent.iter().map(Bytes::len).max().unwrap_or(0));
    }
    assert!(raw.association.statistics().kept <= 2048 * 164, "{:?}", raw.association.statistics());
    assert!(longest <= Config::default().packet_size);
    assert_eq!(raw.association.state(), State::Established);
}

#[test]
fn fragments_without_end_end_it() {
    let mut raw = Raw::new(1, 0);
    raw.say(&data(BEGIN, 0, 1, 0, &[1; 1000]));
    for tsn in 1..400 {
        raw.say(&data(MIDDLE, tsn, 1, 0, &[1; 1000]));
    }
    assert_eq!(is_ended(&mut raw), Some(Reason::Violation("a message is too long")));
}

#[test]
fn fragments_that_do_not_fit_end_it() {
    let cases: [&[Vec<u8>]; 5] = [
        &[data(END, 1, 1, 0, b"a"), data(END, 2, 1, 0, b"b")],
        &[data(BEGIN, 0, 1, 0, b"a"), data(END, 1, 2, 0, b"b")],
        &[data(BEGIN, 0, 1, 0, b"a"), data(END, 1, 1, 1, b"b")],
        &[data(BEGIN, 0, 1, 0, b"a"), data(END | UNORDERED, 1, 1, 0, b"b")],
        &[data(END, 2, 1, 0, b"c"), data(END, 1, 1, 0, b"b")],
    ];
    for case in cases {
        let mut raw = Raw::new(1, 0);
        case.iter().for_each(|chunk| _ = raw.say(chunk));
        assert!(matches!(is_ended(&mut raw), Some(Reason::Violation(_))));
    }
}

#[test]
fn data_without_data_ends_it() {
    let mut raw = Raw::new(1, 0);
    let answer = raw.say(&data(WHOLE, 0, 1, 0, b""));
    let abort = raw::chunks(&answer[0]);
    assert_eq!((abort[0].0, &abort[0].2[..]), (ABORT, &[0, 9, 0, 8, 0, 0, 0, 0][..]));
}

#[test]
fn a_window_liar_is_kept_within_the_window() {
    let window = 200_000;
    let config = Config { receive_window: window, max_receive_message_size: 50_000, ..Config::default() };
    let mut raw = Raw::with(1, 0, config, 1 << 20);
    for tsn in 0..5000 {
        raw.say(&data(WHOLE, tsn, 1, tsn as u16, &[1; 1000]));
        assert!(raw.association.statistics().kept <= window + 100_000);
    }
    assert_eq!(raw.association.state(), State::Established);
    // Small ones cost what they take.
    let kept = raw.association.statistics().kept;
    let mut stream = raw.association.stream(1).expect("opened");
    while stream.receive().expect("open").is_some() {}
    assert!(kept > 0 && raw.association.statistics().kept == 0);
}

#[test]
fn messages_that_wait_for_what_never_comes_end_it() {
    let config = Config { receive_window: 100_000, max_receive_message_size: 50_000, ..Config::default() };
    let mut raw = Raw::with(1, 0, config, 1 << 20);
    for tsn in 0..200 {
        raw.say(&data(WHOLE, tsn, 1, 1 + tsn as u16, &[1; 1000]));
    }
    assert_eq!(is_ended(&mut raw), Some(Reason::OutOfMemory));
}

#[test]
fn floods_of_skips_are_bounded() {
    let mut raw = Raw::new(1, 0);
    for at in 0..2000u32 {
        let skipped: Vec<_> = (0..250).map(|stream| ((at * 250 + stream) as u16, at as u16)).collect();
        raw.say(&forward(at * 60_000, &skipped));
    }
    let statistics = raw.association.statistics();
    assert!(statistics.streams <= 65_536 && statistics.kept == 0);
    // A skip of half of all numbers is ignored.
    let mut raw = Raw::new(1, 0);
    raw.say(&forward(1 << 30, &[]));
    raw.say(&data(WHOLE, 0, 1, 0, b"first"));
    assert!(raw.association.stream(1).expect("opened").receive().expect("open").is_some());
}

#[test]
fn floods_of_resets_are_bounded() {
    let mut raw = Raw::new(1, 500);
    let mut events = 0;
    for at in 0..2000u32 {
        let streams: Vec<_> = (0..500).collect();
        let answers = raw.say(&reset(500 + at, 499, &streams));
        assert!(answers.len() <= 3);
        events += std::iter::from_fn(|| raw.association.poll_event()).count();
    }
    assert!(events <= 1, "{events}");
    for _ in 0..1000 {
        assert!(raw.say(&reset(77, 499, &[1])).len() <= 2);
    }
    assert_eq!(raw.association.state(), State::Established);
}

#[test]
fn a_wrong_tag_is_not_heard() {
    let mut raw = Raw::new(1, 0);
    let abort = raw::chunk(ABORT, 0, &[]);
    let reflected = raw::chunk(ABORT, 1, &[]);
    for (tag, chunks) in [(OUR_TAG ^ 1, &abort), (0, &abort), (PEER_TAG, &abort), (OUR_TAG, &reflected)] {
        raw.association.handle_datagram(raw.now, raw::packet(tag, chunks));
        assert_eq!(raw.association.state(), State::Established, "{tag:x}");
    }
    raw.association.handle_datagram(raw.now, raw::packet(PEER_TAG, &reflected));
    assert_eq!(raw.association.state(), State::Closed);
}

#[test]
fn a_cookie_is_good_once_and_for_its_association_only() {
    let path = Path::default();
    let mut pair = Pair::new(9, path);
    let now = pair.now;
    let init = pair.client.association.poll_transmit(now).expect("an INIT");
    pair.server.association.handle_datagram(now, init);
    let answer = pair.server.association.poll_transmit(now).expect("an INIT ACK");
    assert!(pair.server.association.statistics().streams == 0 && pair.server.association.state() == State::Listening);
    pair.client.association.handle_datagram(now, answer);
    let echo = pair.client.association.poll_transmit(now).expect("a COOKIE ECHO");
    // Another server does not know it.
    let mut other = Association::accept(Config::default(), Seed([7, 7]));
    other.handle_datagram(now, echo.clone());
    assert_eq!((other.state(), other.poll_transmit(now)), (State::Listening, None));
    for _ in 0..3 {
        pair.server.association.handle_datagram(now, echo.clone());
    }
    pair.settle();
    pair.run(Duration::from_secs(1));
    pair.client.send(1, b"once").expect("taken");
    pair.run(Duration::from_secs(1));
    // A replayed one changes nothing.
    pair.server.association.handle_datagram(pair.now, echo);
    pair.client.send(1, b"twice").expect("taken");
    pair.run(Duration::from_secs(1));
    assert_eq!(pair.server.received.len(), 2);
    assert_eq!(pair.server.events.iter().filter(|event| **event == Event::Connected).count(), 1);
    assert!(!pair.server.has(&Event::Restarted));
}

#[test]
fn floods_of_inits_and_heartbeats_are_answered_within_bounds() {
    let mut raw = Raw::new(1, 0);
    for tag in 1..2000u32 {
        let init = raw::init(tag, tag, 1 << 20);
        raw.association.handle_datagram(raw.now, raw::packet(0, &init));
        raw.association.handle_datagram(raw.now, raw::packet(OUR_TAG, &raw::chunk(4, 0, &[0, 1, 0, 8, 1, 2, 3, 4])));
    }
    assert!(raw.drain().len() <= 32);
    assert_eq!(raw.association.state(), State::Established);
}

#[test]
fn a_window_that_closes_is_asked_and_opens_again() {
    let mut raw = Raw::with(1, 0, Config { max_retransmits: Some(3), ..Config::default() }, 3000);
    let sent = send(&mut raw, 50);
    assert!((3..=6).contains(&sent), "{sent}");
    raw.say(&sack(sent as u32, 0, &[], &[]));
    // It is asked for as long as it answers, and nothing else leaves.
    let mut asked = 0;
    for _ in 0..20 {
        let packets = raw.wait();
        if has(&packets, 0) {
            asked += 1;
            raw.say(&sack(sent as u32, 0, &[], &[]));
        }
    }
    assert!(asked >= 8, "{asked}");
    assert_eq!((raw.association.state(), raw.association.statistics().outstanding), (State::Established, 1));
    let packets = raw.say(&sack(sent as u32, 1 << 20, &[], &[]));
    // As many as the first congestion window holds.
    assert!(packets.len() >= 10, "{}", packets.len());
}

#[test]
fn any_bytes_are_survived() {
    let mut dice = common::link::Dice::new(17);
    for round in 0..3000 {
        let mut raw = Raw::new(u32::MAX - 3, u32::MAX - 3);
        send(&mut raw, 3);
        for _ in 0..6 {
            let mut chunks = Vec::new();
            for _ in 0..dice.below(4) + 1 {
                let kinds = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 14, 64, 130, 132, 192, 200, 255];
                let kind = if dice.hits(0.8) { kinds[dice.below(19) as usize] } else { dice.number() as u8 };
                let value: Vec<_> =
                    (0..dice.below(40)).map(|_| if dice.hits(0.5) { 0 } else { dice.number() as u8 }).collect();
                chunks.extend(raw::chunk(kind, dice.below(16) as u8, &value));
            }
            if dice.hits(0.2) {
                let at = dice.below(chunks.len() as u64) as usize;
                chunks[at] = dice.number() as u8;
            }
            let tag = [OUR_TAG, PEER_TAG, 0][dice.below(3) as usize];
            raw.association.handle_datagram(raw.now, raw::packet(tag, &chunks));
            raw.wait();
        }
        assert!(round < 3000);
    }
}

/// A message with a skipped part is not waited for, although the peer does not name it.
#[test]
fn a_message_whose_rest_is_skipped_without_its_name_holds_nothing_up() {
    let mut raw = Raw::new(1, 100);
    raw.say(&data(BEGIN, 100, 1, 0, b"never whole"));
    raw.say(&data(WHOLE, 102, 1, 1, b"whole"));
    raw.say(&forward(101, &[]));
    let message = raw.association.stream(1).expect("it has a message").receive().expect("open").expect("arrived");
    assert_eq!(&message.into_bytes()[..], b"whole");
}
