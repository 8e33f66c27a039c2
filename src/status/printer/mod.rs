//! stdout and stderr behind helper threads, so that a reader that stops for a while stops nothing else.
//!
//! Lines wait in a queue for each file. A line that finds the queue full is lost; a notice with the number of lost
//! lines appears in its place once the reader goes on. Lines can stay at the bottom of a terminal behind stderr.

mod files;
mod outputs;

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded, unbounded};

use self::files::Files;
use self::outputs::{is_same_file, stderr, stdout};
use super::board::Board;
use super::bottom::Bottom;
pub use super::bottom::Terminal;
use super::report::Writer;

/// Maximum number of bytes that wait for a reader.
const MAX_QUEUED: usize = 1024 * 1024;

/// Cost of a line beside its bytes, in bytes.
const LINE_COST: usize = 64;

/// Longest wait for the remaining lines at the end of the process.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(2);

/// Longest wait until the lines at the bottom are hidden.
const HIDE_TIMEOUT: Duration = Duration::from_millis(500);

/// The format of notices about lost lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Sentences.
    Text,
    /// One JSON object a line.
    Json,
}

/// One of the two files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stream {
    Out,
    Err,
}

/// The process's two outputs. Clones share them.
#[derive(Debug, Clone)]
pub struct Printer {
    out: Lane,
    err: Lane,
    bottom: Newest,
}

/// A place for what is to be shown at the bottom: a newer one takes the place of an older one that was not drawn yet.
#[derive(Debug, Clone)]
struct Newest {
    is_shown: bool,
    sender: Sender<Option<Board>>,
    receiver: Receiver<Option<Board>>,
}

/// A queue and the thread behind it.
#[derive(Debug, Clone)]
struct Lane {
    items: Sender<Item>,
    load: Arc<Load>,
}

/// The state that both ends of a queue share.
#[derive(Debug, Default)]
struct Load {
    /// Bytes that wait.
    queued: AtomicUsize,
    /// Lines that were lost and not reported yet.
    lost: AtomicU64,
    /// The bottom is to be drawn, and the thread was told so.
    is_draw_due: AtomicBool,
}

#[derive(Debug)]
enum Item {
    Line(Stream, Vec<u8>),
    /// A number of lines that were lost here.
    Lost(u64),
    /// Answered once everything before it is written.
    Flushed(Sender<()>),
    /// The bottom has changed, or the terminal has.
    Draw,
    /// Draws nothing any more. Answered once nothing is there.
    Hide(Sender<()>),
    Unhide,
    /// Asks a question that takes the place of the bottom.
    Ask(String),
    /// It has its answer; tells whether a line break came with it.
    Answered(bool),
}

impl Printer {
    /// Takes over this process's stdout and stderr, with the formats of their lines. If both are one file, its lines
    /// keep their order. On a terminal behind stderr, lines can stay at the bottom.
    pub fn of_process(formats: [Format; 2], terminal: Option<Terminal>) -> Printer {
        Printer::new(stdout(), stderr(), is_same_file(), formats, terminal)
    }

    fn new(
        out: Writer,
        err: Writer,
        is_same: bool,
        [out_format, err_format]: [Format; 2],
        terminal: Option<Terminal>,
    ) -> Printer {
        let (sender, receiver) = bounded(1);
        let newest = Newest { is_shown: terminal.is_some(), sender, receiver };
        let lane = |out, err, notice, terminal| {
            let (bottom, boards) = (Bottom::new(terminal), newest.receiver.clone());
            Lane::start(Files { out, err, notice, bottom, boards })
        };
        let for_out = (Stream::Out, out_format);
        let (out, err) = if is_same {
            let both = lane(Some(out), Some(err), for_out, terminal);
            (both.clone(), both)
        } else {
            let err = lane(None, Some(err), (Stream::Err, err_format), terminal);
            (lane(Some(out), None, for_out, None), err)
        };
        Printer { out, err, bottom: newest }
    }

    /// Tells whether lines can stay at the bottom.
    pub fn has_bottom(&self) -> bool {
        self.bottom.is_shown
    }

    /// Shows what a run is doing at the bottom of the terminal, if there is one.
    pub fn show(&self, board: Board) {
        self.set(Some(board));
    }

    /// Shows nothing at the bottom any more.
    pub fn clear(&self) {
        self.set(None);
    }

    fn set(&self, mut board: Option<Board>) {
        while let Err(TrySendError::Full(newer)) = self.bottom.sender.try_send(board) {
            // What nobody has drawn yet is old by now.
            let _ = self.bottom.receiver.try_recv();
            board = newer;
        }
        self.redraw();
    }

    /// Draws the bottom again, for a terminal that may have changed.
    pub fn redraw(&self) {
        if !self.err.load.is_draw_due.swap(true, Ordering::Relaxed) {
            self.err.send(Item::Draw);
        }
    }

    /// Shows nothing at the bottom until [`Printer::unhide`], and waits until it is so, unless nobody reads.
    pub fn hide(&self) {
        let (done, hidden) = bounded(1);
        self.err.send(Item::Hide(done));
        let _ = hidden.recv_timeout(HIDE_TIMEOUT);
    }

    /// Shows again what belongs at the bottom.
    pub fn unhide(&self) {
        self.err.send(Item::Unhide);
    }

    /// Asks a question on stderr, in the place of the bottom. What is printed meanwhile appears above it.
    pub fn ask(&self, question: String) {
        self.err.send(Item::Ask(question));
    }

    /// The question has its answer; `is_ended` tells whether a line break came with it.
    pub fn answered(&self, is_ended: bool) {
        self.err.send(Item::Answered(is_ended));
    }

    /// Returns a writer of lines to stdout. It never waits and never fails.
    pub fn out(&self) -> impl Write + Send + 'static {
        Lines { lane: self.out.clone(), stream: Stream::Out, line: Vec::new() }
    }

    /// Returns a writer of lines to stderr. It never waits and never fails.
    pub fn err(&self) -> impl Write + Send + 'static {
        Lines { lane: self.err.clone(), stream: Stream::Err, line: Vec::new() }
    }

    /// Waits until everything is written, but no longer than a person would wait at the end of a run.
    pub fn finish(&self) {
        let deadline = Instant::now() + FLUSH_TIMEOUT;
        let asked = [&self.out, &self.err].map(|lane| {
            let (done, flushed) = bounded(1);
            lane.send(Item::Flushed(done));
            flushed
        });
        for flushed in asked {
            // Do not wait for a reader that has stopped for good.
            let _ = flushed.recv_deadline(deadline);
        }
    }
}

impl Lane {
    fn start(mut files: Files) -> Lane {
        let (items, queue) = unbounded();
        let load = Arc::new(Load::default());
        let lane = Lane { items, load: load.clone() };
        let started = thread::Builder::new().name("printer".into()).spawn(move || files.write(&queue, &load));
        // Without a thread, everything written is lost, and there is no place to report that.
        drop(started);
        lane
    }

    fn send(&self, item: Item) {
        // The thread ends with the last sender, and this is one, so sending cannot fail.
        let _ = self.items.send(item);
    }

    /// Queues a line, unless too much waits.
    fn push(&self, stream: Stream, line: Vec<u8>) {
        let cost = line.len() + LINE_COST;
        if self.load.queued.fetch_add(cost, Ordering::Relaxed) + cost > MAX_QUEUED {
            self.load.queued.fetch_sub(cost, Ordering::Relaxed);
            self.load.lost.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let lost = self.load.lost.swap(0, Ordering::Relaxed);
        if lost > 0 {
            self.send(Item::Lost(lost));
        }
        self.send(Item::Line(stream, line));
    }
}

/// Collects written bytes until a line is complete.
struct Lines {
    lane: Lane,
    stream: Stream,
    line: Vec<u8>,
}

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.line.extend_from_slice(bytes);
        if self.line.ends_with(b"\n") {
            self.flush()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if !self.line.is_empty() {
            self.lane.push(self.stream, std::mem::take(&mut self.line));
        }
        Ok(())
    }
}

#[cfg(test)]
#[path = "printer_tests.rs"]
mod tests;
