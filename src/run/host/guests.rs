//! Who may come in: guesses of the pin in their turn, the bound on sessions, the person at the terminal.

use std::time::Duration;

use log::{debug, info};

use super::{Host, LinkKey, Phase};
use crate::address::Endpoint;
use crate::config::SharedService;
use crate::run::approval::Approval;
use crate::run::deadlines::Due;
use crate::session::End;
use crate::shares::{Admission, Standing};
use crate::signaling::error::SignalingError;
use crate::signaling::handshake::Established;
use crate::signaling::pin::Pin;
use crate::status::event::Event;
use crate::tunnel::{Config, Role, Service};

/// How long a person may take to answer `--ask`.
const ASK_TIMEOUT: Duration = Duration::from_secs(60);

impl Host {
    /// Queues a client's proof; from here on its time is the limiter's.
    pub(super) fn enqueue(&mut self, index: usize) {
        let link = &mut self.links[index];
        self.core.next_serial += 1;
        link.serial = self.core.next_serial;
        self.limiter.enqueue(self.core.now, link.source, LinkKey { index, serial: link.serial });
        link.phase = match std::mem::replace(&mut link.phase, Phase::Closing) {
            Phase::Pake(handshake) => Phase::Verifying(handshake),
            other => other,
        };
        self.verify();
    }

    /// Verifies the proofs whose turn has come.
    pub(super) fn verify(&mut self) {
        while let Some(key) = self.limiter.poll_verify(self.core.now, rand::random()) {
            let link = self.links.get_mut(key.index).filter(|link| link.serial == key.serial);
            let verdict = match link.map(|link| std::mem::replace(&mut link.phase, Phase::Closing)) {
                Some(Phase::Verifying(mut handshake)) => handshake.verify(),
                _ => {
                    self.limiter.skip();
                    continue;
                }
            };
            match verdict {
                Ok((confirm, established)) => {
                    self.limiter.record_success();
                    self.send(key.index, confirm);
                    self.admit(key.index, established);
                }
                Err(error) => {
                    let remote = self.links[key.index].remote.clone();
                    if matches!(error, SignalingError::BadPin) {
                        let replace = self.limiter.record_failure(self.core.now).is_some();
                        let count = self.limiter.failures();
                        self.core.warn(
                            "bad-pin",
                            format!(
                                "a client from {remote} tried a wrong pin ({count} so far); guesses are slowed down"
                            ),
                        );
                        self.refuse(key.index, &error);
                        self.refuse_passed_over();
                        if replace {
                            self.replace_pin();
                        }
                    } else {
                        self.limiter.skip();
                        self.refuse(key.index, &error);
                    }
                }
            }
        }
        self.core.verify_at = self.limiter.poll_timeout();
    }

    /// Begins another session with a client that has a ticket, if it proves itself. Its last one is over, whatever we
    /// know of it; not a later one, should somebody have held this proof back.
    pub(super) fn finish_return(&mut self, index: usize, text: &str) {
        let Phase::Returning(resume, last) = std::mem::replace(&mut self.links[index].phase, Phase::Closing) else {
            return;
        };
        match resume.handle_returning(text) {
            Ok(established) => {
                self.core.abandon(last, End::Peer);
                self.admit(index, established);
            }
            Err(error) => self.refuse(index, &error),
        }
    }

    /// Lets a client in that knows the pin, if there is room and nobody objects.
    pub(super) fn admit(&mut self, index: usize, established: Established) {
        // A client that is gone already took its link along.
        let Some(link) = self.links.get_mut(index) else { return };
        let Some(approval) = &mut self.approval else { return self.start_session(index, established) };
        let serial = link.serial;
        let question = format!("Let a client from {} join (session {})?", link.remote, established.session);
        let former = match approval.ask(serial, link.source, question) {
            Admission::Free => None,
            Admission::InsteadOf(former) => Some(former),
            Admission::Full => return self.refuse(index, &SignalingError::Full),
        };
        link.phase = Phase::Asking(Box::new(established));
        self.places.set(index, Standing::Settled);
        self.core.deadlines.add(self.core.now + ASK_TIMEOUT, Due::Link { index, serial });
        if let Some((former, _)) = self.links.iter().find(|(_, link)| Some(link.serial) == former) {
            self.refuse_busy(former);
        }
    }

    /// Takes what the person at the terminal answered.
    pub(super) fn handle_answers(&mut self) {
        while let Some((serial, verdict)) = self.approval.as_mut().and_then(Approval::poll) {
            let Some((index, _)) = self.links.iter().find(|(_, link)| link.serial == serial) else { continue };
            match std::mem::replace(&mut self.links[index].phase, Phase::Closing) {
                Phase::Asking(established) if verdict => self.start_session(index, *established),
                _ => self.refuse(index, &SignalingError::Denied),
            }
        }
    }

    pub(super) fn start_session(&mut self, index: usize, established: Established) {
        let is_full = self.core.peer_count() >= self.config.max_sessions;
        if self.is_stopping || (is_full && !self.core.evict()) {
            let remote = &self.links[index].remote;
            if !self.is_stopping {
                let message = format!("a client from {remote} was refused: all sessions are taken (--max-sessions)");
                self.core.warn("full", message);
            }
            return self.refuse(index, &SignalingError::Full);
        }
        let mut config = self.config.bounds.apply(Config::new(Role::Host));
        config.services = self.announced(None);
        let remote = self.links[index].remote.clone();
        let (name, ticket) = (established.session.to_string(), established.ticket.clone());
        info!("session={name} remote={remote} joins");
        match self.core.add_session(established, config) {
            Ok(session) => {
                let link = &mut self.links[index];
                link.phase = Phase::Session(session);
                // Our end of the connection that led here may lead to the client directly, too.
                let local = link.end.source().and_then(|source| source.local_addr().ok());
                if let (Some(entry), Some(local)) = (self.core.session(session), local) {
                    entry.signaling_address = Some(local.ip().to_canonical());
                }
                self.places.leave(index);
                if let Some(before) = self.tickets.note(ticket, session, name.clone()) {
                    self.core.report(&Event::Returned { session: name, before, remote });
                }
            }
            Err(reason) => {
                self.core.warn("start", format!("a client could not be served: {reason}"));
                self.refuse(index, &SignalingError::Full);
            }
        }
    }

    /// Says what is shared: everything, or that one service.
    pub(super) fn announced(&self, only: Option<usize>) -> Vec<Service> {
        let services = self.config.services.iter().zip(0..);
        let wanted = services.filter(|(_, id)| only.is_none_or(|only| only == usize::from(*id)));
        wanted.map(|(service, id)| announced(service, id)).collect()
    }

    /// A generated pin that was guessed at too often is replaced; one that was chosen stays, with a warning.
    pub(super) fn replace_pin(&mut self) {
        if self.config.pin.is_some() {
            let failures = self.limiter.failures();
            let message = format!("the pin was guessed at {failures} times: choose a longer one and start again");
            return self.core.warn("pin-attacked", message);
        }
        self.pin = Pin::generate();
        for key in self.limiter.pin_replaced() {
            debug!("guess of the old pin dropped link={}", key.index);
        }
        let unproven = self.links.iter().filter(|(_, link)| matches!(link.phase, Phase::Pake(_) | Phase::Verifying(_)));
        let unproven: Vec<usize> = unproven.map(|(index, _)| index).collect();
        unproven.into_iter().for_each(|index| self.drop_link(index));
        let pin = self.pin.reveal().to_owned();
        self.core.report(&Event::PinReplaced { pin });
    }
}

/// Says of a service what clients need to know.
fn announced(service: &SharedService, id: u16) -> Service {
    let port = match &service.endpoint {
        Endpoint::Tcp(target) | Endpoint::Udp(target) => Some(target.port),
        Endpoint::Unix(_) => None,
    };
    let proto = service.endpoint.protocol().as_str().to_owned();
    Service { id, name: service.name.clone(), proto, port }
}
