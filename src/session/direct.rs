//! One PeerConnection of a session: being made, carrying, or left behind but perhaps coming back.

use std::fmt;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use str0m::net::{Protocol, Transmit};

use crate::peer::{Connection, Gatherer, PeerError, mapped_address};
use crate::tunnel::Room;

/// A path is suspect when nothing came from the peer for this long, STUN included, of which there is some all the time.
pub const SILENCE: Duration = Duration::from_secs(2);

/// A path is suspect when SCTP has data and none of it was acknowledged for this long, although datagrams come.
pub const STALL: Duration = Duration::from_secs(5);

/// The same where datagrams are lost: SCTP doubles its pause with every repetition that is lost, too.
const STALL_LOSSY: Duration = Duration::from_secs(30);

/// Loss is judged by this much time and the one before: that many checks without an answer.
const LOSS_WINDOW: Duration = Duration::from_secs(10);
const LOSSY: u64 = 3;

/// What follows once ICE found a path (DTLS, SCTP, the channel) may take this long on top: a lossy path needs many
/// repetitions for that.
pub const OPEN_TIMEOUT: Duration = Duration::from_secs(15);

/// Some time in which loss is judged.
struct LossWindow {
    began_at: Instant,
    /// Checks without an answer when it began.
    unanswered: u64,
    /// The window before had losses.
    was_lossy: bool,
}

/// How the peer saw our end of a path.
struct Seen {
    local: SocketAddr,
    remote: SocketAddr,
    mapped: SocketAddr,
}

/// Why an attempt at a direct path came to nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Failure {
    /// Its time was over.
    TimedOut,
    /// Something else, in words.
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

/// Why a path is not to be trusted.
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
    /// Number of the carrier it is or will be.
    pub(super) carrier: u32,
    pub(super) connection: Connection,
    pub(super) gatherer: Gatherer,
    /// Addresses of the sockets that are its own.
    pub(super) sockets: Vec<SocketAddr>,
    /// By when the channel must be open; `None` once it was.
    pub(super) deadline: Option<Instant>,
    is_path_up: bool,
    /// ICE gets no answers: only one direction works.
    is_ice_down: bool,
    heard_at: Instant,
    written: u64,
    acknowledged: u64,
    /// What was acknowledged when the path became suspect.
    acknowledged_before: u64,
    /// When something was acknowledged last, or nothing was waiting to be.
    progressed_at: Instant,
    loss_window: LossWindow,
    seen: Option<Seen>,
    /// The peer sees us elsewhere than before, so that it writes to nowhere.
    is_remapped: bool,
    /// The peer was told that there are no further candidates.
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

    /// Takes a datagram; true says that the peer's connection took it.
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

    /// Compares how the peer sees our end of the path with how it did before: a router that restarted, or whose table
    /// was emptied, may have given us another address, while the peer goes on writing to the old one.
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

    /// Tells whether the peer writes to an address that is ours no more.
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

    /// Takes note of what the peer acknowledged. Datagrams say nothing of that: those that are given up look the same.
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

    /// Returns how many checks of the path were not answered; one may be under way.
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

    /// Returns when each kind of trouble begins if nothing happens, the one to be told first.
    fn troubles(&self) -> [(Trouble, Option<Instant>); 4] {
        let is_waiting = self.acknowledged < self.written;
        [
            (Trouble::Silent, Some(self.heard_at + SILENCE)),
            (Trouble::Remapped, self.is_remapped.then_some(self.heard_at)),
            (Trouble::IceDown, self.is_ice_down.then_some(self.heard_at)),
            (Trouble::Stalled, is_waiting.then(|| self.progressed_at + self.stall())),
        ]
    }

    /// Says why the path is not to be trusted, if it is not.
    pub(super) fn trouble(&self, now: Instant) -> Option<Trouble> {
        let begun = self.troubles().into_iter().find(|(_, at)| at.is_some_and(|at| at <= now));
        begun.map(|(trouble, _)| trouble)
    }

    /// Returns when there will be trouble if nothing happens.
    pub(super) fn trouble_at(&self) -> Instant {
        self.troubles().into_iter().filter_map(|(_, at)| at).fold(self.heard_at + SILENCE, Instant::min)
    }

    /// Tells whether datagrams pass.
    pub(super) fn is_heard(&self, now: Instant) -> bool {
        self.heard_at + SILENCE > now && !self.is_ice_down && !self.is_remapped
    }

    /// Takes note that the path is suspect from now on.
    pub(super) fn suspect(&mut self) {
        self.acknowledged_before = self.acknowledged;
    }

    /// Tells whether the path works again after it was suspect at `since`: datagrams come, and SCTP got on or has
    /// nothing to do.
    pub(super) fn is_back(&mut self, now: Instant, since: Instant) -> bool {
        let is_moving = self.acknowledged > self.acknowledged_before || self.connection.waiting() == 0;
        is_moving && self.heard_at > since && self.trouble(now).is_none()
    }
}
