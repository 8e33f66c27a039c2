//! Clients that have been here before: they rejoin their session, or begin another without the pin.

use super::Host;
use super::entrance::{Before, Entrant};
use super::links::Phase;
use crate::run::deadlines::STEP_TIMEOUT;
use crate::run::keys::LinkKey;
use crate::session::End;
use crate::signaling::closing;
use crate::signaling::error::SignalingError;
use crate::signaling::message::Resume;
use crate::signaling::resume::HostResume;

impl Host {
    /// Answers a client that rejoins its session, or has a ticket for another.
    pub(super) fn resume(&mut self, key: LinkKey, request: &Resume) {
        if let Some((secret, before)) = self.tickets.find(&request.session) {
            let (resume, text) = HostResume::answer(secret, request);
            self.links[key].phase = Phase::Returning(resume, before);
            self.send(key, text);
            return self.begin_step(key, STEP_TIMEOUT);
        }
        let Some(session) = self.core.sessions.find(&request.session) else {
            return self.refuse(key, &SignalingError::UnknownSession);
        };
        let Some(secret) = self.core.sessions.get_mut(session).and_then(|entry| entry.session.resume_key().cloned())
        else {
            return self.refuse(key, &SignalingError::UnknownSession);
        };
        let (resume, text) = HostResume::answer(secret, request);
        self.links[key].phase = Phase::Resuming(resume, session);
        self.send(key, text);
        self.begin_step(key, STEP_TIMEOUT);
    }

    /// Gives a session its new WebSocket, if the client proves itself.
    pub(super) fn finish_resume(&mut self, key: LinkKey, text: &str) {
        let Phase::Resuming(resume, session) = std::mem::replace(&mut self.links[key].phase, Phase::Closing) else {
            return;
        };
        match resume.handle_text(text) {
            Ok(keys) => {
                if let Some(older) = self.link_of(session) {
                    self.links[older].phase = Phase::Closing;
                    self.close_link(older, closing::RESUMED);
                }
                let local = self.links[key].local_ip();
                if !self.core.sessions.handle_resumed(self.core.turn.now, session, local, keys) {
                    return self.refuse(key, &SignalingError::UnknownSession);
                }
                self.links[key].phase = Phase::Session(session);
                self.places.leave(key);
            }
            Err(error) => self.refuse(key, &error),
        }
    }

    /// Begins another session with a client that has a ticket, if it proves itself. The client's last session ends,
    /// whatever its state here; but not a later one, in case somebody delayed this proof.
    pub(super) fn finish_return(&mut self, key: LinkKey, text: &str) {
        let Phase::Returning(resume, Before { session, invitation }) =
            std::mem::replace(&mut self.links[key].phase, Phase::Closing)
        else {
            return;
        };
        match resume.handle_returning(text) {
            Ok(established) => {
                self.core.abandon(session, End::Peer);
                match invitation {
                    Some(serial) => self.enter_again(key, serial, established),
                    None => self.admit(key, Entrant { established, rights: None }),
                }
            }
            Err(error) => self.refuse(key, &error),
        }
    }
}
