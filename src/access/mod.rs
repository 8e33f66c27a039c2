//! What the other side may make this machine dial (`--allow`) and listen on (`--allow-reverse`). Closed by default.
//! [`logins`] slows down guesses of passwords.
//!
//! | a rule for | permits |
//! |---|---|
//! | an address or a network | every dial to it, whatever name led there |
//! | a name, or `*.` and a name | dials to addresses the name has, except [special](Special) ones |
//! | a path | the unix socket at that path |
//!
//! A name leads wherever its name server says. A name that suddenly means 127.0.0.1 must not open what only this
//! machine should reach. So the name is checked before it is looked up, and then the exact address that will be
//! dialled. Where a path leads is up to the owner: symbolic links are followed.

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
use rule::Inner;
pub use rule::{Rule, RuleError};

use rule::Scope;

/// The rules of `--allow`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AccessList {
    rules: Vec<Rule>,
}

/// The verdict before a host is looked up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Verdict {
    /// None of the host's addresses may be dialled.
    Denied(Denied),
    /// Look the host up, and pass each address to [`AccessList::check_address`] before dialling it.
    Resolve,
}

/// Why a dial or a listener is refused. It contains nothing that the other side wrote.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Denied {
    /// No rule permits it.
    #[error("no rule allows it")]
    NoRule,
    /// A resolver might read the host differently than we do.
    #[error("the host is neither a name nor an address")]
    Host,
    /// A rule permits the name, but the name leads to a special address.
    #[error("the name leads to {address}, {special}: only a rule for the address itself allows that")]
    Special {
        /// The address that would have been dialled.
        address: IpAddr,
        /// The reason why it is special.
        special: Special,
    },
    /// The path is relative, contains `..`, or names no file.
    #[error("the path is not absolute, or has .. in it")]
    Path,
}

impl AccessList {
    /// Creates the list; the first rule that permits something is enough. Without rules nothing is permitted.
    pub fn new(rules: Vec<Rule>) -> AccessList {
        AccessList { rules }
    }

    /// Parses rules, each as [`Rule::parse`] does.
    ///
    /// # Errors
    /// The error of the first invalid rule.
    pub fn parse<T: AsRef<str>>(texts: impl IntoIterator<Item = T>) -> Result<AccessList, RuleError> {
        let rules = texts.into_iter().map(|text| Rule::parse(text.as_ref()));
        Ok(AccessList { rules: rules.collect::<Result<_, _>>()? })
    }

    /// Decides about a host before it is looked up: a name, or an IP literal without brackets.
    #[doc(hidden)]
    pub fn check_name(&self, protocol: Protocol, host_text: &str, port: u16) -> Verdict {
        if let Ok(address) = host_text.parse::<IpAddr>() {
            // An IP literal needs no name rule.
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

    /// Decides about an address of `host_text`, looked up or literal. Only an address that passes here may be dialled.
    /// `is_own` tells which addresses this machine's interfaces have.
    ///
    /// # Errors
    /// Why it must not be dialled.
    #[doc(hidden)]
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
            // A literal has exactly one address; a resolver that returns another is wrong.
            (Ok(literal), _) if literal.to_canonical() == address => None,
            (Ok(_), _) => return Err(Denied::Host),
            (Err(_), Ok(Host::Name(name))) => Some(name),
            (Err(_), _) => return Err(Denied::Host),
        };
        let has_address = |address| self.any(protocol, port, |scope| scope.has_address(address));
        // An address that contains a special IPv4 address needs a rule for that one, too: a relay or gateway extracts
        // it.
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

    /// Decides about the path of a unix socket, and returns the path to dial: without `.` and doubled slashes.
    ///
    /// # Errors
    /// Why it must not be dialled.
    #[doc(hidden)]
    pub fn check_unix(&self, path: &Path) -> Result<PathBuf, Denied> {
        let path = normalize(path).ok_or(Denied::Path)?;
        let permitted = self.rules.iter().any(|rule| matches!(&rule.0, Inner::Unix(allowed) if *allowed == path));
        if permitted { Ok(path) } else { Err(Denied::NoRule) }
    }

    /// Tells whether nothing at all is permitted.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// Returns the rules, in the order they were given.
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    fn any(&self, protocol: Protocol, port: u16, fits: impl Fn(&Scope) -> bool) -> bool {
        self.rules.iter().any(|rule| match &rule.0 {
            Inner::Port(rule) => rule.protocol == protocol && rule.ports.contains(port) && fits(&rule.scope),
            Inner::Unix(_) => false,
        })
    }
}

/// Returns an absolute path without `.`, doubled slashes and a slash at the end; `None` if it is relative, contains
/// `..`, or is the root.
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
