//! One PeerConnection of a session: being made, carrying, or replaced but able to come back.

use std::fmt;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use str0m::net::{Protocol, Transmit};

use crate::peer::{Connection, Gatherer, PeerError, mapped_address};
use crate::tunnel::Room;

/// A path is suspect if nothing came from the peer for this long; a working path always has STUN messages.
pub const SILENCE: Duration = Duration::from_secs(2);

/// A path is suspect if SCTP has data and none of it was acknowledged for this long, although datagrams arrive.
pub const STALL: Duration = Duration::from_secs(5);

/// The same limit for a path that loses datagrams: SCTP doubles its pause with every lost repetition, too.
const STALL_LOSSY: Duration = Duration::from_secs(30);

/// Length of the window in which loss is judged, together with the window before it.
const LOSS_WINDOW: Duration = Duration::from_secs(10);
const LOSSY: u64 = 3;

/// Additional time for DTLS, SCTP and the channel after ICE found a path: a lossy path needs many repetitions.
pub const OPEN_TIMEOUT: Duration = Duration::from_secs(15);

/// A window of time in which loss is judged.
struct LossWindow {
    began_at: Instant,
    /// Checks without an answer at its beginning.
    unanswered: u64,
    /// The window before it had losses.
    was_lossy: bool,
}

/// How the peer saw our end of a path.
struct Seen {
    local: SocketAddr,
    remote: SocketAddr,
    mapped: SocketAddr,
}

/// Why an attempt at a direct path failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Failure {
    /// It took too long.
    TimedOut,
    /// Another failure, in words.
    Broken(String),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Failure::TimedOut => "no direct path was found",
            Failure::Broken(reason) => reason,
        })
    }
}

/// Why a path is suspect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trouble {
    Silent,
    Remapped,
    IceDown,
    Stalled,
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Trouble::Silent => "nothing comes from the peer any more",
            Trouble::Remapped => "this side has another address on the internet",
            Trouble::IceDown => "nothing that is sent reaches the peer any more",
            Trouble::Stalled => "nothing that is sent is acknowledged any more",
        })
    }
}

pub(super) struct Direct {
    /// Number of its carrier, which may not be open yet.
    pub(super) carrier: u32,
    pub(super) connection: Connection,
    pub(super) gatherer: Gatherer,
    /// Addresses of its own sockets.
    pub(super) sockets: Vec<SocketAddr>,
    /// Deadline for the channel to open; `None` once it was open.
    pub(super) deadline: Option<Instant>,
    is_path_up: bool,
    /// ICE gets no answers: only one direction works.
    is_ice_down: bool,
    heard_at: Instant,
    written: u64,
    acknowledged: u64,
    /// Bytes acknowledged when the path became suspect.
    acknowledged_before: u64,
    /// When data was acknowledged last, or none waited.
    progressed_at: Instant,
    loss_window: LossWindow,
    seen: Option<Seen>,
    /// The peer sees us at a new address, so it sends to one that is lost.
    is_remapped: bool,
    /// The peer was told that no more candidates follow.
    pub(super) has_told_all: bool,
}

impl Direct {
    pub(super) fn offer(now: Instant, carrier: u32, timeout: Duration) -> Result<(Direct, String), PeerError> {
        let (connection, sdp) = Connection::offer(now)?;
        Ok((Direct::new(now, carrier, connection, timeout), sdp))
    }

    pub(super) fn answer(
        now: Instant,
        carrier: u32,
        offer: &str,
        timeout: Duration,
    ) -> Result<(Direct, String), PeerError> {
        let (connection, sdp) = Connection::answer(now, offer)?;
        Ok((Direct::new(now, carrier, connection, timeout), sdp))
    }

    fn new(now: Instant, carrier: u32, connection: Connection, timeout: Duration) -> Direct {
        Direct {
            carrier,
            connection,
            gatherer: Gatherer::new(),
            sockets: Vec::new(),
            deadline: Some(now + timeout),
            is_path_up: false,
            is_ice_down: false,
            heard_at: now,
            written: 0,
            acknowledged: 0,
            acknowledged_before: 0,
            progressed_at: now,
            loss_window: LossWindow { began_at: now, unanswered: 0, was_lossy: false },
            seen: None,
            is_remapped: false,
            has_told_all: false,
        }
    }

    /// Handles a datagram. Returns true if the peer's connection took it.
    pub(super) fn handle_datagram(
        &mut self,
        now: Instant,
        local: SocketAddr,
        remote: SocketAddr,
        datagram: &[u8],
    ) -> bool {
        if self.gatherer.handle_datagram(now, local, remote, datagram)
            || !self.connection.handle_datagram(now, local, remote, datagram)
        {
            return false;
        }
        self.heard_at = now;
        self.observe(now);
        self.look_at_mapping(local, remote, datagram);
        true
    }

    /// Compares our address as the peer sees it with the one it saw before. A router that restarted, or lost its table,
    /// may have given us another one, while the peer still sends to the old.
    fn look_at_mapping(&mut self, local: SocketAddr, remote: SocketAddr, datagram: &[u8]) {
        let Some(mapped) = mapped_address(datagram, local) else { return };
        if self.connection.path().is_none_or(|path| (path.local, path.remote) != (local, remote)) {
            return;
        }
        if let Some(before) = self.seen.replace(Seen { local, remote, mapped })
            && (before.local, before.remote) == (local, remote)
        {
            self.is_remapped |= before.mapped != mapped;
        }
    }

    /// Returns the number of its carrier.
    pub(super) fn number(&self) -> u32 {
        self.carrier
    }

    /// Tells whether the peer sends to an address that is lost.
    pub(super) fn is_remapped(&self) -> bool {
        self.is_remapped
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) {
        if self.gatherer.poll_timeout().is_some_and(|at| at <= now) {
            self.gatherer.handle_timeout(now);
        }
        if self.connection.poll_timeout().is_some_and(|at| at <= now) {
            self.connection.handle_timeout(now);
        }
        self.observe(now);
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let times = [self.gatherer.poll_timeout(), self.connection.poll_timeout()];
        times.into_iter().flatten().min()
    }

    pub(super) fn poll_transmit(&mut self) -> Option<Transmit> {
        if let Some(request) = self.gatherer.poll_transmit() {
            return Some(Transmit {
                proto: Protocol::Udp,
                source: request.source,
                destination: request.destination,
                contents: request.contents.into(),
            });
        }
        self.connection.poll_transmit()
    }

    pub(super) fn room(&mut self, now: Instant) -> Room {
        self.observe(now);
        let messages = self.connection.room(now);
        let datagrams = if self.connection.takes_datagram(now) { usize::MAX } else { 0 };
        Room { messages, datagrams }
    }

    pub(super) fn send(&mut self, now: Instant, message: &[u8]) {
        self.written += message.len() as u64;
        self.connection.send(now, message);
    }

    pub(super) fn send_datagram(&mut self, now: Instant, datagram: &[u8]) {
        self.connection.send_datagram(now, datagram);
    }

    /// Observes what the peer acknowledged. Datagrams do not count: abandoned ones look acknowledged.
    fn observe(&mut self, now: Instant) {
        let buffered = self.connection.waiting() as u64;
        let acknowledged = self.written.saturating_sub(buffered);
        if acknowledged > self.acknowledged || buffered == 0 {
            self.acknowledged = acknowledged;
            self.progressed_at = now;
        }
        if self.loss_window.began_at + LOSS_WINDOW <= now {
            let (unanswered, was_lossy) = (self.unanswered(), self.is_lossy());
            self.loss_window = LossWindow { began_at: now, unanswered, was_lossy };
        }
    }

    /// Returns how many checks of the path went unanswered; one of them may be in transit.
    fn unanswered(&self) -> u64 {
        let (checks, answers) = self.connection.checks();
        checks.saturating_sub(answers)
    }

    /// Tells whether datagrams were lost in this window.
    fn is_lossy(&self) -> bool {
        self.unanswered().saturating_sub(self.loss_window.unanswered) >= LOSSY
    }

    fn stall(&self) -> Duration {
        if self.loss_window.was_lossy || self.is_lossy() { STALL_LOSSY } else { STALL }
    }

    pub(super) fn path_up(&mut self) {
        self.is_ice_down = false;
        if !std::mem::replace(&mut self.is_path_up, true)
            && let Some(deadline) = &mut self.deadline
        {
            *deadline += OPEN_TIMEOUT;
        }
    }

    pub(super) fn path_down(&mut self) {
        self.is_ice_down = true;
    }

    /// Returns when each kind of trouble begins if nothing happens, the most telling first.
    fn troubles(&self) -> [(Trouble, Option<Instant>); 4] {
        let is_waiting = self.acknowledged < self.written;
        [
            (Trouble::Silent, Some(self.heard_at + SILENCE)),
            (Trouble::Remapped, self.is_remapped.then_some(self.heard_at)),
            (Trouble::IceDown, self.is_ice_down.then_some(self.heard_at)),
            (Trouble::Stalled, is_waiting.then(|| self.progressed_at + self.stall())),
        ]
    }

    /// Returns why the path is suspect, if it is.
    pub(super) fn trouble(&self, now: Instant) -> Option<Trouble> {
        let begun = self.troubles().into_iter().find(|(_, at)| at.is_some_and(|at| at <= now));
        begun.map(|(trouble, _)| trouble)
    }

    /// Returns when the path becomes suspect if nothing happens.
    pub(super) fn trouble_at(&self) -> Instant {
        self.troubles().into_iter().filter_map(|(_, at)| at).fold(self.heard_at + SILENCE, Instant::min)
    }

    /// Tells whether datagrams pass.
    pub(super) fn is_heard(&self, now: Instant) -> bool {
        self.heard_at + SILENCE > now && !self.is_ice_down && !self.is_remapped
    }

    /// Marks the path as suspect from here on.
    pub(super) fn suspect(&mut self) {
        self.acknowledged_before = self.acknowledged;
    }

    /// Tells whether the path works again after it became suspect at `since`: datagrams arrive, and SCTP made progress
    /// or has nothing to do.
    pub(super) fn is_back(&mut self, now: Instant, since: Instant) -> bool {
        let is_moving = self.acknowledged > self.acknowledged_before || self.connection.waiting() == 0;
        is_moving && self.heard_at > since && self.trouble(now).is_none()
    }
}
