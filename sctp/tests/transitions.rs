//! Every way in which an association starts, restarts and ends.

mod common;

use std::time::Duration;

use common::link::{Loss, Path};
use common::pair::{End, Pair};
use common::raw;
use pinhole_sctp::{Association, Config, Event, Reason, Seed, State, StreamError, Token, TokenError};

const SECOND: Duration = Duration::from_secs(1);

fn exchange(pair: &mut Pair) {
    pair.client.send(1, b"up").expect("taken");
    pair.server.send(2, b"down").expect("taken");
    pair.run(SECOND);
    assert_eq!(pair.server.received.last(), Some(&(1, 53, b"up".to_vec())));
    assert_eq!(pair.client.received.last(), Some(&(2, 53, b"down".to_vec())));
}

#[test]
fn a_handshake_survives_the_loss_of_each_of_its_packets() {
    // INIT, COOKIE ECHO of the client; INIT ACK, COOKIE ACK of the server.
    for (is_up, lost) in [(true, 0), (true, 1), (false, 0), (false, 1)] {
        let mut pair = Pair::new(1, Path::default());
        let mut seen = 0;
        pair.run_until(10 * SECOND, |pair| {
            let sent = if is_up { pair.client.association.statistics() } else { pair.server.association.statistics() };
            let link = if is_up { &mut pair.up } else { &mut pair.down };
            if sent.packets_sent > seen && seen == lost {
                link.clear();
            }
            seen = sent.packets_sent;
            pair.client.association.state() == State::Established
                && pair.server.association.state() == State::Established
        });
        exchange(&mut pair);
        assert!(pair.elapsed() < 4 * SECOND, "{:?}", pair.elapsed());
    }
}

#[test]
fn a_handshake_that_is_never_answered_ends() {
    let config = Config { max_init_retransmits: Some(3), ..Config::default() };
    let mut pair = Pair::with(2, Path { loss: Loss::All, ..Path::default() }, config, Config::default());
    pair.run(60 * SECOND);
    assert!(pair.client.has(&Event::Closed(Reason::TimedOut)));
    assert_eq!(pair.client.association.statistics().packets_sent, 4);
    let config = Config { max_init_retransmits: None, ..Config::default() };
    let mut pair = Pair::with(2, Path { loss: Loss::All, ..Path::default() }, config, Config::default());
    pair.run(300 * SECOND);
    pair.up.path.loss = Loss::None;
    pair.down.path.loss = Loss::None;
    let since = pair.now;
    pair.connect();
    assert!(pair.now - since < 4 * SECOND, "{:?}", pair.now - since);
}

#[test]
fn both_may_begin() {
    for seed in 0..20 {
        let path =
            Path { jitter: Duration::from_millis(40), jittered: 0.5, loss: Loss::Random(0.2), ..Path::default() };
        let client = Association::connect(Config::default(), Seed([seed, 1]));
        let server = Association::connect(Config::default(), Seed([seed, 2]));
        let mut pair = Pair::of(seed, path, client, server);
        pair.connect();
        pair.up.path.loss = Loss::None;
        pair.down.path.loss = Loss::None;
        exchange(&mut pair);
        for end in [&pair.client, &pair.server] {
            assert_eq!(end.events.iter().filter(|event| **event == Event::Connected).count(), 1, "seed {seed}");
        }
    }
}

#[test]
fn messages_written_before_it_is_up_are_sent_when_it_is() {
    let mut pair = Pair::new(3, Path::default());
    pair.client.send(1, b"early").expect("taken");
    pair.connect();
    pair.run(SECOND);
    assert_eq!(pair.server.received, [(1, 53, b"early".to_vec())]);
}

#[test]
fn tokens_make_it_up_at_once() {
    let tokens = [1, 2].map(|seed| Token::new(&Config::default(), Seed([seed, 9])));
    let bytes = tokens.each_ref().map(Token::to_bytes);
    let parse = |at: usize| Token::parse(&bytes[at]).expect("a token");
    let client = Association::connect_with_tokens(Config::default(), Seed([1, 1]), &parse(0), parse(1));
    let server = Association::connect_with_tokens(Config::default(), Seed([1, 2]), &parse(1), parse(0));
    let mut pair = Pair::of(4, Path::default(), client, server);
    pair.client.send(1, b"no handshake").expect("taken");
    pair.run(Duration::from_millis(10));
    assert_eq!(pair.server.received, [(1, 53, b"no handshake".to_vec())]);
    exchange(&mut pair);
    for bad in [&bytes[0][..10], &[2, 0, 0, 20], &[], &vec![1; 4000]] {
        assert_eq!(Token::parse(bad), Err(TokenError));
    }
}

#[test]
fn a_peer_that_begins_anew_is_taken_for_new() {
    let mut pair = Pair::connected(5, Path::default());
    pair.server.send(2, &[7; 3000]).expect("taken");
    exchange(&mut pair);
    pair.server.send(2, b"lost with it").expect("taken");
    pair.client = End::new(Association::connect(Config::default(), Seed([99, 1])));
    pair.up.clear();
    pair.down.clear();
    pair.connect();
    pair.run(SECOND);
    assert!(pair.server.has(&Event::Restarted));
    assert!(pair.server.association.streams().is_empty());
    pair.server.received.clear();
    exchange(&mut pair);
    assert_eq!(pair.client.received.len(), 1);
}

#[test]
fn old_packets_of_an_earlier_association_are_not_heard() {
    let mut pair = Pair::connected(6, Path::default());
    let now = pair.now;
    pair.client.send(1, b"old").expect("taken");
    let old = pair.client.association.poll_transmit(now).expect("a packet");
    pair.client = End::new(Association::connect(Config::default(), Seed([98, 1])));
    pair.connect();
    let dropped = pair.server.association.statistics().packets_dropped;
    pair.server.association.handle_datagram(pair.now, old);
    assert_eq!(pair.server.association.statistics().packets_dropped, dropped + 1);
    exchange(&mut pair);
}

#[test]
fn a_shutdown_survives_losses_from_either_side_or_both() {
    for seed in 0..60 {
        let config = Config { max_retransmits: None, ..Config::default() };
        let path = Path { loss: Loss::Random(0.3), ..Path::default() };
        let mut pair = Pair::with(seed, path, config.clone(), config);
        pair.connect();
        pair.client.send(1, &[1; 20_000]).expect("taken");
        pair.server.send(2, &[2; 20_000]).expect("taken");
        if seed % 3 != 0 {
            assert!(pair.client.association.shutdown());
            assert!(!pair.client.association.shutdown());
        }
        if seed % 3 != 1 {
            assert!(pair.server.association.shutdown());
        }
        pair.run_until(120 * SECOND, |pair| {
            pair.client.association.state() == State::Closed && pair.server.association.state() == State::Closed
        });
        assert_eq!((pair.client.received.len(), pair.server.received.len()), (1, 1), "seed {seed}");
        for end in [&mut pair.client, &mut pair.server] {
            assert!(end.has(&Event::Closed(Reason::Shutdown)), "seed {seed}: {:?}", end.events);
            assert_eq!(end.association.open(9).err(), Some(StreamError::Closed));
        }
    }
}

#[test]
fn without_checksums_where_both_agree_and_with_them_where_not() {
    for (ours, theirs) in [(true, true), (true, false), (false, true), (false, false)] {
        let config = |zero_checksum| Config { zero_checksum, ..Config::default() };
        let mut pair = Pair::with(7, Path::default(), config(ours), config(theirs));
        pair.connect();
        pair.run(SECOND);
        pair.client.send(1, b"message").expect("taken");
        let packet = pair.client.association.poll_transmit(pair.now).expect("a packet");
        assert_eq!(packet[8..12] == [0; 4], ours && theirs);
        pair.server.association.handle_datagram(pair.now, packet);
        exchange(&mut pair);
        assert_eq!(pair.server.association.statistics().packets_dropped, 0);
    }
}

#[test]
fn an_unknown_chunk_is_skipped_or_reported_as_it_asks() {
    const ERROR: u8 = 9;
    for (kind, is_reported, goes_on) in [(63, false, false), (127, true, false), (191, false, true), (255, true, true)]
    {
        let mut raw = raw::Raw::new(1, 0);
        let chunks = [raw::chunk(kind, 0, b"what?"), raw::data(raw::WHOLE, 0, 1, 0, b"data")].concat();
        let answer = raw.say(&chunks);
        assert_eq!(raw::has(&answer, ERROR), is_reported, "{kind}");
        assert_eq!(raw.association.stream(1).is_ok(), goes_on, "{kind}");
    }
}

#[test]
fn a_silent_path_is_asked() {
    let mut pair = Pair::connected(8, Path::default());
    pair.run(SECOND);
    let before = pair.client.association.statistics().packets_sent;
    pair.run(100 * SECOND);
    let asked = pair.client.association.statistics().packets_sent - before;
    // Ours, and the answers to the peer's.
    assert!((4..=8).contains(&asked), "{asked}");
    assert_eq!(pair.client.association.statistics().round_trip.map(|time| time.as_millis()), Some(20));
}

#[test]
fn streams_are_refused_as_they_have_to_be() {
    let mut pair =
        Pair::with(9, Path::default(), Config::default(), Config { inbound_streams: 10, ..Config::default() });
    pair.connect();
    assert_eq!(pair.client.association.open(10).err(), Some(StreamError::TooMany));
    assert!(pair.client.association.open(9).is_ok());
    assert_eq!(pair.client.association.open(9).err(), Some(StreamError::Exists));
    assert_eq!(pair.client.association.stream(8).err(), Some(StreamError::Unknown));
    assert_eq!(pair.client.send(9, b""), Err(StreamError::Empty));
    assert_eq!(pair.client.send(9, &vec![0; 262_145]), Err(StreamError::TooLong));
    pair.client.association.stream(9).expect("open").close().expect("up");
    assert_eq!(pair.client.association.open(9).err(), Some(StreamError::Exists));
    assert_eq!(pair.client.send(9, b"late"), Err(StreamError::Closed));
}
