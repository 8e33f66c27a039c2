//! One side's situation: the facts about its network that decide about direct paths.

use std::fmt;

use crate::peer::stun::{self, Findings};
use crate::signaling::network::{Mapping, Network, Udp};

/// The facts of a [`Network`] that count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Situation {
    /// Direct paths are switched off.
    Off,
    /// No datagram comes back from outside.
    Blocked,
    /// Nothing is known.
    Unknown,
    /// Datagrams come back, from behind a NAT with this mapping.
    Open(Mapping),
}

/// Returns one side's situation in words.
pub fn situation(network: &Network) -> String {
    let ipv6 = match (network.ipv6, Situation::of(network)) {
        (true, _) => ", IPv6 works",
        (false, Situation::Open(_)) => ", no IPv6 answer",
        (false, Situation::Off | Situation::Blocked | Situation::Unknown) => "",
    };
    format!("{}{ipv6}", Situation::of(network))
}

/// Returns what one side's network means for sessions with others, as a sentence.
pub fn outlook(ours: &Network) -> String {
    let means = match Situation::of(ours) {
        Situation::Off => "sessions are relayed",
        Situation::Blocked => "sessions are relayed, except inside one network",
        Situation::Unknown => {
            "no STUN server could be asked, so whether direct paths work shows only when one is tried"
        }
        Situation::Open(Mapping::None) => {
            "direct paths should work; where the other side has a symmetric NAT, only if no firewall here keeps it out"
        }
        Situation::Open(Mapping::Independent) => {
            "direct paths should work; where the other side has a symmetric NAT, it depends on your router"
        }
        Situation::Open(Mapping::Dependent) => {
            "direct paths depend on the other side's router; where that is symmetric too, sessions are relayed"
        }
        Situation::Open(Mapping::Unknown) => {
            "direct paths work with most others; it takes two STUN servers to say more"
        }
    };
    format!("{}: {means}", situation(ours))
}

/// Returns what is known of a network, completed by the findings of STUN servers.
pub fn network(known: Network, findings: Findings) -> Network {
    let udp = match findings.udp {
        stun::Udp::Open => Udp::Open,
        stun::Udp::Blocked => Udp::Blocked,
        stun::Udp::Unknown => Udp::Unknown,
    };
    let mapping = match findings.mapping {
        stun::Mapping::None => Mapping::None,
        stun::Mapping::Independent => Mapping::Independent,
        stun::Mapping::Dependent => Mapping::Dependent,
        stun::Mapping::Unknown => Mapping::Unknown,
    };
    Network { udp, mapping, ipv6: findings.ipv6, ..known }
}

impl Situation {
    pub(super) fn of(network: &Network) -> Situation {
        match network.udp {
            _ if !network.direct => Situation::Off,
            Udp::Open => Situation::Open(network.mapping),
            Udp::Blocked => Situation::Blocked,
            Udp::Unknown => Situation::Unknown,
        }
    }
}

impl fmt::Display for Situation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Situation::Off => "direct paths are switched off (--relay-only)",
            Situation::Blocked => "UDP does not leave the network",
            Situation::Unknown => "an unknown network",
            Situation::Open(Mapping::None) => "no NAT",
            Situation::Open(Mapping::Independent) => "a NAT that keeps its mapping",
            Situation::Open(Mapping::Dependent) => "a symmetric NAT",
            Situation::Open(Mapping::Unknown) => "a NAT of unknown kind",
        })
    }
}
