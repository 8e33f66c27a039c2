//! Names that hosts want while the directory is asked whether they may have them.

use super::Server;
use super::phase::{Front, Owner, Phase};
use super::register::Claim;
use crate::cluster::directory::Verdict;
use crate::run::deadlines::STEP_TIMEOUT;
use crate::run::keys::LinkKey;
use crate::signaling::rendezvous::{HostId, Instance, Register};
use crate::status::refusal::Refusal;

/// A host that waits for its name, as others for the same one see it.
struct Claimant {
    link: LinkKey,
    owner: Option<Owner>,
    instance: Instance,
}

impl Server {
    /// Asks the directory for a name that no host here has.
    pub(super) fn take_name(&mut self, key: LinkKey, register: Register, claim: &Claim) {
        if let Some(Claimant { link, owner, instance }) = self.claimant(&register.id) {
            match owner {
                Some(owner) if !owner.is(&claim.owner) => {
                    return self.refuse(key, Refusal::Busy, "another host asks for the same id; try again");
                }
                // The same process has lost its connection, and noticed before we did.
                _ if instance == register.instance => self.drop_link(link, "it connected again"),
                _ => self.refuse(link, Refusal::Replaced, "another process wants the same id"),
            }
        }
        let now = self.core.turn.now;
        let most = if claim.max_hosts == usize::MAX { 0 } else { claim.max_hosts };
        let Some(cluster) = &mut self.cluster else { return };
        let wanted = cluster.claim(claim.owner.bytes(), &register.instance, (register.public.clone(), register.dial));
        let Some(store) = &mut cluster.store else { return };
        store.book.take(now, &register.id, wanted, most);
        store.claiming.insert(register.id.clone(), key);
        if let Some(link) = self.links.get_mut(key) {
            let front = if let Phase::Registering(front) = link.phase { front } else { None };
            link.phase = Phase::Claiming(Box::new(register), front);
        }
        self.begin_step(key, STEP_TIMEOUT);
    }

    /// Returns the host that waits for a name.
    fn claimant(&self, id: &HostId) -> Option<Claimant> {
        let link = *self.cluster.as_ref()?.store.as_ref()?.claiming.get(id)?;
        let Phase::Claiming(register, _) = &self.links.get(link)?.phase else { return None };
        let owner = self.claim(register).ok().map(|claim| claim.owner);
        Some(Claimant { link, owner, instance: register.instance })
    }

    /// Handles what the directory said about a name.
    pub(super) fn name_answered(&mut self, id: &HostId, verdict: Verdict) {
        let store = self.cluster.as_mut().and_then(|cluster| cluster.store.as_mut());
        let key = store.and_then(|store| store.claiming.remove(id));
        let Some((key, register)) = key.and_then(|key| Some((key, self.take_claimant(key)?))) else {
            return self.release_name(id);
        };
        match (verdict, self.claim(&register)) {
            (Verdict::Taken, _) => {
                let message = format!("another host has the id {id} at another server");
                self.refuse(key, Refusal::IdTaken, &message);
            }
            (Verdict::Full, _) => {
                self.refuse(
                    key,
                    Refusal::Full,
                    "the servers have all the hosts that the token may have; try again later",
                );
            }
            (Verdict::Held | Verdict::Here, Ok(claim)) => self.admit(key, *register, &claim),
            (Verdict::Held | Verdict::Here, Err((refusal, message))) => self.refuse(key, refusal, &message),
        }
        if !self.names.contains_key(id) {
            self.release_name(id);
        }
    }

    /// Takes the registration of a host that waits for its name.
    fn take_claimant(&mut self, key: LinkKey) -> Option<Box<Register>> {
        let link = self.links.get_mut(key)?;
        let Phase::Claiming(_, front) = &link.phase else { return None };
        let front: Option<Front> = *front;
        let phase = std::mem::replace(&mut link.phase, Phase::Registering(front));
        if let Phase::Claiming(register, _) = phase { Some(register) } else { None }
    }

    /// Cleans up after a host that is gone before it had its name.
    pub(super) fn claimant_left(&mut self, key: LinkKey, register: &Register) {
        let store = self.cluster.as_mut().and_then(|cluster| cluster.store.as_mut());
        if let Some(store) = store.filter(|store| store.claiming.get(&register.id) == Some(&key)) {
            store.claiming.remove(&register.id);
            store.book.release(self.core.turn.now, &register.id);
        }
    }
}
