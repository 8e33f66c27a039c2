//! All signaling WebSockets of all sides, from the first packet to the closing handshake.
//!
//! ```text
//!   accepted ─── Incoming ──upgraded──┐
//!   dialled ──── Opening ──open───────┼─▶ Open ──close──▶ Open, until both sides have closed ──▶ gone
//!                 ▲    │ failed       │
//!                 └────┴ next address │
//!   on another link: Conversation ────┘ never has a socket
//! ```
//!
//! Each side gives its links a phase `P` of its own. This module has what all of them need: reading, deadlines of
//! steps, liveness, the next address to dial, and the end of a WebSocket.

mod addresses;
mod attempts;
mod dial;
mod link;
mod liveness;
mod outbox;
mod redial;
mod servers;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::ops::{Index, IndexMut};
use std::time::Duration;

use bytes::Bytes;
use log::debug;

pub(super) use self::addresses::Addresses;
pub(super) use self::attempts::{Attempts, Patience};
pub(super) use self::dial::Way;
pub(super) use self::link::Link;
use self::link::Socket;
pub(super) use self::liveness::Watch;
pub(super) use self::outbox::Outbox;
pub(super) use self::redial::Redial;
pub(super) use self::servers::Servers;
use super::deadlines::Due;
use super::keys::{self, LinkKey};
use super::notice::LinkNotice;
use super::table::Table;
use super::token::Source;
use super::turn::Turn;
use crate::net::system::{Interest, TcpStream};
use crate::net::websocket::{Incoming, IncomingEvent, WebSocketError, WebSocketEvent};
use crate::signaling::rendezvous::Payload;

/// Time for a closing handshake.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// The links of a side.
pub(super) struct Links<P> {
    table: Table<Link<P>, keys::Link>,
    watch: Watch,
}

/// An event of a link.
#[derive(Debug)]
pub(super) enum LinkEvent {
    /// It made a request, which the side decides about ([`Link::incoming`]).
    Asked,
    /// Messages may be sent.
    Open,
    Text(String),
    Binary(Bytes),
    /// Its request was answered; it is over.
    Answered,
    /// The other side closed it, with this reason, which may be empty; it is over.
    Closed(String),
    /// It failed; it is over.
    Failed(WebSocketError),
}

/// Action of a side after a notice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wake {
    /// Poll the link, which may have events.
    Ready(LinkKey),
    /// The link's current step took too long.
    Late(LinkKey),
}

impl<P> Links<P> {
    pub(super) fn new() -> Links<P> {
        Links { table: Table::new(), watch: Watch::default() }
    }

    /// Creates links that are watched like this.
    pub(super) fn watched(watch: Watch) -> Links<P> {
        Links { watch, ..Links::new() }
    }

    /// Returns the time from one [`Links::keep_alive`] to the next.
    pub(super) fn look_interval(&self) -> Duration {
        self.watch.interval()
    }

    /// Adds an accepted connection, with the deadline of its first step. `None` if the system refuses it.
    pub(super) fn accept(
        &mut self,
        turn: &mut Turn,
        mut incoming: Incoming,
        remote: SocketAddr,
        phase: P,
        timeout: Duration,
    ) -> Option<LinkKey> {
        if let Err(error) = self.register(turn, incoming.source()) {
            debug!("register error={error}");
            return None;
        }
        Some(self.insert(turn, Socket::Incoming(Box::new(incoming)), remote, phase, timeout))
    }

    /// Adds a conversation on another link, with the deadline of its first step.
    pub(super) fn converse(
        &mut self,
        turn: &mut Turn,
        number: u32,
        remote: SocketAddr,
        phase: P,
        timeout: Duration,
    ) -> LinkKey {
        self.insert(turn, Socket::Conversation(number), remote, phase, timeout)
    }

    /// Handles a notice, and returns what the side has to do; `None` if the notice is outdated.
    pub(super) fn handle(&mut self, notice: LinkNotice) -> Option<Wake> {
        match notice {
            LinkNotice::Ready { slot, event } => {
                let key = self.table.at(slot)?;
                match &mut self.table[key].socket {
                    Socket::Incoming(incoming) => incoming.handle_event(&event),
                    Socket::Opening(websocket, _) | Socket::Open(websocket) => websocket.handle_event(&event),
                    Socket::Conversation(_) | Socket::Lost => return None,
                }
                Some(Wake::Ready(key))
            }
            LinkNotice::Poll { link } => {
                self.table.get_mut(link)?.is_queued = false;
                Some(Wake::Ready(link))
            }
            LinkNotice::Due { link, step } => (self.table.get(link)?.step == step).then_some(Wake::Late(link)),
        }
    }

    /// Returns the next event of a link. After `None` it is polled again later if it stopped for the sake of other
    /// links.
    pub(super) fn poll(&mut self, turn: &mut Turn, key: LinkKey) -> Option<LinkEvent> {
        let link = self.table.get_mut(key)?;
        let polled = match &mut link.socket {
            Socket::Incoming(incoming) => match incoming.poll() {
                Ok(event) => event.map(|event| match event {
                    IncomingEvent::Asked => LinkEvent::Asked,
                    IncomingEvent::Upgraded => LinkEvent::Open,
                    IncomingEvent::Answered { .. } => LinkEvent::Answered,
                }),
                Err(error) => Some(LinkEvent::Failed(error)),
            },
            Socket::Opening(websocket, _) | Socket::Open(websocket) => match websocket.poll() {
                Ok(event) => event.map(|event| match event {
                    WebSocketEvent::Open => LinkEvent::Open,
                    WebSocketEvent::Text(text) => LinkEvent::Text(text),
                    WebSocketEvent::Binary(bytes) => LinkEvent::Binary(bytes),
                    WebSocketEvent::Closed { reason, .. } => LinkEvent::Closed(reason),
                }),
                Err(error) => Some(LinkEvent::Failed(error)),
            },
            Socket::Conversation(_) | Socket::Lost => None,
        };
        match polled {
            Some(LinkEvent::Open) => {
                link.is_outdated = link.incoming().is_some_and(|incoming| incoming.names_invitation());
                link.socket = std::mem::replace(&mut link.socket, Socket::Lost).opened();
            }
            None if link.websocket().is_some_and(|websocket| websocket.is_ready()) => self.poll_later(turn, key),
            _ => {}
        }
        polled
    }

    /// Polls a link again in the next turn, even without an event of its socket.
    pub(super) fn poll_later(&mut self, turn: &mut Turn, key: LinkKey) {
        if let Some(link) = self.table.get_mut(key)
            && !std::mem::replace(&mut link.is_queued, true)
        {
            turn.tell(LinkNotice::Poll { link: key });
        }
    }

    /// Begins a link's next step and sets its deadline: [`Wake::Late`] follows unless another step begins before.
    pub(super) fn begin_step(&mut self, turn: &mut Turn, key: LinkKey, timeout: Duration) {
        if let Some(step) = self.begin_endless_step(key) {
            turn.set(timeout, Due::Link { link: key, step });
        }
    }

    /// Begins a link's next step, whose time another clock limits. Returns its number.
    pub(super) fn begin_endless_step(&mut self, key: LinkKey) -> Option<u64> {
        let link = self.table.get_mut(key)?;
        link.step += 1;
        Some(link.step)
    }

    /// Sends a message; drops it if the link is not open.
    ///
    /// # Errors
    /// The link is over.
    pub(super) fn send(&mut self, key: LinkKey, message: Payload) -> Result<(), WebSocketError> {
        match (self.table.get_mut(key).and_then(Link::websocket), message) {
            (Some(websocket), Payload::Text(text)) => websocket.send_text(text),
            (Some(websocket), Payload::Binary(bytes)) => websocket.send_binary(bytes),
            (None, _) => Ok(()),
        }
    }

    /// Begins the closing handshake. Returns false if that is impossible and the link can be removed.
    pub(super) fn close(&mut self, turn: &mut Turn, key: LinkKey, code: u16, reason: &str) -> bool {
        let Some(Link { socket: Socket::Open(websocket), .. }) = self.table.get_mut(key) else { return false };
        websocket.close(code, reason);
        self.begin_step(turn, key, CLOSE_TIMEOUT);
        // The peer's close may have arrived already.
        self.poll_later(turn, key);
        true
    }

    /// Removes a link and ends its connection at once.
    pub(super) fn remove(&mut self, turn: &Turn, key: LinkKey) -> Option<Link<P>> {
        let mut link = self.table.remove(key)?;
        if let Some(source) = link.socket.source() {
            turn.deregister(source);
        }
        Some(link)
    }

    /// Checks the WebSockets whose phase `serves` accepts, pings them now and then, and returns the dead ones. Call it
    /// every [`Links::look_interval`].
    pub(super) fn keep_alive(&mut self, serves: impl Fn(&P) -> bool) -> Vec<LinkKey> {
        self.keep_alive_as(self.watch, serves)
    }

    /// The same for links that are watched differently. Call it at the interval of that.
    pub(super) fn keep_alive_as(&mut self, watch: Watch, serves: impl Fn(&P) -> bool) -> Vec<LinkKey> {
        let links = self.table.iter_mut().filter(|(_, link)| serves(&link.phase));
        links.filter_map(|(key, link)| (!link.is_alive(watch)).then_some(key)).collect()
    }

    /// Returns the links on an address that this machine lost.
    pub(super) fn bound_to(&mut self, vanished: &[IpAddr]) -> Vec<LinkKey> {
        let is_at = |link: &mut Link<P>| link.local_ip().is_some_and(|local| vanished.contains(&local));
        self.table.iter_mut().filter_map(|(key, link)| is_at(link).then_some(key)).collect()
    }

    pub(super) fn get(&self, key: LinkKey) -> Option<&Link<P>> {
        self.table.get(key)
    }

    pub(super) fn get_mut(&mut self, key: LinkKey) -> Option<&mut Link<P>> {
        self.table.get_mut(key)
    }

    pub(super) fn contains(&self, key: LinkKey) -> bool {
        self.table.contains(key)
    }

    pub(super) fn len(&self) -> usize {
        self.table.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (LinkKey, &Link<P>)> {
        self.table.iter()
    }

    /// Returns the links in phases that `is_wanted` accepts.
    pub(super) fn of(&self, is_wanted: impl Fn(&P) -> bool) -> Vec<LinkKey> {
        self.iter().filter(|(_, link)| is_wanted(&link.phase)).map(|(key, _)| key).collect()
    }

    /// Returns the first link in a phase that `is_wanted` accepts.
    pub(super) fn find(&self, is_wanted: impl Fn(&P) -> bool) -> Option<LinkKey> {
        self.iter().find(|(_, link)| is_wanted(&link.phase)).map(|(key, _)| key)
    }

    fn insert(&mut self, turn: &mut Turn, socket: Socket, remote: SocketAddr, phase: P, timeout: Duration) -> LinkKey {
        let key = self.table.insert(Link::new(socket, remote, phase));
        self.begin_step(turn, key, timeout);
        key
    }

    /// Registers the socket of the next link.
    fn register(&self, turn: &Turn, socket: &mut TcpStream) -> io::Result<()> {
        let token = Source::Link(self.table.next_key().slot()).token();
        turn.registry().register(socket, token, Interest::READABLE | Interest::WRITABLE)
    }
}

/// Panics if the link is gone.
impl<P> Index<LinkKey> for Links<P> {
    type Output = Link<P>;

    fn index(&self, key: LinkKey) -> &Link<P> {
        &self.table[key]
    }
}

impl<P> IndexMut<LinkKey> for Links<P> {
    fn index_mut(&mut self, key: LinkKey) -> &mut Link<P> {
        &mut self.table[key]
    }
}

/// Returns the error for a link that the other side closed too early.
pub(super) fn closed_by(whom: &str, reason: &str) -> WebSocketError {
    let detail = if reason.is_empty() { String::new() } else { format!(" ({reason})") };
    WebSocketError::Ended(format!("{whom} closed it{detail}"))
}

#[cfg(test)]
#[path = "links_tests.rs"]
mod tests;
