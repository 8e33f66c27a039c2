//! Which host is at which server of the cluster.

use super::Server;
use super::cluster::{Elsewhere, Place};
use super::phase::{Owner, Phase};
use crate::cluster::names::Place as Found;
use crate::run::keys::LinkKey;
use crate::signaling::rendezvous::{HostId, Instance, Payload, Public};

impl Server {
    /// Returns where a host is.
    pub(super) fn place(&self, id: &HostId) -> Place {
        if let Some(&link) = self.names.get(id) {
            return Place::Here(link);
        }
        let Some(cluster) = &self.cluster else { return Place::Nowhere };
        match cluster.names.place(id) {
            Found::At(server, entry) => {
                let link = cluster.links.get(&server).copied();
                let peer = link.and_then(|link| Some((link, self.links.get(link)?)));
                let Some((link, Phase::Peer(peer))) = peer.map(|(key, link)| (key, &link.phase)) else {
                    return Place::Away;
                };
                let (session, public) = (peer.session, entry.public.clone());
                Place::At(Elsewhere { link, session, epoch: entry.epoch, public, dials: entry.dials })
            }
            Found::Nowhere => Place::Nowhere,
            Found::Here(_) | Found::Away => Place::Away,
        }
    }

    /// Returns where a host is that a client, a visitor or a program wants, and counts the answer.
    pub(super) fn look_up(&mut self, id: &HostId) -> Place {
        let place = self.place(id);
        let count = match &place {
            Place::Here(_) => &mut self.metrics.lookups.here,
            Place::At(_) => &mut self.metrics.lookups.elsewhere,
            Place::Away => &mut self.metrics.lookups.away,
            Place::Nowhere => &mut self.metrics.lookups.nowhere,
        };
        *count += 1;
        place
    }

    /// Returns the link of a host of this server that another server means by an epoch.
    pub(super) fn meant(&self, id: &HostId, epoch: u64) -> Option<LinkKey> {
        let cluster = self.cluster.as_ref()?;
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
            cluster.names.claim(id, claim);
        }
    }

    /// Gives up a name whose host is about to be told to come back at another server.
    pub(super) fn leave_name(&mut self, id: &HostId) {
        self.cluster.iter_mut().for_each(|cluster| cluster.names.leave(id));
    }

    pub(super) fn release_name(&mut self, id: &HostId) {
        self.cluster.iter_mut().for_each(|cluster| cluster.names.release(id));
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
            let text = names.to_text();
            for key in self.links.of(|phase| matches!(phase, Phase::Peer(_))) {
                self.send_to_peer(key, Payload::Text(text.clone()));
            }
        }
    }

    /// Forgets servers that have been away for long.
    pub(super) fn forget_peers(&mut self) {
        let now = self.core.turn.now;
        self.cluster.iter_mut().for_each(|cluster| cluster.names.forget_late(now));
    }
}
