//! The link between a peer and its router, whose conditions can change while it is in use. `linkem.c` is the emulator.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::OnceLock;
use std::time::Duration;
use std::{fs, process};

use crate::namespace::Namespace;

/// The conditions of a link, equal in both directions.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Conditions {
    pub(crate) delay: Duration,
    pub(crate) loss_percent: f64,
    /// 0 is no limit.
    pub(crate) rate_mbit: f64,
    /// Full packets that wait where the rate is the limit.
    pub(crate) queue_packets: u32,
    /// How many of a hundred packets overtake those sent within the delay before them.
    pub(crate) reorder_percent: f64,
}

/// A path of 20 ms from peer to peer is two such links.
pub(crate) const GOOD: Conditions = Conditions {
    delay: Duration::from_millis(10),
    loss_percent: 0.0,
    rate_mbit: 0.0,
    queue_packets: 0,
    reorder_percent: 0.0,
};

/// Nothing passes.
pub(crate) const DOWN: Conditions = Conditions { loss_percent: 100.0, ..GOOD };

/// An emulator between two devices, which exist as long as it does.
pub(crate) struct Link {
    emulator: Child,
    answers: BufReader<ChildStdout>,
}

impl Link {
    /// Makes a device in either namespace and joins them; they have no address yet.
    pub(crate) fn new(ends: [(&Namespace, &str); 2]) -> Link {
        let [(first, first_device), (second, second_device)] = ends;
        let mut emulator = Command::new(program())
            .args([&first.path(), first_device, &second.path(), second_device])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("what was just compiled can be started");
        let answers = BufReader::new(emulator.stdout.take().expect("stdout is a pipe"));
        let mut link = Link { emulator, answers };
        link.expect("ready");
        link.set(&GOOD);
        link
    }

    /// Changes the conditions; they are in force when this returns.
    #[track_caller]
    pub(crate) fn set(&mut self, conditions: &Conditions) {
        let Conditions { delay, loss_percent, rate_mbit, queue_packets, reorder_percent } = conditions;
        let delay = delay.as_secs_f64() * 1000.0;
        let line = format!("{delay} 0 {loss_percent} {rate_mbit} {queue_packets} {reorder_percent}\n");
        self.emulator.stdin.as_mut().expect("stdin is a pipe").write_all(line.as_bytes()).unwrap();
        self.expect("ok");
    }

    #[track_caller]
    fn expect(&mut self, answer: &str) {
        let mut line = String::new();
        self.answers.read_line(&mut line).unwrap();
        assert_eq!(line.trim_end(), answer, "the link's emulator failed; it says why on stderr");
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        // It may have failed already.
        let _ = self.emulator.kill();
        let _ = self.emulator.wait();
    }
}

/// Compiles the emulator, once per process.
fn program() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
        let (unfinished, finished) = (folder.join(format!("linkem.{}", process::id())), folder.join("linkem"));
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/natlab/linkem.c");
        let compiled = Command::new("cc").args(["-O2", "-Wall", "-Wextra", "-o"]).arg(&unfinished).arg(source).status();
        assert!(compiled.is_ok_and(|status| status.success()), "linkem.c does not compile");
        // Another run of the tests may use the old one.
        fs::rename(unfinished, &finished).unwrap();
        finished
    })
}
