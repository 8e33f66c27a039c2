//! Who holds which name: what this server claims, and what others announced.
//!
//! Every claim has an epoch, one more than the highest that its server had seen. The claim with the highest epoch holds
//! the name, and of equal ones that of the larger server; claims of servers without a link count only if there is no
//! other. Servers need not agree at any moment: each claim is announced
//! to all, so all come to the same answer, and whoever sees its own claim beaten gives it up.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::time::{Duration, Instant};

use super::ServerId;
use super::message::{self, Here, MAX_EPOCH, MAX_HOSTS};
use super::secrets::Tag;
use crate::signaling::rendezvous::{HostId, Public};

/// How long the hosts of a server count as away after its last link was lost. Meanwhile they come back elsewhere, or
/// the link does.
pub const AWAY: Duration = Duration::from_secs(60);

/// Maximum number of names that one server may announce; further ones are ignored.
const MAX_NAMES: usize = 256 * 1024;

/// A claim to a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The highest one holds the name.
    pub epoch: u64,
    /// Who may replace the host.
    pub owner: Tag,
    /// The host's process.
    pub instance: Tag,
    /// The published service.
    pub public: Option<Public>,
    /// The host dials for holders of tokens that may dial.
    pub dials: bool,
}

/// A host that wants a name here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// The tags of its owner, by each secret; the first is announced.
    pub owners: Vec<Tag>,
    /// The tags of its process, likewise.
    pub instances: Vec<Tag>,
    /// The published service.
    pub public: Option<Public>,
    /// It dials.
    pub dials: bool,
}

/// Where a host is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place<'a> {
    /// At this server.
    Here(&'a Entry),
    /// At another, which has a link to this one.
    At(ServerId, &'a Entry),
    /// It may be at a server that has no link at the moment.
    Away,
    /// No server has it.
    Nowhere,
}

/// A name that was lost to another server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loss {
    /// The name.
    pub id: HostId,
    /// The same process has come to another server: it is not to be told that it was replaced.
    pub has_moved: bool,
}

/// The names that this server knows of.
#[derive(Debug)]
pub struct Names {
    own: ServerId,
    /// The highest epoch that was seen anywhere.
    highest: u64,
    /// All claims to each name.
    claims: HashMap<HostId, BTreeMap<ServerId, Claimed>>,
    servers: BTreeMap<ServerId, Server>,
    /// Links of this server that it is still trying to make.
    missing: usize,
    /// Names whose claims here have changed since they were announced.
    changed: BTreeSet<HostId>,
    losses: VecDeque<Loss>,
}

/// A claim.
#[derive(Debug)]
struct Claimed {
    entry: Entry,
    /// Of a claim here, the tags of the process by each secret: others may prove with another secret than we do.
    instances: Vec<Tag>,
    /// Of another server's claim, the link that it was announced on, as the count of that server's links.
    link: u64,
    /// Its server sends the host away, and will not have it any more.
    is_leaving: bool,
}

/// Another server.
#[derive(Debug)]
struct Server {
    standing: Standing,
    /// How many links it has had.
    links: u64,
    /// How many names it claims.
    names: usize,
}

#[derive(Debug, PartialEq, Eq)]
enum Standing {
    /// It has a link, and is still naming its hosts.
    Naming,
    /// It has a link, and all of its hosts are known.
    Known,
    /// It has no link; its hosts count as away until then.
    Away(Instant),
}

impl Names {
    /// Creates the table of a server, without any names. It has `missing` links to make.
    pub fn new(own: ServerId, missing: usize) -> Names {
        Names {
            own,
            highest: 0,
            claims: HashMap::new(),
            servers: BTreeMap::new(),
            missing,
            changed: BTreeSet::new(),
            losses: VecDeque::new(),
        }
    }

    /// Sets how many links there are still to make. While there are any, a name that is not known may be there.
    pub fn set_missing(&mut self, links: usize) {
        self.missing = links;
    }

    /// Tells whether a host has the right to a name, as far as other servers know.
    pub fn may_claim(&self, id: &HostId, claim: &Claim) -> bool {
        self.holder(id)
            .is_none_or(|(server, claimed)| server == self.own || claim.owners.contains(&claimed.entry.owner))
    }

    /// Claims a name for a host that registered here, and takes it from every other server.
    pub fn claim(&mut self, id: &HostId, claim: Claim) {
        let (Some(&owner), Some(&instance)) = (claim.owners.first(), claim.instances.first()) else { return };
        // Others take no higher one, should somebody have claimed that. Of equal ones the larger server's holds.
        self.highest = (self.highest + 1).min(MAX_EPOCH - 1);
        let Claim { public, dials, instances, .. } = claim;
        let entry = Entry { epoch: self.highest, owner, instance, public, dials };
        self.claims
            .entry(id.clone())
            .or_default()
            .insert(self.own, Claimed { entry, instances, link: 0, is_leaving: false });
        self.changed.insert(id.clone());
    }

    /// Gives up a name whose host is about to be sent to another server. Until it comes back there it is away, and not
    /// unknown.
    pub fn leave(&mut self, id: &HostId) {
        if let Some(claimed) = self.claims.get_mut(id).and_then(|claims| claims.get_mut(&self.own)) {
            claimed.is_leaving = true;
            self.changed.insert(id.clone());
        }
    }

    /// Sets the tags of a host's owner and process, after the secrets of the cluster have changed.
    pub fn retag(&mut self, id: &HostId, owners: &[Tag], instances: Vec<Tag>) {
        let Some(claimed) = self.claims.get_mut(id).and_then(|claims| claims.get_mut(&self.own)) else { return };
        let (Some(&owner), Some(&instance)) = (owners.first(), instances.first()) else { return };
        let entry = &mut claimed.entry;
        if (entry.owner, entry.instance) != (owner, instance) {
            (entry.owner, entry.instance) = (owner, instance);
            self.changed.insert(id.clone());
        }
        claimed.instances = instances;
    }

    /// Gives up a name whose host has left. One that was lost before is not ours to give up, and one that was sent away
    /// is somewhere.
    pub fn release(&mut self, id: &HostId) {
        let own = self.claims.get(id).and_then(|claims| claims.get(&self.own));
        if own.is_some_and(|claimed| !claimed.is_leaving) && self.remove(id, self.own) {
            self.changed.insert(id.clone());
        }
    }

    /// Handles a new link to a server. Its earlier names stand until it has named all of its hosts.
    pub fn linked(&mut self, server: ServerId) {
        let server = self.servers.entry(server).or_insert(Server { standing: Standing::Naming, links: 0, names: 0 });
        server.standing = Standing::Naming;
        server.links += 1;
    }

    /// Handles the loss of the only link to a server.
    pub fn unlinked(&mut self, now: Instant, server: ServerId) {
        if let Some(server) = self.servers.get_mut(&server) {
            server.standing = Standing::Away(now + AWAY);
        }
    }

    /// Handles what a server that has a link said about its hosts.
    pub fn handle(&mut self, server: ServerId, names: message::Names) {
        let Some(Server { links, names: count, .. }) = self.servers.get_mut(&server) else { return };
        let link = *links;
        for Here { id, epoch, owner, instance, public, dial, leaving } in names.here {
            self.highest = self.highest.max(epoch);
            let is_new = self.claims.get(&id).is_none_or(|claims| !claims.contains_key(&server));
            if is_new && *count >= MAX_NAMES {
                continue;
            }
            *count += usize::from(is_new);
            let claims = self.claims.entry(id.clone()).or_default();
            if let Some(own) = claims.get(&self.own)
                && (own.entry.epoch, self.own) < (epoch, server)
            {
                let has_moved = own.instances.contains(&instance);
                claims.remove(&self.own);
                self.changed.insert(id.clone());
                self.losses.push_back(Loss { id, has_moved });
            }
            let entry = Entry { epoch, owner, instance, public, dials: dial };
            claims.insert(server, Claimed { entry, instances: Vec::new(), link, is_leaving: leaving });
        }
        for id in names.gone {
            self.remove(&id, server);
        }
        if names.complete {
            self.servers.entry(server).and_modify(|server| server.standing = Standing::Known);
            self.forget(server, |claimed| claimed.link != link);
        }
    }

    /// Forgets servers that have been away for too long, with their names.
    pub fn forget_late(&mut self, now: Instant) {
        let is_late = |server: &Server| matches!(server.standing, Standing::Away(until) if until <= now);
        let late = self.servers.iter().filter(|(_, server)| is_late(server));
        let late: Vec<ServerId> = late.map(|(id, _)| *id).collect();
        for server in late {
            self.forget(server, |_| true);
            self.servers.remove(&server);
        }
    }

    /// Returns where a host is.
    pub fn place(&self, id: &HostId) -> Place<'_> {
        match self.holder(id) {
            Some((_, claimed)) if claimed.is_leaving => Place::Away,
            Some((server, claimed)) if server == self.own => Place::Here(&claimed.entry),
            Some((server, claimed)) if self.is_linked(server) => Place::At(server, &claimed.entry),
            Some(_) => Place::Away,
            None if self.is_complete() => Place::Nowhere,
            None => Place::Away,
        }
    }

    /// Counts the names other than `id` that other servers hold for an owner.
    pub fn count_elsewhere(&self, id: &HostId, owners: &[Tag]) -> usize {
        let holders = self.claims.keys().filter(|other| *other != id).filter_map(|id| self.holder(id));
        holders.filter(|(server, claimed)| *server != self.own && owners.contains(&claimed.entry.owner)).count()
    }

    /// Counts the names that a server claims.
    pub fn count_at(&self, server: ServerId) -> usize {
        self.servers.get(&server).map_or(0, |server| server.names)
    }

    /// Takes note of a name that was lost, as the directory says.
    pub fn lose(&mut self, loss: Loss) {
        self.losses.push_back(loss);
    }

    /// Returns the next name that was lost to another server.
    pub fn poll_loss(&mut self) -> Option<Loss> {
        self.losses.pop_front()
    }

    /// Returns the next message about changes, for every link.
    pub fn poll_changes(&mut self) -> Option<message::Names> {
        let mut names = message::Names::default();
        while names.here.len() + names.gone.len() < MAX_HOSTS
            && let Some(id) = self.changed.pop_first()
        {
            match self.claims.get(&id).and_then(|claims| claims.get(&self.own)) {
                Some(claimed) => names.here.push(here(id, claimed)),
                None => names.gone.push(id),
            }
        }
        (!names.here.is_empty() || !names.gone.is_empty()).then_some(names)
    }

    /// Returns the messages that name all hosts of this server, for a new link.
    pub fn snapshot(&self) -> Vec<message::Names> {
        let own = self.claims.iter().filter_map(|(id, claims)| Some((id, claims.get(&self.own)?)));
        let hosts: Vec<Here> = own.map(|(id, claimed)| here(id.clone(), claimed)).collect();
        let parts = hosts.chunks(MAX_HOSTS);
        let mut parts: Vec<message::Names> =
            parts.map(|here| message::Names { here: here.to_vec(), ..message::Names::default() }).collect();
        parts.push(message::Names { complete: true, ..message::Names::default() });
        parts
    }

    /// Returns the claim that holds a name. One that stands for certain goes before those of servers that are away or
    /// send the host away: a server that was started again counts anew, and whoever is away may be gone.
    fn holder(&self, id: &HostId) -> Option<(ServerId, &Claimed)> {
        let rank = |server: ServerId, claimed: &Claimed| {
            let stands = !claimed.is_leaving && (server == self.own || self.is_linked(server));
            (stands, claimed.entry.epoch, server)
        };
        let claims = self.claims.get(id)?.iter().map(|(server, claimed)| (*server, claimed));
        claims.max_by_key(|(server, claimed)| rank(*server, claimed))
    }

    fn is_linked(&self, server: ServerId) -> bool {
        let standing = self.servers.get(&server).map(|server| &server.standing);
        matches!(standing, Some(Standing::Naming | Standing::Known))
    }

    /// Tells whether all hosts of all servers are known.
    pub fn is_complete(&self) -> bool {
        self.missing == 0 && self.servers.values().all(|server| server.standing == Standing::Known)
    }

    fn remove(&mut self, id: &HostId, server: ServerId) -> bool {
        let Some(claims) = self.claims.get_mut(id) else { return false };
        let is_removed = claims.remove(&server).is_some();
        if claims.is_empty() {
            self.claims.remove(id);
        }
        if is_removed && let Some(server) = self.servers.get_mut(&server) {
            server.names -= 1;
        }
        is_removed
    }

    fn forget(&mut self, server: ServerId, is_over: impl Fn(&Claimed) -> bool) {
        let is_over = |claims: &BTreeMap<ServerId, Claimed>| claims.get(&server).is_some_and(&is_over);
        let over: Vec<HostId> =
            self.claims.iter().filter(|(_, claims)| is_over(claims)).map(|(id, _)| id.clone()).collect();
        for id in over {
            self.remove(&id, server);
        }
    }
}

/// Returns what is announced of a claim here.
fn here(id: HostId, claimed: &Claimed) -> Here {
    let Entry { epoch, owner, instance, public, dials: dial } = claimed.entry.clone();
    Here { id, epoch, owner, instance, public, dial, leaving: claimed.is_leaving }
}

#[cfg(test)]
#[path = "names_tests.rs"]
mod tests;
