//! A program with a terminal of its own, and what that shows.

use std::fs::File;
use std::io::{Read, Write};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Instant;

use crossbeam_channel::{Receiver, RecvTimeoutError, unbounded};
use nix::pty::{Winsize, openpty};
use nix::sys::signal::{self, Signal};
use nix::unistd::Pid;

use crate::common::DEADLINE;
use crate::common::pinhole::command;

/// The program, and what it has shown so far.
pub(crate) struct Terminal {
    child: Child,
    keyboard: File,
    output: Receiver<Vec<u8>>,
    /// All that was written to the terminal, as it is, and without the sequences that colour it and move the cursor.
    raw: Vec<u8>,
    shown: String,
    /// Where in `shown` the next wait begins.
    mark: usize,
    /// What a person sees.
    screen: vt100::Parser,
}

/// Which of the outputs are the terminal.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outputs {
    Both,
    /// stdout is a pipe.
    Stderr,
}

impl Terminal {
    /// Starts the binary on a terminal of 120 columns and 40 rows.
    pub(crate) fn start(arguments: &[&str]) -> Terminal {
        let mut command = command(arguments);
        // Nobody's saved hosts.
        command.env("XDG_CONFIG_HOME", "/nowhere");
        Terminal::spawn(command)
    }

    /// Starts a command on a terminal of 120 columns and 40 rows.
    pub(crate) fn spawn(command: Command) -> Terminal {
        Terminal::of(command, (120, 40), Outputs::Both)
    }

    pub(crate) fn of(mut command: Command, (columns, rows): (u16, u16), outputs: Outputs) -> Terminal {
        let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        let pty = openpty(Some(&size), None).unwrap();
        let stdio = || Stdio::from(pty.slave.try_clone().unwrap());
        // What a test wants otherwise was set before.
        if !command.get_envs().any(|(name, _)| name == "TERM") {
            command.env("TERM", "xterm");
        }
        let stdout = if outputs == Outputs::Both { stdio() } else { Stdio::piped() };
        let child = command.stdin(stdio()).stdout(stdout).stderr(stdio()).spawn().unwrap();
        // The command is gone, and with this no copy of the child's end stays here: reading ends with the child.
        drop((command, pty.slave));
        let keyboard = File::from(pty.master);
        let mut written = keyboard.try_clone().unwrap();
        let (sender, output) = unbounded();
        thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(len @ 1..) = written.read(&mut buffer) {
                if sender.send(buffer[..len].to_vec()).is_err() {
                    break;
                }
            }
        });
        let screen = vt100::Parser::new(rows, columns, 0);
        Terminal { child, keyboard, output, raw: Vec::new(), shown: String::new(), mark: 0, screen }
    }

    pub(crate) fn type_in(&mut self, keys: &str) {
        self.keyboard.write_all(keys.as_bytes()).unwrap();
    }

    /// Gives the terminal another size.
    pub(crate) fn resize(&mut self, columns: u16, rows: u16) {
        let size = rustix::termios::Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        rustix::termios::tcsetwinsize(&self.keyboard, size).unwrap();
        self.screen.screen_mut().set_size(rows, columns);
    }

    /// Waits until the words are shown, behind what was waited for before, and returns all up to them.
    #[track_caller]
    pub(crate) fn wait_for(&mut self, words: &str) -> String {
        let deadline = Instant::now() + DEADLINE;
        loop {
            if let Some(at) = self.shown[self.mark..].find(words) {
                let end = self.mark + at + words.len();
                let start = std::mem::replace(&mut self.mark, end);
                return self.shown[start..end].to_owned();
            }
            match self.output.recv_deadline(deadline) {
                Ok(bytes) => self.take(&bytes),
                Err(error) => panic!("{words:?} is not shown ({error}):\n{}", self.shown),
            }
        }
    }

    /// Waits until what a person sees fits, and returns it.
    #[track_caller]
    pub(crate) fn see(&mut self, what: &str, fits: impl Fn(&str) -> bool) -> String {
        let deadline = Instant::now() + DEADLINE;
        loop {
            let contents = self.contents();
            if fits(&contents) {
                return contents;
            }
            match self.output.recv_deadline(deadline) {
                Ok(bytes) => self.take(&bytes),
                Err(error) => panic!("{what} is not seen ({error}):\n{contents}"),
            }
        }
    }

    /// What a person sees, without empty lines at the end.
    pub(crate) fn contents(&self) -> String {
        self.screen.screen().contents()
    }

    pub(crate) fn is_cursor_hidden(&self) -> bool {
        self.screen.screen().hide_cursor()
    }

    #[track_caller]
    pub(crate) fn end(&mut self) -> Option<i32> {
        let deadline = Instant::now() + DEADLINE;
        loop {
            match self.output.recv_deadline(deadline) {
                Ok(bytes) => self.take(&bytes),
                Err(RecvTimeoutError::Disconnected) => return self.child.wait().unwrap().code(),
                Err(RecvTimeoutError::Timeout) => panic!("no end:\n{}", self.shown),
            }
        }
    }

    pub(crate) fn shown(&self) -> &str {
        &self.shown
    }

    /// All that was written to the terminal.
    pub(crate) fn raw(&self) -> String {
        String::from_utf8_lossy(&self.raw).into_owned()
    }

    /// What a pipe at stdout holds at the end.
    pub(crate) fn piped(&mut self) -> String {
        let mut text = String::new();
        self.child.stdout.take().unwrap().read_to_string(&mut text).unwrap();
        text
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        signal::kill(Pid::from_raw(self.child.id().try_into().unwrap()), signal).unwrap();
    }

    fn take(&mut self, bytes: &[u8]) {
        self.raw.extend_from_slice(bytes);
        self.shown.push_str(&plain(bytes));
        self.screen.process(bytes);
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The text without the sequences that colour it and move the cursor; where that goes up, another line begins.
fn plain(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let mut plain = String::new();
    let mut characters = text.chars();
    while let Some(c) = characters.next() {
        match c {
            '\x1b' if characters.by_ref().skip(1).find(char::is_ascii_alphabetic) == Some('A') => plain.push('\n'),
            '\x1b' => {}
            '\r' => {}
            c => plain.push(c),
        }
    }
    plain
}

/// The word behind another.
#[track_caller]
pub(crate) fn word_after(text: &str, label: &str) -> String {
    let (_, rest) = text.split_once(label).unwrap_or_else(|| panic!("no {label:?} in {text}"));
    rest.split_whitespace().next().unwrap().to_owned()
}
