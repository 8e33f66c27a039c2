//! `pinhole check`: looks at this machine's network and, given a URL, at a host's signaling and network, and says what
//! that means. A loop of its own on one thread; it ends by itself within seconds.

mod survey;
mod visit;

use std::io;
use std::sync::Arc;

use thiserror::Error;

use self::survey::Survey;
use self::visit::{Visit, Visited};
use super::{Reporter, RunError};
use crate::config::CheckConfig;
use crate::net::interfaces::{interface_name, offered_addresses};
use crate::net::system::{self, Events, Poll, Token, Waker};
use crate::net::tls;
use crate::session::diagnosis::{self, Diagnosis, Direct};
use crate::signaling::network::Network;
use crate::status::check::{Expectation, Finding, Side};
use crate::status::event::Event;
use crate::tunnel::Role;

/// The waker of the helper threads.
const WAKER: Token = Token(0);

/// The signaling WebSocket.
const LINK: Token = Token(1);

/// The first UDP socket; the others follow.
const FIRST_SOCKET: usize = 2;

/// What is said of a host that lets us in and says nothing.
const SILENT_HOST: &str = "knows the pin and says nothing of its network; somebody there may be asked first (--ask)";

/// Events taken from the system at once.
const EVENTS: usize = 64;

/// What keeps this machine from connecting.
#[derive(Debug, Error)]
pub enum CheckError {
    /// There is no address a peer could be told of.
    #[error("this machine is in no network: it has no address but its own loopback")]
    NoNetwork,
    /// Neither a direct path nor the relay will do.
    #[error("these two will not connect: {0}")]
    NoPath(String),
    /// The host cannot be reached, or refuses us, or the check could not be made.
    #[error(transparent)]
    Run(#[from] RunError),
}

impl CheckError {
    /// Returns a stable word for programs (`docs/events.md`).
    pub fn code(&self) -> &str {
        match self {
            CheckError::NoNetwork => "no-network",
            CheckError::NoPath(_) => "no-path",
            CheckError::Run(error) => error.code(),
        }
    }
}

impl From<io::Error> for CheckError {
    fn from(error: io::Error) -> CheckError {
        CheckError::Run(error.into())
    }
}

/// A check of this machine's network.
pub struct Check {
    config: CheckConfig,
    reporter: Reporter,
}

impl Check {
    /// Prepares a check that reports to `reporter`.
    pub fn new(config: CheckConfig, reporter: Reporter) -> Check {
        Check { config, reporter }
    }

    /// Makes the check.
    ///
    /// # Errors
    /// What would keep a session from being established, or what the check itself failed of.
    pub fn run(mut self) -> Result<(), CheckError> {
        let mut poll = Poll::new()?;
        let waker = Arc::new(Waker::new(poll.registry(), WAKER)?);
        let visit = self.config.visit.take();
        // A file that cannot be read is said before anything takes time.
        let tls = match &visit {
            Some(visit) if visit.url.tls => Some(tls::client_config(visit.ca.as_deref()).map_err(RunError::from)?),
            _ => None,
        };
        let mut addresses = offered_addresses(None)?.addresses;
        addresses.retain(|address| !address.is_loopback());
        for &address in &addresses {
            self.report(Finding::Interface { address, name: interface_name(address).unwrap_or_default() });
        }
        let now = system::now();
        let mut survey = Survey::start(now, poll.registry(), &waker, &addresses, &self.config.stun);
        let mut visit = visit.map(|visit| Visit::start(now, poll.registry(), waker.clone(), visit, tls));
        let mut ours = None;
        let mut events = Events::with_capacity(EVENTS);
        loop {
            let now = system::now();
            survey.advance(now);
            if let Some(visit) = &mut visit {
                visit.advance(now, poll.registry());
            }
            if ours.is_none() && survey.is_done() {
                let network = survey.network();
                ours = Some(network);
                survey.findings().for_each(|finding| self.report(finding));
                self.report(Finding::Network { side: Side::Here, network, message: diagnosis::outlook(&network) });
                // A visit may be waiting for this alone.
                if let Some(visit) = &mut visit {
                    visit.handle_findings(network);
                    visit.advance(now, poll.registry());
                }
            }
            if ours.is_some() && visit.as_ref().is_none_or(Visit::is_over) {
                break;
            }
            let visiting = visit.as_ref().and_then(|visit| visit.poll_timeout(now));
            let next = [survey.poll_timeout(now), visiting].into_iter().flatten().min();
            let timeout = next.map(|at| at.saturating_duration_since(system::now()));
            if let Err(error) = poll.poll(&mut events, timeout)
                && error.kind() != io::ErrorKind::Interrupted
            {
                return Err(error.into());
            }
            for event in &events {
                match (event.token(), &mut visit) {
                    (WAKER, _) => {}
                    (LINK, Some(visit)) => visit.handle_event(event),
                    _ => survey.handle_event(event),
                }
            }
        }
        let ours = ours.unwrap_or(Network::unknown(true, true));
        match visit.map(Visit::into_result) {
            Some(visited) => self.conclude(&ours, visited),
            None if addresses.is_empty() => Err(CheckError::NoNetwork),
            None => Ok(()),
        }
    }

    /// Says what a visit came to.
    fn conclude(&mut self, ours: &Network, visited: Visited) -> Result<(), CheckError> {
        let Visited { url, open_time, is_proven, theirs, failure } = visited;
        let open_ms = open_time.map(|time| (time.as_secs_f64() * 1e6).round() / 1e3);
        self.report(Finding::Signaling { url, ok: open_ms.is_some(), open_ms });
        let (theirs, message) = match theirs {
            Some(theirs) => (theirs, diagnosis::situation(&theirs)),
            None if is_proven && failure.is_none() => (Network::unknown(true, true), SILENT_HOST.to_owned()),
            None => return failure.map_or(Ok(()), |error| Err(error.into())),
        };
        self.report(Finding::Network { side: Side::Host, network: theirs, message });
        let diagnosis = diagnosis::diagnose(Role::Client, ours, &theirs);
        self.report(verdict(&diagnosis));
        match failure {
            Some(error) => Err(error.into()),
            None if diagnosis.connects() => Ok(()),
            None => Err(CheckError::NoPath(diagnosis.sentence())),
        }
    }

    fn report(&mut self, finding: Finding) {
        (self.reporter)(&Event::Check(finding));
    }
}

fn verdict(diagnosis: &Diagnosis) -> Finding {
    let direct = match diagnosis.direct {
        Direct::Yes => Expectation::Yes,
        Direct::Perhaps => Expectation::Perhaps,
        Direct::No => Expectation::No,
    };
    Finding::Verdict { direct, relay: diagnosis.relay, message: diagnosis.sentence() }
}
