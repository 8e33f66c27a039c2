//! What can be wrong with a file of settings.

use std::io;

use thiserror::Error;
use toml::de::DeValue;

use super::keys::{MAX_VERBOSE, ROLES};
use crate::status::text::sanitize;

/// The largest file that is read: thousands of rules.
pub(super) const MAX_FILE: u64 = 256 * 1024;

/// Most of a wrong key that an error shows, in characters.
pub(super) const MAX_SHOWN: usize = 40;

/// Why a file gives no settings, wherever in it.
#[derive(Debug, Error)]
pub(super) enum Fault {
    #[error("it cannot be read: {0}")]
    Unreadable(io::Error),
    #[error("it is larger than {} KiB, and no file of settings is", MAX_FILE / 1024)]
    TooLarge,
    #[error("it is not UTF-8; save it as text")]
    NotText,
    #[error("{0}")]
    Syntax(String),
    #[error("there are too many brackets or points within each other; a key has a value or a list of values")]
    Nested,
    #[error("{0} is there twice; leave one of them out")]
    Twice(String),
    #[error("it has none of {tables}; write one of them above the keys", tables = tables())]
    NoRole,
    #[error("{0} belongs below one of {tables}; write that above it", tables = tables())]
    Outside(String),
    #[error("there is no [{0}]; a file has one of {tables}", tables = tables())]
    UnknownTable(String),
    #[error("[{0}] is the second role beside [{1}]; a file is for one process, so give it a file of its own")]
    TwoRoles(&'static str, &'static str),
    #[error("{0} is {1}; write [{0}] in a line of its own, and its keys below it")]
    NoTable(&'static str, &'static str),
    #[error("{0} is {1}; write [[{0}]] in a line of its own for each, and its keys below it")]
    NoTables(&'static str, &'static str),
    #[error("[[invitation]] is for a host, and this file is a [{0}]; leave it out")]
    Uninviting(&'static str),
    #[error("{0}")]
    Invitation(String),
    #[error("there is no {key} in [{role}]; {advice}", advice = advice(role, nearest))]
    UnknownKey { role: &'static str, key: String, nearest: Option<String> },
    #[error("{key} takes {wanted}, and this is {found}")]
    WrongType { key: String, wanted: &'static str, found: &'static str },
    #[error("{0} takes a number from 0 to {MAX_VERBOSE}")]
    Count(String),
    #[error("{0} belongs below a [host.NAME], and the file of saved hosts has nothing else")]
    OutsideHosts(String),
    #[error("{0} is no name of a saved host: those are 1 to 64 of a to z, A to Z, 0 to 9, hyphen and underscore")]
    HostName(String),
    #[error("[host.{0}] needs url; add it")]
    WithoutUrl(String),
}

impl Fault {
    pub(super) fn outside_hosts(key: &str) -> Fault {
        Fault::OutsideHosts(sanitize(key, MAX_SHOWN))
    }

    pub(super) fn host_name(name: &str) -> Fault {
        Fault::HostName(sanitize(name, MAX_SHOWN))
    }

    pub(super) fn without_url(name: &str) -> Fault {
        Fault::WithoutUrl(sanitize(name, MAX_SHOWN))
    }
}

/// Names the tables that a file can have.
fn tables() -> String {
    let names: Vec<String> = ROLES.iter().map(|role| format!("[{role}]")).collect();
    match names.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, others)) => format!("{} and {last}", others.join(", ")),
        None => String::new(),
    }
}

fn advice(role: &str, nearest: &Option<String>) -> String {
    match nearest {
        Some(nearest) => format!("did you mean {nearest}?"),
        None => format!("its keys are the long options that pinhole {role} --help lists"),
    }
}

/// Returns what a value is.
pub(super) fn kind(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a text",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a number with a point",
        DeValue::Boolean(true) => "true",
        DeValue::Boolean(false) => "false",
        DeValue::Datetime(_) => "a date or a time",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}
