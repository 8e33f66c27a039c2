//! A question on the terminal, its choices, and the answer that is being typed.

use std::io;

use dialoguer::console::{Style, Term, measure_text_width, truncate_str};

use super::line::Line;
use crate::cli::question::Question;

/// What stands before the answer to a question with choices.
const CHOOSE: &str = "Number or answer: ";

/// Rows of a list beside its choices, and one to spare.
const OTHER_ROWS: usize = 3;

/// Where a question stands on the terminal.
pub(super) struct Screen<'a> {
    terminal: &'a Term,
    pub(super) question: &'a Question<'a>,
    /// The choice that Enter alone takes.
    pub(super) selected: usize,
    label: String,
    /// Rows below the question's first one: of the cursor, and of the end of the text.
    cursor_row: usize,
    last_row: usize,
}

impl<'a> Screen<'a> {
    pub(super) fn new(terminal: &'a Term, question: &'a Question<'a>) -> Screen<'a> {
        let label = match question.choices {
            [] => format!("{}: ", question.text),
            _ => CHOOSE.to_owned(),
        };
        Screen { terminal, question, selected: 0, label, cursor_row: 0, last_row: 0 }
    }

    pub(super) fn complain(&self) -> io::Result<()> {
        let Some(complaint) = self.question.complaint else {
            return Ok(());
        };
        let style = Style::new().for_stderr().yellow();
        self.terminal.write_line(&style.apply_to(complaint).to_string())
    }

    /// Moves to the choice below or above.
    pub(super) fn select(&mut self, is_down: bool) {
        let last = self.question.choices.len().saturating_sub(1);
        self.selected = if is_down { (self.selected + 1).min(last) } else { self.selected.saturating_sub(1) };
    }

    /// Draws question and answer over what was drawn before, and moves the cursor to where the next key goes.
    pub(super) fn draw(&mut self, line: &Line) -> io::Result<()> {
        let text = line.text();
        let style = Style::new().for_stderr();
        let (rows, columns) = self.terminal.size();
        let (rows, columns) = (usize::from(rows), usize::from(columns).max(1));
        let placeholder = match self.question.choices {
            [] => self.question.placeholder.to_owned(),
            _ => (self.selected + 1).to_string(),
        };
        let shown =
            if text.is_empty() { style.dim().apply_to(placeholder.as_str()) } else { style.apply_to(text.as_str()) };
        let label_width = measure_text_width(&self.label);
        let shown_width = match text.as_str() {
            "" => measure_text_width(&placeholder),
            text => measure_text_width(text),
        };
        let place =
            Place::new(columns, label_width + shown_width, label_width + measure_text_width(&line.before_cursor()));
        let list = self.list(rows, columns);

        self.terminal.move_cursor_up(self.cursor_row)?;
        self.terminal.write_str("\r")?;
        self.terminal.clear_to_end_of_screen()?;
        for row in &list {
            self.terminal.write_str(&format!("{row}\r\n"))?;
        }
        self.terminal.write_str(&format!("{}{shown}", self.label))?;
        if let Some(column) = place.column {
            self.terminal.move_cursor_up(place.last_row - place.cursor_row)?;
            self.terminal.write_str("\r")?;
            self.terminal.move_cursor_right(column)?;
        }
        self.terminal.flush()?;
        self.cursor_row = list.len() + place.cursor_row;
        self.last_row = list.len() + place.last_row;
        Ok(())
    }

    /// Returns the question and the choices around the selected one, as many as fit, each on one row.
    fn list(&self, rows: usize, columns: usize) -> Vec<String> {
        let choices = self.question.choices;
        if choices.is_empty() {
            return Vec::new();
        }
        let room = rows.saturating_sub(OTHER_ROWS).max(1);
        let first = (self.selected + 1).saturating_sub(room);
        let cut = |text: &str| truncate_str(text, columns.saturating_sub(1), "…").into_owned();
        let mut list = vec![cut(self.question.text)];
        list.extend(choices.iter().enumerate().skip(first).take(room).map(|(index, choice)| {
            let mark = if index == self.selected { '>' } else { ' ' };
            cut(&format!("{mark} {:>2}  {choice}", index + 1))
        }));
        list
    }

    /// Leaves the question on the screen and goes to a line of its own.
    pub(super) fn close(&self) -> io::Result<()> {
        self.terminal.move_cursor_down(self.last_row - self.cursor_row)?;
        self.terminal.write_str("\r\n")?;
        self.terminal.flush()
    }
}

/// Rows and columns of a text that wraps at the terminal's width.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// Row of the end of the text.
    last_row: usize,
    /// Row of the cursor.
    cursor_row: usize,
    /// Column the cursor must be moved to; `None` when it is there, at the end of the text.
    column: Option<usize>,
}

impl Place {
    /// Places a text of `end` columns with the cursor after `cursor` of them. A terminal wraps with the character
    /// after the last column, not with the last one, so a full row ends on that row.
    fn new(columns: usize, end: usize, cursor: usize) -> Place {
        let last_row = end.saturating_sub(1) / columns;
        if cursor >= end {
            return Place { last_row, cursor_row: last_row, column: None };
        }
        Place { last_row, cursor_row: cursor / columns, column: Some(cursor % columns) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrapped_text_is_placed() {
        let place = |last_row, cursor_row, column| Place { last_row, cursor_row, column };
        let cases = [
            ((80, 10, 10), place(0, 0, None)),
            ((80, 10, 4), place(0, 0, Some(4))),
            ((10, 10, 10), place(0, 0, None)),
            ((10, 11, 11), place(1, 1, None)),
            ((10, 25, 10), place(2, 1, Some(0))),
            ((10, 25, 9), place(2, 0, Some(9))),
            ((1, 3, 0), place(2, 0, Some(0))),
            ((10, 0, 0), place(0, 0, None)),
        ];
        for ((columns, end, cursor), expected) in cases {
            assert_eq!(Place::new(columns, end, cursor), expected, "{columns} {end} {cursor}");
        }
    }
}
