//! Messages over the signaling WebSocket, in both directions.

use std::time::{Duration, Instant};

use bytes::Bytes;
use log::{debug, info};

use super::carriers::{RELAY_DELAY, RETRY_LOST, RETRY_RELAYED};
use super::diagnosis;
use super::direct::{Direct, Failure, OPEN_TIMEOUT};
use super::event::{End, Event, Signal};
use super::link::{Cipher, Link};
use super::relay::Relay;
use super::state::{State, Step};
use super::{FIRST_DIRECT, Session};
use crate::peer::PeerError;
use crate::signaling::error::SignalingError;
use crate::signaling::farewell::Farewell;
use crate::signaling::message::Inner;
use crate::signaling::network::Network;
use crate::signaling::sealing::{Opener, Sealer};
use crate::tunnel::Role;

/// Minimum time between reactions to news of the peer's network.
const NETWORK_INTERVAL: Duration = Duration::from_secs(1);

/// Minimum time from one offer to the next.
const OFFER_INTERVAL: Duration = Duration::from_secs(1);

impl Session {
    /// Handles a sealed signaling message.
    ///
    /// # Errors
    /// It is not the peer's next message, or is invalid: close the WebSocket. A session that was not established has
    /// ended; an established one goes on without the WebSocket.
    pub fn handle_signal(&mut self, now: Instant, text: &str) -> Result<(), SignalingError> {
        let Some(link) = &mut self.link else { return Ok(()) };
        match link.open(now, text) {
            Some(Ok(inner)) => {
                self.begin(now);
                self.handle_inner(now, inner);
            }
            Some(Err(error)) => return Err(self.handle_signaling_error(now, error)),
            None => return Ok(()),
        }
        self.pursue(now);
        Ok(())
    }

    /// Handles a sealed binary message of the relay carrier.
    ///
    /// # Errors
    /// Those of [`Session::handle_signal`].
    pub fn handle_binary(&mut self, now: Instant, bytes: Bytes) -> Result<(), SignalingError> {
        let Some(link) = &mut self.link else { return Ok(()) };
        let message = match link.open_binary(now, bytes) {
            Ok(message) => message,
            Err(error) => return Err(self.handle_signaling_error(now, error)),
        };
        // A relay that was replaced still delivers what was in transit.
        if let Some(relay) = &mut self.carriers.relay {
            relay.handle_heard(now);
            link.trust();
            self.mux.handle_message(now, relay.carrier, message);
            if self.state.is_recovering() {
                self.check_path(now);
            }
        }
        Ok(())
    }

    /// Sets the number of bytes that wait in the WebSocket.
    pub fn set_signaling_buffered(&mut self, bytes: usize) {
        if let Some(link) = &mut self.link {
            link.set_waiting(bytes);
        }
    }

    /// Moves to another WebSocket, on which both sides proved that they belong to the session. The one before is
    /// dropped.
    pub fn handle_resumed_signaling(&mut self, now: Instant, sealer: Sealer, opener: Opener) {
        if self.state.is_ending() {
            return;
        }
        self.leave_relay(now);
        self.drop_attempts(now);
        self.signals.clear();
        self.wanted_offer = None;
        self.link_count += 1;
        self.link = Some(Link::new(now, self.mux.carrier(), Cipher::Sealed(sealer, opener)));
        self.begin(now);
        if self.role == Role::Client {
            (self.relay_at, self.retry_at) = (Some(now), Some(now));
        }
        self.pursue(now);
    }

    /// Handles the loss of the signaling WebSocket. If the descriptions were exchanged, the path may still open. A
    /// plain session ends.
    pub fn handle_signaling_closed(&mut self, now: Instant) {
        if self.link.take().is_some_and(|link| link.is_plain()) {
            return self.fail(now, "the connection to the server was lost");
        }
        self.wanted_offer = None;
        self.signals.clear();
        self.leave_relay(now);
        let has_descriptions = self.carriers.directs().iter().any(|direct| !direct.connection.awaits_answer());
        // If the last message was the end of the tunnel, that says why.
        if self.state.is_connecting() && !has_descriptions && !self.mux.is_ended() {
            self.finish(now, End::SignalingLost);
        }
    }

    /// Tells whether another signaling WebSocket is wanted: to repair the session, or, while it works, for a
    /// PeerConnection with new keys.
    pub fn wants_signaling(&self) -> bool {
        self.role == Role::Client
            && (self.state.is_recovering() || self.is_used_up())
            && self.link.as_ref().is_none_or(|link| !link.is_usable())
    }

    /// Tells whether the signaling WebSocket is still needed.
    pub fn needs_signaling(&self) -> bool {
        self.link.as_ref().is_some_and(|link| !link.is_done())
    }

    /// Returns the number of the session's current WebSocket; a message sealed for another must not be sent on it.
    pub fn signaling_number(&self) -> u32 {
        self.link_count
    }

    /// Returns the next signaling message to send.
    pub fn poll_signal(&mut self) -> Option<Signal> {
        self.signals.pop_front()
    }

    pub(super) fn signal(&mut self, inner: &Inner) {
        if let Some(link) = &mut self.link
            && let Some(signal) = link.seal(inner)
        {
            self.signals.push_back(signal);
        }
    }

    pub(super) fn say_bye(&mut self, reason: Farewell) {
        self.signal(&Inner::Bye { reason });
    }

    pub(super) fn tell_network(&mut self) {
        self.signal(&Inner::Network(self.ours));
    }

    /// Tells the peer of candidates that STUN servers found, and of what they say about our network.
    pub(super) fn trickle(&mut self, now: Instant) {
        let Some(direct) = self.carriers.attempt_mut() else { return };
        let carrier = direct.carrier;
        let mut candidates = Vec::new();
        while let Some(mapped) = direct.gatherer.poll_mapped() {
            candidates.extend(direct.connection.add_server_reflexive(now, mapped.mapped, mapped.local));
        }
        let is_done = self.is_stun_complete && direct.gatherer.is_done() && !direct.sockets.is_empty();
        let tells_all = is_done && !std::mem::replace(&mut direct.has_told_all, is_done);
        let ours = if is_done { diagnosis::network(self.ours, direct.gatherer.findings()) } else { self.ours };
        for candidate in candidates {
            self.signal(&Inner::Candidate { carrier, candidate });
        }
        if tells_all {
            self.signal(&Inner::EndOfCandidates { carrier });
        }
        if ours != self.ours {
            self.ours = ours;
            self.tell_network();
        }
    }

    /// Makes the offer the client asked for last, at most one per second: each costs a PeerConnection and its sockets.
    pub(super) fn make_offer(&mut self, now: Instant) {
        if let Some(carrier) = self.wanted_offer.take()
            && let Err(error) = self.offer(now, carrier)
        {
            debug!("session={} no offer: {error}", self.id);
        }
    }

    /// Makes an offer with this number.
    pub(super) fn offer(&mut self, now: Instant, carrier: u32) -> Result<(), PeerError> {
        self.drop_attempts(now);
        self.offer_at = now + OFFER_INTERVAL;
        let (direct, sdp) = Direct::offer(now, carrier, self.reach.p2p_timeout)?;
        self.signal(&Inner::Offer { carrier, sdp });
        self.add_direct(now, direct);
        Ok(())
    }

    /// Begins to look for a path: a host at once, a client after the host's first message, since the host accepts none
    /// before.
    pub(super) fn begin(&mut self, now: Instant) {
        let Some(link) = &mut self.link else { return };
        if !link.begin() {
            return;
        }
        self.tell_network();
        // The time for connecting starts with the first WebSocket only.
        let deadline = now + self.reach.p2p_timeout + OPEN_TIMEOUT;
        if self.link_count == 1 && self.step(Step::Begin { deadline }) {
            self.relay_at = Some(now + if self.reach.direct { RELAY_DELAY } else { Duration::ZERO });
        }
    }

    fn handle_inner(&mut self, now: Instant, inner: Inner) {
        match (inner, self.role) {
            (Inner::Network(network), _) => self.handle_network(now, network),
            (Inner::Connect { carrier }, Role::Host) if self.carriers.is_new(carrier) && self.reach.direct => {
                self.carriers.use_number(carrier);
                self.wanted_offer = Some(carrier);
            }
            (Inner::Relay { carrier }, Role::Host) => self.handle_relay(now, carrier),
            (Inner::Offer { carrier, sdp }, Role::Client) if self.asked == Some(carrier) => {
                self.asked = None;
                self.retry_at = None;
                match Direct::answer(now, carrier, &sdp, self.reach.p2p_timeout) {
                    Ok((direct, sdp)) => {
                        self.signal(&Inner::Answer { carrier, sdp });
                        self.add_direct(now, direct);
                    }
                    Err(PeerError::Fault(fault)) => self.finish(now, End::Fault(fault)),
                    Err(error) => self.direct_failed(now, &Failure::Broken(error.to_string())),
                }
            }
            (Inner::Answer { carrier, sdp }, Role::Host) => {
                let Some(direct) = self.carriers.direct_mut(carrier) else { return };
                match direct.connection.handle_answer(now, &sdp) {
                    Ok(()) => {}
                    Err(PeerError::Fault(fault)) => self.finish(now, End::Fault(fault)),
                    // Ignore a second answer.
                    Err(PeerError::Unasked) => {}
                    Err(error) => self.attempt_failed(now, carrier, &Failure::Broken(error.to_string())),
                }
            }
            (Inner::Candidate { carrier, candidate }, _) => {
                let direct = self.carriers.direct_mut(carrier);
                let is_used = direct.is_some_and(|direct| direct.connection.add_remote_candidate(now, &candidate));
                debug!("session={} carrier={carrier} remote candidate used={is_used}", self.id);
            }
            (Inner::Bye { reason: Farewell::Check }, Role::Host) if self.state.is_connecting() => {
                self.finish(now, End::Visit);
            }
            (Inner::Bye { reason: Farewell::NoPath }, _) => self.finish(now, End::NoPath),
            (Inner::Bye { reason: Farewell::Lapsed(lapse) }, Role::Client) => self.finish(now, End::Lapsed(lapse)),
            (Inner::Bye { .. }, _) if !self.state.is_connecting() => self.finish(now, End::Peer),
            (Inner::Bye { reason }, _) => self.fail(now, &format!("the peer gave up: {reason}")),
            // Do not log the content: it may hold the secrets of a carrier.
            (_, role) => debug!("session={} signaling message ignored, role={role:?}", self.id),
        }
    }

    /// Goes on without a direct path, if possible.
    pub(super) fn direct_failed(&mut self, now: Instant, failure: &Failure) {
        info!("session={} no direct path: {failure}", self.id);
        let may_relay = self.reach.relay && self.theirs.is_none_or(|theirs| theirs.relay) && self.link.is_some();
        match self.state {
            State::Connecting { .. } if may_relay => self.relay_at = self.relay_at.map(|_| now),
            State::Connecting { .. } => match failure {
                Failure::TimedOut => self.give_up_connecting(now),
                Failure::Broken(reason) => self.fail(now, reason),
            },
            State::Established | State::Recovering { .. } => {
                let is_urgent = self.carriers.relay.is_none() && !self.is_used_up();
                let pause = if is_urgent { RETRY_LOST } else { RETRY_RELAYED };
                self.retry_at = Some(now + pause);
                self.update_reason();
            }
            State::Closing { .. } | State::Closed => {}
        }
    }

    fn handle_network(&mut self, now: Instant, network: Network) {
        self.theirs = Some(network);
        if !network.direct && self.asked.take().is_some() {
            self.relay_at = Some(now);
        }
        if self.network_at > now {
            return;
        }
        self.network_at = now + NETWORK_INTERVAL;
        // The peer has moved, or knows more: a failed attempt may work now.
        if self.reported.is_some() && self.asked.is_none() && self.retry_at.is_some() {
            self.retry_at = Some(now);
        }
        self.update_reason();
    }

    /// Opens the relay the client started.
    fn handle_relay(&mut self, now: Instant, carrier: u32) {
        let Some(link) = self.link.as_mut().filter(|link| !link.has_relayed()) else { return };
        let is_first = carrier < FIRST_DIRECT && self.carriers.is_first();
        if self.reach.relay && (is_first || self.carriers.is_new(carrier)) && self.mux.open_carrier(now, carrier) {
            link.begin_relay();
            self.carriers.use_number(carrier);
            self.carriers.relay = Some(Relay::new(now, carrier));
            self.opened_at = Some(now);
        }
    }

    fn handle_signaling_error(&mut self, now: Instant, error: SignalingError) -> SignalingError {
        if self.state.is_connecting() {
            self.fail(now, &format!("signaling failed: {error}"));
        } else {
            self.handle_signaling_closed(now);
            self.check_path(now);
        }
        error
    }

    fn add_direct(&mut self, now: Instant, mut direct: Direct) {
        for &server in &self.stun_servers {
            direct.gatherer.add_server(now, server);
        }
        self.events.push_back(Event::Gather { carrier: direct.carrier });
        self.carriers.add(direct);
    }
}
