//! Lines that stay at the bottom of a terminal while others are printed above them, and a question that stays there.
//!
//! Below an empty line, where the cursor rests, come the lines. So what is typed shows on the empty line, what other
//! programs print does not begin in the middle of a line, and clearing what is below the cursor clears everything, even
//! where a terminal that became narrower has wrapped it.

use super::board::{Board, Size};
use super::paint::Paint;

/// The terminal behind stderr.
pub struct Terminal {
    /// Returns its size; `None` while it has none, or belongs to another job.
    pub size: Box<dyn FnMut() -> Option<Size> + Send>,
    /// Colours are wanted.
    pub colour: bool,
}

/// Goes to the beginning of the line and clears from there on.
const CLEAR: &[u8] = b"\r\x1b[J";

/// What is at the bottom. Each method returns what is to be written.
#[derive(Default)]
pub(super) struct Bottom {
    terminal: Option<Terminal>,
    board: Option<Board>,
    is_drawn: bool,
    is_hidden: bool,
    question: Option<String>,
}

impl Bottom {
    pub(super) fn new(terminal: Option<Terminal>) -> Bottom {
        Bottom { terminal, ..Bottom::default() }
    }

    /// Returns lines with what makes them appear above the bottom.
    pub(super) fn around(&mut self, lines: Vec<u8>) -> Vec<u8> {
        if let Some(question) = &self.question {
            // The person may have begun to answer: the question stays where it is, and is shown again.
            return [b"\n", &lines[..], question.as_bytes()].concat();
        }
        let mut bytes = self.clear();
        if bytes.is_empty() && self.board.is_none() {
            return lines;
        }
        bytes.extend_from_slice(&lines);
        bytes.extend_from_slice(&self.draw());
        bytes
    }

    /// Takes over what is to be shown from now on, or nothing.
    pub(super) fn set(&mut self, board: Option<Board>) -> Vec<u8> {
        self.board = board;
        self.redraw()
    }

    /// Draws again what there is.
    pub(super) fn redraw(&mut self) -> Vec<u8> {
        if self.is_hidden || self.question.is_some() {
            return Vec::new();
        }
        let drawn = self.draw();
        if drawn.is_empty() { self.clear() } else { drawn }
    }

    /// Draws nothing until it is shown again.
    pub(super) fn hide(&mut self) -> Vec<u8> {
        self.is_hidden = true;
        self.clear()
    }

    pub(super) fn unhide(&mut self) -> Vec<u8> {
        self.is_hidden = false;
        self.question.clone().map_or_else(|| self.redraw(), String::into_bytes)
    }

    /// Asks a question in the place of the lines.
    pub(super) fn ask(&mut self, question: String) -> Vec<u8> {
        let mut bytes = self.clear();
        bytes.extend_from_slice(question.as_bytes());
        self.question = Some(question);
        bytes
    }

    /// The question has its answer; `is_ended` tells whether a line break came with it.
    pub(super) fn answered(&mut self, is_ended: bool) -> Vec<u8> {
        self.question = None;
        let mut bytes = if is_ended { Vec::new() } else { b"\n".to_vec() };
        bytes.extend_from_slice(&self.redraw());
        bytes
    }

    fn size(&mut self) -> Option<Size> {
        self.terminal.as_mut().and_then(|terminal| (terminal.size)())
    }

    /// Clears what is drawn. In the background, it is the terminal of another job by now.
    fn clear(&mut self) -> Vec<u8> {
        match std::mem::take(&mut self.is_drawn) && self.size().is_some() {
            true => CLEAR.to_vec(),
            false => Vec::new(),
        }
    }

    /// Draws over what is drawn, or where nothing is.
    fn draw(&mut self) -> Vec<u8> {
        let (Some(board), false) = (&self.board, self.is_hidden) else { return Vec::new() };
        let Some(terminal) = &mut self.terminal else { return Vec::new() };
        let Some(size) = (terminal.size)() else { return Vec::new() };
        let lines = board.lines(size);
        if lines.is_empty() {
            return Vec::new();
        }
        let paint = Paint(terminal.colour);
        // Without wrapping (DECAWM) a character that is wider than thought moves nothing else.
        let mut text = "\x1b[?7l\r\x1b[K".to_owned();
        for line in &lines {
            let shown = if line.is_heading { paint.dim(&line.text) } else { line.text.clone() };
            text.push_str(&format!("\r\n{shown}\x1b[K"));
        }
        text.push_str(&format!("\x1b[J\x1b[?7h\r\x1b[{}A", lines.len()));
        self.is_drawn = true;
        text.into_bytes()
    }
}

#[cfg(test)]
#[path = "bottom_tests.rs"]
mod tests;
