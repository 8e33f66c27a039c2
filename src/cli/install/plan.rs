//! What an installation writes: decided before anything is written.

use std::ffi::OsString;
use std::fmt;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Component, Path, PathBuf};

use rand::Rng as _;

use super::changes::Readers;
use super::layout::{Layout, hidden};
use crate::cli::failure::UsageError;
use crate::cli::file::{self, Keys, Said, Setting, Value};
use crate::cli::secret_file::{self, Secret};
use crate::cli::secrets::{self, Names};
use crate::cli::unit::InstallArguments;
use crate::config::{ClientConfig, HostConfig, Registration};

/// Digits of a pin that is chosen here. It is not replaced after wrong guesses, so it has twice as many as others.
const PIN_DIGITS: u32 = 12;

/// Longest secret that is read back from a file, in bytes. A test holds it to what `secret_file` reads.
const MAX_SECRET: usize = 1024;

/// Settings that need somebody at a terminal.
const ATTENDED: [(&str, &str); 2] = [
    ("ask", "--ask asks at a terminal, and a unit has none; leave it out"),
    ("pipe", "-W joins stdin and stdout, and a unit has none that lead anywhere; leave it out"),
];

/// Paths that lead to something else in each process.
const PASSING: [&str; 4] = ["/dev/fd", "/dev/stdin", "/proc/self", "/proc/thread-self"];

/// A command line that is to become a unit.
pub(in crate::cli) struct Wanted {
    arguments: InstallArguments,
    layout: Layout,
    keys: Keys,
    /// What it says, with paths that count from nowhere.
    settings: Vec<Setting>,
    /// The secrets that it or the environment gives, by their keys.
    secrets: Vec<(Names, String)>,
}

/// What the command line means.
#[derive(Debug, Clone, Copy)]
pub(in crate::cli) enum Role<'a> {
    Host(&'a HostConfig),
    Client(&'a ClientConfig),
    Server,
}

/// What is to be written.
#[derive(Debug, Clone)]
pub struct Plan {
    pub(super) name: String,
    pub(super) layout: Layout,
    pub(super) force: bool,
    pub(super) files: Vec<NewFile>,
    /// Lines for this unit beyond that for all.
    pub(super) unit: Vec<String>,
    /// The pin that was chosen because none was given.
    pub(super) chosen_pin: Option<String>,
    /// What is to be warned of.
    pub(in crate::cli) remarks: Vec<String>,
}

/// A file. Shows not what is in it, which may be a secret.
#[derive(Clone)]
pub(super) struct NewFile {
    pub(super) path: PathBuf,
    /// What it is, for people.
    pub(super) what: String,
    pub(super) text: String,
    pub(super) readers: Readers,
}

impl fmt::Debug for NewFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NewFile").field("path", &self.path).finish_non_exhaustive()
    }
}

impl Wanted {
    /// Takes what a command line says, and reads its files of secrets. `environment` has those of variables, by key.
    ///
    /// # Errors
    /// A unit could not do that, or a file gives no secret.
    pub(in crate::cli) fn new(
        arguments: InstallArguments,
        keys: Keys,
        settings: Vec<Setting>,
        environment: impl Fn(&str) -> Option<OsString>,
    ) -> Result<Wanted, UsageError> {
        let layout = Layout::new(arguments.user, arguments.root.clone()).map_err(UsageError::Install)?;
        if let Some((_, why)) = ATTENDED.iter().find(|(key, _)| find(&settings, key).is_some()) {
            return Err(UsageError::Install((*why).to_owned()));
        }
        let mut wanted = Wanted { arguments, layout, keys, settings, secrets: Vec::new() };
        wanted.check_files()?;
        for names in secrets::ALL {
            if let Some(text) = wanted.secret(names, &environment)? {
                wanted.secrets.push((names, text));
            }
        }
        Ok(wanted)
    }

    /// Refuses what can be read once only, or by this process alone: a unit reads its files at each start.
    fn check_files(&self) -> Result<(), UsageError> {
        for setting in &self.settings {
            let key = self.keys.find(&setting.key).filter(|key| key.is_file());
            let (Some(key), [Value { text, .. }]) = (key, setting.values()) else { continue };
            let path = Path::new(text);
            if PASSING.iter().any(|folder| path.starts_with(folder))
                || fs::metadata(path).is_ok_and(|found| !found.is_file())
            {
                let (name, shown) = (key.name(), path.display());
                return Err(UsageError::Install(format!(
                    "--{name} {shown}: this is no regular file, and a unit reads it again at each start; write what it \
                     gives into a file, and name that"
                )));
            }
        }
        Ok(())
    }

    /// Returns a secret that is to have a file of its own. A user's unit reads the file that was named.
    fn secret(
        &self,
        names: Names,
        environment: impl Fn(&str) -> Option<OsString>,
    ) -> Result<Option<String>, UsageError> {
        if let Some(text) = find(&self.settings, names.key()).and_then(|setting| setting.values().first()) {
            return Ok(Some(text.text.to_string_lossy().into_owned()));
        }
        if let Some(path) = find(&self.settings, names.file_key()).and_then(|setting| setting.values().first()) {
            let secret = Secret { flag: names.file, name: names.name };
            let read = || secret_file::read(secret, Path::new(&path.text)).map(|(text, _)| text);
            return Ok((!self.layout.user).then(read).transpose()?);
        }
        // Only where it means something.
        let needs = match names.key() {
            "token" => "server",
            "public-auth" => "public",
            "proxy-auth" => "proxy",
            _ => return Ok(None),
        };
        let given = find(&self.settings, needs).and_then(|_| environment(names.key()));
        Ok(given.map(|text| text.to_string_lossy().into_owned()))
    }

    /// Decides what is written.
    ///
    /// # Errors
    /// A unit could not do that.
    pub(in crate::cli) fn plan(mut self, role: Role<'_>) -> Result<Plan, UsageError> {
        let mut remarks = Vec::new();
        let has_own_file = self.layout.user && find(&self.settings, secrets::PIN_NAMES.file_key()).is_some();
        let mut chosen_pin = None;
        let pin = match role {
            Role::Host(config) => {
                remarks.extend(wandering(config));
                let pin = config.pin.as_ref().map(|pin| pin.reveal().to_owned());
                Some(pin.unwrap_or_else(|| chosen_pin.insert(choose_pin()).clone()))
            }
            Role::Client(config) => Some(config.pin.reveal().to_owned()),
            Role::Server => None,
        };
        if let Some(pin) = pin.filter(|_| !has_own_file) {
            self.secrets.retain(|(names, _)| names.key() != secrets::PIN_NAMES.key());
            self.secrets.insert(0, (secrets::PIN_NAMES, pin));
        }
        remarks.extend(self.proxied(role));
        let mut unit = Vec::new();
        if !self.layout.user {
            self.check_sockets()?;
            self.hand_over(&mut unit, &mut remarks)?;
        }
        let mut files = self.keep_secrets(&mut unit)?;
        if find(&self.settings, "header").is_some() && !self.layout.user {
            remarks.push("--header: everybody on this machine can read it in the file of settings".to_owned());
        }
        let text = file::toml(&self.keys, &self.settings)?;
        let readers = if self.layout.user { Readers::Owner } else { Readers::All };
        let path = self.layout.file(self.arguments.name.as_str(), "toml");
        files.insert(0, NewFile { path, what: "its settings".to_owned(), text, readers });
        let InstallArguments { name, force, .. } = self.arguments;
        Ok(Plan { name: name.as_str().to_owned(), layout: self.layout, force, files, unit, chosen_pin, remarks })
    }

    /// Gives each secret a file, and names it in the settings.
    fn keep_secrets(&mut self, unit: &mut Vec<String>) -> Result<Vec<NewFile>, UsageError> {
        let mut files = Vec::new();
        self.settings.iter_mut().filter(|setting| setting.key == "url").for_each(file::forget_pin);
        for (names, text) in std::mem::take(&mut self.secrets) {
            if let Some(why) = lost(&text) {
                let name = names.name;
                return Err(UsageError::Install(format!(
                    "{name} {why}, so the unit would not read it back from the first line of a file; give another one"
                )));
            }
            self.settings.retain(|setting| ![names.key(), names.file_key()].contains(&setting.key.as_str()));
            let path = self.layout.file(self.arguments.name.as_str(), names.key());
            let file = format!("{}.{}", self.arguments.name.as_str(), names.key());
            if !self.layout.user {
                unit.push(format!("LoadCredential={file}:{}", path.display()));
            }
            self.say(names.file_key(), file.into());
            files.push(NewFile {
                path,
                what: names.name.to_owned(),
                text: format!("{text}\n"),
                readers: Readers::Owner,
            });
        }
        Ok(files)
    }

    /// Has systemd hand over the files that the unit cannot read.
    fn hand_over(&mut self, unit: &mut Vec<String>, remarks: &mut Vec<String>) -> Result<(), UsageError> {
        let name = self.arguments.name.as_str();
        let is_secret = |key: &str| secrets::ALL.iter().any(|names| names.file_key() == key);
        let mut handed = Vec::new();
        for setting in &self.settings {
            let key = self.keys.find(&setting.key).filter(|key| key.is_file() && !is_secret(key.name()));
            let (Some(key), [Value { text, .. }]) = (key, setting.values()) else { continue };
            let path = PathBuf::from(text);
            let Some(why) = unreadable(&path) else { continue };
            let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-+@".contains(c);
            let shown = path.display();
            if !path.to_str().is_some_and(|text| text.chars().all(is_plain)) {
                let flag = key.name();
                return Err(UsageError::Install(format!(
                    "--{flag} {shown}: {why}, and systemd would not understand this path; copy it to a plain one, for \
                     example below /etc/pinhole"
                )));
            }
            let file = format!("{name}.{}", key.name());
            unit.push(format!("LoadCredential={file}:{shown}"));
            remarks.push(format!(
                "--{} {shown}: {why}, so systemd hands it over when the unit starts; after it has changed, run systemctl \
                 restart pinhole@{name}",
                key.name()
            ));
            handed.push((key.name().to_owned(), file));
        }
        for (key, file) in handed {
            self.settings.retain(|setting| setting.key != key);
            self.say(&key, file.into());
        }
        Ok(())
    }

    /// Refuses sockets that the unit of the system does not see, or cannot make.
    fn check_sockets(&self) -> Result<(), UsageError> {
        let own = Path::new("/run/pinhole").join(self.arguments.name.as_str());
        let refuse = |path: &Path, why: String| {
            Err(UsageError::Install(format!("unix:{}: {why}, or give --user before the role", path.display())))
        };
        for setting in &self.settings {
            for value in setting.values() {
                for (path, is_made) in sockets(&setting.key, &value.text.to_string_lossy()) {
                    // Where it leads may be anywhere, so no folder above it says anything.
                    if path.components().any(|part| part == Component::ParentDir) {
                        return refuse(&path, "a unit of the system takes no path with ..; name it without".to_owned());
                    }
                    if is_made && !path.starts_with(&own) {
                        let why = format!("the unit can make sockets below {} only; name one there", own.display());
                        return refuse(&path, why);
                    }
                    if let Some(folder) = hidden(&path) {
                        let why = format!(
                            "a unit of the system sees nothing below {folder}; have the service listen in /run"
                        );
                        return refuse(&path, why);
                    }
                }
            }
        }
        Ok(())
    }

    /// Says that the variables of proxies stay here.
    fn proxied(&self, role: Role<'_>) -> Option<String> {
        let is_proxied = match role {
            Role::Host(config) => {
                config.server.iter().flat_map(Registration::servers).any(|(_, proxy)| proxy.is_some())
            }
            Role::Client(config) => config.urls().any(|(_, proxy)| proxy.is_some()),
            Role::Server => false,
        };
        let edit = format!("{} edit {}", self.layout.systemctl(), self.layout.unit(self.arguments.name.as_str()));
        is_proxied.then(|| {
            format!("the unit does not know the HTTP proxy of this shell; {edit}, and write Environment=HTTPS_PROXY=… below [Service]")
        })
    }

    fn say(&mut self, key: &str, value: OsString) {
        let said = Said::Values(vec![Value { text: value, at: None }]);
        self.settings.push(Setting { key: key.to_owned(), at: None, said });
    }
}

/// Says that a host will not stay where it is.
fn wandering(config: &HostConfig) -> Option<String> {
    let is_wandering = config.server.is_none() && config.listen.is_some_and(|listen| listen.port() == 0);
    is_wandering.then(|| {
        "clients find this host at another port after each start; --listen 5000 keeps it at that one, and --server \
         gives it a lasting name"
            .to_owned()
    })
}

fn find<'a>(settings: &'a [Setting], key: &str) -> Option<&'a Setting> {
    settings.iter().find(|setting| setting.key == key)
}

/// Says why a secret and a line break would not be read back as that secret, if they would not.
fn lost(text: &str) -> Option<String> {
    match text {
        "" => Some("is empty".to_owned()),
        _ if text.contains('\n') => Some("has a line break".to_owned()),
        _ if text.ends_with('\r') => Some("ends with a carriage return".to_owned()),
        _ if text.len() > MAX_SECRET => Some(format!("is longer than {MAX_SECRET} bytes")),
        _ => None,
    }
}

fn choose_pin() -> String {
    let below = 10_u64.pow(PIN_DIGITS);
    format!("{:0width$}", rand::rng().next_u64() % below, width = PIN_DIGITS as usize)
}

/// Says why a unit of the system cannot read a file; nothing of one that is not there.
fn unreadable(path: &Path) -> Option<String> {
    let has = |path: &Path, bit| fs::metadata(path).is_ok_and(|found| found.permissions().mode() & bit != 0);
    if !path.exists() {
        return None;
    }
    if let Some(folder) = hidden(path) {
        return Some(format!("the unit sees nothing below {folder}"));
    }
    let is_reached = path.ancestors().skip(1).all(|folder| has(folder, 0o001));
    (!is_reached || !has(path, 0o004)).then(|| "others than its owner cannot read it".to_owned())
}

/// Returns the sockets of this machine in a value, and whether pinhole makes them.
fn sockets(key: &str, text: &str) -> Vec<(PathBuf, bool)> {
    let marker = "unix:/";
    let found = text.match_indices(marker).filter_map(|(at, _)| {
        let is_made = match (key, at) {
            ("services" | "allow", _) => false,
            ("locals" | "allow-reverse", _) | ("dial", 0) => true,
            ("reverse", 1..) => false,
            // The other side's.
            _ => return None,
        };
        let path = &text[at + marker.len() - 1..];
        Some((PathBuf::from(path.split(":unix:").next().unwrap_or(path)), is_made))
    });
    let cut = |(path, is_made): (PathBuf, bool)| match (key, path.to_str()) {
        // What is dialled stands behind it.
        ("dial", Some(text)) => (text.split(':').next().unwrap_or(text).into(), is_made),
        _ => (path, is_made),
    };
    found.map(cut).collect()
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
