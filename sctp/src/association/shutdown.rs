//! The orderly end of an association (RFC 9260, section 9.2).

use std::time::Instant;

use super::state::Retry;
use super::{Association, State};
use crate::event::Reason;
use crate::wire::{kind, take_u32};

/// Marks a chunk sent without an association: the tag is the peer's own (RFC 9260, section 8.5.1).
const REFLECTED: u8 = 1;

impl Association {
    /// Continues the shutdown once everything is acknowledged.
    pub(super) fn try_shutdown(&mut self) {
        if self.connection.as_ref().is_some_and(|connection| !connection.sender.is_idle()) {
            return;
        }
        let next = match self.state {
            State::ShutdownPending => State::ShutdownSent,
            State::ShutdownReceived => State::ShutdownAckSent,
            _ => return,
        };
        self.state = next;
        self.is_shutdown_due = true;
        self.retry = Retry::default();
    }

    pub(super) fn handle_shutdown(&mut self, now: Instant, value: &[u8]) {
        let Some((cumulative, _)) = take_u32(value) else { return };
        let Some(connection) = &mut self.connection else { return };
        let mut source = crate::send::Source { streams: &mut self.streams, events: &mut self.events };
        connection.sender.handle_cumulative(now, cumulative, &mut source);
        match self.state {
            State::Established | State::ShutdownPending => self.state = State::ShutdownReceived,
            // Both sides began: each answers the other.
            State::ShutdownSent | State::ShutdownAckSent => {
                self.state = State::ShutdownAckSent;
                self.is_shutdown_due = true;
            }
            _ => {}
        }
        self.try_shutdown();
    }

    pub(super) fn handle_shutdown_ack(&mut self) {
        if !matches!(self.state, State::ShutdownSent | State::ShutdownAckSent) {
            return;
        }
        if let Some(connection) = &self.connection {
            self.push_control(connection.peer_tag, kind::SHUTDOWN_COMPLETE, 0, &[]);
        }
        self.close(Reason::Shutdown);
    }

    pub(super) fn handle_shutdown_complete(&mut self) {
        if self.state == State::ShutdownAckSent {
            self.close(Reason::Shutdown);
        }
    }

    /// Repeats the answer to a SHUTDOWN that the peer did not receive.
    pub(super) fn resend_shutdown_ack(&mut self) {
        self.is_shutdown_due = true;
    }

    /// Answers a SHUTDOWN ACK for an association that is over here (RFC 9260, section 8.4, rule 5).
    pub(super) fn answer_late_shutdown(&mut self, tag: u32) {
        self.push_control(tag, kind::SHUTDOWN_COMPLETE, REFLECTED, &[]);
    }
}

/// Tells whether the flags of a chunk say that its tag is the peer's own.
pub(super) fn is_reflected(flags: u8) -> bool {
    flags & REFLECTED != 0
}
