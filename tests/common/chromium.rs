//! Chromium as a process without a window, with nothing of the user's and nothing left behind.

use std::fs::{self, File};
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use super::system::{find, skipped};

/// Names of the program where systems install it.
const NAMES: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];

/// Keeps it from everything that is not the page: other hosts, updates, first-run questions, a proxy of the
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

/// How long files of a killed browser may take to be let go of.
const TIDY_UP: Duration = Duration::from_secs(10);

/// A running Chromium. It is killed with all its processes when this is dropped, and what it wrote is shown if the test
/// failed.
pub(crate) struct Chromium {
    child: Child,
    folder: PathBuf,
}

impl Chromium {
    /// Finds the program. A test that misses it says so, and how to have it.
    pub(crate) fn find(test: &str) -> Option<PathBuf> {
        let found = NAMES.iter().find_map(|name| find(name));
        if found.is_none() {
            skipped(test, "Chromium is not installed; Debian and its kin have it as `apt-get install chromium`");
        }
        found
    }

    /// Opens a page in a fresh profile.
    pub(crate) fn open(program: &PathBuf, page: &str, more: &[&str]) -> Chromium {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("chromium-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
        fs::create_dir_all(&folder).unwrap();
        let log = File::create(folder.join("stderr")).unwrap();
        let child = Command::new(program)
            .args(ARGUMENTS)
            .args(more)
            .arg(format!("--user-data-dir={}", folder.join("profile").display()))
            .arg(page)
            .env("HOME", &folder)
            .env_remove("XDG_CONFIG_HOME")
            .env_remove("XDG_CACHE_HOME")
            // A group of its own, so that it can be killed with all it started.
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        Chromium { child, folder }
    }

    /// Fails if it ended by itself.
    #[track_caller]
    pub(crate) fn expect_running(&mut self) {
        let status = self.child.try_wait().unwrap();
        assert!(status.is_none(), "Chromium ended: {status:?}");
    }
}

impl Drop for Chromium {
    fn drop(&mut self) {
        // Errors say that there is nothing to kill any more.
        let _ = killpg(Pid::from_raw(self.child.id().try_into().unwrap()), Signal::SIGKILL);
        let _ = self.child.wait();
        if thread::panicking() {
            let log = fs::read_to_string(self.folder.join("stderr")).unwrap_or_default();
            let lines: Vec<&str> = log.lines().filter(|line| !line.contains("dbus")).collect();
            eprintln!("── Chromium stderr ──\n{}", lines[lines.len().saturating_sub(30)..].join("\n"));
        }
        // Those of its processes that die last may still write.
        let deadline = Instant::now() + TIDY_UP;
        while fs::remove_dir_all(&self.folder).is_err() && self.folder.exists() && Instant::now() < deadline {
            thread::park_timeout(Duration::from_millis(20));
        }
    }
}
