//! Packets to send: bundles everything that is due (RFC 9260, section 6.10).

use std::time::Instant;

use bytes::Bytes;

use super::connection::Connection;
use super::heartbeat::INFORMATION;
use super::path_mtu::Probe;
use super::state::Retry;
use super::{Association, State};
use crate::queue::pop_if;
use crate::receive::Receiver;
use crate::send::Source;
use crate::wire::kind;
use crate::wire::parameter;
use crate::wire::writer::Header;

/// Maximum number of times the timeout of a handshake and of a shutdown doubles.
const MAX_BACKOFF: u32 = 8;

impl Association {
    /// Returns the next packet that is due.
    pub(super) fn transmit(&mut self, now: Instant) -> Option<Bytes> {
        self.retry_handshake(now);
        if let Some(packet) = self.transmit_controls() {
            return Some(packet);
        }
        if matches!(self.state, State::Closed | State::Listening | State::CookieWait) {
            return None;
        }
        if let Some((tag, probe)) = self.poll_size_probe(now) {
            return Some(self.transmit_size_probe(tag, probe));
        }
        self.transmit_bundle(now)
    }

    /// Returns a HEARTBEAT padded to a length (RFC 8899, section 4.4, and RFC 4820, section 3).
    fn transmit_size_probe(&mut self, tag: u32, probe: Probe) -> Bytes {
        let may_skip = self.connection.as_ref().is_some_and(|connection| connection.features.zero_checksum);
        let mut value = Vec::new();
        parameter::put(&mut value, INFORMATION, &probe.nonce.to_be_bytes());
        self.writer.begin(self.header(tag), probe.size);
        self.writer.chunk(kind::HEARTBEAT, 0, &value);
        self.writer.pad(probe.padding);
        self.writer.finish(!may_skip)
    }

    fn header(&self, tag: u32) -> Header {
        Header { source_port: self.config.local_port, destination_port: self.config.remote_port, tag }
    }

    /// Queues INIT or COOKIE ECHO, if it is due.
    fn retry_handshake(&mut self, now: Instant) {
        let (tag, kind, value) = match self.state {
            State::CookieWait if self.is_retry_due(now) => (0, kind::INIT, self.init()),
            State::CookieEchoed if self.is_retry_due(now) => {
                let Some(connection) = &self.connection else { return };
                (connection.peer_tag, kind::COOKIE_ECHO, self.cookie.to_vec())
            }
            _ => return,
        };
        if self.config.max_init_retransmits.is_some_and(|max| self.retry.attempts > max) {
            return self.give_up();
        }
        self.count_retry(now);
        self.push_control(tag, kind, 0, &value);
    }

    fn is_retry_due(&self, now: Instant) -> bool {
        self.retry.at.is_none_or(|at| at <= now)
    }

    fn count_retry(&mut self, now: Instant) {
        let round_trip = self.connection.as_ref().map(|connection| &connection.sender.round_trip);
        let backoff = self.retry.attempts.min(MAX_BACKOFF);
        let timeout = round_trip.map_or_else(
            || crate::round_trip::RoundTrip::default().timeout(backoff),
            |round_trip| round_trip.timeout(backoff),
        );
        self.retry = Retry { at: Some(now + timeout), attempts: self.retry.attempts + 1 };
    }

    /// Returns a packet of chunks that answer the peer, as many as fit.
    fn transmit_controls(&mut self) -> Option<Bytes> {
        let first = self.controls.pop_front()?;
        let header = self.header(first.tag);
        self.writer.begin(header, self.config.first_packet_size());
        self.writer.encoded(&first.chunk);
        // The peer may not know yet that no checksum is needed, or may have forgotten it.
        let mut has_checksum = first.is_alone;
        while !first.is_alone
            && let Some(next) = pop_if(&mut self.controls, |next| {
                !next.is_alone && next.tag == first.tag && next.chunk.len() <= self.writer.room()
            })
        {
            self.writer.encoded(&next.chunk);
            has_checksum |= next.is_alone;
        }
        let may_skip = self.connection.as_ref().is_some_and(|connection| connection.features.zero_checksum);
        Some(self.writer.finish(has_checksum || !may_skip || self.state == State::CookieEchoed))
    }

    /// Returns a packet of acknowledgements, resets and data.
    fn transmit_bundle(&mut self, now: Instant) -> Option<Bytes> {
        // Only packets with data are longer, since their loss is noticed.
        let (packet_size, local) = (self.config.first_packet_size(), self.config.local_port);
        let heartbeat = self.poll_heartbeat(now);
        let mut shutdown = self.poll_shutdown(now);
        let connection = self.connection.as_mut()?;
        let header = Header { source_port: local, destination_port: self.config.remote_port, tag: connection.peer_tag };
        let writer = &mut self.writer;
        writer.begin(header, packet_size);
        let Connection { sender, receiver, resets, .. } = connection;
        let mut source = Source { streams: &mut self.streams, events: &mut self.events };
        if !self.is_draining {
            sender.drop_expired(now, &mut source);
        }
        // Data carries the acknowledgement; control chunks come first.
        let is_carried = receiver.acknowledgement.is_wanted() && self.state.sends_data() && sender.may_fill(now);
        if is_carried || receiver.acknowledgement.is_due(now) {
            put_acknowledgement(receiver, writer);
            self.statistics.acknowledgements_sent += 1;
        }
        if resets.is_due(now, source.streams) {
            let mut value = Vec::new();
            let timeout = sender.round_trip.timeout(0);
            let parts = resets.poll(now, sender.last_assigned(), timeout, source.streams);
            parts.iter().for_each(|part| part.put(&mut value));
            if !value.is_empty() {
                writer.chunk(kind::RE_CONFIG, 0, &value);
            }
        }
        if let Some(value) = heartbeat {
            writer.chunk(kind::HEARTBEAT, 0, &value);
        }
        if self.state.sends_data() {
            sender.fill(now, writer, &mut source);
        }
        if let Some((kind, value)) = shutdown.take() {
            writer.chunk(kind, 0, &value);
        }
        if writer.is_empty() {
            return None;
        }
        let packet = writer.finish(!connection.features.zero_checksum);
        self.note_path_used(now);
        Some(packet)
    }

    /// Returns the chunk of the shutdown that is due (RFC 9260, section 9.2).
    fn poll_shutdown(&mut self, now: Instant) -> Option<(u8, Vec<u8>)> {
        let is_late = self.retry.at.is_some_and(|at| at <= now);
        if !matches!(self.state, State::ShutdownSent | State::ShutdownAckSent) || !(self.is_shutdown_due || is_late) {
            return None;
        }
        if self.config.max_retransmits.is_some_and(|max| self.retry.attempts > max) {
            self.close(crate::event::Reason::TimedOut);
            return None;
        }
        self.is_shutdown_due = false;
        self.count_retry(now);
        let connection = self.connection.as_ref()?;
        let cumulative = connection.receiver.cumulative().wire().to_be_bytes().to_vec();
        Some(match self.state {
            State::ShutdownSent => (kind::SHUTDOWN, cumulative),
            _ => (kind::SHUTDOWN_ACK, Vec::new()),
        })
    }
}

fn put_acknowledgement(receiver: &mut Receiver, writer: &mut crate::wire::writer::Writer) {
    let value = receiver.acknowledge(writer.room().saturating_sub(parameter::HEADER));
    writer.chunk(kind::SACK, 0, &value);
}
