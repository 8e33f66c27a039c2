//! Which host is at which server of the cluster.

use super::Server;
use super::cluster::{Elsewhere, Place};
use super::phase::{Owner, Phase};
use crate::cluster::ServerId;
use crate::cluster::directory::Found as Written;
use crate::cluster::message::Message;
use crate::cluster::names::{Entry, Place as Found};
use crate::run::keys::LinkKey;
use crate::signaling::rendezvous::{HostId, Instance, Payload, Public};

impl Server {
    /// Returns where a host is.
    pub(super) fn place(&mut self, id: &HostId) -> Place {
        match self.known_place(id) {
            Place::Nowhere if self.has_stood_still() => Place::Away,
            place => place,
        }
    }

    fn known_place(&mut self, id: &HostId) -> Place {
        if let Some(&link) = self.names.get(id) {
            return Place::Here(link);
        }
        match self.find_in_directory(id) {
            Some(Written::At(record)) => return self.place_at(record.server, &record.entry),
            Some(Written::Nowhere) => return Place::Nowhere,
            Some(Written::Away) => return Place::Away,
            Some(Written::Asked) => return Place::Asked,
            None => {}
        }
        let Some(cluster) = &self.cluster else { return Place::Nowhere };
        match cluster.names.place(id) {
            Found::At(server, entry) => self.place_at(server, entry),
            Found::Nowhere => Place::Nowhere,
            Found::Here(_) | Found::Away => Place::Away,
        }
    }

    /// Returns where a host is that a client, a visitor or a program wants, and counts the answer.
    pub(super) fn look_up(&mut self, id: &HostId) -> Place {
        let place = self.place(id);
        let count = match &place {
            // It is counted once the directory has answered.
            Place::Asked => return place,
            Place::Here(_) => &mut self.metrics.lookups.here,
            Place::At(_) => &mut self.metrics.lookups.elsewhere,
            Place::Away => &mut self.metrics.lookups.away,
            Place::Nowhere => &mut self.metrics.lookups.nowhere,
        };
        *count += 1;
        place
    }

    /// Returns where a host is or was, without waiting for the directory.
    pub(super) fn place_now(&mut self, id: &HostId) -> Place {
        match self.place(id) {
            Place::Asked => {
                let store = self.cluster.as_ref().and_then(|cluster| cluster.store.as_ref());
                match store.map(|store| store.book.recall(id)) {
                    Some(Written::At(record)) => self.place_at(record.server, &record.entry),
                    _ => Place::Away,
                }
            }
            place => place,
        }
    }

    /// Returns the place of a host at a server, which may have no link.
    fn place_at(&self, server: ServerId, entry: &Entry) -> Place {
        let link = self.cluster.as_ref().and_then(|cluster| cluster.links.get(&server).copied());
        let peer = link.and_then(|link| Some((link, self.links.get(link)?)));
        let Some((link, Phase::Peer(peer))) = peer.map(|(key, link)| (key, &link.phase)) else {
            return Place::Away;
        };
        let (session, public) = (peer.session, entry.public.clone());
        Place::At(Elsewhere { link, session, epoch: entry.epoch, public, dials: entry.dials })
    }

    /// Has the next look-up of a host ask the directory: it was not where it should be.
    pub(super) fn forget_place(&mut self, id: &HostId) {
        let now = self.core.turn.now;
        let store = self.cluster.as_mut().and_then(|cluster| cluster.store.as_mut());
        store.into_iter().for_each(|store| store.book.forget(now, id));
    }

    /// Returns the link of a host of this server that another server means by an epoch.
    pub(super) fn meant(&self, id: &HostId, epoch: u64) -> Option<LinkKey> {
        let cluster = self.cluster.as_ref()?;
        if let Some(store) = &cluster.store {
            let is_meant = |link: &LinkKey| store.book.holds(id) == Some(epoch) && !self.departures.is_leaving(*link);
            return self.names.get(id).copied().filter(is_meant);
        }
        match cluster.names.place(id) {
            Found::Here(entry) if entry.epoch == epoch => self.names.get(id).copied(),
            _ => None,
        }
    }

    /// Tells whether another server has a host of that name and of another owner.
    pub(super) fn is_owned_elsewhere(&self, id: &HostId, owner: &Owner, instance: &Instance) -> bool {
        let cluster = self.cluster.as_ref();
        cluster
            .is_some_and(|cluster| !cluster.names.may_claim(id, &cluster.claim(owner.bytes(), instance, (None, false))))
    }

    /// Counts the hosts of an owner at other servers, without the one that may be about to move here.
    pub(super) fn count_elsewhere(&self, id: &HostId, owner: &Owner) -> usize {
        self.cluster
            .as_ref()
            .map_or(0, |cluster| cluster.names.count_elsewhere(id, &cluster.secrets.owner_tags(owner.bytes())))
    }

    pub(super) fn claim_name(&mut self, id: &HostId, owner: &Owner, instance: &Instance, of: (Option<Public>, bool)) {
        if let Some(cluster) = &mut self.cluster {
            let claim = cluster.claim(owner.bytes(), instance, of);
            match &mut cluster.store {
                Some(store) => store.book.claim(self.core.turn.now, id, claim),
                None => cluster.names.claim(id, claim),
            }
        }
    }

    /// Gives up a name whose host is about to be told to come back at another server.
    pub(super) fn leave_name(&mut self, id: &HostId) {
        self.cluster.iter_mut().for_each(|cluster| cluster.names.leave(id));
    }

    pub(super) fn release_name(&mut self, id: &HostId) {
        let now = self.core.turn.now;
        match self.cluster.as_mut().map(|cluster| (&mut cluster.store, &mut cluster.names)) {
            Some((Some(store), _)) => store.book.release(now, id),
            Some((None, names)) => names.release(id),
            None => {}
        }
    }

    /// Ends hosts whose names were lost to other servers, and tells others what changed here. Called in every turn.
    pub(super) fn settle_names(&mut self) {
        while let Some(loss) = self.cluster.as_mut().and_then(|cluster| cluster.names.poll_loss()) {
            let Some(key) = self.names.remove(&loss.id) else { continue };
            self.metrics.hosts = self.names.len();
            match loss.has_moved {
                true => self.drop_link(key, "it came to another server"),
                false => self.depose(key),
            }
        }
        self.announce_names();
        self.cluster.iter_mut().for_each(|cluster| cluster.was_complete |= cluster.names.is_complete());
    }

    /// Tells other servers what changed here.
    pub(super) fn announce_names(&mut self) {
        while let Some(names) = self.cluster.as_mut().and_then(|cluster| cluster.names.poll_changes()) {
            self.tell_peers(&Message::Names(names));
        }
    }

    /// Says something to all servers that have a link.
    pub(super) fn tell_peers(&mut self, message: &Message) {
        let text = message.to_text();
        for key in self.links.of(|phase| matches!(phase, Phase::Peer(_))) {
            self.send_to_peer(key, Payload::Text(text.clone()));
        }
    }

    /// Forgets servers that have been away for long.
    pub(super) fn forget_peers(&mut self) {
        let now = self.core.turn.now;
        self.cluster.iter_mut().for_each(|cluster| cluster.names.forget_late(now));
    }
}
