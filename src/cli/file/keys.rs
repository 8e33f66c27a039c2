//! What a file may say of a role: the arguments that clap knows, each by its long name. An argument without one has its
//! id for a key, so a new argument is a new key by itself.

use std::ffi::OsString;

use clap::builder::ValueParser;
use clap::error::{ContextKind, ContextValue};
use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Command, CommandFactory as _};

use super::super::args::Arguments;
use super::super::manual::Table;
use super::setting::{Said, Setting, Value};

/// The commands that a file can hold, which are the names of its tables, too.
pub(in crate::cli) const ROLES: &[&str] = &[
    "host",
    "client",
    #[cfg(feature = "server")]
    "server",
];

/// Highest `verbose` in a file. A command line may say more, which means the same.
pub(super) const MAX_VERBOSE: u8 = 3;

/// Arguments of a role that are no settings of it.
const NO_KEYS: [&str; 2] = ["print_config", "save"];

/// Keys of which one says what the other says, too, beside those that clap knows to conflict and each `NAME-file`.
const ALTERNATIVES: [(&str, &str); 1] = [("tokens", "open")];

/// The keys of a role.
#[derive(Debug, Clone)]
pub(in crate::cli) struct Keys {
    role: &'static str,
    /// The program, whose role has a long option for every key.
    program: Command,
    /// The role alone, with the arguments of every command.
    command: Command,
}

/// What a key takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::cli) enum Kind {
    /// `true` or `false`.
    Flag,
    /// How often a flag is given.
    Count,
    /// One value.
    One,
    /// A list of values.
    Many,
}

/// A key of a role.
#[derive(Debug, Clone, Copy)]
pub(in crate::cli) struct Key<'a>(&'a Arg);

impl Keys {
    /// Returns the keys of one of [`ROLES`].
    pub(in crate::cli) fn of(role: &'static str) -> Keys {
        let program = Arguments::command().mut_subcommand(role, |command| command.mut_args(with_long));
        let mut built = program.clone();
        built.build();
        let command = built.find_subcommand(role).cloned().unwrap_or_default();
        Keys { role, program, command }
    }

    /// Returns the name of the role.
    pub(in crate::cli) fn role(&self) -> &'static str {
        self.role
    }

    /// Returns every key.
    pub(in crate::cli) fn iter(&self) -> impl Iterator<Item = Key<'_>> {
        self.command.get_arguments().filter(|argument| is_key(argument)).map(Key)
    }

    /// Returns the same as arguments, each with the key for its long name.
    pub(in crate::cli) fn table(&self) -> Table {
        Table { role: self.role, keys: self.iter().map(|key| key.0.clone()).collect() }
    }

    /// Finds a key.
    pub(in crate::cli) fn find(&self, name: &str) -> Option<Key<'_>> {
        self.iter().find(|key| key.name() == name)
    }

    /// Returns the key that is meant by a name that is none, as clap guesses options.
    pub(in crate::cli) fn nearest(&self, name: &str) -> Option<String> {
        let error = self.program.clone().try_get_matches_from(["pinhole", self.role, &format!("--{name}")]).err()?;
        match error.get(ContextKind::SuggestedArg) {
            Some(ContextValue::String(option)) => option.strip_prefix("--").map(str::to_owned),
            _ => None,
        }
        .filter(|name| self.find(name).is_some())
    }

    /// Tells whether what is said by one key leaves no room for the other.
    pub(in crate::cli) fn excludes(&self, one: &str, other: &str) -> bool {
        let conflicts = |one: &str, other: &str| {
            let conflicting = self.find(one).map(|key| self.command.get_arg_conflicts_with(key.0)).unwrap_or_default();
            conflicting.into_iter().any(|argument| is_key(argument) && Key(argument).name() == other)
        };
        let replaces = |one: &str, other: &str| {
            other.strip_suffix("-file") == Some(one) || ALTERNATIVES.contains(&(one, other)) || conflicts(one, other)
        };
        one == other || replaces(one, other) || replaces(other, one)
    }

    /// Returns what the command line of a role says, without what clap and the environment add to it.
    pub(in crate::cli) fn given(&self, matches: &ArgMatches) -> Vec<Setting> {
        // Another command has some of the role's arguments.
        let has = |key: &Key<'_>| matches.try_contains_id(key.id()).unwrap_or_default();
        let is_given = |key: &Key<'_>| has(key) && matches.value_source(key.id()) == Some(ValueSource::CommandLine);
        let setting = |key: Key<'_>| Setting {
            said: match key.kind() {
                Kind::Flag => Said::Flag(1),
                Kind::Count => Said::Flag(matches.get_count(key.id()).min(MAX_VERBOSE)),
                Kind::One | Kind::Many => {
                    let values = matches.get_raw(key.id()).into_iter().flatten();
                    Said::Values(values.map(|text| Value { text: text.to_owned(), at: None }).collect())
                }
            },
            key: key.name().to_owned(),
            at: None,
        };
        self.iter().filter(is_given).map(setting).collect()
    }

    /// Reads the options of a role that stand behind a file; what the role needs may be in the file. Returns what they
    /// say, and what clap made of them.
    ///
    /// # Errors
    /// clap's, help that was asked for among them.
    pub(in crate::cli) fn behind_file(
        &self,
        options: impl IntoIterator<Item = OsString>,
    ) -> Result<(Vec<Setting>, ArgMatches), clap::Error> {
        let relaxed = |command: Command| command.mut_args(|argument| argument.required(false));
        let program = Arguments::command().mut_subcommand(self.role, relaxed);
        let line = ["pinhole", self.role].map(OsString::from).into_iter().chain(options);
        let matches = program.try_get_matches_from(line)?;
        let matches = matches.subcommand_matches(self.role).cloned().unwrap_or_default();
        Ok((self.given(&matches), matches))
    }

    /// Has clap read settings, as it reads a command line.
    ///
    /// # Errors
    /// clap's; what it names are long options, one for every key.
    pub(in crate::cli) fn parse(&self, settings: &[Setting]) -> Result<ArgMatches, clap::Error> {
        let line = ["pinhole", self.role].map(OsString::from).into_iter();
        self.program.clone().try_get_matches_from(line.chain(settings.iter().flat_map(Setting::options)))
    }
}

impl<'a> Key<'a> {
    /// Returns the key, as it stands in a file.
    pub(in crate::cli) fn name(self) -> &'a str {
        self.0.get_long().unwrap_or(self.id())
    }

    /// Returns what it takes.
    pub(in crate::cli) fn kind(self) -> Kind {
        match self.0.get_action() {
            ArgAction::SetTrue => Kind::Flag,
            ArgAction::Count => Kind::Count,
            ArgAction::Append => Kind::Many,
            _ => Kind::One,
        }
    }

    /// Returns what errors of a command line call it.
    pub(in crate::cli) fn shown(self) -> String {
        match self.0.get_value_names() {
            // Neither a long nor a short option: a value in its place.
            Some([name, ..]) if self.0.get_long() == Some(self.id()) && self.0.get_short().is_none() => {
                name.rsplit(']').next().unwrap_or(name).to_owned()
            }
            _ => format!("--{}", self.name()),
        }
    }

    /// Tells whether its value names a file.
    pub(in crate::cli) fn is_file(self) -> bool {
        self.0.get_value_parser().type_id() == ValueParser::path_buf().type_id()
    }

    /// Returns the short option that says the same, with its hyphen.
    pub(in crate::cli) fn short(self) -> Option<String> {
        self.0.get_short().map(|short| format!("-{short}"))
    }

    fn id(self) -> &'a str {
        self.0.get_id().as_str()
    }
}

/// Gives an argument a long name if it has none, so that all can be said in one way.
fn with_long(argument: Arg) -> Arg {
    if argument.get_long().is_some() || !is_key(&argument) {
        return argument;
    }
    let key = argument.get_id().clone();
    argument.long(key).num_args(1)
}

fn is_key(argument: &Arg) -> bool {
    let says_something =
        matches!(argument.get_action(), ArgAction::Set | ArgAction::Append | ArgAction::SetTrue | ArgAction::Count);
    says_something && !NO_KEYS.contains(&argument.get_id().as_str())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::Path;

    use super::*;

    #[test]
    fn the_init_script_of_openwrt_knows_flags_and_files() {
        let script = "packaging/openwrt/net/pinhole/files/pinhole.init";
        let script = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(script)).unwrap();
        let list = |name: &str| {
            let line = script.lines().find_map(|line| line.strip_prefix(&format!("{name}=\" "))).unwrap();
            line.trim_end_matches('"').split_whitespace().map(|option| option.replace('_', "-")).collect::<Vec<_>>()
        };
        let roles: Vec<Keys> = ROLES.iter().map(|role| Keys::of(role)).collect();
        let named = |fits: fn(&Key<'_>) -> bool| {
            let keys = roles.iter().flat_map(Keys::iter).filter(fits);
            keys.map(|key| key.name().to_owned()).collect::<BTreeSet<_>>().into_iter().collect::<Vec<_>>()
        };
        assert_eq!(list("FLAGS"), named(|key| key.kind() == Kind::Flag));
        assert_eq!(list("FILES"), named(|key| key.is_file()));
        assert_eq!(named(|key| key.kind() == Kind::Count), ["verbose"]);
        let all = named(|_| true);
        for own in list("OWN") {
            assert!(!all.contains(&own), "{own} is a key");
        }
    }
}
