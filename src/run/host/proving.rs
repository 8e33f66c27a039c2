//! Proofs of pins: of the host's own and of those of invitations, each in its turn.

use log::debug;

use super::Host;
use super::entrance::Entrant;
use super::invitations::{Closed, Entrance};
use super::links::Phase;
use crate::run::keys::LinkKey;
use crate::run::rights::Serial;
use crate::signaling::error::SignalingError;
use crate::signaling::farewell::Farewell;
use crate::signaling::handshake::{Established, HostHandshake};
use crate::signaling::invitation::Lapse;
use crate::signaling::message::Inner;
use crate::signaling::pin::Pin;
use crate::status::event::Event;

impl Host {
    /// Queues a client's proof; from here on a limiter decides its time.
    pub(super) fn enqueue(&mut self, key: LinkKey) {
        self.links.begin_endless_step(key);
        let link = &mut self.links[key];
        let source = link.source();
        link.phase = match std::mem::replace(&mut link.phase, Phase::Closing) {
            Phase::Pake(handshake, entrance) => {
                let now = self.core.turn.now;
                match entrance {
                    Entrance::Own => self.limiter.enqueue(now, source, key),
                    Entrance::Invitation(bucket, _) => self.invitations.limiter.enqueue(now, bucket, key),
                }
                Phase::Verifying(handshake, entrance)
            }
            other => other,
        };
        self.verify();
    }

    /// Verifies the proofs whose turn has come.
    pub(super) fn verify(&mut self) {
        let now = self.core.turn.now;
        while let Some(key) = self.limiter.poll_verify(now, rand::random()) {
            match self.take_proof(key) {
                Some((handshake, _)) => self.verify_own(key, handshake),
                None => self.limiter.skip(),
            }
        }
        while let Some(key) = self.invitations.limiter.poll_verify(now, rand::random()) {
            match self.take_proof(key) {
                Some((handshake, Entrance::Invitation(_, serial))) => self.verify_invited(key, handshake, serial),
                _ => self.invitations.limiter.skip(),
            }
        }
        let turns = [self.limiter.poll_timeout(), self.invitations.limiter.poll_timeout()];
        self.core.turn.verify_at = turns.into_iter().flatten().min();
    }

    /// Takes the proof of a link whose turn has come, unless its client has left.
    fn take_proof(&mut self, key: LinkKey) -> Option<(HostHandshake, Entrance)> {
        let link = self.links.get_mut(key)?;
        match std::mem::replace(&mut link.phase, Phase::Closing) {
            Phase::Verifying(handshake, entrance) => Some((handshake, entrance)),
            _ => None,
        }
    }

    fn verify_own(&mut self, key: LinkKey, mut handshake: HostHandshake) {
        match handshake.verify() {
            Ok((confirm, established)) => {
                self.limiter.record_success();
                self.send(key, confirm);
                self.admit(key, Entrant { established, rights: None });
            }
            Err(error @ SignalingError::BadPin) => {
                let replace = self.limiter.record_failure(self.core.turn.now).is_some();
                let count = self.limiter.failures();
                self.warn_of_guess(key, &format!("a wrong pin ({count} so far)"));
                self.refuse(key, &error);
                self.refuse_passed_over();
                if replace {
                    self.replace_pin();
                }
            }
            Err(error) => {
                self.limiter.skip();
                self.refuse(key, &error);
            }
        }
    }

    fn verify_invited(&mut self, key: LinkKey, mut handshake: HostHandshake, serial: Option<Serial>) {
        match (handshake.verify(), serial) {
            (Ok((confirm, established)), Some(serial)) => {
                self.invitations.limiter.record_success();
                self.send(key, confirm);
                self.enter(key, serial, established);
            }
            // Nobody knows a pin that was made up.
            (Ok(_), None) | (Err(SignalingError::BadPin), _) => {
                // What a limiter counts in total is of no use here: each invitation has a count of its own.
                let _ = self.invitations.limiter.record_failure(self.core.turn.now);
                let is_spent = serial.is_some_and(|serial| self.invitations.failed(serial));
                let entry = serial.and_then(|serial| self.invitations.get(serial));
                let whose = entry
                    .map_or("an invitation that there is not".to_owned(), |entry| format!("the invitation {entry}"));
                self.warn_of_guess(key, &format!("a wrong pin of {whose}"));
                self.refuse(key, &SignalingError::BadPin);
                self.refuse_passed_over();
                if let Some(serial) = serial.filter(|_| is_spent) {
                    self.revoke(serial, "its pin was guessed at 100 times");
                }
            }
            (Err(error), _) => {
                self.invitations.limiter.skip();
                self.refuse(key, &error);
            }
        }
    }

    fn warn_of_guess(&mut self, key: LinkKey, what: &str) {
        self.core.turn.tally.wrong_pins += 1;
        let Some(remote) = self.links.get(key).map(|link| link.remote) else { return };
        self.core.turn.warn("bad-pin", format!("a client from {remote} tried {what}; guesses are slowed down"));
    }

    /// Lets in a client that proved the pin of an invitation, if that still counts.
    fn enter(&mut self, key: LinkKey, serial: Serial, established: Established) {
        self.expire_invitations();
        let sessions = self.sessions_of(serial);
        match self.invitations.enter(serial, key, sessions) {
            Err(Closed::Full) if self.core.evict(Some(serial)) => self.enter(key, serial, established),
            Err(closed) => self.turn_away(key, established, closed),
            Ok(rights) => self.admit(key, Entrant { established, rights: Some(rights) }),
        }
    }

    /// Lets in a client of an invitation that was there before.
    pub(super) fn enter_again(&mut self, key: LinkKey, serial: Serial, established: Established) {
        self.expire_invitations();
        let sessions = self.sessions_of(serial);
        match self.invitations.enter_again(serial, sessions) {
            Err(Closed::Full) if self.core.evict(Some(serial)) => self.enter_again(key, serial, established),
            Err(closed) => self.turn_away(key, established, closed),
            Ok(rights) => self.admit(key, Entrant { established, rights: Some(rights) }),
        }
    }

    fn turn_away(&mut self, key: LinkKey, established: Established, closed: Closed) {
        match closed {
            Closed::Full => self.refuse(key, &SignalingError::Full),
            Closed::Lapsed(lapse) => self.say_lapsed(key, established, lapse),
        }
    }

    /// Tells a client that proved the pin what became of its invitation. Whoever forwards the WebSocket cannot say so.
    pub(super) fn say_lapsed(&mut self, key: LinkKey, mut established: Established, lapse: Lapse) {
        debug!("link={key} {}", lapse.as_str());
        let text = established.sealer.seal(&Inner::Bye { reason: Farewell::Lapsed(lapse) });
        self.send(key, text);
        self.close_link(key, lapse.as_str());
    }

    /// Replaces a generated pin after too many guesses; for a chosen one, only warns.
    fn replace_pin(&mut self) {
        if self.config.pin.is_some() {
            let failures = self.limiter.failures();
            let message = format!("the pin was guessed at {failures} times: choose a longer one and start again");
            return self.core.turn.warn("pin-attacked", message);
        }
        self.begin_with_pin(Pin::generate());
        let pin = self.pin.reveal().to_owned();
        self.core.turn.report(&Event::PinReplaced { pin, public_url: self.public_url() });
    }

    /// Has clients prove this pin from now on.
    pub(super) fn begin_with_pin(&mut self, pin: Pin) {
        self.pin = pin;
        for key in self.limiter.pin_replaced() {
            debug!("guess of the old pin dropped link={key}");
        }
        let is_of_own =
            |phase: &Phase| matches!(phase, Phase::Pake(_, Entrance::Own) | Phase::Verifying(_, Entrance::Own));
        self.links.of(is_of_own).into_iter().for_each(|key| self.drop_link(key));
    }
}
