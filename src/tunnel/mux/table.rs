//! The table of streams and who owns which id.

use super::Mux;
use crate::tunnel::credit::ReceiveWindow;
use crate::tunnel::event::{Event, Origin};
use crate::tunnel::id::{Generation, Sequence, StreamId, StreamKey};
use crate::tunnel::reason::AbortReason;
use crate::tunnel::stream::{Application, Notices, ReceiveState, Stream};

/// State of a stream id, beyond its live stream.
#[derive(Debug, Clone, Copy)]
pub(super) struct IdState {
    pub(super) generation: Generation,
    pub(super) status: IdStatus,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum IdStatus {
    /// A stream owns the id.
    Live(StreamKey),
    /// The last stream with the id ended in order.
    Ended,
    /// The last stream was aborted, or ended by a reset; the peer was told on the carrier with this number.
    Aborted { told_on: u32 },
}

impl Mux {
    pub(in crate::tunnel) fn get(&self, key: StreamKey) -> Option<&Stream> {
        self.streams.get(key.index as usize).filter(|stream| stream.serial == key.serial)
    }

    pub(in crate::tunnel) fn get_mut(&mut self, key: StreamKey) -> Option<&mut Stream> {
        self.streams.get_mut(key.index as usize).filter(|stream| stream.serial == key.serial)
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = StreamKey> {
        self.streams.iter().map(|(index, stream)| StreamKey { index: index as u32, serial: stream.serial })
    }

    pub(super) fn insert(&mut self, id: StreamId, generation: Generation) -> StreamKey {
        let window = ReceiveWindow::open(u64::from(self.config.initial_credit));
        let serial = self.next_serial;
        self.next_serial = self.next_serial.wrapping_add(1);
        let mut stream = Stream::new(serial, id, generation, window);
        if let Some(hello) = &self.peer {
            stream.send.raise_credit(u64::from(hello.initial_credit));
        }
        let key = StreamKey { index: self.streams.insert(stream) as u32, serial };
        self.ids.insert(id, IdState { generation, status: IdStatus::Live(key) });
        self.attached[id.opener() as usize] += 1;
        key
    }

    /// Takes the id away from its stream.
    pub(super) fn end_id(&mut self, id: StreamId, generation: Generation, status: IdStatus) {
        if let Some(IdState { status: IdStatus::Live(key), .. }) = self.ids.insert(id, IdState { generation, status }) {
            self.attached[id.opener() as usize] -= 1;
            if let Some(stream) = self.get_mut(key) {
                stream.attached = false;
            }
        }
    }

    /// Detaches a stream that is done on the wire; removes it once the local application is done with it, too.
    pub(super) fn settle(&mut self, key: StreamKey) {
        let Some(stream) = self.get(key) else { return };
        if stream.attached {
            if !stream.is_settled() {
                return;
            }
            let (id, generation) = (stream.id, stream.generation);
            let status = match stream.receive.state() {
                // A reset ends a stream before the peer answered: the peer may not know, and send everything again.
                ReceiveState::Reset | ReceiveState::Discarding => IdStatus::Aborted { told_on: self.carrier },
                ReceiveState::Head | ReceiveState::Open | ReceiveState::Closed => IdStatus::Ended,
            };
            self.end_id(id, generation, status);
        }
        match self.get(key).map(|stream| (stream.application, stream.receive.state())) {
            Some((Application::Gone, _)) => self.remove(key),
            Some((Application::SawEnd, ReceiveState::Closed)) => {
                self.remove(key);
                self.events.push_back(Event::Finished(key));
            }
            _ => {}
        }
    }

    /// Ends both directions of a stream and tells the peer.
    pub(in crate::tunnel) fn abort(&mut self, key: StreamKey, reason: AbortReason, detail: &str) {
        if reason == AbortReason::Reset {
            return self.reset(key, detail);
        }
        let Some(stream) = self.get(key) else { return };
        if stream.attached {
            let (id, generation) = (stream.id, stream.generation);
            if id.opener() == self.config.role && stream.send.never_sent() == Sequence(0) {
                return self.forget_unheard(key);
            }
            self.end_id(id, generation, IdStatus::Aborted { told_on: self.carrier });
            self.queue_abort(id, generation, reason, detail);
        }
        self.remove(key);
    }

    /// Aborts a stream for a reason of the mux itself, and tells the application.
    pub(super) fn abort_with_event(&mut self, key: StreamKey, reason: AbortReason, detail: &str) {
        let is_gone = self.get(key).is_none_or(|stream| stream.application == Application::Gone);
        self.abort(key, reason, detail);
        if !is_gone {
            self.events.push_back(Event::Aborted { key, reason, detail: detail.to_owned(), origin: Origin::Local });
        }
    }

    /// Handles an ABORT of the peer, which ends both directions at once.
    pub(super) fn aborted_by_peer(&mut self, key: StreamKey, reason: AbortReason, detail: String) {
        let Some(stream) = self.get(key) else { return };
        let (id, generation, application) = (stream.id, stream.generation, stream.application);
        self.end_id(id, generation, IdStatus::Aborted { told_on: self.carrier });
        self.remove(key);
        if application != Application::Gone {
            self.events.push_back(Event::Aborted { key, reason, detail, origin: Origin::Peer });
        }
    }

    pub(super) fn remove(&mut self, key: StreamKey) {
        let mut stream = self.streams.remove(key.index as usize);
        if stream.receive.state() == ReceiveState::Head {
            self.before_connect -= self.counts_before_connect(&stream);
            self.counters.datagrams.early += self.datagrams.early.forget(stream.id, stream.generation);
        }
        if let Some(flow) = stream.flow.take() {
            self.drop_flow(*flow);
        }
        stream.receive.release(&mut self.budget);
        let freed = stream.send.stop(&mut self.retired);
        self.retained_less(freed);
    }

    /// Returns the units of a stream that wait for its CONNECT: 0 for a stream we opened.
    pub(super) fn counts_before_connect(&self, stream: &Stream) -> u64 {
        if stream.id.opener() == self.config.role { 0 } else { stream.receive.held() }
    }

    pub(in crate::tunnel) fn notify(&mut self, key: StreamKey, set: impl FnOnce(&mut Notices)) {
        let Some(stream) = self.get_mut(key) else { return };
        set(&mut stream.notices);
        if !std::mem::replace(&mut stream.notices.queued, true) {
            self.notices.push_back(key);
        }
    }

    /// Tells a stream that was out of capacity that there may be some again.
    pub(super) fn notify_writable(&mut self, key: StreamKey) {
        if let Some(stream) = self.get_mut(key)
            && stream.send.poll_unblocked()
        {
            self.notify(key, |notices| notices.writable = true);
        }
    }
}
