//! HEARTBEAT: checks a silent path, and measures its round trip (RFC 9260, section 8.3).

use std::time::Instant;

use super::path_mtu::Probe;
use super::{Association, State};
use crate::wire::{kind, parameter};

/// The only parameter of the chunk (RFC 9260, section 3.3.5).
pub(super) const INFORMATION: u16 = 1;

/// A HEARTBEAT without an answer so far.
#[derive(Debug, Clone, Copy)]
struct Asked {
    nonce: u64,
    at: Instant,
}

/// The schedule of HEARTBEATs.
#[derive(Debug, Default)]
pub(super) struct Heartbeat {
    due: Option<Instant>,
    asked: Option<Asked>,
}

impl Heartbeat {
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.due
    }
}

impl Association {
    /// Postpones the next HEARTBEAT, because the path was used.
    pub(super) fn note_path_used(&mut self, now: Instant) {
        self.heartbeat.due = self.config.heartbeat_interval.map(|interval| now + interval);
    }

    /// Returns the value of a HEARTBEAT chunk, if one is due.
    pub(super) fn poll_heartbeat(&mut self, now: Instant) -> Option<Vec<u8>> {
        if self.state != State::Established {
            return None;
        }
        let Some(due) = self.heartbeat.due else {
            self.note_path_used(now);
            return None;
        };
        if due > now {
            return None;
        }
        let nonce = self.random.number();
        self.heartbeat.asked = Some(Asked { nonce, at: now });
        self.note_path_used(now);
        let mut value = Vec::new();
        parameter::put(&mut value, INFORMATION, &nonce.to_be_bytes());
        Some(value)
    }

    /// Returns a HEARTBEAT that tries a larger packet size, if one is due; first handles doubts about the present size.
    pub(super) fn poll_size_probe(&mut self, now: Instant) -> Option<(u32, Probe)> {
        let connection = self.connection.as_mut().filter(|_| self.state == State::Established)?;
        if connection.sender.take_size_doubt() {
            let size = connection.path_mtu.handle_doubt(now);
            connection.sender.set_packet_size(size);
        }
        let timeout = connection.sender.round_trip.timeout(0);
        let random = &mut self.random;
        let probe = connection.path_mtu.poll(now, connection.sender.heard_at(), timeout, || random.number())?;
        Some((connection.peer_tag, probe))
    }

    /// Returns a HEARTBEAT to the peer unchanged (RFC 9260, section 8.3).
    pub(super) fn handle_heartbeat(&mut self, value: &[u8]) {
        if let Some(connection) = &self.connection {
            self.push_control(connection.peer_tag, kind::HEARTBEAT_ACK, 0, value);
        }
    }

    /// Handles the answer to one of ours.
    pub(super) fn handle_heartbeat_ack(&mut self, now: Instant, value: &[u8]) {
        let information = parameter::parameters(value).find(|parameter| parameter.kind == INFORMATION);
        let nonce = information.and_then(|information| Some(u64::from_be_bytes(*information.value.first_chunk()?)));
        if let (Some(nonce), Some(connection)) = (nonce, &mut self.connection) {
            let random = &mut self.random;
            if let Some(size) = connection.path_mtu.handle_answer(now, nonce, || random.number()) {
                connection.sender.set_packet_size(size);
                return;
            }
        }
        if let (Some(asked), Some(connection)) = (self.heartbeat.asked, &mut self.connection)
            && nonce == Some(asked.nonce)
        {
            self.heartbeat.asked = None;
            connection.sender.round_trip.handle_sample(now, now.saturating_duration_since(asked.at));
        }
    }
}
