//! Against the published sctp-proto, which str0m uses by default: both directions, every kind of delivery, with and
//! without loss, in virtual time. Messages are compared byte by byte.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use pinhole_sctp::{Delivery, Event, Reason, Reliability, State};
use published::{
    AssociationHandle, ClientConfig, DatagramEvent, Endpoint, EndpointConfig, Payload, PayloadProtocolIdentifier,
    ReliabilityType, ServerConfig, TransportConfig,
};

use crate::exchange::{POLICIES, check_partial, check_reliable, exchange};
use crate::pair::{Pair, Peer, STREAM};

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
}

impl Peer for Foreign {
    fn is_up(&self) -> bool {
        self.is_up
    }

    fn is_closed(&mut self) -> bool {
        self.association().is_closed()
    }

    fn shutdown(&mut self) {
        self.association().shutdown().expect("up");
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

#[test]
fn everything_arrives_in_order_or_without() {
    check_reliable(Foreign::new, &[0.0, 0.01, 0.05], 2);
}

#[test]
fn what_may_be_lost_is_given_up_and_the_rest_goes_on() {
    check_partial(Foreign::new, &POLICIES, 3);
}

#[test]
fn either_side_ends_it() {
    let mut pair = Pair::new(Foreign::new(false), true, 0.0, 77);
    assert!(pair.ours.shutdown());
    let is_over = |pair: &mut Pair<Foreign>| pair.ours.state() == State::Closed && pair.foreign.is_closed();
    assert!(pair.run_until(Duration::from_secs(30), is_over));
    assert_eq!(pair.events.last(), Some(&Event::Closed(Reason::Shutdown)));
    // Its SHUTDOWN contains a number of its own instead of ours, and it forgets the association before the answer
    // arrives.
    let mut pair = Pair::new(Foreign::new(false), true, 0.0, 78);
    pair.foreign.shutdown();
    assert!(pair.run_until(Duration::from_secs(30), |pair| pair.ours.state() == State::ShutdownAckSent));
}

#[test]
fn a_probe_it_does_not_understand_costs_nothing() {
    let mut pair = Pair::new(Foreign::new(false), true, 0.0, 3);
    exchange(&mut pair, Delivery::default(), 4);
    assert!(pair.run_until(Duration::from_secs(60), |pair| pair.by_foreign.len() == 48), "{:?}", pair.statistics());
    let statistics = pair.statistics();
    // It drops packets with a PAD chunk, so the size stays.
    assert!(pair.up.largest > statistics.packet_size, "probes left");
    assert_eq!((statistics.packet_size, statistics.timeouts), (1100, 0), "{statistics:?}");
}
