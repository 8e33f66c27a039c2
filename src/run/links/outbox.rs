//! The outgoing messages of one conversation, on a WebSocket that is shared or slow.

use std::collections::VecDeque;

use crate::signaling::rendezvous::Payload;

/// Cost of a message beside its bytes: many empty ones are a flood, too.
const MESSAGE_COST: usize = 64;

/// Capacity that is kept once everything is sent.
const KEPT_MESSAGES: usize = 32;

/// Messages that wait for their turn.
#[derive(Debug, Default)]
pub(in crate::run) struct Outbox {
    messages: VecDeque<Payload>,
    bytes: usize,
}

impl Outbox {
    /// Maximum number of bytes ahead in a WebSocket, so that later messages can still take turns.
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

    /// Returns how many bytes wait.
    pub(in crate::run) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(in crate::run) fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }
}
