//! The relation with one peer, from the end of the PAKE to the last datagram: joins signaling, peer and tunnel, and
//! still does no I/O.
//!
//! ```text
//!   Connecting ──channel open, first PONG──▶ Established ⇄ Recovering
//!       │ deadline                               │ GOAWAY, error   │ deadline
//!       ▼                                        ▼                 ▼
//!     Closed ◀──everything acknowledged───── Closing ◀─────────────┘
//! ```

pub mod diagnosis;

use std::collections::VecDeque;
use std::fmt;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use log::{debug, info};
use str0m::net::Transmit;

use crate::peer::flight::Flight;
use crate::peer::{self, Connection, PathInfo};
use crate::signaling::SessionId;
use crate::signaling::error::SignalingError;
use crate::signaling::handshake::Established;
use crate::signaling::message::Inner;
use crate::signaling::sealing::{Opener, Sealer};
use crate::tunnel::{self, ChunkPool, Config, GoAwayReason, Mux, Origin, Role};

/// How long the two sides try to find a direct path.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);

/// A path is lost when nothing came from the peer for this long, STUN included, of which there is some every second.
const SILENCE: Duration = Duration::from_secs(5);

/// How long a lost path may take to come back before the session ends.
pub const GRACE: Duration = Duration::from_secs(30);

/// How long the last messages may take to be acknowledged when a session closes.
const CLOSE_TIMEOUT: Duration = Duration::from_millis(500);

/// What the side says that first gives up looking for a path.
const NO_PATH: &str = "no direct path was found";

/// What a visitor says who only checks whether the two could connect.
pub const CHECK: &str = "check";

/// Number of the only carrier.
const CARRIER: u32 = 1;

/// Why a session ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// No direct path was found in time.
    NoPath,
    /// The path was lost and did not come back.
    PathLost,
    /// We ended it.
    Local,
    /// The peer ended it.
    Peer,
    /// The peer broke the protocol, speaks another version, or the connection failed.
    Failed(String),
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            End::NoPath => f.write_str(
                "no direct path was found between the two machines: a firewall or a strict NAT is in the way. \
                 Try it with both in the same network, or let UDP through on one side",
            ),
            End::PathLost => f.write_str("the path to the peer was lost and did not come back"),
            End::Local => f.write_str("ended here"),
            End::Peer => f.write_str("ended by the peer"),
            End::Failed(reason) => f.write_str(reason),
        }
    }
}

/// What a session tells its owner.
#[derive(Debug)]
pub enum Event {
    /// Messages pass in both directions and both HELLOs came: signaling is no longer needed.
    Connected {
        /// The way messages take.
        path: PathInfo,
        /// First measured round trip.
        round_trip: Duration,
    },
    /// Something about a stream.
    Stream(tunnel::Event),
    /// No answers from the peer any more; streams wait.
    PathLost,
    /// The path is back.
    PathBack,
    /// The peer announced the end of the session.
    GoAway(GoAwayReason),
    /// The session is over, with everything that is to be sent in `poll_transmit`.
    Ended(End),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// `is_path_up` once ICE found a path, for which the deadline is extended, once.
    Connecting {
        deadline: Instant,
        is_path_up: bool,
    },
    Established,
    Recovering {
        deadline: Instant,
    },
    Closing {
        deadline: Instant,
    },
    Closed,
}

/// One peer, from the end of the PAKE on.
pub struct Session {
    role: Role,
    id: SessionId,
    state: State,
    sealer: Sealer,
    opener: Opener,
    connection: Option<Connection>,
    /// When something came from the peer last.
    heard_at: Instant,
    addresses: Vec<SocketAddr>,
    mux: Mux,
    end: Option<End>,
    fixed_flight: Option<usize>,
    signals: VecDeque<String>,
    events: VecDeque<Event>,
    /// What is told once the session is connected.
    held: VecDeque<Event>,
}

impl Session {
    /// Starts a session with a peer that knows the pin. `addresses` are those of the UDP sockets made for it.
    ///
    /// # Errors
    /// The WebRTC stack makes no offer, which would be a bug.
    pub fn new(
        now: Instant,
        established: Established,
        config: Config,
        addresses: Vec<SocketAddr>,
    ) -> Result<Session, peer::PeerError> {
        let role = config.role;
        let mut session = Session {
            role,
            id: established.session,
            state: State::Connecting { deadline: now + CONNECT_TIMEOUT, is_path_up: false },
            sealer: established.sealer,
            opener: established.opener,
            connection: None,
            heard_at: now,
            addresses,
            mux: Mux::new(config),
            end: None,
            fixed_flight: None,
            signals: VecDeque::new(),
            events: VecDeque::new(),
            held: VecDeque::new(),
        };
        if role == Role::Host {
            let (connection, sdp) = Connection::offer(now)?;
            session.signal(&Inner::Offer { carrier: CARRIER, sdp });
            session.start(now, connection);
        }
        Ok(session)
    }

    /// Returns the session's id, the same on both sides.
    pub fn id(&self) -> &SessionId {
        &self.id
    }

    /// Gives access to the streams.
    pub fn mux(&mut self) -> &mut Mux {
        &mut self.mux
    }

    /// Gives access to the connection, for measurements.
    pub fn connection(&mut self) -> Option<&mut Connection> {
        self.connection.as_mut()
    }

    /// Keeps this many bytes in flight instead of what the path is measured to need. For measurements.
    pub fn fix_flight(&mut self, bytes: usize) {
        self.fixed_flight = Some(bytes);
        if let Some(connection) = &mut self.connection {
            connection.set_flight(Flight::fixed(bytes));
        }
    }

    /// Tells whether nothing will come of the session any more.
    pub fn is_closed(&self) -> bool {
        self.state == State::Closed
    }

    /// Takes a sealed signaling message.
    ///
    /// # Errors
    /// It is not the peer's next message, or makes no sense; the session has ended.
    pub fn handle_signal(&mut self, now: Instant, text: &str) -> Result<(), SignalingError> {
        let inner = match self.opener.open(text) {
            Ok(inner) => inner,
            Err(error) => {
                self.fail(now, &format!("signaling failed: {error}"));
                return Err(error);
            }
        };
        match (inner, self.role) {
            (Inner::Offer { carrier: CARRIER, sdp }, Role::Client) if self.connection.is_none() => {
                match Connection::answer(now, &sdp) {
                    Ok((connection, sdp)) => {
                        self.signal(&Inner::Answer { carrier: CARRIER, sdp });
                        self.start(now, connection);
                    }
                    Err(error) => self.fail(now, &error.to_string()),
                }
            }
            (Inner::Answer { carrier: CARRIER, sdp }, Role::Host) => {
                if let Some(connection) = &mut self.connection
                    && let Err(error) = connection.handle_answer(now, &sdp)
                {
                    self.fail(now, &error.to_string());
                }
            }
            (Inner::Candidate { carrier: CARRIER, candidate }, _) => {
                let is_used =
                    self.connection.as_mut().is_some_and(|connection| connection.add_remote_candidate(now, &candidate));
                debug!("session={} remote candidate used={is_used}", self.id);
            }
            (Inner::Bye { reason }, _) if reason == NO_PATH => self.finish(now, End::NoPath),
            (Inner::Bye { reason }, _) => self.fail(now, &format!("the peer gave up: {reason}")),
            (inner, _) => debug!("session={} signaling message ignored: {inner:?}", self.id),
        }
        Ok(())
    }

    /// Takes note that the signaling WebSocket is gone. Once the descriptions went both ways, the path may still come up.
    pub fn handle_signaling_closed(&mut self, now: Instant) {
        let has_descriptions = self.connection.as_ref().is_some_and(|connection| !connection.awaits_answer());
        if matches!(self.state, State::Connecting { .. }) && !has_descriptions {
            self.fail(now, "the signaling connection was lost before the peers could meet");
        }
    }

    /// Takes a datagram that the socket bound to `local` received from `remote`.
    pub fn handle_datagram(&mut self, now: Instant, local: SocketAddr, remote: SocketAddr, datagram: &[u8]) {
        let Some(connection) = &mut self.connection else { return };
        if connection.handle_datagram(now, local, remote, datagram) {
            self.heard_at = now;
            self.path_back();
        }
        self.handle_connection_events(now);
    }

    /// Does what is due at `now`.
    pub fn handle_timeout(&mut self, now: Instant) {
        if let Some(connection) = &mut self.connection
            && connection.poll_timeout().is_some_and(|at| at <= now)
        {
            connection.handle_timeout(now);
            self.handle_connection_events(now);
        }
        self.mux.handle_timeout(now);
        match self.state {
            State::Connecting { deadline, .. } if deadline <= now => {
                self.signal(&Inner::Bye { reason: NO_PATH.to_owned() });
                self.finish(now, End::NoPath);
            }
            State::Recovering { deadline } if deadline <= now => self.finish(now, End::PathLost),
            State::Closing { deadline } if deadline <= now => self.close(now),
            State::Established if self.heard_at + SILENCE <= now => self.path_lost(now),
            State::Connecting { .. } | State::Established | State::Recovering { .. } => {}
            State::Closing { .. } | State::Closed => {}
        }
    }

    /// Hands the channel what it has room for. The order after any input, and after anything done to a stream: `flush`, then
    /// `poll_signal` and `poll_transmit` until `None`, then `poll_event` until `None`, and again if there was an event.
    pub fn flush(&mut self, now: Instant, pool: &mut ChunkPool) {
        let Some(connection) = &mut self.connection else { return };
        loop {
            let room = connection.room(now);
            match self.mux.poll_transmit(now, room, pool) {
                Some(message) => connection.send(now, message),
                None => break,
            }
        }
        self.handle_connection_events(now);
        self.close_if_delivered(now);
    }

    /// Ends the session: no new streams, a GOAWAY, and what is open may finish for up to two seconds.
    pub fn go_away(&mut self, now: Instant, reason: GoAwayReason, detail: &str) {
        match self.state {
            State::Connecting { .. } => {
                self.signal(&Inner::Bye { reason: detail.to_owned() });
                self.finish(now, End::Local);
            }
            State::Established | State::Recovering { .. } => self.mux.go_away(now, reason, detail),
            State::Closing { .. } | State::Closed => {}
        }
    }

    /// Returns the next datagram to send.
    pub fn poll_transmit(&mut self) -> Option<Transmit> {
        self.connection.as_mut()?.poll_transmit()
    }

    /// Returns the next signaling message to send.
    pub fn poll_signal(&mut self) -> Option<String> {
        self.signals.pop_front()
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
                tunnel::Event::Resumed => {}
                tunnel::Event::Ended(reason, detail, origin) => self.handle_mux_ended(now, reason, detail, origin),
                // A peer's first stream may overtake its PONG; what is told comes in order all the same.
                event if matches!(self.state, State::Connecting { .. }) => self.held.push_back(Event::Stream(event)),
                event => return Some(Event::Stream(event)),
            }
        }
    }

    /// Returns when [`Session::handle_timeout`] wants to be called.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let own = match self.state {
            State::Connecting { deadline, .. } | State::Recovering { deadline } | State::Closing { deadline } => {
                Some(deadline)
            }
            State::Established => Some(self.heard_at + SILENCE),
            State::Closed => return None,
        };
        let connection = self.connection.as_ref().and_then(Connection::poll_timeout);
        [own, connection, self.mux.poll_timeout()].into_iter().flatten().min()
    }

    fn start(&mut self, now: Instant, mut connection: Connection) {
        if let Some(bytes) = self.fixed_flight {
            connection.set_flight(Flight::fixed(bytes));
        }
        for address in std::mem::take(&mut self.addresses) {
            if let Some(candidate) = connection.add_local_candidate(now, address) {
                self.signal(&Inner::Candidate { carrier: CARRIER, candidate });
            }
        }
        self.signal(&Inner::EndOfCandidates { carrier: CARRIER });
        self.connection = Some(connection);
        self.handle_connection_events(now);
    }

    fn signal(&mut self, inner: &Inner) {
        self.signals.push_back(self.sealer.seal(inner));
    }

    fn handle_connection_events(&mut self, now: Instant) {
        while let Some(event) = self.connection.as_mut().and_then(Connection::poll_event) {
            match event {
                peer::Event::Open => {
                    self.mux.open_carrier(now, CARRIER);
                }
                peer::Event::Message(message) => self.mux.handle_message(now, CARRIER, message),
                // What is left is DTLS, SCTP and two HELLOs; a lossy path may need many repetitions for those.
                peer::Event::PathUp if matches!(self.state, State::Connecting { is_path_up: false, .. }) => {
                    self.transition(State::Connecting { deadline: now + CONNECT_TIMEOUT, is_path_up: true });
                }
                peer::Event::PathDown => self.path_lost(now),
                peer::Event::PathUp => self.path_back(),
                peer::Event::Closed(reason) => self.handle_connection_closed(now, reason),
            }
        }
    }

    fn path_lost(&mut self, now: Instant) {
        if self.state == State::Established {
            self.transition(State::Recovering { deadline: now + GRACE });
            self.events.push_back(Event::PathLost);
        }
    }

    fn path_back(&mut self) {
        if matches!(self.state, State::Recovering { .. }) {
            self.transition(State::Established);
            self.events.push_back(Event::PathBack);
        }
    }

    fn handle_connection_closed(&mut self, now: Instant, reason: String) {
        self.mux.lose_carrier(now, CARRIER);
        match self.state {
            State::Closing { .. } => self.close(now),
            // A peer that said GOAWAY closes as soon as its side is done; what arrived still drains to our applications.
            State::Established | State::Recovering { .. } if self.mux.is_going_away() => {}
            // It gave up what we wait for: its own datagrams still come through, ours or their answers did not.
            State::Recovering { .. } => self.finish(now, End::PathLost),
            State::Connecting { .. } | State::Established => self.fail(now, &reason),
            State::Closed => {}
        }
    }

    fn handle_round_trip(&mut self, now: Instant, round_trip: Duration) {
        debug!("session={} round_trip={round_trip:?}", self.id);
        if !matches!(self.state, State::Connecting { .. }) {
            return;
        }
        match self.connection.as_ref().and_then(Connection::path) {
            Some(path) => {
                self.transition(State::Established);
                self.events.push_back(Event::Connected { path, round_trip });
                self.events.append(&mut self.held);
            }
            None => self.fail(now, "the connection has no path"),
        }
    }

    fn handle_mux_ended(&mut self, now: Instant, reason: GoAwayReason, detail: String, origin: Origin) {
        let end = match (reason, origin) {
            (GoAwayReason::Shutdown | GoAwayReason::Restart, Origin::Local) => End::Local,
            (GoAwayReason::Shutdown | GoAwayReason::Restart, Origin::Peer) => End::Peer,
            (_, Origin::Local) => End::Failed(format!("the peer broke the protocol: {detail}")),
            (_, Origin::Peer) => End::Failed(format!("the peer ended the session: {detail}")),
        };
        self.end.get_or_insert(end);
        if !matches!(self.state, State::Closing { .. } | State::Closed) {
            self.transition(State::Closing { deadline: now + CLOSE_TIMEOUT });
            self.close_if_delivered(now);
        }
    }

    fn fail(&mut self, now: Instant, reason: &str) {
        self.finish(now, End::Failed(reason.to_owned()));
    }

    /// Ends the session without waiting for the peer.
    fn finish(&mut self, now: Instant, end: End) {
        if matches!(self.state, State::Closed) {
            return;
        }
        self.end.get_or_insert(end);
        self.close(now);
    }

    /// Closes a session that only waits for its last messages to be acknowledged, once they are.
    fn close_if_delivered(&mut self, now: Instant) {
        if let State::Closing { .. } = self.state
            && self.connection.as_mut().is_none_or(|connection| connection.buffered_amount() == 0)
        {
            self.close(now);
        }
    }

    fn close(&mut self, now: Instant) {
        let end = self.end.clone().unwrap_or(End::Local);
        if let Some(connection) = &mut self.connection {
            connection.close(now);
        }
        let origin = if end == End::Local { Origin::Local } else { Origin::Peer };
        self.mux.close(GoAwayReason::Shutdown, &end.to_string(), origin);
        // What the streams are told comes before the end of the session.
        while let Some(event) = self.mux.poll_event() {
            if matches!(event, tunnel::Event::Aborted { .. } | tunnel::Event::Finished(_)) {
                self.events.push_back(Event::Stream(event));
            }
        }
        self.transition(State::Closed);
        self.events.push_back(Event::Ended(end));
    }

    fn transition(&mut self, state: State) {
        info!("session={} state={:?} → {state:?}", self.id, self.state);
        self.state = state;
    }
}
