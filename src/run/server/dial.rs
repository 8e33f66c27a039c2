//! Dialling through hosts, for other threads of this process.

use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};

use super::Server;
use crate::address::Target;
use crate::net::listener::Ends;
use crate::net::stream::Stream;
use crate::net::system::{self, Waker};
use crate::run::connections::{Asker, Incoming};
use crate::run::keys::SessionKey;
use crate::signaling::rendezvous::HostId;
use crate::tunnel::{AbortReason, ConnectTarget};

/// Dials that wait for the loop.
const MAX_WAITING: usize = 64;

/// How long the host may take, its own ten seconds for the target included.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(15);

/// Dials through the hosts of a running [`Server`]; clones serve any number of threads.
#[derive(Debug, Clone)]
pub struct Dialer {
    wanted: Sender<Dial>,
    waker: Arc<Waker>,
}

/// Why there is no connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DialError {
    /// No host is registered under that id.
    #[error("no host is registered under that id")]
    NoHost,
    /// The host was not started with `--server-dial`.
    #[error("the host does not dial for its server; it would have to be started with --server-dial")]
    NotAllowed,
    /// The host did not reach the target, or its `--allow` does not have it.
    #[error("the host did not connect to the target: {}", .0.as_str())]
    Failed(AbortReason),
    /// Nothing was heard of the host in time.
    #[error("the host did not answer in time")]
    Timeout,
    /// The server has ended, or the system refused a pair of sockets.
    #[error("the server does not run any more, or has no descriptors left")]
    Ended,
}

/// What a thread wants.
#[derive(Debug)]
pub(super) struct Dial {
    id: HostId,
    target: Target,
    near: UnixStream,
    answer: Sender<Result<(), DialError>>,
}

impl Dialer {
    pub(super) fn new(waker: Arc<Waker>) -> (Dialer, Receiver<Dial>) {
        let (wanted, receiver) = bounded(MAX_WAITING);
        (Dialer { wanted, waker }, receiver)
    }

    /// Has a host connect to a target that its `--allow` names, and waits until it has. What is written to the socket
    /// comes out there.
    ///
    /// # Errors
    /// [`DialError`].
    pub fn dial(&self, id: &HostId, target: &Target) -> Result<UnixStream, DialError> {
        let (near, far) = UnixStream::pair().map_err(|_| DialError::Ended)?;
        near.set_nonblocking(true).map_err(|_| DialError::Ended)?;
        let (answer, answered) = bounded(1);
        let dial = Dial { id: id.clone(), target: target.clone(), near, answer };
        self.wanted.send_timeout(dial, ANSWER_TIMEOUT).map_err(|_| DialError::Ended)?;
        self.waker.wake().map_err(|_| DialError::Ended)?;
        match answered.recv_timeout(ANSWER_TIMEOUT) {
            Ok(result) => result.map(|()| far),
            Err(RecvTimeoutError::Timeout) => Err(DialError::Timeout),
            Err(RecvTimeoutError::Disconnected) => Err(DialError::Ended),
        }
    }
}

impl Server {
    /// Returns what other threads dial through this server's hosts with.
    pub fn dialer(&self) -> Dialer {
        self.dialer.clone()
    }

    /// Takes what other threads want.
    pub(super) fn handle_dials(&mut self) {
        while let Ok(Dial { id, target, near, answer }) = self.dials.try_recv() {
            let tell = move |result| answer.try_send(result).is_ok();
            match self.dialling(&id) {
                Ok(session) => {
                    let stream = Stream::Unix(system::UnixStream::from_std(near));
                    let incoming = Incoming { stream, name: format!("{target} (this process)"), ends: Ends::Unknown };
                    let target = ConnectTarget::Tcp(target.to_string());
                    let asker = Asker::Caller(Box::new(move |result| tell(result.map_err(DialError::Failed))));
                    self.metrics.dials += 1;
                    self.core.open_asking(session, incoming, asker, &target);
                    self.core.sessions.touch(session);
                }
                Err(error) => {
                    tell(Err(error));
                }
            }
        }
    }

    fn dialling(&mut self, id: &HostId) -> Result<SessionKey, DialError> {
        let key = *self.names.get(id).ok_or(DialError::NoHost)?;
        if !self.host(key).is_some_and(|host| host.dials) {
            return Err(DialError::NotAllowed);
        }
        self.session_of(key).ok_or(DialError::NoHost)
    }
}
