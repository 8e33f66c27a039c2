//! The timers of a session.

use std::time::Instant;

/// A timer of a session. Timers due at the same time are handled in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Timer {
    /// The state reaches its deadline.
    State,
    /// The time for an attempt at a direct path is over.
    Attempt,
    /// The peer is asked over the relay for a sign of life.
    AskRelay,
    /// The relay is suspect.
    RelaySilent,
    /// The signaling WebSocket is suspect.
    LinkSilent,
    /// The direct path is suspect.
    DirectTrouble,
    /// The peer did not follow to a new carrier.
    Unready,
    /// There is no carrier.
    NoCarrier,
    /// The host makes an offer.
    Offer,
    /// The owner is told that the signaling WebSocket is no longer needed.
    LinkDone,
    /// The client starts a relay.
    StartRelay,
    /// The client asks for an offer.
    AskOffer,
}

impl Timer {
    const COUNT: usize = Timer::AskOffer as usize + 1;

    /// Timers that watch the path and its replacement.
    pub(super) const PATH: [Timer; 6] = [
        Timer::AskRelay,
        Timer::RelaySilent,
        Timer::LinkSilent,
        Timer::DirectTrouble,
        Timer::Unready,
        Timer::NoCarrier,
    ];

    /// Timers for a better path.
    pub(super) const PURSUIT: [Timer; 4] = [Timer::Offer, Timer::LinkDone, Timer::StartRelay, Timer::AskOffer];
}

/// The time of each timer that is wanted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct TimerTable([Option<Instant>; Timer::COUNT]);

impl TimerTable {
    pub(super) fn set(&mut self, timer: Timer, at: impl Into<Option<Instant>>) {
        self.0[timer as usize] = at.into();
    }

    #[cfg(test)]
    pub(super) fn get(&self, timer: Timer) -> Option<Instant> {
        self.0[timer as usize]
    }

    pub(super) fn is_due(&self, timer: Timer, now: Instant) -> bool {
        self.0[timer as usize].is_some_and(|at| at <= now)
    }

    /// Returns the earliest time.
    pub(super) fn next(&self) -> Option<Instant> {
        self.0.into_iter().flatten().min()
    }
}
