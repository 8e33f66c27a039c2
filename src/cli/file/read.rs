//! A file of settings, from its bytes to what it says of each key.

use std::ffi::OsString;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use thiserror::Error;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::super::failure::UsageError;
use super::fault::{Fault, MAX_FILE, MAX_SHOWN, kind};
use super::invitations::{self, Given};
use super::keys::{Key, Keys, Kind, MAX_VERBOSE, ROLES};
use super::places::Places;
use super::setting::{Said, Setting, Value};
use crate::config::HostConfig;
use crate::net::files;
use crate::status::text::sanitize;

/// A file of settings.
pub(in crate::cli) struct Document {
    /// What the file is called in messages.
    name: String,
    text: String,
    /// Where its role is named, in bytes.
    head: usize,
    /// The keys of its role.
    pub(in crate::cli) keys: Keys,
    /// What it says, in the order of the file.
    pub(in crate::cli) settings: Vec<Setting>,
    /// The invitations of a host.
    invitations: Vec<Given>,
    /// Others than its owner can read it.
    pub(in crate::cli) is_shared: bool,
}

/// Why a file gives no settings.
#[derive(Debug, Error)]
#[error("{place}: {fault}")]
pub(in crate::cli) struct FileError {
    place: String,
    fault: Fault,
}

impl Document {
    /// Reads a file.
    ///
    /// # Errors
    /// [`FileError`], naming the file, and the place in it where there is one.
    pub(in crate::cli) fn read(path: &Path, credentials: Option<&Path>) -> Result<Document, FileError> {
        let name = path.display().to_string();
        let (text, is_shared) = load(path, &name)?;
        let folder = path.parent().map(PathBuf::from).unwrap_or_default();
        let found = parse(&text, Places { folder: &folder, credentials })
            .map_err(|(at, fault)| FileError::at(&name, &text, at, fault))?;
        Ok(Document::new(name, text, found, is_shared))
    }

    /// Puts one together. `head` is where its role is named, in bytes.
    pub(super) fn new(name: String, text: String, found: Found, is_shared: bool) -> Document {
        let Found { head, keys, settings, invitations } = found;
        Document { name, text, head, keys, settings, invitations, is_shared }
    }

    /// Names a place in the file: the role's if there is none.
    pub(in crate::cli) fn place(&self, at: Option<usize>) -> String {
        place(&self.name, &self.text, at.unwrap_or(self.head))
    }

    /// Tells whether it has a pin of an invitation in it.
    pub(super) fn has_invitation_pin(&self) -> bool {
        self.invitations.iter().any(Given::has_pin)
    }

    /// Tells whether it has invitations.
    pub(in crate::cli) fn invites(&self) -> bool {
        !self.invitations.is_empty()
    }

    /// Gives a host the invitations of the file. What its owner should know goes to `remarks`.
    ///
    /// # Errors
    /// What is wrong with an invitation.
    pub(in crate::cli) fn invite(&self, host: &mut HostConfig, remarks: &mut Vec<String>) -> Result<(), UsageError> {
        let place = |number: usize| self.place(self.invitations.get(number).map(|given| given.at));
        let wrong = |number: usize, what: String| UsageError::File(format!("{}: {what}", place(number)));
        for (number, given) in self.invitations.iter().enumerate() {
            let invitation = given.read(remarks).map_err(|error| wrong(number, error.to_string()))?;
            host.invitations.push(invitation);
        }
        invitations::check(host).map_err(|(number, what)| wrong(number, what))
    }

    /// Returns what the file is called in messages.
    pub(in crate::cli) fn name(&self) -> &str {
        &self.name
    }
}

/// Reads a file that is called `name` in messages. Returns also whether others than its owner can read it.
pub(super) fn load(path: &Path, name: &str) -> Result<(String, bool), FileError> {
    let wrong = |fault| FileError { place: name.to_owned(), fault };
    let mut bytes = Vec::new();
    let read = files::open(path).and_then(|file| {
        let is_shared = files::is_shared(&file);
        file.take(MAX_FILE + 1).read_to_end(&mut bytes).map(|_| is_shared)
    });
    let is_shared = read.map_err(|error| wrong(Fault::Unreadable(error)))?;
    if bytes.len() as u64 > MAX_FILE {
        return Err(wrong(Fault::TooLarge));
    }
    let text = String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        let line = 1 + error.as_bytes()[..at].iter().filter(|byte| **byte == b'\n').count();
        FileError { place: format!("{name}:{line}"), fault: Fault::NotText }
    })?;
    Ok((text, is_shared))
}

impl FileError {
    /// Says what is wrong at a place, in bytes, of a text.
    pub(super) fn at(name: &str, text: &str, at: usize, fault: Fault) -> FileError {
        FileError { place: place(name, text, at), fault }
    }
}

/// Names a place: the file, the line and the column in characters, from 1.
fn place(name: &str, text: &str, at: usize) -> String {
    let before = text.get(..at).unwrap_or(text);
    let line = 1 + before.bytes().filter(|byte| *byte == b'\n').count();
    let start = before.rfind('\n').map_or(0, |newline| newline + 1);
    let column = 1 + before[start..].chars().filter(|c| *c != '\u{feff}').count();
    format!("{name}:{line}:{column}")
}

/// What a text says.
pub(super) struct Found {
    pub(super) head: usize,
    pub(super) keys: Keys,
    pub(super) settings: Vec<Setting>,
    pub(super) invitations: Vec<Given>,
}

/// Reads a text as TOML.
pub(super) fn table(text: &str) -> Result<Spanned<DeTable<'_>>, (usize, Fault)> {
    DeTable::parse(text).map_err(|error| {
        let at = error.span().map_or(0, |span| span.start);
        let shown = error.span().and_then(|span| text.get(span)).unwrap_or_default();
        match error.message() {
            "duplicate key" => (at, Fault::Twice(sanitize(shown, MAX_SHOWN))),
            message if message.contains("recurs") => (at, Fault::Nested),
            message => (at, Fault::Syntax(message.replace('\n', ", "))),
        }
    })
}

fn parse(text: &str, places: Places<'_>) -> Result<Found, (usize, Fault)> {
    let table = table(text)?;
    let mut role: Option<(&'static str, usize, &DeTable<'_>)> = None;
    let mut invited: Option<(usize, &Spanned<DeValue<'_>>)> = None;
    let mut tables: Vec<_> = table.get_ref().iter().collect();
    tables.sort_by_key(|(name, _)| name.span().start);
    for (name, value) in tables {
        let at = name.span().start;
        let known = ROLES.iter().find(|role| **role == name.get_ref().as_ref());
        let shown = || sanitize(name.get_ref(), MAX_SHOWN);
        if name.get_ref().as_ref() == invitations::TABLE {
            invited = Some((at, value));
            continue;
        }
        match (known, value.get_ref(), role) {
            (Some(known), DeValue::Table(_), Some((first, ..))) => return Err((at, Fault::TwoRoles(known, first))),
            (Some(known), DeValue::Table(keys), None) => role = Some((known, at, keys)),
            (Some(known), other, _) => return Err((at, Fault::NoTable(known, kind(other)))),
            (None, DeValue::Table(_), _) => return Err((at, Fault::UnknownTable(shown()))),
            (None, ..) => return Err((at, Fault::Outside(shown()))),
        }
    }
    let (role, head, table) = role.ok_or((0, Fault::NoRole))?;
    let keys = Keys::of(role);
    let settings = settings(&keys, table, places)?;
    let invitations = match invited {
        Some((at, _)) if role != "host" => return Err((at, Fault::Uninviting(role))),
        Some((_, value)) => invitations::read(value, places)?,
        None => Vec::new(),
    };
    Ok(Found { head, keys, settings, invitations })
}

/// Reads the keys of a table, in the order of the file.
pub(super) fn settings(keys: &Keys, table: &DeTable<'_>, places: Places<'_>) -> Result<Vec<Setting>, (usize, Fault)> {
    let mut settings = Vec::new();
    for (name, value) in table {
        let at = name.span().start;
        let Some(key) = keys.find(name.get_ref()) else {
            let nearest = keys.nearest(name.get_ref());
            return Err((
                at,
                Fault::UnknownKey { role: keys.role(), key: sanitize(name.get_ref(), MAX_SHOWN), nearest },
            ));
        };
        if let Some(said) = said(key, value, places)? {
            settings.push(Setting { key: key.name().to_owned(), at: Some(at), said });
        }
    }
    settings.sort_by_key(|setting| setting.at);
    Ok(settings)
}

/// Reads what is said of a key; `None` if it is what would be without it.
fn said(key: Key<'_>, value: &Spanned<DeValue<'_>>, places: Places<'_>) -> Result<Option<Said>, (usize, Fault)> {
    let wrong = |wanted, value: &Spanned<DeValue<'_>>| {
        let fault = Fault::WrongType { key: key.name().to_owned(), wanted, found: kind(value.get_ref()) };
        (value.span().start, fault)
    };
    let read = |value: &Spanned<DeValue<'_>>, wanted| match scalar(value.get_ref()) {
        Some(text) => Ok(Value { text: places.fix(key, text), at: Some(value.span().start) }),
        None => Err(wrong(wanted, value)),
    };
    let one = "a text or a whole number in decimal";
    match (key.kind(), value.get_ref()) {
        (Kind::Flag, DeValue::Boolean(is_set)) => Ok(is_set.then_some(Said::Flag(1))),
        (Kind::Flag, _) => Err(wrong("true or false", value)),
        (Kind::Count, DeValue::Integer(number)) => match number.as_str().parse() {
            Ok(0) => Ok(None),
            Ok(times @ 1..=MAX_VERBOSE) => Ok(Some(Said::Flag(times))),
            _ => Err((value.span().start, Fault::Count(key.name().to_owned()))),
        },
        (Kind::Count, _) => Err(wrong("a number", value)),
        (Kind::Many, DeValue::Array(values)) => {
            let values = values.iter().map(|value| read(value, one)).collect::<Result<_, _>>()?;
            Ok(Some(Said::Values(values)))
        }
        (Kind::Many, _) => Ok(Some(Said::Values(vec![read(value, "a list of texts or whole numbers")?]))),
        (Kind::One, _) => Ok(Some(Said::Values(vec![read(value, one)?]))),
    }
}

/// Returns a value as it is on a command line.
fn scalar(value: &DeValue<'_>) -> Option<OsString> {
    match value {
        DeValue::String(text) => Some(text.as_ref().into()),
        DeValue::Integer(number) if number.radix() == 10 => Some(number.as_str().into()),
        _ => None,
    }
}
