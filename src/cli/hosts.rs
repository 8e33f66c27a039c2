//! Hosts that are saved under a name: `pinhole client --save NAME`, `pinhole client NAME`, `pinhole hosts`.

use std::fs::{self, DirBuilder};
use std::path::{Path, PathBuf};

use clap::ArgMatches;
use serde_json::json;

use super::failure::UsageError;
use super::file::{self, Document, Keys, SavedHost, SavedHosts, Setting};
use super::parse::{self, HostUrl};
use super::private_file;
use super::saving::{HostsArguments, SavedName};
use crate::status::text::{MAX_MESSAGE, sanitize};

/// Who may read the file: it has pins.
const MODE: u32 = 0o600;

/// A new text of the file of saved hosts.
#[derive(Clone)]
pub struct Change {
    path: PathBuf,
    text: String,
    done: String,
}

/// Hides the text, which may have pins.
impl std::fmt::Debug for Change {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Change").field("path", &self.path).finish_non_exhaustive()
    }
}

impl Change {
    /// Plans to save a host.
    ///
    /// # Errors
    /// The file cannot be read, or cannot be changed by this.
    pub(super) fn save(
        config: Option<&Path>,
        name: &SavedName,
        keys: &Keys,
        settings: &[Setting],
    ) -> Result<Change, UsageError> {
        let (saved, name) = (read(config)?, name.as_str());
        let table = file::table(keys, settings, &format!("host.{name}"))?;
        let text = saved.with(name, &table).map_err(UsageError::File)?;
        let is_new = saved.iter().all(|host| host.name != name);
        let replaced = if is_new { "" } else { ", in place of what was saved under that name" };
        let file = saved.path().display();
        let done = format!("{name} is saved in {file}{replaced}. To join it: pinhole client {name}\n");
        Ok(Change { path: saved.path().to_owned(), text, done })
    }

    /// Says that no pin was saved, if so.
    pub(super) fn asking(mut self, is_pin_missing: bool) -> Change {
        if is_pin_missing {
            self.done.push_str("No pin was given, so it is asked for each time.\n");
        }
        self
    }

    fn remove(config: Option<&Path>, name: &str) -> Result<Change, UsageError> {
        let saved = read(config)?;
        let path = saved.path().to_owned();
        if !saved.iter().any(|host| host.name == name) {
            let file = path.display();
            return Err(UsageError::File(format!("{file}: there is no {name}; pinhole hosts says which there are")));
        }
        let text = saved.without(name).map_err(UsageError::File)?;
        Ok(Change { path, text, done: format!("{name} is removed.\n") })
    }

    /// Writes the file. Returns what to say.
    ///
    /// # Errors
    /// A sentence: the folder or the file cannot be written.
    pub(super) fn write(self) -> Result<String, String> {
        // A link, as people who keep their settings elsewhere have it, stays one.
        let path = fs::canonicalize(&self.path).unwrap_or(self.path);
        let mut folder = DirBuilder::new();
        folder.recursive(true);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut folder, 0o700);
        let made = path.parent().map_or(Ok(()), |parent| folder.create(parent));
        let written = made.and_then(|()| private_file::put(&path, self.text.as_bytes(), MODE, None));
        written.map_err(|error| format!("{} cannot be written: {error}; nothing was changed", path.display()))?;
        Ok(self.done)
    }
}

/// What `pinhole hosts` does.
pub(super) enum Asked {
    /// It says this.
    List(String),
    /// It changes the file.
    Removal(Change),
}

/// Returns what `pinhole hosts` does.
pub(super) fn asked(arguments: &HostsArguments, config: Option<&Path>) -> Result<Asked, UsageError> {
    match &arguments.remove {
        Some(name) => Ok(Asked::Removal(Change::remove(config, name.as_str())?)),
        None => Ok(Asked::List(list(&read(config)?, arguments.json))),
    }
}

/// A saved host that a command line names.
pub(super) struct Named {
    /// What is saved.
    pub(super) document: Document,
    /// Its name, if the pin is the saved one.
    pub(super) keeper: Option<String>,
}

/// Returns the host that is saved under the name that a client was given in place of a URL. `has_pin` says that the
/// environment gives a pin.
///
/// # Errors
/// The file cannot be read, or has no such name, and nothing says that the word is the name of a machine.
pub(super) fn named(matches: &ArgMatches, config: Option<&Path>, has_pin: bool) -> Result<Option<Named>, UsageError> {
    let given = matches.get_raw("url").and_then(|mut values| values.next()).and_then(|text| text.to_str());
    let Some(name) = given.filter(|given| SavedName::parse(given).is_some()) else { return Ok(None) };
    let is_given = |id| matches!(matches.try_get_raw(id), Ok(Some(_)));
    let has_pin = has_pin || is_given("pin") || is_given("pin_file");
    let saved = config.map(|_| read(config)).transpose()?;
    if let Some(saved) = &saved
        && let Some(document) = saved.find(name)
    {
        let is_kept = !has_pin && saved.iter().any(|host| host.name == name && keeps_pin(host));
        return Ok(Some(Named { document, keeper: is_kept.then(|| name.to_owned()) }));
    }
    if has_pin || name.eq_ignore_ascii_case("localhost") {
        return Ok(None);
    }
    let names: Vec<&str> = saved.iter().flat_map(SavedHosts::iter).map(|host| host.name.as_str()).collect();
    let names = match names[..] {
        [] => "none is".to_owned(),
        _ => format!("saved are: {}", sanitize(&names.join(", "), MAX_MESSAGE)),
    };
    let next = format!("give a URL, or save one with pinhole client --save {name} URL");
    Err(UsageError::Unsaved(format!("no host {name} is saved ({names}); {next}")))
}

/// Tells whether a host is saved with its pin.
fn keeps_pin(host: &SavedHost) -> bool {
    host.settings.iter().any(|setting| setting.key == "pin" || setting.key == "pin-file")
        || url(host).is_some_and(|(_, pin)| pin.is_some())
}

/// Returns the names of the saved hosts and where they are, to choose from. A file that cannot be read has none.
pub(super) fn saved(config: Option<&Path>) -> Vec<(SavedName, String)> {
    let Ok(saved) = read(config) else { return Vec::new() };
    let hosts = saved.iter().filter_map(|host| {
        let url = url(host).map_or_else(String::new, |(url, _)| sanitize(&url.to_string(), MAX_MESSAGE));
        Some((SavedName::parse(&host.name)?, url))
    });
    hosts.collect()
}

/// Returns the URL of a saved host.
fn url(host: &SavedHost) -> Option<HostUrl> {
    let mut values = host.settings.iter().filter(|setting| setting.key == "url").flat_map(|url| url.values());
    parse::host_url(values.next()?.text.to_str()?).ok()
}

/// Returns the names of the saved hosts, one a line; none if they cannot be read.
pub(super) fn names(config: Option<&Path>) -> String {
    read(config).map(|saved| saved.iter().map(|host| format!("{}\n", host.name)).collect()).unwrap_or_default()
}

fn read(config: Option<&Path>) -> Result<SavedHosts, UsageError> {
    let missing = || UsageError::File("HOME names no folder, and saved hosts are below it; set HOME".to_owned());
    let path = config.ok_or_else(missing)?.join("pinhole/hosts.toml");
    Ok(SavedHosts::read(&path)?)
}

/// Lists names and URLs, never a pin.
fn list(saved: &SavedHosts, is_json: bool) -> String {
    let rows: Vec<(&str, Option<String>, bool)> = saved
        .iter()
        .map(|host| {
            let url = url(host);
            (host.name.as_str(), url.map(|(url, _)| url.to_string()), keeps_pin(host))
        })
        .collect();
    if is_json {
        let line = |(name, url, has_pin): &(&str, Option<String>, bool)| {
            format!("{}\n", json!({ "event": "saved-host", "name": name, "url": url, "has_pin": has_pin }))
        };
        return rows.iter().map(line).collect();
    }
    if rows.is_empty() {
        return "No host is saved. pinhole client --save NAME URL saves one.\n".to_owned();
    }
    let width = rows.iter().map(|(name, ..)| name.len()).max().unwrap_or_default();
    let line = |(name, url, has_pin): &(&str, Option<String>, bool)| {
        let url = url.as_deref().map_or_else(|| "its url is none".to_owned(), |url| sanitize(url, MAX_MESSAGE));
        format!("{name:<width$}  {url}{}\n", if *has_pin { "" } else { " (asks for the pin)" })
    };
    rows.iter().map(line).collect()
}
