//! Does what `wants` asks for, at its time.

use std::time::Instant;

use super::Session;
use super::event::{End, Event};
use super::state::{State, Step};
use super::timers::{Timer, TimerTable};
use super::wants::{self, ActiveCarrier, Facts};
use crate::signaling::message::Inner;
use crate::signaling::network::Network;

impl Session {
    /// Does what improves the path now. A second call changes nothing.
    pub(super) fn pursue(&mut self, now: Instant) {
        self.serve(now, &Timer::PURSUIT);
    }

    /// Checks whether the carrier works, and moves from Established to Recovering or back.
    pub(super) fn check_path(&mut self, now: Instant) {
        self.serve(now, &Timer::PATH);
        let State::Recovering { since, .. } = self.state else { return };
        if self.current_direct().is_some_and(|direct| direct.is_heard(now)) {
            self.step(Step::Hear { now, grace: self.reach.grace });
        }
        let direct = self.mux.carrier().and_then(|carrier| self.carriers.direct_mut(carrier));
        let is_back = match direct {
            Some(direct) => direct.is_back(now, since),
            None => self.carriers.relay.as_ref().is_some_and(|relay| relay.is_back(since)),
        };
        if is_back && self.mux.is_ready() && self.step(Step::Pass) {
            let path = self.path();
            self.reported = Some(path.clone());
            let after = now.saturating_duration_since(since);
            self.events.push_back(Event::Recovered { path, after });
            self.pursue(now);
        }
    }

    /// Handles those of `timers` that are due, in their order.
    pub(super) fn serve(&mut self, now: Instant, timers: &[Timer]) {
        let mut wanted = self.wants();
        for &timer in timers {
            if wanted.is_due(timer, now) {
                self.handle_timer(now, timer);
                // The action may have changed what else is wanted.
                wanted = self.wants();
            }
        }
    }

    /// Returns the timers that are wanted.
    pub(super) fn wants(&self) -> TimerTable {
        let theirs = self.theirs.unwrap_or(Network::unknown(true, true));
        wants::wants(&Facts {
            role: self.role,
            state: self.state,
            is_going_away: self.mux.is_going_away(),
            active: self.active_carrier(),
            is_ready: self.mux.is_ready(),
            opened_at: self.opened_at,
            link: self.link.as_ref(),
            attempt_ends_at: self.carriers.attempt().and_then(|direct| direct.deadline),
            p2p_timeout: self.reach.p2p_timeout,
            may_connect: self.reach.direct && theirs.direct,
            may_relay: self.reach.relay && theirs.relay,
            offer_at: self.wanted_offer.map(|_| self.offer_at),
            relay_at: self.relay_at,
            retry_at: self.retry_at,
        })
    }

    /// Tells whether a working direct path should be replaced by a new PeerConnection.
    pub(super) fn is_used_up(&self) -> bool {
        self.state == State::Established
            && matches!(self.active_carrier(), ActiveCarrier::Direct { is_used_up: true, .. })
    }

    fn active_carrier(&self) -> ActiveCarrier {
        let Some(carrier) = self.mux.carrier() else { return ActiveCarrier::Nothing };
        if let Some(direct) = self.carriers.direct(carrier) {
            let is_used_up = direct.connection.records() >= self.reach.records_per_key && !self.mux.is_going_away();
            return ActiveCarrier::Direct { carrier, trouble_at: direct.trouble_at(), is_used_up };
        }
        match self.carriers.relay.as_ref().filter(|relay| relay.carrier == carrier) {
            Some(relay) => {
                ActiveCarrier::Relay { ask_at: relay.asks_at(), trouble_at: relay.trouble_at(self.mux.round_trip()) }
            }
            None => ActiveCarrier::Nothing,
        }
    }

    fn handle_timer(&mut self, now: Instant, timer: Timer) {
        match timer {
            Timer::State => self.handle_deadline(now),
            Timer::Attempt => self.expire_attempt(now),
            Timer::AskRelay => {
                if self.carriers.relay.as_mut().is_some_and(|relay| relay.poll_ping(now)) {
                    self.mux.ping_now(now);
                }
            }
            Timer::RelaySilent => {
                self.suspect_link();
                self.recover(now, "nothing comes over the relay any more".to_owned());
            }
            Timer::LinkSilent => self.suspect_link(),
            Timer::DirectTrouble => {
                if let Some(trouble) = self.current_direct().and_then(|direct| direct.trouble(now)) {
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
                let carrier = self.carriers.next_number();
                self.asked = Some(carrier);
                // Ask again if no offer comes.
                self.retry_at = Some(now + self.reach.p2p_timeout);
                self.signal(&Inner::Connect { carrier });
            }
        }
    }

    /// Handles the deadline of the state.
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
}
