//! `pinhole status --watch`: follows each process, and shows all of them again when one of them says something new.

use std::collections::BTreeMap;
use std::env;
use std::io::{self, IsTerminal as _};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::thread;
use std::time::{Duration, Instant};

use dialoguer::console::{Term, truncate_str};
use serde_json::Value;
use signal_hook::consts::{SIGINT, SIGTERM};

use super::ask::{Processes, object};
use super::http::{self, AskError};
use super::place::{self, Socket};
use super::{Ending, Scene, absent, lines};

/// What is followed: a process says how it is at once, and then when that changes, at most once a second.
const EVENTS: &str = "/v1/events?status=1000";

/// Time between looks for processes that have begun since.
const SCAN: Duration = Duration::from_secs(2);

/// Time between pictures.
const PAUSE: Duration = Duration::from_millis(250);

/// Lines of processes that wait to be shown. Whoever has more to say waits.
const MAX_WAITING: usize = 64;

/// Something that a follower came upon.
enum Seen {
    /// The process says something, an object.
    Said(Value),
    /// It says nothing more, and why.
    Gone(AskError),
}

/// What is known of a socket.
enum Known {
    /// A thread follows it, and nothing came yet.
    Asked(Instant),
    /// What the process said last of itself.
    Status(Value),
    /// It cannot be followed, or not any more.
    Gone(AskError),
}

/// Follows processes until Ctrl-C, or until none runs any more.
pub(super) fn watch(name: Option<&str>, is_json: bool, scene: &Scene) -> Ending {
    let interrupted = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        if let Err(error) = signal_hook::flag::register(signal, Arc::clone(&interrupted)) {
            return Ending::Failed("system", format!("signals cannot be handled: {error}"));
        }
    }
    let (seen, news) = mpsc::sync_channel(MAX_WAITING);
    let mut watch = Watch { known: BTreeMap::new(), seen, news, screen: Screen::new(), was_there: false };
    let mut scanned: Option<Instant> = None;
    let mut drawn: Option<Instant> = None;
    let mut is_changed = false;
    while !interrupted.load(Ordering::Relaxed) {
        if scanned.is_none_or(|at| at.elapsed() >= SCAN) {
            watch.scan(&scene.folders, name);
            scanned = Some(Instant::now());
        }
        match watch.take(is_json) {
            Ok(is_new) => is_changed |= is_new,
            Err(message) => return Ending::Failed("system", message),
        }
        if watch.is_over() {
            return match watch.was_there {
                true => Ending::Done,
                false => absent::nothing(&Processes::ask(&scene.folders, name), name, scene),
            };
        }
        if is_changed && !is_json && drawn.is_none_or(|at| at.elapsed() >= PAUSE) {
            if let Err(message) = watch.draw() {
                return Ending::Failed("system", message);
            }
            (drawn, is_changed) = (Some(Instant::now()), false);
        }
    }
    Ending::Done
}

struct Watch {
    known: BTreeMap<Socket, Known>,
    seen: SyncSender<(Socket, Seen)>,
    news: Receiver<(Socket, Seen)>,
    screen: Screen,
    /// A process has said something.
    was_there: bool,
}

impl Watch {
    /// Follows sockets that are new, and those again that nobody had.
    fn scan(&mut self, folders: &[PathBuf], name: Option<&str>) {
        let sockets = place::sockets(folders, name).sockets;
        self.known.retain(|socket, known| !matches!(known, Known::Gone(_)) || sockets.contains(socket));
        for socket in sockets {
            if matches!(self.known.get(&socket), None | Some(Known::Gone(_))) {
                let (seen, own) = (self.seen.clone(), socket.clone());
                thread::spawn(move || follow(&own, &seen));
                self.known.entry(socket).or_insert_with(|| Known::Asked(Instant::now()));
            }
        }
    }

    /// Takes what came, waiting for it for a moment. Returns whether the picture may be another one.
    fn take(&mut self, is_json: bool) -> Result<bool, String> {
        let mut is_new = false;
        let mut next = self.news.recv_timeout(PAUSE).ok();
        while let Some((socket, seen)) = next {
            match seen {
                Seen::Said(value) => {
                    self.was_there = true;
                    let is_status = value.get("event").and_then(Value::as_str) == Some("status");
                    if is_json {
                        lines::print(&lines::line(&socket, Ok(&value)))?;
                    }
                    if is_status {
                        self.known.insert(socket, Known::Status(value));
                        is_new = true;
                    }
                }
                Seen::Gone(error) => {
                    is_new = true;
                    self.known.insert(socket, Known::Gone(error));
                }
            }
            next = self.news.try_recv().ok();
        }
        Ok(is_new)
    }

    /// Tells whether nothing runs that could be waited for.
    fn is_over(&self) -> bool {
        self.known.values().all(|known| match known {
            Known::Asked(since) => since.elapsed() >= http::PATIENCE,
            Known::Status(_) => false,
            Known::Gone(_) => true,
        })
    }

    fn draw(&mut self) -> Result<(), String> {
        let shown = self.known.iter().filter_map(|(socket, known)| match known {
            Known::Asked(_) => None,
            Known::Status(status) => Some((socket, Ok(status))),
            Known::Gone(error) => Some((socket, Err(error))),
        });
        self.screen.draw(&lines::picture(shown))
    }
}

/// Passes on what a process says, to its end.
fn follow(socket: &Socket, seen: &SyncSender<(Socket, Seen)>) {
    let told = |event| seen.send((socket.clone(), event)).is_ok();
    let mut lines = match http::follow(&socket.path, EVENTS) {
        Ok(lines) => lines,
        Err(error) => {
            told(Seen::Gone(error));
            return;
        }
    };
    let error = loop {
        match lines.next_line() {
            Ok(Some(line)) => {
                let Some(value) = object(&line) else { break AskError::Foreign("a line of it is not understood") };
                if !told(Seen::Said(value)) {
                    return;
                }
            }
            Ok(None) => break AskError::Ended,
            Err(error) => break error,
        }
    };
    told(Seen::Gone(error));
}

/// Where pictures are shown.
enum Screen {
    /// A terminal, where one takes the place of the last.
    Terminal(Term),
    /// One stands below the other.
    Paper { is_first: bool },
}

impl Screen {
    fn new() -> Screen {
        let is_dumb = env::var_os("TERM").is_none_or(|term| term == "dumb");
        match io::stdout().is_terminal() && !is_dumb {
            true => Screen::Terminal(Term::stdout()),
            false => Screen::Paper { is_first: true },
        }
    }

    fn draw(&mut self, picture: &str) -> Result<(), String> {
        match self {
            Screen::Terminal(terminal) => {
                let (rows, columns) = terminal.size();
                lines::print(&framed(picture, usize::from(rows), usize::from(columns)))
            }
            Screen::Paper { is_first } => {
                let break_above = if std::mem::take(is_first) { "" } else { "\n" };
                lines::print(&format!("{break_above}{picture}"))
            }
        }
    }
}

/// Cuts a picture to a screen, and has it take the place of the last one.
fn framed(picture: &str, rows: usize, columns: usize) -> String {
    // The cursor stands in the last row.
    let room = rows.saturating_sub(1).max(1);
    let all: Vec<&str> = picture.lines().collect();
    let shown = if all.len() > room { room - 1 } else { all.len() };
    let mut text = "\x1b[H\x1b[J".to_owned();
    for line in all.iter().take(shown) {
        text.push_str(&truncate_str(line, columns, "…"));
        text.push('\n');
    }
    if shown < all.len() {
        text.push_str(&truncate_str(&format!("… {} lines more", all.len() - shown), columns, "…"));
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_is_cut_to_its_screen() {
        assert_eq!(framed("a\nb\n", 10, 80), "\x1b[H\x1b[Ja\nb\n");
        assert_eq!(framed("a\nb\nc\n", 3, 80), "\x1b[H\x1b[Ja\n… 2 lines more\n");
        // Wide characters take two columns.
        assert_eq!(framed("火火火火\n", 10, 5), "\x1b[H\x1b[J火火…\n");
        assert_eq!(framed("", 0, 0), "\x1b[H\x1b[J");
    }
}
