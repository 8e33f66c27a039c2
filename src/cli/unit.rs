//! The arguments of `pinhole install` and `pinhole uninstall`.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::problem::{Problem, WrongValue};

/// Longest name of a unit of ours.
const MAX_NAME: usize = 64;

// No line of these is longer than 80 columns, where clap would wrap it.
pub(super) const EXAMPLES: &str = "\
Examples:
  sudo pinhole install nas host web=8080 --server wss://p.example.org --id nas
  pinhole install --user office client wss://p.example.org/ws/nas 8080
  sudo pinhole install server server --tokens tokens.toml --listen :443
    --tls-cert c.pem --tls-key k.pem

Settings go to /etc/pinhole/NAME.toml or ~/.config/pinhole/NAME.toml, which
pinhole run and pinhole verify read, and each secret to a file beside it that
others cannot read. pinhole uninstall NAME undoes it.";

/// Arguments of `pinhole install`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct InstallArguments {
    /// What the unit is called: pinhole@NAME
    ///
    /// 1 to 64 of a to z, A to Z, 0 to 9, dot, hyphen and underscore, beginning with none of the last three.
    #[arg(value_name = "NAME", value_parser = name)]
    pub name: UnitName,
    /// Install a unit of yours, which sees what you see, instead of one of the system
    ///
    /// It runs while you are logged in, or from the start of the machine on after loginctl enable-linger.
    #[arg(long)]
    pub user: bool,
    /// Replace files that are there already
    #[arg(long)]
    pub force: bool,
    /// Where the system's files are, for tests.
    #[arg(long, value_name = "DIR", hide = true)]
    pub root: Option<PathBuf>,
    /// What to be
    #[arg(value_name = "ROLE", value_enum)]
    pub role: RoleName,
    /// Its arguments, as pinhole ROLE takes them
    #[arg(value_name = "OPTION", trailing_var_arg = true, allow_hyphen_values = true)]
    pub options: Vec<OsString>,
}

/// What a unit can be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum RoleName {
    /// A host.
    Host,
    /// A client.
    Client,
    /// A server.
    #[cfg(feature = "server")]
    Server,
}

impl RoleName {
    /// Returns the command that is one.
    pub fn command(self) -> &'static str {
        match self {
            RoleName::Host => "host",
            RoleName::Client => "client",
            #[cfg(feature = "server")]
            RoleName::Server => "server",
        }
    }
}

/// Arguments of `pinhole uninstall`.
#[derive(Debug, Clone, Args)]
pub struct UninstallArguments {
    /// What pinhole install called it
    #[arg(value_name = "NAME", value_parser = name)]
    pub name: UnitName,
    /// It is a unit of yours, not of the system
    #[arg(long)]
    pub user: bool,
    /// Where the system's files are, for tests.
    #[arg(long, value_name = "DIR", hide = true)]
    pub root: Option<PathBuf>,
}

/// The name of a unit, which is a part of paths and of settings of systemd.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnitName(String);

impl UnitName {
    /// Returns it as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn name(text: &str) -> Result<UnitName, WrongValue> {
    let is_fine = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
    let begins = text.starts_with(|c: char| c.is_ascii_alphanumeric());
    if begins && text.len() <= MAX_NAME && text.chars().all(is_fine) {
        return Ok(UnitName(text.to_owned()));
    }
    Err(WrongValue::new(text, Problem::UnitName(MAX_NAME), "give a name, for example nas"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_parts_of_paths_and_nothing_more() {
        let longest = "x".repeat(MAX_NAME);
        for right in ["nas", "Nas_2.old-1", "0", &longest] {
            assert_eq!(name(right).unwrap().as_str(), right);
        }
        let long = "x".repeat(MAX_NAME + 1);
        for wrong in
            ["", ".", "..", "-x", ".x", "_x", "a/b", "a@b", "a b", "a%i", "a\n", "é", "a\0", "../nas", "a:b", &long]
        {
            assert!(name(wrong).is_err(), "{wrong:?}");
        }
    }
}
