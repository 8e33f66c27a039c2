//! The installation itself: files, then systemd, and all of it back if something fails.

use std::env;
use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use super::changes::{Changes, Readers};
use super::layout::{Layout, MARK};
use super::plan::Plan;
use super::receipt::Receipt;
use super::systemctl::Systemctl;

/// How far an installation came with systemd: only that is undone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Reached {
    Files,
    Reload,
    Enable,
    Restart,
}

/// Installs a unit, enables and starts it. Returns what was done, for people.
///
/// # Errors
/// What failed, as a sentence. Then everything is as it was before, or the sentence says what is not.
pub(in crate::cli) fn install(plan: &Plan) -> Result<String, String> {
    let Plan { layout, name, .. } = plan;
    let Some(systemctl) = Systemctl::find(layout) else {
        return Err(without_systemd(plan));
    };
    look_first(plan)?;
    // Ctrl-C reaches systemctl as well, which fails then. So what was done is undone.
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        signal_hook::flag::register(signal, Arc::new(AtomicBool::new(false)))
            .map_err(|error| format!("signals cannot be handled: {error}"))?;
    }
    let unit = layout.unit(name);
    let was_enabled = systemctl.says(&["is-enabled", "--quiet", &unit]);
    let was_active = systemctl.says(&["is-active", "--quiet", &unit]);
    let mut changes = Changes::default();
    // Set before each step, because one that fails may have done a part of it.
    let mut reached = Reached::Files;
    let done = write(plan, &mut changes).and_then(|has_template| {
        reached = Reached::Reload;
        systemctl.run(&["daemon-reload"]).map_err(|failure| match layout.user {
            true => format!("{failure}; a unit of yours needs a login of yours, and su or sudo is none"),
            false => failure,
        })?;
        reached = Reached::Enable;
        systemctl.run(&["enable", "--quiet", &unit])?;
        reached = Reached::Restart;
        // It may run already, with the settings of before.
        systemctl.run(&["restart", &unit]).map_err(|failure| match systemctl.last_words(&unit) {
            // A line break would be shown as \n.
            Some(words) => format!("{failure}; its last words: {}", words.lines().collect::<Vec<_>>().join(" | ")),
            None => failure,
        })?;
        Ok(has_template)
    });
    let failure = match done {
        Ok(has_template) => return Ok(told(plan, has_template)),
        Err(failure) => failure,
    };
    if reached >= Reached::Enable && !was_enabled {
        systemctl.says(&["disable", "--quiet", &unit]);
    }
    if reached >= Reached::Restart && !was_active {
        systemctl.says(&["stop", &unit]);
        systemctl.says(&["reset-failed", &unit]);
    }
    let left = changes.undo();
    if reached >= Reached::Reload {
        systemctl.says(&["daemon-reload"]);
    }
    let runs = reached < Reached::Restart || !was_active || systemctl.says(&["restart", &unit]);
    Err(match (&left[..], runs) {
        ([], true) => format!("{failure}; everything is as it was before"),
        ([], false) => format!("{failure}; all files are as they were before, but {unit} does not start again"),
        _ => format!("{failure}; what was written is removed again, except {}", paths(&left)),
    })
}

/// Refuses to write over anything, before anything is written.
fn look_first(plan: &Plan) -> Result<(), String> {
    let Plan { layout, name, .. } = plan;
    let receipt = Receipt::path(layout, name);
    let mut paths = plan.files.iter().map(|file| &file.path).chain([&receipt]);
    let is_there = |path: &&PathBuf| fs::symlink_metadata(layout.at(path)).is_ok();
    match paths.find(is_there) {
        Some(path) if !plan.force => {
            let path = path.display();
            Err(format!("{path} is there already; give another name, or --force before the role to replace it"))
        }
        _ => Ok(()),
    }
}

/// Writes every file. Returns whether others bring the unit for all.
fn write(plan: &Plan, changes: &mut Changes) -> Result<bool, String> {
    let Plan { layout, name, .. } = plan;
    let mut made = Vec::new();
    let folder = |changes: &mut Changes, path: &Path, made: &mut Vec<PathBuf>| {
        let mode = if layout.user { 0o700 } else { 0o755 };
        let new = changes.folder(&layout.at(path), mode).map_err(|error| failed(layout, path, &error))?;
        made.extend(path.ancestors().take(new.len()).map(Path::to_path_buf).collect::<Vec<_>>().into_iter().rev());
        Ok::<(), String>(())
    };
    let put = |changes: &mut Changes, path: &Path, text: &str, readers: Readers, is_replaced: bool| {
        let at = layout.at(path);
        if is_replaced { changes.replace(&at, text, readers) } else { changes.write(&at, text, readers) }
    };
    folder(changes, &layout.settings, &mut made)?;
    // The settings before the folder of drop-ins: of two installations at once, one stops here, and so takes no folder
    // away from the other.
    for file in &plan.files {
        let written = put(changes, &file.path, &file.text, file.readers, plan.force);
        written.map_err(|error| failed(layout, &file.path, &error))?;
        made.push(file.path.clone());
    }
    folder(changes, &layout.drop_ins(name), &mut made)?;
    let template = layout.template();
    let there = fs::read_to_string(layout.at(&template)).ok();
    let is_ours = there.as_ref().is_some_and(|text| text.starts_with(MARK));
    let mut has_template = layout.has_template() || (there.is_some() && !is_ours);
    if !has_template {
        let program = env::current_exe().map_err(|error| format!("the path of this program is unknown: {error}"))?;
        match put(changes, &template, &layout.unit_text(&program)?, Readers::All, is_ours) {
            // Another installation was faster.
            Err(error) if error.kind() == ErrorKind::AlreadyExists => has_template = true,
            written => written.map_err(|error| failed(layout, &template, &error))?,
        }
    }
    let path = Receipt::path(layout, name);
    // What an earlier installation of the name has made is to go with this one.
    let earlier = fs::read_to_string(layout.at(&path)).map(|text| Receipt::parse(&text).made).unwrap_or_default();
    let earlier = earlier.into_iter().filter(|path| !made.contains(path));
    let receipt = Receipt { made: earlier.collect::<Vec<_>>().into_iter().chain(made.clone()).collect() };
    let written = put(changes, &path, &receipt.text(name, layout.user, &plan.unit), Readers::All, plan.force);
    written.map_err(|error| failed(layout, &path, &error))?;
    Ok(has_template)
}

fn failed(layout: &Layout, path: &Path, error: &io::Error) -> String {
    let path = path.display();
    match error.kind() {
        ErrorKind::PermissionDenied if !layout.user => format!(
            "{path} cannot be written: {error}; a unit of the system needs root: put sudo in front, or give --user before \
             the role for a unit of yours"
        ),
        ErrorKind::AlreadyExists => {
            format!("{path} is there already; give another name, or --force before the role to replace it")
        }
        _ => format!("{path} cannot be written: {error}"),
    }
}

/// Says what to do where nobody can be asked to start anything.
fn without_systemd(plan: &Plan) -> String {
    let settings = plan.layout.file(&plan.name, "toml");
    let settings = settings.display();
    format!(
        "systemd does not run this machine, so there is nothing to install a unit for. Give the same arguments and \
         --print-config to pinhole itself to write {settings}, and have whatever starts services here start pinhole run \
         {settings}; on OpenWrt that is /etc/init.d/pinhole, and in a container its command"
    )
}

/// Says what was done, and what comes next.
fn told(plan: &Plan, has_template: bool) -> String {
    let Plan { layout, name, .. } = plan;
    let (unit, systemctl, journalctl) = (format!("pinhole@{name}"), layout.systemctl(), layout.journalctl());
    let since = if layout.user { "you log in" } else { "this machine starts" };
    let mut lines = vec![format!("{unit} runs, and will whenever {since}."), String::new()];
    let mut written: Vec<(String, &str)> = Vec::new();
    let mut list = |path: &Path, what| written.push((path.display().to_string(), what));
    plan.files.iter().for_each(|file| list(&file.path, &file.what));
    list(&Receipt::path(layout, name), "what its unit needs beyond that for all");
    if !has_template {
        list(&layout.template(), "the unit for all, because no package brought it");
    }
    let width = written.iter().map(|(path, _)| path.chars().count()).max().unwrap_or_default();
    lines.extend(written.iter().map(|(path, what)| format!("  {path:<width$}  {what}")));
    lines.push(String::new());
    if let Some(pin) = &plan.chosen_pin {
        lines.extend([format!("The pin is {pin}."), String::new()]);
    }
    let (sudo, user) = if layout.user { ("", "--user ") } else { ("sudo ", "") };
    let mut step = |command: String, what: &str| lines.push(format!("  {command:<44}  {what}"));
    step(format!("{systemctl} status {unit}"), "shows what it is at");
    step(format!("{journalctl} -u {unit}"), "shows what it has said, such as the command for clients");
    step(format!("{sudo}{systemctl} reload {unit}"), "has it read its settings again");
    if layout.user {
        step("loginctl enable-linger".to_owned(), "has it run while you are not logged in");
    }
    step(format!("{sudo}pinhole uninstall {user}{name}"), "undoes all of this");
    lines.join("\n") + "\n"
}

fn paths(paths: &[PathBuf]) -> String {
    paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ")
}
