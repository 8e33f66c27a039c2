//! The end of a session: announced, forced by a broken rule, or because the peer is gone.

use std::time::{Duration, Instant};

use super::Mux;
use crate::tunnel::event::{Event, Origin};
use crate::tunnel::id::StreamKey;
use crate::tunnel::reason::{AbortReason, GoAwayReason};
use crate::tunnel::stream::Application;

/// Whether the session goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Life {
    Running,
    /// A GOAWAY was sent or received: open streams may end until the deadline.
    Draining {
        reason: GoAwayReason,
        detail: String,
        origin: Origin,
        deadline: Instant,
    },
    /// The peer broke the protocol, or has no rights any more: its frames are dropped, and a GOAWAY says why.
    Failed {
        reason: GoAwayReason,
        detail: String,
        deadline: Instant,
    },
    /// The session is over and its event is out.
    Ended,
}

/// How long streams may take to end after a GOAWAY.
pub const DRAIN: Duration = Duration::from_secs(2);

/// How long the GOAWAY to a peer without rights may take to leave.
const CUT_OFF: Duration = Duration::from_millis(400);

impl Mux {
    /// Announces the end of the session; streams may finish for up to [`DRAIN`].
    pub fn go_away(&mut self, now: Instant, reason: GoAwayReason, detail: &str) {
        if self.life == Life::Running {
            self.pending.go_away = Some((reason, detail.to_owned()));
            self.drain(now, reason, detail.to_owned(), Origin::Local);
        }
    }

    /// Queues the GOAWAY again for a new carrier: the old one may have lost it.
    pub(super) fn repeat_go_away(&mut self) {
        if let Life::Draining { reason, detail, origin: Origin::Local, .. } = &self.life {
            self.pending.go_away = Some((*reason, detail.clone()));
        }
    }

    /// Aborts every stream and ends the session without telling the peer, which is gone.
    pub fn close(&mut self, reason: GoAwayReason, detail: &str, origin: Origin) {
        if self.life != Life::Ended {
            self.abort_all(AbortReason::Shutdown, detail, origin);
            self.life = Life::Ended;
            self.events.push_back(Event::Ended(reason, detail.to_owned(), origin));
        }
    }

    /// Tells whether a GOAWAY was sent or received.
    pub fn is_going_away(&self) -> bool {
        self.life != Life::Running
    }

    /// Tells whether the session is over.
    pub fn is_ended(&self) -> bool {
        self.life == Life::Ended
    }

    /// Ends the session because the peer has no right to it any more: streams are aborted, and a GOAWAY says why.
    pub fn cut_off(&mut self, now: Instant, reason: GoAwayReason, detail: &str) {
        if !matches!(self.life, Life::Failed { .. } | Life::Ended) {
            self.abort_all(AbortReason::Shutdown, detail, Origin::Local);
            self.pending.go_away = Some((reason, detail.to_owned()));
            self.life = Life::Failed { reason, detail: detail.to_owned(), deadline: now + CUT_OFF };
        }
    }

    /// Ends the session because the peer broke the protocol: streams are aborted, and a GOAWAY says why.
    pub(super) fn fail(&mut self, now: Instant, reason: GoAwayReason, detail: String) {
        if matches!(self.life, Life::Failed { .. } | Life::Ended) {
            return;
        }
        self.abort_all(AbortReason::Protocol, &detail, Origin::Local);
        self.pending.go_away = Some((reason, detail.clone()));
        self.life = Life::Failed { reason, detail, deadline: now + DRAIN };
    }

    pub(super) fn drain(&mut self, now: Instant, reason: GoAwayReason, detail: String, origin: Origin) {
        self.life = Life::Draining { reason, detail, origin, deadline: now + DRAIN };
    }

    /// Ends a session that failed or whose streams are all gone, once its GOAWAY is out.
    pub(super) fn end_if_drained(&mut self) {
        let (reason, origin) = match &self.life {
            Life::Draining { reason, origin, .. }
                if self.streams.is_empty() && (self.pending.is_empty() || !self.carrier_is_up) =>
            {
                (*reason, *origin)
            }
            Life::Failed { reason, .. } if self.pending.go_away.is_none() => (*reason, Origin::Local),
            _ => return,
        };
        self.end(reason, origin);
    }

    pub(super) fn end(&mut self, reason: GoAwayReason, origin: Origin) {
        let (Life::Draining { detail, .. } | Life::Failed { detail, .. }) =
            std::mem::replace(&mut self.life, Life::Ended)
        else {
            return;
        };
        self.abort_all(AbortReason::Shutdown, &detail, origin);
        self.events.push_back(Event::Ended(reason, detail, origin));
    }

    pub(super) fn abort_all(&mut self, reason: AbortReason, detail: &str, origin: Origin) {
        let keys: Vec<StreamKey> = self.keys().collect();
        for key in keys {
            let is_gone = self.get(key).is_none_or(|stream| stream.application == Application::Gone);
            self.remove(key);
            if !is_gone {
                self.events.push_back(Event::Aborted { key, reason, detail: detail.to_owned(), origin });
            }
        }
        self.ids.clear();
        self.attached = [0; 2];
        self.schedule.clear();
        self.datagrams.clear();
        self.pending.aborts.clear();
    }
}
