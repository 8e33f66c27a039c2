//! One PeerConnection with two channels: one carries the tunnel's messages, the other datagrams.
//!
//! The host offers and opens the channel, the client answers. Candidates trickle both ways as text. After every input
//! and every write, str0m's output is drained into our own queues, as its contract requires.

mod candidates;
mod channels;
mod event;

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use pinhole_sctp::progress;
use str0m::change::{SdpAnswer, SdpOffer, SdpPendingOffer};
use str0m::channel::ChannelId;
use str0m::net::{Protocol, Receive, Transmit};
use str0m::{Candidate, Event as RtcEvent, IceConnectionState, Input, Output, Rtc, RtcConfig, RtcError};

use super::backlog::Backlog;
use super::description::{Description, Kind};
use super::dtls;
use super::learned::Learned;
use super::stun::is_stun;
use crate::fault::{Fault, caught};
use crate::processor::Processor;

pub use event::{Event, PathInfo, PeerError};
pub use pinhole_sctp::progress::Progress;

/// Maximum number of remote candidates taken from one peer; further ones are ignored.
const MAX_REMOTE_CANDIDATES: usize = 64;

/// How often ICE may check all pairs anew. str0m stores a further candidate each time.
const MAX_CHECKED_AGAIN: u32 = 32;

/// Maximum number of early DTLS datagrams kept; further ones are dropped.
const MAX_EARLY: usize = 8;

/// Maximum number of datagrams fed to str0m before its output is drained. DTLS keeps a few more than this, and ends the
/// connection over one too many. Feeding all 64 that can arrive together was not measurably faster.
const MAX_FED: usize = 24;
const _: () = assert!(MAX_FED < dtls::MAX_QUEUED);

/// Longest packet SCTP may make at first, with what DTLS and UDP add (str0m's measure). Every path carries this length;
/// SCTP itself finds out how much more this path carries, so nothing is said about longer packets.
const PACKET_SIZE: usize = 1150;

/// Longest time between two STUN requests. Both sides send requests and answer them, so even where one datagram in five
/// is lost, two seconds of silence are rare.
const MAX_STUN_RTO: Duration = Duration::from_millis(600);

/// Time between two ICE checks of str0m. It checks one pair of addresses each time, however many there are, and the
/// pair in use waits for its turn like all others. With dozens of pairs that takes seconds, which looks like a lost
/// path.
const ICE_PACE: Duration = Duration::from_millis(50);

/// Time in which every pair should be checked once.
const ICE_TURN: Duration = Duration::from_secs(1);

/// Maximum number of pairs str0m has.
const MAX_PAIRS: usize = 100;

/// First bytes of a STUN binding request and of its answer (RFC 8489, section 5).
const BINDING_REQUEST: [u8; 2] = [0, 1];
const BINDING_SUCCESS: [u8; 2] = [1, 1];

/// How often the path's round trip is sampled.
const STATS_INTERVAL: Duration = Duration::from_secs(1);

/// A PeerConnection with its channels.
pub struct Connection {
    /// `None` after a panic.
    rtc: Option<Rtc>,
    pending_offer: Option<SdpPendingOffer>,
    channel: Option<ChannelId>,
    datagrams: ChannelId,
    is_open: bool,
    is_over: bool,
    backlog: Backlog,
    local_candidates: Vec<Candidate>,
    remote_candidates: Vec<Candidate>,
    learned: Learned,
    checked_again: u32,
    path: Option<(SocketAddr, SocketAddr)>,
    transmits: VecDeque<Transmit>,
    events: VecDeque<Event>,
    before_open: Vec<Bytes>,
    timeout: Option<Instant>,
    /// The time str0m was told last.
    clock: Instant,
    /// Input since str0m's output was last drained.
    pending: Pending,
    early: VecDeque<Early>,
    bad_datagrams: u64,
    checks: u64,
    answers: u64,
    /// DTLS records with messages, each in a datagram of its own.
    sent_records: u64,
    received_records: u64,
    dropped_datagrams: u64,
    progress: Option<Progress>,
}

/// Input of str0m whose output was not drained yet. One drain serves many inputs, so that acknowledgements and packets
/// leave together.
#[derive(Debug, Clone, Copy, Default)]
struct Pending {
    datagrams: usize,
    messages: usize,
}

/// A DTLS datagram that overtook the STUN exchange that makes its sender known. If the first one of a handshake were
/// dropped, it would be sent again only a second later.
struct Early {
    local: SocketAddr,
    remote: SocketAddr,
    datagram: Vec<u8>,
}

impl Connection {
    /// Creates the host's side and its offer (SDP).
    ///
    /// # Errors
    /// str0m makes no offer, which would be a bug.
    pub fn offer(now: Instant) -> Result<(Connection, String), PeerError> {
        Connection::offer_on(Processor::here(), now)
    }

    pub(super) fn offer_on(processor: Processor, now: Instant) -> Result<(Connection, String), PeerError> {
        let mut connection = Connection::new(processor, now);
        let (channel, changes) = connection.ask(|rtc| {
            let mut changes = rtc.sdp_api();
            (changes.add_channel_with_config(channels::messages()), changes.apply())
        })?;
        let (offer, pending) = changes.ok_or_else(|| PeerError::Rtc("no offer was made".to_owned()))?;
        connection.channel = Some(channel);
        connection.pending_offer = Some(pending);
        connection.drain(now);
        Ok((connection, offer.to_sdp_string()))
    }

    /// Creates the client's side from the host's offer, and returns the answer (SDP).
    ///
    /// # Errors
    /// The offer cannot be used.
    pub fn answer(now: Instant, offer: &str) -> Result<(Connection, String), PeerError> {
        Connection::answer_on(Processor::here(), now, offer)
    }

    pub(super) fn answer_on(
        processor: Processor,
        now: Instant,
        offer: &str,
    ) -> Result<(Connection, String), PeerError> {
        let description = Description::parse(Kind::Offer, offer)?;
        let (mut connection, answer) = Connection::answer_to(processor, now, &description.to_sdp())?;
        connection.add_told_candidates(now, &description);
        Ok((connection, answer))
    }

    /// Answers an offer that has been checked.
    fn answer_to(processor: Processor, now: Instant, offer: &str) -> Result<(Connection, String), PeerError> {
        let mut connection = Connection::new(processor, now);
        let answer = connection.ask(|rtc| {
            let offer = SdpOffer::from_sdp_string(offer).map_err(|error| error.to_string())?;
            rtc.sdp_api().accept_offer(offer).map_err(|error| error.to_string())
        })?;
        let answer = answer.map_err(PeerError::Description)?;
        connection.drain(now);
        Ok((connection, answer.to_sdp_string()))
    }

    fn new(processor: Processor, now: Instant) -> Connection {
        let mut config = RtcConfig::new()
            .clear_codecs()
            .set_crypto_provider(Arc::new(dtls::crypto(processor)))
            .set_sctp_max_buffered_amount(channels::MAX_BUFFERED)
            .set_stats_interval(Some(STATS_INTERVAL))
            .set_mtu(PACKET_SIZE..=usize::MAX);
        config.set_max_stun_rto(MAX_STUN_RTO);
        let mut rtc = config.build(now);
        let datagrams = rtc.direct_api().create_data_channel(channels::datagrams());
        Connection {
            rtc: Some(rtc),
            datagrams,
            dropped_datagrams: 0,
            pending_offer: None,
            channel: None,
            is_open: false,
            is_over: false,
            backlog: Backlog::default(),
            local_candidates: Vec::new(),
            remote_candidates: Vec::new(),
            learned: Learned::new(now),
            checked_again: 0,
            path: None,
            transmits: VecDeque::new(),
            events: VecDeque::new(),
            before_open: Vec::new(),
            timeout: None,
            clock: now,
            pending: Pending::default(),
            early: VecDeque::new(),
            bad_datagrams: 0,
            checks: 0,
            answers: 0,
            sent_records: 0,
            received_records: 0,
            progress: None,
        }
    }

    /// Tells whether our offer still waits for its answer.
    pub fn awaits_answer(&self) -> bool {
        self.pending_offer.is_some()
    }

    /// Handles the client's answer (SDP).
    ///
    /// # Errors
    /// No offer waits for an answer, or the answer cannot be used.
    pub fn handle_answer(&mut self, now: Instant, answer: &str) -> Result<(), PeerError> {
        let Some(pending) = self.pending_offer.take() else {
            return Err(PeerError::Unasked);
        };
        let description = Description::parse(Kind::Answer, answer)?;
        let answer = description.to_sdp();
        let accepted = self.ask(|rtc| {
            let answer = SdpAnswer::from_sdp_string(&answer).map_err(|error| error.to_string())?;
            rtc.sdp_api().accept_answer(pending, answer).map_err(|error| error.to_string())
        })?;
        accepted.map_err(PeerError::Description)?;
        self.drain(now);
        self.add_told_candidates(now, &description);
        Ok(())
    }

    /// Handles a datagram that `local` received from `remote`. Counts and drops a malformed one. Returns true if the
    /// datagram came from the peer, as far as can be told.
    pub fn handle_datagram(&mut self, now: Instant, local: SocketAddr, remote: SocketAddr, datagram: &[u8]) -> bool {
        if self.is_over {
            return false;
        }
        let is_accepted = self.feed(now, local, remote, datagram);
        let is_answer = is_accepted && self.path == Some((local, remote)) && datagram.starts_with(&BINDING_SUCCESS);
        self.answers += u64::from(is_answer);
        if !is_accepted && !self.is_open && is_dtls(datagram) && self.early.len() < MAX_EARLY {
            self.early.push_back(Early { local, remote, datagram: datagram.to_vec() });
        } else if !is_accepted {
            self.bad_datagrams += 1;
        } else if !self.early.is_empty() && !is_dtls(datagram) {
            for Early { local, remote, datagram } in std::mem::take(&mut self.early) {
                self.handle_datagram(now, local, remote, &datagram);
            }
        }
        is_accepted
    }

    /// Feeds str0m a datagram. Returns false if it is malformed or from an address that STUN has not proved.
    fn feed(&mut self, now: Instant, local: SocketAddr, remote: SocketAddr, datagram: &[u8]) -> bool {
        let receive = caught(|| Receive::new(Protocol::Udp, remote, local, datagram));
        let Ok(Ok(receive)) = receive else { return false };
        let input = Input::Receive(now, receive);
        if !self.ask(|rtc| rtc.accepts(&input)).unwrap_or(false) {
            return false;
        }
        let is_told = || self.remote_candidates.iter().any(|candidate| candidate.addr() == remote);
        if is_stun(datagram) && !self.learned.admits(now, remote, is_told(), datagram) {
            return false;
        }
        let is_taken = self.ask(|rtc| rtc.handle_input(input).is_ok()).unwrap_or(false);
        self.clock = now;
        self.received_records += u64::from(is_taken && is_record(datagram));
        self.pending.datagrams += 1;
        if !self.is_open || self.pending.datagrams >= MAX_FED || !is_dtls(datagram) {
            self.drain(now);
        }
        is_taken
    }

    /// Handles all deadlines up to `now`.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.is_over {
            return;
        }
        match self.tell_time(now) {
            Ok(Ok(())) => self.drain(now),
            Ok(Err(error)) => self.end(error.to_string()),
            Err(Fault) => {}
        }
    }

    /// Sends the good-byes (SCTP shutdown, DTLS close_notify); [`Connection::poll_transmit`] returns them.
    pub fn close(&mut self, now: Instant) {
        if !self.is_over && matches!(self.ask(Rtc::close), Ok(Ok(()))) {
            self.drain(now);
        }
        self.is_over = true;
    }

    /// Returns the next datagram to send.
    pub fn poll_transmit(&mut self) -> Option<Transmit> {
        self.settle();
        self.transmits.pop_front()
    }

    /// Returns the next event.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.settle();
        self.events.pop_front()
    }

    /// Returns when [`Connection::handle_timeout`] must be called next.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let is_settled = self.pending.datagrams + self.pending.messages == 0;
        if self.is_over { None } else { self.timeout.map(|at| if is_settled { at } else { self.clock }) }
    }

    /// Returns how many datagrams were dropped as malformed or not ours.
    pub fn bad_datagrams(&self) -> u64 {
        self.bad_datagrams
    }

    /// Returns how many checks of the path (STUN requests) went out, and how many were answered; the difference was
    /// lost.
    pub fn checks(&self) -> (u64, u64) {
        (self.checks, self.answers)
    }

    /// Returns the number of DTLS records with messages in the busier direction; each direction has one key. Records
    /// that arrive are counted before they are decrypted.
    pub fn records(&self) -> u64 {
        self.sent_records.max(self.received_records)
    }

    /// Returns figures of SCTP. With str0m's own SCTP, as in programs that use this one as a library, there are none.
    pub fn progress(&self) -> Option<Progress> {
        self.progress
    }

    /// Drains str0m's output. Returns false if there was no input since the last drain.
    pub fn settle(&mut self) -> bool {
        let is_pending = self.pending.datagrams + self.pending.messages > 0;
        if is_pending {
            self.drain(self.clock);
            let unsent = self.unsent();
            self.backlog.handle_settled(self.clock, unsent);
        }
        is_pending
    }

    /// Tells str0m the time: it stamps packets with the time of its last input.
    fn tell_time(&mut self, now: Instant) -> Result<Result<(), RtcError>, Fault> {
        self.clock = now;
        self.ask(|rtc| rtc.handle_input(Input::Timeout(now)))
    }

    /// Moves str0m's output into our queues until it has none.
    fn drain(&mut self, now: Instant) {
        self.pending = Pending::default();
        progress::take();
        loop {
            let output = match self.ask(Rtc::poll_output) {
                Ok(output) => output,
                Err(Fault) => break,
            };
            match output {
                Ok(Output::Timeout(at)) => {
                    self.timeout = Some(self.hurried(now, at));
                    break;
                }
                Ok(Output::Transmit(transmit)) => {
                    // DTLS only travels on the nominated pair.
                    if is_dtls(&transmit.contents) {
                        self.path = Some((transmit.source, transmit.destination));
                    }
                    self.sent_records += u64::from(is_record(&transmit.contents));
                    // Checks between addresses that cannot reach each other are never answered and say nothing.
                    let is_of_path = self.path == Some((transmit.source, transmit.destination));
                    self.checks += u64::from(is_of_path && transmit.contents.starts_with(&BINDING_REQUEST));
                    self.transmits.push_back(transmit);
                }
                Ok(Output::Event(event)) => self.handle_event(now, event),
                Err(error) => {
                    self.end(error.to_string());
                    break;
                }
            }
        }
        self.progress = progress::take().or(self.progress);
    }

    /// Returns when to call str0m, given its own deadline `at`: earlier if `at` is its next ICE check and there are
    /// many pairs.
    fn hurried(&self, now: Instant, at: Instant) -> Instant {
        let count = |candidates: &[Candidate], is_ipv4| {
            candidates.iter().filter(|candidate| candidate.addr().is_ipv4() == is_ipv4).count()
        };
        let pairs = |is_ipv4| count(&self.local_candidates, is_ipv4) * count(&self.remote_candidates, is_ipv4);
        let pairs = (pairs(true) + pairs(false)).clamp(1, MAX_PAIRS);
        if at > now + ICE_PACE { at } else { at.min(now + ICE_TURN / pairs as u32) }
    }

    fn handle_event(&mut self, now: Instant, event: RtcEvent) {
        match event {
            RtcEvent::ChannelOpen(id, _) if id == self.datagrams => {}
            RtcEvent::ChannelOpen(id, label) => self.handle_channel(id, &label),
            RtcEvent::ChannelData(data) => self.handle_data(data),
            RtcEvent::ChannelClose(_) => self.end("the peer closed the channel".to_owned()),
            RtcEvent::Closed => self.end("the peer closed the connection".to_owned()),
            RtcEvent::IceConnectionStateChange(state) => match state {
                IceConnectionState::Connected | IceConnectionState::Completed => self.events.push_back(Event::PathUp),
                IceConnectionState::Disconnected => {
                    self.events.push_back(Event::PathDown);
                    self.check_again();
                }
                IceConnectionState::New | IceConnectionState::Checking => {}
            },
            RtcEvent::PeerStats(stats) => {
                if let Some(sample) = stats.selected_candidate_pair.and_then(|pair| pair.current_round_trip_time) {
                    self.backlog.handle_round_trip(now, sample);
                }
            }
            // Media events: we neither offer nor use media.
            _ => {}
        }
    }

    /// Makes ICE check every pair anew. It forgets pairs that failed for long, and two peers that both did so would
    /// never check again, even though datagrams pass.
    fn check_again(&mut self) {
        self.checked_again += 1;
        if self.checked_again > MAX_CHECKED_AGAIN {
            return;
        }
        let learned = self.path.and_then(|(_, remote)| Candidate::host(remote, Protocol::Udp).ok());
        let candidates: Vec<Candidate> = self.remote_candidates.iter().cloned().chain(learned).collect();
        let _ = self.ask(|rtc| candidates.into_iter().for_each(|candidate| rtc.add_remote_candidate(candidate)));
    }

    /// Calls str0m. If it panics, the connection is over and str0m is not called again.
    fn ask<T>(&mut self, call: impl FnOnce(&mut Rtc) -> T) -> Result<T, Fault> {
        let rtc = self.rtc.as_mut().ok_or(Fault)?;
        caught(|| call(rtc)).inspect_err(|fault| {
            let broken = self.rtc.take();
            let _ = caught(|| drop(broken));
            self.is_over = true;
            self.events.push_back(Event::Fault(*fault));
        })
    }

    /// Makes the stack panic, as if the peer had caused it.
    #[cfg(test)]
    pub(crate) fn panic(&mut self) {
        let _ = self.ask(|_| panic!("as this test wants it"));
    }

    fn violate(&mut self, reason: &str) {
        if !std::mem::replace(&mut self.is_over, true) {
            self.events.push_back(Event::Violation(reason.to_owned()));
        }
    }

    fn end(&mut self, reason: String) {
        if !std::mem::replace(&mut self.is_over, true) {
            self.events.push_back(Event::Closed(reason));
        }
    }
}

/// Tells whether datagrams to this address reach exactly one machine.
fn is_reachable(address: SocketAddr) -> bool {
    let is_one = match address.ip() {
        IpAddr::V4(ip) => !(ip.is_broadcast() || ip.is_multicast() || ip.is_unspecified()),
        IpAddr::V6(ip) => !(ip.is_multicast() || ip.is_unspecified()),
    };
    is_one && address.port() != 0
}

/// Tells DTLS from STUN by the first byte (RFC 7983).
fn is_dtls(datagram: &[u8]) -> bool {
    datagram.first().is_some_and(|first| (20..64).contains(first))
}

/// Tells whether a datagram begins with a DTLS record of application data (RFC 5246, section 6.2.1).
fn is_record(datagram: &[u8]) -> bool {
    datagram.first() == Some(&23)
}

#[cfg(test)]
#[path = "connection_tests.rs"]
mod tests;
