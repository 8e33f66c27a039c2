//! What can be wrong with an argument.

use std::fmt;

use thiserror::Error;

use crate::access::RuleError;
use crate::address::AddressError;
use crate::http::field::HeaderFieldError;
use crate::http::forwarded::NetworkError;
use crate::signaling::rendezvous::HostIdError;
use crate::status::text::sanitize;

/// Most of a wrong argument that an error shows, in characters.
const MAX_SHOWN: usize = 80;

/// What is wrong with one argument: its name, what was given, why that does not work, and what would.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{argument} '{given}': {problem}; {hint}")]
pub struct ArgumentError {
    argument: &'static str,
    given: String,
    pub(super) problem: Problem,
    hint: &'static str,
}

impl ArgumentError {
    pub(super) fn new(
        argument: &'static str,
        given: &str,
        problem: impl Into<Problem>,
        hint: &'static str,
    ) -> ArgumentError {
        ArgumentError { argument, given: sanitize(given, MAX_SHOWN), problem: problem.into(), hint }
    }

    /// Returns why the text does not work and what would, without the argument's name and the text: what a prompt
    /// says under what was just typed.
    pub fn complaint(&self) -> impl fmt::Display {
        format!("{}; {}", self.problem, self.hint)
    }
}

/// Why an argument does not work.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(super) enum Problem {
    #[error(transparent)]
    Address(#[from] AddressError),
    #[error("only addresses of this machine can be listened on, and localhost is the only name that is certainly one")]
    ForeignName,
    #[error(transparent)]
    Header(#[from] HeaderFieldError),
    #[error("that many sessions are not possible")]
    Sessions,
    #[error("that is no number of seconds from 1 to {0}")]
    Seconds(u64),
    #[error(
        "STUN over TLS (stuns:) is not supported, and protects nothing: an answer holds this machine's public address"
    )]
    SecureStun,
    #[error(
        "that is a TURN server, and none is used: where no direct path exists, sessions are relayed over signaling"
    )]
    Turn,
    #[error("STUN goes over UDP here, and nothing else can follow the question mark")]
    StunTransport,
    #[error("a pin has at least one character")]
    NoPin,
    #[error(transparent)]
    Rule(#[from] RuleError),
    #[error(transparent)]
    Network(#[from] NetworkError),
    #[error(
        "the name of a service is 1 to 63 of a to z, 0 to 9, dot, hyphen and underscore, without a hyphen in front"
    )]
    ServiceName,
    #[error("the file name of the socket is no name for a service")]
    NoDefaultName,
    #[error("a range is a service for each port, named by its port, and takes no other name")]
    NamedRange,
    #[error("a range has at most {0} ports")]
    LongRange(usize),
    #[error("there are two services of the name {0}")]
    SameName(String),
    #[error("there are more than {0} services")]
    ManyServices(usize),
    #[error("a port without a name is the host's only service, and more than one is asked for")]
    TwoOnly,
    #[error("it does not say both where to listen and what to dial")]
    Parts,
    #[error("the two ranges have different numbers of ports")]
    RangeLengths,
    #[error("UDP cannot be joined to a unix socket, which carries streams")]
    UdpToUnix,
    #[error("udp: stands at the beginning and is about both sides")]
    PrefixInside,
    #[error("stdin and stdout are a stream, and UDP is none")]
    UdpPipe,
    #[error("there is no service of the name {0}")]
    NoSuchService(String),
    #[error("no service has that name; there are {0}")]
    NoneOf(String),
    #[error("nothing is shared that could be published")]
    NoServices,
    #[error("it is a UDP service, and its visitors would speak HTTP")]
    PublicUdp,
    #[error(transparent)]
    Id(#[from] HostIdError),
    #[error("that is not the name of a domain")]
    Domain,
    #[error("that is an address, and hosts cannot have names under it")]
    DomainAddress,
    #[error("a UDP service has no stream that the header could begin")]
    HeaderForUdp,
    #[error("the versions are v1 and v2")]
    HeaderVersion,
    #[error("it does not begin with a number such as 20 or 2.5")]
    NoNumber,
    #[error("it has no unit")]
    NoUnit,
    #[error("its unit is not known")]
    Unit,
    #[error("it is not between {0} and {1}")]
    Bounds(&'static str, &'static str),
}
