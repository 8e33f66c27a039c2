//! Against the crate `dcsctp`, a port of Chromium's dcSCTP that Firefox uses, in virtual time.

use std::time::{Duration, Instant};

use bytes::Bytes;
use dcsctp::api::{
    DcSctpSocket, ErrorKind, Message, Options, PpId, SendOptions, SocketEvent, SocketState, SocketTime, StreamId,
    ZERO_CHECKSUM_ALTERNATE_ERROR_DETECTION_METHOD_LOWER_LAYER_DTLS as ZERO_BY_DTLS,
    ZERO_CHECKSUM_ALTERNATE_ERROR_DETECTION_METHOD_NONE as NO_ZERO,
};
use pinhole_sctp::{Delivery, Event, Reason, Reliability, State};

use crate::exchange::{POLICIES, check_partial, check_reliable, exchange};
use crate::pair::{Pair, Peer, STREAM};

/// The crate's end.
struct Foreign {
    socket: Box<dyn DcSctpSocket>,
    start: Option<Instant>,
    is_up: bool,
    is_closed: bool,
    packets: Vec<Bytes>,
}

impl Foreign {
    fn new(begins: bool) -> Foreign {
        Foreign::with(begins, true)
    }

    fn with(begins: bool, zero_checksum: bool) -> Foreign {
        let options = Options {
            max_send_buffer_size: 64 << 20,
            per_stream_send_queue_limit: 64 << 20,
            max_retransmissions: None,
            max_init_retransmits: None,
            zero_checksum_alternate_error_detection_method: if zero_checksum { ZERO_BY_DTLS } else { NO_ZERO },
            ..Options::default()
        };
        let mut socket = dcsctp::new_socket("foreign", &options);
        if begins {
            socket.connect();
        }
        Foreign { socket, start: None, is_up: false, is_closed: false, packets: Vec::new() }
    }

    fn advance(&mut self, now: Instant) {
        let start = *self.start.get_or_insert(now);
        self.socket.advance_time(SocketTime::zero() + (now - start));
    }

    fn take_events(&mut self) {
        while let Some(event) = self.socket.poll_event() {
            match event {
                SocketEvent::SendPacket(packet) => self.packets.push(packet.into()),
                SocketEvent::OnConnected() => self.is_up = true,
                SocketEvent::OnClosed() => self.is_closed = true,
                SocketEvent::OnAborted(kind, why) => panic!("it ended the association: {kind:?} {why}"),
                SocketEvent::OnError(kind, why) => assert_eq!(kind, ErrorKind::NoError, "{why}"),
                _ => {}
            }
        }
    }
}

impl Peer for Foreign {
    fn is_up(&self) -> bool {
        self.is_up
    }

    fn is_closed(&mut self) -> bool {
        self.is_closed && self.socket.state() == SocketState::Closed
    }

    fn handle(&mut self, now: Instant, packet: Bytes) {
        self.advance(now);
        self.socket.handle_input(&packet);
        self.take_events();
    }

    fn poll(&mut self, now: Instant) -> Vec<Bytes> {
        self.advance(now);
        self.take_events();
        std::mem::take(&mut self.packets)
    }

    fn send(&mut self, delivery: Delivery, message: &[u8]) {
        let (lifetime, max_retransmissions) = match delivery.reliability {
            Reliability::Reliable => (None, None),
            Reliability::Retransmits(count) => (None, Some(count as u16)),
            Reliability::Lifetime(time) => (Some(time), None),
        };
        let options =
            SendOptions { unordered: !delivery.is_ordered, lifetime, max_retransmissions, lifecycle_id: None };
        self.socket.send(Message::new(StreamId(STREAM), PpId(53), message.to_vec()), &options).expect("taken");
    }

    fn receive(&mut self, into: &mut Vec<Vec<u8>>) {
        while let Some(message) = self.socket.get_next_message() {
            into.push(message.payload);
        }
    }

    fn shutdown(&mut self) {
        self.socket.shutdown();
    }
}

#[test]
fn everything_arrives_in_order_or_without() {
    check_reliable(Foreign::new, &[0.0, 0.01, 0.05], 2);
}

#[test]
fn what_may_be_lost_is_given_up_and_the_rest_goes_on() {
    // Not ordered with a lifetime: dcsctp 0.1.16 abandons the rest of a message that has begun to leave without
    // telling, so the stream waits for ever.
    check_partial(
        Foreign::new,
        &POLICIES.map(|(reliability, is_ordered)| {
            (reliability, is_ordered && !matches!(reliability, Reliability::Lifetime(_)))
        }),
        3,
    );
}

#[test]
fn checksums_are_left_out_only_if_both_agree() {
    for agrees in [true, false] {
        let mut pair = Pair::new(Foreign::with(false, agrees), true, 0.0, 5);
        let sent = exchange(&mut pair, Delivery::default(), 1);
        assert!(pair.run_until(Duration::from_secs(60), |pair| pair.by_foreign.len() == sent.len()));
        assert_eq!(pair.foreign.socket.get_metrics().expect("up").uses_zero_checksum, agrees);
    }
}

#[test]
fn either_side_ends_it() {
    let is_over = |pair: &mut Pair<Foreign>| pair.ours.state() == State::Closed && pair.foreign.is_closed();
    let mut pair = Pair::new(Foreign::new(false), true, 0.0, 77);
    assert!(pair.ours.shutdown());
    assert!(pair.run_until(Duration::from_secs(30), is_over));
    assert_eq!(pair.events.last(), Some(&Event::Closed(Reason::Shutdown)));
    let mut pair = Pair::new(Foreign::new(false), true, 0.0, 78);
    pair.foreign.shutdown();
    assert!(pair.run_until(Duration::from_secs(30), is_over));
    assert_eq!(pair.events.last(), Some(&Event::Closed(Reason::Shutdown)));
}

#[test]
fn packets_grow_with_it_as_far_as_the_path_goes() {
    let mut pair = Pair::new(Foreign::new(false), true, 0.0, 3);
    let sent = exchange(&mut pair, Delivery::default(), 4);
    assert!(pair.run_until(Duration::from_secs(60), |pair| pair.by_foreign.len() == sent.len()));
    assert_eq!(pair.statistics().packet_size, 1412, "{:?}", pair.statistics());
}
