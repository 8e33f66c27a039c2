//! Frames from the peer.

use std::time::Instant;

use bytes::Bytes;

use super::config::taken_streams;
use super::datagrams::accepted_flow;
use super::{IdState, IdStatus, Life, MAX_BEFORE_CONNECT, MAX_BEFORE_HELLO, MAX_PENDING_ABORTS, Mux};
use crate::tunnel::event::{Event, Origin};
use crate::tunnel::frame::{Frame, Sequenced, SessionFrame, StreamFrame, kind};
use crate::tunnel::hello::{Hello, HelloError};
use crate::tunnel::id::{Generation, Sequence, StreamId, StreamKey};
use crate::tunnel::reason::{AbortReason, GoAwayReason};
use crate::tunnel::stream::{Application, Arrived, Head, Opening, ReceiveState, Violation};

impl Mux {
    /// Handles a message that arrived on the carrier with this number. A message that is no frame, or breaks the rules
    /// of the session, ends the session with a GOAWAY; a message of an older carrier, or of one not open here, is
    /// dropped.
    pub fn handle_message(&mut self, now: Instant, carrier: u32, message: Bytes) {
        let is_over = matches!(self.life, Life::Failed { .. } | Life::Ended);
        if is_over || carrier < self.resumption.floor() || carrier > self.carrier {
            return;
        }
        // A message is cloned only where it may be kept: the first clone of a `Bytes` made of a `Vec` allocates.
        let kept = self.peer.is_none().then(|| message.clone());
        match (Frame::decode(message), kept) {
            (Err(error), _) => self.fail(now, GoAwayReason::Protocol, error.to_string()),
            (Ok(Frame::Session(SessionFrame::Hello(payload))), _) => self.handle_hello(now, &payload),
            (Ok(_), Some(message)) => self.keep_until_hello(now, carrier, message),
            (Ok(Frame::Session(frame)), None) => self.handle_session(now, carrier, frame),
            (Ok(Frame::Stream(id, generation, frame)), None) => self.handle_stream(now, id, generation, frame),
        }
    }

    /// Handles a message that arrived on the carrier's channel for datagrams. Any other frame on it is dropped and
    /// counted.
    pub fn handle_datagram(&mut self, now: Instant, carrier: u32, message: Bytes) {
        if message.first() == Some(&kind::DATAGRAM) {
            self.handle_message(now, carrier, message);
        } else {
            self.counters.ignored += 1;
        }
    }

    fn handle_hello(&mut self, now: Instant, payload: &[u8]) {
        if self.peer.is_some() {
            self.counters.duplicate += 1;
            return;
        }
        let hello = match Hello::decode(payload, self.config.role.peer()) {
            Ok(hello) => hello,
            Err(error @ HelloError::Version(_)) => return self.fail(now, GoAwayReason::Version, error.to_string()),
            Err(error) => return self.fail(now, GoAwayReason::Protocol, error.to_string()),
        };
        let keys: Vec<StreamKey> = self.keys().collect();
        for key in keys {
            if let Some(stream) = self.get_mut(key) {
                stream.send.raise_credit(u64::from(hello.initial_credit));
            }
            self.notify_writable(key);
        }
        self.events.push_back(Event::Hello(hello.clone()));
        self.peer = Some(hello);
        self.ping_now(now);
        self.begin_resumption();
        self.before_hello_len = 0;
        // Handle each with the carrier it came on: the HELLO may be of another one, and lower carriers may be closed.
        for (carrier, message) in std::mem::take(&mut self.before_hello) {
            self.handle_message(now, carrier, message);
        }
    }

    fn keep_until_hello(&mut self, now: Instant, carrier: u32, message: Bytes) {
        self.before_hello_len += message.len() + 32;
        if self.before_hello_len > MAX_BEFORE_HELLO {
            self.before_hello.clear();
            self.fail(now, GoAwayReason::Limit, "too much came before the HELLO".to_owned());
        } else {
            self.before_hello.push_back((carrier, message));
        }
    }

    fn handle_session(&mut self, now: Instant, carrier: u32, frame: SessionFrame) {
        match frame {
            SessionFrame::Ping(bytes) if carrier == self.carrier => self.pending.pong = Some(bytes),
            SessionFrame::Pong(bytes) => {
                if let Some(sample) = self.timers.pong(now, bytes) {
                    let smoothed = self.round_trip.map_or(sample, |round_trip| (round_trip * 7 + sample) / 8);
                    self.round_trip = Some(smoothed);
                    self.answered = Some(sample);
                    self.events.push_back(Event::RoundTrip(sample));
                }
            }
            SessionFrame::GoAway(reason, detail) => {
                self.events.push_back(Event::GoAway(reason, detail.clone()));
                if reason.ends_at_once() {
                    self.close(reason, &detail, Origin::Peer);
                } else if self.life == Life::Running {
                    self.drain(now, reason, detail, Origin::Peer);
                }
            }
            SessionFrame::Resume { carrier: list, part, parts, entries }
                if list == carrier && carrier == self.carrier =>
            {
                self.handle_resume(now, part, parts, entries);
            }
            SessionFrame::Listen(id, bind) => self.handle_listen(id, bind),
            SessionFrame::Listened(id, result) => self.handle_listened(id, result),
            SessionFrame::Hello(_)
            | SessionFrame::Ping(_)
            | SessionFrame::Resume { .. }
            | SessionFrame::Ignorable(_) => self.counters.ignored += 1,
        }
    }

    fn handle_stream(&mut self, now: Instant, id: StreamId, generation: Generation, frame: StreamFrame) {
        if let StreamFrame::Datagram(payload) = frame {
            return self.take_datagram_frame(now, id, generation, payload);
        }
        // Every answer of ours to a stream costs at most one ABORT, so this bounds all of them.
        if self.pending.aborts.len() >= MAX_PENDING_ABORTS.max(2 * self.config.max_streams as usize) {
            return self.fail(now, GoAwayReason::Limit, "a flood of streams".to_owned());
        }
        let is_ours = id.opener() == self.config.role;
        match self.ids.get(&id).copied() {
            Some(IdState { generation: known, status }) if known == generation => match status {
                IdStatus::Live(key) => self.deliver(now, key, frame),
                IdStatus::Ended => self.counters.stale += 1,
                IdStatus::Aborted { told_on } => {
                    self.counters.stale += 1;
                    if told_on != self.carrier && matches!(frame, StreamFrame::Sequenced(..)) {
                        self.end_id(id, generation, IdStatus::Aborted { told_on: self.carrier });
                        self.queue_abort(id, generation, AbortReason::Gone, "the stream was aborted");
                    }
                }
            },
            Some(IdState { generation: known, .. }) if !generation.is_newer_than(known) => self.counters.stale += 1,
            _ if is_ours => self.counters.stray += 1,
            Some(IdState { status: IdStatus::Live(older), .. }) => {
                self.supersede(older);
                self.admit(now, id, generation, frame);
            }
            Some(_) | None => self.admit(now, id, generation, frame),
        }
    }

    /// Removes a stream whose id the opener uses again, which proves that the opener is done with it.
    fn supersede(&mut self, key: StreamKey) {
        let Some(stream) = self.get_mut(key) else { return };
        let (id, generation, end) = (stream.id, stream.generation, stream.send.never_sent());
        // An opener that ended the stream in order had everything of ours. If some of it never went out, the opener
        // aborted.
        let has_said_all = stream.send.has_said_all();
        if stream.application == Application::Gone {
            self.end_id(id, generation, IdStatus::Ended);
            self.remove(key);
        } else if stream.receive.state().has_ended() && has_said_all {
            let mut retired = std::mem::take(&mut self.retired);
            let freed = self.get_mut(key).and_then(|stream| stream.send.acknowledge(end, &mut retired));
            self.retired = retired;
            self.retained_less(freed.unwrap_or(0));
            self.end_id(id, generation, IdStatus::Ended);
            self.settle(key);
        } else {
            self.end_id(id, generation, IdStatus::Ended);
            self.abort_with_event(key, AbortReason::Reset, "the peer uses the stream's id again");
        }
    }

    /// Handles the first frame of a stream the peer opened.
    fn admit(&mut self, now: Instant, id: StreamId, generation: Generation, frame: StreamFrame) {
        let refusal = match &frame {
            StreamFrame::Abort(..) | StreamFrame::Sequenced(Sequence(0), Sequenced::Reset(_)) => {
                let told_on = self.carrier;
                self.ids.insert(id, IdState { generation, status: IdStatus::Aborted { told_on } });
                self.counters.datagrams.early += self.datagrams.early.forget(id, generation);
                return;
            }
            _ if self.life != Life::Running => Some((AbortReason::Shutdown, "the session is ending")),
            _ if self.is_full_for_peer() => Some((AbortReason::TooManyStreams, "no more streams are taken")),
            StreamFrame::Sequenced(..) | StreamFrame::Credit { .. } | StreamFrame::Datagram(_) => None,
        };
        if let Some((reason, detail)) = refusal {
            let told_on = self.carrier;
            self.counters.datagrams.early += self.datagrams.early.forget(id, generation);
            self.ids.insert(id, IdState { generation, status: IdStatus::Aborted { told_on } });
            return self.queue_abort(id, generation, reason, detail);
        }
        let key = self.insert(id, generation);
        self.deliver(now, key, frame);
        if self.get(key).is_some_and(|stream| stream.receive.state() == ReceiveState::Head) {
            self.await_connect(now, key);
        }
    }

    fn is_full_for_peer(&self) -> bool {
        // Streams that lost their id but still drain count for memory, not as streams of the peer.
        let by_budget = self.config.receive_budget / u64::from(self.config.initial_credit.max(1));
        self.streams.len() as u64 >= by_budget
            || self.attached[self.config.role.peer() as usize] >= taken_streams(self.config.max_streams)
    }

    fn deliver(&mut self, now: Instant, key: StreamKey, frame: StreamFrame) {
        match frame {
            StreamFrame::Sequenced(sequence, Sequenced::Reset(detail)) => {
                self.handle_reset(now, key, sequence, detail);
            }
            StreamFrame::Sequenced(sequence, frame) => {
                if let Err(Violation { reason, detail }) = self.receive(now, key, sequence, frame) {
                    self.abort_with_event(key, reason, detail);
                }
            }
            StreamFrame::Credit { limit, received } => self.credited(key, limit, received),
            StreamFrame::Abort(reason, detail) => self.aborted_by_peer(key, reason, detail),
            StreamFrame::Datagram(payload) => self.deliver_datagram(now, key, payload),
        }
    }

    fn receive(&mut self, now: Instant, key: StreamKey, sequence: Sequence, frame: Sequenced) -> Result<(), Violation> {
        let (role, carrier) = (self.config.role, self.carrier);
        let Some(stream) = self.get_mut(key) else { return Ok(()) };
        let is_ours = stream.id.opener() == role;
        if is_ours {
            // A peer that answers a stream has its CONNECT, even if the CREDIT that acknowledges it is lost.
            stream.known_on.get_or_insert(carrier);
        }
        if stream.application == Application::Gone {
            self.counters.stale += 1;
            return Ok(());
        }
        let expected = if is_ours { Head::Accept } else { Head::Connect };
        let Arrived::New { units, unasked } = stream.receive.arrive(sequence, &frame, expected)? else {
            self.counters.duplicate += 1;
            return Ok(());
        };
        if stream.receive.state() == ReceiveState::Head && !is_ours {
            self.before_connect += units;
        }
        self.rate_arrived(now, unasked);
        self.accept_in_order(now, key, sequence, frame)?;
        self.timers.activity();
        self.acknowledge_later(now, key);
        if self.before_connect > MAX_BEFORE_CONNECT {
            return Err(Violation::new(AbortReason::TooManyStreams, "too much came before its CONNECT"));
        }
        Ok(())
    }

    pub(super) fn accept_in_order(
        &mut self,
        now: Instant,
        key: StreamKey,
        sequence: Sequence,
        frame: Sequenced,
    ) -> Result<(), Violation> {
        let Mux { config, carrier, streams, .. } = self;
        let Some(stream) = streams.get_mut(key.index as usize).filter(|stream| stream.serial == key.serial) else {
            return Ok(());
        };
        let Some(in_order) = stream.receive.put(sequence, frame) else { return Ok(()) };
        let (mut is_opened, mut is_accepted) = (false, false);
        let mut before_connect = 0;
        match in_order.opening {
            Some(Opening::Connect { target, trail, early }) => {
                stream.flow = accepted_flow(&target, &config.services);
                stream.target = Some(target);
                stream.trail = trail;
                stream.known_on = Some(*carrier);
                before_connect = early;
                is_opened = true;
            }
            Some(Opening::Accept) => is_accepted = true,
            None => {}
        }
        let (is_udp, has_ended) = (stream.is_udp(), stream.receive.state().has_ended());
        if is_opened {
            self.before_connect -= before_connect;
            self.take_early(now, key);
        }
        if in_order.has_data && is_udp {
            return Err(Violation::new(AbortReason::Protocol, "DATA on a UDP flow"));
        }
        if has_ended {
            self.queue_credit(key);
        }
        let is_readable = in_order.is_readable;
        if is_opened || is_accepted || is_readable || has_ended {
            self.notify(key, |notices| {
                notices.opened |= is_opened;
                notices.accepted |= is_accepted;
                notices.readable |= is_readable;
            });
        }
        Ok(())
    }

    /// Handles the peer's credit and acknowledgement for a stream.
    pub(super) fn credited(&mut self, key: StreamKey, limit: u64, received: Sequence) {
        let carrier = self.carrier;
        let mut retired = std::mem::take(&mut self.retired);
        let Some(stream) = self.get_mut(key) else {
            self.retired = retired;
            return;
        };
        stream.send.raise_credit(limit);
        if received != Sequence(0) && stream.known_on.is_none() {
            stream.known_on = Some(carrier);
        }
        let freed = stream.send.acknowledge(received, &mut retired);
        self.retired = retired;
        let Some(freed) = freed else {
            return self.abort_with_event(key, AbortReason::Protocol, "frames were acknowledged that were never sent");
        };
        self.retained_less(freed);
        self.notify_writable(key);
        self.settle(key);
    }

    /// Counts freed capacity, and wakes streams that starved for it.
    pub(super) fn retained_less(&mut self, freed: usize) {
        self.retained -= freed;
        if freed > 0 && !self.is_over_send_budget() {
            while let Some(key) = self.starved.pop_front() {
                if let Some(stream) = self.get_mut(key) {
                    stream.send.feed();
                }
                self.notify_writable(key);
            }
        }
    }
}
