//! Admission of clients: guesses of the pin in their turn, the limit on sessions, the question to a person.

use std::time::Duration;

use log::{debug, info};

use super::Host;
use super::links::Phase;
use crate::address::Endpoint;
#[cfg(unix)]
use crate::address::Protocol;
#[cfg(unix)]
use crate::config::ProgramService;
use crate::config::{JoinRequest, SharedService};
use crate::run::approval::Approval;
use crate::run::keys::LinkKey;
use crate::shares::{Admission, Standing};
use crate::signaling::error::SignalingError;
use crate::signaling::handshake::Established;
use crate::signaling::pin::Pin;
use crate::status::event::Event;
use crate::tunnel::{Config, Role, Service};

/// Time for a person to answer `--ask`.
const ASK_TIMEOUT: Duration = Duration::from_secs(60);

impl Host {
    /// Queues a client's proof; from here on the limiter decides its time.
    pub(super) fn enqueue(&mut self, key: LinkKey) {
        self.links.begin_endless_step(key);
        let link = &mut self.links[key];
        self.limiter.enqueue(self.core.turn.now, link.source(), key);
        link.phase = match std::mem::replace(&mut link.phase, Phase::Closing) {
            Phase::Pake(handshake) => Phase::Verifying(handshake),
            other => other,
        };
        self.verify();
    }

    /// Verifies the proofs whose turn has come.
    pub(super) fn verify(&mut self) {
        while let Some(key) = self.limiter.poll_verify(self.core.turn.now, rand::random()) {
            let link = self.links.get_mut(key);
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
                    self.send(key, confirm);
                    self.admit(key, established);
                }
                Err(error) => {
                    let remote = self.links[key].remote;
                    if matches!(error, SignalingError::BadPin) {
                        let replace = self.limiter.record_failure(self.core.turn.now).is_some();
                        let count = self.limiter.failures();
                        self.core.turn.warn(
                            "bad-pin",
                            format!(
                                "a client from {remote} tried a wrong pin ({count} so far); guesses are slowed down"
                            ),
                        );
                        self.refuse(key, &error);
                        self.refuse_passed_over();
                        if replace {
                            self.replace_pin();
                        }
                    } else {
                        self.limiter.skip();
                        self.refuse(key, &error);
                    }
                }
            }
        }
        self.core.turn.verify_at = self.limiter.poll_timeout();
    }

    /// Admits a client that knows the pin, if there is room and nobody objects.
    pub(super) fn admit(&mut self, key: LinkKey, established: Established) {
        // The link of a client that hung up is gone.
        let Some(link) = self.links.get_mut(key) else { return };
        let Some(approval) = &mut self.approval else { return self.start_session(key, established) };
        let request = JoinRequest { remote: link.remote, session: established.session.to_string() };
        let former = match approval.ask(key.number(), link.source(), request) {
            Admission::Free => None,
            Admission::InsteadOf(former) => Some(former),
            Admission::Full => return self.refuse(key, &SignalingError::Full),
        };
        link.phase = Phase::Asking(Box::new(established));
        self.places.set(key, Standing::Settled);
        self.begin_step(key, ASK_TIMEOUT);
        if let Some(former) = former.and_then(|former| self.asked(former)) {
            self.refuse_busy(former);
        }
    }

    /// Handles a person's answers.
    pub(super) fn handle_answers(&mut self) {
        while let Some((question, verdict)) = self.approval.as_mut().and_then(Approval::poll) {
            let Some(key) = self.asked(question) else { continue };
            match std::mem::replace(&mut self.links[key].phase, Phase::Closing) {
                Phase::Asking(established) if verdict => self.start_session(key, *established),
                _ => self.refuse(key, &SignalingError::Denied),
            }
        }
    }

    /// Answers the open question, in a test. Returns the question.
    #[cfg(test)]
    pub(in crate::run) fn answer_question(&mut self, verdict: bool) -> Option<String> {
        let (asked, answer) = self.approval.as_ref()?.person.as_ref()?;
        let (question, request) = asked.try_recv().ok()?;
        answer.try_send((question, verdict)).ok()?;
        self.core.turn.stopper().waker().wake().ok()?;
        Some(request.to_string())
    }

    /// Returns the link that a question is about, if it still waits for the answer.
    fn asked(&self, question: u64) -> Option<LinkKey> {
        let (key, link) = self.links.iter().find(|(key, _)| key.number() == question)?;
        matches!(link.phase, Phase::Asking(_)).then_some(key)
    }

    pub(super) fn start_session(&mut self, key: LinkKey, established: Established) {
        let is_full = self.core.sessions.peer_count() >= self.config.max_sessions;
        if self.is_ending() || (is_full && !self.core.evict()) {
            let remote = self.links[key].remote;
            if !self.is_ending() {
                let message = format!("a client from {remote} was refused: all sessions are taken (--max-sessions)");
                self.core.turn.warn("full", message);
            }
            return self.refuse(key, &SignalingError::Full);
        }
        let mut config = self.config.bounds.apply(Config::new(Role::Host));
        config.services = self.announced(None);
        let remote = self.links[key].remote.to_string();
        let (name, ticket) = (established.session.to_string(), established.ticket.clone());
        info!("session={name} remote={remote} joins");
        let local = self.links[key].local_ip();
        match self.core.sessions.add(&self.core.turn, established, config, local) {
            Ok(session) => {
                self.links[key].phase = Phase::Session(session);
                self.places.leave(key);
                if let Some(before) = self.tickets.note(ticket, session, name.clone()) {
                    self.core.turn.report(&Event::Returned { session: name, before, remote });
                }
            }
            Err(reason) => {
                self.core.turn.warn("start", format!("a client could not be served: {reason}"));
                self.refuse(key, &SignalingError::Full);
            }
        }
    }

    /// Returns the announced services: all, or only one.
    pub(super) fn announced(&self, only: Option<usize>) -> Vec<Service> {
        let services = self.config.services.iter().zip(0..).map(|(service, id)| announced(service, id));
        #[cfg(unix)]
        let services = {
            let programs = self.config.programs.iter().zip(self.config.services.len()..);
            let of_program = |(service, id): (&ProgramService, usize)| {
                let proto = Protocol::Tcp.as_str().to_owned();
                Some(Service { id: u16::try_from(id).ok()?, name: service.name.clone(), proto, port: None })
            };
            services.chain(programs.filter_map(of_program))
        };
        services.filter(|service| only.is_none_or(|only| only == usize::from(service.id))).collect()
    }

    /// Replaces a generated pin after too many guesses; for a chosen one, only warns.
    pub(super) fn replace_pin(&mut self) {
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
        let unproven = self.links.of(|phase| matches!(phase, Phase::Pake(_) | Phase::Verifying(_)));
        unproven.into_iter().for_each(|key| self.drop_link(key));
    }
}

/// Returns a service as announced to clients.
fn announced(service: &SharedService, id: u16) -> Service {
    let port = match &service.endpoint {
        Endpoint::Tcp(target) | Endpoint::Udp(target) => Some(target.port),
        Endpoint::Unix(_) => None,
    };
    let proto = service.endpoint.protocol().as_str().to_owned();
    Service { id, name: service.name.clone(), proto, port }
}
