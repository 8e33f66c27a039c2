//! The real binary as a process; its events are read with deadlines.

use std::env;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, unbounded};
use nix::sys::signal::{self, Signal};
use nix::unistd::Pid;
use serde_json::Value;

use super::DEADLINE;

/// A running `pinhole`. Dropping it kills the process, and shows its output if the test failed.
pub(crate) struct Pinhole {
    name: &'static str,
    child: Child,
    lines: Receiver<String>,
    /// Everything taken from stdout so far.
    seen: Vec<String>,
    stderr: Arc<Mutex<String>>,
    stderr_reader: Option<JoinHandle<()>>,
}

/// How a process ended.
#[derive(Debug)]
pub(crate) struct Ended {
    /// `None` if a signal killed it.
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ended {
    /// Fails unless it ended with this code, and its output contains all of these words.
    #[track_caller]
    pub(crate) fn expect(&self, code: i32, words: &[&str]) {
        assert_eq!(self.code, Some(code), "{self:?}");
        let all = format!("{}{}", self.stdout, self.stderr);
        for part in words {
            assert!(all.contains(part), "{part:?} is missing in {self:?}");
        }
    }
}

impl Pinhole {
    /// Starts the binary without a terminal.
    pub(crate) fn start(name: &'static str, arguments: &[&str]) -> Pinhole {
        Pinhole::spawn(name, command(arguments))
    }

    /// Starts a command that becomes the binary, without a terminal.
    pub(crate) fn spawn(name: &'static str, command: Command) -> Pinhole {
        Pinhole::spawn_on(name, command, Stdio::null())
    }

    /// Starts a command that becomes the binary, with this stdin.
    pub(crate) fn spawn_on(name: &'static str, mut command: Command, stdin: Stdio) -> Pinhole {
        let mut child = command
            .stdin(stdin)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary under test can be started");
        let (sender, lines) = unbounded();
        let stdout = BufReader::new(child.stdout.take().expect("stdout is a pipe"));
        thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        let stderr = Arc::new(Mutex::new(String::new()));
        let errors = BufReader::new(child.stderr.take().expect("stderr is a pipe"));
        let stderr_reader = thread::spawn({
            let stderr = stderr.clone();
            move || {
                for line in errors.lines().map_while(Result::ok) {
                    let mut text = stderr.lock().unwrap();
                    text.push_str(&line);
                    text.push('\n');
                }
            }
        });
        Pinhole { name, child, lines, seen: Vec::new(), stderr, stderr_reader: Some(stderr_reader) }
    }

    /// Starts a host of a target, with JSON on stdout and further arguments. Tests never ask servers on the internet.
    pub(crate) fn host(target: SocketAddr, more: &[&str]) -> Pinhole {
        Pinhole::start("host", &[&["host", &target.to_string(), "--json", "--no-stun"], more].concat())
    }

    /// Starts a client on any free port, with JSON on stdout and further arguments.
    pub(crate) fn client(url: &str, more: &[&str]) -> Pinhole {
        Pinhole::start("client", &[&["client", url, "0", "--json", "--no-stun"], more].concat())
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits for a host to listen and returns the URL for clients, pin included.
    #[track_caller]
    pub(crate) fn url(&mut self) -> String {
        text(&self.event("listening"), "url")
    }

    /// Waits for a client to forward its port and returns that.
    #[track_caller]
    pub(crate) fn local(&mut self) -> SocketAddr {
        text(&self.event("forwarding"), "local").parse().unwrap()
    }

    /// Waits until it can be looked at over TCP; returns the address, and the header field with its token.
    #[track_caller]
    pub(crate) fn administration(&mut self) -> (SocketAddr, String) {
        let event = self.event("administration");
        let url = text(&event, "url");
        let (_, token) = url.split_once("#token=").expect("it was generated");
        (text(&event, "addr").parse().unwrap(), format!("Authorization: Bearer {token}\r\n"))
    }

    /// Returns the next event.
    #[track_caller]
    pub(crate) fn next(&mut self) -> Value {
        match self.next_within(DEADLINE) {
            Ok(event) => event,
            Err(error) => panic!("{}: no further event: {error}", self.name),
        }
    }

    /// Waits for an event with this name; skips others.
    #[track_caller]
    pub(crate) fn event(&mut self, name: &str) -> Value {
        self.find(name, |event| event["event"] == name)
    }

    /// Waits for a warning or an error with this code and returns its message.
    #[track_caller]
    pub(crate) fn problem(&mut self, event: &str, code: &str) -> String {
        let found = self.find(code, |candidate| candidate["event"] == event && candidate["code"] == code);
        text(&found, "message")
    }

    /// Waits for an event that `fits`; skips others.
    #[track_caller]
    pub(crate) fn find(&mut self, what: &str, fits: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + DEADLINE;
        loop {
            match self.next_within(deadline.saturating_duration_since(Instant::now())) {
                Ok(event) if fits(&event) => return event,
                Ok(_) => {}
                Err(error) => panic!("{}: no {what}: {error}", self.name),
            }
        }
    }

    fn next_within(&mut self, timeout: Duration) -> Result<Value, RecvTimeoutError> {
        let line = self.lines.recv_timeout(timeout)?;
        self.seen.push(line.clone());
        Ok(serde_json::from_str(&line).unwrap_or_else(|error| panic!("{}: {line:?} is no JSON: {error}", self.name)))
    }

    /// Returns all events so far, including those taken before.
    pub(crate) fn events_so_far(&mut self) -> Vec<Value> {
        self.seen.extend(self.lines.try_iter());
        self.seen
            .iter()
            .map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{line:?} is no JSON")))
            .collect()
    }

    /// Takes the events that nobody took so far, and keeps none of them: for processes that say much for long.
    pub(crate) fn take_events(&mut self) -> Vec<Value> {
        let lines = self.lines.try_iter();
        lines.map(|line| serde_json::from_str(&line).unwrap_or_else(|_| panic!("{line:?} is no JSON"))).collect()
    }

    /// Sends a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        signal::kill(Pid::from_raw(self.child.id().try_into().unwrap()), signal).unwrap();
    }

    /// Waits for the end of the process and returns its complete output.
    #[track_caller]
    pub(crate) fn end(&mut self) -> Ended {
        let deadline = Instant::now() + DEADLINE;
        loop {
            match self.lines.recv_deadline(deadline) {
                Ok(line) => self.seen.push(line),
                // The process holds its stdout until it ends.
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => panic!("{} did not end", self.name),
            }
        }
        let status = self.child.wait().unwrap();
        if let Some(reader) = self.stderr_reader.take() {
            reader.join().unwrap();
        }
        let stdout = self.seen.iter().flat_map(|line| [line, "\n"]).collect();
        Ended { code: status.code(), stdout, stderr: self.stderr.lock().unwrap().clone() }
    }

    /// Ends it with a signal and expects exit code 0.
    #[track_caller]
    pub(crate) fn stop(&mut self) -> Ended {
        self.signal(Signal::SIGTERM);
        let ended = self.end();
        assert_eq!(ended.code, Some(0), "{ended:?}");
        ended
    }
}

impl Drop for Pinhole {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
        // One that was killed leaves it behind.
        for role in ["host", "client", "server"] {
            let _ = fs::remove_file(runtime_folder().join(format!("pinhole/{role}-{}.sock", self.child.id())));
        }
        if thread::panicking() {
            self.seen.extend(self.lines.iter());
            let tail = self.seen.len().saturating_sub(60);
            let stderr = self.stderr.lock().map(|text| text.clone()).unwrap_or_default();
            eprintln!(
                "── {} stdout ──\n{}\n── {} stderr ──\n{stderr}",
                self.name,
                self.seen[tail..].join("\n"),
                self.name
            );
        }
    }
}

/// The binary under test, in an environment independent of the caller's. `PINHOLE_BINARY` names another build of it.
pub(crate) fn command(arguments: &[&str]) -> Command {
    let binary = env::var_os("PINHOLE_BINARY").unwrap_or_else(|| env!("CARGO_BIN_EXE_pinhole").into());
    let mut command = Command::new(binary);
    command
        .args(arguments)
        .env_remove("PINHOLE_PIN")
        .env_remove("PINHOLE_TOKEN")
        .env_remove("PINHOLE_PUBLIC_AUTH")
        .env_remove("PINHOLE_PROXY_AUTH")
        .env_remove("RUST_LOG")
        .env_remove("RUNTIME_DIRECTORY")
        .env("XDG_RUNTIME_DIR", runtime_folder())
        .env("RUST_BACKTRACE", "1");
    for name in ["http_proxy", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY", "no_proxy", "NO_PROXY"] {
        command.env_remove(name);
    }
    command
}

/// The folder under which processes have their control sockets.
pub(crate) fn runtime_folder() -> &'static Path {
    Path::new(env!("CARGO_TARGET_TMPDIR"))
}

/// Runs the binary to its end, without a terminal.
#[track_caller]
pub(crate) fn run(arguments: &[&str]) -> Ended {
    Pinhole::start("pinhole", arguments).end()
}

/// A field of an event that is a string.
#[track_caller]
pub(crate) fn text(event: &Value, field: &str) -> String {
    event[field].as_str().unwrap_or_else(|| panic!("no {field} in {event}")).to_owned()
}

/// A host and a client that are connected.
pub(crate) struct Pair {
    pub(crate) host: Pinhole,
    pub(crate) client: Pinhole,
    /// Where the service appears for the client.
    pub(crate) local: SocketAddr,
    /// How long the client took from its start to the forwarded port.
    pub(crate) time: Duration,
}

impl Pair {
    /// Shares a target through two processes on this machine.
    #[track_caller]
    pub(crate) fn of(target: SocketAddr) -> Pair {
        Pair::start(target, &[])
    }

    /// The same, with further arguments for both.
    #[track_caller]
    pub(crate) fn start(target: SocketAddr, more: &[&str]) -> Pair {
        let mut host = Pinhole::host(target, more);
        let url = host.url();
        let start = Instant::now();
        let mut client = Pinhole::client(&url, more);
        let local = client.local();
        Pair { host, client, local, time: start.elapsed() }
    }

    /// Ends both sides in order.
    #[track_caller]
    pub(crate) fn stop(mut self) {
        self.client.stop();
        self.host.stop();
    }
}

/// Reads until the end or an error, and returns both.
pub(crate) fn read_all(input: &mut impl Read) -> (Vec<u8>, std::io::Result<()>) {
    let mut bytes = Vec::new();
    let result = input.read_to_end(&mut bytes).map(drop);
    (bytes, result)
}
