//! What waits to be sent for one conversation of a WebSocket that several share, or that may be slow.

use std::collections::VecDeque;

use crate::signaling::rendezvous::Payload;

/// What a message costs beside its bytes: many empty ones are a flood, too.
const MESSAGE_COST: usize = 64;

/// Room that is kept once everything is sent.
const KEPT_MESSAGES: usize = 32;

/// Messages that wait for their turn.
#[derive(Debug, Default)]
pub(in crate::run) struct Outbox {
    messages: VecDeque<Payload>,
    bytes: usize,
}

impl Outbox {
    /// Bytes that are ahead in a WebSocket: what is given to it later can still take turns.
    pub(in crate::run) const MAX_AHEAD: usize = 64 * 1024;

    pub(in crate::run) fn push(&mut self, message: Payload) {
        self.bytes += message.len() + MESSAGE_COST;
        self.messages.push_back(message);
    }

    pub(in crate::run) fn pop(&mut self) -> Option<Payload> {
        let message = self.messages.pop_front()?;
        self.bytes -= message.len() + MESSAGE_COST;
        if self.messages.is_empty() {
            self.messages.shrink_to(KEPT_MESSAGES);
        }
        Some(message)
    }

    /// Returns what waits, in bytes.
    pub(in crate::run) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(in crate::run) fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }
}
