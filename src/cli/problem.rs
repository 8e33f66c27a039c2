//! What can be wrong with the value of an argument.

use thiserror::Error;

use crate::access::RuleError;
use crate::address::AddressError;
#[cfg(feature = "server")]
use crate::config::DirectoryUrlError;
#[cfg(unix)]
use crate::config::MAX_LABEL;
use crate::config::{AdminTokenError, DomainError, ExpiryError, ProcessNameError};
use crate::http::field::HeaderFieldError;
use crate::http::forwarded::NetworkError;
use crate::signaling::invitation::InvitationIdError;
use crate::signaling::rendezvous::{HostIdError, TokenError};
use crate::signaling::url::UrlError;
use crate::socks::CredentialsError;
use crate::status::text::sanitize;

/// Most of a wrong value that an error shows, in characters.
const MAX_SHOWN: usize = 80;

/// What is wrong with one value: why it does not work, and what would. Whoever knows which argument it is of
/// names it.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{problem}; {hint}")]
pub struct WrongValue {
    /// What an error shows of the value; nothing of one that may be a secret.
    given: Option<String>,
    pub(super) problem: Problem,
    hint: &'static str,
}

impl WrongValue {
    pub(super) fn new(given: &str, problem: impl Into<Problem>, hint: &'static str) -> WrongValue {
        WrongValue { given: Some(sanitize(given, MAX_SHOWN)), problem: problem.into(), hint }
    }

    /// Shows nothing of the value.
    pub(super) fn hidden(problem: impl Into<Problem>, hint: &'static str) -> WrongValue {
        WrongValue { given: None, problem: problem.into(), hint }
    }

    /// Tells whether this is what an error shows of the value.
    pub(super) fn is_of(&self, text: &str) -> bool {
        self.given.as_ref().is_some_and(|given| *given == sanitize(text, MAX_SHOWN))
    }

    /// Returns the value in quotes behind a space, if it may be shown.
    pub(super) fn quoted(&self) -> String {
        self.given.as_ref().map(|given| format!(" '{given}'")).unwrap_or_default()
    }
}

/// Why a value does not work.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(super) enum Problem {
    #[error(transparent)]
    Address(#[from] AddressError),
    #[error(transparent)]
    ProcessName(#[from] ProcessNameError),
    #[error(transparent)]
    AdminToken(#[from] AdminTokenError),
    #[error("{}", .0.problem())]
    Url(#[from] UrlError),
    #[cfg(feature = "server")]
    #[error(transparent)]
    Directory(#[from] DirectoryUrlError),
    #[error(transparent)]
    Token(#[from] TokenError),
    #[error(transparent)]
    Login(#[from] CredentialsError),
    #[error("that is no address that others can reach")]
    NoAddress,
    #[error("that is a command or a URL, and not a pin")]
    PastedPin,
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
    #[error("the name of a saved host is 1 to 64 of a to z, A to Z, 0 to 9, hyphen and underscore")]
    HostName,
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
    #[error(transparent)]
    Domain(#[from] DomainError),
    #[error("a UDP service has no stream that the header could begin")]
    HeaderForUdp,
    #[error("the versions are v1 and v2")]
    HeaderVersion,
    #[error("it does not begin with a number such as 20 or 2.5")]
    NoNumber,
    #[cfg(unix)]
    #[error(
        "the name of a unit is 1 to {0} of a to z, A to Z, 0 to 9, dot, hyphen and underscore, none of these in front"
    )]
    UnitName(usize),
    #[cfg(unix)]
    #[error("an invitation is called by 1 to {MAX_LABEL} characters, and none of them a control character")]
    Label,
    #[error(transparent)]
    Expiry(#[from] ExpiryError),
    #[error(transparent)]
    Invitation(#[from] InvitationIdError),
    #[error("it has no unit")]
    NoUnit,
    #[error("its unit is not known")]
    Unit,
    #[error("it is not between {0} and {1}")]
    Bounds(&'static str, &'static str),
}
