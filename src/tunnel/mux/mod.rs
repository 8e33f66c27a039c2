//! The table of streams and everything that concerns the session as a whole.
//!
//! The owner feeds messages ([`Mux::handle_message`]) and the time ([`Mux::handle_timeout`]), opens, reads and writes
//! streams, and drains [`Mux::poll_transmit`] and [`Mux::poll_event`] afterwards. `docs/protocol.md` is the
//! specification.

mod access;
mod config;
mod datagrams;
mod inbound;
mod life;
mod listen;
mod outbound;
mod rate;
mod reset;
mod resume;
mod table;
mod timers;

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use slab::Slab;

use super::chunk::{Chunk, ChunkPool, MAX_PAYLOAD};
use super::credit::Budget;
use super::event::Event;
use super::flow::Dropped;
use super::frame::ConnectTarget;
use super::hello::{DATAGRAMS, Hello, Service, VERSION};
use super::id::{Generation, StreamId, StreamKey};
use super::schedule::Schedule;
use super::stream::{Application, Notices, Stream};
use super::trail::Trail;
pub use access::StreamMut;
pub use config::Config;
use datagrams::Datagrams;
pub use life::DRAIN;
use life::Life;
use listen::Listens;
pub use listen::MAX_LISTENS;
pub use outbound::{Outbound, Room};
use rate::Rates;
use resume::Resumption;
use table::{IdState, IdStatus};
use timers::{Timers, prune};

/// Why no stream can be opened now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// The session is ending.
    #[error("the session is ending")]
    GoingAway,
    /// As many streams as the peer takes are open, or every id is in use.
    #[error("too many streams are open")]
    TooManyStreams,
    /// The target is a UDP service or address, and the peer takes no datagrams.
    #[error("the peer carries no UDP")]
    NoDatagrams,
}

/// Counts of dropped frames, by reason; for the log and for tests.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    /// Frames whose sequence number had arrived before.
    pub duplicate: u64,
    /// Frames of an older generation, or of a stream that ended.
    pub stale: u64,
    /// Frames of streams of ours that we never opened.
    pub stray: u64,
    /// Frames of types this version ignores.
    pub ignored: u64,
    /// Datagrams of UDP flows.
    pub datagrams: Dropped,
}

/// Maximum number of bytes kept of messages that came before the peer's HELLO.
const MAX_BEFORE_HELLO: usize = 4 * 1024 * 1024;

/// Maximum number of bytes kept, over all streams, of DATA that came before its CONNECT.
const MAX_BEFORE_CONNECT: u64 = 4 * 1024 * 1024;

/// Maximum number of aborts waiting to be sent; with more streams, twice as many as there may be streams. Only an
/// attacker causes more at once.
const MAX_PENDING_ABORTS: usize = 8192;

/// Many byte streams over one carrier at a time.
#[derive(Debug)]
pub struct Mux {
    config: Config,
    streams: Slab<Stream>,
    next_serial: u32,
    ids: HashMap<StreamId, IdState>,
    /// Streams that own their id, by the role that opened them.
    attached: [usize; 2],
    schedule: Schedule,
    budget: Budget,
    rates: Option<Rates>,
    /// Capacity of all queued and unacknowledged chunks.
    pub(super) retained: usize,
    /// Streams that were refused capacity because of the send budget.
    starved: VecDeque<StreamKey>,
    before_connect: u64,
    datagrams: Datagrams,
    peer: Option<Hello>,
    before_hello: VecDeque<(u32, Bytes)>,
    before_hello_len: usize,
    /// Number of the highest carrier that opened; 0 before the first.
    carrier: u32,
    carrier_is_up: bool,
    resumption: Resumption,
    listens: Listens,
    pending: outbound::Pending,
    timers: Timers,
    round_trip: Option<Duration>,
    /// Round trip of the last answered PING, until it is asked for.
    answered: Option<Duration>,
    life: Life,
    notices: VecDeque<StreamKey>,
    events: VecDeque<Event>,
    retired: Vec<Chunk>,
    counters: Counters,
    /// Payload bytes of all streams so far: queued to the peer, and consumed of what it sent.
    payload: (u64, u64),
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
            features: vec![DATAGRAMS.to_owned()],
        };
        let rates = config.rate.map(Rates::new);
        Mux {
            streams: Slab::new(),
            next_serial: 0,
            ids: HashMap::new(),
            attached: [0; 2],
            schedule: rates.as_ref().map_or_else(Schedule::default, Rates::schedule),
            budget: Budget::new(config.growth_budget),
            rates,
            retained: 0,
            starved: VecDeque::new(),
            before_connect: 0,
            datagrams: Datagrams::default(),
            peer: None,
            before_hello: VecDeque::new(),
            before_hello_len: 0,
            carrier: 0,
            carrier_is_up: false,
            resumption: Resumption::NotNeeded,
            listens: Listens::default(),
            pending: outbound::Pending::default(),
            timers: Timers::default(),
            round_trip: None,
            answered: None,
            life: Life::Running,
            notices: VecDeque::new(),
            events: VecDeque::new(),
            retired: Vec::new(),
            counters: Counters::default(),
            payload: (0, 0),
            hello: hello.encode(),
            config,
        }
    }

    /// Opens a stream to `target`; data may follow at once. `hash` is where the search for a free id begins. A UDP
    /// address or service opens a UDP flow; the peer's HELLO says which services are UDP, so it must have come before.
    ///
    /// # Errors
    /// The session is ending, too many streams are open, or the peer carries no UDP.
    pub fn open(&mut self, hash: u16, target: &ConnectTarget) -> Result<StreamKey, OpenError> {
        self.open_from(hash, target, &Trail::default())
    }

    /// Opens a stream as [`Mux::open`] does, and tells the peer which connections led to it.
    ///
    /// # Errors
    /// Those of [`Mux::open`].
    pub fn open_from(&mut self, hash: u16, target: &ConnectTarget, trail: &Trail) -> Result<StreamKey, OpenError> {
        if self.life != Life::Running {
            return Err(OpenError::GoingAway);
        }
        let role = self.config.role;
        let limit = self.peer.as_ref().map_or(self.config.max_streams, |hello| hello.max_streams);
        if self.attached[role as usize] >= StreamId::count(role).min(limit as usize) {
            return Err(OpenError::TooManyStreams);
        }
        let flow = self.opened_flow(target)?;
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
        stream.push_connect(target, trail);
        stream.flow = flow;
        self.activate(key);
        Ok(key)
    }

    /// Gives access to a live stream.
    pub fn stream(&mut self, key: StreamKey) -> Option<StreamMut<'_>> {
        self.get(key).filter(|stream| stream.application != Application::Gone)?;
        Some(StreamMut { mux: self, key })
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
            if stream.application == Application::Gone {
                stream.notices = Notices::default();
                self.notices.pop_front();
                continue;
            }
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
            if let Some(event) = self.tell_of_reset(key) {
                return Some(event);
            }
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

    /// Takes the round trip of a PING that was answered on this carrier, without waiting for the event.
    pub fn take_answer(&mut self) -> Option<Duration> {
        self.answered.take()
    }

    /// Returns the peer's HELLO, once it came.
    pub fn peer(&self) -> Option<&Hello> {
        self.peer.as_ref()
    }

    /// Returns what our HELLO told of the service with this number.
    pub fn service(&self, id: u16) -> Option<&Service> {
        self.config.services.iter().find(|service| service.id == id)
    }

    /// Returns the number of streams in the table, including those that only wait for a last acknowledgement.
    pub fn stream_count(&self) -> usize {
        self.streams.len()
    }

    /// Returns the payload bytes of all streams so far: (queued to the peer, consumed of what it sent).
    pub fn payload(&self) -> (u64, u64) {
        self.payload
    }

    /// Returns what has been dropped so far.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// Returns (units by which all receive windows grew, bytes queued or unacknowledged): both 0 once every stream
    /// ended.
    pub fn memory(&self) -> (u64, usize) {
        (self.budget.used(), self.retained)
    }

    /// Returns the chunks of ended streams to the pool; `poll_transmit` does so, too.
    pub fn reclaim(&mut self, pool: &mut ChunkPool) {
        for chunk in self.retired.drain(..) {
            pool.recycle(chunk);
        }
    }

    pub(super) fn payload_limit(&self) -> usize {
        let limit = self.peer.as_ref().map_or(0, Hello::payload_limit);
        self.rates.as_ref().map_or(limit, |rates| limit.min(rates.payload_limit()))
    }

    pub(super) fn is_over_send_budget(&self) -> bool {
        self.retained >= self.config.send_budget
    }

    /// Queues a stream that gets no capacity because of the send budget.
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

    /// Grants credit after the local application consumed something.
    pub(super) fn consumed(&mut self, key: StreamKey) {
        let Some(stream) = self.get(key) else { return };
        let receive = &stream.receive;
        if receive.state().has_ended() {
            if stream.is_reset_due() {
                self.notify(key, |_| {});
            }
        } else if receive.is_credit_due() {
            self.queue_credit(key);
        }
    }
}
