//! Links to other servers of the cluster, from dialling to the end.
//!
//! A link is a WebSocket with one session, whose streams carry the conversations of clients (`distant`) and the streams
//! of visitors and dials (`splice`) from one server to a host of the other. There is at most one to each server.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use log::debug;
use rand::RngExt as _;

use super::Server;
use super::cluster::{Aim, Cluster, Dial, Greeting, Peer};
use super::phase::Phase;
use crate::cluster::greeting::{self, Dialler, GreetingError, Listener, Proven, Step};
use crate::cluster::message::Arrived;
use crate::cluster::{ServerId, newer_stays};
use crate::net::resolver::{Asker, Lookup};
use crate::net::system;
use crate::net::websocket::WebSocketError;
use crate::run::deadlines::{Due, ServerDue};
use crate::run::dialer::Waiter;
use crate::run::keys::LinkKey;
use crate::run::links::{Attempts, Outbox, Patience};
use crate::signaling::closing;
use crate::signaling::rendezvous::Payload;
use crate::status::event::Event;
use crate::status::refusal::Refusal;
use crate::tunnel::{Config, Role};

/// Time for the WebSocket to open. What vanished on a way that was cut is over soon after.
const PATIENCE: Patience = Patience { last: Duration::from_secs(5), others: Duration::from_secs(3) };

/// Time for the answer of a server that was dialled, and then for its first message.
const ANSWER: Duration = Duration::from_secs(5);

/// After this time, a further link shows that the other side has lost the first, and not that both dialled at once.
const OLD: Duration = Duration::from_secs(10);

/// Maximum number of conversations and streams that one server may have open at another.
const MAX_STREAMS: u32 = 8192;

/// Maximum number of bytes that wait for another server: names of 200,000 hosts. A session stops at much less.
const MAX_WAITING: usize = 64 * 1024 * 1024;

impl Server {
    pub(super) fn dial_peers(&mut self) {
        let peers = self.cluster.iter().flat_map(|cluster| cluster.dials.keys().copied());
        peers.collect::<Vec<_>>().into_iter().for_each(|peer| self.dial_peer(peer));
    }

    /// Dials the servers whose pause is over.
    pub(super) fn redial_peers(&mut self) {
        let now = self.core.turn.now;
        let Some(cluster) = &mut self.cluster else { return };
        let dials = cluster.dials.iter_mut();
        let due: Vec<usize> = dials.filter_map(|(&peer, dial)| dial.redial.poll(now).then_some(peer)).collect();
        due.into_iter().for_each(|peer| self.dial_peer(peer));
    }

    /// Looks a server up, and dials it.
    pub(super) fn dial_peer(&mut self, peer: usize) {
        if self.is_linked_already(peer) {
            return;
        }
        let Some(dial) = self.dial(peer).filter(|dial| matches!(dial.aim, Aim::Away)) else { return };
        let (host, port) = (dial.url.host().to_owned(), dial.url.port());
        if self.is_stopping() {
            return;
        }
        match self.core.resolver.resolve(Asker::Own, Waiter::Peer(peer), &host, port) {
            Ok(Lookup::Ready(addresses)) => self.peer_resolved(peer, Ok(addresses)),
            Ok(Lookup::Pending) => {}
            Err(error) => self.peer_resolved(peer, Err(error.to_string())),
        }
    }

    /// Handles the addresses of a server.
    pub(super) fn peer_resolved(&mut self, peer: usize, answer: Result<Vec<SocketAddr>, String>) {
        let Some(dial) = self.dial(peer).filter(|dial| matches!(dial.aim, Aim::Away)) else { return };
        match dial.addresses.resolved(answer) {
            Ok(()) => {
                let attempts = dial.addresses.attempts(PATIENCE);
                self.open_peer(peer, attempts);
            }
            Err(reason) => self.peer_unreached(peer, &reason),
        }
    }

    fn open_peer(&mut self, peer: usize, attempts: Attempts) {
        let Some(dial) = self.cluster.as_mut().and_then(|cluster| cluster.dials.get_mut(&peer)) else { return };
        match self.links.dial(&mut self.core.turn, &dial.way, attempts, Phase::Dialling(peer)) {
            Ok(_) => dial.aim = Aim::Dialling,
            Err(failure) => self.peer_unreached(peer, &failure.to_string()),
        }
    }

    /// Tries the next address of a server after one that failed.
    pub(super) fn try_next_address(&mut self, key: LinkKey, error: WebSocketError) {
        let Some(link) = self.links.remove(&self.core.turn, key) else { return };
        if let Phase::Dialling(peer) = link.phase {
            self.open_peer(peer, link.into_attempts(error));
        }
    }

    /// Plans to dial a server again that could not be reached, or whose link is gone.
    pub(super) fn peer_unreached(&mut self, peer: usize, reason: &str) {
        let (now, is_stopping) = (self.core.turn.now, self.is_stopping());
        if self.has_vanished(peer) {
            return self.forget_dial(peer);
        }
        let Some(dial) = self.dial(peer).filter(|dial| !matches!(dial.aim, Aim::Itself)) else { return };
        dial.aim = Aim::Away;
        let at = now + dial.redial.fail(system::rng().random_range(0.5..1.0));
        let is_planned = dial.redial.plan(at);
        let is_told = std::mem::replace(&mut dial.is_told, true);
        dial.error = Some(reason.to_owned());
        let url = dial.url.to_string();
        if is_planned {
            self.core.turn.deadlines.add(at, Due::Server(ServerDue::Redial));
        }
        if !is_told && !is_stopping {
            self.core.turn.warn("peer", format!("no link to the server at {url}: {reason}; trying again"));
        }
        self.cluster.iter_mut().for_each(Cluster::count_missing);
    }

    pub(super) fn dial(&mut self, peer: usize) -> Option<&mut Dial> {
        self.cluster.as_mut()?.dials.get_mut(&peer)
    }

    /// Returns the phase of a server that was let in.
    pub(super) fn await_greeting(&self) -> Option<Phase> {
        let own = self.cluster.as_ref()?.own;
        Some(Phase::Greeting(Greeting::Listener(Listener::New(own))))
    }

    /// Greets a server that was dialled.
    pub(super) fn greet(&mut self, key: LinkKey, peer: usize) {
        let Some(own) = self.cluster.as_ref().map(|cluster| cluster.own) else { return };
        let (dialler, hello) = Dialler::start(own);
        let remote = self.links[key].remote;
        self.dial(peer).into_iter().for_each(|dial| dial.addresses.prefer(remote));
        self.links[key].phase = Phase::Greeting(Greeting::Dialler(dialler, peer));
        self.begin_step(key, ANSWER);
        self.send_text(key, hello);
    }

    fn send_text(&mut self, key: LinkKey, text: String) {
        if let Err(error) = self.links.send(key, Payload::Text(text)) {
            self.drop_link(key, &error.to_string());
        }
    }

    pub(super) fn handle_greeting(&mut self, key: LinkKey, text: &str) {
        let (Some(cluster), Some(link)) = (&self.cluster, self.links.get_mut(key)) else { return };
        let Phase::Greeting(greeting) = &mut link.phase else { return };
        match std::mem::replace(greeting, Greeting::Handled) {
            Greeting::Dialler(dialler, peer) => {
                let result = dialler.handle(&cluster.secrets, text);
                match result {
                    Ok((proof, proven)) => self.reached(key, peer, (proof, proven)),
                    Err(error) => {
                        if let (GreetingError::Itself, Some(dial)) = (&error, self.dial(peer)) {
                            dial.aim = Aim::Itself;
                            let remedy = match dial.expected {
                                Some(other) => {
                                    format!("the server {other} advertises it, and needs an --advertise of its own")
                                }
                                None => "leave it out".to_owned(),
                            };
                            let url = dial.url.to_string();
                            self.core.turn.warn("peer", format!("{url} leads to this server itself; {remedy}"));
                            self.cluster.iter_mut().for_each(Cluster::count_missing);
                        }
                        self.give_up_greeting(key, &error);
                        self.peer_unreached(peer, &error.to_string());
                    }
                }
            }
            Greeting::Listener(listener) => match listener.handle(&cluster.secrets, text) {
                Ok(Step::Welcome(listener, welcome)) => {
                    *greeting = Greeting::Listener(listener);
                    self.send_text(key, welcome);
                }
                Ok(Step::Proven(proven)) => self.linked(key, proven, false),
                Err(error) => self.give_up_greeting(key, &error),
            },
            Greeting::Proved(_, peer) => {
                let error = greeting::refused(text);
                self.give_up_greeting(key, &error);
                self.peer_unreached(peer, &error.to_string());
            }
            Greeting::Handled => {}
        }
    }

    /// Proves ourselves to the server that was dialled, unless there is a link to it already.
    fn reached(&mut self, key: LinkKey, peer: usize, (proof, proven): (String, Proven)) {
        if let Some(reason) = self.is_another(peer, proven.server) {
            self.refuse(key, Refusal::Denied, &reason);
            return self.peer_unreached(peer, &reason);
        }
        if self.cluster.as_ref().is_some_and(|cluster| cluster.links.contains_key(&proven.server)) {
            self.aim_reached(peer, proven.server);
            return self.close_link(key, closing::OTHER_LINK);
        }
        self.links[key].phase = Phase::Greeting(Greeting::Proved(proven, peer));
        self.begin_step(key, ANSWER);
        self.send_text(key, proof);
    }

    /// Handles the first message of a server that has our proof: only now there is a link.
    pub(super) fn handle_first(&mut self, key: LinkKey, bytes: Bytes) {
        let Some(Phase::Greeting(greeting)) = self.links.get_mut(key).map(|link| &mut link.phase) else { return };
        match std::mem::replace(greeting, Greeting::Handled) {
            Greeting::Proved(proven, peer) => {
                self.aim_reached(peer, proven.server);
                self.linked(key, proven, true);
                self.handle_peer_message(key, bytes);
            }
            other => {
                *greeting = other;
                self.refuse(key, Refusal::Protocol, "a server greets first");
            }
        }
    }

    /// Notes that a server that is dialled has a link.
    fn aim_reached(&mut self, peer: usize, server: ServerId) {
        let Some(dial) = self.dial(peer) else { return };
        (dial.aim, dial.is_told, dial.error) = (Aim::Linked(server), false, None);
        dial.redial.reset();
        self.cluster.iter_mut().for_each(Cluster::count_missing);
    }

    fn give_up_greeting(&mut self, key: LinkKey, error: &GreetingError) {
        let refusal = match error {
            GreetingError::Secret | GreetingError::Refused(_) | GreetingError::Itself => Refusal::Denied,
            GreetingError::Version => Refusal::Version,
            GreetingError::Protocol => Refusal::Protocol,
        };
        self.refuse(key, refusal, &error.to_string());
    }

    /// Handles a handshake that ended without a link.
    pub(super) fn greeting_left(&mut self, greeting: &Greeting, reason: &str) {
        match greeting {
            Greeting::Dialler(_, peer) => self.peer_unreached(*peer, reason),
            Greeting::Proved(proven, peer) => {
                let cluster = self.cluster.as_ref();
                match cluster.is_some_and(|cluster| cluster.links.contains_key(&proven.server)) {
                    // It dialled us meanwhile, and that link stays.
                    true => self.aim_reached(*peer, proven.server),
                    false => self.peer_unreached(*peer, reason),
                }
            }
            Greeting::Listener(_) | Greeting::Handled => {}
        }
    }

    /// Handles a link that was closed by the other side.
    pub(super) fn closed_by_other(&mut self, key: LinkKey, reason: &str) {
        match &self.links[key].phase {
            Phase::Greeting(_) | Phase::Dialling(_) if !reason.is_empty() => self.drop_link(key, reason),
            _ => self.drop_link(key, "it closed the connection"),
        }
    }

    /// Begins a link that is proven, unless there is one to the same server that stays.
    fn linked(&mut self, key: LinkKey, proven: Proven, is_dialled: bool) {
        let Proven { server, sealing } = proven;
        let now = self.core.turn.now;
        let Some(cluster) = &self.cluster else { return };
        let (own, present) = (cluster.own, cluster.links.get(&server).copied());
        if let Some(present) = present
            && let Some(peer) = self.peer(present)
        {
            let is_old = peer.since + OLD <= now;
            if !newer_stays(own, server, (peer.is_dialled, is_dialled), is_old) {
                return self.close_link(key, closing::OTHER_LINK);
            }
            // Whoever dialled the former has this one.
            self.cluster.iter_mut().for_each(|cluster| {
                cluster.links.remove(&server);
            });
            self.close_link(present, closing::OTHER_LINK);
        }
        let role = if is_dialled { Role::Client } else { Role::Host };
        let config = Config::new(role).with_max_streams(MAX_STREAMS);
        let session = self.core.sessions.add_link(&self.core.turn, server.to_string(), config);
        self.sessions.insert(session, key);
        self.asking.leave(key);
        let Some(link) = self.links.get_mut(key) else { return };
        let remote = link.remote;
        let (news, outbox, has_no_directory) = (Outbox::default(), Outbox::default(), false);
        let peer = Peer { server, session, sealing, news, outbox, is_dialled, since: now, has_no_directory };
        link.phase = Phase::Peer(Box::new(peer));
        self.links.begin_endless_step(key);
        let Some(cluster) = &mut self.cluster else { return };
        cluster.links.insert(server, key);
        cluster.names.linked(server);
        let snapshot = cluster.names.snapshot();
        snapshot.into_iter().for_each(|names| self.send_to_peer(key, Payload::Text(names.to_text())));
        self.tell_standing(key);
        self.core.turn.report(&Event::PeerLinked { server: server.to_string(), remote });
    }

    pub(super) fn peer(&mut self, key: LinkKey) -> Option<&mut Peer> {
        match &mut self.links.get_mut(key)?.phase {
            Phase::Peer(peer) => Some(peer),
            _ => None,
        }
    }

    pub(super) fn handle_peer_message(&mut self, key: LinkKey, bytes: Bytes) {
        let now = self.core.turn.now;
        self.metrics.crossed.bytes.from_peers += bytes.len() as u64;
        let Some(peer) = self.peer(key) else { return };
        let (server, session) = (peer.server, peer.session);
        match peer.sealing.open(bytes) {
            Ok(Arrived::Names(names)) => {
                self.leave_departing(names.here.iter().filter(|here| here.leaving).map(|here| &here.id));
                self.handle_names(key, server, names);
            }
            Ok(Arrived::Seek(id)) => self.answer_seek(key, &id),
            Ok(Arrived::Directory(is_away)) => {
                self.peer(key).into_iter().for_each(|peer| peer.has_no_directory = is_away);
            }
            Ok(Arrived::Tunnel(message)) => {
                if let Err(error) = self.core.sessions.handle_relayed(now, session, message) {
                    debug!("session error={error}");
                }
            }
            Ok(Arrived::Nothing) => {}
            Err(error) => self.refuse(key, Refusal::Protocol, &error.to_string()),
        }
    }

    /// Queues a message for another server.
    pub(super) fn send_to_peer(&mut self, key: LinkKey, message: Payload) {
        let Some(peer) = self.peer(key) else { return };
        match &message {
            Payload::Text(_) => peer.news.push(message),
            Payload::Binary(_) => peer.outbox.push(message),
        }
        let (session, buffered, waiting) = (peer.session, peer.outbox.bytes(), peer.waiting());
        self.core.sessions.set_buffered(session, buffered);
        if waiting > MAX_WAITING {
            return self.drop_link(key, "it does not take what is sent to it");
        }
        self.pump_peer(key);
    }

    /// Writes to a link what it has room for.
    pub(super) fn pump_peer(&mut self, key: LinkKey) {
        while self.has_room(key)
            && let Some(peer) = self.peer(key)
            && let Some(message) = peer.news.pop().or_else(|| peer.outbox.pop())
        {
            let (sealed, session, waiting) = (peer.sealing.seal(message), peer.session, peer.outbox.bytes());
            self.core.sessions.set_buffered(session, waiting);
            self.metrics.crossed.bytes.to_peers += sealed.len() as u64;
            if let Err(error) = self.links.send(key, Payload::Binary(sealed)) {
                return self.drop_link(key, &error.to_string());
            }
        }
    }

    /// Cleans up after a link that is gone.
    pub(super) fn peer_left(&mut self, key: LinkKey, peer: &Peer, reason: &str) {
        let now = self.core.turn.now;
        let Peer { server, session, .. } = *peer;
        self.sessions.remove(&session);
        self.core.sessions.handle_link_gone(now, session);
        self.core.turn.report(&Event::PeerLost { server: server.to_string(), reason: reason.to_owned() });
        let Some(cluster) = &mut self.cluster else { return };
        if cluster.links.get(&server) != Some(&key) {
            return;
        }
        cluster.links.remove(&server);
        cluster.names.unlinked(now, server);
        let is_its = |dial: &Dial| matches!(dial.aim, Aim::Linked(other) if other == server);
        cluster.store.iter_mut().for_each(|store| store.book.forget_server(now, server));
        let dials = cluster.dials.iter().filter(|(_, dial)| is_its(dial));
        let lost: Vec<usize> = dials.map(|(&peer, _)| peer).collect();
        for peer in lost {
            self.dial(peer).into_iter().for_each(|dial| dial.is_told = true);
            self.peer_unreached(peer, reason);
        }
    }
}
