//! Network namespaces without a name: they and all their devices end with the last socket and the last process in them,
//! so that nothing is left however a test ends.

use std::fs::{self, File};
use std::os::fd::AsRawFd;
use std::panic::resume_unwind;
use std::process::{self, Command, Stdio};
use std::sync::Arc;
use std::{io, thread};

use nix::sched::{CloneFlags, setns, unshare};

/// A network of its own, as long as a clone of this or a socket in it exists.
#[derive(Clone)]
pub(crate) struct Namespace {
    handle: Arc<File>,
}

impl Namespace {
    /// Makes an empty network.
    pub(crate) fn new() -> io::Result<Namespace> {
        let made = thread::spawn(|| {
            unshare(CloneFlags::CLONE_NEWNET)?;
            File::open("/proc/thread-self/ns/net")
        });
        let handle = Arc::new(made.join().unwrap()?);
        let namespace = Namespace { handle };
        namespace.ip("link set lo up");
        Ok(namespace)
    }

    /// Runs `work` on a thread in this network. A socket belongs to the network where it was made, whichever thread
    /// uses it; a program starts in the network of the thread that starts it.
    pub(crate) fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        let there = || {
            setns(&self.handle, CloneFlags::CLONE_NEWNET).unwrap();
            work()
        };
        thread::scope(|scope| scope.spawn(there).join()).unwrap_or_else(|panic| resume_unwind(panic))
    }

    /// A path by which programs that this process starts can name the network.
    pub(crate) fn path(&self) -> String {
        format!("/proc/{}/fd/{}", process::id(), self.handle.as_raw_fd())
    }

    /// Runs `ip` with arguments that have no spaces.
    #[track_caller]
    pub(crate) fn ip(&self, arguments: &str) {
        self.program("ip", arguments, "");
    }

    /// Runs a program that has to succeed, with arguments that have no spaces.
    #[track_caller]
    pub(crate) fn program(&self, name: &str, arguments: &str, input: &str) {
        if let Err(error) = self.try_program(name, arguments, input) {
            panic!("{name} {arguments}: {error}\n{input}");
        }
    }

    /// Runs a program; the error is what it said.
    pub(crate) fn try_program(&self, name: &str, arguments: &str, input: &str) -> Result<(), String> {
        let mut command = Command::new(name);
        command.args(arguments.split_whitespace()).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let run = || -> io::Result<process::Output> {
            let mut child = command.spawn()?;
            io::Write::write_all(&mut child.stdin.take().expect("stdin is a pipe"), input.as_bytes())?;
            child.wait_with_output()
        };
        let output = self.run(run).map_err(|error| error.to_string())?;
        if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned()) }
    }

    /// Sets a parameter of the network, named as `net/ipv4/ip_forward`.
    #[track_caller]
    pub(crate) fn set(&self, parameter: &str, value: &str) {
        self.run(|| fs::write(format!("/proc/sys/{parameter}"), value)).unwrap();
    }
}
