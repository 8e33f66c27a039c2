//! Which host is at which server of the cluster.

use std::collections::{BTreeMap, HashMap};

use super::Server;
use super::peers::Dial;
use super::phase::{Owner, Phase};
use super::splice::{Half, Pair};
use crate::cluster::names::{Claim, Names, Place as Found};
use crate::cluster::{Secrets, ServerId, Tag};
use crate::config::ClusterConfig;
use crate::config::cluster::read_secrets;
use crate::run::RunError;
use crate::run::keys::{LinkKey, SessionKey};
use crate::run::turn::Turn;
use crate::signaling::rendezvous::{HostId, Instance, Payload, Public};
use crate::status::refusal::Refusal;

/// The cluster, as this server sees it.
pub(super) struct Cluster {
    pub(super) own: ServerId,
    pub(super) secrets: Secrets,
    pub(super) names: Names,
    /// The servers that this one dials.
    pub(super) dials: Vec<Dial>,
    pub(super) links: BTreeMap<ServerId, LinkKey>,
    /// The client of each stream that carries its conversation.
    pub(super) clients: HashMap<Half, LinkKey>,
    /// The streams from other servers to hosts here: each with its other half.
    pub(super) pairs: HashMap<Half, Pair>,
}

/// Where a host is.
pub(super) enum Place {
    /// It has this link.
    Here(LinkKey),
    /// It is at another server.
    At(Elsewhere),
    /// It may be at a server without a link at the moment.
    Away,
    Nowhere,
}

/// A host at another server.
#[derive(Debug, Clone)]
pub(super) struct Elsewhere {
    pub(super) link: LinkKey,
    pub(super) session: SessionKey,
    pub(super) epoch: u64,
    pub(super) public: Option<Public>,
    pub(super) dials: bool,
}

impl Cluster {
    pub(super) fn new(turn: &mut Turn, config: &ClusterConfig) -> Result<Cluster, RunError> {
        let (secrets, remark) = read_secrets(&config.secret_file)?;
        remark.into_iter().for_each(|remark| turn.warn("cluster-secret-file", remark));
        let mut dials = Vec::new();
        for url in &config.peers {
            dials.push(Dial::new(url)?);
        }
        let own = ServerId::random();
        Ok(Cluster {
            own,
            secrets,
            names: Names::new(own, dials.len()),
            dials,
            links: BTreeMap::new(),
            clients: HashMap::new(),
            pairs: HashMap::new(),
        })
    }

    /// Returns how many links there are.
    pub(super) fn links(&self) -> usize {
        self.links.len()
    }

    fn claim(&self, owner: &Owner, instance: &Instance, (public, dials): (Option<Public>, bool)) -> Claim {
        Claim { owners: self.owners(owner), instances: self.secrets.instance_tags(&instance.0), public, dials }
    }

    fn owners(&self, owner: &Owner) -> Vec<Tag> {
        match owner {
            Owner::Token(hash) => self.secrets.owner_tags(hash),
            Owner::Process(instance) => self.secrets.owner_tags(&instance.0),
        }
    }
}

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
        cluster.is_some_and(|cluster| !cluster.names.may_claim(id, &cluster.claim(owner, instance, (None, false))))
    }

    /// Counts the hosts of an owner at other servers, without the one that may be about to move here.
    pub(super) fn count_elsewhere(&self, id: &HostId, owner: &Owner) -> usize {
        self.cluster.as_ref().map_or(0, |cluster| cluster.names.count_elsewhere(id, &cluster.owners(owner)))
    }

    pub(super) fn claim_name(&mut self, id: &HostId, owner: &Owner, instance: &Instance, of: (Option<Public>, bool)) {
        if let Some(cluster) = &mut self.cluster {
            let claim = cluster.claim(owner, instance, of);
            cluster.names.claim(id, claim);
        }
    }

    pub(super) fn release_name(&mut self, id: &HostId) {
        self.cluster.iter_mut().for_each(|cluster| cluster.names.release(id));
    }

    /// Ends hosts whose names were lost to other servers, and tells those what changed here. Called in every turn.
    pub(super) fn settle_names(&mut self) {
        while let Some(loss) = self.cluster.as_mut().and_then(|cluster| cluster.names.poll_loss()) {
            let Some(key) = self.names.remove(&loss.id) else { continue };
            if loss.has_moved {
                self.drop_link(key, "it came to another server");
            } else {
                let message = "another process registered the same id with the same token, at another server";
                self.refuse(key, Refusal::Replaced, message);
            }
        }
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
