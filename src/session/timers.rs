//! What a session waits for, and until when.

use std::time::Instant;

/// Something that is done at a time. What is due together is done in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Timer {
    /// The state has lasted for as long as it may.
    State,
    /// A direct path was looked for long enough.
    Attempt,
    /// The peer is asked over the relay for a sign of life.
    AskRelay,
    /// The relay is suspect.
    RelaySilent,
    /// The signaling WebSocket is not believed any more.
    LinkSilent,
    /// The direct path is suspect.
    DirectTrouble,
    /// The peer did not come to a new carrier.
    Unready,
    /// There is no carrier.
    NoCarrier,
    /// The host makes an offer.
    Offer,
    /// The owner hears that the signaling WebSocket is not needed any more.
    LinkDone,
    /// The client starts a relay.
    StartRelay,
    /// The client asks for an offer.
    AskOffer,
}

impl Timer {
    const COUNT: usize = Timer::AskOffer as usize + 1;

    /// Whether the path and what stands in for it work.
    pub(super) const PATH: [Timer; 6] = [
        Timer::AskRelay,
        Timer::RelaySilent,
        Timer::LinkSilent,
        Timer::DirectTrouble,
        Timer::Unready,
        Timer::NoCarrier,
    ];

    /// What is done for a better path.
    pub(super) const PURSUIT: [Timer; 4] = [Timer::Offer, Timer::LinkDone, Timer::StartRelay, Timer::AskOffer];
}

/// When each timer goes off, of those that are wanted.
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

    /// Returns when the next one goes off.
    pub(super) fn next(&self) -> Option<Instant> {
        self.0.into_iter().flatten().min()
    }
}
