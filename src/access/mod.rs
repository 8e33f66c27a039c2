//! What the other side may have this machine dial (`--allow`) and listen on (`--allow-reverse`). Closed by default.
//! [`logins`] slows down whoever guesses what opens the rest.
//!
//! | a rule for | permits |
//! |---|---|
//! | an address or a network | every dial to it, whatever name led there |
//! | a name, or `*.` and a name | dials to addresses the name has, but none that is [special](Special) |
//! | a path | the unix socket at that path |
//!
//! A name is whoever answers for it: a name that suddenly means 127.0.0.1 must not open what only this machine is to
//! reach. So the name is checked before it is looked up, and again is exactly the address that will be dialled. What a
//! path leads to is the owner's doing: symbolic links are followed.

pub mod logins;
mod reverse;
mod rule;

#[cfg(test)]
mod table_tests;

use std::net::IpAddr;
use std::path::{Component, Path, PathBuf};

use thiserror::Error;

use crate::address::special::{self, Special};
use crate::address::{Host, Protocol, host};

pub use reverse::{ReverseAccess, ReverseRule};
pub use rule::{Rule, RuleError};

use rule::Scope;

/// The rules of `--allow`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AccessList {
    rules: Vec<Rule>,
}

/// What is known before a host is looked up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Verdict {
    /// Whatever the host's addresses are, none of them may be dialled.
    Denied(Denied),
    /// Look the host up, and ask [`AccessList::check_address`] about each address before dialling it.
    Resolve,
}

/// Why something is not dialled or not listened on. It names nothing that the other side wrote.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Denied {
    /// No rule permits it.
    #[error("no rule allows it")]
    NoRule,
    /// The host is text that a resolver might read differently than we do.
    #[error("the host is neither a name nor an address")]
    Host,
    /// A rule permits the name, but it leads to where no name may.
    #[error("the name leads to {address}, {special}: that takes a rule for the address itself")]
    Special {
        /// The address that would have been dialled.
        address: IpAddr,
        /// What is special about it.
        special: Special,
    },
    /// The path is relative, has `..` in it, or names no file.
    #[error("the path is not absolute, or has .. in it")]
    Path,
}

impl AccessList {
    /// Makes the list of these rules; the first that permits something is enough. Without rules nothing is permitted.
    pub fn new(rules: Vec<Rule>) -> AccessList {
        AccessList { rules }
    }

    /// Parses rules, each as [`Rule::parse`] does.
    ///
    /// # Errors
    /// What is wrong with the first that is no rule.
    pub fn parse<T: AsRef<str>>(texts: impl IntoIterator<Item = T>) -> Result<AccessList, RuleError> {
        let rules = texts.into_iter().map(|text| Rule::parse(text.as_ref()));
        Ok(AccessList { rules: rules.collect::<Result<_, _>>()? })
    }

    /// Decides about a host, which is a name or an IP literal without brackets, before it is looked up.
    pub fn check_name(&self, protocol: Protocol, host_text: &str, port: u16) -> Verdict {
        if let Ok(address) = host_text.parse::<IpAddr>() {
            // No name led there.
            return match self.check_address(protocol, host_text, address, port, |_| false) {
                Ok(()) => Verdict::Resolve,
                Err(denied) => Verdict::Denied(denied),
            };
        }
        let Ok(Host::Name(name)) = host(host_text) else { return Verdict::Denied(Denied::Host) };
        let may_permit = |scope: &Scope| match scope {
            Scope::Network { .. } => true,
            Scope::Name { .. } => scope.has_name(name),
        };
        if port != 0 && self.any(protocol, port, may_permit) {
            Verdict::Resolve
        } else {
            Verdict::Denied(Denied::NoRule)
        }
    }

    /// Decides about an address that `host_text` was looked up to, or is itself. Only an address that passed here may
    /// be dialled. `is_own` tells which addresses this machine's interfaces have.
    ///
    /// # Errors
    /// It must not be dialled, and why.
    pub fn check_address(
        &self,
        protocol: Protocol,
        host_text: &str,
        resolved: IpAddr,
        port: u16,
        is_own: impl Fn(IpAddr) -> bool,
    ) -> Result<(), Denied> {
        if port == 0 {
            return Err(Denied::NoRule);
        }
        let address = resolved.to_canonical();
        let name = match (host_text.parse::<IpAddr>(), host(host_text)) {
            // A literal is its own and only address; anything else is a resolver's joke.
            (Ok(literal), _) if literal.to_canonical() == address => None,
            (Ok(_), _) => return Err(Denied::Host),
            (Err(_), Ok(Host::Name(name))) => Some(name),
            (Err(_), _) => return Err(Denied::Host),
        };
        let has_address = |address| self.any(protocol, port, |scope| scope.has_address(address));
        // What carries a special IPv4 address inside takes a rule for that one, too: a relay or gateway takes it out.
        let inner_permitted =
            |inner: IpAddr| special::of(inner).is_none() || self.any(protocol, port, |scope| scope.has_address(inner));
        if has_address(address) && special::embedded(address).all(inner_permitted) {
            return Ok(());
        }
        match name {
            Some(name) if self.any(protocol, port, |scope| scope.has_name(name)) => {
                let special_of = |address| special::of(address).or_else(|| is_own(address).then_some(Special::Own));
                let special = special_of(address).or_else(|| special::embedded(address).find_map(special_of));
                special.map_or(Ok(()), |special| Err(Denied::Special { address, special }))
            }
            _ => Err(Denied::NoRule),
        }
    }

    /// Decides about the path of a unix socket, and returns the path to dial: the same without `.` and doubled slashes.
    ///
    /// # Errors
    /// It must not be dialled, and why.
    pub fn check_unix(&self, path: &Path) -> Result<PathBuf, Denied> {
        let path = normalize(path).ok_or(Denied::Path)?;
        let permitted = self.rules.iter().any(|rule| matches!(rule, Rule::Unix(allowed) if *allowed == path));
        if permitted { Ok(path) } else { Err(Denied::NoRule) }
    }

    /// Returns whether nothing at all is permitted.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// Returns the rules, in the order they were given.
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    fn any(&self, protocol: Protocol, port: u16, fits: impl Fn(&Scope) -> bool) -> bool {
        self.rules.iter().any(|rule| match rule {
            Rule::Port(rule) => rule.protocol == protocol && rule.ports.contains(port) && fits(&rule.scope),
            Rule::Unix(_) => false,
        })
    }
}

/// Returns an absolute path without `.`, doubled slashes and a slash at the end; `None` if it is relative, has `..` in
/// it, or is the root.
fn normalize(path: &Path) -> Option<PathBuf> {
    let mut components = path.components();
    if components.next() != Some(Component::RootDir) {
        return None;
    }
    let mut normal = PathBuf::from("/");
    for component in components {
        match component {
            Component::Normal(name) => normal.push(name),
            _ => return None,
        }
    }
    normal.file_name().is_some().then_some(normal)
}
