//! One key and what is said of it, in a file or on a command line.

use std::ffi::OsString;
use std::fmt;

/// One key and what is said of it. Shows no values: they may be secrets.
#[derive(Clone, PartialEq, Eq)]
pub(in crate::cli) struct Setting {
    /// The key.
    pub(in crate::cli) key: String,
    /// Where it is in the file, in bytes; `None` if the command line has it.
    pub(in crate::cli) at: Option<usize>,
    /// What is said.
    pub(in crate::cli) said: Said,
}

/// What is said of a key.
#[derive(Clone, PartialEq, Eq)]
pub(in crate::cli) enum Said {
    /// That it is so, that many times.
    Flag(u8),
    /// These values, as a command line has them.
    Values(Vec<Value>),
}

/// A value.
#[derive(Clone, PartialEq, Eq)]
pub(in crate::cli) struct Value {
    /// As it is on a command line.
    pub(in crate::cli) text: OsString,
    /// Where it is in the file, in bytes.
    pub(in crate::cli) at: Option<usize>,
}

impl Setting {
    /// Returns its values.
    pub(in crate::cli) fn values(&self) -> &[Value] {
        match &self.said {
            Said::Flag(_) => &[],
            Said::Values(values) => values,
        }
    }

    /// Returns the same as long options, each with its value behind an equals sign: no value is taken for an option.
    pub(in crate::cli) fn options(&self) -> Vec<OsString> {
        let option = || OsString::from(format!("--{}", self.key));
        match &self.said {
            Said::Flag(times) => (0..*times).map(|_| option()).collect(),
            Said::Values(values) => {
                let joined = |value: &Value| [option(), "=".into(), value.text.clone()].into_iter().collect();
                values.iter().map(joined).collect()
            }
        }
    }
}

impl fmt::Debug for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Setting").field("key", &self.key).finish_non_exhaustive()
    }
}
