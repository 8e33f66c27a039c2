//! Streams for other threads of this process: a thread asks, the loop opens.

use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded, select};

use super::connections::{Asker, Incoming};
use super::core::Core;
use super::keys::SessionKey;
use crate::net::listener::Ends;
use crate::net::program_stream::{self, NearEnd, ProgramStream};
use crate::net::stream::Stream;
use crate::net::system::Waker;
use crate::tunnel::{AbortReason, ConnectTarget};

/// Requests that wait for the loop.
const MAX_WAITING: usize = 64;

/// How long a thread waits for a session and for the other side, whose own ten seconds for the target are part of it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Why a thread of this process gets no stream.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DialError {
    /// A server has no host of that id.
    #[error("no host is registered under that id")]
    NoHost,
    /// The host was not started with `--server-dial`.
    #[error("the host does not dial for its server; it would have to be started with --server-dial")]
    NotAllowed,
    /// The host has no such service, or it is one of datagrams; the sentence says what the host has.
    #[error("{0}")]
    NoService(String),
    /// The host did not reach the target, or does not allow it.
    #[error("the host did not connect to the target: {}", .0.as_str())]
    Failed(AbortReason),
    /// Nothing was heard of the other side in time.
    #[error("the other side did not answer in time")]
    Timeout,
    /// The client or the server has ended, or no descriptor is free.
    #[error("the run has ended, or no descriptor is free")]
    Ended,
}

impl From<DialError> for std::io::Error {
    fn from(error: DialError) -> std::io::Error {
        use std::io::ErrorKind;
        let kind = match error {
            DialError::NoHost | DialError::NoService(_) => ErrorKind::NotFound,
            DialError::NotAllowed | DialError::Failed(AbortReason::Denied) => ErrorKind::PermissionDenied,
            DialError::Failed(AbortReason::Unreachable) => ErrorKind::HostUnreachable,
            DialError::Failed(_) => ErrorKind::ConnectionRefused,
            DialError::Timeout => ErrorKind::TimedOut,
            DialError::Ended => ErrorKind::NotConnected,
        };
        std::io::Error::new(kind, error)
    }
}

/// Opens streams through a loop on another thread. Clones serve any number of threads.
#[derive(Debug)]
pub(crate) struct Opener<T> {
    requests: Sender<Request<T>>,
    /// Is closed when the loop ends, whose requests would otherwise wait in vain.
    gone: Receiver<()>,
    waker: Arc<Waker>,
}

/// The loop's side: what threads request.
#[derive(Debug)]
pub(super) struct Requests<T> {
    receiver: Receiver<Request<T>>,
    _alive: Sender<()>,
}

impl<T> Requests<T> {
    /// Returns the next request.
    pub(super) fn poll(&mut self) -> Option<Request<T>> {
        self.receiver.try_recv().ok()
    }
}

impl<T> Clone for Opener<T> {
    fn clone(&self) -> Opener<T> {
        Opener { requests: self.requests.clone(), gone: self.gone.clone(), waker: self.waker.clone() }
    }
}

/// What a thread waits for before it gets its stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Until {
    /// The other side has dialled the target. Costs a round trip.
    Dialled,
    /// The stream is on its way; whether the target was reached shows in reads and writes.
    Opened,
}

/// A thread's request.
#[derive(Debug)]
pub(super) struct Request<T> {
    pub(super) target: T,
    /// Who asks, for people.
    name: String,
    until: Until,
    near: NearEnd,
    answer: Sender<Result<(), DialError>>,
}

impl<T> Opener<T> {
    /// Makes the threads' side and the loop's.
    pub(super) fn new(waker: Arc<Waker>) -> (Opener<T>, Requests<T>) {
        let (requests, receiver) = bounded(MAX_WAITING);
        let (alive, gone) = bounded(0);
        (Opener { requests, gone, waker }, Requests { receiver, _alive: alive })
    }

    /// Opens a stream to a target. `name` says who asks, for people.
    ///
    /// # Errors
    /// [`DialError`].
    pub(super) fn open(
        &self,
        target: T,
        name: String,
        until: Until,
        patience: Duration,
    ) -> Result<ProgramStream, DialError> {
        let (near, stream) = program_stream::pair().map_err(|_| DialError::Ended)?;
        let (answer, answered) = bounded(1);
        let request = Request { target, name, until, near, answer };
        self.requests.send_timeout(request, patience).map_err(|error| match error.is_timeout() {
            true => DialError::Timeout,
            false => DialError::Ended,
        })?;
        self.waker.wake().map_err(|_| DialError::Ended)?;
        let answer = select! {
            recv(answered) -> answer => answer.ok(),
            // The answer may have come last.
            recv(self.gone) -> _ => answered.try_recv().ok(),
            default(patience) => return Err(DialError::Timeout),
        };
        answer.unwrap_or(Err(DialError::Ended)).map(|()| stream)
    }
}

impl<T> Request<T> {
    /// Says why there is no stream.
    pub(super) fn refuse(self, error: DialError) {
        // A thread that waits no longer needs no answer.
        let _ = self.answer.try_send(Err(error));
    }

    /// Opens the stream.
    pub(super) fn open(self, core: &mut Core, session: SessionKey, target: &ConnectTarget) {
        let Request { name, until, near, answer, .. } = self;
        let incoming = Incoming { stream: Stream::Program(near), name, ends: Ends::Unknown };
        match until {
            Until::Dialled => {
                let tell =
                    move |result: Result<(), AbortReason>| answer.try_send(result.map_err(DialError::Failed)).is_ok();
                core.open_asking(session, incoming, Asker::Caller(Box::new(tell)), target);
            }
            Until::Opened => {
                let result = match core.open_stream(session, incoming, target) {
                    Some(_) => Ok(()),
                    None => Err(DialError::Failed(AbortReason::TooManyStreams)),
                };
                let _ = answer.try_send(result);
            }
        }
        core.sessions.touch(session);
    }
}
