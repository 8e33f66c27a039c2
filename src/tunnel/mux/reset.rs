//! Resets: one direction ends after what was sent, the other at once (`docs/protocol.md`, "Reset").

use std::time::Instant;

use super::{IdStatus, Mux};
use crate::tunnel::event::{Event, Origin};
use crate::tunnel::frame::Sequenced;
use crate::tunnel::id::{Sequence, StreamKey};
use crate::tunnel::reason::AbortReason;
use crate::tunnel::stream::{Application, ReceiveState, ResetArrival, SendState, Violation};

impl Mux {
    /// Ends our direction of a stream after the queued data, and drops the peer's from here on. The application is done
    /// with the stream; it lives on until the peer has everything.
    pub(super) fn reset(&mut self, key: StreamKey, detail: &str) {
        let role = self.config.role;
        let Some(stream) = self.get_mut(key) else { return };
        let (id, generation) = (stream.id, stream.generation);
        if !stream.attached {
            // Both directions had ended on the wire: the peer need not be told.
            return self.remove(key);
        }
        let has_begun = stream.send.never_sent() != Sequence(0) || stream.send.bytes() > 0;
        if id.opener() == role && !has_begun {
            return self.forget_unheard(key);
        }
        if stream.send.is_untouched() {
            // None of our frames went out that the peer could wait for.
            self.end_id(id, generation, IdStatus::Aborted { told_on: self.carrier });
            self.queue_abort(id, generation, AbortReason::Reset, detail);
            return self.remove(key);
        }
        stream.application = Application::Gone;
        match (stream.send.state(), stream.receive.state()) {
            // The peer has ended its direction too, and needs only what is queued.
            (SendState::Closing | SendState::Done, ReceiveState::Closed) | (_, ReceiveState::Reset) => {
                stream.receive.drop_ready();
            }
            // The peer's reset is here, but some of its earlier frames are missing.
            (SendState::Done, _) if let Some(reset) = stream.receive.reset_at() => {
                stream.receive.discard();
                stream.receive.skip_to_reset(reset);
                self.queue_credit(key);
            }
            (_, ReceiveState::Head | ReceiveState::Open | ReceiveState::Closed | ReceiveState::Discarding) => {
                stream.push_reset(detail);
                stream.receive.discard();
            }
        }
        self.let_go(key);
    }

    /// Handles a reset that arrived.
    pub(super) fn handle_reset(&mut self, now: Instant, key: StreamKey, sequence: Sequence, detail: String) {
        let (role, carrier) = (self.config.role, self.carrier);
        let Some(stream) = self.get_mut(key) else { return };
        if stream.id.opener() == role {
            stream.known_on.get_or_insert(carrier);
        }
        match stream.receive.arrive_reset(sequence) {
            Ok(ResetArrival::InOrder) => {}
            Ok(ResetArrival::Duplicate) => {
                self.counters.duplicate += 1;
                return;
            }
            Ok(ResetArrival::Unheard) => {
                self.stop_sending(key);
                return self.queue_credit(key);
            }
            Ok(ResetArrival::AtOnce) => return self.aborted_by_peer(key, AbortReason::Reset, detail),
            Err(Violation { reason, detail }) => return self.abort_with_event(key, reason, detail),
        }
        self.stop_sending(key);
        if let Err(Violation { reason, detail }) = self.accept_in_order(now, key, sequence, Sequenced::Reset(detail)) {
            return self.abort_with_event(key, reason, detail);
        }
        self.timers.activity();
        self.acknowledge_later(now, key);
    }

    /// Returns the event of the peer's reset, if the application took everything before it.
    pub(super) fn tell_of_reset(&mut self, key: StreamKey) -> Option<Event> {
        let stream = self.get_mut(key).filter(|stream| stream.is_reset_due())?;
        stream.application = Application::Gone;
        let detail = stream.receive.take_reset_detail();
        self.let_go(key);
        Some(Event::Aborted { key, reason: AbortReason::Reset, detail, origin: Origin::Peer })
    }

    /// Drops a stream of ours whose CONNECT never went out. The peer cannot know it, so no ABORT is queued: they would
    /// pile up without a carrier. The generation counts as unused: otherwise the peer would take the one after 128 such
    /// streams for an old one.
    pub(super) fn forget_unheard(&mut self, key: StreamKey) {
        let Some(stream) = self.get(key) else { return };
        let (id, generation) = (stream.id, stream.generation.previous());
        self.end_id(id, generation, IdStatus::Aborted { told_on: self.carrier });
        self.remove(key);
    }

    /// Drops what waits to be sent on a stream whose peer takes nothing more, and tells the application that it need
    /// not wait.
    fn stop_sending(&mut self, key: StreamKey) {
        let mut retired = std::mem::take(&mut self.retired);
        let freed = self.get_mut(key).map_or(0, |stream| stream.send.stop(&mut retired));
        self.retired = retired;
        self.retained_less(freed);
        self.notify_writable(key);
    }

    /// Frees what only the application needed of a stream it is done with, and removes the stream if nothing else needs
    /// it.
    fn let_go(&mut self, key: StreamKey) {
        if let Some(flow) = self.get_mut(key).and_then(|stream| stream.flow.take()) {
            self.drop_flow(*flow);
        }
        self.activate(key);
        self.settle(key);
    }
}
