//! What a client does for those who steer it.

use super::Client;
use crate::control::{Order, refusal};
use crate::http::Answer;
use crate::run::control::{counts, text};
use crate::run::keys::SessionKey;

impl Client {
    /// Returns what is counted.
    pub(super) fn count(&mut self) -> String {
        counts(&self.survey())
    }

    /// Ends the session in order. A client is there for one session, so it ends as by Ctrl-C.
    pub(super) fn dismiss(&mut self, _session: SessionKey) {
        // Asking twice is no reason to end without order.
        if !self.is_stopping() {
            self.leave(None);
        }
    }

    pub(super) fn follow_order(&mut self, order: Order) -> Answer {
        match order {
            Order::Health | Order::Ready => text("ok"),
            _ => refusal(404, "a client has nothing of that"),
        }
    }
}
