//! Calls of systemd's programs.

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::layout::Layout;
use crate::cli::secrets;

/// Most lines of a unit's log that are shown.
const LAST_WORDS: &str = "5";

/// What the service manager of this process gave it, and its children are not to have.
const OURS: [&str; 4] = ["NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "CREDENTIALS_DIRECTORY"];

/// The program that talks to systemd.
#[derive(Debug)]
pub(super) struct Systemctl {
    program: PathBuf,
    user: bool,
}

impl Systemctl {
    /// Finds it; `None` where this machine is not run by systemd.
    pub(super) fn find(layout: &Layout) -> Option<Systemctl> {
        let program = find("systemctl").filter(|_| layout.booted().is_dir())?;
        Some(Systemctl { program, user: layout.user })
    }

    /// Runs it.
    ///
    /// # Errors
    /// What it said, as a sentence.
    pub(super) fn run(&self, arguments: &[&str]) -> Result<(), String> {
        let mut command = command(&self.program, self.user);
        let shown = format!("systemctl {}", arguments.join(" "));
        let output = command.args(arguments).stdout(Stdio::null()).output();
        let output = output.map_err(|error| format!("{shown} cannot be run: {error}"))?;
        if output.status.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&output.stderr);
        let said: Vec<&str> = said.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        match said[..] {
            [] => Err(format!("{shown} failed ({})", output.status)),
            _ => Err(format!("{shown} failed: {}", said.join(" "))),
        }
    }

    /// Asks it something; a failure is no.
    pub(super) fn says(&self, arguments: &[&str]) -> bool {
        self.run(arguments).is_ok()
    }

    /// Returns the last lines that a unit has written, if there are any.
    pub(super) fn last_words(&self, unit: &str) -> Option<String> {
        let mut command = command(&find("journalctl")?, self.user);
        let output = command.args(["-u", unit, "-n", LAST_WORDS, "-o", "cat", "--no-pager", "-q"]).output().ok()?;
        let text = String::from_utf8_lossy(&output.stdout).trim_end().to_owned();
        Some(text).filter(|text| !text.is_empty())
    }
}

fn command(program: &Path, user: bool) -> Command {
    let mut command = Command::new(program);
    command.args(user.then_some("--user")).stdin(Stdio::null());
    // Others of this user can read what a process was started with, and it asks nothing of these.
    let secrets = secrets::ALL.map(|names| names.variable);
    OURS.iter().chain(&secrets).for_each(|name| _ = command.env_remove(name));
    command
}

fn find(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    env::split_paths(&path).map(|folder| folder.join(name)).find(|file| file.is_file())
}
