//! Errors of settings.

use super::MAX_SESSIONS;
use super::invitation::{MAX_INVITATIONS, MAX_LABEL, MAX_NAMED};
use crate::signaling::url::UrlError;
use crate::tunnel::hello::MAX_SERVICES;

/// An error of settings.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The URL is wrong.
    #[error(transparent)]
    Url(#[from] UrlError),
    /// The URL has no pin in it.
    #[error("the URL has no pin; add ?pin= and the pin that the host printed")]
    NoPin,
    /// The text is not a service name.
    #[error(
        "the service name {0:?} is not one: it has 1 to 63 of a to z, 0 to 9, dot, hyphen and underscore, and does not begin with a hyphen"
    )]
    ServiceName(String),
    /// The URL of a host that has no name on a server, and further servers.
    #[error("others are servers that know the host by its name, and the URL has none: it does not end with /ws/ID")]
    NoHostId,
    /// Two services have that name.
    #[error("there are two services of the name {0}")]
    SameName(String),
    /// More services than a session can announce.
    #[error("there are more than {MAX_SERVICES} services")]
    ManyServices,
    /// The settings have neither a service nor a rule.
    #[error("nothing is shared: add a service, or a rule of what clients may reach")]
    NothingShared,
    /// `max_sessions` is 0.
    #[error("max_sessions is 0, so no client could join")]
    NoSessions,
    /// An invitation has no label, or none that can be shown.
    #[error("an invitation has a label of 1 to {MAX_LABEL} characters, and none of them a control character")]
    InvitationLabel,
    /// Two invitations have that label or that id.
    #[error("there are two invitations of the name {0}")]
    SameInvitation(String),
    /// More invitations than a host has.
    #[error("there are more than {MAX_INVITATIONS} invitations")]
    ManyInvitations,
    /// An invitation names a service that the host does not share.
    #[error("the invitation {label} names the service {service}, and there is none of that name")]
    InvitationService {
        /// The invitation.
        label: String,
        /// The service.
        service: String,
    },
    /// An invitation gives nothing.
    #[error("the invitation {0} gives nothing: name services, or rules of what its clients may reach")]
    EmptyInvitation(String),
    /// An invitation names something twice.
    #[error("the invitation {label} names {what} twice")]
    InvitationTwice {
        /// The invitation.
        label: String,
        /// What it names twice: a service, or which of its rules.
        what: String,
    },
    /// An invitation names more than it may.
    #[error("the invitation {label} has more than {MAX_NAMED} {what}")]
    InvitationTooMany {
        /// The invitation.
        label: String,
        /// What it has too many of.
        what: &'static str,
    },
    /// An invitation admits nobody at a time, or more than a host can serve.
    #[error("max-sessions of the invitation {0} is not between 1 and {MAX_SESSIONS}")]
    InvitationSessions(String),
    /// An invitation ends at once, or in more than ten years.
    #[error("the invitation {0} ends at once or in more than ten years")]
    InvitationLife(String),
    /// The settings have neither a signaling port nor a server.
    #[error("clients have no way in: set listen, or server")]
    Unreachable,
}
