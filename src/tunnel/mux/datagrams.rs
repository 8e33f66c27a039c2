//! UDP flows: streams whose payload travels in DATAGRAM frames, outside of any order, credit or acknowledgement
//! (`docs/protocol.md`, "Datagrams").

use std::time::Instant;

use bytes::Bytes;

use super::{IdState, IdStatus, Life, Mux, OpenError};
use crate::tunnel::StreamMut;
use crate::tunnel::chunk::{ChunkPool, MAX_DATAGRAM};
use crate::tunnel::flow::{Early, Flow};
use crate::tunnel::frame::{ConnectTarget, header, kind};
use crate::tunnel::hello::Service;
use crate::tunnel::id::{Generation, Sequence, StreamId, StreamKey};
use crate::tunnel::schedule::Schedule;
use crate::tunnel::stream::{ReceiveState, SendState};

/// How many bytes datagrams may be ahead of other messages that wait. The datagrams of a call or a game stay below
/// that; a flood gets half of the carrier's throughput.
const MAX_LEAD: usize = 32 * 1024;

/// Bytes of datagrams a flow may send in one turn: one datagram of the usual length.
const QUANTUM: u16 = 1500;

/// The datagrams of a session.
#[derive(Debug)]
pub(super) struct Datagrams {
    /// Flows with something to send.
    schedule: Schedule,
    /// Bytes held by the outgoing queues of all flows.
    outgoing: usize,
    incoming: usize,
    pub(super) early: Early,
    /// Bytes of datagrams that went out while other messages waited, minus the bytes of those messages that went out.
    lead: usize,
}

impl Default for Datagrams {
    fn default() -> Self {
        let schedule = Schedule::new(QUANTUM);
        Datagrams { schedule, outgoing: 0, incoming: 0, early: Early::default(), lead: 0 }
    }
}

impl Datagrams {
    pub(super) fn clear(&mut self) {
        self.schedule.clear();
        self.early.clear();
        self.lead = 0;
    }

    /// Counts another message that went out.
    pub(super) fn give_way(&mut self, len: usize) {
        self.lead = self.lead.saturating_sub(len);
    }
}

/// Content of a stream, judged by its target.
enum Carries {
    Bytes,
    Datagrams,
    /// The target alone does not say.
    Either,
}

impl Carries {
    fn to(target: &ConnectTarget, services: &[Service]) -> Carries {
        match target {
            ConnectTarget::Udp(_) => Carries::Datagrams,
            ConnectTarget::Service(id) if services.iter().any(|service| service.id == *id && service.is_udp()) => {
                Carries::Datagrams
            }
            ConnectTarget::Reverse(_) => Carries::Either,
            ConnectTarget::Service(_) | ConnectTarget::Tcp(_) | ConnectTarget::Unix(_) => Carries::Bytes,
        }
    }

    fn flow(&self) -> Option<Box<Flow>> {
        match self {
            Carries::Bytes => None,
            Carries::Datagrams => Some(Box::new(Flow { is_udp: true, ..Flow::default() })),
            Carries::Either => Some(Box::default()),
        }
    }
}

/// Returns the flow for a stream that the peer opened, if it may carry datagrams.
pub(super) fn accepted_flow(target: &ConnectTarget, services: &[Service]) -> Option<Box<Flow>> {
    Carries::to(target, services).flow()
}

impl Mux {
    /// Returns the bytes of all flows' datagrams: to be sent, arrived, and waiting for their CONNECT.
    pub fn datagram_memory(&self) -> [usize; 3] {
        [self.datagrams.outgoing, self.datagrams.incoming, self.datagrams.early.len()]
    }

    /// Returns the flow for a stream that we open, if it may carry datagrams.
    pub(super) fn opened_flow(&self, target: &ConnectTarget) -> Result<Option<Box<Flow>>, OpenError> {
        let services = self.peer.as_ref().map_or(&[][..], |hello| &hello.services);
        let carries = Carries::to(target, services);
        if matches!(carries, Carries::Datagrams) && !self.peer_takes_datagrams() {
            return Err(OpenError::NoDatagrams);
        }
        Ok(carries.flow())
    }

    /// Handles a DATAGRAM frame.
    pub(super) fn take_datagram_frame(&mut self, now: Instant, id: StreamId, generation: Generation, datagram: Bytes) {
        let may_be_early = id.opener() != self.config.role && self.life == Life::Running;
        match self.ids.get(&id) {
            _ if datagram.len() > MAX_DATAGRAM => self.counters.datagrams.stray += 1,
            Some(IdState { generation: known, status: IdStatus::Live(key) }) if *known == generation => {
                self.deliver_datagram(now, *key, datagram);
            }
            Some(IdState { generation: known, .. }) if !generation.is_newer_than(*known) => {
                self.counters.datagrams.stray += 1;
            }
            Some(_) | None if may_be_early => {
                self.counters.datagrams.early += self.datagrams.early.keep(now, id, generation, datagram);
            }
            Some(_) | None => self.counters.datagrams.stray += 1,
        }
    }

    pub(super) fn deliver_datagram(&mut self, now: Instant, key: StreamKey, datagram: Bytes) {
        let Some(stream) = self.streams.get_mut(key.index as usize).filter(|stream| stream.serial == key.serial) else {
            return;
        };
        if stream.receive.state() == ReceiveState::Head && stream.id.opener() != self.config.role {
            let (id, generation) = (stream.id, stream.generation);
            self.counters.datagrams.early += self.datagrams.early.keep(now, id, generation, datagram);
            return;
        }
        let Some(flow) = &mut stream.flow else {
            self.counters.datagrams.stray += 1;
            return;
        };
        stream.receive.count_datagram(datagram.len());
        let untaken = &mut self.counters.datagrams.untaken;
        flow.incoming.push(datagram, &mut self.datagrams.incoming, |_| *untaken += 1);
        self.timers.activity();
        self.notify(key, |notices| notices.readable = true);
    }

    /// Gives a flow whose CONNECT came the datagrams that overtook it.
    pub(super) fn take_early(&mut self, now: Instant, key: StreamKey) {
        let Some(stream) = self.get(key) else { return };
        let (id, generation) = (stream.id, stream.generation);
        for datagram in self.datagrams.early.take(now, id, generation) {
            self.deliver_datagram(now, key, datagram);
        }
    }

    /// Puts a flow on the schedule if it has datagrams and may send them.
    pub(super) fn activate_flow(&mut self, key: StreamKey) {
        if let Some(stream) = self.get_mut(key)
            && stream.may_send_datagrams()
            && let Some(flow) = &mut stream.flow
            && flow.outgoing.front().is_some()
            && !std::mem::replace(&mut flow.is_scheduled, true)
        {
            self.datagrams.schedule.activate(key);
        }
    }

    /// Returns the flow whose datagram is next, and the length of its message. Drops datagrams that waited too long.
    pub(super) fn next_datagram(&mut self, now: Instant) -> Option<(StreamKey, usize)> {
        loop {
            let key = self.datagrams.schedule.current()?;
            if let Some(stream) = self.streams.get_mut(key.index as usize).filter(|stream| stream.serial == key.serial)
                && stream.may_send_datagrams()
                && let Some(flow) = &mut stream.flow
            {
                while let Some(chunk) = flow.outgoing.pop_old(now, &mut self.datagrams.outgoing) {
                    self.retired.push(chunk);
                    self.counters.datagrams.unsent += 1;
                }
                if let Some((_, chunk)) = flow.outgoing.front() {
                    return Some((key, chunk.message().len()));
                }
            }
            if self.datagrams.schedule.idle()
                && let Some(flow) = self.get_mut(key).and_then(|stream| stream.flow.as_mut())
            {
                flow.is_scheduled = false;
            }
        }
    }

    /// Tells whether a flow may have something to send.
    pub(super) fn has_datagram(&mut self) -> bool {
        self.datagrams.schedule.current().is_some()
    }

    /// Tells whether datagrams must let waiting messages pass.
    pub(super) fn must_give_way(&self) -> bool {
        self.datagrams.lead >= MAX_LEAD
    }

    /// Takes the datagram that [`Mux::next_datagram`] found. Its chunk is in use until the next call of `reclaim`.
    pub(super) fn take_datagram(&mut self, key: StreamKey, others_wait: bool) -> Option<&[u8]> {
        let flow = self.streams.get_mut(key.index as usize)?.flow.as_mut()?;
        let (_, chunk) = flow.outgoing.pop(&mut self.datagrams.outgoing)?;
        let len = chunk.message().len();
        self.datagrams.schedule.charge(len);
        self.datagrams.lead = if others_wait { self.datagrams.lead + len } else { 0 };
        self.timers.activity();
        self.retired.push(chunk);
        self.retired.last().map(|chunk| chunk.message())
    }

    /// Drops the datagrams of a stream that is gone.
    pub(super) fn drop_flow(&mut self, mut flow: Flow) {
        while let Some((_, chunk)) = flow.outgoing.pop(&mut self.datagrams.outgoing) {
            self.counters.datagrams.unsent += 1;
            self.retired.push(chunk);
        }
        while flow.incoming.pop(&mut self.datagrams.incoming).is_some() {
            self.counters.datagrams.untaken += 1;
        }
    }

    fn peer_takes_datagrams(&self) -> bool {
        self.peer.as_ref().is_some_and(|hello| hello.takes_datagrams())
    }
}

impl StreamMut<'_> {
    /// Tells whether the stream is a UDP flow: it carries datagrams both ways, and no bytes. For a stream of a reverse
    /// forward, only the application knows.
    pub fn is_udp(&self) -> bool {
        self.state().is_udp()
    }

    /// Queues a datagram of a UDP flow for the peer; allowed right after `open` or `accept`. It goes out when there is
    /// room, ahead of every stream's bytes. A full queue drops its oldest datagram; a datagram that waited 0.2 s (1 s
    /// if it is the last) is dropped too, as is one longer than any UDP datagram. [`Dropped`](crate::tunnel::Dropped)
    /// counts them.
    pub fn send_datagram(&mut self, now: Instant, payload: &[u8], pool: &mut ChunkPool) {
        let (mux, key) = (&mut *self.mux, self.key);
        let takes_datagrams = mux.peer_takes_datagrams();
        let Mux { streams, counters, datagrams, retired, .. } = mux;
        let stream = streams.get_mut(key.index as usize).expect("a StreamMut is made for a live stream");
        let unsent = &mut counters.datagrams.unsent;
        let is_open = stream.send.state() == SendState::Open && takes_datagrams;
        let Some(flow) = stream.flow.as_mut().filter(|_| is_open && payload.len() <= MAX_DATAGRAM) else {
            *unsent += 1;
            return;
        };
        let mut chunk = pool.copy(payload);
        chunk.set_header(header(kind::DATAGRAM, stream.generation, stream.id.value(), Sequence(0)));
        stream.send.count_datagram(payload.len());
        mux.payload.0 += payload.len() as u64;
        flow.outgoing.push((now, chunk), &mut datagrams.outgoing, |(_, chunk)| {
            *unsent += 1;
            retired.push(chunk);
        });
        mux.activate_flow(key);
        mux.reclaim(pool);
    }

    /// Takes the next datagram that arrived, in order of arrival.
    pub fn receive_datagram(&mut self) -> Option<Bytes> {
        let (mux, key) = (&mut *self.mux, self.key);
        let flow = mux.streams.get_mut(key.index as usize)?.flow.as_mut()?;
        let datagram = flow.incoming.pop(&mut mux.datagrams.incoming)?;
        mux.payload.1 += datagram.len() as u64;
        Some(datagram)
    }
}
