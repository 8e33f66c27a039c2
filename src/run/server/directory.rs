//! The connection to the directory of a cluster, and what follows from what the directory says.
//!
//! It is one connection in the loop. Commands go out as they come, and their answers come in the same order, so nothing
//! waits for anything else; a directory that hangs costs those that ask for it two seconds, and nobody else anything.

use std::net::SocketAddr;
use std::time::Duration;

use log::debug;
use rand::RngExt as _;

use super::Server;
use super::cluster::{Aim, Cluster, Dial};
use super::phase::Phase;
use super::store::{Connection, Cut, REFUSED, SILENT, Store, UNREACHED};
use crate::cluster::ServerId;
use crate::cluster::directory::{Arrived, Event as Said, Found, Loss, Lost};
use crate::cluster::message::{Here, Message, Names};
use crate::cluster::names;
use crate::net::resolver::{Asker, Lookup};
use crate::net::system::{self, Event as MioEvent};
use crate::run::deadlines::{Due, ServerDue};
use crate::run::dialer::Waiter;
use crate::run::keys::LinkKey;
use crate::run::links::Patience;
use crate::run::notice::ServerNotice;
use crate::signaling::rendezvous::{HostId, Payload};
use crate::signaling::url::SignalingUrl;
use crate::status::event::Event;
use crate::status::metrics::DirectoryMetrics;
use crate::status::refusal::Refusal;

/// Time for a connection, with TLS, at an address.
const PATIENCE: Patience = Patience { last: Duration::from_secs(3), others: Duration::from_secs(3) };

/// How long the larger of two servers lets the smaller one dial first.
const PRECEDENCE: Duration = Duration::from_secs(2);

impl Server {
    fn store(&mut self) -> Option<&mut Store> {
        self.cluster.as_mut()?.store.as_mut()
    }

    /// Looks the directory up, and connects to it.
    pub(super) fn dial_directory(&mut self) {
        let Some(store) = self.store().filter(|store| store.connection.is_none()) else { return };
        let (host, port) = (store.url.host().to_owned(), store.url.port());
        match self.core.resolver.resolve(Asker::Own, Waiter::Directory, &host, port) {
            Ok(Lookup::Ready(addresses)) => self.directory_resolved(Ok(addresses)),
            Ok(Lookup::Pending) => {}
            Err(error) => self.directory_resolved(Err(error.to_string())),
        }
    }

    pub(super) fn directory_resolved(&mut self, answer: Result<Vec<SocketAddr>, String>) {
        let Some(store) = self.store().filter(|store| store.connection.is_none()) else { return };
        match store.addresses.resolved(answer) {
            Ok(()) => {
                store.attempts = store.addresses.attempts(PATIENCE);
                self.open_directory();
            }
            Err(reason) => self.directory_cut(&Cut(reason)),
        }
    }

    /// Connects to the next address of the directory.
    fn open_directory(&mut self) {
        let now = self.core.turn.now;
        let Some(store) = self.cluster.as_mut().and_then(|cluster| cluster.store.as_mut()) else { return };
        let mut cut = Cut("it has no address".to_owned());
        while let Some(address) = store.attempts.next() {
            let tls = store.tls.clone().map(|tls| (tls, store.url.host()));
            match Connection::open(&self.core.turn, address, tls, now + PATIENCE.last) {
                Ok(connection) => {
                    store.connection = Some(connection);
                    return;
                }
                Err(reason) => cut = reason,
            }
        }
        self.directory_cut(&cut);
    }

    /// Handles the end of the connection, or of an attempt.
    fn directory_cut(&mut self, cut: &Cut) {
        let now = self.core.turn.now;
        let Some(store) = self.cluster.as_mut().and_then(|cluster| cluster.store.as_mut()) else { return };
        debug!("directory={} cut: {}", store.url, cut.0);
        // Where something answers, at another address or a moment ago, that says more.
        if cut.0 != REFUSED || store.reason == UNREACHED {
            store.reason.clone_from(&cut.0);
        }
        if let Some(connection) = store.connection.take() {
            let was_open = connection.is_open();
            connection.close(&self.core.turn);
            if !was_open && store.attempts.has_more() {
                return self.open_directory();
            }
        }
        store.book.disconnected(now);
        let pause = store.redial.fail(system::rng().random_range(0.5..1.0));
        store.redial.plan(now + pause);
    }

    pub(super) fn handle_directory_event(&mut self, event: &MioEvent) {
        if let Some(connection) = self.store().and_then(|store| store.connection.as_mut()) {
            connection.handle_event(event);
            self.poll_directory();
        }
    }

    pub(super) fn handle_directory_due(&mut self) {
        let now = self.core.turn.now;
        let Some(store) = self.store() else { return };
        store.due_at = None;
        let is_late = |connection: &Connection| connection.deadline().is_some_and(|at| at <= now);
        if store.connection.as_ref().is_some_and(is_late) {
            self.directory_cut(&Cut("it does not answer".to_owned()));
        } else if let Err(error) = store.book.handle_timeout(now) {
            self.directory_cut(&Cut(error.to_string()));
        }
        if self.store().is_some_and(|store| store.redial.poll(now)) {
            self.dial_directory();
        }
    }

    /// Reads what the directory says.
    pub(super) fn poll_directory(&mut self) {
        if let Err(cut) = self.read_directory() {
            self.directory_cut(&cut);
        }
    }

    fn read_directory(&mut self) -> Result<(), Cut> {
        let now = self.core.turn.now;
        let Server { cluster, piece, core, .. } = self;
        let Some(store) = cluster.as_mut().and_then(|cluster| cluster.store.as_mut()) else { return Ok(()) };
        let Some(connection) = &mut store.connection else { return Ok(()) };
        if connection.advance()? {
            store.addresses.prefer(connection.address());
            store.book.connected(now, store.url.login());
            // The end of an earlier connection says more.
            if store.reason == UNREACHED {
                SILENT.clone_into(&mut store.reason);
            }
        }
        connection.begin_turn();
        while let Some(arrived) = connection.read(piece)? {
            let is_reply = matches!(arrived, Arrived::Reply(_));
            store.book.handle(now, arrived).map_err(|error| Cut(error.to_string()))?;
            if is_reply && store.book.is_up() {
                store.redial.reset();
                SILENT.clone_into(&mut store.reason);
            }
        }
        if connection.end_turn() {
            core.turn.tell(ServerNotice::DirectoryPoll);
        }
        Ok(())
    }

    /// Writes what is wanted of the directory, and does what follows from what it said. Called in every turn.
    pub(super) fn settle_directory(&mut self) {
        let now = self.core.turn.now;
        while let Some(said) = self.store().and_then(|store| store.book.poll_event()) {
            self.handle_said(said);
        }
        let Some(store) = self.store() else { return };
        let written = match store.connection.as_mut().filter(|connection| connection.is_open()) {
            Some(connection) => connection.write(store.book.poll_output(now)),
            None => Ok(()),
        };
        if let Err(cut) = written {
            self.directory_cut(&cut);
        }
        let Some(store) = self.cluster.as_mut().and_then(|cluster| cluster.store.as_mut()) else { return };
        if let Some(at) = store.next_due()
            && store.due_at.is_none_or(|set| at < set)
        {
            store.due_at = Some(at);
            self.core.turn.deadlines.add(at, Due::Server(ServerDue::Directory));
        }
    }

    fn handle_said(&mut self, said: Said) {
        match said {
            Said::Found(id) => self.go_on(&id),
            Said::Taken(id, verdict) => self.name_answered(&id, verdict),
            Said::Lost(loss) => self.name_lost(loss),
            Said::Seek(id) => self.tell_peers(&Message::Seek { id }),
            Said::Tell(id) => {
                if let Some(here) = self.store().and_then(|store| store.book.here(&id)) {
                    self.tell_peers(&Message::Names(Names { here: vec![here], ..Names::default() }));
                }
            }
            Said::Servers => self.follow_servers(),
            Said::Away => {
                let reason = self.store().map(|store| store.reason.clone()).unwrap_or_default();
                self.core.turn.report(&Event::DirectoryLost { reason });
                self.tell_peers(&Message::Directory { away: true });
            }
            Said::Back => {
                self.core.turn.report(&Event::DirectoryBack);
                self.tell_peers(&Message::Directory { away: false });
            }
        }
    }

    /// Handles a name that another server has.
    fn name_lost(&mut self, Loss { id, how }: Loss) {
        match how {
            Lost::Moved | Lost::Replaced => {
                let loss = names::Loss { id, has_moved: how == Lost::Moved };
                self.cluster.iter_mut().for_each(|cluster| cluster.names.lose(loss.clone()));
                self.settle_names();
            }
            Lost::Taken => {
                let Some(key) = self.names.remove(&id) else { return };
                let message = format!("another host has the id {id} at another server");
                self.refuse(key, Refusal::IdTaken, &message);
            }
        }
    }

    /// Dials the servers that the directory knows, and forgets those that it does not know any more.
    fn follow_servers(&mut self) {
        let Some(Cluster { own, store: Some(store), dials, .. }) = &self.cluster else { return };
        let (own, advertise) = (*own, store.advertise.to_string());
        let is_known = |id: &ServerId, url: &str| {
            dials.values().any(|dial| dial.expected == Some(*id) && dial.url.to_string() == url)
        };
        // At our own URL there was a former process of this server.
        let new = store.book.servers().iter().filter(|(id, url)| **url != advertise && !is_known(id, url));
        let new: Vec<(ServerId, String)> = new.map(|(id, url)| (*id, url.clone())).collect();
        let vanished: Vec<usize> = dials.keys().copied().filter(|peer| self.has_vanished(*peer)).collect();
        vanished.into_iter().for_each(|peer| self.forget_dial(peer));
        for (id, url) in new {
            let dial = SignalingUrl::parse_server(&url).map_err(|error| error.to_string());
            match dial.and_then(|url| Dial::new(&url, Some(id)).map_err(|error| error.to_string())) {
                Ok(dial) => self.dial_server(own, id, dial),
                Err(reason) => self.core.turn.warn("directory", format!("the server {id} cannot be dialled: {reason}")),
            }
        }
    }

    fn dial_server(&mut self, own: ServerId, id: ServerId, mut dial: Dial) {
        let at = self.core.turn.now + PRECEDENCE;
        let waits = own > id;
        if waits {
            dial.redial.plan(at);
            self.core.turn.deadlines.add(at, Due::Server(ServerDue::Redial));
        }
        let Some(peer) = self.cluster.as_mut().map(|cluster| cluster.add_dial(dial)) else { return };
        if !waits {
            self.dial_peer(peer);
        }
    }

    /// Tells whether the directory does not know a server any more that it had named, and there is no link to it.
    pub(super) fn has_vanished(&self, peer: usize) -> bool {
        let Some(Cluster { store: Some(store), dials, links, .. }) = &self.cluster else { return false };
        let Some(Dial { expected: Some(id), url, .. }) = dials.get(&peer) else { return false };
        !links.contains_key(id) && store.book.servers().get(id).is_none_or(|present| *present != url.to_string())
    }

    pub(super) fn forget_dial(&mut self, peer: usize) {
        self.cluster.iter_mut().for_each(|cluster| drop(cluster.dials.remove(&peer)));
    }

    /// Tells whether a server that is to be dialled has a link, which it dialled itself.
    pub(super) fn is_linked_already(&mut self, peer: usize) -> bool {
        let Some(Cluster { dials, links, .. }) = &mut self.cluster else { return false };
        let Some(dial) = dials.get_mut(&peer) else { return false };
        let Some(id) = dial.expected.filter(|id| links.contains_key(id)) else { return false };
        dial.aim = Aim::Linked(id);
        true
    }

    /// Says what is wrong if a server is not the one that the directory says to be there.
    pub(super) fn is_another(&self, peer: usize, found: ServerId) -> Option<String> {
        let dial = self.cluster.as_ref()?.dials.get(&peer)?;
        let expected = dial.expected.filter(|expected| *expected != found)?;
        Some(format!("the directory says that the server {expected} is at {}, and there is {found}", dial.url))
    }

    /// Returns where a host is, by the directory; `None` if there is no directory.
    pub(super) fn find_in_directory(&mut self, id: &HostId) -> Option<Found> {
        let now = self.core.turn.now;
        match self.store().map(|store| store.book.find(now, id)) {
            Some(Found::Nowhere) if !self.is_written_by_all() => self.store().map(|store| store.book.seek(now, id)),
            found => found,
        }
    }

    /// Handles what another server said about its hosts. With a directory, it says so where that cannot.
    pub(super) fn handle_names(&mut self, key: LinkKey, server: ServerId, names: Names) {
        let now = self.core.turn.now;
        let Some(cluster) = &mut self.cluster else { return };
        let Some(store) = &mut cluster.store else { return cluster.names.handle(server, names) };
        let ours = names.here.into_iter().filter_map(|here| store.book.learn(now, server, here));
        let ours: Vec<Here> = ours.collect();
        if !ours.is_empty() {
            self.say_names(key, ours);
        }
    }

    /// Answers another server that seeks a host, if it is here.
    pub(super) fn answer_seek(&mut self, key: LinkKey, id: &HostId) {
        if self.names.contains_key(id)
            && let Some(here) = self.store().and_then(|store| store.book.here(id))
        {
            self.say_names(key, vec![here]);
        }
    }

    fn say_names(&mut self, key: LinkKey, here: Vec<Here>) {
        self.send_to_peer(key, Payload::Text(Names { here, ..Names::default() }.to_text()));
    }

    /// Tells a server that has a new link if the directory is away.
    pub(super) fn tell_standing(&mut self, key: LinkKey) {
        if self.store().is_some_and(|store| store.book.is_away()) {
            self.send_to_peer(key, Payload::Text(Message::Directory { away: true }.to_text()));
        }
    }

    /// Tells whether every server that has a link is in the directory and writes there: hosts of others may be missing.
    fn is_written_by_all(&self) -> bool {
        let Some(Cluster { store: Some(store), links, .. }) = &self.cluster else { return true };
        let has_directory = |key: &LinkKey| match self.links.get(*key).map(|link| &link.phase) {
            Some(Phase::Peer(peer)) => !peer.has_no_directory,
            _ => true,
        };
        links.iter().all(|(id, key)| store.book.servers().contains_key(id) && has_directory(key))
    }

    /// Says that this server is about to end.
    pub(super) fn leave_directory(&mut self) {
        let now = self.core.turn.now;
        self.store().into_iter().for_each(|store| store.book.leave(now));
    }

    pub(super) fn directory_metrics(&self) -> Option<DirectoryMetrics> {
        let book = &self.cluster.as_ref()?.store.as_ref()?.book;
        let lookups = book.lookups();
        let (found, absent, away) = (lookups.found, lookups.absent, lookups.away);
        Some(DirectoryMetrics { is_up: book.is_up(), found, absent, away })
    }
}
