//! The file of saved hosts: for each a table `[host.NAME]`, whose keys are those of a client.

use std::path::{Path, PathBuf};

use toml::de::{DeTable, DeValue};

use super::fault::Fault;
use super::keys::Keys;
use super::places::Places;
use super::read::{self, Document, FileError, Found};
use super::setting::Setting;
use crate::cli::saving::SavedName;

/// The table that has those of all hosts.
const TABLE: &str = "host";

/// The saved hosts.
pub(in crate::cli) struct SavedHosts {
    path: PathBuf,
    /// What the file is called in messages.
    name: String,
    text: String,
    hosts: Vec<SavedHost>,
    /// Others than its owner can read it.
    is_shared: bool,
}

/// One of them.
#[derive(Clone)]
pub(in crate::cli) struct SavedHost {
    /// Its name.
    pub(in crate::cli) name: String,
    /// Where that is in the file, in bytes.
    at: usize,
    /// What is said of it.
    pub(in crate::cli) settings: Vec<Setting>,
}

impl SavedHosts {
    /// Reads a file. One that is not there has no hosts.
    ///
    /// # Errors
    /// [`FileError`], naming the file, and the place in it where there is one.
    pub(in crate::cli) fn read(path: &Path) -> Result<SavedHosts, FileError> {
        let name = path.display().to_string();
        if !path.exists() {
            return Ok(SavedHosts {
                path: path.into(),
                name,
                text: String::new(),
                hosts: Vec::new(),
                is_shared: false,
            });
        }
        let (text, is_shared) = read::load(path, &name)?;
        let hosts = hosts(&text, path).map_err(|(at, fault)| FileError::at(&name, &text, at, fault))?;
        Ok(SavedHosts { path: path.into(), name, text, hosts, is_shared })
    }

    /// Returns where the file is.
    pub(in crate::cli) fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the hosts in the order of the file.
    pub(in crate::cli) fn iter(&self) -> impl Iterator<Item = &SavedHost> {
        self.hosts.iter()
    }

    /// Returns what is saved under a name as if it were a file of its own.
    pub(in crate::cli) fn find(&self, name: &str) -> Option<Document> {
        let host = self.hosts.iter().find(|host| host.name == name)?;
        let (keys, settings) = (Keys::of("client"), host.settings.clone());
        let found = Found { head: host.at, keys, settings, invitations: Vec::new() };
        Some(Document::new(self.name.clone(), self.text.clone(), found, self.is_shared))
    }

    /// Returns the text of the file with a host's table in the place of one of the same name.
    ///
    /// # Errors
    /// A sentence: the file is written in another way than tables below each other.
    pub(in crate::cli) fn with(&self, name: &str, table: &str) -> Result<String, String> {
        let mut text = self.cut(name);
        if !text.is_empty() {
            text.truncate(text.trim_end().len());
            text.push_str("\n\n");
        }
        text.push_str(table);
        self.checked(text, name, true)
    }

    /// Returns the text of the file without a host.
    ///
    /// # Errors
    /// A sentence, as in [`SavedHosts::with`].
    pub(in crate::cli) fn without(&self, name: &str) -> Result<String, String> {
        self.checked(self.cut(name), name, false)
    }

    /// Cuts out a host's lines, from its table's head to the next one's. Comments right above that stay.
    fn cut(&self, name: &str) -> String {
        let Some(host) = self.hosts.iter().find(|host| host.name == name) else { return self.text.clone() };
        let line = |at: usize| self.text[..at].rfind('\n').map_or(0, |end| end + 1);
        let start = line(host.at);
        let next = self.hosts.iter().map(|host| host.at).filter(|at| *at > host.at).min();
        let mut end = next.map_or(self.text.len(), line);
        while next.is_some() && end > start {
            let above = line(end - 1);
            if above <= start || !self.text[above..end].starts_with('#') {
                break;
            }
            end = above;
        }
        [&self.text[..start], &self.text[end..]].concat()
    }

    /// Checks that a text says of all other hosts what it said before.
    fn checked(&self, text: String, name: &str, has_name: bool) -> Result<String, String> {
        let others = |hosts: &[SavedHost]| {
            let others = hosts.iter().filter(|host| host.name != name);
            let mut others: Vec<_> = others.map(|host| (host.name.clone(), options(&host.settings))).collect();
            others.sort();
            others
        };
        let is_right = |hosts: &Vec<SavedHost>| {
            others(hosts) == others(&self.hosts) && hosts.iter().any(|host| host.name == name) == has_name
        };
        match hosts(&text, &self.path).ok().filter(is_right) {
            Some(_) => Ok(text),
            None => Err(format!("{} is written in a way that only you can change: do that by hand", self.name)),
        }
    }
}

fn options(settings: &[Setting]) -> Vec<std::ffi::OsString> {
    let mut options: Vec<_> = settings.iter().flat_map(Setting::options).collect();
    options.sort();
    options
}

fn hosts(text: &str, path: &Path) -> Result<Vec<SavedHost>, (usize, Fault)> {
    let table = read::table(text)?;
    let folder = path.parent().map(PathBuf::from).unwrap_or_default();
    let places = Places { folder: &folder, credentials: None };
    let mut hosts = Vec::new();
    for (key, value) in table.get_ref() {
        let at = key.span().start;
        match (key.get_ref().as_ref(), value.get_ref()) {
            (TABLE, DeValue::Table(table)) => {
                for (name, value) in table {
                    hosts.push(host((name.get_ref(), name.span().start), value.get_ref(), places)?);
                }
            }
            _ => return Err((at, Fault::outside_hosts(key.get_ref()))),
        }
    }
    hosts.sort_by_key(|host| host.at);
    Ok(hosts)
}

fn host((name, at): (&str, usize), value: &DeValue<'_>, places: Places<'_>) -> Result<SavedHost, (usize, Fault)> {
    let DeValue::Table(table) = value else { return Err((at, Fault::outside_hosts(name))) };
    if SavedName::parse(name).is_none() {
        return Err((at, Fault::host_name(name)));
    }
    let settings = settings(table, places)?;
    if !settings.iter().any(|setting| setting.key == "url") {
        return Err((at, Fault::without_url(name)));
    }
    Ok(SavedHost { name: name.to_owned(), at, settings })
}

fn settings(table: &DeTable<'_>, places: Places<'_>) -> Result<Vec<Setting>, (usize, Fault)> {
    read::settings(&Keys::of("client"), table, places)
}

#[cfg(test)]
#[path = "saved_tests.rs"]
mod tests;
