//! The `[[invitation]]` tables of a file.

use std::path::PathBuf;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::super::failure::UsageError;
use super::super::problem::WrongValue;
use super::super::secret_file::{self, Secret};
use super::super::{expiry, parse};
use super::fault::{Fault, MAX_SHOWN, kind};
use super::places::Places;
use crate::config::{AccessList, HostConfig, Invitation, ReverseAccess};
use crate::status::text::sanitize;

/// The name of the tables.
pub(super) const TABLE: &str = "invitation";

/// The keys of a table, for the manual, with what they take.
pub(in crate::cli) const KEYS: [&str; 10] =
    ["label", "id", "pin", "pin-file", "services", "allow", "reverse", "expires", "max-sessions", "once"];

/// An invitation of a file, without the secret that is in another.
pub(super) struct Given {
    /// Where it is in the file, in bytes.
    pub(super) at: usize,
    invitation: Invitation,
    pin_file: Option<PathBuf>,
}

impl Given {
    /// Tells whether the file has the pin in it.
    pub(super) fn has_pin(&self) -> bool {
        self.invitation.pin.is_some()
    }

    /// Returns the invitation. What its owner should know goes to `remarks`.
    pub(super) fn read(&self, remarks: &mut Vec<String>) -> Result<Invitation, UsageError> {
        let mut invitation = self.invitation.clone();
        if let Some(path) = &self.pin_file {
            let (text, remark) = secret_file::read(Secret { flag: "pin-file", name: "the pin" }, path)?;
            remarks.extend(remark);
            invitation.pin = Some(parse::pin(&text).map_err(|wrong| wrong.of("pin-file"))?);
        }
        Ok(invitation)
    }
}

/// Checks the invitations of a host that came from a file, each by itself. Returns the first that is wrong, and why.
pub(super) fn check(config: &HostConfig) -> Result<(), (usize, String)> {
    for (number, invitation) in config.invitations.iter().enumerate() {
        invitation.validate(config).map_err(|error| (number, error.to_string()))?;
    }
    let last = config.invitations.len().saturating_sub(1);
    config.validate_invitations().map_err(|error| (last, error.to_string()))
}

/// Reads the tables.
pub(super) fn read(value: &Spanned<DeValue<'_>>, places: Places<'_>) -> Result<Vec<Given>, (usize, Fault)> {
    let at = value.span().start;
    let DeValue::Array(tables) = value.get_ref() else {
        return Err((at, Fault::NoTables(TABLE, kind(value.get_ref()))));
    };
    let table = |value: &Spanned<DeValue<'_>>| match value.get_ref() {
        DeValue::Table(table) => one(value.span().start, table, places),
        other => Err((value.span().start, Fault::NoTables(TABLE, kind(other)))),
    };
    tables.iter().map(table).collect()
}

fn one(at: usize, table: &DeTable<'_>, places: Places<'_>) -> Result<Given, (usize, Fault)> {
    let mut given = Given { at, invitation: Invitation::new(""), pin_file: None };
    let mut keys: Vec<_> = table.iter().collect();
    keys.sort_by_key(|(name, _)| name.span().start);
    for (name, value) in keys {
        set(&mut given, Entry { key: name.get_ref(), at: name.span().start, value }, places)?;
    }
    if given.invitation.label.is_empty() {
        return Err((
            at,
            Fault::Invitation("an invitation needs a label; add label = \"guests\" or the like".to_owned()),
        ));
    }
    if given.has_pin() && given.pin_file.is_some() {
        let sentence = "pin and pin-file both say what the pin is; leave one of them out";
        return Err((at, Fault::Invitation(sentence.to_owned())));
    }
    Ok(given)
}

/// A key of a table, and its value.
struct Entry<'a> {
    key: &'a str,
    at: usize,
    value: &'a Spanned<DeValue<'a>>,
}

fn set(given: &mut Given, entry: Entry<'_>, places: Places<'_>) -> Result<(), (usize, Fault)> {
    let invitation = &mut given.invitation;
    match entry.key {
        "label" => invitation.label = entry.text()?.to_owned(),
        "id" => invitation.id = Some(entry.parsed(parse::invitation_id)?),
        "pin" => invitation.pin = Some(entry.parsed(parse::pin)?),
        "pin-file" => given.pin_file = Some(places.file(entry.text()?.as_ref())),
        "services" => invitation.services = entry.each(|text| Ok(text.to_owned()))?,
        "allow" => invitation.allow = AccessList::new(entry.each(parse::rule)?),
        "reverse" => invitation.reverse = ReverseAccess::new(entry.each(parse::reverse_rule)?),
        "expires" => {
            invitation.expires = Some(match entry.value.get_ref() {
                DeValue::Datetime(moment) => entry.checked(expiry::expiry(&moment.to_string()))?,
                _ => entry.parsed(expiry::expiry)?,
            });
        }
        "max-sessions" => invitation.max_sessions = Some(entry.parsed(parse::max_sessions)?),
        "once" => match entry.value.get_ref() {
            DeValue::Boolean(once) => invitation.once = *once,
            _ => return Err(entry.wrong_type("true or false", entry.value)),
        },
        other => {
            let sentence =
                format!("there is no {} in [[{TABLE}]]; its keys are {}", sanitize(other, MAX_SHOWN), KEYS.join(", "));
            return Err((entry.at, Fault::Invitation(sentence)));
        }
    }
    Ok(())
}

impl Entry<'_> {
    fn text(&self) -> Result<&str, (usize, Fault)> {
        scalar(self.value).ok_or_else(|| self.wrong_type("a text or a whole number", self.value))
    }

    fn parsed<T>(&self, parse: impl Fn(&str) -> Result<T, WrongValue>) -> Result<T, (usize, Fault)> {
        self.checked(parse(self.text()?))
    }

    /// Parses each of a list; one value may stand without brackets.
    fn each<T>(&self, parse: impl Fn(&str) -> Result<T, WrongValue>) -> Result<Vec<T>, (usize, Fault)> {
        let one = |value: &Spanned<DeValue<'_>>| {
            let text = scalar(value).ok_or_else(|| self.wrong_type("a list of texts or whole numbers", value))?;
            parse(text).map_err(|wrong| (value.span().start, self.fault(wrong)))
        };
        match self.value.get_ref() {
            DeValue::Array(values) => values.iter().map(one).collect(),
            _ => Ok(vec![one(self.value)?]),
        }
    }

    fn checked<T>(&self, parsed: Result<T, WrongValue>) -> Result<T, (usize, Fault)> {
        parsed.map_err(|wrong| (self.value.span().start, self.fault(wrong)))
    }

    fn fault(&self, wrong: WrongValue) -> Fault {
        Fault::Invitation(wrong.of(self.key.to_owned()).to_string())
    }

    fn wrong_type(&self, wanted: &'static str, value: &Spanned<DeValue<'_>>) -> (usize, Fault) {
        let fault = Fault::WrongType { key: self.key.to_owned(), wanted, found: kind(value.get_ref()) };
        (value.span().start, fault)
    }
}

fn scalar<'a>(value: &'a Spanned<DeValue<'_>>) -> Option<&'a str> {
    match value.get_ref() {
        DeValue::String(text) => Some(text.as_ref()),
        DeValue::Integer(number) if number.radix() == 10 => Some(number.as_str()),
        _ => None,
    }
}

#[cfg(test)]
#[path = "invitations_tests.rs"]
mod tests;
