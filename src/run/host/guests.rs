//! Admission of clients that proved a pin: the limit on sessions, the question to a person.

use std::time::Duration;

use log::info;

use super::Host;
use super::entrance::{Before, Entrant};
use super::links::Phase;
use crate::address::Endpoint;
#[cfg(unix)]
use crate::address::Protocol;
#[cfg(unix)]
use crate::config::ProgramService;
use crate::config::{JoinRequest, SharedService};
use crate::run::approval::Approval;
use crate::run::keys::LinkKey;
use crate::run::rights::Rights;
use crate::run::sessions::Newcomer;
use crate::shares::{Admission, Standing};
use crate::signaling::error::SignalingError;
use crate::status::event::Event;
use crate::tunnel::{Config, Role, Service};

/// Time for a person to answer `--ask`.
const ASK_TIMEOUT: Duration = Duration::from_secs(60);

impl Host {
    /// Admits a client that knows the pin, if there is room and nobody objects.
    pub(super) fn admit(&mut self, key: LinkKey, entrant: Entrant) {
        // The link of a client that hung up is gone.
        let Some(link) = self.links.get_mut(key) else { return self.invitations.turned_away(key) };
        let Some(approval) = &mut self.approval else { return self.start_session(key, entrant) };
        let request = JoinRequest { remote: link.remote, session: entrant.established.session.to_string() };
        let former = match approval.ask(key.number(), link.source(), request) {
            Admission::Free => None,
            Admission::InsteadOf(former) => Some(former),
            Admission::Full => {
                self.invitations.turned_away(key);
                return self.refuse(key, &SignalingError::Full);
            }
        };
        link.phase = Phase::Asking(Box::new(entrant));
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
                Phase::Asking(entrant) if verdict => self.start_session(key, *entrant),
                _ => {
                    self.invitations.turned_away(key);
                    self.refuse(key, &SignalingError::Denied);
                }
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

    fn start_session(&mut self, key: LinkKey, entrant: Entrant) {
        let Entrant { established, rights } = entrant;
        let is_full = self.core.sessions.peer_count() >= self.config.max_sessions;
        if self.is_ending() || (is_full && !self.core.evict(None)) {
            let remote = self.links[key].remote;
            if !self.is_ending() {
                let message = format!("a client from {remote} was refused: all sessions are taken (--max-sessions)");
                self.core.turn.warn("full", message);
            }
            self.invitations.turned_away(key);
            return self.refuse(key, &SignalingError::Full);
        }
        let mut config = self.config.bounds.apply(Config::new(Role::Host));
        config.services = self.announced_to(rights.as_deref());
        let invitation = rights.as_ref().map(|rights| rights.serial);
        let remote = self.links[key].remote.to_string();
        let (name, ticket) = (established.session.to_string(), established.ticket.clone());
        info!("session={name} remote={remote} joins");
        let newcomer = Newcomer { established, rights, local: self.links[key].local_ip() };
        match self.core.sessions.add(&self.core.turn, newcomer, config) {
            Ok(session) => {
                self.invitations.began(key, session);
                self.links[key].phase = Phase::Session(session);
                self.places.leave(key);
                if let Some(before) = self.tickets.note(ticket, Before { session, invitation }, name.clone()) {
                    self.core.turn.report(&Event::Returned { session: name, before, remote });
                }
            }
            Err(reason) => {
                self.invitations.turned_away(key);
                self.core.turn.warn("start", format!("a client could not be served: {reason}"));
                self.refuse(key, &SignalingError::Full);
            }
        }
    }

    /// Returns the services that are announced to a client. Numbers do not tell of those that it does not have.
    fn announced_to(&self, rights: Option<&Rights>) -> Vec<Service> {
        let all = self.announced(None);
        let Some(rights) = rights else { return all };
        let own = all.into_iter().filter(|service| rights.has_service(&service.name));
        own.zip(0..).map(|(service, id)| Service { id, ..service }).collect()
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
