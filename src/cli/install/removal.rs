//! The removal of what an installation made, and of nothing else.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use super::layout::{Layout, MARK};
use super::receipt::Receipt;
use super::systemctl::Systemctl;
use crate::cli::unit::UninstallArguments;

/// Removes a unit. Returns what was done, for people.
///
/// # Errors
/// A sentence: there is no such unit, or what is left of it.
pub(in crate::cli) fn uninstall(arguments: &UninstallArguments) -> Result<String, String> {
    let UninstallArguments { name, user, root } = arguments;
    let name = name.as_str();
    let layout = Layout::new(*user, root.clone())?;
    let path = Receipt::path(&layout, name);
    let receipt = match fs::read_to_string(layout.at(&path)) {
        Ok(text) => Receipt::parse(&text),
        Err(error) if error.kind() == ErrorKind::NotFound => return Err(unknown(&layout, name)),
        Err(error) => return Err(format!("{} cannot be read: {error}", path.display())),
    };
    let unit = layout.unit(name);
    let systemctl = Systemctl::find(&layout);
    if let Some(systemctl) = &systemctl
        && let Err(failure) = systemctl.run(&["disable", "--now", "--quiet", &unit])
        // Of a unit that is gone already, there is nothing to disable.
        && (systemctl.says(&["is-enabled", "--quiet", &unit]) || systemctl.says(&["is-active", "--quiet", &unit]))
    {
        let root = if *user { "" } else { "; without root, put sudo in front" };
        return Err(format!("{failure}; nothing was removed{root}"));
    }
    let mut removal = Removal { layout: &layout, removed: Vec::new(), left: Vec::new() };
    for file in receipt.made.iter().filter(|path| Receipt::may_be_file(&layout, name, path)) {
        removal.file(file);
    }
    // The receipt last, so that what fails can be tried again.
    if removal.left.is_empty() {
        removal.file(&path);
        removal.folder(&layout.drop_ins(name));
        if !is_needed(&layout) {
            removal.file(&layout.template());
        }
        receipt.made.iter().rev().for_each(|folder| removal.folder(folder));
    }
    if let Some(systemctl) = &systemctl {
        systemctl.says(&["daemon-reload"]);
        systemctl.says(&["reset-failed", &unit]);
    }
    let Removal { removed, left, .. } = removal;
    if !left.is_empty() {
        return Err(format!("pinhole@{name} runs no more, but these are left: {}", left.join(", ")));
    }
    let mut text = format!("pinhole@{name} is stopped and removed, with\n");
    removed.iter().for_each(|path| text.push_str(&format!("  {}\n", path.display())));
    Ok(text)
}

struct Removal<'a> {
    layout: &'a Layout,
    removed: Vec<PathBuf>,
    /// With the reason of each.
    left: Vec<String>,
}

impl Removal<'_> {
    fn file(&mut self, path: &Path) {
        let removed = fs::remove_file(self.layout.at(path));
        self.note(path, removed);
    }

    /// Removes a folder that is empty; others may have put something into it.
    fn folder(&mut self, path: &Path) {
        let at = self.layout.at(path);
        if fs::symlink_metadata(&at).is_ok_and(|found| found.is_dir()) && fs::remove_dir(&at).is_ok() {
            self.removed.push(path.to_owned());
        }
    }

    fn note(&mut self, path: &Path, removed: io::Result<()>) {
        match removed {
            Ok(()) => self.removed.push(path.to_owned()),
            // Somebody else removed it.
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => self.left.push(format!("{} ({error})", path.display())),
        }
    }
}

/// Says which names there are.
fn unknown(layout: &Layout, name: &str) -> String {
    let other = Layout::new(!layout.user, None).ok();
    let is_other = other.is_some_and(|other| layout.at(&Receipt::path(&other, name)).exists());
    let path = Receipt::path(layout, name);
    let hint = match (is_other, layout.user, &installed(layout)[..]) {
        (true, true, _) => "the system has one of that name: leave --user out".to_owned(),
        (true, false, _) => "you have one of that name: give --user".to_owned(),
        (false, _, []) => "it has installed none".to_owned(),
        (false, _, names) => format!("there is {}", names.join(", ")),
    };
    format!("pinhole install has made no {name}: {} is not there; {hint}", path.display())
}

/// Returns the names of the units that were installed.
fn installed(layout: &Layout) -> Vec<String> {
    let folders = fs::read_dir(layout.at(&layout.units)).into_iter().flatten().flatten();
    let name = |folder: fs::DirEntry| {
        let file = folder.file_name().into_string().ok()?;
        let name = file.strip_prefix("pinhole@")?.strip_suffix(".service.d")?;
        layout.at(&Receipt::path(layout, name)).is_file().then(|| name.to_owned())
    };
    let mut names: Vec<String> = folders.filter_map(name).collect();
    names.sort();
    names
}

/// Tells whether the unit for all is somebody else's, or other units need it.
fn is_needed(layout: &Layout) -> bool {
    let is_ours = fs::read_to_string(layout.at(&layout.template())).is_ok_and(|text| text.starts_with(MARK));
    let is_enabled = |folder: &str| {
        let units = fs::read_dir(layout.at(&layout.units.join(folder))).into_iter().flatten().flatten();
        units.into_iter().any(|unit| unit.file_name().to_string_lossy().starts_with("pinhole@"))
    };
    !is_ours
        || !installed(layout).is_empty()
        || is_enabled("multi-user.target.wants")
        || is_enabled("default.target.wants")
}
