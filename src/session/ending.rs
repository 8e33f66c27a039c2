//! How a session ends.

use std::time::{Duration, Instant};

use super::Session;
use super::event::{End, Event};
use super::state::{State, Step};
use crate::signaling::farewell::{Farewell, VISITED};
use crate::signaling::invitation::Lapse;
use crate::tunnel::{self, GoAwayReason, Origin, Role};

/// How long the last messages may take to be acknowledged when a session closes.
const CLOSE_TIMEOUT: Duration = Duration::from_millis(500);

impl Session {
    /// Ends the session: no new streams, a GOAWAY, and two seconds for open streams to finish.
    pub fn go_away(&mut self, now: Instant, reason: GoAwayReason, detail: &str) {
        match self.state {
            State::Connecting { .. } => {
                self.say_bye(detail.into());
                match self.mux.carrier() {
                    // The peer may be connected already, and no longer listen to signaling.
                    Some(_) => self.mux.go_away(now, reason, detail),
                    None => self.finish(now, End::Local),
                }
            }
            State::Established | State::Recovering { .. } => self.mux.go_away(now, reason, detail),
            State::Closing { .. } | State::Closed => {}
        }
    }

    /// Ends the session because the peer's invitation does not count any more. The peer is told why, if there is a
    /// path; nothing of its streams is waited for.
    pub fn lapse(&mut self, now: Instant, lapse: Lapse) {
        match self.state {
            State::Connecting { .. } | State::Recovering { .. } => {
                self.say_bye(Farewell::Lapsed(lapse));
                match self.mux.carrier().filter(|_| self.state.is_connecting()) {
                    // The peer may be connected already, and no longer listen to signaling.
                    Some(_) => self.mux.cut_off(now, go_away_reason(lapse), lapse.as_str()),
                    None => self.finish(now, End::Lapsed(lapse)),
                }
            }
            State::Established => self.mux.cut_off(now, go_away_reason(lapse), lapse.as_str()),
            State::Closing { .. } | State::Closed => {}
        }
    }

    /// Ends the session without waiting for the peer: its process was replaced, or its place is needed.
    pub fn abandon(&mut self, now: Instant, end: End) {
        self.finish(now, end);
    }

    /// Ends the session because no path was found in time, and tells the peer not to wait.
    pub(super) fn give_up_connecting(&mut self, now: Instant) {
        self.say_bye(Farewell::NoPath);
        self.finish(now, End::NoPath);
    }

    /// Closes the session after the mux ended it; the last message still has to be acknowledged.
    pub(super) fn handle_mux_ended(&mut self, now: Instant, reason: GoAwayReason, detail: String, origin: Origin) {
        let end = match (reason, origin) {
            (GoAwayReason::Shutdown | GoAwayReason::Restart, Origin::Local) => End::Local,
            (GoAwayReason::Shutdown, Origin::Peer) if self.role == Role::Host && detail == VISITED => End::Visit,
            (GoAwayReason::Shutdown, Origin::Peer) => End::Peer,
            (GoAwayReason::Restart, Origin::Peer) => End::Restart,
            (GoAwayReason::Expired, _) => End::Lapsed(Lapse::Expired),
            (GoAwayReason::Revoked, _) => End::Lapsed(Lapse::Revoked),
            (_, Origin::Local) => End::Failed(format!("the peer broke the protocol: {detail}")),
            (_, Origin::Peer) => End::Failed(format!("the peer ended the session: {detail}")),
        };
        self.end.get_or_insert(end);
        self.drop_attempts(now);
        if self.step(Step::End { deadline: now + CLOSE_TIMEOUT }) {
            self.close_if_delivered(now);
        }
    }

    pub(super) fn fail(&mut self, now: Instant, reason: &str) {
        self.finish(now, End::Failed(reason.to_owned()));
    }

    /// Ends the session without waiting for the peer.
    pub(super) fn finish(&mut self, now: Instant, end: End) {
        if self.is_closed() {
            return;
        }
        self.end.get_or_insert(end);
        self.close(now);
    }

    /// Closes a session that only waits for its last messages to be acknowledged, once they are.
    pub(super) fn close_if_delivered(&mut self, now: Instant) {
        let State::Closing { .. } = self.state else { return };
        let direct = self.mux.carrier().and_then(|carrier| self.carriers.direct_mut(carrier));
        let is_delivered = match direct {
            Some(direct) => direct.connection.waiting() == 0,
            // The WebSocket sends its queue before it closes.
            None => true,
        };
        if is_delivered {
            self.close(now);
        }
    }

    pub(super) fn close(&mut self, now: Instant) {
        let end = self.end.clone().unwrap_or(End::Local);
        self.drop_directs(now, |_| true);
        self.carriers.relay = None;
        let origin = if end == End::Local { Origin::Local } else { Origin::Peer };
        self.mux.close(GoAwayReason::Shutdown, &end.to_string(), origin);
        // The last events of the streams come before the end of the session.
        while let Some(event) = self.mux.poll_event() {
            if matches!(event, tunnel::Event::Aborted { .. } | tunnel::Event::Finished(_)) {
                self.events.push_back(Event::Stream(event));
            }
        }
        self.step(Step::Close);
        self.events.push_back(Event::Ended(end));
    }
}

fn go_away_reason(lapse: Lapse) -> GoAwayReason {
    match lapse {
        Lapse::Expired => GoAwayReason::Expired,
        Lapse::Revoked | Lapse::Used => GoAwayReason::Revoked,
    }
}
