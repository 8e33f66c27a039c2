//! How a server ends: what is under way first, then its streams, then everybody is told.

use std::time::{Duration, Instant};

use super::Server;
use crate::run::deadlines::{Due, ServerDue};

/// How long what is under way may take to end once somebody asked us to stop.
const DRAIN: Duration = Duration::from_secs(10);

/// How long hosts and clients may take to hear that the server goes away.
const FAREWELL: Duration = Duration::from_secs(1);

/// ```text
///  Serving ──asked to stop──▶ Draining ──nothing under way──▶ Parting ──services saw it──▶ Leaving ──all left──▶ over
///                                └────────────asked again────────┴─────────────────────────┴───────────────────▶ over
/// ```
#[derive(Debug, Clone, Copy)]
pub(super) enum Stage {
    Serving,
    /// Nobody is taken in any more; until then what is under way may end.
    Draining(Instant),
    /// Services are told that nobody asks any more; until then they may end, too.
    Parting(Instant),
    /// Everybody was told; until then they may take it in.
    Leaving(Instant),
    Over,
}

impl Server {
    /// Looks whether the present stage of the end is over, and begins the next.
    pub(super) fn go_on_ending(&mut self) {
        if let Stage::Draining(by) = self.stage
            && (by <= self.core.turn.now || self.is_drained())
        {
            self.stage = Stage::Parting(self.core.turn.now + FAREWELL);
            self.core.turn.set(FAREWELL, Due::Server(ServerDue::Stage));
            self.end_streams();
            self.core.work();
        }
        if let Stage::Parting(by) = self.stage
            && (by <= self.core.turn.now || self.leaving.is_empty())
        {
            self.stage = Stage::Leaving(self.core.turn.now + FAREWELL);
            self.core.turn.set(FAREWELL, Due::Server(ServerDue::Stage));
            self.say_good_bye();
        }
    }

    /// Takes nobody in any more, and lets what is under way end; at once when asked again.
    pub(super) fn stop(&mut self) {
        match self.stage {
            Stage::Serving => self.stage = Stage::Draining(self.core.turn.now + DRAIN),
            Stage::Draining(_) | Stage::Parting(_) => {
                self.say_good_bye();
                self.stage = Stage::Over;
                return;
            }
            Stage::Leaving(_) | Stage::Over => {
                self.stage = Stage::Over;
                return;
            }
        }
        self.core.turn.set(DRAIN, Due::Server(ServerDue::Stage));
        for (_, port) in self.ports.iter_mut() {
            self.core.turn.deregister(&mut port.listener);
        }
        self.ports.drain().for_each(drop);
    }

    /// Tells whether nothing is under way that an end would cut off.
    fn is_drained(&self) -> bool {
        self.webs.iter().all(|(_, web)| !web.is_busy())
    }

    pub(super) fn is_stopping(&self) -> bool {
        !matches!(self.stage, Stage::Serving)
    }
}
