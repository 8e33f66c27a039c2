//! The course of a dial: which address is tried when, and the result. It does not own the socket's I/O.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::net::listen;
use crate::run::turn::EXHAUSTED_PAUSE;

/// Time for one address of a target while there are others to try.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(3);

/// A dial that has not ended, with its socket `S` if there is one.
#[derive(Debug)]
pub(super) struct Course<S> {
    stage: Stage<S>,
    /// The addresses to try next, in this order.
    left: VecDeque<SocketAddr>,
    /// The error of the last address that failed.
    failure: Option<io::Error>,
}

#[derive(Debug)]
enum Stage<S> {
    /// The target's name is being looked up.
    Resolving,
    /// The first address is dialled once a descriptor is free.
    Starved,
    /// The socket that tries an address.
    Trying(S),
}

/// The result of trying the next address.
#[derive(Debug)]
pub(super) enum Step {
    /// There is a socket. If it has no answer by the given time, the [next address](Course::skip) is tried.
    Trying(Option<Overtake>),
    /// No descriptor is free for it.
    Starved,
    /// No address is left.
    Failed(io::Error),
}

/// When to give up an address, and how many others were left when it was dialled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Overtake {
    pub(super) at: Instant,
    pub(super) left: usize,
}

impl<S> Course<S> {
    /// Begins while the target's name is being looked up.
    pub(super) fn new() -> Course<S> {
        Course { stage: Stage::Resolving, left: VecDeque::new(), failure: None }
    }

    /// Tells whether the target's name is being looked up.
    pub(super) fn is_resolving(&self) -> bool {
        matches!(self.stage, Stage::Resolving)
    }

    /// Returns the socket that tries an address.
    pub(super) fn socket(&mut self) -> Option<&mut S> {
        match &mut self.stage {
            Stage::Trying(socket) => Some(socket),
            Stage::Resolving | Stage::Starved => None,
        }
    }

    /// Tries the only place there is, which has no address.
    #[cfg(unix)]
    pub(super) fn try_only(&mut self, socket: S) {
        self.stage = Stage::Trying(socket);
    }

    /// Tries the addresses of the name.
    pub(super) fn resolved(
        &mut self,
        now: Instant,
        addresses: VecDeque<SocketAddr>,
        connect: impl FnMut(SocketAddr) -> io::Result<S>,
    ) -> Step {
        self.left = addresses;
        self.advance(now, connect)
    }

    /// Tries the next address.
    pub(super) fn advance(&mut self, now: Instant, mut connect: impl FnMut(SocketAddr) -> io::Result<S>) -> Step {
        while let Some(address) = self.left.pop_front() {
            match connect(address) {
                Ok(socket) => {
                    self.stage = Stage::Trying(socket);
                    return Step::Trying(self.overtake(now));
                }
                Err(error) if listen::is_exhaustion(&error) => {
                    self.left.push_front(address);
                    self.stage = Stage::Starved;
                    return Step::Starved;
                }
                Err(error) => self.failure = Some(error),
            }
        }
        Step::Failed(self.failure.take().unwrap_or_else(|| io::Error::other("the name has no address")))
    }

    /// Takes the socket of the current attempt, if there is one.
    pub(super) fn take_socket(&mut self) -> Option<S> {
        match std::mem::replace(&mut self.stage, Stage::Resolving) {
            Stage::Trying(socket) => Some(socket),
            stage => {
                self.stage = stage;
                None
            }
        }
    }

    /// Takes the socket of an address that failed.
    pub(super) fn failed(&mut self, failure: io::Error) -> Option<S> {
        self.failure = Some(failure);
        self.take_socket()
    }

    /// Takes the socket of an address that took too long, unless another is being tried already.
    pub(super) fn skip(&mut self, left: usize) -> Option<S> {
        if self.left.len() == left { self.take_socket() } else { None }
    }

    /// Tells whether the dial waits for a descriptor.
    pub(super) fn is_starved(&self) -> bool {
        matches!(self.stage, Stage::Starved)
    }

    /// Returns the deadline of the current attempt. There is none if all other addresses are this machine's: it answers
    /// at once, or is too busy to answer at any.
    fn overtake(&self, now: Instant) -> Option<Overtake> {
        let is_worth_while = self.left.iter().any(|address| !address.ip().is_loopback());
        is_worth_while.then(|| Overtake { at: now + ATTEMPT_TIMEOUT, left: self.left.len() })
    }
}

/// When to retry dials that found no descriptor: all at the same moment, so that the oldest comes first.
#[derive(Debug, Default)]
pub(super) struct Retry {
    at: Option<Instant>,
}

impl Retry {
    /// Returns when to retry a dial that found no descriptor at `now`.
    pub(super) fn after(&mut self, now: Instant) -> Instant {
        match self.at {
            Some(at) if at > now => at,
            _ => *self.at.insert(now + EXHAUSTED_PAUSE),
        }
    }
}

#[cfg(test)]
#[path = "course_tests.rs"]
mod tests;
