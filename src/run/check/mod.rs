//! `pinhole check`: examines this machine's network and, given a URL, a host's signaling and network, and says what
//! that means. It has a loop of its own on one thread, and ends by itself within seconds.

mod survey;
mod visit;

use std::io;

use thiserror::Error;

use self::survey::Survey;
use self::visit::{Visit, Visited};
use super::deadlines::Due;
use super::notice::{LinkNotice, Notice};
use super::token::Source;
use super::turn::Turn;
use super::{Reporter, RunError};
use crate::config::CheckConfig;
use crate::net::interfaces::{interface_name, offered_addresses};
use crate::session::diagnosis::{self, Diagnosis, Direct};
use crate::signaling::network::Network;
use crate::status::check::{Expectation, Finding, Side};
use crate::status::event::Event;
use crate::tunnel::Role;

/// Failure of a host that accepts the pin but tells nothing of its network.
const SILENT_HOST: &str = "knows the pin and says nothing of its network; somebody there may be asked first (--ask)";

/// What prevents this machine from connecting.
#[derive(Debug, Error)]
pub enum CheckError {
    /// There is no address to tell a peer.
    #[error("this machine is not in a network: its only address is loopback")]
    NoNetwork,
    /// Neither a direct path nor the relay works.
    #[error("these two will not connect: {0}")]
    NoPath(String),
    /// The host cannot be reached or refuses us, or the check failed.
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

    /// Runs the check.
    ///
    /// # Errors
    /// What would prevent a session, or why the check itself failed.
    pub fn run(self) -> Result<(), CheckError> {
        let Check { config, reporter } = self;
        let mut turn = Turn::new(reporter)?;
        // Report a file that cannot be read before anything takes time.
        let mut visit = config.visit.map(|visit| Visit::new(&turn, visit)).transpose()?;
        let mut addresses = offered_addresses(None)?.addresses;
        addresses.retain(|address| !address.is_loopback());
        for &address in &addresses {
            report(&mut turn, Finding::Interface { address, name: interface_name(address).unwrap_or_default() });
        }
        let mut survey = Survey::start(&turn, &addresses, &config.stun);
        visit.iter_mut().for_each(|visit| visit.look_up(&mut turn));
        let mut ours = None;
        loop {
            survey.advance(turn.now);
            for _ in 0..turn.notices.len() {
                if let (Some(Notice::Link(notice)), Some(visit)) = (turn.notices.pop_front(), &mut visit) {
                    visit.handle_link(&mut turn, notice);
                }
            }
            if ours.is_none() && survey.is_done() {
                let network = survey.network();
                ours = Some(network);
                survey.findings().for_each(|finding| report(&mut turn, finding));
                let message = diagnosis::outlook(&network);
                report(&mut turn, Finding::Network { side: Side::Here, network, message });
                visit.iter_mut().for_each(|visit| visit.handle_findings(&turn, network));
            }
            visit.iter_mut().for_each(|visit| visit.advance(&mut turn));
            if ours.is_some() && visit.as_ref().is_none_or(Visit::is_over) {
                break;
            }
            let next = [survey.poll_timeout(turn.now), visit.as_ref().and_then(Visit::poll_timeout)];
            next.into_iter().flatten().for_each(|at| turn.deadlines.add(at, Due::Check));
            wait(&mut turn, &mut survey)?;
        }
        let ours = ours.unwrap_or(Network::unknown(true, true));
        match visit.map(Visit::into_result) {
            Some(visited) => conclude(&mut turn, &ours, visited),
            None if addresses.is_empty() => Err(CheckError::NoNetwork),
            None => Ok(()),
        }
    }
}

/// Waits until something happens or is due, and handles it.
fn wait(turn: &mut Turn, survey: &mut Survey) -> io::Result<()> {
    let events = turn.wait(false)?;
    for event in &events {
        match Source::from_token(event.token()) {
            Some(Source::Link(slot)) => turn.tell(LinkNotice::Ready { slot, event: event.clone() }),
            Some(Source::Udp(slot)) => survey.handle_event(slot, event),
            _ => {}
        }
    }
    turn.put_back(events);
    // The results are for the addresses at the beginning of the check.
    turn.poll_addresses();
    while let Some(due) = turn.poll_due() {
        if let Due::Link { link, step } = due {
            turn.tell(LinkNotice::Due { link, step });
        }
    }
    Ok(())
}

/// Reports the result of a visit.
fn conclude(turn: &mut Turn, ours: &Network, visited: Visited) -> Result<(), CheckError> {
    let Visited { url, open_time, is_proven, theirs, failure } = visited;
    let open_ms = open_time.map(|time| (time.as_secs_f64() * 1e6).round() / 1e3);
    report(turn, Finding::Signaling { url, ok: open_ms.is_some(), open_ms });
    let (theirs, message) = match theirs {
        Some(theirs) => (theirs, diagnosis::situation(&theirs)),
        None if is_proven && failure.is_none() => (Network::unknown(true, true), SILENT_HOST.to_owned()),
        None => return failure.map_or(Ok(()), |error| Err(error.into())),
    };
    report(turn, Finding::Network { side: Side::Host, network: theirs, message });
    let diagnosis = diagnosis::diagnose(Role::Client, ours, &theirs);
    report(turn, verdict(&diagnosis));
    match failure {
        Some(error) => Err(error.into()),
        None if diagnosis.connects() => Ok(()),
        None => Err(CheckError::NoPath(diagnosis.sentence())),
    }
}

fn report(turn: &mut Turn, finding: Finding) {
    turn.report(&Event::Check(finding));
}

fn verdict(diagnosis: &Diagnosis) -> Finding {
    let direct = match diagnosis.direct {
        Direct::Yes => Expectation::Yes,
        Direct::Perhaps => Expectation::Perhaps,
        Direct::No => Expectation::No,
    };
    Finding::Verdict { direct, relay: diagnosis.relay, message: diagnosis.sentence() }
}
