//! What is wrong with the settings of a file, in the words of a command line, said of the file: its keys in place of
//! flags, and where they are.

use clap::error::{ContextKind, ContextValue, ErrorKind};

use super::super::failure::UsageError;
use super::keys::Keys;
use super::read::{Document, FileError};
use super::setting::Setting;

impl From<FileError> for UsageError {
    fn from(error: FileError) -> UsageError {
        UsageError::File(error.to_string())
    }
}

impl Document {
    /// Says that the file is not for the role that runs.
    pub(in crate::cli) fn of_other_role(&self, runs: &str) -> UsageError {
        let (place, role) = (self.place(None), self.keys.role());
        UsageError::File(format!("{place}: it is a [{role}] now, and a [{runs}] runs; start it again for that"))
    }

    /// Says of the file what clap says of `settings`, which are those of the file and of the command line together.
    pub(in crate::cli) fn explain_clap(&self, settings: &[Setting], error: clap::Error) -> UsageError {
        let text = |kind| match error.get(kind) {
            Some(ContextValue::String(text)) => vec![text.clone()],
            Some(ContextValue::Strings(texts)) => texts.clone(),
            _ => Vec::new(),
        };
        let names = |kind| text(kind).iter().map(|shown| option(shown).to_owned()).collect::<Vec<_>>();
        let sentence = match error.kind() {
            ErrorKind::ArgumentConflict => {
                let names = [names(ContextKind::InvalidArg), names(ContextKind::PriorArg)].concat();
                format!("{} exclude each other; leave one of them out", names.join(" and "))
            }
            ErrorKind::MissingRequiredArgument => {
                let names = names(ContextKind::InvalidArg).join(" and ");
                format!("[{}] needs {names}; add it", self.keys.role())
            }
            _ => {
                let (shown, value) = (names(ContextKind::InvalidArg), text(ContextKind::InvalidValue));
                let of = settings.iter().find(|setting| shown.contains(&format!("--{}", setting.key)));
                let mut values = of.into_iter().flat_map(Setting::values);
                let at = values.find(|given| value.contains(&given.text.to_string_lossy().into_owned()));
                let sentence = match &text(ContextKind::ValidValue)[..] {
                    [] => UsageError::of(error).to_string(),
                    valid => format!("{} '{}': it is none of {}", shown.concat(), value.concat(), valid.join(", ")),
                };
                return self.said(settings, at.and_then(|value| value.at), sentence);
            }
        };
        self.said(settings, None, sentence)
    }

    /// Says of the file what is wrong with `settings`, which are those of the file and of the command line together.
    pub(in crate::cli) fn explain(&self, settings: &[Setting], error: UsageError) -> UsageError {
        let error = match error {
            // These are about the environment.
            UsageError::Encoding { .. } | UsageError::Proxy(_) => return error,
            UsageError::Value { argument, wrong } => {
                let Some(key) = self.keys.iter().find(|key| key.shown() == argument) else {
                    return UsageError::Value { argument, wrong };
                };
                let name = format!("--{}", key.name());
                let of = settings.iter().find(|setting| setting.key == key.name());
                // Of two that do not get along, the later one is wrong.
                let mut values = of.into_iter().flat_map(Setting::values).rev();
                let at = values.find(|value| value.text.to_str().is_some_and(|text| wrong.is_of(text)));
                return self.said(settings, at.and_then(|value| value.at), wrong.of(name).to_string());
            }
            UsageError::NothingShared => {
                "nothing is shared; add services = [8080] or the like, or --allow what clients may have dialled"
                    .to_owned()
            }
            other => other.to_string(),
        };
        self.said(settings, None, error)
    }

    /// Writes keys for flags, but for those of the command line. The place is `at`, or else that of the first key.
    fn said(&self, settings: &[Setting], at: Option<usize>, sentence: String) -> UsageError {
        let mut first = at;
        let mut text = String::with_capacity(sentence.len());
        for word in sentence.split_inclusive(|c: char| !(c.is_ascii_alphanumeric() || c == '-')) {
            let name = word.trim_end_matches(|c: char| !(c.is_ascii_alphanumeric() || c == '-'));
            let key = named(&self.keys, name);
            let given = key.as_ref().and_then(|key| settings.iter().find(|setting| setting.key == *key));
            match (key, given.map(|setting| setting.at)) {
                (None, _) | (Some(_), Some(None)) => text.push_str(word),
                (Some(key), at) => {
                    first = first.or(at.flatten());
                    text.push_str(&key);
                    text.push_str(&word[name.len()..]);
                }
            }
        }
        UsageError::File(format!("{}: {text}", self.place(first)))
    }
}

/// Returns the option that clap shows as `--listen <ADDR>`.
fn option(shown: &str) -> &str {
    shown.split([' ', '=', '.']).next().unwrap_or(shown)
}

/// Returns the key of a flag.
fn named(keys: &Keys, flag: &str) -> Option<String> {
    let key = keys.iter().find(|key| match flag.strip_prefix("--") {
        Some(name) => name == key.name(),
        None => key.short().as_deref() == Some(flag),
    });
    key.map(|key| key.name().to_owned())
}
