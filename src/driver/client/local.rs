//! The local port: connections open streams at once while messages pass, and wait for a while otherwise.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use log::debug;
use mio::net::{TcpListener, TcpStream};

use super::Client;
use crate::driver::core::Notice;
use crate::driver::deadlines::Due;
use crate::net::listen::{self, Accepted};
use crate::net::stream::Stream;

/// Connections accepted in one turn.
const ACCEPTS_PER_TURN: usize = 64;

/// How long a local connection waits for a session, and how many do; further ones are reset at once.
const WAIT: Duration = Duration::from_secs(10);
const MAX_WAITING: usize = 256;

/// The listener of the local port, and who waits there.
pub(super) struct LocalPort {
    listener: Option<TcpListener>,
    address: SocketAddr,
    waiting: VecDeque<(Instant, TcpStream, SocketAddr)>,
    /// Messages pass: streams can be opened.
    pub(super) is_connected: bool,
    pub(super) is_acceptable: bool,
}

impl LocalPort {
    pub(super) fn new(listener: TcpListener, address: SocketAddr) -> LocalPort {
        let listener = Some(listener);
        LocalPort { listener, address, waiting: VecDeque::new(), is_connected: false, is_acceptable: false }
    }

    /// Tells whether connections are taken, at once or later.
    pub(super) fn is_open(&self) -> bool {
        self.listener.is_some()
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Client {
    /// Takes connections. Before the first session the system keeps them in its own queue.
    pub(super) fn accept(&mut self) {
        if !self.local.is_acceptable || !self.was_connected {
            return;
        }
        for _ in 0..ACCEPTS_PER_TURN {
            let Some(listener) = &self.local.listener else { return };
            match listen::accept(listener) {
                Accepted::Connection(stream, remote) => self.take(stream, remote),
                Accepted::Empty => {
                    self.local.is_acceptable = false;
                    return;
                }
                Accepted::Exhausted(error) => {
                    debug!("accept paused: {error}");
                    self.core.pause_accepting();
                    return;
                }
                Accepted::Fatal(error) => return self.fail(error),
            }
        }
        self.core.notices.push_back(Notice::Acceptable);
    }

    /// Opens streams for those who waited.
    pub(super) fn serve_waiting(&mut self) {
        for (_, stream, remote) in std::mem::take(&mut self.local.waiting) {
            self.take(stream, remote);
        }
    }

    /// Resets those who waited for too long.
    pub(super) fn expire_waiting(&mut self) {
        while self.local.waiting.front().is_some_and(|(deadline, ..)| *deadline <= self.core.now) {
            if let Some((_, stream, remote)) = self.local.waiting.pop_front() {
                debug!("local={remote} reset: no session within {WAIT:?}");
                listen::reset(stream);
            }
        }
    }

    /// Closes the local port for good.
    pub(super) fn stop_listening(&mut self) {
        if let Some(mut listener) = self.local.listener.take()
            && let Err(error) = self.core.poll.registry().deregister(&mut listener)
        {
            debug!("deregister error={error}");
        }
        self.local.waiting.drain(..).for_each(|(_, stream, _)| listen::reset(stream));
    }

    fn take(&mut self, stream: TcpStream, remote: SocketAddr) {
        match self.session.filter(|_| self.local.is_connected) {
            Some(session) if self.core.session(session).is_some() => {
                let local = stream.local_addr().unwrap_or(remote);
                self.core.open_stream(session.index, Stream::Tcp(stream), remote, local);
            }
            _ if self.local.waiting.len() < MAX_WAITING => {
                let deadline = self.core.now + WAIT;
                self.local.waiting.push_back((deadline, stream, remote));
                self.core.deadlines.add(deadline, Due::Waiting);
            }
            _ => listen::reset(stream),
        }
    }
}
