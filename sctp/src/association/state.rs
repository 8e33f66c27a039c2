//! The states of an association.

use std::time::Instant;

use bytes::Bytes;

/// Where an association stands (RFC 9260, section 4).
///
/// ```text
///   accept                        connect                              tokens
///     v                              v                                    v
/// Listening                     CookieWait ── INIT ACK ──> CookieEchoed   │
///     │                              │                        │           │
///     └──── COOKIE ECHO ─────────────┴── COOKIE ECHO/ACK ─────┘           │
///                      v                                                  │
///                 Established  <──────────────────────────────────────────┘
///        shutdown │          │ SHUTDOWN
///                 v          v
///     ShutdownPending      ShutdownReceived
///  all acknowledged │          │ all acknowledged
///                 v            v
///         ShutdownSent ──> ShutdownAckSent     (SHUTDOWN or SHUTDOWN ACK of the other)
///                 └────────────┴──> Closed     (also by ABORT, failure and abort, from anywhere)
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Waits for a peer.
    Listening,
    /// Sent INIT.
    CookieWait,
    /// Sent COOKIE ECHO.
    CookieEchoed,
    /// Messages pass.
    Established,
    /// Shuts down once everything is acknowledged.
    ShutdownPending,
    /// Sent SHUTDOWN.
    ShutdownSent,
    /// The peer wants to shut down; unacknowledged messages are still sent.
    ShutdownReceived,
    /// Sent SHUTDOWN ACK.
    ShutdownAckSent,
    /// It is over.
    Closed,
}

impl State {
    /// Tells whether messages of the peer are accepted.
    pub(super) fn takes_data(self) -> bool {
        matches!(self, State::CookieEchoed | State::Established | State::ShutdownPending | State::ShutdownSent)
    }

    /// Tells whether messages are sent.
    pub(super) fn sends_data(self) -> bool {
        matches!(self, State::Established | State::ShutdownPending | State::ShutdownReceived)
    }

    /// Tells whether the association is ending or over.
    pub fn is_closing(self) -> bool {
        matches!(self, State::ShutdownPending | State::ShutdownSent | State::ShutdownReceived | State::ShutdownAckSent)
    }
}

/// A chunk that is repeated until it is answered: INIT, COOKIE ECHO, SHUTDOWN or SHUTDOWN ACK.
#[derive(Debug, Clone, Default)]
pub(super) struct Retry {
    /// When to send it; `None` means at once, because it was never sent.
    pub(super) at: Option<Instant>,
    pub(super) attempts: u32,
}

/// A finished chunk to send.
#[derive(Debug, Clone)]
pub(super) struct Control {
    pub(super) tag: u32,
    /// With its header, without padding.
    pub(super) chunk: Bytes,
    /// It must be alone in its packet, and needs a checksum (RFC 9260, section 6.10; RFC 9653, section 5.2).
    pub(super) is_alone: bool,
}
