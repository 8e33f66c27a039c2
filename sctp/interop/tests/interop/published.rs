//! Against the published sctp-proto, which str0m uses where nobody patches it: both directions, every delivery, with and without
//! loss, in virtual time. What arrives is compared byte by byte.

use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use pinhole_sctp::{Association, Config, Delivery, Event, Reason, Reliability, Seed, State, Statistics};
use published::{
    AssociationHandle, ClientConfig, DatagramEvent, Endpoint, EndpointConfig, Payload, PayloadProtocolIdentifier,
    ReliabilityType, ServerConfig, TransportConfig,
};

const STREAM: u16 = 1;
const DELAY: Duration = Duration::from_millis(5);
const LONGEST: u32 = 256 * 1024;
const PEER: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 5000);

/// The published crate's end.
struct Foreign {
    endpoint: Endpoint,
    association: Option<(AssociationHandle, published::Association)>,
    is_up: bool,
}

impl Foreign {
    fn new(begins: bool) -> Foreign {
        let transport = Arc::new(
            TransportConfig::default()
                .with_max_send_message_size(LONGEST)
                .with_max_receive_message_size(LONGEST)
                .with_max_receive_buffer_size(1 << 20)
                .with_max_init_retransmits(None)
                .with_max_data_retransmits(None),
        );
        let mut config = EndpointConfig::default();
        config.max_payload_size(1062);
        let mut server = ServerConfig::default();
        server.transport = transport.clone();
        let mut endpoint = Endpoint::new(Arc::new(config), Some(Arc::new(server)));
        let association = begins.then(|| {
            let mut client = ClientConfig::new();
            client.transport = transport;
            endpoint.connect(client, PEER).expect("a first one")
        });
        Foreign { endpoint, association, is_up: false }
    }

    fn association(&mut self) -> &mut published::Association {
        &mut self.association.as_mut().expect("an association").1
    }

    fn handle(&mut self, now: Instant, packet: Bytes) {
        match self.endpoint.handle(now, PEER, None, None, packet) {
            Some((handle, DatagramEvent::NewAssociation(association))) => {
                self.association = Some((handle, association))
            }
            Some((_, DatagramEvent::AssociationEvent(event))) => self.association().handle_event(event),
            None => {}
        }
    }

    fn poll(&mut self, now: Instant) -> Vec<Bytes> {
        let mut packets = Vec::new();
        let mut take = |payload| match payload {
            Payload::RawEncode(parts) => packets.extend(parts),
            Payload::PartialDecode(_) => unreachable!("what leaves is encoded"),
        };
        while let Some(transmit) = self.endpoint.poll_transmit() {
            take(transmit.payload);
        }
        let Some((handle, association)) = &mut self.association else { return packets };
        association.handle_timeout(now);
        while let Some(transmit) = association.poll_transmit(now) {
            take(transmit.payload);
        }
        while let Some(event) = association.poll() {
            self.is_up |= matches!(event, published::Event::Connected);
        }
        while let Some(event) = association.poll_endpoint_event() {
            if let Some(event) = self.endpoint.handle_event(*handle, event) {
                association.handle_event(event);
            }
        }
        packets
    }

    fn send(&mut self, delivery: Delivery, message: &[u8]) {
        let association = self.association();
        if association.stream(STREAM).is_err() {
            association.open_stream(STREAM, PayloadProtocolIdentifier::Binary).expect("opens");
        }
        let (kind, value) = match delivery.reliability {
            Reliability::Reliable => (ReliabilityType::Reliable, 0),
            Reliability::Retransmits(count) => (ReliabilityType::Rexmit, count),
            Reliability::Lifetime(time) => (ReliabilityType::Timed, time.as_millis() as u32),
        };
        let mut stream = association.stream(STREAM).expect("open");
        stream.set_reliability_params(!delivery.is_ordered, kind, value).expect("set");
        let taken = stream.write_with_ppi(message, PayloadProtocolIdentifier::Binary).expect("taken");
        assert_eq!(taken, message.len());
    }

    fn receive(&mut self, into: &mut Vec<Vec<u8>>) {
        let Some((_, association)) = &mut self.association else { return };
        let Ok(mut stream) = association.stream(STREAM) else { return };
        while let Ok(Some(chunks)) = stream.read() {
            let mut message = vec![0; chunks.len()];
            assert_eq!(chunks.read(&mut message).expect("fits"), message.len());
            into.push(message);
        }
    }
}

/// Packets under way in one direction.
#[derive(Default)]
struct Link {
    packets: VecDeque<(Instant, Bytes)>,
    loss: f64,
    dice: u64,
    largest: usize,
}

impl Link {
    fn send(&mut self, now: Instant, packet: Bytes) {
        self.dice ^= self.dice << 13;
        self.dice ^= self.dice >> 7;
        self.dice ^= self.dice << 17;
        self.largest = self.largest.max(packet.len());
        if (self.dice >> 11) as f64 / (1u64 << 53) as f64 >= self.loss {
            self.packets.push_back((now + DELAY, packet));
        }
    }

    fn receive(&mut self, now: Instant) -> Option<Bytes> {
        let has_arrived = self.packets.front().is_some_and(|(at, _)| *at <= now);
        if has_arrived { self.packets.pop_front().map(|(_, packet)| packet) } else { None }
    }
}

struct Pair {
    now: Instant,
    ours: Association,
    foreign: Foreign,
    /// From ours to the other, and back.
    up: Link,
    down: Link,
    events: Vec<Event>,
    /// What each end received.
    by_ours: Vec<Vec<u8>>,
    by_foreign: Vec<Vec<u8>>,
}

impl Pair {
    fn new(we_begin: bool, loss: f64, seed: u64) -> Pair {
        // As the adapter sets it.
        let config =
            Config { packet_size: 1102, max_retransmits: None, max_init_retransmits: None, ..Config::default() };
        let ours = if we_begin {
            Association::connect(config, Seed([seed, 1]))
        } else {
            Association::accept(config, Seed([seed, 1]))
        };
        let foreign = Foreign::new(!we_begin);
        let link = |dice: u64| Link { loss, dice: dice.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1, ..Link::default() };
        let mut pair = Pair {
            now: Instant::now(),
            ours,
            foreign,
            up: link(seed * 2 + 1),
            down: link(seed * 2 + 2),
            events: Vec::new(),
            by_ours: Vec::new(),
            by_foreign: Vec::new(),
        };
        let is_up = pair
            .run_until(Duration::from_secs(120), |pair| pair.ours.state() == State::Established && pair.foreign.is_up);
        assert!(is_up, "seed {seed}: it did not come up");
        pair
    }

    fn work(&mut self) {
        while let Some(packet) = self.up.receive(self.now) {
            self.foreign.handle(self.now, packet);
        }
        while let Some(packet) = self.down.receive(self.now) {
            self.ours.handle_datagram(self.now, packet);
        }
        self.ours.handle_timeout(self.now);
        while let Some(packet) = self.ours.poll_transmit(self.now) {
            self.up.send(self.now, packet);
        }
        self.events.extend(std::iter::from_fn(|| self.ours.poll_event()));
        if let Ok(mut stream) = self.ours.stream(STREAM) {
            while let Ok(Some(message)) = stream.receive() {
                self.by_ours.push(message.into_bytes().to_vec());
            }
        }
        for packet in self.foreign.poll(self.now) {
            self.down.send(self.now, packet);
        }
        self.foreign.receive(&mut self.by_foreign);
    }

    /// Runs in steps of a millisecond until something is so.
    fn run_until(&mut self, time: Duration, mut is_done: impl FnMut(&mut Pair) -> bool) -> bool {
        let end = self.now + time;
        while self.now < end {
            self.work();
            if is_done(self) {
                return true;
            }
            self.now += Duration::from_millis(1);
        }
        false
    }

    fn send_ours(&mut self, delivery: Delivery, message: &[u8]) {
        if self.ours.stream(STREAM).is_err() {
            self.ours.open(STREAM).expect("opens");
        }
        self.ours.stream(STREAM).expect("open").send_with(delivery, 53, message).expect("taken");
    }

    fn statistics(&self) -> Statistics {
        self.ours.statistics()
    }
}

fn message(number: usize, length: usize) -> Vec<u8> {
    (0..length).map(|at| (number.wrapping_mul(31) ^ at ^ (at >> 8).wrapping_mul(7)) as u8).collect()
}

const LENGTHS: [usize; 12] = [1, 2, 100, 1062, 1063, 1074, 1075, 5000, 16_384, 65_535, 100_000, 256 * 1024];

/// Sends messages of all lengths both ways at once, and returns what was sent, which is the same for both.
fn exchange(pair: &mut Pair, delivery: Delivery, rounds: usize) -> Vec<Vec<u8>> {
    let sent: Vec<_> = (0..rounds * LENGTHS.len()).map(|at| message(at, LENGTHS[at * 5 % LENGTHS.len()])).collect();
    for message in &sent {
        pair.send_ours(delivery, message);
        pair.foreign.send(delivery, message);
        pair.run_until(Duration::from_millis(2), |_| false);
    }
    sent
}

#[test]
fn everything_arrives_in_order_or_without() {
    for (seed, loss) in [0.0, 0.01, 0.05].into_iter().enumerate() {
        for we_begin in [true, false] {
            for is_ordered in [true, false] {
                let mut pair = Pair::new(we_begin, loss, seed as u64);
                let delivery = Delivery { is_ordered, reliability: Reliability::Reliable };
                let mut sent = exchange(&mut pair, delivery, 2);
                let is_done = pair.run_until(Duration::from_secs(300), |pair| {
                    pair.by_ours.len() >= sent.len() && pair.by_foreign.len() >= sent.len()
                });
                let what = format!("loss {loss}, we begin: {we_begin}, in order: {is_ordered}");
                let counts = (pair.by_ours.len(), pair.by_foreign.len(), sent.len());
                assert!(is_done, "{what}: {counts:?} {:?}", pair.statistics());
                if !is_ordered {
                    [&mut sent, &mut pair.by_ours, &mut pair.by_foreign].into_iter().for_each(|list| list.sort());
                }
                assert!(pair.by_ours == sent && pair.by_foreign == sent, "{what}");
            }
        }
    }
}

/// Tells whether `received` is what remains of `sent` after some are left out.
fn is_part(sent: &[Vec<u8>], received: &[Vec<u8>]) -> bool {
    let mut rest = sent.iter();
    received.iter().all(|message| rest.any(|sent| sent == message))
}

#[test]
fn what_may_be_lost_is_given_up_and_the_rest_goes_on() {
    let policies =
        [Reliability::Retransmits(0), Reliability::Retransmits(1), Reliability::Lifetime(Duration::from_millis(30))];
    for (seed, reliability) in policies.into_iter().enumerate() {
        for we_begin in [true, false] {
            for is_ordered in [true, false] {
                let mut pair = Pair::new(we_begin, 0.05, seed as u64 + 10);
                let mut sent = exchange(&mut pair, Delivery { is_ordered, reliability }, 3);
                (pair.up.loss, pair.down.loss) = (0.0, 0.0);
                let last = message(999, 333);
                let reliable = Delivery { is_ordered, reliability: Reliability::Reliable };
                pair.send_ours(reliable, &last);
                pair.foreign.send(reliable, &last);
                let is_done = pair.run_until(Duration::from_secs(300), |pair| {
                    let is_idle = pair.ours.stream(STREAM).is_ok_and(|stream| stream.buffered_amount() == 0);
                    is_idle && pair.by_ours.contains(&last) && pair.by_foreign.contains(&last)
                });
                let what = format!("{reliability:?}, we begin: {we_begin}, in order: {is_ordered}");
                assert!(is_done, "{what}: {:?}", pair.statistics());
                sent.push(last);
                if !is_ordered {
                    [&mut sent, &mut pair.by_ours, &mut pair.by_foreign].into_iter().for_each(|list| list.sort());
                }
                assert!(is_part(&sent, &pair.by_ours) && is_part(&sent, &pair.by_foreign), "{what}");
                assert!(pair.by_ours.len() > 1 && pair.by_foreign.len() > 1, "{what}: something arrived");
            }
        }
    }
}

#[test]
fn either_side_ends_it() {
    let mut pair = Pair::new(true, 0.0, 77);
    assert!(pair.ours.shutdown());
    let is_over = |pair: &mut Pair| pair.ours.state() == State::Closed && pair.foreign.association().is_closed();
    assert!(pair.run_until(Duration::from_secs(30), is_over));
    assert_eq!(pair.events.last(), Some(&Event::Closed(Reason::Shutdown)));
    // Its SHUTDOWN carries a number of its own in place of ours, and it forgets the association before the answer to that comes.
    let mut pair = Pair::new(true, 0.0, 78);
    pair.foreign.association().shutdown().expect("up");
    assert!(pair.run_until(Duration::from_secs(30), |pair| pair.ours.state() == State::ShutdownAckSent));
}

#[test]
fn a_probe_it_does_not_understand_costs_nothing() {
    let mut pair = Pair::new(true, 0.0, 3);
    exchange(&mut pair, Delivery::default(), 4);
    assert!(pair.run_until(Duration::from_secs(60), |pair| pair.by_foreign.len() == 48), "{:?}", pair.statistics());
    let statistics = pair.statistics();
    // It drops packets with a PAD chunk whole, so the size stays.
    assert!(pair.up.largest > statistics.packet_size, "probes left");
    assert_eq!((statistics.packet_size, statistics.timeouts), (1100, 0), "{statistics:?}");
}
