//! The common parts of a host, a client and a server: the turn of the loop, and the tables of everything that is open.
//!
//! In a turn, the loop waits, latches readiness, reads datagrams, and handles name look-ups and timers. Then the side
//! (host, client or server) handles its notices. Then connections are pumped and sessions serviced until nothing is
//! left to do.
//!
//! The path of a datagram to a program: `Sessions::handle_socket_event` latches the socket's readiness, and
//! `Sessions::receive_datagrams` reads the datagram and passes it to `Session::handle_datagram`. That feeds str0m
//! (`peer::Connection::handle_datagram`), which produces messages. `Session::handle_connection_events` passes each to
//! `Mux::handle_message`, where the stream takes what is in order. The session is touched, so `Core::service`, called
//! by `Core::work`, polls its events: `Readable` reaches `Core::handle_stream_event`, which calls `Connections::wake`.
//! In the next pass `Connections::pump_next` pumps that connection: `Pump::write` writes to its TCP socket. The way
//! back: `Pump::read` passes data to `StreamMut::send`, and `Sessions::flush` makes the session fill its channel and
//! sends the resulting datagrams.
//!
//! A half-close takes the same path: at the end of file `Pump::read` calls `StreamMut::finish`, which queues CLOSE;
//! `Mux::handle_message` receives it, and `Pump::write` shuts the socket down once `StreamMut::poll_end` returns true.

mod ends;
mod leaving;
mod survey;
mod targets;

use std::io;

use log::debug;

use self::leaving::Leaving;
use super::connections::{Asker, Connections, Incoming};
use super::control::Control;
use super::deadlines::Due;
use super::dialer::{Dialer, Waiter};
use super::flows::{Flows, UdpListener};
#[cfg(feature = "server")]
use super::keys::Scope;
use super::keys::{ConnectionKey, FlowKey, SessionKey, UdpListenerKey};
use super::notice::{ClientNotice, ControlNotice, HostNotice, LinkNotice, Listening, Notice, PeerNotice, ServerNotice};
use super::rounds::Rounds;
use super::sessions::{SessionEvent, Sessions};
use super::shared::Shared;
use super::token::Source;
use super::trails::Trails;
use super::turn::{Reporter, Turn};
use crate::address::Target;
use crate::net::resolver::Resolver;
use crate::net::system::Event as MioEvent;
use crate::session::Reach;
use crate::tunnel::{self, ChunkPool, ConnectTarget};

/// Maximum number of passes over ready connections and touched sessions before the loop polls the system again.
const PASSES_PER_TURN: usize = 8;

/// The common state of a host, a client and a server.
pub(super) struct Core {
    pub(super) turn: Turn,
    pub(super) sessions: Sessions,
    pub(super) connections: Connections,
    pub(super) flows: Flows,
    pub(super) dialer: Dialer,
    pub(super) trails: Trails,
    pub(super) rounds: Rounds,
    pub(super) resolver: Resolver<Waiter>,
    pub(super) pool: ChunkPool,
    /// Streams of requests that nobody needs any more.
    pub(super) leaving: Leaving,
    /// Who looks at the run and steers it.
    pub(super) control: Control,
}

impl Core {
    pub(super) fn new(dialer: Dialer, reach: Reach, stun: Vec<Target>, reporter: Reporter) -> io::Result<Core> {
        let turn = Turn::new(reporter)?;
        let waker = turn.waker();
        Ok(Core {
            sessions: Sessions::new(reach, stun, waker.clone()),
            connections: Connections::default(),
            flows: Flows::new(),
            dialer,
            trails: Trails::new(),
            rounds: Rounds::default(),
            resolver: Resolver::new(waker),
            pool: ChunkPool::new(),
            leaving: Leaving::default(),
            control: Control::new(),
            turn,
        })
    }

    /// Has sessions that begin from now on use these kinds of paths and these STUN servers.
    pub(super) fn set_ways(&mut self, reach: Reach, stun: Vec<Target>) {
        let waker = self.turn.waker();
        self.sessions.set_ways(self.turn.now, reach, stun, waker);
    }

    /// Waits until something happens or is due, and handles it.
    pub(super) fn wait(&mut self) -> io::Result<()> {
        self.control.follow(&mut self.turn);
        let events = self.turn.wait(self.has_work())?;
        for event in &events {
            self.latch(event);
        }
        self.turn.put_back(events);
        self.sessions.receive_datagrams(self.turn.now);
        self.handle_lookups();
        self.sessions.handle_stun_lookups(self.turn.now);
        self.handle_due();
        Ok(())
    }

    /// Tells whether there is work that need not wait.
    pub(super) fn has_work(&self) -> bool {
        self.connections.ready() > 0 || self.sessions.has_work()
    }

    /// Pumps connections and services sessions until nothing is left to do, or it is time to poll the system.
    pub(super) fn work(&mut self) {
        for _ in 0..PASSES_PER_TURN {
            for _ in 0..self.connections.ready() {
                let (connections, mut shared) = self.connections_and_shared();
                let answered = connections.pump_next(&mut shared);
                answered.into_iter().for_each(|round| self.target_answered(round));
            }
            for _ in 0..self.sessions.dirty() {
                let Some(session) = self.sessions.poll_dirty() else { break };
                self.service(session);
            }
            if self.connections.ready() == 0 && self.sessions.dirty() == 0 {
                break;
            }
        }
    }

    /// Sends a session's output, and handles its events.
    fn service(&mut self, session: SessionKey) {
        self.sessions.flush(&mut self.turn, &mut self.pool, session);
        while let Some(event) = self.sessions.poll_event(&mut self.turn, session) {
            match event {
                SessionEvent::Stream(event) => self.handle_stream_event(session, event),
                SessionEvent::Ended(end) => return self.end_session(session, end),
            }
        }
        self.sessions.set_deadline(&mut self.turn, session);
    }

    fn handle_stream_event(&mut self, session: SessionKey, event: tunnel::Event) {
        match event {
            #[cfg(feature = "server")]
            tunnel::Event::Opened(..) if self.sessions[session].scope == Scope::Link => {
                self.turn.tell(Notice::Unowned { session, event });
            }
            tunnel::Event::Opened(key, target) => self.open_target(session, key, &target),
            tunnel::Event::Readable(key) | tunnel::Event::Writable(key) => {
                if let Some(&connection) = self.sessions[session].connections.get(&key) {
                    self.connections.wake(connection);
                } else if let Some(&flow) = self.sessions[session].flows.get(&key) {
                    self.flow_readable(flow);
                } else if !self.drop_rest(session, key) {
                    self.turn.tell(Notice::Unowned { session, event });
                }
            }
            tunnel::Event::Aborted { key, reason, ref detail, origin } => {
                if let Some(&flow) = self.sessions[session].flows.get(&key) {
                    self.flow_aborted(flow, reason.as_str());
                } else if self.sessions[session].connections.contains_key(&key) {
                    let (connections, mut shared) = self.connections_and_shared();
                    connections.stream_aborted(&mut shared, session, key, reason, detail, origin);
                } else if !self.drop_rest(session, key) {
                    self.turn.tell(Notice::Unowned { session, event });
                }
            }
            tunnel::Event::Accepted(key) if self.sessions[session].connections.contains_key(&key) => {
                let (connections, mut shared) = self.connections_and_shared();
                connections.stream_accepted(&mut shared, session, key);
            }
            tunnel::Event::Accepted(_) => self.turn.tell(Notice::Unowned { session, event }),
            tunnel::Event::Listen { id, bind } => self.turn.tell(HostNotice::Listen { session, id, bind }),
            tunnel::Event::Listened { id, result } => self.turn.tell(ClientNotice::Listened { session, id, result }),
            tunnel::Event::Finished(_) => {}
            // The session itself handles these.
            tunnel::Event::Hello(_)
            | tunnel::Event::RoundTrip(_)
            | tunnel::Event::GoAway(..)
            | tunnel::Event::Resumed
            | tunnel::Event::Ended(..) => {}
        }
    }

    /// Handles the resolver's answers.
    fn handle_lookups(&mut self) {
        while let Some((waiter, answer)) = self.resolver.poll() {
            match waiter {
                Waiter::Side(server) => self.turn.tell(PeerNotice::Resolved { server, answer }),
                #[cfg(feature = "server")]
                Waiter::Peer(peer) => self.turn.tell(ServerNotice::Resolved { peer, answer }),
                #[cfg(feature = "server")]
                Waiter::Directory => self.turn.tell(ServerNotice::DirectoryResolved { answer }),
                Waiter::Flow(flow) => {
                    let (flows, mut shared) = self.flows_and_shared();
                    flows.handle_flow_lookup(&mut shared, flow, &answer);
                }
                Waiter::Connection(connection) => {
                    let (connections, mut shared) = self.connections_and_shared();
                    connections.handle_lookup(&mut shared, connection, answer);
                }
            }
        }
    }

    /// Borrows the flows and the shared parts.
    pub(super) fn flows_and_shared(&mut self) -> (&mut Flows, Shared<'_>) {
        let Core { turn, sessions, pool, dialer, trails, rounds, resolver, flows, .. } = self;
        (flows, Shared { turn, sessions, pool, dialer, trails, rounds, resolver })
    }

    /// Borrows the connections and the shared parts.
    pub(super) fn connections_and_shared(&mut self) -> (&mut Connections, Shared<'_>) {
        let Core { turn, sessions, pool, dialer, trails, rounds, resolver, connections, .. } = self;
        (connections, Shared { turn, sessions, pool, dialer, trails, rounds, resolver })
    }

    /// Opens a stream for a connection that a local program made, and returns the connection. Data may follow at once.
    pub(super) fn open_stream(
        &mut self,
        session: SessionKey,
        incoming: Incoming,
        target: &ConnectTarget,
    ) -> Option<ConnectionKey> {
        let (connections, mut shared) = self.connections_and_shared();
        connections.open_stream(&mut shared, session, incoming, target)
    }

    /// Opens a stream for a connection whose program waits for an answer: it gets one once the other side has dialled.
    pub(super) fn open_asking(
        &mut self,
        session: SessionKey,
        incoming: Incoming,
        asker: Asker,
        target: &ConnectTarget,
    ) {
        let (connections, mut shared) = self.connections_and_shared();
        connections.open_asking(&mut shared, session, incoming, asker, target);
    }

    /// Resets a connection, without aborting its stream.
    pub(super) fn reset_connection(&mut self, connection: ConnectionKey, reason: &str) {
        let (connections, mut shared) = self.connections_and_shared();
        connections.reset_connection(&mut shared, connection, reason);
    }

    /// Adds a UDP socket for local programs.
    pub(super) fn add_listener(&mut self, listener: UdpListener) -> io::Result<UdpListenerKey> {
        self.flows.add_listener(&self.turn, listener)
    }

    /// Closes a UDP socket for local programs and ends its flows.
    pub(super) fn close_listener(&mut self, listener: UdpListenerKey) {
        let (flows, mut shared) = self.flows_and_shared();
        flows.close_listener(&mut shared, listener);
    }

    /// Handles datagrams that programs sent to a listener. `wanted` gives their session and target (for a relay, only
    /// the session); without it they are lost.
    pub(super) fn receive_from_programs(
        &mut self,
        listener: UdpListenerKey,
        wanted: Option<(SessionKey, Option<&ConnectTarget>)>,
    ) {
        let (flows, mut shared) = self.flows_and_shared();
        flows.receive_from_programs(&mut shared, listener, wanted);
        self.prune_deadlines();
    }

    /// Handles datagrams from the target of a flow.
    pub(super) fn receive_from_target(&mut self, flow: FlowKey) {
        let (flows, mut shared) = self.flows_and_shared();
        let answered = flows.receive_from_target(&mut shared, flow);
        answered.into_iter().for_each(|round| self.target_answered(round));
    }

    fn flow_aborted(&mut self, flow: FlowKey, reason: &str) {
        let (flows, mut shared) = self.flows_and_shared();
        flows.flow_aborted(&mut shared, flow, reason);
    }

    fn flow_readable(&mut self, flow: FlowKey) {
        let (flows, mut shared) = self.flows_and_shared();
        flows.flow_readable(&mut shared, flow);
    }

    fn latch(&mut self, event: &MioEvent) {
        match Source::from_token(event.token()) {
            Some(Source::Waker) => self.turn.handle_wake(),
            #[cfg(feature = "cli")]
            Some(Source::Signals) => self.turn.handle_signal(),
            #[cfg(not(feature = "cli"))]
            Some(Source::Signals) => {}
            Some(Source::Interfaces) => self.turn.handle_interfaces(),
            Some(Source::Signaling) => self.turn.handle_listener(HostNotice::Acceptable),
            Some(Source::Listener(slot)) => self.turn.handle_listener(Notice::Acceptable(Listening::At(slot))),
            Some(Source::Negotiation(slot)) => self.turn.tell(ClientNotice::Negotiation { slot }),
            Some(Source::Requests(slot)) => self.turn.tell(ClientNotice::Request { slot, event: event.clone() }),
            Some(Source::Web(slot)) => self.turn.tell(ServerNotice::Web { slot, event: event.clone() }),
            Some(Source::Directory) => self.turn.tell(ServerNotice::Directory { event: event.clone() }),
            Some(Source::Link(slot)) => self.turn.tell(LinkNotice::Ready { slot, event: event.clone() }),
            Some(Source::Door(slot)) => self.turn.handle_listener(ControlNotice::Acceptable(Listening::At(slot))),
            Some(Source::Control(slot)) => self.turn.tell(ControlNotice::Ready { slot, event: event.clone() }),
            Some(Source::Programs(slot)) => {
                if let Some(listener) = self.flows.listener_at(slot) {
                    self.turn.tell(PeerNotice::Programs { listener });
                }
            }
            Some(Source::Flow(slot)) => {
                if let Some(flow) = self.flows.at(slot) {
                    self.receive_from_target(flow);
                }
            }
            Some(Source::Udp(slot)) => self.sessions.handle_socket_event(slot, event),
            Some(Source::Connection(slot)) => {
                let (connections, mut shared) = self.connections_and_shared();
                connections.handle_event(&mut shared, slot, event);
            }
            Some(Source::Leaving(slot)) => self.connections.handle_leaving_event(&self.turn, slot, event),
            None => debug!("event of an unknown token {:?}", event.token()),
        }
    }

    fn handle_due(&mut self) {
        self.turn.handle_supervision();
        if let Some(addresses) = self.turn.poll_addresses() {
            self.sessions.handle_addresses(&mut self.turn, &addresses);
        }
        while let Some(due) = self.turn.poll_due() {
            match due {
                Due::Accept => self.turn.resume_accepting(),
                Due::Session(key) => self.sessions.handle_due(&mut self.turn, key),
                Due::KeepAlive => self.turn.tell(Notice::KeepAlive),
                Due::Leaving(key) => self.connections.handle_leaving_due(&self.turn, key),
                Due::LeavingStreams => self.give_up_late(),
                Due::FlowIdle(flow) => {
                    let (flows, mut shared) = self.flows_and_shared();
                    flows.handle_flow_idle(&mut shared, flow);
                }
                Due::Round(key) => self.handle_round_due(key),
                Due::Link { link, step } => self.turn.tell(LinkNotice::Due { link, step }),
                Due::Host(due) => self.turn.tell(HostNotice::Due(due)),
                Due::Client(due) => self.turn.tell(ClientNotice::Due(due)),
                Due::Server(due) => self.turn.tell(ServerNotice::Due(due)),
                Due::Look => self.turn.handle_look_due(),
                Due::Control => self.turn.tell(ControlNotice::Due),
                // A check has its own loop.
                Due::Check => {}
                Due::Dial(due) => {
                    let (connections, mut shared) = self.connections_and_shared();
                    connections.handle_dial_due(&mut shared, due);
                }
            }
        }
    }

    /// Removes deadlines of flows and connections that are gone, if there are many.
    pub(super) fn prune_deadlines(&mut self) {
        let Core { turn, flows, connections, .. } = self;
        turn.deadlines.prune(|due| match *due {
            Due::FlowIdle(flow) => flows.contains(flow),
            Due::Dial(due) => connections.contains(due.connection()),
            _ => true,
        });
    }
}
