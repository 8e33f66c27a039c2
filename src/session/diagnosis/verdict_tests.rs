use super::*;
use crate::peer::stun::{self, Findings};
use crate::signaling::network::Udp;

const MAPPINGS: [Mapping; 4] = [Mapping::None, Mapping::Independent, Mapping::Dependent, Mapping::Unknown];

fn open(mapping: Mapping) -> Network {
    Network { udp: Udp::Open, mapping, ..Network::unknown(true, true) }
}

fn blocked() -> Network {
    Network { udp: Udp::Blocked, ..Network::unknown(true, true) }
}

/// Every network that can be described, including impossible ones.
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
            assert_eq!(diagnose(Role::Host, &ipv6(ours), &open(theirs)).direct, expected, "one side's IPv6 is no use");
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
