//! One signaling WebSocket, as its session sees it.

use std::time::{Duration, Instant};

use bytes::Bytes;

use super::event::Signal;
use crate::signaling::error::SignalingError;
use crate::signaling::message::Inner;
use crate::signaling::sealing::{Opener, RELAY_OVERHEAD, Sealer};

/// Minimum silence after which a link is suspect, if it has no relay and there is no path.
const SILENCE: Duration = Duration::from_secs(5);

/// Protection of messages from those who forward them.
pub(super) enum Cipher {
    /// Sealed, between a client and a host.
    Sealed(Sealer, Opener),
    /// Not sealed: no third party forwards the messages.
    Plain,
}

/// One signaling WebSocket of a session.
pub(super) struct Link {
    cipher: Cipher,
    /// Bytes that wait for the network, as far as is known.
    waiting: usize,
    /// A relay was started on it; each WebSocket has at most one.
    has_relayed: bool,
    /// It was silent for too long: another WebSocket is wanted.
    is_suspect: bool,
    /// Our side has sent something on it.
    has_begun: bool,
    /// The session's carrier when this link began.
    carrier: Option<u32>,
    /// When something last arrived on it.
    heard_at: Instant,
    /// The owner was told that it is no longer needed.
    is_done: bool,
}

impl Link {
    pub(super) fn new(now: Instant, carrier: Option<u32>, cipher: Cipher) -> Link {
        Link {
            cipher,
            waiting: 0,
            has_relayed: false,
            is_suspect: false,
            has_begun: false,
            carrier,
            heard_at: now,
            is_done: false,
        }
    }

    /// Creates the link under a plain session, whose only relay exists from the beginning.
    pub(super) fn plain(now: Instant) -> Link {
        Link { has_begun: true, has_relayed: true, ..Link::new(now, None, Cipher::Plain) }
    }

    /// Opens a sealed message; `None` on a plain link. An opened message is a sign of life.
    pub(super) fn open(&mut self, now: Instant, text: &str) -> Option<Result<Inner, SignalingError>> {
        let Cipher::Sealed(_, opener) = &mut self.cipher else { return None };
        let opened = opener.open(text);
        if opened.is_ok() {
            self.heard_at = now;
            self.is_suspect = false;
        }
        Some(opened)
    }

    /// Opens a sealed message of the relay.
    pub(super) fn open_binary(&mut self, now: Instant, bytes: Bytes) -> Result<Bytes, SignalingError> {
        let message = match &mut self.cipher {
            Cipher::Sealed(_, opener) => opener.open_binary(bytes)?,
            Cipher::Plain => bytes,
        };
        self.heard_at = now;
        Ok(message)
    }

    /// Seals a message; `None` on a plain link.
    pub(super) fn seal(&mut self, inner: &Inner) -> Option<Signal> {
        let Cipher::Sealed(sealer, _) = &mut self.cipher else { return None };
        let text = sealer.seal(inner);
        self.waiting += text.len();
        Some(Signal::Text(text))
    }

    /// Seals a message of the relay.
    pub(super) fn seal_binary(&mut self, message: &[u8]) -> Signal {
        self.waiting += message.len() + RELAY_OVERHEAD;
        Signal::Binary(match &mut self.cipher {
            Cipher::Sealed(sealer, _) => sealer.seal_binary(message),
            Cipher::Plain => message.to_vec(),
        })
    }

    /// Sets the number of bytes that wait in the WebSocket.
    pub(super) fn set_waiting(&mut self, bytes: usize) {
        self.waiting = bytes;
    }

    /// Marks that our side sends something. Returns false if it did so before.
    #[must_use]
    pub(super) fn begin(&mut self) -> bool {
        !std::mem::replace(&mut self.has_begun, true)
    }

    /// Marks that a relay is started on it.
    pub(super) fn begin_relay(&mut self) {
        self.has_relayed = true;
    }

    /// Marks it as suspect.
    pub(super) fn suspect(&mut self) {
        self.is_suspect = true;
    }

    /// Marks it as working.
    pub(super) fn trust(&mut self) {
        self.is_suspect = false;
    }

    /// Marks that the owner was told it is no longer needed.
    pub(super) fn finish(&mut self) {
        self.is_done = true;
    }

    pub(super) fn is_plain(&self) -> bool {
        matches!(self.cipher, Cipher::Plain)
    }

    pub(super) fn waiting(&self) -> usize {
        self.waiting
    }

    pub(super) fn has_begun(&self) -> bool {
        self.has_begun
    }

    pub(super) fn has_relayed(&self) -> bool {
        self.has_relayed
    }

    pub(super) fn is_suspect(&self) -> bool {
        self.is_suspect
    }

    pub(super) fn is_done(&self) -> bool {
        self.is_done
    }

    pub(super) fn is_usable(&self) -> bool {
        !self.is_suspect && !self.is_done
    }

    /// Tells whether a carrier opened after this link began.
    pub(super) fn is_older_than(&self, carrier: u32) -> bool {
        self.carrier.is_none_or(|before| before < carrier)
    }

    /// Returns when it becomes suspect if nothing arrives, while there is no path. By then, an attempt negotiated on it
    /// has had its time.
    pub(super) fn quiet_at(&self, p2p_timeout: Duration) -> Instant {
        self.heard_at + SILENCE.max(p2p_timeout)
    }
}
