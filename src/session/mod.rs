//! The relation with one peer, from the end of the PAKE to the last datagram. It joins signaling, peer and tunnel, and
//! does no I/O itself. Its states: `state`.
//!
//! Messages travel on carriers: the DataChannel of a PeerConnection (`direct`) or the signaling WebSocket (`relay`).
//! Carriers come and go; the streams stay in the mux. `wants` decides which carrier to make and when to give one up.

mod carriers;
pub mod diagnosis;
mod direct;
mod ending;
mod event;
mod link;
mod path;
mod plain;
mod relay;
mod service;
mod signals;
mod state;
mod timers;
mod wants;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use log::{debug, info};
use str0m::net::Transmit;

use crate::peer::{self, Connection};
use crate::signaling::handshake::Established;
use crate::signaling::network::Network;
use crate::signaling::{ResumeKey, SessionId};
use crate::tunnel::{self, ChunkPool, Config, Mux, Outbound, Role};
use carriers::Carriers;
use direct::Direct;
use link::{Cipher, Link};
use state::{State, Step};
use timers::Timer;

pub use crate::peer::Progress;
pub use direct::OPEN_TIMEOUT;
pub use event::{End, Event, Path, Signal};

/// How long a client waits for the host's first sealed message: a person may have to approve it first.
const HOST_TIMEOUT: Duration = Duration::from_secs(75);

/// Maximum number of stream events kept until the session is connected. The peer opens no streams before that, but a
/// PONG may be late.
const MAX_HELD: usize = 16 * 1024;

/// Number of the host's first offer. Number 1 is left for a relay that the client may start in the meantime: the higher
/// of two carriers is used.
const FIRST_DIRECT: u32 = 2;

/// Maximum number of DTLS records under one key, about 170 GB of data. The nonce of an AES-GCM record is 64 random bits
/// here, so among 2^28 records two are alike once in 500 times, which would reveal their difference. Half of that
/// leaves time for the next PeerConnection, and for records the counting side missed because they were lost.
pub const RECORDS_PER_KEY: u64 = 1 << 27;

/// Which paths a session may take, and how long it waits for one.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Reach {
    /// Direct paths are tried.
    pub direct: bool,
    /// The signaling WebSocket may carry the session while there is no direct path.
    pub relay: bool,
    /// Time for one attempt at a direct path.
    pub p2p_timeout: Duration,
    /// How long a session lives without any path.
    pub grace: Duration,
    /// DTLS records a PeerConnection carries in one direction before another one, with new keys, replaces it. Tests
    /// make it small.
    #[doc(hidden)]
    pub records_per_key: u64,
}

impl Reach {
    /// Tries direct paths, and nothing else.
    pub fn direct_only() -> Reach {
        Reach { relay: false, ..Reach::default() }
    }

    /// Uses the relay, and nothing else.
    pub fn relay_only() -> Reach {
        Reach { direct: false, ..Reach::default() }
    }
}

impl Default for Reach {
    fn default() -> Reach {
        let (p2p_timeout, grace) = (Duration::from_secs(10), Duration::from_secs(60));
        Reach { direct: true, relay: true, p2p_timeout, grace, records_per_key: RECORDS_PER_KEY }
    }
}

/// A session with one peer, from the end of the PAKE on.
pub struct Session {
    role: Role,
    id: SessionId,
    resume_key: Option<ResumeKey>,
    reach: Reach,
    state: State,
    /// The signaling WebSocket, if there is one.
    link: Option<Link>,
    /// Number of signaling WebSockets so far.
    link_count: u32,
    /// The offer the client asked for, and when the next one may be made.
    wanted_offer: Option<u32>,
    offer_at: Instant,
    /// Earliest time to act on news of the peer's network again.
    network_at: Instant,
    /// When the session's carrier opened.
    opened_at: Option<Instant>,
    ours: Network,
    theirs: Option<Network>,
    stun_servers: Vec<SocketAddr>,
    is_stun_complete: bool,
    carriers: Carriers,
    /// Number of the offer the client waits for.
    asked: Option<u32>,
    /// When the client starts a relay if no carrier is open by then.
    relay_at: Option<Instant>,
    /// When the client asks for an offer if there is no direct path by then.
    retry_at: Option<Instant>,
    /// The path that was last reported.
    reported: Option<Path>,
    mux: Mux,
    end: Option<End>,
    signals: VecDeque<Signal>,
    transmits: VecDeque<Transmit>,
    events: VecDeque<Event>,
    /// Events kept until the session is connected.
    held: VecDeque<Event>,
}

impl Session {
    /// Starts a session with a peer that knows the pin.
    ///
    /// # Errors
    /// The WebRTC stack makes no offer, which would be a bug.
    pub fn new(
        now: Instant,
        established: Established,
        config: Config,
        reach: Reach,
    ) -> Result<Session, peer::PeerError> {
        let link = Link::new(now, None, Cipher::Sealed(established.sealer, established.opener));
        let state = State::Connecting { deadline: now + HOST_TIMEOUT };
        let resume_key = Some(established.resume_key);
        let mut session = Session::with(now, established.session, resume_key, config, reach, state, link);
        if session.role == Role::Host {
            session.begin(now);
            if session.reach.direct {
                session.offer(now, FIRST_DIRECT)?;
            }
        }
        Ok(session)
    }

    fn with(
        now: Instant,
        id: SessionId,
        resume_key: Option<ResumeKey>,
        config: Config,
        reach: Reach,
        state: State,
        link: Link,
    ) -> Session {
        let role = config.role;
        Session {
            role,
            id,
            resume_key,
            state,
            link: Some(link),
            link_count: 1,
            wanted_offer: None,
            offer_at: now,
            network_at: now,
            opened_at: None,
            ours: Network::unknown(reach.direct, reach.relay),
            theirs: None,
            stun_servers: Vec::new(),
            is_stun_complete: false,
            carriers: Carriers::new(),
            asked: (role == Role::Client && reach.direct).then_some(FIRST_DIRECT),
            relay_at: None,
            retry_at: None,
            reported: None,
            mux: Mux::new(config),
            end: None,
            signals: VecDeque::new(),
            transmits: VecDeque::new(),
            events: VecDeque::new(),
            held: VecDeque::new(),
            reach,
        }
    }

    /// Returns the session's id, the same on both sides.
    pub fn id(&self) -> &SessionId {
        &self.id
    }

    /// Returns the key for rejoining the session on another WebSocket; `None` if that is impossible.
    pub fn resume_key(&self) -> Option<&ResumeKey> {
        self.resume_key.as_ref()
    }

    /// Gives access to the streams.
    pub fn mux(&mut self) -> &mut Mux {
        &mut self.mux
    }

    /// Gives access to the connection that carries messages, for measurements.
    pub fn connection(&mut self) -> Option<&mut Connection> {
        let carrier = self.mux.carrier();
        let mut directs = self.carriers.directs_mut().iter_mut();
        let direct = directs.find(|direct| carrier.is_none_or(|number| direct.carrier == number));
        direct.map(|direct| &mut direct.connection)
    }

    /// Returns the number of the connection that carries messages, and its figures; `None` if they are relayed.
    pub fn progress(&self) -> Option<(u32, Progress)> {
        let carrier = self.mux.carrier()?;
        let direct = self.carriers.directs().iter().find(|direct| direct.carrier == carrier)?;
        Some((carrier, direct.connection.progress()?))
    }

    /// Tells whether the session is over and has nothing left to do.
    pub fn is_closed(&self) -> bool {
        self.state == State::Closed
    }

    /// Tells whether it is ending, or has ended.
    pub fn is_ending(&self) -> bool {
        matches!(self.state, State::Closing { .. } | State::Closed)
    }

    /// Returns when the path was lost, if there is none.
    pub fn recovering_since(&self) -> Option<Instant> {
        match self.state {
            State::Recovering { since, .. } => Some(since),
            _ => None,
        }
    }

    /// Handles a datagram that the socket bound to `local` received from `remote`.
    pub fn handle_datagram(&mut self, now: Instant, local: SocketAddr, remote: SocketAddr, datagram: &[u8]) {
        let mut directs = self.carriers.directs_mut().iter_mut();
        let Some(direct) = directs.find(|direct| direct.sockets.contains(&local)) else { return };
        let is_attempt = direct.deadline.is_some();
        direct.handle_datagram(now, local, remote, datagram);
        if is_attempt {
            self.trickle(now);
        }
        self.handle_connection_events(now);
        if self.state.is_recovering() {
            self.check_path(now);
        }
    }

    /// Handles all deadlines up to `now`.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.carriers.directs_mut().iter_mut().for_each(|direct| direct.handle_timeout(now));
        self.trickle(now);
        self.handle_connection_events(now);
        self.mux.handle_timeout(now);
        self.serve(now, &[Timer::State, Timer::Attempt]);
        self.check_path(now);
        self.pursue(now);
    }

    /// Hands the carrier what it has room for. After any input, and after any change to a stream, call `flush`, then
    /// `poll_signal` and `poll_transmit` until `None`, then `poll_event` until `None`, and begin again if there was an
    /// event.
    pub fn flush(&mut self, now: Instant, pool: &mut ChunkPool) {
        while let Some(carrier) = self.mux.carrier() {
            if let Some(direct) = self.carriers.direct_mut(carrier) {
                match self.mux.poll_channels(now, direct.room(now), pool) {
                    Some(Outbound::Message(message)) => direct.send(now, message),
                    Some(Outbound::Datagram(datagram)) => direct.send_datagram(now, datagram),
                    // The written messages have left by now; there may be room again.
                    None if direct.connection.settle() => {}
                    None => break,
                }
            } else if let (Some(relay), Some(link)) = (&mut self.carriers.relay, &mut self.link)
                && relay.carrier == carrier
            {
                if let Some(round_trip) = self.mux.take_answer() {
                    relay.handle_round_trip(now, round_trip);
                }
                if relay.poll_ping(now) {
                    self.mux.ping_now(now);
                }
                // Without these frames there would never be room again, however much is unanswered.
                let mut room = relay.room(link.waiting());
                room.messages = room.messages.max(self.mux.urgent_len());
                let Some(Outbound::Message(message) | Outbound::Datagram(message)) =
                    self.mux.poll_channels(now, room, pool)
                else {
                    break;
                };
                relay.handle_sent(now, message);
                self.signals.push_back(link.seal_binary(message));
            } else {
                break;
            }
        }
        self.handle_connection_events(now);
        self.close_if_delivered(now);
    }

    /// Returns the next datagram to send.
    pub fn poll_transmit(&mut self) -> Option<Transmit> {
        self.transmits.pop_front().or_else(|| self.carriers.directs_mut().iter_mut().find_map(Direct::poll_transmit))
    }

    /// Returns the next event.
    pub fn poll_event(&mut self, now: Instant) -> Option<Event> {
        loop {
            if let Some(event) = self.events.pop_front() {
                return Some(event);
            }
            match self.mux.poll_event()? {
                tunnel::Event::Hello(hello) => debug!("session={} peer agent={:?}", self.id, hello.agent),
                tunnel::Event::RoundTrip(round_trip) => self.handle_round_trip(now, round_trip),
                tunnel::Event::GoAway(reason, detail) => {
                    info!("session={} peer goes away: {reason:?} {detail:?}", self.id);
                    return Some(Event::GoAway(reason));
                }
                tunnel::Event::Resumed => self.handle_resumed(now),
                tunnel::Event::Ended(reason, detail, origin) => self.handle_mux_ended(now, reason, detail, origin),
                // A peer's first stream may overtake its PONG; events still come in order.
                _ if self.held.len() >= MAX_HELD => self.fail(now, "the peer opened streams before it answered"),
                event if self.state.is_connecting() => self.held.push_back(Event::Stream(event)),
                event => return Some(Event::Stream(event)),
            }
        }
    }

    /// Returns when [`Session::handle_timeout`] must be called next.
    pub fn poll_timeout(&self) -> Option<Instant> {
        if self.is_closed() {
            return None;
        }
        let directs = self.carriers.directs().iter().filter_map(Direct::poll_timeout);
        let others = [self.wants().next(), self.mux.poll_timeout()];
        directs.chain(others.into_iter().flatten()).min()
    }

    /// Takes `step` from the current state. Returns false if it changes nothing.
    fn step(&mut self, step: Step) -> bool {
        let Some(state) = self.state.after(step) else { return false };
        // `Hear` comes with every datagram.
        if !matches!(step, Step::Hear { .. }) {
            info!("session={} state={:?} → {state:?}", self.id, self.state);
        }
        self.state = state;
        true
    }
}

#[cfg(test)]
#[path = "fault_tests.rs"]
mod fault_tests;
