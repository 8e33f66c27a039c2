//! A foreign peer's process, with a folder of its own that is removed afterwards.

use std::fs::{self, File};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

/// How long files of a killed process may stay in use.
const TIDY_UP: Duration = Duration::from_secs(10);

/// A running program. Dropping it kills all its processes, and shows its output if the test failed.
pub(crate) struct Process {
    name: &'static str,
    child: Child,
    folder: PathBuf,
}

impl Process {
    /// Starts the command for a folder, which is the process's home.
    pub(crate) fn start(name: &'static str, command: impl FnOnce(&Path) -> Command) -> Process {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let unique = format!("{name}-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(unique);
        fs::create_dir_all(&folder).unwrap();
        let log = File::create(folder.join("stderr")).unwrap();
        let child = command(&folder)
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
        Process { name, child, folder }
    }

    /// Fails if it has ended by itself.
    #[track_caller]
    pub(crate) fn expect_running(&mut self) {
        let status = self.child.try_wait().unwrap();
        assert!(status.is_none(), "{} ended: {status:?}", self.name);
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Errors say that there is nothing to kill any more.
        let _ = killpg(Pid::from_raw(self.child.id().try_into().unwrap()), Signal::SIGKILL);
        let _ = self.child.wait();
        if thread::panicking() {
            let log = fs::read_to_string(self.folder.join("stderr")).unwrap_or_default();
            let lines: Vec<&str> = log.lines().filter(|line| !line.contains("dbus")).collect();
            eprintln!("── {} stderr ──\n{}", self.name, lines[lines.len().saturating_sub(30)..].join("\n"));
        }
        // Those of its processes that die last may still write.
        let deadline = Instant::now() + TIDY_UP;
        while fs::remove_dir_all(&self.folder).is_err() && self.folder.exists() && Instant::now() < deadline {
            thread::park_timeout(Duration::from_millis(20));
        }
    }
}
