//! The machine that questions are asked on, as far as they look at it.

use std::net::IpAddr;

use super::listening::{self, Listening};
use crate::address::Target;
use crate::net::interfaces::usable_addresses;

/// The machine that the questions are asked on.
#[derive(Debug, Clone, Copy)]
pub struct Machine {
    /// Returns what listens on it.
    pub listening: fn() -> Vec<Listening>,
    /// Tells whether a target takes connections, if that can be known.
    pub answers: fn(&Target) -> Option<bool>,
    /// Returns its addresses.
    pub addresses: fn() -> Vec<IpAddr>,
    /// Columns and rows of a terminal that can do more than print lines.
    pub screen: Option<(usize, usize)>,
}

impl Default for Machine {
    fn default() -> Machine {
        Machine { listening: Vec::new, answers: |_| None, addresses: Vec::new, screen: None }
    }
}

impl Machine {
    /// Returns this machine.
    pub(super) fn present(screen: Option<(usize, usize)>) -> Machine {
        let addresses = || usable_addresses(true).unwrap_or_default();
        Machine { listening: listening::find, answers: listening::answers, addresses, screen }
    }
}
