//! Invitations that a host makes: what each is for, and for how long.

use std::collections::HashSet;
use std::time::{Duration, SystemTime};

use super::{AccessList, ConfigError, HostConfig, MAX_SESSIONS, ReverseAccess};
use crate::signaling::invitation::InvitationId;
use crate::signaling::pin::Pin;

/// Maximum number of invitations of a host that count at a time.
pub const MAX_INVITATIONS: usize = 256;

/// Maximum number of services of an invitation, of rules, and of reverse rules.
pub(crate) const MAX_NAMED: usize = 256;

/// Longest label, in characters.
pub(crate) const MAX_LABEL: usize = 64;

/// Longest time that an invitation counts for if that is said as a duration: ten years.
pub(crate) const MAX_LIFE: Duration = Duration::from_secs(10 * 366 * 86_400);

/// A pin of its own for some clients, with rights of its own: what is not named here, they do not have.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Invitation {
    /// What the host's owner calls it, unique on the host. Clients are not told.
    pub label: String,
    /// Its public id, which goes with the URL; `None` generates one.
    pub id: Option<InvitationId>,
    /// The pin; `None` generates one of 16 letters.
    pub pin: Option<Pin>,
    /// The names of the services that its clients have.
    pub services: Vec<String>,
    /// Targets that its clients may ask the host to dial.
    pub allow: AccessList,
    /// Addresses that its clients may ask the host to listen on.
    pub reverse: ReverseAccess,
    /// When it ends, with the sessions that began by it; `None` is with the host.
    pub expires: Option<Expiry>,
    /// Maximum number of its clients at a time; `None` is as many as the host may have.
    pub max_sessions: Option<usize>,
    /// It is for one client, which may come back after an outage.
    pub once: bool,
}

/// When an invitation ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Expiry {
    /// So long after it was made.
    After(Duration),
    /// At this time of day.
    At(SystemTime),
}

impl Invitation {
    /// Creates an invitation that gives nothing yet: name a service, or add a rule.
    pub fn new(label: impl Into<String>) -> Invitation {
        Invitation {
            label: label.into(),
            id: None,
            pin: None,
            services: Vec::new(),
            allow: AccessList::default(),
            reverse: ReverseAccess::default(),
            expires: None,
            max_sessions: None,
            once: false,
        }
    }

    /// Tells whether it gives its clients anything.
    pub(crate) fn is_empty(&self) -> bool {
        self.services.is_empty() && self.allow.is_empty() && self.reverse.is_empty()
    }

    /// Checks the invitation by itself, and against the services of its host.
    pub(crate) fn validate(&self, host: &HostConfig) -> Result<(), ConfigError> {
        let label = || self.label.clone();
        let is_label = (1..=MAX_LABEL).contains(&self.label.chars().count()) && !self.label.contains(char::is_control);
        if !is_label {
            return Err(ConfigError::InvitationLabel);
        }
        self.validate_names()?;
        let names: HashSet<&str> = (0..).map_while(|number| host.service_name(number)).collect();
        if let Some(unknown) = self.services.iter().find(|name| !names.contains(name.as_str())) {
            return Err(ConfigError::InvitationService { label: label(), service: unknown.clone() });
        }
        if self.is_empty() {
            return Err(ConfigError::EmptyInvitation(label()));
        }
        match (self.max_sessions, self.expires) {
            (Some(sessions), _) if !(1..=MAX_SESSIONS).contains(&sessions) => {
                Err(ConfigError::InvitationSessions(label()))
            }
            (_, Some(Expiry::After(life))) if life.is_zero() || life > MAX_LIFE => {
                Err(ConfigError::InvitationLife(label()))
            }
            _ => Ok(()),
        }
    }

    /// Checks that it names nothing twice, and not too much: each state of the host has all of it.
    fn validate_names(&self) -> Result<(), ConfigError> {
        let twice = |what: String| Err(ConfigError::InvitationTwice { label: self.label.clone(), what });
        let counts = [
            (self.services.len(), "services"),
            (self.allow.rules().len(), "rules of allow"),
            (self.reverse.rules().len(), "rules of reverse"),
        ];
        if let Some((_, what)) = counts.into_iter().find(|(count, _)| *count > MAX_NAMED) {
            return Err(ConfigError::InvitationTooMany { label: self.label.clone(), what });
        }
        if let Some(number) = repeated(&self.services) {
            return twice(format!("the service {}", self.services.get(number).map_or("", String::as_str)));
        }
        if let Some(number) = repeated(self.allow.rules()) {
            return twice(format!("a rule of allow (number {})", number + 1));
        }
        match repeated(self.reverse.rules()) {
            Some(number) => twice(format!("a rule of reverse (number {})", number + 1)),
            None => Ok(()),
        }
    }
}

/// Returns the first of a few that equals one before it.
fn repeated<T: PartialEq>(all: &[T]) -> Option<usize> {
    all.iter().enumerate().position(|(number, one)| all.iter().take(number).any(|other| other == one))
}

impl HostConfig {
    /// Checks the invitations against each other and the services.
    pub(crate) fn validate_invitations(&self) -> Result<(), ConfigError> {
        let (mut labels, mut ids) = (HashSet::new(), HashSet::new());
        for invitation in &self.invitations {
            invitation.validate(self)?;
            if !labels.insert(&invitation.label) {
                return Err(ConfigError::SameInvitation(invitation.label.clone()));
            }
            if let Some(id) = &invitation.id
                && !ids.insert(id)
            {
                return Err(ConfigError::SameInvitation(id.to_string()));
            }
        }
        if self.invitations.len() > MAX_INVITATIONS { Err(ConfigError::ManyInvitations) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::ReverseRule;

    fn of(change: impl FnOnce(&mut Invitation)) -> Result<(), ConfigError> {
        let mut host = HostConfig::sharing("localhost:80".parse().unwrap());
        let mut invitation = Invitation { services: vec!["80".to_owned()], ..Invitation::new("guests") };
        change(&mut invitation);
        host.invitations = vec![invitation];
        host.validate_invitations()
    }

    #[test]
    fn an_invitation_gives_something_that_there_is() {
        assert_eq!(of(|_| {}), Ok(()));
        assert_eq!(of(|it| it.services.clear()), Err(ConfigError::EmptyInvitation("guests".to_owned())));
        assert_eq!(
            of(|it| it.services.push("81".to_owned())),
            Err(ConfigError::InvitationService { label: "guests".to_owned(), service: "81".to_owned() })
        );
        assert_eq!(of(|it| it.max_sessions = Some(0)), Err(ConfigError::InvitationSessions("guests".to_owned())));
        for life in [Duration::ZERO, MAX_LIFE + Duration::from_secs(1), Duration::MAX] {
            let expires = Some(Expiry::After(life));
            assert_eq!(of(|it| it.expires = expires), Err(ConfigError::InvitationLife("guests".to_owned())));
        }
        for label in [String::new(), "a\nb".to_owned(), "x".repeat(65)] {
            assert_eq!(of(|it| it.label = label.clone()), Err(ConfigError::InvitationLabel), "{label:?}");
        }
    }

    #[test]
    fn an_invitation_names_nothing_twice_and_not_too_much() {
        let twice =
            |what: &str| Err(ConfigError::InvitationTwice { label: "guests".to_owned(), what: what.to_owned() });
        let many = |what| Err(ConfigError::InvitationTooMany { label: "guests".to_owned(), what });
        assert_eq!(of(|it| it.services.push("80".to_owned())), twice("the service 80"));
        assert_eq!(of(|it| it.services = vec!["80".to_owned(); 9000]), many("services"));
        let allow = |rules: &[String]| AccessList::parse(rules).unwrap();
        let rules: Vec<String> = (1..=257).map(|port| format!("localhost:{port}")).collect();
        assert_eq!(of(|it| it.allow = allow(&rules)), many("rules of allow"));
        assert_eq!(of(|it| it.allow = allow(&rules[..256])), Ok(()));
        let again = [&rules[..2], &rules[..1]].concat();
        assert_eq!(of(|it| it.allow = allow(&again)), twice("a rule of allow (number 3)"));
        let reverse = |ports: &[u16]| {
            ReverseAccess::new(ports.iter().map(|port| ReverseRule::parse(&port.to_string()).unwrap()).collect())
        };
        let ports: Vec<u16> = (1..=257).collect();
        assert_eq!(of(|it| it.reverse = reverse(&ports)), many("rules of reverse"));
        assert_eq!(of(|it| it.reverse = reverse(&ports[..256])), Ok(()));
        assert_eq!(of(|it| it.reverse = reverse(&[1, 2, 2])), twice("a rule of reverse (number 3)"));
        let sessions = |count| of(|it| it.max_sessions = Some(count));
        assert_eq!((sessions(1), sessions(MAX_SESSIONS)), (Ok(()), Ok(())));
        assert_eq!(sessions(MAX_SESSIONS + 1), Err(ConfigError::InvitationSessions("guests".to_owned())));
    }

    #[test]
    fn labels_and_ids_are_told_apart_and_there_is_a_bound() {
        let mut host = HostConfig::sharing("localhost:80".parse().unwrap());
        let invitation = |label: &str, id: Option<&str>| Invitation {
            services: vec!["80".to_owned()],
            id: id.map(|id| id.parse().unwrap()),
            ..Invitation::new(label)
        };
        host.invitations = vec![invitation("a", None), invitation("a", None)];
        assert_eq!(host.validate_invitations(), Err(ConfigError::SameInvitation("a".to_owned())));
        host.invitations = vec![invitation("a", Some("k3")), invitation("b", Some("k3"))];
        assert_eq!(host.validate_invitations(), Err(ConfigError::SameInvitation("k3".to_owned())));
        host.invitations = (0..=MAX_INVITATIONS).map(|number| invitation(&number.to_string(), None)).collect();
        assert_eq!(host.validate_invitations(), Err(ConfigError::ManyInvitations));
        host.invitations.pop();
        assert_eq!(host.validate_invitations(), Ok(()));
    }
}
