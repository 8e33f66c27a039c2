//! Seeds and a model: two associations act at random, over links that act at random, and a model knows the right
//! outcome.
//!
//! `SCTP_SEEDS=1..5000` runs those seeds instead of a few.

mod common;

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use common::link::{Dice, Loss, Path};
use common::pair::{End, Pair};
use common::raw::init;
use pinhole_sctp::{Association, Config, Delivery, Event, Reason, Reliability, Seed, State, Token};

const STREAMS: u16 = 6;
const WINDOW: usize = 300_000;
const LONGEST: usize = 60_000;

/// Messages that one end sent and the other has not received.
#[derive(Default)]
struct Shadow {
    /// By stream; each message contains its number.
    sent: HashMap<u16, VecDeque<Sent>>,
    next: u32,
    delivered: usize,
}

struct Sent {
    number: u32,
    length: usize,
    delivery: Delivery,
}

fn payload(number: u32, length: usize) -> Vec<u8> {
    let mut payload = number.to_be_bytes().to_vec();
    payload.extend((4..length).map(|at| (number as usize).wrapping_mul(31).wrapping_add(at * at) as u8));
    payload.truncate(length.max(4));
    payload
}

impl Shadow {
    fn send(&mut self, end: &mut End, dice: &mut Dice) {
        let stream = dice.below(u64::from(STREAMS)) as u16;
        let length = match dice.below(10) {
            0 => 4,
            1..=5 => 4 + dice.below(1500) as usize,
            6..=8 => 4 + dice.below(10_000) as usize,
            _ => 4 + dice.below(LONGEST as u64 - 4) as usize,
        };
        let reliability = match stream {
            0..=2 => Reliability::Reliable,
            3 => Reliability::Retransmits(dice.below(3) as u32),
            _ => Reliability::Lifetime(Duration::from_millis(dice.below(500))),
        };
        let delivery = Delivery { is_ordered: stream.is_multiple_of(2), reliability };
        if end.association.stream(stream).is_err() && end.association.open(stream).is_err() {
            return;
        }
        let Ok(mut opened) = end.association.stream(stream) else { return };
        if opened.buffered_amount() > 200_000 {
            return;
        }
        let number = self.next;
        if opened.send_with(delivery, 53, &payload(number, length)).is_ok() {
            self.next += 1;
            self.sent.entry(stream).or_default().push_back(Sent { number, length, delivery });
        }
    }

    /// Checks what the other end received.
    fn check(&mut self, end: &mut End, seed: u64) {
        for (stream, protocol, message) in end.received.drain(..) {
            assert_eq!(protocol, 53);
            let number = u32::from_be_bytes(*message.first_chunk().expect("a number"));
            let waiting = self.sent.get_mut(&stream).unwrap_or_else(|| panic!("seed {seed}: nobody sent on {stream}"));
            let at = waiting.iter().position(|sent| sent.number == number);
            let at = at.unwrap_or_else(|| panic!("seed {seed}: {number} came twice or never was sent"));
            let sent = &waiting[at];
            assert!(message == payload(number, sent.length), "seed {seed}: {number} is not what was sent");
            self.delivered += 1;
            if sent.delivery.is_ordered {
                let is_skipped = waiting.drain(..at).all(|sent| sent.delivery.reliability != Reliability::Reliable);
                assert!(is_skipped, "seed {seed}: {number} overtook another on stream {stream}");
                waiting.pop_front();
            } else {
                waiting.remove(at);
            }
        }
    }

    fn reliable_left(&self) -> usize {
        let reliable = |sent: &&Sent| sent.delivery.reliability == Reliability::Reliable;
        self.sent.values().map(|sent| sent.iter().filter(reliable).count()).sum()
    }
}

fn random_path(dice: &mut Dice) -> Path {
    Path {
        delay: Duration::from_millis(dice.below(150)),
        jitter: Duration::from_millis(dice.below(80)),
        jittered: [0.0, 0.0, 0.1, 0.5][dice.below(4) as usize],
        loss: match dice.below(5) {
            0 => Loss::None,
            1 => Loss::Random(0.01),
            2 => Loss::Random(0.1),
            3 => Loss::Random(0.3),
            _ => Loss::Bursts { begin: 0.01, end: 0.2, within: 0.8 },
        },
        repeated: [0.0, 0.0, 0.05, 0.3][dice.below(4) as usize],
        rate: [None, Some(2e5), Some(2e6)][dice.below(3) as usize],
        queue: 20_000 + dice.below(200_000) as usize,
        ..Path::default()
    }
}

fn check_bounds(end: &End, seed: u64) {
    let statistics = end.association.statistics();
    assert!(statistics.kept <= WINDOW + 2 * LONGEST, "seed {seed}: {statistics:?}");
    assert!(statistics.outstanding <= 65_000, "seed {seed}: {statistics:?}");
    assert!(statistics.in_flight <= statistics.outstanding as u64 * 1600, "seed {seed}: {statistics:?}");
}

fn run(seed: u64) {
    let mut dice = Dice::new(seed);
    let path = random_path(&mut dice);
    let config = |dice: &mut Dice| Config {
        receive_window: WINDOW,
        max_receive_message_size: LONGEST,
        max_retransmits: None,
        max_init_retransmits: None,
        private_extensions: dice.hits(0.7),
        zero_checksum: dice.hits(0.7),
        packet_size: 600 + dice.below(1000) as usize,
        ..Config::default()
    };
    let configs = [config(&mut dice), config(&mut dice)];
    let least = configs.iter().map(|config| config.packet_size).max().unwrap_or(0);
    // Every second seed has numbers that soon wrap around.
    let mut pair = if seed.is_multiple_of(2) {
        let [a, b] = [1u32, 2].map(|tag| {
            let first = u32::MAX - dice.below(300) as u32;
            Token::parse(&init(tag, first, WINDOW as u32)).expect("a token")
        });
        let [client, server] = configs;
        let client = Association::connect_with_tokens(client, Seed([seed, 1]), &a, b.clone());
        let server = Association::connect_with_tokens(server, Seed([seed, 2]), &b, a);
        Pair::of(seed, path, client, server)
    } else {
        let [client, server] = configs;
        Pair::with(seed, path, client, server)
    };
    let mut shadows = [Shadow::default(), Shadow::default()];
    for _ in 0..150 {
        match dice.below(12) {
            0..=5 => (0..dice.below(6)).for_each(|_| shadows[0].send(&mut pair.client, &mut dice)),
            6..=8 => (0..dice.below(6)).for_each(|_| shadows[1].send(&mut pair.server, &mut dice)),
            9 => {
                let end = if dice.hits(0.5) { &mut pair.client } else { &mut pair.server };
                end.reads = dice.hits(0.7);
            }
            10 => {
                let loss = if dice.hits(0.3) { Loss::All } else { path.loss };
                let link = if dice.hits(0.5) { &mut pair.up } else { &mut pair.down };
                link.path.loss = loss;
            }
            _ => {
                // Larger packets do not pass any more, or do again.
                let link = if dice.hits(0.5) { &mut pair.up } else { &mut pair.down };
                link.path.largest = if dice.hits(0.7) { least } else { usize::MAX };
            }
        }
        let time = dice.below(100);
        pair.run(Duration::from_millis(time));
        shadows[0].check(&mut pair.server, seed);
        shadows[1].check(&mut pair.client, seed);
        check_bounds(&pair.client, seed);
        check_bounds(&pair.server, seed);
    }
    for link in [&mut pair.up, &mut pair.down] {
        link.path.loss = if dice.hits(0.5) { Loss::None } else { Loss::Random(0.1) };
    }
    pair.client.reads = true;
    pair.server.reads = true;
    let is_done = pair.run_until(Duration::from_secs(600), |pair| {
        shadows[0].check(&mut pair.server, seed);
        shadows[1].check(&mut pair.client, seed);
        let is_idle = |end: &mut End| {
            let statistics = end.association.statistics();
            let mut buffered = 0;
            for id in end.association.streams() {
                buffered += end.association.stream(id).map_or(0, |stream| stream.buffered_amount());
            }
            statistics.outstanding == 0 && statistics.in_flight == 0 && buffered == 0 && statistics.kept == 0
        };
        shadows.iter().all(|shadow| shadow.reliable_left() == 0)
            && is_idle(&mut pair.client)
            && is_idle(&mut pair.server)
    });
    assert!(
        is_done,
        "seed {seed}: {} and {} of {} and {} are left\n{:?} {:?}\n{:?} {:?}",
        shadows[0].reliable_left(),
        shadows[1].reliable_left(),
        shadows[0].next,
        shadows[1].next,
        pair.client.association.statistics(),
        pair.client.events.last(),
        pair.server.association.statistics(),
        pair.server.events.last(),
    );
    if dice.hits(0.5) {
        assert!(pair.client.association.shutdown());
        pair.run_until(Duration::from_secs(300), |pair| {
            pair.client.association.state() == State::Closed && pair.server.association.state() == State::Closed
        });
        for end in [&pair.client, &pair.server] {
            assert!(end.has(&Event::Closed(Reason::Shutdown)), "seed {seed}");
        }
    }
}

#[test]
fn whatever_the_link_does_what_is_sent_arrives_once() {
    let seeds = std::env::var("SCTP_SEEDS").ok();
    let range = seeds.and_then(|range| {
        let (from, to) = range.split_once("..")?;
        Some(from.parse().ok()?..to.parse().ok()?)
    });
    range.unwrap_or(0..60).for_each(run);
}
