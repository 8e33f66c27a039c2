//! Sending: messages in turn, cut into chunks, kept until they are acknowledged (RFC 9260, section 6.1).

mod acknowledged;
mod losses;
mod outstanding;
mod recovery;
mod scheduler;
mod size;
mod transmit;

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::congestion::{Algorithm, Congestion};
use crate::event::Event;
use crate::number::Tsn;
use crate::ranges::Ranges;
use crate::round_trip::RoundTrip;
use crate::stream::{Delivery, Limit, Queued, Reliability, Streams};
use outstanding::Ring;
use recovery::Recovery;
use scheduler::Scheduler;
use size::PacketSize;

/// Maximum number of outstanding chunks: as many as a SACK can distinguish.
const MAX_OUTSTANDING: usize = 65_000;

/// How long a foreign peer may delay an acknowledgement (RFC 9260, section 16: SACK.Delay).
const FOREIGN_DELAY: Duration = Duration::from_millis(200);

/// Settings for sending.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Settings {
    pub(crate) first: u32,
    /// The room the peer announced.
    pub(crate) window: u32,
    /// The packet size that passes everywhere, in bytes.
    pub(crate) packet_size: usize,
    pub(crate) algorithm: Algorithm,
    pub(crate) seed: u64,
    /// The peer is of this crate.
    pub(crate) is_ours: bool,
    /// The peer can skip abandoned chunks.
    pub(crate) is_partial: bool,
    /// Timeouts in a row that end the association.
    pub(crate) max_retransmits: Option<u32>,
}

/// Whether the path seems to work.
///
/// ```text
/// Up ── the retransmission timeout passes ──> Silent
///  ^─── something is acknowledged ────────────────┘
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Path {
    Up,
    /// Nothing came back: one packet leaves at each timeout.
    Silent {
        may_send: bool,
        probed_at: Instant,
    },
}

/// The sending side of an association.
#[derive(Debug)]
pub(crate) struct Sender {
    ring: Ring,
    /// What the peer has beyond the first chunk of the ring.
    beyond: Ranges,
    /// Number of chunks in `beyond`.
    beyond_count: u64,
    /// Transmissions, oldest first. One that its chunk does not remember is skipped.
    sent: VecDeque<(Tsn, u64)>,
    /// Chunks to send again, the lowest number first: a peer without room accepts only the next one in order. Outdated
    /// entries are skipped.
    lost: BinaryHeap<Reverse<(Tsn, u64)>>,
    transmissions: u64,
    /// Number of chunks in flight.
    in_flight: usize,
    /// Number of chunks considered lost.
    missing: usize,
    /// Bytes of payload neither acknowledged nor abandoned, which use the peer's window.
    charged: usize,
    window: usize,
    scheduler: Scheduler,
    messages: u64,
    recovery: Recovery,
    pub(crate) congestion: Congestion,
    pub(crate) round_trip: RoundTrip,
    path: Path,
    backoff: u32,
    errors: u32,
    reorder_at: Option<Instant>,
    probe_at: Option<Instant>,
    timeout_at: Option<Instant>,
    /// A tail-loss probe is due.
    is_probing: bool,
    /// The chunk that was sent again as such a probe.
    probed: Option<Tsn>,
    /// Everything up to here is abandoned, although the peer does not know (RFC 3758, section 3.5: the advanced peer
    /// ack point).
    forward: Tsn,
    /// Everything up to here is abandoned or acknowledged.
    scanned: Tsn,
    is_forward_due: bool,
    forwarded_at: Option<Instant>,
    size: PacketSize,
    settings: Settings,
    statistics: Statistics,
}

/// Counters.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Statistics {
    pub(crate) chunks: u64,
    pub(crate) repeated: u64,
    pub(crate) lost: u64,
    pub(crate) timeouts: u64,
    pub(crate) probes: u64,
    pub(crate) undone: u64,
}

/// The state that sending works on.
pub(crate) struct Source<'a> {
    pub(crate) streams: &'a mut Streams,
    pub(crate) events: &'a mut VecDeque<Event>,
}

impl Source<'_> {
    /// Subtracts bytes of a stream from its buffered amount.
    fn release(&mut self, stream: u16, bytes: usize) {
        let Some(state) = self.streams.get_mut(stream) else { return };
        if state.outgoing.release(bytes) {
            self.events.push_back(Event::BufferedAmountLow(stream));
        }
    }
}

/// A message to send.
#[derive(Debug)]
pub(crate) struct Outbound {
    pub(crate) stream: u16,
    pub(crate) protocol: u32,
    pub(crate) delivery: Delivery,
    pub(crate) payload: Bytes,
}

/// Queues a message in its stream. Returns true if the stream had nothing to send before.
pub(crate) fn enqueue(streams: &mut Streams, now: Option<Instant>, message: Outbound) -> bool {
    let Some(state) = streams.get_mut(message.stream) else { return false };
    let outgoing = &mut state.outgoing;
    let limit = match (message.delivery.reliability, now) {
        (Reliability::Retransmits(count), _) => Limit::Retransmits(count),
        (Reliability::Lifetime(lifetime), Some(now)) => Limit::At(now + lifetime),
        // Before the first packet there is no clock, so nothing can be late.
        (Reliability::Reliable, _) | (Reliability::Lifetime(_), None) => Limit::Never,
    };
    outgoing.buffered += message.payload.len();
    outgoing.unsent += message.payload.len();
    outgoing.queue.push_back(Queued {
        rest: message.payload,
        protocol: message.protocol,
        is_ordered: message.delivery.is_ordered,
        limit,
        begun: None,
    });
    outgoing.queue.len() == 1
}

impl Sender {
    pub(crate) fn new(now: Instant, settings: Settings) -> Sender {
        let first = Tsn::first(settings.first);
        Sender {
            ring: Ring::new(first),
            beyond: Ranges::default(),
            beyond_count: 0,
            sent: VecDeque::new(),
            lost: BinaryHeap::new(),
            transmissions: 0,
            in_flight: 0,
            missing: 0,
            charged: 0,
            window: settings.window as usize,
            scheduler: Scheduler::default(),
            messages: 0,
            recovery: Recovery::default(),
            congestion: Congestion::new(now, settings.algorithm, settings.packet_size as u64, settings.seed),
            round_trip: RoundTrip::default(),
            path: Path::Up,
            backoff: 0,
            errors: 0,
            reorder_at: None,
            probe_at: None,
            timeout_at: None,
            is_probing: false,
            probed: None,
            forward: first.previous(),
            scanned: first.previous(),
            is_forward_due: false,
            forwarded_at: None,
            size: PacketSize::new(settings.packet_size),
            settings,
            statistics: Statistics::default(),
        }
    }

    /// Adds a stream that has its first message to send.
    pub(crate) fn add(&mut self, stream: u16) {
        self.scheduler.add(stream);
    }

    /// Drops the messages that a stream has not begun to send.
    pub(crate) fn drop_queued(&mut self, stream: u16, source: &mut Source<'_>) {
        let Some(state) = source.streams.get_mut(stream) else { return };
        let queue = &mut state.outgoing.queue;
        let kept = usize::from(queue.front().is_some_and(|first| first.begun.is_some()));
        let dropped: usize = queue.drain(kept.min(queue.len())..).map(|message| message.rest.len()).sum();
        state.outgoing.unsent -= dropped;
        if kept == 0 {
            self.scheduler.remove(stream);
        }
        source.release(stream, dropped);
    }

    /// Returns the number assigned last.
    pub(crate) fn last_assigned(&self) -> Tsn {
        self.ring.next().previous()
    }

    /// Tells whether everything is acknowledged, and nothing waits.
    pub(crate) fn is_idle(&self) -> bool {
        self.ring.is_empty() && self.scheduler.is_empty()
    }

    /// Tells whether anything waits to leave.
    pub(crate) fn has_more(&self) -> bool {
        !self.scheduler.is_empty() || self.missing > 0
    }

    /// Returns how many chunks are beyond the cumulative acknowledgement.
    pub(crate) fn outstanding(&self) -> usize {
        self.ring.len()
    }

    /// Returns the peer's room, as far as known.
    pub(crate) fn peer_room(&self) -> usize {
        self.window.saturating_sub(self.charged)
    }

    pub(crate) fn statistics(&self) -> Statistics {
        self.statistics
    }

    /// Returns when [`Sender::handle_timeout`] must be called, or packets may leave again.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        // A silent path waits for its timer, whatever pacing allows.
        let is_paced = self.has_more() && self.path == Path::Up && !self.is_probing;
        let paced = if is_paced { self.congestion.next_send_at() } else { None };
        [self.reorder_at, self.probe_at, self.timeout_at, paced].into_iter().flatten().min()
    }

    /// Returns the retransmission timeout.
    fn timeout(&self) -> Duration {
        self.round_trip.timeout(self.backoff)
    }
}
