//! The stream that carries requests to a service.

use crate::gateway::{Ending, Exchange};
use crate::run::core::Core;
use crate::run::keys::SessionKey;
use crate::tunnel::{AbortReason, StreamKey};

/// A stream that carries requests.
pub(in crate::run) struct RequestStream {
    pub(in crate::run) session: SessionKey,
    pub(in crate::run) key: StreamKey,
    /// Nothing is sent before the other side has accepted it.
    pub(in crate::run) is_held: bool,
    /// The exchange knows that nothing follows.
    end_told: bool,
    /// The other side knows that nothing follows.
    is_half_closed: bool,
}

/// What moved in one round.
#[derive(Debug, Clone, Copy, Default)]
pub(in crate::run) struct Moved {
    pub(in crate::run) has_moved: bool,
    /// The exchange needs the stream no more.
    pub(in crate::run) is_over: bool,
    pub(in crate::run) sent: usize,
    pub(in crate::run) received: usize,
}

impl RequestStream {
    /// Joins a stream that was just opened.
    pub(in crate::run) fn new(session: SessionKey, key: StreamKey, is_held: bool) -> RequestStream {
        RequestStream { session, key, is_held, end_told: false, is_half_closed: false }
    }

    /// Moves bytes between the stream and its exchange, as far as there is room.
    pub(in crate::run) fn move_bytes(&mut self, core: &mut Core, exchange: &mut Exchange) -> Moved {
        let mut moved = Moved::default();
        let Some(entry) = core.sessions.get_mut(self.session) else { return moved };
        let Some(mut stream) = entry.session.mux().stream(self.key) else { return moved };
        while !self.is_held && !exchange.to_service().is_empty() {
            let capacity = stream.poll_send_capacity();
            if capacity == 0 {
                break;
            }
            let mut chunk = core.pool.take();
            let len = chunk.room_mut().len().min(capacity).min(exchange.to_service().len());
            chunk.room_mut()[..len].copy_from_slice(&exchange.to_service()[..len]);
            chunk.set_len(len);
            if let Err(chunk) = stream.send(core.pool.fit(chunk)) {
                core.pool.recycle(chunk);
                break;
            }
            exchange.handle_sent_to_service(len);
            moved.sent += len;
        }
        loop {
            let room = exchange.service_room();
            let Some(bytes) = stream.readable().next().filter(|_| room > 0) else { break };
            let len = bytes.len().min(room);
            exchange.handle_service(&bytes[..len]);
            stream.consume(len);
            moved.received += len;
        }
        moved.has_moved = moved.sent + moved.received > 0;
        if !self.end_told && stream.poll_end() {
            self.end_told = true;
            exchange.handle_service_end();
            moved.has_moved = true;
        }
        match exchange.service_ending() {
            None => {}
            Some(Ending::HalfClose) if self.is_held => {}
            Some(Ending::HalfClose) => {
                stream.finish();
                moved.has_moved |= !std::mem::replace(&mut self.is_half_closed, true);
            }
            Some(Ending::Close | Ending::Reset) => moved.is_over = true,
        }
        if moved.has_moved {
            core.sessions.touch(self.session);
        }
        moved
    }

    /// Ends a stream that is not needed any more: with a reset if what was sent over it is incomplete and looks whole.
    pub(in crate::run) fn end(self, core: &mut Core, is_reset: bool) {
        let RequestStream { session, key, .. } = self;
        if !is_reset {
            core.leave_stream(session, key);
        } else if core.sessions.get_mut(session).is_some() {
            core.sessions.abort_stream(session, key, AbortReason::Reset, "");
        }
    }
}
