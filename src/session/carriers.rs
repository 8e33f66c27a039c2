//! Which carriers are made, which one is used, and when one is given up (`docs/protocol.md`, "Carriers").
//!
//! The client decides: it numbers the carriers, starts relays, asks for offers, and rejoins the session when a path is
//! lost. The host follows.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use log::{debug, info};

use super::direct::{Direct, Failure};
use super::event::{End, Event, Path};
use super::link::Link;
use super::relay::Relay;
use super::state::{State, Step};
use super::{FIRST_DIRECT, Session};
use crate::peer;
use crate::signaling::message::Inner;
use crate::tunnel::Role;

/// Time a direct path has to open before the session begins on the relay.
pub(super) const RELAY_DELAY: Duration = Duration::from_millis(1500);

/// Time between attempts at a direct path: while the session is relayed or its direct path has used up its keys, and
/// while it has no path at all.
pub(super) const RETRY_RELAYED: Duration = Duration::from_secs(30);
pub(super) const RETRY_LOST: Duration = Duration::from_secs(1);

/// Maximum number of STUN servers a session knows.
const MAX_SERVERS: usize = 16;

/// The carriers of a session, by number: PeerConnections, of which at most one carries or carried and at most one is
/// being made, and the relay.
pub(super) struct Carriers {
    directs: Vec<Direct>,
    pub(super) relay: Option<Relay>,
    /// Highest number in use.
    highest: u32,
}

impl Carriers {
    pub(super) fn new() -> Carriers {
        Carriers { directs: Vec::new(), relay: None, highest: FIRST_DIRECT }
    }

    /// Adds a PeerConnection.
    pub(super) fn add(&mut self, direct: Direct) {
        self.directs.push(direct);
    }

    /// Removes a PeerConnection and returns it.
    fn take(&mut self, carrier: u32) -> Option<Direct> {
        let index = self.directs.iter().position(|direct| direct.carrier == carrier)?;
        Some(self.directs.remove(index))
    }

    /// Tells whether a number is higher than those of all carriers so far.
    pub(super) fn is_new(&self, carrier: u32) -> bool {
        carrier > self.highest
    }

    /// Registers a number that the client chose.
    pub(super) fn use_number(&mut self, carrier: u32) {
        self.highest = self.highest.max(carrier);
    }

    /// Returns the number for a further carrier.
    pub(super) fn next_number(&mut self) -> u32 {
        self.highest = self.highest.saturating_add(1);
        self.highest
    }

    /// Tells whether the host's first offer is the only carrier so far.
    pub(super) fn is_first(&self) -> bool {
        self.highest == FIRST_DIRECT
    }

    /// Returns the next event of a PeerConnection, and its number.
    fn poll_event(&mut self) -> Option<(u32, peer::Event)> {
        self.directs.iter_mut().find_map(|direct| Some((direct.carrier, direct.connection.poll_event()?)))
    }

    /// Returns the PeerConnection with this number.
    pub(super) fn direct(&self, carrier: u32) -> Option<&Direct> {
        self.directs.iter().find(|direct| direct.carrier == carrier)
    }

    pub(super) fn direct_mut(&mut self, carrier: u32) -> Option<&mut Direct> {
        self.directs.iter_mut().find(|direct| direct.carrier == carrier)
    }

    /// Returns the PeerConnection that is being made.
    pub(super) fn attempt(&self) -> Option<&Direct> {
        self.directs.iter().find(|direct| direct.deadline.is_some())
    }

    pub(super) fn attempt_mut(&mut self) -> Option<&mut Direct> {
        self.directs.iter_mut().find(|direct| direct.deadline.is_some())
    }

    /// Returns all PeerConnections.
    pub(super) fn directs(&self) -> &[Direct] {
        &self.directs
    }

    pub(super) fn directs_mut(&mut self) -> &mut [Direct] {
        &mut self.directs
    }
}

impl Session {
    /// Gives a carrier the UDP sockets that [`Event::Gather`] asked for; their addresses become candidates.
    pub fn add_sockets(&mut self, now: Instant, carrier: u32, addresses: &[SocketAddr]) {
        let Some(direct) = self.carriers.direct(carrier) else { return };
        if addresses.is_empty() && direct.sockets.is_empty() {
            return self.attempt_failed(now, carrier, &Failure::Broken("no UDP socket could be bound".to_owned()));
        }
        for &address in addresses {
            let Some(direct) = self.carriers.direct_mut(carrier) else { break };
            direct.sockets.push(address);
            direct.gatherer.add_socket(now, address);
            if let Some(candidate) = direct.connection.add_local_candidate(now, address) {
                self.signal(&Inner::Candidate { carrier, candidate });
            }
        }
        self.trickle(now);
        self.handle_connection_events(now);
    }

    /// Adds the addresses of STUN servers as they are resolved; `is_complete` means that no more follow.
    pub fn add_stun_servers(&mut self, now: Instant, servers: &[SocketAddr], is_complete: bool) {
        for &server in servers {
            if self.stun_servers.contains(&server) || self.stun_servers.len() >= MAX_SERVERS {
                continue;
            }
            self.stun_servers.push(server);
            if let Some(direct) = self.carriers.attempt_mut() {
                direct.gatherer.add_server(now, server);
            }
        }
        self.is_stun_complete |= is_complete;
        self.trickle(now);
    }

    /// Handles a change of the machine's addresses. A path from an address that vanished is lost. A relayed session
    /// tries a direct path again, and an attempt in progress gets sockets for new addresses.
    pub fn handle_addresses(&mut self, now: Instant, vanished: &[IpAddr]) {
        if !self.link.as_ref().is_none_or(Link::has_begun) {
            return;
        }
        if let Some(path) = self.current_direct().and_then(|direct| direct.connection.path())
            && self.state == State::Established
            && vanished.contains(&path.local.ip())
        {
            self.recover(now, "this machine's address changed".to_owned());
        }
        if !self.is_direct() {
            self.retry_at = Some(now);
            self.tell_network();
        }
        if let Some(direct) = self.carriers.attempt() {
            self.events.push_back(Event::Gather { carrier: direct.carrier });
        }
        self.pursue(now);
    }

    /// Starts recovery from a lost path: streams wait until the old carrier comes back or a new one opens.
    pub(super) fn recover(&mut self, now: Instant, reason: String) {
        if self.mux.is_going_away() || !self.step(Step::Lose { now, grace: self.reach.grace }) {
            return;
        }
        info!("session={} no path: {reason}", self.id);
        // Only a client rejoins, and it cannot know of this change: make it notice by silence.
        if self.role == Role::Host
            && let Some(carrier) = self.current_direct().filter(|direct| direct.is_remapped()).map(Direct::number)
        {
            self.drop_direct(now, carrier);
        }
        self.carriers.directs_mut().iter_mut().for_each(Direct::suspect);
        self.events.push_back(Event::Recovering { reason });
        if self.role == Role::Client {
            (self.relay_at, self.retry_at) = (Some(now), Some(now));
        }
        self.pursue(now);
    }

    /// Handles an answered PING: on a ready carrier, it means that the session is connected.
    pub(super) fn handle_round_trip(&mut self, now: Instant, round_trip: Duration) {
        debug!("session={} round_trip={round_trip:?}", self.id);
        self.events.push_back(Event::RoundTrip(round_trip));
        self.connected_if_ready(now);
    }

    /// Drops lower carriers, once both lists of a carrier are complete.
    pub(super) fn handle_resumed(&mut self, now: Instant) {
        let Some(carrier) = self.mux.carrier() else { return };
        self.drop_directs(now, |direct| direct.carrier < carrier);
        if self.carriers.relay.as_ref().is_some_and(|relay| relay.carrier < carrier) {
            self.carriers.relay = None;
        }
        self.retry_at = if self.is_direct() { None } else { self.retry_at.or(Some(now + RETRY_RELAYED)) };
        match self.state {
            State::Connecting { .. } => self.connected_if_ready(now),
            State::Established => {
                let was_direct = matches!(self.reported, Some(Path::Direct(_)));
                let reason = match self.is_direct() {
                    true if was_direct => "another connection took the place of the one before",
                    true => "a direct path was found",
                    false => "the peer lost the direct path",
                };
                self.report_path(reason.to_owned());
                self.pursue(now);
            }
            State::Recovering { .. } => self.check_path(now),
            State::Closing { .. } | State::Closed => {}
        }
    }

    pub(super) fn handle_connection_events(&mut self, now: Instant) {
        while let Some((carrier, event)) = self.carriers.poll_event() {
            match event {
                peer::Event::Open => self.handle_open(now, carrier),
                peer::Event::Message(message) => self.mux.handle_message(now, carrier, message),
                peer::Event::Datagram(datagram) => self.mux.handle_datagram(now, carrier, datagram),
                peer::Event::PathUp => self.carriers.direct_mut(carrier).into_iter().for_each(Direct::path_up),
                peer::Event::PathDown => self.carriers.direct_mut(carrier).into_iter().for_each(Direct::path_down),
                peer::Event::Violation(reason) => return self.fail(now, &reason),
                peer::Event::Fault(fault) => return self.finish(now, End::Fault(fault)),
                peer::Event::Closed(reason) => self.handle_connection_closed(now, carrier, &reason),
            }
        }
    }

    /// Handles the opening of a PeerConnection's channel.
    fn handle_open(&mut self, now: Instant, carrier: u32) {
        if let Some(direct) = self.carriers.direct_mut(carrier) {
            direct.deadline = None;
        }
        let before = self.mux.carrier();
        if self.mux.open_carrier(now, carrier) {
            self.opened_at = Some(now);
            // The carrier before may still deliver; any other was replaced before its RESUME.
            self.drop_directs(now, |direct| direct.carrier < carrier && Some(direct.carrier) != before);
        } else {
            self.drop_direct(now, carrier);
        }
    }

    /// Gives up an attempt whose time is over.
    pub(super) fn expire_attempt(&mut self, now: Instant) {
        let attempt = self.carriers.attempt().filter(|direct| direct.deadline.is_some_and(|deadline| deadline <= now));
        if let Some(carrier) = attempt.map(Direct::number) {
            self.attempt_failed(now, carrier, &Failure::TimedOut);
        }
    }

    /// Drops PeerConnections that are still being made.
    pub(super) fn drop_attempts(&mut self, now: Instant) {
        self.drop_directs(now, |direct| direct.deadline.is_some());
        self.asked = None;
    }

    /// Removes the PeerConnections for which `is_dropped` holds.
    pub(super) fn drop_directs(&mut self, now: Instant, is_dropped: impl Fn(&Direct) -> bool) {
        while let Some(direct) = self.carriers.directs().iter().find(|direct| is_dropped(direct)) {
            self.drop_direct(now, direct.carrier);
        }
    }

    /// Removes a PeerConnection; its good-bye goes out with the session's datagrams.
    pub(super) fn drop_direct(&mut self, now: Instant, carrier: u32) {
        let Some(mut direct) = self.carriers.take(carrier) else { return };
        if self.mux.carrier() == Some(direct.carrier) {
            self.mux.lose_carrier(now, direct.carrier);
        }
        direct.connection.close(now);
        while let Some(transmit) = direct.poll_transmit() {
            self.transmits.push_back(transmit);
        }
        self.events.push_back(Event::Release { carrier: direct.carrier });
    }

    /// Handles the loss of the WebSocket under the relay, and of everything in transit on it.
    pub(super) fn leave_relay(&mut self, now: Instant) {
        if let Some(relay) = self.carriers.relay.take()
            && self.mux.carrier() == Some(relay.carrier)
        {
            self.mux.lose_carrier(now, relay.carrier);
            self.recover(now, "the connection that relayed was lost".to_owned());
        }
    }

    pub(super) fn start_relay(&mut self, now: Instant) {
        let is_connecting = self.state.is_connecting();
        let is_first = is_connecting && self.carriers.is_first() && self.opened_at.is_none();
        let carrier = if is_first { FIRST_DIRECT - 1 } else { self.carriers.next_number() };
        self.relay_at = None;
        if !is_first {
            // An attempt with a lower number than the relay's is useless.
            self.drop_attempts(now);
        }
        self.signal(&Inner::Relay { carrier });
        if let Some(link) = &mut self.link {
            link.begin_relay();
        }
        self.carriers.relay = Some(Relay::new(now, carrier));
        self.opened_at = Some(now);
        self.mux.open_carrier(now, carrier);
    }

    pub(super) fn attempt_failed(&mut self, now: Instant, carrier: u32, failure: &Failure) {
        self.drop_direct(now, carrier);
        self.direct_failed(now, failure);
    }

    fn handle_connection_closed(&mut self, now: Instant, carrier: u32, reason: &str) {
        if self.carriers.direct(carrier).is_some_and(|direct| direct.deadline.is_some()) {
            return self.attempt_failed(now, carrier, &Failure::Broken(reason.to_owned()));
        }
        let is_current = self.mux.carrier() == Some(carrier);
        self.drop_direct(now, carrier);
        match self.state {
            _ if !is_current => {}
            State::Closing { .. } => self.close(now),
            // A peer that sent GOAWAY closes as soon as its side is done; what arrived still drains to our
            // applications.
            State::Established | State::Recovering { .. } if self.mux.is_going_away() => {}
            State::Established => self.recover(now, reason.to_owned()),
            // The peer says over signaling why it ended; until then the deadline holds.
            State::Connecting { .. } if self.needs_signaling() => {}
            State::Connecting { .. } => self.fail(now, reason),
            State::Recovering { .. } | State::Closed => {}
        }
    }

    fn connected_if_ready(&mut self, now: Instant) {
        if !self.state.is_connecting() {
            return;
        }
        let Some(round_trip) = self.mux.round_trip().filter(|_| self.mux.is_ready()) else { return };
        self.step(Step::Pass);
        let path = self.path();
        if matches!(path, Path::Relayed { .. }) {
            self.retry_at = Some(now + RETRY_RELAYED);
        }
        self.reported = Some(path.clone());
        self.events.push_back(Event::Connected { path, round_trip });
        self.events.append(&mut self.held);
        self.pursue(now);
    }

    pub(super) fn is_direct(&self) -> bool {
        self.current_direct().is_some()
    }

    /// Returns the PeerConnection that carries messages.
    pub(super) fn current_direct(&self) -> Option<&Direct> {
        self.carriers.direct(self.mux.carrier()?)
    }
}
