//! The arguments of `pinhole hosts`, and the names of saved hosts.

use clap::Args;

use super::problem::{Problem, WrongValue};

/// Longest name of a saved host.
const MAX_NAME: usize = 64;

// No line of these is longer than 80 columns, where clap would wrap it.
const EXAMPLES: &str = "\
Examples:
  pinhole client --save nas 'wss://p.example.org/ws/nas?pin=123456' 8080
  pinhole client nas
  pinhole hosts
  pinhole hosts --remove nas

They stand in ~/.config/pinhole/hosts.toml, which nobody else can read.";

/// Arguments of `pinhole hosts`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct HostsArguments {
    /// Remove this one
    #[arg(long, value_name = "NAME", value_parser = name)]
    pub remove: Option<SavedName>,
    /// Print one JSON object a line on stdout instead of a table
    #[arg(long, conflicts_with = "remove")]
    pub json: bool,
}

/// The name of a saved host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SavedName(String);

/// Parses the name of a saved host.
pub(super) fn name(text: &str) -> Result<SavedName, WrongValue> {
    let hint = "give a name such as nas or my-office";
    SavedName::parse(text).ok_or_else(|| WrongValue::new(text, Problem::HostName, hint))
}

impl SavedName {
    /// Takes a name, which has no dot, colon or slash and so is no URL.
    pub(super) fn parse(text: &str) -> Option<SavedName> {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        let is_name = (1..=MAX_NAME).contains(&text.len()) && text.bytes().all(is_plain) && !text.starts_with('-');
        is_name.then(|| SavedName(text.to_owned()))
    }

    /// Returns it as text.
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_no_urls() {
        for name in ["nas", "My_Office-2", "0", &"a".repeat(64)] {
            assert!(name_of(name), "{name}");
        }
        for other in ["", "a.b", "a:1", "a/b", "a b", "-a", "\u{e9}", "[::1]", &"a".repeat(65)] {
            assert!(!name_of(other), "{other}");
        }
    }

    fn name_of(text: &str) -> bool {
        SavedName::parse(text).is_some_and(|name| name.as_str() == text)
    }
}
