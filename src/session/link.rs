//! One signaling WebSocket of a session, as the session sees it.

use std::time::Instant;

use super::event::Signal;
use crate::signaling::sealing::{Opener, RELAY_OVERHEAD, Sealer};

/// What keeps messages from those who forward them.
pub(super) enum Cipher {
    /// Between a client and a host.
    Sealed(Sealer, Opener),
    /// Nobody forwards them.
    Plain,
}

/// One signaling WebSocket of a session.
pub(super) struct Link {
    pub(super) cipher: Cipher,
    /// Bytes that wait for the network, as far as we know.
    pub(super) waiting: usize,
    /// A relay was started on it; there is one for each WebSocket.
    pub(super) has_relayed: bool,
    /// Nothing came for long: a further one is wanted.
    pub(super) is_suspect: bool,
    /// Our side has said something on it.
    pub(super) has_begun: bool,
    /// The session's carrier when it began.
    pub(super) carrier: Option<u32>,
    /// When something came on it last.
    pub(super) heard_at: Instant,
    /// It was said that it is not needed any more.
    pub(super) is_done: bool,
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

    pub(super) fn seal_binary(&mut self, message: &[u8]) -> Signal {
        self.waiting += message.len() + RELAY_OVERHEAD;
        Signal::Binary(match &mut self.cipher {
            Cipher::Sealed(sealer, _) => sealer.seal_binary(message),
            Cipher::Plain => message.to_vec(),
        })
    }

    pub(super) fn is_usable(&self) -> bool {
        !self.is_suspect && !self.is_done
    }
}
