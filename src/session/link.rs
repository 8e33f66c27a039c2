//! One signaling WebSocket of a session, as the session sees it.

use std::time::{Duration, Instant};

use bytes::Bytes;

use super::event::Signal;
use crate::signaling::error::SignalingError;
use crate::signaling::message::Inner;
use crate::signaling::sealing::{Opener, RELAY_OVERHEAD, Sealer};

/// Without a relay it is suspect after this much silence at the earliest, while there is no path.
const SILENCE: Duration = Duration::from_secs(5);

/// What keeps messages from those who forward them.
pub(super) enum Cipher {
    /// Between a client and a host.
    Sealed(Sealer, Opener),
    /// Nobody forwards them.
    Plain,
}

/// One signaling WebSocket of a session.
pub(super) struct Link {
    cipher: Cipher,
    /// Bytes that wait for the network, as far as we know.
    waiting: usize,
    /// A relay was started on it; there is one for each WebSocket.
    has_relayed: bool,
    /// Nothing came for long: a further one is wanted.
    is_suspect: bool,
    /// Our side has said something on it.
    has_begun: bool,
    /// The session's carrier when it began.
    carrier: Option<u32>,
    /// When something came on it last.
    heard_at: Instant,
    /// It was said that it is not needed any more.
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

    /// The one under a plain session, whose only relay is there from the beginning.
    pub(super) fn plain(now: Instant) -> Link {
        Link { has_begun: true, has_relayed: true, ..Link::new(now, None, Cipher::Plain) }
    }

    /// Opens a message; `None` where there are none. One that is opened is a sign of life.
    pub(super) fn open(&mut self, now: Instant, text: &str) -> Option<Result<Inner, SignalingError>> {
        let Cipher::Sealed(_, opener) = &mut self.cipher else { return None };
        let opened = opener.open(text);
        if opened.is_ok() {
            self.heard_at = now;
            self.is_suspect = false;
        }
        Some(opened)
    }

    /// Opens a message of the relay.
    pub(super) fn open_binary(&mut self, now: Instant, bytes: Bytes) -> Result<Bytes, SignalingError> {
        let message = match &mut self.cipher {
            Cipher::Sealed(_, opener) => opener.open_binary(bytes)?,
            Cipher::Plain => bytes,
        };
        self.heard_at = now;
        Ok(message)
    }

    /// Seals a message; `None` where there are none.
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

    /// Takes note of how many bytes wait in the WebSocket.
    pub(super) fn set_waiting(&mut self, bytes: usize) {
        self.waiting = bytes;
    }

    /// Takes note that our side says something. Returns false if it did before.
    #[must_use]
    pub(super) fn begin(&mut self) -> bool {
        !std::mem::replace(&mut self.has_begun, true)
    }

    /// Takes note that a relay is started on it.
    pub(super) fn begin_relay(&mut self) {
        self.has_relayed = true;
    }

    /// Takes note that something is wrong with it.
    pub(super) fn suspect(&mut self) {
        self.is_suspect = true;
    }

    /// Takes note that nothing is wrong with it.
    pub(super) fn trust(&mut self) {
        self.is_suspect = false;
    }

    /// Takes note that the owner hears that it is not needed any more.
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

    /// Tells whether a carrier opened after it began.
    pub(super) fn is_older_than(&self, carrier: u32) -> bool {
        self.carrier.is_none_or(|before| before < carrier)
    }

    /// Returns when it is not believed any more if nothing comes, while there is no path: an attempt that was
    /// negotiated on it has had its time by then.
    pub(super) fn quiet_at(&self, p2p_timeout: Duration) -> Instant {
        self.heard_at + SILENCE.max(p2p_timeout)
    }
}
