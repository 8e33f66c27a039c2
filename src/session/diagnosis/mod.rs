//! What the networks of two sides mean together: whether a direct path can be expected, in words for people.
//!
//! Only mappings are known, not what a router lets in, so some pairs stay undecided. RFC 4787 has the terms, RFC 5128
//! the reasoning: hole punching works if at least one side has the same address for every destination, and the other
//! side's packets come from an address the first one has sent to.

mod situation;

use crate::signaling::network::{Mapping, Network};
use crate::tunnel::Role;
use situation::Situation;
pub use situation::{network, outlook, situation};

/// Whether a direct path can be expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Direct {
    /// It will not work, unless both sides are in the same network.
    No,
    /// It depends on facts that are not known.
    Perhaps,
    /// It should work.
    Yes,
}

/// The verdict on two networks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnosis {
    /// Whether a direct path can be expected.
    pub direct: Direct,
    /// Both sides allow the relay.
    pub relay: bool,
    /// Both sides' networks in words; `None` if nothing is known of either.
    situations: Option<String>,
    outlook: String,
}

/// Judges what two sides' networks mean together, as the side with `role` sees it.
pub fn diagnose(role: Role, ours: &Network, theirs: &Network) -> Diagnosis {
    let peer = match role {
        Role::Client => "host",
        Role::Host => "client",
    };
    let relay = ours.relay && theirs.relay;
    let (our, their) = (Situation::of(ours), Situation::of(theirs));
    let (direct, verdict) = judge(peer, our, their, ours.ipv6 && theirs.ipv6);
    let relayed = match (direct, relay) {
        (Direct::Yes, _) => "",
        (Direct::Perhaps, true) => "; otherwise relayed",
        (Direct::No, true) => "; relayed works",
        (Direct::Perhaps | Direct::No, false) => "; and the relay is switched off (--no-relay)",
    };
    let is_known = (our, their) != (Situation::Unknown, Situation::Unknown);
    let situations = is_known.then(|| format!("you: {our}, {peer}: {their}"));
    Diagnosis { direct, relay, situations, outlook: format!("{verdict}{relayed}") }
}

impl Diagnosis {
    /// Returns both networks and the verdict as one sentence: `you: a symmetric NAT, host: no NAT: …`.
    pub fn sentence(&self) -> String {
        self.with_situations(&self.outlook)
    }

    /// Returns why a session ended up without a direct path, as one sentence.
    pub fn why_not_direct(&self) -> String {
        let reason = match self.direct {
            Direct::No => "no direct path is possible",
            Direct::Perhaps => "no direct path was found",
            Direct::Yes => "a direct path should work, but none was found: a firewall may keep UDP from passing",
        };
        self.with_situations(reason)
    }

    /// Tells whether the two sides can be connected at all.
    pub fn connects(&self) -> bool {
        self.relay || self.direct != Direct::No
    }

    fn with_situations(&self, text: &str) -> String {
        match &self.situations {
            Some(situations) => format!("{situations}: {text}"),
            None => text.to_owned(),
        }
    }
}

/// Returns whether a direct path can be expected, and a sentence about it.
fn judge(peer: &str, ours: Situation, theirs: Situation, both_ipv6: bool) -> (Direct, String) {
    use Mapping::{Dependent, Independent, None, Unknown};
    use Situation::{Blocked, Off, Open};
    match (ours, theirs) {
        (Off, _) | (_, Off) => (Direct::No, "direct is not tried".to_owned()),
        (Blocked, _) | (_, Blocked) => (Direct::No, "direct works inside one network only".to_owned()),
        _ if both_ipv6 => (Direct::Yes, "direct should work, over IPv6".to_owned()),
        (Situation::Unknown, _) | (_, Situation::Unknown) => (Direct::Perhaps, "direct may work".to_owned()),
        (Open(Dependent), Open(Dependent)) => (Direct::No, "direct will not work".to_owned()),
        (Open(None | Independent), Open(None | Independent)) => (Direct::Yes, "direct should work".to_owned()),
        (Open(Unknown), Open(None | Independent | Unknown)) | (Open(None | Independent), Open(Unknown)) => {
            (Direct::Perhaps, "direct works unless a NAT of unknown kind is symmetric".to_owned())
        }
        (Open(Unknown), Open(Dependent)) | (Open(Dependent), Open(Unknown)) => {
            (Direct::Perhaps, "direct may work, but seldom does".to_owned())
        }
        (Open(kept), Open(Dependent)) => (Direct::Perhaps, only_if_let_in("your", "here", kept)),
        (Open(Dependent), Open(kept)) => {
            (Direct::Perhaps, only_if_let_in(&format!("the {peer}'s"), &format!("at the {peer}"), kept))
        }
    }
}

/// The packets of a symmetric NAT come from a port that cannot be predicted.
fn only_if_let_in(whose: &str, place: &str, kept: Mapping) -> String {
    match kept {
        Mapping::None => format!("direct works unless a firewall {place} lets in only what was asked for"),
        Mapping::Independent | Mapping::Dependent | Mapping::Unknown => {
            format!("direct works only if {whose} router lets in packets from any port of a known address")
        }
    }
}

#[cfg(test)]
mod verdict_tests;
