//! Kinds of NAT, as rules of nftables.
//!
//! Linux keeps the source port where it can, so plain masquerading maps a socket to one address for all destinations
//! (RFC 4787: endpoint-independent mapping) and lets in only what answers (address and port-dependent filtering).

use std::fmt;

/// How a router treats UDP between the inside and the internet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Nat {
    /// Nothing: the inside has public addresses.
    None,
    /// One mapping, open to everybody.
    Full,
    /// One mapping, open to addresses it sent to.
    Address,
    /// One mapping, open to addresses and ports it sent to.
    Port,
    /// A different mapping for each destination, open to that.
    Symmetric,
    /// UDP does not pass.
    NoUdp,
}

impl Nat {
    pub(crate) const ALL: [Nat; 6] = [Nat::None, Nat::Full, Nat::Address, Nat::Port, Nat::Symmetric, Nat::NoUdp];

    /// Every pair of kinds, both ways round.
    pub(crate) fn pairs() -> Vec<(Nat, Nat)> {
        Nat::ALL.into_iter().flat_map(|client| Nat::ALL.map(|host| (client, host))).collect()
    }

    /// Tells whether hole punching joins two peers behind routers of these kinds.
    ///
    /// A symmetric mapping is unknown before it is used, so the other side must accept packets from addresses it has
    /// not sent to.
    pub(crate) fn joins(self, other: Nat) -> bool {
        match self {
            Nat::None | Nat::Full | Nat::Address => other != Nat::NoUdp,
            Nat::Port => !matches!(other, Nat::Symmetric | Nat::NoUdp),
            Nat::Symmetric => matches!(other, Nat::None | Nat::Full | Nat::Address),
            Nat::NoUdp => false,
        }
    }

    /// Returns the rules for a router with the devices `lan` and `wan`.
    pub(crate) fn rules(self) -> String {
        let table = match self {
            Nat::None => String::new(),
            Nat::Full => table(
                "",
                "iifname lan oifname wan meta l4proto udp update @inside { udp sport timeout 120s : ip saddr }",
                "iifname wan meta l4proto udp dnat to udp dport map @inside",
                "masquerade",
            ),
            Nat::Address => table(
                "",
                "iifname lan oifname wan meta l4proto udp update @inside { udp sport timeout 120s : ip saddr } \
                 update @written { ip daddr . udp sport timeout 120s }",
                "iifname wan meta l4proto udp ip saddr . udp dport @written dnat to udp dport map @inside",
                "masquerade",
            ),
            Nat::Port => table("", "", "", "masquerade"),
            Nat::Symmetric => table("", "", "", "masquerade fully-random"),
            Nat::NoUdp => table("meta l4proto udp drop", "", "", "masquerade"),
        };
        format!("flush ruleset\n{table}")
    }
}

/// The table of a router that maps.
///
/// What comes in from the world and belongs to nothing is dropped rather than refused: `filter_input` keeps an early
/// datagram of the peer from becoming a connection of the router's own, which would hold the port that the inner host's
/// mapping needs, and give that another one.
fn table(forbidden: &str, learned: &str, redirected: &str, mapped: &str) -> String {
    format!(
        "table ip nat {{
            map inside {{ type inet_service : ipv4_addr; flags dynamic,timeout; size 65535; timeout 120s; }}
            set written {{ type ipv4_addr . inet_service; flags dynamic,timeout; size 65535; timeout 120s; }}
            chain filter_forward {{
                type filter hook forward priority 0; policy accept;
                {forbidden}
                {learned}
                iifname wan ct state new ct status & dnat == 0 drop
            }}
            chain filter_input {{
                type filter hook input priority 0; policy accept;
                iifname wan ct state new drop
            }}
            chain destination {{
                type nat hook prerouting priority dstnat; policy accept;
                {redirected}
            }}
            chain source {{
                type nat hook postrouting priority srcnat; policy accept;
                oifname wan {mapped}
            }}
        }}"
    )
}

impl fmt::Display for Nat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Nat::None => "none",
            Nat::Full => "full",
            Nat::Address => "addr",
            Nat::Port => "port",
            Nat::Symmetric => "sym",
            Nat::NoUdp => "noudp",
        })
    }
}
