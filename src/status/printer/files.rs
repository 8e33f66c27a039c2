//! The files behind a queue, and the thread that writes to them.

use std::collections::VecDeque;
use std::io::{self, Write as _};
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use crossbeam_channel::{Receiver, TryRecvError};

use super::{Format, Item, LINE_COST, Load, Stream};
use crate::status::board::Board;
use crate::status::bottom::Bottom;
use crate::status::event::Event;
use crate::status::json;
use crate::status::report::Writer;

/// Maximum number of bytes of one write.
const MAX_BATCH: usize = 64 * 1024;

/// Pause before writing again to a file that another process made non-blocking.
const RETRY_PAUSE: Duration = Duration::from_millis(10);

/// The files of a lane; files that failed are gone.
pub(super) struct Files {
    pub(super) out: Option<Writer>,
    pub(super) err: Option<Writer>,
    /// The file and the format for notices about lost lines.
    pub(super) notice: (Stream, Format),
    /// What is at the bottom of the terminal, if this lane has stderr.
    pub(super) bottom: Bottom,
    pub(super) boards: Receiver<Option<Board>>,
}

impl Files {
    /// Writes the queued lines, until all senders are gone.
    pub(super) fn write(&mut self, queue: &Receiver<Item>, load: &Load) {
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
                    self.write_lines(stream, batch);
                    load.queued.fetch_sub(cost, Ordering::Relaxed);
                }
                Item::Lost(count) => self.say_lost(count),
                Item::Flushed(done) => {
                    self.say_lost(load.lost.swap(0, Ordering::Relaxed));
                    // The caller may have given up.
                    let _ = done.try_send(());
                }
                Item::Draw => {
                    load.is_draw_due.store(false, Ordering::Relaxed);
                    let drawn = match self.boards.try_recv() {
                        Ok(board) => self.bottom.set(board),
                        Err(_) => self.bottom.redraw(),
                    };
                    self.write_all(Stream::Err, &drawn);
                }
                Item::Hide(done) => {
                    let cleared = self.bottom.hide();
                    self.write_all(Stream::Err, &cleared);
                    // As above.
                    let _ = done.try_send(());
                }
                Item::Unhide => {
                    let drawn = self.bottom.unhide();
                    self.write_all(Stream::Err, &drawn);
                }
                Item::Ask(question) => {
                    let asked = self.bottom.ask(question);
                    self.write_all(Stream::Err, &asked);
                }
                Item::Answered(is_ended) => {
                    let drawn = self.bottom.answered(is_ended);
                    self.write_all(Stream::Err, &drawn);
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
            self.write_lines(stream, line);
        }
    }

    /// Writes lines above the bottom.
    fn write_lines(&mut self, stream: Stream, lines: Vec<u8>) {
        let bytes = self.bottom.around(lines);
        self.write_all(stream, &bytes);
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
