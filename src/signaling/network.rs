//! What a side knows about its network, as peers tell each other (`network` messages, `docs/protocol.md`).

use serde::{Deserialize, Serialize};

/// A side's network. It is the first sealed message, when nothing is known yet, and is sent again when STUN servers
/// have answered or were given up. Each message replaces the one before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Network {
    /// Direct paths are tried.
    pub direct: bool,
    /// The relay carrier may be used.
    pub relay: bool,
    /// Whether datagrams come back from outside.
    #[serde(default)]
    pub udp: Udp,
    /// How the NAT in front maps a socket.
    #[serde(default)]
    pub mapping: Mapping,
    /// An IPv6 server answered.
    #[serde(default)]
    pub ipv6: bool,
}

/// Whether UDP leaves a network and comes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Udp {
    /// A STUN server answered.
    Open,
    /// No STUN server answered.
    Blocked,
    /// No server was asked, or answers may still come.
    #[default]
    #[serde(other)]
    Unknown,
}

/// Which public address a NAT gives a socket (RFC 4787, section 4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mapping {
    /// Its own: there is no NAT.
    None,
    /// The same one for every destination.
    Independent,
    /// A different one for each destination: a symmetric NAT.
    Dependent,
    /// Fewer than two servers answered.
    #[default]
    #[serde(other)]
    Unknown,
}

impl Network {
    /// Returns what is known before any STUN server is asked.
    pub fn unknown(direct: bool, relay: bool) -> Network {
        Network { direct, relay, udp: Udp::Unknown, mapping: Mapping::Unknown, ipv6: false }
    }
}
