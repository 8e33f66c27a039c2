//! The addresses of both sides, and the pair that ICE chose.

use std::net::SocketAddr;
use std::time::Instant;

use str0m::Candidate;
use str0m::net::Protocol;

use super::{Connection, MAX_REMOTE_CANDIDATES, PathInfo, is_reachable};
use crate::fault::caught;
use crate::peer::description::{self, Description};
use crate::peer::stun::is_public;

impl Connection {
    /// Adds a local socket's address. Returns the candidate for the peer, unless it was known.
    pub fn add_local_candidate(&mut self, now: Instant, address: SocketAddr) -> Option<String> {
        let candidate = Candidate::host(address, Protocol::Udp).ok()?;
        let added = self.ask(|rtc| Some(rtc.add_local_candidate(candidate.clone())?.to_sdp_string()));
        let text = added.ok()??;
        self.local_candidates.push(candidate);
        self.drain(now);
        Some(text)
    }

    /// Adds the public address of the local socket `base`, as a STUN server saw it, and returns the candidate for the
    /// peer. `None` if it is not new, or `base` was not added by [`Connection::add_local_candidate`].
    pub fn add_server_reflexive(&mut self, now: Instant, mapped: SocketAddr, base: SocketAddr) -> Option<String> {
        self.local_candidates.iter().find(|candidate| candidate.addr() == base)?;
        let candidate = Candidate::server_reflexive(mapped, base, Protocol::Udp).ok()?;
        let added = self.ask(|rtc| Some(rtc.add_local_candidate(candidate.clone())?.to_sdp_string()));
        let text = added.ok()??;
        self.local_candidates.push(candidate);
        self.drain(now);
        Some(text)
    }

    /// Adds a candidate of the peer. Returns false if it cannot be used (mDNS names, TCP).
    pub fn add_remote_candidate(&mut self, now: Instant, candidate: &str) -> bool {
        let Some(text) = description::candidate(candidate) else { return false };
        let Ok(Ok(candidate)) = caught(|| Candidate::from_sdp_string(text)) else { return false };
        if candidate.proto() != Protocol::Udp
            || !is_reachable(candidate.addr())
            || self.remote_candidates.len() >= MAX_REMOTE_CANDIDATES
        {
            return false;
        }
        self.remote_candidates.push(candidate.clone());
        let is_added = self.ask(|rtc| rtc.add_remote_candidate(candidate)).is_ok();
        // A timeout starts str0m's own checks. Without one it would wait for the peer's, which a firewall here may
        // block.
        self.handle_timeout(now);
        is_added
    }

    pub(super) fn add_told_candidates(&mut self, now: Instant, description: &Description<'_>) {
        for candidate in &description.candidates {
            self.add_remote_candidate(now, candidate);
        }
    }

    /// Returns the addresses between which messages travel, once they do.
    pub fn path(&self) -> Option<PathInfo> {
        let (local, remote) = self.path?;
        let is_own = |candidate: &&Candidate| candidate.addr() == local;
        // str0m names the socket; a peer beyond the NAT sees the address a server saw.
        let is_mapped = |candidate: &&Candidate| candidate.local() == local && !is_own(candidate) && is_public(remote);
        let mut local_candidates = self.local_candidates.iter();
        let local_kind = local_candidates.clone().find(is_mapped).or_else(|| local_candidates.find(is_own));
        let remote_kind = self.remote_candidates.iter().find(|candidate| candidate.addr() == remote);
        let name = |candidate: Option<&Candidate>| candidate.map_or("prflx".to_owned(), |c| c.kind().to_string());
        Some(PathInfo { local, remote, candidates: format!("{}/{}", name(local_kind), name(remote_kind)) })
    }
}
