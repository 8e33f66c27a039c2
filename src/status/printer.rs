//! stdout and stderr behind helper threads, so that a reader that stops for a while stops nothing else.
//!
//! Lines wait in a queue for each file. A line that finds the queue full is lost; a notice with the number of lost
//! lines appears in its place once the reader goes on.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, TryRecvError, bounded, unbounded};

use super::event::Event;
use super::json;
use super::report::Writer;

/// Maximum number of bytes that wait for a reader.
const MAX_QUEUED: usize = 1024 * 1024;

/// Cost of a line beside its bytes, in bytes.
const LINE_COST: usize = 64;

/// Maximum number of bytes of one write.
const MAX_BATCH: usize = 64 * 1024;

/// Longest wait for the remaining lines at the end of the process.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(2);

/// Pause before writing again to a file that another process made non-blocking.
const RETRY_PAUSE: Duration = Duration::from_millis(10);

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
}

#[derive(Debug)]
enum Item {
    Line(Stream, Vec<u8>),
    /// A number of lines that were lost here.
    Lost(u64),
    /// Answered once everything before it is written.
    Flushed(Sender<()>),
}

/// The files of a lane; files that failed are gone.
struct Files {
    out: Option<Writer>,
    err: Option<Writer>,
    /// The file and the format for notices about lost lines.
    notice: (Stream, Format),
}

impl Printer {
    /// Takes over this process's stdout and stderr, with the formats of their lines. If both are one file, its lines
    /// keep their order.
    pub fn of_process(out: Format, err: Format) -> Printer {
        Printer::new(stdout(), stderr(), is_same_file(), out, err)
    }

    fn new(out: Writer, err: Writer, is_same: bool, out_format: Format, err_format: Format) -> Printer {
        let for_out = (Stream::Out, out_format);
        if is_same {
            let lane = Lane::start(Files { out: Some(out), err: Some(err), notice: for_out });
            return Printer { out: lane.clone(), err: lane };
        }
        Printer {
            out: Lane::start(Files { out: Some(out), err: None, notice: for_out }),
            err: Lane::start(Files { out: None, err: Some(err), notice: (Stream::Err, err_format) }),
        }
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
            // The thread ends with the last sender, and this is one, so sending cannot fail.
            let _ = lane.items.send(Item::Flushed(done));
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
            let _ = self.items.send(Item::Lost(lost));
        }
        // As above: the thread keeps the other end.
        let _ = self.items.send(Item::Line(stream, line));
    }
}

impl Files {
    /// Writes the queued lines, until all senders are gone.
    fn write(&mut self, queue: &Receiver<Item>, load: &Load) {
        let mut next = VecDeque::new();
        loop {
            let item = match next.pop_front().map_or_else(|| queue.try_recv(), Ok) {
                Ok(item) => item,
                Err(TryRecvError::Disconnected) => return,
                Err(TryRecvError::Empty) => {
                    self.say_lost(load.lost.swap(0, Ordering::Relaxed));
                    let Ok(item) = queue.recv() else { return };
                    item
                }
            };
            match item {
                Item::Line(stream, mut batch) => {
                    let mut cost = batch.len() + LINE_COST;
                    while batch.len() < MAX_BATCH {
                        match queue.try_recv() {
                            Ok(Item::Line(same, line)) if same == stream => {
                                cost += line.len() + LINE_COST;
                                batch.extend_from_slice(&line);
                            }
                            Ok(other) => {
                                next.push_back(other);
                                break;
                            }
                            Err(_) => break,
                        }
                    }
                    self.write_all(stream, &batch);
                    load.queued.fetch_sub(cost, Ordering::Relaxed);
                }
                Item::Lost(count) => self.say_lost(count),
                Item::Flushed(done) => {
                    self.say_lost(load.lost.swap(0, Ordering::Relaxed));
                    // The caller may have given up.
                    let _ = done.try_send(());
                }
            }
        }
    }

    fn say_lost(&mut self, count: u64) {
        if count == 0 {
            return;
        }
        let lines = if count == 1 { "1 line is".to_owned() } else { format!("{count} lines are") };
        let message = format!("{lines} missing here: the reader of this output stopped for a while");
        let (stream, format) = self.notice;
        let mut line = Vec::new();
        let written = match format {
            Format::Text => writeln!(line, "warning: {message}"),
            Format::Json => json::write_line(&mut line, &Event::Warning { code: "output-lost".into(), message }),
        };
        // Writing to memory cannot fail.
        if written.is_ok() {
            self.write_all(stream, &line);
        }
    }

    /// Writes to a file until it fails for the first time; does nothing afterwards.
    fn write_all(&mut self, stream: Stream, mut bytes: &[u8]) {
        let file = match stream {
            Stream::Out => &mut self.out,
            Stream::Err => &mut self.err,
        };
        while let Some(writer) = file
            && !bytes.is_empty()
        {
            match writer.write(bytes) {
                Ok(0) => *file = None,
                Ok(len) => bytes = &bytes[len..],
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => thread::park_timeout(RETRY_PAUSE),
                Err(_) => *file = None,
            }
        }
        if let Some(writer) = file
            && writer.flush().is_err()
        {
            *file = None;
        }
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

/// Returns a duplicate of the descriptor: it buffers nothing, and holds no lock while nobody reads.
#[cfg(unix)]
fn stdout() -> Writer {
    use std::os::fd::AsFd as _;
    file(io::stdout().as_fd()).map_or_else(|_| Box::new(io::stdout()) as Writer, |file| Box::new(file))
}

#[cfg(unix)]
fn stderr() -> Writer {
    use std::os::fd::AsFd as _;
    file(io::stderr().as_fd()).map_or_else(|_| Box::new(io::stderr()) as Writer, |file| Box::new(file))
}

#[cfg(unix)]
fn file(descriptor: std::os::fd::BorrowedFd<'_>) -> io::Result<std::fs::File> {
    descriptor.try_clone_to_owned().map(std::fs::File::from)
}

#[cfg(unix)]
fn is_same_file() -> bool {
    use std::os::fd::AsFd as _;
    use std::os::unix::fs::MetadataExt as _;
    let [out, err] = [file(io::stdout().as_fd()), file(io::stderr().as_fd())]
        .map(|file| file.and_then(|file| file.metadata()).map(|data| (data.dev(), data.ino())));
    matches!((out, err), (Ok(out), Ok(err)) if out == err)
}

#[cfg(not(unix))]
fn stdout() -> Writer {
    Box::new(io::stdout())
}

#[cfg(not(unix))]
fn stderr() -> Writer {
    Box::new(io::stderr())
}

/// Assumes the usual case, the console.
#[cfg(not(unix))]
fn is_same_file() -> bool {
    use std::io::IsTerminal as _;
    io::stdout().is_terminal() && io::stderr().is_terminal()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file whose reader lets one write pass for each token, and all writes once the sender of tokens is gone.
    struct Gate {
        tokens: Receiver<()>,
        taken: Sender<String>,
    }

    impl Write for Gate {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let _ = self.tokens.recv();
            let _ = self.taken.send(String::from_utf8(bytes.to_vec()).unwrap());
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn gate() -> (Writer, Sender<()>, Receiver<String>) {
        let ((open, tokens), (taken, texts)) = (unbounded(), unbounded());
        (Box::new(Gate { tokens, taken }), open, texts)
    }

    fn all(texts: &Receiver<String>) -> String {
        texts.try_iter().collect()
    }

    #[test]
    fn what_two_outputs_say_into_one_file_keeps_its_order() {
        let (taken, texts) = unbounded();
        let writer = || -> Writer { Box::new(Gate { tokens: bounded(0).1, taken: taken.clone() }) };
        let printer = Printer::new(writer(), writer(), true, Format::Text, Format::Text);
        let (mut out, mut err) = (printer.out(), printer.err());
        let mut expected = String::new();
        for number in 0..1000 {
            let line = format!("{number}\n");
            expected += &line;
            if number % 3 == 0 { err.write_all(line.as_bytes()) } else { out.write_all(line.as_bytes()) }.unwrap();
        }
        printer.finish();
        assert_eq!(all(&texts), expected);
    }

    #[test]
    fn a_reader_that_stops_costs_lines_and_is_told_how_many() {
        let (file, open, texts) = gate();
        let (other, other_open, other_texts) = gate();
        drop(other_open);
        let printer = Printer::new(file, other, false, Format::Json, Format::Text);
        let (mut out, mut err) = (printer.out(), printer.err());
        let line = |number: usize| format!("{number:0999}\n");
        let count = 3000;
        (0..count).for_each(|number| out.write_all(line(number).as_bytes()).unwrap());
        assert!(printer.out.load.queued.load(Ordering::Relaxed) <= MAX_QUEUED);
        // The other file still has a reader.
        err.write_all(b"still here\n").unwrap();
        assert_eq!(other_texts.recv().unwrap(), "still here\n");
        drop(open);
        printer.finish();
        out.write_all(b"later\n").unwrap();
        printer.finish();
        let text = all(&texts);
        let lines: Vec<&str> = text.lines().collect();
        let kept = lines.len() - 2;
        assert!((MAX_QUEUED / 1100..count).contains(&kept), "{kept}");
        for (number, found) in lines[..kept].iter().enumerate() {
            assert_eq!(format!("{found}\n"), line(number));
        }
        let notice: serde_json::Value = serde_json::from_str(lines[kept]).unwrap();
        assert_eq!((&notice["event"], &notice["code"]), (&"warning".into(), &"output-lost".into()));
        let missing = format!("{} lines are missing here", count - kept);
        assert!(notice["message"].as_str().unwrap().starts_with(&missing), "{notice}");
        assert_eq!(lines[kept + 1], "later");
    }

    #[test]
    fn what_is_missing_is_said_where_it_is_missing() {
        let (file, open, texts) = gate();
        let printer = Printer::new(file, Box::new(io::sink()), false, Format::Text, Format::Text);
        let mut out = printer.out();
        let large = vec![b'x'; MAX_QUEUED / 4];
        for _ in 0..6 {
            out.write_all(&large).unwrap();
            out.write_all(b"\n").unwrap();
        }
        // One line is taken, so that there is room for the next.
        let full = printer.out.load.queued.load(Ordering::Relaxed);
        open.send(()).unwrap();
        texts.recv().unwrap();
        while printer.out.load.queued.load(Ordering::Relaxed) == full {
            thread::yield_now();
        }
        out.write_all(b"next\n").unwrap();
        drop(open);
        printer.finish();
        let rest = all(&texts);
        let (before, after) = rest.split_once("warning: ").expect("the notice is there");
        assert!(!before.contains("next") && after.ends_with("for a while\nnext\n"), "{after}");
    }

    #[test]
    fn a_reader_that_never_comes_does_not_hold_up_the_end() {
        let (file, _open, _texts) = gate();
        let printer = Printer::new(file, Box::new(io::sink()), false, Format::Text, Format::Text);
        printer.out().write_all(b"nobody reads this\n").unwrap();
        let (done, finished) = bounded(1);
        thread::spawn(move || {
            printer.finish();
            done.send(()).unwrap();
        });
        finished.recv_timeout(10 * FLUSH_TIMEOUT).unwrap();
    }

    #[test]
    fn a_file_that_fails_is_left_alone_and_the_other_goes_on() {
        struct Broken(Sender<()>);
        impl Write for Broken {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                self.0.send(()).unwrap();
                Err(io::ErrorKind::BrokenPipe.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let (tried, tries) = unbounded();
        let (file, open, texts) = gate();
        drop(open);
        let printer = Printer::new(Box::new(Broken(tried)), file, true, Format::Text, Format::Text);
        for _ in 0..3 {
            printer.out().write_all(b"lost\n").unwrap();
            printer.err().write_all(b"error\n").unwrap();
        }
        printer.finish();
        assert_eq!((tries.len(), all(&texts).as_str()), (1, "error\nerror\nerror\n"));
    }
}
