//! Chromium as a foreign peer, without a window and without the user's data.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::process::Process;
use super::system::{find as find_program, skipped};

/// Names of the program where systems install it.
const NAMES: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];

/// Arguments that disable everything beyond the page: other hosts, updates, first-run questions, a proxy from the
/// environment.
const ARGUMENTS: &[&str] = &[
    "--headless",
    // Its sandbox refuses to run as root, and the page is ours.
    "--no-sandbox",
    "--disable-gpu",
    // Containers have little shared memory.
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-breakpad",
    "--no-first-run",
    "--no-proxy-server",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
    // The page's console goes to stderr, for a test that fails.
    "--enable-logging=stderr",
];

/// Finds the program. A test without it says so, and how to install it.
pub(crate) fn find(test: &str) -> Option<PathBuf> {
    let found = NAMES.iter().find_map(|name| find_program(name));
    if found.is_none() {
        skipped(test, "Chromium is not installed; Debian and its kin have it as `apt-get install chromium`");
    }
    found
}

/// Opens a page with a fresh profile.
pub(crate) fn open(program: &Path, page: &str, more: &[&str]) -> Process {
    Process::start("Chromium", |folder| {
        let mut command = Command::new(program);
        let profile = format!("--user-data-dir={}", folder.join("profile").display());
        command.args(ARGUMENTS).args(more).arg(profile).arg(page);
        command
    })
}
