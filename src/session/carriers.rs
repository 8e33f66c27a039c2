//! Which carriers are made, which one is used, and when one is given up (`docs/protocol.md`, "Carriers").
//!
//! The client decides: it numbers the carriers, starts relays, asks for offers, and joins the session again when a path is
//! lost. The host follows.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use log::{debug, info};

use super::diagnosis;
use super::direct::Failure;
use super::event::{End, Event, Path};
use super::link::Link;
use super::relay::Relay;
use super::state::{State, Step};
use super::timers::{Timer, TimerTable};
use super::wants::{self, Carrying, Facts};
use super::{FIRST_DIRECT, Session};
use crate::peer;
use crate::signaling::farewell::Farewell;
use crate::signaling::message::Inner;
use crate::signaling::network::Network;
use crate::tunnel::Role;

/// How long a direct path may take to come up before the session begins on the relay.
pub(super) const RELAY_DELAY: Duration = Duration::from_millis(1500);

/// How often a direct path is looked for while the session is relayed, and while it has no path at all.
pub(super) const RETRY_RELAYED: Duration = Duration::from_secs(30);
pub(super) const RETRY_LOST: Duration = Duration::from_secs(1);

/// STUN servers that a session knows.
const MAX_SERVERS: usize = 16;

impl Session {
    /// Gives a carrier the UDP sockets that [`Event::Gather`] asked for: their addresses become candidates.
    pub fn add_sockets(&mut self, now: Instant, carrier: u32, addresses: &[SocketAddr]) {
        let Some(index) = self.directs.iter().position(|direct| direct.carrier == carrier) else { return };
        if addresses.is_empty() && self.directs[index].sockets.is_empty() {
            return self.attempt_failed(now, index, &Failure::Broken("no UDP socket could be bound".to_owned()));
        }
        for &address in addresses {
            let direct = &mut self.directs[index];
            direct.sockets.push(address);
            direct.gatherer.add_socket(now, address);
            if let Some(candidate) = direct.connection.add_local_candidate(now, address) {
                self.signal(&Inner::Candidate { carrier, candidate });
            }
        }
        self.trickle(now);
        self.handle_connection_events(now);
    }

    /// Gives the addresses of STUN servers as they are found; `is_complete` says that no further ones follow.
    pub fn add_stun_servers(&mut self, now: Instant, servers: &[SocketAddr], is_complete: bool) {
        for &server in servers {
            if self.stun_servers.contains(&server) || self.stun_servers.len() >= MAX_SERVERS {
                continue;
            }
            self.stun_servers.push(server);
            for direct in self.directs.iter_mut().filter(|direct| direct.deadline.is_some()) {
                direct.gatherer.add_server(now, server);
            }
        }
        self.is_stun_complete |= is_complete;
        self.trickle(now);
    }

    /// Takes note that the machine's addresses changed. A path from one that vanished is lost; a relayed session looks for a
    /// direct path again, and an attempt under way gets sockets for addresses that are new.
    pub fn handle_addresses(&mut self, now: Instant, vanished: &[IpAddr]) {
        if !self.link.as_ref().is_none_or(Link::has_begun) {
            return;
        }
        let path = self.current_direct().and_then(|index| self.directs[index].connection.path());
        if let Some(path) = path
            && self.state == State::Established
            && vanished.contains(&path.local.ip())
        {
            self.recover(now, "this machine's address changed".to_owned());
        }
        if !self.is_direct() {
            self.retry_at = Some(now);
            self.tell_network();
        }
        for direct in self.directs.iter().filter(|direct| direct.deadline.is_some()) {
            self.events.push_back(Event::Gather { carrier: direct.carrier });
        }
        self.pursue(now);
    }

    /// Does what can be done for a better path now. Calling it again changes nothing.
    pub(super) fn pursue(&mut self, now: Instant) {
        self.serve(now, &Timer::PURSUIT);
    }

    /// Looks whether the carrier works, and goes from Established to Recovering or back.
    pub(super) fn check_path(&mut self, now: Instant) {
        self.serve(now, &Timer::PATH);
        let State::Recovering { since, .. } = self.state else { return };
        let is_back = match self.current_direct() {
            Some(index) => {
                if self.directs[index].is_heard(now) {
                    self.step(Step::Hear { now, grace: self.reach.grace });
                }
                self.directs[index].is_back(now, since)
            }
            None => self.relay.as_ref().is_some_and(|relay| relay.is_back(since)),
        };
        if is_back && self.mux.is_ready() && self.step(Step::Pass) {
            let path = self.path();
            self.reported = Some(path.clone());
            let after = now.saturating_duration_since(since);
            self.events.push_back(Event::Recovered { path, after });
            self.pursue(now);
        }
    }

    /// Does what is due of these, in their order.
    pub(super) fn serve(&mut self, now: Instant, timers: &[Timer]) {
        let mut wanted = self.wants();
        for &timer in timers {
            if wanted.is_due(timer, now) {
                self.handle_timer(now, timer);
                // What was done may have changed what else is wanted.
                wanted = self.wants();
            }
        }
    }

    /// Returns what is wanted, and when.
    pub(super) fn wants(&self) -> TimerTable {
        let theirs = self.theirs.unwrap_or(Network::unknown(true, true));
        wants::wants(&Facts {
            role: self.role,
            state: self.state,
            is_going_away: self.mux.is_going_away(),
            carrying: self.carrying(),
            is_ready: self.mux.is_ready(),
            opened_at: self.opened_at,
            link: self.link.as_ref(),
            attempt_ends_at: self.directs.iter().filter_map(|direct| direct.deadline).min(),
            p2p_timeout: self.reach.p2p_timeout,
            may_connect: self.reach.direct && theirs.direct,
            may_relay: self.reach.relay && theirs.relay,
            offer_at: self.wanted_offer.map(|_| self.offer_at),
            relay_at: self.relay_at,
            retry_at: self.retry_at,
        })
    }

    fn carrying(&self) -> Carrying {
        let Some(carrier) = self.mux.carrier() else { return Carrying::Nothing };
        if let Some(index) = self.current_direct() {
            return Carrying::Direct { carrier, trouble_at: self.directs[index].trouble_at() };
        }
        match self.relay.as_ref().filter(|relay| relay.carrier == carrier) {
            Some(relay) => {
                Carrying::Relay { ask_at: relay.asks_at(), trouble_at: relay.trouble_at(self.mux.round_trip()) }
            }
            None => Carrying::Nothing,
        }
    }

    fn handle_timer(&mut self, now: Instant, timer: Timer) {
        match timer {
            Timer::State => self.handle_deadline(now),
            Timer::Attempt => self.expire_attempts(now),
            Timer::AskRelay => {
                if self.relay.as_mut().is_some_and(|relay| relay.poll_ping(now)) {
                    self.mux.ping_now(now);
                }
            }
            Timer::RelaySilent => {
                self.suspect_link();
                self.recover(now, "nothing comes over the relay any more".to_owned());
            }
            Timer::LinkSilent => self.suspect_link(),
            Timer::DirectTrouble => {
                let direct = self.current_direct().map(|index| &self.directs[index]);
                if let Some(trouble) = direct.and_then(|direct| direct.trouble(now)) {
                    self.recover(now, trouble.to_string());
                }
            }
            Timer::Unready => self.recover(now, "the peer did not go over to the new path".to_owned()),
            Timer::NoCarrier => self.recover(now, "the connection to the peer was lost".to_owned()),
            Timer::Offer => self.make_offer(now),
            Timer::LinkDone => {
                if let Some(link) = &mut self.link {
                    link.finish();
                }
                self.wanted_offer = None;
                self.events.push_back(Event::SignalingDone);
                self.drop_attempts(now);
            }
            Timer::StartRelay => self.start_relay(now),
            Timer::AskOffer => {
                let carrier = self.next_carrier();
                self.asked = Some(carrier);
                // An offer that does not come is asked for again.
                self.retry_at = Some(now + self.reach.p2p_timeout);
                self.signal(&Inner::Connect { carrier });
            }
        }
    }

    /// The state has lasted for as long as it may.
    fn handle_deadline(&mut self, now: Instant) {
        match self.state {
            State::Connecting { .. } => self.give_up_connecting(now),
            State::Recovering { .. } => self.finish(now, End::PathLost),
            State::Closing { .. } => self.close(now),
            State::Established | State::Closed => {}
        }
    }

    fn suspect_link(&mut self) {
        if let Some(link) = &mut self.link {
            link.suspect();
        }
    }

    /// Takes note that there is no path: streams wait while an old carrier may come back and new ones are made.
    pub(super) fn recover(&mut self, now: Instant, reason: String) {
        if self.mux.is_going_away() || !self.step(Step::Lose { now, grace: self.reach.grace }) {
            return;
        }
        info!("session={} no path: {reason}", self.id);
        // Only a client joins again, and it cannot know this: it has to hear nothing any more.
        if self.role == Role::Host
            && let Some(index) = self.current_direct().filter(|index| self.directs[*index].is_remapped())
        {
            self.drop_direct(now, index);
        }
        self.directs.iter_mut().for_each(super::Direct::suspect);
        self.events.push_back(Event::Recovering { reason });
        if self.role == Role::Client {
            (self.relay_at, self.retry_at) = (Some(now), Some(now));
        }
        self.pursue(now);
    }

    /// A PING was answered: the session is connected once that happens on a carrier that is ready.
    pub(super) fn handle_round_trip(&mut self, now: Instant, round_trip: Duration) {
        debug!("session={} round_trip={round_trip:?}", self.id);
        self.connected_if_ready(now);
    }

    /// Both lists of a carrier are complete: lower ones have nothing to give any more.
    pub(super) fn handle_resumed(&mut self, now: Instant) {
        let Some(carrier) = self.mux.carrier() else { return };
        while let Some(index) = self.directs.iter().position(|direct| direct.carrier < carrier) {
            self.drop_direct(now, index);
        }
        if self.relay.as_ref().is_some_and(|relay| relay.carrier < carrier) {
            self.relay = None;
        }
        self.retry_at = if self.is_direct() { None } else { self.retry_at.or(Some(now + RETRY_RELAYED)) };
        match self.state {
            State::Connecting { .. } => self.connected_if_ready(now),
            State::Established => {
                let reason = if self.is_direct() { "a direct path was found" } else { "the peer lost the direct path" };
                self.report_path(reason.to_owned());
                self.pursue(now);
            }
            State::Recovering { .. } => self.check_path(now),
            State::Closing { .. } | State::Closed => {}
        }
    }

    pub(super) fn handle_connection_events(&mut self, now: Instant) {
        let mut index = 0;
        while index < self.directs.len() {
            let direct = &mut self.directs[index];
            let Some(event) = direct.connection.poll_event() else {
                index += 1;
                continue;
            };
            match event {
                peer::Event::Open => {
                    direct.deadline = None;
                    let (carrier, before) = (direct.carrier, self.mux.carrier());
                    if self.mux.open_carrier(now, carrier) {
                        self.opened_at = Some(now);
                        // The one before may still deliver; any other was left behind without RESUME.
                        let is_kept = |number| number >= carrier || Some(number) == before;
                        while let Some(index) = self.directs.iter().position(|direct| !is_kept(direct.carrier)) {
                            self.drop_direct(now, index);
                        }
                    } else {
                        self.drop_direct(now, index);
                    }
                    index = 0;
                }
                peer::Event::Message(message) => self.mux.handle_message(now, direct.carrier, message),
                peer::Event::Datagram(datagram) => self.mux.handle_datagram(now, direct.carrier, datagram),
                peer::Event::PathUp => direct.path_up(),
                peer::Event::PathDown => direct.path_down(),
                peer::Event::Violation(reason) => return self.fail(now, &reason),
                peer::Event::Fault(fault) => return self.finish(now, End::Fault(fault)),
                peer::Event::Closed(reason) => self.handle_connection_closed(now, index, &reason),
            }
        }
    }

    /// Gives up attempts whose time is over.
    pub(super) fn expire_attempts(&mut self, now: Instant) {
        let is_over = |direct: &super::Direct| direct.deadline.is_some_and(|deadline| deadline <= now);
        if let Some(index) = self.directs.iter().position(is_over) {
            self.attempt_failed(now, index, &Failure::TimedOut);
        }
    }

    pub(super) fn give_up_connecting(&mut self, now: Instant) {
        self.say_bye(Farewell::NoPath);
        self.finish(now, End::NoPath);
    }

    /// Drops PeerConnections that are still being made.
    pub(super) fn drop_attempts(&mut self, now: Instant) {
        while let Some(index) = self.directs.iter().position(|direct| direct.deadline.is_some()) {
            self.drop_direct(now, index);
        }
        self.asked = None;
    }

    /// Takes a PeerConnection out of the session; its good-bye goes out with the session's datagrams.
    pub(super) fn drop_direct(&mut self, now: Instant, index: usize) {
        let mut direct = self.directs.remove(index);
        if self.mux.carrier() == Some(direct.carrier) {
            self.mux.lose_carrier(now, direct.carrier);
        }
        direct.connection.close(now);
        while let Some(transmit) = direct.poll_transmit() {
            self.transmits.push_back(transmit);
        }
        self.events.push_back(Event::Release { carrier: direct.carrier });
    }

    /// The WebSocket under the relay is gone, and with it what was under way there.
    pub(super) fn leave_relay(&mut self, now: Instant) {
        if let Some(relay) = self.relay.take()
            && self.mux.carrier() == Some(relay.carrier)
        {
            self.mux.lose_carrier(now, relay.carrier);
            self.recover(now, "the connection that relayed was lost".to_owned());
        }
    }

    /// Says why the session is relayed if that became clearer.
    pub(super) fn update_reason(&mut self) {
        if matches!(self.reported, Some(Path::Relayed { .. })) && !self.is_direct() && self.state == State::Established
        {
            self.report_path("more is known of the networks".to_owned());
        }
    }

    fn start_relay(&mut self, now: Instant) {
        let is_connecting = self.state.is_connecting();
        let is_first = is_connecting && self.highest == FIRST_DIRECT && self.opened_at.is_none();
        let carrier = if is_first { FIRST_DIRECT - 1 } else { self.next_carrier() };
        self.relay_at = None;
        if !is_first {
            // Lower than the relay's, its number is of no use any more.
            self.drop_attempts(now);
        }
        self.signal(&Inner::Relay { carrier });
        if let Some(link) = &mut self.link {
            link.begin_relay();
        }
        self.relay = Some(Relay::new(now, carrier));
        self.opened_at = Some(now);
        self.mux.open_carrier(now, carrier);
    }

    pub(super) fn attempt_failed(&mut self, now: Instant, index: usize, failure: &Failure) {
        self.drop_direct(now, index);
        self.direct_failed(now, failure);
    }

    fn handle_connection_closed(&mut self, now: Instant, index: usize, reason: &str) {
        if self.directs[index].deadline.is_some() {
            return self.attempt_failed(now, index, &Failure::Broken(reason.to_owned()));
        }
        let is_current = self.mux.carrier() == Some(self.directs[index].carrier);
        self.drop_direct(now, index);
        match self.state {
            _ if !is_current => {}
            State::Closing { .. } => self.close(now),
            // A peer that said GOAWAY closes as soon as its side is done; what arrived still drains to our applications.
            State::Established | State::Recovering { .. } if self.mux.is_going_away() => {}
            State::Established => self.recover(now, reason.to_owned()),
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

    fn report_path(&mut self, reason: String) {
        let path = self.path();
        if self.reported.as_ref() != Some(&path) {
            self.reported = Some(path.clone());
            self.events.push_back(Event::PathChanged { path, reason });
        }
    }

    fn path(&self) -> Path {
        let direct = self.current_direct().and_then(|index| self.directs[index].connection.path());
        direct.map_or_else(|| Path::Relayed { reason: self.why_relayed() }, Path::Direct)
    }

    /// Returns between which addresses the peers talk, the peer's first; `None` while they are relayed.
    pub fn peer_path(&self) -> Option<(SocketAddr, SocketAddr)> {
        let path = self.current_direct().and_then(|index| self.directs[index].connection.path())?;
        Some((path.remote, path.local))
    }

    fn why_relayed(&self) -> String {
        let theirs = self.theirs.unwrap_or_else(|| Network::unknown(true, true));
        if !self.ours.direct || !theirs.direct {
            let side = if self.ours.direct { "the other side" } else { "this side" };
            return format!("{side} was started with --relay-only");
        }
        if self.asked.is_some() || self.directs.iter().any(|direct| direct.deadline.is_some()) {
            return "a direct path is still being looked for".to_owned();
        }
        diagnosis::diagnose(self.role, &self.ours, &theirs).why_not_direct()
    }

    fn is_direct(&self) -> bool {
        self.current_direct().is_some()
    }

    fn current_direct(&self) -> Option<usize> {
        let carrier = self.mux.carrier()?;
        self.directs.iter().position(|direct| direct.carrier == carrier)
    }

    fn next_carrier(&mut self) -> u32 {
        self.highest = self.highest.saturating_add(1);
        self.highest
    }
}
