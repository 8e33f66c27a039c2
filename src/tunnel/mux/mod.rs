//! The table of streams and everything that concerns the session as a whole.
//!
//! The owner feeds messages ([`Mux::handle_message`]) and the time ([`Mux::handle_timeout`]), opens, reads and writes
//! streams, and drains [`Mux::poll_transmit`] and [`Mux::poll_event`] afterwards. `docs/protocol.md` is the specification.

mod inbound;
mod outbound;
mod resume;
mod timers;

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use bytes::Bytes;
use slab::Slab;

use super::chunk::{Chunk, ChunkPool, MAX_PAYLOAD};
use super::credit::{Budget, ReceiveWindow};
use super::event::{Event, Origin};
use super::frame::{AbortReason, ConnectTarget, GoAwayReason};
use super::hello::{Hello, Service, VERSION};
use super::id::{Generation, Role, Sequence, StreamId, StreamKey};
use super::schedule::Schedule;
use super::stream::{Outgoing, Stream, StreamMut};
use resume::Resumption;
use timers::{Timers, prune};

/// What a session is allowed to use and announces about itself.
#[derive(Debug, Clone)]
pub struct Config {
    /// Our role.
    pub role: Role,
    /// Units the peer may send on a stream before the first CREDIT.
    pub initial_credit: u32,
    /// Streams the peer may have open at once.
    pub max_streams: u32,
    /// What the initial receive windows may add up to, in units: beyond it, streams are refused.
    pub receive_budget: u64,
    /// What receive windows may grow by, together, in units.
    pub growth_budget: u64,
    /// What may be queued or unacknowledged, over all streams, in bytes of chunk capacity. Beyond it a stream keeps one
    /// chunk at a time.
    pub send_budget: usize,
    /// What we offer.
    pub services: Vec<Service>,
}

impl Config {
    /// Returns the defaults for a role.
    pub fn new(role: Role) -> Config {
        Config {
            role,
            initial_credit: 64 * 1024,
            max_streams: 4096,
            receive_budget: 256 * 1024 * 1024,
            growth_budget: 64 * 1024 * 1024,
            send_budget: 64 * 1024 * 1024,
            services: Vec::new(),
        }
    }
}

/// Why no stream can be opened now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// The session is ending.
    #[error("the session is ending")]
    GoingAway,
    /// As many streams as the peer takes are open, or every id is in use.
    #[error("too many streams are open")]
    TooManyStreams,
}

/// What is known about a stream id beyond its live stream.
#[derive(Debug, Clone, Copy)]
struct IdState {
    generation: Generation,
    status: IdStatus,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum IdStatus {
    /// A stream owns the id.
    Live(StreamKey),
    /// The last one ended in order.
    Ended,
    /// The last one was aborted; the peer was told on the carrier of this number.
    Aborted { told_on: u32 },
}

/// Frames that were dropped, by why; for the log and for tests.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    /// Sequence numbers we had already.
    pub duplicate: u64,
    /// Frames of an older generation, or of a stream that ended.
    pub stale: u64,
    /// Frames of streams of ours that we never opened.
    pub stray: u64,
    /// Frames of types this version does not act on.
    pub ignored: u64,
}

/// Whether the session goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Life {
    Running,
    /// A GOAWAY was sent or received: what is open may end until the deadline.
    Draining {
        reason: GoAwayReason,
        detail: String,
        origin: Origin,
        deadline: Instant,
    },
    /// The peer broke the protocol: nothing is taken from it any more, and a GOAWAY says why.
    Failed {
        reason: GoAwayReason,
        detail: String,
        deadline: Instant,
    },
    /// Over; the event is out.
    Ended,
}

/// How long streams may take to end after a GOAWAY.
pub const DRAIN: Duration = Duration::from_secs(2);

/// Messages that came before the peer's HELLO are kept up to this many bytes.
const MAX_BEFORE_HELLO: usize = 4 * 1024 * 1024;

/// DATA that came before its CONNECT is kept up to this many bytes over all streams.
const MAX_BEFORE_CONNECT: u64 = 4 * 1024 * 1024;

/// Aborts waiting to be sent; a peer that causes more than this at once is out to hurt.
const MAX_PENDING_ABORTS: usize = 8192;

/// Many byte streams over one carrier at a time.
#[derive(Debug)]
pub struct Mux {
    config: Config,
    streams: Slab<Stream>,
    next_serial: u32,
    ids: HashMap<StreamId, IdState>,
    /// Streams each role opened that own their id.
    attached: [usize; 2],
    schedule: Schedule,
    budget: Budget,
    /// Capacity of all queued and unacknowledged chunks.
    pub(super) retained: usize,
    /// Streams that were refused capacity because of the send budget.
    starved: VecDeque<StreamKey>,
    before_connect: u64,
    peer: Option<Hello>,
    before_hello: VecDeque<(u32, Bytes)>,
    before_hello_len: usize,
    /// Number of the highest carrier that opened; 0 before the first.
    carrier: u32,
    carrier_is_up: bool,
    resumption: Resumption,
    pending: outbound::Pending,
    timers: Timers,
    round_trip: Option<Duration>,
    life: Life,
    notices: VecDeque<StreamKey>,
    events: VecDeque<Event>,
    retired: Vec<Chunk>,
    counters: Counters,
    hello: Vec<u8>,
}

impl Mux {
    /// Creates the mux of a session that has no carrier yet.
    pub fn new(config: Config) -> Mux {
        let hello = Hello {
            versions: vec![VERSION],
            agent: concat!("pinhole/", env!("CARGO_PKG_VERSION")).to_owned(),
            role: config.role.as_str().to_owned(),
            initial_credit: config.initial_credit,
            max_payload: MAX_PAYLOAD as u32,
            max_streams: config.max_streams,
            services: config.services.clone(),
            features: Vec::new(),
        };
        Mux {
            streams: Slab::new(),
            next_serial: 0,
            ids: HashMap::new(),
            attached: [0; 2],
            schedule: Schedule::default(),
            budget: Budget::new(config.growth_budget),
            retained: 0,
            starved: VecDeque::new(),
            before_connect: 0,
            peer: None,
            before_hello: VecDeque::new(),
            before_hello_len: 0,
            carrier: 0,
            carrier_is_up: false,
            resumption: Resumption::NotNeeded,
            pending: outbound::Pending::default(),
            timers: Timers::default(),
            round_trip: None,
            life: Life::Running,
            notices: VecDeque::new(),
            events: VecDeque::new(),
            retired: Vec::new(),
            counters: Counters::default(),
            hello: hello.encode(),
            config,
        }
    }

    /// Opens a stream to `target`; data may follow at once. `hash` is where the search for a free id begins.
    ///
    /// # Errors
    /// The session is ending, or too many streams are open.
    pub fn open(&mut self, hash: u16, target: &ConnectTarget) -> Result<StreamKey, OpenError> {
        if self.life != Life::Running {
            return Err(OpenError::GoingAway);
        }
        let role = self.config.role;
        let limit = self.peer.as_ref().map_or(self.config.max_streams, |hello| hello.max_streams);
        if self.attached[role as usize] >= StreamId::count(role).min(limit as usize) {
            return Err(OpenError::TooManyStreams);
        }
        let mut id = StreamId::from_hash(role, hash);
        let generation = loop {
            match self.ids.get(&id) {
                Some(IdState { status: IdStatus::Live(_), .. }) => id = id.next(),
                Some(IdState { generation, .. }) => break generation.next(),
                None => break Generation(0),
            }
        };
        let key = self.insert(id, generation);
        let stream = &mut self.streams[key.index as usize];
        stream.push_connect(target);
        self.activate(key);
        Ok(key)
    }

    /// Gives access to a live stream.
    pub fn stream(&mut self, key: StreamKey) -> Option<StreamMut<'_>> {
        self.get(key)?;
        Some(StreamMut { mux: self, key })
    }

    /// Announces the end of the session; streams may finish for up to [`DRAIN`].
    pub fn go_away(&mut self, now: Instant, reason: GoAwayReason, detail: &str) {
        if self.life == Life::Running {
            self.pending.go_away = Some((reason, detail.to_owned()));
            self.drain(now, reason, detail.to_owned(), Origin::Local);
        }
    }

    /// Aborts every stream and ends the session without telling the peer, who is gone.
    pub fn close(&mut self, reason: GoAwayReason, detail: &str, origin: Origin) {
        if self.life != Life::Ended {
            self.abort_all(AbortReason::Shutdown, detail, origin);
            self.life = Life::Ended;
            self.events.push_back(Event::Ended(reason, detail.to_owned(), origin));
        }
    }

    /// Returns the next event.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.end_if_drained();
        if let Some(event) = self.events.pop_front() {
            return Some(event);
        }
        while let Some(&key) = self.notices.front() {
            let Some(stream) = self.get_mut(key) else {
                self.notices.pop_front();
                continue;
            };
            let notices = &mut stream.notices;
            if std::mem::take(&mut notices.opened) {
                let target = stream.target.take().expect("a stream is opened with a target");
                return Some(Event::Opened(key, target));
            }
            if std::mem::take(&mut notices.accepted) {
                return Some(Event::Accepted(key));
            }
            if std::mem::take(&mut notices.readable) {
                return Some(Event::Readable(key));
            }
            if std::mem::take(&mut notices.writable) {
                return Some(Event::Writable(key));
            }
            notices.queued = false;
            let is_at_end = std::mem::take(&mut notices.at_end);
            self.notices.pop_front();
            if is_at_end {
                self.settle(key);
                if let Some(event) = self.events.pop_front() {
                    return Some(event);
                }
            }
        }
        None
    }

    /// Returns the smoothed round-trip time.
    pub fn round_trip(&self) -> Option<Duration> {
        self.round_trip
    }

    /// Returns the peer's HELLO, once it came.
    pub fn peer(&self) -> Option<&Hello> {
        self.peer.as_ref()
    }

    /// Returns how many streams are in the table, those included that only wait for a last acknowledgement.
    pub fn stream_count(&self) -> usize {
        self.streams.len()
    }

    /// Returns what was dropped so far.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// Returns (units all receive windows grew by, bytes queued or unacknowledged): both 0 once every stream ended.
    pub fn memory(&self) -> (u64, usize) {
        (self.budget.used(), self.retained)
    }

    /// Gives the chunks of streams that are gone back to the pool; `poll_transmit` does so, too.
    pub fn reclaim(&mut self, pool: &mut ChunkPool) {
        for chunk in self.retired.drain(..) {
            pool.recycle(chunk);
        }
    }

    /// Tells whether a GOAWAY was sent or received.
    pub fn is_going_away(&self) -> bool {
        self.life != Life::Running
    }

    /// Tells whether the session is over.
    pub fn is_ended(&self) -> bool {
        self.life == Life::Ended
    }

    pub(super) fn get(&self, key: StreamKey) -> Option<&Stream> {
        self.streams.get(key.index as usize).filter(|stream| stream.serial == key.serial)
    }

    pub(super) fn get_mut(&mut self, key: StreamKey) -> Option<&mut Stream> {
        self.streams.get_mut(key.index as usize).filter(|stream| stream.serial == key.serial)
    }

    pub(super) fn payload_limit(&self) -> usize {
        self.peer.as_ref().map_or(0, Hello::payload_limit)
    }

    pub(super) fn is_over_send_budget(&self) -> bool {
        self.retained >= self.config.send_budget
    }

    /// Remembers a stream that gets no capacity because of the send budget.
    pub(super) fn starves(&mut self, key: StreamKey) {
        prune(&mut self.starved, &self.streams, |key| *key);
        self.starved.push_back(key);
    }

    /// Puts a stream that has something to send on the schedule.
    pub(super) fn activate(&mut self, key: StreamKey) {
        if let Some(stream) = self.get_mut(key)
            && !stream.scheduled
            && stream.send.has_unsent()
        {
            stream.scheduled = true;
            self.schedule.activate(key);
        }
    }

    /// Takes note that the local application consumed something.
    pub(super) fn consumed(&mut self, key: StreamKey) {
        let Some(stream) = self.get(key) else { return };
        if stream.receive.state != super::stream::ReceiveState::Closed && stream.receive.window.is_grant_due() {
            self.queue_credit(key);
        }
    }

    /// Ends both directions of a stream and tells the peer.
    pub(super) fn abort(&mut self, key: StreamKey, reason: AbortReason, detail: &str) {
        let Some(stream) = self.get(key) else { return };
        if stream.attached {
            let (id, generation) = (stream.id, stream.generation);
            let status = IdStatus::Aborted { told_on: self.carrier };
            if id.opener() != self.config.role || stream.send.never_sent != Sequence(0) {
                self.end_id(id, generation, status);
                self.queue_abort(id, generation, reason, detail);
            } else {
                // The peer cannot have heard of it: no ABORT, or they would pile up without a carrier; and the generation
                // was not used, or the peer would take the one after 128 such streams for an old one.
                self.end_id(id, generation.previous(), status);
            }
        }
        self.remove(key);
    }

    /// Aborts a stream for a reason of the mux itself, and says so.
    fn abort_with_event(&mut self, key: StreamKey, reason: AbortReason, detail: &str) {
        self.abort(key, reason, detail);
        self.events.push_back(Event::Aborted { key, reason, detail: detail.to_owned(), origin: Origin::Local });
    }

    fn abort_all(&mut self, reason: AbortReason, detail: &str, origin: Origin) {
        let keys: Vec<StreamKey> = self.keys().collect();
        for key in keys {
            self.remove(key);
            self.events.push_back(Event::Aborted { key, reason, detail: detail.to_owned(), origin });
        }
        self.ids.clear();
        self.attached = [0; 2];
        self.schedule.clear();
        self.pending.aborts.clear();
    }

    /// Ends the session because the peer broke the protocol: streams are aborted, and a GOAWAY says why.
    fn fail(&mut self, now: Instant, reason: GoAwayReason, detail: String) {
        if matches!(self.life, Life::Failed { .. } | Life::Ended) {
            return;
        }
        self.abort_all(AbortReason::Protocol, &detail, Origin::Local);
        self.pending.go_away = Some((reason, detail.clone()));
        self.life = Life::Failed { reason, detail, deadline: now + DRAIN };
    }

    /// Ends a session whose streams are all gone, or that failed, once its GOAWAY is out.
    fn end_if_drained(&mut self) {
        let (reason, origin) = match &self.life {
            Life::Draining { reason, origin, .. }
                if self.streams.is_empty() && (self.pending.is_empty() || !self.carrier_is_up) =>
            {
                (*reason, *origin)
            }
            Life::Failed { reason, .. } if self.pending.go_away.is_none() => (*reason, Origin::Local),
            _ => return,
        };
        self.end(reason, origin);
    }

    fn end(&mut self, reason: GoAwayReason, origin: Origin) {
        let (Life::Draining { detail, .. } | Life::Failed { detail, .. }) =
            std::mem::replace(&mut self.life, Life::Ended)
        else {
            return;
        };
        self.abort_all(AbortReason::Shutdown, &detail, origin);
        self.events.push_back(Event::Ended(reason, detail, origin));
    }

    fn drain(&mut self, now: Instant, reason: GoAwayReason, detail: String, origin: Origin) {
        self.life = Life::Draining { reason, detail, origin, deadline: now + DRAIN };
    }

    fn insert(&mut self, id: StreamId, generation: Generation) -> StreamKey {
        let window = ReceiveWindow::open(u64::from(self.config.initial_credit));
        let serial = self.next_serial;
        self.next_serial = self.next_serial.wrapping_add(1);
        let mut stream = Stream::new(serial, id, generation, window);
        if let Some(hello) = &self.peer {
            stream.send.credit.raise(u64::from(hello.initial_credit));
        }
        let key = StreamKey { index: self.streams.insert(stream) as u32, serial };
        self.ids.insert(id, IdState { generation, status: IdStatus::Live(key) });
        self.attached[id.opener() as usize] += 1;
        key
    }

    /// Takes the id away from its stream.
    fn end_id(&mut self, id: StreamId, generation: Generation, status: IdStatus) {
        if let Some(IdState { status: IdStatus::Live(key), .. }) = self.ids.insert(id, IdState { generation, status }) {
            self.attached[id.opener() as usize] -= 1;
            if let Some(stream) = self.get_mut(key) {
                stream.attached = false;
            }
        }
    }

    /// Detaches a stream that is done on the wire, and drops it once the local application is done with it, too.
    fn settle(&mut self, key: StreamKey) {
        let Some(stream) = self.get(key) else { return };
        if stream.attached {
            if !stream.is_settled() {
                return;
            }
            let (id, generation) = (stream.id, stream.generation);
            self.end_id(id, generation, IdStatus::Ended);
        }
        if self.get(key).is_some_and(Stream::is_drained) {
            self.remove(key);
            self.events.push_back(Event::Finished(key));
        }
    }

    fn remove(&mut self, key: StreamKey) {
        let mut stream = self.streams.remove(key.index as usize);
        if stream.receive.state == super::stream::ReceiveState::Head {
            self.before_connect -= self.counts_before_connect(&stream);
        }
        stream.receive.window.release(&mut self.budget);
        let mut freed = 0;
        for outgoing in stream.send.queue.drain(..) {
            if let Outgoing::Data(chunk) = outgoing {
                freed += chunk.capacity();
                self.retired.push(chunk);
            }
        }
        self.retained_less(freed);
    }

    /// Units of a stream that count as waiting for a CONNECT: those of streams the peer opened.
    fn counts_before_connect(&self, stream: &Stream) -> u64 {
        if stream.id.opener() == self.config.role { 0 } else { stream.receive.window.held() }
    }

    fn keys(&self) -> impl Iterator<Item = StreamKey> {
        self.streams.iter().map(|(index, stream)| StreamKey { index: index as u32, serial: stream.serial })
    }

    pub(super) fn notify(&mut self, key: StreamKey, set: impl FnOnce(&mut super::stream::Notices)) {
        let Some(stream) = self.get_mut(key) else { return };
        set(&mut stream.notices);
        if !std::mem::replace(&mut stream.notices.queued, true) {
            self.notices.push_back(key);
        }
    }

    /// Tells a stream that was out of capacity that it may have some now.
    fn notify_writable(&mut self, key: StreamKey) {
        if let Some(stream) = self.get_mut(key)
            && std::mem::take(&mut stream.send.is_blocked)
        {
            self.notify(key, |notices| notices.writable = true);
        }
    }
}
