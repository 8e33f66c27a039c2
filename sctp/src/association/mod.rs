//! An association: one end of it, without I/O and without a clock.

mod connection;
mod cookie;
mod handshake;
mod heartbeat;
mod inbound;
mod outbound;
mod path_mtu;
mod shutdown;
mod state;
mod stream;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::config::Config;
use crate::event::{Event, Failure, Reason};
use crate::progress::Progress;
use crate::random::{Random, Seed};
use crate::stream::Streams;
use crate::wire::kind;
use crate::wire::writer::Writer;
use connection::Connection;
use heartbeat::Heartbeat;
use state::{Control, Retry};

pub use handshake::{Token, TokenError};
pub use state::State;
pub use stream::Stream;

/// Maximum number of answers that wait to be sent. Further ones are dropped; a peer that needs one asks again.
const MAX_CONTROLS: usize = 32;

/// One end of an association (RFC 9260).
///
/// Call [`Association::handle_datagram`] and [`Association::handle_timeout`] for input. After each of them, and after
/// any change by the application, call [`Association::poll_transmit`] until `None`, then [`Association::poll_event`]
/// until `None`, and [`Association::poll_timeout`] for the next deadline. Times may run back a little; the latest one
/// counts then.
#[derive(Debug)]
pub struct Association {
    config: Config,
    random: Random,
    /// The latest time that was passed in.
    now: Option<Instant>,
    /// The first time that was passed in.
    began: Option<Instant>,
    state: State,
    local_tag: u32,
    local_tsn: u32,
    /// The state shared with the peer, once its INIT or INIT ACK is known.
    connection: Option<Connection>,
    /// The peer's token, until there is a clock.
    token: Option<Token>,
    cookie: Bytes,
    retry: Retry,
    controls: VecDeque<Control>,
    streams: Streams,
    events: VecDeque<Event>,
    heartbeat: Heartbeat,
    writer: Writer,
    /// A drain is in progress: [`Association::poll_transmit`] has not returned `None` since the last input.
    is_draining: bool,
    is_shutdown_due: bool,
    statistics: Counts,
}

/// Counters.
#[derive(Debug, Clone, Copy, Default)]
struct Counts {
    packets_sent: u64,
    packets_received: u64,
    packets_dropped: u64,
    acknowledgements_sent: u64,
    acknowledgements_received: u64,
}

/// Figures of an association.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Statistics {
    /// Packets that left.
    pub packets_sent: u64,
    /// Packets that arrived and belong to the association.
    pub packets_received: u64,
    /// Packets that arrived and were dropped: malformed, or with a wrong checksum or tag.
    pub packets_dropped: u64,
    /// SACKs that left.
    pub acknowledgements_sent: u64,
    /// SACKs that arrived.
    pub acknowledgements_received: u64,
    /// DATA chunks that left for the first time.
    pub chunks_sent: u64,
    /// DATA chunks that were retransmitted.
    pub chunks_repeated: u64,
    /// DATA chunks that were considered lost.
    pub chunks_lost: u64,
    /// Retransmission timeouts.
    pub timeouts: u64,
    /// Tail-loss probes.
    pub probes: u64,
    /// Recoveries that were undone because nothing had been lost.
    pub undone: u64,
    /// Bytes of DATA chunks in flight.
    pub in_flight: u64,
    /// Bytes of DATA chunks that may be in flight.
    pub window: u64,
    /// Bytes of messages that the peer has room for.
    pub peer_room: usize,
    /// Chunks beyond the cumulative acknowledgement.
    pub outstanding: usize,
    /// Bytes of messages kept for the application, as they count in the receive window.
    pub kept: usize,
    /// Streams that exist.
    pub streams: usize,
    /// The bytes of a packet.
    pub packet_size: usize,
    /// The mean round trip.
    pub round_trip: Option<Duration>,
}

impl Association {
    /// Creates the end that begins: the first [`Association::poll_transmit`] returns its INIT.
    pub fn connect(config: Config, seed: Seed) -> Association {
        Association::new(config, seed, State::CookieWait)
    }

    /// Creates the end that waits. It keeps no state for a peer before that has proved that it receives what is sent to
    /// it (RFC 9260, section 5.1).
    pub fn accept(config: Config, seed: Seed) -> Association {
        Association::new(config, seed, State::Listening)
    }

    fn new(config: Config, seed: Seed, state: State) -> Association {
        let mut random = Random::new(seed);
        let (local_tag, local_tsn) = (random.tag(), random.number() as u32);
        Association {
            config,
            random,
            now: None,
            began: None,
            state,
            local_tag,
            local_tsn,
            connection: None,
            token: None,
            cookie: Bytes::new(),
            retry: Retry::default(),
            controls: VecDeque::new(),
            streams: Streams::default(),
            events: VecDeque::new(),
            heartbeat: Heartbeat::default(),
            writer: Writer::default(),
            is_draining: false,
            is_shutdown_due: false,
            statistics: Counts::default(),
        }
    }

    /// Handles a packet of the peer. Drops one that is malformed or does not belong to the association.
    pub fn handle_datagram(&mut self, now: Instant, datagram: Bytes) {
        let now = self.advance(now);
        self.receive(now, datagram);
    }

    /// Handles all deadlines up to `now`; may be called at any time.
    pub fn handle_timeout(&mut self, now: Instant) {
        let now = self.advance(now);
        let Some(connection) = &mut self.connection else { return };
        let mut source = crate::send::Source { streams: &mut self.streams, events: &mut self.events };
        if let Err(failure) = connection.sender.handle_timeout(now, &mut source) {
            self.fail(failure);
        }
    }

    /// Returns the next packet to send; `None` ends the drain.
    pub fn poll_transmit(&mut self, now: Instant) -> Option<Bytes> {
        let now = self.advance(now);
        let packet = self.transmit(now);
        self.statistics.packets_sent += u64::from(packet.is_some());
        self.is_draining = packet.is_some();
        packet
    }

    /// Returns the next event.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Returns when [`Association::handle_timeout`] and then [`Association::poll_transmit`] must be called, if nothing
    /// happens before.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let connection = self.connection.as_ref();
        let data = connection.filter(|_| self.state != State::Closed).and_then(Connection::deadline);
        let is_up = self.state == State::Established;
        let probe = connection.filter(|_| is_up).and_then(Connection::probe_deadline);
        let heartbeat = if is_up { self.heartbeat.deadline() } else { None };
        [self.retry.at, data, heartbeat, probe].into_iter().flatten().min()
    }

    /// Ends the association in order: everything sent is delivered, then both sides say good-bye (RFC 9260, section
    /// 9.2). Returns false if the association is not up.
    pub fn shutdown(&mut self) -> bool {
        let is_up = self.state == State::Established;
        if is_up {
            self.state = State::ShutdownPending;
            self.try_shutdown();
        }
        is_up
    }

    /// Ends the association at once, and tells the peer (RFC 9260, section 9.1).
    pub fn abort(&mut self) {
        if self.state != State::Closed {
            self.send_abort(crate::wire::cause::value(crate::wire::cause::USER_INITIATED, &[]));
            self.close(Reason::Aborted);
        }
    }

    /// Returns the state.
    pub fn state(&self) -> State {
        self.state
    }

    /// Returns the longest message that may be sent, in bytes.
    pub fn max_send_message_size(&self) -> usize {
        self.config.max_send_message_size
    }

    /// Sets the longest message that may be sent, in bytes: the longest one the peer accepts (RFC 8841, section 6).
    pub fn set_max_send_message_size(&mut self, bytes: usize) {
        self.config.max_send_message_size = bytes;
    }

    /// Returns figures.
    pub fn statistics(&self) -> Statistics {
        let Counts {
            packets_sent,
            packets_received,
            packets_dropped,
            acknowledgements_sent,
            acknowledgements_received,
        } = self.statistics;
        let base = Statistics {
            packets_sent,
            packets_received,
            packets_dropped,
            acknowledgements_sent,
            acknowledgements_received,
            streams: self.streams.len(),
            packet_size: self.packet_size(),
            ..Statistics::default()
        };
        let Some(Connection { sender, receiver, .. }) = &self.connection else { return base };
        let counted = sender.statistics();
        Statistics {
            chunks_sent: counted.chunks,
            chunks_repeated: counted.repeated,
            chunks_lost: counted.lost,
            timeouts: counted.timeouts,
            probes: counted.probes,
            undone: counted.undone,
            in_flight: sender.congestion.in_flight(),
            window: sender.congestion.window(),
            peer_room: sender.peer_room(),
            outstanding: sender.outstanding(),
            kept: receiver.kept(),
            round_trip: sender.round_trip.smoothed(),
            ..base
        }
    }

    /// Returns the figures that others may be told of; `None` before and after the association.
    pub fn progress(&self) -> Option<Progress> {
        let sender = &self.connection.as_ref()?.sender;
        let bandwidth = sender.congestion.bandwidth(sender.round_trip.smoothed());
        Some(Progress { repeated: sender.statistics().repeated, bandwidth })
    }

    /// Returns the size of a packet, in bytes.
    fn packet_size(&self) -> usize {
        let first = self.config.first_packet_size();
        self.connection.as_ref().map_or(first, |connection| connection.sender.packet_size())
    }

    /// Advances the time, which never runs back, and returns it.
    fn advance(&mut self, now: Instant) -> Instant {
        let now = self.now.map_or(now, |latest| latest.max(now));
        self.now = Some(now);
        self.began.get_or_insert(now);
        if let Some(token) = self.token.take() {
            self.open_by_token(now, token);
        }
        now
    }

    /// Returns the time since the first one that was passed in.
    fn age(&self, now: Instant) -> Duration {
        self.began.map_or(Duration::ZERO, |began| now.saturating_duration_since(began))
    }

    /// Ends the association because of a failure, and tells the peer.
    fn fail(&mut self, failure: Failure) {
        self.send_abort(failure.abort());
        self.close(failure.reason());
    }

    fn send_abort(&mut self, causes: Vec<u8>) {
        let Some(connection) = &self.connection else { return };
        let tag = connection.peer_tag;
        self.controls.clear();
        self.push_control(tag, kind::ABORT, 0, &causes);
    }

    /// Ends the association. Drops everything that waits to be sent, except finished answers.
    fn close(&mut self, reason: Reason) {
        if self.state == State::Closed {
            return;
        }
        self.state = State::Closed;
        self.connection = None;
        self.streams = Streams::default();
        self.retry = Retry::default();
        self.heartbeat = Heartbeat::default();
        self.is_shutdown_due = false;
        self.events.push_back(Event::Closed(reason));
    }

    /// Queues a chunk that answers the peer.
    fn push_control(&mut self, tag: u32, kind: u8, flags: u8, value: &[u8]) {
        let length = u16::try_from(4 + value.len()).unwrap_or(u16::MAX);
        let mut chunk = Vec::with_capacity(usize::from(length));
        chunk.extend_from_slice(&[kind, flags]);
        chunk.extend_from_slice(&length.to_be_bytes());
        chunk.extend_from_slice(&value[..usize::from(length) - 4]);
        if self.controls.len() < MAX_CONTROLS {
            let is_alone = matches!(kind, kind::INIT | kind::INIT_ACK | kind::SHUTDOWN_COMPLETE | kind::ABORT);
            self.controls.push_back(Control { tag, chunk: chunk.into(), is_alone });
        }
    }
}
