//! A file in place of flags. Nothing is described twice: what a file says becomes options of its role, which clap reads
//! as it reads a command line. They are never arguments of a process.

mod fault;
mod invitations;
mod keys;
mod places;
mod read;
mod saved;
mod setting;
mod wording;
mod write;

#[cfg(test)]
pub(super) use keys::Kind;
pub(super) use keys::{Keys, ROLES};
pub(super) use places::Places;
pub(super) use read::Document;
pub(super) use saved::{SavedHost, SavedHosts};
#[cfg(any(unix, test))]
pub(super) use setting::Value;
pub(super) use setting::{Said, Setting};
pub(super) use write::{table, toml};

use super::manual::Table;
use super::{parse, secret_file, secrets};

/// Returns the tables that a file can have, for the manual.
pub(super) fn tables() -> Vec<Table> {
    ROLES.iter().map(|role| Keys::of(role).table()).collect()
}

impl Document {
    /// Tells whether it asks for JSON.
    pub(super) fn wants_json(&self) -> bool {
        let is_json = |setting: &Setting| match setting.key.as_str() {
            "json" => true,
            "log-format" => setting.values().iter().any(|value| value.text == "json"),
            _ => false,
        };
        self.settings.iter().any(is_json)
    }

    /// Returns what the command line says and, where that and the environment say nothing, what the file says.
    /// `environment` tells whether there is a variable that gives this flag's secret.
    pub(super) fn join(&self, line: Vec<Setting>, environment: impl Fn(&str) -> bool) -> Vec<Setting> {
        let says = |key: &str| line.iter().any(|setting| setting.key == key);
        let is_replaced = |key: &str| line.iter().any(|setting| self.keys.excludes(&setting.key, key));
        let has_variable = |key: &str| environment(key.strip_suffix("-file").unwrap_or(key));
        let has_pin = says("pin") || says("pin-file") || environment("pin");
        let pins_url = line.iter().any(|setting| setting.key == "url" && setting.values().iter().any(has_secret));
        let is_said =
            |key: &str| is_replaced(key) || has_variable(key) || (pins_url && matches!(key, "pin" | "pin-file"));
        let mut joined: Vec<Setting> = self.settings.iter().filter(|setting| !is_said(&setting.key)).cloned().collect();
        if has_pin {
            joined.iter_mut().filter(|setting| setting.key == "url").for_each(forget_pin);
        }
        joined.extend(line);
        joined
    }

    /// Says what its owner should know: that others can read its secrets.
    pub(super) fn remark(&self) -> Option<String> {
        let pin = self.has_invitation_pin().then_some("the pin");
        let secret = self.settings.iter().find_map(secret).or(pin)?;
        self.is_shared.then(|| secret_file::remark(secret, self.name()))
    }
}

/// Returns what the secret is called that a setting holds.
fn secret(setting: &Setting) -> Option<&'static str> {
    match setting.key.as_str() {
        "url" => setting.values().iter().any(has_secret).then_some("the pin"),
        "directory" => setting.values().iter().any(has_password).then_some("the password of the directory"),
        key => secrets::name(key),
    }
}

/// Tells whether the URL of a directory has a password in it.
fn has_password(url: &setting::Value) -> bool {
    url.text.to_str().is_some_and(|text| text.contains('@'))
}

/// Tells whether a URL has the pin in it.
fn has_secret(url: &setting::Value) -> bool {
    url.text.to_str().is_some_and(|text| matches!(parse::host_url(text), Ok((_, Some(_)))))
}

/// Takes the pin out of a URL.
pub(super) fn forget_pin(setting: &mut Setting) {
    let Said::Values(values) = &mut setting.said else { return };
    for value in values {
        if let Some(Ok((url, Some(_)))) = value.text.to_str().map(parse::host_url) {
            value.text = url.to_string().into();
        }
    }
}

/// Fixes the paths of a command line, for a file that may be somewhere else.
pub(super) fn fixed(keys: &Keys, settings: Vec<Setting>, places: Places<'_>) -> Vec<Setting> {
    let fix = |mut setting: Setting| {
        if let (Some(key), Said::Values(values)) = (keys.find(&setting.key), &mut setting.said) {
            values.iter_mut().for_each(|value| value.text = places.fix(key, std::mem::take(&mut value.text)));
        }
        setting
    };
    settings.into_iter().map(fix).collect()
}

#[cfg(test)]
#[path = "file_tests.rs"]
mod tests;
