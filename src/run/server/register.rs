//! Registration of hosts under their names.

use std::time::Duration;

use aws_lc_rs::constant_time::verify_slices_are_equal;

use super::phase::{Contest, Front, Owner, Phase, Registered, Rival};
use super::{Access, Server, Serves};
use crate::run::keys::LinkKey;
use crate::run::links::Link;
use crate::shares::Standing;
use crate::signaling::rendezvous::{FromHost, FromServer, HostId, Register, VERSIONS};
use crate::status::event::Event;
use crate::status::refusal::Refusal;

/// Time for a host to show that it is alive when another process wants its name.
const CONTEST: Duration = Duration::from_secs(2);

/// Rights of a token's owner.
pub(super) struct Claim {
    pub(super) owner: Owner,
    /// Maximum number of hosts of the same owner.
    pub(super) max_hosts: usize,
    max_clients: usize,
}

impl Owner {
    /// Tells whether both are the same, in constant time.
    pub(super) fn is(&self, other: &Owner) -> bool {
        match (self, other) {
            (Owner::Token(own), Owner::Token(other)) => verify_slices_are_equal(own, other).is_ok(),
            (Owner::Process(own), Owner::Process(other)) => verify_slices_are_equal(&own.0, &other.0).is_ok(),
            (Owner::Token(_), Owner::Process(_)) | (Owner::Process(_), Owner::Token(_)) => false,
        }
    }
}

impl Server {
    /// Handles the first message of a host.
    pub(super) fn handle_registration(&mut self, key: LinkKey, text: &str) {
        match FromHost::parse(text) {
            Ok(FromHost::Register(register)) => self.register(key, register),
            Ok(FromHost::Left { .. }) => self.refuse(key, Refusal::Protocol, "a host registers first"),
            Err(error) => self.refuse(key, Refusal::Protocol, &error.to_string()),
        }
    }

    /// Registers a host under its name, if it may have it and no other host has it.
    fn register(&mut self, key: LinkKey, register: Register) {
        if !register.versions.iter().any(|version| VERSIONS.contains(version)) {
            return self.refuse(key, Refusal::Version, "the server speaks no version that the host speaks");
        }
        let claim = match self.claim(&register) {
            Ok(claim) => claim,
            Err((refusal, message)) => return self.refuse(key, refusal, &message),
        };
        let Some(&holder) = self.names.get(&register.id) else {
            if self.cluster.as_ref().is_some_and(|cluster| cluster.store.is_some()) {
                return self.take_name(key, register, &claim);
            }
            if self.is_owned_elsewhere(&register.id, &claim.owner, &register.instance) {
                let message = format!("another host has the id {} at another server", register.id);
                return self.refuse(key, Refusal::IdTaken, &message);
            }
            return self.admit(key, register, &claim);
        };
        let Some(host) = self.host(holder) else { return };
        if !host.owner.is(&claim.owner) {
            let message = format!("another host has the id {}", register.id);
            return self.refuse(key, Refusal::IdTaken, &message);
        }
        if verify_slices_are_equal(&host.instance.0, &register.instance.0).is_ok() {
            // The same process has lost its connection, and noticed before we did.
            return self.replace(holder, key, register, "it connected again");
        }
        self.contest(holder, key, register);
    }

    /// Returns what the host may have.
    pub(super) fn claim(&self, register: &Register) -> Result<Claim, (Refusal, String)> {
        let all = usize::MAX;
        let tokens = match &self.access {
            Access::Open => {
                let owner = register.token.as_ref().map(|token| Owner::Token(token.hash()));
                let owner = owner.unwrap_or(Owner::Process(register.instance));
                return Ok(Claim { owner, max_hosts: all, max_clients: all });
            }
            Access::Tokens(tokens) => tokens,
        };
        let grant = register.token.as_ref().and_then(|token| tokens.find(token));
        let Some(grant) = grant else {
            return Err((Refusal::BadToken, "the server does not know the token".to_owned()));
        };
        if !grant.owns(&register.id) {
            return Err((Refusal::Denied, format!("the token is not for the id {}", register.id)));
        }
        let (max_hosts, max_clients) = (grant.max_hosts.unwrap_or(all), grant.max_clients.unwrap_or(all));
        Ok(Claim { owner: Owner::Token(grant.hash), max_hosts, max_clients })
    }

    /// Registers a host under a free name.
    pub(super) fn admit(&mut self, key: LinkKey, register: Register, claim: &Claim) {
        let is_own = |link: &LinkKey, server: &Server| {
            let phase = server.links.get(*link).map(|link| &link.phase);
            matches!(phase, Some(Phase::Host(host)) if host.owner.is(&claim.owner))
        };
        let here = |server: &Server| server.names.values().filter(|link| is_own(link, server)).count();
        let count = |server: &Server| here(server) + server.count_elsewhere(&register.id, &claim.owner);
        let is_full = claim.max_hosts < usize::MAX && count(self) >= claim.max_hosts;
        if is_full || !self.make_place_for_host(key) {
            return self.refuse(key, Refusal::Full, "the server has all the hosts it may have; try again later");
        }
        self.enter(key, register, claim, false);
    }

    fn enter(&mut self, key: LinkKey, register: Register, claim: &Claim, replaced: bool) {
        let Register { versions, id, instance, public, dial, .. } = register;
        let version = versions.into_iter().filter(|version| VERSIONS.contains(version)).max().unwrap_or(VERSIONS[0]);
        let phase = self.links.get(key).map(|link| &link.phase);
        let front = if let Some(Phase::Registering(front)) = phase { *front } else { None };
        let web = public.as_ref().and_then(|_| self.web_url(&id, front));
        let Some(link) = self.links.get_mut(key) else { return };
        let (remote, source) = (link.remote, link.source());
        let announced = (public.clone(), dial);
        link.phase =
            Phase::Host(Box::new(Registered::new(id.clone(), claim.owner, instance, public, dial, claim.max_clients)));
        self.asking.leave(key);
        self.hosts.enter(key, source, Standing::Settled);
        self.names.insert(id.clone(), key);
        self.claim_name(&id, &claim.owner, &instance, announced);
        // Others are told first: whoever hears from the host where it is may be at one of them at once.
        self.announce_names();
        self.metrics.hosts = self.names.len();
        self.core.turn.report(&Event::HostJoined { id, remote, replaced });
        self.send_to_host(key, FromServer::Registered { version, web }.to_text());
    }

    /// Replaces one connection of a host by another.
    fn replace(&mut self, holder: LinkKey, key: LinkKey, register: Register, reason: &str) {
        let claim = match self.claim(&register) {
            Ok(claim) => claim,
            Err((refusal, message)) => return self.refuse(key, refusal, &message),
        };
        self.metrics.replacements += 1;
        // If another process wants the name, too, it now competes with the new connection.
        let contender = self.host(holder).and_then(|host| host.contender());
        self.host(holder).into_iter().for_each(|host| host.contest = None);
        self.drop_link(holder, reason);
        self.enter(key, register, &claim, true);
        if let Some(contender) = contender
            && let Some(register) = self.take_contender(contender)
        {
            self.contest(key, contender, *register);
        }
    }

    /// Asks the process that has a name for a sign of life, before another replaces it.
    fn contest(&mut self, holder: LinkKey, key: LinkKey, register: Register) {
        self.ask_for_sign_of_life(holder, Rival::Here(key));
        if let Some(link) = self.links.get_mut(key)
            && let Phase::Registering(front) = link.phase
        {
            link.phase = Phase::Contending(Box::new(register), front);
        }
        self.begin_step(key, CONTEST);
    }

    /// Gives a host whose name another process took at another server the same time for a sign of life.
    pub(super) fn depose(&mut self, holder: LinkKey) {
        self.ask_for_sign_of_life(holder, Rival::Elsewhere);
        self.begin_step(holder, CONTEST);
    }

    /// Asks a host for a sign of life. Whoever wanted its name before has to give way.
    fn ask_for_sign_of_life(&mut self, holder: LinkKey, rival: Rival) {
        let Some(websocket) = self.links.get_mut(holder).and_then(Link::websocket) else { return };
        let received = websocket.received();
        // If the ping fails, the process gives no sign of life.
        let _ = websocket.send_ping();
        let Some(host) = self.host(holder) else { return };
        let former = host.contender();
        host.contest = Some(Contest { rival, received });
        if let Some(former) = former {
            self.refuse(former, Refusal::Replaced, "another process wants the same id");
        }
    }

    /// Checks whether the process that has the name gave its sign of life. It is then told that it was replaced, so
    /// that the two processes do not take the name from each other for ever.
    pub(super) fn check_contender(&mut self, holder: LinkKey) {
        let Some(Contest { rival, received }) = self.host(holder).and_then(|host| host.contest) else { return };
        let websocket = self.links.get_mut(holder).and_then(Link::websocket);
        if websocket.is_none_or(|websocket| websocket.received() <= received) {
            return;
        }
        self.host(holder).into_iter().for_each(|host| host.contest = None);
        let message = "another process registered the same id with the same token";
        match rival {
            Rival::Here(contender) => {
                self.refuse(holder, Refusal::Replaced, message);
                self.succeed(contender);
            }
            Rival::Elsewhere => self.refuse(holder, Refusal::Replaced, &format!("{message}, at another server")),
        }
    }

    /// Drops the process that has the name, because it gave no sign of life.
    pub(super) fn contest_lost(&mut self, contender: LinkKey) {
        let Some(Phase::Contending(register, _)) = self.links.get(contender).map(|link| &link.phase) else { return };
        if let Some(&holder) = self.names.get(&register.id) {
            // The other one succeeds it as it leaves.
            self.drop_link(holder, "it did not answer, and another process wants its id");
        } else {
            self.succeed(contender);
        }
    }

    /// Gives the name to the process that waited for it.
    pub(super) fn succeed(&mut self, contender: LinkKey) {
        let Some(register) = self.take_contender(contender) else { return };
        match self.claim(&register) {
            Ok(claim) if !self.names.contains_key(&register.id) => {
                self.metrics.replacements += 1;
                self.enter(contender, *register, &claim, true);
            }
            Ok(_) => self.refuse(contender, Refusal::IdTaken, "another host has the id"),
            Err((refusal, message)) => self.refuse(contender, refusal, &message),
        }
    }

    /// Takes the registration of a host that waits for a name; it no longer waits.
    fn take_contender(&mut self, key: LinkKey) -> Option<Box<Register>> {
        let link = self.links.get_mut(key)?;
        let Phase::Contending(_, front) = &link.phase else { return None };
        let front = *front;
        let phase = std::mem::replace(&mut link.phase, Phase::Registering(front));
        if let Phase::Contending(register, _) = phase { Some(register) } else { None }
    }

    /// Cleans up after a process that waited for a name and is gone.
    pub(super) fn contender_left(&mut self, key: LinkKey, register: &Register) {
        if let Some(&holder) = self.names.get(&register.id)
            && let Some(host) = self.host(holder)
            && host.contender() == Some(key)
        {
            host.contest = None;
        }
    }

    /// Drops hosts whose token was removed.
    pub(super) fn drop_unwanted(&mut self) {
        let Access::Tokens(tokens) = &self.access else { return };
        let is_wanted = |host: &Registered| match host.owner {
            Owner::Token(hash) => tokens.find_hash(&hash).is_some_and(|grant| grant.owns(&host.id)),
            Owner::Process(_) => false,
        };
        for key in self.links.of(|phase| matches!(phase, Phase::Host(host) if !is_wanted(host))) {
            self.refuse(key, Refusal::BadToken, "the server does not know the token any more");
        }
        let Access::Tokens(tokens) = &self.access else { return };
        let tokens = tokens.clone();
        self.drop_undialled(|hash, id| tokens.find_hash(hash).is_some_and(|grant| grant.dial && grant.owns(id)));
    }

    /// Returns the URL of a host's published service.
    fn web_url(&self, id: &HostId, front: Option<Front>) -> Option<String> {
        let gateway = self.config.gateway.as_ref()?;
        let own = self.local_addr();
        let (is_tls, port) = match (front, &self.tls) {
            // The host came the same way as visitors do.
            (Some(front), _) => (front.is_tls, front.port),
            (None, Some(_)) => (true, Some(own.port())),
            // Visitors come through a proxy, which ends their TLS.
            (None, None) if !self.proxies.is_empty() => (true, None),
            (None, None) => (false, Some(self.address(Serves::Gateway).unwrap_or(own).port())),
        };
        let (scheme, default) = if is_tls { ("https", 443) } else { ("http", 80) };
        let port = port.filter(|port| *port != default).map(|port| format!(":{port}")).unwrap_or_default();
        Some(format!("{scheme}://{id}.{}{port}", gateway.domain))
    }
}
