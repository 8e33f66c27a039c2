//! The questions of the wizard, through a pseudo-terminal.

use std::fs::File;
use std::io::{Read, Write};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Instant;

use crossbeam_channel::{Receiver, RecvTimeoutError, unbounded};
use nix::pty::{Winsize, openpty};
use nix::sys::signal::{self, Signal};
use nix::unistd::Pid;

use crate::common::pinhole::{Pinhole, command};
use crate::common::services::echo;
use crate::common::{DEADLINE, ReservedPort, connect, wait_until};

/// The binary with a terminal of its own, and what it has shown so far.
pub(super) struct Terminal {
    child: Child,
    keyboard: File,
    screen: Receiver<Vec<u8>>,
    shown: String,
    /// Where in `shown` the next wait begins.
    mark: usize,
}

impl Terminal {
    fn start(arguments: &[&str]) -> Terminal {
        Terminal::spawn(command(arguments))
    }

    pub(super) fn spawn(mut command: Command) -> Terminal {
        let size = Winsize { ws_row: 40, ws_col: 120, ws_xpixel: 0, ws_ypixel: 0 };
        let pty = openpty(Some(&size), None).unwrap();
        let stdio = || Stdio::from(pty.slave.try_clone().unwrap());
        let child = command.env("TERM", "xterm").stdin(stdio()).stdout(stdio()).stderr(stdio()).spawn().unwrap();
        // No copy of the child's end stays here: reading ends with the child.
        drop((command, pty.slave));
        let keyboard = File::from(pty.master);
        let mut output = keyboard.try_clone().unwrap();
        let (sender, screen) = unbounded();
        thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(len @ 1..) = output.read(&mut buffer) {
                if sender.send(buffer[..len].to_vec()).is_err() {
                    break;
                }
            }
        });
        Terminal { child, keyboard, screen, shown: String::new(), mark: 0 }
    }

    pub(super) fn type_in(&mut self, keys: &str) {
        self.keyboard.write_all(keys.as_bytes()).unwrap();
    }

    /// Waits until the words are shown, behind what was waited for before, and returns all up to them.
    #[track_caller]
    pub(super) fn wait_for(&mut self, words: &str) -> String {
        let deadline = Instant::now() + DEADLINE;
        loop {
            if let Some(at) = self.shown[self.mark..].find(words) {
                let end = self.mark + at + words.len();
                let start = std::mem::replace(&mut self.mark, end);
                return self.shown[start..end].to_owned();
            }
            match self.screen.recv_deadline(deadline) {
                Ok(bytes) => self.shown.push_str(&plain(&bytes)),
                Err(error) => panic!("{words:?} is not shown ({error}):\n{}", self.shown),
            }
        }
    }

    #[track_caller]
    pub(super) fn end(&mut self) -> Option<i32> {
        let deadline = Instant::now() + DEADLINE;
        loop {
            match self.screen.recv_deadline(deadline) {
                Ok(bytes) => self.shown.push_str(&plain(&bytes)),
                Err(RecvTimeoutError::Disconnected) => return self.child.wait().unwrap().code(),
                Err(RecvTimeoutError::Timeout) => panic!("no end:\n{}", self.shown),
            }
        }
    }

    fn is_gone(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    pub(super) fn signal(&self, signal: Signal) {
        signal::kill(Pid::from_raw(self.child.id().try_into().unwrap()), signal).unwrap();
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The text without the sequences that colour it and move the cursor.
fn plain(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let mut plain = String::new();
    let mut characters = text.chars();
    while let Some(c) = characters.next() {
        match c {
            '\x1b' => drop(characters.by_ref().skip(1).find(char::is_ascii_alphabetic)),
            '\r' => {}
            c => plain.push(c),
        }
    }
    plain
}

/// The word behind another.
fn word_after(text: &str, label: &str) -> String {
    let (_, rest) = text.split_once(label).unwrap_or_else(|| panic!("no {label:?} in {text}"));
    rest.split_whitespace().next().unwrap().to_owned()
}

#[test]
fn the_questions_of_a_host_lead_to_a_host() {
    let target = echo();
    let mut wizard = Terminal::start(&[]);
    wizard.wait_for("host) or use a shared one (client)?");
    wizard.type_in("host\r");
    wizard.wait_for("What to share");
    wizard.type_in("0\r");
    wizard.wait_for("nothing can be reached on port 0");
    wizard.wait_for("What to share");
    wizard.type_in(&format!("{}\r", target.port()));
    wizard.wait_for("a port that is forwarded already");
    wizard.type_in("\r");
    wizard.wait_for(&format!("The same without questions:\n  pinhole host {}\n", target.port()));
    let text = wizard.wait_for("Waiting for clients");
    let (signaling, pin) = (word_after(&text, "Signaling"), word_after(&text, "Pin"));
    assert!(pin.len() == 6 && pin.bytes().all(|byte| byte.is_ascii_digit()), "{pin}");
    let port = signaling.rsplit(':').next().unwrap();
    for line in [
        format!("Ports panel → Forward a Port → {port} → visibility Public → copy the address"),
        format!("pinhole client 'wss://<forwarded-address>/ws?pin={pin}' {}", target.port()),
    ] {
        assert!(text.contains(&line), "{line:?} is missing in {text}");
    }

    let mut client = Pinhole::client(&format!("ws://{signaling}/ws?pin={pin}"), &[]);
    let mut stream = connect(client.local());
    stream.write_all(b"ping").unwrap();
    stream.read_exact(&mut [0; 4]).unwrap();
    wizard.wait_for("connected directly");
    wizard.wait_for("opened");
    drop(stream);
    client.stop();
    wizard.wait_for("disconnected");
    wizard.signal(Signal::SIGINT);
    assert_eq!(wizard.end(), Some(0));
}

#[test]
fn a_host_that_is_forwarded_already_says_all_there_is_to_pass_on() {
    let port = ReservedPort::new().address.port();
    let mut wizard = Terminal::start(&[]);
    wizard.wait_for("(client)?");
    wizard.type_in("host\r");
    wizard.wait_for("What to share");
    wizard.type_in("8080\r");
    wizard.wait_for("a port that is forwarded already");
    wizard.type_in(&format!("https://abc-{port}.test/\r"));
    wizard.wait_for(&format!("that it leads to [{port}]"));
    wizard.type_in("\r");
    wizard.wait_for(&format!("pinhole host 8080 --listen {port} --public-url wss://abc-{port}.test/ws\n"));
    let text = wizard.wait_for("Waiting for clients");
    let pin = word_after(&text, "Pin");
    assert!(text.contains(&format!("pinhole client 'wss://abc-{port}.test/ws?pin={pin}' 8080\n")), "{text}");
    assert!(!text.contains("<forwarded-address>"), "{text}");
    wizard.signal(Signal::SIGINT);
    assert_eq!(wizard.end(), Some(0));
}

#[test]
fn a_host_shows_a_qr_code_at_the_terminal() {
    let arguments = ["host", "8080", "--pin", "123456", "--qr", "--public-url", "https://abc-5000.test"];
    let mut host = Terminal::start(&arguments);
    let text = host.wait_for("Waiting for clients");
    assert!(text.contains("pinhole client 'wss://abc-5000.test/ws?pin=123456' 8080"), "{text}");
    assert!(text.lines().filter(|line| line.contains("▀") || line.contains("▄")).count() > 10, "{text}");
    host.signal(Signal::SIGINT);
    assert_eq!(host.end(), Some(0));
}

#[test]
fn the_questions_of_a_client_lead_to_a_client() {
    let mut host = Pinhole::host(echo(), &["--pin", "123456"]);
    let url = host.url();
    let (bare, _) = url.split_once('?').unwrap();
    let mut wizard = Terminal::start(&[]);
    wizard.wait_for("(client)?");
    wizard.type_in("client\r");
    wizard.wait_for("The URL that the host passed on");
    wizard.wait_for("wss://abc123-5000.asse.devtunnels.ms/ws?pin=123456");
    wizard.type_in(&format!("{bare}\r"));
    wizard.wait_for("The pin that the host printed");
    wizard.type_in("123456\r");
    wizard.wait_for("The local port to listen on");
    wizard.type_in("0\r");
    wizard.wait_for(&format!("The same without questions:\n  pinhole client '{url}' 0\n"));
    wizard.wait_for("connected directly");
    let text = wizard.wait_for(" is now ");
    let local = text.split_whitespace().rev().nth(2).unwrap();
    let mut stream = connect(local.parse().unwrap_or_else(|error| panic!("{local}: {error} in {text}")));
    stream.write_all(b"ping").unwrap();
    stream.read_exact(&mut [0; 4]).unwrap();
    drop(stream);
    wizard.signal(Signal::SIGTERM);
    assert_eq!(wizard.end(), Some(0));
    host.event("disconnected");
    host.stop();
}

#[test]
fn a_missing_pin_is_asked_for() {
    let mut host = Pinhole::host(echo(), &["--pin", "123456"]);
    let url = host.url();
    let (bare, _) = url.split_once('?').unwrap();
    let mut client = Terminal::start(&["client", bare, "0", "--once"]);
    client.wait_for("The pin that the host printed");
    client.type_in("123456\r");
    client.wait_for(" is now ");
    host.stop();
    assert_eq!(client.end(), Some(0));
}

#[test]
fn leaving_the_questions_starts_nothing() {
    for (name, leave) in [("Esc", "\x1b"), ("Ctrl-D", "\x04")] {
        let mut wizard = Terminal::start(&[]);
        wizard.wait_for("(client)?");
        // One that comes in the instant before a key is waited for may be lost: Ctrl-D ends a line there.
        wait_until("the questions to end", || {
            let _ = wizard.keyboard.write_all(leave.as_bytes());
            wizard.is_gone()
        });
        assert_eq!(wizard.end(), Some(1), "{name}");
        assert!(wizard.shown.contains("nothing was started"), "{name}: {}", wizard.shown);
    }
    let mut wizard = Terminal::start(&[]);
    wizard.wait_for("(client)?");
    // One that comes in the instant before a key is waited for is noticed with the next key, or the next signal.
    wait_until("the questions to end", || {
        wizard.signal(Signal::SIGINT);
        wizard.is_gone()
    });
    assert_eq!(wizard.end(), Some(1));
}

#[test]
fn a_host_that_asks_lets_in_whom_the_person_lets_in() {
    let mut host = Terminal::start(&["host", &echo().to_string(), "--ask", "--pin", "123456"]);
    let text = host.wait_for("Waiting for clients");
    let url = format!("ws://{}/ws?pin=123456", word_after(&text, "Signaling"));

    let mut refused = Pinhole::client(&url, &[]);
    host.wait_for("[y/N]");
    host.type_in("n\r");
    let ended = refused.end();
    ended.expect(1, &["the host did not let this client in", r#""code":"denied""#]);

    let mut client = Pinhole::client(&url, &[]);
    host.wait_for("[y/N]");
    host.type_in("y\r");
    client.local();
    client.stop();
    host.wait_for("disconnected");
    host.signal(Signal::SIGINT);
    assert_eq!(host.end(), Some(0));
}
