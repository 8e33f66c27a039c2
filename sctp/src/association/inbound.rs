//! Arriving packets: whether they belong to the association, and their chunks (RFC 9260, sections 8.4 and 8.5).

use std::time::Instant;

use bytes::Bytes;

use super::connection::Connection;
use super::shutdown::is_reflected;
use super::{Association, State};
use crate::event::{Failure, Reason};
use crate::receive::{self, Outcome};
use crate::reset;
use crate::send::Source;
use crate::wire::chunk::{DataHeader, ForwardTsn, Sack};
use crate::wire::packet::{Packet, RawChunk};
use crate::wire::parameter::parameters;
use crate::wire::reconfiguration::Reconfiguration;
use crate::wire::{cause, kind};

/// The high bits of an unknown type (RFC 9260, section 3.2).
const GOES_ON: u8 = 0x80;
const IS_REPORTED: u8 = 0x40;

/// Maximum number of bytes of an unknown chunk that are reported.
const MAX_REPORTED: usize = 256;

impl Association {
    pub(super) fn receive(&mut self, now: Instant, datagram: Bytes) {
        let takes_zero = self.config.zero_checksum;
        let size = datagram.len();
        let Some(packet) = Packet::parse(datagram, takes_zero).filter(|packet| self.is_for_us(packet)) else {
            self.statistics.packets_dropped += 1;
            return;
        };
        self.statistics.packets_received += 1;
        if let Some(connection) = &mut self.connection {
            connection.sender.handle_sign_of_life(now);
        }
        let mut has_data = false;
        for chunk in packet.chunks() {
            has_data |= chunk.kind == kind::DATA;
            match self.handle_chunk(now, &packet, &chunk) {
                Ok(true) => {}
                Ok(false) => break,
                Err(failure) => return self.fail(failure),
            }
        }
        if has_data {
            self.handle_data_packet(now, size);
        }
        if self.state.is_closing() {
            self.try_shutdown();
        }
    }

    /// Tells whether a packet belongs to the association: by its ports, and by its tag (RFC 9260, section 8.5).
    fn is_for_us(&self, packet: &Packet) -> bool {
        if packet.source_port != self.config.remote_port || packet.destination_port != self.config.local_port {
            return false;
        }
        let mut chunks = packet.chunks();
        let Some(first) = chunks.next() else { return false };
        let peer_tag = self.connection.as_ref().map(|connection| connection.peer_tag);
        let is_ours = packet.tag == self.local_tag && self.state != State::Listening;
        match first.kind {
            kind::INIT => packet.tag == 0 && chunks.next().is_none(),
            // The tag is in the cookie.
            kind::COOKIE_ECHO => true,
            kind::ABORT | kind::SHUTDOWN_COMPLETE if is_reflected(first.flags) => Some(packet.tag) == peer_tag,
            // One that comes after the end is answered, so that the peer need not wait (section 8.4, rule 5).
            kind::SHUTDOWN_ACK => is_ours || self.connection.is_none(),
            _ => is_ours && !matches!(self.state, State::Closed),
        }
    }

    /// Handles a chunk. Returns false if the rest of the packet must be skipped.
    fn handle_chunk(&mut self, now: Instant, packet: &Packet, chunk: &RawChunk<'_>) -> Result<bool, Failure> {
        match chunk.kind {
            kind::DATA => self.handle_data(packet, chunk)?,
            kind::SACK => self.handle_sack(now, chunk.value)?,
            kind::FORWARD_TSN => self.handle_forward(chunk.value),
            kind::INIT => self.handle_init(now, chunk.value),
            kind::INIT_ACK => self.handle_init_ack(now, chunk.value),
            kind::COOKIE_ECHO => self.handle_cookie_echo(now, packet.tag, chunk.value),
            kind::COOKIE_ACK => self.handle_cookie_ack(),
            kind::HEARTBEAT => self.handle_heartbeat(chunk.value),
            kind::HEARTBEAT_ACK => self.handle_heartbeat_ack(now, chunk.value),
            kind::RE_CONFIG => self.handle_reconfiguration(now, chunk.value),
            kind::SHUTDOWN => self.handle_shutdown(now, chunk.value),
            kind::SHUTDOWN_ACK if self.connection.is_some() => self.handle_shutdown_ack(),
            kind::SHUTDOWN_ACK => self.answer_late_shutdown(packet.tag),
            kind::SHUTDOWN_COMPLETE => self.handle_shutdown_complete(),
            kind::ABORT => self.handle_abort(chunk.value),
            kind::ERROR => self.handle_error(now, chunk.value),
            kind::PAD => {}
            unknown => {
                if unknown & IS_REPORTED != 0 {
                    self.report(chunk);
                }
                return Ok(unknown & GOES_ON != 0);
            }
        }
        Ok(self.state != State::Closed)
    }

    fn handle_data(&mut self, packet: &Packet, chunk: &RawChunk<'_>) -> Result<(), Failure> {
        let Some(connection) = self.connection.as_mut().filter(|_| self.state.takes_data()) else { return Ok(()) };
        let Some((header, payload)) = DataHeader::parse(chunk.flags, chunk.value) else { return Ok(()) };
        let mut target = receive::Target { streams: &mut self.streams, events: &mut self.events };
        let keep = |payload: &[u8]| packet.keep(payload);
        if connection.receiver.handle_data(&header, payload, keep, &mut target)? == Outcome::InvalidStream {
            let [high, low] = header.stream.to_be_bytes();
            let peer_tag = connection.peer_tag;
            self.push_control(peer_tag, kind::ERROR, 0, &cause::value(cause::INVALID_STREAM, &[high, low, 0, 0]));
        }
        Ok(())
    }

    /// Counts a packet with data, once all its chunks are handled.
    fn handle_data_packet(&mut self, now: Instant, size: usize) {
        let Some(connection) = &mut self.connection else { return };
        let wants_own = connection.receiver.acknowledgement.handle_packet(now, size);
        // A side that shuts down answers data at once (RFC 9260, section 9.2).
        if self.state == State::ShutdownSent {
            connection.receiver.acknowledgement.hasten();
            self.is_shutdown_due = true;
        }
        if wants_own {
            let room = self.config.first_packet_size() - crate::wire::PACKET_HEADER;
            let value = connection.receiver.acknowledge(room);
            let peer_tag = connection.peer_tag;
            self.statistics.acknowledgements_sent += 1;
            self.push_control(peer_tag, kind::SACK, 0, &value);
        }
        self.perform_resets();
    }

    fn handle_sack(&mut self, now: Instant, value: &[u8]) -> Result<(), Failure> {
        let Some(connection) = &mut self.connection else { return Ok(()) };
        let Some(sack) = Sack::parse(value) else { return Ok(()) };
        self.statistics.acknowledgements_received += 1;
        let mut source = Source { streams: &mut self.streams, events: &mut self.events };
        connection.sender.handle_sack(now, &sack, &mut source)?;
        self.note_path_used(now);
        Ok(())
    }

    fn handle_forward(&mut self, value: &[u8]) {
        let Some(connection) = self.connection.as_mut().filter(|_| self.state.takes_data()) else { return };
        let Some(forward) = ForwardTsn::parse(value) else { return };
        let mut target = receive::Target { streams: &mut self.streams, events: &mut self.events };
        connection.receiver.handle_forward(&forward, &mut target);
        self.perform_resets();
    }

    fn handle_reconfiguration(&mut self, now: Instant, value: &[u8]) {
        let parts = Reconfiguration::parse(value);
        self.with_resets(|connection, target| {
            let timeout = connection.sender.round_trip.timeout(0);
            connection.resets.handle(now, parts, timeout, target);
        });
    }

    /// Performs resets that waited for messages to arrive or to be read.
    pub(super) fn perform_resets(&mut self) {
        if self.connection.as_ref().is_some_and(|connection| connection.resets.is_deferring()) {
            self.with_resets(|connection, target| connection.resets.handle_progress(target));
        }
    }

    fn with_resets(&mut self, act: impl FnOnce(&mut Connection, &mut reset::Target<'_>)) {
        let Some(connection) = &mut self.connection else { return };
        let mut target = reset::Target {
            streams: &mut self.streams,
            events: &mut self.events,
            received: connection.receiver.cumulative(),
            dropped: Vec::new(),
            freed: 0,
        };
        act(connection, &mut target);
        let reset::Target { dropped, freed, .. } = target;
        connection.receiver.handle_read(freed, false);
        let mut source = Source { streams: &mut self.streams, events: &mut self.events };
        dropped.into_iter().for_each(|stream| connection.sender.drop_queued(stream, &mut source));
    }

    fn handle_abort(&mut self, value: &[u8]) {
        // In the first states it may concern an earlier association of the peer, but its tag is right.
        let code = parameters(value).next().map_or(0, |cause| cause.kind);
        self.close(Reason::AbortedByPeer(code));
    }

    fn handle_error(&mut self, now: Instant, value: &[u8]) {
        if parameters(value).any(|parameter| parameter.kind == cause::STALE_COOKIE) {
            self.handle_stale_cookie(now);
        }
    }

    /// Reports an unknown chunk to the peer.
    fn report(&mut self, chunk: &RawChunk<'_>) {
        let Some(connection) = &self.connection else { return };
        let start = chunk.whole.get(..chunk.whole.len().min(MAX_REPORTED)).unwrap_or_default();
        let peer_tag = connection.peer_tag;
        self.push_control(peer_tag, kind::ERROR, 0, &cause::value(cause::UNRECOGNIZED_CHUNK, start));
    }
}
