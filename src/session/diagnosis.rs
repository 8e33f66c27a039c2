//! What the situations of two sides mean together: whether a direct path is to be expected, in words for people.
//!
//! Only mappings are known, not what a router lets in, so some pairs stay open. RFC 4787 has the terms, RFC 5128 the
//! reasoning: hole punching works where at least one side's address is the same for whoever is spoken to, and the other
//! side's packets come from an address the first one has sent to.

use std::fmt;

use crate::peer::stun::{self, Findings};
use crate::signaling::network::{Mapping, Network, Udp};
use crate::tunnel::Role;

/// Whether a direct path is to be expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Direct {
    /// It will not work, unless both are in the same network.
    No,
    /// It depends on what is not known.
    Perhaps,
    /// It should work.
    Yes,
}

/// What two situations mean together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnosis {
    /// Whether a direct path is to be expected.
    pub direct: Direct,
    /// Both sides allow the relay.
    pub relay: bool,
    /// `None` where nothing is known of either side.
    situations: Option<String>,
    outlook: String,
}

/// What counts of a [`Network`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Situation {
    /// Direct paths are switched off.
    Off,
    /// No datagram comes back from outside.
    Blocked,
    /// Nothing is known.
    Unknown,
    /// Datagrams come back, from behind this NAT.
    Open(Mapping),
}

/// Judges what two sides' situations mean together, from the point of view of the side that has `role`.
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
    /// Returns both situations and what is to be expected, as one sentence: `you: a symmetric NAT, host: no NAT: …`.
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

    /// Tells whether the two can be connected, one way or the other.
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

/// Returns one side's situation in words.
pub fn situation(network: &Network) -> String {
    let ipv6 = match (network.ipv6, Situation::of(network)) {
        (true, _) => ", IPv6 works",
        (false, Situation::Open(_)) => ", no IPv6 answer",
        (false, Situation::Off | Situation::Blocked | Situation::Unknown) => "",
    };
    format!("{}{ipv6}", Situation::of(network))
}

/// Returns what one side's situation means for sessions with others, as a sentence.
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

/// Returns what is known of a network together with what STUN servers found out about it.
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

/// Returns whether a direct path is to be expected, and that in words.
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

/// The packets of a symmetric NAT come from a port nobody could foresee.
fn only_if_let_in(whose: &str, place: &str, kept: Mapping) -> String {
    match kept {
        Mapping::None => format!("direct works unless a firewall {place} lets in only what was asked for"),
        Mapping::Independent | Mapping::Dependent | Mapping::Unknown => {
            format!("direct works only if {whose} router lets in packets from any port of a known address")
        }
    }
}

impl Situation {
    fn of(network: &Network) -> Situation {
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

#[cfg(test)]
mod tests {
    use super::*;

    const MAPPINGS: [Mapping; 4] = [Mapping::None, Mapping::Independent, Mapping::Dependent, Mapping::Unknown];

    fn open(mapping: Mapping) -> Network {
        Network { udp: Udp::Open, mapping, ..Network::unknown(true, true) }
    }

    fn blocked() -> Network {
        Network { udp: Udp::Blocked, ..Network::unknown(true, true) }
    }

    /// Every network that can be told of, also what makes no sense.
    fn all() -> Vec<Network> {
        let mut all = Vec::new();
        for flags in 0..8 {
            let (direct, relay, ipv6) = (flags & 1 == 0, flags & 2 == 0, flags & 4 == 0);
            for udp in [Udp::Open, Udp::Blocked, Udp::Unknown] {
                all.extend(MAPPINGS.map(|mapping| Network { direct, relay, udp, mapping, ipv6 }));
            }
        }
        all
    }

    #[test]
    fn what_nats_mean_together() {
        use Direct::{No, Perhaps, Yes};
        use Mapping::{Dependent, Independent, None, Unknown};
        let table = [
            (None, None, Yes),
            (None, Independent, Yes),
            (None, Dependent, Perhaps),
            (None, Unknown, Perhaps),
            (Independent, Independent, Yes),
            (Independent, Dependent, Perhaps),
            (Independent, Unknown, Perhaps),
            (Dependent, Dependent, No),
            (Dependent, Unknown, Perhaps),
            (Unknown, Unknown, Perhaps),
        ];
        for (one, other, expected) in table {
            for (ours, theirs) in [(one, other), (other, one)] {
                let diagnosis = diagnose(Role::Client, &open(ours), &open(theirs));
                assert_eq!(diagnosis.direct, expected, "{}", diagnosis.sentence());
                let ipv6 = |mapping| Network { ipv6: true, ..open(mapping) };
                assert_eq!(diagnose(Role::Host, &ipv6(ours), &ipv6(theirs)).direct, Yes);
                assert_eq!(
                    diagnose(Role::Host, &ipv6(ours), &open(theirs)).direct,
                    expected,
                    "one side's IPv6 is no use"
                );
            }
        }
    }

    #[test]
    fn sentences_are_for_people() {
        let off = Network::unknown(false, true);
        let no_relay = Network { relay: false, ..open(Mapping::Dependent) };
        let cases = [
            (
                open(Mapping::Dependent),
                open(Mapping::Independent),
                "you: a symmetric NAT, host: a NAT that keeps its mapping: direct works only if the host's router lets in \
                 packets from any port of a known address; otherwise relayed",
            ),
            (
                open(Mapping::Independent),
                open(Mapping::Dependent),
                "you: a NAT that keeps its mapping, host: a symmetric NAT: direct works only if your router lets in packets \
                 from any port of a known address; otherwise relayed",
            ),
            (
                open(Mapping::Dependent),
                open(Mapping::None),
                "you: a symmetric NAT, host: no NAT: direct works unless a firewall at the host lets in only what was asked \
                 for; otherwise relayed",
            ),
            (
                open(Mapping::Dependent),
                open(Mapping::Dependent),
                "you: a symmetric NAT, host: a symmetric NAT: direct will not work; relayed works",
            ),
            (
                blocked(),
                open(Mapping::None),
                "you: UDP does not leave the network, host: no NAT: direct works inside one network only; relayed works",
            ),
            (
                open(Mapping::None),
                open(Mapping::Independent),
                "you: no NAT, host: a NAT that keeps its mapping: direct should work",
            ),
            (
                Network::unknown(true, true),
                off,
                "you: an unknown network, host: direct paths are switched off (--relay-only): direct is not tried; relayed \
                 works",
            ),
            (
                no_relay,
                open(Mapping::Dependent),
                "you: a symmetric NAT, host: a symmetric NAT: direct will not work; and the relay is switched off \
                 (--no-relay)",
            ),
        ];
        for (ours, theirs, expected) in cases {
            assert_eq!(diagnose(Role::Client, &ours, &theirs).sentence(), expected);
        }
        let unknown = Network::unknown(true, true);
        assert_eq!(diagnose(Role::Client, &unknown, &unknown).sentence(), "direct may work; otherwise relayed");
        let relayed = diagnose(Role::Host, &open(Mapping::Independent), &open(Mapping::Independent));
        assert_eq!(
            relayed.why_not_direct(),
            "you: a NAT that keeps its mapping, client: a NAT that keeps its mapping: a direct path should work, but none \
             was found: a firewall may keep UDP from passing"
        );
    }

    #[test]
    fn every_pair_has_a_verdict_that_both_sides_share() {
        for ours in all() {
            for theirs in all() {
                let here = diagnose(Role::Client, &ours, &theirs);
                let there = diagnose(Role::Host, &theirs, &ours);
                let sentence = here.sentence();
                assert_eq!((here.direct, here.relay), (there.direct, there.relay), "{sentence}");
                assert_eq!(here.connects(), here.relay || here.direct != Direct::No);
                let promises_relay = sentence.contains("relayed");
                assert_eq!(promises_relay, here.relay && here.direct != Direct::Yes, "{sentence}");
                assert_eq!(ours.direct && theirs.direct, !sentence.contains("not tried"), "{sentence}");
                if ours.udp == Udp::Blocked || theirs.udp == Udp::Blocked || !ours.direct {
                    assert_eq!(here.direct, Direct::No, "{sentence}");
                }
                assert!(sentence.len() < 240 && !sentence.contains('\n'), "{sentence}");
            }
        }
    }

    #[test]
    fn one_side_alone_has_an_outlook() {
        for network in all() {
            let text = outlook(&network);
            assert!(text.len() < 200 && text.contains(": "), "{text}");
        }
        assert!(outlook(&blocked()).contains("relayed, except inside one network"));
        assert!(outlook(&open(Mapping::None)).starts_with("no NAT, no IPv6 answer: direct paths should work"));
        assert_eq!(situation(&Network { ipv6: true, ..open(Mapping::Dependent) }), "a symmetric NAT, IPv6 works");
        assert_eq!(situation(&blocked()), "UDP does not leave the network");
    }

    #[test]
    fn findings_become_what_the_peer_is_told() {
        let known = Network::unknown(true, false);
        let findings = Findings { udp: stun::Udp::Open, mapping: stun::Mapping::Dependent, ipv6: true };
        let expected = Network { udp: Udp::Open, mapping: Mapping::Dependent, ipv6: true, ..known };
        assert_eq!(network(known, findings), expected);
        let blocked = Findings { udp: stun::Udp::Blocked, mapping: stun::Mapping::Unknown, ipv6: false };
        assert_eq!(network(expected, blocked), Network { udp: Udp::Blocked, ..known });
    }
}
